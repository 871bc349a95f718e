"""Keras's older HDF5 files (`.h5`, `.hdf5`): whole models, and weights alone.

Layout: root attributes `model_config` and `training_config` (JSON), `keras_version`,
`backend`; group `model_weights` with the attribute `layer_names` and one group per
layer, whose attribute `weight_names` lists its data sets; group `optimizer_weights`.
Weights are matched by the order of the layers that have some. Files of Keras 2 are
read too: names that end in ":0", `batch_input_shape`, nested-list inbound nodes.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lamella.ops.symbolic import Operation
from lamella.saving import atomic, hdf5
from lamella.saving.keras_format import (
    KERAS_VERSION,
    build_optimizer,
    check_model,
    damaged_config,
    read_json,
)
from lamella.saving.object_registration import CustomObjectScope
from lamella.saving.serialization import (
    deserialize_keras_object,
    find_builtin,
    keras_path,
    serialize_keras_object,
)
from lamella.saving.weights import assign, load_weights_from

if TYPE_CHECKING:
    import h5py

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

_BACKEND = "tensorflow"  # what readers expect for channels-last weights
# Keras 3 cannot open a .h5 file whose loss is written by its short name
_LONG_NAMES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
}


# -- writing ------------------------------------------------------------------------


def _layer_weights(layer: Any) -> list[Any]:
    """Return a layer's variables in the order of these files: trainable first."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _top_level(model: Any) -> list[Any]:
    """Return the variables that the model owns itself, not through a layer."""
    inside = {id(v) for layer in model.layers for v in layer.weights}
    return [v for v in _layer_weights(model) if id(v) not in inside]


def _write_weights(group: h5py.Group, variables: list[Any]) -> None:
    """Write variables below `group` under their paths."""
    names: list[str] = []
    for variable in variables:
        name = str(getattr(variable, "path", None) or variable.name)
        stem, number = name, 0
        while name in names:  # two parts of a layer may share a name
            number += 1
            name = f"{stem}_{number}"
        names.append(name)
    hdf5.write_strings(group, "weight_names", names)
    for name, variable in zip(names, variables, strict=True):
        group[name] = np.asarray(variable.numpy())


def _write_model_weights(group: h5py.Group, model: Any) -> None:
    """Write the weights of all layers."""
    hdf5.write_strings(group, "layer_names", [layer.name for layer in model.layers])
    group.attrs["backend"] = _BACKEND
    group.attrs["keras_version"] = KERAS_VERSION
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        _write_weights(group.create_group(layer.name), _layer_weights(layer))
    _write_weights(group.create_group("top_level_model_weights"), _top_level(model))


def _old_style(config: Any) -> Any:
    """Drop the module path of each layer, as these files do."""
    if not isinstance(config, Mapping):
        return config
    result = dict(config)
    if isinstance(result.get("layers"), list):
        result["layers"] = [_old_layer(layer) for layer in result["layers"]]
    return result


def _old_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's config as {class_name, config} with its graph nodes."""
    result = {"class_name": layer["class_name"], "config": _old_style(layer["config"])}
    if layer.get("registered_name") and layer["class_name"] != "Functional":
        result["class_name"] = layer["registered_name"]
    for key in ("name", "inbound_nodes"):
        if key in layer:
            result[key] = layer[key]
    if Operation.is_serialized(layer):  # its class may have a layer's name
        result["module"] = layer["module"]
    return result


def _training_config(model: Any) -> dict[str, Any] | None:
    """Return how the model was compiled, or None."""
    optimizer = getattr(model, "optimizer", None)
    config = model.get_compile_config() if optimizer is not None else None
    if optimizer is None or not config:
        return None
    result = {k: _old_function(v) for k, v in config.items() if k != "optimizer"}
    for key in ("loss", "metrics", "weighted_metrics", "loss_weights"):
        result.setdefault(key, None)
    path = keras_path(type(optimizer))
    result["loss"] = _long_names(result["loss"])
    result["optimizer_config"] = {
        "class_name": path[1] if path else type(optimizer).__name__,
        "config": serialize_keras_object(optimizer.get_config()),
    }
    return result


def _long_names(loss: Any) -> Any:
    """Spell out the names of losses."""
    if isinstance(loss, str):
        return _LONG_NAMES.get(loss.lower(), loss)
    if isinstance(loss, Mapping) and "class_name" not in loss:
        return {key: _long_names(item) for key, item in loss.items()}
    if isinstance(loss, list):
        return [_long_names(item) for item in loss]
    return loss


def _old_function(value: Any) -> Any:
    """Write functions by name, objects without their module."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "function":
            return value["config"]
        if "class_name" in value and "config" in value:
            return {
                "class_name": value["class_name"],
                "config": {k: _old_function(v) for k, v in value["config"].items()},
            }
        return {key: _old_function(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_old_function(item) for item in value]
    return value


def save_model(
    model: Any, filepath: str | os.PathLike[str], include_optimizer: bool = True
) -> None:
    """Write a whole model as legacy HDF5."""
    full = serialize_keras_object(model)
    model_config = {
        "class_name": full["class_name"],
        "config": _old_style(full["config"]),
    }
    if "layers" not in model_config["config"] and "build_config" in full:
        # a subclass of Model: Keras does not write this, and cannot load such a file
        model_config["build_config"] = full["build_config"]
    with hdf5.memory_file() as (file, result):
        file.attrs["backend"] = _BACKEND
        file.attrs["keras_version"] = KERAS_VERSION
        file.attrs["model_config"] = json.dumps(model_config)
        _write_model_weights(file.create_group("model_weights"), model)
        training = _training_config(model) if include_optimizer else None
        if training is not None:
            file.attrs["training_config"] = json.dumps(training)
            _write_weights(
                file.create_group("optimizer_weights"), list(model.optimizer.variables)
            )
    atomic.write_bytes(filepath, result[0], what="save_model")


def save_weights(model: Any, filepath: str | os.PathLike[str]) -> None:
    """Write the weights alone as legacy HDF5 (Keras 2's `save_weights("x.h5")`)."""
    with hdf5.memory_file() as (file, result):
        _write_model_weights(file, model)
    atomic.write_bytes(filepath, result[0], what="save_weights")


# -- reading the weights --------------------------------------------------------------


def _read_weights(group: h5py.Group, title: str) -> list[np.ndarray]:
    """Read the arrays of a group in the order of `weight_names`."""
    names = hdf5.read_strings(group, "weight_names", title)
    if names is None:
        raise ValueError(
            f"{title}: HDF5 group '{group.name}' lacks the attribute 'weight_names'"
        )
    return [hdf5.dataset(group, name, title) for name in names]


def _check(
    variables: list[Any], values: list[np.ndarray], where: str, title: str
) -> str | None:
    """Compare variables with arrays; return what is wrong, or None."""
    if len(variables) != len(values):
        return (
            f"{where} has {len(variables)} arrays in the model, {len(values)} in the "
            "file"
        )
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            return (
                f"{where}, {variable.name}: shape {tuple(variable.shape)} in the "
                f"model, {value.shape} in the file"
            )
    return None


def _load_group(
    group: h5py.Group,
    model: Any,
    title: str,
    *,
    by_name: bool = False,
    skip_mismatch: bool = False,
) -> None:
    """Load the weights of all layers; nothing is assigned unless everything fits."""
    names = hdf5.read_strings(group, "layer_names", title)
    if names is None:
        raise ValueError(
            f"{title}: HDF5 group '{group.name}' lacks the attribute 'layer_names': "
            "not a Keras file of weights"
        )
    saved = [
        (name, _read_weights(hdf5.group(group, name, title), title)) for name in names
    ]
    saved = [(name, values) for name, values in saved if values]
    layers = [layer for layer in model.layers if _layer_weights(layer)]
    if by_name:
        index = {layer.name: layer for layer in layers}
        pairs = [(index[name], name, v) for name, v in saved if name in index]
    else:
        if len(layers) != len(saved):
            raise ValueError(
                f"{title}: the model has {len(layers)} layers with weights "
                f"({', '.join(layer.name for layer in layers)}), the file has "
                f"{len(saved)} ({', '.join(name for name, _ in saved)}). Nothing was "
                "loaded"
            )
        pairs = [
            (layer, name, values)
            for layer, (name, values) in zip(layers, saved, strict=True)
        ]
    plan: list[tuple[Any, np.ndarray]] = []
    problems: list[str] = []
    for layer, name, values in pairs:
        other = f" ('{name}' in the file)" if name != layer.name else ""
        variables = _layer_weights(layer)
        problem = _check(variables, values, f"layer '{layer.name}'{other}", title)
        if problem:
            problems.append(problem)
        else:
            plan += zip(variables, values, strict=True)
    top = hdf5.find(group, "top_level_model_weights", title)
    if top is not None:
        values = _read_weights(top, title)
        variables = _top_level(model)
        problem = _check(variables, values, f"model '{model.name}'", title)
        if problem:
            problems.append(problem)
        else:
            plan += zip(variables, values, strict=True)
    if problems:
        message = f"{title}: the weights do not fit the model: " + "; ".join(problems)
        if not skip_mismatch:
            raise ValueError(message + ". Nothing was loaded")
        warnings.warn(message + ". These were skipped", stacklevel=3)
    for variable, value in plan:
        assign(variable, value)


def load_weights(
    model: Any,
    filepath: str | os.PathLike[str],
    skip_mismatch: bool = False,
    by_name: bool = False,
) -> None:
    """Read weights from a legacy HDF5 file (weights alone, or a whole model)."""
    title = f"load_weights '{filepath}'"
    data = atomic.read_file(filepath, what="load_weights")
    with hdf5.open_bytes(data, title) as file:
        if hdf5.read_strings(file, "layer_names", title) is None:
            if {"layers", "vars"} & set(
                hdf5.keys(file, title)
            ):  # Keras 3's layout in a plain .h5
                load_weights_from(file, model, title, skip_mismatch=skip_mismatch)
                return
            group = hdf5.group(file, "model_weights", title)
        else:
            group = file
        _load_group(group, model, title, by_name=by_name, skip_mismatch=skip_mismatch)


# -- reading the model ----------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Undo the marks that Keras 2 puts into its JSON (tuples, passive objects)."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__tuple__":
            return [_plain(item) for item in value["items"]]
        if value.get("class_name") == "TensorShape":
            return _plain(value["items"])
        return {k: _plain(v) for k, v in value.items() if not k.startswith("__passive")}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _modern(layer: Any) -> dict[str, Any]:
    """Turn a layer (or model) config of Keras 1-3 `.h5` files into Keras 3's form."""
    if not isinstance(layer, Mapping) or "class_name" not in layer:
        raise ValueError(f"model_config holds no layer: {str(layer)[:80]}")
    result = dict(layer)
    class_name = str(result["class_name"])
    config = result.get("config")
    if isinstance(config, list):  # Sequential before Keras 2.2: a bare list of layers
        config = {"name": "sequential", "layers": config}
    config = dict(config or {})
    if isinstance(config.get("layers"), list):
        config["layers"] = [_modern(item) for item in config["layers"]]
        if class_name == "Sequential":
            config["layers"] = _with_input(config["layers"])
        elif class_name == "Model":
            class_name = "Functional"
        for item in config["layers"]:
            if isinstance(item.get("inbound_nodes"), list):
                item["inbound_nodes"] = [_node(n) for n in item["inbound_nodes"]]
    for key in ("layer", "backward_layer", "cell"):
        inner = config.get(key)
        if isinstance(inner, Mapping) and "module" not in inner:
            config[key] = _modern(inner)
    if class_name == "InputLayer" and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    result["config"] = config
    if "module" not in result:
        result["class_name"] = class_name
        if ">" in class_name:
            result.update(registered_name=class_name, module=None)
            result["class_name"] = class_name.split(">")[-1]
        elif class_name == "Functional":
            result["module"] = "keras.src.models.functional"
        elif class_name in ("Sequential", "Model"):
            result["module"] = "keras"
        else:
            known = find_builtin(class_name, "keras.layers") is not None
            result["module"] = (
                "keras.layers" if known else Operation.module_of(class_name)
            )
        result.setdefault("registered_name", class_name)
        if result["module"] is not None:
            result["registered_name"] = None
    return result


def _with_input(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put an InputLayer before a first layer that names the input's shape itself."""
    if not layers:
        return layers
    first = layers[0]["config"]
    shape = first.get("batch_input_shape")
    for layer in layers:
        if layer["class_name"] != "InputLayer":
            layer["config"].pop("batch_input_shape", None)
    if shape is None or layers[0]["class_name"] == "InputLayer":
        return layers
    config = {"batch_shape": shape, "dtype": "float32", "name": "input_layer"}
    if layers[0]["class_name"] == "Embedding":
        config["dtype"] = "int32"
    entry = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": config,
        "registered_name": None,
    }
    return [entry, *layers]


def _node(node: Any) -> Any:
    """Turn an inbound node of Keras 2, nested lists, into Keras 3's args and kwargs."""
    if not isinstance(node, list):
        return node

    def reference(entry: list[Any]) -> dict[str, Any]:
        return {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": None,
                "dtype": None,
                "keras_history": [entry[0], entry[1], entry[2]],
            },
        }

    entries = [node] if node and isinstance(node[0], str) else node
    tensors = [reference(entry) for entry in entries]
    kwargs: dict[str, Any] = {}
    for entry in entries:
        if len(entry) > 3:
            kwargs.update({k: v for k, v in entry[3].items() if v is not None})
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": kwargs}


def _typed(config: Any, module: str) -> Any:
    """Give the objects in a training config their module; unwrap Keras 2's metrics."""
    if isinstance(config, list):
        items = [_typed(item, module) for item in config]
        # Keras 2 nests the metrics of a single output once more
        if len(items) == 1 and isinstance(items[0], list):
            return items[0]
        return items
    if not isinstance(config, Mapping):
        return config
    if "class_name" not in config:
        return {key: _typed(item, module) for key, item in config.items()}
    inner = dict(config.get("config") or {})
    if config["class_name"] == "MeanMetricWrapper" and isinstance(inner.get("fn"), str):
        name = inner.get("name")
        return name if name in ("accuracy", "acc") else inner["fn"]
    inner.pop("fn", None)
    result = {"module": module, "registered_name": None, **config, "config": inner}
    if find_builtin(str(config["class_name"]), result["module"]) is None:
        result["module"], result["registered_name"] = None, config["class_name"]
    return result


def _compile_config(training: Mapping[str, Any]) -> dict[str, Any]:
    """Turn `training_config` into what compile_from_config takes."""
    optimizer = training.get("optimizer_config")
    if not isinstance(optimizer, Mapping) or "class_name" not in optimizer:
        raise ValueError("training_config has no 'optimizer_config'")
    inner = dict(optimizer.get("config") or {})
    rate = inner.get("learning_rate")
    if isinstance(rate, Mapping) and "module" not in rate:
        inner["learning_rate"] = {
            "module": "keras.optimizers.schedules",
            "registered_name": None,
            **rate,
        }
    optimizer = _typed({**optimizer, "config": inner}, "keras.optimizers")
    metrics = {
        key: _typed(training.get(key), "keras.metrics")
        for key in ("metrics", "weighted_metrics")
    }
    return {
        "optimizer": optimizer,
        "loss": _typed(training.get("loss"), "keras.losses"),
        "loss_weights": training.get("loss_weights"),
        **metrics,
    }


def _load_optimizer(file: h5py.File, model: Any, title: str) -> None:
    """Restore the optimizer's state."""
    group = hdf5.find(file, "optimizer_weights", title)
    if group is None:
        return
    values = _read_weights(group, title)
    variables = list(model.optimizer.variables)
    if len(values) < len(variables) and len(values) <= 2:
        return  # saved before its first step
    problem = _check(variables, values, "the optimizer", title)
    names = hdf5.read_strings(group, "weight_names", title) or []
    if problem and any(name.endswith(":0") for name in names):
        warnings.warn(
            f"{title}: the optimizer's state is in the order of Keras 2 ({problem}); "
            "it starts fresh",
            stacklevel=4,
        )
        return
    if problem:
        raise ValueError(
            f"{title}: {problem}. Load with compile=False and compile again for a "
            "fresh optimizer"
        )
    for variable, value in zip(variables, values, strict=True):
        assign(variable, value)


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
) -> Any:
    """Read a whole model from legacy HDF5 of lamella, Keras 3 or Keras 2."""
    title = f"load_model '{filepath}'"
    data = atomic.read_file(filepath, what="load_model")
    if data.startswith(b"PK"):
        raise ValueError(
            f"{title}: this is a zip archive, not HDF5; give it the suffix .keras"
        )
    with hdf5.open_bytes(data, title) as file:
        text = hdf5.attribute(file, "model_config", title)
        if text is None:
            keras_3 = {"layers", "vars"} & set(hdf5.keys(file, title))
            hint = (
                ": the file holds weights only; build the model and call load_weights()"
                if keras_3 or hdf5.read_strings(file, "layer_names", title)
                else ""
            )
            raise ValueError(f"{title}: no attribute 'model_config'{hint}")
        config = read_json(text, title, "model_config")
        with damaged_config(title, "model_config"):
            config = _modern(_plain(config))
            model = deserialize_keras_object(config, custom_objects)
            check_model(model)
        _load_group(hdf5.group(file, "model_weights", title), model, title)
        if compile:
            text = hdf5.attribute(file, "training_config", title)
            if text is not None:
                _compile(text, model, title, custom_objects)
                _load_optimizer(file, model, title)
    return model


def _compile(
    text: str, model: Any, title: str, custom_objects: dict[str, Any] | None
) -> None:
    """Compile the model as the file's training_config says."""
    training = _plain(read_json(text, title, "training_config"))
    with (
        damaged_config(f"{title}: load with compile=False", "training_config"),
        CustomObjectScope(custom_objects),
    ):
        model.compile_from_config(_compile_config(training))
    build_optimizer(model)
