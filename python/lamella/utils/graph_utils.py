"""Questions about the graph of layers behind a placeholder."""

from __future__ import annotations

from typing import Any

__all__ = ["get_source_inputs"]


def get_source_inputs(tensor: Any) -> list[Any]:
    """Return the placeholders made by `Input` that a placeholder depends on.

    Args:
        tensor: what a layer returned when it was called on placeholders.

    Returns:
        The inputs, each once, in the order in which the graph reaches them; for
        something without a history, a list with the value itself.

    Example:
        >>> import lamella as keras
        >>> x = keras.Input((2,), name="x")
        >>> [t.name for t in keras.utils.get_source_inputs(keras.layers.Dense(1)(x))]
        ['x']
    """
    from lamella.layers.input import InputLayer
    from lamella.models.graph import is_placeholder, node_of

    if not is_placeholder(tensor) or tensor._keras_history is None:
        return [tensor]
    found: list[Any] = []
    stack, seen = [tensor], {id(tensor)}
    while stack:
        current = stack.pop()
        node = node_of(current)
        if isinstance(node.layer, InputLayer):
            found.append(current)
            continue
        for t in reversed(node.inputs):
            if id(t) not in seen:
                seen.add(id(t))
                stack.append(t)
    return found
