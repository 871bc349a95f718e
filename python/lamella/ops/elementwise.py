"""Functions that act element by element, with broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    is_float,
    operand,
    pair,
    to_float,
    to_tensor,
)

__all__ = [
    "abs",
    "absolute",
    "add",
    "allclose",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "ceil",
    "clip",
    "conj",
    "conjugate",
    "cos",
    "cosh",
    "deg2rad",
    "divide",
    "divide_no_nan",
    "equal",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "i0",
    "imag",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "ldexp",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "not_equal",
    "power",
    "rad2deg",
    "real",
    "reciprocal",
    "round",
    "rsqrt",
    "select",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "where",
]


def _unary(name: str, core: Callable[[Tensor], Tensor], doc: str) -> Any:
    def op(x: Any) -> Tensor:
        return core(x if type(x) is Tensor else convert_to_tensor(x))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


def _binary(name: str, core: Callable[[Any, Any], Tensor], doc: str) -> Any:
    def op(x1: Any, x2: Any) -> Tensor:
        a = x1 if type(x1) is Tensor else operand(x1)
        b = x2 if type(x2) is Tensor else operand(x2)
        if type(a) is not Tensor and type(b) is not Tensor:
            a = convert_to_tensor(a)
        return core(a, b)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


abs = _unary("abs", _core.abs, "Absolute value.")
absolute = abs
arccos = _unary("arccos", _core.acos, "Inverse cosine, in radians.")
arcsin = _unary("arcsin", _core.asin, "Inverse sine, in radians.")
arctan = _unary("arctan", _core.atan, "Inverse tangent, in radians.")
cos = _unary("cos", _core.cos, "Cosine of radians.")
cosh = _unary("cosh", _core.cosh, "Hyperbolic cosine.")
erf = _unary("erf", _core.erf, "Error function.")
erfinv = _unary("erfinv", _core.erfinv, "Inverse of the error function.")
exp = _unary("exp", _core.exp, "Exponential.")
expm1 = _unary("expm1", _core.expm1, "exp(x) - 1 without loss of digits near 0.")
i0 = _unary("i0", _core.bessel_i0, "Modified Bessel function of order 0.")
isfinite = _unary("isfinite", _core.isfinite, "True where x is a finite number.")
isnan = _unary("isnan", _core.isnan, "True where x is NaN.")
log = _unary("log", _core.log, "Natural logarithm.")
log1p = _unary("log1p", _core.log1p, "log(1 + x) without loss of digits near 0.")
logical_not = _unary("logical_not", _core.logical_not, "Logical not.")
negative = _unary("negative", _core.neg, "The opposite, -x.")
reciprocal = _unary("reciprocal", _core.reciprocal, "1 / x.")
rsqrt = _unary("rsqrt", _core.rsqrt, "1 / sqrt(x).")
sign = _unary("sign", _core.sign, "-1, 0 or 1.")
sin = _unary("sin", _core.sin, "Sine of radians.")
sinh = _unary("sinh", _core.sinh, "Hyperbolic sine.")
sqrt = _unary("sqrt", _core.sqrt, "Square root.")
square = _unary("square", _core.square, "x * x.")
tan = _unary("tan", _core.tan, "Tangent of radians.")
tanh = _unary("tanh", _core.tanh, "Hyperbolic tangent.")

add = _binary("add", _core.add, "x1 + x2.")
arctan2 = _binary("arctan2", _core.atan2, "Angle of the point (x2, x1), in radians.")
divide = _binary("divide", _core.div, "x1 / x2; integers give floats.")
true_divide = divide
equal = _binary("equal", _core.equal, "x1 == x2.")
floor_divide = _binary("floor_divide", _core.floor_div, "floor(x1 / x2).")
greater = _binary("greater", _core.greater, "x1 > x2.")
greater_equal = _binary("greater_equal", _core.greater_equal, "x1 >= x2.")
less = _binary("less", _core.less, "x1 < x2.")
less_equal = _binary("less_equal", _core.less_equal, "x1 <= x2.")
logical_and = _binary("logical_and", _core.logical_and, "Logical and.")
logical_or = _binary("logical_or", _core.logical_or, "Logical or.")
logical_xor = _binary("logical_xor", _core.logical_xor, "Logical exclusive or.")
maximum = _binary("maximum", _core.maximum, "The larger of both; NaN if one is NaN.")
minimum = _binary("minimum", _core.minimum, "The smaller of both; NaN if one is NaN.")
mod = _binary("mod", _core.mod, "Remainder with the sign of x2.")
multiply = _binary("multiply", _core.mul, "x1 * x2.")
not_equal = _binary("not_equal", _core.not_equal, "x1 != x2.")
power = _binary("power", _core.pow, "x1 ** x2.")
subtract = _binary("subtract", _core.sub, "x1 - x2.")


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """x1 where condition holds, else x2; `nonzero(condition)` without both.

    Raises:
        ValueError: one of x1 and x2 is missing.
    """
    if x1 is None and x2 is None:
        from lamella.ops.statistics import nonzero

        return nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("where: x1 and x2 must both be given, or none of them")
    condition = to_tensor(condition)
    if condition.dtype != "bool":
        condition = _core.not_equal(condition, 0)
    a, b = operand(x1), operand(x2)
    if type(a) is not Tensor and type(b) is not Tensor:
        dtype = None if isinstance(a, float) or isinstance(b, float) else "int32"
        if isinstance(a, bool) and isinstance(b, bool):
            dtype = "bool"
        a, b = cast(a, dtype), cast(b, dtype)
    return _core.where(condition, a, b)


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Tensor:
    """The first choice whose condition holds, else default."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            "select: condlist and choicelist must have the same length of at least 1, "
            f"got {len(condlist)} and {len(choicelist)}"
        )
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = where(condition, choice, out)
    return to_tensor(out)


def clip(x: Any, x_min: Any, x_max: Any) -> Tensor:
    """x limited to [x_min, x_max]; a limit of None is open."""
    x = to_tensor(x)
    if isinstance(x_min, int | float) and isinstance(x_max, int | float):
        return _core.clip(x, x_min, x_max)
    if x_min is not None:
        x = _core.maximum(x, operand(x_min))
    if x_max is not None:
        x = _core.minimum(x, operand(x_max))
    return x


def divide_no_nan(x1: Any, x2: Any) -> Tensor:
    """x1 / x2, and 0 where x2 is 0."""
    x1, x2 = to_float(x1), to_float(x2)
    is_zero = _core.equal(x2, 0)
    return _core.where(is_zero, 0.0, _core.div(x1, _core.where(is_zero, 1.0, x2)))


def _other_than_nan(x1: Tensor, x2: Tensor, found: Tensor) -> Tensor:
    x1, x2 = cast(x1, found.dtype), cast(x2, found.dtype)
    return _core.where(_core.isnan(x1), x2, _core.where(_core.isnan(x2), x1, found))


def fmax(x1: Any, x2: Any) -> Tensor:
    """The larger of both; a NaN gives way to the other number."""
    x1, x2 = pair(x1, x2)
    larger = _core.maximum(x1, x2)
    if not is_float(larger):
        return larger
    return _other_than_nan(x1, x2, larger)


def fmin(x1: Any, x2: Any) -> Tensor:
    """The smaller of both; a NaN gives way to the other number."""
    x1, x2 = pair(x1, x2)
    smaller = _core.minimum(x1, x2)
    if not is_float(smaller):
        return smaller
    return _other_than_nan(x1, x2, smaller)


def ceil(x: Any) -> Tensor:
    """Smallest whole number not below x, as a float."""
    return _core.ceil(to_float(x))


def floor(x: Any) -> Tensor:
    """Largest whole number not above x, as a float."""
    return _core.floor(to_float(x))


def fabs(x: Any) -> Tensor:
    """Absolute value, as a float."""
    return _core.abs(to_float(x))


def trunc(x: Any) -> Tensor:
    """x rounded towards zero."""
    x = to_tensor(x)
    if not is_float(x):
        return x
    return _core.where(_core.less(x, 0), _core.ceil(x), _core.floor(x))


def fmod(x1: Any, x2: Any) -> Tensor:
    """Remainder with the sign of x1."""
    x1, x2 = pair(x1, x2)
    rest = _core.mod(_core.abs(x1), _core.abs(x2))
    if rest.dtype == "uint8":
        return rest
    return _core.where(_core.less(x1, 0), _core.neg(rest), rest)


def round(x: Any, decimals: int = 0) -> Tensor:
    """x rounded to the nearest (ties to even), to `decimals` decimal places."""
    x = to_tensor(x)
    if not is_float(x) and decimals >= 0:
        return x
    if decimals == 0:
        return _core.round(x)
    factor = 10.0**decimals
    rounded = _core.div(_core.round(_core.mul(x, factor)), factor)
    return rounded if is_float(x) else cast(rounded, x.dtype)


def arccosh(x: Any) -> Tensor:
    """Inverse hyperbolic cosine."""
    x = to_float(x)
    return _core.log(x + _core.sqrt(x - 1.0) * _core.sqrt(x + 1.0))


def arcsinh(x: Any) -> Tensor:
    """Inverse hyperbolic sine: sign(x) log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))."""
    x = to_float(x)
    large = _core.greater(_core.abs(x), 1e8)  # there x^2 + 1 is x^2, and may overflow
    a = _core.abs(x)
    small = _core.where(large, 1.0, a)
    tail = small * small / (1.0 + _core.sqrt(small * small + 1.0))
    near = _core.log1p(small + tail)
    far = _core.log(_core.where(large, a, 1.0)) + math.log(2.0)
    return _core.sign(x) * _core.where(large, far, near)


def arctanh(x: Any) -> Tensor:
    """Inverse hyperbolic tangent."""
    x = to_float(x)
    return 0.5 * (_core.log1p(x) - _core.log1p(-x))


def cbrt(x: Any) -> Tensor:
    """Cube root, also of negative numbers."""
    x = to_float(x)
    return _core.sign(x) * _core.pow(_core.abs(x), 1.0 / 3.0)


def erfc(x: Any) -> Tensor:
    """1 - erf(x)."""
    return 1.0 - _core.erf(to_float(x))


def exp2(x: Any) -> Tensor:
    """2 ** x."""
    return _core.exp(to_float(x) * math.log(2.0))


def log2(x: Any) -> Tensor:
    """Logarithm to base 2."""
    return _core.log(to_float(x)) * (1.0 / math.log(2.0))


def log10(x: Any) -> Tensor:
    """Logarithm to base 10."""
    return _core.log(to_float(x)) * (1.0 / math.log(10.0))


def logaddexp(x1: Any, x2: Any) -> Tensor:
    """log(exp(x1) + exp(x2)), computed stably."""
    x1, x2 = to_float(x1), to_float(x2)
    gap = -_core.abs(x1 - x2)
    # Equal infinities have no difference; their sum in the exponent is themselves.
    gap = _core.where(_core.isnan(gap), _core.where(_core.equal(x1, x2), 0.0, gap), gap)
    return _core.maximum(x1, x2) + _core.log1p(_core.exp(gap))


def logaddexp2(x1: Any, x2: Any) -> Tensor:
    """log2(2**x1 + 2**x2), computed stably."""
    log_2 = math.log(2.0)
    return logaddexp(to_float(x1) * log_2, to_float(x2) * log_2) * (1.0 / log_2)


def hypot(x1: Any, x2: Any) -> Tensor:
    """sqrt(x1^2 + x2^2) without overflow."""
    a, b = _core.abs(to_float(x1)), _core.abs(to_float(x2))
    high, low = _core.maximum(a, b), _core.minimum(a, b)
    ratio = divide_no_nan(low, high)
    return high * _core.sqrt(1.0 + ratio * ratio)


def heaviside(x1: Any, x2: Any) -> Tensor:
    """0 for x1 < 0, x2 for x1 == 0, 1 for x1 > 0."""
    x1, x2 = to_float(x1), to_float(x2)
    step = cast(_core.greater(x1, 0), x1.dtype)
    return _core.where(_core.equal(x1, 0), x2, step)


def ldexp(x1: Any, x2: Any) -> Tensor:
    """x1 * 2**x2."""
    exponent = to_tensor(x2)
    if is_float(exponent) or exponent.dtype == "bool":
        raise TypeError(f"ldexp: x2 must hold integers, got x2.dtype={exponent.dtype}")
    x1 = to_float(x1)
    return x1 * exp2(cast(exponent, x1.dtype))


def sinc(x: Any) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
    x = to_float(x) * math.pi
    is_zero = _core.equal(x, 0)
    safe = _core.where(is_zero, 1.0, x)
    return _core.where(is_zero, 1.0, _core.sin(safe) / safe)


def deg2rad(x: Any) -> Tensor:
    """Degrees to radians."""
    return to_float(x) * (math.pi / 180.0)


def rad2deg(x: Any) -> Tensor:
    """Radians to degrees."""
    return to_float(x) * (180.0 / math.pi)


def conj(x: Any) -> Tensor:
    """x: there are no complex tensors."""
    return to_tensor(x)


conjugate = real = conj


def imag(x: Any) -> Tensor:
    """Zeros: there are no complex tensors."""
    x = to_tensor(x)
    return _core.full(x.dims, 0, x.dtype)


def angle(x: Any) -> Tensor:
    """Angle in the complex plane: 0 for x >= 0, pi below, NaN for NaN."""
    x = to_float(x)
    side = cast(_core.less(x, 0), x.dtype) * math.pi
    return _core.where(_core.isnan(x), x, side)


def isreal(x: Any) -> Tensor:
    """True everywhere: there are no complex tensors."""
    x = to_tensor(x)
    return _core.full(x.dims, True, "bool")


def isinf(x: Any) -> Tensor:
    """True where x is plus or minus infinity."""
    x = to_float(x)
    return _core.logical_not(_core.logical_or(_core.isfinite(x), _core.isnan(x)))


def isposinf(x: Any) -> Tensor:
    """True where x is plus infinity."""
    return _core.equal(to_float(x), math.inf)


def isneginf(x: Any) -> Tensor:
    """True where x is minus infinity."""
    return _core.equal(to_float(x), -math.inf)


def signbit(x: Any) -> Tensor:
    """True where x is negative, minus zero included."""
    x = to_float(x)
    minus_zero = _core.less(_core.reciprocal(x), 0)
    return _core.where(_core.equal(x, 0), minus_zero, _core.less(x, 0))


def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN and infinities replaced by numbers (the largest ones by default)."""
    x = to_tensor(x)
    if not is_float(x):
        return x
    largest = 3.4028234663852886e38 if x.dtype == "float32" else 1.7976931348623157e308
    x = _core.where(_core.isnan(x), nan, x)
    x = _core.where(_core.equal(x, math.inf), largest if posinf is None else posinf, x)
    return _core.where(
        _core.equal(x, -math.inf), -largest if neginf is None else neginf, x
    )


def isclose(
    x1: Any,
    x2: Any,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """|x1 - x2| <= atol + rtol |x2|, elementwise."""
    x1, x2 = to_float(x1), to_float(x2)
    near = _core.less_equal(_core.abs(x1 - x2), atol + rtol * _core.abs(x2))
    finite = _core.logical_and(_core.isfinite(x1), _core.isfinite(x2))
    result = _core.logical_or(_core.logical_and(near, finite), _core.equal(x1, x2))
    if equal_nan:
        both = _core.logical_and(_core.isnan(x1), _core.isnan(x2))
        result = _core.logical_or(result, both)
    return result


def allclose(
    x1: Any,
    x2: Any,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether all elements are close (a boolean scalar)."""
    return _core.all(isclose(x1, x2, rtol, atol, equal_nan))
