"""Gradient descent, conjugate gradients and L-BFGS."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella.optimizers.whole_batch.base import WholeBatchOptimizer, check_range
from lamella.optimizers.whole_batch.line_search import Trial, strong_wolfe

__all__ = ["LBFGS", "ConjugateGradient", "GradientDescent"]

_ORTHOGONAL = 0.2
_LINE = "the line search finds no lower point; the precision may be exhausted"


class GradientDescent(WholeBatchOptimizer):
    """Plain gradient descent with a constant learning rate, and momentum if wanted.

    v = momentum v - learning_rate g(x), x = x + v; with nesterov the gradient is taken
    at x + momentum v. Written out for teaching: `steps` shows each point, gradient and
    move.

    Args:
        learning_rate: positive number.
        momentum: in [0, 1).
        nesterov: take the gradient where the momentum leads to.
        gtol: stop when no element of the gradient is larger. Default 1e-5.
        ftol: stop when the value decreases by less than ftol * max(abs(value), 1).
            Default 0: only when it does not change at all.
        name: name of the optimizer.

    Example:
        >>> from lamella.optimizers import minimize
        >>> result = minimize(
        ...     lambda x: (x - 3.0) ** 2, 0.0, method="gd", learning_rate=0.1, maxiter=2
        ... )
        >>> result.path.round(3).tolist()
        [0.0, 0.6, 1.08]
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        gtol: float = 1e-5,
        ftol: float = 0.0,
        name: str | None = None,
    ) -> None:
        if not learning_rate > 0:
            raise ValueError(
                "GradientDescent: learning_rate must be positive, got learning_rate="
                f"{learning_rate!r}"
            )
        check_range("GradientDescent", "momentum", momentum, 0, 1)
        super().__init__(gtol, ftol, name, momentum=momentum, nesterov=bool(nesterov))
        self.learning_rate = learning_rate

    momentum: float
    nesterov: bool

    @property
    def learning_rate(self) -> Any:
        """The rate of the next step; it may be changed."""
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._rate = float(value)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer."""
        return {**super().get_config(), "learning_rate": self._rate}

    def _advance(self) -> bool:
        carried = self.momentum * self.move
        gradient = self.grad
        if self.nesterov:
            gradient = self._objective(self.x + carried)[1]
        x = self.x + carried - self._rate * gradient
        fun, grad = self._objective(x)
        if not np.isfinite(fun):
            self.message = (
                f"the value became {fun}: the learning rate {self._rate} is too large"
            )
            return False
        self._accept(x, fun, grad)
        return True


class ConjugateGradient(WholeBatchOptimizer):
    """Nonlinear conjugate gradients with a strong Wolfe line search.

    d = -g + beta d. Polak-Ribiere+: beta = max(0, g (g - g') / g' g'); Fletcher-Reeves:
    beta = g g / g' g', with g' the gradient before. The direction starts again from -g
    when it does not lead downwards; Fletcher-Reeves also when two gradients in a row
    are far from orthogonal (Powell's rule).

    Source: Nocedal and Wright 2006, section 5.2; the restart is their (5.52).

    Args:
        formula: "polak-ribiere" or "fletcher-reeves".
        c1: how much of the decrease that the slope promises is asked for.
        c2: how flat the slope must become.
        gtol: stop when no element of the gradient is larger. Default 1e-5.
        ftol: stop when the value decreases by less than ftol * max(abs(value), 1).
        name: name of the optimizer.

    Raises:
        ValueError: unknown formula, or not 0 < c1 < c2 < 1.
    """

    def __init__(
        self,
        formula: str = "polak-ribiere",
        c1: float = 1e-4,
        c2: float = 0.4,
        gtol: float = 1e-5,
        ftol: float = 0.0,
        name: str | None = None,
    ) -> None:
        if formula not in ("polak-ribiere", "fletcher-reeves"):
            raise ValueError(
                "ConjugateGradient: formula must be 'polak-ribiere' or "
                f"'fletcher-reeves', got formula={formula!r}"
            )
        _check_wolfe("ConjugateGradient", c1, c2)
        super().__init__(gtol, ftol, name, formula=formula, c1=c1, c2=c2)

    formula: str
    c1: float
    c2: float

    def _forget(self) -> None:
        super()._forget()
        self._direction: np.ndarray | None = None
        self._last: tuple[float, float] | None = None  # step and slope

    def _advance(self) -> bool:
        found = None
        if self._direction is not None:
            found = self._search(self._direction)
        if found is None:
            self._last = None
            self._direction = -self.grad
            found = self._search(self._direction)
        if found is None:
            self.message = _LINE
            return False
        assert self._direction is not None
        old, new = self.grad, found.gradient
        square = float(new @ new)
        if self.formula == "polak-ribiere":
            beta = max(0.0, (square - float(new @ old)) / float(old @ old))
        elif abs(new @ old) < _ORTHOGONAL * square:
            beta = square / float(old @ old)
        else:
            beta = 0.0
        x = self.x + found.step * self._direction
        self._direction = beta * self._direction - new
        self._accept(x, found.value, new)
        return True

    def _search(self, direction: np.ndarray) -> Trial | None:
        slope = float(self.grad @ direction)
        if not slope < 0:
            return None
        if self._last is None:
            step = min(1.0, 1.0 / float(np.abs(self.grad).sum()))
        else:
            step = self._last[0] * self._last[1] / slope
        start = Trial(0.0, self.fun, slope, self.grad)
        found = strong_wolfe(self._along(direction), start, step, self.c1, self.c2)
        if found is not None:
            self._last = found.step, slope
        return found


class LBFGS(WholeBatchOptimizer):
    """Quasi-Newton steps from the last few gradients, with a strong Wolfe line search.

    Source: Liu and Nocedal 1989; Nocedal and Wright 2006, algorithms 7.4 and 7.5.

    Args:
        memory: how many pairs (step, change of the gradient) are kept.
        c1: how much of the decrease that the slope promises is asked for.
        c2: how flat the slope must become.
        gtol: stop when no element of the gradient is larger. Default 1e-5.
        ftol: stop when the value decreases by less than ftol * max(abs(value), 1).
            Default 2.2e-9.
        name: name of the optimizer.

    Raises:
        ValueError: memory < 1, or not 0 < c1 < c2 < 1.

    Example:
        >>> from lamella import ops
        >>> from lamella.optimizers import minimize
        >>> minimize(lambda x: ops.sum((x - 1.0) ** 2), [0.0, 5.0]).x.round(6).tolist()
        [1.0, 1.0]
    """

    def __init__(
        self,
        memory: int = 10,
        c1: float = 1e-4,
        c2: float = 0.9,
        gtol: float = 1e-5,
        ftol: float = 2.220446049250313e-09,
        name: str | None = None,
    ) -> None:
        check_range("LBFGS", "memory", memory, 1, None)
        _check_wolfe("LBFGS", c1, c2)
        super().__init__(gtol, ftol, name, memory=int(memory), c1=c1, c2=c2)

    memory: int
    c1: float
    c2: float

    def _forget(self) -> None:
        super()._forget()
        self._pairs: list[tuple[np.ndarray, np.ndarray, float]] = []

    def _advance(self) -> bool:
        found, direction = self._search()
        if found is None and self._pairs:
            self._pairs = []
            found, direction = self._search()
        if found is None:
            self.message = _LINE
            return False
        step = found.step * direction
        change = found.gradient - self.grad
        curvature = float(step @ change)
        if curvature > np.finfo(float).eps * float(change @ change):
            self._pairs.append((step, change, 1.0 / curvature))
            del self._pairs[: -self.memory]
        self._accept(self.x + step, found.value, found.gradient)
        return True

    def _search(self) -> tuple[Trial | None, np.ndarray]:
        direction = -self._newton(self.grad)
        slope = float(self.grad @ direction)
        if not slope < 0:
            return None, direction
        step = 1.0 if self._pairs else min(1.0, 1.0 / float(np.abs(self.grad).sum()))
        start = Trial(0.0, self.fun, slope, self.grad)
        evaluate = self._along(direction)
        return strong_wolfe(evaluate, start, step, self.c1, self.c2), direction

    def _newton(self, gradient: np.ndarray) -> np.ndarray:
        """Return the approximate inverse Hessian times the gradient."""
        q = gradient.copy()
        shares = []
        for step, change, rho in reversed(self._pairs):
            share = rho * float(step @ q)
            shares.append(share)
            q -= share * change
        if self._pairs:
            _, change, rho = self._pairs[-1]
            q /= rho * float(change @ change)
        for (step, change, rho), share in zip(
            self._pairs, reversed(shares), strict=True
        ):
            q += (share - rho * float(change @ q)) * step
        return q


def _check_wolfe(owner: str, c1: float, c2: float) -> None:
    if not 0 < c1 < c2 < 1:
        raise ValueError(f"{owner}: 0 < c1 < c2 < 1 is needed, got c1={c1}, c2={c2}")
