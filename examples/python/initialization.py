"""How weights begin decides whether a deep network learns at all.

Run: python examples/python/initialization.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.initializers import RandomNormal
from lamella.layers import Dense, Flatten, Input

CASES = {
    "zeros": ("relu", "zeros"),
    "huge (normal, 10)": ("relu", RandomNormal(stddev=10.0, seed=1)),
    "sigmoid, normal(0, 1)": ("sigmoid", RandomNormal(stddev=1.0, seed=1)),
    "sigmoid, Glorot": ("sigmoid", "glorot_normal"),
    "tanh, Glorot": ("tanh", "glorot_normal"),
    "relu, He": ("relu", "he_normal"),
}


def main(folder: Path = Path()) -> dict[str, float]:
    from matplotlib import pyplot as plt

    (x, y), _ = keras.datasets.digits.load_data()
    x = x / 16
    histories, accuracy = {}, {}
    figure, axes = plt.subplots(2, 3, figsize=(15, 7), layout="constrained")
    for ax, (name, (activation, initializer)) in zip(
        axes.flat, CASES.items(), strict=True
    ):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([Input((8, 8)), Flatten()])
        for i in range(6):
            model.add(
                Dense(
                    40,
                    activation=activation,
                    kernel_initializer=initializer,
                    name=f"hidden_{i + 1}",
                )
            )
        model.add(Dense(10, activation="softmax", name="output"))
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        # Falling medians towards the left: gradients vanish; rising: they explode.
        plots.gradients(model, x[:100], y[:100], ax=ax)
        ax.set_title(f"{name}: gradient at the start")
        histories[name] = model.fit(x, y, epochs=20, verbose=0)
        accuracy[name] = histories[name].history["accuracy"][-1]
        spread = np.ptp(model.get_layer("hidden_1").get_weights()[0], axis=1).max()
        note = ", all neurons of a layer still the same" if spread == 0 else ""
        print(f"{name:>22}: accuracy {accuracy[name]:.3f} after 20 epochs{note}")
    figure.savefig(folder / "initialization_gradients.png", dpi=100)
    ax = plots.learning_curves(histories, "accuracy")
    ax.figure.savefig(folder / "initialization.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
