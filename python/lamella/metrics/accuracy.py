"""How often predictions are right."""

from __future__ import annotations

from typing import Any

from lamella import _core, config
from lamella._core import Tensor
from lamella.losses.base import match_shapes
from lamella.losses.functions import class_numbers
from lamella.metrics.base import NamedMetric
from lamella.ops.conversion import cast, convert_to_tensor, to_float, to_tensor
from lamella.ops.reduction import in_top_k

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def _matches(hit: Tensor) -> Tensor:
    return cast(hit, config.floatx())


def accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where y_true == y_pred."""
    y_pred = to_tensor(y_pred)
    if y_pred.dtype in ("float32", "float64"):
        y_true, y_pred = match_shapes("accuracy", y_true, y_pred)
    else:  # integers stay integers: floats could not tell large ones apart
        y_true = convert_to_tensor(y_true, y_pred.dtype)
        match_shapes("accuracy", y_true, y_pred)
        y_true, y_pred = _aligned(y_true, y_pred)
    return _matches(_core.equal(y_true, y_pred))


def _aligned(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    from lamella.losses.base import squeeze_or_expand_to_same_rank

    return squeeze_or_expand_to_same_rank(a, b)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """1 where (y_pred > threshold) == y_true."""
    y_true, y_pred = match_shapes("binary_accuracy", y_true, y_pred)
    above = cast(_core.greater(y_pred, threshold), y_true.dtype)
    return _matches(_core.equal(y_true, above))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the largest entries of y_true and y_pred are at the same place."""
    y_true, y_pred = match_shapes("categorical_accuracy", y_true, y_pred)
    return _matches(_core.equal(_core.argmax(y_true, -1), _core.argmax(y_pred, -1)))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the largest entry of y_pred is at place y_true."""
    y_pred = to_float(y_pred)
    labels, _ = class_numbers("sparse_categorical_accuracy", y_true, y_pred, -1)
    return _matches(_core.equal(labels, cast(_core.argmax(y_pred, -1), labels.dtype)))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the class of y_true (one-hot) is among the k largest of y_pred."""
    y_true, y_pred = match_shapes("top_k_categorical_accuracy", y_true, y_pred)
    return _matches(in_top_k(_core.argmax(y_true, -1), y_pred, k))


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Tensor:
    """1 where class y_true is among the k largest of y_pred.

    Args:
        y_true: class numbers.
        y_pred: scores per class, or with from_sorted_ids classes, best first.
        k: number of classes that count.
        from_sorted_ids: see y_pred.
    """
    name = "sparse_top_k_categorical_accuracy"
    if not from_sorted_ids:
        y_pred = to_float(y_pred)
        labels, _ = class_numbers(name, y_true, y_pred, -1)
        return _matches(in_top_k(labels, y_pred, k))
    y_pred = to_tensor(y_pred)
    labels, _ = class_numbers(name, y_true, y_pred, -1)
    best = y_pred[..., :k]
    hit = _core.equal(_core.expand_dims(cast(labels, best.dtype), -1), best)
    return _matches(_core.any(hit, -1, False))


class Accuracy(NamedMetric):
    """Share of predictions that equal their labels."""

    _function, _default_name = staticmethod(accuracy), "accuracy"
    _direction = "up"


class BinaryAccuracy(NamedMetric):
    """Share of predictions on the right side of a threshold.

    Args:
        name, dtype: see Metric.
        threshold: predictions strictly above it are class 1.
    """

    _function, _default_name = staticmethod(binary_accuracy), "binary_accuracy"
    _keys = ("threshold",)
    _direction = "up"

    def __init__(
        self,
        name: str | None = "binary_accuracy",
        dtype: Any = None,
        threshold: float = 0.5,
    ) -> None:
        self._start(name, dtype, threshold=threshold)


class CategoricalAccuracy(NamedMetric):
    """Share of rows whose largest entry is at the place of the one-hot label."""

    _function = staticmethod(categorical_accuracy)
    _default_name = "categorical_accuracy"
    _direction = "up"


class SparseCategoricalAccuracy(NamedMetric):
    """Share of rows whose largest entry is at the place of the class number."""

    _function = staticmethod(sparse_categorical_accuracy)
    _default_name = "sparse_categorical_accuracy"
    _direction = "up"


class TopKCategoricalAccuracy(NamedMetric):
    """Share of rows whose one-hot label is among the k largest entries.

    Args:
        k: number of classes that count.
        name, dtype: see Metric.
    """

    _function = staticmethod(top_k_categorical_accuracy)
    _default_name = "top_k_categorical_accuracy"
    _keys = ("k",)
    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "top_k_categorical_accuracy",
        dtype: Any = None,
    ) -> None:
        self._start(name, dtype, k=k)


class SparseTopKCategoricalAccuracy(NamedMetric):
    """Share of rows whose class number is among the k largest entries.

    Args:
        k: number of classes that count.
        name, dtype: see Metric.
        from_sorted_ids: predictions are class numbers, best first.
    """

    _function = staticmethod(sparse_top_k_categorical_accuracy)
    _default_name = "sparse_top_k_categorical_accuracy"
    _keys = ("k",)
    _direction = "up"
    from_sorted_ids: bool

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        self._start(name, dtype, k=k, from_sorted_ids=from_sorted_ids)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        config = super().get_config()
        if self.from_sorted_ids:
            config["from_sorted_ids"] = True
        return config
