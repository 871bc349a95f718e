"""Metrics from true and false positives and negatives at thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._core import Tensor
from lamella.losses.base import match_shapes, squeeze_or_expand_to_same_rank
from lamella.metrics.base import Metric
from lamella.ops.conversion import cast, convert_to_tensor, to_float
from lamella.ops.elementwise import divide_no_nan
from lamella.ops.reduction import top_k as largest

__all__ = [
    "AUC",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

_HIDDEN = -1e10  # score of a class outside the top k


def _threshold_list(name: str, thresholds: Any, default: float) -> list[float]:
    if thresholds is None:
        return [default]
    values = list(thresholds) if isinstance(thresholds, Sequence) else [thresholds]
    if isinstance(thresholds, np.ndarray):
        values = thresholds.ravel().tolist()
    if any(t is None or t < 0 or t > 1 for t in values):
        raise ValueError(
            f"{name}: thresholds must be in [0, 1], got thresholds={thresholds}"
        )
    return values


def _evenly(thresholds: Sequence[float]) -> bool:
    n = len(thresholds)
    if n < 3:
        return False
    even = np.arange(n, dtype=np.float32) / (n - 1)
    return bool(np.allclose(thresholds, even, atol=config.epsilon()))


class _Counts(Metric):
    """A metric that counts right and wrong predictions per threshold."""

    _kinds: tuple[str, ...] = (
        "true_positives",
        "false_positives",
        "true_negatives",
        "false_negatives",
    )
    true_positives: Any
    false_positives: Any
    true_negatives: Any
    false_negatives: Any

    thresholds: Any
    _even = False
    _top_k: int | None = None
    _class: int | None = None
    _multi_label = False
    _label_weights: Tensor | None = None

    def _add_counts(self, kinds: Sequence[str], shape: Sequence[int]) -> None:
        for kind in kinds:
            setattr(self, kind, self.add_variable(tuple(shape), "zeros", name=kind))

    def _hits(self, y_pred: Tensor, thresholds: Sequence[float]) -> Tensor:
        """y_pred > threshold, along a new last axis.

        Evenly spaced thresholds are compared by bucket numbers, as Keras does.
        """
        if not self._even:
            limits = convert_to_tensor(np.asarray(thresholds), y_pred.dtype)
            return _core.greater(_core.expand_dims(y_pred, -1), limits)
        n = len(thresholds)
        bucket = _core.ceil(_core.clip(y_pred, 0.0, 1.0) * float(n - 1)) - 1.0
        if thresholds[0] < 0.0 or thresholds[-1] > 1.0:
            bucket = _core.relu(bucket)
        places = convert_to_tensor(np.arange(n), y_pred.dtype)
        return _core.greater_equal(_core.expand_dims(bucket, -1), places)

    def _count(
        self, y_true: Any, y_pred: Any, sample_weight: Any, thresholds: Sequence[float]
    ) -> dict[str, Tensor]:
        """The four counts of one batch, per threshold."""
        dtype = self._variables[0].dtype
        y_pred = convert_to_tensor(y_pred, dtype)
        y_true, y_pred = match_shapes(self.name, y_true, y_pred)
        weight = None
        if sample_weight is not None:
            weight = _core.expand_dims(convert_to_tensor(sample_weight, dtype), -1)
            _, weight = squeeze_or_expand_to_same_rank(
                y_true, weight, expand_rank_1=False
            )
        if self._top_k is not None:
            _, index = largest(y_pred, self._top_k)
            hot = _core.one_hot(index, y_pred.shape[-1], dtype)
            inside = _core.greater(_core.max(hot, -2, False), 0)
            y_pred = _core.where(inside, y_pred, _HIDDEN)
        if self._class is not None:
            if y_pred.ndim < 2:
                raise _core.ShapeError(
                    f"{self.name}: class_id needs predictions of shape (batch, "
                    f"classes), got y_pred.shape={y_pred.shape}"
                )
            y_true = y_true[..., self._class : self._class + 1]
            y_pred = y_pred[..., self._class : self._class + 1]
        if self._label_weights is not None and not self._multi_label:
            own = _core.broadcast_to(
                cast(self._label_weights, dtype), (1, y_pred.shape[-1])
            )
            weight = own if weight is None else weight * own
        if weight is not None:
            weight = _core.broadcast_to(weight, y_pred.dims)
        positive = cast(_core.not_equal(y_true, 0), dtype)
        negative = 1.0 - positive
        if weight is not None:
            positive, negative = positive * weight, negative * weight
        hits = cast(self._hits(y_pred, thresholds), dtype)
        if self._multi_label:
            return self._per_label(positive, negative, hits)
        both = _core.stack(
            [_core.reshape(positive, (-1,)), _core.reshape(negative, (-1,))], 0
        )
        found = _core.matmul(both, _core.reshape(hits, (-1, len(thresholds))))
        total = _core.sum(both, 1, False)
        return {
            "true_positives": found[0],
            "false_positives": found[1],
            "false_negatives": total[0] - found[0],
            "true_negatives": total[1] - found[1],
        }

    def _per_label(
        self, positive: Tensor, negative: Tensor, hits: Tensor
    ) -> dict[str, Tensor]:
        counts = {}
        for sign, values in (("positives", positive), ("negatives", negative)):
            found = _core.sum(_core.expand_dims(values, -1) * hits, 0, False)
            found = _core.transpose(found, (1, 0))
            rest = _core.sum(values, 0, True) - found
            if sign == "positives":
                counts["true_positives"], counts["false_negatives"] = found, rest
            else:
                counts["false_positives"], counts["true_negatives"] = found, rest
        return counts

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        counts = self._count(y_true, y_pred, sample_weight, self.thresholds)
        for kind in self._kinds:
            getattr(self, kind).assign_add(counts[kind])

    def _single(self, values: Tensor) -> Tensor:
        return values[0] if len(self.thresholds) == 1 else values


class _OneCount(_Counts):
    """Number of predictions of one kind.

    Args:
        thresholds: one threshold or a list, default 0.5; a prediction above it is
            positive.
        name, dtype: see Metric.
    """

    _counted: str

    def __init__(
        self, thresholds: Any = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = _threshold_list(type(self).__name__, thresholds, 0.5)
        self._even = _evenly(self.thresholds)
        self.accumulator = self.add_variable(
            (len(self.thresholds),), "zeros", name="accumulator"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        counts = self._count(y_true, y_pred, sample_weight, self.thresholds)
        self.accumulator.assign_add(counts[self._counted])

    def result(self) -> Tensor:
        """The number (per threshold when there are several)."""
        return self._single(self.accumulator.value)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_OneCount):
    """Number of positives that were found."""

    _counted = "true_positives"


class FalsePositives(_OneCount):
    """Number of negatives that were taken for positives."""

    _counted = "false_positives"


class TrueNegatives(_OneCount):
    """Number of negatives that were left out."""

    _counted = "true_negatives"


class FalseNegatives(_OneCount):
    """Number of positives that were missed."""

    _counted = "false_negatives"


class _Ratio(_Counts):
    """True positives divided by true positives plus a kind of error."""

    _direction = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = self._top_k = top_k
        self.class_id = self._class = class_id
        default = 0.5 if top_k is None else _HIDDEN
        self.thresholds = _threshold_list(type(self).__name__, thresholds, default)
        self._even = _evenly(self.thresholds)
        self._add_counts(self._kinds, (len(self.thresholds),))

    def result(self) -> Tensor:
        """The ratio (per threshold when there are several), 0 for 0 / 0."""
        right = getattr(self, self._kinds[0]).value
        wrong = getattr(self, self._kinds[1]).value
        return self._single(divide_no_nan(right, right + wrong))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {
            **super().get_config(),
            "thresholds": self.init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(_Ratio):
    """Share of the found that are positive: tp / (tp + fp).

    Args:
        thresholds: one threshold or a list, default 0.5.
        top_k: only the k largest classes of a row count as found.
        class_id: look at this class only.
        name, dtype: see Metric.
    """

    _kinds = ("true_positives", "false_positives")


class Recall(_Ratio):
    """Share of the positives that are found: tp / (tp + fn).

    Args:
        thresholds: one threshold or a list, default 0.5.
        top_k: only the k largest classes of a row count as found.
        class_id: look at this class only.
        name, dtype: see Metric.
    """

    _kinds = ("true_positives", "false_negatives")


class _Best(_Counts):
    """The best of one ratio over the thresholds at which another is large enough."""

    _direction = "up"
    _argument: str

    def _start(
        self, value: float, num_thresholds: int, class_id: Any, name: Any, dtype: Any
    ) -> None:
        Metric.__init__(self, name=name, dtype=dtype)
        owner = type(self).__name__
        if not 0 <= value <= 1:
            raise ValueError(
                f"{owner}: {self._argument} must be in [0, 1], got "
                f"{self._argument}={value}"
            )
        if num_thresholds <= 0:
            raise ValueError(
                f"{owner}: num_thresholds must be positive, got {num_thresholds}"
            )
        self.value = value
        self.class_id = self._class = class_id
        self.num_thresholds = num_thresholds
        if num_thresholds == 1:
            self.thresholds = [0.5]
        else:
            last = num_thresholds - 1
            self.thresholds = [i / last for i in range(num_thresholds)]
            self._even = True
        self._add_counts(self._kinds, (len(self.thresholds),))

    def _rate(self, right: str, wrong: str) -> Tensor:
        a, b = getattr(self, right).value, getattr(self, wrong).value
        return divide_no_nan(a, a + b)

    def _sensitivity(self) -> Tensor:
        return self._rate("true_positives", "false_negatives")

    def _specificity(self) -> Tensor:
        return self._rate("true_negatives", "false_positives")

    def _precision(self) -> Tensor:
        return self._rate("true_positives", "false_positives")

    def _best(self, condition: Tensor, wanted: Tensor) -> Tensor:
        allowed = _core.greater_equal(condition, self.value)
        return _core.max(_core.where(allowed, wanted, 0.0), None, False)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {
            **super().get_config(),
            "class_id": self.class_id,
            "num_thresholds": self.num_thresholds,
            self._argument: self.value,
        }


class SensitivityAtSpecificity(_Best):
    """Best sensitivity where the specificity is at least the given one.

    Args:
        specificity: in [0, 1].
        num_thresholds: number of thresholds that are tried.
        class_id: look at this class only.
        name, dtype: see Metric.
    """

    _argument = "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self._start(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self) -> Tensor:
        """The best value."""
        return self._best(self._specificity(), self._sensitivity())


class SpecificityAtSensitivity(_Best):
    """Best specificity where the sensitivity is at least the given one.

    Args:
        sensitivity: in [0, 1].
        num_thresholds: number of thresholds that are tried.
        class_id: look at this class only.
        name, dtype: see Metric.
    """

    _argument = "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self._start(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self) -> Tensor:
        """The best value."""
        return self._best(self._sensitivity(), self._specificity())


class PrecisionAtRecall(_Best):
    """Best precision where the recall is at least the given one.

    Args:
        recall: in [0, 1].
        num_thresholds: number of thresholds that are tried.
        class_id: look at this class only.
        name, dtype: see Metric.
    """

    _argument = "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self._start(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self) -> Tensor:
        """The best value."""
        return self._best(self._sensitivity(), self._precision())


class RecallAtPrecision(_Best):
    """Best recall where the precision is at least the given one.

    Args:
        precision: in [0, 1].
        num_thresholds: number of thresholds that are tried.
        class_id: look at this class only.
        name, dtype: see Metric.
    """

    _argument = "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self._start(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self) -> Tensor:
        """The best value."""
        return self._best(self._precision(), self._sensitivity())


_CURVES = {"roc": "ROC", "pr": "PR", "prgain": "PRGAIN"}
_SUMS = ("interpolation", "majoring", "minoring")


class AUC(_Counts):
    """Area under the ROC or precision-recall curve, from counts at thresholds.

    Args:
        num_thresholds: number of thresholds, at least 2.
        curve: "ROC", "PR" or "PRGAIN".
        summation_method: "interpolation" (trapezoids; for PR Davis and Goadrich's
            rule), "minoring" or "majoring" (lower and upper sums).
        name, dtype: see Metric.
        thresholds: own thresholds in [0, 1] instead of evenly spaced ones.
        multi_label: one curve per label, then the mean.
        num_labels: number of labels when multi_label.
        label_weights: weights of the labels.
        from_logits: whether predictions are logits.

    Raises:
        ValueError: an argument has no such value.

    Source: Davis and Goadrich 2006 (PR); Flach and Kull 2015 (PRGAIN).
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if str(curve).lower() not in _CURVES:
            raise ValueError(
                f"AUC: curve must be 'ROC', 'PR' or 'PRGAIN', got curve={curve!r}"
            )
        if str(summation_method).lower() not in _SUMS:
            raise ValueError(
                f"AUC: summation_method must be one of {_SUMS}, got "
                f"summation_method={summation_method!r}"
            )
        self.curve = _CURVES[str(curve).lower()]
        self.summation_method = str(summation_method).lower()
        self._from_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(_threshold_list("AUC", thresholds, 0.5))
            self.num_thresholds = len(inner) + 2
            self._even = _evenly([0.0, *inner, 1.0])
        else:
            if num_thresholds <= 1:
                raise ValueError(
                    f"AUC: num_thresholds must be at least 2, got {num_thresholds}"
                )
            self.num_thresholds = num_thresholds
            last = num_thresholds - 1
            inner = [(i + 1) / last for i in range(num_thresholds - 2)]
            self._even = True
        margin = config.epsilon()
        self._thresholds = np.array([-margin, *inner, 1.0 + margin])
        self.thresholds = list(self._thresholds)
        self.multi_label = self._multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = (
            None if label_weights is None else convert_to_tensor(label_weights, dtype)
        )
        self._label_weights = self.label_weights
        self._from_logits = from_logits
        self._built = False
        if not multi_label:
            if num_labels:
                raise ValueError(
                    "AUC: num_labels goes with multi_label=True only, got "
                    f"num_labels={num_labels}"
                )
            self._build(())
        elif num_labels:
            self._build((num_labels,))

    def _build(self, labels: tuple[int, ...]) -> None:
        self._add_counts(self._kinds, (self.num_thresholds, *labels))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        y_pred = to_float(y_pred)
        if not self._built:
            if y_pred.ndim != 2 or y_pred.shape[1] is None:
                raise _core.ShapeError(
                    "AUC: with multi_label=True y_pred must have shape (batch, labels)"
                    f", got y_pred.shape={y_pred.shape}"
                )
            self._build((y_pred.shape[1],))
        if self._from_logits:
            y_pred = _core.sigmoid(y_pred)
        super().update_state(y_true, y_pred, sample_weight)

    def _joined(self, terms: Tensor) -> Tensor:
        """Sum over the thresholds, and the (weighted) mean over labels."""
        if not self.multi_label:
            return _core.sum(terms, None, False)
        per_label = _core.sum(terms, 0, False)
        if self.label_weights is None:
            return _core.mean(per_label, None, False)
        weights = cast(self.label_weights, per_label.dtype)
        return divide_no_nan(
            _core.sum(per_label * weights, None, False), _core.sum(weights, None, False)
        )

    def _interpolated_pr(self) -> Tensor:
        tp, fp = self.true_positives.value, self.false_positives.value
        fn = self.false_negatives.value
        found = tp + fp
        step_tp, step = tp[:-1] - tp[1:], found[:-1] - found[1:]
        slope = divide_no_nan(step_tp, _core.maximum(step, 0.0))
        intercept = tp[1:] - slope * found[1:]
        both = _core.logical_and(
            _core.greater(found[:-1], 0), _core.greater(found[1:], 0)
        )
        ratio = divide_no_nan(found[:-1], _core.maximum(found[1:], 0.0))
        ratio = _core.where(both, ratio, 1.0)
        area = slope * (step_tp + intercept * _core.log(ratio))
        return self._joined(divide_no_nan(area, _core.maximum(tp[1:] + fn[1:], 0.0)))

    def result(self) -> Tensor:
        """The area."""
        if not self._built:
            return convert_to_tensor(0.0, self.dtype)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._interpolated_pr()
        tp, fp = self.true_positives.value, self.false_positives.value
        tn, fn = self.true_negatives.value, self.false_negatives.value
        recall = divide_no_nan(tp, tp + fn)
        if self.curve == "ROC":
            x, y = divide_no_nan(fp, fp + tn), recall
        elif self.curve == "PR":
            x, y = recall, divide_no_nan(tp, tp + fp)
        else:
            scale = divide_no_nan(tp + fn, tn + fp)
            none = _core.equal(tp, 0.0)
            x = _core.where(none, 0.0, 1.0 - scale * divide_no_nan(fn, tp))
            y = _core.where(none, 1.0, 1.0 - scale * divide_no_nan(fp, tp))
            x = _core.maximum(x, 0.0)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        elif self.summation_method == "minoring":
            heights = _core.minimum(y[:-1], y[1:])
        else:
            heights = _core.maximum(y[:-1], y[1:])
        return self._joined((x[:-1] - x[1:]) * heights)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        weights = self.label_weights
        own = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if weights is None else weights.numpy().tolist(),
            "from_logits": self._from_logits,
        }
        if self._from_thresholds:
            own["thresholds"] = [float(t) for t in self.thresholds[1:-1]]
        return {**super().get_config(), **own}
