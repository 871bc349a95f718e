"""The MLPs' solvers that see all the data at every step."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from lamella.optimizers.whole_batch.objective import Collector, Objective
from lamella.sklearn._network import rows_of

__all__ = ["fit_lbfgs", "fit_optimizer"]


def _problem(
    estimator: Any, x: Any, y: np.ndarray, weight: Any
) -> tuple[Collector, Objective]:
    """Return loss and gradient as one compiled function of a flat vector."""
    network = estimator._network
    graph = network.trace(estimator._loss, estimator.alpha, weight is not None)
    collect = Collector(graph, network.trained)
    arrays = [rows_of(x, slice(None), network.dtype), np.ascontiguousarray(y)]
    if weight is not None:
        arrays.append(np.ascontiguousarray(weight))

    def function(flat: np.ndarray) -> tuple[float, np.ndarray]:
        collect.write(flat)
        values, gradient = collect(arrays)
        return values[0], gradient

    return collect, Objective(function)


def fit_lbfgs(estimator: Any, x: Any, y: np.ndarray, weight: Any) -> None:
    """Run SciPy's L-BFGS-B as scikit-learn does."""
    collect, objective = _problem(estimator, x, y, weight)
    seen = []

    def report(intermediate_result: Any) -> None:
        seen.append(float(intermediate_result.fun))
        if estimator.verbose:
            print(f"Iteration {len(seen)}, loss = {seen[-1]:.8f}")

    found = scipy.optimize.minimize(
        objective,
        collect.read(),
        method="L-BFGS-B",
        jac=True,
        callback=report,
        options={
            "maxfun": estimator.max_fun,
            "maxiter": estimator.max_iter,
            "gtol": estimator.tol,
        },
    )
    if found.status != 0:
        warnings.warn(
            f"lbfgs failed to converge after {found.nit} iteration(s) (status="
            f"{found.status}): {found.message}. "
            f"Increase the number of iterations (max_iter={estimator.max_iter}), or "
            "scale the data (sklearn.preprocessing.StandardScaler).",
            ConvergenceWarning,
            stacklevel=6,
        )
    # SciPy may count one more iteration than it was allowed.
    estimator.n_iter_ = min(found.nit, estimator.max_iter)
    estimator.loss_ = found.fun
    estimator.history_ = {"loss": seen}
    collect.write(found.x)


def fit_optimizer(
    estimator: Any, optimizer: Any, x: Any, y: np.ndarray, weight: Any
) -> None:
    """Run one of lamella's whole-batch optimizers."""
    if optimizer.least_squares:
        raise ValueError(
            f"{type(estimator).__name__}: solver={optimizer!r} needs a vector of "
            "residuals; use LBFGS or ConjugateGradient, or LamellaRegressor with "
            "loss='mse'"
        )
    collect, objective = _problem(estimator, x, y, weight)
    optimizer.start(objective, collect.read())
    seen = []
    while optimizer.nit < estimator.max_iter and optimizer.step():
        seen.append(optimizer.fun)
        if estimator.verbose:
            print(f"Iteration {optimizer.nit}, loss = {optimizer.fun:.8f}")
    if not optimizer.finished:
        warnings.warn(
            f"{type(optimizer).__name__}: the limit of {estimator.max_iter} iterations "
            "is reached and the optimization has not converged yet.",
            ConvergenceWarning,
            stacklevel=5,
        )
    estimator.n_iter_, estimator.loss_ = optimizer.nit, optimizer.fun
    estimator.history_ = {"loss": seen}
    estimator.loss_curve_ = seen
    collect.write(optimizer.x)
