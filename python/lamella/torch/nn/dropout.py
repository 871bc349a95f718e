"""Dropout as modules."""

from __future__ import annotations

from typing import Any

from . import _activations as F
from .module import Module

LAYERS: dict[str, Any] = {}


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(
                f"dropout probability has to be between 0 and 1, but got {p}"
            )
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


def _make(name: str, function: Any) -> None:
    class Dropout(_Dropout):
        def forward(self, input: Any) -> Any:
            return function(input, self.p, self.training, self.inplace)

    Dropout.__name__ = Dropout.__qualname__ = name
    Dropout.__doc__ = function.__doc__
    LAYERS[name] = Dropout


_make("Dropout", F.dropout)
_make("Dropout1d", F.dropout1d)
_make("Dropout2d", F.dropout2d)
_make("Dropout3d", F.dropout3d)
_make("AlphaDropout", F.alpha_dropout)
