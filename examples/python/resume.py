"""Stop a training and go on another day as if nothing had happened.

A saved model holds its optimizer: step counter, learning rate, and the momenta.

Run: python examples/python/resume.py [folder]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import lamella as keras
from lamella.callbacks import CSVLogger, ModelCheckpoint
from lamella.layers import Dense, Input

(X, Y), _ = keras.datasets.spirals.load_data(n_samples=500)


def make_model() -> keras.Model:
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            Input((2,)),
            Dense(32, activation="relu"),
            Dense(32, activation="relu"),
            Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def main(folder: Path) -> float:
    # shuffle=False: the order of the batches is the same in both trainings, so that
    # their results can be compared bit by bit.
    options = {"batch_size": 32, "shuffle": False, "verbose": 0}
    targets = Y[:, None]

    # All at once, to compare with.
    straight = make_model()
    straight.fit(X, targets, epochs=20, **options)

    # The first day: twelve epochs, saved after each. A crash while saving would leave
    # the file of the epoch before.
    checkpoint = folder / "spirals.keras"
    log = folder / "spirals.csv"
    first = make_model()
    first.fit(
        X,
        targets,
        epochs=12,
        callbacks=[ModelCheckpoint(checkpoint), CSVLogger(log)],
        **options,
    )
    del first

    # The second day: only the files are left. `initial_epoch` says where to go on,
    # `append=True` keeps the lines of the first day.
    resumed = keras.models.load_model(checkpoint)
    resumed.fit(
        X,
        targets,
        initial_epoch=12,
        epochs=20,
        callbacks=[ModelCheckpoint(checkpoint), CSVLogger(log, append=True)],
        **options,
    )

    pairs = zip(straight.get_weights(), resumed.get_weights(), strict=True)
    difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    print(f"largest difference of a weight after 20 epochs: {difference:.3g}")
    print(f"lines in {log.name}: {len(log.read_text().splitlines())}")
    return difference


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
