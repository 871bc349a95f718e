"""Logistic regression is one neuron; a hidden layer bends its boundary.

Run: python examples/python/logistic_regression.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Input


def make_data(parabola: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points in a square, in two classes split by a line or a parabola."""
    random = np.random.default_rng(1)
    x = random.uniform(-1, 5, (400, 2)).astype("float32")
    if parabola:
        g = -0.5 * (x[:, 0] - 1) ** 2 + 2 * x[:, 1] - 1
    else:
        g = 0.8 * x[:, 0] + x[:, 1] - 3
    return x, (g > 0).astype("float32")


def train(hidden: list[int], x: np.ndarray, y: np.ndarray) -> keras.Sequential:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([Input((2,))])
    for n in hidden:
        model.add(Dense(n, activation="tanh"))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(
        keras.optimizers.Adam(learning_rate=0.1),
        "binary_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, batch_size=len(x), epochs=500, verbose=0)
    return model


def main(folder: Path = Path()) -> dict[str, float]:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    accuracy = {}
    cases = {
        "line": (False, []),
        "parabola, one neuron": (True, []),
        "parabola, hidden layer": (True, [4]),
    }
    for ax, (name, (parabola, hidden)) in zip(axes, cases.items(), strict=True):
        x, y = make_data(parabola)
        model = train(hidden, x, y)
        accuracy[name] = model.evaluate(x, y, verbose=0)[1]
        print(f"{name}: accuracy {accuracy[name]:.3f}")
        plots.decision_boundary(model, x, y, ax=ax)
        ax.set_title(f"{name}: {accuracy[name]:.3f}")
        if not parabola:
            # The boundary is where w1 x1 + w2 x2 + b = 0; up to a factor these are
            # the numbers that made the data: 0.8, 1 and -3.
            (w1, w2), b = model.layers[-1].get_weights()[0][:, 0], model.weights[1]
            ratio = np.array([w1, w2, float(b.numpy()[0])]) / w2
            print("  weights over w2:", np.round(ratio, 2))
    figure.savefig(folder / "logistic_regression.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
