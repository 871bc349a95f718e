"""Tuples (x, y, sample_weight), and data cut in two."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from lamella import tree

from .dataset import Dataset

__all__ = ["pack_x_y_sample_weight", "split_dataset"]


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Return x, (x, y) or (x, y, sample_weight): what a dataset yields.

    Example:
        >>> pack_x_y_sample_weight(1), pack_x_y_sample_weight(1, 2)
        (1, (1, 2))
    """
    if y is None:
        return (x,) if isinstance(x, tuple | list) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Dataset, Dataset]:
    """Return the first and the last samples as two datasets.

    Args:
        dataset: an array, a list or tuple of arrays, or a `Dataset` (a batched one
            is cut between samples, and the parts have the same batch size).
        left_size: number of samples (int) or share (float) of the left part; None:
            what the right part leaves.
        right_size: the same for the right part.
        shuffle: whether the samples are shuffled first.
        seed: of the order.
        preferred_backend: not used.

    Returns:
        Two `Dataset`s.

    Raises:
        ValueError: for sizes that do not fit, or data without samples.
        TypeError: for other data or types of sizes.

    Example:
        >>> left, right = split_dataset(np.arange(5), left_size=0.6)
        >>> list(right.as_numpy_iterator())
        [array(3), array(4)]
    """
    del preferred_backend
    batch_size = None
    if isinstance(dataset, np.ndarray):
        samples = list(dataset)
    elif isinstance(dataset, list | tuple):
        if not dataset:
            raise ValueError("split_dataset: the list of arrays is empty")
        for i, array in enumerate(dataset):
            if not isinstance(array, np.ndarray):
                raise ValueError(
                    "split_dataset: expected a list of arrays, got "
                    f"{type(array).__name__} at index {i}"
                )
            if len(array) != len(dataset[0]):
                raise ValueError(
                    "split_dataset: the arrays must have the same length, got "
                    f"{len(dataset[0])} and, at index {i}, {len(array)}"
                )
        samples = list(zip(*dataset, strict=True))
    elif isinstance(dataset, Dataset):
        batch_size = dataset._batch_size
        unbatched = dataset if batch_size is None else dataset.unbatch()
        samples = list(unbatched.as_numpy_iterator())
    else:
        raise TypeError(
            "split_dataset: expected an array, a list of arrays or a Dataset, got "
            f"{type(dataset).__name__}"
        )
    if left_size is None and right_size is None:
        raise ValueError("split_dataset: give left_size or right_size")
    if not samples:
        raise ValueError("split_dataset: the dataset is empty")
    if shuffle:
        if seed is None:
            seed = random.randint(0, int(1e6))
        random.Random(seed).shuffle(samples)
    left, right = _sizes(left_size, right_size, len(samples))
    parts = []
    for part in (samples[:left], samples[-right:]):
        columns = [np.array(c) for c in zip(*map(tree.flatten, part), strict=True)]
        whole = Dataset.from_tensor_slices(tree.pack_sequence_as(part[0], columns))
        parts.append(whole if batch_size is None else whole.batch(batch_size))
    return parts[0], parts[1]


def _sizes(left: Any, right: Any, total: int) -> tuple[int, int]:
    """Return both sizes as numbers of samples."""
    sizes: list[float | None] = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is not None and type(size) not in (int, float):
            raise TypeError(
                f"split_dataset: {name} must be an int, a float or None, got {size!r}"
            )
        limit = 1 if isinstance(size, float) else total
        if size is not None and not 0 < size < limit:
            raise ValueError(
                f"split_dataset: {name} must be an integer between 0 and {total} or a "
                f"float between 0 and 1, got {name}={size}"
            )
        sizes.append(round(size * total) if isinstance(size, float) else size)
    if isinstance(left, float) and isinstance(right, float) and left + right > 1:
        raise ValueError(
            f"split_dataset: left_size + right_size must be at most 1, got "
            f"{left + right}"
        )
    first, last = sizes
    if first is None:
        first = total - (last or 0)
    if last is None:
        last = total - first
    if first + last > total or first == 0 or last == 0:
        raise ValueError(
            f"split_dataset: {total} samples cannot be cut into {first} and {last}; "
            "both parts need samples, and together not more than there are"
        )
    return int(first), int(last)
