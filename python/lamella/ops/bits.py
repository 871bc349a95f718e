"""Functions of integers and of the bits of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    is_concrete,
    is_float,
    operand,
    standardize_dtype,
    to_tensor,
)

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "gcd",
    "lcm",
    "left_shift",
    "nextafter",
    "right_shift",
    "view",
]


def _integers(name: str, *values: Any) -> list[Any]:
    """The operands, at least one a Tensor, none with floats.

    Raises:
        DTypeError: an operand holds floats.
    """
    out = [operand(v) for v in values]
    if all(type(v) is not Tensor for v in out):
        out[0] = convert_to_tensor(out[0])
    for v in out:
        if (type(v) is Tensor and is_float(v)) or type(v) is float:
            raise _core.DTypeError(
                f"{name}: expected integers or booleans, got dtype="
                f"{v.dtype if type(v) is Tensor else 'float'}"
            )
    return out


def _is_bool(x: Any) -> bool:
    return x.dtype == "bool" if type(x) is Tensor else type(x) is bool


def _bitwise(name: str, on_bits: Callable[..., Tensor], on_bools: Any, doc: str) -> Any:
    def op(x: Any, y: Any) -> Tensor:
        a, b = _integers(name, x, y)
        if _is_bool(a) and _is_bool(b):
            return on_bools(a, b)
        return on_bits(a, b)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


bitwise_and = _bitwise(
    "bitwise_and", _core.bit_and, _core.logical_and, "x & y of integers or booleans."
)
bitwise_or = _bitwise(
    "bitwise_or", _core.bit_or, _core.logical_or, "x | y of integers or booleans."
)
bitwise_xor = _bitwise(
    "bitwise_xor", _core.bit_xor, _core.logical_xor, "x ^ y of integers or booleans."
)


def bitwise_not(x: Any) -> Tensor:
    """~x of integers or booleans."""
    (a,) = _integers("bitwise_not", x)
    if _is_bool(a):
        return _core.logical_not(a)
    return _core.bit_xor(a, 255 if a.dtype == "uint8" else -1)


bitwise_invert = bitwise_not


def left_shift(x: Any, y: Any) -> Tensor:
    """x * 2**y of integers: the bits move towards the higher ones."""
    return _core.shift_left(*_integers("left_shift", x, y))


def right_shift(x: Any, y: Any) -> Tensor:
    """floor(x / 2**y) of integers: the bits move towards the lower ones."""
    return _core.shift_right(*_integers("right_shift", x, y))


bitwise_left_shift = left_shift
bitwise_right_shift = right_shift


def gcd(x1: Any, x2: Any) -> Tensor:
    """Greatest common divisor of integers."""
    return _core.gcd(*_integers("gcd", x1, x2))


def lcm(x1: Any, x2: Any) -> Tensor:
    """Least common multiple of integers."""
    a, b = _integers("lcm", x1, x2)
    shared = _core.gcd(a, b)
    safe = _core.maximum(shared, 1)
    return cast(_core.abs(_core.mul(_core.floor_div(a, safe), b)), shared.dtype)


def nextafter(x1: Any, x2: Any) -> Tensor:
    """The next number after x1 on the way to x2."""
    a, b = operand(x1), operand(x2)
    if type(a) is not Tensor and type(b) is not Tensor:
        a = convert_to_tensor(a)
    return _core.nextafter(a, b)


def view(x: Any, dtype: Any = None) -> Tensor:
    """The bits of x read as another dtype (not in a traced model).

    Args:
        x: tensor; the size of its last axis changes with that of the elements.
        dtype: what to read the bits as, default `floatx()`.

    Raises:
        ValueError: x is traced, or its last axis does not fit.
    """
    x, name = to_tensor(x), standardize_dtype(dtype)
    if not is_concrete(x):
        raise ValueError("view: reading bits as another dtype cannot be traced")
    if x.dtype == name:
        return x
    return convert_to_tensor(np.ascontiguousarray(x.numpy()).view(name).copy())
