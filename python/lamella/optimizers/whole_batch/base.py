"""What the whole-batch optimizers share: their state, configs and stopping rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lamella.optimizers.optimizer import Optimizer
from lamella.optimizers.whole_batch.line_search import Trial
from lamella.optimizers.whole_batch.objective import FunctionObjective, Objective
from lamella.variable import Variable

__all__ = ["Step", "WholeBatchOptimizer", "make_objective"]


class Step(NamedTuple):
    """One iteration as the teaching API shows it.

    Attributes:
        nit: number of the iteration; 0 is the starting point.
        x: the point.
        fun: value there.
        grad: gradient there.
        move: what was added to the last point; zeros at the start.
    """

    nit: int
    x: np.ndarray
    fun: float
    grad: np.ndarray
    move: np.ndarray


class WholeBatchOptimizer(Optimizer):
    """Base class of optimizers that see all the data at every step.

    In `compile` they make `fit` use the whole data set as one batch: an epoch is one
    iteration, which may evaluate the loss several times. Training ends early
    (`history.stopped_by == "convergence"`) when the tolerances are met. The loss in
    the logs is that of the weights after the iteration.

    Args:
        gtol: stop when no element of the gradient is larger.
        ftol: stop when the value decreases by less than ftol * max(abs(value), 1).
        name: name of the optimizer.
        **hyper: the subclass's own numbers.
    """

    whole_batch = True
    least_squares = False

    def __init__(
        self, gtol: float, ftol: float, name: str | None = None, **hyper: Any
    ) -> None:
        super().__init__(learning_rate=1.0, name=name)
        self._numbers = {"gtol": gtol, "ftol": ftol, **hyper}
        for key, value in self._numbers.items():
            setattr(self, key, value)
        for key in ("gtol", "ftol"):
            check_range(type(self).__name__, key, self._numbers[key], 0, None)
        self._forget()

    gtol: float
    ftol: float

    def _forget(self) -> None:
        self.nit = 0
        self.finished = self.success = False
        self.message = "not started"
        self.x = self.grad = self.move = np.empty(0)
        self.fun = np.inf

    # -- one run -------------------------------------------------------------

    def start(self, objective: Any, x: Any) -> None:
        """Begin at `x`: evaluate there and forget what was learned before.

        Args:
            objective: function of a flat vector that returns (value, gradient).
            x: where to begin.
        """
        self._forget()
        self._objective = objective
        self.x = np.array(x, dtype="float64").ravel()
        self._evaluate_start()
        self.move = np.zeros_like(self.x)
        self.message = "running"
        if not np.isfinite(self.fun):
            raise ValueError(
                f"{type(self).__name__}: the value at the start is {self.fun}; begin "
                "where it is finite"
            )
        self._check_gradient()

    def _evaluate_start(self) -> None:
        self.fun, self.grad = self._objective(self.x)

    def step(self) -> bool:
        """Make one iteration; return False when there is nothing left to do."""
        if self.finished or not self._advance():
            self.finished = True
            return False
        self.nit += 1
        self._iterations.assign(self._iterations.numpy() + 1)
        return True

    def _advance(self) -> bool:
        """Move to the next point; False, with a message, if there is none."""
        raise NotImplementedError

    def _accept(self, x: np.ndarray, fun: float, grad: np.ndarray) -> None:
        """Make this the current point and see whether the tolerances are met."""
        decrease = self.fun - fun
        self.move = x - self.x
        self.x, self.fun, self.grad = x, fun, grad
        if 0 <= decrease <= self.ftol * max(abs(fun), abs(fun + decrease), 1.0):
            self._done("the value does not decrease by more than ftol")
        self._check_gradient()

    def _check_gradient(self) -> None:
        if np.abs(self.grad).max(initial=0.0) <= self.gtol:
            self._done("no element of the gradient is larger than gtol")

    def _done(self, message: str) -> None:
        self.finished = self.success = True
        self.message = message

    def _along(self, direction: np.ndarray) -> Callable[[float], Trial]:
        """Return the function of the step that a line search needs."""
        x = self.x

        def evaluate(step: float) -> Trial:
            value, gradient = self._objective(x + step * direction)
            return Trial(step, value, float(gradient @ direction), gradient)

        return evaluate

    def steps(
        self, fun: Any, x0: Any, max_steps: int = 100, jac: Any = None
    ) -> Iterator[Step]:
        """Yield the iterations one by one, the starting point first.

        Args:
            fun: function as in `lamella.optimizers.minimize`.
            x0: where to begin.
            max_steps: at most so many.
            jac: as in `minimize`.

        Example:
            >>> from lamella.optimizers import GradientDescent
            >>> for s in GradientDescent(0.25).steps(lambda x: x * x, 1.0, 2):
            ...     print(s.nit, float(s.x), float(s.grad))
            0 1.0 2.0
            1 0.5 1.0
            2 0.25 0.5
        """
        x0 = np.array(x0, dtype="float64")
        self.start(make_objective(self, fun, x0, (), jac), x0)
        yield self._record(x0.shape)
        while self.nit < max_steps and self.step():
            yield self._record(x0.shape)

    def _record(self, shape: tuple[int, ...]) -> Step:
        arrays = [a.reshape(shape).copy() for a in (self.x, self.grad, self.move)]
        return Step(self.nit, arrays[0], self.fun, arrays[1], arrays[2])

    # -- as an Optimizer of a model --------------------------------------------

    def build(self, variables: Sequence[Variable]) -> None:
        """Do nothing: the state belongs to a run, not to the weights."""
        del variables
        self.built = True

    @property
    def learning_rate(self) -> Any:
        """Always 1: the line search or the damping finds the length of a step."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise AttributeError(
            f"{type(self).__name__}: learning_rate cannot be set, the method finds the "
            "length of its steps"
        )

    def _trace(self, graph: Any, variables: Sequence[Variable]) -> Any:
        del graph, variables
        raise ValueError(
            f"{type(self).__name__} works on the whole data set: use fit(x, y) with "
            "arrays, without run_eagerly, and not train_on_batch()"
        )

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Raise: one gradient is not enough for these methods."""
        raise ValueError(
            f"{type(self).__name__} evaluates the loss itself and cannot apply given "
            "gradients; use fit() or lamella.optimizers.minimize()"
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer."""
        return {"name": self.name, **self._numbers}


def make_objective(
    method: WholeBatchOptimizer,
    fun: Callable[..., Any],
    x0: np.ndarray,
    args: Sequence[Any],
    jac: Any,
) -> Any:
    """Return what `method` needs to evaluate: an Objective, or residuals.

    Args:
        method: says by `least_squares` which of the two.
        fun: the user's function.
        x0: gives the shape of its argument.
        args: further arguments.
        jac: None for automatic derivatives, True if fun returns the value and them,
            or a function.
    """
    if method.least_squares:
        from lamella.optimizers.whole_batch.least_squares import make_residuals

        return make_residuals(fun, x0, args, jac)
    if jac is None or jac is False:
        return FunctionObjective(fun, x0, args)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        x = x.reshape(x0.shape)
        if jac is True:
            value, gradient = fun(x, *args)
        else:
            value, gradient = fun(x, *args), jac(x, *args)
        return float(np.asarray(value).item()), np.asarray(gradient)

    return Objective(function)


def check_range(
    owner: str, name: str, value: Any, low: float, high: float | None
) -> None:
    """Raise ValueError unless low <= value, and value < high if there is one."""
    ok = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if ok and value >= low and (high is None or value < high):
        return
    wanted = f">= {low}" if high is None else f"in [{low}, {high})"
    raise ValueError(f"{owner}: {name} must be {wanted}, got {name}={value!r}")
