"""A straight line by gradient descent, written out, and the way over the loss surface.

Run: python examples/python/line_fit.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import ops, plots

SLOPE, INTERCEPT = 2.0, -1.0


def make_data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = np.linspace(0, 3, 40)
    return x, SLOPE * x + INTERCEPT + 0.2 * random.standard_normal(40)


def main(folder: Path = Path()) -> tuple[float, float]:
    x, y = make_data()

    def loss(m, b):
        return ops.mean((m * x + b - y) ** 2)

    # In which direction to go? The gradient by hand ...
    m, b = 0.0, 2.0
    by_hand = (np.mean(2 * (m * x + b - y) * x), np.mean(2 * (m * x + b - y)))
    # ... and by automatic differentiation.
    gradient = keras.value_and_grad(loss, argnums=(0, 1))
    value, automatic = gradient(m, b)
    print(f"loss {float(value):.3f} at m={m}, b={b}")
    print(f"gradient by hand {by_hand[0]:.6f} {by_hand[1]:.6f}")
    print(f"   by autodiff   {float(automatic[0]):.6f} {float(automatic[1]):.6f}")
    np.testing.assert_allclose([float(g) for g in automatic], by_hand, rtol=1e-12)

    alpha, epsilon = 0.1, 1e-10  # learning rate; stop when the loss stands still
    path = [(m, b)]
    (dm, db), gain = automatic, np.inf
    while gain > epsilon:
        m, b = m - alpha * float(dm), b - alpha * float(db)
        path.append((m, b))
        before = float(value)
        value, (dm, db) = gradient(m, b)
        gain = before - float(value)
    print(f"gradient descent: m={m:.4f}, b={b:.4f} after {len(path)} steps")

    # The same model as a network: one neuron without activation.
    keras.utils.set_random_seed(0)
    neuron = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    neuron.compile(keras.optimizers.SGD(alpha), "mse")
    neuron.fit(x[:, None], y, batch_size=len(x), epochs=len(path), verbose=0)
    kernel, bias = neuron.layers[0].get_weights()
    print(f"one neuron:       m={kernel[0, 0]:.4f}, b={bias[0]:.4f}")
    exact = np.polyfit(x, y, 1)
    print(f"least squares:    m={exact[0]:.4f}, b={exact[1]:.4f}")

    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    plots.fitted_curve(neuron, x, y, ax=axes[0])
    plots.loss_surface(
        lambda m, b: (
            np.mean((np.multiply.outer(m, x) + b[..., None] - y) ** 2, -1)
            if np.ndim(m)
            else np.mean((m * x + b - y) ** 2)
        ),
        (-0.5, 3.5),
        (-3, 2.5),
        paths={"gradient descent": path},
        log=True,
        ax=axes[1],
    )
    axes[1].set_xlabel("slope")
    axes[1].set_ylabel("intercept")
    figure.savefig(folder / "line_fit.png", dpi=100)
    return m - exact[0], b - exact[1]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
