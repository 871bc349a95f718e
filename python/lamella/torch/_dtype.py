"""Element types, shapes and devices with PyTorch's names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

__all__ = ["Size", "device", "dtype", "finfo", "iinfo"]


class dtype:
    """An element type: `torch.float32` and its like; there are no others to make."""

    __slots__ = ("is_complex", "is_floating_point", "itemsize", "name", "rank")

    def __init__(self, name: str, rank: int) -> None:
        self.name = name
        self.rank = rank  # 0 bool, 1 integer, 2 float: what wins when kinds meet
        self.is_floating_point = rank == 2
        self.is_complex = False
        self.itemsize = np.dtype(name).itemsize

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return f"{self.name}_" if self.name == "bool" else self.name


bool_ = dtype("bool", 0)
uint8 = dtype("uint8", 1)
int32 = dtype("int32", 1)
int64 = dtype("int64", 1)
float32 = dtype("float32", 2)
float64 = dtype("float64", 2)

# In the order of the core's own enumeration.
ALL = (bool_, uint8, int32, int64, float32, float64)
BY_NAME = {d.name: d for d in ALL}
_ALIASES = {float: "float", int: "int64", bool: "bool"}
_default = float32


def get_default_dtype() -> dtype:
    """The type of new float tensors."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Sets the type of new float tensors: float32 or float64."""
    global _default
    if d is not float32 and d is not float64:
        raise TypeError(
            "set_default_dtype: only floating-point types are supported as the default "
            f"type, got {d!r}; lamella.torch has float32 and float64"
        )
    _default = d


def as_dtype(d: Any) -> dtype:
    """A dtype from a dtype, its name, a Python type or a numpy type."""
    if isinstance(d, dtype):
        return d
    if d is float:
        return _default
    name = _ALIASES.get(d) if isinstance(d, type) else None
    if name is None:
        try:
            name = np.dtype(
                str(d).removeprefix("torch.") if isinstance(d, str) else d
            ).name
        except TypeError:
            name = str(d)
    found = BY_NAME.get(name)
    if found is None:
        raise TypeError(
            f"dtype: expected one of {', '.join(BY_NAME)}, got {d!r}; lamella.torch "
            "has no others"
        )
    return found


def promote_types(a: dtype, b: dtype) -> dtype:
    """The type that holds both."""
    if a is b:
        return a
    if a.rank != b.rank:
        return a if a.rank > b.rank else b
    return a if a.itemsize > b.itemsize else b


class Size(tuple[int, ...]):
    """A shape."""

    __slots__ = ()

    def numel(self) -> int:
        """Number of elements."""
        n = 1
        for d in self:
            n *= d
        return n

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    __str__ = __repr__

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self))

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return Size(found) if isinstance(key, slice) else found


class device:
    """Where tensors live: `device("cpu")`, the only one.

    Raises:
        RuntimeError: for any other device.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        name, _, number = str(type).partition(":")
        if name != "cpu":
            raise RuntimeError(
                f"device: lamella.torch computes on the CPU, got {type!r}; "
                'use torch.device("cuda" if torch.cuda.is_available() else "cpu")'
            )
        self.type = name
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        if self.index is None:
            return f"device(type={self.type!r})"
        return f"device(type={self.type!r}, index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(str(self))

    def __enter__(self) -> device:
        return self

    def __exit__(self, *error: object) -> None:
        pass


CPU = device("cpu")


class _Info:
    """Limits of a type, as attributes."""

    def __init__(self, d: dtype, limits: Any, names: Iterable[str]) -> None:
        self.dtype = d.name
        self.bits = d.itemsize * 8
        for name in names:
            setattr(self, name, limits[name])

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v}" for k, v in vars(self).items() if k != "bits")
        return f"{type(self).__name__}({inside})"


class finfo(_Info):
    """Limits of a float type (default: the default type): eps, min, max, tiny, ..."""

    def __init__(self, d: dtype | None = None) -> None:
        d = d or get_default_dtype()
        if not d.is_floating_point:
            raise TypeError(f"finfo: expected a floating-point type, got {d!r}")
        f = np.finfo(d.name)
        tiny = float(f.tiny)
        limits = {
            "resolution": float(f.resolution),
            "min": float(f.min),
            "max": float(f.max),
            "eps": float(f.eps),
            "smallest_normal": tiny,
            "tiny": tiny,
        }
        super().__init__(d, limits, limits)


class iinfo(_Info):
    """Limits of an integer type: min, max."""

    def __init__(self, d: dtype) -> None:
        if d.rank != 1:
            raise TypeError(f"iinfo: expected an integer type, got {d!r}")
        i = np.iinfo(d.name)
        super().__init__(d, {"min": int(i.min), "max": int(i.max)}, ("min", "max"))


@contextlib.contextmanager
def default_dtype(d: dtype) -> Iterator[None]:
    """The default type inside a `with`."""
    before = get_default_dtype()
    set_default_dtype(d)
    try:
        yield
    finally:
        set_default_dtype(before)
