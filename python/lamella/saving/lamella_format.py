"""lamella's own file: safetensors, read by Python and by C++ without Python.

Metadata (strings): "format" is "lamella", "format_version" is "1", "config" holds
Keras's config JSON with how the model was compiled, "graph.predict" (and "graph.train",
"graph.test" when the model was trained or evaluated before it was saved) the graphs as
JSON for C++, "optimizer" and "metric_state" what C++ needs to train on. Tensors: every
variable under its path (random counters included, so that training resumes exactly),
the optimizer's state under "optimizer/...", and what else the graphs read under
"state/<i>". The C++ side is cpp/src/io/model_file.cpp.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from lamella.saving import assets, atomic
from lamella.saving.keras_format import (
    KERAS_VERSION,
    build_optimizer,
    config_json,
    model_from_json_text,
)
from lamella.saving.weights import assign, is_optimizer, is_seed, walk

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

FORMAT = "lamella"
VERSION = 1


def _variables(model: Any) -> dict[str, Any]:
    """Return every variable of the model by a name that is the same after loading."""
    named: dict[str, Any] = {}
    for path, obj in walk(model):
        if is_optimizer(obj):
            continue
        if is_seed(obj):
            named[f"{path}/state"] = obj.state
            continue
        for index, variable in enumerate(_own_variables(obj)):
            name = getattr(variable, "name", "") or str(index)
            full = f"{path}/{name}" if path else name
            while full in named:
                full += "_"
            named[full] = variable
    return named


def _own_variables(layer: Any) -> list[Any]:
    """Return the variables that the layer holds itself, in the order it saves them."""
    return list(layer._ordered_variables())


def _optimizer_state(model: Any) -> dict[str, Any]:
    """Return the core's variables of the optimizer by the names that C++ uses."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.built:
        return {}
    core = optimizer._core
    if core is None:  # a rule that only Python has
        return {
            f"optimizer/variables/{i}": v._core
            for i, v in enumerate(optimizer.variables)
        }
    named = {
        "optimizer/iteration": core.iterations,
        "optimizer/learning_rate": core.learning_rate,
    }
    if core.u_product is not None:
        named["optimizer/u_product"] = core.u_product
    for index, slots in enumerate(core.slots):
        named.update({f"optimizer/{index}/{key}": v for key, v in slots.items()})
    return named


def predict_graph(model: Any) -> Any:
    """Trace a model of any batch size: inputs and outputs have the layers' names.

    Returns:
        A Graph, or None when the model has no declared input or runs Python.
    """
    from lamella import _core
    from lamella.layers import _tree

    if model._runs_python("predict"):
        return None
    if not hasattr(model, "inputs"):  # a subclass of Model
        if model._build_shape is None:
            return None
        shapes, dtype = model._build_shape, model.dtype
    # A batch size is kept for layers that hold a state for each row only.
    keep = any(getattr(layer, "stateful", False) for layer in model._flatten_layers())
    graph = _core.Graph()
    with graph:
        if hasattr(model, "inputs"):
            structure = getattr(model, "_inputs_struct", None)
            x = _tree.map_structure(
                lambda t: graph.input(
                    t._keras_history[0].name,
                    t.shape if keep else (None, *t.shape[1:]),
                    t.dtype,
                ),
                model.inputs[0] if structure is None else structure,
            )
        else:
            number = iter(range(1 << 20))
            x = _map_shapes(
                lambda shape: graph.input(
                    f"x{next(number)}", (None, *shape[1:]), dtype
                ),
                shapes,
            )
        try:
            outputs = _tree.flatten(model(x, training=False))
        except _core.StateError:  # Python that looks at values: no graph
            return None
        finally:
            model._clear_losses()
        names = getattr(model, "_output_keys", None) or []
        if len(names) != len(outputs):
            names = [f"output{i}" for i in range(len(outputs))]
        for name, output in zip(names, outputs, strict=True):
            graph.output(str(name), output)
    return graph


def _map_shapes(function: Any, shapes: Any) -> Any:
    """Apply a function to each shape of a nested structure."""
    if isinstance(shapes, tuple) and all(
        size is None or isinstance(size, int) for size in shapes
    ):
        return function(shapes)
    if isinstance(shapes, dict):
        return {key: _map_shapes(function, item) for key, item in shapes.items()}
    return [_map_shapes(function, item) for item in shapes]


def _graphs(model: Any, compiled: bool) -> dict[str, Any]:
    """Return the graphs for C++: "predict", and the last traced "train" and "test"."""
    graphs: dict[str, Any] = {}
    graph = predict_graph(model)
    if graph is not None:
        graphs["predict"] = graph
    # C++ trains on with the rules that it has a kernel for
    if compiled and (model.optimizer is None or model.optimizer._core is not None):
        graphs |= model._loss_graphs()
    return graphs


def save_model(
    model: Any, filepath: str | os.PathLike[str], include_optimizer: bool = True
) -> None:
    """Write a `.lamella` file."""
    compiled = include_optimizer and bool(getattr(model, "compiled", False))
    metadata = {
        "config": config_json(model, include_optimizer),
        "keras_version": KERAS_VERSION,
    }
    files = assets.to_text(walk(model))
    if files is not None:
        metadata["assets"] = files
    _write(model, filepath, metadata, _graphs(model, compiled), compiled, "save_model")


def save_weights(model: Any, filepath: str | os.PathLike[str]) -> None:
    """Write a `.lamella` file without config and graphs."""
    _write(model, filepath, {}, {}, False, "save_weights")


def _write(
    model: Any,
    filepath: str | os.PathLike[str],
    metadata: dict[str, str],
    graphs: dict[str, Any],
    compiled: bool,
    what: str,
) -> None:
    """Write the file atomically."""
    from lamella import _core

    named = [(name, variable._core) for name, variable in _variables(model).items()]
    optimizer: Any = None
    metric_state: list[Any] = []
    if compiled:
        if model.optimizer is not None and model.optimizer.built:
            optimizer = model.optimizer._core
            if optimizer is None:
                named += list(_optimizer_state(model).items())
        metric_state = [v._core for metric in model.metrics for v in metric.variables]
    with atomic.atomic_write(filepath, what=what) as temporary:
        _core.save_model(
            str(temporary), named, graphs, optimizer, metric_state, metadata
        )


def _read(
    filepath: str | os.PathLike[str], what: str
) -> tuple[dict[str, np.ndarray], dict[str, str], str]:
    """Read and check a `.lamella` file: (tensors, metadata, title)."""
    from lamella import _core

    title = f"{what} '{filepath}'"
    atomic.read_file(filepath, what=what)  # missing, a folder, empty
    try:
        tensors, metadata = _core.load_safetensors(os.fspath(filepath))
    except OSError as error:
        raise atomic.io_error(f"{title}: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{title}: not a lamella file (metadata 'format' is "
            f"{metadata.get('format')!r}, expected '{FORMAT}')"
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal() or int(version) > VERSION:
        raise ValueError(
            f"{title}: format version {version!r} is newer than this lamella reads "
            f"({VERSION}); update lamella"
        )
    return tensors, metadata, title


def _load_into(
    model: Any,
    tensors: dict[str, np.ndarray],
    title: str,
    *,
    optimizer: bool,
    skip_mismatch: bool = False,
) -> None:
    """Assign all tensors; nothing is assigned unless everything fits."""
    from lamella import _core

    named = _variables(model)
    problems = [f"'{name}' is missing" for name in named if name not in tensors]
    problems += [
        f"the file has '{name}', which the model does not have"
        for name in tensors
        if name not in named and not name.startswith(("optimizer/", "state/"))
    ]
    plan = []
    for name, variable in named.items():
        if name not in tensors:
            continue
        if tuple(variable.shape) != tensors[name].shape:
            problems.append(
                f"'{name}': shape {tuple(variable.shape)} in the model, "
                f"{tensors[name].shape} in the file"
            )
        else:
            plan.append((variable, tensors[name]))
    if problems:
        message = f"{title}: the weights do not fit the model: " + "; ".join(problems)
        if not skip_mismatch:
            raise ValueError(message + ". Nothing was loaded")
        warnings.warn(message + ". These were skipped", stacklevel=3)
    if optimizer:
        plan += _optimizer_plan(model, tensors, title)
    for variable, value in plan:
        if isinstance(variable, _core.Variable):
            variable.assign(_core.from_numpy(np.array(value, dtype=variable.dtype)))
        else:
            assign(variable, value)


def _optimizer_plan(
    model: Any, tensors: dict[str, np.ndarray], title: str
) -> list[tuple[Any, np.ndarray]]:
    """Pair the optimizer's variables with the file's tensors."""
    named = _optimizer_state(model)
    saved = {name for name in tensors if name.startswith("optimizer/")}
    if not saved or not named:
        return []  # saved before its first step
    plan = []
    for name, variable in named.items():
        if name not in saved or tuple(variable.shape) != tensors[name].shape:
            found = tensors[name].shape if name in saved else "nothing"
            raise ValueError(
                f"{title}: the optimizer's state does not fit: '{name}' has shape "
                f"{tuple(variable.shape)} in the model, the file has {found}. Load "
                "with compile=False and compile again for a fresh optimizer"
            )
        plan.append((variable, tensors[name]))
    if len(saved) != len(named):
        raise ValueError(
            f"{title}: the optimizer's state does not fit: {len(named)} arrays in the "
            f"model, {len(saved)} in the file. Load with compile=False"
        )
    return plan


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
) -> Any:
    """Read a `.lamella` file."""
    tensors, metadata, title = _read(filepath, "load_model")
    if "config" not in metadata:
        raise ValueError(
            f"{title}: the file holds weights only; build the model and call "
            "load_weights()"
        )
    model = model_from_json_text(metadata["config"], title, custom_objects, compile)
    build_optimizer(model)
    _load_into(model, tensors, title, optimizer=compile)
    if "assets" in metadata:
        assets.from_text(walk(model), metadata["assets"], title)
    return model


def load_weights(
    model: Any, filepath: str | os.PathLike[str], skip_mismatch: bool = False
) -> None:
    """Read the weights of a `.lamella` file (the optimizer stays as it is)."""
    tensors, _, title = _read(filepath, "load_weights")
    _load_into(model, tensors, title, optimizer=False, skip_mismatch=skip_mismatch)
