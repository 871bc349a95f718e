"""Flips, rotations, shifts and zooms of images."""

from __future__ import annotations

import math
from typing import Any

from lamella import _core
from lamella.layers.image.base import ImageLayer, factor_range, is_channels_first
from lamella.ops._sampling import (
    INTERPOLATIONS,
    ImageLayout,
    project,
)
from lamella.ops.conversion import cast

__all__ = [
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
]

_MODES = ("horizontal", "vertical", "horizontal_and_vertical")


class RandomFlip(ImageLayer):
    """Flips images, each with probability 1/2, in training.

    Args:
        mode: "horizontal", "vertical" or "horizontal_and_vertical" (default: both at
            once, or none).
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Raises:
        ValueError: for an unknown mode.

    Example:
        >>> import lamella as keras
        >>> flip = keras.layers.RandomFlip("horizontal", seed=1)
        >>> flip([[[1.0], [2.0]]], training=False).shape
        (1, 2, 1)
    """

    _MASKS_AS_IMAGES = True

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        if mode not in _MODES:
            raise ValueError(
                f"RandomFlip: mode must be one of {', '.join(map(repr, _MODES))}, got "
                f"mode={mode!r}"
            )
        self._seed(seed)
        self.mode = mode

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return which images are flipped."""
        if not training:
            return None
        draw = self._uniform((self._dims(data)[0], 1, 1, 1), 0.0, 1.0, seed)
        return {"flips": _core.less_equal(draw, 0.5)}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images, some of them flipped."""
        images = self._cast(images)
        if not training or transformation is None:
            return images
        rows = images.ndim - (2 if is_channels_first(self) else 3)
        axes = {
            "horizontal": (rows + 1,),
            "vertical": (rows,),
            "horizontal_and_vertical": (rows, rows + 1),
        }[self.mode]
        return _core.where(transformation["flips"], _core.flip(images, axes), images)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed, "mode": self.mode}


class _Moved(ImageLayer):
    """Reads images at other places, in training.

    Args:
        fill_mode: for places outside: "reflect" (d c b a | a b c d | d c b a, the
            default), "wrap", "constant" or "nearest".
        interpolation: "bilinear" (default) or "nearest".
        seed: integer for a sequence of its own, or None.
        fill_value: the value outside for "constant". Default 0.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    _FILL_MODES: tuple[str, ...] = ("reflect", "wrap", "constant", "nearest")

    def _set_sampling(
        self, fill_mode: str, interpolation: str, seed: int | None, fill_value: float
    ) -> None:
        for name, value, known in (
            ("fill_mode", fill_mode, self._FILL_MODES),
            ("interpolation", interpolation, tuple(INTERPOLATIONS)),
        ):
            if value not in known:
                raise NotImplementedError(
                    f"{type(self).__name__}: {name} must be one of "
                    f"{', '.join(map(repr, known))}, got {name}={value!r}"
                )
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.fill_value = fill_value
        self._seed(seed)

    def _move(self, images: Any, transformation: Any, interpolation: str) -> Any:
        raise NotImplementedError

    def _project(self, images: Any, entries: Any, interpolation: str) -> Any:
        layout = ImageLayout(images, self.data_format, type(self).__name__)
        moved = project(
            layout.images, entries, interpolation, self.fill_mode, self.fill_value
        )
        return layout.restore(moved)

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the moved images."""
        images = self._cast(images)
        if not training or transformation is None:
            return images
        return self._move(images, transformation, self.interpolation)

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the masks, moved like the images, with their own values only."""
        if not training or transformation is None:
            return segmentation_masks
        return self._move(segmentation_masks, transformation, "nearest")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "interpolation": self.interpolation,
            "seed": self.seed,
        }


class RandomRotation(_Moved):
    """Rotates every image by an angle of its own, in training.

    Args:
        factor: largest angle as a part of a full turn, or (lowest, highest); positive
            angles turn counterclockwise.
        fill_mode: "reflect" (default), "wrap", "constant" or "nearest".
        interpolation: "bilinear" (default) or "nearest".
        seed: integer for a sequence of its own, or None.
        fill_value: the value outside for "constant". Default 0.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.factor = self._factor(factor or 0.0)
        self._set_sampling(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the angles in degrees and the maps."""
        if not training:
            return None
        count, height, width, _ = self._dims(data)
        low, high = (f * 360.0 for f in self.factor)
        angle = self._uniform((count,), low, high, seed)
        turn = angle * (math.pi / 180.0)
        cos, sin = _core.cos(turn), _core.sin(turn)
        cx = 0.5 * (self._length(width) - 1)
        cy = 0.5 * (self._length(height) - 1)
        zero = sin * 0.0
        entries = [
            cos,
            -sin,
            cx - cx * cos - cy * -sin,
            sin,
            cos,
            cy - cx * sin - cy * cos,
            zero,
            zero,
        ]
        return {"angle": angle, "rotation_matrix": _core.stack(entries, 1)}

    def _move(self, images: Any, transformation: Any, interpolation: str) -> Any:
        matrix = transformation["rotation_matrix"]
        matrix = _core.expand_dims(matrix, 0) if matrix.ndim == 1 else matrix
        entries = [matrix[:, i] for i in range(6)]
        return self._project(images, entries, interpolation)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "factor": self.factor}


class _TwoFactors(_Moved):
    """Common part of RandomTranslation and RandomZoom."""

    _WIDTH_MAY_MISS = False

    def _set_factors(self, height_factor: Any, width_factor: Any) -> None:
        self.height_factor = height_factor
        self.width_factor = width_factor
        self.height_lower, self.height_upper = self._pair(
            height_factor, "height_factor"
        )
        if width_factor is not None or not self._WIDTH_MAY_MISS:
            self.width_lower, self.width_upper = self._pair(
                width_factor, "width_factor"
            )

    def _pair(self, factor: Any, name: str) -> tuple[Any, Any]:
        return factor_range(factor, (-1.0, 1.0), name, type(self).__name__, True, True)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }


class RandomTranslation(_TwoFactors):
    """Shifts every image by a distance of its own, in training.

    Args:
        height_factor: largest shift down, as a part of the height, or (lowest,
            highest); negative values shift up.
        width_factor: the same to the right, as a part of the width.
        fill_mode: "reflect" (default), "wrap", "constant" or "nearest".
        interpolation: "bilinear" (default) or "nearest".
        seed: integer for a sequence of its own, or None.
        fill_value: the value outside for "constant". Default 0.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self._set_factors(height_factor, width_factor)
        self._set_sampling(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the shifts in pixels, (n, 2): to the right and down."""
        if not training:
            return None
        count, height, width, _ = self._dims(data)
        down = self._uniform((count, 1), self.height_lower, self.height_upper, seed)
        right = self._uniform((count, 1), self.width_lower, self.width_upper, seed)
        shifts = [right * self._length(width), down * self._length(height)]
        return {"translations": _core.concat(shifts, 1)}

    def _move(self, images: Any, transformation: Any, interpolation: str) -> Any:
        shifts = transformation["translations"]
        right, down = shifts[:, 0], shifts[:, 1]
        zero = right * 0.0
        one = zero + 1.0
        entries = [one, zero, -right, zero, one, -down]
        return self._project(images, entries, interpolation)


class RandomZoom(_TwoFactors):
    """Zooms every image by a factor of its own, in training.

    Args:
        height_factor: largest change of the height that is seen, or (lowest, highest):
            0.2 shows 20 % more (zooms out), -0.2 shows 20 % less (zooms in).
        width_factor: the same for the width; None: as the height.
        fill_mode: "reflect" (default), "wrap", "constant" or "nearest".
        interpolation: "bilinear" (default) or "nearest".
        seed: integer for a sequence of its own, or None.
        fill_value: the value outside for "constant". Default 0.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    _WIDTH_MAY_MISS = True

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self._set_factors(height_factor, width_factor)
        self._set_sampling(fill_mode, interpolation, seed, fill_value)

    def _pair(self, factor: Any, name: str) -> tuple[Any, Any]:
        low, high = super()._pair(factor, name)
        lowest = factor if isinstance(factor, int | float) else low
        if lowest <= -1:
            raise ValueError(
                f"RandomZoom: {name} must be above -1, got {name}={factor!r}"
            )
        return low, high

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the factors of height and width, (n, 1) each."""
        if not training:
            return None
        count = self._dims(data)[0]
        height = self._uniform(
            (count, 1), 1.0 + self.height_lower, 1.0 + self.height_upper, seed
        )
        width = height
        if self.width_factor is not None:
            width = self._uniform(
                (count, 1), 1.0 + self.width_lower, 1.0 + self.width_upper, seed
            )
        return {"height_zoom": height, "width_zoom": width}

    def _move(self, images: Any, transformation: Any, interpolation: str) -> Any:
        _, height, width, _ = self._dims(images)
        wide = cast(transformation["width_zoom"], "float32")[:, 0]
        tall = cast(transformation["height_zoom"], "float32")[:, 0]
        zero = wide * 0.0
        right = (self._length(width) - 1.0) / 2.0 * (1.0 - wide)
        down = (self._length(height) - 1.0) / 2.0 * (1.0 - tall)
        entries = [wide, zero, right, zero, tall, down]
        return self._project(images, entries, interpolation)
