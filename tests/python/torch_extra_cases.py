"""Compositions of torch functions, for either library."""

from __future__ import annotations

from torch_cases import Case, gradients

A, V = (3, 4), (5,)
COMPOSED: dict[str, Case] = {
    "atleast_1d": gradients(lambda t, x: t.atleast_1d(x.sum()), A),
    "atleast_2d": gradients(lambda t, x: t.atleast_2d(x), V),
    "atleast_3d": gradients(lambda t, x, y: t.atleast_3d(x, y)[1], A, V),
    "atleast_list": lambda t: list(t.atleast_2d([t.ones(2), t.tensor(1.0)])),
    "dstack": gradients(lambda t, x, y: t.dstack((x, y)), A, A),
    "dstack_one": gradients(lambda t, x: t.dstack([x]), V),
    "block_diag": gradients(lambda t, x, y: t.block_diag(x, y), A, V),
    "diagflat": gradients(lambda t, x: t.diagflat(x, 1), A),
    "isin": lambda t: [
        t.isin(t.arange(6).reshape(2, 3), t.tensor([1, 4])),
        t.isin(t.arange(3), 2, invert=True),
    ],
    "trapezoid": gradients(lambda t, x: t.trapezoid(x, dx=0.5, dim=0), A),
    "trapz": gradients(lambda t, x, y: t.trapz(x, y), A, (4,)),
    "matrix_power": gradients(lambda t, x: t.matrix_power(x, 5), (2, 3, 3)),
    "matrix_power_0": lambda t: t.matrix_power(t.ones(2, 2), 0),
    "cov": gradients(lambda t, x: t.cov(x), A),
    "cov_vector": gradients(lambda t, x: x.cov(correction=0), V),
    "corrcoef": gradients(lambda t, x: x.corrcoef(), A),
    "is_nonzero": lambda t: [t.is_nonzero(t.tensor([0.0])), t.tensor(2).is_nonzero()],
    "broadcast_shapes": lambda t: str(t.broadcast_shapes((2, 1), (3,))),
    "zero_": lambda t: t.zero_(t.ones(3)),
    "svd": lambda t: t.svd(t.arange(6.0).reshape(2, 3))[1],
}
