"""Functions of images under Keras's names (`keras.ops.image`).

Images are (height, width, channels) or a batch of them; with
data_format="channels_first" the channels come before the height. All functions run
eagerly and in a traced Graph, and gradients flow through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core, config
from lamella._core import Tensor
from lamella.ops import symbolic
from lamella.ops._filters import (
    elastic_transform,
    gaussian_blur,
    similarity,
    sobel_edges,
)
from lamella.ops._operations import BY_FUNCTION
from lamella.ops._resizing import resize, scale_and_translate
from lamella.ops._sampling import (
    ImageLayout,
    affine_transform,
    check_choice,
    check_images,
    map_coordinates,
    perspective_transform,
)
from lamella.ops.conversion import cast, is_float, to_float, to_tensor

__all__ = [
    "affine_transform",
    "crop_images",
    "elastic_transform",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "map_coordinates",
    "pad_images",
    "perspective_transform",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "scale_and_translate",
    "sobel_edges",
    "ssim",
]


def _channel_axis(x: Tensor, data_format: str | None, who: str, counts: Any) -> int:
    """Return the axis of the channels from the end, after a look at their number."""
    last = config.standardize_data_format(data_format, who) == "channels_last"
    axis = -1 if last else -3
    if x.shape[axis] is not None and x.shape[axis] not in counts:
        raise ValueError(
            f"{who}: images must have {' or '.join(map(str, counts))} channels, got "
            f"images.shape={x.shape}"
        )
    return axis


def _channels(x: Tensor, axis: int) -> list[Tensor]:
    """Return the channels, each with the axis of size 1."""
    if axis == -1:
        return [x[..., i : i + 1] for i in range(3)]
    return [x[..., i : i + 1, :, :] for i in range(3)]


def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Tensor:
    """0.2989 red + 0.587 green + 0.114 blue; images of one channel stay as they are.

    Args:
        images: images of 3 or 1 channels.
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        Images of one channel and the same dtype (integers: rounded down).
    """
    who = "rgb_to_grayscale"
    x = check_images(images, who)
    axis = _channel_axis(x, data_format, who, (1, 3))
    if x.shape[axis] == 1:
        return x
    red, green, blue = _channels(x, axis)
    return cast(0.2989 * red + 0.587 * green + 0.114 * blue, x.dtype)


def _float_images(images: Any, who: str) -> Tensor:
    x = check_images(images, who)
    if not is_float(x):
        raise ValueError(f"{who}: images must be floats, got images.dtype={x.dtype}")
    return x


def rgb_to_hsv(images: Any, data_format: str | None = None) -> Tensor:
    """Hue, saturation and value, each in [0, 1], of colours in [0, 1].

    Args:
        images: float images of 3 channels.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ValueError: images are not floats, or have not 3 channels.
    """
    x = _float_images(images, "rgb_to_hsv")
    axis = _channel_axis(x, data_format, "rgb_to_hsv", (3,))
    smallest = float(np.finfo(x.dtype).eps)
    x = _core.where(_core.less(_core.abs(x), smallest), 0.0, x)
    red, green, blue = _channels(x, axis)
    value = _core.maximum(_core.maximum(red, green), blue)
    span = value - _core.minimum(_core.minimum(red, green), blue)
    colourful = _core.greater(span, 0)
    lit = _core.greater(value, 0)
    saturation = _core.where(lit, span / _core.where(lit, value, 1.0), 0.0)
    step = 1.0 / (6.0 * _core.where(colourful, span, 1.0))
    hue = _core.where(
        _core.equal(value, green),
        step * (blue - red) + 2.0 / 6.0,
        step * (red - green) + 4.0 / 6.0,
    )
    hue = _core.where(_core.equal(value, red), step * (green - blue), hue)
    turn = cast(_core.less(hue, 0), x.dtype)
    hue = _core.where(colourful, hue, 0.0) + turn
    return _core.concat([hue, saturation, value], axis)


def hsv_to_rgb(images: Any, data_format: str | None = None) -> Tensor:
    """Colours of hue, saturation and value: the inverse of `rgb_to_hsv`.

    Args:
        images: float images of 3 channels.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ValueError: images are not floats, or have not 3 channels.
    """
    x = _float_images(images, "hsv_to_rgb")
    axis = _channel_axis(x, data_format, "hsv_to_rgb", (3,))
    hue, saturation, value = _channels(x, axis)
    hue = (hue - _core.floor(hue)) * 6.0
    shares = (
        _core.abs(hue - 3.0) - 1.0,
        2.0 - _core.abs(hue - 2.0),
        2.0 - _core.abs(hue - 4.0),
    )
    white = 1.0 - saturation
    colours = [value * (white + saturation * _core.clip(s, 0.0, 1.0)) for s in shares]
    return _core.concat(colours, axis)


def _spatial(x: Tensor, data_format: str | None, who: str) -> tuple[int, int]:
    last = config.standardize_data_format(data_format, who) == "channels_last"
    return (x.ndim - 3, x.ndim - 2) if last else (x.ndim - 2, x.ndim - 1)


def _complete(
    size: int | None, before: Any, after: Any, target: Any, sign: int, names: Any
) -> tuple[int, int]:
    """Return (before, after), one of the three numbers having been left out."""
    given = dict(zip(names[:3], (before, after, target), strict=True))
    if list(given.values()).count(None) != 1:
        text = ", ".join(f"{k}={v}" for k, v in given.items())
        raise ValueError(f"{names[3]}: exactly two of these must be given: {text}")
    if size is None:
        if target is not None:
            raise ValueError(
                f"{names[3]}: {names[2]} needs images of known size; use {names[0]} "
                f"and {names[1]}"
            )
        size = target = 0
    elif target is None:
        target = size + sign * (before + after)
    change = sign * (target - size)
    if before is None:
        before = change - after
    elif after is None:
        after = change - before
    for name, value in zip(names, (before, after, target), strict=False):
        if value < 0:
            raise ValueError(f"{names[3]}: {name} must not be negative, got {value}")
    return int(before), int(after)


def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Images with zeros around them.

    Args:
        images: (h, w, c) or (n, h, w, c).
        top_padding: rows before.
        left_padding: columns before.
        bottom_padding: rows after.
        right_padding: columns after.
        target_height: height of the result.
        target_width: width of the result.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ValueError: unless exactly two of top, bottom and height, and two of left,
            right and width are given, or if a padding would be negative.
    """
    x = check_images(images, "pad_images")
    rows, columns = _spatial(x, data_format, "pad_images")
    widths = [(0, 0)] * x.ndim
    names = ("top_padding", "bottom_padding", "target_height", "pad_images")
    widths[rows] = _complete(
        x.shape[rows], top_padding, bottom_padding, target_height, 1, names
    )
    names = ("left_padding", "right_padding", "target_width", "pad_images")
    widths[columns] = _complete(
        x.shape[columns], left_padding, right_padding, target_width, 1, names
    )
    return _core.pad(x, widths)


def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Images without their borders.

    Args:
        images: (h, w, c) or (n, h, w, c).
        top_cropping: rows before.
        left_cropping: columns before.
        bottom_cropping: rows after.
        right_cropping: columns after.
        target_height: height of the result.
        target_width: width of the result.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ValueError: unless exactly two of top, bottom and height, and two of left,
            right and width are given, or if a cropping would be negative.
    """
    x = check_images(images, "crop_images")
    rows, columns = _spatial(x, data_format, "crop_images")
    index: list[Any] = [slice(None)] * x.ndim
    for axis, before, after, target, names in (
        (
            rows,
            top_cropping,
            bottom_cropping,
            target_height,
            ("top_cropping", "bottom_cropping", "target_height", "crop_images"),
        ),
        (
            columns,
            left_cropping,
            right_cropping,
            target_width,
            ("left_cropping", "right_cropping", "target_width", "crop_images"),
        ),
    ):
        size = x.shape[axis]
        if size is None and before is not None and target is not None:
            index[axis] = slice(before, before + target)
            continue
        before, after = _complete(size, before, after, target, -1, names)
        index[axis] = slice(before or None, -after or None)
    return x[tuple(index)]


def _windows(size: int, window: int, stride: int, dilation: int, padding: str) -> Any:
    """Return ((windows, points) indices into the padded axis, (before, after))."""
    reach = (window - 1) * dilation + 1
    if padding == "same":
        count = -(-size // stride)
        total = max((count - 1) * stride + reach - size, 0)
        around = (total // 2, total - total // 2)
    else:
        count = (size - reach) // stride + 1
        around = (0, 0)
    starts = np.arange(count) * stride
    return starts[:, None] + np.arange(window) * dilation, around


def _patches(
    images: Any,
    size: tuple[int, ...],
    strides: Any,
    dilation_rate: Any,
    padding: str,
    data_format: str | None,
) -> Tensor:
    from lamella.layers._arguments import integers

    who = "extract_patches"
    rank = len(size)
    size = integers(size, rank, "size", who)
    strides = integers(strides or size, rank, "strides", who)
    dilation = integers(dilation_rate, rank, "dilation_rate", who)
    padding = str(padding).lower()
    check_choice(padding, ("valid", "same"), "padding", who)
    first = config.standardize_data_format(data_format, who) == "channels_first"
    x = to_tensor(images)
    if x.ndim not in (rank + 1, rank + 2):
        raise ValueError(
            f"{who}: expected a tensor of rank {rank + 1} or {rank + 2} (a batch), got "
            f"shape {x.shape}"
        )
    single = x.ndim == rank + 1
    x = _core.expand_dims(x, 0) if single else x
    if first:
        x = _core.transpose(x, (0, *range(2, rank + 2), 1))
    if None in x.shape[1:]:
        raise ValueError(f"{who}: the sizes must be known, got shape {x.shape}")
    plans = [
        _windows(n, k, s, d, padding)
        for n, k, s, d in zip(x.shape[1:-1], size, strides, dilation, strict=True)
    ]
    if padding == "same":
        x = _core.pad(x, [(0, 0), *(around for _, around in plans), (0, 0)])
    for i, (index, _) in enumerate(plans):  # axis -> (windows, points)
        x = _core.gather(x, _core.from_numpy(index.astype(np.int32)), 1 + 2 * i)
    counts = [1 + 2 * i for i in range(rank)]
    points = [2 + 2 * i for i in range(rank)]
    x = _core.transpose(x, (0, *counts, *points, 2 * rank + 1))
    channels = x.shape[-1] * int(np.prod(size))
    x = _core.reshape(x, (*x.dims[: rank + 1], channels))
    if first:
        x = _core.transpose(x, (0, rank + 1, *range(1, rank + 1)))
    return _core.squeeze(x, (0,)) if single else x


def extract_patches(
    images: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Windows of images, the values of each in one axis (row, column, channel).

    Args:
        images: (h, w, c) or (n, h, w, c); volumes where `size` has three entries.
        size: of the window: an int, (rows, columns) or (planes, rows, columns).
        strides: step of the window; default: its size.
        dilation_rate: distance of the points within a window. Default 1.
        padding: "valid" (default) or "same" (zeros around the images).
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        (n, rows, columns, size[0] * size[1] * c), without n for a single image.

    Raises:
        ValueError: a bad size, stride or padding.
        TypeError: size is neither an int nor a tuple.
    """
    if isinstance(size, int):
        size = (size, size)
    if not isinstance(size, list | tuple):
        raise TypeError(
            f"extract_patches: size must be an int or a tuple, got size={size!r}"
        )
    if len(size) not in (2, 3):
        raise ValueError(
            f"extract_patches: size must have 2 or 3 entries, got size={size!r}"
        )
    return _patches(images, tuple(size), strides, dilation_rate, padding, data_format)


def extract_patches_3d(
    volumes: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """`extract_patches` of volumes, (d, h, w, c) or (n, d, h, w, c).

    Args:
        volumes: the volumes.
        size: of the window: an int or (planes, rows, columns).
        strides: step of the window; default: its size.
        dilation_rate: distance of the points within a window. Default 1.
        padding: "valid" (default) or "same".
        data_format: "channels_last" (default) or "channels_first".
    """
    if isinstance(size, int):
        size = (size, size, size)
    if len(size) != 3:
        raise ValueError(
            f"extract_patches_3d: size must have 3 entries, got size={size!r}"
        )
    return extract_patches(volumes, size, strides, dilation_rate, padding, data_format)


def ssim(
    image1: Any,
    image2: Any,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Tensor:
    """Structural similarity of pairs of images, 1 for equal ones.

    Args:
        image1: (h, w, c) or (n, h, w, c).
        image2: images of the same shape.
        max_val: difference of the largest and the smallest value. Default 1.
        filter_size: number of rows and columns of the Gaussian window. Default 11.
        filter_sigma: its standard deviation in pixels. Default 1.5.
        k1: constant that keeps the means from a division by 0.
        k2: the same for the variances.
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        (n,), a scalar for a single pair.

    Source: Wang et al., Image Quality Assessment, 2004.
    """
    first = ImageLayout(image1, data_format, "ssim")
    second = ImageLayout(image2, data_format, "ssim")
    a, b = to_float(first.images), to_float(second.images)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    y = similarity(a, cast(b, a.dtype), int(filter_size), filter_sigma, c1, c2)
    y = cast(y, first.images.dtype)
    return _core.squeeze(y, (0,)) if to_tensor(image1).ndim == 3 else y


for _name in set(__all__) & set(BY_FUNCTION):
    globals()[_name] = symbolic.lift(_name, globals()[_name])
