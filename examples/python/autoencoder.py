"""Autoencoder: 64 pixels through a bottleneck of two numbers; and one that denoises.

Run: python examples/python/autoencoder.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Flatten, Input, Reshape


def autoencoder(bottleneck: int) -> tuple[keras.Model, keras.Model, keras.Model]:
    """The whole, and its halves, which share its weights."""
    picture = Input((8, 8))
    x = Flatten()(picture)
    x = Dense(64, activation="relu")(x)
    x = Dense(32, activation="relu")(x)
    code = Dense(bottleneck, name="code")(x)
    encoder = keras.Model(picture, code, name="encoder")

    start = Input((bottleneck,))
    x = Dense(32, activation="relu")(start)
    x = Dense(64, activation="relu")(x)
    x = Dense(64, activation="sigmoid")(x)
    decoder = keras.Model(start, Reshape((8, 8))(x), name="decoder")
    return keras.Model(picture, decoder(code)), encoder, decoder


def main(folder: Path = Path()) -> tuple[float, float]:
    from matplotlib import pyplot as plt

    (x, _), (x_test, y_test) = keras.datasets.digits.load_data()
    x, x_test = x / 16, x_test / 16
    keras.utils.set_random_seed(0)

    model, encoder, decoder = autoencoder(2)
    model.compile("adam", "mse")
    model.fit(x, x, epochs=100, verbose=0)  # the target is the input
    plain = model.evaluate(x_test, x_test, verbose=0)
    variance = float(np.mean((x_test - x.mean(0)) ** 2))
    print(f"two numbers for 64 pixels: error {plain:.4f} (variance {variance:.4f})")

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    codes = encoder.predict(x_test, verbose=0)
    points = axes[0].scatter(*codes.T, c=y_test, cmap="tab10", s=12)
    figure.colorbar(points, ax=axes[0])
    axes[0].set_title("test digits in the code plane")
    # The decoder alone makes pictures out of codes: walk over the plane.
    low, high = np.percentile(codes, [5, 95], axis=0)
    plane = np.stack(np.meshgrid(*np.linspace(low, high, 10).T), -1).reshape(-1, 2)
    sheet = decoder.predict(plane.astype("float32"), verbose=0).reshape(10, 10, 8, 8)
    axes[1].imshow(sheet.transpose(0, 2, 1, 3).reshape(80, 80), cmap="gray")
    axes[1].set_title("decoded codes")
    figure.savefig(folder / "autoencoder.png", dpi=100)

    # Denoising: the input is noisy, the target is not.
    random = np.random.default_rng(0)

    def noisy(pictures: np.ndarray) -> np.ndarray:
        return np.clip(pictures + 0.3 * random.standard_normal(pictures.shape), 0, 1)

    denoiser, _, _ = autoencoder(24)
    denoiser.compile("adam", "mse")
    denoiser.fit(noisy(x), x, epochs=100, verbose=0)
    dirty = noisy(x_test)
    clean = denoiser.predict(dirty, verbose=0)
    before = float(np.mean((dirty - x_test) ** 2))
    after = float(np.mean((clean - x_test) ** 2))
    print(f"denoising: error {before:.4f} -> {after:.4f}")
    rows = np.concatenate([x_test[:8], dirty[:8], clean[:8]])
    axes = plots.images(rows, columns=8)
    axes[0].figure.savefig(folder / "autoencoder_denoising.png", dpi=100)
    return plain / variance, after / before


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
