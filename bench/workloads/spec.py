"""The words in which workloads are described.

Layouts are Keras's: images (N, H, W, C), dense kernels (in, out), convolution kernels
(height, width, in, out). A peer with other layouts transposes when it loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]

# ------------------------------------------------------------------------ layers


@dataclass(frozen=True)
class Dense:
    """A fully connected layer."""

    units: int
    activation: str | None = None


@dataclass(frozen=True)
class Conv:
    """A square convolution."""

    filters: int
    size: int
    activation: str | None = None
    stride: int = 1
    padding: Literal["valid", "same"] = "valid"
    bias: bool = True


@dataclass(frozen=True)
class MaxPool:
    """Maximum over squares that do not overlap."""

    size: int


@dataclass(frozen=True)
class GlobalAverage:
    """The mean of each channel."""


@dataclass(frozen=True)
class Flatten:
    """Everything but the batch in one axis."""


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization over the last axis, Keras's defaults."""

    epsilon: float = 1e-3
    momentum: float = 0.99


@dataclass(frozen=True)
class Dropout:
    """Drops a share of the elements."""

    rate: float


@dataclass(frozen=True)
class Relu:
    """The activation, as a layer."""


@dataclass(frozen=True)
class Recurrent:
    """The last output of an LSTM, or of a GRU with two biases (`reset_after`)."""

    kind: Literal["lstm", "gru"]
    units: int


@dataclass(frozen=True)
class Residual:
    """relu(body(x) + shortcut(x)); an empty shortcut is x itself."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


Layer = (
    Dense
    | Conv
    | MaxPool
    | GlobalAverage
    | Flatten
    | BatchNorm
    | Dropout
    | Relu
    | Recurrent
    | Residual
)


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape of one row after `layer`."""
    if isinstance(layer, Dense):
        return (*shape[:-1], layer.units)
    if isinstance(layer, Recurrent):
        return (layer.units,)
    if isinstance(layer, Conv):
        if layer.padding == "same":
            sizes = [-(-n // layer.stride) for n in shape[:2]]
        else:
            sizes = [(n - layer.size) // layer.stride + 1 for n in shape[:2]]
        return (*sizes, layer.filters)
    if isinstance(layer, MaxPool):
        return (shape[0] // layer.size, shape[1] // layer.size, shape[2])
    if isinstance(layer, GlobalAverage):
        return shape[-1:]
    if isinstance(layer, Flatten):
        return (int(np.prod(shape)),)
    if isinstance(layer, Residual):
        for part in layer.body:
            shape = output_shape(part, shape)
    return shape


def make_weights(
    layers: tuple[Layer, ...], shape: Shape, rng: np.random.Generator
) -> Iterator[list[Array]]:
    """A list of arrays for each layer that has weights, in Keras's order within it.

    Kernels are Glorot uniform, biases zero; a residual block gives its body's layers,
    then its shortcut's.
    """

    def glorot(*kernel: int) -> Array:
        area = int(np.prod(kernel[:-2]))
        limit = np.sqrt(6 / (area * (kernel[-2] + kernel[-1])))
        return rng.uniform(-limit, limit, kernel).astype(np.float32)

    for layer in layers:
        if isinstance(layer, Dense):
            yield [glorot(shape[-1], layer.units), np.zeros(layer.units, np.float32)]
        elif isinstance(layer, Conv):
            kernel = glorot(layer.size, layer.size, shape[-1], layer.filters)
            bias = [np.zeros(layer.filters, np.float32)] if layer.bias else []
            yield [kernel, *bias]
        elif isinstance(layer, BatchNorm):
            ones, zeros = np.ones(shape[-1]), np.zeros(shape[-1])
            yield [a.astype(np.float32) for a in (ones, zeros, zeros, ones)]
        elif isinstance(layer, Recurrent):
            gates = {"lstm": 4, "gru": 3}[layer.kind] * layer.units
            biases = (gates,) if layer.kind == "lstm" else (2, gates)
            yield [
                glorot(shape[-1], gates),
                glorot(layer.units, gates),
                np.zeros(biases, np.float32),
            ]
        elif isinstance(layer, Residual):
            yield from make_weights(layer.body, shape, rng)
            yield from make_weights(layer.shortcut, shape, rng)
        shape = output_shape(layer, shape)


def forward_flops(layers: tuple[Layer, ...], shape: Shape) -> float:
    """Of the products in one row's forward pass: what the peak is compared with."""
    total = 0.0
    for layer in layers:
        after = output_shape(layer, shape)
        if isinstance(layer, Dense):
            total += 2.0 * shape[-1] * layer.units
        elif isinstance(layer, Conv):
            total += 2.0 * np.prod(after) * layer.size**2 * shape[-1]
        elif isinstance(layer, Recurrent):
            gates = {"lstm": 4, "gru": 3}[layer.kind] * layer.units
            total += 2.0 * shape[0] * gates * (shape[1] + layer.units)
        elif isinstance(layer, Residual):
            total += forward_flops(layer.body, shape)
            total += forward_flops(layer.shortcut, shape)
        shape = after
    return float(total)


def walk(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """All layers, those of residual blocks instead of the blocks."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from walk((*layer.body, *layer.shortcut))
        else:
            yield layer


# ---------------------------------------------------------------------- workloads


@dataclass(frozen=True)
class Target:
    """What is aimed at: some of these, any of which will do.

    `ratio` of the time of the fastest peer whose name begins with `against` ("" is
    every peer) to lamella's; `limit` seconds; `bandwidth`, a share of the machine's
    copy bandwidth at the level of memory that the workload names.
    """

    against: str = ""
    ratio: float | None = None
    limit: float | None = None
    bandwidth: float | None = None


@dataclass(frozen=True)
class ModelWorkload:
    """A model, its data, and what to do with them.

    `action` is "step" (one update on the first batch), "fit" (`epochs` passes over
    all rows at most, in one call), "predict" (all rows, batch by batch) or
    "predict_on_batch" (the first batch). A figure is the time of one `unit`.
    """

    name: str
    group: str
    text: str
    layers: tuple[Layer, ...]
    loss: Literal["mse", "categorical_crossentropy", "binary_crossentropy"]
    data: Callable[[], tuple[Array, Array]]
    action: Literal["step", "fit", "predict", "predict_on_batch"]
    batch_size: int
    unit: str = "step"
    epochs: int = 1
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    targets: tuple[Target, ...] = ()
    only: tuple[str, ...] = ()  # the peers that it is meant for; () is all

    @property
    def batches(self) -> int:
        """Units in one pass over the data."""
        return -(-len(self.data()[0]) // self.batch_size)

    @property
    def flops(self) -> float:
        """Of one unit: a step costs its forward pass and twice as much backward."""
        x = self.data()[0]
        rows = min(self.batch_size, len(x))
        passes = 1 if self.action.startswith("predict") else 3
        return passes * rows * forward_flops(self.layers, x.shape[1:])

    def weights(self) -> list[list[Array]]:
        """The weights that every peer starts from."""
        shape = self.data()[0].shape[1:]
        return list(make_weights(self.layers, shape, np.random.default_rng(7)))


@dataclass(frozen=True)
class OpWorkload:
    """One op on fixed arrays; `reference` returns the list of its results."""

    name: str
    group: str
    text: str
    op: str
    arrays: Callable[[], list[Array]]
    reference: Callable[..., list[Array]] | None
    options: dict[str, Any] = field(default_factory=dict)
    flops: float = 0
    traffic: float = 0  # bytes that must move
    level: str = ""  # of memory that the data lie in
    unit: str = "call"
    targets: tuple[Target, ...] = ()
    only: tuple[str, ...] = ()
