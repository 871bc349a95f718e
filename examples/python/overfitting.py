"""Ten points and 14 000 weights: overfitting, and five cures for it.

Run: python examples/python/overfitting.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.callbacks import EarlyStopping
from lamella.layers import Activation, BatchNormalization, Dense, Dropout, Input
from lamella.regularizers import L2


def make_data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy points on half a wave."""
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(-1, 1, (n, 1)), axis=0).astype("float32")
    return x, np.cos(1.5 * x) + 0.3 * random.standard_normal((n, 1)).astype("float32")


def network(cure: str) -> keras.Sequential:
    model = keras.Sequential([Input((1,))])
    for n in (30, 100, 100, 30):
        penalty = L2(3e-3) if cure == "L2" else None
        if cure == "batch norm":  # between the sum and its activation
            model.add(Dense(n, use_bias=False))
            model.add(BatchNormalization())
            model.add(Activation("tanh"))
        else:
            model.add(Dense(n, activation="tanh", kernel_regularizer=penalty))
        if cure == "dropout":
            model.add(Dropout(0.15))
    model.add(Dense(1))
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return model


def main(folder: Path = Path()) -> dict[str, float]:
    from matplotlib import pyplot as plt

    x, y = make_data(10, seed=3)
    x_test, y_test = make_data(500, seed=4)
    cures = ["none", "L2", "dropout", "batch norm", "early stopping", "more data"]
    figure, axes = plt.subplots(2, 3, figsize=(14, 7), layout="constrained")
    errors = {}
    for ax, cure in zip(axes.flat, cures, strict=True):
        keras.utils.set_random_seed(1)
        model = network(cure)
        train = make_data(500, seed=5) if cure == "more data" else (x, y)
        callbacks = []
        if cure == "early stopping":  # watch data that are not trained on
            callbacks = [EarlyStopping(patience=20, restore_best_weights=True)]
        model.fit(
            *train,
            batch_size=10,
            epochs=60 if cure == "more data" else 1500,
            validation_data=make_data(20, seed=6) if callbacks else None,
            callbacks=callbacks,
            verbose=0,
        )
        seen = float(np.mean((model.predict(x, verbose=0) - y) ** 2))
        errors[cure] = float(np.mean((model.predict(x_test, verbose=0) - y_test) ** 2))
        print(
            f"{cure:>14}: error on the ten {seen:.4f}, on new data {errors[cure]:.4f}"
        )
        plots.fitted_curve(model, x, y, ax=ax)
        ax.plot(x_test[::10], y_test[::10], "k.", markersize=2)
        ax.set_ylim(-0.8, 1.9)
        ax.set_title(f"{cure}: {errors[cure]:.3f} on new data")
    figure.savefig(folder / "overfitting.png", dpi=100)
    return errors


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
