"""Turning what users pass as data into lists of arrays, whole or batch by batch."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lamella import _core, config
from lamella.layers import _tree
from lamella.layers._inputs import check_numeric
from lamella.utils.pydataset import fetch
from lamella.variable import Variable

__all__ = [
    "ArrayFeed",
    "BatchFeed",
    "Template",
    "class_weights_of",
    "integer_type",
    "make_feed",
    "split_validation",
    "to_array",
    "unpack_x_y_sample_weight",
]

# Which type the graph input for an input array (and its number) is declared with.
Typer = Callable[[np.ndarray, int], str]

# What the core reads and casts batch by batch, so that data sets are not copied.
_CORE_TYPES = frozenset(
    map(np.dtype, ("bool", "uint8", "int32", "int64", "float32", "float64"))
)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight) from x, (x,), (x, y) or all three.

    Raises:
        ValueError: for a tuple of another length.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) > 3 or not data:
        raise ValueError(
            "data: expected x, (x, y) or (x, y, sample_weight), got a tuple of "
            f"{len(data)} elements"
        )
    return (*data, None, None)[:3]


def is_arraylike(value: Any) -> bool:
    """Return True for arrays, tensors, frames: things NumPy can read at once."""
    return (
        type(value) is np.ndarray
        or isinstance(value, np.ndarray | _core.Tensor | Variable)
        or (hasattr(value, "__array__") and hasattr(value, "shape"))
    )


def to_array(value: Any, what: str) -> np.ndarray:
    """Return `value` as a plain array of numbers, naming `what` in errors."""
    if type(value) is np.ndarray:
        array = value
    elif isinstance(value, _core.Tensor | Variable):
        array = np.asarray(value.numpy())
    elif isinstance(value, np.ndarray):
        array = np.asarray(value)  # np.matrix and other subclasses become plain
    elif type(value).__module__.startswith("scipy.sparse"):
        array = value.toarray()
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise ValueError(
                f"{what}: cannot make an array of it: {error}. Every row must have the "
                "same length."
            ) from None
    return check_numeric(array, what)


def _is_rows(value: list[Any] | tuple[Any, ...]) -> bool:
    """Return True for a list that is one array written out, not several inputs."""
    return not any(is_arraylike(v) and len(v.shape) > 0 for v in value) and not any(
        isinstance(v, dict) for v in value
    )


def structure_of(value: Any, what: str, several: bool) -> tuple[Any, list[np.ndarray]]:
    """Return (structure with None leaves, arrays) of an x, y or sample_weight.

    Args:
        value: array, list, or list/tuple/dict of arrays.
        what: "x", "y" or "sample_weight".
        several: whether a list of arrays means several inputs (or outputs).
    """
    if value is None:
        return None, []
    if type(value) is np.ndarray:
        return "leaf", [to_array(value, what)]
    if isinstance(value, dict):
        names = sorted(value)
        leaves: list[np.ndarray] = []
        structure = {}
        for name in names:
            structure[name], more = structure_of(value[name], f"{what}[{name!r}]", True)
            leaves += more
        return {k: structure[k] for k in value}, leaves
    if isinstance(value, list | tuple) and not _is_rows(value):
        if not several:
            if len(value) == 1 and is_arraylike(value[0]) and value[0].ndim > 1:
                value = value[0]
            return "leaf", [to_array(value, what)]
        parts = [structure_of(v, f"{what}[{i}]", True) for i, v in enumerate(value)]
        return type(value)(p[0] for p in parts), [a for p in parts for a in p[1]]
    return "leaf", [to_array(value, what)]


class Template:
    """How a flat list of arrays becomes (x, y, sample_weight) again.

    Args:
        x: structure of the inputs, with the string "leaf" for every array.
        y: structure of the targets, or None.
        sample_weight: structure of the weights, or None.
        dtypes: the type that each array has in the graph. The arrays themselves
            stay as the user made them: the core casts each batch.
        wrapped: whether a step of the user's own gets (x,) where there is x alone.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        dtypes: Sequence[str] = (),
        wrapped: bool = False,
    ) -> None:
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.wrapped = wrapped or isinstance(x, list | tuple)
        self.dtypes = tuple(dtypes)
        self.counts = [
            sum(leaf is not None for leaf in _tree.flatten(s))
            for s in (x, y, sample_weight)
        ]
        self.key = (repr((x, y, sample_weight)), self.dtypes)

    def tensors(self, leaves: list[np.ndarray]) -> tuple[Any, Any, Any]:
        """Return (x, y, sample_weight) as tensors of the declared types."""
        return self.unflatten(
            [
                _core.from_numpy(np.ascontiguousarray(array, dtype=dtype))
                for array, dtype in zip(leaves, self.dtypes, strict=True)
            ]
        )

    def data(self, leaves: list[np.ndarray]) -> Any:
        """Return what train_step gets: x, (x,), (x, y) or all three, as tensors."""
        x, y, sample_weight = self.tensors(leaves)
        if sample_weight is not None:
            return x, y, sample_weight
        if y is not None:
            return x, y
        return (x,) if self.wrapped else x

    def names(self) -> list[str]:
        """Return names for the leaves: x, y, sample_weight or x0, x1, ..."""
        result: list[str] = []
        for name, n in zip(("x", "y", "sample_weight"), self.counts, strict=True):
            result += [name] if n == 1 else [f"{name}{i}" for i in range(n)]
        return result

    def unflatten(self, leaves: list[Any]) -> tuple[Any, Any, Any]:
        """Return (x, y, sample_weight)."""
        result: list[Any] = []
        start = 0
        structures = (self.x, self.y, self.sample_weight)
        for structure, n in zip(structures, self.counts, strict=True):
            part = iter(leaves[start : start + n])
            filled = [
                None if leaf is None else next(part)
                for leaf in _tree.flatten(structure)
            ]
            result.append(_tree.pack(structure, filled))
            start += n
        return result[0], result[1], result[2]


def integer_type(array: np.ndarray) -> str:
    """Return the smaller type of the core that holds an array of integers."""
    return "int64" if array.dtype.itemsize > 4 or array.dtype == "uint32" else "int32"


def target_type(array: np.ndarray) -> str:
    """Return the type of targets in the graph: integers stay integers."""
    return config.floatx() if array.dtype.kind in "fb" else integer_type(array)


def _readable(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return the array itself if the core can read it, else a copy in `dtype`."""
    if array.dtype in _CORE_TYPES:
        # Any stride between the rows will do; within a row the numbers are dense.
        return array if array[:1].flags.c_contiguous else np.ascontiguousarray(array)
    return array.astype(dtype, order="C")


@functools.lru_cache(maxsize=64)
def _plain_template(
    x: Any, y: Any, sample_weight: Any, dtypes: Any, wrapped: bool
) -> Template:
    """Return the Template of one x, y and sample_weight, the same every time."""
    return Template(x, y, sample_weight, dtypes, wrapped)


def _convert(
    x: Any,
    y: Any,
    sample_weight: Any,
    type_of: Typer,
    several: tuple[bool, bool],
    wrapped: bool = False,
) -> tuple[Template, list[np.ndarray]]:
    xs, x_leaves = structure_of(x, "x", several[0])
    ys, y_leaves = structure_of(y, "y", several[1])
    ws, w_leaves = structure_of(sample_weight, "sample_weight", several[1])
    dtypes = [type_of(a, i) for i, a in enumerate(x_leaves)]
    dtypes += [target_type(a) for a in y_leaves]
    dtypes += [config.floatx()] * len(w_leaves)
    if len(x_leaves) == 1 and all(s is None or s == "leaf" for s in (xs, ys, ws)):
        template = _plain_template(xs, ys, ws, tuple(dtypes), wrapped)
    else:
        template = Template(xs, ys, ws, dtypes, wrapped)
    leaves = [*x_leaves, *y_leaves, *w_leaves]
    for i, array in enumerate(leaves):
        if array.ndim == 0:
            raise ValueError(
                f"{template.names()[i]}: expected an array with one entry for each "
                f"sample, got the single value {array.item()!r}"
            )
    return template, [_readable(a, t) for a, t in zip(leaves, dtypes, strict=True)]


class ArrayFeed:
    """Data in memory: arrays with one row for each sample."""

    def __init__(self, template: Template, leaves: list[np.ndarray]) -> None:
        self.template = template
        self.leaves = leaves
        if not leaves:
            raise ValueError("x: no data was given. Pass arrays x and y.")
        self.rows = len(leaves[0])
        if any(len(a) != self.rows for a in leaves):
            names = template.names()
            shown = ", ".join(
                f"{n}: {len(a)}" for n, a in zip(names, leaves, strict=True)
            )
            raise ValueError(
                "x, y and sample_weight must have the same number of samples (rows), "
                f"got {shown}"
            )
        if self.rows == 0:
            shapes = ", ".join(
                f"{n} has shape {a.shape}"
                for n, a in zip(template.names(), leaves, strict=True)
            )
            raise ValueError(f"the data are empty: {shapes}. Was a filter too strict?")

    def num_batches(self, batch_size: int) -> int:
        """Return the number of batches, the short last one included."""
        return math.ceil(self.rows / batch_size)

    def first(self, batch_size: int) -> list[np.ndarray]:
        """Return the leaves of the first batch."""
        return [a[:batch_size] for a in self.leaves]

    def batches(
        self, batch_size: int, order: np.ndarray | None = None
    ) -> Iterator[tuple[Template, list[np.ndarray]]]:
        """Yield the batches, rows in the given order."""
        for start in range(0, self.rows, batch_size):
            stop = start + batch_size
            if order is None:
                yield self.template, [a[start:stop] for a in self.leaves]
            else:
                rows = order[start:stop]
                yield self.template, [a[rows] for a in self.leaves]


class BatchFeed:
    """Data that come as batches: a generator, a PyDataset, any iterable."""

    def __init__(
        self,
        source: Any,
        type_of: Typer,
        several: tuple[bool, bool],
        with_targets: bool = True,
        class_weight: dict[int, float] | None = None,
    ) -> None:
        self.source = source
        self.type_of = type_of
        self.several = several
        self.with_targets = with_targets
        self.class_weight = class_weight
        self.is_sequence = hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self.is_generator = hasattr(source, "__next__")
        self._peeked: Any = None

    def num_batches(self, batch_size: int = 0) -> int | None:
        """Return the number of batches if the source knows it."""
        del batch_size
        if hasattr(self.source, "num_batches"):
            return self.source.num_batches
        try:
            return len(self.source)
        except (TypeError, NotImplementedError):  # not known, or no end
            return None

    def first(self, batch_size: int = 0) -> tuple[Template, list[np.ndarray]]:
        """Return the first batch without losing it."""
        del batch_size
        if self.is_sequence:
            return self.convert(self.source[0])
        if self._peeked is None:
            try:
                self._peeked = next(iter(self.source))
            except StopIteration:
                raise ValueError(
                    "the data are empty: the iterator has no batch"
                ) from None
        return self.convert(self._peeked)

    def convert(self, batch: Any) -> tuple[Template, list[np.ndarray]]:
        """Return a batch of the user's as template and arrays."""
        if isinstance(batch, list) and type(self.source).__module__.startswith("torch"):
            batch = tuple(batch)  # what a DataLoader makes of (x, y)
        if not self.with_targets and not isinstance(batch, tuple):
            x, y, sample_weight = batch, None, None
        else:
            x, y, sample_weight = unpack_x_y_sample_weight(batch)
        if not self.with_targets:
            y = sample_weight = None
        if self.class_weight is not None and y is not None:
            sample_weight = class_weights_of(to_array(y, "y"), self.class_weight)
        template, leaves = _convert(
            x,
            y,
            sample_weight,
            self.type_of,
            self.several,
            wrapped=isinstance(batch, list | tuple),
        )
        ArrayFeed(template, leaves)  # checks the lengths
        return template, leaves

    def batches(self, order: Any = None) -> Iterator[tuple[Template, list[np.ndarray]]]:
        """Yield the batches; a generator goes on where it was."""
        if hasattr(self.source, "on_epoch_begin"):
            self.source.on_epoch_begin()
        if self.is_sequence:
            count = self.num_batches()
            if order is None:
                order = itertools.count() if count is None else range(count)
            for batch in fetch(self.source, order):
                yield self.convert(batch)
            if hasattr(self.source, "on_epoch_end"):
                self.source.on_epoch_end()
            return
        if not self.is_generator:
            for batch in self.source:
                yield self.convert(batch)
            return
        while True:
            if self._peeked is not None:
                batch, self._peeked = self._peeked, None
            else:
                try:
                    batch = next(self.source)
                except StopIteration:
                    return
            yield self.convert(batch)


def is_batched(x: Any) -> bool:
    """Return True for generators, PyDatasets and other iterables of batches."""
    if type(x) is np.ndarray:
        return False
    if isinstance(x, list | tuple | dict | str) or is_arraylike(x):
        return False
    if hasattr(x, "__array__") or type(x).__module__.startswith("scipy.sparse"):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__getitem__") or hasattr(x, "__iter__")


def make_feed(
    x: Any,
    y: Any,
    sample_weight: Any,
    type_of: Typer,
    several: tuple[bool, bool],
    with_targets: bool = True,
    class_weight: dict[int, float] | None = None,
) -> ArrayFeed | BatchFeed:
    """Return the feed for what the user passed.

    Raises:
        ValueError: mismatched lengths, empty data, or y beside an iterator.
        TypeError: data that are not numbers.
    """
    if is_batched(x):
        if y is not None or sample_weight is not None:
            raise ValueError(
                "x yields batches (x, y) by itself, so y and sample_weight must not be "
                "given beside it"
            )
        return BatchFeed(x, type_of, several, with_targets, class_weight)
    if class_weight is not None:
        if sample_weight is not None:
            raise ValueError(
                "class_weight and sample_weight cannot be given together; multiply the "
                "class weights into sample_weight"
            )
        if y is None:
            raise ValueError("class_weight needs targets y")
        sample_weight = class_weights_of(to_array(y, "y"), class_weight)
    return ArrayFeed(*_convert(x, y, sample_weight, type_of, several))


def class_weights_of(y: np.ndarray, class_weight: dict[int, float]) -> np.ndarray:
    """Return one weight for each row: that of its class, 1 for classes not named."""
    if not isinstance(class_weight, dict):
        raise ValueError(
            "class_weight must be a dict from class number to weight, got "
            f"{type(class_weight).__name__}"
        )
    if y.ndim > 1:
        y = y.argmax(axis=-1) if y.shape[-1] != 1 else y.squeeze(-1)
    labels = np.round(y).astype("int64")
    weights = np.ones(labels.shape, dtype=config.floatx())
    for label, weight in class_weight.items():
        weights[labels == int(label)] = weight
    return weights


def split_validation(feed: ArrayFeed, fraction: float) -> tuple[ArrayFeed, ArrayFeed]:
    """Return (training rows, the last `fraction` of the rows).

    Raises:
        ValueError: if one part would be empty.
    """
    split = math.floor(feed.rows * (1.0 - fraction))
    if split == 0 or split == feed.rows:
        part = "training" if split == 0 else "validation"
        raise ValueError(
            f"fit: validation_split={fraction} of {feed.rows} samples leaves no "
            f"{part} samples. Use more data, another fraction, or validation_data."
        )
    return (
        ArrayFeed(feed.template, [a[:split] for a in feed.leaves]),
        ArrayFeed(feed.template, [a[split:] for a in feed.leaves]),
    )
