"""What all losses share: shapes, reduction, the base classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamella import _core, _support, config
from lamella._core import Tensor
from lamella._masking import get_mask
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    standardize_dtype,
    to_float,
)
from lamella.ops.elementwise import divide_no_nan

__all__ = [
    "Loss",
    "LossFunctionWrapper",
    "NamedLoss",
    "apply_mask",
    "match_shapes",
    "reduce_weighted_values",
    "same_shape",
    "squeeze_or_expand_to_same_rank",
    "standardize_reduction",
]

_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")


# Shapes.


def squeeze_or_expand_to_same_rank(
    x1: Tensor, x2: Tensor, expand_rank_1: bool = True
) -> tuple[Tensor, Tensor]:
    """Bring two tensors whose ranks differ by a trailing axis of size 1 together.

    A vector meets `(n, 1)` by getting that axis, higher ranks by losing it. Tensors
    that differ otherwise come back unchanged.
    """
    if x1.ndim == x2.ndim + 1 and x1.shape[-1] == 1:
        if x2.ndim == 1 and expand_rank_1:
            return x1, _core.expand_dims(x2, -1)
        return _core.squeeze(x1, -1), x2
    if x2.ndim == x1.ndim + 1 and x2.shape[-1] == 1:
        if x1.ndim == 1 and expand_rank_1:
            return _core.expand_dims(x1, -1), x2
        return x1, _core.squeeze(x2, -1)
    return x1, x2


def same_shape(a: Any, b: Any) -> bool:
    """Whether two shapes are equal; sizes that are not known match any."""
    return len(a) == len(b) and all(
        m == n or m is None or n is None for m, n in zip(a, b, strict=True)
    )


def match_shapes(name: str, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Targets and predictions as tensors of one dtype and one shape.

    Raises:
        ShapeError: the shapes differ by more than a trailing axis of size 1.
    """
    y_pred = to_float(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    if y_true.ndim != y_pred.ndim:
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    if not same_shape(y_true.shape, y_pred.shape):
        raise _core.ShapeError(_shape_text(name, y_true.shape, y_pred.shape))
    return y_true, y_pred


def _shape_text(name: str, true: Any, pred: Any) -> str:
    text = (
        f"{name}: y_true and y_pred must have the same shape (only a trailing axis of "
        f"size 1 may be missing), got y_true.shape={tuple(true)} and "
        f"y_pred.shape={tuple(pred)}. "
    )
    classes = pred[-1] if pred else None
    flat = len(true) == len(pred) - 1 or (len(true) == len(pred) and true[-1] == 1)
    if flat and classes not in (None, 1):
        if "crossentropy" in name and "binary" not in name:
            return text + (
                "If y_true holds class numbers, use sparse_categorical_crossentropy, "
                f"or encode them with utils.to_categorical(y, {classes})"
            )
        return text + (
            f"Give the last layer 1 unit instead of {classes}, or give y_true "
            f"{classes} values per sample"
        )
    return text + (
        "Change the last layer so that its output has the shape of y_true, or reshape "
        "y_true to the shape of the output"
    )


def _weights_fit(name: str, values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Per-sample values and weights that may be multiplied.

    Axes of size 1 of a weight of the same rank broadcast, and so does a scalar. Where
    the loss itself is a single number (of arrays without a batch axis), it is
    multiplied by each weight, as in Keras.
    """
    values, weight = squeeze_or_expand_to_same_rank(values, weight)
    if weight.ndim == 0 or values.ndim == 0:
        return values, weight
    fits = weight.ndim == values.ndim and all(
        w == v or w == 1 or w is None or v is None
        for w, v in zip(weight.shape, values.shape, strict=True)
    )
    if not fits:
        hint = ""
        if weight.ndim < values.ndim:
            ones = ", 1" * (values.ndim - weight.ndim)
            hint = f", for one weight per sample reshape it to (n{ones})"
        raise _core.ShapeError(
            f"{name}: sample_weight must have the shape of the losses "
            f"{tuple(values.shape)}, got {tuple(weight.shape)}{hint}; or leave "
            "sample_weight out"
        )
    return values, weight


# Reduction.


def standardize_reduction(reduction: Any) -> Any:
    """Check the name of a reduction.

    Raises:
        ValueError: unknown name.
    """
    if reduction is not None and reduction not in _REDUCTIONS:
        raise ValueError(
            f"reduction must be None or one of {', '.join(map(repr, _REDUCTIONS))}, "
            f"got reduction={reduction!r}. "
            f"{config.near_names(reduction, _REDUCTIONS)}"
        )
    return reduction


def apply_mask(
    sample_weight: Tensor | None, mask: Any, dtype: str, reduction: Any
) -> Tensor | None:
    """Weights that are 0 where the mask is False.

    For the mean reductions the rest is scaled up by size / number of valid entries.
    """
    if mask is None:
        return sample_weight
    weight = cast(cast(mask, "bool"), dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        weight = weight * divide_no_nan(1.0, _core.mean(weight, None, False))
    if sample_weight is None:
        return weight
    weight, sample_weight = squeeze_or_expand_to_same_rank(
        weight, cast(sample_weight, dtype)
    )
    return sample_weight * weight


def reduce_weighted_values(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: Any = "sum_over_batch_size",
    dtype: Any = None,
    name: str = "loss",
) -> Tensor:
    """Losses times weights, reduced as Keras does.

    Args:
        values: one loss per sample (or per position).
        sample_weight: weights; shape as the values, a trailing axis of size 1 may
            differ.
        mask: False for values that do not count.
        reduction: "sum_over_batch_size" or "mean": sum of the weighted values divided
            by their number; "mean_with_sample_weight": divided by the sum of the
            weights; "sum"; None or "none": not reduced.
        dtype: dtype of the result, default that of the values.
        name: used in error texts.
    """
    values = convert_to_tensor(values, dtype)
    if sample_weight is not None:
        sample_weight = convert_to_tensor(sample_weight, values.dtype)
    sample_weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if sample_weight is not None:
        values, sample_weight = _weights_fit(name, values, sample_weight)
        values = values * sample_weight
    if reduction in (None, "none") or values.ndim == 0 or values.shape == (0,):
        return values
    if reduction == "sum":
        return _core.sum(values, None, False)
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        total = _core.sum(sample_weight, None, False)
        return divide_no_nan(_core.sum(values, None, False), total)
    return _core.mean(values, None, False)


# Classes.


class Loss:
    """Base class of losses.

    A subclass defines `call(y_true, y_pred)`, which returns one value per sample.

    Args:
        name: name of the loss.
        reduction: see `reduce_weighted_values`.
        dtype: dtype of the computation, default `floatx()`.

    Raises:
        ValueError: unknown reduction.
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: Any = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = name or config.auto_name(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype = standardize_dtype(dtype)

    @property
    def dtype(self) -> str:
        """dtype of the computation."""
        return self._dtype

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        *,
        mask: Any = None,
    ) -> Tensor:
        """The reduced loss.

        Args:
            y_true: targets.
            y_pred: predictions.
            sample_weight: weights of the samples.
            mask: False for positions that do not count (an addition to Keras);
                default: the mask that y_pred carries.
        """
        if mask is None:
            mask = get_mask(y_pred)
        y_pred = _map(lambda x: convert_to_tensor(x, self._dtype), y_pred)
        y_true = _map(self._target, y_true)
        values = self.call(y_true, y_pred)
        own = self._loss_mask(y_true, y_pred, values)
        if own is not None:
            mask = own if mask is None else _core.logical_and(cast(mask, "bool"), own)
        return reduce_weighted_values(
            values, sample_weight, mask, self.reduction, self._dtype, self.name
        )

    def _target(self, y_true: Any) -> Tensor:
        return convert_to_tensor(y_true, self._dtype)

    def _loss_mask(self, y_true: Any, y_pred: Any, values: Tensor) -> Tensor | None:
        return None

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """One loss per sample."""
        raise NotImplementedError(
            f"{type(self).__name__}: a Loss must define call(y_true, y_pred)"
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """A loss from `get_config()`."""
        return cls(**config)


def _map(function: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, dict):
        return {k: _map(function, v) for k, v in x.items()}
    if isinstance(x, tuple) or (isinstance(x, list) and _nested(x)):
        return type(x)(_map(function, v) for v in x)
    return function(x)


def _nested(x: list[Any]) -> bool:
    """A list of tensors is a structure, a list of numbers is an array."""
    return bool(x) and all(hasattr(v, "shape") and len(v.shape) for v in x)


class LossFunctionWrapper(Loss):
    """A Loss from a function (y_true, y_pred, **kwargs) -> values.

    Args:
        fn: the function.
        reduction: see Loss.
        name: see Loss.
        dtype: see Loss.
        **kwargs: further arguments of the function.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: Any = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """One loss per sample."""
        if type(y_true) is Tensor and type(y_pred) is Tensor:
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {
            **super().get_config(),
            "fn": _support.serialize(self.fn),
            **_support.serialize(self._fn_kwargs),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """A loss from `get_config()`."""
        if isinstance(config.get("fn"), dict):
            from lamella.losses import deserialize

            config = {**config, "fn": deserialize(config["fn"])}
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, kwargs={self._fn_kwargs}>"


class NamedLoss(LossFunctionWrapper):
    """A built-in loss: `_fn` with the arguments of `_keys` from the config."""

    _fn: Callable[..., Any]
    _default_name: str
    _keys: tuple[str, ...] = ()

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self._start(reduction, name, dtype)

    def _start(self, reduction: Any, name: Any, dtype: Any, **kwargs: Any) -> None:
        LossFunctionWrapper.__init__(
            self,
            type(self)._fn,
            reduction=reduction,
            name=name or self._default_name,
            dtype=dtype,
            **kwargs,
        )
        for key, value in kwargs.items():
            setattr(self, key, value)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        own = {key: self._fn_kwargs[key] for key in self._keys}
        return {**Loss.get_config(self), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """A loss from `get_config()`."""
        return cls(**config)
