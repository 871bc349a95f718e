"""Random changes of brightness, contrast and colour."""

from __future__ import annotations

from typing import Any

from lamella import _core, config
from lamella.layers.image.base import ImageLayer, is_channels_first, sorted_range
from lamella.ops.conversion import cast
from lamella.ops.image import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv

__all__ = [
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomGrayscale",
    "RandomHue",
    "RandomSaturation",
]


class _Coloured(ImageLayer):
    """Common part of the layers with a factor and a range of values."""

    def __init__(
        self,
        factor: Any,
        value_range: Any,
        seed: int | None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.factor = self._factor(factor)
        self.value_range = self._range(value_range)
        self._seed(seed)

    def _range(self, value_range: Any) -> Any:
        return sorted_range(value_range, type(self).__name__)

    def _clip(self, images: Any) -> Any:
        return _core.clip(images, self.value_range[0], self.value_range[1])

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return a factor for each image."""
        if not training:
            return None
        shape = self._factor_shape(self._dims(data)[0])
        return {"factor": self._uniform(shape, self.factor[0], self.factor[1], seed)}

    def _factor_shape(self, count: Any) -> tuple[Any, ...]:
        return (count,)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "value_range": self.value_range,
            "seed": self.seed,
        }


class RandomBrightness(_Coloured):
    """Makes every image brighter or darker by an amount of its own, in training.

    The result has the dtype of the images. Differs from Keras: integers do not wrap
    around before they are clipped.

    Args:
        factor: largest change as a part of the value range, in [-1, 1], or (lowest,
            highest).
        value_range: smallest and largest value of the images. Default (0, 255).
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, `data_format`, ...
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor or 0.0, value_range, seed, **kwargs)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return what is added to each image."""
        if not training:
            return None
        shape = (self._dims(data)[0], 1, 1, 1)
        delta = self._uniform(shape, self.factor[0], self.factor[1], seed)
        return {"rgb_delta": delta * (self.value_range[1] - self.value_range[0])}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the brighter or darker images."""
        if not training:
            return images
        kind = images.dtype
        wide = "int32" if kind == "uint8" else kind
        delta = cast(transformation["rgb_delta"], wide)
        return cast(self._clip(cast(images, wide) + delta), kind)


class RandomContrast(_Coloured):
    """Changes the contrast of every image by a factor of its own, in training.

    The result is (x - mean) * f + mean, clipped, with the mean of each channel of each
    image and f between 1 - factor[0] and 1 + factor[1].

    Args:
        factor: number f in [0, 1], for (0, f), or (lower, upper).
        value_range: smallest and largest value of the images. Default (0, 255).
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, `data_format`, ...
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, seed, **kwargs)

    def _range(self, value_range: Any) -> Any:
        return value_range

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the factor of each image."""
        if not training:
            return None
        shape = (self._dims(data)[0], 1, 1, 1)
        low, high = 1.0 - self.factor[0], 1.0 + self.factor[1]
        return {"contrast_factor": self._uniform(shape, low, high, seed)}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images with other contrasts."""
        if not training:
            return images
        images = self._as_float(images)
        rows = images.ndim - (2 if is_channels_first(self) else 3)
        mean = _core.mean(images, (rows, rows + 1), True)
        contrast = cast(transformation["contrast_factor"], images.dtype)
        return self._clip((images - mean) * contrast + mean)


class RandomGrayscale(ImageLayer):
    """Takes the colour out of images, each with a given probability, in training.

    Args:
        factor: the probability. Default 0.5.
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        if not 0 <= factor <= 1:
            raise ValueError(
                f"RandomGrayscale: factor must be in [0, 1], got factor={factor!r}"
            )
        self.factor = factor
        self._seed(seed)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return which images lose their colour."""
        if not training:
            return None
        draw = self._uniform((self._dims(data)[0], 1, 1, 1), 0.0, 1.0, seed)
        return _core.less(draw, self.factor)

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images, some of them grey."""
        if not training:
            return images
        grey = rgb_to_grayscale(images, self.data_format)
        return _core.where(transformation, grey, images)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments (Keras leaves the seed out)."""
        return {**super().get_config(), "factor": self.factor}


def _with_channel(images: Any, place: int, first: bool, change: Any) -> Any:
    """Return images with one of their three channels changed."""
    axis = images.ndim - 3 if first else images.ndim - 1
    index: list[Any] = [slice(None)] * images.ndim
    parts = []
    for i in range(3):
        index[axis] = slice(i, i + 1)
        channel = images[tuple(index)]
        parts.append(change(channel) if i == place else channel)
    return _core.concat(parts, axis)


class RandomHue(_Coloured):
    """Turns the hue of every image by an angle of its own, in training.

    Args:
        factor: largest turn as a part of half a circle, in [0, 1], or (lower, upper);
            it goes in either direction.
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

    def _range(self, value_range: Any) -> Any:
        return value_range

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the turn of each image, a full circle being 1."""
        if not training:
            return None
        shape = (self._dims(data)[0],)
        draw = self._uniform(shape, 0.0, 1.0, seed)
        sign = _core.where(_core.greater(draw, 0.5), draw * 0.0 - 1.0, 1.0)
        turn = self._uniform(shape, self.factor[0], self.factor[1], seed)
        return {"factor": sign * turn * 0.5}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images in other hues."""
        if not training:
            return images
        images = self._rescale(self._cast(images), self.value_range, (0, 1))
        turn = _core.reshape(self._cast(transformation["factor"]), (-1, 1, 1, 1))

        def change(hue: Any) -> Any:
            hue = hue + turn
            hue = _core.where(_core.greater(hue, 1.0), hue - 1.0, hue)
            return _core.where(_core.less(hue, 0.0), hue + 1.0, hue)

        images = rgb_to_hsv(images, self.data_format)
        images = _with_channel(images, 0, is_channels_first(self), change)
        images = _core.clip(hsv_to_rgb(images, self.data_format), 0.0, 1.0)
        return self._cast(self._rescale(images, (0, 1), self.value_range))


class RandomSaturation(_Coloured):
    """Changes the saturation of every image by a factor of its own, in training.

    The saturation is multiplied by f / (1 - f): 0 gives grey images, 0.5 leaves them
    as they are.

    Args:
        factor: range of f: a number for (-f, f), or (lower, upper).
        value_range: smallest and largest saturation of the result. Default (0, 255).
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

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
        """Return the factor of each image."""
        drawn = super().get_random_transformation(data, training, seed)
        if drawn is None:
            return None
        factor = drawn["factor"]
        return {"factor": factor / (1.0 - factor + config.epsilon())}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images with other saturations."""
        if not training:
            return images
        factor = _core.reshape(self._cast(transformation["factor"]), (-1, 1, 1, 1))
        images = rgb_to_hsv(images, self.data_format)
        images = _with_channel(
            images, 1, is_channels_first(self), lambda s: self._clip(s * factor)
        )
        return hsv_to_rgb(images, self.data_format)


class RandomColorDegeneration(_Coloured):
    """Mixes every image with its grey version by a weight of its own, in training.

    Args:
        factor: weight of the grey image: a number for (-f, f), or (lower, upper).
        value_range: smallest and largest value of the images. Default (0, 255).
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, seed, data_format, **kwargs)

    def _factor_shape(self, count: Any) -> tuple[Any, ...]:
        return (count, 1, 1, 1)

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the paler images."""
        if not training:
            return images
        images = self._cast(images)
        grey = rgb_to_grayscale(images, self.data_format)
        factor = self._cast(transformation["factor"])
        return self._clip(images + factor * (grey - images))


class RandomColorJitter(ImageLayer):
    """RandomBrightness, RandomContrast, RandomSaturation and RandomHue in a row.

    Args:
        value_range: smallest and largest value of the images. Default (0, 255).
        brightness_factor: factor of RandomBrightness; None leaves it out.
        contrast_factor: factor of RandomContrast; None leaves it out.
        saturation_factor: factor of RandomSaturation; None leaves it out.
        hue_factor: factor of RandomHue; None leaves it out.
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        brightness_factor: Any = None,
        contrast_factor: Any = None,
        saturation_factor: Any = None,
        hue_factor: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.value_range = value_range
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        self._seed(seed)
        kinds: tuple[tuple[Any, Any], ...] = (
            (RandomBrightness, brightness_factor),
            (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor),
            (RandomHue, hue_factor),
        )
        self._steps = [
            kind(
                factor,
                value_range=value_range,
                seed=seed,
                data_format=data_format,
                dtype=self._dtype,
            )
            for kind, factor in kinds
            if factor is not None
        ]

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the changed images."""
        if not training:
            return images
        images = self._cast(images)
        for step in self._steps:
            change = step.get_random_transformation(images, seed=self.generator)
            images = step.transform_images(images, change)
        return images

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "brightness_factor": self.brightness_factor,
            "contrast_factor": self.contrast_factor,
            "saturation_factor": self.saturation_factor,
            "hue_factor": self.hue_factor,
            "seed": self.seed,
        }
