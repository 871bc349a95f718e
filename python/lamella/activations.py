"""Activation functions (`keras.activations`)."""

from __future__ import annotations

from typing import Any

from lamella import _support, ops
from lamella._core import Tensor
from lamella.ops import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

swish = silu
hard_swish = hard_silu


def relu(
    x: Any,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Tensor:
    """Rectified linear unit: max(x, 0) with the default arguments.

    Args:
        x: tensor.
        negative_slope: slope below the threshold.
        max_value: largest value of the result, None for no limit.
        threshold: below it the result is negative_slope * (x - threshold).
    """
    if not negative_slope and max_value is None and not threshold:
        return ops.relu(x)
    if negative_slope and max_value is None and not threshold:
        return ops.leaky_relu(x, negative_slope)
    out = ops.where(ops.greater(x, threshold), x, 0) if threshold else ops.relu(x)
    if max_value is not None:
        out = ops.clip(out, 0, max_value)
    if negative_slope:
        out = out - negative_slope * ops.relu(ops.subtract(threshold, x))
    return out


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """x times the normal distribution function (or its tanh approximation)."""
    return ops.gelu(x, approximate)


def exponential(x: Any) -> Tensor:
    """exp(x)."""
    return ops.exp(x)


def linear(x: Any) -> Any:
    """x itself."""
    return x


def mish(x: Any) -> Tensor:
    """x * tanh(softplus(x))."""
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


_FUNCTIONS = [
    relu,
    leaky_relu,
    relu6,
    softmax,
    celu,
    elu,
    selu,
    softplus,
    softsign,
    squareplus,
    soft_shrink,
    sparse_plus,
    silu,
    gelu,
    glu,
    tanh,
    tanh_shrink,
    threshold,
    sigmoid,
    sparse_sigmoid,
    exponential,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    hard_shrink,
    linear,
    mish,
    log_softmax,
    log_sigmoid,
    sparsemax,
]
_TABLE = _support.lookup_table(
    _FUNCTIONS, snake=False, extra={"swish": silu, "hard_swish": hard_silu}
)


def serialize(activation: Any) -> Any:
    """The name of a built-in function, or the JSON form of the user's own."""
    name = getattr(activation, "__name__", None)
    if name is not None and _TABLE.get(name) is activation:
        return name
    return _support.serialize(activation)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Inverse of `serialize`."""
    return _support.deserialize(config, _TABLE, custom_objects)


def get(identifier: Any) -> Any:
    """An activation function from None (linear), a name, a config or a callable.

    Raises:
        ValueError: the name is unknown; near names are listed.
    """
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    return _support.get(identifier, _TABLE, "activation")
