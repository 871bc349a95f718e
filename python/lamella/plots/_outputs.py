"""Outputs of inner layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella.plots._canvas import to_numpy

__all__ = ["outputs_of", "pick"]


def pick(model: Any, layer: int | str | None, who: str) -> Any:
    """A layer by index, name, or itself; the first with weights for None."""
    if layer is None:
        found = [a for a in model.layers if a.weights]
        if not found:
            raise ValueError(f"{who}: model {model.name!r} has no layer with weights")
        return found[0]
    if isinstance(layer, int):
        return model.layers[layer]
    return model.get_layer(layer) if isinstance(layer, str) else layer


def outputs_of(model: Any, layers: list[Any], x: np.ndarray) -> list[np.ndarray]:
    """What the layers give for inputs x of the model."""
    from lamella import Model

    if not model.built:
        model(x[:1])
    inner = Model(inputs=model.inputs, outputs=[layer.output for layer in layers])
    result = inner.predict(x, verbose=0)
    return [to_numpy(r) for r in (result if isinstance(result, list) else [result])]
