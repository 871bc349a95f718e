"""How functional models are written to and read from Keras 3's JSON."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from lamella.layers import _tree
from lamella.layers.input import KerasTensor
from lamella.layers.layer import Layer
from lamella.models.functional import Functional, functional_arguments
from lamella.models.graph import is_placeholder, nodes_of
from lamella.models.model import Model
from lamella.ops.symbolic import Operation

__all__ = ["functional_config", "functional_from_config", "is_functional_config"]

_KEYS = {"name", "layers", "input_layers", "output_layers"}


def is_functional_config(cls: type, config: dict[str, Any]) -> bool:
    """Return True if `config` describes a graph and `cls` can be made of one."""
    if not set(config) >= _KEYS - {"name"}:
        return False
    return cls in (Model, Functional) or functional_arguments(cls)


def functional_config(model: Functional) -> dict[str, Any]:
    """Return the config of a functional model."""
    from lamella.saving import serialization

    own = {id(node) for node in model._nodes}
    numbers: dict[tuple[int, int], int] = {}
    for layer in model._operations:
        kept = 0
        for i, node in enumerate(nodes_of(layer)):
            if id(node) in own:
                numbers[(id(layer), i)] = kept
                kept += 1

    def history(t: KerasTensor) -> list[Any]:
        layer, index, place = t._keras_history
        return [layer.name, numbers[(id(layer), index)], place]

    def end(t: KerasTensor) -> list[Any]:
        # In the lists of inputs and outputs, and only there, Keras counts the calls of
        # an inner functional model from 1.
        name, index, place = history(t)
        inner = isinstance(t._keras_history[0], Functional)
        return [name, index + inner, place]

    def written(value: Any) -> Any:
        if is_placeholder(value):
            return {
                "class_name": "__keras_tensor__",
                "config": {
                    "shape": value.shape,
                    "dtype": value.dtype,
                    "keras_history": history(value),
                },
            }
        if isinstance(value, dict):
            return {k: written(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(written(v) for v in value)
        return serialization.serialize_keras_object(value)

    layers = []
    for layer in model._operations:
        if isinstance(layer, Operation):
            config = layer.serialize()
        else:
            config = serialization.serialize_keras_object(layer)
        config["name"] = layer.name
        config["inbound_nodes"] = [
            {"args": written(tuple(n.args)), "kwargs": written(n.kwargs)}
            for n in nodes_of(layer)
            if id(n) in own and n.inputs
        ]
        layers.append(config)
    return copy.deepcopy(
        {
            "name": model.name,
            "trainable": model._trainable,
            "layers": layers,
            "input_layers": _tree.map_structure(end, model._inputs_struct),
            "output_layers": _tree.map_structure(end, model._outputs_struct),
        }
    )


def functional_from_config(
    cls: type[Functional], config: dict[str, Any], custom_objects: Any = None
) -> Any:
    """Return a functional model as `functional_config` (or Keras) described it.

    Raises:
        ValueError: for an unknown layer, a loop, or a call without its input.
    """
    from lamella.saving import serialization

    layers: dict[str, Layer | Operation] = {}
    waiting: list[tuple[Layer | Operation, list[Any]]] = []
    for entry in config["layers"]:
        layer: Any
        if Operation.is_serialized(entry):
            layer = Operation.deserialize(entry)
        else:
            keys = [k for k in entry if k not in ("name", "inbound_nodes")]
            layer = serialization.deserialize_keras_object(
                {k: entry[k] for k in keys}, custom_objects=custom_objects
            )
        name = entry.get("name", layer.name)
        layers[name] = layer
        waiting.append((layer, list(entry.get("inbound_nodes") or [])))

    def tensor(history: Any, first: int = 0) -> KerasTensor:
        name, index, place = history[:3]
        if name not in layers:
            raise ValueError(f"Model: the config has no layer {name!r}")
        nodes = nodes_of(layers[name])
        if index - first >= len(nodes):
            raise _NotYet
        return nodes[index - first].output_tensors[place]

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                return tensor(value["config"]["keras_history"])
            if "class_name" in value:
                return serialization.deserialize_keras_object(
                    value, custom_objects=custom_objects
                )
            return {k: read(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(read(v) for v in value)
        return value

    while any(calls for _, calls in waiting):
        progress = False
        for layer, calls in waiting:
            while calls:
                try:
                    args, kwargs = _call_of(calls[0], read, tensor)
                except _NotYet:
                    break
                layer(*args, **_given(layer, kwargs))
                calls.pop(0)
                progress = True
        if not progress:
            raise ValueError(
                "Model: the config has a loop or a call whose input is missing"
            )

    def end(value: Any) -> Any:
        if isinstance(value, list | tuple) and value and isinstance(value[0], str):
            # see functional_config
            return tensor(value, int(isinstance(layers.get(value[0]), Functional)))
        if isinstance(value, dict):
            return {k: end(v) for k, v in value.items()}
        return type(value)(end(v) for v in value)

    try:
        ends = {k: end(config[f"{k[:-1]}_layers"]) for k in ("inputs", "outputs")}
    except _NotYet:
        raise ValueError("Model: an output names a call that is missing") from None
    rest = {k: v for k, v in config.items() if k not in {*_KEYS, "trainable"}}
    return cls(
        **ends, name=config.get("name"), trainable=config.get("trainable"), **rest
    )


class _NotYet(Exception):
    """An input of a call does not exist yet."""


def _call_of(data: Any, read: Any, tensor: Any) -> tuple[Any, dict[str, Any]]:
    """Return (args, kwargs) of a call in a config, of Keras 3 or Keras 2."""
    if isinstance(data, dict):
        return tuple(read(data["args"])), read(data["kwargs"])
    tensors, kwargs = [], {}
    for entry in data:
        tensors.append(tensor(entry))
        if len(entry) > 3:
            kwargs = dict(entry[3])
    return (tensors[0] if len(tensors) == 1 else tensors,), kwargs


def _given(layer: Layer | Operation, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without those that calling without them notes again."""
    if not isinstance(layer, Layer):
        return kwargs
    parameters = layer._call_parameters()
    given = dict(kwargs)
    if given.get("mask", 0) is None:
        del given["mask"]
    if "training" in given:
        known = "training" in parameters
        default = parameters["training"].default if known else inspect.Parameter.empty
        if given["training"] == (False if default is True else default):
            del given["training"]
    return given
