"""minimize: the whole-batch optimizers for any function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamella.config import near_names
from lamella.optimizers.whole_batch.base import WholeBatchOptimizer, make_objective
from lamella.optimizers.whole_batch.descent import (
    LBFGS,
    ConjugateGradient,
    GradientDescent,
)
from lamella.optimizers.whole_batch.least_squares import LevenbergMarquardt

__all__ = ["OptimizeResult", "minimize"]

_METHODS: dict[str, Any] = {
    "lbfgs": LBFGS,
    "cg": ConjugateGradient,
    "gd": GradientDescent,
    "lm": LevenbergMarquardt,
}
_STEPS = {"gd": 1000}


class OptimizeResult(dict[str, Any]):
    """What `minimize` found; its keys are attributes, too.

    Attributes:
        x: the point, in the shape of x0.
        fun: the value there ("lm": half the sum of squares).
        grad: the gradient there; also under the name jac.
        nit: number of iterations.
        nfev: number of evaluations of fun.
        path: all points, shape (nit + 1, *x.shape), for plots on the surface of fun.
        path_fun: fun at the points of the path.
        success: whether a tolerance was met.
        message: why it ended.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"OptimizeResult has no attribute {name!r}. {near_names(name, self)}"
            ) from None

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        rows = (
            f"{k:>{width}}: {v!r}" for k, v in self.items() if not k.startswith("path")
        )
        return "\n".join(rows)


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    method: Any = "lbfgs",
    jac: Any = None,
    callback: Callable[[Any], Any] | None = None,
    maxiter: int | None = None,
    **options: Any,
) -> OptimizeResult:
    """Minimize a function of an array, from x0 on.

    Args:
        fun: function of a tensor like x0, written with lamella.ops (or operators), that
            returns one number; with method "lm" a vector of residuals, whose half sum
            of squares is minimized. It is traced once and runs compiled, in float64.
        x0: where to begin: number or array.
        args: further arguments of fun.
        method: "lbfgs", "cg", "gd", "lm", or an optimizer such as LBFGS(memory=5).
        jac: None: derivatives are found automatically. A function that returns them
            (gradient, or Jacobian of the residuals), or True if fun returns (value,
            derivatives): then fun works on NumPy arrays and is not traced.
        callback: called with an OptimizeResult (x, fun, grad, nit) after each
            iteration; a true result ends the search.
        maxiter: most iterations; default 200 times the size of x0, "gd" 1000.
        **options: arguments of the method's class: memory, learning_rate, gtol, ...

    Returns:
        OptimizeResult.

    Raises:
        ValueError: unknown method, x0 that is not finite, a function that cannot be
            traced or returns the wrong shape.
        TypeError: an option that the method does not have.

    Example:
        >>> from lamella.optimizers import minimize
        >>> def valley(x):
        ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        >>> result = minimize(valley, [-1.2, 1.0])
        >>> result.x.round(4).tolist(), result.success
        ([1.0, 1.0], True)
    """
    if isinstance(method, WholeBatchOptimizer):
        if options:
            raise TypeError(
                f"minimize: method={method!r} is made already; give it "
                f"{', '.join(options)} there"
            )
        solver = method
    elif str(method).lower() in _METHODS:
        solver = _METHODS[str(method).lower()](**options)
    else:
        raise ValueError(
            f"minimize: unknown method {method!r}. {near_names(method, _METHODS)}"
        )
    start = np.array(x0, dtype="float64")
    if not np.isfinite(start).all() or start.size == 0:
        raise ValueError(f"minimize: x0 must be finite and not empty, got x0={x0!r}")
    if not isinstance(args, tuple | list):
        args = (args,)
    if maxiter is None:
        maxiter = _STEPS.get(str(method).lower(), 200 * start.size)
    objective = make_objective(solver, fun, start, args, jac)
    solver.start(objective, start)
    path, values = [solver.x.copy()], [solver.fun]
    message = f"the limit of {maxiter} iterations is reached"
    while solver.nit < maxiter:
        if not solver.step():
            break
        path.append(solver.x.copy())
        values.append(solver.fun)
        if callback is not None and callback(_result(solver, start.shape)):
            message = "the callback ended the search"
            break
    result = _result(solver, start.shape)
    result.update(
        jac=result["grad"],
        nfev=objective.nfev,
        path=np.array(path).reshape(-1, *start.shape),
        path_fun=np.array(values),
        success=solver.success,
        message=solver.message if solver.finished else message,
    )
    return result


def _result(solver: WholeBatchOptimizer, shape: tuple[int, ...]) -> OptimizeResult:
    return OptimizeResult(
        x=solver.x.reshape(shape).copy(),
        fun=solver.fun,
        grad=solver.grad.reshape(shape).copy(),
        nit=solver.nit,
    )
