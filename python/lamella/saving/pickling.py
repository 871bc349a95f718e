"""Pickles and deep copies of layers and models: through their config and weights.

A pickle holds the config, the weights and the optimizer's state as a `.keras` file
does, and names the user's classes and functions, which Python imports. lamella itself
never writes pickles.
"""

from __future__ import annotations

from typing import Any

from lamella.saving import assets, hdf5
from lamella.saving.keras_format import build_optimizer, config_json, read_json
from lamella.saving.serialization import (
    collect_custom,
    deserialize_keras_object,
    object_sharing,
)
from lamella.saving.weights import load_weights_from, walk, weights_to_bytes

__all__ = ["reduce_layer", "revive_layer"]


def reduce_layer(layer: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what pickle needs to make an equal layer or model."""
    with collect_custom() as custom:
        config = config_json(layer)
    files = assets.to_text(walk(layer))
    return revive_layer, (config, weights_to_bytes(layer), dict(custom), files)


def revive_layer(
    config: str,
    weights: bytes,
    custom_objects: dict[str, Any],
    files: str | None = None,
) -> Any:
    """Return the layer or model that `reduce_layer` took apart."""
    title = "unpickling"
    with object_sharing():
        layer = deserialize_keras_object(
            read_json(config, title, "the config"), custom_objects
        )
    build_optimizer(layer)
    with hdf5.open_bytes(weights, title) as file:
        load_weights_from(file, layer, title, optimizer="must fit")
    if files is not None:
        assets.from_text(walk(layer), files, title)
    return layer
