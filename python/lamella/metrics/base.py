"""Metric, and the metrics that are sums and means of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core, _support, config
from lamella._core import Tensor
from lamella._masking import get_mask
from lamella.losses.base import apply_mask, squeeze_or_expand_to_same_rank
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    dim_value,
    standardize_dtype,
)
from lamella.ops.elementwise import divide_no_nan

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "NamedMetric", "Sum"]


class Metric:
    """Base class of metrics: variables that `update_state` changes.

    A subclass makes its variables in `__init__` with `add_variable`, and defines
    `update_state(...)` and `result()` over `lamella.ops`. Both are traced once and run
    in C++, so they must not look at values with Python.

    Args:
        dtype: dtype of the result, default `floatx()`.
        name: name of the metric.
    """

    # What an optimizer or callback should want: "up", "down" or unknown.
    _direction: str | None = None

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or config.auto_name(type(self).__name__)
        self._dtype = standardize_dtype(dtype)
        self._variables: list[Any] = []
        self._metrics: list[Metric] = []

    @property
    def dtype(self) -> str:
        """dtype of the result."""
        return self._dtype

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Metric):
            self._check_started().append(value)
        super().__setattr__(name, value)

    def _check_started(self) -> list[Any]:
        metrics = self.__dict__.get("_metrics")
        if metrics is None:
            raise RuntimeError(
                f"{type(self).__name__}: call super().__init__() first in __init__()"
            )
        return metrics

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Any:
        """Make a variable of the metric.

        Args:
            shape: its shape.
            initializer: its value at the start.
            dtype: default `floatx()`.
            aggregation: accepted for Keras's sake; one process needs none.
            name: its name.
        """
        from lamella import initializers
        from lamella.variable import Variable

        self._check_started()
        start = initializers.get("zeros" if initializer is None else initializer)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        variable = Variable(
            start,
            shape=shape,
            dtype=standardize_dtype(dtype),
            trainable=False,
            name=name,
        )
        variable._path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        name: str | None = None,
    ) -> Any:
        """Same as `add_variable`."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Any]:
        """Variables of the metric and of the metrics it holds."""
        own = list(self._variables)
        for metric in self._metrics:
            own.extend(metric.variables)
        return own

    def reset_state(self) -> None:
        """Set the variables back to 0."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, dtype=variable.dtype))

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take the values of one batch into account."""
        raise NotImplementedError(
            f"{type(self).__name__}: a Metric must define update_state()"
        )

    def result(self) -> Any:
        """The value of the metric now."""
        raise NotImplementedError(
            f"{type(self).__name__}: a Metric must define result()"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Update, then give the result."""
        self._check_started()
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """A metric from `get_config()`."""
        return cls(**config)

    def __reduce__(self) -> Any:
        """Copy and pickle the arguments and the state."""
        state = [v.numpy() for v in self.variables]
        return _revive, (type(self), self.get_config(), state)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _revive(cls: type, config: dict[str, Any], state: list[np.ndarray]) -> Any:
    """A metric with these arguments and values of its variables."""
    metric: Any = _support.revive(cls, config)
    variables = metric.variables
    if len(variables) == len(state):  # else it makes them at the first update
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)
    return metric


def _trailing(x: Tensor, first: int) -> tuple[int, ...]:
    return tuple(range(first, x.ndim))


def samplewise(
    name: str,
    values: Any,
    sample_weight: Any,
    reduce: Callable[..., Tensor],
    dtype: str,
) -> tuple[Tensor, Tensor | None]:
    """One (weighted) value per sample, and one weight per sample.

    Raises:
        ShapeError: the weights do not fit the values.
    """
    values = cast(values, dtype)
    if sample_weight is not None:
        weight = convert_to_tensor(sample_weight, dtype)
        values, weight = squeeze_or_expand_to_same_rank(values, weight)
        if values.ndim > weight.ndim:
            values = reduce(values, _trailing(values, weight.ndim), False)
        fits = weight.ndim == values.ndim and all(
            w == v or w == 1 or w is None or v is None
            for w, v in zip(weight.shape, values.shape, strict=True)
        )
        if not fits:
            raise _core.ShapeError(
                f"{name}: sample_weight must have the shape of the values "
                f"{tuple(values.shape)} or fewer axes, got {tuple(weight.shape)}"
            )
        if tuple(weight.dims) != tuple(values.dims):
            weight = _core.broadcast_to(weight, values.dims)
        values = values * weight
        sample_weight = weight
        if weight.ndim > 1:
            sample_weight = reduce(weight, _trailing(weight, 1), False)
    if values.ndim > 1:
        values = reduce(values, _trailing(values, 1), False)
    return values, sample_weight


class Sum(Metric):
    """Weighted sum of all values.

    Args:
        name: name of the metric.
        dtype: dtype of the result.
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values, times their weights."""
        values, _ = samplewise(self.name, values, sample_weight, _core.sum, self.dtype)
        self.total.assign_add(_core.sum(values, None, False))

    def result(self) -> Tensor:
        """The sum."""
        return self.total.value


class Mean(Metric):
    """Weighted mean of all values: sum(w v) / sum(w).

    Args:
        name: name of the metric.
        dtype: dtype of the result.
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take values and their weights into account.

        Further axes of the values are averaged first, so every sample counts once.
        """
        values, weight = samplewise(
            self.name, values, sample_weight, _core.mean, self.dtype
        )
        self.total.assign_add(_core.sum(values, None, False))
        if weight is not None:
            count: Any = _core.sum(weight, None, False)
        else:
            count = dim_value(values.dims[0], self.dtype) if values.ndim else 1
        self.count.assign_add(convert_to_tensor(count, self.dtype))

    def result(self) -> Tensor:
        """The mean, 0 before the first value."""
        return divide_no_nan(self.total.value, self.count.value)


class MeanMetricWrapper(Mean):
    """Mean of a function (y_true, y_pred, **kwargs) -> values.

    Args:
        fn: the function.
        name: name of the metric.
        dtype: dtype of the result.
        **kwargs: further arguments of the function.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        if self._direction is None and _is_loss(fn):
            self._direction = "down"

    def update_state(  # type: ignore[override]  # Keras's signature
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        *,
        mask: Any = None,
    ) -> None:
        """Take one batch into account.

        `mask` leaves positions out; default: the mask that y_pred carries.
        """
        if mask is None:
            mask = get_mask(y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        weight = apply_mask(sample_weight, mask, self.dtype, "sum")
        super().update_state(values, sample_weight=weight)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {
            **super().get_config(),
            "fn": _support.serialize(self._fn),
            **_support.serialize(self._fn_kwargs),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """A metric from `get_config()`."""
        if isinstance(config.get("fn"), dict):
            from lamella.losses import deserialize

            config = {**config, "fn": deserialize(config["fn"])}
        return cls(**config)


def _is_loss(fn: Any) -> bool:
    from lamella import losses

    return isinstance(fn, losses.Loss) or (callable(fn) and fn in losses.FUNCTIONS)


class NamedMetric(MeanMetricWrapper):
    """A built-in mean: function `_function` with the arguments `_keys`."""

    _function: Callable[..., Any]
    _default_name: str
    _keys: tuple[str, ...] = ()

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        self._start(name, dtype)

    def _start(self, name: Any, dtype: Any, **kwargs: Any) -> None:
        MeanMetricWrapper.__init__(
            self, type(self)._function, name or self._default_name, dtype, **kwargs
        )
        for key, value in kwargs.items():
            setattr(self, key, value)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        own = {key: self._fn_kwargs[key] for key in self._keys}
        return {"name": self.name, "dtype": self.dtype, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """A metric from `get_config()`."""
        return cls(**config)
