"""Convolution step by step: an X, diagonal filters, ReLU, pooling; then a trained one.

Run: python examples/python/feature_maps.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import ops, plots
from lamella.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D

# an X of +1 on a ground of -1, five by five
CROSS = np.pad(2.0 * (np.eye(3) + np.eye(3)[::-1] > 0) - 1, 1, constant_values=-1)
DIAGONAL = 2.0 * np.eye(3) - 1


def by_hand() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The feature map of an X under a diagonal filter, rectified, and pooled."""
    picture = CROSS.astype("float32")[None, :, :, None]
    kernel = DIAGONAL.astype("float32")[:, :, None, None]
    features = ops.conv(picture, kernel, padding="valid")
    rectified = ops.relu(features)
    pooled = ops.max_pool(rectified, pool_size=2, strides=1)
    return tuple(
        ops.convert_to_numpy(t)[0, :, :, 0] for t in (features, rectified, pooled)
    )


def main(folder: Path = Path()) -> float:
    features, rectified, pooled = by_hand()
    print("an X under the diagonal filter:\n", features.astype(int))
    print("after ReLU:\n", rectified.astype(int))
    print("after 2 x 2 max pooling with stride 1:\n", pooled.astype(int))

    (x, y), (x_test, y_test) = keras.datasets.digits.load_data()
    x, x_test = x[..., None] / 16, x_test[..., None] / 16
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(8, 3, activation="relu", padding="same", name="first"),
            MaxPooling2D(name="pool"),
            Conv2D(16, 3, activation="relu", padding="same", name="second"),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=30, verbose=0)
    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    print(f"digits: accuracy {accuracy:.4f}")
    # A model of its own for every output of interest shares the trained weights.
    middle = keras.Model(model.inputs, model.get_layer("second").output)
    print(
        "maps of the second convolution:", middle.predict(x_test[:1], verbose=0).shape
    )
    plots.filters(model)[0].figure.savefig(folder / "filters.png", dpi=100)
    for name in ("first", "pool", "second"):
        axes = plots.feature_maps(model, x_test[0], layer=name)
        axes[0].figure.savefig(folder / f"feature_maps_{name}.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
