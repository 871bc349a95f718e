"""CIFAR-100: 60,000 colour images, 32x32, of 100 kinds in 20 groups."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lamella import config

from ._files import DatasetError, Pair, fetch, find_local

__all__ = ["load_data"]

# The binary version: the Python version of the archive holds pickles.
_NAME = "cifar-100-binary.tar.gz"
_MIRRORS = (f"https://www.cs.toronto.edu/~kriz/{_NAME}",)
_SHA256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
_FOLDER = "cifar-100-binary"
_PARTS = ("train.bin", "test.bin")
_RECORD = 2 + 3 * 32 * 32


def load_data(label_mode: str = "fine") -> tuple[Pair, Pair]:
    """Load CIFAR-100 (Krizhevsky, 2009): colour images of a hundred kinds of things.

    Read from ``$LAMELLA_DATA/cifar100`` (``cifar-100-binary.tar.gz`` or the folder
    ``cifar-100-binary``), else from the cache, else downloaded (160 MB).

    Args:
        label_mode: "fine" (default, 100 kinds) or "coarse" (20 groups).

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images (50000, 32, 32, 3) and
        (10000, 32, 32, 3), uint8 RGB with values 0..255 (axes as
        `config.image_data_format()` says), labels (50000, 1) and (10000, 1), int64.

    Raises:
        ValueError: if `label_mode` is unknown.
        OSError: if the data are not found and cannot be downloaded, or are damaged.

    Source:
        https://www.cs.toronto.edu/~kriz/cifar.html

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(
            "cifar100.load_data: label_mode must be 'fine' or 'coarse', got "
            f"label_mode={label_mode!r}"
        )
    found = find_local("cifar100", [_FOLDER, _NAME])
    if found is not None and found.is_dir():
        content = _read_folder(found)
    else:
        content = _read_archive(fetch("cifar100", _NAME, _MIRRORS, _SHA256))
    column = 1 if label_mode == "fine" else 0
    train, test = (_unpack(name, content[name], column) for name in _PARTS)
    return train, test


def _read_folder(folder: Path) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in _PARTS}
    except OSError as error:
        raise DatasetError(f"cifar100.load_data: {error}") from error


def _read_archive(archive: Path) -> dict[str, bytes]:
    content: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                file = tar.extractfile(member) if name in _PARTS else None
                if file is not None:
                    content[name] = file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(
            f"cifar100.load_data: cannot read {archive}: {error}"
        ) from error
    absent = [name for name in _PARTS if name not in content]
    if absent:
        raise DatasetError(
            f"cifar100.load_data: {archive} does not hold {', '.join(absent)}"
        )
    return content


def _unpack(name: str, content: bytes, column: int) -> Pair:
    raw = np.frombuffer(content, np.uint8)
    if raw.size == 0 or raw.size % _RECORD:
        raise DatasetError(
            f"cifar100.load_data: {name} has {raw.size} bytes, expected a multiple of "
            f"{_RECORD}: it is damaged"
        )
    records = raw.reshape(-1, _RECORD)
    images: npt.NDArray[np.uint8] = records[:, 2:].reshape(-1, 3, 32, 32)
    if config.image_data_format() == "channels_last":
        images = images.transpose(0, 2, 3, 1)
    labels = records[:, column : column + 1].astype("int64")
    return np.ascontiguousarray(images), labels
