"""Products of matrices and tensors, norms."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import cast, dims_product, is_float, to_float, to_tensor
from lamella.ops.shaping import axis_of, diagonal, expand_dims, moveaxis

__all__ = [
    "cdist",
    "corrcoef",
    "cross",
    "dot",
    "einsum",
    "inner",
    "kron",
    "matmul",
    "norm",
    "outer",
    "tensordot",
    "trapezoid",
    "vdot",
]


def matmul(x1: Any, x2: Any) -> Tensor:
    """Matrix product over the last two axes, the others broadcast (numpy's rules)."""
    a, b = to_tensor(x1), to_tensor(x2)
    if is_float(a) or is_float(b):
        return _core.matmul(a, b)
    # Integers: exact in float64 up to 2**53.
    kind = max(a.dtype, b.dtype, key=("bool", "uint8", "int32", "int64").index)
    return cast(_core.matmul(cast(a, "float64"), cast(b, "float64")), kind)


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Tensor:
    """Sum over pairs of axes.

    Args:
        x1: first tensor.
        x2: second tensor.
        axes: n (the last n axes of x1 with the first n of x2) or a pair of axes or of
            lists of axes.
    """
    a, b = to_tensor(x1), to_tensor(x2)
    if isinstance(axes, int):
        left = list(range(a.ndim - axes, a.ndim))
        right = list(range(axes))
    else:
        left, right = ([x] if isinstance(x, int) else list(x) for x in axes)
        left = [axis_of("tensordot", x, a.ndim) for x in left]
        right = [axis_of("tensordot", x, b.ndim) for x in right]
    keep_a = [i for i in range(a.ndim) if i not in left]
    keep_b = [i for i in range(b.ndim) if i not in right]
    inner_size = dims_product(b.dims[i] for i in right)
    rows = _core.transpose(a, (*keep_a, *left)) if a.ndim else a
    columns = _core.transpose(b, (*right, *keep_b)) if b.ndim else b
    out = matmul(
        _core.reshape(rows, (-1, inner_size)), _core.reshape(columns, (inner_size, -1))
    )
    shape = [a.dims[i] for i in keep_a] + [b.dims[i] for i in keep_b]
    return _core.reshape(out, tuple(shape))


def dot(x1: Any, x2: Any) -> Tensor:
    """Dot product: over the last axis of x1 and the last but one of x2."""
    a, b = to_tensor(x1), to_tensor(x2)
    if a.ndim == 0 or b.ndim == 0:
        return _core.mul(a, b)
    if b.ndim == 1:
        return tensordot(a, b, [[-1], [0]])
    return tensordot(a, b, [[-1], [-2]])


def inner(x1: Any, x2: Any) -> Tensor:
    """Sum over the last axes."""
    a, b = to_tensor(x1), to_tensor(x2)
    if a.ndim == 0 or b.ndim == 0:
        return _core.mul(a, b)
    return tensordot(a, b, [[-1], [-1]])


def vdot(x1: Any, x2: Any) -> Tensor:
    """Sum of the products of all elements."""
    return dot(_core.reshape(to_tensor(x1), (-1,)), _core.reshape(to_tensor(x2), (-1,)))


def outer(x1: Any, x2: Any) -> Tensor:
    """All products of an element of x1 with one of x2."""
    a = _core.reshape(to_tensor(x1), (-1, 1))
    return _core.mul(a, _core.reshape(to_tensor(x2), (1, -1)))


def kron(x1: Any, x2: Any) -> Tensor:
    """Kronecker product."""
    a, b = to_tensor(x1), to_tensor(x2)
    while a.ndim < b.ndim:
        a = _core.expand_dims(a, 0)
    while b.ndim < a.ndim:
        b = _core.expand_dims(b, 0)
    out = expand_dims(a, list(range(1, 2 * a.ndim, 2)))
    out = _core.mul(out, expand_dims(b, list(range(0, 2 * b.ndim, 2))))
    sizes = tuple(dims_product(pair) for pair in zip(a.dims, b.dims, strict=True))
    return _core.reshape(out, sizes)


def cross(
    x1: Any,
    x2: Any,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """Cross product of vectors of two or three components.

    Vectors of two components lie in the plane of the first two axes; the product of
    two of them is its third component alone.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(x1, axisa, -1), moveaxis(x2, axisb, -1)
    sizes = {a.shape[-1], b.shape[-1]}
    if not sizes <= {2, 3}:
        raise ValueError(
            "cross: the vectors must have 2 or 3 components, got "
            f"x1.shape={a.shape}, x2.shape={b.shape}"
        )
    ax, ay, bx, by = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    if sizes == {2}:
        return ax * by - ay * bx
    az = a[..., 2] if a.shape[-1] == 3 else _core.mul(ax, 0)
    bz = b[..., 2] if b.shape[-1] == 3 else _core.mul(bx, 0)
    parts = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]
    return moveaxis(_core.stack(parts, -1), -1, axisc)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Norm of vectors or of matrices.

    Args:
        x: tensor; integers compute in floats.
        ord: None (Euclid, Frobenius) or a number, inf, -inf; for matrices 1, -1, inf,
            -inf, "fro", and of the singular values (concrete x only) the sum "nuc", the
            largest 2 and the smallest -2.
        axis: an axis for vectors, a pair of axes for matrices, None for everything.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ValueError: unknown ord, or a norm by singular values of a traced x.
    """
    x = to_float(x)
    if isinstance(axis, list):
        axis = tuple(axis)
    if axis is None and ord is not None and x.ndim > 2:
        raise ValueError(
            f"norm: ord={ord!r} needs axis for a tensor of more than two axes, got "
            f"x.shape={x.shape}"
        )
    if axis is None and ord is not None:
        axis = tuple(range(x.ndim)) if x.ndim > 1 else 0
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    matrix = isinstance(axis, tuple)
    if ord is None or (matrix and ord == "fro") or (not matrix and ord == 2):
        return _core.sqrt(_core.sum(_core.square(x), axis, keepdims))
    size = _core.abs(x)
    if matrix:
        rows, columns = (axis_of("norm", a, x.ndim) for a in axis)
        if ord in (1, -1):
            inner_axis, outer_axis = rows, columns
        elif ord in (math.inf, -math.inf):
            inner_axis, outer_axis = columns, rows
        elif ord in (2, -2, "nuc"):
            from lamella.ops.matrices import svd

            values = svd(moveaxis(x, (rows, columns), (-2, -1)), compute_uv=False)
            reduce = {2: _core.max, -2: _core.min, "nuc": _core.sum}[ord]
            out = reduce(values, -1, False)
            return expand_dims(out, [rows, columns]) if keepdims else out
        else:
            raise ValueError(
                "norm: matrix norms are None, 'fro', 'nuc', 1, -1, 2, -2, inf, -inf, "
                f"got ord={ord!r}"
            )
        sums = _core.sum(size, inner_axis, True)
        out = (_core.max if ord > 0 else _core.min)(sums, outer_axis, True)
        return out if keepdims else _core.squeeze(out, (rows, columns))
    if ord == math.inf:
        return _core.max(size, axis, keepdims)
    if ord == -math.inf:
        return _core.min(size, axis, keepdims)
    if ord == 0:
        return _core.sum(cast(_core.not_equal(x, 0), x.dtype), axis, keepdims)
    if ord == 1:
        return _core.sum(size, axis, keepdims)
    if not isinstance(ord, int | float):
        raise ValueError(f"norm: vector norms take a number, got ord={ord!r}")
    return _core.pow(_core.sum(_core.pow(size, ord), axis, keepdims), 1.0 / ord)


def cdist(x: Any, y: Any) -> Tensor:
    """Euclidean distances between the rows of x and the rows of y."""
    x, y = to_float(x), to_float(y)
    gap = _core.expand_dims(x, -2) - _core.expand_dims(y, -3)
    return _core.sqrt(_core.sum(_core.square(gap), -1, False))


def corrcoef(x: Any) -> Tensor:
    """Correlation coefficients of the rows of x."""
    x = to_float(x)
    x = _core.reshape(x, (1, -1)) if x.ndim < 2 else x
    centred = x - _core.mean(x, -1, True)
    scaled = centred / _core.sqrt(_core.sum(_core.square(centred), -1, True))
    out = _core.matmul(scaled, _core.transpose(scaled, (1, 0)))
    return _core.clip(_core.squeeze(out, None) if x.shape[0] == 1 else out, -1.0, 1.0)


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Integral along an axis by the trapezoidal rule."""
    y = moveaxis(to_float(y), axis, -1)
    heights = y[..., 1:] + y[..., :-1]
    if x is None:
        return _core.sum(heights, -1, False) * (0.5 * dx)
    x = to_float(x)
    x = x if x.ndim == 1 else moveaxis(x, axis, -1)
    return 0.5 * _core.sum(heights * (x[..., 1:] - x[..., :-1]), -1, False)


def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Tensor:
    """Sum of products by Einstein's convention, as transposes and matrix products.

    Args:
        subscripts: such as "bij,bjk->bik"; "..." and a missing right side are allowed.
        *operands: one tensor for each term.
        **kwargs: `optimize` is accepted and ignored (operands go from left to right).

    Raises:
        ValueError: the terms do not fit the operands.
    """
    kwargs.pop("optimize", None)
    if kwargs:
        raise ValueError(f"einsum: unknown arguments {sorted(kwargs)}")
    tensors = [to_tensor(x) for x in operands]
    if len(tensors) == 2 and (result := _product(subscripts, *tensors)) is not None:
        return result
    terms, output = _parse(subscripts, tensors)
    current, labels = tensors[0], terms[0]
    if len(tensors) == 1:
        current, labels = _sum_out(current, labels, output)
    for i in range(1, len(tensors)):
        needed = set(output).union(*terms[i + 1 :])
        current, labels = _contract(current, labels, tensors[i], terms[i], needed)
    order = tuple(labels.index(c) for c in output)
    if order == tuple(range(len(order))):
        return current
    return _core.transpose(current, order)


class _Plan(NamedTuple):
    """A product of two terms as one product of matrices.

    Attributes:
        left: order of the first operand's axes, or None where they stay: those of the
            batch, its own, the summed ones.
        right: the same of the second: batch, summed, its own.
        shared: pairs of axes with the same letter.
        counts: axes of the batch, of the first alone, summed, of the second alone.
        output: order of the result's axes, or None.
    """

    left: tuple[int, ...] | None
    right: tuple[int, ...] | None
    shared: tuple[tuple[int, int], ...]
    counts: tuple[int, int, int, int]
    output: tuple[int, ...] | None


@functools.lru_cache(maxsize=256)
def _plan(subscripts: str, rank_a: int, rank_b: int) -> _Plan | None:
    """Return the plan of plain subscripts; None where a letter needs more than that."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    a, comma, b = left.partition(",")
    letters, both = set(a) | set(b), set(a) & set(b)
    if not (
        arrow
        and comma
        and a.isalpha()
        and b.isalpha()
        and (len(a), len(b)) == (rank_a, rank_b)
        and all(len(set(t)) == len(t) for t in (a, b, output))
        and set(output) <= letters
        and letters - set(output) <= both  # what is summed is summed over both
    ):
        return None
    batch = [c for c in a if c in b and c in output]
    summed = [c for c in a if c in b and c not in output]
    only_a = [c for c in a if c not in b]
    only_b = [c for c in b if c not in a]

    def order(letters: list[str], term: str) -> tuple[int, ...] | None:
        axes = tuple(term.index(c) for c in letters)
        return None if axes == tuple(range(len(axes))) else axes

    result = "".join(batch + only_a + only_b)
    return _Plan(
        order([*batch, *only_a, *summed], a),
        order([*batch, *summed, *only_b], b),
        tuple((a.index(c), b.index(c)) for c in (*batch, *summed)),
        (len(batch), len(only_a), len(summed), len(only_b)),
        order(list(output), result),
    )


def _product(subscripts: str, a: Tensor, b: Tensor) -> Tensor | None:
    """Return the einsum of operands of known sizes; None where no plan will do."""
    plan = _plan(subscripts, a.ndim, b.ndim)
    if plan is None:
        return None
    left, right = a.shape, b.shape
    if (
        None in left
        or None in right
        or any(left[i] != right[j] for i, j in plan.shared)
    ):
        return None
    if plan.left is not None:
        a = _core.transpose(a, plan.left)
        left = a.shape
    if plan.right is not None:
        b = _core.transpose(b, plan.right)
        right = b.shape
    batch, rows, summed, _ = plan.counts
    single = plan.counts[1:] == (1, 1, 1)
    if not single or batch > 1:
        lead = (math.prod(left[:batch]),) if batch else ()
        k = math.prod(left[batch + rows :])
        a = _core.reshape(a, (*lead, math.prod(left[batch : batch + rows]), k))
        b = _core.reshape(b, (*lead, k, math.prod(right[batch + summed :])))
    out = matmul(a, b)
    if not single or batch > 1:
        out = _core.reshape(out, (*left[: batch + rows], *right[batch + summed :]))
    return out if plan.output is None else _core.transpose(out, plan.output)


def _parse(subscripts: str, tensors: list[Tensor]) -> tuple[list[str], str]:
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ValueError(
            f"einsum: {subscripts!r} has {len(terms)} terms for {len(tensors)} operands"
        )
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in text]
    hidden = 0
    for term, x in zip(terms, tensors, strict=True):
        if "..." in term:
            hidden = max(hidden, x.ndim - len(term.replace("...", "")))
    dots = "".join(free[:hidden])
    for i, (term, x) in enumerate(zip(terms, tensors, strict=True)):
        if "..." in term:
            extra = x.ndim - len(term.replace("...", ""))
            term = terms[i] = term.replace("...", dots[len(dots) - extra :])
        if len(term) != x.ndim:
            raise ValueError(
                f"einsum: term {i} of {subscripts!r} must name each of the {x.ndim} "
                f"axes of its operand, got shape {x.shape}"
            )
        for letter in set(term):
            while term.count(letter) > 1:  # the diagonal of two axes
                first, second = term.index(letter), term.rindex(letter)
                x = tensors[i] = diagonal(x, 0, first, second)
                rest = term[:first] + term[first + 1 : second] + term[second + 1 :]
                term = terms[i] = rest + letter
    if arrow:
        output = right.replace("...", dots)
    else:
        letters = left.replace("...", "")
        once = sorted(c for c in set(letters) - {","} if letters.count(c) == 1)
        output = dots + "".join(once)
    unknown = set(output) - set("".join(terms))
    if unknown or len(set(output)) != len(output):
        raise ValueError(f"einsum: cannot form the right side of {subscripts!r}")
    return terms, output


def _sum_out(x: Tensor, labels: str, needed: Any) -> tuple[Tensor, str]:
    drop = tuple(i for i, c in enumerate(labels) if c not in needed)
    if not drop:
        return x, labels
    return _core.sum(x, drop, False), "".join(c for c in labels if c in needed)


def _contract(
    a: Tensor, left: str, b: Tensor, right: str, needed: set[str]
) -> tuple[Tensor, str]:
    """Product of two terms, summed over what neither the rest nor the output needs."""
    a, left = _sum_out(a, left, needed | set(right))
    b, right = _sum_out(b, right, needed | set(left))
    shared = [c for c in left if c in right]
    batch = [c for c in shared if c in needed]
    summed = [c for c in shared if c not in needed]
    only_a = [c for c in left if c not in right]
    only_b = [c for c in right if c not in left]
    size = dict(zip(left, a.dims, strict=True)) | dict(zip(right, b.dims, strict=True))
    for c in shared:  # a size of 1 broadcasts
        i, j = left.index(c), right.index(c)
        if a.shape[i] == 1 and b.shape[j] != 1:
            a = _core.broadcast_to(a, (*a.dims[:i], size[c], *a.dims[i + 1 :]))
        elif b.shape[j] == 1 and a.shape[i] != 1:
            size[c] = a.dims[i]
            b = _core.broadcast_to(b, (*b.dims[:j], size[c], *b.dims[j + 1 :]))
        elif None not in (a.shape[i], b.shape[j]) and a.shape[i] != b.shape[j]:
            raise ValueError(
                f"einsum: {c!r} names axes of different sizes: {a.shape[i]} in "
                f"{left!r} of shape {a.shape}, {b.shape[j]} in {right!r} of shape "
                f"{b.shape}"
            )

    def flat(x: Tensor, labels: str, *groups: list[str]) -> Tensor:
        order = [labels.index(c) for group in groups for c in group]
        x = _core.transpose(x, tuple(order)) if order != sorted(order) else x
        sizes: list[Any] = []
        for group in groups:
            dims = [size[c] for c in group]
            known = len(dims) < 2 or all(isinstance(n, int) for n in dims)
            sizes.append(-1 if not known and -1 not in sizes else dims_product(dims))
        return _core.reshape(x, tuple(sizes))

    out = matmul(
        flat(a, left, batch, only_a, summed), flat(b, right, batch, summed, only_b)
    )
    labels = batch + only_a + only_b
    return _core.reshape(out, tuple(size[c] for c in labels)), "".join(labels)
