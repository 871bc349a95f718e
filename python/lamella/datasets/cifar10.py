"""CIFAR-10: 60,000 colour images, 32x32."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import DatasetError, Pair, fetch, find_local, logger

__all__ = ["class_names", "load_data"]

class_names = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

# The binary version: the Python version of the archive holds pickles.
_NAME = "cifar-10-binary.tar.gz"
_MIRRORS = (
    f"https://www.cs.toronto.edu/~kriz/{_NAME}",
    f"https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/{_NAME}",
)
_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_FOLDER = "cifar-10-batches-bin"
_SUBSET = "cifar10_subset.npz"
_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
_RECORD = 1 + 3 * 32 * 32


def load_data() -> tuple[Pair, Pair]:
    """Load CIFAR-10 (Krizhevsky, 2009): colour images of ten kinds of things.

    Read from ``$LAMELLA_DATA/cifar10`` (``cifar-10-binary.tar.gz`` or the folder
    ``cifar-10-batches-bin``), else from the cache, else downloaded (170 MB). The
    labels 0..9 stand for `class_names`; some are known to be wrong.

    If ``$LAMELLA_DATA/cifar10`` holds only ``cifar10_subset.npz``, that subset is
    loaded (lamella's test data: the first 2,000 training and 500 test images), and
    a warning of the logger ``"lamella"`` says so.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images
        (50000, 32, 32, 3) and (10000, 32, 32, 3), RGB with values 0..255, labels
        (50000, 1) and (10000, 1).

    Raises:
        OSError: If the data are not found and cannot be downloaded, or are damaged.

    Source:
        https://www.cs.toronto.edu/~kriz/cifar.html

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    found = find_local("cifar10", [_FOLDER, _NAME, _SUBSET])
    if found is not None and found.name == _SUBSET:
        return _load_subset(found)
    if found is not None and found.is_dir():
        return _split(_read_folder(found))
    archive = fetch("cifar10", _NAME, _MIRRORS, _SHA256)
    return _split(_read_archive(archive))


def _read_folder(folder: Path) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in _BATCHES}
    except OSError as error:
        raise DatasetError(f"cifar10.load_data: {error}") from error


def _read_archive(archive: Path) -> dict[str, bytes]:
    content: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                file = tar.extractfile(member) if name in _BATCHES else None
                if file is not None:
                    content[name] = file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(
            f"cifar10.load_data: cannot read {archive}: {error}"
        ) from error
    absent = [name for name in _BATCHES if name not in content]
    if absent:
        raise DatasetError(
            f"cifar10.load_data: {archive} does not hold {', '.join(absent)}"
        )
    return content


def _split(content: dict[str, bytes]) -> tuple[Pair, Pair]:
    parts = []
    for name in _BATCHES:
        raw = np.frombuffer(content[name], np.uint8)
        if raw.size == 0 or raw.size % _RECORD:
            raise DatasetError(
                f"cifar10.load_data: {name} has {raw.size} bytes, expected a multiple "
                f"of {_RECORD}: it is damaged"
            )
        parts.append(raw.reshape(-1, _RECORD))
    return _unpack(np.concatenate(parts[:5])), _unpack(parts[5])


def _unpack(records: npt.NDArray[np.uint8]) -> Pair:
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, :1].copy()


def _load_subset(path: Path) -> tuple[Pair, Pair]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        # numpy itself would leave a damaged file open
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            for name in ("x_train", "y_train", "x_test", "y_test"):
                arrays[name] = file[name]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(f"cifar10.load_data: cannot read {path}: {error}") from error
    logger.warning(
        "cifar10: only a subset of CIFAR-10 was found, %s: %d training and %d test "
        "images instead of 50000 and 10000",
        path,
        len(arrays["x_train"]),
        len(arrays["x_test"]),
    )
    return (
        (arrays["x_train"], arrays["y_train"].reshape(-1, 1)),
        (arrays["x_test"], arrays["y_test"].reshape(-1, 1)),
    )
