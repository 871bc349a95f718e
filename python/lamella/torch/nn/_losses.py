"""Losses of torch.nn.functional."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from lamella import _core

from .. import _dtype as dt
from ..pointwise import clamp, where
from ..reduce import mean, norm, sum
from ..tensor import Tensor, dtype_of, shape_of, wrap


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss


def _old_names(size_average: Any, reduce: Any, reduction: str) -> str:
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "mean" if size_average is not False else "sum"


def _check_sizes(name: str, input: Any, target: Any) -> None:
    if shape_of(input) != shape_of(target):
        warnings.warn(
            f"Using a target size ({shape_of(target)}) that is different to the input "
            "size "
            f"({shape_of(input)}). This will likely lead to incorrect results due to "
            "broadcasting. Please ensure they have the same size.",
            stacklevel=4,
        )


def mse_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """(input - target)**2."""
    _check_sizes("mse_loss", input, target)
    loss = (
        _core.square(input - target)
        if dtype_of(input) is not dtype_of(target)
        else (_core.squared_difference(input, target))
    )
    if weight is not None:
        loss = wrap(loss) * weight
    if size_average is not None or reduce is not None:
        reduction = _old_names(size_average, reduce, reduction)
    return _reduced(loss if type(loss) is Tensor else wrap(loss), reduction)


def l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """|input - target|."""
    _check_sizes("l1_loss", input, target)
    return _reduced(abs(input - target), _old_names(size_average, reduce, reduction))


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """Half the square over beta, or the distance less beta / 2 from beta on."""
    _check_sizes("smooth_l1_loss", input, target)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    d = abs(input - target)
    loss = where(d < beta, d * d * (0.5 / beta), d - 0.5 * beta)
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def huber_loss(
    input: Any,
    target: Any,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Any = None,
) -> Any:
    """Half the square, or delta times (the distance less delta / 2) from delta on."""
    _check_sizes("huber_loss", input, target)
    d = abs(input - target)
    loss = where(d <= delta, d * d * 0.5, (d - 0.5 * delta) * delta)
    return _reduced(loss if weight is None else loss * weight, reduction)


# ---------------------------------------------------------------- classes


def _rows(x: Any) -> Any:
    """Classes on the last axis: (N, C, ...) as (N, ..., C)."""
    rank = len(shape_of(x))
    return x if rank < 3 else x.movedim(1, -1)


def _class_loss(
    log_p: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Any:
    """Negative log likelihood of rows of log-probabilities, classes last."""
    classes = shape_of(log_p)[-1]
    t = _core.Tensor.numpy(target)
    kept = t != ignore_index
    bad = kept & ((t < 0) | (t >= classes))
    if bad.any():
        raise IndexError(f"Target {int(t[bad][0])} is out of bounds.")
    index = _core.from_numpy(np.where(kept, t, 0).astype(np.int64), True)
    hot = _core.one_hot(index, classes, dtype_of(log_p).name)
    own = weight if weight is not None else 1.0
    picked = -sum(log_p * wrap(hot) * own, -1)
    mask = wrap(_core.from_numpy(kept.astype(dtype_of(log_p).name), True))
    if weight is not None:
        scale = wrap(_core.gather(weight.detach(), index, 0)) * mask
    else:
        scale = mask
    picked = picked * mask
    if smoothing:
        picked = picked * (1 - smoothing) - sum(log_p * own, -1) * mask * (
            smoothing / classes
        )
    if reduction == "mean":
        return sum(picked) / sum(scale)
    return _reduced(picked, reduction)


def _class_shapes(input: Any, target: Any) -> None:
    a, b = tuple(shape_of(input)), tuple(shape_of(target))
    if len(a) == 1:
        if b != ():
            raise RuntimeError(
                "cross_entropy: expected a target of size [] for an input of size "
                f"{list(a)}, got "
                f"{list(b)}"
            )
    elif a[:1] + a[2:] != b:
        if a[0] != (b[0] if b else None):
            raise ValueError(
                f"Expected input batch_size ({a[0]}) to match target batch_size "
                f"({b[0] if b else 1})."
            )
        raise RuntimeError(f"Expected target size {list(a[:1] + a[2:])}, got {list(b)}")


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Minus the log-probability of the target class."""
    _class_shapes(input, target)
    reduction = _old_names(size_average, reduce, reduction)
    return _class_loss(_rows(input), target, weight, ignore_index, reduction, 0.0)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy of softmax(input) and the target.

    Args:
        input: logits (N, C), (C) or (N, C, ...).
        target: class numbers (int64) of shape (N), () or (N, ...), or probabilities in
            the shape
            of input.
        weight: one factor per class.
        size_average: old name of a reduction.
        reduce: old name of a reduction.
        ignore_index: a class number that counts for nothing.
        reduction: "mean" (over the weights of the targets), "sum" or "none".
        label_smoothing: share that goes to all classes alike.
    """
    reduction = _old_names(size_average, reduce, reduction)
    if dtype_of(target).is_floating_point:
        if shape_of(input) != shape_of(target):
            raise RuntimeError(
                "Expected floating point type for target with class probabilities, "
                "got shape "
                f"{list(shape_of(target))} for input {list(shape_of(input))}"
            )
        return _soft_targets(input, target, weight, reduction, label_smoothing)
    if dtype_of(target) is not dt.int64:
        names = {"int32": "Int", "uint8": "Byte", "bool": "Bool"}
        raise RuntimeError(
            f"expected scalar type Long but found {names[dtype_of(target).name]}"
        )
    _class_shapes(input, target)
    x = _rows(input)
    if weight is None and not label_smoothing:
        t = _core.Tensor.numpy(target)
        plain = not 0 <= ignore_index < shape_of(x)[-1] or not (t == ignore_index).any()
        if plain and (not t.size or (t.min() >= 0 and t.max() < shape_of(x)[-1])):
            loss = wrap(_core.sparse_categorical_crossentropy(target, x, True))
            return _reduced(loss, reduction)
    log_p = wrap(_core.log_softmax(x, -1))
    return _class_loss(log_p, target, weight, ignore_index, reduction, label_smoothing)


def _soft_targets(
    input: Any, target: Any, weight: Any, reduction: str, smoothing: float
) -> Any:
    x, t = _rows(input), _rows(target)
    if smoothing:
        t = t * (1 - smoothing) + smoothing / shape_of(x)[-1]
    log_p = wrap(_core.log_softmax(x, -1))
    loss = -sum(log_p * (t if weight is None else t * weight), -1)
    if reduction == "mean":
        return sum(loss) / max(loss.numel(), 1)
    return _reduced(loss, reduction)


def _same_shape(name: str, input: Any, target: Any) -> None:
    if shape_of(input) != shape_of(target):
        raise ValueError(
            f"Using a target size ({shape_of(target)}) that is different to the input "
            "size "
            f"({shape_of(input)}) is deprecated. Please ensure they have the same size."
            if name == "binary_cross_entropy"
            else f"Target size ({shape_of(target)}) must be the same as input size "
            f"({shape_of(input)})"
        )


def _safe_log(p: Any) -> Any:
    """log, not below -100."""
    zero = wrap(_core.equal(p, 0.0))
    return where(zero, -100.0, clamp(wrap(_core.log(where(zero, 1.0, p))), min=-100.0))


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """-(t log p + (1 - t) log(1 - p)); the logarithms do not fall below -100."""
    _same_shape("binary_cross_entropy", input, target)
    if dtype_of(input) is not dtype_of(target):
        names = {"float32": "Float", "float64": "Double", "int64": "Long"}
        raise RuntimeError(
            f"Found dtype {names.get(dtype_of(target).name, target.dtype)} but "
            "expected "
            f"{names.get(dtype_of(input).name, input.dtype)}"
        )
    p = _core.Tensor.numpy(input)
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise RuntimeError("all elements of input should be between 0 and 1")
    loss = -(target * _safe_log(input) + (1 - target) * _safe_log(1 - input))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """binary_cross_entropy of sigmoid(input), computed from the logits."""
    _same_shape("with_logits", input, target)
    low = wrap(_core.softplus(-input))
    if pos_weight is not None:
        low = low * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input + low
    if weight is not None:
        loss = loss * weight
    return _reduced(loss, _old_names(size_average, reduce, reduction))


# ---------------------------------------------------------------- other losses


def kl_div(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """target * (log(target) - input); input in logarithms."""
    if log_target:
        loss = wrap(_core.exp(target)) * (target - input)
    else:
        zero = wrap(_core.less_equal(target, 0.0))
        log = wrap(_core.log(where(zero, 1.0, target)))
        loss = where(zero, 0.0, target * log) - target * input
    reduction = _old_names(size_average, reduce, reduction)
    if reduction == "batchmean":
        return sum(loss) / shape_of(input)[0]
    return _reduced(loss, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """exp(input) - target * input, or input - target * log(input + eps)."""
    if log_input:
        loss = wrap(_core.exp(input)) - target * input
    else:
        loss = input - target * wrap(_core.log(input + eps))
    if full:
        t = where(target > 1, target, 1.0)
        stirling = t * wrap(_core.log(t)) - t + wrap(_core.log(t * (2 * math.pi))) * 0.5
        loss = loss + where(target > 1, stirling, 0.0)
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """(log(var) + (input - target)**2 / var) / 2."""
    if not isinstance(var, Tensor):
        var = input.detach() * 0 + var
    if len(shape_of(var)) == len(shape_of(input)) - 1:
        var = var.unsqueeze(-1)
    var = (
        var + (clamp(var, min=eps) - var).detach()
    )  # the limit is no part of the gradient
    d = input - target
    loss = 0.5 * (wrap(_core.log(var)) + d * d / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduced(loss, reduction)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """input where target is 1, max(0, margin - input) where it is -1."""
    high = clamp(margin - input, min=0.0)
    loss = where(target != 1, high, 0.0) + where(target != -1, input, 0.0)
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """log(1 + exp(-target * input))."""
    loss = wrap(_core.softplus(-target * input))
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """max(0, -target * (input1 - input2) + margin)."""
    loss = clamp(-target * (input1 - input2) + margin, min=0.0)
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Sum over the other classes of max(0, margin - x[target] + x[i])**p / classes."""
    x = input if len(shape_of(input)) == 2 else input.unsqueeze(0)
    t = target.reshape(-1)
    own = x.gather(1, t.unsqueeze(1))
    each = clamp(margin - own + x, min=0.0)
    each = each if p == 1 else each * each
    if weight is not None:
        each = each * wrap(_core.gather(weight, t, 0)).unsqueeze(1)
    others = 1 - wrap(_core.one_hot(t, shape_of(x)[1], dtype_of(x).name))
    loss = sum(each * others, 1) / shape_of(x)[1]
    if len(shape_of(input)) == 1:
        loss = loss.squeeze(0)
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Mean over classes of the binary cross-entropy with logits."""
    loss = target * wrap(_core.softplus(-input)) + (1 - target) * wrap(
        _core.softplus(input)
    )
    if weight is not None:
        loss = loss * weight
    return _reduced(mean(loss, -1), _old_names(size_average, reduce, reduction))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle along an axis."""
    a, b = norm(x1, 2, dim, True), norm(x2, 2, dim, True)
    return sum((x1 / clamp(a, min=eps)) * (x2 / clamp(b, min=eps)), dim)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of x1 - x2 + eps along the last axis."""
    return norm(x1 - x2 + eps, p, -1, keepdim)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    eps = 1e-12
    dot = sum(input1 * input2, -1)
    square = (sum(input1 * input1, -1) + eps) * (sum(input2 * input2, -1) + eps)
    cos = dot / wrap(_core.sqrt(square))
    loss = where(target == 1, 1 - cos, 0.0) + where(
        target == -1, clamp(cos - margin, min=0.0), 0.0
    )
    return _reduced(loss, _old_names(size_average, reduce, reduction))


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = wrap(_core.minimum(far, pairwise_distance(positive, negative, p, eps)))
    loss = clamp(near - far + margin, min=0.0)
    return _reduced(loss, _old_names(size_average, reduce, reduction))
