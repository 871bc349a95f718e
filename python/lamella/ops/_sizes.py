"""Sizes that are not known yet, as tensors.

While a model is traced, `ops.shape(x)[0]` is a Dim. Arithmetic and shapes take it as it
is; where a tensor is wanted, it becomes one that counts. Code for several frameworks
then builds a list of sizes out of such tensors and asks `tile` or `reshape` for it, so
the sizes behind a tensor are noted in a table beside it.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Dim, Tensor

__all__ = [
    "any_sizes",
    "count_to",
    "note_sizes",
    "noted_sizes",
    "sizes_of",
    "tensor_of",
]

_sizes: dict[int, tuple[weakref.ref[Any], list[Any]]] = {}


def tensor_of(size: Dim) -> Tensor:
    """An int32 scalar with the value that `size` has when the graph runs."""
    counted = _core.sum(_core.full((size,), 1, "int32"), None, False)
    return note_sizes(counted, [size])


def note_sizes(x: Tensor, sizes: list[Any] | None) -> Tensor:
    """Remember the sizes that a tensor holds; None remembers nothing."""
    if sizes is not None:
        key = id(x)
        _sizes[key] = (weakref.ref(x, lambda _: _sizes.pop(key, None)), sizes)
    return x


def any_sizes() -> bool:
    """Return False if no tensor at all holds unknown sizes: the usual case."""
    return bool(_sizes)


def sizes_of(x: Any) -> list[Any] | None:
    """The sizes in a size, a list of them, or a tensor; None if they are unknown."""
    if isinstance(x, Dim | int | np.integer):
        return [x]
    if isinstance(x, list | tuple):
        parts = [sizes_of(item) for item in x]
        if any(p is None or len(p) != 1 for p in parts):
            return None
        return [p[0] for p in parts if p is not None]
    if type(x) is Tensor and id(x) in _sizes:
        return _sizes[id(x)][1]
    try:
        values = np.asarray(x)
    except _core.StateError:  # a value of a graph
        return None
    if values.ndim > 1 or values.dtype.kind not in "iu":
        return None
    return [int(v) for v in np.atleast_1d(values)]


def noted_sizes(x: Any) -> list[Any] | None:
    """The sizes in a tensor or a list of them, if one of them is unknown yet."""
    parts = list(x) if isinstance(x, list | tuple) else [x]
    if not any(isinstance(p, Dim) or id(p) in _sizes for p in parts):
        return None
    found = [sizes_of(p) for p in parts]
    if any(sizes is None for sizes in found):
        return None
    return [size for sizes in found if sizes is not None for size in sizes]


def count_to(ends: list[Any], step: int, dtype: str) -> Tensor:
    """0, 1, ...: as many numbers as there are steps between two sizes."""
    start, stop = ends
    count = (stop - start + (step - 1)) // step
    ones = _core.full((count,), 1, dtype)
    return _core.sub(_core.cumsum(ones, 0), ones)


def _on_tensors(name: str) -> Any:
    """Return an operator of Dim that is a tensor's where it cannot be a size's."""
    exact = getattr(Dim, name, None)

    def operator(self: Dim, other: Any) -> Any:
        result = NotImplemented if exact is None else exact(self, other)
        if result is NotImplemented:
            return getattr(tensor_of(self), name)(other)
        return result

    return operator


for _name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow"):
    for _side in ("", "r"):
        setattr(Dim, f"__{_side}{_name}__", _on_tensors(f"__{_side}{_name}__"))
setattr(Dim, "__neg__", lambda self: -tensor_of(self))  # noqa: B010
# A tensor's operators leave what says so to the other operand.
setattr(Dim, "_is_placeholder", False)  # noqa: B010
