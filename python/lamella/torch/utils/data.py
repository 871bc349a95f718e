"""torch.utils.data: datasets, samplers and the loader of batches."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lamella import _core

from ..create import default_generator, randperm
from ..shape import stack
from ..tensor import Tensor, new_tensor, shape_of, wrap

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "random_split",
]


class Dataset:
    """Samples by number: a subclass writes __getitem__ and __len__."""

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Samples one after the other: a subclass writes __iter__."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(
            "Subclasses of IterableDataset should implement __iter__."
        )


class TensorDataset(Dataset):
    """Rows of tensors with one first size."""

    def __init__(self, *tensors: Any) -> None:
        if any(len(t) != len(tensors[0]) for t in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """Some samples of a dataset."""

    def __init__(self, dataset: Any, indices: Any) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """Datasets one after the other."""

    def __init__(self, datasets: Any) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        self.cumulative_sizes = list(
            itertools.accumulate(len(d) for d in self.datasets)
        )

    def __len__(self) -> int:
        return int(self.cumulative_sizes[-1])

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            if -index > len(self):
                raise ValueError(
                    "absolute value of index should not exceed dataset length"
                )
            index += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]


class ChainDataset(IterableDataset):
    """Iterable datasets one after the other."""

    def __init__(self, datasets: Any) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)


def random_split(
    dataset: Any, lengths: Sequence[Any], generator: Any = None
) -> list[Subset]:
    """Random parts of a dataset.

    Args:
        dataset: with a length.
        lengths: numbers of samples, or shares that add up to 1.
        generator: of random numbers.

    Raises:
        ValueError: if the lengths do not add up.
    """
    n = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1.0000001 and n != 1:
        sizes = [math.floor(n * share) for share in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
        lengths = sizes
    if sum(lengths) != n:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset!"
        )
    order = randperm(n, generator=generator).tolist()
    ends = list(itertools.accumulate(lengths))
    return [
        Subset(dataset, order[end - size : end])
        for end, size in zip(ends, lengths, strict=True)
    ]


# ---------------------------------------------------------------- samplers


class Sampler:
    """An order of samples: a subclass writes __iter__."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A random order, or random draws."""

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator

    @property
    def num_samples(self) -> int:
        """How many."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, rng = len(self.data_source), (self.generator or default_generator).numpy()
        if self.replacement:
            yield from rng.integers(0, n, self.num_samples).tolist()
            return
        left = self.num_samples
        while left > 0:
            order = rng.permutation(n)[:left].tolist()
            yield from order
            left -= len(order)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Given numbers in random order."""

    def __init__(self, indices: Any, generator: Any = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in (
            (self.generator or default_generator).numpy().permutation(len(self.indices))
        ):
            yield self.indices[int(i)]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Draws in proportion to weights."""

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        self.weights = np.asarray(
            weights.tolist() if isinstance(weights, Tensor) else list(weights),
            np.float64,
        )
        self.num_samples, self.replacement, self.generator = (
            num_samples,
            replacement,
            generator,
        )

    def __iter__(self) -> Iterator[int]:
        rng = (self.generator or default_generator).numpy()
        p = self.weights / self.weights.sum()
        yield from rng.choice(len(p), self.num_samples, self.replacement, p).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of so many numbers of a sampler."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        source = iter(self.sampler)
        while batch := list(itertools.islice(source, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


# ---------------------------------------------------------------- the loader


def default_collate(batch: list[Any]) -> Any:
    """Samples as one batch.

    Tensors and arrays are stacked, numbers become a tensor, tuples and dicts are
    treated part by part, text stays a list.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        if any(shape_of(x) != shape_of(first) for x in batch):
            sizes = [list(shape_of(x)) for x in batch]
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {sizes[0]} at "
                "entry 0 and "
                f"{next(s for s in sizes if s != sizes[0])}"
            )
        return stack(batch)
    if isinstance(first, np.ndarray):
        return new_tensor(np.stack(batch))
    if isinstance(first, np.generic):
        return new_tensor(np.asarray(batch))
    if isinstance(first, float):
        return new_tensor(np.asarray(batch, np.float64))
    if isinstance(first, int):
        return new_tensor(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([x[key] for x in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(
            *(default_collate(list(p)) for p in zip(*batch, strict=True))
        )
    if isinstance(first, Sequence):
        if any(len(x) != len(first) for x in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(list(p)) for p in zip(*batch, strict=True)]
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or "
        "lists; found "
        f"{type(first).__name__}"
    )


def _rows(dataset: Any, indices: list[int]) -> list[Any] | None:
    """A batch of a TensorDataset at once, through Subsets; None for other datasets."""
    while type(dataset) is Subset:
        own = dataset.indices
        indices = [own[i] for i in indices]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or not dataset.tensors:
        return None
    if any(t.requires_grad for t in dataset.tensors):
        return None
    n = len(dataset)
    where = np.asarray(indices, np.int64)
    if where.size and (where.min() < -n or where.max() >= n):
        raise IndexError(
            f"index {int(where.max())} is out of bounds for dimension 0 with size {n}"
        )
    index = _core.from_numpy(np.where(where < 0, where + n, where), True)
    return [wrap(_core.gather(t, index, 0)) for t in dataset.tensors]


class DataLoader:
    """Batches of a dataset.

    Args:
        dataset: with __getitem__ and __len__, or an IterableDataset.
        batch_size: samples a batch; None gives single samples.
        shuffle: a new random order each time.
        sampler, batch_sampler: orders of one's own.
        num_workers: threads that read samples ahead; 0 reads when asked.
        collate_fn: makes a batch of a list of samples.
        drop_last: whether a short last batch is left out.
        generator: of random numbers.
        worker_init_fn, pin_memory, timeout, prefetch_factor, persistent_workers:
            accepted.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to "
                "disable "
                "multiprocessing."
            )
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable and shuffle:
            raise ValueError(
                "DataLoader with IterableDataset: expected unspecified shuffle "
                "option, but got "
                f"shuffle={shuffle}"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, "
                    "shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
        elif batch_size is not None and batch_size <= 0:
            raise ValueError(
                "batch_size should be a positive integer value, but got "
                f"batch_size={batch_size}"
            )
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.num_workers, self.generator = num_workers, generator
        self.prefetch_factor = prefetch_factor or 2
        self.collate_fn = collate_fn or (
            default_collate if batch_sampler or batch_size else _same
        )
        self._plain = collate_fn is None
        if sampler is None and not self._iterable:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler)

    def _fetch(self, indices: Any) -> Any:
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[indices])
        if self._plain and (rows := _rows(self.dataset, indices)) is not None:
            return rows
        if hasattr(self.dataset, "__getitems__"):
            return self.collate_fn(self.dataset.__getitems__(indices))
        return self.collate_fn([self.dataset[i] for i in indices])

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            return self._stream()
        orders = iter(
            self.sampler if self.batch_sampler is None else self.batch_sampler
        )
        if self.num_workers == 0:
            return map(self._fetch, orders)
        return self._ahead(orders)

    def _stream(self) -> Iterator[Any]:
        source = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, source)
            return
        while batch := list(itertools.islice(source, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.collate_fn(batch)

    def _ahead(self, orders: Iterator[Any]) -> Iterator[Any]:
        """Batches in order, the next ones already being read."""
        with ThreadPoolExecutor(self.num_workers) as pool:
            waiting = [
                pool.submit(self._fetch, o)
                for o in itertools.islice(
                    orders, self.num_workers * self.prefetch_factor
                )
            ]
            while waiting:
                batch = waiting.pop(0).result()
                waiting += [
                    pool.submit(self._fetch, o) for o in itertools.islice(orders, 1)
                ]
                yield batch


def _same(sample: Any) -> Any:
    """Single samples: arrays and numbers as tensors."""
    return new_tensor(sample) if isinstance(sample, np.ndarray | np.generic) else sample


def get_worker_info() -> None:
    """None: workers are threads that share the dataset."""
