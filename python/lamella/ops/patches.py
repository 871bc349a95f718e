"""Axes taken apart and put together: patterns, sliding blocks."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import convert_to_tensor, dims_product, to_tensor

__all__ = ["fold", "rearrange", "unfold"]


def _groups(pattern: str, side: str) -> list[list[str]]:
    groups = [re.findall(r"\w+", part) for part in re.findall(r"\w+|\([^()]*\)", side)]
    if re.sub(r"\w+|\([\w\s]*\)|\s", "", side):
        raise ValueError(
            f"rearrange: cannot read {pattern!r}; expected names of axes, in brackets "
            "where axes are joined"
        )
    return groups


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Tensor:
    """Axes split, permuted and joined as a pattern says.

    Args:
        tensor: tensor.
        pattern: such as "b (h p) w c -> b h (w p c)": names of axes on both sides,
            brackets around those that make one axis.
        **axes_lengths: sizes of axes inside brackets on the left; one of each bracket
            may be left out.

    Raises:
        ValueError: the pattern does not fit itself or the tensor.

    Example:
        >>> ops.rearrange(ops.zeros((2, 6, 4)), "b (h p) c -> b h (p c)", p=3).shape
        (2, 2, 12)
    """
    x = to_tensor(tensor)
    left, arrow, right = pattern.partition("->")
    source, target = _groups(pattern, left), _groups(pattern, right)
    names = [name for group in source for name in group]
    if (
        not arrow
        or len(set(names)) != len(names)
        or sorted(names) != sorted(name for group in target for name in group)
    ):
        raise ValueError(
            f"rearrange: {pattern!r} must name the same axes once on both sides"
        )
    if len(source) != x.ndim:
        raise ValueError(
            f"rearrange: {pattern!r} has {len(source)} axes on the left, got a tensor "
            f"of shape {x.shape}"
        )
    sizes: dict[str, Any] = dict(axes_lengths)
    for group, whole in zip(source, x.dims, strict=True):
        open_names = [name for name in group if name not in sizes]
        known = dims_product([sizes[name] for name in group if name in sizes])
        if len(open_names) > 1 or (isinstance(whole, int) and whole % known):
            raise ValueError(
                f"rearrange: an axis of size {whole} cannot be split into {group} with "
                f"{axes_lengths}"
            )
        if open_names:
            sizes[open_names[0]] = whole // known if known != 1 else whole
        elif isinstance(whole, int) and known != whole:
            raise ValueError(
                f"rearrange: {group} makes {known}, got an axis of size {whole}"
            )
    x = _core.reshape(x, tuple(sizes[name] for name in names))
    order = tuple(names.index(name) for group in target for name in group)
    if order != tuple(range(len(order))):
        x = _core.transpose(x, order)
    joined = tuple(dims_product(sizes[name] for name in group) for group in target)
    return _core.reshape(x, joined)


def _two(name: str, argument: str, value: Any, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(v, int) or v < least for v in pair):
        raise ValueError(
            f"{name}: {argument} must be an int of at least {least} or two of them, "
            f"got {argument}={value!r}"
        )
    return pair


class _Blocks:
    """Where the elements of sliding blocks lie in a padded image.

    Attributes:
        places: flat positions (taps, blocks) in the padded image.
    """

    def __init__(
        self,
        name: str,
        size: Any,
        kernel: Any,
        dilation: Any,
        padding: Any,
        stride: Any,
    ) -> None:
        self.size = size
        self.kernel = _two(name, "kernel_size", kernel, 1)
        self.padding = _two(name, "padding", padding, 0)
        spread = _two(name, "dilation", dilation, 1)
        step = _two(name, "stride", stride, 1)
        self.padded = tuple(n + 2 * p for n, p in zip(size, self.padding, strict=True))
        lines = []
        for n, k, d, s in zip(self.padded, self.kernel, spread, step, strict=True):
            count = (n - d * (k - 1) - 1) // s + 1
            if count < 1:
                raise ValueError(
                    f"{name}: the blocks do not fit, got size {tuple(size)}, "
                    f"kernel_size={kernel}, dilation={dilation}, padding={padding}"
                )
            lines.append(np.arange(k)[:, None] * d + np.arange(count) * s)
        rows, columns = lines
        flat = rows[:, None, :, None] * self.padded[1] + columns[None, :, None, :]
        taps = self.kernel[0] * self.kernel[1]
        self.places = flat.reshape(taps, -1).astype(np.int32)


def unfold(
    x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Sliding blocks of images as columns.

    Args:
        x: images, channels first: (batch, channels, height, width).
        kernel_size: size of a block, an int or (height, width).
        dilation: distance of the elements of a block.
        padding: rows and columns of zeros at each side.
        stride: distance of blocks.

    Returns:
        (batch, channels * block elements, blocks).
    """
    x = to_tensor(x)
    if x.ndim != 4 or None in x.shape[1:]:
        raise ValueError(
            "unfold: expected images (batch, channels, height, width) of known size, "
            f"got x.shape={x.shape}"
        )
    n, channels = x.dims[0], x.shape[1]
    blocks = _Blocks("unfold", x.shape[2:], kernel_size, dilation, padding, stride)
    edges = [(p, p) for p in blocks.padding]
    x = _core.reshape(_core.pad(x, [(0, 0), (0, 0), *edges], 0), (n, channels, -1))
    out = _core.gather(x, convert_to_tensor(blocks.places), 2)
    taps, count = blocks.places.shape
    return _core.reshape(out, (n, channels * taps, count))


def fold(
    x: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns of `unfold` added at their places: what overlaps is summed.

    Args:
        x: (batch, channels * block elements, blocks).
        output_size: (height, width) of the images.
        kernel_size: as for `unfold`.
        dilation: as for `unfold`.
        padding: as for `unfold`.
        stride: as for `unfold`.

    Returns:
        (batch, channels, height, width).
    """
    x = to_tensor(x)
    size = _two("fold", "output_size", output_size, 1)
    blocks = _Blocks("fold", size, kernel_size, dilation, padding, stride)
    taps, count = blocks.places.shape
    if x.ndim != 3 or not x.shape[1] or x.shape[1] % taps or x.shape[2] != count:
        raise ValueError(
            f"fold: expected x of shape (batch, channels * {taps}, {count}), got "
            f"x.shape={x.shape}"
        )
    n, channels = x.dims[0], x.shape[1] // taps
    height, width = blocks.padded
    flat = _core.reshape(x, (n, channels, taps * count))
    places = convert_to_tensor(blocks.places.reshape(-1))
    out = _core.scatter_add(flat, places, height * width, 2)
    out = _core.reshape(out, (n, channels, height, width))
    top, left = blocks.padding
    return out[:, :, top : height - top, left : width - left]
