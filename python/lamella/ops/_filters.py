"""Convolutions of images with fixed kernels: blur, edges, structural similarity."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops._sampling import (
    FILL_MODES,
    INTERPOLATIONS,
    ImageLayout,
    check_choice,
    displace,
    gaussian_size,
)
from lamella.ops.conversion import cast, is_concrete, to_float, to_tensor

__all__ = ["blur", "elastic", "elastic_transform", "gaussian_blur", "sobel_edges"]


def _bell(size: int, sigma: Any, dtype: str) -> Tensor:
    """Return `size` samples of a Gaussian around their middle, with the sum 1."""
    x = _core.from_numpy((np.arange(size) - (size - 1) / 2).astype(dtype))
    bell = _core.exp(-0.5 * _core.square(x / sigma))
    return bell / _core.sum(bell, None, False)


def _depthwise(x: Tensor, kernel: Tensor, shape: tuple[int, int]) -> Tensor:
    channels = x.dims[-1]
    kernel = _core.reshape(kernel, (*shape, 1, 1))
    kernel = _core.broadcast_to(kernel, (*shape, channels, 1))
    return _core.depthwise_conv(x, kernel, (1, 1), "same", (1, 1))


def blur(x: Tensor, kernel_size: Any, sigma: Any) -> Tensor:
    """Blur (n, h, w, c), in two passes; sigma may be a tensor of two."""
    wide, tall = int(kernel_size[0]), int(kernel_size[1])
    x = _depthwise(x, _bell(tall, sigma[1], x.dtype), (tall, 1))
    return _depthwise(x, _bell(wide, sigma[0], x.dtype), (1, wide))


def gaussian_blur(
    images: Any,
    kernel_size: Any = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    """Images blurred by a Gaussian; outside them there is 0.

    Args:
        images: (h, w, c) or (n, h, w, c).
        kernel_size: number of points of the kernel, (columns, rows). Default (3, 3).
        sigma: standard deviations in pixels, (columns, rows). Default (1, 1).
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        Images of the same shape and dtype.
    """
    layout = ImageLayout(images, data_format, "gaussian_blur")
    x = to_float(layout.images)
    if not isinstance(sigma, list | tuple):
        sigma = cast(sigma, x.dtype)
    y = blur(x, kernel_size, sigma)
    if y.dtype != layout.images.dtype:
        y = cast(_core.round(y), layout.images.dtype)
    return layout.restore(y)


def elastic(
    x: Tensor,
    key: Any,
    alpha: Any,
    sigma: Any,
    kernel: int,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Tensor:
    """Displace the pixels of (n, h, w, c) by smooth noise; alpha, sigma may be tensors.

    The kernel of the blur is an argument, since a Graph must know its size.
    """
    kind = x.dtype if x.dtype == "float64" else "float32"
    n, h, w, _ = x.dims
    noise = _core.random_normal(key, (n, h, w, 2), 0.0, 1.0, kind) * sigma
    noise = blur(noise, (kernel, kernel), (sigma, sigma)) * alpha
    return displace(
        x, noise[..., 0], noise[..., 1], interpolation, fill_mode, fill_value
    )


def elastic_transform(
    images: Any,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Tensor:
    """Images with their pixels displaced by smooth noise.

    Args:
        images: (h, w, c) or (n, h, w, c).
        alpha: strength of the displacement. Default 20.
        sigma: standard deviation, in pixels, of noise and blur. Default 5.
        interpolation: "bilinear" (default) or "nearest".
        fill_mode: as of `map_coordinates`. Default "reflect".
        fill_value: the value outside for "constant". Default 0.
        seed: integer, SeedGenerator or None.
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        Images of the same shape and dtype.

    Source: Simard et al., Best Practices for Convolutional Neural Networks, 2003.
    """
    from lamella.random import draw_key

    who = "elastic_transform"
    check_choice(interpolation, INTERPOLATIONS, "interpolation", who)
    check_choice(fill_mode, FILL_MODES, "fill_mode", who)
    layout = ImageLayout(images, data_format, who)
    if not is_concrete(sigma):
        raise ValueError(f"{who}: sigma must be a number, got {sigma!r}")
    sigma = float(sigma)
    return layout.restore(
        elastic(
            layout.images,
            draw_key(seed),
            alpha,
            sigma,
            gaussian_size(sigma),
            interpolation,
            fill_mode,
            fill_value,
        )
    )


def sobel_edges(images: Any, data_format: str | None = None) -> Tensor:
    """Derivatives of images by Sobel's kernels; outside them there is 0.

    Args:
        images: (n, h, w, c) or, for "channels_first", (n, c, h, w).
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        (*images.shape, 2): along the columns (dy) and along the rows (dx).

    Raises:
        ValueError: images are not of rank 4.
    """
    x = to_tensor(images)
    if x.ndim != 4:
        raise ValueError(
            "sobel_edges: images must have rank 4 (a batch), got images.shape="
            f"{x.shape}"
        )
    layout = ImageLayout(x, data_format, "sobel_edges")
    y = to_float(layout.images)
    smooth = _core.from_numpy(np.array([1, 2, 1], y.dtype))
    slope = _core.from_numpy(np.array([-1, 0, 1], y.dtype))
    dy = _depthwise(_depthwise(y, slope, (3, 1)), smooth, (1, 3))
    dx = _depthwise(_depthwise(y, smooth, (3, 1)), slope, (1, 3))
    edges = [cast(layout.restore(d), x.dtype) for d in (dy, dx)]
    return _core.stack(edges, -1)


def similarity(
    a: Tensor, b: Tensor, size: int, sigma: float, c1: float, c2: float
) -> Tensor:
    """Return the structural similarity of (n, h, w, c) images, (n,)."""
    bell = _bell(size, sigma, a.dtype)
    one = _core.reshape(bell, (size, 1)) * _core.reshape(bell, (1, size))
    channels = a.dims[-1]
    kernel = _core.broadcast_to(
        _core.reshape(one, (size, size, 1, 1)), (size, size, channels, 1)
    )

    def mean(x: Tensor) -> Tensor:
        return _core.depthwise_conv(x, kernel, (1, 1), "valid", (1, 1))

    ma, mb = mean(a), mean(b)
    va, vb = mean(a * a) - ma * ma, mean(b * b) - mb * mb
    both = mean(a * b) - ma * mb
    above = (2.0 * (ma * mb) + c1) * (2.0 * both + c2)
    below = (ma * ma + mb * mb + c1) * (va + vb + c2)
    return _core.mean(above / below, (1, 2, 3), False)
