"""Images of another size: `ops.image.resize` and `scale_and_translate`.

Every axis is done by itself. Where a pixel of the output is a sum of two or four pixels
of the input these are gathered; otherwise the axis is multiplied by a matrix.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops._sampling import ImageLayout, check_choice, positions
from lamella.ops.conversion import cast, dim_value, saturate_cast, to_float, to_tensor

__all__ = ["resize", "scale_and_translate"]

RESIZE_METHODS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
_METHODS = {
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "triangle": "linear",
    "cubic": "cubic",
    "bicubic": "cubic",
    "tricubic": "cubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def _kernel(method: str, x: Tensor) -> Tensor:
    """Return the weight of a pixel at the distance x >= 0 (in pixels)."""
    if method == "linear":
        return _core.maximum(1.0 - x, 0.0)
    if method == "cubic":  # Keys, 1981, with a = -1/2
        near = ((1.5 * x - 2.5) * x) * x + 1.0
        far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        return _core.where(
            _core.less(x, 1.0), near, _core.where(_core.less(x, 2.0), far, 0.0)
        )
    radius = float(method[-1])
    y = radius * _core.sin(math.pi * x) * _core.sin(math.pi * x / radius)
    small = _core.less_equal(x, 1e-3)
    y = _core.where(small, 1.0, y / _core.where(small, 1.0, math.pi**2 * x * x))
    return _core.where(_core.greater(x, radius), 0.0, y)


def _weights(
    size: Any, target: int, scale: Any, shift: Any, method: str, antialias: bool
) -> Tensor:
    """Return the matrix (target, size) that resamples one axis."""
    dtype = scale.dtype
    inverse = 1.0 / scale
    places = _core.from_numpy(np.arange(target, dtype=dtype) + 0.5)
    at = places * inverse - shift * inverse - 0.5
    distance = _core.abs(_core.expand_dims(at, 1) - positions(size, dtype))
    if antialias:
        distance = distance / _core.maximum(inverse, 1.0)
    weights = _kernel(method, distance)
    total = _core.sum(weights, 1, True)
    usable = _core.greater(_core.abs(total), 1000.0 * float(np.finfo("float32").eps))
    weights = _core.where(usable, weights / _core.where(usable, total, 1.0), 0.0)
    end = size - 0.5 if isinstance(size, int) else dim_value(size, dtype) - 0.5
    inside = _core.logical_and(_core.greater_equal(at, -0.5), _core.less_equal(at, end))
    return _core.where(_core.expand_dims(inside, 1), weights, 0.0)


def _multiply(x: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Return x with one axis multiplied by a matrix (target, size)."""
    order = list(range(x.ndim))
    order.remove(axis)
    order.append(axis)
    last = axis == x.ndim - 1
    y = x if last else _core.transpose(x, tuple(order))
    y = _core.matmul(y, _core.transpose(weights, (1, 0)))
    if last:
        return y
    back = list(range(x.ndim - 1))
    back.insert(axis, x.ndim - 1)
    return _core.transpose(y, tuple(back))


@functools.lru_cache(maxsize=64)
def _known_taps(
    size: int, target: int, method: str, dtype: str
) -> tuple[tuple[np.ndarray, np.ndarray | None], ...]:
    return tuple(
        (index.numpy(), None if weight is None else weight.numpy())
        for index, weight in _taps(size, target, method, dtype)
    )


def _taps(
    size: Any, target: int, method: str, dtype: str
) -> list[tuple[Tensor, Tensor | None]]:
    """Return (indices, weights) of the pixels that make each output pixel.

    Pixel centres lie at halves, positions outside are moved to the border. The cubic
    has a = -3/4, as PyTorch takes it.
    """
    n = size if isinstance(size, int) else dim_value(size, dtype)
    places = _core.from_numpy(np.arange(target, dtype=dtype) + 0.5)
    scale = np.asarray(n / target, dtype) if isinstance(n, int) else n / target
    at = places * scale

    def bounded(index: Tensor) -> Tensor:
        index = _core.maximum(_core.minimum(index, n - 1), 0)
        return cast(index, "int32")

    if method == "nearest":
        return [(bounded(_core.floor(at)), None)]
    at = at - 0.5
    if method == "bilinear":
        at = _core.maximum(at, 0.0)
    low = _core.floor(at)
    t = at - low
    if method == "bilinear":
        return [(bounded(low), 1.0 - t), (bounded(low + 1.0), t)]
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a

    shares = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
    return [(bounded(low + (i - 1.0)), share) for i, share in enumerate(shares)]


def _gather(x: Tensor, target: int, axis: int, method: str) -> Tensor:
    """Return x resampled along one axis from a few pixels each."""
    size = x.dims[axis]
    dtype = x.dtype if x.dtype == "float64" else "float32"
    taps: list[tuple[Any, Any]] = []
    if isinstance(size, int):
        for index, weight in _known_taps(size, target, method, dtype):
            share = None if weight is None else _core.from_numpy(weight)
            taps.append((_core.from_numpy(index), share))
    else:
        taps = list(_taps(size, target, method, dtype))
    total: Any = None
    for index, weight in taps:
        part = _core.gather(x, index, axis)
        if weight is not None:
            shape = (target, *(1 for _ in range(x.ndim - axis - 1)))
            part = part * _core.reshape(weight, shape)
        total = part if total is None else total + part
    return total


def _fit_ratio(
    x: Tensor, size: tuple[int, int], crop: bool, fill_value: float
) -> Tensor:
    """Crop or pad (n, h, w, c) to the aspect ratio of `size`."""
    h, w = x.shape[1:3]
    if h is None or w is None:
        raise ValueError(
            "resize: crop_to_aspect_ratio and pad_to_aspect_ratio need images of known "
            f"height and width, got images.shape={x.shape}"
        )
    tall, wide = int(float(w * size[0]) / size[1]), int(float(h * size[1]) / size[0])
    if crop:
        tall, wide = max(min(h, tall), 1), max(min(w, wide), 1)
        top, left = int(float(h - tall) / 2), int(float(w - wide) / 2)
        return x[:, top : top + tall, left : left + wide]
    top, left = int(float(max(h, tall) - h) / 2), int(float(max(w, wide) - w) / 2)
    return _core.pad(x, [(0, 0), (top, top), (left, left), (0, 0)], fill_value)


def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    """Images of another size. The centres of pixels lie at halves.

    Args:
        images: (h, w, c) or (n, h, w, c); integers are rounded back to integers.
        size: (height, width) of the result.
        interpolation: "bilinear" (default), "nearest", "bicubic", "lanczos3" or
            "lanczos5". The numbers are those of Keras on PyTorch; those of Lanczos,
            which PyTorch does not have, are Keras's on JAX.
        antialias: widen the filter when the images become smaller (not "nearest").
        crop_to_aspect_ratio: cut off what does not fit instead of distorting.
        pad_to_aspect_ratio: add a border instead of distorting.
        fill_mode: must be "constant".
        fill_value: value of the border. Default 0.
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        Images of the given size and of the same dtype.

    Raises:
        ValueError: a bad size or rank, or arguments that exclude each other.

    Example:
        >>> import lamella as keras
        >>> keras.ops.image.resize([[[0.0], [1.0]]], (1, 4)).numpy().ravel().tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    target = _checked_size(size)
    check_choice(interpolation, RESIZE_METHODS, "interpolation", "resize")
    check_choice(fill_mode, ("constant",), "fill_mode", "resize")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(
            "resize: only one of crop_to_aspect_ratio and pad_to_aspect_ratio may be "
            "True"
        )
    layout = ImageLayout(images, data_format, "resize")
    x = layout.images
    kind = x.dtype
    if interpolation != "nearest" or pad_to_aspect_ratio:
        x = to_float(x)
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        x = _fit_ratio(x, target, crop_to_aspect_ratio, fill_value)
    dense = interpolation.startswith("lanczos") or (
        antialias and interpolation != "nearest"
    )
    for axis in (2, 1):
        goal = target[axis - 1]
        if dense:
            x = _resample(x, axis, goal, _METHODS[interpolation], antialias)
        elif x.shape[axis] != goal:
            x = _gather(x, goal, axis, interpolation)
    if x.dtype != kind:
        x = saturate_cast(x if kind.startswith("float") else _core.round(x), kind)
    return layout.restore(x)


def _resample(x: Tensor, axis: int, target: int, method: str, smooth: bool) -> Tensor:
    size = x.dims[axis]
    n = size if isinstance(size, int) else dim_value(size, x.dtype)
    scale = cast(target / n, x.dtype)
    return _multiply(x, _weights(size, target, scale, 0.0, method, smooth), axis)


def _checked_size(size: Any) -> tuple[int, int]:
    try:
        height, width = (int(s) for s in size)
    except (TypeError, ValueError):
        raise ValueError(
            f"resize: size must be two integers (height, width), got size={size!r}"
        ) from None
    if height <= 0 or width <= 0:
        raise ValueError(f"resize: size must be positive, got size={size!r}")
    return height, width


def scale_and_translate(
    images: Any,
    output_shape: Any,
    scale: Any,
    translation: Any,
    spatial_dims: Any,
    method: str,
    antialias: bool = True,
) -> Tensor:
    """Resample some axes: the output at scale * x + translation is the input at x.

    Args:
        images: tensor of any rank.
        output_shape: shape of the result.
        scale: factor for each of the spatial axes.
        translation: shift for each of the spatial axes, in pixels of the output.
        spatial_dims: the axes that are resampled.
        method: "linear", "cubic", "lanczos3", "lanczos5", or "bilinear", ...
        antialias: widen the filter where the scale is below 1. Default True.

    Returns:
        Tensor of shape `output_shape` and the dtype of the images.

    Raises:
        ValueError: an unknown method.
    """
    check_choice(method, _METHODS, "method", "scale_and_translate")
    x = to_tensor(images)
    kind = x.dtype
    y = to_float(x)
    scale, translation = to_float(scale), to_float(translation)
    for i, axis in enumerate(spatial_dims):
        axis %= x.ndim
        goal = int(output_shape[axis])
        weights = _weights(
            y.dims[axis], goal, scale[i], translation[i], _METHODS[method], antialias
        )
        y = _multiply(y, cast(weights, y.dtype), axis)
    if y.dtype == kind:
        return y
    low, high = cast(_core.min(x), y.dtype), cast(_core.max(x), y.dtype)
    return cast(_core.minimum(_core.maximum(_core.round(y), low), high), kind)
