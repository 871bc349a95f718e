"""Keras's Variable: a named value that layers, metrics and optimizers own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamella import _core
from lamella.config import auto_name, standardize_dtype

__all__ = ["Variable", "evaluate_outside_trace"]


def evaluate_outside_trace(function: Callable[[], Any]) -> np.ndarray:
    """Run `function` and return its concrete value, even while a Graph is traced.

    Initializers draw random numbers with ordinary ops. When a layer is built for
    the first time inside a trace those ops must not become part of the traced
    step, so they are recorded in a Graph of their own, which is run at once.
    """
    if _core.current_graph() is None:
        return _to_numpy(function())
    graph = _core.Graph()
    with graph:
        value = function()
        if not getattr(value, "is_symbolic", False):
            return _to_numpy(value)
        graph.output("value", value)
    return np.asarray(_core.Executor(graph)([])[0])


def _to_numpy(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "numpy"):
        return np.asarray(value.numpy())
    return np.asarray(value)


class _Structure:
    """Counts what may change which layers, weights and metrics a model has."""

    version = 0


structure = _Structure()


class _Stateless(threading.local):
    """The StatelessScope that this thread is in."""

    scope: Any = None


stateless = _Stateless()


class Variable:
    """A named, mutable array: weights, statistics, metric and optimizer state.

    Reading it inside a traced `call` reads the value of the running step;
    `assign` there is recorded and happens at the end of every step.

    Args:
        initializer: array, number, Tensor, or a callable of (shape, dtype).
        shape: tuple of ints; needed when `initializer` is a callable.
        dtype: type name; default: the array's own, or `floatx()`.
        trainable: whether optimizers may change it. Default True.
        autocast: accepted for Keras's sake.
        aggregation: accepted for Keras's sake.
        synchronization: accepted for Keras's sake.
        name: default "variable", "variable_1", ...

    Raises:
        ValueError: if a callable comes without a shape, or the shapes differ.

    Example:
        >>> import lamella as keras
        >>> v = keras.Variable([1.0, 2.0], name="v")
        >>> v.assign_add([1.0, 1.0]).shape
        (2,)
        >>> float(v.numpy().sum())
        5.0
    """

    __array_priority__ = 200.0

    def __init__(
        self,
        initializer: Any,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
    ) -> None:
        del autocast, aggregation, synchronization
        self.name = name or auto_name(type(self).__name__)
        if "/" in self.name:
            raise ValueError(f"Variable: name must not contain '/', got {name!r}")
        if isinstance(initializer, str):
            from lamella import initializers

            initializer = initializers.get(initializer)
        if callable(initializer):
            if shape is None:
                raise ValueError(
                    f"Variable {self.name!r}: a callable initializer needs a shape. "
                    "Pass shape=(...)."
                )
            shape = tuple(int(s) for s in shape)
            dtype = standardize_dtype(dtype)
            value = evaluate_outside_trace(lambda: initializer(shape, dtype=dtype))
        else:
            value = _to_numpy(initializer)
            if dtype is None:
                if value.dtype == np.float64 and not isinstance(
                    initializer, np.ndarray | _core.Tensor
                ):
                    dtype = standardize_dtype(None)  # Python floats are floatx.
                else:
                    dtype = standardize_dtype(value.dtype.name)
            else:
                dtype = standardize_dtype(dtype)
        if shape is not None and tuple(value.shape) != tuple(shape):
            raise ValueError(
                f"Variable {self.name!r}: expected a value of shape {tuple(shape)}, "
                f"got {tuple(value.shape)}"
            )
        value = np.array(value, dtype=dtype, order="C")
        self._core = _core.Variable(
            _core.from_numpy(value, copy=True),
            name=self.name,
            trainable=bool(trainable),
        )
        self._path = self.name
        self.regularizer: Any = None
        self.constraint: Any = None

    def __reduce__(self) -> Any:
        state = {k: v for k, v in self.__dict__.items() if k != "_core"}
        return _revive, (self.numpy(), self.trainable, state)

    # -- description --------------------------------------------------------

    @property
    def path(self) -> str:
        """Where it lives: "sequential/dense/kernel"."""
        return self._path

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(self._core.shape)

    @property
    def dtype(self) -> str:
        """Name of the type, for example "float32"."""
        return self._core.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def trainable(self) -> bool:
        """Whether optimizers may change it."""
        return self._core.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._core.trainable = bool(value)
        structure.version += 1

    @property
    def value(self) -> Any:
        """The current Tensor (in a trace: a symbolic read)."""
        if stateless.scope is not None:
            value = stateless.scope.get_current_value(self)
            if value is not None:
                return value
        return self._core.value()

    @property
    def grad(self) -> Any:
        """Gradient left by `loss.backward()`, or None."""
        return self._core.grad

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self._core.grad = None

    # -- changing it --------------------------------------------------------

    def assign(self, value: Any) -> Variable:
        """Give it a new value of the same shape and return self."""
        if isinstance(value, Variable):
            value = value.value
        if not isinstance(value, _core.Tensor):
            value = np.asarray(value)
            if value.shape != self.shape:
                self._bad_shape(value.shape)
            value = _core.from_numpy(
                np.array(value, dtype=self.dtype, order="C"), copy=True
            )
        elif not _same_shape(value.shape, self.shape):
            self._bad_shape(value.shape)
        elif value.dtype != self.dtype:
            value = _core.cast(value, self.dtype)
        if stateless.scope is not None:
            stateless.scope.add_update((self, value))
        else:
            self._core.assign(value)
        return self

    def _bad_shape(self, shape: Any) -> None:
        raise ValueError(
            f"Variable {self.path!r}: cannot assign a value of shape {tuple(shape)}, "
            f"expected {self.shape}"
        )

    def assign_add(self, value: Any) -> Variable:
        """Add `value` to it and return self."""
        return self.assign(self.value + _operand(value))

    def assign_sub(self, value: Any) -> Variable:
        """Subtract `value` from it and return self."""
        return self.assign(self.value - _operand(value))

    # -- conversions --------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """Return a copy as a NumPy array."""
        if stateless.scope is not None:
            return np.array(self.value.numpy())
        return self._core.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __float__(self) -> float:
        return float(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __index__(self) -> int:
        return int(self.numpy())

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"Variable {self.path!r} has no axes, so no length")
        return self.shape[0]

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return (
            f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, "
            f"value={np.array2string(self.numpy(), threshold=10)}>"
        )

    # -- arithmetic: on the current value ------------------------------------

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __neg__(self) -> Any:
        return -self.value

    def __pos__(self) -> Any:
        return self.value

    def __abs__(self) -> Any:
        return abs(self.value)

    def __invert__(self) -> Any:
        return ~self.value

    def __eq__(self, other: Any) -> Any:
        return self.value == _operand(other)

    def __ne__(self, other: Any) -> Any:
        return self.value != _operand(other)

    def __lt__(self, other: Any) -> Any:
        return self.value < _operand(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= _operand(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > _operand(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= _operand(other)

    def __add__(self, other: Any) -> Any:
        return self.value + _operand(other)

    def __radd__(self, other: Any) -> Any:
        return _operand(other) + self.value

    def __sub__(self, other: Any) -> Any:
        return self.value - _operand(other)

    def __rsub__(self, other: Any) -> Any:
        return _operand(other) - self.value

    def __mul__(self, other: Any) -> Any:
        return self.value * _operand(other)

    def __rmul__(self, other: Any) -> Any:
        return _operand(other) * self.value

    def __truediv__(self, other: Any) -> Any:
        return self.value / _operand(other)

    def __rtruediv__(self, other: Any) -> Any:
        return _operand(other) / self.value

    def __floordiv__(self, other: Any) -> Any:
        return self.value // _operand(other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _operand(other) // self.value

    def __mod__(self, other: Any) -> Any:
        return self.value % _operand(other)

    def __rmod__(self, other: Any) -> Any:
        return _operand(other) % self.value

    def __pow__(self, other: Any) -> Any:
        return self.value ** _operand(other)

    def __rpow__(self, other: Any) -> Any:
        return _operand(other) ** self.value

    def __matmul__(self, other: Any) -> Any:
        return _core.matmul(self.value, _operand(other))

    def __rmatmul__(self, other: Any) -> Any:
        return _core.matmul(_operand(other), self.value)


def _operand(value: Any) -> Any:
    return value.value if isinstance(value, Variable) else value


def _same_shape(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(
        x is None or y is None or x == y for x, y in zip(a, b, strict=True)
    )


def _revive(value: np.ndarray, trainable: bool, state: dict[str, Any]) -> Variable:
    """Return the variable that pickle or deepcopy took apart."""
    variable = Variable(value, trainable=trainable, name=state["name"])
    variable.__dict__.update(state)
    return variable
