"""Factorizations, systems of equations, determinants: functions of square matrices.

What has a gradient and runs in a traced model is written over the core's Cholesky
factorization and its solvers. The factorizations that remain (qr, svd, eigh,
lu_factor) and what is made of them are numpy's and take concrete tensors only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import cast, convert_to_tensor, is_concrete, to_float
from lamella.ops.shaping import swapaxes

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eigh",
    "inv",
    "logdet",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
]


def _matrix(name: str, x: Any, square: bool = False) -> Tensor:
    x = to_float(x)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        raise ValueError(
            f"{name}: expected {'square ' if square else ''}matrices (..., "
            f"{'n, n' if square else 'm, n'}), got x.shape={x.shape}"
        )
    return x


def _checked(name: str, what: str, out: Tensor, *given: Tensor) -> Tensor:
    """`out`, unless it shows that a concrete matrix did not have what is asked."""
    if not is_concrete(out) or np.isfinite(out.numpy()).all():
        return out
    if all(np.isfinite(x.numpy()).all() for x in given):
        raise ValueError(f"{name}: {what}")
    return out


def cholesky(x: Any, upper: bool = False) -> Tensor:
    """The triangular factor of a positive definite matrix.

    Args:
        x: (..., n, n); one triangle is read.
        upper: return U with U^T U = x instead of L with L L^T = x.

    Raises:
        ValueError: a matrix is not positive definite (NaN in a traced model).
    """
    x = _matrix("cholesky", x, square=True)
    factor = _core.cholesky(swapaxes(x, -1, -2) if upper else x)
    factor = _checked("cholesky", "x must be positive definite", factor, x)
    return swapaxes(factor, -1, -2) if upper else factor


def cholesky_inverse(x: Any, upper: bool = False) -> Tensor:
    """Inverse of the matrix whose Cholesky factor is x.

    Args:
        x: triangular factor, (..., n, n).
        upper: x is U with U^T U = a instead of L with L L^T = a.
    """
    x = _matrix("cholesky_inverse", x, square=True)
    eye = convert_to_tensor(np.eye(x.shape[-1], dtype=x.dtype))
    half = _core.triangular_solve(
        x, eye if x.ndim == 2 else _like(eye, x), not upper, upper
    )
    return _core.matmul(swapaxes(half, -1, -2), half)


def _like(matrix: Tensor, x: Tensor) -> Tensor:
    return _core.broadcast_to(matrix, (*x.dims[:-2], *matrix.dims))


def det(x: Any) -> Tensor:
    """Determinant of square matrices."""
    return _core.det(_matrix("det", x, square=True))


def slogdet(x: Any) -> tuple[Tensor, Tensor]:
    """Sign of the determinant, and the logarithm of its magnitude."""
    sign, log = _core.slogdet(_matrix("slogdet", x, square=True))
    return sign, log


def logdet(x: Any) -> Tensor:
    """Logarithm of the determinant; NaN where that is negative."""
    sign, log = _core.slogdet(_matrix("logdet", x, square=True))
    return _core.where(_core.less(sign, 0), float("nan"), log)


def inv(x: Any) -> Tensor:
    """Inverse of square matrices.

    Raises:
        ValueError: a matrix is singular (infinities or NaN in a traced model).
    """
    x = _matrix("inv", x, square=True)
    return _checked("inv", "x must not be singular", _core.inverse(x), x)


def _solve(
    name: str, how: Callable[[Tensor, Tensor], Tensor], a: Any, b: Any
) -> Tensor:
    a, b = _matrix(name, a, square=True), to_float(b)
    if b.ndim == a.ndim - 1:
        columns = _core.expand_dims(b, -1)
        return _core.squeeze(how(a, columns), -1)
    if b.ndim < a.ndim - 1:
        raise ValueError(
            f"{name}: b must have the axes of a, or one less, got a.shape={a.shape}, "
            f"b.shape={b.shape}"
        )
    return how(a, b)


def solve(a: Any, b: Any) -> Tensor:
    """x with a x = b.

    Args:
        a: square matrices (..., n, n).
        b: right-hand sides (..., n, k), or one vector for each matrix (..., n).

    Raises:
        ValueError: a matrix is singular (infinities or NaN in a traced model).
    """
    out = _solve("solve", _core.solve, a, b)
    return _checked("solve", "a must not be singular", out, to_float(a), to_float(b))


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Tensor:
    """x with a x = b, where a is triangular.

    Args:
        a: (..., n, n); the other triangle is not read.
        b: right-hand sides (..., n, k), or one vector for each matrix (..., n).
        lower: whether the lower triangle of a counts.
    """
    return _solve(
        "solve_triangular", lambda p, q: _core.triangular_solve(p, q, bool(lower)), a, b
    )


# What numpy computes.


def _concrete(name: str, x: Any) -> tuple[np.ndarray, str]:
    x = _matrix(name, x)
    if not is_concrete(x):
        raise ValueError(
            f"{name}: cannot be used inside a traced model; compile with "
            "run_eagerly=True or compute it outside"
        )
    if x.requires_grad and _core.is_grad_enabled():
        raise ValueError(
            f"{name}: has no gradient; pass ops.stop_gradient(x) where none is wanted"
        )
    return x.numpy(), x.dtype


def qr(x: Any, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Q with orthonormal columns and upper triangular R, Q R = x (concrete x only).

    Args:
        x: (..., m, n).
        mode: "reduced" for Q (..., m, min(m, n)), "complete" for Q (..., m, m).

    Raises:
        ValueError: another mode, or x is traced.
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode must be 'reduced' or 'complete', got mode={mode!r}")
    a, _ = _concrete("qr", x)
    q, r = np.linalg.qr(a, "complete" if mode == "complete" else "reduced")
    return convert_to_tensor(q), convert_to_tensor(r)


def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular value decomposition x = U diag(s) V^T (concrete x only).

    Args:
        x: (..., m, n).
        full_matrices: U (..., m, m) and V^T (..., n, n) instead of min(m, n) columns
            and rows.
        compute_uv: return U and V^T, too.

    Returns:
        (U, s, V^T), or s alone; s in descending order.
    """
    a, _ = _concrete("svd", x)
    if not compute_uv:
        return convert_to_tensor(np.linalg.svd(a, compute_uv=False))
    return tuple(convert_to_tensor(p) for p in np.linalg.svd(a, full_matrices))


def eigh(x: Any) -> tuple[Tensor, Tensor]:
    """Eigenvalues (ascending) and eigenvectors (columns) of symmetric matrices.

    The lower triangle of x is read; concrete x only.
    """
    values, vectors = np.linalg.eigh(_concrete("eigh", x)[0])
    return convert_to_tensor(values), convert_to_tensor(vectors)


def lu_factor(x: Any) -> tuple[Tensor, Tensor]:
    """LU factorization with partial pivoting (concrete x only).

    Returns:
        L (below the diagonal, with ones on it) and U in one matrix (..., m, n), and the
        row that was exchanged with each row, int32 (..., min(m, n)).
    """
    a, _ = _concrete("lu_factor", x)
    lu = a.copy()
    count = min(a.shape[-2:])
    pivots = np.empty((*a.shape[:-2], count), np.int32)
    for place in np.ndindex(*a.shape[:-2]):
        m = lu[place]
        chosen: list[int] = []
        for k in range(count):
            p = k + int(np.argmax(np.abs(m[k:, k])))
            chosen.append(p)
            m[[k, p]] = m[[p, k]]
            if m[k, k] != 0:
                m[k + 1 :, k] /= m[k, k]
                m[k + 1 :, k + 1 :] -= np.outer(m[k + 1 :, k], m[k, k + 1 :])
        pivots[place] = chosen
    return convert_to_tensor(lu), convert_to_tensor(pivots)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> Tensor:
    """x that makes |a x - b| least (concrete tensors only).

    Args:
        a: (m, n).
        b: (m,) or (m, k).
        rcond: singular values below rcond times the largest count as 0.
    """
    p, dtype = _concrete("lstsq", a)
    q = to_float(b).numpy()
    if p.ndim != 2 or q.ndim not in (1, 2):
        raise ValueError(
            "lstsq: expected a matrix a and a vector or matrix b, got "
            f"a.shape={p.shape}, b.shape={q.shape}"
        )
    out = np.linalg.lstsq(p, q, rcond)[0]
    return convert_to_tensor(out, dtype)


def pinv(x: Any, rcond: float | None = None) -> Tensor:
    """Moore-Penrose inverse (concrete x only).

    Args:
        x: (..., m, n).
        rcond: singular values below rcond times the largest count as 0; default
            max(m, n) times the precision of the dtype.
    """
    a, dtype = _concrete("pinv", x)
    if rcond is None:
        rcond = max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)
    return convert_to_tensor(np.linalg.pinv(a, rcond), dtype)


def matrix_rank(x: Any, tol: float | None = None) -> Tensor:
    """Number of singular values above tol, int32 (concrete x only).

    Args:
        x: (..., m, n).
        tol: default max(m, n) times the precision of the dtype times the largest one.
    """
    a, _ = _concrete("matrix_rank", x)
    return cast(np.asarray(np.linalg.matrix_rank(a, tol)), "int32")
