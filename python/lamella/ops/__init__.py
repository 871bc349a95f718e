"""Tensor functions under Keras's names (`keras.ops`).

Every function runs eagerly on concrete tensors and is recorded while a Graph is traced,
so that what is written with them (layers, losses, metrics) runs at the speed of C++.
One file per family: conversion, creation, elementwise math, reductions, shapes and
indexing, linear algebra, neural-network functions, control flow.
"""

from __future__ import annotations

from lamella.ops import (
    bits,
    control,
    conversion,
    creation,
    ctc,
    elementwise,
    image,
    linalg,
    linear,
    matrices,
    neural,
    nn,
    numpy,
    patches,
    reduction,
    segments,
    shaping,
    spectral,
    statistics,
    symbolic,
)
from lamella.ops._operations import ALIASES, BY_FUNCTION
from lamella.ops.bits import *  # noqa: F403
from lamella.ops.control import *  # noqa: F403
from lamella.ops.conversion import *  # noqa: F403
from lamella.ops.creation import *  # noqa: F403
from lamella.ops.ctc import *  # noqa: F403
from lamella.ops.elementwise import *  # noqa: F403
from lamella.ops.linear import *  # noqa: F403
from lamella.ops.matrices import *  # noqa: F403
from lamella.ops.neural import *  # noqa: F403
from lamella.ops.patches import *  # noqa: F403
from lamella.ops.reduction import *  # noqa: F403
from lamella.ops.segments import *  # noqa: F403
from lamella.ops.shaping import *  # noqa: F403
from lamella.ops.spectral import *  # noqa: F403
from lamella.ops.statistics import *  # noqa: F403

__all__ = [
    *bits.__all__,
    *control.__all__,
    *conversion.__all__,
    *creation.__all__,
    *ctc.__all__,
    *elementwise.__all__,
    "image",
    *linear.__all__,
    *matrices.__all__,
    *neural.__all__,
    *patches.__all__,
    *reduction.__all__,
    *segments.__all__,
    *shaping.__all__,
    *spectral.__all__,
    *statistics.__all__,
    "linalg",
    "nn",
    "numpy",
]

for _name in [*BY_FUNCTION, *ALIASES]:
    if _name in image.__all__:
        continue  # it has been done there
    globals()[_name] = symbolic.lift(_name, globals()[_name])
for _name in {*creation.__all__} - {*BY_FUNCTION}:  # which take no placeholders
    globals()[_name] = symbolic.direct(globals()[_name])

# Names of Keras that lamella does not have, for the error text.
_UNSUPPORTED = """
    eig polar view_as_complex view_as_real
"""


def __getattr__(name: str) -> object:
    if name in _UNSUPPORTED.split():
        raise AttributeError(
            f"lamella.ops.{name} is a Keras function that lamella does not offer; "
            "it needs complex tensors; compute it with numpy outside the model"
        )
    if name.startswith("__"):
        raise AttributeError(name)
    from lamella.config import near_names

    raise AttributeError(
        f"module 'lamella.ops' has no attribute {name!r}. {near_names(name, __all__)}"
    )
