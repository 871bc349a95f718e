"""Shear, perspective and elastic displacement of images."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers.image.base import factor_range
from lamella.layers.image.geometry import _Moved
from lamella.ops._filters import elastic
from lamella.ops._sampling import (
    FILL_MODES,
    ImageLayout,
    gaussian_size,
    perspective_transform,
)
from lamella.random import draw_key

__all__ = ["RandomElasticTransform", "RandomPerspective", "RandomShear"]


class RandomShear(_Moved):
    """Shears every image by an amount of its own, in training.

    Args:
        x_factor: largest shear along the rows, in [0, 1], or (lowest, highest). Half of
            the images are sheared the other way. Default 0.
        y_factor: the same along the columns.
        interpolation: "bilinear" (default) or "nearest".
        fill_mode: "reflect" (default), "wrap", "constant" or "nearest".
        fill_value: the value outside for "constant". Default 0.
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.x_factor, self.y_factor = (
            factor_range(
                self._written(factor), (0.0, 1.0), name, "RandomShear", True, True
            )
            for name, factor in (("x_factor", x_factor), ("y_factor", y_factor))
        )
        self._set_sampling(fill_mode, interpolation, seed, fill_value)

    @staticmethod
    def _written(factor: Any) -> Any:
        """Return f for the pair (-f, f), as which get_config gives the number f."""
        if isinstance(factor, tuple | list) and len(factor) == 2:
            low, high = factor
            return high if low == -high else factor
        return factor

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the shears, (n, 2): along the rows and along the columns."""
        if not training:
            return None
        shape = (self._dims(data)[0], 1)
        draw = self._uniform(shape, 0.0, 1.0, seed)
        sign = _core.where(_core.greater(draw, 0.5), draw * 0.0 - 1.0, 1.0)
        y = self._uniform(shape, self.y_factor[0], self.y_factor[1], seed)
        x = self._uniform(shape, self.x_factor[0], self.x_factor[1], seed)
        return {"shear_factor": _core.concat([x, y], 1) * sign}

    def _move(self, images: Any, transformation: Any, interpolation: str) -> Any:
        shear = transformation["shear_factor"]
        zero = shear[:, 0] * 0.0
        one = zero + 1.0
        entries = [one, shear[:, 0], zero, shear[:, 1], one, zero]
        return self._project(images, entries, interpolation)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "x_factor": self.x_factor,
            "y_factor": self.y_factor,
        }


class RandomPerspective(_Moved):
    """Shows images in another perspective, in training.

    Args:
        factor: probability of a change, or the range it is drawn from. Default 1.
        scale: how far the corners move, as a part of the image, in [0, 1]. Default 1.
        interpolation: "bilinear" (default) or "nearest".
        fill_value: the value outside. Default 0.
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.factor = self._factor(factor)
        self.scale = scale
        if not 0.0 <= scale <= 1.0:
            raise ValueError(
                f"RandomPerspective: scale must be in [0, 1], got scale={scale!r}"
            )
        self._set_sampling("constant", interpolation, seed, fill_value)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return which images change, and where their corners come from and go."""
        if not training:
            return None
        count, height, width, _ = self._dims(data)
        chosen = self._chosen(count, seed)
        moves = self._uniform((count, 4, 2), -0.5 * self.scale, 0.5 * self.scale, seed)
        zero = _core.sum(moves, (1, 2), False) * 0.0
        right = zero + (self._length(width) - 1)
        down = zero + (self._length(height) - 1)
        corners = [(zero, zero), (right, zero), (zero, down), (right, down)]
        start = _core.stack([_core.stack(list(c), 1) for c in corners], 1)
        return {
            "apply_perspective": chosen,
            "start_points": start,
            "end_points": start + start * moves,
        }

    def _move(self, images: Any, transformation: Any, interpolation: str) -> Any:
        moved = perspective_transform(
            images,
            transformation["start_points"],
            transformation["end_points"],
            interpolation,
            self.fill_value,
            self.data_format,
        )
        chosen = _core.reshape(transformation["apply_perspective"], (-1, 1, 1, 1))
        return _core.where(chosen, moved, images)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        base = super().get_config()
        base.pop("fill_mode")
        return {**base, "factor": self.factor, "scale": self.scale}


class RandomElasticTransform(_Moved):
    """Displaces the pixels of images by smooth noise, in training.

    Args:
        factor: probability of a change, or the range it is drawn from. Default 1.
        scale: strength, in [0, 1], or the range it is drawn from once a call.
        interpolation: "bilinear" (default) or "nearest".
        fill_mode: "reflect" (default), "mirror", "wrap", "constant" or "nearest".
        fill_value: the value outside for "constant". Default 0.
        value_range: smallest and largest value of the result. Default (0, 255).
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    _FACTOR_BOUNDS = (0, 1)
    _FILL_MODES = FILL_MODES

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.factor = self._factor(factor)
        self.scale = self._factor(scale, "scale")
        self.value_range = value_range
        self._set_sampling(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return which images change, the strength, and the key of the noise."""
        if not training or self.scale[1] == 0 or self.factor[1] == 0:
            return None
        return {
            "apply_transform": self._chosen(self._dims(data)[0], seed),
            "distortion_factor": self._uniform((), *self.scale, seed),
            "key": draw_key(self._source(seed)),
        }

    def _move(self, images: Any, transformation: Any, interpolation: str) -> Any:
        layout = ImageLayout(images, self.data_format, type(self).__name__)
        height, width = layout.images.shape[1:3]
        if height is None or width is None:
            raise ValueError(
                f"{self._who()}: the height and width of the images must be known, got "
                f"the shape {tuple(images.shape)}"
            )
        strength = transformation["distortion_factor"]
        moved = elastic(
            layout.images,
            transformation["key"],
            max(height, width) * (0.1 * strength),
            min(height, width) * (0.05 * strength),
            gaussian_size(min(height, width) * 0.05 * self.scale[1]),
            interpolation,
            self.fill_mode,
            self.fill_value,
        )
        chosen = _core.reshape(transformation["apply_transform"], (-1, 1, 1, 1))
        moved = _core.where(chosen, layout.restore(moved), images)
        low, high = self.value_range
        return self._cast(_core.clip(moved, low, high))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "value_range": self.value_range,
        }
