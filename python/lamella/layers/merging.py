"""Layers that join several inputs: Add, Concatenate, Dot, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamella import _core
from lamella.layers.layer import Layer

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Merge(Layer):
    """Joins a list of at least two inputs."""

    _exactly_two = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def _list(self, inputs: Any) -> list[Any]:
        if not isinstance(inputs, list | tuple) or len(inputs) < 1:
            raise ValueError(
                f"{self._who()}: expected a list of inputs, got {inputs!r}"
            )
        if self._exactly_two and len(inputs) != 2:
            raise ValueError(
                f"{self._who()}: expected exactly 2 inputs, got {len(inputs)}"
            )
        return [self._as_float(x) for x in inputs]

    def _merge(self, values: list[Any], op: Callable[[Any, Any], Any]) -> Any:
        result = values[0]
        for value in values[1:]:
            result = op(result, value)
        return result

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config()


class Add(_Merge):
    """Sum of a list of inputs of the same shape."""

    def call(self, inputs: Any) -> Any:
        """Return the sum."""
        return self._merge(self._list(inputs), _core.add)


class Subtract(_Merge):
    """First input minus the second."""

    _exactly_two = True

    def call(self, inputs: Any) -> Any:
        """Return inputs[0] - inputs[1]."""
        return self._merge(self._list(inputs), _core.sub)


class Multiply(_Merge):
    """Product of a list of inputs."""

    def call(self, inputs: Any) -> Any:
        """Return the product."""
        return self._merge(self._list(inputs), _core.mul)


class Average(_Merge):
    """Mean of a list of inputs."""

    def call(self, inputs: Any) -> Any:
        """Return the mean."""
        values = self._list(inputs)
        return self._merge(values, _core.add) / float(len(values))


class Maximum(_Merge):
    """Elementwise maximum of a list of inputs."""

    def call(self, inputs: Any) -> Any:
        """Return the maximum."""
        return self._merge(self._list(inputs), _core.maximum)


class Minimum(_Merge):
    """Elementwise minimum of a list of inputs."""

    def call(self, inputs: Any) -> Any:
        """Return the minimum."""
        return self._merge(self._list(inputs), _core.minimum)


class Concatenate(_Merge):
    """Joins inputs along an axis.

    Args:
        axis: default -1.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = int(axis)

    def call(self, inputs: Any) -> Any:
        """Return the joined inputs."""
        return _core.concat(self._list(inputs), self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}


class Dot(_Merge):
    """Sums of products of two inputs along one axis of each.

    Args:
        axes: axis of both inputs, or (axis of the first, axis of the second).
        normalize: whether to scale both to length 1 first (cosine proximity).
        **kwargs: `name`, `dtype`, ...
    """

    _exactly_two = True

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes = axes if isinstance(axes, int) else tuple(axes)
        self.normalize = bool(normalize)

    def call(self, inputs: Any) -> Any:
        """Return the products."""
        a, b = self._list(inputs)
        first, second = (
            (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        )
        first, second = first % a.ndim, second % b.ndim
        if a.ndim > 3 or b.ndim > 3 or first == 0 or second == 0:
            raise ValueError(
                f"{self._who()}: inputs of rank 2 or 3 and axes after the batch axis "
                f"are supported, got ranks {a.ndim} and {b.ndim}, axes={self.axes}"
            )
        if self.normalize:
            a, b = _unit(a, first), _unit(b, second)
        if a.ndim == b.ndim == 2:
            return _core.sum(_core.mul(a, b), 1, True)
        if a.ndim == 2:
            a = _core.expand_dims(a, 1)
        elif first == 1:
            a = _core.transpose(a, (0, 2, 1))
        if b.ndim == 2:
            b = _core.expand_dims(b, 2)
        elif second == 2:
            b = _core.transpose(b, (0, 2, 1))
        y = _core.matmul(a, b)
        if inputs[0].ndim == 2:
            y = _core.squeeze(y, (1,))
        elif inputs[1].ndim == 2:
            y = _core.squeeze(y, (2,))
        return y

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "axes": self.axes,
            "normalize": self.normalize,
        }


def _unit(x: Any, axis: int) -> Any:
    power = _core.maximum(_core.sum(_core.square(x), axis, True), 1e-12)
    return _core.mul(x, _core.rsqrt(power))


def add(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of Add."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of Subtract."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of Multiply."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of Average."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of Maximum."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of Minimum."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """Functional form of Concatenate."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """Functional form of Dot."""
    return Dot(axes=axes, **kwargs)(inputs)
