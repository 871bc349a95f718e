"""Augmentation: training pictures varied as the pictures to come will vary.

Run: python examples/python/augmentation.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import (
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    RandomRotation,
    RandomTranslation,
)


def carelessly_written(pictures: np.ndarray) -> np.ndarray:
    """The same digits, up to one pixel away from the middle."""
    random = np.random.default_rng(0)
    shifts = random.integers(-1, 2, (len(pictures), 2))
    return np.stack(
        [
            np.pad(p, 1)[1 - dy : 9 - dy, 1 - dx : 9 - dx]
            for p, (dy, dx) in zip(pictures, shifts, strict=True)
        ]
    )


def main(folder: Path = Path()) -> dict[str, float]:
    (x, y), (x_test, y_test) = keras.datasets.digits.load_data()
    # The training digits were centred by a machine; those to read are not.
    x, x_test = x / 16, carelessly_written(x_test / 16)

    # A six that is moved or turned a little is a six; a mirrored one is not: no flips.
    # The layers act in training only, with new random numbers for each picture.
    augment = [
        RandomTranslation(0.15, 0.15, fill_mode="constant", seed=1),
        RandomRotation(0.02, fill_mode="constant", seed=2),
    ]
    histories, accuracy = {}, {}
    for name, first in {"as they are": [], "augmented": augment}.items():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                Input((8, 8, 1)),
                *first,
                Conv2D(32, 3, padding="same", activation="relu"),
                MaxPooling2D(),
                Conv2D(64, 3, padding="same", activation="relu"),
                Flatten(),
                Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories[name] = model.fit(
            x, y, epochs=30, validation_data=(x_test, y_test), verbose=0
        )
        accuracy[name] = model.evaluate(x_test, y_test, verbose=0)[1]
        print(f"training pictures {name}: accuracy {accuracy[name]:.4f}")

    one = np.repeat(x[:1, ..., None], 16, axis=0).astype("float32")
    for layer in augment:
        one = layer(one, training=True)
    axes = plots.images(one.numpy())
    axes[0].figure.savefig(folder / "augmentation_pictures.png", dpi=100)
    ax = plots.learning_curves(histories, "accuracy")
    ax.figure.savefig(folder / "augmentation.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
