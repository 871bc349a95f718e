"""scikit-learn's losses for multi-layer perceptrons, and any other loss.

scikit-learn's four losses go with the output activation that makes the gradient with
respect to the last weighted sum z simply output - target. The value that it reports is
another matter: clipped, and a mean over the outputs for squared errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core
from lamella.layers.layer import batch_size_of

__all__ = ["CANONICAL", "KERAS_NAMES", "batch_size_of", "objective_of", "value_of"]


def _log(q: Any) -> Any:
    eps = float(np.finfo(q.dtype).eps)
    return _core.log(_core.clip(q, eps, 1 - eps))


def _log_loss(y: Any, p: Any) -> Any:
    return -(y * _log(p))


def _binary_log_loss(y: Any, p: Any) -> Any:
    return -(y * _log(p) + (1.0 - y) * _log(1.0 - p))


def _poisson(y: Any, p: Any) -> Any:
    one = _core.cast(y == 0.0, y.dtype)
    return y * _core.log((y + one) / p) * (1.0 - one) - y + p


def _squared_error(y: Any, p: Any) -> Any:
    return 0.5 * _core.square(y - p) / float(p.shape[-1])


# by the activation of the output; the value of a sample is the sum over its outputs
CANONICAL = {
    "softmax": ("log_loss", _log_loss),
    "logistic": ("log_loss", _binary_log_loss),
    "identity": ("squared_error", _squared_error),
    "exp": ("poisson", _poisson),
}

# what a Keras user would call the same loss (up to a factor)
KERAS_NAMES = {
    "softmax": "categorical_crossentropy",
    "logistic": "binary_crossentropy",
    "identity": "mse",
    "exp": "poisson",
}


def _total(w: Any, rows: Any) -> Any:
    return rows if w is None else _core.sum(w)


def _mean(per_output: Any, w: Any, rows: Any) -> Any:
    """Return the weighted mean over samples of what is summed over outputs."""
    if w is not None:
        per_output = per_output * _core.expand_dims(w, 1)
    return _core.sum(per_output) / _total(w, rows)


def value_of(loss: Any, out_activation: str, y: Any, p: Any, w: Any) -> Any:
    """Return the reported loss of outputs, without the penalty.

    Args:
        loss: one of scikit-learn's names, or a lamella Loss.
        out_activation: scikit-learn's name of the output's activation.
        y: targets, shape (rows, outputs).
        p: outputs.
        w: weights of the samples, or None.
    """
    if isinstance(loss, str):
        return _mean(CANONICAL[out_activation][1](y, p), w, batch_size_of(p))
    return loss(y, p, w)


def objective_of(
    loss: Any,
    out_activation: str,
    alpha: float,
    kernels: list[Any],
    y: Any,
    z: Any,
    p: Any,
    w: Any,
) -> tuple[Any, Any]:
    """Return (what is differentiated, what is reported), penalty included.

    Args:
        loss: as in `value_of`.
        out_activation: as in `value_of`.
        alpha: of the penalty 0.5 alpha sum(kernel^2) / (sum of the weights).
        kernels: weight matrices without biases.
        y: targets.
        z: what goes into the last activation.
        p: what comes out of it.
        w: weights of the samples, or None.
    """
    rows = batch_size_of(p)
    value = value_of(loss, out_activation, y, p, w)
    if isinstance(loss, str):
        # The gradient of this is (p - y) w / sum(w) with respect to z, to the last bit.
        driven = _mean(_core.stop_gradient(p - y) * z, w, rows)
    else:
        driven = value
    if not alpha:
        return driven, value
    squares: Any = 0.0
    for kernel in kernels:
        squares = squares + _core.sum(_core.square(kernel))
    penalty = squares * (0.5 * alpha) / _total(w, rows)
    return driven + penalty, value + penalty
