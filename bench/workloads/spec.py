"""The words in which workloads are described, and a plain NumPy reading of them.

Layouts are Keras's: images (N, H, W, C), dense kernels (in, out), convolution kernels
(height, width, in, out). A peer with other layouts transposes when it loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Dense:
    """A fully connected layer."""

    units: int
    activation: str | None = None


@dataclass(frozen=True)
class Conv:
    """A square convolution with stride 1 and no padding."""

    filters: int
    size: int
    activation: str | None = None


@dataclass(frozen=True)
class MaxPool:
    """Maximum over squares that do not overlap."""

    size: int


@dataclass(frozen=True)
class Flatten:
    """Everything but the batch in one axis."""


Layer = Dense | Conv | MaxPool | Flatten


@dataclass(frozen=True)
class ModelWorkload:
    """A model, its data, and what to do with them.

    `action` is "step" (one update on the first batch), "fit" (one pass over all rows)
    or "predict" (all rows of `x` in one call). A figure is the time of one `unit`.
    """

    name: str
    text: str
    layers: tuple[Layer, ...]
    loss: Literal["mse", "categorical_crossentropy"]
    data: Callable[[], tuple[Array, Array]]
    action: Literal["step", "fit", "predict"]
    batch_size: int
    unit: str
    units_per_run: int = 1
    learning_rate: float = 1e-3

    def weights(self) -> list[Array]:
        """The weights that every peer starts from: Glorot uniform, biases zero."""
        rng = np.random.default_rng(7)
        shape = self.data()[0].shape[1:]
        weights: list[Array] = []
        for layer in self.layers:
            if isinstance(layer, Dense):
                kernel = (shape[0], layer.units)
            elif isinstance(layer, Conv):
                kernel = (layer.size, layer.size, shape[-1], layer.filters)
            if isinstance(layer, Dense | Conv):
                area = int(np.prod(kernel[:-2]))
                limit = np.sqrt(6 / (area * (kernel[-2] + kernel[-1])))
                weights.append(rng.uniform(-limit, limit, kernel).astype(np.float32))
                weights.append(np.zeros(kernel[-1], np.float32))
            shape = output_shape(layer, shape)
        return weights

    def reference(self, x: Array) -> Array:
        """The predictions of the initial weights, in float64."""
        weights = iter(self.weights())
        y = x.astype(np.float64)
        for layer in self.layers:
            y = forward(layer, y, weights)
        return y

    def loss_of(self, y: Array, predicted: Array) -> float:
        """The mean loss."""
        if self.loss == "mse":
            return float(np.mean((y - predicted) ** 2))
        return float(-np.mean(np.sum(y * np.log(np.clip(predicted, 1e-7, 1)), axis=-1)))


@dataclass(frozen=True)
class OpWorkload:
    """One op on fixed arrays; `reference` returns the list of its results."""

    name: str
    text: str
    op: Literal["matmul", "conv", "elementwise"]
    arrays: Callable[[], list[Array]]
    reference: Callable[..., list[Array]]
    flops: float = 0
    traffic: float = 0
    unit: str = field(default="call")
    units_per_run: int = 1


def output_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one row after `layer`."""
    if isinstance(layer, Dense):
        return (layer.units,)
    if isinstance(layer, Conv):
        height, width, _ = shape
        return (height - layer.size + 1, width - layer.size + 1, layer.filters)
    if isinstance(layer, MaxPool):
        height, width, channels = shape
        return (height // layer.size, width // layer.size, channels)
    return (int(np.prod(shape)),)


def forward(layer: Layer, x: Array, weights) -> Array:
    """One layer in NumPy; takes what it needs from the iterator `weights`."""
    if isinstance(layer, Flatten):
        return x.reshape(len(x), -1)
    if isinstance(layer, MaxPool):
        n, height, width, channels = x.shape
        s = layer.size
        x = x[:, : height // s * s, : width // s * s]
        return x.reshape(n, height // s, s, width // s, s, channels).max(axis=(2, 4))
    if isinstance(layer, Dense):
        y = x @ next(weights).astype(np.float64)
    else:
        y = convolve(x, next(weights).astype(np.float64))
    y = y + next(weights)
    if layer.activation == "relu":
        return np.maximum(y, 0)
    if layer.activation == "softmax":
        y = np.exp(y - y.max(axis=-1, keepdims=True))
        return y / y.sum(axis=-1, keepdims=True)
    return y


def convolve(x: Array, kernel: Array) -> Array:
    """Convolution with stride 1 and no padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.tensordot(windows, kernel, axes=[(4, 5, 3), (0, 1, 2)])
