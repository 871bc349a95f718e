"""Functions of neural networks: activations, convolution, pooling, losses per row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._core import Tensor
from lamella.ops import elementwise
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    dims_product,
    operand,
    standardize_dtype,
    to_float,
    to_tensor,
)
from lamella.ops.linear import norm
from lamella.ops.shaping import axis_of, moveaxis, split

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "batch_normalization",
    "binary_crossentropy",
    "categorical_crossentropy",
    "celu",
    "conv",
    "conv_transpose",
    "depth_to_space",
    "depthwise_conv",
    "dot_product_attention",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "layer_normalization",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "max_pool",
    "moments",
    "multi_hot",
    "normalize",
    "one_hot",
    "psnr",
    "relu",
    "relu6",
    "rms_normalization",
    "selu",
    "separable_conv",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "space_to_depth",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]

_unary = elementwise._unary

relu = _unary("relu", _core.relu, "max(x, 0).")
sigmoid = _unary("sigmoid", _core.sigmoid, "1 / (1 + exp(-x)).")
softplus = _unary("softplus", _core.softplus, "log(1 + exp(x)).")
silu = _unary("silu", _core.silu, "x * sigmoid(x).")
swish = silu
softsign = _unary("softsign", _core.softsign, "x / (1 + |x|).")
selu = _unary("selu", _core.selu, "Scaled exponential linear unit.")
hard_sigmoid = _unary("hard_sigmoid", _core.hard_sigmoid, "clip(x / 6 + 1/2, 0, 1).")
hard_silu = _unary("hard_silu", _core.hard_silu, "x * hard_sigmoid(x).")
hard_swish = hard_silu


def relu6(x: Any) -> Tensor:
    """min(max(x, 0), 6)."""
    return _core.clip(to_tensor(x), 0, 6)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """x for x >= 0, negative_slope * x below."""
    return _core.leaky_relu(to_tensor(x), negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x for x > 0, alpha * (exp(x) - 1) below."""
    return _core.elu(to_tensor(x), alpha)


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))."""
    x = to_float(x)
    tail = alpha * _core.expm1(_core.minimum(x, 0.0) / alpha)
    return _core.maximum(x, 0.0) + tail


def gelu(x: Any, approximate: bool = True) -> Tensor:
    """x times the normal distribution function (or its tanh approximation)."""
    return _core.gelu(to_tensor(x), approximate)


def glu(x: Any, axis: int = -1) -> Tensor:
    """First half times sigmoid of the second half along an axis."""
    first, second = split(x, 2, axis)
    return first * _core.sigmoid(second)


def hard_tanh(x: Any) -> Tensor:
    """clip(x, -1, 1)."""
    return _core.clip(to_tensor(x), -1, 1)


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """x where |x| > threshold, else 0."""
    x = to_tensor(x)
    return _core.where(_core.greater(_core.abs(x), threshold), x, 0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by threshold, 0 within."""
    x = to_float(x)
    return _core.relu(x - threshold) - _core.relu(-x - threshold)


def tanh_shrink(x: Any) -> Tensor:
    """x - tanh(x)."""
    x = to_float(x)
    return x - _core.tanh(x)


def threshold(x: Any, threshold: float, default_value: float) -> Tensor:
    """x where x > threshold, else default_value."""
    x = to_tensor(x)
    return _core.where(_core.greater(x, threshold), x, default_value)


def log_sigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)) = -softplus(-x)."""
    return _core.neg(_core.softplus(_core.neg(to_float(x))))


def sparse_plus(x: Any) -> Tensor:
    """0 for x <= -1, (x + 1)^2 / 4 for x < 1, x above."""
    x = to_float(x)
    inside = _core.square(x + 1.0) * 0.25
    middle = _core.where(_core.less(x, 1.0), inside, x)
    return _core.where(_core.less_equal(x, -1.0), 0.0, middle)


def sparse_sigmoid(x: Any) -> Tensor:
    """clip((x + 1) / 2, 0, 1)."""
    return _core.clip((to_float(x) + 1.0) * 0.5, 0.0, 1.0)


def squareplus(x: Any, b: float = 4) -> Tensor:
    """(x + sqrt(x^2 + b)) / 2."""
    x = to_float(x)
    return (x + _core.sqrt(_core.square(x) + float(b))) * 0.5


def _over_axes(core: Any, name: str, x: Any, axis: Any) -> Tensor:
    """A function of the last axis over one axis, several as one, or all (None)."""
    x = to_tensor(x)
    if isinstance(axis, int) and x.ndim:
        return core(x, axis)
    if axis is None or isinstance(axis, int):
        axis = tuple(range(x.ndim))
    axes = sorted(axis_of(name, a, x.ndim) for a in axis)
    places = tuple(range(x.ndim - len(axes), x.ndim))
    moved = moveaxis(x, tuple(axes), places)
    joined = dims_product(moved.dims[x.ndim - len(axes) :])
    flat = _core.reshape(moved, (*moved.dims[: x.ndim - len(axes)], joined))
    return moveaxis(_core.reshape(core(flat, -1), moved.dims), places, tuple(axes))


def softmax(x: Any, axis: Any = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, over several axes, or everything (None)."""
    return _over_axes(_core.softmax, "softmax", x, axis)


def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    """log(softmax(x)), computed stably."""
    return _over_axes(_core.log_softmax, "log_softmax", x, axis)


def sparsemax(x: Any, axis: int = -1) -> Tensor:
    """Projection of x onto the probability simplex along an axis.

    Differs from Keras: 3.15 adds up cumulative sums, so that its rows do not sum to 1.

    The threshold comes from comparing all pairs, so memory grows with the square of
    the size of the axis.

    Source: Martins and Astudillo 2016, eq. 3; the support by pairwise counts.
    """
    x = moveaxis(to_float(x), axis, -1)
    mine, other = _core.expand_dims(x, -1), _core.expand_dims(x, -2)
    above = cast(_core.greater_equal(other, mine), x.dtype)
    count = _core.sum(above, -1, False)
    total = _core.sum(above * other, -1, False)
    support = cast(_core.greater(1.0 + count * x, total), x.dtype)
    tau = (_core.sum(support * x, -1, True) - 1.0) / _core.sum(support, -1, True)
    return moveaxis(_core.relu(x - tau), -1, axis)


def one_hot(
    x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Tensor:
    """1 at the position of each index along a new axis, else 0.

    Args:
        x: class indices; negative ones give zeros only.
        num_classes: size of the new axis.
        axis: place of the new axis.
        dtype: default `floatx()`.
        sparse: must be False.

    Raises:
        ValueError: sparse is true.
    """
    if sparse:
        raise ValueError("one_hot: lamella has dense tensors only, got sparse=True")
    x = to_tensor(x)
    if x.dtype not in ("int32", "int64"):
        x = cast(x, "int32")
    out = _core.one_hot(x, num_classes, standardize_dtype(dtype))
    return out if axis in (-1, out.ndim - 1) else moveaxis(out, -1, axis)


def multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Tensor:
    """1 for every class that occurs along the last axis of the indices."""
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None or kwargs:
        raise ValueError(
            f"multi_hot: num_classes must be given, unknown arguments {sorted(kwargs)}"
        )
    inputs = to_tensor(inputs)
    hot = one_hot(inputs, num_classes, axis, dtype, sparse)
    return _core.max(hot, 1 if inputs.ndim > 1 else 0, False)


def normalize(
    x: Any, axis: int = -1, order: int = 2, epsilon: float | None = None
) -> Tensor:
    """x divided by its norm along an axis (the norm is at least epsilon).

    Raises:
        ValueError: order is not an integer of at least 1.
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: order must be an int >= 1, got order={order}")
    x = to_float(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    if x.ndim == 0:
        x = _core.expand_dims(x, 0)
    if order == 2:
        inverse = _core.rsqrt(_core.sum(_core.square(x), axis, True))
        return x * _core.minimum(inverse, 1.0 / epsilon)
    return x / _core.maximum(norm(x, order, axis, True), epsilon)


def moments(
    x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and variance (divided by n) over axes."""
    if synchronized:
        raise ValueError("moments: synchronized=True is not supported")
    x = to_float(x)
    axes = tuple(axes) if isinstance(axes, list) else axes
    return _core.mean(x, axes, keepdims), _core.var(x, axes, keepdims)


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 0.001,
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset along one axis."""
    x = to_float(x)
    place = [1] * x.ndim
    place[axis] = -1

    def along(v: Any) -> Tensor:
        return _core.reshape(cast(v, x.dtype), tuple(place))

    factor = _core.rsqrt(along(variance) + epsilon)
    if scale is not None:
        factor = factor * along(scale)
    out = (x - along(mean)) * factor
    return out if offset is None else out + along(offset)


def layer_normalization(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> Tensor:
    """(x - mean) / sqrt(var + epsilon) * gamma + beta over the given axes.

    epsilon is inside the root; None means `epsilon()`, 1e-7.
    """
    if kwargs.pop("rms_scaling", False):
        raise ValueError("layer_normalization: use rms_normalization for RMS scaling")
    if kwargs:
        raise ValueError(f"layer_normalization: unknown arguments {sorted(kwargs)}")
    x = to_float(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    axes = [axis] if isinstance(axis, int) else list(axis)
    axes = sorted(axis_of("layer_normalization", a, x.ndim) for a in axes)
    gamma = None if gamma is None else cast(gamma, x.dtype)
    beta = None if beta is None else cast(beta, x.dtype)
    if axes == [x.ndim - 1]:
        return _core.layer_norm(x, gamma, beta, epsilon)
    place = [x.dims[i] if i in axes else 1 for i in range(x.ndim)]
    centred = x - _core.mean(x, tuple(axes), True)
    variance = _core.mean(_core.square(centred), tuple(axes), True)
    out = centred * _core.rsqrt(variance + epsilon)
    if gamma is not None:
        out = out * (gamma if gamma.ndim == x.ndim else _core.reshape(gamma, place))
    if beta is not None:
        out = out + (beta if beta.ndim == x.ndim else _core.reshape(beta, place))
    return out


def rms_normalization(
    x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * scale over the given axes."""
    x = to_float(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    axis = tuple(axis) if isinstance(axis, list) else axis
    out = x * _core.rsqrt(_core.mean(_core.square(x), axis, True) + epsilon)
    return out if scale is None else out * cast(scale, x.dtype)


# Convolution and pooling. The core is channels last; channels first is transposed.


def _channels_first(name: str, data_format: str | None) -> bool:
    return config.standardize_data_format(data_format, name) == "channels_first"


def _spatial(name: str, argument: str, value: Any, rank: int) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(v < 1 for v in values):
        raise ValueError(
            f"{name}: {argument} must be a positive int or {rank} of them, got "
            f"{argument}={value!r}"
        )
    return values


def _to_last(x: Tensor, first: bool) -> Tensor:
    return moveaxis(x, 1, -1) if first else x


def _to_first(x: Tensor, first: bool) -> Tensor:
    return moveaxis(x, -1, 1) if first else x


def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """Convolution (cross-correlation) over 1, 2 or 3 spatial axes.

    Args:
        inputs: (batch, spatial..., channels).
        kernel: (spatial..., channels / groups, filters).
        strides: step per spatial axis.
        padding: "valid", "same" or "causal" (one axis only).
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: distance of the kernel's taps.
    """
    first = _channels_first("conv", data_format)
    x, w = _to_last(to_tensor(inputs), first), to_tensor(kernel)
    rank = x.ndim - 2
    channels, per_group = x.shape[-1], w.shape[-2]
    if channels is None or per_group is None or channels % per_group:
        raise ValueError(
            "conv: the channels of inputs must be a multiple of those of the kernel, "
            f"got inputs.shape={x.shape}, kernel.shape={w.shape}"
        )
    out = _core.conv(
        x,
        w,
        _spatial("conv", "strides", strides, rank),
        padding.lower(),
        _spatial("conv", "dilation_rate", dilation_rate, rank),
        channels // per_group,
    )
    return _to_first(out, first)


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """Convolution of each channel on its own; kernel (spatial..., channels, times)."""
    first = _channels_first("depthwise_conv", data_format)
    x = _to_last(to_tensor(inputs), first)
    rank = x.ndim - 2
    out = _core.depthwise_conv(
        x,
        to_tensor(kernel),
        _spatial("depthwise_conv", "strides", strides, rank),
        padding.lower(),
        _spatial("depthwise_conv", "dilation_rate", dilation_rate, rank),
    )
    return _to_first(out, first)


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """`depthwise_conv`, then a convolution with a kernel of size 1."""
    x = depthwise_conv(
        inputs, depthwise_kernel, strides, padding, data_format, dilation_rate
    )
    return conv(x, pointwise_kernel, 1, "valid", data_format)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """The transpose of `conv`; kernel (spatial..., filters, channels)."""
    first = _channels_first("conv_transpose", data_format)
    x = _to_last(to_tensor(inputs), first)
    rank = x.ndim - 2
    if isinstance(output_padding, int):
        output_padding = (output_padding,) * rank
    elif output_padding is not None:
        output_padding = tuple(output_padding)
    out = _core.conv_transpose(
        x,
        to_tensor(kernel),
        _spatial("conv_transpose", "strides", strides, rank),
        padding.lower(),
        output_padding,
        _spatial("conv_transpose", "dilation_rate", dilation_rate, rank),
    )
    return _to_first(out, first)


def _pool(
    name: str,
    core: Any,
    inputs: Any,
    pool_size: Any,
    strides: Any,
    padding: str,
    data_format: str | None,
) -> Tensor:
    first = _channels_first(name, data_format)
    x = _to_last(to_tensor(inputs), first)
    window = _spatial(name, "pool_size", pool_size, x.ndim - 2)
    step = window if strides is None else _spatial(name, "strides", strides, x.ndim - 2)
    return _to_first(core(x, window, step, padding.lower()), first)


def max_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Largest value of each window; strides default to the window."""
    return _pool(
        "max_pool", _core.max_pool, inputs, pool_size, strides, padding, data_format
    )


def average_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Mean of each window, without the padding; strides default to the window."""
    return _pool(
        "average_pool", _core.avg_pool, inputs, pool_size, strides, padding, data_format
    )


def _adaptive(name: str, core: Any, inputs: Any, size: Any, fmt: str | None) -> Tensor:
    first = _channels_first(name, fmt)
    x = _to_last(to_tensor(inputs), first)
    target = _spatial(name, "output_size", size, x.ndim - 2)
    given = x.shape[1:-1]
    if None in given:
        raise ValueError(
            f"{name}: the spatial sizes must be known, got inputs.shape={x.shape}"
        )
    if all(n % m == 0 for n, m in zip(given, target, strict=True)):
        window = tuple(n // m for n, m in zip(given, target, strict=True))
        return _to_first(core(x, window, window, "valid"), first)
    for axis, (n, m) in enumerate(zip(given, target, strict=True), 1):
        x = _adaptive_axis(core is _core.max_pool, x, axis, n, m)
    return _to_first(x, first)


def _adaptive_axis(largest: bool, x: Tensor, axis: int, n: int, m: int) -> Tensor:
    """Pools an axis of n into m windows, whose sizes differ and which may overlap."""
    place = np.arange(m)
    starts, stops = place * n // m, -(-(place + 1) * n // m)
    widest = int((stops - starts).max())
    index = starts[:, None] + np.arange(widest)
    inside = index < stops[:, None]
    index = np.where(inside, index, starts[:, None])  # repeats what is there already
    rows = _core.gather(x, convert_to_tensor(index.astype(np.int32)), axis)
    if largest:
        return _core.max(rows, axis + 1, False)
    shape = [1] * rows.ndim
    shape[axis : axis + 2] = index.shape
    weight = (inside / (stops - starts)[:, None]).reshape(shape).astype(x.dtype)
    return _core.sum(rows * convert_to_tensor(weight), axis + 1, False)


def adaptive_average_pool(
    inputs: Any, output_size: Any, data_format: str | None = None
) -> Tensor:
    """Mean pooling to a given size; windows overlap where it does not divide."""
    return _adaptive(
        "adaptive_average_pool", _core.avg_pool, inputs, output_size, data_format
    )


def adaptive_max_pool(
    inputs: Any, output_size: Any, data_format: str | None = None
) -> Tensor:
    """Max pooling to a given size; windows overlap where it does not divide."""
    return _adaptive(
        "adaptive_max_pool", _core.max_pool, inputs, output_size, data_format
    )


def depth_to_space(
    x: Any, block_size: int, data_format: str = "channels_last"
) -> Tensor:
    """Blocks of channels moved into blocks of pixels."""
    first = _channels_first("depth_to_space", data_format)
    x = to_tensor(x)
    k = block_size
    if first:
        n, c, h, w = x.dims
        x = _core.reshape(x, (n, c // (k * k), k, k, h, w))
        x = _core.transpose(x, (0, 1, 4, 2, 5, 3))
        return _core.reshape(x, (n, c // (k * k), h * k, w * k))
    n, h, w, c = x.dims
    x = _core.transpose(
        _core.reshape(x, (n, h, w, k, k, c // (k * k))), (0, 1, 3, 2, 4, 5)
    )
    return _core.reshape(x, (n, h * k, w * k, c // (k * k)))


def space_to_depth(
    x: Any, block_size: int, data_format: str = "channels_last"
) -> Tensor:
    """Blocks of pixels moved into channels."""
    first = _channels_first("space_to_depth", data_format)
    x = to_tensor(x)
    k = block_size
    if first:
        n, c, h, w = x.dims
        x = _core.reshape(x, (n, c, h // k, k, w // k, k))
        x = _core.transpose(x, (0, 1, 3, 5, 2, 4))
        return _core.reshape(x, (n, c * k * k, h // k, w // k))
    n, h, w, c = x.dims
    x = _core.reshape(x, (n, h // k, k, w // k, k, c))
    x = _core.transpose(x, (0, 1, 3, 2, 4, 5))
    return _core.reshape(x, (n, h // k, w // k, c * k * k))


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """softmax(query key^T * scale + bias) value for every head.

    Args:
        query: (batch, targets, heads, size).
        key: (batch, sources, key heads, size); heads are a multiple of key heads.
        value: as key.
        bias: added to the scores (batch, heads, targets, sources).
        mask: boolean; False hides a source.
        scale: default 1 / sqrt(size).
        is_causal: hide sources after the target.
        flash_attention: must not be True.
        attn_logits_soft_cap: must be None.
    """
    if flash_attention or attn_logits_soft_cap is not None:
        raise ValueError(
            "dot_product_attention: flash_attention and attn_logits_soft_cap are not "
            "supported"
        )
    q, k, v = to_float(query), to_float(key), to_float(value)
    if q.ndim != 4 or k.ndim != 4 or v.ndim != 4:
        raise ValueError(
            "dot_product_attention: query, key and value must have 4 axes, got "
            f"{q.shape}, {k.shape}, {v.shape}"
        )
    if q.shape[2] != k.shape[2]:
        k = _core.repeat(k, q.shape[2] // k.shape[2], 2)
        v = _core.repeat(v, q.shape[2] // v.shape[2], 2)
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    q = _core.transpose(q, (0, 2, 1, 3))
    scores = _core.matmul(q, _core.transpose(k, (0, 2, 3, 1))) * scale
    if bias is not None:
        scores = scores + operand(bias)
    hidden = -0.7 * float(np.finfo(scores.dtype).max)
    if mask is not None:
        scores = _core.where(cast(mask, "bool"), scores, hidden)
    if is_causal:
        seen = convert_to_tensor(np.tri(q.shape[2], k.shape[1], dtype=bool))
        scores = _core.where(seen, scores, hidden)
    out = _core.matmul(_core.softmax(scores, -1), _core.transpose(v, (0, 2, 1, 3)))
    return _core.transpose(out, (0, 2, 1, 3))


# Losses per row.


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """-sum(target * log(output)) along an axis.

    Probabilities are divided by their sum and clipped to [1e-7, 1 - 1e-7].
    """
    output = to_float(output)
    return _core.categorical_crossentropy(
        cast(target, output.dtype), output, from_logits, axis
    )


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """-log(output[target]) along an axis; target holds class indices."""
    target, output = to_tensor(target), to_float(output)
    if target.dtype not in ("int32", "int64"):
        target = cast(target, "int32")
    if target.ndim == output.ndim and target.shape[axis] == 1:
        target = _core.squeeze(target, axis)
    return _core.sparse_categorical_crossentropy(target, output, from_logits, axis)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """-target log(output) - (1 - target) log(1 - output), elementwise.

    Probabilities are clipped to [1e-7, 1 - 1e-7].
    """
    output = to_float(output)
    return _core.binary_crossentropy(cast(target, output.dtype), output, from_logits)


def psnr(x1: Any, x2: Any, max_val: float) -> Tensor:
    """Peak signal-to-noise ratio in dB: 20 log10(max_val) - 10 log10(mse)."""
    x1, x2 = to_float(x1), to_float(x2)
    mse = _core.mean(_core.square(x1 - x2), None, False)
    return 20.0 * math.log10(max_val) - 10.0 * elementwise.log10(mse)
