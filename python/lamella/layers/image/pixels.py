"""Random changes of sharpness, values and patches of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core
from lamella.layers.image.base import (
    ImageLayer,
    factor_range,
    is_channels_first,
    sorted_range,
)
from lamella.layers.image.color import _Coloured
from lamella.ops._filters import blur
from lamella.ops._sampling import ImageLayout, positions
from lamella.ops.conversion import cast
from lamella.random import normal, randint

__all__ = [
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomInvert",
    "RandomPosterization",
    "RandomSharpness",
    "Solarization",
    "box_masks",
    "box_sides",
]


class RandomSharpness(_Coloured):
    """Blurs or sharpens every image by an amount of its own, in training.

    Args:
        factor: 0 blurs, 0.5 leaves the image as it is, 1 sharpens: a number for (0, f),
            or (lower, upper).
        value_range: smallest and largest value of the images. Default (0, 255).
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, seed, data_format, **kwargs)

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the sharper or smoother images."""
        images = self._cast(images)
        if not training:
            return images
        layout = ImageLayout(images, self.data_format, type(self).__name__)
        x = layout.images
        kernel = np.full((3, 3, 1, 1), 1 / 13, x.dtype)
        kernel[1, 1] = 5 / 13
        weights = _core.broadcast_to(_core.from_numpy(kernel), (3, 3, x.dims[3], 1))
        smooth = _core.depthwise_conv(x, weights, (1, 1), "same", (1, 1))
        factor = _core.reshape(self._cast(transformation["factor"]), (-1, 1, 1, 1))
        x = self._clip(x + (1.0 - 2.0 * factor) * (smooth - x))
        return layout.restore(x)


class RandomPosterization(_Coloured):
    """Keeps only the first bits of the values of every image, in training.

    Args:
        factor: number of bits, 1 to 8, or (lowest, highest + 1). Two equal numbers, or
            the number 1, fix it; a number n stands for (1, n).
        value_range: smallest and largest value of the images. Default (0, 255).
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    _FACTOR_BOUNDS = (1, 8)

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, seed, data_format, **kwargs)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the number of bits that each image loses."""
        if not training:
            return None
        count = self._dims(data)[0]
        low, high = (int(f) for f in self.factor)
        if low == high:
            return {"shift_factor": _core.full((count,), 8 - low, "int32")}
        bits = randint((count,), low, high, seed=self._source(seed))
        return {"shift_factor": 8 - bits}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images with fewer values."""
        if not training:
            return images
        shift = _core.reshape(self._cast(transformation["shift_factor"]), (-1, 1, 1, 1))
        step = _core.round(_core.exp(shift * float(np.log(2.0))))
        images = self._cast(self._rescale(images, self.value_range, (0, 255)))
        whole = _core.floor(_core.clip(images, 0.0, 255.0))
        images = _core.floor(whole / step) * step
        return self._rescale(images, (0, 255), self.value_range)


class RandomInvert(_Coloured):
    """Makes negatives of images, in training.

    Args:
        factor: probability of a change, or the range it is drawn from. Default 1.
        value_range: smallest and largest value of the images. Default (0, 255).
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, seed, data_format, **kwargs)

    def _range(self, value_range: Any) -> Any:
        return value_range

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return which images change."""
        if not training:
            return None
        return {"apply_inversion": self._chosen(self._dims(data)[0], seed)}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images, some of them as negatives."""
        if not training:
            return images
        images = self._cast(images)
        chosen = _core.reshape(transformation["apply_inversion"], (-1, 1, 1, 1))
        return _core.where(chosen, self.value_range[1] - images, images)


class RandomGaussianBlur(_Coloured):
    """Blurs images by a Gaussian, in training.

    Args:
        factor: probability of a change, or the range it is drawn from. Default 1.
        kernel_size: odd number of points, or two of them (columns, rows). Default 3.
        sigma: standard deviation in pixels: a number s in [0, 1] for (0, s), or (lower,
            upper); drawn once a call. Default 1.
        value_range: smallest and largest value of the images. Default (0, 255).
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        kernel_size: Any = 3,
        sigma: Any = 1.0,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, seed, data_format, **kwargs)
        pair = kernel_size
        if isinstance(kernel_size, int | float):
            pair = (kernel_size, kernel_size)
        if (
            not isinstance(pair, tuple | list)
            or len(pair) != 2
            or any(size % 2 == 0 for size in pair)
        ):
            raise ValueError(
                "RandomGaussianBlur: kernel_size must be an odd number or two of them, "
                f"got kernel_size={kernel_size!r}"
            )
        self.kernel_size = tuple(pair)
        self.sigma = self._factor(sigma, "sigma")

    def _range(self, value_range: Any) -> Any:
        return value_range

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return which images change, and the deviations (columns, rows)."""
        if not training:
            return None
        chosen = self._chosen(self._dims(data)[0], seed)
        sigma = self._uniform((2,), self.sigma[0], self.sigma[1], seed) + 1e-6
        return {"should_apply_blur": chosen, "blur_factor": sigma}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images, some of them blurred."""
        images = self._cast(images)
        if not training or transformation is None:
            return images
        layout = ImageLayout(images, self.data_format, type(self).__name__)
        sigma = self._cast(transformation["blur_factor"])
        blurred = layout.restore(blur(layout.images, self.kernel_size, sigma))
        chosen = _core.reshape(transformation["should_apply_blur"], (-1, 1, 1, 1))
        return self._clip(_core.where(chosen, blurred, images))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "sigma": self.sigma,
        }


def box_sides(layer: ImageLayer, size: Any, ratio: Any, seed: Any) -> tuple[Any, Any]:
    """Return begin and end, (n,), of boxes that take a part of an axis."""
    size = layer._length(size)
    length = ratio * size
    start = layer._uniform((ratio.dims[0],), 0.0, 1.0, seed) * (size - length)
    return start, start + length


def box_masks(layer: ImageLayer, data: Any, x: Any, y: Any) -> Any:
    """Return where the pixels of images lie in boxes, (n, h, w, 1)."""
    _, height, width, _ = layer._dims(data)

    def within(size: Any, sides: Any, shape: tuple[Any, ...]) -> Any:
        at = _core.reshape(positions(size, layer.dtype), shape)
        low, high = (_core.reshape(s, (-1, 1, 1, 1)) for s in sides)
        return _core.logical_and(_core.greater_equal(at, low), _core.less(at, high))

    if is_channels_first(layer):
        rows = within(height, y, (1, 1, height, 1))
        columns = within(width, x, (1, 1, 1, width))
    else:
        rows = within(height, y, (1, height, 1, 1))
        columns = within(width, x, (1, 1, width, 1))
    return _core.logical_and(rows, columns)


class RandomErasing(_Coloured):
    """Covers a rectangle of images by a value or by noise, in training.

    Args:
        factor: probability of a change, or the range it is drawn from. Default 1.
        scale: part of the image that is covered: (0, s) or (lower, upper). Default
            (0.02, 0.33).
        fill_value: a number, three of them, or None (default) for noise.
        value_range: smallest and largest value of the images. Default (0, 255).
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Source: Zhong et al., 2017 (arXiv:1708.04896).
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, seed, data_format, **kwargs)
        self.scale = self._factor(scale, "scale")
        self.fill_value = fill_value

    def _range(self, value_range: Any) -> Any:
        return value_range

    def _filling(self, data: Any, seed: Any) -> Any:
        count, height, width, channels = self._dims(data)
        value = self.fill_value
        if value is None:
            shape = (count, height, width, channels)
            if is_channels_first(self):
                shape = (count, channels, height, width)
            value = normal(shape, dtype=self._dtype, seed=self._source(seed))
            return self._clip(value * self.value_range[1])
        if isinstance(value, tuple | list) and len(value) != 3:
            raise ValueError(
                "RandomErasing: fill_value must be a number or three of them, got "
                f"fill_value={value!r}"
            )
        # Three numbers are broadcast over the last axis, as in Keras.
        return self._clip(_core.from_numpy(np.asarray(value, self._dtype)))

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return which images change, where, and what covers them."""
        if not training:
            return None
        count, height, width, _ = self._dims(data)
        part = _core.sqrt(self._uniform((count, 2), *self.scale, seed))
        x = box_sides(self, width, part[:, 0], seed)
        y = box_sides(self, height, part[:, 1], seed)
        return {
            "apply_erasing": self._chosen(count, seed),
            "batch_masks": box_masks(self, data, x, y),
            "fill_value": self._filling(data, seed),
        }

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images, some of them partly covered."""
        images = self._cast(images)
        if not training:
            return images
        chosen = _core.reshape(transformation["apply_erasing"], (-1, 1, 1, 1))
        covered = _core.logical_and(transformation["batch_masks"], chosen)
        return _core.where(covered, self._cast(transformation["fill_value"]), images)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "fill_value": self.fill_value,
        }


class Solarization(ImageLayer):
    """Adds a constant to the images, then inverts what is above a threshold.

    In training. Each image gets its own two numbers.

    Args:
        addition_factor: constant as a part of 255: a number for (0, f), or (lower,
            upper) in [0, 1]. Default 0.
        threshold_factor: threshold as a part of 255, likewise.
        value_range: smallest and largest value of the images. Default (0, 255).
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        addition_factor: Any = 0.0,
        threshold_factor: Any = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._seed(seed)
        self.addition_factor, self.threshold_factor = (
            self._from_zero(
                factor_range(factor, (0, 1), name, "Solarization", strict=True), factor
            )
            for name, factor in (
                ("addition_factor", addition_factor),
                ("threshold_factor", threshold_factor),
            )
        )
        self.value_range = sorted_range(value_range, "Solarization")

    @staticmethod
    def _from_zero(pair: tuple[Any, Any], factor: Any) -> tuple[Any, Any]:
        return (0, factor) if isinstance(factor, int | float) else pair

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return constant and threshold of each image."""
        if not training:
            return None
        shape = (self._dims(data)[0], 1, 1, 1)
        low, high = self.addition_factor
        additions = self._uniform(shape, low, high * 255, seed)
        low, high = self.threshold_factor
        thresholds = self._uniform(shape, low, high * 255, seed)
        return {"additions": additions, "thresholds": thresholds}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the solarized images."""
        images = self._cast(images)
        if not training or transformation is None:
            return images
        images = self._rescale(images, self.value_range, (0, 255))
        x = _core.clip(images + transformation["additions"], 0.0, 255.0)
        x = _core.where(_core.less(x, transformation["thresholds"]), x, 255.0 - x)
        return cast(self._rescale(x, (0, 255), self.value_range), images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "addition_factor": self.addition_factor,
            "threshold_factor": self.threshold_factor,
            "seed": self.seed,
        }
