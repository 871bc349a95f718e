"""Convolution, pooling, padding and resizing of torch.nn.functional.

Channels come first, as in PyTorch; the core computes with channels last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core

from ..reduce import mean, sum
from ..shape import cat, split
from ..tensor import dtype_of, new_tensor, shape_of, wrap

Function = Callable[..., Any]


def tuple_of(value: Any, n: int) -> tuple[int, ...]:
    """One number for all axes, or one for each."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple(int(v) for v in value)
    return value * n if len(value) == 1 else value


def channels_last(x: Any) -> Any:
    """(N, C, ...) as (N, ..., C)."""
    rank = len(shape_of(x))
    return _core.transpose(x, [0, *range(2, rank), 1])


def channels_first(x: Any) -> Any:
    """(N, ..., C) as (N, C, ...)."""
    rank = len(x.shape)
    return wrap(_core.transpose(x, [0, rank - 1, *range(1, rank - 1)]))


def _batched(name: str, input: Any, n: int) -> tuple[Any, bool]:
    rank = len(shape_of(input))
    if rank == n + 1:
        return _core.expand_dims(input, 0), True
    if rank != n + 2:
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but "
            "got input "
            f"of size: {list(shape_of(input))}"
        )
    return input, False


def _finish(y: Any, single: bool) -> Any:
    return wrap(_core.squeeze(y, [0])) if single else y


def _conv(n: int) -> Function:
    name = f"conv{n}d"

    def conv(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        x, single = _batched(name, input, n)
        w = shape_of(weight)
        if shape_of(x)[1] != w[1] * groups:
            raise RuntimeError(
                f"Given groups={groups}, weight of size {list(w)}, expected input"
                f"{list(shape_of(x))} to have {w[1] * groups} channels, but got "
                f"{shape_of(x)[1]} channels instead"
            )
        if dtype_of(input) is not dtype_of(weight):
            raise RuntimeError(
                f"Input type ({input.dtype}) and weight type ({weight.dtype}) should "
                "be the same"
            )
        stride, dilation = tuple_of(stride, n), tuple_of(dilation, n)
        if padding == "same":
            if any(s != 1 for s in stride):
                raise RuntimeError(
                    "padding='same' is not supported for strided convolutions"
                )
            total = [d * (k - 1) for d, k in zip(dilation, w[2:], strict=True)]
            pads = [(t // 2, t - t // 2) for t in total]
        else:
            sides = tuple_of(0 if padding == "valid" else padding, n)
            pads = [(p, p) for p in sides]
        for size, (a, z), k, d in zip(
            shape_of(x)[2:], pads, w[2:], dilation, strict=True
        ):
            if size + a + z < d * (k - 1) + 1:
                raise RuntimeError(
                    f"Calculated padded input size per channel: ({size + a + z}). "
                    "Kernel size: "
                    f"({d * (k - 1) + 1}). Kernel size can't be greater than actual "
                    "input size"
                )
        x = channels_last(x)
        if any(a or z for a, z in pads):
            x = _core.pad(x, [(0, 0), *pads, (0, 0)])
        kernel = _core.transpose(weight, [*range(2, n + 2), 1, 0])
        y = _core.conv(x, kernel, list(stride), "valid", list(dilation), groups)
        if bias is not None:
            y = _core.add(y, bias)
        return _finish(channels_first(y), single)

    conv.__name__ = name
    conv.__doc__ = "Convolution: input (N, C, ...), weight (out, C / groups, ...)."
    return conv


conv1d, conv2d, conv3d = map(_conv, (1, 2, 3))


def _conv_transpose(n: int) -> Function:
    name = f"conv_transpose{n}d"

    def conv_transpose(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Any:
        x, single = _batched(name, input, n)
        stride, dilation = tuple_of(stride, n), tuple_of(dilation, n)
        pad, extra = tuple_of(padding, n), tuple_of(output_padding, n)
        parts = []
        channels = shape_of(x)[1] // groups
        inputs = split(wrap(x), channels, 1) if groups > 1 else (x,)
        weights = split(weight, channels, 0) if groups > 1 else (weight,)
        for part, w in zip(inputs, weights, strict=True):
            kernel = _core.transpose(w, [*range(2, n + 2), 1, 0])
            y = _core.conv_transpose(
                channels_last(part),
                kernel,
                list(stride),
                "valid",
                [0] * n,
                list(dilation),
            )
            parts.append(y)
        y = parts[0] if groups == 1 else _core.concat(parts, -1)
        if any(extra):
            y = _core.pad(y, [(0, 0), *((0, e) for e in extra), (0, 0)])
        if any(pad):
            size = y.shape
            starts = [0, *pad, 0]
            stops = [
                size[0],
                *(s - p for s, p in zip(size[1:-1], pad, strict=True)),
                size[-1],
            ]
            y = _core.slice(y, starts, stops, [1] * (n + 2))
        if bias is not None:
            y = _core.add(y, bias)
        return _finish(channels_first(y), single)

    conv_transpose.__name__ = name
    conv_transpose.__doc__ = "Transposed convolution: weight (C, out / groups, ...)."
    return conv_transpose


conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_conv_transpose, (1, 2, 3))


# ---------------------------------------------------------------- pooling


def _pads(
    size: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool
) -> list[tuple[int, int]]:
    """Elements to add at each side, so that whole windows cover what PyTorch's do."""
    pads = []
    for n, k, s, p in zip(size, kernel, stride, padding, strict=True):
        if p > k // 2:
            raise RuntimeError(
                "pad should be at most half of effective kernel size, but got "
                f"pad={p}, "
                f"kernel_size={k}"
            )
        span = n + 2 * p - k
        count = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1  # a window must begin inside the input or its left padding
        if count < 1:
            raise RuntimeError(
                f"pooling: Output size is too small: input {n}, kernel {k}"
            )
        pads.append((p, max((count - 1) * s + k - n - p, 0)))
    return pads


def _max_pool(n: int) -> Function:
    name = f"max_pool{n}d"

    def pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        if return_indices or any(d != 1 for d in tuple_of(dilation, n)):
            raise RuntimeError(
                f"{name}: lamella.torch has neither return_indices nor dilation"
            )
        x, single = _batched(name, input, n)
        kernel = tuple_of(kernel_size, n)
        step = kernel if stride is None else tuple_of(stride, n)
        pads = _pads(shape_of(x)[2:], kernel, step, tuple_of(padding, n), ceil_mode)
        x = channels_last(x)
        if any(a or z for a, z in pads):
            x = _core.pad(x, [(0, 0), *pads, (0, 0)], -math.inf)
        y = _core.max_pool(x, list(kernel), list(step), "valid")
        return _finish(channels_first(y), single)

    pool.__name__, pool.__doc__ = name, "The largest element of each window."
    return pool


max_pool1d, max_pool2d, max_pool3d = map(_max_pool, (1, 2, 3))


def _avg_pool(n: int) -> Function:
    name = f"avg_pool{n}d"

    def pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        x, single = _batched(name, input, n)
        kernel = tuple_of(kernel_size, n)
        step = kernel if stride is None else tuple_of(stride, n)
        size, around = shape_of(x)[2:], tuple_of(padding, n)
        pads = _pads(size, kernel, step, around, ceil_mode)
        x = channels_last(x)
        if any(a or z for a, z in pads):
            x = _core.pad(x, [(0, 0), *pads, (0, 0)])
        y = _core.avg_pool(x, list(kernel), list(step), "valid")
        whole = math.prod(kernel)
        if divisor_override:
            y = _core.mul(y, whole / divisor_override)
        elif any(a or z for a, z in pads):
            # How much of each window counts: what ceil_mode adds does not.
            inside = np.zeros([s + a + z for s, (a, z) in zip(size, pads, strict=True)])
            inside[
                tuple(
                    slice(0, s + 2 * p) if count_include_pad else slice(p, p + s)
                    for s, p in zip(size, around, strict=True)
                )
            ] = 1
            counts = _core.from_numpy(
                inside.astype(dtype_of(input).name)[None, ..., None], True
            )
            y = _core.div(y, _core.avg_pool(counts, list(kernel), list(step), "valid"))
        return _finish(channels_first(y), single)

    pool.__name__, pool.__doc__ = name, "The mean of each window."
    return pool


avg_pool1d, avg_pool2d, avg_pool3d = map(_avg_pool, (1, 2, 3))


def lp_pool2d(
    input: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Any:
    """(sum x**p)**(1/p) of each window."""
    y = avg_pool2d(input**norm_type, kernel_size, stride, 0, ceil_mode)
    return (y * math.prod(tuple_of(kernel_size, 2))) ** (1 / norm_type)


def _edges(n: int, out: int) -> list[tuple[int, int]]:
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def _adaptive(n: int, kind: str) -> Function:
    def pool(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        x, single = _batched(f"adaptive_{kind}_pool{n}d", input, n)
        x = wrap(x)
        if isinstance(output_size, int) or output_size is None:
            output_size = (output_size,) * n
        for axis, out in enumerate(output_size, start=2):
            size = shape_of(x)[axis]
            out = size if out is None else int(out)
            if out == size:
                continue
            if kind == "avg" and out == 1:
                x = mean(x, axis, True)
                continue
            if kind == "avg":
                share = np.zeros((size, out))
                for i, (a, z) in enumerate(_edges(size, out)):
                    share[a:z, i] = 1 / (z - a)
                weights = new_tensor(share, dtype_of(x))
                last = x.movedim(axis, -1)
                x = wrap(_core.matmul(last, weights)).movedim(-1, axis)
                continue
            lead = (slice(None),) * axis
            cuts = [(*lead, slice(a, z)) for a, z in _edges(size, out)]
            x = cat([x[cut].amax(axis, True) for cut in cuts], axis)
        return _finish(x, single)

    pool.__name__ = f"adaptive_{kind}_pool{n}d"
    pool.__doc__ = "Pooling to a given output size."
    return pool


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _adaptive(n, "avg") for n in (1, 2, 3)
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive(n, "max") for n in (1, 2, 3)
)


# ---------------------------------------------------------------- padding and resizing


def _source(n: int, before: int, after: int, mode: str) -> Any:
    """Which element stands at each place of a padded axis."""
    i = np.arange(-before, n + after)
    if mode == "reflect":
        if max(before, after) >= n:
            raise RuntimeError(
                "Padding size should be less than the corresponding input dimension, "
                "but got: "
                f"padding ({before}, {after}) at dimension of input size {n}"
            )
        i = np.abs(i)
        return np.where(i >= n, 2 * (n - 1) - i, i)
    return i % n if mode == "circular" else np.clip(i, 0, n - 1)


def pad(
    input: Any, pad: Any, mode: str = "constant", value: float | None = None
) -> Any:
    """Elements around: pad = (left, right, top, bottom, ...), last axis first."""
    rank = len(shape_of(input))
    widths = [(0, 0)] * rank
    for k in range(len(pad) // 2):
        widths[rank - 1 - k] = (int(pad[2 * k]), int(pad[2 * k + 1]))
    x = input
    for axis, (a, z) in enumerate(widths):
        if a < 0 or z < 0:  # negative widths cut away
            n = shape_of(x)[axis]
            x = x[(slice(None),) * axis + (slice(max(-a, 0), n - max(-z, 0)),)]
    widths = [(max(a, 0), max(z, 0)) for a, z in widths]
    if mode == "constant":
        return wrap(_core.pad(x, widths, float(value or 0)))
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    for axis, (a, z) in enumerate(widths):
        if a or z:
            where = _source(shape_of(x)[axis], a, z, mode).astype(np.int64)
            x = _core.gather(x, _core.from_numpy(where, True), axis)
    return wrap(x)


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Any:
    """Resizes the axes behind the channels: "nearest", "linear" and its kin."""
    if mode not in ("nearest", "linear", "bilinear", "trilinear") or antialias:
        raise NotImplementedError(
            "interpolate: lamella.torch has nearest, linear, bilinear, trilinear, got "
            f"{mode!r}"
        )
    old = shape_of(input)[2:]
    n = len(old)
    if size is None:
        factors = (
            scale_factor
            if isinstance(scale_factor, list | tuple)
            else (scale_factor,) * n
        )
        new = [math.floor(s * f) for s, f in zip(old, factors, strict=True)]
        ratios = [1 / f for f in factors]
    else:
        new = list(tuple_of(size, n))
        ratios = [o / m for o, m in zip(old, new, strict=True)]
    x = input
    for axis, (o, m, ratio) in enumerate(zip(old, new, ratios, strict=True), start=2):
        if mode == "nearest":
            where = np.minimum(np.floor(np.arange(m) * ratio), o - 1).astype(np.int64)
            x = _core.gather(x, _core.from_numpy(where, True), axis)
            continue
        if align_corners:
            at = np.arange(m) * ((o - 1) / (m - 1) if m > 1 else 0)
        else:
            at = np.maximum((np.arange(m) + 0.5) * ratio - 0.5, 0)
        low = np.minimum(np.floor(at).astype(int), o - 1)
        share = np.zeros((o, m))
        share[low, np.arange(m)] += 1 - (at - low)
        share[np.minimum(low + 1, o - 1), np.arange(m)] += at - low
        weights = new_tensor(share, dtype_of(input))
        x = wrap(_core.matmul(wrap(x).movedim(axis, -1), weights)).movedim(-1, axis)
    return wrap(x)


upsample = interpolate


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(N, C r r, H, W) as (N, C, H r, W r)."""
    r = upscale_factor
    *lead, c, h, w = shape_of(input)
    x = input.reshape(*lead, c // (r * r), r, r, h, w)
    k = len(lead)
    x = x.permute(*range(k + 1), k + 3, k + 1, k + 4, k + 2)
    return x.reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(N, C, H r, W r) as (N, C r r, H, W)."""
    r = downscale_factor
    *lead, c, h, w = shape_of(input)
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    k = len(lead)
    x = x.permute(*range(k + 1), k + 2, k + 4, k + 1, k + 3)
    return x.reshape(*lead, c * r * r, h // r, w // r)


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Windows of (N, C, H, W) as columns: (N, C kh kw, windows)."""
    kernel, dilation = tuple_of(kernel_size, 2), tuple_of(dilation, 2)
    sides, step = tuple_of(padding, 2), tuple_of(stride, 2)
    x = pad(input, (sides[1], sides[1], sides[0], sides[0])) if any(sides) else input
    n, c, h, w = shape_of(x)
    places = []
    for size, k, d, s in zip((h, w), kernel, dilation, step, strict=True):
        starts = np.arange(0, size - d * (k - 1), s)
        places.append(np.arange(k)[:, None] * d + starts[None, :])
    rows, columns = places
    flat = rows[:, None, :, None] * w + columns[None, :, None, :]
    flat = np.ascontiguousarray(flat.reshape(math.prod(kernel), -1)).astype(np.int64)
    taken = _core.gather(
        _core.reshape(x, (n, c, h * w)), _core.from_numpy(flat, True), 2
    )
    return wrap(_core.reshape(taken, (n, c * math.prod(kernel), -1)))


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """x divided by a power of the squares of neighbouring channels."""
    from ..shape import stack

    square = pad(
        input * input,
        [0, 0] * (len(shape_of(input)) - 2) + [size // 2, (size - 1) // 2],
    )
    n = shape_of(input)[1]
    total = sum(stack([square[:, i : i + n] for i in range(size)]), 0) / size
    return input / (total * alpha + k) ** beta
