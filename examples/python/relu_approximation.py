"""A sum of ReLUs approximates any function: 1, 2, 4 and 100 of them on a cubic.

Run: python examples/python/relu_approximation.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Input


def main(folder: Path = Path()) -> dict[int, float]:
    from matplotlib import pyplot as plt

    x = np.linspace(-1.5, 1.5, 1000, dtype="float32")
    y = x**3 + 0.1 * x**2 - x + 0.1
    figure, axes = plt.subplots(2, 4, figsize=(15, 6), layout="constrained")
    errors = {}
    for column, neurons in enumerate((1, 2, 4, 100)):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([Input((1,)), Dense(neurons, "relu"), Dense(1)])
        model.compile(keras.optimizers.Adam(0.01), "mse")
        history = model.fit(x, y, batch_size=100, epochs=400, verbose=0)
        errors[neurons] = history.history["loss"][-1]
        print(f"{neurons:3d} neurons: mean squared error {errors[neurons]:.5f}")
        plots.fitted_curve(model, x, y, ax=axes[0, column])
        axes[0, column].set_title(f"{neurons} neurons, mse {errors[neurons]:.1e}")
        # The pieces w2 * relu(w1 x + b), whose sum (plus a number) is the curve.
        w1, b, w2, _ = model.get_weights()
        pieces = np.maximum(0, x[:, None] @ w1 + b) * w2[:, 0]
        axes[1, column].plot(x, pieces, linewidth=0.8)
        axes[1, column].set_title("its pieces")
    figure.savefig(folder / "relu_approximation.png", dpi=100)
    return errors


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
