"""Resizing and cropping."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core
from lamella.layers.image.base import ImageLayer, is_channels_first
from lamella.ops._resizing import RESIZE_METHODS, resize
from lamella.ops._sampling import check_choice
from lamella.ops.conversion import cast, dim_value
from lamella.random import make_default_seed

__all__ = ["CenterCrop", "RandomCrop", "Resizing"]


class _Sized(ImageLayer):
    """Makes images of a given size.

    Args:
        height: height of the result.
        width: width of the result.
    """

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.height = height
        self.width = width

    def _axes(self, images: Any) -> tuple[int, int]:
        rows = images.ndim - (2 if is_channels_first(self) else 3)
        return rows, rows + 1

    def _cut(self, images: Any, top: int, left: int) -> Any:
        """Return the window of the layer's size that begins at (top, left)."""
        rows, columns = self._axes(images)
        index: list[Any] = [slice(None)] * images.ndim
        index[rows] = slice(top, top + self.height)
        index[columns] = slice(left, left + self.width)
        return images[tuple(index)]

    def _gathered(self, images: Any, starts: Any) -> Any:
        """Return the window that begins at two numbers known to the Graph only."""
        sizes = (self.height, self.width)
        for axis, start, size in zip(self._axes(images), starts, sizes, strict=True):
            steps = _core.from_numpy(np.arange(size, dtype=np.int32))
            images = _core.gather(images, steps + start, axis)
        return images

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape with the layer's height and width."""
        if isinstance(input_shape, dict):
            return {
                k: self.compute_output_shape(v) if k != "labels" else v
                for k, v in input_shape.items()
            }
        shape = list(input_shape)
        rows = len(shape) - (2 if is_channels_first(self) else 3)
        shape[rows : rows + 2] = [self.height, self.width]
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "height": self.height, "width": self.width}


class Resizing(_Sized):
    """Makes images of another size, of the same dtype, in training and at inference.

    Args:
        height: height of the result.
        width: width of the result.
        interpolation: "bilinear" (default), "nearest", "bicubic", "lanczos3" or
            "lanczos5"; see `ops.image.resize`.
        crop_to_aspect_ratio: cut off what does not fit instead of distorting.
        pad_to_aspect_ratio: add a border instead of distorting.
        fill_mode: must be "constant".
        fill_value: value of the border. Default 0.
        antialias: widen the filter when the images become smaller.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Raises:
        ValueError: for an unknown interpolation.
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)
        check_choice(interpolation, RESIZE_METHODS, "interpolation", "Resizing")
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.antialias = bool(antialias)

    def _resize(self, images: Any, interpolation: str) -> Any:
        return resize(
            images,
            (self.height, self.width),
            interpolation=interpolation,
            antialias=self.antialias,
            crop_to_aspect_ratio=self.crop_to_aspect_ratio,
            pad_to_aspect_ratio=self.pad_to_aspect_ratio,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
            data_format=self.data_format,
        )

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images in the layer's size."""
        return self._resize(images, self.interpolation)

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the masks in the layer's size, with their own values only."""
        return self._resize(segmentation_masks, "nearest")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "interpolation": self.interpolation,
            "crop_to_aspect_ratio": self.crop_to_aspect_ratio,
            "pad_to_aspect_ratio": self.pad_to_aspect_ratio,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "antialias": self.antialias,
        }


class CenterCrop(_Sized):
    """Cuts the middle out of images, in training and at inference.

    Images that are smaller than that in one direction are resized, without
    distortion.

    Args:
        height: height of the result.
        width: width of the result.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...
    """

    _MASKS_AS_IMAGES = True

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the middle of the images."""
        images = self._cast(images)
        rows, columns = self._axes(images)
        height, width = images.shape[rows], images.shape[columns]
        if height is None or width is None:  # they must be large enough
            sizes = (dim_value(images.dims[axis], "int32") for axis in (rows, columns))
            tall, wide = (cast(size, "int32") for size in sizes)
            top = _core.floor_div(tall - self.height, 2)
            return self._gathered(images, (top, _core.floor_div(wide - self.width, 2)))
        if height >= self.height and width >= self.width:
            top, left = (height - self.height) // 2, (width - self.width) // 2
            return self._cut(images, top, left)
        return resize(
            images,
            (self.height, self.width),
            crop_to_aspect_ratio=True,
            data_format=self.data_format,
        )


class RandomCrop(_Sized):
    """Cuts a window out of the images, at a place drawn once a call, in training.

    Images that are not larger than that in both directions are cropped in the middle
    and resized. At inference the images stay as they are, as in Keras 3.15.

    Args:
        height: height of the result.
        width: width of the result.
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        name: name of the layer.
        **kwargs: `dtype`, ...
    """

    _MASKS_AS_IMAGES = True

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format, name=name, **kwargs)
        self._seed(make_default_seed() if seed is None else seed)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the first row and column of the window."""
        _, height, width, _ = self._dims(data)
        if not isinstance(height, int) or not isinstance(width, int):
            raise ValueError(
                f"{self._who()}: the height and width of the images must be known"
            )
        if training and height > self.height and width > self.width:
            rest = (height - self.height + 1, width - self.width + 1)
            return tuple(
                cast(self._uniform((), 0.0, float(n), seed), "int32") for n in rest
            )
        tall = int(float(width * self.height) / self.width)
        wide = int(float(height * self.width) / self.height)
        tall, wide = max(min(height, tall), 1), max(min(width, wide), 1)
        return int(float(height - tall) / 2), int(float(width - wide) / 2)

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the windows, in training."""
        if not training:
            return images
        images = self._cast(images)
        starts = transformation
        if all(isinstance(start, int) for start in starts):
            images = self._cut(images, *starts)
        else:
            images = self._gathered(images, starts)
        rows, columns = self._axes(images)
        if (images.shape[rows], images.shape[columns]) == (self.height, self.width):
            return images
        return resize(images, (self.height, self.width), data_format=self.data_format)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}
