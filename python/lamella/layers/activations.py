"""Activations that are layers: ReLU, LeakyReLU, ELU, PReLU, Softmax."""

from __future__ import annotations

from typing import Any

from lamella import _core, constraints, initializers, regularizers
from lamella.layers._arguments import config_of
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer

__all__ = ["ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


class _Elementwise(Layer):
    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


class ReLU(_Elementwise):
    """max(x, 0), with an optional ceiling, slope and threshold.

    f(x) = max_value for x >= max_value, x for threshold <= x < max_value,
    negative_slope * (x - threshold) otherwise.

    Args:
        max_value: ceiling or None.
        negative_slope: slope below the threshold. Default 0.
        threshold: default 0.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (
            ("max_value", max_value),
            ("negative_slope", negative_slope),
            ("threshold", threshold),
        ):
            if (value is None and name != "max_value") or (
                value is not None and value < 0
            ):
                raise ValueError(
                    f"ReLU: {name} must not be negative, got {name}={value}"
                )
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope = float(negative_slope)
        self.threshold = float(threshold)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return the rectified input."""
        x = self._as_float(inputs)
        if self.threshold == 0:
            if self.negative_slope:
                y = _core.leaky_relu(x, self.negative_slope)
            else:
                y = _core.relu(x)
        else:
            below = _core.mul(_core.sub(x, self.threshold), self.negative_slope)
            y = _core.where(_core.greater_equal(x, self.threshold), x, below)
        return y if self.max_value is None else _core.minimum(y, self.max_value)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(_Elementwise):
    """x for x >= 0, negative_slope * x below.

    Args:
        negative_slope: default 0.3 (the function `leaky_relu` has 0.2). Keras 2's
            name `alpha` is accepted.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                "LeakyReLU: negative_slope must not be negative, got "
                f"negative_slope={negative_slope!r}"
            )
        self.negative_slope = float(negative_slope)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return the rectified input."""
        return _core.leaky_relu(self._as_float(inputs), self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(_Elementwise):
    """x for x > 0, alpha * (exp(x) - 1) below.

    Args:
        alpha: default 1.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = float(alpha)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return elu(input)."""
        return _core.elu(self._as_float(inputs), self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        base = super().get_config()
        return {"name": base.pop("name"), "alpha": self.alpha, **base}


class PReLU(_Elementwise):
    """x for x > 0, alpha * x below, with trained alphas.

    Args:
        alpha_initializer: default "zeros".
        alpha_regularizer: name, Regularizer or None.
        alpha_constraint: name, Constraint or None.
        shared_axes: axes (counted from 1) that share their alphas, or None.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        if isinstance(shared_axes, int):
            shared_axes = [shared_axes]
        self.shared_axes = None if shared_axes is None else list(shared_axes)
        self.alpha: Any = None
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the alphas."""
        shape = list(input_shape[1:])
        for axis in self.shared_axes or []:
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            shape=tuple(shape),
            name="alpha",
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        shared = self.shared_axes or []
        axes = {
            i: input_shape[i] for i in range(1, len(input_shape)) if i not in shared
        }
        self.input_spec = InputSpec(ndim=len(input_shape), axes=axes)

    def call(self, inputs: Any) -> Any:
        """Return the rectified input."""
        x = self._as_float(inputs)
        negative = _core.mul(self.alpha.value, _core.relu(_core.neg(x)))
        return _core.sub(_core.relu(x), negative)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "alpha_initializer",
                "alpha_regularizer",
                "alpha_constraint",
                "shared_axes",
            ),
        }


class Softmax(_Elementwise):
    """exp(x) / sum(exp(x)) along an axis; masked places get 0.

    Args:
        axis: axis or axes. Default -1.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = list(axis) if isinstance(axis, list | tuple) else int(axis)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return softmax(input).

        Args:
            inputs: the input.
            mask: booleans that broadcast to the input; what is False gets 0.
        """
        x = self._as_float(inputs)
        if mask is None:
            return self._softmax(x)
        sizes = zip(reversed(mask.shape), reversed(x.shape), strict=False)
        if mask.ndim > x.ndim or any(
            m not in (1, None) and n is not None and m != n for m, n in sizes
        ):
            raise ValueError(
                f"{self._who()}: the mask must broadcast to the input, got shapes "
                f"{tuple(mask.shape)} and {tuple(x.shape)}"
            )
        if mask.dtype != "bool":
            mask = _core.greater(mask, 0.5)
        y = self._softmax(_core.where(mask, x, -1e9))
        return _core.where(mask, y, 0.0)

    def _softmax(self, x: Any) -> Any:
        if isinstance(self.axis, list):
            if len(self.axis) > 1:
                return _core.exp(x - _core.logsumexp(x, tuple(self.axis), True))
            return _core.softmax(x, self.axis[0])
        return _core.softmax(x, self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}
