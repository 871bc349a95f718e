"""Batches of an epoch, in order, and where an epoch ends."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np

from lamella import _core, config
from lamella.models.data import ArrayFeed, BatchFeed, Template

__all__ = ["BatchStream", "batch_size_for", "limited_steps"]

Batch = tuple[Template, list[np.ndarray]]


def limited_steps(steps: int | None) -> int | None:
    """Return the number of steps, capped by `config.set_max_steps_per_epoch`."""
    limit = config.max_steps_per_epoch()
    if limit and (not steps or limit < steps):
        warnings.warn(f"limiting steps_per_epoch to {limit}", stacklevel=3)
        return int(limit)
    return steps


def batch_size_for(
    feed: ArrayFeed | BatchFeed, batch_size: int | None, steps: int | None
) -> int:
    """Return the batch size: 32, or what makes the asked for steps from arrays."""
    if batch_size:
        return int(batch_size)
    if steps and isinstance(feed, ArrayFeed):
        return math.ceil(feed.rows / steps)
    return 32


class BatchStream:
    """Batches of one epoch after the other.

    Without `steps` an epoch is once all data. With `steps` an epoch takes so many
    batches from where the last one stopped; where the data end it is over, and the next
    one begins with all data again.

    Args:
        feed: the data.
        batch: samples in a batch, for an ArrayFeed.
        steps: batches in an epoch, or None.
        shuffle: whether each pass over the data has an order of its own.
        seed: of the order.
    """

    def __init__(
        self,
        feed: ArrayFeed | BatchFeed,
        batch: int,
        steps: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.feed = feed
        self.batch = batch
        self.steps = steps
        self.shuffle = shuffle
        self.seed = seed
        self._pass: Iterator[Batch] | None = None
        self._seen = 0

    @property
    def is_whole(self) -> bool:
        """Whether an epoch is one pass over arrays, which C++ can run alone."""
        return isinstance(self.feed, ArrayFeed) and (
            self.steps is None or self.steps == self.feed.num_batches(self.batch)
        )

    def _start(self, epoch: int) -> Iterator[Batch]:
        order = None
        feed = self.feed
        if self.shuffle:
            if isinstance(feed, ArrayFeed):  # the order that the C++ loop takes
                order = np.asarray(_core.shuffled_order(feed.rows, self.seed, epoch))
            elif feed.is_sequence and (count := feed.num_batches()) is not None:
                order = np.asarray(_core.shuffled_order(count, self.seed, epoch))
        self._seen = 0
        if isinstance(feed, ArrayFeed):
            return feed.batches(self.batch, order)
        return feed.batches(order)

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        if self.steps is None:
            yield from self._start(epoch)
            return
        total = self.feed.num_batches(self.batch)
        for done in range(self.steps):
            if self._pass is None:
                self._pass = self._start(epoch)
            batch = None
            if total is None or self._seen < total:
                batch = next(self._pass, None)
            if batch is None:
                self._pass = None
                self._warn_short(done)
                return
            self._seen += 1
            yield batch
        if total is not None and self._seen >= total:
            self._pass = None

    def _warn_short(self, done: int) -> None:
        warnings.warn(
            f"the data ended after {done} batches, before the {self.steps} that were "
            "asked for; use fewer steps, or data without an end",
            stacklevel=3,
        )
