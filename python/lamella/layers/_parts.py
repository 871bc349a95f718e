"""What a layer is made of, remembered until an attribute or a list changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamella import _core
from lamella.variable import Variable, structure

if TYPE_CHECKING:
    from lamella.layers.layer import Layer

__all__ = ["Parts", "parts_of"]

# A longer list without layers is known by its length alone.
_LONG = 64


class Parts:
    """The layers of a model and what only changes with them.

    Attributes:
        version: `structure.version` when this was found.
        layers: all layers below it (not itself, which would be a cycle).
        layer_ids: their ids.
        metrics: those that are attributes of the layer, then of the layers below
            that are not models.
        trainable: the weights that training changes.
        trainable_ids: their ids.
    """

    def __init__(self, layer: Layer) -> None:
        from lamella.models.tracing import Tracing

        self.version = structure.version
        self.layers: list[Layer] = list(layer._flatten_layers(include_self=False))
        self.layer_ids = tuple([id(sub) for sub in self.layers])
        self.metrics: list[Any] = list(layer._metrics)
        for sub in self.layers:
            if not isinstance(sub, Tracing):
                self.metrics.extend(sub._metrics)
        self.trainable: list[Variable] = layer.trainable_variables
        self.trainable_ids = tuple([id(v) for v in self.trainable])
        self._built = False
        watched: list[tuple[Any, Any]] = []
        for sub in (layer, *self.layers):
            for value in sub._tracked_values():
                self._watch(value, 0, watched)
        self._watched = tuple(watched)

    def _watch(self, value: Any, depth: int, watched: list[tuple[Any, Any]]) -> None:
        """Remember the lists and dicts in which a layer may appear later."""
        if depth >= 4 or not isinstance(value, list | tuple | dict):
            return
        items = list(value.values() if isinstance(value, dict) else value)
        if len(items) > _LONG and not any(hasattr(v, "_own_variables") for v in items):
            watched.append((value, len(value)))
            return
        if not isinstance(value, tuple):
            watched.append((value, tuple(items)))
        for item in items:
            self._watch(item, depth + 1, watched)

    def is_current(self) -> bool:
        """Return True if nothing was set, and no list changed, since then."""
        return self.version == structure.version and _core.all_same(self._watched)

    def all_built(self) -> bool:
        """Return True if all layers below are built."""
        if not self._built:
            self._built = all(layer.built for layer in self.layers)
        return self._built


def parts_of(layer: Layer) -> Parts:
    """Return the parts of a layer, found anew only when something changed."""
    parts: Parts | None = layer.__dict__.get("_parts")
    if parts is None or not parts.is_current():
        parts = Parts(layer)
        layer.__dict__["_parts"] = parts
    return parts
