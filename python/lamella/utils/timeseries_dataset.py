"""Windows of a time series as a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dataset import Dataset, as_array

__all__ = ["timeseries_dataset_from_array"]


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> Dataset:
    """Return windows of consecutive steps, with the target of each.

    Args:
        data: array of steps: axis 0 is time.
        targets: one for each window: `targets[i]` belongs to the window that begins
            at step i; None: windows only.
        sequence_length: number of steps of a window.
        sequence_stride: steps between the beginnings of two windows. Default 1.
        sampling_rate: take each `sampling_rate`-th step. Default 1.
        batch_size: windows in a batch; None: single windows. Default 128.
        shuffle: whether the windows come in random order.
        seed: of the order; None: from numpy's global generator.
        start_index: steps before it are not used.
        end_index: steps from it on are not used.
        format: "tf" or "grain": the same here.

    Returns:
        Dataset of batches (windows, targets), or of windows.

    Raises:
        ValueError: for an argument that does not fit the length of the data.

    Example:
        >>> data = np.arange(6)
        >>> for x, y in timeseries_dataset_from_array(data, data[3:], 3):
        ...     print(x.tolist(), y.tolist())
        [[0, 1, 2], [1, 2, 3], [2, 3, 4]] [3, 4, 5]
    """
    who = "timeseries_dataset_from_array"
    length = len(data)
    for name, value, least in (
        ("start_index", start_index or 0, 0),
        ("end_index", end_index or 1, (start_index or 0) + 1),
        ("sampling_rate", sampling_rate, 1),
        ("sequence_stride", sequence_stride, 1),
    ):
        if name == "end_index" and not end_index:
            continue
        if not least <= value < length:
            raise ValueError(
                f"{who}: {name} must be at least {least} and lower than the length of "
                f"the data, {length}, got {name}={value}"
            )
    if format not in ("tf", "grain"):
        raise ValueError(f"{who}: format must be 'tf' or 'grain', got {format!r}")
    start = start_index or 0
    end = length if end_index is None else end_index
    count = end - start - (sequence_length - 1) * sampling_rate
    if targets is not None:
        count = min(count, len(targets))
    starts = np.arange(0, count, sequence_stride)
    steps = as_array(data)[start:end]
    goals = None if targets is None else as_array(targets)[start:end]
    offsets = np.arange(sequence_length) * sampling_rate
    if shuffle:
        if seed is None:
            seed = int(np.random.randint(10**6))  # noqa: NPY002  set_random_seed's
        np.random.RandomState(seed).shuffle(starts)
    windows = Dataset.from_tensor_slices(starts)
    if shuffle:
        windows = windows.shuffle(8 * batch_size if batch_size else 1024, seed=seed)
    if batch_size is not None:
        windows = windows.batch(batch_size)

    def cut(begin: np.ndarray) -> Any:
        begin = np.asarray(begin)
        x = steps[begin[..., None] + offsets]
        return x if goals is None else (x, goals[begin])

    return windows.map(cut)
