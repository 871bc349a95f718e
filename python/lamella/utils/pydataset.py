"""Base class of data that is made batch by batch in Python."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

__all__ = ["PyDataset", "Sequence"]


class PyDataset:
    """Batches by index: override ``__getitem__`` and ``__len__``.

    Differs from Keras: batches are asked for in the training thread; `workers`,
    `use_multiprocessing` and `max_queue_size` must keep their defaults.

    Args:
        workers: 1.
        use_multiprocessing: False.
        max_queue_size: 10; not used.

    Raises:
        ValueError: If parallel workers are asked for.

    Example:
        >>> class Halves(PyDataset):
        ...     def __len__(self):
        ...         return 2
        ...     def __getitem__(self, index):
        ...         return np.full((4, 1), index), np.full((4, 1), 2 * index)
        >>> len(Halves())
        2
    """

    def __init__(
        self,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:
        if workers != 1 or use_multiprocessing:
            raise ValueError(
                f"{type(self).__name__}: only workers=1 without multiprocessing is "
                f"supported, got workers={workers}, "
                f"use_multiprocessing={use_multiprocessing}"
            )
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """Return the batch `index`: x, (x, y) or (x, y, sample_weight)."""
        raise NotImplementedError(f"{type(self).__name__}: override __getitem__")

    def __len__(self) -> int:
        """Return the number of batches."""
        raise NotImplementedError(f"{type(self).__name__}: override __len__")

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return math.ceil(len(self))

    def __iter__(self) -> Iterator[Any]:
        """Go once through all batches."""
        for index in range(self.num_batches):
            yield self[index]

    def on_epoch_begin(self) -> None:
        """Called at the start of each epoch."""

    def on_epoch_end(self) -> None:
        """Called at the end of each epoch."""


Sequence = PyDataset
