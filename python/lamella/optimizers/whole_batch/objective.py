"""Losses as functions of one flat vector, with gradients from a compiled Program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamella import _core

__all__ = ["Collector", "FunctionObjective", "FunctionResiduals", "Objective"]

_MOMENTUM = 1e-300
_RATES = {"float64": 2.0**-100, "float32": 2.0**-60}
_CHUNK = 256


class Collector:
    """Runs a traced Graph and hands out the gradient of its loss as one vector.

    The core computes gradients only on the way to an update. This one is harmless:
    plain momentum, whose velocity is then -rate * gradient. With a momentum and a rate
    (a power of two: exact) as small as these neither the last velocity nor the step of
    the weights leaves a trace in floating-point numbers of this type.

    Args:
        graph: with its loss set.
        variables: core variables, all of one float type; the vector holds them one
            after the other.
    """

    def __init__(self, graph: Any, variables: Sequence[Any]) -> None:
        self.variables = list(variables)
        self.dtype = self.variables[0].dtype
        self._scale = -1.0 / _RATES[self.dtype]
        optimizer = _core.Optimizer(
            "sgd", learning_rate=_RATES[self.dtype], momentum=_MOMENTUM
        )
        optimizer.build(self.variables)
        self._trainer = _core.Trainer(graph, optimizer, self.variables)
        self._velocities = [slot["momentum"] for slot in optimizer.slots]
        self._sizes = [int(np.prod(v.shape)) for v in self.variables]
        self._ends = np.cumsum(self._sizes)
        self.size = int(self._ends[-1])

    def read(self) -> np.ndarray:
        """Return the variables as one float64 vector."""
        return _flat(self.variables)

    def write(self, x: np.ndarray) -> None:
        """Set the variables from one vector."""
        parts = np.split(np.asarray(x, dtype=self.dtype), self._ends[:-1])
        for variable, part in zip(self.variables, parts, strict=True):
            variable.assign(part.reshape(variable.shape))

    def _gradient(self) -> np.ndarray:
        gradient = _flat(self._velocities)
        gradient *= self._scale
        if not np.isfinite(gradient).all():  # momentum times infinity would stay
            for velocity in self._velocities:
                velocity.assign(np.zeros(velocity.shape, velocity.dtype))
        return gradient

    def __call__(self, arrays: Sequence[np.ndarray]) -> tuple[list[float], np.ndarray]:
        """Return (outputs, gradient) for one batch."""
        values = self._trainer.step(arrays)
        return values, self._gradient()

    def rows(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return the gradients of the loss of each single row, shape (rows, size)."""
        result = np.empty((len(arrays[0]), self.size))

        def collect(i: int, values: Sequence[float]) -> bool:
            del values
            result[i] = self._gradient()
            return False

        self._trainer.epoch(arrays, 1, on_batch_end=collect)
        return result


def _flat(variables: Sequence[Any]) -> np.ndarray:
    if len(variables) == 1:
        return np.asarray(variables[0].numpy(), dtype="float64").ravel()
    return np.concatenate(
        [np.asarray(v.numpy(), dtype="float64").ravel() for v in variables]
    )


class Objective:
    """A scalar function of a flat vector; counts its evaluations.

    Args:
        function: takes a float64 vector, returns (value, gradient).

    Raises:
        ValueError: when called, if value and gradient do not have the right shapes.
    """

    def __init__(
        self, function: Callable[[np.ndarray], tuple[float, np.ndarray]]
    ) -> None:
        self._function = function
        self.nfev = 0

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return (value, gradient) at `x`."""
        self.nfev += 1
        value, gradient = self._function(x)
        gradient = np.asarray(gradient, dtype="float64").ravel()
        if gradient.shape != x.shape:
            raise ValueError(
                f"minimize: the gradient has {gradient.size} elements, but x has "
                f"{x.size}"
            )
        return float(value), gradient


class FunctionObjective(Objective):
    """A function written with lamella.ops, traced once.

    Args:
        fun: takes a tensor like `x0` and `args`, returns a scalar tensor.
        x0: array that gives the shape.
        args: further arguments.

    Raises:
        ValueError: the function does not return one number, or cannot be traced.
    """

    def __init__(
        self, fun: Callable[..., Any], x0: np.ndarray, args: Sequence[Any] = ()
    ) -> None:
        variable = _core.Variable(x0, name="x")
        graph = _core.Graph()
        with graph:
            value = _traced(fun, variable.value(), args)
            if int(np.prod([d or 0 for d in value.shape])) != 1:
                raise ValueError(
                    "minimize: fun must return one number, got a tensor of shape "
                    f"{tuple(value.shape)}; reduce it (ops.sum, ops.mean), or use "
                    "method='lm' for a vector of residuals"
                )
            value = _core.reshape(value, ())
            graph.output("value", value)
            graph.set_loss(value)
        collect = Collector(graph, [variable])

        def function(x: np.ndarray) -> tuple[float, np.ndarray]:
            collect.write(x)
            values, gradient = collect([])
            return values[0], gradient

        super().__init__(function)


class FunctionResiduals:
    """A vector of residuals written with lamella.ops; Jacobian by reverse mode.

    Args:
        fun: takes a tensor like `x0` and `args`, returns a tensor of residuals.
        x0: array that gives the shape.
        args: further arguments.

    Raises:
        ValueError: the function cannot be traced.
    """

    def __init__(
        self, fun: Callable[..., Any], x0: np.ndarray, args: Sequence[Any] = ()
    ) -> None:
        variable = _core.Variable(x0, name="x")
        graph, chosen = _core.Graph(), _core.Graph()
        with graph:
            value = _core.reshape(_traced(fun, variable.value(), args), (-1,))
            graph.output("residuals", value)
        count = value.shape[0]
        with chosen:
            # One row of this input picks one residual: its gradient is a row of J.
            pick = chosen.input("pick", (None, count), "float64")
            value = _core.reshape(_traced(fun, variable.value(), args), (1, -1))
            loss = _core.sum(pick * value)
            chosen.output("value", loss)
            chosen.set_loss(loss)
        self._values = _core.Executor(graph)
        self._collect = Collector(chosen, [variable])
        self._count = count
        self.nfev = 0
        self.njev = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the residuals at `x`."""
        self.nfev += 1
        self._collect.write(x)
        return np.asarray(self._values([])[0], dtype="float64")

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Return the derivatives at `x`, shape (residuals, size of x)."""
        self.njev += 1
        self._collect.write(x)
        parts = []
        for start in range(0, self._count, _CHUNK):
            rows = min(_CHUNK, self._count - start)
            parts.append(self._collect.rows([np.eye(rows, self._count, start)]))
        return np.concatenate(parts)


def _traced(fun: Callable[..., Any], x: Any, args: Sequence[Any]) -> Any:
    try:
        value = fun(x, *args)
    except (_core.StateError, TypeError) as error:
        raise ValueError(
            f"minimize: fun cannot be traced: {error}. Write it with lamella.ops, or "
            "with NumPy and give its derivative as jac"
        ) from error
    if not isinstance(value, _core.Tensor):
        raise ValueError(
            f"minimize: fun returned a {type(value).__name__} for a tensor. Write it "
            "with lamella.ops, or with NumPy and give its derivative as jac"
        )
    return value
