"""Whole-batch methods: L-BFGS, conjugate gradients, Levenberg-Marquardt.

Run: python examples/python/quasi_newton.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import optimizers, plots
from lamella.layers import Dense, Input


def rosenbrock(p):
    """A bent valley with its minimum at (1, 1)."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def main(folder: Path = Path()) -> dict[str, float]:
    paths = {}
    for method, options in {
        "gd": {"learning_rate": 0.001, "maxiter": 5000},
        "cg": {},
        "lbfgs": {},
    }.items():
        start = np.array([-1.5, 1.5])
        result = optimizers.minimize(rosenbrock, start, method=method, **options)
        paths[method] = result
        print(
            f"{method:>5}: {result.nit} steps, {result.nfev} evaluations, height "
            f"{float(result.fun):.1e}"
        )
    ax = plots.loss_surface(
        lambda a, b: (1 - a) ** 2 + 100 * (b - a * a) ** 2,
        (-2, 2),
        (-1, 3),
        paths=paths,
        log=True,
    )
    ax.figure.savefig(folder / "quasi_newton_valley.png", dpi=100)

    # A small network: all 200 points at once, a few dozen parameters.
    x = np.linspace(-3, 3, 200)[:, None].astype("float32")
    y = np.sin(2 * x) * np.exp(-0.1 * x**2)
    histories = {}
    for name, optimizer in {
        "Adam": optimizers.Adam(0.01),
        "conjugate gradients": optimizers.ConjugateGradient(),
        "L-BFGS": optimizers.LBFGS(),
        "Levenberg-Marquardt": optimizers.LevenbergMarquardt(),
    }.items():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([Input((1,)), Dense(12, "tanh"), Dense(1)])
        model.compile(optimizer, "mse")
        histories[name] = model.fit(x, y, batch_size=len(x), epochs=150, verbose=0)
        loss = histories[name].history["loss"][-1]
        print(f"{name}: mean squared error {loss:.1e} after 150 epochs")
    ax = plots.learning_curves(histories, log=True)
    ax.figure.savefig(folder / "quasi_newton.png", dpi=100)
    return {name: h.history["loss"][-1] for name, h in histories.items()}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
