"""Optimizers on a narrow valley, step by step, and on a network.

Run: python examples/python/optimizers.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Input

OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.02),
    "momentum": lambda: keras.optimizers.SGD(0.02, momentum=0.9),
    "Nesterov": lambda: keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.3),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.02),
    "Adam": lambda: keras.optimizers.Adam(0.1),
    "Nadam": lambda: keras.optimizers.Nadam(0.1),
}


def valley(a, b):
    """Forty times steeper across than along."""
    return 0.5 * a**2 + 20.0 * b**2


def walk(optimizer, start=(-1.8, 0.8), steps: int = 60) -> np.ndarray:
    position = keras.Variable(np.array(start, dtype="float32"))
    path = [position.numpy()]
    for _ in range(steps):
        with keras.GradientTape() as tape:
            height = valley(position[0], position[1])
        slope = tape.gradient(height, position)
        optimizer.apply_gradients([(slope, position)])
        path.append(position.numpy())
    return np.array(path)


def main(folder: Path = Path()) -> dict[str, float]:
    paths = {name: walk(make()) for name, make in OPTIMIZERS.items()}
    shown = {name: paths[name] for name in ("SGD", "momentum", "Adagrad", "Adam")}
    ax = plots.loss_surface(valley, paths=shown, log=True)
    ax.figure.savefig(folder / "optimizers_valley.png", dpi=100)

    (x, y), _ = keras.datasets.moons.load_data()
    histories = {}
    for name, make in OPTIMIZERS.items():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [Input((2,)), Dense(32, "tanh"), Dense(32, "tanh"), Dense(1, "sigmoid")]
        )
        model.compile(make(), "binary_crossentropy", metrics=["accuracy"])
        histories[name] = model.fit(x, y, epochs=30, verbose=0)
        print(
            f"{name:>9}: height of the valley {valley(*paths[name][-1]):.2e}, "
            f"loss on moons {histories[name].history['loss'][-1]:.4f}"
        )
    ax = plots.learning_curves(histories, log=True)
    ax.figure.savefig(folder / "optimizers.png", dpi=100)
    return {name: h.history["loss"][-1] for name, h in histories.items()}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
