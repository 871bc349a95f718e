"""Stretching and equalizing the values of images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core
from lamella.layers.image.base import ImageLayer, sorted_range
from lamella.ops._sampling import ImageLayout, positions
from lamella.ops.conversion import cast

__all__ = [
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
]


def _histogram(index: Any, bins: int) -> Any:
    """Return how often each of the numbers 0 ... bins - 1 is in the last axis.

    The counts are a product of two thin one-hot matrices, one for the quotient and one
    for the rest of the numbers by the root of `bins`.
    """
    side = math.isqrt(bins - 1) + 1
    high = _core.floor_div(index, side)
    rows = _core.one_hot(high, side, "float32")
    columns = _core.one_hot(index - high * side, side, "float32")
    order = (*range(rows.ndim - 2), rows.ndim - 1, rows.ndim - 2)
    counts = _core.matmul(_core.transpose(rows, order), columns)
    counts = _core.reshape(counts, (*index.dims[:-1], side * side))
    return counts[..., :bins]


class AutoContrast(ImageLayer):
    """Stretches the values of each channel of each image to the whole range.

    In training and at inference; channels with one value only stay as they are.

    Args:
        value_range: smallest and largest value of the images. Default (0, 255).
        **kwargs: `name`, `dtype`, `data_format`, ...
    """

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = sorted_range(value_range, "AutoContrast")

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the stretched images."""
        x = self._cast(self._rescale(images, self.value_range, (0, 255)))
        low = _core.min(x, (1, 2), True)
        span = _core.max(x, (1, 2), True) - low
        flat = _core.equal(span, 0)
        scale = 255.0 / _core.where(flat, 1.0, span)
        y = _core.clip(x * scale + -low * scale, 0.0, 255.0)
        y = self._rescale(y, (0, 255), self.value_range)
        return _core.where(flat, self._cast(images), y)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "value_range": self.value_range}


class Equalization(ImageLayer):
    """Gives the values of each channel an even histogram, in training.

    The histogram is that of the whole batch, as in Keras.

    Args:
        value_range: smallest and largest value of the images. Default (0, 255).
        bins: number of bins of the histogram. Default 256.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        bins: int = 256,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.bins = bins
        self.value_range = sorted_range(value_range, "Equalization")

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the equalized images."""
        if not training:
            return images
        layout = ImageLayout(self._cast(images), self.data_format, "Equalization")
        x = self._rescale(layout.images, self.value_range, (0, 255))
        channels = [self._equalize(x[..., i]) for i in range(x.shape[-1] or 0)]
        x = _core.stack(channels, -1)
        return layout.restore(self._rescale(x, (0, 255), self.value_range))

    def _equalize(self, x: Any) -> Any:
        last = self.bins - 1
        index = _core.clip(cast(x * (last / 255.0), "int32"), 0, last)
        counts = _histogram(_core.reshape(index, (-1,)), self.bins)
        total = _core.cumsum(counts, 0)
        first = _core.min(_core.where(_core.greater(total, 0), total, np.inf))
        rest = total[-1] - first
        table = (total - first) * 255.0 / _core.where(_core.equal(rest, 0), 1.0, rest)
        table = self._cast(_core.clip(_core.round(table), 0.0, 255.0))
        place = cast(_core.clip(x / 255.0 * last, 0.0, float(last)), "int32")
        several = _core.greater(
            _core.sum(cast(_core.greater(counts, 0), "int32"), None, False), 1
        )
        return _core.where(several, _core.gather(table, place, 0), x)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "bins": self.bins,
            "value_range": self.value_range,
        }


class ContrastLimitedAdaptiveHistogramEqualization(ImageLayer):
    """Equalizes tiles of the images, with a limit, in training and at inference.

    Between the middles of the tiles their four curves are interpolated.

    Args:
        value_range: smallest and largest value of the images. Default (0, 255).
        clip_limit: how many times the mean count a bin may hold; what is above is
            spread over all bins. Not above 0: no limit. Default 4.
        tile_grid_size: number of tiles, (rows, columns). Default (8, 8).
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Source: Zuiderveld, Contrast Limited Adaptive Histogram Equalization, 1994.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        clip_limit: float = 4.0,
        tile_grid_size: Any = (8, 8),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.value_range = value_range
        self.clip_limit = clip_limit
        self.tile_grid_size = tile_grid_size

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the equalized images."""
        layout = ImageLayout(images, self.data_format, type(self).__name__)
        x = layout.images
        if None in x.shape[1:]:
            raise ValueError(
                f"{self._who()}: the size of the images must be known, got the shape "
                f"{tuple(images.shape)}"
            )
        x = self._equalize(
            cast(self._rescale(x, self.value_range, (0, 255)), "float32")
        )
        x = self._rescale(x, (0, 255), self.value_range)
        return layout.restore(cast(x, images.dtype))

    def _curves(self, pixels: Any, tile: tuple[int, int]) -> Any:
        """Return the curve of each tile, (n, rows, columns, channels, 256)."""
        rows, columns = self.tile_grid_size
        n, _, _, channels = pixels.dims
        points = tile[0] * tile[1]
        tiles = _core.reshape(pixels, (n, rows, tile[0], columns, tile[1], channels))
        tiles = _core.transpose(tiles, (0, 1, 3, 5, 2, 4))
        tiles = _core.reshape(tiles, (n, rows, columns, channels, points))
        counts = _histogram(tiles, 256)
        if self.clip_limit > 0:
            kept = _core.clip(counts, 0.0, self.clip_limit * points / 256.0)
            counts = kept + _core.sum(counts - kept, -1, True) / 256.0
        total = _core.cumsum(counts, -1 % counts.ndim)
        first = _core.min(total, -1, True)
        rest = float(points) - first
        rest = _core.where(_core.equal(rest, 0), 1.0, rest)
        return _core.clip((total - first) * 255.0 / rest, 0.0, 255.0)

    def _equalize(self, x: Any) -> Any:
        rows, columns = self.tile_grid_size
        n, height, width, channels = x.dims
        tile = (-(-height // rows), -(-width // columns))
        sizes = (tile[0] * rows, tile[1] * columns)
        for axis, (have, want) in enumerate(
            zip((height, width), sizes, strict=True), start=1
        ):
            if want > have:
                index = np.pad(np.arange(have), (0, want - have), mode="symmetric")
                x = _core.gather(x, _core.from_numpy(index.astype(np.int32)), axis)
        pixels = cast(_core.clip(x, 0.0, 255.0), "int32")
        curves = self._curves(pixels, tile)
        # A border of curves: each one at the edge is used beyond it, too.
        for axis, count in ((1, rows), (2, columns)):
            index = np.clip(np.arange(-1, count + 1), 0, count - 1)
            curves = _core.gather(
                curves, _core.from_numpy(index.astype(np.int32)), axis
            )
        steps = np.array([(columns + 2) * channels, channels, 1]) * 256
        image = int((rows + 2) * steps[0])
        at = _core.reshape(positions(n, "int32") * image, (n, 1, 1, 1))
        base = pixels + at + np.arange(channels, dtype=np.int32) * int(steps[2])
        corners = []
        for size, points, count, step, shape in (
            (tile[0], sizes[0], rows, int(steps[0]), (-1, 1, 1)),
            (tile[1], sizes[1], columns, int(steps[1]), (-1, 1)),
        ):
            place = (np.arange(points, dtype=np.float32) - size / 2.0) / size + 1.0
            low = np.floor(place)
            share = (place - low).astype(np.float32)
            index = np.clip([low, low + 1.0], 0, count + 1).astype(np.int32) * step
            corners.append([(i.reshape(shape), share.reshape(shape)) for i in index])
        flat = _core.reshape(curves, (-1,))

        def read(down: Any, right: Any) -> Any:
            return _core.gather(flat, base + down + right, 0)

        (top, tall), (bottom, _) = corners[0]
        (left, wide), (right, _) = corners[1]
        above = read(top, left) * (1.0 - wide) + read(top, right) * wide
        below = read(bottom, left) * (1.0 - wide) + read(bottom, right) * wide
        return (above * (1.0 - tall) + below * tall)[:, :height, :width]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "clip_limit": self.clip_limit,
            "tile_grid_size": self.tile_grid_size,
        }
