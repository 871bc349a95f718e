"""Shapes, and structures of shapes, as layers are told them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "as_shape",
    "is_shape",
    "map_shapes",
    "shape_without_batch",
    "shapes_of",
    "take_input_shape",
    "weight_shape",
]


def weight_shape(shape: Any, who: str, name: str | None) -> tuple[int, ...]:
    """Return the shape of a weight as ints, or say what is wrong with it."""
    if isinstance(shape, int | np.integer):
        shape = (shape,)
    result = tuple(shape)
    for size in result:
        if size is None:
            raise ValueError(
                f"{who}: the weight {name!r} would have shape {result}: the input "
                "needs a known size there. Give the model an input shape without "
                "None in that place."
            )
        if not isinstance(size, int | np.integer) or size < 0:
            raise ValueError(f"{who}: the weight {name!r} has a bad shape {result}")
    return tuple(int(s) for s in result)


def shape_without_batch(x: Any) -> Any:
    """Return the shape of a value with None for the batch axis."""
    shape = tuple(getattr(x, "shape", ()))
    return (None, *shape[1:]) if shape else ()


def shapes_of(x: Any) -> Any:
    """Return the shapes of a structure of values."""
    if isinstance(x, dict):
        return {k: shapes_of(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [shapes_of(v) for v in x]
    return tuple(x.shape) if hasattr(x, "shape") else None


def is_shape(value: Any) -> bool:
    """Return True for a list or tuple of sizes."""
    return isinstance(value, list | tuple) and all(
        s is None or isinstance(s, int | np.integer) for s in value
    )


def map_shapes(function: Any, shapes: Any) -> Any:
    """Map over the shapes of a structure."""
    if is_shape(shapes):
        return function(shapes)
    if isinstance(shapes, dict):
        return {k: map_shapes(function, v) for k, v in shapes.items()}
    return [map_shapes(function, v) for v in shapes]


def as_shape(shape: Any) -> Any:
    """Return tuples for the lists that JSON makes of shapes."""
    return map_shapes(lambda s: tuple(None if d is None else int(d) for d in s), shape)


def take_input_shape(kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
    """Take input_shape, input_dim, ... out of `kwargs`; return the batch shape."""
    batch_size = kwargs.pop("batch_size", None)
    length = kwargs.pop("input_length", None)
    batch_shape = kwargs.pop("batch_input_shape", None)
    shape = kwargs.pop("input_shape", None)
    features = kwargs.pop("input_dim", None)
    if batch_shape is not None:
        return tuple(batch_shape)
    if shape is None and features is not None:
        shape = (int(features),) if length is None else (length, int(features))
    elif shape is None and length is not None:
        shape = (length,)
    if shape is None:
        return None
    if isinstance(shape, int | np.integer):
        shape = (int(shape),)
    return (batch_size, *shape)
