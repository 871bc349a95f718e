"""Conditions that weights are brought to after each step (`keras.constraints`)."""

from __future__ import annotations

from typing import Any

from lamella import _core, _support, config
from lamella._core import Tensor
from lamella.ops.conversion import to_float

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]


class Constraint:
    """Base class: a callable weight -> weight."""

    def __call__(self, w: Any) -> Any:
        """The weight that fulfils the condition."""
        return w

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """A constraint from `get_config()`."""
        return cls(**config)


def _norms(w: Tensor, axis: Any) -> Tensor:
    axis = tuple(axis) if isinstance(axis, list) else axis
    return _core.sqrt(_core.sum(_core.square(w), axis, True))


class MaxNorm(Constraint):
    """Euclidean norms along `axis` of at most `max_value`.

    Args:
        max_value: largest norm.
        axis: axis or axes of the norm; 0 for the inputs of each unit of a Dense layer.
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Tensor:
        """The weight that fulfils the condition."""
        w = to_float(w)
        norms = _norms(w, self.axis)
        wanted = _core.clip(norms, 0, self.max_value)
        return w * (wanted / (norms + config.epsilon()))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Negative weights become 0."""

    def __call__(self, w: Any) -> Tensor:
        """The weight that fulfils the condition."""
        return _core.maximum(to_float(w), 0)


class UnitNorm(Constraint):
    """Euclidean norms along `axis` of 1.

    Args:
        axis: axis or axes of the norm.
    """

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Tensor:
        """The weight that fulfils the condition."""
        w = to_float(w)
        return w / (_norms(w, self.axis) + config.epsilon())

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Euclidean norms along `axis` between two values.

    Args:
        min_value: smallest norm.
        max_value: largest norm.
        rate: 1 projects fully, less moves only part of the way.
        axis: axis or axes of the norm.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Any = 0,
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Tensor:
        """The weight that fulfils the condition."""
        w = to_float(w)
        norms = _norms(w, self.axis)
        limited = _core.clip(norms, self.min_value, self.max_value)
        wanted = self.rate * limited + (1 - self.rate) * norms
        return w * (wanted / (norms + config.epsilon()))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal constraint."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm

_TABLE = _support.lookup_table([MaxNorm, MinMaxNorm, NonNeg, UnitNorm])


def serialize(constraint: Any) -> Any:
    """Keras 3 JSON form."""
    return _support.serialize(constraint)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Inverse of `serialize`."""
    return _support.deserialize(config, _TABLE, custom_objects)


def get(identifier: Any) -> Any:
    """A constraint from None, a name, a config, a class or a callable.

    Raises:
        ValueError: the name is unknown; near names are listed.
    """
    return _support.get(identifier, _TABLE, "constraint")
