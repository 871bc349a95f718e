"""Making tensors from other things, and asking tensors about themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core, config
from lamella._core import Dim, Tensor
from lamella.ops._sizes import any_sizes, note_sizes, noted_sizes, tensor_of

__all__ = [
    "array",
    "cast",
    "convert_to_numpy",
    "convert_to_tensor",
    "copy",
    "dtype",
    "is_tensor",
    "ndim",
    "saturate_cast",
    "shape",
    "size",
    "stop_gradient",
]

_FLOATS = ("float32", "float64")
_DTYPES = {
    "int": "int32",
    "double": "float64",
    "float32": "float32",
    "float64": "float64",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "bool": "bool",
}


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype given as string, numpy dtype, Python type or None.

    None means `floatx()`; "int" means int32 and "float" means `floatx()`.

    Raises:
        ValueError: lamella has no such element type.
    """
    if dtype is None or dtype is float or dtype == "float":
        return config.floatx()
    if isinstance(dtype, str) and dtype in _DTYPES:
        return _DTYPES[dtype]
    return config.standardize_dtype(dtype)


def to_tensor(x: Any) -> Tensor:
    """`x` as a Tensor; the fast path of every op (no dtype change)."""
    if type(x) is Tensor:
        return x
    return convert_to_tensor(x)


def operand(x: Any) -> Any:
    """`x` for a binary op: scalars stay weakly typed, the rest is a Tensor."""
    if type(x) is Tensor or type(x) in (float, int, bool):
        return x
    if isinstance(x, np.generic) and x.dtype.kind in "fiub":
        return x.item()
    return convert_to_tensor(x)


def pair(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two operands as Tensors, a scalar with the dtype that it adopts."""
    a, b = operand(x1), operand(x2)
    if type(a) is not Tensor and type(b) is not Tensor:
        return convert_to_tensor(a), convert_to_tensor(b)
    if type(a) is not Tensor:
        a = convert_to_tensor(a, _adopted(a, b.dtype))
    elif type(b) is not Tensor:
        b = convert_to_tensor(b, _adopted(b, a.dtype))
    return a, b


def _adopted(scalar: Any, dtype: str) -> str | None:
    if type(scalar) is bool or dtype in _FLOATS:
        return dtype
    if type(scalar) is float:
        return None
    return "int32" if dtype == "bool" else dtype


def is_float(x: Tensor) -> bool:
    """Whether x holds float32 or float64."""
    return x.dtype in _FLOATS


def to_float(x: Any) -> Tensor:
    """`x` as a floating tensor; integers and booleans become `floatx()`."""
    x = to_tensor(x)
    return x if x.dtype in _FLOATS else cast(x, None)


def is_concrete(*tensors: Any) -> bool:
    """Whether none of the tensors is a placeholder of a traced Graph."""
    return not any(getattr(t, "is_symbolic", False) for t in tensors)


def convert_to_tensor(
    x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None
) -> Tensor:
    """Convert `x` to a Tensor.

    Args:
        x: Tensor, Variable, numpy array, scalar, or nested lists of these.
        dtype: wanted dtype; None keeps the dtype (Python floats become `floatx()`,
            Python integers int32).
        sparse: not supported, must be None or False.
        ragged: not supported, must be None or False.

    Returns:
        A Tensor; `x` itself when nothing has to be done.

    Raises:
        ValueError: sparse or ragged is true.
        DTypeError: no such dtype.
    """
    if sparse or ragged:
        raise ValueError(
            "convert_to_tensor: lamella has dense tensors only, got "
            f"sparse={sparse}, ragged={ragged}"
        )
    wanted = None if dtype is None else standardize_dtype(dtype)
    if type(x) is not Tensor:
        x = _make_tensor(x, wanted)
    if wanted is None or x.dtype == wanted:
        return x
    return _core.cast(x, wanted)


def _make_tensor(x: Any, wanted: str | None) -> Tensor:
    variable = getattr(x, "_core", None)
    if isinstance(variable, _core.Variable):
        return variable.value()
    if isinstance(x, _core.Variable):
        return x.value()
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.ndarray):
        if x.dtype == np.float16:
            x = x.astype(np.float32)
        elif x.dtype.name not in _DTYPES:
            x = _narrowed(x, wanted)
        return _core.from_numpy(x)
    if isinstance(x, np.generic):
        return _core.from_numpy(_narrowed(np.asarray(x), wanted))
    if isinstance(x, bool | int | float):
        if wanted is None and isinstance(x, float):
            wanted = standardize_dtype(None)
        return _core.tensor(x, wanted) if wanted else _core.tensor(x)
    if isinstance(x, list | tuple):
        if any(_holds_tensor(item) for item in x):
            made = _core.stack([convert_to_tensor(item, wanted) for item in x], 0)
            return note_sizes(made, noted_sizes(x)) if made.ndim == 1 else made
        a = np.asarray(x)
        if a.dtype == np.float64:
            has_numpy = any(isinstance(i, np.ndarray | np.float64) for i in x)
            a = a if has_numpy else a.astype(wanted or standardize_dtype(None))
        elif a.dtype == np.int64:
            a = _list_of_integers(a, x)
        return _core.from_numpy(_narrowed(a, wanted))
    if isinstance(x, Dim):
        return tensor_of(x)
    if getattr(x, "_is_placeholder", False):
        raise _core.DTypeError(
            f"lamella.ops cannot take {x!r} here: it has no value yet. Put the "
            "computation into the call() of a Layer, or into a Lambda layer: "
            "layers.Lambda(lambda t: ops.exp(t))(x)"
        )
    if hasattr(x, "__array__"):
        return _make_tensor(np.asarray(x), wanted)
    raise _core.DTypeError(
        "convert_to_tensor: expected a tensor, a variable, an array, a number or a "
        f"list of numbers, got {type(x).__name__}"
    )


def _list_of_integers(a: np.ndarray, x: Any) -> np.ndarray:
    if any(isinstance(item, np.ndarray | np.generic) for item in x):
        return a
    limits = np.iinfo(np.int32)
    if a.size and (a.min() < limits.min or a.max() > limits.max):
        return a
    return a.astype(np.int32)


def _narrowed(a: np.ndarray, wanted: str | None) -> np.ndarray:
    """An array of one of the library's dtypes with the same values."""
    if a.dtype.name in _DTYPES:
        return a
    if a.dtype == object or a.dtype.kind not in "biuf":
        raise _core.DTypeError(
            "convert_to_tensor: expected numbers of one shape, got an array of "
            f"dtype {a.dtype}"
        )
    if a.dtype.kind == "f":
        return a.astype(np.float32 if a.dtype.itemsize < 4 else np.float64)
    if a.dtype.itemsize < 4:
        return a.astype(np.int32)
    if a.dtype.itemsize == 4 or not a.size or a.max() <= np.iinfo(np.int64).max:
        return a.astype(np.int64)
    raise _core.DTypeError("convert_to_tensor: uint64 values above 2**63 - 1")


def _holds_tensor(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(_holds_tensor(item) for item in x)
    return isinstance(x, Tensor | _core.Variable | Dim) or hasattr(x, "_core")


def array(x: Any, dtype: Any = None) -> Tensor:
    """Same as `convert_to_tensor`."""
    return convert_to_tensor(x, dtype)


def convert_to_numpy(x: Any) -> np.ndarray:
    """The values as a numpy array.

    Raises:
        StateError: x is a placeholder of a Graph that is being traced.
    """
    if type(x) is Tensor:
        return x.numpy()
    if isinstance(x, np.ndarray):
        return x
    return convert_to_tensor(x).numpy()


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor (a Variable is not)."""
    return isinstance(x, Tensor)


def cast(x: Any, dtype: Any) -> Tensor:
    """`x` with another dtype; `x` itself when it already has it."""
    out = convert_to_tensor(x, standardize_dtype(dtype))
    if any_sizes() and out.dtype in ("int32", "int64") and out.ndim < 2:
        return note_sizes(out, noted_sizes(x))
    return out


def saturate_cast(x: Any, dtype: Any) -> Tensor:
    """`cast` that clips to the range of an integer dtype first."""
    x = to_tensor(x)
    name = standardize_dtype(dtype)
    if name in ("uint8", "int32", "int64") and x.dtype != "bool":
        limits = np.iinfo(name)
        x = _core.clip(x, limits.min, limits.max)
    return cast(x, name)


def copy(x: Any) -> Tensor:
    """A tensor equal to x (tensors never change, so x itself will do)."""
    return to_tensor(x)


def dtype(x: Any) -> str:
    """Name of the dtype of x."""
    if getattr(x, "_is_placeholder", False):
        return x.dtype
    return to_tensor(x).dtype


def shape(x: Any) -> tuple[Any, ...]:
    """Sizes of x: ints, and symbolic sizes for what a trace does not know yet.

    For a placeholder: ints, and None for what is not known.
    """
    if getattr(x, "_is_placeholder", False):
        return x.shape
    return tuple(to_tensor(x).dims)


def ndim(x: Any) -> int:
    """Number of axes."""
    if getattr(x, "_is_placeholder", False):
        return x.ndim
    return to_tensor(x).ndim


def dims_product(dims: Any) -> Any:
    """Product of sizes, symbolic ones included."""
    known, symbolic = 1, None
    for dim in dims:
        if isinstance(dim, int):
            known *= dim
        else:
            symbolic = dim if symbolic is None else symbolic * dim
    if symbolic is None:
        return known
    return symbolic if known == 1 else symbolic * known


def dim_value(dim: Any, dtype: Any = None) -> Any:
    """A size as a number: an int, or a scalar Tensor while it is symbolic."""
    if isinstance(dim, int | np.integer):
        return int(dim)
    return _core.sum(_core.full((dim,), 1, standardize_dtype(dtype)))


def size(x: Any) -> Any:
    """Number of elements: an int32 Tensor (scalar)."""
    x = to_tensor(x)
    count: Any = 1
    for dim in x.dims:
        count = count * dim_value(dim, "int32")
    return convert_to_tensor(count, "int32")


def stop_gradient(variable: Any) -> Tensor:
    """The value, through which no gradient flows."""
    x = to_tensor(variable)
    return _core.stop_gradient(x) if x.is_symbolic else x.detach()
