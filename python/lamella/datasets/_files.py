"""Where data sets are found: LAMELLA_DATA, then the cache, then the network."""

from __future__ import annotations

import gzip
import logging
import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__: list[str] = []

logger = logging.getLogger("lamella")

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class DatasetError(OSError):
    """A data set cannot be found, downloaded or read."""


def data_folder() -> Path | None:
    """Return the folder that ``LAMELLA_DATA`` names, or None."""
    folder = os.environ.get("LAMELLA_DATA")
    if not folder:
        return None
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise DatasetError(
            f"LAMELLA_DATA names a folder that does not exist: {path}; correct or "
            "unset this environment variable"
        )
    return path


def find_local(dataset: str, names: Sequence[str]) -> Path | None:
    """Return the first of `names` in the data set's folder of ``LAMELLA_DATA``."""
    folder = data_folder()
    if folder is None:
        return None
    for name in names:
        path = folder / dataset / name
        if path.exists():
            return path
    return None


def fetch(dataset: str, name: str, mirrors: Sequence[str], sha256: str) -> Path:
    """Return a file: from ``LAMELLA_DATA``, the cache, or a mirror.

    Args:
        dataset: Name of the data set and of its folder.
        name: Name of the file.
        mirrors: URLs of the file.
        sha256: Its hash.

    Raises:
        DatasetError: If it is in none of the folders and cannot be downloaded.
    """
    from ..utils import file_utils  # not before: it loads the network modules

    local = find_local(dataset, [name, name.removesuffix(".gz")])
    if local is not None:
        if local.name == name and not file_utils.validate_file(local, sha256):
            logger.warning(
                "%s is not byte for byte the published file (SHA-256 %s...); it is "
                "read all the same, because LAMELLA_DATA names its folder",
                local,
                sha256[:12],
            )
        return local
    try:
        return Path(
            file_utils.get_file(
                name,
                list(mirrors),
                file_hash=sha256,
                cache_subdir=f"datasets/{dataset}",
            )
        )
    except (OSError, ValueError) as error:
        raise missing(dataset, [name], error) from error


def missing(dataset: str, names: Sequence[str], error: Exception) -> DatasetError:
    """Make the error for a data set that is nowhere."""
    from ..utils import file_utils

    folder = data_folder()
    looked = [str(folder / dataset)] if folder else []
    looked.append(str(file_utils.cache_folder() / "datasets" / dataset))
    hint = (
        f"LAMELLA_DATA is {folder}"
        if folder
        else "the environment variable LAMELLA_DATA is not set"
    )
    return DatasetError(
        f"{dataset}.load_data: {' or '.join(names)} not found in "
        f"{' or '.join(looked)}, and the download failed.\n{error}\n"
        f"Without a network: put the file into a folder {dataset}/ and let the "
        f"environment variable LAMELLA_DATA name the folder above it ({hint})."
    )


def read_idx(path: Path, shape_tail: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Read an IDX file of uint8, plain or gzipped.

    Args:
        path: The file.
        shape_tail: Expected shape behind the first axis.

    Raises:
        DatasetError: If it is truncated, or something else.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    rank = 1 + len(shape_tail)
    if len(raw) < 4 + 4 * rank or raw[:4] != bytes((0, 0, 8, rank)):
        raise DatasetError(
            f"cannot read {path}: it is no IDX file of uint8 with {rank} axes "
            f"(it begins with {raw[:4].hex(' ')}, expected 00 00 08 {rank:02x})"
        )
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    if shape[1:] != shape_tail or len(raw) - 4 - 4 * rank != math.prod(shape):
        raise DatasetError(
            f"cannot read {path}: expected (n, {', '.join(map(str, shape_tail))}) "
            f"uint8, its header says {shape} and {len(raw) - 4 - 4 * rank} bytes follow"
        )
    data = np.frombuffer(bytearray(raw), np.uint8, offset=4 + 4 * rank)
    return data.reshape(shape)


def load_idx_dataset(
    dataset: str, bases: Sequence[str], hashes: dict[str, str]
) -> tuple[Pair, Pair]:
    """Read the four files of a data set in MNIST's format."""
    arrays = {}
    for name, sha256 in hashes.items():
        path = fetch(dataset, name, [base + name for base in bases], sha256)
        arrays[name] = read_idx(path, (28, 28) if "images" in name else ())
    x_train, y_train, x_test, y_test = (
        arrays[name]
        for name in (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
        )
    )
    for part, x, y in (("train", x_train, y_train), ("t10k", x_test, y_test)):
        if len(x) != len(y):
            raise DatasetError(
                f"{dataset}.load_data: {len(x)} images but {len(y)} labels in the "
                f"{part} files"
            )
    return (x_train, y_train), (x_test, y_test)


def split(
    x: npt.NDArray[Any], y: npt.NDArray[Any], test_split: float, seed: int, who: str
) -> tuple[Pair, Pair]:
    """Shuffle the rows and cut off the last ones for the test, as Keras does."""
    if not 0 <= test_split < 1:
        raise ValueError(
            f"{who}.load_data: test_split must lie in [0, 1), "
            f"got test_split={test_split}"
        )
    order = np.arange(len(x))
    # RandomState, for its sequence is fixed for ever, and it is Keras's choice.
    np.random.RandomState(seed).shuffle(order)
    x, y = x[order], y[order]
    cut = int(len(x) * (1 - test_split))
    return (x[:cut].copy(), y[:cut].copy()), (x[cut:].copy(), y[cut:].copy())
