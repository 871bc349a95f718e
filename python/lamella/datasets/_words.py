"""Texts as lists of word numbers: what imdb and reuters share."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import DatasetError

__all__: list[str] = []

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

# What a pickled array of objects names, by old and new versions of numpy.
_ALLOWED = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
    }
)


class _ArrayUnpickler(pickle.Unpickler):
    """Makes arrays of lists of numbers and nothing else: no other name is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"the file names {module}.{name}; it is damaged or malicious"
            )
        return super().find_class(module, name)


def read_npz(path: Path, names: tuple[str, ...], who: str) -> dict[str, Any]:
    """Return arrays of an `.npz` file, arrays of lists among them.

    Args:
        path: the file.
        names: names of the arrays.
        who: the function, for errors.

    Raises:
        DatasetError: if the file is damaged, lacks an array, or holds anything else
            than arrays of numbers and lists of numbers.
    """
    arrays: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                arrays[name] = _read_npy(archive.read(f"{name}.npy"))
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        IndexError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        raise DatasetError(f"{who}: cannot read {path}: {error}") from error
    return arrays


def _read_npy(data: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
        (3, 0): np.lib.format.read_array_header_2_0,  # differs in its encoding only
    }.get(version)
    if read_header is None:
        raise ValueError(f"unknown version {version} of the .npy format")
    _, _, dtype = read_header(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    array = _ArrayUnpickler(file).load()
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        raise ValueError("expected a vector of lists of numbers")
    for row in array:
        if not isinstance(row, list | tuple) or {*map(type, row)} - {int}:
            raise ValueError("expected lists of integers")
    return array


def numbered(
    rows: Any, start_char: int | None, index_from: int | None
) -> list[list[int]]:
    """Return the rows with a start mark and shifted numbers."""
    shift = index_from or 0
    if start_char is None:
        return [[w + shift for w in row] for row in rows]
    return [[start_char, *(w + shift for w in row)] for row in rows]


def shorter(
    rows: list[list[int]], labels: Any, maxlen: int
) -> tuple[list[list[int]], list[Any]]:
    """Return the rows with fewer than `maxlen` numbers, and their labels."""
    kept = [i for i, row in enumerate(rows) if len(row) < maxlen]
    return [rows[i] for i in kept], [labels[i] for i in kept]


def limited(
    rows: list[list[int]], num_words: int | None, skip_top: int, oov_char: int | None
) -> list[list[int]]:
    """Return the rows with rare and with frequent words replaced, or left out."""
    if not num_words:
        num_words = max(max(row) for row in rows)
    if oov_char is None:
        return [[w for w in row if skip_top <= w < num_words] for row in rows]
    return [[w if skip_top <= w < num_words else oov_char for w in row] for row in rows]


def as_objects(rows: list[list[int]]) -> npt.NDArray[Any]:
    """Return a vector of lists."""
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def read_index(path: Path, who: str) -> dict[str, int]:
    """Return the numbers of the words."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{who}: cannot read {path}: {error}") from error
    return {str(word): int(number) for word, number in index.items()}
