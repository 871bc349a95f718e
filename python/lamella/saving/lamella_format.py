"""lamella's own file: safetensors, read by Python and by C++ without Python.

Metadata (strings): "format" is "lamella", "format_version" is "1", "config" holds
Keras's config JSON with how the model was compiled, "graph.predict" and
"graph.train" the compiled graphs as JSON (for C++), "variables" a JSON object that
maps the variable ids in the graphs to tensor names. Tensors: every variable under
its path (random counters included, so that training resumes exactly), the
optimizer's variables under "optimizer/<i>", and what else the graphs read (metric
state) under "state/<i>".
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import numpy as np

from lamella.saving import atomic
from lamella.saving.keras_format import (
    assign,
    build_optimizer,
    config_json,
    is_optimizer,
    is_seed,
    model_from_json_text,
    walk,
)

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


def _optimizer_variables(model: Any) -> list[Any]:
    optimizer = getattr(model, "optimizer", None)
    return [] if optimizer is None else list(optimizer.variables)


def save_model(
    model: Any, filepath: str | os.PathLike[str], include_optimizer: bool = True
) -> None:
    """Write a `.lamella` file."""
    metadata = {"config": config_json(model, include_optimizer)}
    _write(model, filepath, metadata, include_optimizer, "save_model")


def save_weights(model: Any, filepath: str | os.PathLike[str]) -> None:
    """Write a `.lamella` file without config and graphs."""
    _write(model, filepath, {}, True, "save_weights")


def _write(
    model: Any,
    filepath: str | os.PathLike[str],
    metadata: dict[str, str],
    include_optimizer: bool,
    what: str,
) -> None:
    """Collect the tensors and write the file atomically."""
    from lamella import _core

    named = _variables(model)
    ids = {_core_id(variable): name for name, variable in named.items()}
    tensors = {name: np.asarray(variable.numpy()) for name, variable in named.items()}
    if include_optimizer:
        for index, variable in enumerate(_optimizer_variables(model)):
            tensors[f"optimizer/{index}"] = np.asarray(variable.numpy())
            ids[_core_id(variable)] = f"optimizer/{index}"
    header = {"format": FORMAT, "format_version": str(VERSION), **metadata}
    if "config" in metadata and hasattr(model, "_graphs_for_export"):
        for name, graph in model._graphs_for_export().items():
            header[f"graph.{name}"] = _core.graph_to_json(graph)
            for variable in graph.variables:  # metric state and the like
                key = _core_id(variable)
                if key not in ids:
                    ids[key] = f"state/{len(ids)}"
                    tensors[ids[key]] = np.asarray(variable.numpy())
        header["variables"] = json.dumps({str(k): v for k, v in ids.items()})
    with atomic.atomic_write(filepath, what=what) as temporary:
        _core.save_safetensors(str(temporary), tensors, header)


def _core_id(variable: Any) -> int:
    return int(getattr(variable, "_core", variable).id)


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
        assign(variable, value)


def _optimizer_plan(
    model: Any, tensors: dict[str, np.ndarray], title: str
) -> list[tuple[Any, np.ndarray]]:
    """Pair the optimizer's variables with the file's tensors."""
    variables = _optimizer_variables(model)
    count = sum(name.startswith("optimizer/") for name in tensors)
    if count < len(variables) and count <= 2:
        return []  # saved before its first step
    values = [tensors.get(f"optimizer/{i}") for i in range(len(variables))]
    if count != len(variables) or any(
        value is None or value.shape != tuple(variable.shape)
        for variable, value in zip(variables, values, strict=True)
    ):
        raise ValueError(
            f"{title}: the optimizer's state does not fit: {len(variables)} arrays in "
            f"the model, {count} in the file. Load with compile=False"
        )
    return list(zip(variables, values, strict=True))


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
    return model


def load_weights(
    model: Any, filepath: str | os.PathLike[str], skip_mismatch: bool = False
) -> None:
    """Read the weights of a `.lamella` file (the optimizer stays as it is)."""
    tensors, _, title = _read(filepath, "load_weights")
    _load_into(model, tensors, title, optimizer=False, skip_mismatch=skip_mismatch)
