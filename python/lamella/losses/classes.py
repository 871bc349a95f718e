"""Losses as classes: a function, its arguments and a reduction."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella._core import Tensor
from lamella.losses.base import NamedLoss
from lamella.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    circle,
    class_numbers,
    cosine_similarity,
    ctc,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from lamella.ops.conversion import cast, convert_to_tensor, is_float

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CTC",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
]


class MeanSquaredError(NamedLoss):
    """Mean of the squared differences."""

    _fn, _default_name = staticmethod(mean_squared_error), "mean_squared_error"


class MeanAbsoluteError(NamedLoss):
    """Mean of the absolute differences."""

    _fn, _default_name = staticmethod(mean_absolute_error), "mean_absolute_error"


class MeanAbsolutePercentageError(NamedLoss):
    """Mean of the absolute differences in percent of the target."""

    _fn = staticmethod(mean_absolute_percentage_error)
    _default_name = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(NamedLoss):
    """Mean of the squared differences of log(x + 1)."""

    _fn = staticmethod(mean_squared_logarithmic_error)
    _default_name = "mean_squared_logarithmic_error"


class LogCosh(NamedLoss):
    """Mean of log(cosh(error))."""

    _fn, _default_name = staticmethod(log_cosh), "log_cosh"


class Hinge(NamedLoss):
    """Mean of max(1 - y_true y_pred, 0)."""

    _fn, _default_name = staticmethod(hinge), "hinge"


class SquaredHinge(NamedLoss):
    """Mean of max(1 - y_true y_pred, 0)^2."""

    _fn, _default_name = staticmethod(squared_hinge), "squared_hinge"


class CategoricalHinge(NamedLoss):
    """Margin between the right class and the best wrong one."""

    _fn, _default_name = staticmethod(categorical_hinge), "categorical_hinge"


class KLDivergence(NamedLoss):
    """Sum of y_true log(y_true / y_pred)."""

    _fn, _default_name = staticmethod(kl_divergence), "kl_divergence"


class Poisson(NamedLoss):
    """Mean of y_pred - y_true log(y_pred)."""

    _fn, _default_name = staticmethod(poisson), "poisson"


class CTC(NamedLoss):
    """Connectionist temporal classification: labels of sequences without alignment."""

    _fn, _default_name = staticmethod(ctc), "ctc"


class CosineSimilarity(NamedLoss):
    """-cosine of the angle between target and prediction.

    Args:
        axis: axis of the vectors (Keras does not write it to the config).
        reduction, name, dtype: see Loss.
    """

    _fn, _default_name = staticmethod(cosine_similarity), "cosine_similarity"
    _keys = ("axis",)
    axis: int

    def __init__(
        self,
        axis: int = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        self._start(reduction, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss (as Keras: no default axis)."""
        config = super().get_config()
        if self.axis == -1:
            del config["axis"]
        return config


class Huber(NamedLoss):
    """Squared error near 0, absolute error beyond delta.

    Args:
        delta: where the two meet.
        reduction, name, dtype: see Loss.
    """

    _fn, _default_name = staticmethod(huber), "huber_loss"
    _keys = ("delta",)
    delta: float

    def __init__(
        self,
        delta: float = 1.0,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        self._start(reduction, name, dtype, delta=delta)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss (as Keras: no default delta)."""
        config = super().get_config()
        if self.delta == 1.0:
            del config["delta"]
        return config


class BinaryCrossentropy(NamedLoss):
    """Cross-entropy of labels 0 and 1.

    Args:
        from_logits: whether predictions are logits instead of probabilities.
        label_smoothing: mixes the labels with 1/2.
        axis: axis of the mean.
        reduction, name, dtype: see Loss.
    """

    _fn, _default_name = staticmethod(binary_crossentropy), "binary_crossentropy"
    _keys = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        self._start(
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class BinaryFocalCrossentropy(NamedLoss):
    """Binary cross-entropy that looks less at easy samples.

    Args:
        apply_class_balancing: weigh class 1 by alpha and class 0 by 1 - alpha.
        alpha: see above.
        gamma: exponent of the focus.
        from_logits, label_smoothing, axis: see BinaryCrossentropy.
        reduction, name, dtype: see Loss.
    """

    _fn = staticmethod(binary_focal_crossentropy)
    _default_name = "binary_focal_crossentropy"
    _keys = (
        "from_logits",
        "label_smoothing",
        "axis",
        "apply_class_balancing",
        "alpha",
        "gamma",
    )

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        self._start(
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(NamedLoss):
    """Cross-entropy of one-hot labels.

    Args:
        from_logits: whether predictions are logits instead of probabilities.
        label_smoothing: mixes the labels with the uniform distribution.
        axis: axis of the classes.
        reduction, name, dtype: see Loss.
    """

    _fn = staticmethod(categorical_crossentropy)
    _default_name = "categorical_crossentropy"
    _keys = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        self._start(
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(NamedLoss):
    """Categorical cross-entropy that looks less at easy samples.

    Args:
        alpha: factor.
        gamma: exponent of the focus.
        from_logits, label_smoothing, axis: see CategoricalCrossentropy.
        reduction, name, dtype: see Loss.
    """

    _fn = staticmethod(categorical_focal_crossentropy)
    _default_name = "categorical_focal_crossentropy"
    _keys = ("from_logits", "label_smoothing", "axis", "alpha", "gamma")

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        self._start(
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(NamedLoss):
    """Cross-entropy of class numbers.

    Args:
        from_logits: whether predictions are logits instead of probabilities.
        ignore_class: class number whose rows do not count.
        reduction, name, dtype: see Loss.
        axis: axis of the classes.
    """

    _fn = staticmethod(sparse_categorical_crossentropy)
    _default_name = "sparse_categorical_crossentropy"
    _keys = ("from_logits", "ignore_class")
    axis: int
    ignore_class: int | None

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Any = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        self._start(
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """One loss per row."""
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss (as Keras: no default axis)."""
        config = super().get_config()
        if self.axis != -1:
            config["axis"] = self.axis
        return config

    def _target(self, y_true: Any) -> Tensor:
        y_true = convert_to_tensor(y_true)
        return cast(y_true, "int32") if is_float(y_true) else y_true

    def _loss_mask(self, y_true: Any, y_pred: Any, values: Tensor) -> Tensor | None:
        if self.ignore_class is None:
            return None
        labels, _ = class_numbers(self.name, y_true, y_pred, self.axis)
        return _core.not_equal(labels, self.ignore_class)


class Dice(NamedLoss):
    """1 - overlap of two masks.

    Args:
        reduction, name: see Loss.
        axis: axes of one mask; None for all.
        dtype: see Loss.
    """

    _fn, _default_name = staticmethod(dice), "dice"
    _keys = ("axis",)

    def __init__(
        self,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        self._start(reduction, name, dtype, axis=axis)


class Tversky(NamedLoss):
    """Dice with separate weights of misses and false alarms.

    Args:
        alpha: weight of y_true (1 - y_pred).
        beta: weight of y_pred (1 - y_true).
        reduction, name: see Loss.
        axis: axes of one mask; None for all.
        dtype: see Loss.
    """

    _fn, _default_name = staticmethod(tversky), "tversky"
    _keys = ("alpha", "beta", "axis")

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        self._start(reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(NamedLoss):
    """Loss of embeddings: near for the same class, far for others.

    Args:
        gamma: scale.
        margin: relaxation.
        remove_diagonal: do not compare an embedding with itself.
        reduction, name, dtype: see Loss.
    """

    _fn, _default_name = staticmethod(circle), "circle"
    _keys = ("gamma", "margin", "remove_diagonal")

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        self._start(
            reduction,
            name,
            dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )

    def _loss_mask(self, y_true: Any, y_pred: Any, values: Tensor) -> Tensor | None:
        return _core.greater(values, 0)


class CategoricalGeneralizedCrossEntropy(NamedLoss):
    """Cross-entropy that noisy labels disturb less.

    Args:
        q: 0 < q < 1; near 0 cross-entropy, near 1 absolute error.
        reduction, name, dtype: see Loss.

    Raises:
        ValueError: q is outside.
    """

    _fn = staticmethod(categorical_generalized_cross_entropy)
    _default_name = "categorical_generalized_cross_entropy"
    _keys = ("q",)

    def __init__(
        self,
        q: float = 0.5,
        reduction: Any = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(
                f"CategoricalGeneralizedCrossEntropy: q must be between 0 and 1, got "
                f"q={q}"
            )
        self._start(reduction, name, dtype, q=q)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """One loss per row."""
        return self.fn(y_true, y_pred, **self._fn_kwargs)
