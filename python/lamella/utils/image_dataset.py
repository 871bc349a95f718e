"""Image files of a folder as a dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lamella import config
from lamella.ops.image import resize

from ._directories import check_arguments, datasets_of, index_directory
from .image_utils import in_mode, pillow_image

__all__ = ["image_dataset_from_directory"]

_FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_METHODS = (
    "bilinear",
    "nearest",
    "bicubic",
    "area",
    "lanczos3",
    "lanczos5",
    "gaussian",
    "mitchellcubic",
)
_WHO = "image_dataset_from_directory"


def _gaussian(x: np.ndarray) -> np.ndarray:
    return np.where(x < 1.5, np.exp(-2.0 * x * x), 0.0)


def _keys(x: np.ndarray) -> np.ndarray:
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _mitchell(x: np.ndarray) -> np.ndarray:
    """Mitchell and Netravali, 1988, with B = C = 1/3."""
    near = (7.0 * x - 12.0) * x * x + 16.0 / 3.0
    far = ((-7.0 / 3.0 * x + 12.0) * x - 20.0) * x + 32.0 / 3.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0)) / 6.0


_KERNELS = {"gaussian": _gaussian, "mitchellcubic": _mitchell, "bicubic": _keys}


def _matrix(size: int, target: int, method: str) -> np.ndarray:
    """Return the weights (target, size) of a method that `resize` does not have.

    The cubic is here, too: image files are read with a = -1/2, as TensorFlow does.
    """
    scale = size / target
    pixel = np.arange(size)
    if method == "area":
        start = np.arange(target)[:, None] * scale
        overlap = np.minimum(start + scale, pixel + 1) - np.maximum(start, pixel)
        weights = np.maximum(overlap, 0.0)
    else:
        place = (np.arange(target)[:, None] + 0.5) * scale - 0.5
        weights = _KERNELS[method](np.abs(place - pixel))
    return (weights / weights.sum(1, keepdims=True)).astype("float32")


def _resized(x: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Return a uint8 image (h, w, c) in another size, as float32 (nearest: uint8)."""
    if method == "nearest":
        return np.asarray(resize(x, size, "nearest", data_format="channels_last"))
    x = x.astype("float32")
    if method in ("area", *_KERNELS):
        x = np.tensordot(_matrix(x.shape[0], size[0], method), x, axes=(1, 0))
        y = np.tensordot(_matrix(x.shape[1], size[1], method), x, axes=(1, 1))
        return np.ascontiguousarray(y.transpose(1, 0, 2))
    return np.asarray(resize(x, size, method, data_format="channels_last"))


def _pixels(img: Any, color_mode: str) -> np.ndarray:
    """Return the pixels of a Pillow image, (h, w, c)."""
    if color_mode == "grayscale" and img.format == "PNG" and img.mode != "L":
        # libpng's weights, and its rounding down, which TensorFlow's reader uses.
        colours = np.asarray(in_mode(img, "rgb", _WHO), dtype=np.int32)
        grey = colours @ np.array([9797, 19234, 3737], np.int32) >> 15
        return grey.astype("uint8")[:, :, None]
    x = np.asarray(in_mode(img, color_mode, _WHO))
    return x[:, :, None] if x.ndim == 2 else x


def _cropped(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the middle of an image that has the aspect ratio of `size`."""
    height, width = x.shape[:2]
    tall = max(min(height, int(float(width * size[0]) / size[1])), 1)
    wide = max(min(width, int(float(height * size[1]) / size[0])), 1)
    top, left = int(float(height - tall) / 2), int(float(width - wide) / 2)
    return x[top : top + tall, left : left + wide]


def _fitted(x: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Return an image resized into the middle of zeros, with its aspect ratio."""
    height, width = (np.float32(n) for n in x.shape[:2])
    ratio = max(width / np.float32(size[1]), height / np.float32(size[0]))
    inner = (int(np.floor(height / ratio)), int(np.floor(width / ratio)))
    y = _resized(x, (max(inner[0], 1), max(inner[1], 1)), method)
    top = max(0, int(np.floor((np.float32(size[0]) - height / ratio) / 2)))
    left = max(0, int(np.floor((np.float32(size[1]) - width / ratio) / 2)))
    result = np.zeros((*size, y.shape[2]), y.dtype)
    result[top : top + y.shape[0], left : left + y.shape[1]] = y
    return result


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """Return the image files of a folder as batches (images, labels).

    Args:
        directory: folder with one folder for each class, of BMP, GIF (the first
            picture), JPEG and PNG files.
        labels: "inferred" (from the folders, default), None (no labels), or a list
            with an integer for each file, in the order of the sorted paths.
        label_mode: "int" (int32, (batch,)), "categorical" (one-hot float32),
            "binary" (float32, (batch, 1)) or None (no labels).
        class_names: names of the folders in the order of the classes.
        color_mode: "rgb" (default), "rgba" or "grayscale".
        batch_size: images in a batch; None: single images. Default 32.
        image_size: (height, width) of the images, or one int for both.
        shuffle: whether the order is random, a new one in each pass. Default True.
        seed: of the order. The division into parts is that of Keras.
        validation_split: share of the files that are the validation part.
        subset: "training", "validation" or "both" (a pair); with validation_split.
        interpolation: "bilinear" (default), "nearest" (gives uint8 images),
            "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic".
        follow_links: whether linked folders are looked into.
        crop_to_aspect_ratio: cut off what does not fit instead of distorting.
        pad_to_aspect_ratio: add a black border instead of distorting.
        data_format: "channels_last" (default) or "channels_first".
        format: "tf" or "grain": the same here.
        verbose: whether the number of files is printed.

    Returns:
        A `Dataset` with the attributes `class_names` and `file_paths`; a pair of them
        for subset="both". The images are float32 between 0 and 255.

    Raises:
        ValueError: for arguments that do not fit together, or no files.
        ImportError: Pillow is not installed.
    """
    labels, label_mode = check_arguments(
        _WHO, labels, label_mode, class_names, validation_split, subset, shuffle, seed
    )
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    if not isinstance(image_size, list | tuple) or len(image_size) != 2:
        raise ValueError(
            f"{_WHO}: image_size must be (height, width), got image_size={image_size!r}"
        )
    size = (int(image_size[0]), int(image_size[1]))
    method = interpolation.lower()
    for name, value, known in (
        ("color_mode", color_mode, ("rgb", "rgba", "grayscale")),
        ("interpolation", method, _METHODS),
        ("format", format, ("tf", "grain")),
    ):
        if value not in known:
            raise ValueError(
                f"{_WHO}: {name} must be one of {', '.join(map(repr, known))}, got "
                f"{name}={value!r}"
            )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(
            f"{_WHO}: only one of crop_to_aspect_ratio and pad_to_aspect_ratio may be "
            "True"
        )
    channels_first = config.standardize_data_format(data_format, _WHO) != (
        "channels_last"
    )
    image = pillow_image(_WHO)
    if seed is None:
        seed = int(np.random.randint(10**6))  # noqa: NPY002  set_random_seed's
    files = index_directory(
        _WHO,
        directory,
        labels,
        _FORMATS,
        class_names,
        shuffle,
        seed,
        follow_links,
        verbose,
    )

    def load(path: str) -> np.ndarray:
        with image.open(Path(path)) as img:
            x = _pixels(img, color_mode)
        if pad_to_aspect_ratio:
            x = _fitted(x, size, method)
        else:
            x = _resized(_cropped(x, size) if crop_to_aspect_ratio else x, size, method)
        return np.ascontiguousarray(x.transpose(2, 0, 1)) if channels_first else x

    return datasets_of(
        _WHO,
        "image",
        files,
        label_mode,
        load,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
    )
