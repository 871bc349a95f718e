"""Base class of data that is made batch by batch in Python."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from typing import Any

__all__ = ["PyDataset", "Sequence"]


class PyDataset:
    """Batches by index: override ``__getitem__`` and ``__len__``.

    `fit` shuffles the order of the batches unless ``shuffle=False``. For data without
    an end override `num_batches` to return None and give `fit` steps_per_epoch.

    Args:
        workers: More than 1: so many threads make batches ahead of the training.
        use_multiprocessing: Whether processes do it instead of threads, for
            ``__getitem__`` that computes in Python.
        max_queue_size: Largest number of batches that are made ahead.

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
    def num_batches(self) -> int | None:
        """The number of batches; None for data without an end."""
        return math.ceil(len(self))

    def __iter__(self) -> Iterator[Any]:
        """Go once through all batches."""
        count = self.num_batches
        yield from fetch(self, itertools.count() if count is None else range(count))

    def on_epoch_begin(self) -> None:
        """Called at the start of each epoch."""

    def on_epoch_end(self) -> None:
        """Called at the end of each epoch."""


Sequence = PyDataset

_source: Any = None  # in a worker process: what batches are asked of


def _set_source(source: Any) -> None:
    global _source
    _source = source


def _item(index: int) -> Any:
    return _source[index]


def fetch(source: Any, order: Iterable[int]) -> Iterator[Any]:
    """Yield source[i] for i in order, made ahead by workers if it asks for them."""
    workers = getattr(source, "workers", 1)
    processes = getattr(source, "use_multiprocessing", False)
    if workers < 1 or (workers == 1 and not processes):
        for index in order:
            yield source[int(index)]
        return
    pool: Executor
    if processes:
        pool = ProcessPoolExecutor(workers, None, _set_source, (source,))
        ask: Any = _item
    else:
        pool = ThreadPoolExecutor(workers)
        ask = source.__getitem__
    waiting: deque[Future[Any]] = deque()
    try:
        for index in order:
            waiting.append(pool.submit(ask, int(index)))
            if len(waiting) >= max(int(source.max_queue_size), workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
