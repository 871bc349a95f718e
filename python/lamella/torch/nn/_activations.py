"""Activation functions, dropout and linear maps of torch.nn.functional."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core

from .. import _dtype as dt
from ..create import default_generator, uniform
from ..pointwise import cast, clamp, floats, where
from ..tensor import Tensor, dtype_of, new_tensor, shape_of, wrap


def _result(input: Any, y: Any, inplace: bool) -> Any:
    return input._assign(y) if inplace else y if type(y) is Tensor else wrap(y)


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias; weight (out, in)."""
    a, b = shape_of(input), shape_of(weight)
    if len(b) == 2 and a and a[-1] != b[1]:
        rows = math.prod(a[:-1])
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and "
            f"{b[1]}x{b[0]})"
        )
    if dtype_of(input) is not dtype_of(weight):
        names = {
            "float32": "Float",
            "float64": "Double",
            "int64": "Long",
            "int32": "Int",
            "bool": "Bool",
            "uint8": "Byte",
        }
        raise RuntimeError(
            "mat1 and mat2 must have the same dtype, but got "
            f"{names[dtype_of(input).name]} and "
            f"{names[dtype_of(weight).name]}"
        )
    return wrap(_core.linear(input, weight, bias))


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """x1 W x2 + b for each output."""
    from ..matrices import einsum

    y = einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


def relu(input: Any, inplace: bool = False) -> Any:
    """max(0, x)."""
    return _result(input, _core.relu(input), inplace)


def relu_(input: Any) -> Any:
    """relu in place."""
    return relu(input, True)


def relu6(input: Any, inplace: bool = False) -> Any:
    """x limited to [0, 6]."""
    return _result(input, _core.clip(input, 0.0, 6.0), inplace)


def hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    """x limited to [min_val, max_val]."""
    return _result(input, _core.clip(input, min_val, max_val), inplace)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x, or negative_slope * x below zero."""
    return _result(input, _core.leaky_relu(input, negative_slope), inplace)


def prelu(input: Any, weight: Any) -> Any:
    """x, or weight * x below zero; one weight, or one per channel."""
    shape = shape_of(input)
    if weight.numel() > 1 and len(shape) > 1:
        weight = wrap(_core.reshape(weight, (-1, *(1,) * (len(shape) - 2))))
    return where(input >= 0, input, weight * input)


def rrelu(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """leaky_relu with a random slope while training."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = wrap(uniform(shape_of(input), lower, upper, dtype_of(input)))
    return _result(input, where(input >= 0, input, slope * input), inplace)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x, or alpha * (exp(x) - 1) below zero."""
    return _result(input, _core.elu(input, alpha), inplace)


def selu(input: Any, inplace: bool = False) -> Any:
    """Scaled elu."""
    return _result(input, _core.selu(input), inplace)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    low = wrap(_core.expm1(clamp(input, max=0) / alpha)) * alpha
    return _result(input, where(input > 0, input, low), inplace)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the normal distribution function; approximate: "none" or "tanh"."""
    return wrap(_core.gelu(input, approximate == "tanh"))


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x)."""
    return _result(input, _core.silu(input), inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """x * tanh(softplus(x))."""
    return _result(input, input * wrap(_core.tanh(_core.softplus(input))), inplace)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""
    scaled = input if beta == 1 else input * beta
    y = wrap(_core.softplus(scaled))
    y = y if beta == 1 else y / beta
    return where(scaled > threshold, input, y)


def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return wrap(_core.softsign(input))


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """clamp(x + 3, 0, 6) / 6."""
    return _result(input, wrap(_core.clip(input + 3, 0.0, 6.0)) / 6, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * hardsigmoid(x)."""
    return _result(input, input * hardsigmoid(input), inplace)


def tanh(input: Any) -> Any:
    """Hyperbolic tangent."""
    return wrap(_core.tanh(floats(input)))


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return wrap(_core.sigmoid(floats(input)))


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x))."""
    return -wrap(_core.softplus(-input))


def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    return input - wrap(_core.tanh(input))


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards zero by lambd, or zero."""
    return input - clamp(input, -lambd, lambd)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x, or zero within lambd of zero."""
    return where(abs(input) > lambd, input, 0.0)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where above the threshold, else value."""
    return _result(input, where(input > threshold, input, value), inplace)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half times the sigmoid of the second."""
    from ..shape import chunk

    a, b = chunk(input, 2, dim)
    return a * wrap(_core.sigmoid(b))


def _axis(input: Any, dim: int | None) -> int:
    """The axis for a missing dim: 0 for 0, 1 or 3 axes, else 1."""
    if dim is None:
        return 0 if len(shape_of(input)) in (0, 1, 3) else 1
    return dim


def softmax(
    input: Any, dim: int | None = None, dtype: Any = None, _stacklevel: int = 3
) -> Any:
    """exp(x) / sum(exp(x)) along an axis."""
    x = input if dtype is None else cast(input, dt.as_dtype(dtype))
    if not dtype_of(x).is_floating_point:
        raise NotImplementedError(
            f'"softmax_lastdim_kernel_impl" not implemented for {dtype_of(x)!r}'
        )
    return wrap(_core.softmax(x, _axis(x, dim)))


def softmin(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """softmax of -x."""
    return softmax(-input, dim, dtype)


def log_softmax(
    input: Any, dim: int | None = None, dtype: Any = None, _stacklevel: int = 3
) -> Any:
    """log(softmax(x))."""
    x = input if dtype is None else cast(input, dt.as_dtype(dtype))
    return wrap(_core.log_softmax(x, _axis(x, dim)))


def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """softmax of logits with Gumbel noise; hard: one-hot with the soft gradient."""
    u = wrap(uniform(shape_of(logits), 1e-20, 1.0, dtype_of(logits)))
    soft = softmax((logits - wrap(_core.log(-wrap(_core.log(u))))) / tau, dim)
    if not hard:
        return soft
    top = soft.argmax(dim)
    one = one_hot(top, shape_of(soft)[dim]).to(dtype_of(soft)).movedim(-1, dim)
    return one - soft.detach() + soft


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Class numbers as rows with a single 1: int64."""
    if dtype_of(tensor) is not dt.int64:
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor."
        )
    values = _core.Tensor.numpy(tensor)
    if values.size and values.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    n = int(values.max()) + 1 if num_classes == -1 and values.size else num_classes
    if values.size and values.max() >= n:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return wrap(_core.one_hot(tensor, n, "int64"))


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """x / max(norm(x), eps) along an axis."""
    from ..reduce import norm

    return input / clamp(norm(input, p, dim, True), eps)


def _dropped(input: Any, p: float, noise: Any, inplace: bool) -> Any:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 1:
        return _result(input, input * 0.0, inplace)
    return _result(
        input, _core.dropout(input, default_generator.key(), p, noise), inplace
    )


def dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    """Elements zeroed with probability p, the others divided by 1 - p."""
    return _dropped(input, p, None, inplace) if training and p else input


def _channel_dropout(axes: int) -> Any:
    def function(
        input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Any:
        if not training or not p:
            return input
        shape = shape_of(input)
        lead = len(shape) - axes
        return _dropped(input, p, (*shape[:lead], *(1,) * axes), inplace)

    function.__doc__ = f"Whole channels zeroed: the last {axes} axes share a draw."
    return function


dropout1d, dropout2d, dropout3d = map(_channel_dropout, (1, 2, 3))


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """Dropout that keeps mean and variance behind a selu."""
    if not training or not p:
        return input
    low = -1.7580993408473766
    a = ((1 - p) * (1 + p * low**2)) ** -0.5
    keep = wrap(_core.greater_equal(uniform(shape_of(input), 0.0, 1.0, dt.float64), p))
    return _result(input, where(keep, input, low) * a + (-a * low * p), inplace)


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of weight by number; the row padding_idx gets no gradient."""
    if max_norm is not None or scale_grad_by_freq:
        raise RuntimeError(
            "embedding: lamella.torch has neither max_norm nor scale_grad_by_freq"
        )
    if dtype_of(input).rank != 1:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have integer type; got "
            f"{input.dtype}"
        )
    values = _core.Tensor.numpy(input)
    n = shape_of(weight)[0]
    if values.size and (values.min() < 0 or values.max() >= n):
        raise IndexError("index out of range in self")
    if padding_idx is not None:
        mask = np.zeros((n, 1), bool)
        mask[padding_idx] = True
        weight = where(new_tensor(mask), weight.detach(), weight)
    return wrap(_core.gather(weight, input, 0))
