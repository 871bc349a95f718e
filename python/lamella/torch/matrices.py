"""Products of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core

from .pointwise import BINARY, by_numpy, publish, store
from .reduce import norm
from .shape import reshape, transpose
from .tensor import Tensor, dtype_of, shape_of, wrap

__all__ = ["LINALG"]


def _same_type(name: str, *tensors: Any) -> None:
    kinds = {dtype_of(x) for x in tensors}
    if len(kinds) > 1:
        a, b = (dtype_of(x) for x in tensors[:2])
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {a} != {b}"
        )


@publish("matmul")
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The matrix product; leading axes are broadcast, vectors are rows or columns."""
    _same_type("matmul", input, other)
    a, b = shape_of(input), shape_of(other)
    if not a or not b:
        raise RuntimeError(
            "both arguments to matmul need to be at least 1D, but they are "
            f"{len(a)}D and {len(b)}D"
        )
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        if len(a) == len(b) == 1:
            raise RuntimeError(
                "inconsistent tensor size, expected tensor "
                f"[{a[0]}] and src [{b[0]}] to have the same number of elements, but "
                "got "
                f"{a[0]} and {b[0]} elements respectively"
            )
        if len(b) == 1:
            raise RuntimeError(
                f"size mismatch, got input ({a[-2]}), mat ({a[-2]}x{a[-1]}), vec "
                f"({b[0]})"
            )
        rows = math.prod(a[:-1]) if len(b) == 2 else a[-2] if len(a) > 1 else 1
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and "
            f"{inner}x{b[-1]})"
        )
    y = wrap(_core.matmul(input, other))
    return store(y if dtype_of(y) is dtype_of(input) else y.to(dtype_of(input)), out)


BINARY["__matmul__"] = matmul


def _ranked(name: str, ranks: tuple[int, int]) -> Any:
    def function(input: Any, other: Any, *, out: Any = None) -> Any:
        for x, rank, which in zip((input, other), ranks, ("self", "mat2"), strict=True):
            if len(shape_of(x)) != rank:
                kind = {1: "vector", 2: "matrix", 3: "batch of matrices"}[rank]
                raise RuntimeError(
                    f"{name}: {which} must be a {kind}, got {len(shape_of(x))}D"
                )
        return matmul(input, other, out=out)

    return function


for _name, _ranks in {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1)}.items():
    publish(_name)(_ranked(_name, _ranks))


@publish("vdot")
def vdot(input: Any, other: Any) -> Any:
    """The scalar product of two vectors."""
    return matmul(input, other)


@publish("inner")
def inner(input: Any, other: Any) -> Any:
    """The product summed over the last axes."""
    if not shape_of(input) or not shape_of(other):
        return input * other
    return tensordot(input, other, ([-1], [-1]))


@publish("outer", "ger")
def outer(input: Any, vec2: Any) -> Any:
    """All products of two vectors' elements."""
    return reshape(input, (-1, 1)) * reshape(vec2, (1, -1))


@publish("addmm", in_place=True)
def addmm(
    input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1
) -> Any:
    """beta * input + alpha * (mat1 @ mat2)."""
    product = matmul(mat1, mat2)
    return (input if beta == 1 else input * beta) + (
        product if alpha == 1 else product * alpha
    )


publish("addmv", "baddbmm")(addmm)


@publish("addr")
def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * outer(vec1, vec2)."""
    return input * beta + outer(vec1, vec2) * alpha


@publish("tensordot", method=False)
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """The product summed over pairs of axes."""
    ra, rb = len(shape_of(a)), len(shape_of(b))
    if isinstance(dims, int):
        left, right = list(range(ra - dims, ra)), list(range(dims))
    else:
        left, right = ([d % ra for d in dims[0]], [d % rb for d in dims[1]])
    keep_a = [i for i in range(ra) if i not in left]
    keep_b = [i for i in range(rb) if i not in right]
    n = math.prod(shape_of(a)[i] for i in left)
    x = _core.reshape(_core.transpose(a, keep_a + left) if ra else a, (-1, n))
    y = _core.reshape(_core.transpose(b, right + keep_b) if rb else b, (n, -1))
    shape = [shape_of(a)[i] for i in keep_a] + [shape_of(b)[i] for i in keep_b]
    return wrap(_core.reshape(_core.matmul(x, y), shape))


@publish("kron")
def kron(input: Any, other: Any) -> Any:
    """The Kronecker product of two matrices."""
    (a, b), (c, d) = shape_of(input), shape_of(other)
    return reshape(
        reshape(input, (a, 1, b, 1)) * reshape(other, (1, c, 1, d)), (a * c, b * d)
    )


@publish("trace")
def trace(input: Any) -> Any:
    """The sum of the diagonal."""
    from .index import diagonal
    from .reduce import sum

    return sum(diagonal(input))


@publish("cross")
def cross(input: Any, other: Any, dim: int = -1) -> Any:
    """The vector product along an axis of size 3."""
    from .shape import stack, unbind

    a, b = unbind(input, dim), unbind(other, dim)
    parts = [
        a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3]
        for i in range(3)
    ]
    return stack(parts, dim)


@publish("cdist", method=False)
def cdist(x1: Any, x2: Any, p: float = 2.0) -> Any:
    """Distances between all rows of x1 and all rows of x2."""
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


# ---------------------------------------------------------------- einsum


def _labels(equation: str, ranks: list[int]) -> tuple[list[list[str]], list[str]]:
    """Labels of each operand and of the result; an ellipsis gets labels too."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise RuntimeError(
            "einsum(): more operands were provided than specified in the equation"
            if len(terms) < len(ranks)
            else "einsum(): fewer operands were provided than specified in the equation"
        )
    widths = [r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True)]
    for t, width in zip(terms, widths, strict=True):
        if width < 0 or (width and "..." not in t):
            raise RuntimeError(
                "einsum(): the number of subscripts in the equation "
                f"({len(t)}) does not match the number of dimensions of an operand"
            )
    dots = max((w for t, w in zip(terms, widths, strict=True) if "..." in t), default=0)
    extra = [f".{i}" for i in range(dots)]

    def split(term: str, width: int) -> list[str]:
        if "..." not in term:
            return list(term)
        before, _, after = term.partition("...")
        return [*before, *extra[dots - width :], *after]

    inputs = [split(t, w) for t, w in zip(terms, widths, strict=True)]
    if arrow:
        return inputs, split(right, dots)
    flat = [c for term in inputs for c in term]
    return inputs, extra + sorted(
        c for c in set(flat) if flat.count(c) == 1 and c[0] != "."
    )


def _contract(x: Any, lx: list[str], y: Any, ly: list[str], keep: set[str]) -> Any:
    """The product of two operands, summed over labels that no one needs any more."""
    shared = [c for c in lx if c in ly]
    batch = [c for c in shared if c in keep]
    summed = [c for c in shared if c not in keep]
    only_x = [c for c in lx if c not in ly]
    only_y = [c for c in ly if c not in lx]
    size = dict(zip(lx, shape_of(x), strict=True))
    for c, n in zip(ly, shape_of(y), strict=True):
        size[c] = max(n, size.get(c, 1))

    def arranged(v: Any, labels: list[str], order: list[list[str]]) -> Any:
        flat = [c for group in order for c in group]
        v = _core.transpose(v, [labels.index(c) for c in flat]) if flat else v
        v = _core.broadcast_to(v, [size[c] for c in flat])
        return _core.reshape(v, [math.prod(size[c] for c in group) for group in order])

    product = _core.matmul(
        arranged(x, lx, [batch, only_x, summed]),
        arranged(y, ly, [batch, summed, only_y]),
    )
    out = batch + only_x + only_y
    return _core.reshape(product, [size[c] for c in out]), out


@publish("einsum", method=False)
def einsum(equation: str, *operands: Any) -> Any:
    """Sums of products named by an equation such as "ij,jk->ik"."""
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    inputs, output = _labels(equation, [len(shape_of(x)) for x in operands])
    values: list[tuple[Any, list[str]]] = []
    for x, labels in zip(operands, inputs, strict=True):
        values.append(_single(x, labels))
    while len(values) > 1:
        (x, lx), (y, ly) = values[0], values[1]
        keep = set(output).union(*(set(labels) for _, labels in values[2:]))
        lone_x = [i for i, c in enumerate(lx) if c not in keep and c not in ly]
        lone_y = [i for i, c in enumerate(ly) if c not in keep and c not in lx]
        if lone_x:
            x, lx = (
                _core.sum(x, lone_x),
                [c for i, c in enumerate(lx) if i not in lone_x],
            )
        if lone_y:
            y, ly = (
                _core.sum(y, lone_y),
                [c for i, c in enumerate(ly) if i not in lone_y],
            )
        values[:2] = [_contract(x, lx, y, ly, keep)]
    x, labels = values[0]
    gone = [i for i, c in enumerate(labels) if c not in output]
    if gone:
        x, labels = _core.sum(x, gone), [c for c in labels if c in output]
    if labels != output:
        x = _core.transpose(x, [labels.index(c) for c in output])
    return wrap(x)


def _single(x: Any, labels: list[str]) -> tuple[Any, list[str]]:
    """An operand with each label once (a repeated one reads the diagonal)."""
    from .index import diagonal

    labels = list(labels)
    while len(set(labels)) < len(labels):
        c = next(c for c in labels if labels.count(c) > 1)
        i = labels.index(c)
        j = labels.index(c, i + 1)
        x = diagonal(x, 0, i, j)
        del labels[j], labels[i]
        labels.append(c)
    return x, labels


# ---------------------------------------------------------------- torch.linalg

LINALG: dict[str, Any] = {"norm": None, "cross": cross, "matmul": matmul}


def _numeric(name: str, f: Any) -> None:
    """A function computed by numpy: it has values, but no gradient."""

    def function(input: Any, *args: Any) -> Any:
        if (
            isinstance(input, Tensor)
            and input.requires_grad
            and _core.is_grad_enabled()
        ):
            raise RuntimeError(
                f"linalg.{name}: lamella.torch has no gradient for it; call it on "
                "x.detach()"
            )
        kind = dtype_of(input).name
        return by_numpy(lambda *a: np.asarray(f(*a)).astype(kind), input, *args)

    LINALG[name] = function


for _name in ("det", "pinv", "cholesky", "eigvalsh", "solve", "matrix_power"):
    _numeric(_name, getattr(np.linalg, _name))


def inv(input: Any) -> Any:
    """The inverse of a square matrix (differentiable)."""
    a = _core.Tensor.numpy(input.detach())
    try:
        value = _core.from_numpy(np.linalg.inv(a), True)
    except np.linalg.LinAlgError:
        raise RuntimeError(
            "linalg.inv: The diagonal element is zero, the inversion could not be "
            "completed "
            "because the input matrix is singular."
        ) from None
    if not (input.requires_grad and _core.is_grad_enabled()):
        return wrap(value)
    across = transpose(wrap(value), -2, -1)

    def vjp(grads: Any) -> Any:
        return [_core.neg(_core.matmul(_core.matmul(across, grads[0]), across))]

    return wrap(_core.record_custom("inv", [input], [value], vjp)[0])


publish("inverse")(inv)
publish("det")(LINALG["det"])
publish("pinverse")(LINALG["pinv"])
LINALG["inv"] = inv


def linalg_norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
    """The norm of a vector (2) or matrix (Frobenius)."""
    return norm(A, 2 if ord is None else ord, dim, keepdim)


LINALG["norm"] = LINALG["vector_norm"] = linalg_norm


def _decomposition(name: str, f: Any) -> None:
    def function(input: Any, **options: Any) -> Any:
        from .tensor import new_tensor

        kind = dtype_of(input).name
        parts = f(_core.Tensor.numpy(input.detach()), **options)
        return tuple(new_tensor(np.ascontiguousarray(p).astype(kind)) for p in parts)

    LINALG[name] = function


_decomposition("svd", np.linalg.svd)
_decomposition("eigh", np.linalg.eigh)
_decomposition("qr", np.linalg.qr)
