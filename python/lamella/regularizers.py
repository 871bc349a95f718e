"""Penalties on weights and outputs (`keras.regularizers`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core, _support
from lamella._core import Tensor
from lamella.ops.conversion import convert_to_tensor, to_float
from lamella.ops.neural import normalize

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer:
    """Base class: a callable tensor -> scalar penalty."""

    def __call__(self, x: Any) -> Any:
        """The penalty of x."""
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        raise NotImplementedError(
            f"{type(self).__name__}: define get_config() to save this regularizer"
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """A regularizer from `get_config()`."""
        return cls(**config)


def _factor(owner: str, name: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.floating | np.integer)
        or not math.isfinite(value)
        or value < 0
    ):
        raise ValueError(
            f"{owner}: {name} must be a finite number >= 0, got {name}={value!r}"
        )
    return float(value)


class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x^2).

    Args:
        l1: factor of the absolute values.
        l2: factor of the squares.

    Raises:
        ValueError: a factor is negative or not finite.
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        name = type(self).__name__
        self.l1 = _factor(name, "l1", 0.0 if l1 is None else l1)
        self.l2 = _factor(name, "l2", 0.0 if l2 is None else l2)

    def __call__(self, x: Any) -> Tensor:
        """The penalty of x."""
        x = to_float(x)
        terms = []
        if self.l1:
            terms.append(self.l1 * _core.sum(_core.abs(x), None, False))
        if self.l2:
            terms.append(self.l2 * _core.sum(_core.square(x), None, False))
        if not terms:
            return convert_to_tensor(0.0, x.dtype)
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """l1 * sum(|x|)."""

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _factor("L1", "l1", 0.01 if l1 is None else l1)

    def __call__(self, x: Any) -> Tensor:
        """The penalty of x."""
        return self.l1 * _core.sum(_core.abs(to_float(x)), None, False)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"l1": self.l1}


class L2(Regularizer):
    """l2 * sum(x^2)."""

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _factor("L2", "l2", 0.01 if l2 is None else l2)

    def __call__(self, x: Any) -> Tensor:
        """The penalty of x."""
        return self.l2 * _core.sum(_core.square(to_float(x)), None, False)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """factor * mean |cosine| between the rows (or columns) of a matrix.

    Args:
        factor: factor >= 0.
        mode: "rows" or "columns".

    Raises:
        ValueError: an argument has no such value, or x is not a matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor("OrthogonalRegularizer", "factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(
                "OrthogonalRegularizer: mode must be 'rows' or 'columns', got "
                f"mode={mode!r}"
            )
        self.mode = mode

    def __call__(self, inputs: Any) -> Tensor:
        """The penalty of a matrix."""
        x = to_float(inputs)
        if x.ndim != 2:
            raise ValueError(
                f"OrthogonalRegularizer: expected a matrix, got shape {x.shape}"
            )
        rows = self.mode == "rows"
        x = normalize(x, axis=1 if rows else 0)
        turned = _core.transpose(x, (1, 0))
        product = _core.matmul(x, turned) if rows else _core.matmul(turned, x)
        size = x.shape[0] if rows else x.shape[1]
        off_diagonal = product * (1.0 - np.eye(size, dtype=x.dtype))
        pairs = size * (size - 1.0) / 2.0
        total = _core.sum(_core.abs(off_diagonal), None, False)
        return (self.factor * 0.5) * total / pairs

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal regularizer."""
        return {"factor": self.factor, "mode": self.mode}


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_TABLE = _support.lookup_table([L1, L2, L1L2, OrthogonalRegularizer])


def serialize(regularizer: Any) -> Any:
    """Keras 3 JSON form."""
    return _support.serialize(regularizer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Inverse of `serialize`."""
    return _support.deserialize(config, _TABLE, custom_objects)


def get(identifier: Any) -> Any:
    """A regularizer from None, a name, a config, a class or a callable.

    Raises:
        ValueError: the name is unknown; near names are listed.
    """
    return _support.get(identifier, _TABLE, "regularizer")
