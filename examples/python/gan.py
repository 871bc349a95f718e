"""GAN: a generator learns to make points that a discriminator takes for real ones.

Run: python examples/python/gan.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import ops
from lamella.layers import Dense, Input

NOISE = 4


def ring(n: int, seed: int) -> np.ndarray:
    """The distribution to imitate: points on a ring."""
    random = np.random.default_rng(seed)
    angle = random.uniform(0, 2 * np.pi, n)
    radius = 1 + 0.05 * random.standard_normal(n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(
        "float32"
    )


class GAN(keras.Model):
    """Two models with two optimizers, trained in turns by one `fit`."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential(
            [Input((NOISE,)), Dense(64, "relu"), Dense(64, "relu"), Dense(2)]
        )
        self.discriminator = keras.Sequential(
            [Input((2,)), Dense(64, "leaky_relu"), Dense(64, "leaky_relu"), Dense(1)]
        )
        self.loss_function = keras.losses.BinaryCrossentropy(from_logits=True)
        self.optimizers = (
            keras.optimizers.Adam(1e-3, beta_1=0.5),
            keras.optimizers.Adam(1e-3, beta_1=0.5),
        )
        self.seeds = keras.random.SeedGenerator(0)

    def step(self, real: np.ndarray) -> tuple[float, float]:
        """Train both on one batch and return their losses."""
        noise = keras.random.normal((len(real), NOISE), seed=self.seeds)
        # 1. The discriminator: real points are ones, made ones are zeros.
        with keras.GradientTape() as tape:
            fake = ops.stop_gradient(self.generator(noise))
            judged = self.discriminator(ops.concatenate([real, fake]))
            truth = np.repeat([[1.0], [0.0]], len(real), axis=0).astype("float32")
            d_loss = self.loss_function(truth, judged)
        weights = self.discriminator.trainable_variables
        slopes = tape.gradient(d_loss, weights)
        self.optimizers[0].apply_gradients(zip(slopes, weights, strict=True))
        # 2. The generator: its points should be taken for ones.
        with keras.GradientTape() as tape:
            judged = self.discriminator(self.generator(noise))
            g_loss = self.loss_function(np.ones((len(real), 1), "float32"), judged)
        weights = self.generator.trainable_variables
        slopes = tape.gradient(g_loss, weights)
        self.optimizers[1].apply_gradients(zip(slopes, weights, strict=True))
        return float(d_loss), float(g_loss)


def main(folder: Path = Path()) -> float:
    from matplotlib import pyplot as plt

    keras.utils.set_random_seed(0)
    real = ring(4096, seed=1)
    gan = GAN()
    noise = np.random.default_rng(2).standard_normal((500, NOISE)).astype("float32")
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
    shown = iter(axes)
    random = np.random.default_rng(3)
    for step in range(3001):
        d_loss, g_loss = gan.step(real[random.integers(0, len(real), 128)])
        if step % 1000 == 0:
            made = gan.generator.predict(noise, verbose=0)
            radius = np.linalg.norm(made, axis=1)
            print(
                f"step {step}: discriminator {d_loss:.3f}, generator {g_loss:.3f}, "
                f"radius {radius.mean():.3f} +- {radius.std():.3f} (1 +- 0.05)"
            )
            ax = next(shown)
            ax.plot(*real[:500].T, ".", markersize=2, alpha=0.4)
            ax.plot(*made.T, "r.", markersize=2)
            ax.set_title(f"step {step}")
            ax.set_aspect("equal")
    figure.savefig(folder / "gan.png", dpi=100)
    return float(np.abs(radius - 1).mean())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
