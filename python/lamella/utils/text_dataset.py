"""Text files of a folder as a dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ._directories import check_arguments, datasets_of, index_directory

__all__ = ["text_dataset_from_directory"]


def text_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """Return the `.txt` files of a folder as batches (texts, labels).

    Args:
        directory: folder with one folder for each class.
        labels: "inferred" (from the folders, default), None (no labels), or a list
            with an integer for each file, in the order of the sorted paths.
        label_mode: "int" (int32, (batch,)), "categorical" (one-hot float32),
            "binary" (float32, (batch, 1)) or None (no labels).
        class_names: names of the folders in the order of the classes.
        batch_size: texts in a batch; None: single texts. Default 32.
        max_length: longer texts are cut after so many bytes.
        shuffle: whether the order is random, a new one in each pass. Default True.
        seed: of the order. The division into parts is that of Keras.
        validation_split: share of the files that are the validation part.
        subset: "training", "validation" or "both" (a pair); with validation_split.
        follow_links: whether linked folders are looked into.
        format: "tf" or "grain": the same here.
        verbose: whether the number of files is printed.

    Returns:
        A `Dataset` with the attribute `class_names`. Texts are str in arrays of
        objects, read as UTF-8.

    Raises:
        ValueError: for arguments that do not fit together, or no files.
    """
    who = "text_dataset_from_directory"
    labels, label_mode = check_arguments(
        who, labels, label_mode, class_names, validation_split, subset, shuffle, seed
    )
    if format not in ("tf", "grain"):
        raise ValueError(f"{who}: format must be 'tf' or 'grain', got {format!r}")
    if seed is None:
        seed = int(np.random.randint(10**6))  # noqa: NPY002  set_random_seed's
    files = index_directory(
        who,
        directory,
        labels,
        (".txt",),
        class_names,
        shuffle,
        seed,
        follow_links,
        verbose,
    )

    def load(path: str) -> str:
        raw = Path(path).read_bytes()[:max_length]
        return raw.decode("utf-8", "surrogateescape")

    return datasets_of(
        who,
        "text",
        files,
        label_mode,
        load,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
    )
