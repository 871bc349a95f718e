"""Shapes, joining and splitting, indexing."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Dim, Tensor
from lamella.ops._sizes import note_sizes, noted_sizes, sizes_of
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    is_concrete,
    to_tensor,
)

__all__ = [
    "append",
    "array_split",
    "broadcast_to",
    "concatenate",
    "diag",
    "diagflat",
    "diagonal",
    "diff",
    "dsplit",
    "dstack",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "get_item",
    "hsplit",
    "hstack",
    "isin",
    "moveaxis",
    "pad",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "scatter",
    "scatter_update",
    "slice",
    "slice_update",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "take",
    "take_along_axis",
    "tile",
    "trace",
    "transpose",
    "tril",
    "triu",
    "unravel_index",
    "unstack",
    "vander",
    "vsplit",
    "vstack",
]


def axis_of(name: str, axis: int, ndim: int) -> int:
    """`axis` counted from the front.

    Raises:
        ValueError: the tensor has no such axis.
    """
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"{name}: axis must be between {-ndim} and {ndim - 1}, got axis={axis}"
        )
    return axis % ndim


def _all_tensors(xs: Any) -> list[Tensor]:
    tensors = [to_tensor(x) for x in xs]
    kinds = {t.dtype for t in tensors}
    if len(kinds) > 1:
        order = ("bool", "uint8", "int32", "int64", "float32", "float64")
        target = max(kinds, key=order.index)
        tensors = [cast(t, target) for t in tensors]
    return tensors


def _as_shape(name: str, shape: Any) -> tuple[Any, ...]:
    """A shape given as a number, a list of sizes, or a tensor of them."""
    if isinstance(shape, list | tuple) and not any(type(n) is Tensor for n in shape):
        return tuple(shape)
    sizes = sizes_of(shape)
    if sizes is None:
        raise TypeError(
            f"{name}: expected sizes known before the model runs, or taken from "
            f"ops.shape(), got {shape!r}"
        )
    return tuple(sizes)


def reshape(x: Any, newshape: Any) -> Tensor:
    """x with another shape; one size may be -1."""
    if isinstance(newshape, int):
        newshape = (newshape,)
    else:
        newshape = _as_shape("reshape", newshape)
    return _core.reshape(to_tensor(x), newshape)


def ravel(x: Any) -> Tensor:
    """x as a vector."""
    return _core.reshape(to_tensor(x), (-1,))


def transpose(x: Any, axes: Any = None) -> Tensor:
    """x with permuted axes (reversed by default)."""
    return _core.transpose(to_tensor(x), None if axes is None else tuple(axes))


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """x with two axes exchanged."""
    x = to_tensor(x)
    order = list(range(x.ndim))
    a, b = axis_of("swapaxes", axis1, x.ndim), axis_of("swapaxes", axis2, x.ndim)
    order[a], order[b] = order[b], order[a]
    return _core.transpose(x, tuple(order))


def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """x with axes moved to other places, the rest in order."""
    x = to_tensor(x)
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    if len(sources) != len(targets):
        raise ValueError(
            "moveaxis: source and destination must have the same length, got "
            f"source={source}, destination={destination}"
        )
    sources = [axis_of("moveaxis", a, x.ndim) for a in sources]
    targets = [axis_of("moveaxis", a, x.ndim) for a in targets]
    order = [a for a in range(x.ndim) if a not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    if order == list(range(x.ndim)):
        return x
    return _core.transpose(x, tuple(order))


def expand_dims(x: Any, axis: Any) -> Tensor:
    """x with new axes of size 1."""
    x = to_tensor(x)
    if isinstance(axis, int):
        out = _core.expand_dims(x, axis)
        return note_sizes(out, noted_sizes(x)) if x.ndim == 0 else out
    rank = x.ndim + len(axis)
    for a in sorted(axis_of("expand_dims", a, rank) for a in axis):
        x = _core.expand_dims(x, a)
    return x


def squeeze(x: Any, axis: Any = None) -> Tensor:
    """x without axes of size 1 (all of them, or those given)."""
    if isinstance(axis, list):
        axis = tuple(axis)
    return _core.squeeze(to_tensor(x), axis)


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """x repeated to a shape that it broadcasts to."""
    return _core.broadcast_to(to_tensor(x), _as_shape("broadcast_to", shape))


def concatenate(xs: Any, axis: int | None = 0) -> Tensor:
    """Tensors joined along an axis."""
    tensors = _all_tensors(xs)
    if axis is None:
        tensors, axis = [ravel(t) for t in tensors], 0
    out = _core.concat(tensors, axis)
    return note_sizes(out, noted_sizes(tensors)) if out.ndim == 1 else out


def append(x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    """x2 joined to x1 (both flattened when axis is None)."""
    return concatenate([x1, x2], axis)


def stack(x: Any, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    tensors = _all_tensors(x)
    out = _core.stack(tensors, axis)
    return note_sizes(out, noted_sizes(tensors)) if out.ndim == 1 else out


def vstack(xs: Any) -> Tensor:
    """Tensors joined along the first axis; vectors become rows."""
    tensors = [to_tensor(x) for x in xs]
    return concatenate(
        [_core.reshape(t, (1, -1)) if t.ndim < 2 else t for t in tensors], 0
    )


def hstack(xs: Any) -> Tensor:
    """Tensors joined along the second axis (vectors along the first)."""
    tensors = [to_tensor(x) for x in xs]
    tensors = [_core.reshape(t, (1,)) if t.ndim == 0 else t for t in tensors]
    return concatenate(tensors, 0 if tensors[0].ndim == 1 else 1)


def dstack(xs: Any) -> Tensor:
    """Tensors joined along the third axis."""
    tensors = []
    for x in xs:
        t = to_tensor(x)
        if t.ndim < 2:
            t = _core.reshape(t, (1, -1, 1))
        elif t.ndim == 2:
            t = _core.expand_dims(t, 2)
        tensors.append(t)
    return concatenate(tensors, 2)


def _cut(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    index: list[Any] = [builtins.slice(None)] * x.ndim
    index[axis] = builtins.slice(start, stop)
    return x[tuple(index)]


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """x cut into equal parts, or at the given indices.

    Raises:
        ValueError: the axis cannot be cut into that many equal parts.
    """
    x = to_tensor(x)
    axis = axis_of("split", axis, x.ndim)
    if isinstance(indices_or_sections, int):
        n = x.shape[axis]
        if n is None or indices_or_sections < 1 or n % indices_or_sections:
            raise ValueError(
                "split: the axis must be a known multiple of the number of sections, "
                f"got x.shape={x.shape}, axis={axis}, "
                f"indices_or_sections={indices_or_sections}"
            )
        step = n // indices_or_sections
        cuts = [step * i for i in range(1, indices_or_sections)]
    else:
        cuts = [int(i) for i in indices_or_sections]
    return _cut_at(x, axis, cuts)


def _cut_at(x: Tensor, axis: int, cuts: list[int]) -> list[Tensor]:
    starts, stops = [0, *cuts], [*cuts, None]
    return [_cut(x, axis, a, b) for a, b in zip(starts, stops, strict=True)]


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """`split` that allows parts of unequal size (the first ones are larger)."""
    x = to_tensor(x)
    axis = axis_of("array_split", axis, x.ndim)
    if not isinstance(indices_or_sections, int):
        return split(x, indices_or_sections, axis)
    n = x.shape[axis]
    if n is None:
        raise ValueError(
            f"array_split: the axis must have a known size, got x.shape={x.shape}"
        )
    base, extra = divmod(n, indices_or_sections)
    sizes = [base + (i < extra) for i in range(indices_or_sections)]
    return _cut_at(x, axis, [int(c) for c in np.cumsum(sizes)[:-1]])


def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """Split along the second axis (the first one of a vector)."""
    x = to_tensor(x)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """Split along the first axis."""
    return split(x, indices_or_sections, 0)


def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """Split along the third axis."""
    return split(x, indices_or_sections, 2)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The slices along an axis, without that axis."""
    x = to_tensor(x)
    axis = axis_of("unstack", axis, x.ndim)
    n = x.shape[axis] if num is None else num
    if n is None:
        raise ValueError(
            "unstack: num must be given when the size of the axis is not known, got "
            f"x.shape={x.shape}, axis={axis}"
        )
    return [_core.squeeze(_cut(x, axis, i, i + 1), axis) for i in range(n)]


def flip(x: Any, axis: Any = None) -> Tensor:
    """x reversed along axes (all by default)."""
    x = to_tensor(x)
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
    return _core.flip(x, axes)


def fliplr(x: Any) -> Tensor:
    """x reversed along the second axis."""
    return flip(x, 1)


def flipud(x: Any) -> Tensor:
    """x reversed along the first axis."""
    return flip(x, 0)


def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """x rotated k times by 90 degrees in the plane of two axes."""
    array = to_tensor(array)
    k %= 4
    if k == 0:
        return array
    if k == 2:
        return flip(array, tuple(axes))
    if k == 1:
        return swapaxes(flip(array, axes[1]), *axes)
    return flip(swapaxes(array, *axes), axes[1])


def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    """x shifted along axes; what leaves at the end enters at the front."""
    x = to_tensor(x)
    if axis is None:
        return _core.reshape(roll(ravel(x), shift, 0), x.dims)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = (shift,) * len(axes) if isinstance(shift, int) else tuple(shift)
    for s, a in zip(shifts, axes, strict=True):
        a = axis_of("roll", a, x.ndim)
        n = x.shape[a]
        s = s % n if n else s
        if s:
            x = _core.concat([_cut(x, a, -s, None), _cut(x, a, None, -s)], a)
    return x


def tile(x: Any, repeats: Any) -> Tensor:
    """x repeated as a whole along its axes."""
    x = to_tensor(x)
    reps = _as_shape("tile", repeats)
    if len(reps) < x.ndim:
        reps = (1,) * (x.ndim - len(reps)) + reps
    while x.ndim < len(reps):
        x = _core.expand_dims(x, 0)
    for axis, n in enumerate(reps):
        if isinstance(n, Dim):
            x = _many(x, n, axis, whole=True)
    return _core.tile(x, tuple(1 if isinstance(n, Dim) else n for n in reps))


def _many(x: Tensor, n: Dim, axis: int, whole: bool) -> Tensor:
    """x an unknown number of times along an axis, as a whole or each element."""
    dims = x.dims
    size: Any = n if dims[axis] == 1 else dims[axis] * n
    x = _core.expand_dims(x, axis if whole else axis + 1)
    pair = (n, dims[axis]) if whole else (dims[axis], n)
    x = _core.broadcast_to(x, (*dims[:axis], *pair, *dims[axis + 1 :]))
    return _core.reshape(x, (*dims[:axis], size, *dims[axis + 1 :]))


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Each element of x repeated along an axis (of the flattened x for None)."""
    x = to_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_of("repeat", axis, x.ndim)
    unknown = sizes_of(repeats)
    if unknown is not None and len(unknown) == 1 and isinstance(unknown[0], Dim):
        return _many(x, unknown[0], axis, whole=False)
    counts = np.atleast_1d(np.asarray(repeats))
    if counts.size == 1:
        return _core.repeat(x, int(counts[0]), axis)
    index = np.repeat(np.arange(counts.size), counts).astype(np.int32)
    return _core.gather(x, convert_to_tensor(index), axis)


def pad(
    x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None
) -> Tensor:
    """x with a border.

    Args:
        x: tensor.
        pad_width: ((before, after), ...) per axis, one such pair, or one int.
        mode: "constant", "reflect", "symmetric", "edge".
        constant_values: value of the border for "constant", default 0.

    Raises:
        ValueError: unknown mode, or constant_values with another mode.
    """
    x = to_tensor(x)
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if mode == "constant":
        value = 0 if constant_values is None else constant_values
        return _core.pad(x, [tuple(w) for w in widths], value)
    if constant_values is not None:
        raise ValueError(
            f"pad: constant_values goes with mode='constant' only, got mode={mode!r}"
        )
    if mode not in ("reflect", "symmetric", "edge"):
        raise ValueError(
            "pad: mode must be 'constant', 'reflect', 'symmetric' or 'edge', got "
            f"mode={mode!r}"
        )
    for axis, width in enumerate(widths):
        if any(width):
            n = x.shape[axis]
            if n is None:
                raise ValueError(
                    f"pad: mode={mode!r} needs a known size along axis {axis}, got "
                    f"x.shape={x.shape}"
                )
            rule: Any = mode
            index = np.pad(np.arange(n), width, mode=rule).astype(np.int32)
            x = _core.gather(x, convert_to_tensor(index), axis)
    return x


def get_item(x: Any, key: Any) -> Tensor:
    """x[key]."""
    return to_tensor(x)[key]


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Elements (or slices along an axis) at the given indices.

    Negative indices count from the end where the size of the axis is known.
    """
    x = to_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_of("take", axis, x.ndim)
    index = to_tensor(indices)
    if index.dtype not in ("int32", "int64"):
        index = cast(index, "int32")
    if is_concrete(index) and index.size and index.numpy().min() < 0:
        n = x.shape[axis]
        if n is None:
            raise ValueError(
                "take: negative indices need an axis of known size, got "
                f"x.shape={x.shape}, axis={axis}"
            )
        index = _core.where(_core.less(index, 0), index + n, index)
    return _core.gather(x, index, axis)


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """x[..., indices[..., j, ...], ...]: an index per position along one axis."""
    x = to_tensor(x)
    index = cast(indices, "int32")
    if axis is None:
        x, axis = ravel(x), 0
        index = ravel(index)
    axis = axis_of("take_along_axis", axis, x.ndim)
    n = x.shape[axis]
    if n is None:
        raise ValueError(
            "take_along_axis: the axis must have a known size, got "
            f"x.shape={x.shape}, axis={axis}"
        )
    index = _core.where(_core.less(index, 0), index + n, index)
    x, index = moveaxis(x, axis, -1), moveaxis(index, axis, -1)
    if is_concrete(x, index) or None not in (*x.shape, *index.shape):
        out = _take_rows(x, index, n)
    else:
        hit = _core.equal(
            _core.expand_dims(index, -1),
            convert_to_tensor(np.arange(n, dtype="int32")),
        )
        picked = _core.where(hit, _core.expand_dims(x, -2), 0)
        out = cast(_core.sum(_summable(picked), -1, False), x.dtype)
    return moveaxis(out, -1, axis)


def _summable(x: Tensor) -> Tensor:
    return cast(x, "int32") if x.dtype in ("bool", "uint8") else x


def _take_rows(x: Tensor, index: Tensor, n: int) -> Tensor:
    """take_along_axis on the last axis for known sizes: one gather of the flat x."""
    lead = np.broadcast_shapes(x.shape[:-1], index.shape[:-1])
    if tuple(x.shape[:-1]) != lead:
        x = _core.broadcast_to(x, (*lead, n))
    if tuple(index.shape[:-1]) != lead:
        index = _core.broadcast_to(index, (*lead, index.shape[-1]))
    rows = math.prod(lead)
    start = (np.arange(rows, dtype=np.int64) * n).reshape(*lead, 1)
    flat = cast(index, "int64") + convert_to_tensor(start)
    return _core.gather(ravel(x), flat, 0)


def slice(inputs: Any, start_indices: Any, shape: Any) -> Tensor:
    """The block of a given shape that begins at start_indices."""
    x = to_tensor(inputs)
    starts = [int(s) for s in np.asarray(start_indices)]
    sizes = tuple(shape)
    return x[
        tuple(
            builtins.slice(s, None if n == -1 else s + n)
            for s, n in zip(starts, sizes, strict=True)
        )
    ]


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Tensor:
    """inputs with the block at start_indices replaced by updates."""
    x, new = to_tensor(inputs), to_tensor(updates)
    if None in x.shape or None in new.shape:
        raise ValueError(
            "slice_update: the sizes must be known, got "
            f"inputs.shape={x.shape}, updates.shape={new.shape}"
        )
    starts = [int(s) for s in np.asarray(start_indices)]
    widths = [
        (s, n - s - m) for s, n, m in zip(starts, x.shape, new.shape, strict=True)
    ]
    mask = np.zeros(x.shape, dtype=bool)
    mask[
        tuple(builtins.slice(s, s + m) for s, m in zip(starts, new.shape, strict=True))
    ] = True
    placed = _core.pad(cast(new, x.dtype), widths, 0)
    return _core.where(convert_to_tensor(mask), placed, x)


def _flat_positions(name: str, indices: Any, shape: Sequence[int]) -> Tensor:
    index = cast(indices, "int32")
    depth = index.shape[-1]
    if depth is None or depth > len(shape):
        raise ValueError(
            f"{name}: the last axis of indices must have 1 to {len(shape)} entries, "
            f"got indices.shape={index.shape}"
        )
    strides = [math.prod(shape[i + 1 : depth]) for i in range(depth)]
    return _core.sum(
        index * convert_to_tensor(np.asarray(strides, np.int32)), -1, False
    )


def scatter(indices: Any, values: Any, shape: Any) -> Tensor:
    """Zeros of a shape, with values added at the given index tuples."""
    from lamella.ops.segments import segment_sum

    shape, values = tuple(int(n) for n in shape), to_tensor(values)
    depth = to_tensor(indices).shape[-1]
    flat = ravel(_flat_positions("scatter", indices, shape))
    rows = math.prod(shape[:depth])
    tail = shape[depth:]
    data = _core.reshape(values, (flat.dims[0], *tail))
    return _core.reshape(segment_sum(data, flat, rows), shape)


def scatter_update(
    inputs: Any, indices: Any, updates: Any, reduction: str | None = None
) -> Tensor:
    """inputs with the elements at the given index tuples replaced.

    Args:
        inputs: tensor of known shape.
        indices: (n, depth) integers: n indices of the first `depth` axes.
        updates: (n, ...) what is put there.
        reduction: None to replace, "add", "mul", "max" or "min" to combine with what
            was there.

    Raises:
        ValueError: another reduction, or a size is not known.
    """
    from lamella.ops import segments

    x = to_tensor(inputs)
    if None in x.shape:
        raise ValueError(
            f"scatter_update: inputs must have a known shape, got {x.shape}"
        )
    if reduction == "add":
        return x + cast(scatter(indices, updates, x.shape), x.dtype)
    combine: dict[str | None, Any] = {
        "max": (segments.segment_max, _core.maximum),
        "min": (segments.segment_min, _core.minimum),
        "mul": (segments.segment_prod, _core.mul),
    }
    if reduction in combine:
        reduce, join = combine[reduction]
        depth = to_tensor(indices).shape[-1]
        flat = ravel(_flat_positions("scatter_update", indices, x.shape))
        rows = math.prod(x.shape[:depth])
        data = _core.reshape(cast(updates, x.dtype), (flat.dims[0], *x.shape[depth:]))
        return cast(join(x, _core.reshape(reduce(data, flat, rows), x.shape)), x.dtype)
    if reduction is not None:
        raise ValueError(
            "scatter_update: reduction must be None, 'add', 'mul', 'max' or 'min', got "
            f"reduction={reduction!r}"
        )
    if is_concrete(x) and is_concrete(to_tensor(indices)):
        # A later update of the same element wins.
        index = np.asarray(convert_to_tensor(indices).numpy())
        depth = index.shape[-1]
        order = np.full(x.shape[:depth], -1)
        rows = index.reshape(-1, depth)
        order[tuple(rows.T)] = np.arange(len(rows))
        tail = x.shape[depth:]
        new = _core.reshape(cast(updates, x.dtype), (len(rows), *tail))
        picked = _core.gather(new, convert_to_tensor(np.maximum(order, 0)), 0)
        mask = (order >= 0).reshape(order.shape + (1,) * len(tail))
        return _core.where(convert_to_tensor(mask), picked, x)
    updates = to_tensor(updates)
    ones = _core.full(updates.dims, 1.0, "float32")
    count = scatter(indices, ones, x.shape)
    placed = cast(scatter(indices, updates, x.shape), x.dtype)
    return _core.where(_core.greater(count, 0), placed, x)


def _zero(x: Tensor) -> Any:
    return False if x.dtype == "bool" else 0


def _known_matrix(name: str, x: Tensor) -> None:
    if x.ndim < 2 or None in x.shape[-2:]:
        raise ValueError(
            f"{name}: the last two sizes must be known, got x.shape={x.shape}"
        )


def tril(x: Any, k: int = 0) -> Tensor:
    """x with zeros above the k-th diagonal of its last two axes."""
    x = to_tensor(x)
    _known_matrix("tril", x)
    mask = np.tri(x.shape[-2], x.shape[-1], k, dtype=bool)
    return _core.where(convert_to_tensor(mask), x, _zero(x))


def triu(x: Any, k: int = 0) -> Tensor:
    """x with zeros below the k-th diagonal of its last two axes."""
    x = to_tensor(x)
    _known_matrix("triu", x)
    mask = ~np.tri(x.shape[-2], x.shape[-1], k - 1, dtype=bool)
    return _core.where(convert_to_tensor(mask), x, _zero(x))


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonal of two axes, as a new last axis."""
    x = moveaxis(to_tensor(x), (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2], x.shape[-1]
    if rows is None or columns is None:
        raise ValueError(f"diagonal: the sizes must be known, got x.shape={x.shape}")
    index = np.diagonal(np.arange(rows * columns).reshape(rows, columns), offset)
    flat = _core.reshape(x, (*x.dims[:-2], rows * columns))
    return _core.gather(flat, convert_to_tensor(index.astype(np.int32)), x.ndim - 2)


def diag(x: Any, k: int = 0) -> Tensor:
    """A matrix with x on its k-th diagonal, or the k-th diagonal of a matrix."""
    x = to_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1 or x.shape[0] is None:
        raise ValueError(
            f"diag: x must be a matrix or a vector of known size, got {x.shape}"
        )
    n, size = x.shape[0], x.shape[0] + abs(k)
    row = np.arange(n) + max(-k, 0)
    column = np.arange(n) + max(k, 0)
    index = np.zeros((size, size), np.int32)
    mask = np.zeros((size, size), bool)
    index[row, column] = np.arange(n)
    mask[row, column] = True
    spread = _core.gather(x, convert_to_tensor(index), 0)
    return _core.where(convert_to_tensor(mask), spread, _zero(x))


def diagflat(x: Any, k: int = 0) -> Tensor:
    """`diag` of the flattened x."""
    return diag(ravel(x), k)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Sum of a diagonal."""
    return _core.sum(_summable(diagonal(x, offset, axis1, axis2)), -1, False)


def diff(a: Any, n: int = 1, axis: int = -1) -> Tensor:
    """n-th difference of neighbours along an axis."""
    a = to_tensor(a)
    axis = axis_of("diff", axis, a.ndim)
    for _ in range(n):
        after, before = _cut(a, axis, 1, None), _cut(a, axis, None, -1)
        a = after != before if a.dtype == "bool" else after - before
    return a


def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element of x1 occurs in x2."""
    hit = _core.equal(_core.expand_dims(to_tensor(x1), -1), ravel(x2))
    found = _core.any(hit, -1, False)
    return _core.logical_not(found) if invert else found


def unravel_index(indices: Any, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Flat indices as one index per axis."""
    index = to_tensor(indices)
    out = []
    for size in reversed(tuple(shape)):
        out.append(_core.mod(index, size))
        index = _core.floor_div(index, size)
    return tuple(reversed(out))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """Matrix of the powers of a vector."""
    x = to_tensor(x)
    n = x.shape[0] if N is None else N
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    exponents = convert_to_tensor(np.ascontiguousarray(powers).astype(x.dtype))
    return _core.pow(_core.expand_dims(x, -1), exponents)
