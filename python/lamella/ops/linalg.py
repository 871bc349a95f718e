"""`keras.ops.linalg`: the functions of `lamella.ops` for linear algebra."""

from __future__ import annotations

from typing import Any

_NAMES = frozenset(
    [
        "cholesky",
        "cholesky_inverse",
        "det",
        "eigh",
        "inv",
        "jvp",
        "lstsq",
        "lu_factor",
        "matrix_rank",
        "norm",
        "pinv",
        "qr",
        "solve",
        "solve_triangular",
        "svd",
    ]
)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        from lamella import ops

        return getattr(ops, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)
