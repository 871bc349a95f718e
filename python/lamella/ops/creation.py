"""Tensors made from a shape or from numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Dim, Tensor
from lamella.ops._sizes import count_to, noted_sizes
from lamella.ops.conversion import (
    convert_to_tensor,
    standardize_dtype,
    to_tensor,
)

__all__ = [
    "arange",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "linspace",
    "logspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tri",
    "zeros",
    "zeros_like",
]


def _shape(shape: Any) -> tuple[Any, ...]:
    if isinstance(shape, Sequence):
        return tuple(shape)
    if isinstance(shape, Tensor | np.ndarray):
        return tuple(int(n) for n in np.asarray(shape))
    return (shape,)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """A tensor filled with one value (or with an array that broadcasts to shape)."""
    if isinstance(fill_value, bool | int | float):
        return _core.full(_shape(shape), fill_value, standardize_dtype(dtype))
    value = convert_to_tensor(fill_value, standardize_dtype(dtype))
    return _core.broadcast_to(value, _shape(shape))


def zeros(shape: Any, dtype: Any = None) -> Tensor:
    """Zeros of a shape."""
    return _core.full(_shape(shape), 0, standardize_dtype(dtype))


def ones(shape: Any, dtype: Any = None) -> Tensor:
    """Ones of a shape."""
    return _core.full(_shape(shape), 1, standardize_dtype(dtype))


def empty(shape: Any, dtype: Any = None) -> Tensor:
    """Zeros: nothing in lamella is left uninitialised."""
    return zeros(shape, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """A tensor of the shape (and dtype) of x, filled with one value."""
    x = to_tensor(x)
    return full(x.dims, fill_value, x.dtype if dtype is None else dtype)


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros of the shape (and dtype) of x."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Ones of the shape (and dtype) of x."""
    return full_like(x, 1, dtype)


def empty_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros of the shape (and dtype) of x."""
    return full_like(x, 0, dtype)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Tensor:
    """Values from start (0 when only one number is given) to stop, without stop.

    Args:
        start: first value, or the end when `stop` is None.
        stop: end (exclusive).
        step: distance, default 1.
        dtype: default int32 for integers, `floatx()` for floats.
    """
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    if dtype is None:
        floats = any(isinstance(v, float | np.floating) for v in (start, stop, step))
        dtype = None if floats else "int32"
    sizes = noted_sizes([start, stop])
    if sizes is not None:
        return _core.add(
            _core.mul(count_to(sizes, step, standardize_dtype(dtype)), step), start
        )
    return _core.arange(start, stop, step, standardize_dtype(dtype))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced values (numpy's rules)."""
    values, step = np.linspace(
        np.asarray(start, "float64"),
        np.asarray(stop, "float64"),
        num,
        endpoint,
        retstep=True,
        axis=axis,
    )
    out = convert_to_tensor(values.astype(standardize_dtype(dtype)))
    return (out, convert_to_tensor(np.asarray(step), dtype)) if retstep else out


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    """`num` values base**start ... base**stop, evenly spaced in the exponent."""
    values = np.logspace(start, stop, num, endpoint, base, axis=axis)
    return convert_to_tensor(values.astype(standardize_dtype(dtype)))


def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    """`num` values from start to stop with a constant ratio."""
    values = np.geomspace(start, stop, num, endpoint, axis=axis)
    return convert_to_tensor(values.astype(standardize_dtype(dtype)))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """N x M matrix with ones on the k-th diagonal."""
    if isinstance(N, Dim) or isinstance(M, Dim):
        rows, columns = arange(N), arange(N if M is None else M)
        here = _core.sub(_core.expand_dims(columns, 0), _core.expand_dims(rows, 1))
        return _core.cast(_core.equal(here, k), standardize_dtype(dtype))
    return convert_to_tensor(np.eye(N, M, k, dtype=standardize_dtype(dtype)))


def identity(n: int, dtype: Any = None) -> Tensor:
    """Identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """N x M matrix with ones at and below the k-th diagonal."""
    return convert_to_tensor(np.tri(N, M, k, dtype=standardize_dtype(dtype)))


def meshgrid(*x: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate matrices from vectors (numpy's rules).

    Raises:
        ValueError: indexing is neither "xy" nor "ij".
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(
            f"meshgrid: indexing must be 'xy' or 'ij', got indexing={indexing!r}"
        )
    vectors = [_core.reshape(to_tensor(v), (-1,)) for v in x]
    n = len(vectors)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    sizes = [vectors[i].dims[0] for i in order]
    grids = []
    for i, v in enumerate(vectors):
        place = [1] * n
        place[order.index(i)] = v.dims[0]
        grids.append(_core.broadcast_to(_core.reshape(v, place), tuple(sizes)))
    return grids
