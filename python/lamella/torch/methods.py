"""Puts the functions of the other modules on Tensor, also in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core

from . import _dtype as dt
from . import composed, create, index, matrices, reduce, shape  # noqa: F401  (they fill the tables)
from ._dtype import Size
from .pointwise import BINARY, FUNCTIONS, IN_PLACE, METHODS, cast, pair
from .tensor import Parameter, Tensor, dtype_of, new_tensor, shape_of, wrap

__all__: list[str] = []


def _clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy with the same history."""
    if _core.is_grad_enabled() and input.requires_grad:
        return wrap(_core.mul(input, 1.0))
    return wrap(_core.from_numpy(_core.Tensor.numpy(_core.Tensor.detach(input)), True))


FUNCTIONS["clone"] = METHODS["clone"] = _clone


def _fitting(self: Any, value: Any, name: str) -> Any:
    """The value in the type and shape of the tensor that takes it."""
    if not isinstance(value, _core.Tensor):
        value = new_tensor(value, dtype_of(self))
    if dtype_of(value).rank > dtype_of(self).rank and name != "copy_":
        kinds = {0: "Bool", 1: "Long", 2: "Float"}
        raise RuntimeError(
            f"result type {kinds[dtype_of(value).rank]} can't be cast to the desired "
            "output type "
            f"{kinds[dtype_of(self).rank]}"
        )
    value = cast(value, dtype_of(self))
    if shape_of(value) != shape_of(self):
        try:
            wide = np.broadcast_shapes(tuple(shape_of(value)), tuple(shape_of(self)))
        except ValueError:
            wide = ()
        if wide != shape_of(self):
            raise RuntimeError(
                f"output with shape {list(shape_of(self))} doesn't match the broadcast "
                "shape "
                f"{list(shape_of(value))}"
            )
        value = _core.broadcast_to(value, wide)
    return value


def _in_place(f: Any, name: str) -> Any:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        return self._assign(_fitting(self, f(self, *args, **options), name))

    method.__name__ = name
    method.__doc__ = f"{name[:-1]}, in place."
    return method


def _copy(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Takes the elements of another tensor."""
    value = _fitting(self, src, "copy_")
    if isinstance(value, Tensor) and value.requires_grad and value.is_leaf:
        value = _core.reshape(value, shape_of(value))  # a result, not the leaf itself
    elif _core.same_value(value, src) if isinstance(src, Tensor) else False:
        value = _clone(src)
    return self._assign(value)


def _fill(self: Any, value: Any) -> Any:
    """All elements become the value."""
    value = value.item() if isinstance(value, Tensor) else value
    return self._assign(_core.full(shape_of(self), value, dtype_of(self).name))


def _fill_diagonal(self: Any, value: float) -> Any:
    """The diagonal becomes the value."""
    array = np.array(_core.Tensor.numpy(self))
    np.fill_diagonal(array, value)
    return self._assign(_core.from_numpy(array, True))


def _resize_as(self: Any, other: Any) -> Any:
    """Takes another tensor's shape; the elements are those of a new tensor."""
    _core.rebind(self, _core.full(shape_of(other), 0.0, dtype_of(self).name), False)
    return self


def _apply(self: Any, f: Any) -> Any:
    """Each element replaced by f of it, one by one in Python."""
    array = np.array(_core.Tensor.numpy(self))
    flat = array.reshape(-1)
    for i, v in enumerate(flat.tolist()):
        flat[i] = f(v)
    return self._assign(_core.from_numpy(array, True))


def _same(self: Any, *args: Any, **options: Any) -> Any:
    """The tensor itself."""
    return self


METHODS.update(
    copy_=_copy,
    fill_=_fill,
    zero_=lambda self: _fill(self, 0),
    fill_diagonal_=_fill_diagonal,
    resize_as_=_resize_as,
    apply_=_apply,
    cpu=_same,
    pin_memory=_same,
    share_memory_=_same,
    resolve_conj=_same,
    requires_grad_=Tensor.requires_grad_,
)


def _no_cuda(self: Any, *args: Any, **options: Any) -> Any:
    raise RuntimeError(
        "cuda: lamella.torch computes on the CPU; use torch.cuda.is_available() to "
        "choose a device"
    )


METHODS["cuda"] = _no_cuda

for _name, _type in {
    "float": dt.float32,
    "double": dt.float64,
    "long": dt.int64,
    "int": dt.int32,
    "bool": dt.bool_,
    "byte": dt.uint8,
}.items():
    METHODS[_name] = lambda self, _type=_type: self.to(_type)
METHODS["type_as"] = lambda self, other: self.to(dtype_of(other))

for _name in IN_PLACE:
    METHODS[f"{_name}_"] = _in_place(METHODS[_name], f"{_name}_")
    if _name in (
        "exp",
        "sqrt",
        "relu",
        "sigmoid",
        "tanh",
        "neg",
        "abs",
        "floor",
        "ceil",
        "round",
        "log",
        "sin",
        "cos",
        "square",
        "erf",
        "clamp",
    ):
        FUNCTIONS[f"{_name}_"] = METHODS[f"{_name}_"]


# ---------------------------------------------------------------- operators


def _operand(x: Any) -> bool:
    return isinstance(x, _core.Tensor | int | float | np.ndarray | np.generic)


def _operator(f: Any, swap: bool = False) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not _operand(other):
            return NotImplemented
        return f(other, self) if swap else f(self, other)

    return method


def _comparison(f: Any, otherwise: Any) -> Any:
    def method(self: Any, other: Any) -> Any:
        return f(self, other) if _operand(other) else otherwise

    return method


_OPERATORS: dict[str, Any] = {
    **BINARY,
    "__floordiv__": FUNCTIONS["floor_divide"],
    "__mod__": FUNCTIONS["remainder"],
    "__pow__": FUNCTIONS["pow"],
}
for _name, _function in _OPERATORS.items():
    METHODS[_name] = _operator(_function)
    METHODS[f"__r{_name[2:]}"] = _operator(_function, swap=True)
    METHODS[f"__i{_name[2:]}"] = _in_place(
        {
            "__add__": lambda a, b: a + b,
            "__sub__": lambda a, b: a - b,
            "__mul__": lambda a, b: a * b,
            "__truediv__": lambda a, b: a / b,
            "__matmul__": lambda a, b: a @ b,
        }.get(_name, _function),
        f"{_name[2:-2]}_",
    )
for _name, _function in {
    "__lt__": "lt",
    "__le__": "le",
    "__gt__": "gt",
    "__ge__": "ge",
}.items():
    METHODS[_name] = _comparison(FUNCTIONS[_function], NotImplemented)
METHODS["__eq__"] = _comparison(FUNCTIONS["eq"], False)
METHODS["__ne__"] = _comparison(FUNCTIONS["ne"], True)
METHODS["__neg__"] = FUNCTIONS["neg"]
METHODS["__pos__"] = _same
METHODS["__abs__"] = FUNCTIONS["abs"]
METHODS["__invert__"] = FUNCTIONS["bitwise_not"]


def _contains(self: Any, item: Any) -> bool:
    a, b, _ = pair(self, item)
    return bool(_core.any(_core.equal(a, b)))


METHODS["__contains__"] = _contains

for _name, _function in METHODS.items():
    setattr(Tensor, _name, _function)

_core.torch_face(Tensor, Size, dt.ALL, dict(BINARY))
_core.torch_face_subclass(Parameter)
