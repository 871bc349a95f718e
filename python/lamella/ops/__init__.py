"""Tensor functions under Keras's names (`keras.ops`).

Every function runs eagerly on concrete tensors and is recorded while a Graph is traced,
so that what is written with them (layers, losses, metrics) runs at the speed of C++.
One file per family: conversion, creation, elementwise math, reductions, shapes and
indexing, linear algebra, neural-network functions, control flow.
"""

from __future__ import annotations

from lamella.ops import (
    control,
    conversion,
    creation,
    elementwise,
    image,
    linear,
    neural,
    reduction,
    shaping,
    symbolic,
)
from lamella.ops._operations import ALIASES, BY_FUNCTION
from lamella.ops.control import *  # noqa: F403
from lamella.ops.conversion import *  # noqa: F403
from lamella.ops.creation import *  # noqa: F403
from lamella.ops.elementwise import *  # noqa: F403
from lamella.ops.linear import *  # noqa: F403
from lamella.ops.neural import *  # noqa: F403
from lamella.ops.reduction import *  # noqa: F403
from lamella.ops.shaping import *  # noqa: F403

__all__ = [
    *control.__all__,
    *conversion.__all__,
    *creation.__all__,
    *elementwise.__all__,
    "image",
    *linear.__all__,
    *neural.__all__,
    *reduction.__all__,
    *shaping.__all__,
]

for _name in [*BY_FUNCTION, *ALIASES]:
    if _name in image.__all__:
        continue  # it has been done there
    globals()[_name] = symbolic.lift(_name, globals()[_name])

# Names of Keras that lamella does not have, for the error text.
_UNSUPPORTED = """
    argpartition associative_scan bartlett bitwise_left_shift
    bitwise_right_shift blackman cholesky cholesky_inverse correlate ctc_decode
    ctc_loss det eig eigh erfinv extract_sequences fft fft2 fold fori_loop gcd
    hamming hanning histogram i0 ifft2 imag inv irfft istft jvp kaiser lcm
    left_shift logdet lstsq lu_factor matrix_rank median nanmedian nanpercentile
    nanquantile nextafter nonzero percentile pinv polar qr quantile real
    rearrange rfft right_shift scan segment_prod slogdet solve solve_triangular
    stft svd unfold unique view view_as_complex view_as_real while_loop
"""


def __getattr__(name: str) -> object:
    if name in _UNSUPPORTED.split():
        raise AttributeError(
            f"lamella.ops.{name} is a Keras function that lamella does not offer; "
            "compute it with numpy outside the model"
        )
    if name.startswith("__"):
        raise AttributeError(name)
    from lamella.config import near_names

    raise AttributeError(
        f"module 'lamella.ops' has no attribute {name!r}. {near_names(name, __all__)}"
    )
