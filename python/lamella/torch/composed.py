"""Functions that are short compositions of others, and differentiable as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._dtype import Size
from .matrices import LINALG, matmul
from .pointwise import FUNCTIONS as F
from .pointwise import publish
from .tensor import Tensor, shape_of

__all__: list[str] = []


def _several(tensors: tuple[Any, ...]) -> Any:
    """The tensors of f(a, b) or f([a, b])."""
    if len(tensors) == 1 and not isinstance(tensors[0], Tensor):
        return list(tensors[0])
    return list(tensors)


def _at_least(rank: int, tensors: tuple[Any, ...]) -> Any:
    made = []
    for x in _several(tensors):
        shape = list(shape_of(x))
        if rank == 3 and len(shape) in (1, 2):  # the new last axis is PyTorch's choice
            shape = [1] * (2 - len(shape)) + shape + [1]
        made.append(x.reshape([1] * (rank - len(shape)) + shape))
    alone = len(tensors) == 1 and isinstance(tensors[0], Tensor)
    return made[0] if alone else tuple(made)


@publish("atleast_1d", method=False)
def atleast_1d(*tensors: Any) -> Any:
    """The tensors with at least one axis."""
    return _at_least(1, tensors)


@publish("atleast_2d", method=False)
def atleast_2d(*tensors: Any) -> Any:
    """The tensors with at least two axes."""
    return _at_least(2, tensors)


@publish("atleast_3d", method=False)
def atleast_3d(*tensors: Any) -> Any:
    """The tensors with at least three axes."""
    return _at_least(3, tensors)


@publish("dstack", method=False)
def dstack(tensors: Any) -> Any:
    """The tensors joined along the third axis."""
    return F["cat"](list(atleast_3d(*tensors, tensors[0])[:-1]), 2)


@publish("block_diag", method=False)
def block_diag(*tensors: Any) -> Any:
    """The matrices along the diagonal of one matrix, zeros elsewhere."""
    blocks = [atleast_2d(x) for x in tensors]
    width = sum(shape_of(b)[1] for b in blocks)
    rows, before = [], 0
    for b in blocks:
        height, n = shape_of(b)
        left = b.new_zeros((height, before))
        right = b.new_zeros((height, width - before - n))
        rows.append(F["cat"]([left, b, right], 1))
        before += n
    return F["cat"](rows, 0)


@publish("diagflat")
def diagflat(input: Any, offset: int = 0) -> Any:
    """A matrix with all elements of the input on a diagonal."""
    return F["diag"](input.reshape(-1), offset)


@publish("isin", method=False)
def isin(elements: Any, test_elements: Any, *, invert: bool = False) -> Any:
    """Whether each element is one of the test elements."""
    if not isinstance(elements, Tensor):
        elements = test_elements.new_tensor(elements)
    if not isinstance(test_elements, Tensor):
        test_elements = elements.new_tensor(test_elements)
    found = (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)
    return ~found if invert else found


@publish("trapezoid", "trapz", method=False)
def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The integral of y along an axis by the trapezoidal rule."""
    y = y.movedim(dim, -1)
    means = (y[..., 1:] + y[..., :-1]) / 2
    if x is None:
        return means.sum(-1) * dx
    x = x if x.dim() == 1 else x.movedim(dim, -1)
    return (means * (x[..., 1:] - x[..., :-1])).sum(-1)


@publish("matrix_power")
def matrix_power(input: Any, n: int) -> Any:
    """The n-th power of square matrices, n >= 0."""
    if n < 0:
        raise RuntimeError(f"matrix_power: n={n} is negative; invert the matrix first")
    size = shape_of(input)[-1]
    power = F["zeros_like"](input) + F["diag"](input.new_ones(size))
    while n:
        if n % 2:
            power = matmul(power, input)
        input, n = (matmul(input, input), n // 2) if n > 1 else (input, 0)
    return power


@publish("cov")
def cov(input: Any, *, correction: int = 1) -> Any:
    """The covariances of the rows, each row a variable."""
    rows = input.reshape(1, -1) if input.dim() < 2 else input
    centred = rows - rows.mean(1, keepdim=True)
    product = matmul(centred, centred.T) / (shape_of(rows)[1] - correction)
    return product if input.dim() > 1 else product.reshape(())


@publish("corrcoef")
def corrcoef(input: Any) -> Any:
    """The correlations of the rows, each row a variable."""
    c = cov(input)
    if c.dim() == 0:
        return c / c
    scale = F["diagonal"](c).sqrt()
    return c / scale.unsqueeze(1) / scale.unsqueeze(0)


@publish("is_nonzero")
def is_nonzero(input: Any) -> bool:
    """Whether the one element is not zero."""
    if input.numel() != 1:
        raise RuntimeError(
            f"is_nonzero: expected one element, got shape {shape_of(input)}"
        )
    return bool(input)


@publish("broadcast_shapes", method=False)
def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of these shapes have together."""
    return Size(np.broadcast_shapes(*shapes))


@publish("zero_", method=False)
def zero_(input: Any) -> Any:
    """Fills the input with zeros."""
    return input.zero_()


@publish("svd")
def svd(input: Any, some: bool = True) -> Any:
    """U, S and V (not its transpose) of the singular value decomposition."""
    u, s, vh = LINALG["svd"](input, full_matrices=not some)
    return u, s, vh.transpose(-2, -1)
