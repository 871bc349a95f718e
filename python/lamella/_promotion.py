"""Which type two types meet in: Keras's rules (those of JAX)."""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["result_type"]

# Each type and the next larger ones; "int" and "float" are Python's numbers, which
# adopt the type of what they meet.
_NEXT = {
    "bool": ("int",),
    "int": ("uint8", "int8", "complex64"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex64": ("complex128",),
    "complex128": (),
}


_IN_32_BITS = {
    "int64": "int32",
    "uint64": "uint32",
    "float64": "float32",
    "complex128": "complex64",
}


@functools.lru_cache
def _above(name: str) -> frozenset[str]:
    """Return the type and everything it can be turned into without loss."""
    return frozenset({name}.union(*(_above(n) for n in _NEXT[name])))


def _name_of(dtype: Any) -> str:
    if dtype in (None, float):
        return "float"
    if dtype in (int, bool):
        return "int" if dtype is int else "bool"
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", str(dtype))
    name = str(name).removeprefix("torch.")
    if name not in _NEXT:
        raise ValueError(f"result_type: unknown dtype {dtype!r}")
    return name


def result_type(*dtypes: Any) -> str:
    """Return the type that Keras gives a computation on these types.

    As in Keras this is never a type of 64 bits, although lamella's ops do keep those.

    Args:
        dtypes: names, NumPy types, or Python's int and float, which adopt the type
            of the others.

    Raises:
        ValueError: a type is unknown.

    Example:
        >>> result_type("int32", float), result_type("uint8", "int8")
        ('float32', 'int16')
    """
    from lamella.config import floatx

    if not dtypes:
        return floatx()
    names = [_name_of(d) for d in dtypes]
    common = frozenset.intersection(*(_above(n) for n in names))
    least = next(c for c in common if common <= _above(c))
    least = {"float": floatx(), "int": "int32"}.get(least, least)
    return _IN_32_BITS.get(least, least)
