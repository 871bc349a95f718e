"""Normalisation of torch.nn.functional."""

from __future__ import annotations

import math
from typing import Any

from lamella import _core

from ..reduce import mean, var
from ..tensor import shape_of, wrap
from ._convolution import channels_first, channels_last


def _per_channel(v: Any, rank: int) -> Any:
    return wrap(_core.reshape(v, (1, -1, *(1,) * (rank - 2))))


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Channels (axis 1) with mean 0 and variance 1.

    Of the batch in training, else the running ones. In training the running
    statistics move by momentum towards the batch's.
    """
    shape = shape_of(input)
    rank = len(shape)
    if not training and running_mean is not None:
        scale = wrap(_core.rsqrt(running_var + eps))
        if weight is not None:
            scale = scale * weight
        shift = -running_mean * scale
        if bias is not None:
            shift = shift + bias
        return input * _per_channel(scale, rank) + _per_channel(shift, rank)
    n = math.prod(shape) // max(shape[1], 1)
    if n <= 1 and training:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"{shape}"
        )
    x = input if rank == 2 else channels_last(input)
    y, centre, spread = _core.batch_norm(x, weight, bias, eps)
    if running_mean is not None and momentum is not None:
        unbiased = wrap(_core.Tensor.detach(spread)) * (n / (n - 1))
        running_mean._assign(
            running_mean * (1 - momentum) + wrap(centre.detach()) * momentum
        )
        running_var._assign(running_var * (1 - momentum) + unbiased * momentum)
    return wrap(y) if rank == 2 else channels_first(y)


def layer_norm(
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """The last axes together with mean 0 and variance 1, then weight and bias."""
    shape, inside = tuple(shape_of(input)), tuple(normalized_shape)
    if shape[len(shape) - len(inside) :] != inside:
        raise RuntimeError(
            f"Given normalized_shape={list(inside)}, expected input with shape [*, "
            f"{', '.join(map(str, inside))}], but got input of size{list(shape)}"
        )
    n = math.prod(inside)

    def flat(v: Any) -> Any:
        return None if v is None else _core.reshape(v, (n,))

    y = _core.layer_norm(_core.reshape(input, (-1, n)), flat(weight), flat(bias), eps)
    return wrap(_core.reshape(y, shape))


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """The last axes divided by their root mean square."""
    import numpy as np

    axes = list(range(-len(tuple(normalized_shape)), 0))
    small = float(np.finfo(input.dtype.name).eps) if eps is None else eps
    y = input * wrap(_core.rsqrt(mean(input * input, axes, True) + small))
    return y if weight is None else y * weight


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Groups of channels with mean 0 and variance 1, then weight and bias."""
    shape = shape_of(input)
    if shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but "
            "got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    x = _core.reshape(input, (shape[0] * num_groups, -1))
    y = wrap(_core.reshape(_core.layer_norm(x, None, None, eps), shape))
    if weight is not None:
        y = y * _per_channel(weight, len(shape))
    return y if bias is None else y + _per_channel(bias, len(shape))


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample with mean 0 and variance 1."""
    if not use_input_stats:
        return batch_norm(
            input, running_mean, running_var, weight, bias, False, momentum, eps
        )
    shape = shape_of(input)
    if running_mean is not None:
        axes = list(range(2, len(shape)))
        centre = mean(mean(input.detach(), axes), 0)
        spread = mean(var(input.detach(), axes), 0)
        running_mean._assign(running_mean * (1 - momentum) + centre * momentum)
        running_var._assign(running_var * (1 - momentum) + spread * momentum)
    return group_norm(input, shape[1], weight, bias, eps)
