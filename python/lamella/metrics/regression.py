"""Errors of regression, losses as metrics, correlations."""

from __future__ import annotations

from typing import Any

from lamella import _core, config
from lamella._core import Tensor
from lamella.losses import functions as loss
from lamella.losses.base import match_shapes
from lamella.losses.functions import class_numbers
from lamella.metrics.base import Mean, Metric, NamedMetric
from lamella.ops import neural
from lamella.ops.conversion import cast, convert_to_tensor, size, to_float
from lamella.ops.elementwise import isinf

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "PearsonCorrelation",
    "Poisson",
    "R2Score",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "concordance_correlation",
    "cosine_similarity",
    "pearson_correlation",
]


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Cosine of the angle between target and prediction (1 for parallel vectors)."""
    y_true, y_pred = match_shapes("cosine_similarity", y_true, y_pred)
    product = neural.normalize(y_true, axis) * neural.normalize(y_pred, axis)
    return _core.sum(product, axis, False)


def pearson_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Tensor:
    """Covariance divided by both standard deviations."""
    y_true, y_pred = match_shapes("pearson_correlation", y_true, y_pred)
    axis = tuple(axis) if isinstance(axis, list) else axis
    a = y_true - _core.mean(y_true, axis, True)
    b = y_pred - _core.mean(y_pred, axis, True)
    a = a / _core.sqrt(_core.var(a, axis, True))
    b = b / _core.sqrt(_core.var(b, axis, True))
    return _core.mean(a * b, axis, False)


def concordance_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Tensor:
    """Lin's concordance: 1 only where predictions equal targets.

    As Keras computes it: the covariance uses y_true - mean(y_pred).
    """
    y_true, y_pred = match_shapes("concordance_correlation", y_true, y_pred)
    axis = tuple(axis) if isinstance(axis, list) else axis
    mean_true = _core.mean(y_true, axis, True)
    mean_pred = _core.mean(y_pred, axis, True)
    var_true = _core.var(y_true - mean_true, axis, True)
    var_pred = _core.var(y_pred - mean_pred, axis, True)
    covariance = (y_true - mean_pred) * (y_pred - mean_pred)
    norm = var_true + var_pred + _core.square(mean_true - mean_pred)
    return _core.mean(2.0 * covariance / (norm + config.epsilon()), axis, False)


class MeanSquaredError(NamedMetric):
    """Mean of the squared differences."""

    _function, _default_name = (
        staticmethod(loss.mean_squared_error),
        "mean_squared_error",
    )
    _direction = "down"


class MeanAbsoluteError(NamedMetric):
    """Mean of the absolute differences."""

    _function = staticmethod(loss.mean_absolute_error)
    _default_name = "mean_absolute_error"
    _direction = "down"


class MeanAbsolutePercentageError(NamedMetric):
    """Mean of the absolute differences in percent of the target."""

    _function = staticmethod(loss.mean_absolute_percentage_error)
    _default_name = "mean_absolute_percentage_error"
    _direction = "down"


class MeanSquaredLogarithmicError(NamedMetric):
    """Mean of the squared differences of log(x + 1)."""

    _function = staticmethod(loss.mean_squared_logarithmic_error)
    _default_name = "mean_squared_logarithmic_error"
    _direction = "down"


class LogCoshError(NamedMetric):
    """Mean of log(cosh(error))."""

    _function, _default_name = staticmethod(loss.log_cosh), "logcosh"
    _direction = "down"


class Hinge(NamedMetric):
    """Mean of max(1 - y_true y_pred, 0)."""

    _function, _default_name = staticmethod(loss.hinge), "hinge"
    _direction = "down"


class SquaredHinge(NamedMetric):
    """Mean of max(1 - y_true y_pred, 0)^2."""

    _function, _default_name = staticmethod(loss.squared_hinge), "squared_hinge"
    _direction = "down"


class CategoricalHinge(NamedMetric):
    """Margin between the right class and the best wrong one."""

    _function = staticmethod(loss.categorical_hinge)
    _default_name = "categorical_hinge"
    _direction = "down"


class KLDivergence(NamedMetric):
    """Sum of y_true log(y_true / y_pred)."""

    _function, _default_name = staticmethod(loss.kl_divergence), "kl_divergence"


class Poisson(NamedMetric):
    """Mean of y_pred - y_true log(y_pred)."""

    _function, _default_name = staticmethod(loss.poisson), "poisson"


class CosineSimilarity(NamedMetric):
    """Cosine of the angle between target and prediction.

    Args:
        name, dtype: see Metric.
        axis: axis of the vectors (Keras does not write it to the config).
    """

    _function, _default_name = staticmethod(cosine_similarity), "cosine_similarity"
    _direction = "up"
    axis: int

    def __init__(
        self,
        name: str | None = "cosine_similarity",
        dtype: Any = None,
        axis: int = -1,
    ) -> None:
        self._start(name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric (as Keras: no default axis)."""
        own = {} if self.axis == -1 else {"axis": self.axis}
        return {**super().get_config(), **own}


class PearsonCorrelation(NamedMetric):
    """Mean of the correlation along an axis.

    Args:
        name, dtype: see Metric.
        axis: axis or axes of the correlation.
    """

    _function, _default_name = staticmethod(pearson_correlation), "pearson_correlation"
    _keys = ("axis",)
    _direction = "up"

    def __init__(
        self,
        name: str | None = "pearson_correlation",
        dtype: Any = None,
        axis: Any = -1,
    ) -> None:
        self._start(name, dtype, axis=axis)


class ConcordanceCorrelation(NamedMetric):
    """Mean of the concordance along an axis.

    Args:
        name, dtype: see Metric.
        axis: axis or axes of the correlation.
    """

    _function = staticmethod(concordance_correlation)
    _default_name = "concordance_correlation"
    _keys = ("axis",)
    _direction = "up"

    def __init__(
        self,
        name: str | None = "concordance_correlation",
        dtype: Any = None,
        axis: Any = -1,
    ) -> None:
        self._start(name, dtype, axis=axis)


class BinaryCrossentropy(NamedMetric):
    """Cross-entropy of labels 0 and 1.

    Args:
        name, dtype: see Metric.
        from_logits: whether predictions are logits.
        label_smoothing: mixes the labels with 1/2.
    """

    _function, _default_name = (
        staticmethod(loss.binary_crossentropy),
        "binary_crossentropy",
    )
    _keys = ("from_logits", "label_smoothing")
    _direction = "down"

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        self._start(
            name, dtype, from_logits=from_logits, label_smoothing=label_smoothing
        )


class CategoricalCrossentropy(NamedMetric):
    """Cross-entropy of one-hot labels.

    Args:
        name, dtype: see Metric.
        from_logits: whether predictions are logits.
        label_smoothing: mixes the labels with the uniform distribution.
        axis: axis of the classes.
    """

    _function = staticmethod(loss.categorical_crossentropy)
    _default_name = "categorical_crossentropy"
    _keys = ("from_logits", "label_smoothing", "axis")
    _direction = "down"

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        self._start(
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(NamedMetric):
    """Cross-entropy of class numbers.

    Args:
        name, dtype: see Metric.
        from_logits: whether predictions are logits.
        ignore_class: class number whose rows give 0 (as in Keras they still count in
            the mean, unless there are sample weights).
        axis: axis of the classes.
    """

    _function = staticmethod(loss.sparse_categorical_crossentropy)
    _default_name = "sparse_categorical_crossentropy"
    _keys = ("from_logits", "ignore_class", "axis")
    _direction = "down"
    axis: int
    ignore_class: int | None

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        self._start(
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )

    def update_state(  # type: ignore[override]  # Keras's signature
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        *,
        mask: Any = None,
    ) -> None:
        """Take one batch into account."""
        if sample_weight is not None and self.ignore_class is not None:
            labels, _ = class_numbers(self.name, y_true, to_float(y_pred), self.axis)
            kept = _core.not_equal(labels, self.ignore_class)
            mask = kept if mask is None else _core.logical_and(mask, kept)
        super().update_state(y_true, y_pred, sample_weight, mask=mask)


class RootMeanSquaredError(Mean):
    """Square root of the mean of the squared differences.

    Args:
        name, dtype: see Metric.
    """

    _direction = "down"

    def __init__(
        self, name: str | None = "root_mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(name, dtype=dtype)

    def update_state(  # type: ignore[override]  # Keras's signature
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take one batch into account."""
        y_pred = convert_to_tensor(y_pred, self.dtype)
        y_true, y_pred = match_shapes("root_mean_squared_error", y_true, y_pred)
        super().update_state(_core.square(y_pred - y_true), sample_weight)

    def result(self) -> Tensor:
        """The root of the mean."""
        return _core.sqrt(super().result())


class R2Score(Metric):
    """Coefficient of determination: 1 - residual sum / total sum of squares.

    Args:
        class_aggregation: how outputs are joined: "uniform_average",
            "variance_weighted_average" or None (one score per output).
        num_regressors: number of inputs for the adjusted score, 0 for the plain one.
            With too few samples the plain score is given.
        name, dtype: see Metric.

    Raises:
        ValueError: an argument has no such value.
    """

    _direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        allowed = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in allowed:
            raise ValueError(
                f"R2Score: class_aggregation must be one of {allowed}, got "
                f"class_aggregation={class_aggregation!r}"
            )
        if num_regressors < 0:
            raise ValueError(
                f"R2Score: num_regressors must be >= 0, got {num_regressors}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self._built = False

    def _build(self, y_true: Tensor, y_pred: Tensor) -> None:
        if y_pred.ndim != 2 or y_pred.shape[-1] is None:
            raise ValueError(
                "R2Score: y_true and y_pred must have shape (batch, outputs), got "
                f"y_true.shape={y_true.shape}, y_pred.shape={y_pred.shape}"
            )
        shape = (y_pred.shape[-1],)
        self.squared_sum = self.add_variable(shape, name="squared_sum")
        self.sum = self.add_variable(shape, name="sum")
        self.total_mse = self.add_variable(shape, name="residual")
        self.count = self.add_variable(shape, name="count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        y_pred = convert_to_tensor(y_pred, self.dtype)
        y_true, y_pred = match_shapes("r2_score", y_true, y_pred)
        if not self._built:
            self._build(y_true, y_pred)
        weight = convert_to_tensor(
            1 if sample_weight is None else sample_weight, y_true.dtype
        )
        if weight.ndim == 1:
            weight = _core.expand_dims(weight, 1)
        weight = _core.broadcast_to(weight, y_true.dims)
        weighted = y_true * weight
        self.sum.assign_add(_core.sum(weighted, 0, False))
        self.squared_sum.assign_add(_core.sum(y_true * weighted, 0, False))
        error = _core.square(y_true - y_pred) * weight
        self.total_mse.assign_add(_core.sum(error, 0, False))
        self.count.assign_add(_core.sum(weight, 0, False))
        self.num_samples.assign_add(cast(size(y_true), self.num_samples.dtype))

    def result(self) -> Tensor:
        """The score."""
        if not self._built:
            return convert_to_tensor(0.0, self.dtype)
        mean = self.sum.value / self.count.value
        total = self.squared_sum.value - self.sum.value * mean
        scores = 1.0 - self.total_mse.value / total
        scores = _core.where(isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            score = _core.mean(scores, None, False)
        elif self.class_aggregation == "variance_weighted_average":
            score = _core.sum(total * scores, None, False)
            score = score / _core.sum(total, None, False)
        else:
            score = scores
        if not self.num_regressors:
            return score
        n, p = self.num_samples.value, float(self.num_regressors)
        left = n - p - 1.0
        enough = _core.greater(left, 0.0)
        adjusted = 1.0 - (1.0 - score) * (n - 1.0) / _core.where(enough, left, 1.0)
        return _core.where(enough, adjusted, score)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
