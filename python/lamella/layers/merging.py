"""Layers that join several inputs: Add, Concatenate, Dot, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamella import _core
from lamella._masking import get_mask, set_mask
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
        if len({x.dtype for x in inputs}) == 1 and inputs[0].dtype != "bool":
            return list(inputs)
        return [self._as_float(x) for x in inputs]

    def _alike(self, inputs: Any) -> list[Any]:
        """Return the inputs, those of lower rank with axes behind the batch."""
        values = self._list(inputs)
        rank = max(x.ndim for x in values)
        if all(x.ndim == rank for x in values):
            return values
        return [
            _core.reshape(x, (x.dims[0], *(1,) * (rank - x.ndim), *x.dims[1:]))
            for x in values
        ]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return where any input counts; None if one of them has no mask."""
        from lamella import ops

        if previous_mask is None:
            return None
        if not isinstance(previous_mask, list | tuple) or len(previous_mask) != len(
            inputs
        ):
            raise ValueError(
                f"{self._who()}: the mask must be a list of {len(inputs)} masks, got "
                f"{previous_mask!r}"
            )
        if any(mask is None for mask in previous_mask):
            return None
        result = previous_mask[0]
        for mask in previous_mask[1:]:
            result = ops.logical_or(result, mask)
        return result

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
        return self._merge(self._alike(inputs), _core.add)


class Subtract(_Merge):
    """First input minus the second."""

    _exactly_two = True

    def call(self, inputs: Any) -> Any:
        """Return inputs[0] - inputs[1]."""
        return self._merge(self._alike(inputs), _core.sub)


class Multiply(_Merge):
    """Product of a list of inputs.

    Where the mask of an input is False, it counts as 1; where all are, the product
    is 0.
    """

    def call(self, inputs: Any) -> Any:
        """Return the product."""
        values = self._alike(inputs)
        masks = _full_masks(inputs, values)
        if all(mask is None for mask in masks):
            return self._merge(values, _core.mul)
        values = [
            x if mask is None else _core.where(mask, x, _core.full((), 1, x.dtype))
            for x, mask in zip(values, masks, strict=True)
        ]
        result = self._merge(values, _core.mul)
        if any(mask is None for mask in masks):
            return result
        mask = self._merge(masks, _core.logical_or)
        result = _core.where(mask, result, _core.full((), 0, result.dtype))
        set_mask(result, _core.any(mask, -1, False))
        return result


class Average(_Merge):
    """Mean of a list of inputs."""

    def call(self, inputs: Any) -> Any:
        """Return the mean."""
        values = [self._as_float(x) for x in self._alike(inputs)]
        return self._merge(values, _core.add) / float(len(values))


class _Extremum(_Merge):
    """The largest or smallest of several inputs; masked steps are left out."""

    _op: Any = None

    def call(self, inputs: Any) -> Any:
        """Return the extremum."""
        values = self._alike(inputs)
        masks = _full_masks(inputs, values)
        result, known = values[0], masks[0]
        for x, mask in zip(values[1:], masks[1:], strict=True):
            if mask is not None:
                x = _core.where(mask, x, result)
            if known is not None:
                result = _core.where(known, result, x)
            both = mask is not None and known is not None
            known = _core.logical_or(known, mask) if both else None
            result = type(self)._op(result, x)
        if known is not None:
            set_mask(result, _core.any(known, -1, False))
        return result


class Maximum(_Extremum):
    """Elementwise maximum of a list of inputs."""

    _op = _core.maximum


class Minimum(_Extremum):
    """Elementwise minimum of a list of inputs."""

    _op = _core.minimum


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

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the joined masks; an input without one counts as a whole."""
        from lamella import ops

        if previous_mask is None or all(mask is None for mask in previous_mask):
            return None
        masks = []
        for x, mask in zip(inputs, previous_mask, strict=True):
            if mask is None:
                mask = ops.ones_like(x, dtype="bool")
            elif mask.ndim < x.ndim:
                nothing = ops.zeros_like(x, dtype="bool")
                mask = ops.logical_or(ops.expand_dims(mask, axis=-1), nothing)
            masks.append(mask)
        joined = ops.concatenate(masks, axis=self.axis)
        return ops.any(joined, axis=-1, keepdims=False)

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
        if not isinstance(axes, int | list | tuple):
            raise TypeError(
                f"Dot: axes must be an integer or a pair of integers, got axes={axes!r}"
            )
        if not isinstance(axes, int) and (
            len(axes) != 2 or not all(isinstance(a, int) for a in axes)
        ):
            raise ValueError(
                f"Dot: axes must be an integer or a pair of integers, got axes={axes!r}"
            )
        self.axes = axes if isinstance(axes, int) else tuple(axes)
        self.normalize = bool(normalize)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return None: the steps are summed."""
        return None

    def call(self, inputs: Any) -> Any:
        """Return the products."""
        from lamella import ops

        a, b = self._list(inputs)
        first, second = (
            (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        )
        if not all(
            -x.ndim < axis < x.ndim and axis % x.ndim > 0
            for x, axis in ((a, first), (b, second))
        ):
            raise ValueError(
                f"{self._who()}: axes must be axes of the inputs behind the batch, "
                f"got inputs of rank {a.ndim} and {b.ndim}, axes={self.axes}"
            )
        first, second = first % a.ndim, second % b.ndim
        if a.shape[first] != b.shape[second]:
            raise ValueError(
                f"{self._who()}: the inputs must agree along axes={self.axes}, got "
                f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
            )
        if self.normalize:
            a, b = _unit(a, first), _unit(b, second)
        letters = iter("acdefghijklmnopqrstuvw")
        left = ["b", *(next(letters) for _ in range(a.ndim - 1))]
        right = ["b", *(next(letters) for _ in range(b.ndim - 1))]
        left[first] = right[second] = "z"
        made = [x for x in (*left, *right[1:]) if x != "z"]
        y = ops.einsum(f"{''.join(left)},{''.join(right)}->{''.join(made)}", a, b)
        return _core.expand_dims(y, 1) if y.ndim == 1 else y

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "axes": self.axes,
            "normalize": self.normalize,
        }


def _full_masks(inputs: Any, values: list[Any]) -> list[Any]:
    """Return the masks of the inputs, of the inputs' shapes."""
    masks = [get_mask(x) for x in inputs]
    return [
        None
        if mask is None
        else _core.broadcast_to(_core.expand_dims(mask, mask.ndim), x.dims)
        for mask, x in zip(masks, values, strict=True)
    ]


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
