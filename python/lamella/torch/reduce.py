"""Sums, extremes, orders: functions along axes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lamella import _core

from . import _dtype as dt
from .pointwise import by_numpy, cast, floats, publish, store
from .tensor import Tensor, dtype_of, new_tensor, shape_of, wrap

__all__ = ["axes_of", "one_axis"]


def _results(name: str, *fields: str) -> Any:
    made = NamedTuple(name, [(f, Any) for f in fields])  # type: ignore[misc]
    made.__module__ = "lamella.torch.return_types"
    made.__repr__ = lambda self: (  # type: ignore[method-assign]
        f"torch.return_types.{name}(\n"
        + ",\n".join(f"{f}={getattr(self, f)!r}" for f in fields)
        + ")"
    )
    return made


MaxResult = _results("max", "values", "indices")
MinResult = _results("min", "values", "indices")
SortResult = _results("sort", "values", "indices")
TopkResult = _results("topk", "values", "indices")
MedianResult = _results("median", "values", "indices")
ModeResult = _results("mode", "values", "indices")
KthResult = _results("kthvalue", "values", "indices")
CummaxResult = _results("cummax", "values", "indices")
CumminResult = _results("cummin", "values", "indices")


def one_axis(dim: int, rank: int) -> int:
    """The axis counted from the front."""
    n = max(rank, 1)
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but "
            f"got {dim})"
        )
    return dim % n


def axes_of(dim: Any, rank: int) -> Any:
    """The axes as the core takes them: None for all."""
    if dim is None:
        return None
    if isinstance(dim, int):
        dim = (dim,)
    axes = [one_axis(int(d), rank) for d in dim]
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"dim {axes[0]} appears multiple times in the list of dims")
    return axes if rank and axes else None


@publish("sum")
def sum(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Any:
    """The sum; integers and bools add up in int64."""
    dim = axis if dim is None else dim
    d = dtype_of(input)
    wanted = dt.as_dtype(dtype) if dtype is not None else d if d.rank == 2 else dt.int64
    x = cast(input, wanted)
    if dim is None and not keepdim:
        return store(wrap(_core.sum_all(x)), out)
    return store(
        wrap(_core.sum(x, axes_of(dim, len(shape_of(x))), keepdim or keepdims)), out
    )


@publish("mean")
def mean(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Any:
    """The mean."""
    dim = axis if dim is None else dim
    x = input if dtype is None else cast(input, dt.as_dtype(dtype))
    if not dtype_of(x).is_floating_point:
        names = {"int64": "Long", "int32": "Int", "uint8": "Byte", "bool": "Bool"}
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a "
            "floating point or "
            f"complex dtype. Got: {names[dtype_of(x).name]}"
        )
    if dim is None and not keepdim:
        return store(wrap(_core.mean_all(x)), out)
    return store(
        wrap(_core.mean(x, axes_of(dim, len(shape_of(x))), keepdim or keepdims)), out
    )


@publish("prod")
def prod(
    input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The product; integers and bools multiply in int64."""
    d = dtype_of(input)
    wanted = dt.as_dtype(dtype) if dtype is not None else d if d.rank == 2 else dt.int64
    return wrap(
        _core.prod(cast(input, wanted), axes_of(dim, len(shape_of(input))), keepdim)
    )


@publish("nansum")
def nansum(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The sum of what is a number."""
    return sum(wrap(_core.where(_core.isnan(input), 0.0, input)), dim, keepdim)


@publish("nanmean")
def nanmean(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The mean of what is a number."""
    count = sum(wrap(_core.logical_not(_core.isnan(input))), dim, keepdim)
    return nansum(input, dim, keepdim) / count


@publish("var")
def var(
    input: Any,
    dim: Any = None,
    unbiased: Any = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
) -> Any:
    """The variance: squares divided by n - correction (1)."""
    dim = axis if dim is None else dim
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    by = correction if correction is not None else 1 if unbiased else 0
    axes = axes_of(dim, len(shape_of(input)))
    biased = wrap(_core.var(input, axes, keepdim))
    if by == 0:
        return biased
    shape = shape_of(input)
    n = math.prod(shape) if axes is None else math.prod(shape[a] for a in axes)
    return biased * (n / (n - by)) if n > by else biased * math.nan


@publish("std")
def std(
    input: Any,
    dim: Any = None,
    unbiased: Any = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
) -> Any:
    """The square root of the variance."""
    return wrap(
        _core.sqrt(var(input, dim, unbiased, keepdim, correction=correction, axis=axis))
    )


@publish("var_mean", method=False)
def var_mean(input: Any, dim: Any = None, **options: Any) -> tuple[Any, Any]:
    """Variance and mean."""
    return var(input, dim, **options), mean(input, dim, options.get("keepdim", False))


@publish("std_mean", method=False)
def std_mean(input: Any, dim: Any = None, **options: Any) -> tuple[Any, Any]:
    """Standard deviation and mean."""
    return std(input, dim, **options), mean(input, dim, options.get("keepdim", False))


def _arg(core: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    axes = axes_of(dim, len(shape_of(input)))
    x = cast(input, dt.int32) if dtype_of(input) is dt.bool_ else input
    return wrap(_core.cast(core(x, axes, keepdim), "int64"))


@publish("argmax")
def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Where the largest element is: int64."""
    return _arg(_core.argmax, input, dim, keepdim)


@publish("argmin")
def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Where the smallest element is: int64."""
    return _arg(_core.argmin, input, dim, keepdim)


def _extreme(core: Any, arg: Any, result: Any, elementwise: str) -> Any:
    def function(
        input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None
    ) -> Any:
        if isinstance(dim, Tensor):
            from .pointwise import FUNCTIONS

            return FUNCTIONS[elementwise](input, dim)
        if dim is None:
            if not input.numel():
                raise RuntimeError(
                    f"{result.__name__}(): Expected reduction dim to be specified for "
                    "input.numel() == 0. Specify the reduction dim with the 'dim' "
                    "argument."
                )
            d = dtype_of(input)
            x = cast(input, dt.int32) if d is dt.bool_ else input
            return wrap(cast(core(x), d))
        where = arg(input, dim, True)
        values = along(input, dim, where)
        if not keepdim:
            values, where = drop(values, dim), drop(where, dim)
        return result(values, where)

    return function


def drop(x: Any, dim: int) -> Any:
    """Without an axis of size 1."""
    shape = list(shape_of(x))
    if shape:
        del shape[one_axis(dim, len(shape))]
    return wrap(_core.reshape(x, shape))


def along(input: Any, dim: int, index: Any) -> Any:
    """torch.gather for an index with as many axes as the input."""
    from .index import gather

    return gather(input, dim, index) if shape_of(input) else input


publish("max")(_extreme(_core.max, argmax, MaxResult, "maximum"))
publish("min")(_extreme(_core.min, argmin, MinResult, "minimum"))


def _limit(core: Any) -> Any:
    def function(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return wrap(core(input, axes_of(dim, len(shape_of(input))), keepdim))

    return function


publish("amax")(_limit(_core.max))
publish("amin")(_limit(_core.min))


@publish("aminmax")
def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    """Smallest and largest element."""
    make = _results("aminmax", "min", "max")
    return make(
        _limit(_core.min)(input, dim, keepdim), _limit(_core.max)(input, dim, keepdim)
    )


def _truth(core: Any) -> Any:
    def function(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return wrap(
            core(cast(input, dt.bool_), axes_of(dim, len(shape_of(input))), keepdim)
        )

    return function


publish("all")(_truth(_core.all))
publish("any")(_truth(_core.any))


@publish("count_nonzero")
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero."""
    return sum(cast(input, dt.bool_), dim)


@publish("logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """log(sum(exp(input))), safely."""
    return wrap(
        _core.logsumexp(floats(input), axes_of(dim, len(shape_of(input))), keepdim)
    )


@publish("cumsum", in_place=True)
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Sums of all elements up to each."""
    d = dtype_of(input)
    wanted = dt.as_dtype(dtype) if dtype is not None else d if d.rank == 2 else dt.int64
    return wrap(_core.cumsum(cast(input, wanted), one_axis(dim, len(shape_of(input)))))


@publish("cumprod", in_place=True)
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Products of all elements up to each."""
    d = dtype_of(input)
    wanted = dt.as_dtype(dtype) if dtype is not None else d if d.rank == 2 else dt.int64
    return wrap(_core.cumprod(cast(input, wanted), one_axis(dim, len(shape_of(input)))))


@publish("diff")
def diff(input: Any, n: int = 1, dim: int = -1) -> Any:
    """Differences of neighbours."""
    axis = one_axis(dim, len(shape_of(input)))
    before = (slice(None),) * axis
    for _ in range(n):
        after, until = (*before, slice(1, None)), (*before, slice(None, -1))
        input = input[after] - input[until]
    return input


def _ordered(input: Any, dim: int, descending: bool, stable: bool = True) -> Any:
    """Indices that sort; NaN counts as the largest, equal elements keep their order."""
    a = _core.Tensor.numpy(input)
    if descending:
        a = np.flip(a, dim)
        order = a.shape[dim] - 1 - np.argsort(a, axis=dim, kind="stable")
        return np.flip(order, dim)
    return np.argsort(a, axis=dim, kind="stable")


def _indices(order: Any) -> Any:
    return new_tensor(np.ascontiguousarray(order).astype(np.int64))


@publish("sort")
def sort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool = False
) -> Any:
    """Values in order, and where they were."""
    if not shape_of(input):
        return SortResult(input.clone(), new_tensor(0))
    axis = one_axis(dim, len(shape_of(input)))
    order = _indices(_ordered(input, axis, descending))
    return SortResult(along(input, axis, order), order)


@publish("argsort")
def argsort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool = False
) -> Any:
    """The indices that sort."""
    return sort(input, dim, descending, stable).indices


@publish("msort")
def msort(input: Any) -> Any:
    """Sorted along the first axis."""
    return sort(input, 0).values


@publish("topk")
def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Any:
    """The k largest (or smallest) values, and where they were."""
    axis = one_axis(dim, len(shape_of(input)))
    if not 0 <= k <= (shape_of(input)[axis] if shape_of(input) else 1):
        raise RuntimeError("selected index k out of range")
    order = np.take(_ordered(input, axis, largest), range(k), axis=axis)
    where = _indices(order)
    return TopkResult(along(input, axis, where), where)


@publish("kthvalue")
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest value, and where it was."""
    axis = one_axis(dim, len(shape_of(input)))
    where = _indices(np.take(_ordered(input, axis, False), [k - 1], axis=axis))
    values = along(input, axis, where)
    if not keepdim:
        values, where = drop(values, axis), drop(where, axis)
    return KthResult(values, where)


@publish("median")
def median(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The middle value (the lower one of two); with dim also where it was."""
    if dim is None:
        flat = wrap(_core.reshape(input, (-1,)))
        return median(flat, 0).values
    n = shape_of(input)[dim] if shape_of(input) else 1
    return MedianResult(*kthvalue(input, (n + 1) // 2, dim, keepdim))


@publish("mode")
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent value (the smallest of several), and where it last was."""
    axis = one_axis(dim, len(shape_of(input)))

    def most(row: Any) -> Any:
        values, counts = np.unique(row, return_counts=True)
        return np.flatnonzero(row == values[counts.argmax()])[-1]

    where = np.apply_along_axis(most, axis, _core.Tensor.numpy(input))
    index = _indices(np.expand_dims(where, axis))
    values = along(input, axis, index)
    if not keepdim:
        values, index = drop(values, axis), drop(index, axis)
    return ModeResult(values, index)


def _running(name: str, better: Any, result: Any) -> None:
    def function(input: Any, dim: int) -> Any:
        axis = one_axis(dim, len(shape_of(input)))
        a = np.moveaxis(_core.Tensor.numpy(input), axis, 0)
        where = np.zeros(a.shape, np.int64)
        for i in range(1, len(a)):
            best = np.take_along_axis(a, where[i - 1 : i], 0)[0]
            where[i] = np.where(better(a[i], best), i, where[i - 1])
        index = _indices(np.moveaxis(where, 0, axis))
        return result(along(input, axis, index), index)

    publish(name)(function)


_running("cummax", np.greater_equal, CummaxResult)
_running("cummin", np.less_equal, CumminResult)


@publish("quantile")
def quantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    interpolation: str = "linear",
) -> Any:
    """The values below which a share q of the elements lies."""
    how: Any = interpolation
    share: Any = np.asarray(q.tolist() if isinstance(q, Tensor) else q, np.float64)
    name = dtype_of(input).name
    return by_numpy(
        lambda a: np.quantile(a, share, axis=dim, keepdims=keepdim, method=how).astype(
            name
        ),
        input,
    )


@publish("unique")
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
) -> Any:
    """The different elements in order; also where each came from, how often."""
    found = np.unique(
        _core.Tensor.numpy(input), return_inverse=True, return_counts=True, axis=dim
    )
    values, inverse, counts = found
    parts = [new_tensor(np.ascontiguousarray(values))]
    if return_inverse:
        shape = shape_of(input) if dim is None else (-1,)
        parts.append(_indices(inverse.reshape(shape)))
    if return_counts:
        parts.append(_indices(counts))
    return parts[0] if len(parts) == 1 else tuple(parts)


@publish("unique_consecutive")
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    """Runs of equal elements, each once."""
    a = _core.Tensor.numpy(input).reshape(-1)
    starts = (
        np.flatnonzero(np.concatenate(([True], a[1:] != a[:-1])))
        if a.size
        else np.arange(0)
    )
    parts = [new_tensor(a[starts])]
    lengths = np.diff(np.append(starts, a.size))
    if return_inverse:
        parts.append(
            _indices(
                np.repeat(np.arange(len(starts)), lengths).reshape(shape_of(input))
            )
        )
    if return_counts:
        parts.append(_indices(lengths))
    return parts[0] if len(parts) == 1 else tuple(parts)


@publish("bincount")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each integer occurs, or the sum of its weights."""
    w = None if weights is None else _core.Tensor.numpy(weights.detach())
    counts = np.bincount(_core.Tensor.numpy(input), w, minlength)
    return new_tensor(counts if w is None else counts.astype(w.dtype))


@publish("histc")
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall into each of the bins between min and max."""
    a = _core.Tensor.numpy(input)
    if min == max:
        min, max = float(a.min()), float(a.max())
    counts, _ = np.histogram(a, bins, (min, max))
    return new_tensor(counts.astype(a.dtype))


@publish("norm")
def norm(
    input: Any,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Any:
    """The p-norm of the elements (2 by default)."""
    x = input if dtype is None else cast(input, dt.as_dtype(dtype))
    axes = axes_of(dim, len(shape_of(x)))
    if p in ("fro", 2, None):
        return wrap(_core.sqrt(_core.sum(_core.square(x), axes, keepdim)))
    a = _core.abs(x)
    if p == math.inf:
        return wrap(_core.max(a, axes, keepdim))
    if p == -math.inf:
        return wrap(_core.min(a, axes, keepdim))
    if p == 1:
        return wrap(_core.sum(a, axes, keepdim))
    if p == 0:
        return wrap(
            _core.sum(_core.cast(cast(a, dt.bool_), dtype_of(x).name), axes, keepdim)
        )
    return wrap(_core.pow(_core.sum(_core.pow(a, float(p)), axes, keepdim), 1 / p))


@publish("dist")
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of the difference."""
    return norm(input - other, p)
