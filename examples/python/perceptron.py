"""A perceptron learns AND, cannot learn XOR, and what a hidden layer changes.

Run: python examples/python/perceptron.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Input

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
TARGETS = {"and": np.array([0, 0, 0, 1]), "xor": np.array([0, 1, 1, 0])}


class Perceptron:
    """Rosenblatt's: a weighted sum, a step, and a rule for wrong answers."""

    def __init__(self) -> None:
        self.w = np.zeros(2)
        self.b = 0.0

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return 0 or 1 for each row."""
        return (x @ self.w + self.b > 0).astype(int)

    def fit(self, x: np.ndarray, y: np.ndarray, epochs: int = 50) -> int:
        """Return the number of epochs until nothing was wrong, or -1."""
        for epoch in range(epochs):
            wrong = 0
            for point, target in zip(x, y, strict=True):
                error = target - self.predict(point[None])[0]
                self.w += error * point
                self.b += error
                wrong += int(error != 0)
            if wrong == 0:
                return epoch
        return -1


def main(folder: Path = Path()) -> dict[str, float]:
    keras.utils.set_random_seed(3)
    accuracy = {}
    classifiers = {}
    for name, y in TARGETS.items():
        perceptron = Perceptron()
        epochs = perceptron.fit(INPUTS, y)
        accuracy[name] = float(np.mean(perceptron.predict(INPUTS) == y))
        end = (
            f"after {epochs} epochs" if epochs >= 0 else "never ends: no line can do it"
        )
        print(f"perceptron, {name}: accuracy {accuracy[name]:.2f}, {end}")
        classifiers[f"perceptron, {name}"] = (perceptron.predict, y)

    # Without an activation the hidden layer is no help: a linear function of a linear
    # function is linear. The best it can do is to say 0.5 everywhere.
    for activation in (None, "tanh"):
        model = keras.Sequential(
            [Input((2,)), Dense(8, activation=activation), Dense(1, "sigmoid")]
        )
        model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
        y = TARGETS["xor"]
        model.fit(INPUTS, y, epochs=400, verbose=0)
        guess = model.predict(INPUTS, verbose=0)[:, 0]
        name = f"hidden layer, {activation or 'linear'}, xor"
        accuracy[name] = float(np.mean((guess > 0.5) == y))
        print(f"{name}: outputs {np.round(guess, 2)}")
        classifiers[name] = (model, y)

    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(15, 3.4), layout="constrained")
    for ax, (name, (classifier, y)) in zip(axes, classifiers.items(), strict=True):
        plots.decision_boundary(classifier, INPUTS, y, margin=0.4, ax=ax)
        ax.set_title(name)
    figure.savefig(folder / "perceptron.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
