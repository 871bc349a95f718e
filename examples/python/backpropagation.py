"""Backpropagation by hand, equation by equation, against automatic differentiation.

A 2-3-1 network of sigmoids with half the squared error. With z = a W + b and a = f(z),
delta^L = f'(z^L) dC/da^L              error of the output layer
delta^l = f'(z^l) (delta^{l+1} W^T)    error of a hidden layer
dC/dW = a^{l-1}^T delta^l, dC/db = sum of delta^l

Run: python examples/python/backpropagation.py
"""

from __future__ import annotations

import itertools

import numpy as np

import lamella as keras
from lamella import ops

SIZES = (2, 3, 1)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def backpropagate(
    weights: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray, t: np.ndarray
) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
    """The cost, and its gradients by weights and biases."""
    outputs = [x]  # forward: remember what every layer gave
    for w, b in zip(weights, biases, strict=True):
        outputs.append(sigmoid(outputs[-1] @ w + b))
    cost = 0.5 * np.sum((outputs[-1] - t) ** 2)

    delta = (outputs[-1] - t) * outputs[-1] * (1 - outputs[-1])
    by_weights, by_biases = [], []
    for layer in reversed(range(len(weights))):  # backward
        by_weights.insert(0, outputs[layer].T @ delta)
        by_biases.insert(0, delta.sum(0))
        if layer > 0:
            slope = outputs[layer] * (1 - outputs[layer])
            delta = (delta @ weights[layer].T) * slope
    return cost, by_weights, by_biases


def main() -> float:
    random = np.random.default_rng(0)
    weights = [random.normal(size=s) for s in itertools.pairwise(SIZES)]
    biases = [random.normal(size=n) for n in SIZES[1:]]
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float64")
    t = np.array([[0], [1], [1], [0]], dtype="float64")

    def cost(weights, biases):
        a = x
        for w, b in zip(weights, biases, strict=True):
            a = ops.sigmoid(ops.matmul(a, w) + b)
        return 0.5 * ops.sum((a - t) ** 2)

    by_hand = backpropagate(weights, biases, x, t)
    value, automatic = keras.value_and_grad(cost, argnums=(0, 1))(weights, biases)
    worst = abs(float(value) - by_hand[0])
    for layer in range(len(weights)):
        for kind, mine, theirs in (
            ("W", by_hand[1][layer], automatic[0][layer].numpy()),
            ("b", by_hand[2][layer], automatic[1][layer].numpy()),
        ):
            # Numerical gradients need two evaluations a weight, and are not exact.
            step = 1e-6
            parameter = (weights if kind == "W" else biases)[layer]
            first = (0,) * parameter.ndim
            kept = parameter[first]
            parameter[first] = kept + step
            up = backpropagate(weights, biases, x, t)[0]
            parameter[first] = kept - step
            down = backpropagate(weights, biases, x, t)[0]
            parameter[first] = kept
            difference = np.abs(mine - theirs).max()
            worst = max(worst, difference)
            print(
                f"layer {layer + 1}, d cost/d{kind}: by hand {mine[first]:+.12f}, "
                f"difference quotient {(up - down) / (2 * step):+.12f}, "
                f"largest deviation from autodiff {difference:.1e}"
            )

    # Training is this, again and again, with a step against the gradient.
    eta = 2.0
    for epoch in range(5001):
        value, by_weights, by_biases = backpropagate(weights, biases, x, t)
        if epoch % 1000 == 0:
            print(f"epoch {epoch}: cost {value:.5f}")
        for layer in range(len(weights)):
            weights[layer] -= eta * by_weights[layer]
            biases[layer] -= eta * by_biases[layer]
    return float(worst)


if __name__ == "__main__":
    main()
