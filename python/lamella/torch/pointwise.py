"""Functions of each element."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core

from . import _dtype as dt
from .tensor import Tensor, dtype_of, new_tensor, shape_of, wrap

__all__ = ["BINARY", "FUNCTIONS", "IN_PLACE", "METHODS"]

Function = Callable[..., Any]
FUNCTIONS: dict[str, Function] = {}  # torch.name
METHODS: dict[str, Function] = {}  # Tensor.name
BINARY: dict[str, Function] = {}  # operators, for the core's fast path
IN_PLACE: list[str] = []  # methods that also exist with an underscore


def publish(
    *names: str, method: bool = True, in_place: bool = False
) -> Callable[[Function], Any]:
    """Enters a function under its names: torch.name, Tensor.name, Tensor.name_."""

    def enter(f: Function) -> Function:
        for name in names:
            FUNCTIONS[name] = f
            if method:
                METHODS[name] = f
                if in_place:
                    IN_PLACE.append(name)
        return f

    return enter


def store(result: Any, out: Any) -> Any:
    """The result, or `out` filled with it."""
    if out is None:
        return result
    return (
        out.resize_as_(result).copy_(result)
        if out.shape != result.shape
        else out.copy_(result)
    )


def floats(x: Any) -> Any:
    """The tensor, integers as the default float type."""
    if not isinstance(x, _core.Tensor):
        raise TypeError(f"expected a Tensor, got {type(x).__name__}")
    d = dtype_of(x)
    return x if d.is_floating_point else _core.cast(x, dt.get_default_dtype().name)


def cast(x: Any, d: dt.dtype) -> Any:
    return x if dtype_of(x) is d else _core.cast(x, d.name)


def scalar_type(x: Any) -> dt.dtype:
    """The type a Python number brings along."""
    if isinstance(x, bool | np.bool_):
        return dt.bool_
    if isinstance(x, numbers.Integral):
        return dt.int64
    if isinstance(x, numbers.Real):
        return dt.get_default_dtype()
    raise TypeError(f"expected a Tensor or a number, got {type(x).__name__}")


def result_type(x: Any, y: Any) -> dt.dtype:
    """The type of a result of two operands, by PyTorch's rules.

    A tensor with axes counts more than one without, and that more than a Python number,
    unless the
    other is of a higher kind (bool, integer, float).
    """
    kinds = []
    for v in (x, y):
        if isinstance(v, _core.Tensor):
            kinds.append((2 if shape_of(v) else 1, dtype_of(v)))
        else:
            kinds.append((0, scalar_type(v)))
    (px, dx), (py, dy) = kinds
    if px == py:
        return dt.promote_types(dx, dy)
    if px < py:
        dx, dy = dy, dx
    return dx if dx.rank >= dy.rank else dy


def pair(x: Any, y: Any, d: dt.dtype | None = None) -> tuple[Any, Any, dt.dtype]:
    """Both operands as tensors of one type."""
    if isinstance(x, np.ndarray):
        x = new_tensor(x)
    if isinstance(y, np.ndarray):
        y = new_tensor(y)
    d = d or result_type(x, y)
    a = cast(x, d) if isinstance(x, _core.Tensor) else _number(x, d)
    b = cast(y, d) if isinstance(y, _core.Tensor) else _number(y, d)
    return a, b, d


def _number(x: Any, d: dt.dtype) -> Any:
    if d.is_floating_point:
        return _core.full((), float(x), d.name)
    return _core.from_numpy(np.array(x).astype(d.name), True)


def by_numpy(f: Function, *tensors: Any) -> Any:
    """A result without gradient, computed by numpy."""
    arrays = [
        np.asarray(_core.Tensor.numpy(t)) if isinstance(t, _core.Tensor) else t
        for t in tensors
    ]
    return new_tensor(np.asarray(f(*arrays)))


# ---------------------------------------------------------------- one operand


def _unary(core: Function, keeps_integers: bool = False) -> Function:
    if keeps_integers:

        def same(input: Any, *, out: Any = None) -> Any:
            return store(wrap(core(input)), out)

        return same

    def function(input: Any, *, out: Any = None) -> Any:
        if out is None:
            y = core(floats(input))
            return y if type(y) is Tensor else wrap(y)
        return store(wrap(core(floats(input))), out)

    return function


_UNARY = {
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "sqrt": "sqrt",
    "rsqrt": "rsqrt",
    "reciprocal": "reciprocal",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "asin",
    "arcsin": "asin",
    "acos": "acos",
    "arccos": "acos",
    "atan": "atan",
    "arctan": "atan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "erf": "erf",
    "sigmoid": "sigmoid",
}
for _name, _core_name in _UNARY.items():
    publish(_name, in_place=True)(_unary(getattr(_core, _core_name)))
for _name in ("neg", "abs", "square"):
    publish(_name, in_place=True)(_unary(getattr(_core, _name), True))
for _name, _other in {"negative": "neg", "absolute": "abs"}.items():
    publish(_name, in_place=True)(FUNCTIONS[_other])


def _integral(core: Function) -> Function:
    def function(input: Any, *, out: Any = None) -> Any:
        same = not dtype_of(input).is_floating_point
        return store(input.clone() if same else flat(input, core(input)), out)

    return function


def flat(input: Any, value: Any) -> Any:
    """A result whose gradient is zero wherever it has one."""
    if not (_core.is_grad_enabled() and input.requires_grad):
        return wrap(value)

    def vjp(gradients: Any) -> Any:
        return [_core.mul(gradients[0], 0.0)]

    return wrap(_core.record_custom("floor", [input], [value], vjp)[0])


for _name in ("floor", "ceil"):
    publish(_name, in_place=True)(_integral(getattr(_core, _name)))


@publish("sign", "sgn", in_place=True)
def sign(input: Any, *, out: Any = None) -> Any:
    """-1, 0 or 1."""
    value = _core.sign(input)
    floating = dtype_of(input).is_floating_point
    return store(flat(input, value) if floating else wrap(value), out)


@publish("round", in_place=True)
def round_(input: Any, *, decimals: int = 0, out: Any = None) -> Any:
    """The nearest integer, halves to the even one; or so many decimals."""
    if not dtype_of(input).is_floating_point:
        return store(input.clone(), out)
    if not decimals:
        return store(flat(input, _core.round(input)), out)
    scale = 10.0**decimals
    return store(wrap(_core.round(input * scale)) / scale, out)


@publish("trunc", "fix", in_place=True)
def trunc(input: Any, *, out: Any = None) -> Any:
    """Towards zero."""
    if not dtype_of(input).is_floating_point:
        return store(input.clone(), out)
    value = _core.mul(_core.sign(input), _core.floor(_core.abs(input)))
    return store(flat(input, _core.Tensor.detach(value)), out)


@publish("frac", in_place=True)
def frac(input: Any, *, out: Any = None) -> Any:
    """What trunc leaves."""
    return store(input - trunc(input), out)


@publish("log2", in_place=True)
def log2(input: Any, *, out: Any = None) -> Any:
    """Logarithm to base 2."""
    return store(wrap(_core.log(floats(input))) * (1 / math.log(2)), out)


@publish("log10", in_place=True)
def log10(input: Any, *, out: Any = None) -> Any:
    """Logarithm to base 10."""
    return store(wrap(_core.log(floats(input))) * (1 / math.log(10)), out)


@publish("exp2", in_place=True)
def exp2(input: Any, *, out: Any = None) -> Any:
    """2 to the power of each element."""
    return store(wrap(_core.exp(floats(input) * math.log(2))), out)


@publish("erfc", in_place=True)
def erfc(input: Any, *, out: Any = None) -> Any:
    """1 - erf."""
    return store(1 - wrap(_core.erf(floats(input))), out)


@publish("asinh", "arcsinh", in_place=True)
def asinh(input: Any, *, out: Any = None) -> Any:
    """Inverse of sinh."""
    x = wrap(floats(input))
    a = abs(x)
    return store(sign(x) * wrap(_core.log(a + wrap(_core.sqrt(a * a + 1)))), out)


@publish("acosh", "arccosh", in_place=True)
def acosh(input: Any, *, out: Any = None) -> Any:
    """Inverse of cosh."""
    x = wrap(floats(input))
    return store(wrap(_core.log(x + wrap(_core.sqrt(x * x - 1)))), out)


@publish("atanh", "arctanh", in_place=True)
def atanh(input: Any, *, out: Any = None) -> Any:
    """Inverse of tanh."""
    x = wrap(floats(input))
    return store((wrap(_core.log1p(x)) - wrap(_core.log1p(-x))) * 0.5, out)


@publish("logit", in_place=True)
def logit(input: Any, eps: float | None = None, *, out: Any = None) -> Any:
    """log(x / (1 - x)), x first clamped to [eps, 1 - eps]."""
    x = wrap(floats(input))
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return store(wrap(_core.log(x)) - wrap(_core.log1p(-x)), out)


@publish("deg2rad", in_place=True)
def deg2rad(input: Any, *, out: Any = None) -> Any:
    """Degrees to radians."""
    return store(wrap(floats(input)) * (math.pi / 180), out)


@publish("rad2deg", in_place=True)
def rad2deg(input: Any, *, out: Any = None) -> Any:
    """Radians to degrees."""
    return store(wrap(floats(input)) * (180 / math.pi), out)


@publish("sinc", in_place=True)
def sinc(input: Any, *, out: Any = None) -> Any:
    """sin(pi x) / (pi x)."""
    x = wrap(floats(input)) * math.pi
    zero = wrap(_core.equal(x, 0.0))
    safe = where(zero, 1.0, x)
    return store(where(zero, 1.0, wrap(_core.sin(safe)) / safe), out)


@publish("isnan")
def isnan(input: Any) -> Any:
    """Whether an element is not a number."""
    return wrap(_core.isnan(floats(input)))


@publish("isfinite")
def isfinite(input: Any) -> Any:
    """Whether an element is neither infinite nor NaN."""
    return wrap(_core.isfinite(floats(input)))


@publish("isinf")
def isinf(input: Any) -> Any:
    """Whether an element is infinite."""
    return wrap(_core.equal(_core.abs(floats(input)), math.inf))


@publish("nan_to_num", in_place=True)
def nan_to_num(
    input: Any,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Any:
    """NaN and infinities replaced by numbers."""
    limits = np.finfo(dtype_of(input).name)
    x = where(isnan(input), nan, input)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    x = where(wrap(_core.equal(x, math.inf)), high, x)
    return where(wrap(_core.equal(x, -math.inf)), low, x)


# ---------------------------------------------------------------- two operands


def _binary(core: Function, float_result: bool = False) -> Function:
    def function(x: Any, y: Any) -> Any:
        a, b, d = pair(x, y)
        if float_result and not d.is_floating_point:
            a, b, d = pair(a, b, dt.get_default_dtype())
        elif d is dt.bool_:
            return wrap(cast(core(cast(a, dt.int32), cast(b, dt.int32)), dt.bool_))
        return wrap(cast(core(a, b), d))

    return function


_add = BINARY["__add__"] = _binary(_core.add)
_sub = BINARY["__sub__"] = _binary(_core.sub)
_mul = BINARY["__mul__"] = _binary(_core.mul)
_div = BINARY["__truediv__"] = _binary(_core.div, float_result=True)


@publish("add", in_place=True)
def add(input: Any, other: Any, *, alpha: float = 1, out: Any = None) -> Any:
    """input + alpha * other."""
    return store(input + (other if alpha == 1 else other * alpha), out)


@publish("sub", "subtract", in_place=True)
def sub(input: Any, other: Any, *, alpha: float = 1, out: Any = None) -> Any:
    """input - alpha * other."""
    return store(input - (other if alpha == 1 else other * alpha), out)


@publish("rsub")
def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """other - alpha * input."""
    return other - (input if alpha == 1 else input * alpha)


@publish("mul", "multiply", in_place=True)
def mul(input: Any, other: Any, *, out: Any = None) -> Any:
    """input * other."""
    return store(input * other, out)


@publish("div", "divide", "true_divide", in_place=True)
def div(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None
) -> Any:
    """input / other; rounding_mode: None, "trunc" or "floor"."""
    if rounding_mode == "floor":
        return store(floor_divide(input, other), out)
    if rounding_mode == "trunc":
        d = result_type(input, other)
        return store(wrap(cast(trunc(wrap(_div(input, other))), d)), out)
    if rounding_mode is not None:
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but "
            "found "
            f"{rounding_mode!r}"
        )
    return store(input / other, out)


@publish("floor_divide", in_place=True)
def floor_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """The largest integer not above input / other."""
    a, b, d = pair(input, other)
    return store(wrap(cast(_core.floor_div(a, b), d)), out)


@publish("remainder", in_place=True)
def remainder(input: Any, other: Any, *, out: Any = None) -> Any:
    """What floor_divide leaves; the sign is that of other."""
    a, b, d = pair(input, other)
    return store(wrap(cast(_core.mod(a, b), d)), out)


@publish("fmod", in_place=True)
def fmod(input: Any, other: Any, *, out: Any = None) -> Any:
    """What division towards zero leaves; the sign is that of input."""
    a, b, _ = pair(input, other)
    a, b = wrap(a), wrap(b)
    return store(a - b * div(a, b, rounding_mode="trunc"), out)


@publish("pow", in_place=True)
def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """input to the power of exponent."""
    if isinstance(exponent, int | float) and isinstance(input, _core.Tensor):
        d = dtype_of(input)
        if exponent == 2 and d.rank:
            return store(wrap(_core.square(input)), out)
        if not d.is_floating_point and isinstance(exponent, int) and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    a, b, d = pair(input, exponent)
    if not d.is_floating_point:
        return store(by_numpy(lambda p, q: (p**q).astype(d.name), a, b), out)
    return store(wrap(_core.pow(a, b)), out)


FUNCTIONS["float_power"] = METHODS["float_power"] = lambda input, exponent: pow(
    wrap(cast(input, dt.float64)) if isinstance(input, Tensor) else input, exponent
)


def _compare(core: Function) -> Function:
    def function(input: Any, other: Any, *, out: Any = None) -> Any:
        a, b, _ = pair(input, other)
        return store(wrap(core(a, b)), out)

    return function


_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "not_equal": "not_equal",
    "lt": "less",
    "less": "less",
    "le": "less_equal",
    "less_equal": "less_equal",
    "gt": "greater",
    "greater": "greater",
    "ge": "greater_equal",
    "greater_equal": "greater_equal",
}
for _name, _core_name in _COMPARISONS.items():
    publish(_name, in_place=True)(_compare(getattr(_core, _core_name)))


def _extreme(core: Function) -> Function:
    def function(input: Any, other: Any, *, out: Any = None) -> Any:
        a, b, d = pair(input, other)
        return store(wrap(cast(core(a, b), d)), out)

    return function


publish("maximum", "fmax")(_extreme(_core.maximum))
publish("minimum", "fmin")(_extreme(_core.minimum))


@publish("atan2", "arctan2", in_place=True)
def atan2(input: Any, other: Any, *, out: Any = None) -> Any:
    """The angle of the point (other, input)."""
    return store(wrap(_core.atan2(floats(input), floats(other))), out)


@publish("hypot")
def hypot(input: Any, other: Any) -> Any:
    """sqrt(input**2 + other**2)."""
    return wrap(_core.sqrt(input * input + other * other))


@publish("xlogy")
def xlogy(input: Any, other: Any) -> Any:
    """input * log(other), zero where input is zero."""
    x = input if isinstance(input, Tensor) else new_tensor(input)
    y = other if isinstance(other, Tensor) else new_tensor(other)
    zero = wrap(_core.equal(x, wrap(_core.full((), 0.0, dtype_of(x).name))))
    return where(zero, 0.0, x * wrap(_core.log(floats(where(zero, 1.0, y)))))


@publish("logaddexp")
def logaddexp(input: Any, other: Any) -> Any:
    """log(exp(input) + exp(other))."""
    a, b, _ = pair(input, other)
    high = wrap(_core.maximum(a, b))
    return high + wrap(_core.log1p(_core.exp(-abs(wrap(_core.sub(a, b))))))


def _logical(core: Function) -> Function:
    def function(input: Any, other: Any) -> Any:
        a, b, _ = pair(input, other)
        return wrap(core(cast(a, dt.bool_), cast(b, dt.bool_)))

    return function


for _name in ("logical_and", "logical_or", "logical_xor"):
    publish(_name, in_place=True)(_logical(getattr(_core, _name)))


@publish("logical_not", in_place=True)
def logical_not(input: Any) -> Any:
    """Whether an element is zero."""
    return wrap(_core.logical_not(cast(input, dt.bool_)))


def _bitwise(name: str, core: Function, of_arrays: Function) -> None:
    def function(input: Any, other: Any) -> Any:
        a, b, d = pair(input, other)
        if d is dt.bool_:
            return wrap(core(a, b))
        if d.is_floating_point:
            raise RuntimeError(f'"bitwise_{name}_cpu" not implemented for {d!r}')
        return by_numpy(of_arrays, a, b)

    publish(f"bitwise_{name}", in_place=True)(function)
    BINARY[f"__{name}__"] = function


_bitwise("and", _core.logical_and, np.bitwise_and)
_bitwise("or", _core.logical_or, np.bitwise_or)
_bitwise("xor", _core.logical_xor, np.bitwise_xor)


@publish("bitwise_not", in_place=True)
def bitwise_not(input: Any) -> Any:
    """The opposite of each bit."""
    if dtype_of(input) is dt.bool_:
        return wrap(_core.logical_not(input))
    if dtype_of(input).is_floating_point:
        raise RuntimeError(f'"bitwise_not" not implemented for {dtype_of(input)!r}')
    return by_numpy(np.bitwise_not, input)


# ---------------------------------------------------------------- three operands


@publish("clamp", "clip", in_place=True)
def clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """Elements limited to [min, max]; numbers or tensors, either may be None."""
    if min is None and max is None:
        raise RuntimeError(
            "torch.clamp: At least one of 'min' or 'max' must not be None"
        )
    plain = not isinstance(min, Tensor) and not isinstance(max, Tensor)
    if plain and dtype_of(input).is_floating_point:
        low = -math.inf if min is None else float(min)
        high = math.inf if max is None else float(max)
        return store(wrap(_core.clip(input, low, high)), out)
    y = input
    if min is not None:
        y = FUNCTIONS["maximum"](y, min)
    if max is not None:
        y = FUNCTIONS["minimum"](y, max)
    return store(y, out)


@publish("clamp_min", in_place=True)
def clamp_min(input: Any, min: Any) -> Any:
    """Elements not below min."""
    return clamp(input, min)


@publish("clamp_max", in_place=True)
def clamp_max(input: Any, max: Any) -> Any:
    """Elements not above max."""
    return clamp(input, None, max)


@publish("where", method=False)
def where(
    condition: Any, input: Any = None, other: Any = None, *, out: Any = None
) -> Any:
    """input where condition holds, else other; alone, where condition holds."""
    if input is None:
        return FUNCTIONS["nonzero"](condition, as_tuple=True)
    if dtype_of(condition) is not dt.bool_:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, got {condition.dtype}"
        )
    a, b, _ = pair(input, other)
    return store(wrap(_core.where(condition, a, b)), out)


METHODS["where"] = lambda self, condition, other: where(condition, self, other)


@publish("lerp", in_place=True)
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight * (end - input)."""
    return input + weight * (end - input)


@publish("addcmul", in_place=True)
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value * tensor1 * tensor2."""
    return input + value * (tensor1 * tensor2)


@publish("addcdiv", in_place=True)
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value * tensor1 / tensor2."""
    return input + value * (tensor1 / tensor2)


@publish("isclose")
def isclose(
    input: Any,
    other: Any,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Any:
    """Whether |input - other| <= atol + rtol * |other|."""
    return by_numpy(lambda a, b: np.isclose(a, b, rtol, atol, equal_nan), input, other)


@publish("allclose")
def allclose(
    input: Any,
    other: Any,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether isclose holds for all elements."""
    if dtype_of(input) is not dtype_of(other):
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}")
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@publish("equal")
def equal(input: Any, other: Any) -> bool:
    """Whether shape and elements are the same."""
    if shape_of(input) != shape_of(other):
        return False
    return bool(np.array_equal(_core.Tensor.numpy(input), _core.Tensor.numpy(other)))


@publish("heaviside")
def heaviside(input: Any, values: Any) -> Any:
    """0 below zero, 1 above, values at zero."""
    return by_numpy(np.heaviside, input, values)
