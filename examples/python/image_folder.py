"""Pictures in folders, one folder for each class: galaxies of three shapes.

The galaxies are drawn here, as PNG files, so that the script runs offline; with
pictures of your own (Galaxy Zoo's, for example) only the folder changes.

Run: python examples/python/image_folder.py [folder]
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
    Dropout,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    RandomFlip,
    RandomRotation,
    Rescaling,
)

SIZE = 48


def galaxy(kind: str, random: np.random.Generator) -> np.ndarray:
    """A picture of SIZE x SIZE pixels in [0, 1], with noise."""
    grid = np.linspace(-1, 1, SIZE)
    x, y = np.meshgrid(grid - random.normal(0, 0.05), grid - random.normal(0, 0.05))
    turn = random.uniform(0, 2 * np.pi)
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    thin = {"edge_on": random.uniform(4, 7), "elliptical": random.uniform(1, 1.6)}
    r = np.hypot(x, y * thin.get(kind, random.uniform(1, 1.3)))
    light = np.exp(-r / random.uniform(0.12, 0.2))
    if kind == "spiral":
        wind = random.choice([-1, 1]) * random.uniform(5, 8)
        arms = np.cos(2 * np.arctan2(y, x) + wind * np.log(r + 0.05))
        light = light * 0.7 + 0.5 * np.exp(-r / 0.35) * np.clip(arms, 0, 1)
    picture = light / light.max() + 0.05 * random.standard_normal(light.shape)
    return np.clip(picture, 0, 1)


def draw(folder: Path, n: int = 150) -> None:
    """Write n galaxies of each kind into a folder of its own."""
    random = np.random.default_rng(0)
    for kind in ("edge_on", "elliptical", "spiral"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            picture = galaxy(kind, random)[..., None] * 255
            keras.utils.save_img(folder / kind / f"{i:03d}.png", picture, scale=False)


def main(folder: Path = Path()) -> float:
    pictures = folder / "galaxies"
    if not pictures.exists():
        draw(pictures)
    train, validation = keras.utils.image_dataset_from_directory(
        pictures,
        color_mode="grayscale",
        image_size=(SIZE, SIZE),
        batch_size=32,
        validation_split=0.25,
        subset="both",
        seed=1,
    )
    names = train.class_names

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            Input((SIZE, SIZE, 1)),
            Rescaling(1 / 255),
            # a galaxy has no up and down
            RandomFlip("horizontal_and_vertical", seed=1),
            RandomRotation(0.5, fill_mode="constant", seed=2),
            Conv2D(8, 5, activation="relu"),
            MaxPooling2D(),
            Conv2D(16, 3, activation="relu"),
            MaxPooling2D(),
            Conv2D(32, 3, activation="relu"),
            GlobalAveragePooling2D(),
            Dropout(0.2),
            Dense(len(names), activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.003),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history = model.fit(train, validation_data=validation, epochs=30, verbose=0)
    x, y = (np.concatenate(part) for part in zip(*validation, strict=True))
    accuracy = model.evaluate(x, y, verbose=0)[1]
    print(f"{names}: accuracy {accuracy:.3f}")

    scores = model.predict(x, verbose=0)
    plots.history(history, folder / "image_folder.png")
    ax = plots.confusion_matrix(y, scores, labels=names)
    ax.figure.savefig(folder / "image_folder_confusion.png", dpi=100)
    axes = plots.images(x[:24], y[:24], predictions=scores[:24], class_names=names)
    axes[0].figure.savefig(folder / "image_folder_pictures.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
