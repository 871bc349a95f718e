"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core

from ..autograd import enable_grad, no_grad
from ..tensor import dtype_of, new_tensor, shape_of
from .optimizer import Optimizer

__all__ = ["LBFGS"]


def _cubic(
    x1: float,
    f1: float,
    g1: float,
    x2: float,
    f2: float,
    g2: float,
    bounds: tuple[float, float] | None = None,
) -> float:
    """The minimum of the cubic through two points with slopes, within bounds."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0:
        return (low + high) / 2
    d2 = square**0.5
    if x1 <= x2:
        at = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        at = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(at, low), high)


class LBFGS(Optimizer):
    """The quasi-Newton method with limited memory: step(closure) iterates.

    Args:
        params: parameters (one group).
        lr: length of a step.
        max_iter: iterations in a call of step().
        max_eval: evaluations of the closure in a call (max_iter * 5 / 4).
        tolerance_grad, tolerance_change: when to stop.
        history_size: pairs kept.
        line_search_fn: "strong_wolfe" or None.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError(
                "LBFGS doesn't support per-parameter options (parameter groups)"
            )
        self._params = self.param_groups[0]["params"]

    def _gather(self, gradients: bool) -> Any:
        parts = []
        for p in self._params:
            t = p.grad if gradients else p
            a = (
                np.zeros(shape_of(p), p.dtype.name)
                if t is None
                else _core.Tensor.numpy(t.detach())
            )
            parts.append(np.asarray(a).reshape(-1))
        return np.concatenate(parts)

    def _place(self, x: Any) -> None:
        at = 0
        with no_grad():
            for p in self._params:
                n = p.numel()
                part = x[at : at + n].reshape(shape_of(p))
                p._assign(new_tensor(part, dtype_of(p)))
                at += n

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Runs the method; closure computes the loss and its gradients.

        Returns:
            The loss at the start.
        """
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure that computes the loss")
        group = self.param_groups[0]
        lr, tol_change = float(group["lr"]), group["tolerance_change"]
        state = self.state[self._params[0]]

        def evaluate() -> Any:
            with enable_grad():
                return closure()

        first = evaluate()
        loss, evals = float(first), 1
        g = self._gather(True)
        state["func_evals"] = state.get("func_evals", 0) + 1
        if np.abs(g).max() <= group["tolerance_grad"]:
            return first
        d, t = state.get("d"), state.get("t", lr)
        ys, ss = state.setdefault("old_dirs", []), state.setdefault("old_stps", [])
        scale = state.get("H_diag", 1.0)
        before_g, before_loss = state.get("prev_flat_grad"), state.get("prev_loss")
        iterations = 0
        while iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] = state.get("n_iter", 0) + 1
            if state["n_iter"] == 1:
                d = -g
            else:
                y, s = g - before_g, d * t
                ys_now = float(y @ s)
                if ys_now > 1e-10:
                    if len(ys) == group["history_size"]:
                        del ys[0], ss[0]
                    ys.append(y)
                    ss.append(s)
                    scale = ys_now / float(y @ y)
                d = self._direction(g, ys, ss, scale)
            before_g, before_loss = g.copy(), loss
            t = (
                min(1.0, 1.0 / float(np.abs(g).sum())) * lr
                if state["n_iter"] == 1
                else lr
            )
            slope = float(g @ d)
            if slope > -tol_change:
                break
            used = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                x0 = self._gather(False)

                def at(step: float, x0: Any = x0, d: Any = d) -> tuple[float, Any]:
                    self._place(x0 + step * d)
                    value = float(evaluate())
                    gradient = self._gather(True)
                    self._place(x0)
                    return value, gradient

                loss, g, t, used = _strong_wolfe(at, t, d, loss, g, slope, tol_change)
                self._place(x0 + t * d)
                stop = np.abs(g).max() <= group["tolerance_grad"]
            else:
                self._place(self._gather(False) + t * d)
                stop = False
                if iterations != group["max_iter"]:
                    loss = float(evaluate())
                    g = self._gather(True)
                    stop = np.abs(g).max() <= group["tolerance_grad"]
                    used = 1
            evals += used
            state["func_evals"] += used
            small = (
                np.abs(d * t).max() <= tol_change
                or abs(loss - before_loss) < tol_change
            )
            if (
                iterations == group["max_iter"]
                or evals >= group["max_eval"]
                or stop
                or small
            ):
                break
        state.update(
            d=d, t=t, H_diag=scale, prev_flat_grad=before_g, prev_loss=before_loss
        )
        return first

    @staticmethod
    def _direction(g: Any, ys: list[Any], ss: list[Any], scale: float) -> Any:
        q = -g
        alphas = []
        for y, s in zip(reversed(ys), reversed(ss), strict=True):
            a = float(s @ q) / float(y @ s)
            alphas.append(a)
            q = q - a * y
        q = q * scale
        for y, s, a in zip(ys, ss, reversed(alphas), strict=True):
            q = q + s * (a - float(y @ q) / float(y @ s))
        return q.astype(g.dtype)


def _strong_wolfe(
    at: Any,
    t: float,
    d: Any,
    f: float,
    g: Any,
    slope: float,
    tol_change: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    max_ls: int = 25,
) -> tuple[float, Any, float, int]:
    """A step that lowers loss and slope enough: value, gradient, step, calls."""
    d_size = float(np.abs(d).max())
    f_new, g_new = at(t)
    evals, s_new = 1, float(g_new @ d)
    t0, f0, g0, s0 = 0.0, f, g, slope
    done, k = False, 0
    bracket: list[Any] = []
    while k < max_ls:
        if f_new > f + c1 * t * slope or (k > 1 and f_new >= f0):
            bracket = [[t0, f0, g0.copy(), s0], [t, f_new, g_new.copy(), s_new]]
            break
        if abs(s_new) <= -c2 * slope:
            bracket, done = [[t, f_new, g_new, s_new]], True
            break
        if s_new >= 0:
            bracket = [[t0, f0, g0.copy(), s0], [t, f_new, g_new.copy(), s_new]]
            break
        low, high = t + 0.01 * (t - t0), t * 10
        old = t
        t = _cubic(t0, f0, s0, t, f_new, s_new, (low, high))
        t0, f0, g0, s0 = old, f_new, g_new.copy(), s_new
        f_new, g_new = at(t)
        evals, s_new, k = evals + 1, float(g_new @ d), k + 1
    if k == max_ls:
        bracket = [[0.0, f, g, slope], [t, f_new, g_new, s_new]]
    stuck = False
    lo, hi = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    while not done and k < max_ls:
        a, b = bracket[0], bracket[1]
        if abs(b[0] - a[0]) * d_size < tol_change:
            break
        t = _cubic(a[0], a[1], a[3], b[0], b[1], b[3])
        left, right = min(a[0], b[0]), max(a[0], b[0])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        f_new, g_new = at(t)
        evals, s_new, k = evals + 1, float(g_new @ d), k + 1
        if f_new > f + c1 * t * slope or f_new >= bracket[lo][1]:
            bracket[hi] = [t, f_new, g_new.copy(), s_new]
            lo, hi = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(s_new) <= -c2 * slope:
                done = True
            elif s_new * (bracket[hi][0] - bracket[lo][0]) >= 0:
                bracket[hi] = list(bracket[lo])
            bracket[lo] = [t, f_new, g_new.copy(), s_new]
    best = bracket[lo if len(bracket) > 1 else 0]
    return best[1], best[2], best[0], evals
