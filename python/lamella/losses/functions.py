"""Losses as functions: one value per sample."""

from __future__ import annotations

import math
import warnings
from typing import Any

from lamella import _core, config
from lamella._core import Tensor
from lamella.losses.base import match_shapes, same_shape
from lamella.ops import neural
from lamella.ops.conversion import cast, convert_to_tensor, to_float
from lamella.ops.ctc import ctc_loss
from lamella.ops.shaping import axis_of

__all__ = [
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "dice",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]


def _hinge_labels(y_true: Tensor) -> Tensor:
    """Labels 0 and 1 as -1 and 1; other labels stay."""
    known = _core.logical_or(_core.equal(y_true, 0), _core.equal(y_true, 1))
    return _core.where(_core.all(known, None, False), 2.0 * y_true - 1.0, y_true)


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean((y_true - y_pred)^2) over the last axis."""
    y_true, y_pred = match_shapes("mean_squared_error", y_true, y_pred)
    return _core.mean(_core.square(y_true - y_pred), -1, False)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean(|y_true - y_pred|) over the last axis."""
    y_true, y_pred = match_shapes("mean_absolute_error", y_true, y_pred)
    return _core.mean(_core.abs(y_true - y_pred), -1, False)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """100 mean(|y_true - y_pred| / max(|y_true|, epsilon)) over the last axis."""
    y_true, y_pred = match_shapes("mean_absolute_percentage_error", y_true, y_pred)
    size = _core.maximum(_core.abs(y_true), config.epsilon())
    return 100.0 * _core.mean(_core.abs((y_true - y_pred) / size), -1, False)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean((log(y_true + 1) - log(y_pred + 1))^2); values below epsilon count as it."""
    y_true, y_pred = match_shapes("mean_squared_logarithmic_error", y_true, y_pred)
    low = config.epsilon()
    first = _core.log(_core.maximum(y_pred, low) + 1.0)
    second = _core.log(_core.maximum(y_true, low) + 1.0)
    return _core.mean(_core.square(first - second), -1, False)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """-sum(l2_normalize(y_true) * l2_normalize(y_pred)): -1 for parallel vectors."""
    y_true, y_pred = match_shapes("cosine_similarity", y_true, y_pred)
    product = neural.normalize(y_true, axis) * neural.normalize(y_pred, axis)
    return _core.neg(_core.sum(product, axis, False))


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """mean of e^2 / 2 for |e| <= delta, else delta |e| - delta^2 / 2."""
    y_true, y_pred = match_shapes("huber", y_true, y_pred)
    error = y_pred - y_true
    size = _core.abs(error)
    inner, outer = 0.5 * _core.square(error), delta * size - 0.5 * delta * delta
    return _core.mean(
        _core.where(_core.less_equal(size, delta), inner, outer), -1, False
    )


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """mean(log(cosh(e))), computed as e + softplus(-2 e) - log(2)."""
    y_true, y_pred = match_shapes("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    values = error + _core.softplus(error * -2.0) - math.log(2.0)
    return _core.mean(values, -1, False)


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """mean(max(1 - y_true y_pred, 0)) with labels -1 and 1 (or 0 and 1)."""
    y_true, y_pred = match_shapes("hinge", y_true, y_pred)
    margin = _core.maximum(1.0 - _hinge_labels(y_true) * y_pred, 0.0)
    return _core.mean(margin, -1, False)


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """mean(max(1 - y_true y_pred, 0)^2) with labels -1 and 1 (or 0 and 1)."""
    y_true, y_pred = match_shapes("squared_hinge", y_true, y_pred)
    margin = _core.maximum(1.0 - _hinge_labels(y_true) * y_pred, 0.0)
    return _core.mean(_core.square(margin), -1, False)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """max(0, max((1 - y_true) y_pred) - sum(y_true y_pred) + 1) per row."""
    y_true, y_pred = match_shapes("categorical_hinge", y_true, y_pred)
    right = _core.sum(y_true * y_pred, -1, False)
    wrong = _core.max((1.0 - y_true) * y_pred, -1, False)
    return _core.maximum(wrong - right + 1.0, 0.0)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """sum(y_true log(y_true / y_pred)); both clipped to [epsilon, 1]."""
    y_true, y_pred = match_shapes("kl_divergence", y_true, y_pred)
    y_true = _core.clip(y_true, config.epsilon(), 1)
    y_pred = _core.clip(y_pred, config.epsilon(), 1)
    return _core.sum(y_true * _core.log(y_true / y_pred), -1, False)


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """mean(y_pred - y_true log(y_pred + epsilon)) over the last axis."""
    y_true, y_pred = match_shapes("poisson", y_true, y_pred)
    values = y_pred - y_true * _core.log(y_pred + config.epsilon())
    return _core.mean(values, -1, False)


def _check_axis(name: str, axis: Any) -> None:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ValueError(f"{name}: axis must be an int, got axis={axis!r}")


def _warn_one_class(name: str, y_pred: Tensor) -> None:
    if y_pred.ndim and y_pred.shape[-1] == 1:
        warnings.warn(
            f"{name}: y_pred has one class only (y_pred.shape={y_pred.shape}), so the "
            "loss is constant; use binary_crossentropy for two classes",
            SyntaxWarning,
            stacklevel=3,
        )


def _smoothed(y_true: Tensor, label_smoothing: float, axis: int = -1) -> Tensor:
    if not label_smoothing:
        return y_true
    classes = y_true.shape[-1]
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """-sum(y_true log(y_pred)) per row.

    Args:
        y_true: probabilities, one-hot as a rule.
        y_pred: probabilities (divided by their sum, clipped by 1e-7), or logits.
        from_logits: whether y_pred holds logits.
        label_smoothing: mixes y_true with the uniform distribution, in [0, 1].
        axis: axis of the classes.
    """
    name = "categorical_crossentropy"
    _check_axis(name, axis)
    y_true, y_pred = match_shapes(name, y_true, y_pred)
    _warn_one_class(name, y_pred)
    y_true = _smoothed(y_true, label_smoothing)
    return neural.categorical_crossentropy(y_true, y_pred, from_logits, axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """-sum(alpha (1 - y_pred)^gamma y_true log(y_pred)) per row.

    Source: Lin et al. 2018, Focal Loss.
    """
    name = "categorical_focal_crossentropy"
    _check_axis(name, axis)
    y_true, y_pred = match_shapes(name, y_true, y_pred)
    _warn_one_class(name, y_pred)
    y_true = _smoothed(y_true, label_smoothing)
    if from_logits:
        y_pred = _core.softmax(y_pred, axis)
    p = y_pred / _core.sum(y_pred, axis, True)
    p = _core.clip(p, config.epsilon(), 1.0 - config.epsilon())
    weight = _core.pow(1.0 - p, gamma) * alpha
    return _core.sum(_core.neg(y_true * _core.log(p)) * weight, axis, False)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """-log(y_pred[y_true]) per row; y_true holds class numbers.

    Args:
        y_true: class numbers, shape of y_pred without the axis of the classes (or
            with size 1 there).
        y_pred: probabilities (divided by their sum, clipped by 1e-7), or logits.
        from_logits: whether y_pred holds logits.
        ignore_class: class number whose rows do not count.
        axis: axis of the classes.

    Raises:
        ShapeError: y_true has another shape.
    """
    name = "sparse_categorical_crossentropy"
    _check_axis(name, axis)
    y_pred = to_float(y_pred)
    y_true, rest = class_numbers(name, y_true, y_pred, axis)
    if ignore_class is None:
        return neural.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    valid = _core.not_equal(y_true, ignore_class)
    y_true = _core.where(valid, y_true, 0)
    # Ones, not zeros: these rows are divided by their sum.
    y_pred = _core.where(_core.expand_dims(valid, rest), y_pred, 1.0)
    values = neural.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    return _core.where(valid, values, 0.0)


def class_numbers(
    name: str, y_true: Any, y_pred: Tensor, axis: int
) -> tuple[Tensor, int]:
    """Integer labels without the axis of the classes, and that axis from the front."""
    y_true = convert_to_tensor(y_true)
    if y_true.dtype not in ("int32", "int64"):
        y_true = cast(y_true, "int32")
    axis = axis_of(name, axis, y_pred.ndim)
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = _core.squeeze(y_true, axis)
    wanted = tuple(n for i, n in enumerate(y_pred.shape) if i != axis)
    if not same_shape(y_true.shape, wanted):
        raise _core.ShapeError(
            f"{name}: y_true must hold class numbers of shape {wanted}, got "
            f"y_true.shape={tuple(y_true.shape)} and "
            f"y_pred.shape={tuple(y_pred.shape)}. If y_true is one-hot, use "
            "categorical_crossentropy; otherwise reshape y_true"
        )
    return y_true, axis


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """-mean(y_true log(y_pred) + (1 - y_true) log(1 - y_pred)) over an axis.

    Args:
        y_true: labels 0 and 1 (or probabilities).
        y_pred: probabilities (clipped by 1e-7), or logits.
        from_logits: whether y_pred holds logits.
        label_smoothing: mixes y_true with 1/2, in [0, 1].
        axis: axis of the mean.
    """
    y_true, y_pred = match_shapes("binary_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    values = neural.binary_crossentropy(y_true, y_pred, from_logits)
    return _core.mean(values, axis, False)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Binary cross-entropy times (1 - p_t)^gamma, and alpha_t when balanced.

    Source: Lin et al. 2018, Focal Loss.
    """
    y_true, y_pred = match_shapes("binary_focal_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = _core.sigmoid(y_pred)
    values = neural.binary_crossentropy(y_true, y_pred, False)
    p_t = y_true * y_pred + (1 - y_true) * (1 - y_pred)
    values = _core.pow(1.0 - p_t, gamma) * values
    if apply_class_balancing:
        values = (y_true * alpha + (1 - y_true) * (1 - alpha)) * values
    return _core.mean(values, axis, False)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Tensor:
    """1 - 2 sum(y_true y_pred) / (sum(y_true) + sum(y_pred) + epsilon)."""
    y_true, y_pred = match_shapes("dice", y_true, y_pred)
    axis = tuple(axis) if isinstance(axis, list) else axis
    overlap = _core.sum(y_true * y_pred, axis, False)
    total = _core.sum(y_true, axis, False) + _core.sum(y_pred, axis, False)
    return 1.0 - 2.0 * overlap / (total + config.epsilon())


def tversky(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: Any = None,
) -> Tensor:
    """1 - overlap / (overlap + alpha misses + beta false alarms + epsilon).

    As in Keras, alpha weighs y_true (1 - y_pred) and beta y_pred (1 - y_true).

    Source: Salehi et al. 2017.
    """
    y_true, y_pred = match_shapes("tversky", y_true, y_pred)
    axis = tuple(axis) if isinstance(axis, list) else axis
    overlap = _core.sum(y_true * y_pred, axis, False)
    missed = _core.sum((1 - y_pred) * y_true, axis, False)
    false_alarm = _core.sum(y_pred * (1 - y_true), axis, False)
    total = overlap + missed * alpha + false_alarm * beta + config.epsilon()
    return 1.0 - overlap / total


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Tensor:
    """Circle loss of a batch of normalised embeddings with class numbers.

    Args:
        y_true: class numbers, shape (n,).
        y_pred: embeddings of length 1, shape (n, size).
        ref_labels: labels of the references, default y_true.
        ref_embeddings: references, default y_pred.
        remove_diagonal: do not compare an embedding with itself.
        gamma: scale.
        margin: relaxation.

    Source: Sun et al. 2020, eq. 4 to 8.
    """
    y_pred = to_float(y_pred)
    y_true = _core.reshape(cast(y_true, "int32"), (-1,))
    same_set = ref_labels is None
    labels = y_true if same_set else _core.reshape(cast(ref_labels, "int32"), (-1,))
    references = y_pred if ref_embeddings is None else to_float(ref_embeddings)
    distance = 1.0 - _core.matmul(y_pred, _core.transpose(references, (1, 0)))
    distance = _core.maximum(distance, 0.0)
    equal = _core.equal(_core.expand_dims(y_true, 1), _core.expand_dims(labels, 0))
    different = _core.logical_not(equal)
    if remove_diagonal and same_set:
        ones = _core.full((y_true.dims[0],), 1, "int32")
        place = _core.cumsum(ones, 0)
        itself = _core.equal(_core.expand_dims(place, 1), _core.expand_dims(place, 0))
        equal = _core.logical_and(equal, _core.logical_not(itself))
    positive, negative = cast(equal, y_pred.dtype), cast(different, y_pred.dtype)
    weight = _core.maximum((margin + distance) * positive, 0.0)
    pull = -gamma * weight * (margin - distance)
    weight = _core.maximum((1.0 + margin - distance) * negative, 0.0)
    push = gamma * weight * (1.0 - margin - distance)
    pull = _core.logsumexp(_core.where(equal, pull, -math.inf), 1, False)
    push = _core.logsumexp(_core.where(different, push, -math.inf), 1, False)
    return _core.softplus(pull + push)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """(1 - p^q) / q with p the probability of the true class.

    Source: Zhang and Sabuncu 2018, eq. 6.
    """
    name = "categorical_generalized_cross_entropy"
    y_pred = to_float(y_pred)
    y_true, _ = class_numbers(name, y_true, y_pred, -1)
    hot = _core.one_hot(y_true, y_pred.shape[-1], y_pred.dtype)
    p = _core.sum(y_pred * hot, -1, False)
    return (1.0 - _core.pow(p, q)) / q


def ctc(y_true: Any, y_pred: Any) -> Tensor:
    """Connectionist temporal classification, one value for each sample.

    Args:
        y_true: labels (batch, longest label); 0 is the blank and pads short labels.
        y_pred: logits (batch, steps, classes).

    Raises:
        ValueError: inputs of another rank.
    """
    y_true, y_pred = convert_to_tensor(y_true), to_float(y_pred)
    if y_true.ndim != 2:
        raise ValueError(
            "ctc: y_true must be labels of shape (batch, longest label), got "
            f"y_true.shape={y_true.shape}"
        )
    if y_pred.ndim != 3:
        raise ValueError(
            "ctc: y_pred must be logits of shape (batch, steps, classes), got "
            f"y_pred.shape={y_pred.shape}"
        )
    if y_true.shape[1] is None:  # of an Input; the data say
        from lamella.layers._context import call_context

        if call_context.shapes_only:
            return _core.full((y_pred.dims[0],), 0, y_pred.dtype)
    labels = cast(y_true, "int32")
    used = _core.sum(cast(_core.not_equal(labels, 0), "int32"), -1, False)
    steps = _core.full((y_pred.dims[0],), 1, "int32") * y_pred.dims[1]
    return ctc_loss(labels, y_pred, used, steps)
