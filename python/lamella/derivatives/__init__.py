"""Derivatives of Python functions and models, of any order, with respect to anything.

`grad`, `value_and_grad`, `vjp`, `jvp`, `jacobian` and `hessian` take a function written
with `lamella.ops` (layers and models included) and nest freely; inside a traced `call`,
loss or `train_step` they become part of the compiled step. `GradientTape` is the same
in TensorFlow's idiom.
"""

from lamella.derivatives._walk import Recording
from lamella.derivatives.functions import (
    grad,
    hessian,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)
from lamella.derivatives.tape import GradientTape

__all__ = [
    "GradientTape",
    "Recording",
    "grad",
    "hessian",
    "jacobian",
    "jvp",
    "value_and_grad",
    "vjp",
]
