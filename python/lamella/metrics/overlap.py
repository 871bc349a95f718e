"""F scores and intersection over union."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._core import Tensor
from lamella.losses.base import match_shapes
from lamella.metrics.base import Metric
from lamella.ops.conversion import cast, convert_to_tensor

__all__ = [
    "BinaryIoU",
    "F1Score",
    "FBetaScore",
    "IoU",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
]


class FBetaScore(Metric):
    """(1 + beta^2) precision recall / (beta^2 precision + recall).

    Args:
        average: None (a score per class), "micro" (all classes together), "macro" (mean
            of the classes) or "weighted" (by the number of their samples).
        beta: weight of recall against precision, a positive float.
        threshold: predictions above it are positive; None takes the largest of a row.
        name, dtype: see Metric.

    Raises:
        ValueError: an argument has no such value.
    """

    _direction = "up"

    true_positives: Any
    false_positives: Any
    false_negatives: Any
    intermediate_weights: Any

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        owner = type(self).__name__
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                f"{owner}: average must be None, 'micro', 'macro' or 'weighted', got "
                f"average={average!r}"
            )
        if not isinstance(beta, float) or beta <= 0.0:
            raise ValueError(f"{owner}: beta must be a positive float, got beta={beta}")
        if threshold is not None and (
            not isinstance(threshold, float) or not 0.0 < threshold <= 1.0
        ):
            raise ValueError(
                f"{owner}: threshold must be a float in (0, 1], got {threshold!r}"
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self.axis = None if average == "micro" else 0
        self._built = False

    def _build(self, y_true: Tensor, y_pred: Tensor) -> None:
        if y_pred.ndim != 2 or y_pred.shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__}: y_true and y_pred must have shape (batch, "
                f"classes), got y_true.shape={y_true.shape}, "
                f"y_pred.shape={y_pred.shape}"
            )
        shape = () if self.average == "micro" else (y_pred.shape[-1],)
        for kind in (
            "true_positives",
            "false_positives",
            "false_negatives",
            "intermediate_weights",
        ):
            variable = self.add_variable(shape, "zeros", self.dtype, name=kind)
            setattr(self, kind, variable)
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        y_pred = convert_to_tensor(y_pred, self.dtype)
        y_true, y_pred = match_shapes(self.name, y_true, y_pred)
        if not self._built:
            self._build(y_true, y_pred)
        if self.threshold is None:
            top = _core.max(y_pred, -1, True)
            chosen = _core.logical_and(
                _core.greater_equal(y_pred, top), _core.greater(_core.abs(y_pred), 1e-9)
            )
        else:
            chosen = _core.greater(y_pred, self.threshold)
        found = cast(chosen, self.dtype)
        weight = None
        if sample_weight is not None:
            weight = convert_to_tensor(sample_weight, self.dtype)
            weight = _core.reshape(weight, (-1, 1))

        def total(values: Tensor) -> Tensor:
            if weight is not None:
                values = values * weight
            return _core.sum(values, self.axis, False)

        self.true_positives.assign_add(total(found * y_true))
        self.false_positives.assign_add(total(found * (1.0 - y_true)))
        self.false_negatives.assign_add(total((1.0 - found) * y_true))
        self.intermediate_weights.assign_add(total(y_true))

    def result(self) -> Tensor:
        """The score, per class when average is None."""
        if not self._built:
            return convert_to_tensor(0.0, self.dtype)
        small = config.epsilon()
        tp = self.true_positives.value
        precision = tp / (tp + self.false_positives.value + small)
        recall = tp / (tp + self.false_negatives.value + small)
        square = self.beta**2
        score = precision * recall / (square * precision + recall + small)
        score = score * (1.0 + square)
        if self.average == "weighted":
            weights = self.intermediate_weights.value
            weights = weights / (_core.sum(weights, None, False) + small)
            return _core.sum(score * weights, None, False)
        return score if self.average is None else _core.mean(score, None, False)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {
            **super().get_config(),
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall.

    Args:
        average, threshold: see FBetaScore.
        name, dtype: see Metric.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            average=average, beta=1.0, threshold=threshold, name=name, dtype=dtype
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        config = super().get_config()
        del config["beta"]
        return config


class IoU(Metric):
    """Intersection over union of classes, from a confusion matrix.

    Labels outside 0 ... num_classes - 1 are left out.

    Args:
        num_classes: number of classes.
        target_class_ids: classes whose values are averaged.
        name: name of the metric.
        dtype: dtype of the counts, default int32.
        ignore_class: label whose samples are left out.
        sparse_y_true: labels are class numbers instead of one-hot.
        sparse_y_pred: predictions are class numbers instead of scores.
        axis: axis of the classes where they are not sparse.

    Raises:
        ValueError: a target class is not below num_classes.
    """

    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype=dtype or "int32")
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        if max(self.target_class_ids) >= num_classes:
            raise ValueError(
                f"{type(self).__name__}: target_class_ids must be below num_classes="
                f"{num_classes}, got {self.target_class_ids}"
            )
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes),
            "zeros",
            self.dtype,
            name="total_confusion_matrix",
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
        if not self.sparse_y_true:
            y_true = _core.argmax(y_true, self.axis)
        if not self.sparse_y_pred:
            y_pred = _core.argmax(y_pred, self.axis)
        match_shapes(self.name, y_true, y_pred)
        y_true = _core.reshape(cast(y_true, "int32"), (-1,))
        y_pred = _core.reshape(cast(y_pred, "int32"), (-1,))
        n = self.num_classes
        # A label out of range has a row of zeros, so it does not count.
        classes = convert_to_tensor(np.arange(n, dtype=np.int32))
        rows = _core.equal(_core.expand_dims(y_true, -1), classes)
        columns = _core.equal(_core.expand_dims(y_pred, -1), classes)
        if self.ignore_class is not None:
            kept = _core.not_equal(y_true, self.ignore_class)
            rows = _core.logical_and(rows, _core.expand_dims(kept, -1))
        rows, columns = cast(rows, "float32"), cast(columns, "float32")
        if sample_weight is not None:
            weight = convert_to_tensor(sample_weight)
            if self.dtype.startswith("int"):
                weight = cast(weight, self.dtype)  # as Keras: whole numbers only
            weight = cast(_core.reshape(weight, (-1,)), "float32")
            weight = _core.broadcast_to(weight, y_true.dims)
            rows = rows * _core.expand_dims(weight, -1)
        matrix = _core.matmul(_core.transpose(rows, (1, 0)), columns)
        self.total_cm.assign_add(cast(matrix, self.dtype))

    def result(self) -> Tensor:
        """Mean over the target classes that occur."""
        matrix = cast(self.total_cm.value, "float32")
        right = _core.sum(matrix * np.eye(self.num_classes, dtype=np.float32), 1, False)
        union = _core.sum(matrix, 0, False) + _core.sum(matrix, 1, False) - right
        index = convert_to_tensor(np.asarray(self.target_class_ids, dtype=np.int32))
        right, union = _core.gather(right, index, 0), _core.gather(union, index, 0)
        occurs = cast(_core.greater(union, 1e-9), "float32")
        values = right / (union + config.epsilon()) * occurs
        count = _core.sum(occurs, None, False)
        return _core.sum(values, None, False) / (count + config.epsilon())

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }

    def _config_without(self, *keys: str) -> dict[str, Any]:
        config = IoU.get_config(self)
        return {k: v for k, v in config.items() if k not in keys}


class BinaryIoU(IoU):
    """Intersection over union of two classes.

    Args:
        target_class_ids: classes whose values are averaged.
        threshold: predictions at or above it are class 1.
        name, dtype: see IoU.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        above = _core.greater_equal(
            convert_to_tensor(y_pred, "float32"), self.threshold
        )
        super().update_state(y_true, cast(above, "int32"), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {
            "target_class_ids": self.target_class_ids,
            "threshold": self.threshold,
            "name": self.name,
            "dtype": self.dtype,
        }


class MeanIoU(IoU):
    """Mean of the intersection over union of all classes.

    Args:
        num_classes: number of classes.
        name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis: see IoU.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return self._config_without("target_class_ids")


class OneHotIoU(IoU):
    """Intersection over union with one-hot labels.

    Args:
        num_classes, target_class_ids, name, dtype, ignore_class: see IoU.
        sparse_y_pred: predictions are class numbers instead of scores.
        axis: axis of the classes.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            target_class_ids,
            name,
            dtype,
            ignore_class,
            False,
            sparse_y_pred,
            axis,
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return self._config_without("sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """Mean of the intersection over union of all classes with one-hot labels.

    Args:
        num_classes, name, dtype, ignore_class: see IoU.
        sparse_y_pred: predictions are class numbers instead of scores.
        axis: axis of the classes.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return self._config_without("target_class_ids", "sparse_y_true")
