"""Validation data of the multi-layer perceptrons."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight, validate_data

__all__ = ["Validation", "has_zero_batches", "held_out", "prepared_targets"]


class Validation(NamedTuple):
    """Data that are only evaluated.

    Attributes:
        arrays: x, encoded y, weights or None.
        labels: y as `predict` gives it.
        given: whether the user gave them, or they were split off.
    """

    arrays: tuple[Any, np.ndarray, Any]
    labels: np.ndarray
    given: bool

    def score(self, estimator: Any) -> float:
        """Return accuracy or R squared; NaN if a prediction is not finite."""
        x, _, weight = self.arrays
        predicted = estimator._decide(estimator._outputs(x, check_input=False))
        if predicted.dtype.kind == "f" and not np.isfinite(predicted).all():
            return float("nan")
        return estimator._score_labels(self.labels, predicted, weight)


def held_out(
    estimator: Any, x: Any, y: np.ndarray, weight: Any
) -> tuple[Any, np.ndarray, Any, Validation]:
    """Split off `validation_fraction` of the rows, with scikit-learn's own stream."""
    stratify = y if is_classifier(estimator) and estimator.n_outputs_ == 1 else None
    parts = [x, y] if weight is None else [x, y, weight]
    split = train_test_split(
        *parts,
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=stratify,
    )
    train, held = split[::2], split[1::2]
    if held[0].shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the "
            "size of your dataset."
        )
    weight, held_weight = (None, None) if weight is None else (train[2], held[2])
    validation = Validation(
        (held[0], held[1], held_weight), estimator._labels(held[1]), False
    )
    return train[0], train[1], weight, validation


def prepared_targets(estimator: Any, data: Any) -> Validation:
    """Check the user's validation data: (x, y) or (x, y, sample_weight)."""
    if not isinstance(data, list | tuple) or len(data) not in (2, 3):
        raise ValueError(
            f"{type(estimator).__name__}: validation_data must be (X, y) or (X, y, "
            f"sample_weight), got a {type(data).__name__}"
        )
    x = validate_data(
        estimator,
        data[0],
        accept_sparse=["csr", "csc"],
        dtype=(np.float64, np.float32),
        reset=False,
    )
    y = estimator._encode(data[1])
    if len(y) != x.shape[0]:
        raise ValueError(
            f"{type(estimator).__name__}: validation_data has {x.shape[0]} rows in X, "
            f"but {len(y)} in y"
        )
    weight = _check_sample_weight(data[2], x) if len(data) == 3 else None
    return Validation((x, y, weight), estimator._labels(y), True)


def has_zero_batches(weight: np.ndarray, batch: int) -> bool:
    """Return whether the weights of some batch sum to zero."""
    if weight.all():
        return False
    sums = np.add.reduceat(weight, np.arange(0, len(weight), batch))
    return bool((sums == 0).any())
