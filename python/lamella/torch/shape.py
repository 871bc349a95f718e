"""Other shapes of the same elements, and tensors put together or cut apart."""

from __future__ import annotations

import itertools
import math
from typing import Any

from lamella import _core

from . import _dtype as dt
from .pointwise import METHODS, cast, publish
from .reduce import one_axis
from .tensor import BACKWARD, FORWARD, Tensor, as_view, dtype_of, shape_of, wrap

__all__ = ["sizes"]

FORWARD["reshape"] = _core.reshape
BACKWARD["reshape"] = lambda base, shape, value: _core.reshape(value, shape_of(base))
FORWARD["transpose"] = _core.transpose


def _inverse(base: Any, perm: Any, value: Any) -> Any:
    back = [0] * len(perm)
    for i, p in enumerate(perm):
        back[p] = i
    return _core.transpose(value, back)


BACKWARD["transpose"] = _inverse


def sizes(shape: Any) -> tuple[int, ...]:
    """A shape from (2, 3) or ((2, 3),)."""
    if len(shape) == 1 and not hasattr(shape[0], "__index__"):
        shape = shape[0]
    elif len(shape) == 1 and isinstance(shape[0], Tensor) and shape[0].dim() == 1:
        shape = shape[0].tolist()
    return tuple(int(s) for s in shape)


def _reshaped(x: Any, shape: Any, always: bool = False) -> Any:
    """A view, or a copy where PyTorch needs one (a base that is not row-major)."""
    if x._view is not None and not always and not x.is_contiguous():
        return wrap(_core.reshape(x, shape))
    return as_view(wrap(_core.reshape(x, shape)), x, "reshape", shape)


def _permuted(x: Any, perm: Any) -> Any:
    return as_view(wrap(_core.transpose(x, perm)), x, "transpose", perm)


def _fitting(x: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with -1 worked out."""
    n = math.prod(shape_of(x))
    known = math.prod(s for s in shape if s != -1)
    unknown = shape.count(-1)
    if unknown > 1:
        raise RuntimeError("only one dimension can be inferred")
    fits = known == n if not unknown else known != 0 and n % known == 0
    if any(s < -1 for s in shape) or not fits:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {n}")
    return tuple(n // known if s == -1 else s for s in shape)


@publish("reshape", method=False)
def reshape(input: Any, *shape: Any) -> Any:
    """The elements in another shape; one size may be -1."""
    return _reshaped(input, _fitting(input, sizes(shape)))


METHODS["reshape"] = reshape


def view(self: Any, *shape: Any) -> Any:
    """The elements in another shape; one size may be -1."""
    if len(shape) == 1 and isinstance(shape[0], dt.dtype):
        raise TypeError(
            "view: lamella.torch does not reinterpret memory as another dtype; use to()"
        )
    return _reshaped(self, _fitting(self, sizes(shape)))


METHODS["view"] = view
METHODS["view_as"] = METHODS["reshape_as"] = lambda self, other: view(
    self, shape_of(other)
)


@publish("flatten")
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Axes start_dim to end_dim as one."""
    shape = shape_of(input)
    if not shape:
        return _reshaped(input, (1,))
    a, z = one_axis(start_dim, len(shape)), one_axis(end_dim, len(shape))
    if a > z:
        raise RuntimeError(
            "flatten() has invalid args: start_dim cannot come after end_dim"
        )
    return _reshaped(input, (*shape[:a], math.prod(shape[a : z + 1]), *shape[z + 1 :]))


@publish("ravel")
def ravel(input: Any) -> Any:
    """All elements in a row."""
    return _reshaped(input, (math.prod(shape_of(input)),))


@publish("unflatten")
def unflatten(input: Any, dim: int, shape: Any) -> Any:
    """One axis as several."""
    old = shape_of(input)
    a = one_axis(dim, len(old))
    shape = list(sizes((shape,)))
    if -1 in shape:
        shape[shape.index(-1)] = old[a] // math.prod(s for s in shape if s != -1)
    return _reshaped(input, (*old[:a], *shape, *old[a + 1 :]))


@publish("squeeze")
def squeeze(input: Any, dim: Any = None) -> Any:
    """Without axes of size 1: all of them, or those named."""
    shape = shape_of(input)
    dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    gone = {one_axis(d, len(shape)) for d in dims}
    kept = tuple(n for i, n in enumerate(shape) if n != 1 or i not in gone)
    return _reshaped(input, kept, True)


@publish("unsqueeze")
def unsqueeze(input: Any, dim: int) -> Any:
    """With a new axis of size 1."""
    shape = list(shape_of(input))
    shape.insert(one_axis(dim, len(shape) + 1), 1)
    return _reshaped(input, tuple(shape), True)


def _in_place_shape(name: str, f: Any) -> None:
    def method(self: Any, *args: Any) -> Any:
        _core.rebind(self, f(self, *args), False)
        return self

    METHODS[name] = method


_in_place_shape("unsqueeze_", unsqueeze)
_in_place_shape("squeeze_", squeeze)


@publish("transpose", "swapaxes", "swapdims")
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes exchanged."""
    rank = len(shape_of(input))
    a, b = one_axis(dim0, rank), one_axis(dim1, rank)
    perm = list(range(rank))
    if rank:
        perm[a], perm[b] = perm[b], perm[a]
    return _permuted(input, perm)


_in_place_shape("transpose_", transpose)


@publish("t")
def t(input: Any) -> Any:
    """A matrix transposed."""
    rank = len(shape_of(input))
    if rank > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {rank}D"
        )
    return _permuted(input, list(reversed(range(rank))))


_in_place_shape("t_", t)


@publish("permute", method=False)
def permute(input: Any, *dims: Any) -> Any:
    """The axes in another order."""
    rank = len(shape_of(input))
    perm = [one_axis(d, rank) for d in sizes(dims)]
    if sorted(perm) != list(range(rank)):
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not "
            "match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {rank} "
            "is not equal "
            f"to len(dims) = {len(perm)}"
        )
    return _permuted(input, perm)


METHODS["permute"] = permute


@publish("movedim", "moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places."""
    rank = len(shape_of(input))
    src = [
        one_axis(d, rank) for d in ((source,) if isinstance(source, int) else source)
    ]
    dst = [
        one_axis(d, rank)
        for d in ((destination,) if isinstance(destination, int) else destination)
    ]
    perm = [i for i in range(rank) if i not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        perm.insert(d, s)
    return _permuted(input, perm)


METHODS["T"] = property(  # type: ignore[assignment]
    lambda self: _permuted(self, list(reversed(range(len(shape_of(self))))))
)
METHODS["mT"] = property(lambda self: transpose(self, -2, -1))  # type: ignore[assignment]
METHODS["H"] = METHODS["T"]


@publish("adjoint")
def adjoint(input: Any) -> Any:
    """The last two axes exchanged."""
    return transpose(input, -2, -1)


def expand(self: Any, *shape: Any) -> Any:
    """Axes of size 1 repeated; -1 leaves a size alone."""
    old, new = shape_of(self), sizes(shape)
    lead = len(new) - len(old)
    if lead < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(new)}) must be greater or "
            "equal to the "
            f"number of dimensions in the tensor ({len(old)})"
        )
    new = tuple(old[i - lead] if n == -1 else n for i, n in enumerate(new))
    for i, n in enumerate(old):
        if n not in (1, new[i + lead]):
            raise RuntimeError(
                f"The expanded size of the tensor ({new[i + lead]}) must match the "
                "existing size "
                f"({n}) at non-singleton dimension {i + lead}. Target sizes: "
                f"{list(new)}. Tensor "
                f"sizes: {list(old)}"
            )
    return wrap(_core.broadcast_to(self, new))


METHODS["expand"] = expand
METHODS["expand_as"] = lambda self, other: expand(self, shape_of(other))


@publish("broadcast_to")
def broadcast_to(input: Any, shape: Any) -> Any:
    """Axes of size 1 repeated until the shape is this one."""
    return expand(input, shape)


@publish("broadcast_tensors", method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """All tensors in one shape."""
    import numpy as np

    shape = np.broadcast_shapes(*(tuple(shape_of(x)) for x in tensors))
    return tuple(expand(x, shape) for x in tensors)


def repeat(self: Any, *repeats: Any) -> Any:
    """The tensor put beside itself so many times along each axis."""
    reps = sizes(repeats)
    if len(reps) < len(shape_of(self)):
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of "
            "dimensions of "
            "tensor"
        )
    lead = (1,) * (len(reps) - len(shape_of(self)))
    return wrap(
        _core.tile(_core.reshape(self, lead + tuple(shape_of(self))), list(reps))
    )


METHODS["repeat"] = repeat


@publish("tile", method=False)
def tile(input: Any, *dims: Any) -> Any:
    """numpy's tile."""
    reps = sizes(dims)
    return repeat(input, (1,) * (len(shape_of(input)) - len(reps)) + reps)


METHODS["tile"] = tile


@publish("repeat_interleave")
def repeat_interleave(input: Any, repeats: Any, dim: Any = None) -> Any:
    """Each element so many times in a row."""
    import numpy as np

    x = input
    if dim is None:
        x, dim = wrap(_core.reshape(x, (-1,))), 0
    if isinstance(repeats, Tensor) and repeats.numel() > 1:
        index = np.repeat(np.arange(shape_of(x)[dim]), repeats.numpy())
        return wrap(
            _core.gather(x, _core.from_numpy(index, True), one_axis(dim, x.dim()))
        )
    return wrap(_core.repeat(x, int(repeats), one_axis(dim, len(shape_of(x)))))


def _common(tensors: Any) -> list[Any]:
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("expected a non-empty list of Tensors")
    d = dtype_of(tensors[0])
    for x in tensors[1:]:
        d = dt.promote_types(d, dtype_of(x))
    return [cast(x, d) for x in tensors]


@publish("cat", "concat", "concatenate", method=False)
def cat(tensors: Any, dim: int = 0, *, axis: Any = None, out: Any = None) -> Any:
    """Tensors one after the other along an axis."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    parts = [x for x in _common(tensors) if shape_of(x) != (0,)] or _common(tensors)[:1]
    dim = one_axis(dim if axis is None else axis, len(shape_of(parts[0])))
    first = shape_of(parts[0])
    for i, x in enumerate(parts):
        other = shape_of(x)
        if len(other) != len(first) or not first:
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and "
                f"{len(other)}"
                if first
                else "zero-dimensional tensor (at position 0) cannot be concatenated"
            )
        for a in range(len(first)):
            if a != dim and other[a] != first[a]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected "
                    "size "
                    f"{first[a]} but got size {other[a]} for tensor number {i} in the "
                    "list."
                )
    return wrap(_core.concat(parts, dim))


@publish("stack", method=False)
def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors of one shape along a new axis."""
    parts = _common(tensors)
    first = shape_of(parts[0])
    for i, x in enumerate(parts):
        if shape_of(x) != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at "
                "entry 0 "
                f"and {list(shape_of(x))} at entry {i}"
            )
    return wrap(_core.stack(parts, one_axis(dim, len(first) + 1)))


def _ones_before(rank: int) -> Any:
    def at_least(x: Any) -> Any:
        shape = tuple(shape_of(x))
        return _reshaped(x, (1,) * (rank - len(shape)) + shape)

    return at_least


@publish("vstack", "row_stack", method=False)
def vstack(tensors: Any) -> Any:
    """Tensors below each other."""
    return cat([_ones_before(2)(x) for x in tensors])


@publish("hstack", method=False)
def hstack(tensors: Any) -> Any:
    """Tensors side by side."""
    parts = [_ones_before(1)(x) for x in tensors]
    return cat(parts, 0 if len(shape_of(parts[0])) == 1 else 1)


@publish("column_stack", method=False)
def column_stack(tensors: Any) -> Any:
    """Vectors as the columns of a matrix."""
    return hstack([unsqueeze(x, 1) if len(shape_of(x)) == 1 else x for x in tensors])


def _part(x: Any, axis: int, start: int, stop: int) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop),)]


@publish("split")
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces of one size (the last may be shorter), or of the sizes in a list."""
    axis = one_axis(dim, len(shape_of(tensor)))
    n = shape_of(tensor)[axis]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        lengths = [min(size, n - i) for i in range(0, n, size)] if n else [0]
    else:
        lengths = list(split_size_or_sections)
        if sum(lengths) != n:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input "
                "tensor's size "
                f"at dimension {axis}), but got split_sizes={lengths}"
            )
    parts, at = [], 0
    for length in lengths:
        parts.append(_part(tensor, axis, at, at + length))
        at += length
    return tuple(parts)


@publish("chunk")
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most so many pieces of one size."""
    n = shape_of(input)[dim]
    return split(input, max(1, -(-n // chunks)), dim)


@publish("tensor_split")
def tensor_split(input: Any, sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """So many pieces, the first ones larger by one; or cut before the given indices."""
    axis = one_axis(dim, len(shape_of(input)))
    n = shape_of(input)[axis]
    if isinstance(sections, int):
        small, extra = divmod(n, sections)
        return split(input, [small + (i < extra) for i in range(sections)], axis)
    edges = [0, *sections, n]
    return tuple(_part(input, axis, a, z) for a, z in itertools.pairwise(edges))


@publish("unbind")
def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """All slices along an axis."""
    axis = one_axis(dim, len(shape_of(input)))
    return tuple(
        input[(slice(None),) * axis + (i,)] for i in range(shape_of(input)[axis])
    )


@publish("narrow")
def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """`length` elements from `start` along an axis."""
    return _part(input, one_axis(dim, len(shape_of(input))), start, start + length)


@publish("flip", method=False)
def flip(input: Any, *dims: Any) -> Any:
    """The order along axes reversed."""
    axes = [one_axis(d, len(shape_of(input))) for d in sizes(dims)]
    return wrap(_core.flip(input, axes))


METHODS["flip"] = flip


@publish("fliplr")
def fliplr(input: Any) -> Any:
    """Left to right."""
    return flip(input, 1)


@publish("flipud")
def flipud(input: Any) -> Any:
    """Up to down."""
    return flip(input, 0)


@publish("rot90")
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """A plane turned k times by 90 degrees."""
    for _ in range(k % 4):
        input = flip(transpose(input, dims[0], dims[1]), dims[0])
    return input


@publish("roll")
def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Elements moved along axes; what falls off returns at the other end."""
    if dims is None:
        return reshape(roll(ravel(input), shifts, 0), shape_of(input))
    pairs = (
        [(shifts, dims)] if isinstance(shifts, int) else zip(shifts, dims, strict=True)
    )
    for shift, dim in pairs:
        axis = one_axis(dim, len(shape_of(input)))
        n = shape_of(input)[axis]
        if n:
            cut = (-shift) % n
            input = cat([_part(input, axis, cut, n), _part(input, axis, 0, cut)], axis)
    return input


@publish("meshgrid", method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """Coordinates of a grid; indexing "ij" or "xy"."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but '
            f"received: {indexing}"
        )
    swap = indexing == "xy" and len(tensors) > 1
    if swap:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple(max(1, x.numel()) if x.dim() == 0 else x.numel() for x in tensors)
    grids = []
    for i, x in enumerate(tensors):
        one = [1] * len(shape)
        one[i] = shape[i]
        grids.append(expand(_reshaped(x, tuple(one)), shape))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


@publish("cartesian_prod", method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """All combinations, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([ravel(g) for g in meshgrid(*tensors)], 1)
