"""torch.nn.parameter."""

from __future__ import annotations

from ..tensor import Parameter

__all__ = ["Parameter"]
