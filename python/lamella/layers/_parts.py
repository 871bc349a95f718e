"""What a layer is made of, remembered until an attribute or a list changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

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
        layers: the layer itself and all below it.
        metrics: those that are attributes of the layer, then of the layers below
            that are not models.
        trainable: the weights that training changes.
        trainable_ids: their ids.
    """

    def __init__(self, layer: Layer) -> None:
        from lamella.models.training import Training

        self.version = structure.version
        self.layers: list[Layer] = list(layer._flatten_layers())
        self.metrics: list[Any] = list(layer._metrics)
        for sub in self.layers[1:]:
            if not isinstance(sub, Training):
                self.metrics.extend(sub._metrics)
        self.trainable: list[Variable] = layer.trainable_variables
        self.trainable_ids = tuple([id(v) for v in self.trainable])
        self._built = False
        containers: list[Any] = []
        for sub in self.layers:
            for value in sub._tracked_values():
                _collect(value, 0, containers)
        self._containers = [(c, _signature(c)) for c in containers]

    def is_current(self) -> bool:
        """Return True if nothing was set, and no list changed, since then."""
        if self.version != structure.version:
            return False
        return all(_signature(c) == s for c, s in self._containers)

    def all_built(self) -> bool:
        """Return True if the layer and all below it are built."""
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


def _collect(value: Any, depth: int, found: list[Any]) -> None:
    """Append the lists and dicts in which a layer may appear later."""
    if depth >= 4:
        return
    items: Iterable[Any]
    if isinstance(value, list | tuple):
        items = value
    elif isinstance(value, dict):
        items = value.values()
    else:
        return
    if not isinstance(value, tuple):
        found.append(value)
    if len(value) <= _LONG or any(hasattr(v, "_own_variables") for v in items):
        for item in items:
            _collect(item, depth + 1, found)


def _signature(container: Any) -> Any:
    if len(container) > _LONG and not any(
        hasattr(v, "_own_variables")
        for v in (container if isinstance(container, list) else container.values())
    ):
        return len(container)
    items = container if isinstance(container, list) else container.values()
    return tuple([id(v) for v in items])
