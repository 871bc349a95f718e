"""Activations as modules."""

from __future__ import annotations

from inspect import Parameter as P
from typing import Any

from .. import _dtype as dt
from ..create import full
from ..tensor import Parameter
from . import _activations as F
from ._make import function_module
from .module import Module

ACTIVATIONS: dict[str, Any] = {}


def _activation(
    name: str, function: Any, arguments: dict[str, Any] | None = None, **options: Any
) -> None:
    ACTIVATIONS[name] = function_module(name, function, arguments or {}, **options)


_IN = {"inplace": False}


class _InPlace:
    """The repr shows inplace only where it is set."""

    def extra_repr(self) -> str:
        return "inplace=True" if getattr(self, "inplace", False) else ""


_function: Any
for _name, _function in {
    "ReLU": F.relu,
    "ReLU6": F.relu6,
    "SELU": F.selu,
    "SiLU": F.silu,
    "Mish": F.mish,
    "Hardswish": F.hardswish,
    "Hardsigmoid": F.hardsigmoid,
}.items():
    _activation(_name, _function, _IN, shown=())
    ACTIVATIONS[_name].extra_repr = _InPlace.extra_repr


def _with_inplace(*names: str) -> Any:
    def extra_repr(self: Any) -> str:
        text = ", ".join(f"{a}={getattr(self, a)}" for a in names)
        return text + ", inplace=True" if self.inplace else text

    return extra_repr


for _name, _function, _own in (
    ("LeakyReLU", F.leaky_relu, {"negative_slope": 0.01}),
    ("ELU", F.elu, {"alpha": 1.0}),
    ("CELU", F.celu, {"alpha": 1.0}),
    ("Hardtanh", F.hardtanh, {"min_val": -1.0, "max_val": 1.0}),
    ("Threshold", F.threshold, {"threshold": P.empty, "value": P.empty}),
    ("RReLU", F.rrelu, {"lower": 1 / 8, "upper": 1 / 3}),
):
    _activation(_name, _function, {**_own, **_IN}, training=_name == "RReLU")
    ACTIVATIONS[_name].extra_repr = _with_inplace(*_own)

for _name, _function in {
    "Tanh": F.tanh,
    "Sigmoid": F.sigmoid,
    "Softsign": F.softsign,
    "LogSigmoid": F.logsigmoid,
    "Tanhshrink": F.tanhshrink,
}.items():
    _activation(_name, _function)
_activation("Softplus", F.softplus, {"beta": 1.0, "threshold": 20.0})
_activation("Softshrink", F.softshrink, {"lambd": 0.5})
_activation("Hardshrink", F.hardshrink, {"lambd": 0.5})
_activation("GLU", F.glu, {"dim": -1})
_activation("GELU", F.gelu, {"approximate": "none"})
ACTIVATIONS["GELU"].extra_repr = lambda self: f"approximate={self.approximate!r}"
for _name, _function in {
    "Softmax": F.softmax,
    "Softmin": F.softmin,
    "LogSoftmax": F.log_softmax,
}.items():
    _activation(_name, _function, {"dim": None})
for _name in ("Softshrink", "Hardshrink"):
    ACTIVATIONS[_name].extra_repr = lambda self: str(self.lambd)


class Softmax2d(Module):
    """softmax over the channels of images."""

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return F.softmax(input, -3)


class PReLU(Module):
    """leaky_relu with a learned slope, one or one per channel."""

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        d = dtype or dt.get_default_dtype()
        self.weight = Parameter(full((num_parameters,), init, dtype=d))

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return f"num_parameters={self.num_parameters}"


ACTIVATIONS.update(Softmax2d=Softmax2d, PReLU=PReLU)
