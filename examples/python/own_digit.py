"""Train a network once, and read your own digit from a picture with it.

Run: python examples/python/own_digit.py [picture.png]

The picture: one digit, dark on light or light on dark, of any size. Without one a seven
is drawn. The network is kept in own_digit.keras and trained only when it is not there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D


def train(path: Path) -> None:
    (x, y), _ = keras.datasets.digits.load_data()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(16, 3, padding="same", activation="relu"),
            MaxPooling2D(),
            Conv2D(32, 3, padding="same", activation="relu"),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[..., None] / 16, y, epochs=30, batch_size=16, verbose=0)
    model.save(path)


def draw_seven(path: Path) -> None:
    """A seven of 28 x 28 pixels, as with a felt pen."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (28, 28), 255)
    pen = ImageDraw.Draw(picture)
    pen.line([(7, 6), (20, 6), (12, 23)], fill=0, width=4, joint="curve")
    picture.save(path)


def read(path: Path) -> np.ndarray:
    """The digit as the network knows them: 8 x 8, light on dark, in [0, 1]."""
    from PIL import Image

    picture = np.asarray(Image.open(path).convert("L"), dtype="float32") / 255
    if picture.mean() > 0.5:
        picture = 1 - picture
    # cut to the digit, make it square, shrink by averages: as the data set was made
    rows, columns = (np.flatnonzero(picture.max(axis) > 0.3) for axis in (1, 0))
    picture = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(picture.shape)
    high, wide = side - picture.shape[0], side - picture.shape[1]
    picture = np.pad(
        picture, [(high // 2, high - high // 2), (wide // 2, wide - wide // 2)]
    )
    small = Image.fromarray(picture).resize((8, 8), Image.Resampling.BOX)
    digit = np.asarray(small)
    return digit / digit.max()


def main(picture: Path | None = None, folder: Path = Path()) -> int:
    saved = folder / "own_digit.keras"
    if not saved.exists():
        train(saved)
    if picture is None:
        picture = folder / "own_digit.png"
        draw_seven(picture)
    model = keras.models.load_model(saved)  # as another program would
    digit = read(picture)
    scores = model.predict(digit[None, ..., None], verbose=0)[0]
    print(f"{picture}: {scores.argmax()} (probability {scores.max():.3f})")
    axes = plots.class_scores(scores, digit)
    axes[0].figure.savefig(folder / "own_digit_scores.png", dpi=100)
    return int(scores.argmax())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
