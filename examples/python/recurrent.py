"""Recurrent networks: continue a sequence, and classify sequences of unequal length.

Run: python examples/python/recurrent.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella.layers import GRU, LSTM, Dense, Embedding, Input

WINDOW = 40


def wave(n: int) -> np.ndarray:
    t = np.arange(n)
    return (np.sin(0.2 * t) + 0.5 * np.sin(0.31 * t)).astype("float32")


def forecast(folder: Path) -> float:
    """Learn the next value from the last 40, then go on alone."""
    from matplotlib import pyplot as plt

    series = wave(1200)
    windows = np.lib.stride_tricks.sliding_window_view(series, WINDOW + 1)
    x, y = windows[:1000, :-1, None], windows[:1000, -1:]
    model = keras.Sequential([Input((WINDOW, 1)), LSTM(32), Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=15, verbose=0)
    error = float(
        np.mean(
            (
                model.predict(windows[1040:, :-1, None], verbose=0)[:, 0]
                - windows[1040:, -1]
            )
            ** 2
        )
    )
    print(f"next value of a wave: error {error:.5f} (variance {series.var():.3f})")

    past = list(series[1000 - WINDOW : 1000])
    for _ in range(150):  # each guess becomes an input
        row = np.array(past[-WINDOW:], dtype="float32")[None, :, None]
        past.append(float(model.predict_on_batch(row)[0, 0]))
    figure, ax = plt.subplots(figsize=(9, 3), layout="constrained")
    ax.plot(series[1000:1150], label="wave")
    ax.plot(past[WINDOW:], "--", label="the network, alone")
    ax.legend()
    figure.savefig(folder / "recurrent.png", dpi=100)
    return error


def brackets() -> float:
    """Is every bracket closed? Tokens 1 and 2, rows filled with 0, which is masked."""
    random = np.random.default_rng(0)
    rows, labels = np.zeros((3000, 20), "int32"), np.zeros(3000, "int32")
    for i in range(len(rows)):
        length = 2 * random.integers(1, 11)
        if random.uniform() < 0.5:  # a balanced one, step by step
            depth, row = 0, []
            for left in range(length, 0, -1):
                up = depth == 0 or (depth < left and random.uniform() < 0.5)
                row.append(1 if up else 2)
                depth += 1 if up else -1
        else:
            row = random.integers(1, 3, length).tolist()
        rows[i, :length] = row
        depth = np.cumsum(np.where(np.array(row) == 1, 1, -1))
        labels[i] = int(depth[-1] == 0 and depth.min() >= 0)
    model = keras.Sequential(
        [
            Input((20,), dtype="int32"),
            Embedding(3, 8, mask_zero=True),
            GRU(32),
            Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"]
    )
    model.fit(rows[:2400], labels[:2400], epochs=15, verbose=0)
    accuracy = model.evaluate(rows[2400:], labels[2400:], verbose=0)[1]
    print(f"closed brackets: accuracy {accuracy:.3f} (share {labels.mean():.2f})")
    return accuracy


def main(folder: Path = Path()) -> tuple[float, float]:
    keras.utils.set_random_seed(0)
    return forecast(folder), brackets()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
