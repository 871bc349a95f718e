"""Images as files, as Pillow objects and as arrays."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lamella import config
from lamella.ops.image import resize

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]

_PILLOW_METHODS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def pillow_image(who: str) -> Any:
    """Return the module `PIL.Image`.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"{who}: needs Pillow; pip install 'lamella[image]' installs it"
        ) from error
    return Image


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Any:
    """Return an array as a Pillow image.

    Args:
        x: (h, w, c) with 1, 3 or 4 channels.
        data_format: "channels_last" (default) or "channels_first".
        scale: stretch the values to 0 ... 255. Default True.
        dtype: type that the array is given first; default `config.floatx()`.

    Raises:
        ValueError: the array has another shape.
        ImportError: Pillow is not installed.
    """
    image = pillow_image("array_to_img")
    data_format = config.standardize_data_format(data_format, "array_to_img")
    x = np.asarray(x, dtype=dtype or config.floatx())
    if x.ndim != 3:
        raise ValueError(
            f"array_to_img: the array must have rank 3 (one image), got shape {x.shape}"
        )
    if data_format == "channels_first":
        x = x.transpose(1, 2, 0)
    if scale:
        x = x - np.min(x)
        highest = np.max(x)
        if highest != 0:
            x /= highest
        x *= 255
    if x.shape[2] in (3, 4):
        return image.fromarray(np.ascontiguousarray(x.astype("uint8")))
    if x.shape[2] == 1:
        kind = "int32" if np.max(x) > 255 else "uint8"
        return image.fromarray(np.ascontiguousarray(x[:, :, 0].astype(kind)))
    raise ValueError(
        f"array_to_img: the array must have 1, 3 or 4 channels, got {x.shape[2]}"
    )


def img_to_array(
    img: Any, data_format: str | None = None, dtype: Any = None
) -> np.ndarray:
    """Return a Pillow image as an array of rank 3.

    Args:
        img: Pillow image, or an array of rank 2 or 3.
        data_format: "channels_last" (default) or "channels_first".
        dtype: default `config.floatx()`.

    Raises:
        ValueError: the image has another rank.
    """
    data_format = config.standardize_data_format(data_format, "img_to_array")
    x = np.asarray(img, dtype=dtype or config.floatx())
    if x.ndim not in (2, 3):
        raise ValueError(f"img_to_array: expected rank 2 or 3, got shape {x.shape}")
    if x.ndim == 2:
        return x[None] if data_format == "channels_first" else x[:, :, None]
    return x.transpose(2, 0, 1) if data_format == "channels_first" else x


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as an image file.

    Args:
        path: path or open file.
        x: (h, w, c) with 1, 3 or 4 channels.
        data_format: "channels_last" (default) or "channels_first".
        file_format: such as "png"; default: the ending of the path.
        scale: stretch the values to 0 ... 255. Default True.
        **kwargs: arguments of Pillow's `Image.save`.
    """
    if file_format is None and isinstance(path, str | Path):
        file_format = Path(path).suffix[1:].lower()
    if file_format and file_format.lower() == "jpg":
        file_format = "jpeg"
    img = array_to_img(x, data_format=data_format, scale=scale)
    if img.mode == "RGBA" and file_format == "jpeg":
        warnings.warn(
            "save_img: JPEG has no transparency; the fourth channel is left out",
            stacklevel=2,
        )
        img = img.convert("RGB")
    img.save(path, format=file_format, **kwargs)


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: Any = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """Read an image file as a Pillow image.

    Args:
        path: path, or `io.BytesIO` with the content of a file.
        color_mode: "rgb" (default), "rgba" or "grayscale".
        target_size: (height, width) of the result; default: as in the file.
        interpolation: "nearest" (default), "bilinear", "bicubic", "hamming", "box" or
            "lanczos", of Pillow.
        keep_aspect_ratio: cut off what does not fit instead of distorting.

    Raises:
        ValueError: unknown color_mode or interpolation.
        TypeError: path is something else.
        ImportError: Pillow is not installed.
    """
    image = pillow_image("load_img")
    if isinstance(path, io.BytesIO):
        img = image.open(path)
    elif isinstance(path, str | bytes | os.PathLike):
        img = image.open(io.BytesIO(Path(os.fsdecode(path)).read_bytes()))
    else:
        raise TypeError(
            f"load_img: path must be a path or io.BytesIO, got {type(path).__name__}"
        )
    img = in_mode(img, color_mode, "load_img")
    if target_size is None:
        return img
    size = (target_size[1], target_size[0])
    if img.size == size:
        return img
    if interpolation not in _PILLOW_METHODS:
        raise ValueError(
            f"load_img: interpolation must be one of "
            f"{', '.join(map(repr, _PILLOW_METHODS))}, got {interpolation!r}"
        )
    method = image.Resampling[interpolation.upper()]
    if not keep_aspect_ratio:
        return img.resize(size, method)
    width, height = img.size
    tall = min(height, width * size[1] // size[0])
    wide = min(width, height * size[0] // size[1])
    left, top = (width - wide) // 2, (height - tall) // 2
    return img.resize(size, method, box=(left, top, left + wide, top + tall))


def in_mode(img: Any, color_mode: str, who: str) -> Any:
    """Return a Pillow image as "rgb", "rgba" or "grayscale"."""
    modes = {
        "grayscale": ("L", "I;16", "I"),
        "rgba": ("RGBA",),
        "rgb": ("RGB",),
    }
    if color_mode not in modes:
        raise ValueError(
            f"{who}: color_mode must be 'rgb', 'rgba' or 'grayscale', got "
            f"color_mode={color_mode!r}"
        )
    return img if img.mode in modes[color_mode] else img.convert(modes[color_mode][0])


def smart_resize(
    x: Any,
    size: Any,
    interpolation: str = "bilinear",
    data_format: str | None = "channels_last",
) -> Any:
    """Return images of another size: cropped in the middle, then resized.

    Args:
        x: (h, w, c) or (n, h, w, c).
        size: (height, width) of the result.
        interpolation: as of `ops.image.resize`. Default "bilinear".
        data_format: "channels_last" (default) or "channels_first".

    Returns:
        A numpy array for a numpy array, else a tensor.

    Raises:
        ValueError: size has not two entries, or x another rank.
    """
    if len(size) != 2:
        raise ValueError(f"smart_resize: size must be (height, width), got {size!r}")
    result = resize(
        x,
        size,
        interpolation=interpolation,
        crop_to_aspect_ratio=True,
        data_format=data_format,
    )
    return np.array(result) if isinstance(x, np.ndarray) else result
