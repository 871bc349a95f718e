"""Copies of models: the same layers, new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamella.layers.input import InputLayer
from lamella.layers.layer import Layer
from lamella.models.sequential import Sequential

__all__ = ["clone_model"]


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
) -> Any:
    """Return a model with the same layers and newly initialized weights.

    Args:
        model: a Sequential or functional model, or a model with get_config.
        input_tensors: must be None.
        clone_function: called with each layer, returns its copy. Sequential only.
    """
    if input_tensors is not None:
        raise ValueError("clone_model: input_tensors is not supported")

    def copy(layer: Layer) -> Layer:
        if clone_function is not None and not isinstance(layer, InputLayer):
            return clone_function(layer)
        return type(layer).from_config(layer.get_config())

    if isinstance(model, Sequential):
        clone = Sequential(name=model.name, trainable=model.trainable)
        for layer in model._stack:
            clone.add(copy(layer), rebuild=False)
        if model._stack:
            clone._maybe_rebuild()
        return clone
    if clone_function is not None:
        raise ValueError("clone_model: clone_function needs a Sequential model")
    return type(model).from_config(model.get_config())
