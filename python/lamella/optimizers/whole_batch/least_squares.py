"""Levenberg-Marquardt: least squares on functions and networks of few weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamella.optimizers.whole_batch.base import WholeBatchOptimizer, check_range
from lamella.optimizers.whole_batch.objective import FunctionResiduals

__all__ = ["LevenbergMarquardt", "make_residuals"]


class LevenbergMarquardt(WholeBatchOptimizer):
    """Damped Gauss-Newton steps for sums of squares.

    (J^T J + damping D) step = -J^T r, where D is the largest diagonal of J^T J so far.
    The damping falls after a step that lowers the sum as much as the linear model
    promises, and rises until one lowers it at all. J is
    the Jacobian of the residuals, row by row in reverse mode, so its size is residuals
    times weights: for small networks. In `fit` the loss must be the mean squared error.

    Source: Marquardt 1963; scaling by More 1978, damping by Nielsen 1999 (Madsen,
    Nielsen and Tingleff 2004, algorithm 3.16).

    Args:
        damping: of the first step. Default 1e-3.
        max_damping: stop when the damping is larger. Default 1e20.
        gtol: stop when no element of J^T r is larger. Default 1e-8.
        ftol: stop when the sum of squares decreases by less than this fraction.
            Default 1e-12.
        name: name of the optimizer.

    Example:
        >>> import numpy as np
        >>> from lamella import ops
        >>> from lamella.optimizers import minimize
        >>> t = np.linspace(0, 1, 20)
        >>> y = 2.0 * np.exp(-3.0 * t)
        >>> fit = minimize(lambda p: p[0] * ops.exp(p[1] * t) - y, [1.0, 0.0],
        ...                method="lm")
        >>> fit.x.round(6).tolist()
        [2.0, -3.0]
    """

    least_squares = True

    def __init__(
        self,
        damping: float = 1e-3,
        max_damping: float = 1e20,
        gtol: float = 1e-8,
        ftol: float = 1e-12,
        name: str | None = None,
    ) -> None:
        check_range("LevenbergMarquardt", "damping", damping, 0, None)
        super().__init__(gtol, ftol, name, damping=damping, max_damping=max_damping)

    damping: float
    max_damping: float

    def _forget(self) -> None:
        super()._forget()
        self.current_damping = self.damping
        self.scale: Any = 0.0

    def _evaluate_start(self) -> None:
        self.residuals = self._objective(self.x)
        self._linearize()

    def _linearize(self) -> None:
        self.jacobian = self._objective.jacobian(self.x)
        self.fun = 0.5 * float(self.residuals @ self.residuals)
        self.grad = self.jacobian.T @ self.residuals

    def _advance(self) -> bool:
        normal = self.jacobian.T @ self.jacobian
        diagonal = np.diag_indices_from(normal)
        plain = normal[diagonal].copy()
        # What a weight has ever mattered: damping then does not depend on its unit.
        self.scale = np.maximum(self.scale, plain)
        scale = np.where(self.scale > 0, self.scale, 1.0)
        damping, growth = self.current_damping, 4.0
        while damping <= self.max_damping:
            normal[diagonal] = plain + damping * scale
            try:
                move = np.linalg.solve(normal, -self.grad)
            except np.linalg.LinAlgError:
                move = np.full_like(self.grad, np.nan)
            residuals = self._objective(self.x + move)
            decrease = self.fun - 0.5 * float(residuals @ residuals)
            if decrease > 0:
                break
            damping = growth * max(damping, 1e-20)
            growth *= 2.0
        else:
            self.message = "no damping up to max_damping gives a lower sum of squares"
            return False
        expected = 0.5 * float(move @ (damping * scale * move - self.grad))
        gain = decrease / expected
        self.current_damping = damping * max(0.1, 1.0 - (2.0 * gain - 1.0) ** 3)
        before, self.residuals = self.fun, residuals
        self.move = move
        self.x = self.x + move
        self._linearize()
        if decrease <= self.ftol * before:
            self._done("the sum of squares does not decrease by more than ftol")
        self._check_gradient()
        return True


class _GivenResiduals:
    """Residuals and Jacobian written with NumPy."""

    def __init__(
        self,
        fun: Callable[..., Any],
        shape: tuple[int, ...],
        args: Sequence[Any],
        jac: Any,
    ) -> None:
        self._fun, self._shape, self._args, self._jac = fun, shape, tuple(args), jac
        self.nfev = self.njev = 0

    def _call(self, function: Callable[..., Any], x: np.ndarray) -> Any:
        return function(x.reshape(self._shape), *self._args)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.nfev += 1
        found = self._call(self._fun, x)
        value = found[0] if self._jac is True else found
        return np.asarray(value, dtype="float64").ravel()

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        self.njev += 1
        if self._jac is True:
            found = self._call(self._fun, x)[1]
        else:
            found = self._call(self._jac, x)
        return np.asarray(found, dtype="float64").reshape(-1, x.size)


def make_residuals(
    fun: Callable[..., Any], x0: np.ndarray, args: Sequence[Any], jac: Any
) -> Any:
    """Return residuals with a `jacobian`: automatic, or the user's own."""
    if jac is None or jac is False:
        return FunctionResiduals(fun, x0, args)
    return _GivenResiduals(fun, x0.shape, args, jac)
