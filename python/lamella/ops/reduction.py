"""Sums, means, extremes and other functions that remove or run along axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops import elementwise
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    is_concrete,
    is_float,
    to_float,
    to_tensor,
)

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "average",
    "bincount",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "digitize",
    "in_top_k",
    "logsumexp",
    "max",
    "mean",
    "min",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "prod",
    "ptp",
    "searchsorted",
    "sort",
    "std",
    "sum",
    "top_k",
    "var",
]


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _summable(x: Any) -> Tensor:
    x = to_tensor(x)
    return cast(x, "int32") if x.dtype in ("bool", "uint8") else x


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Sum over axes (all by default)."""
    return _core.sum(_summable(x), _axes(axis), keepdims)


def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Product over axes."""
    x = _summable(x) if dtype is None else cast(x, dtype)
    return _core.prod(x, _axes(axis), keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over axes; integers give floats."""
    return _core.mean(to_float(x), _axes(axis), keepdims)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Variance (divided by n) over axes."""
    x = to_float(x)
    if axis == () or axis == []:
        return x - x
    return _core.var(x, _axes(axis), keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Standard deviation (divided by n) over axes."""
    return _core.sqrt(var(x, axis, keepdims))


def max(
    x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None
) -> Tensor:
    """Largest element over axes, and at least `initial`."""
    x = to_tensor(x)
    dtype = x.dtype
    out = (_core.any if dtype == "bool" else _core.max)(x, _axes(axis), keepdims)
    if dtype == "uint8":
        out = cast(out, dtype)
    return out if initial is None else elementwise.maximum(out, initial)


def min(
    x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None
) -> Tensor:
    """Smallest element over axes, and at most `initial`."""
    x = to_tensor(x)
    dtype = x.dtype
    out = (_core.all if dtype == "bool" else _core.min)(x, _axes(axis), keepdims)
    if dtype == "uint8":
        out = cast(out, dtype)
    return out if initial is None else elementwise.minimum(out, initial)


def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest element over axes."""
    return max(x, axis, keepdims)


def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Smallest element over axes."""
    return min(x, axis, keepdims)


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest minus smallest element."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


def _truth(x: Any) -> Tensor:
    x = to_tensor(x)
    return x if x.dtype == "bool" else _core.not_equal(x, 0)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether some element is true."""
    return _core.any(_truth(x), _axes(axis), keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether all elements are true."""
    return _core.all(_truth(x), _axes(axis), keepdims)


def count_nonzero(x: Any, axis: Any = None) -> Tensor:
    """Number of elements that are not zero (int32)."""
    return _core.sum(cast(_truth(x), "int32"), _axes(axis), False)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes, computed stably."""
    return _core.logsumexp(to_float(x), _axes(axis), keepdims)


def _keep(x: Tensor, out: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    if not keepdims:
        return out
    if axis is None:
        return _core.reshape(out, (1,) * x.ndim)
    return _core.expand_dims(out, axis)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the largest element (int32), the first of equals."""
    x = to_tensor(x)
    x = cast(x, "int32") if x.dtype == "bool" else x
    return _keep(x, _core.argmax(x, axis), axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the smallest element (int32), the first of equals."""
    x = to_tensor(x)
    x = cast(x, "int32") if x.dtype == "bool" else x
    return _keep(x, _core.argmin(x, axis), axis, keepdims)


def _running(core: Any, x: Any, axis: int | None, dtype: Any) -> Tensor:
    x = to_tensor(x) if dtype is None else cast(x, dtype)
    if axis is None:
        x, axis = _core.reshape(x, (-1,)), 0
    if x.dtype == "uint8":
        return cast(core(cast(x, "int32"), axis), "uint8")
    return core(_summable(x), axis)


def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running sum along an axis (of the flattened x when axis is None)."""
    return _running(_core.cumsum, x, axis, dtype)


def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running product along an axis (of the flattened x when axis is None)."""
    return _running(_core.cumprod, x, axis, dtype)


def average(x: Any, axis: Any = None, weights: Any = None) -> Tensor:
    """Weighted mean over axes."""
    x = to_float(x)
    if weights is None:
        return mean(x, axis)
    w = cast(weights, x.dtype)
    if w.ndim != x.ndim:
        if axis is None or isinstance(axis, list | tuple) or w.ndim != 1:
            raise ValueError(
                "average: weights must have the shape of x, or be a vector along one "
                f"axis, got x.shape={x.shape}, weights.shape={w.shape}, axis={axis}"
            )
        place = [1] * x.ndim
        place[axis] = -1
        w = _core.reshape(w, place)
    total = _core.sum(_core.broadcast_to(w, x.dims), _axes(axis), False)
    return _core.sum(x * w, _axes(axis), False) / total


def _without_nan(x: Any, fill: float) -> tuple[Tensor, Tensor | None]:
    """x with another number for NaN, and where that was; None if x cannot have any."""
    x = to_tensor(x)
    if not is_float(x):
        return x, None
    missing = _core.isnan(x)
    return _core.where(missing, fill, x), missing


def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Sum that leaves NaN out."""
    return sum(_without_nan(x, 0.0)[0], axis, keepdims)


def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Product that leaves NaN out."""
    return prod(_without_nan(x, 1.0)[0], axis, keepdims)


def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running sum that counts NaN as 0."""
    return cumsum(_without_nan(x, 0.0)[0], axis, dtype)


def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running product that counts NaN as 1."""
    return cumprod(_without_nan(x, 1.0)[0], axis, dtype)


def _nanmean(x: Tensor, missing: Tensor | None, axis: Any, keepdims: bool) -> Tensor:
    if missing is None:
        return mean(x, axis, keepdims)
    count = sum(cast(_core.logical_not(missing), x.dtype), axis, keepdims)
    return sum(_core.where(missing, 0.0, x), axis, keepdims) / count


def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Mean that leaves NaN out."""
    value, missing = _without_nan(x, 0.0)
    return _nanmean(value, missing, axis, keepdims)


def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Variance that leaves NaN out."""
    value, missing = _without_nan(x, 0.0)
    value = to_float(value)
    gap = value - _nanmean(value, missing, axis, True)
    return _nanmean(_core.square(gap), missing, axis, keepdims)


def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Standard deviation that leaves NaN out."""
    return _core.sqrt(nanvar(x, axis, keepdims))


def _nan_extreme(x: Any, axis: Any, keepdims: bool, sign: int) -> Tensor:
    value, missing = _without_nan(x, -sign * math.inf)
    out = (max if sign > 0 else min)(value, axis, keepdims)
    if missing is None:
        return out
    return _core.where(all(missing, axis, keepdims), math.nan, out)


def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest element that is not NaN."""
    return _nan_extreme(x, axis, keepdims, 1)


def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Smallest element that is not NaN."""
    return _nan_extreme(x, axis, keepdims, -1)


def _nan_place(x: Any, axis: int | None, keepdims: bool, sign: int) -> Tensor:
    value, missing = _without_nan(x, -sign * math.inf)
    found = (argmax if sign > 0 else argmin)(value, axis, keepdims)
    if missing is None:
        return found
    return _core.where(all(missing, axis, keepdims), -1, found)


def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the largest element that is not NaN; -1 where all are NaN."""
    return _nan_place(x, axis, keepdims, 1)


def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the smallest element that is not NaN; -1 where all are NaN."""
    return _nan_place(x, axis, keepdims, -1)


# -- order


def argsort(x: Any, axis: int | None = -1) -> Tensor:
    """Indices that sort x in ascending order (stable, int32); NaN comes last."""
    x = to_tensor(x)
    if x.ndim == 0:
        return _core.full((), 0, "int32")
    if axis is None:
        x, axis = _core.reshape(x, (-1,)), 0
    return _core.argsort(x, axis)


def sort(x: Any, axis: int | None = -1) -> Tensor:
    """x in ascending order along an axis."""
    from lamella.ops.shaping import take_along_axis

    x = to_tensor(x)
    if x.ndim == 0:
        return x
    if axis is None:
        x, axis = _core.reshape(x, (-1,)), 0
    return take_along_axis(x, _core.argsort(x, axis), axis)


def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest elements along the last axis, in descending order.

    Returns:
        (values, indices); equal values come in the order of their indices.
    """
    from lamella.ops.shaping import take_along_axis

    x = to_tensor(x)
    n = x.shape[-1] if x.ndim else None
    if n is None or not 0 <= k <= n:
        raise ValueError(
            "top_k: k must be between 0 and the known size of the last axis, got "
            f"k={k}, x.shape={x.shape}"
        )
    index = _core.argsort(x, -1, True)[..., :k]
    return take_along_axis(x, index, -1), index


def in_top_k(targets: Any, predictions: Any, k: int) -> Tensor:
    """Whether predictions[i, targets[i]] is among the k largest of row i.

    Equal values count as being in; NaN and targets outside the row do not.

    Args:
        targets: class indices, shape (n,).
        predictions: scores, shape (n, classes).
        k: number of classes that count.
    """
    predictions = to_float(predictions)
    targets = cast(targets, "int32")
    classes = predictions.shape[-1]
    chosen = _core.equal(
        _core.expand_dims(targets, -1),
        convert_to_tensor(np.arange(classes, dtype="int32")),
    )
    score = _core.max(_core.where(chosen, predictions, -math.inf), -1, True)
    known = _core.any(chosen, -1, False)
    known = _core.logical_and(known, _core.logical_not(_core.isnan(score[..., 0])))
    above = cast(_core.greater(predictions, score), "int32")
    return _core.logical_and(_core.less(_core.sum(above, -1, False), k), known)


def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Tensor:
    """Positions at which values would have to be put to keep a vector sorted."""
    if side not in ("left", "right"):
        raise ValueError(
            f"searchsorted: side must be 'left' or 'right', got side={side!r}"
        )
    edges, values = to_tensor(sorted_sequence), to_tensor(values)
    if edges.ndim != 1:
        raise ValueError(
            "searchsorted: sorted_sequence must be a vector, got "
            f"sorted_sequence.shape={edges.shape}"
        )
    compare = _core.less if side == "left" else _core.less_equal
    before = compare(edges, _core.expand_dims(values, -1))
    return _core.sum(cast(before, "int32"), -1, False)


def digitize(x: Any, bins: Any) -> Tensor:
    """Index of the bin of each element: bins[i - 1] <= x < bins[i]."""
    return searchsorted(bins, x, side="right")


def bincount(
    x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False
) -> Tensor:
    """Number (or sum of weights) of the occurrences of 0, 1, 2, ... in a vector.

    Raises:
        ValueError: sparse is true, or x is traced and minlength is 0 (the length of
            the result would depend on the data).
    """
    if sparse:
        raise ValueError("bincount: lamella has dense tensors only, got sparse=True")
    x = cast(x, "int32")
    if is_concrete(x):
        largest = int(x.numpy().max()) + 1 if x.size else 0
        length = largest if largest > minlength else minlength
    elif minlength > 0:
        length = minlength
    else:
        raise ValueError("bincount: minlength must be given inside a traced model")
    classes = convert_to_tensor(np.arange(length, dtype="int32"))
    hits = _core.equal(_core.expand_dims(x, -1), classes)
    if weights is None:
        return _core.sum(cast(hits, "int32"), -2, False)
    w = to_float(weights)
    return _core.sum(cast(hits, w.dtype) * _core.expand_dims(w, -1), -2, False)
