"""Activation functions: their curves, their derivatives, and how they learn.

Run: python examples/python/activations.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Flatten, Input

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "silu")


def main(folder: Path = Path()) -> dict[str, float]:
    axes = plots.activation_functions(NAMES)
    axes[0].figure.savefig(folder / "activations_curves.png", dpi=100)

    (x, y), (x_test, y_test) = keras.datasets.digits.load_data()
    x, x_test = x / 16, x_test / 16
    histories, accuracy = {}, {}
    for name in NAMES:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([Input((8, 8)), Flatten()])
        for _ in range(5):  # deep enough for a difference
            model.add(Dense(32, activation=name, kernel_initializer="he_normal"))
        model.add(Dense(10, activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories[name] = model.fit(
            x, y, epochs=20, validation_data=(x_test, y_test), verbose=0
        )
        accuracy[name] = histories[name].history["val_accuracy"][-1]
        print(f"{name:>10}: accuracy {accuracy[name]:.4f} after 20 epochs")
    ax = plots.learning_curves(histories, "accuracy", validation=False)
    ax.figure.savefig(folder / "activations.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
