"""A re-iterable stream of elements with the methods of `tf.data.Dataset` in use."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsIndex

import numpy as np

from lamella.layers import _tree

__all__ = ["INFINITE", "UNKNOWN", "Dataset", "HostArray"]

INFINITE = -1  # cardinality of an endless dataset
UNKNOWN = -2  # cardinality that only counting would tell


class HostArray(np.ndarray):
    """A numpy array that also answers `.numpy()`, as the tensors of a loop do."""

    def numpy(self) -> np.ndarray:
        """Return the plain numpy array."""
        return np.asarray(self)

    def __getitem__(self, key: Any) -> Any:
        """Return an element (of no dimensions, still with `.numpy()`) or a part."""
        value = super().__getitem__(key)
        return _visible(value) if isinstance(value, np.generic) else value


def _visible(leaf: Any) -> Any:
    """Return a leaf as loops over a dataset see it."""
    return leaf if isinstance(leaf, str | bytes) else np.asarray(leaf).view(HostArray)


def _plain(leaf: Any) -> Any:
    return leaf if isinstance(leaf, str | bytes) else np.asarray(leaf)


def as_array(value: Any) -> np.ndarray:
    """Return numbers or texts as an array; Python's own numbers become 32 bits wide.

    Raises:
        ValueError: for rows of different lengths.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"Dataset: cannot make an array of it: {error}. Every row must have the "
            "same length."
        ) from None
    if array.dtype.kind in "US":
        return array.astype(object)
    leaf = value
    while isinstance(leaf, list | tuple) and leaf:
        leaf = leaf[0]
    if isinstance(leaf, float | int) and not isinstance(leaf, bool | np.generic):
        array = array.astype({"f": "float32", "i": "int32"}.get(array.dtype.kind))
    return array


def as_element(value: Any) -> Any:
    """Return tuples and dicts as they are, with arrays or texts for leaves."""
    if isinstance(value, tuple):
        items = [as_element(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, dict):
        return {k: as_element(v) for k, v in value.items()}
    return value if isinstance(value, str | bytes) else as_array(value)


def _stack(leaves: tuple[Any, ...]) -> np.ndarray:
    if isinstance(leaves[0], str | bytes):
        array = np.empty(len(leaves), dtype=object)
        array[:] = leaves
        return array
    try:
        return np.stack(leaves)
    except ValueError:
        shapes = sorted({np.shape(leaf) for leaf in leaves})
        raise ValueError(
            "Dataset.batch: the elements of a batch must have the same shape, got "
            + " and ".join(map(str, shapes[:3]))
        ) from None


def _call(function: Callable[..., Any], element: Any) -> Any:
    """Call with a tuple's items as arguments of their own."""
    element = _tree.map_structure(_visible, element)
    return function(*element) if isinstance(element, tuple) else function(element)


def _positive(value: SupportsIndex, name: str, method: str) -> int:
    number = int(value)
    if number <= 0:
        raise ValueError(f"Dataset.{method}: {name} must be positive, got {value!r}")
    return number


class Dataset:
    """Elements one after the other, as often as wanted: batches, samples, texts.

    An element is an array (a text in a dataset of single texts), or a tuple or dict
    of these. Iterating yields numpy arrays with a method `numpy()`. Each method
    returns a new dataset and leaves this one as it is; elements are made when they
    are asked for. `fit`, `evaluate` and `predict` take a dataset of batches.

    Args:
        source: function without arguments that returns a fresh iterator of elements.
        cardinality: number of elements, `INFINITE` (-1) or `UNKNOWN` (-2, default).

    Example:
        >>> numbers = Dataset.from_tensor_slices(np.arange(5))
        >>> for batch in numbers.map(lambda x: 10 * x).batch(2):
        ...     print(batch)
        [ 0 10]
        [20 30]
        [40]
    """

    class_names: list[str] | None
    file_paths: list[str]
    _batch_size: int | None = None  # what `batch` was called with

    def __init__(
        self, source: Callable[[], Iterator[Any]], cardinality: int = UNKNOWN
    ) -> None:
        self._tokens = source
        self._cardinality = cardinality
        # (structure, arrays): then the tokens are numbers of rows, so that order is
        # made of numbers, and a batch is taken from the arrays at once
        self._table: tuple[Any, list[np.ndarray]] | None = None

    def _source(self) -> Iterator[Any]:
        """Return a fresh iterator of elements."""
        if self._table is None:
            return self._tokens()
        structure, arrays = self._table
        return (_tree.pack(structure, [a[i] for a in arrays]) for i in self._tokens())

    def _ordered(self, tokens: Callable[[], Iterator[Any]], count: int) -> Dataset:
        """Return the dataset of the same elements in another order or number."""
        result = Dataset(tokens, count)
        result._table = self._table
        return result

    # -- making one ----------------------------------------------------------

    @staticmethod
    def from_tensor_slices(tensors: Any) -> Dataset:
        """Return the rows of an array, or of a tuple or dict of arrays.

        Raises:
            ValueError: if the arrays differ in their number of rows.
        """
        arrays = as_element(tensors)
        leaves = _tree.flatten(arrays)
        if any(np.ndim(leaf) == 0 for leaf in leaves):
            raise ValueError("Dataset.from_tensor_slices: a single value has no rows")
        counts = sorted({len(leaf) for leaf in leaves})
        if len(counts) != 1:
            raise ValueError(
                "Dataset.from_tensor_slices: the arrays must have the same number of "
                f"rows, got {' and '.join(map(str, counts)) or 'no array'}"
            )
        result = Dataset(lambda: iter(builtins.range(counts[0])), counts[0])
        result._table = arrays, leaves
        return result

    @staticmethod
    def from_tensors(tensors: Any) -> Dataset:
        """Return a dataset with one element."""
        element = as_element(tensors)
        return Dataset(lambda: iter([element]), 1)

    @staticmethod
    def from_generator(generator: Callable[..., Iterable[Any]]) -> Dataset:
        """Return what `generator()` yields; it is called once for each pass."""
        return Dataset(lambda: map(as_element, generator()))

    @staticmethod
    def range(*args: int) -> Dataset:
        """Return the numbers of `range(*args)`."""
        return Dataset.from_tensor_slices(np.arange(*args))

    @staticmethod
    def zip(*datasets: Any) -> Dataset:
        """Return tuples of one element of each, as long as all have one."""
        if len(datasets) == 1 and isinstance(datasets[0], tuple | list):
            datasets = tuple(datasets[0])
        counts = [d._cardinality for d in datasets]
        finite = [n for n in counts if n >= 0]
        count = UNKNOWN if UNKNOWN in counts else min(finite, default=INFINITE)
        return Dataset(
            lambda: builtins.zip(*(d._source() for d in datasets), strict=False), count
        )

    # -- looking at it -------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        """Go through the elements from the start."""
        for element in self._source():
            yield _tree.map_structure(_visible, element)

    def as_numpy_iterator(self) -> Iterator[Any]:
        """Yield the elements with plain numpy arrays."""
        for element in self._source():
            yield _tree.map_structure(_plain, element)

    def __len__(self) -> int:
        """Return the number of elements.

        Raises:
            TypeError: if it is infinite or unknown.
        """
        if self._cardinality < 0:
            what = "infinite" if self._cardinality == INFINITE else "unknown"
            raise TypeError(f"Dataset: its length is {what}")
        return self._cardinality

    def __bool__(self) -> bool:
        """Return True."""
        return True

    def cardinality(self) -> Any:
        """Return the number of elements, -1 (infinite) or -2 (unknown)."""
        return _visible(np.int64(self._cardinality))

    def __repr__(self) -> str:
        number = {INFINITE: "endlessly many", UNKNOWN: "an unknown number of"}
        shown = number.get(self._cardinality, self._cardinality)
        return f"<Dataset of {shown} elements>"

    def __getattr__(self, name: str) -> Any:
        if name == "class_names":
            raise AttributeError(
                "Dataset: class_names are known to the dataset that "
                "..._dataset_from_directory returned, not to what map, batch, cache "
                "and the like make of it; read them before"
            )
        raise AttributeError(f"'Dataset' object has no attribute {name!r}")

    # -- element by element --------------------------------------------------

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
    ) -> Dataset:
        """Return the elements that `map_func` makes.

        Args:
            map_func: called with the element; with its items if it is a tuple.
            num_parallel_calls: not used: one after the other.
            deterministic: not used: always in order.
        """
        del num_parallel_calls, deterministic

        def mapped() -> Iterator[Any]:
            for element in self._source():
                yield as_element(_call(map_func, element))

        return Dataset(mapped, self._cardinality)

    def filter(self, predicate: Callable[..., Any]) -> Dataset:
        """Return the elements for which `predicate` is true."""
        return Dataset(
            lambda: (e for e in self._source() if _call(predicate, e)),
            0 if self._cardinality == 0 else UNKNOWN,
        )

    def enumerate(self, start: int = 0) -> Dataset:
        """Return tuples (number, element)."""
        return Dataset(
            lambda: (
                (np.int64(i), e) for i, e in builtins.enumerate(self._source(), start)
            ),
            self._cardinality,
        )

    def apply(self, transformation_func: Callable[[Dataset], Dataset]) -> Dataset:
        """Return `transformation_func(self)`."""
        return transformation_func(self)

    # -- batches -------------------------------------------------------------

    def batch(
        self,
        batch_size: int,
        drop_remainder: bool = False,
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
    ) -> Dataset:
        """Return stacks of `batch_size` elements.

        Args:
            batch_size: number of elements of a batch.
            drop_remainder: whether to leave out a short last batch. Default False.
            num_parallel_calls: not used.
            deterministic: not used.
        """
        del num_parallel_calls, deterministic
        size = _positive(batch_size, "batch_size", "batch")

        def batches() -> Iterator[Any]:
            tokens = self._tokens()
            while group := list(itertools.islice(tokens, size)):
                if len(group) < size and drop_remainder:
                    return
                if self._table is not None:
                    structure, arrays = self._table
                    yield _tree.pack(structure, [a[group] for a in arrays])
                    continue
                columns = builtins.zip(*map(_tree.flatten, group), strict=True)
                yield _tree.pack(group[0], [_stack(column) for column in columns])

        count = self._cardinality
        if count >= 0:
            count = count // size if drop_remainder else -(-count // size)
        result = Dataset(batches, count)
        result._batch_size = size
        return result

    def unbatch(self) -> Dataset:
        """Return the rows of the batches, one by one."""

        def rows() -> Iterator[Any]:
            for element in self._source():
                leaves = _tree.flatten(element)
                for row in builtins.zip(*leaves, strict=True):
                    yield _tree.pack(element, list(row))

        return Dataset(rows, self._cardinality if self._cardinality <= 0 else UNKNOWN)

    def rebatch(self, batch_size: int, drop_remainder: bool = False) -> Dataset:
        """Return batches of another size."""
        return self.unbatch().batch(batch_size, drop_remainder)

    # -- order and number ----------------------------------------------------

    def shuffle(
        self,
        buffer_size: int,
        seed: int | None = None,
        reshuffle_each_iteration: bool | None = True,
    ) -> Dataset:
        """Return the elements in random order.

        Args:
            buffer_size: number of elements among which the next one is drawn; with
                the number of all elements each order is equally likely.
            seed: integer; None: from numpy's global generator, so that
                `set_random_seed` decides.
            reshuffle_each_iteration: whether each pass has an order of its own.
        """
        size = _positive(buffer_size, "buffer_size", "shuffle")
        if seed is None:
            seed = np.random.randint(2**31 - 1)  # noqa: NPY002  set_random_seed's
        passes = itertools.count()
        base = int(seed) % 2**63

        def shuffled() -> Iterator[Any]:
            number = next(passes) if reshuffle_each_iteration is not False else 0
            rng = np.random.default_rng([base, number])
            tokens = self._tokens()
            pool = list(itertools.islice(tokens, size))
            while group := list(itertools.islice(tokens, 1024)):
                for i, token in builtins.zip(
                    rng.integers(size, size=len(group)).tolist(), group, strict=True
                ):
                    drawn, pool[i] = pool[i], token
                    yield drawn
            for i in rng.permutation(len(pool)):
                yield pool[i]

        return self._ordered(shuffled, self._cardinality)

    def take(self, count: int) -> Dataset:
        """Return the first `count` elements; all for -1."""
        count = int(count)
        if count < 0:
            return self._ordered(self._tokens, self._cardinality)
        known = self._cardinality
        if known != UNKNOWN:
            known = count if known == INFINITE else min(count, known)
        return self._ordered(lambda: itertools.islice(self._tokens(), count), known)

    def skip(self, count: int) -> Dataset:
        """Return the elements behind the first `count`; none for -1."""
        count = int(count)
        if count < 0:
            return Dataset(lambda: iter(()), 0)
        known = self._cardinality
        if known >= 0:
            known = max(known - count, 0)
        return self._ordered(
            lambda: itertools.islice(self._tokens(), count, None), known
        )

    def shard(self, num_shards: int, index: int) -> Dataset:
        """Return every `num_shards`-th element, from element `index` on."""
        shards = _positive(num_shards, "num_shards", "shard")
        if not 0 <= index < shards:
            raise ValueError(
                f"Dataset.shard: index must lie in [0, {shards - 1}], got {index}"
            )
        known = self._cardinality
        if known >= 0:
            known = max(-(-(known - index) // shards), 0)
        return self._ordered(
            lambda: itertools.islice(self._tokens(), index, None, shards), known
        )

    def repeat(self, count: int | None = None) -> Dataset:
        """Return the elements `count` times over; without end for None or -1."""
        endless = count is None or count < 0
        times = itertools.repeat(None) if endless else None

        def repeated() -> Iterator[Any]:
            for _ in times or itertools.repeat(None, int(count or 0)):
                empty = True
                for token in self._tokens():
                    empty = False
                    yield token
                if empty:
                    return

        known = self._cardinality
        if endless:
            known = INFINITE if known else 0
        elif known >= 0:
            known *= int(count or 0)
        return self._ordered(repeated, known if count != 0 else 0)

    def concatenate(self, dataset: Dataset) -> Dataset:
        """Return the elements of this dataset, then those of `dataset`."""
        counts = (self._cardinality, dataset._cardinality)
        known = sum(counts)
        if min(counts) < 0:
            known = INFINITE if INFINITE in counts else UNKNOWN
        return Dataset(
            lambda: itertools.chain(self._source(), dataset._source()), known
        )

    def cache(self, filename: str = "") -> Dataset:
        """Return the same elements, kept in memory after the first whole pass.

        Raises:
            ValueError: for a file name: the cache is always in memory.
        """
        if filename:
            raise ValueError(
                f"Dataset.cache: only a cache in memory is there, got {filename!r}"
            )
        kept: list[Any] = []
        whole = False

        def cached() -> Iterator[Any]:
            nonlocal whole
            if whole:
                yield from list(kept)
                return
            seen = []
            for element in self._source():
                seen.append(element)
                yield element
            if not whole:
                kept[:], whole = seen, True

        return Dataset(cached, self._cardinality)

    def prefetch(self, buffer_size: int | None = None) -> Dataset:
        """Return the same elements; they are made when they are asked for."""
        del buffer_size
        return self._ordered(self._tokens, self._cardinality)
