"""Quantiles and medians, histograms, and what else counts or orders values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    dims_product,
    is_concrete,
    to_float,
    to_tensor,
)
from lamella.ops.reduction import argsort, bincount, sort
from lamella.ops.shaping import axis_of, moveaxis, take_along_axis

__all__ = [
    "argpartition",
    "correlate",
    "histogram",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "nonzero",
    "percentile",
    "quantile",
    "unique",
]

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _last(name: str, x: Tensor, axis: Any) -> tuple[Tensor, list[int]]:
    """x with the axes that are reduced as one axis at the end, and their places."""
    if axis is None:
        axes = list(range(x.ndim))
    else:
        axes = [axis] if isinstance(axis, int) else list(axis)
        axes = sorted(axis_of(name, a, x.ndim) for a in axes)
    rest = [i for i in range(x.ndim) if i not in axes]
    if rest + axes != list(range(x.ndim)):
        x = _core.transpose(x, (*rest, *axes))
    if len(axes) != 1:
        lead = x.dims[: len(rest)]
        x = _core.reshape(x, (*lead, dims_product(x.dims[len(rest) :])))
    return x, axes


def _pick(ordered: Tensor, position: Tensor, method: str) -> Tensor:
    """The values of sorted rows at positions between their elements."""
    low = _core.floor(position)
    high = _core.ceil(position)
    if method == "lower":
        high = low
    elif method == "higher":
        low = high
    elif method == "nearest":
        low = high = _core.round(position)
    first = take_along_axis(ordered, cast(low, "int32"), -1)
    if low is high:
        return first
    second = take_along_axis(ordered, cast(high, "int32"), -1)
    weight = 0.5 if method == "midpoint" else position - low
    return first + (second - first) * weight


def _quantile(
    name: str,
    x: Any,
    q: Any,
    axis: Any,
    method: str,
    keepdims: bool,
    skip_nan: bool,
    scale: float = 1.0,
) -> Tensor:
    if method not in _METHODS:
        raise ValueError(f"{name}: method must be one of {_METHODS}, got {method!r}")
    x = to_float(x)
    if not is_concrete(q):
        raise ValueError(f"{name}: q must be numbers, not a traced tensor")
    q = np.asarray(q, "float64") * scale
    if q.ndim > 1 or (q.size and not (q.min() >= 0 and q.max() <= 1)):
        raise ValueError(
            f"{name}: q must be a number or a vector within [0, {1 / scale:g}], got "
            f"q={q / scale}"
        )
    rows, axes = _last(name, x, axis)
    n = rows.shape[-1]
    if n is None or n == 0:
        raise ValueError(
            f"{name}: the reduced axes must have a known size of at least 1, got "
            f"x.shape={x.shape}, axis={axis}"
        )
    wanted = convert_to_tensor(np.atleast_1d(q).astype(x.dtype))
    missing = cast(_core.isnan(rows), x.dtype)
    missing = _core.sum(missing, -1, True)  # NaN is sorted to the end
    count = n - missing if skip_nan else _core.mul(missing, 0.0) + float(n)
    position = _core.maximum(wanted * (count - 1.0), 0.0)
    out = _pick(sort(rows, -1), position, method)
    unknown = _core.equal(count, 0) if skip_nan else _core.greater(missing, 0)
    out = moveaxis(_core.where(unknown, math.nan, out), -1, 0)
    if keepdims:
        for a in axes:
            out = _core.expand_dims(out, a + 1)
    return out if q.ndim else _core.squeeze(out, 0)


def quantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """Values below which the given shares of x lie; NaN where x has a NaN.

    Args:
        x: tensor; integers compute in floats.
        q: a number or a vector of numbers between 0 and 1.
        axis: axes to reduce, None for all; their sizes must be known.
        method: what to take between two elements: "linear", "lower", "higher",
            "midpoint", "nearest".
        keepdims: keep the reduced axes with size 1.

    Returns:
        As x without the axes; a vector q adds a first axis.

    Raises:
        ValueError: q outside of [0, 1], an unknown method, nothing to reduce.
    """
    return _quantile("quantile", x, q, axis, method, keepdims, False)


def nanquantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`quantile` that leaves NaN out; NaN where there is nothing else."""
    return _quantile("nanquantile", x, q, axis, method, keepdims, True)


def percentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`quantile` with q in percent."""
    return _quantile("percentile", x, q, axis, method, keepdims, False, 0.01)


def nanpercentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`nanquantile` with q in percent."""
    return _quantile("nanpercentile", x, q, axis, method, keepdims, True, 0.01)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Middle value, or mean of the two middle ones; NaN where x has a NaN."""
    return _quantile("median", x, 0.5, axis, "linear", keepdims, False)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """`median` that leaves NaN out."""
    return _quantile("nanmedian", x, 0.5, axis, "linear", keepdims, True)


def histogram(
    x: Any, bins: int = 10, range: tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """Counts of the elements of a vector in bins of equal width.

    Args:
        x: vector; in a traced model `range` must be given.
        bins: number of bins.
        range: (lowest, highest) edge, default the smallest and largest element; what
            lies outside is not counted.

    Returns:
        (counts, edges): `bins` and `bins + 1` values, in the dtype of x (integers:
        `floatx()`).

    Raises:
        TypeError: bins is not an int.
        ValueError: x is not a vector, bins or range make no sense.
    """
    if not isinstance(bins, int):
        raise TypeError(f"histogram: bins must be an int, got bins={bins!r}")
    if range is not None and (
        not isinstance(range, list | tuple) or len(range) != 2 or range[1] < range[0]
    ):
        raise ValueError(
            f"histogram: range must be (lowest, highest), got range={range!r}"
        )
    x = to_float(x)
    if x.ndim != 1 or bins < 1:
        raise ValueError(
            "histogram: expected a vector and at least one bin, got "
            f"x.shape={x.shape}, bins={bins}"
        )
    if range is None:
        if not is_concrete(x):
            raise ValueError("histogram: range must be given inside a traced model")
        values = x.numpy()
        range = (values.min(), values.max()) if values.size else (0.0, 1.0)
    low, high = float(range[0]), float(range[1])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = convert_to_tensor(np.linspace(low, high, bins + 1).astype(x.dtype))
    inside = _core.logical_and(
        _core.greater_equal(x, edges[0]), _core.less_equal(x, edges[bins])
    )
    above = _core.greater_equal(_core.expand_dims(x, -1), edges[1:bins])
    place = _core.sum(cast(above, "int32"), -1, False)
    counts = bincount(_core.where(inside, place, bins), minlength=bins + 1)[:bins]
    return cast(counts, x.dtype), edges


def argpartition(x: Any, kth: int, axis: int | None = -1) -> Tensor:
    """Indices that put the kth element in its sorted place, smaller ones before it."""
    return argsort(x, axis)


def correlate(x1: Any, x2: Any, mode: str = "valid") -> Tensor:
    """Cross-correlation of two vectors: sum over n of x1[n + k] x2[n].

    Args:
        x1: vector.
        x2: vector.
        mode: "valid" (complete overlap), "same" (as long as the longer one) or "full".

    Raises:
        ValueError: another mode, or not two vectors of known size.
    """
    a, b = to_tensor(x1), to_tensor(x2)
    if mode not in ("valid", "same", "full"):
        raise ValueError(
            f"correlate: mode must be 'valid', 'same' or 'full', got mode={mode!r}"
        )
    if a.ndim != 1 or b.ndim != 1 or not a.shape[0] or not b.shape[0]:
        raise ValueError(
            "correlate: expected two vectors of known size, got "
            f"x1.shape={a.shape}, x2.shape={b.shape}"
        )
    kinds = {a.dtype, b.dtype}
    kind = "float64" if kinds & {"float64", "int64"} else "float32"
    a, b = cast(a, kind), cast(b, kind)
    n, m = a.shape[0], b.shape[0]
    padded = _core.pad(a, [(m - 1, m - 1)], 0)
    index = np.arange(n + m - 1)[:, None] + np.arange(m)
    windows = _core.gather(padded, convert_to_tensor(index.astype(np.int32)), 0)
    full = _core.matmul(windows, b)
    size = {"full": n + m - 1, "same": max(n, m), "valid": abs(n - m) + 1}[mode]
    start = (n + m - 1 - size) // 2
    return full[start : start + size]


# What has a shape that depends on the values.


def _values(name: str, x: Any) -> np.ndarray:
    x = to_tensor(x)
    if not is_concrete(x):
        raise ValueError(
            f"{name}: the shape of the result depends on the values, so it cannot be "
            "used inside a traced model; use ops.where with three arguments or a mask"
        )
    return x.numpy()


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """Positions of what is not zero: int32 indices for each axis (concrete x only)."""
    found = np.nonzero(np.atleast_1d(_values("nonzero", x)))
    return tuple(convert_to_tensor(i.astype(np.int32)) for i in found)


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements, or slices along an axis (concrete x only).

    Args:
        x: tensor.
        sorted: the result is sorted in either case.
        return_index: also give the place of the first occurrence of each.
        return_inverse: also give the place of each element of x in the result.
        return_counts: also give the number of occurrences.
        axis: None for the elements of the flattened x.
        size: wanted number of results: the rest is cut off, or filled.
        fill_value: what to fill with, default 0.

    Returns:
        A tensor, or a tuple of it and int32 tensors in the order of the arguments.
    """
    a = _values("unique", x)
    kept = np.unique(
        a, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    values, first, inverse, counts = kept
    place = 0 if axis is None else axis_of("unique", axis, a.ndim)
    if size is not None:
        lack = max(size - values.shape[place], 0)
        width = [(0, 0)] * values.ndim
        width[place] = (0, lack)
        fill = 0 if fill_value is None else fill_value
        values = np.pad(
            np.take(values, range(min(size, values.shape[place])), place),
            width,
            constant_values=fill,
        )
        first = np.pad(first[:size], (0, lack), constant_values=first[0])
        counts = np.pad(counts[:size], (0, lack))
    inverse = inverse.reshape(a.shape if axis is None else -1)
    chosen = [
        (True, values),
        (return_index, first.astype(np.int32)),
        (return_inverse, inverse.astype(np.int32)),
        (return_counts, counts.astype(np.int32)),
    ]
    out = tuple(convert_to_tensor(v) for wanted, v in chosen if wanted)
    return out[0] if len(out) == 1 else out
