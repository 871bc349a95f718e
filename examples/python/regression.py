"""Regression: fit a noisy curve, with a schedule, callbacks and a log file.

Run: python examples/python/regression.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau
from lamella.layers import Dense, Input


def make_data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (n, 1)).astype("float32")
    y = np.sin(4 * x) + 0.1 * random.standard_normal((n, 1)).astype("float32")
    return x, y


def main(folder: Path = Path()) -> float:
    keras.utils.set_random_seed(0)
    x_train, y_train = make_data(1000, seed=1)
    x_test, y_test = make_data(500, seed=2)

    model = keras.Sequential(
        [
            Input((1,)),
            Dense(32, activation="tanh"),
            Dense(32, activation="tanh"),
            Dense(1),  # no activation: the output is a number, not a probability
        ]
    )
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    model.summary()

    model.fit(
        x_train,
        y_train,
        epochs=300,
        validation_split=0.2,
        verbose=0,
        callbacks=[
            # Smaller steps when the validation loss stands still ...
            ReduceLROnPlateau(factor=0.3, patience=10, min_lr=1e-5),
            # ... and the end when that does not help either.
            EarlyStopping(patience=40, restore_best_weights=True),
            CSVLogger(folder / "regression.csv"),
        ],
    )

    # The noise has the variance 0.01: no model can have a smaller error than that.
    error, _ = model.evaluate(x_test, y_test, verbose=0)
    print(f"mean squared error {error:.4f} (variance of the noise: 0.01)")
    return error


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
