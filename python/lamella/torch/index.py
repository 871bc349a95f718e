"""Reading and assigning parts of tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core

from . import _dtype as dt
from .pointwise import METHODS, cast, pair, publish
from .reduce import one_axis
from .tensor import (
    BACKWARD,
    FORWARD,
    Tensor,
    as_view,
    dtype_of,
    new_tensor,
    shape_of,
    wrap,
)

__all__ = ["assign"]

_basic = _core.Tensor.__getitem__
FORWARD["index"] = _basic


def _plain(key: Any) -> Any:
    """The key as numpy takes it; tensors become arrays, negative steps are refused."""
    if isinstance(key, tuple):
        return tuple(_plain(k) for k in key)
    if isinstance(key, Tensor):
        d = dtype_of(key)
        if d.is_floating_point:
            raise IndexError(
                "tensors used as indices must be long, int, byte or bool tensors"
            )
        array = _core.Tensor.numpy(key)
        if d is dt.uint8:
            return array.astype(bool)
        return int(array) if not array.ndim and d is not dt.bool_ else array
    if isinstance(key, list):
        return np.asarray([_plain(k) for k in key] if key else np.zeros(0, np.int64))
    if isinstance(key, slice):
        parts = (key.start, key.stop, key.step)
        if any(isinstance(p, Tensor) for p in parts):
            key = slice(*(int(p) if isinstance(p, Tensor) else p for p in parts))
        if key.step is not None and key.step <= 0:
            raise ValueError("step must be greater than zero")
    return key


def _is_basic(key: Any) -> bool:
    if isinstance(key, tuple):
        return all(_is_basic(k) for k in key)
    return (
        key is None
        or key is Ellipsis
        or isinstance(key, slice)
        or (isinstance(key, int | np.integer) and not isinstance(key, bool))
    )


def _take(x: Any, axis_count: int, flat: Any) -> Any:
    """Elements of the first axes, counted as one."""
    shape = shape_of(x)
    rows = _core.reshape(x, (math.prod(shape[:axis_count]), *shape[axis_count:]))
    return wrap(_core.gather(rows, _core.from_numpy(flat, True), 0))


def _getitem(self: Any, key: Any) -> Any:
    key = _plain(key)
    if _is_basic(key):
        _check_ints(self, key)
        return as_view(wrap(_basic(self, key)), self, "index", key)
    shape = shape_of(self)
    parts = key if isinstance(key, tuple) else (key,)
    arrays = [k for k in parts if isinstance(k, np.ndarray)]
    if len(arrays) == len(parts):
        first = arrays[0]
        if len(arrays) == 1 and first.dtype == bool:
            if first.shape != shape[: first.ndim]:
                raise IndexError(
                    f"The shape of the mask {list(first.shape)} at index 0 does not "
                    "match the "
                    f"shape of the indexed tensor {list(shape)} at index 0"
                )
            return _take(self, first.ndim, np.flatnonzero(first).astype(np.int64))
        if all(a.dtype != bool for a in arrays) and len(arrays) <= len(shape):
            flat = _flat(arrays, shape)
            return _take(self, len(arrays), flat)
    where = _places(shape, key)
    return wrap(
        _core.gather(_core.reshape(self, (-1,)), _core.from_numpy(where, True), 0)
    )


def _check_ints(x: Any, key: Any) -> None:
    if isinstance(key, int) and not shape_of(x):
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert "
            "a 0-dim "
            "tensor to a Python number"
        )


def _flat(arrays: list[Any], shape: Any) -> Any:
    """One index into the first axes together."""
    total: Any = np.zeros((), np.int64)
    for axis, index in enumerate(np.broadcast_arrays(*arrays)):
        n = shape[axis]
        if index.size and (index.min() < -n or index.max() >= n):
            bad = int(index.max()) if index.max() >= n else int(index.min())
            raise IndexError(
                f"index {bad} is out of bounds for dimension {axis} with size {n}"
            )
        total = total * n + np.where(index < 0, index + n, index)
    return np.ascontiguousarray(total).astype(np.int64)


def _places(shape: Any, key: Any) -> Any:
    """Which elements, counted in a row, a key of any kind names."""
    numbers = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    first, then = _in_two(key)
    found = numbers[first] if then is None else numbers[first][then]
    return np.ascontiguousarray(found)


def _in_two(key: Any) -> tuple[Any, Any]:
    """Integers first, arrays then: numpy would treat integers as arrays."""
    parts = key if isinstance(key, tuple) else (key,)
    if not any(isinstance(k, np.ndarray) for k in parts):
        return key, None
    first: list[Any] = []
    then: list[Any] = []
    for k in parts:
        if isinstance(k, int | np.integer):
            first.append(k)
            continue
        count = k.ndim if isinstance(k, np.ndarray) and k.dtype == bool else 1
        if k is not None:
            first += [k] if k is Ellipsis else [slice(None)] * count
        then.append(k)
    if len(then) == len(parts):
        return key, None
    return tuple(first), tuple(then)


def assign(base: Any, key: Any, value: Any) -> Any:
    """base with value at the places that key names, as a new value; differentiable."""
    where = _places(shape_of(base), key)
    source = np.full(math.prod(shape_of(base)), -1, np.int64)
    source[where.reshape(-1)] = np.arange(where.size)
    hit = (source >= 0).reshape(shape_of(base))
    if not where.size:
        return base
    v = cast(value, dtype_of(base))
    old = list(shape_of(v))
    while len(old) > where.ndim and old[0] == 1:
        del old[0]
    v = _core.broadcast_to(_core.reshape(v, old), where.shape)
    spread = _core.gather(
        _core.reshape(v, (-1,)),
        _core.from_numpy(np.maximum(source, 0).reshape(shape_of(base)), True),
        0,
    )
    return _core.where(_core.from_numpy(hit, True), spread, base)


BACKWARD["index"] = lambda base, key, value: assign(base, key, value)


def _recorded(*tensors: Any) -> bool:
    return _core.is_grad_enabled() and any(
        isinstance(t, Tensor) and t.requires_grad for t in tensors
    )


def _setitem(self: Any, key: Any, value: Any) -> None:
    key = _plain(key)
    if _recorded(self, value):
        v = value if isinstance(value, Tensor) else new_tensor(value, self.dtype)
        self._assign(assign(self, key, v))
        return
    source = _core.Tensor.numpy(value.detach()) if isinstance(value, Tensor) else value
    if isinstance(source, np.ndarray) and source.ndim:
        while source.ndim > self.dim() and source.shape[0] == 1:
            source = source[0]
    if self._view is None:
        array = _core.writable_array(self)
        first, then = _in_two(key)
        try:
            if then is None:
                array[first] = source
            else:
                array[first][then] = source
        except ValueError as error:
            raise RuntimeError(f"index assignment: {error}") from None
        if self._views is not None:
            from .tensor import push_views

            push_views(self)
        return
    array = np.array(_core.Tensor.numpy(self))
    flat = array.reshape(-1)
    where = _places(array.shape, key)
    flat[where] = np.broadcast_to(source, where.shape)
    self._assign(_core.from_numpy(array, True))


METHODS["__getitem__"] = _getitem
METHODS["__setitem__"] = _setitem


# ---------------------------------------------------------------- by index tensors


def _grid(index: Any, axis: int) -> Any:
    """Places, counted in a row, of out[i][j] = x[index[i][j]][j] for any axis."""
    return np.ogrid[tuple(slice(n) for n in index.shape)][:axis]


def _along(shape: Any, dim: int, index: Any, name: str) -> Any:
    """Flat places of the elements that an index along one axis names."""
    i = _core.Tensor.numpy(index)
    if i.dtype != np.int64:
        raise RuntimeError(f"{name}(): Expected dtype int64 for index")
    if i.ndim == 0 and len(shape) == 1:
        i = i[None]
    if i.ndim != len(shape):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor: "
            f"got {i.ndim} "
            f"and {len(shape)}"
        )
    if i.size and (i.min() < 0 or i.max() >= shape[dim]):
        bad = int(i.max()) if i.max() >= shape[dim] else int(i.min())
        raise RuntimeError(
            f"index {bad} is out of bounds for dimension {dim} with size {shape[dim]}"
        )
    axes = np.ogrid[tuple(slice(n) for n in i.shape)]
    flat: Any = np.zeros((), np.int64)
    for axis, n in enumerate(shape):
        flat = flat * n + (i if axis == dim else axes[axis])
    return np.ascontiguousarray(np.broadcast_to(flat, i.shape)).astype(np.int64)


@publish("gather")
def gather(input: Any, dim: int, index: Any) -> Any:
    """Elements by number along dim: out[i][j] = input[index[i][j]][j] for dim 0."""
    axis = one_axis(dim, len(shape_of(input)))
    where = _along(shape_of(input), axis, index, "gather")
    return wrap(
        _core.gather(_core.reshape(input, (-1,)), _core.from_numpy(where, True), 0)
    )


@publish("take_along_dim")
def take_along_dim(input: Any, indices: Any, dim: Any = None) -> Any:
    """gather with broadcasting; all elements in a row without dim."""
    if dim is None:
        return gather(
            wrap(_core.reshape(input, (-1,))), 0, wrap(_core.reshape(indices, (-1,)))
        )
    return gather(input, dim, indices)


@publish("take")
def take(input: Any, index: Any) -> Any:
    """Elements counted in a row."""
    return wrap(_core.gather(_core.reshape(input, (-1,)), index, 0))


@publish("index_select")
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices with these numbers."""
    return wrap(_core.gather(input, index, one_axis(dim, len(shape_of(input)))))


@publish("masked_select")
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where the mask holds, in a row."""
    a, m = np.broadcast_shapes(tuple(shape_of(input)), tuple(shape_of(mask))), mask
    x = wrap(_core.broadcast_to(input, a))
    return _getitem(x, wrap(_core.broadcast_to(m, a)))


def _added(base: Any, flat: Any, values: Any) -> Any:
    """base plus values at flat places, several at one place adding up."""
    n = math.prod(shape_of(base))
    v = np.ascontiguousarray(_core.Tensor.numpy(values.detach())).reshape(-1)
    total = np.zeros(n, v.dtype)
    np.add.at(total, flat.reshape(-1), v)
    out = _core.from_numpy(total.reshape(shape_of(base)), True)
    if _core.is_grad_enabled() and values.requires_grad:
        shape, index = shape_of(values), _core.from_numpy(flat.reshape(-1), True)

        def vjp(grads: Any) -> Any:
            rows = _core.gather(_core.reshape(grads[0], (-1,)), index, 0)
            return [_core.reshape(rows, shape)]

        out = _core.record_custom("scatter_add", [values], [out], vjp)[0]
    return wrap(_core.add(base, out))


def _broadcast_source(src: Any, index: Any, like: Any) -> Any:
    if not isinstance(src, Tensor):
        return wrap(_core.full(shape_of(index), float(src), dtype_of(like).name))
    shape = shape_of(index)
    if shape_of(src) != shape:
        src = _getitem(src, tuple(slice(n) for n in shape))
    return src


@publish("scatter_add", in_place=True)
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """input with src added where index says."""
    axis = one_axis(dim, len(shape_of(input)))
    flat = _along(shape_of(input), axis, index, "scatter")
    return _added(input, flat, _broadcast_source(src, index, input))


@publish("scatter", in_place=True)
def scatter(
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: Any = None,
) -> Any:
    """input with src (or one value) put where index says."""
    src = value if src is None else src
    if reduce == "add":
        return scatter_add(input, dim, index, src)
    axis = one_axis(dim, len(shape_of(input)))
    flat = _along(shape_of(input), axis, index, "scatter")
    v = _broadcast_source(src, index, input)
    if reduce == "multiply":
        old = _take(wrap(_core.reshape(input, (-1,))), 1, flat)
        v = old * v
    elif reduce is not None:
        raise RuntimeError(
            f"scatter: reduce must be either add or multiply, got {reduce!r}"
        )
    row = wrap(_core.reshape(input, (-1,)))
    new = assign(row, flat.reshape(-1), wrap(_core.reshape(v, (-1,))))
    return wrap(_core.reshape(new, shape_of(input)))


def _index_places(x: Any, dim: int, index: Any) -> Any:
    axis = one_axis(dim, len(shape_of(x)))
    key = (slice(None),) * axis + (_core.Tensor.numpy(index),)
    return _places(shape_of(x), key), key


@publish("index_add", in_place=True)
def index_add(
    input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1
) -> Any:
    """input with the slices of source added to the slices that index names."""
    flat, _ = _index_places(input, dim, index)
    return _added(input, flat, source if alpha == 1 else source * alpha)


@publish("index_copy", in_place=True)
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """input with the slices that index names taken from source."""
    return wrap(assign(input, _index_places(input, dim, index)[1], source))


@publish("index_fill", in_place=True)
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """input with one value in the slices that index names."""
    v = value if isinstance(value, Tensor) else new_tensor(value, dtype_of(input))
    return wrap(assign(input, _index_places(input, dim, index)[1], v))


@publish("index_put", method=True, in_place=True)
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """input with values at input[indices]."""
    key = _plain(tuple(indices))
    if accumulate:
        flat = _places(shape_of(input), key)
        return _added(input, flat, wrap(_core.broadcast_to(values, flat.shape)))
    return wrap(assign(input, key, values))


@publish("masked_fill", in_place=True)
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """input with one value where the mask holds."""
    if dtype_of(mask) is not dt.bool_:
        raise RuntimeError(
            "masked_fill_ only supports boolean masks, but got mask with dtype "
            f"{mask.dtype}"
        )
    a, b, _ = pair(value, input, dtype_of(input))
    return wrap(_core.where(mask, a, b))


@publish("masked_scatter", in_place=True)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """input with the elements of source, in order, where the mask holds."""
    m = np.broadcast_to(_core.Tensor.numpy(mask), shape_of(input))
    row = _getitem(wrap(_core.reshape(source, (-1,))), slice(int(m.sum())))
    return wrap(assign(input, m, row))


@publish("nonzero")
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Indices of elements that are not zero: one a row, or a tensor for each axis."""
    found = np.nonzero(_core.Tensor.numpy(input))
    if as_tuple:
        return tuple(new_tensor(f) for f in found)
    return new_tensor(np.stack(found, 1) if found else np.zeros((0, 0), np.int64))


@publish("argwhere")
def argwhere(input: Any) -> Any:
    """The indices of elements that are not zero, one a row."""
    return nonzero(input)


@publish("select")
def select(input: Any, dim: int, index: int) -> Any:
    """One slice."""
    return _getitem(
        input, (slice(None),) * one_axis(dim, len(shape_of(input))) + (index,)
    )


@publish("searchsorted", method=False)
def searchsorted(
    sorted_sequence: Any, values: Any, *, right: bool = False, side: str | None = None
) -> Any:
    """Where values would be entered to keep the order."""
    right = right or side == "right"
    a = _core.Tensor.numpy(sorted_sequence)
    v = _core.Tensor.numpy(values) if isinstance(values, Tensor) else values
    found = np.searchsorted(a, v, "right" if right else "left")
    return new_tensor(np.asarray(found).astype(np.int64))


@publish("bucketize", method=False)
def bucketize(input: Any, boundaries: Any, *, right: bool = False) -> Any:
    """The number of the interval each element lies in."""
    return searchsorted(boundaries, input, right=right)


@publish("tril", in_place=True)
def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle; zeros above."""
    rows, columns = shape_of(input)[-2:]
    mask = np.tri(rows, columns, diagonal, dtype=bool)
    return wrap(_core.where(_core.from_numpy(mask, True), input, _zero(input)))


@publish("triu", in_place=True)
def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle; zeros below."""
    rows, columns = shape_of(input)[-2:]
    mask = ~np.tri(rows, columns, diagonal - 1, dtype=bool)
    return wrap(_core.where(_core.from_numpy(mask, True), input, _zero(input)))


def _zero(x: Any) -> Any:
    return _core.full((), 0.0, dtype_of(x).name)


@publish("diagonal")
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two axes, as the last axis."""
    numbers = np.arange(math.prod(shape_of(input))).reshape(shape_of(input))
    where = np.ascontiguousarray(np.diagonal(numbers, offset, dim1, dim2)).astype(
        np.int64
    )
    return wrap(
        _core.gather(_core.reshape(input, (-1,)), _core.from_numpy(where, True), 0)
    )


@publish("diag")
def diag(input: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix, or a matrix with this diagonal."""
    if len(shape_of(input)) == 2:
        return METHODS["diagonal"](input, diagonal)
    return diag_embed(input, diagonal)


@publish("diag_embed")
def diag_embed(input: Any, offset: int = 0) -> Any:
    """Matrices with the last axis as diagonal."""
    n = shape_of(input)[-1] + abs(offset)
    eye = np.eye(n, k=offset, dtype=bool)
    pad = (0, n - shape_of(input)[-1]) if offset <= 0 else (n - shape_of(input)[-1], 0)
    lead = [(0, 0)] * (len(shape_of(input)) - 1)
    row = _core.expand_dims(_core.pad(input, [*lead, pad]), -2)
    return wrap(_core.where(_core.from_numpy(eye, True), row, _zero(input)))
