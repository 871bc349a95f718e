"""torch.nn.init: first values of weights, in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core

from .. import _dtype as dt
from ..autograd import no_grad
from ..create import default_generator, gaussian, uniform
from ..tensor import dtype_of, shape_of

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_ONE = (
    "linear",
    "sigmoid",
    *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)),
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance behind an activation."""
    if nonlinearity in _ONE:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _fans(tensor: Any) -> tuple[int, int]:
    shape = shape_of(tensor)
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 "
            "dimensions"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


_calculate_fan_in_and_fan_out = _fans


def _set(tensor: Any, value: Any) -> Any:
    with no_grad():
        return tensor._assign(value)


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Uniform numbers in [a, b)."""
    return _set(tensor, uniform(shape_of(tensor), a, b, dtype_of(tensor), generator))


def normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None
) -> Any:
    """Normal numbers."""
    return _set(
        tensor, gaussian(shape_of(tensor), mean, std, dtype_of(tensor), generator)
    )


def trunc_normal_(
    tensor: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Any:
    """Normal numbers within [a, b]: what lies outside is drawn again."""
    rng = (generator or default_generator).numpy()
    values = rng.normal(mean, std, shape_of(tensor))
    while (outside := (values < a) | (values > b)).any():
        values[outside] = rng.normal(mean, std, int(outside.sum()))
    return _set(tensor, _core.from_numpy(values.astype(dtype_of(tensor).name), True))


def constant_(tensor: Any, val: float) -> Any:
    """One value."""
    return _set(tensor, _core.full(shape_of(tensor), float(val), dtype_of(tensor).name))


def ones_(tensor: Any) -> Any:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Any) -> Any:
    """Zeros."""
    return constant_(tensor, 0.0)


def _from_array(tensor: Any, array: Any) -> Any:
    return _set(tensor, _core.from_numpy(array.astype(dtype_of(tensor).name), True))


def eye_(tensor: Any) -> Any:
    """The identity matrix."""
    if len(shape_of(tensor)) != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _from_array(tensor, np.eye(*shape_of(tensor)))


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Convolution weights that hand channels through."""
    shape = shape_of(tensor)
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    values = np.zeros(shape)
    per = shape[0] // groups
    for g in range(groups):
        for i in range(min(per, shape[1])):
            centre = (g * per + i, i, *(n // 2 for n in shape[2:]))
            values[centre] = 1
    return _from_array(tensor, values)


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform within gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(
            f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']"
        )
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """Uniform within gain * sqrt(3 / fan)."""
    bound = math.sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """Normal with deviation gain / sqrt(fan)."""
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """Orthogonal rows (or columns) of length gain."""
    shape = shape_of(tensor)
    if len(shape) < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    rows, columns = shape[0], math.prod(shape[1:])
    flat = (generator or default_generator).numpy().normal(size=(rows, columns))
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))
    return _from_array(tensor, gain * (q.T if rows < columns else q).reshape(shape))


def sparse_(
    tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None
) -> Any:
    """Normal numbers with a share of zeros in each column."""
    if len(shape_of(tensor)) != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rng = (generator or default_generator).numpy()
    rows, columns = shape_of(tensor)
    values = rng.normal(0, std, (rows, columns))
    for c in range(columns):
        values[rng.permutation(rows)[: math.ceil(sparsity * rows)], c] = 0
    return _from_array(tensor, values)


def new_weight(shape: Any, bound: float, dtype: Any = None) -> Any:
    """A parameter of uniform numbers within the bound."""
    from ..tensor import Parameter

    d = dt.as_dtype(dtype) if dtype is not None else dt.get_default_dtype()
    return Parameter(uniform(tuple(shape), -bound, bound, d))
