"""The workloads in plain NumPy and float64, written from their formulas."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from workloads.spec import (
    Array,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAverage,
    Layer,
    MaxPool,
    ModelWorkload,
    Recurrent,
    Relu,
    Residual,
)


def predictions(workload: ModelWorkload, x: Array, *, symmetric: bool) -> Array:
    """What the initial weights predict.

    "same" padding that is odd has its extra row behind, as in Keras, or with
    `symmetric` half the kernel on both sides, as in PyTorch.
    """
    weights = iter(workload.weights())
    return _forward(workload.layers, x.astype(np.float64), weights, symmetric)


def loss(kind: str, y: Array, predicted: Array) -> float:
    """The mean loss."""
    if kind == "mse":
        return float(np.mean((y - predicted) ** 2))
    p = np.clip(predicted, 1e-7, 1 - 1e-7)
    if kind == "binary_crossentropy":
        return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
    return float(-np.mean(np.sum(y * np.log(p), axis=-1)))


def _forward(
    layers: tuple[Layer, ...],
    x: Array,
    weights: Iterator[list[Array]],
    symmetric: bool,
) -> Array:
    for layer in layers:
        if isinstance(layer, Flatten):
            x = x.reshape(len(x), -1)
        elif isinstance(layer, Relu):
            x = np.maximum(x, 0)
        elif isinstance(layer, GlobalAverage):
            x = x.mean(axis=(1, 2))
        elif isinstance(layer, MaxPool):
            n, height, width, channels = x.shape
            s = layer.size
            x = x[:, : height // s * s, : width // s * s]
            blocks = x.reshape(n, height // s, s, width // s, s, channels)
            x = blocks.max(axis=(2, 4))
        elif isinstance(layer, BatchNorm):
            gamma, beta, mean, var = next(weights)
            x = (x - mean) / np.sqrt(var + layer.epsilon) * gamma + beta
        elif isinstance(layer, Recurrent):
            x = _recurrent(layer, x, *next(weights))
        elif isinstance(layer, Residual):
            y = _forward(layer.body, x, weights, symmetric)
            x = np.maximum(y + _forward(layer.shortcut, x, weights, symmetric), 0)
        elif isinstance(layer, Dense):
            kernel, bias = next(weights)
            x = _activate(layer.activation, x @ kernel.astype(np.float64) + bias)
        elif isinstance(layer, Conv):
            kernel, *bias = next(weights)
            pad = _padding(layer, x.shape[1:3], symmetric)
            x = convolve(x, kernel, (layer.stride,) * 2, pad=pad)
            x = _activate(layer.activation, x + (bias[0] if bias else 0))
    return x


def _padding(layer: Conv, sizes: tuple[int, ...], symmetric: bool) -> list:
    if layer.padding == "valid":
        return [(0, 0), (0, 0)]
    if symmetric:
        return [(layer.size // 2,) * 2] * 2
    pads = []
    for n in sizes:
        outputs = -(-n // layer.stride)
        total = max((outputs - 1) * layer.stride + layer.size - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def sigmoid(x: Array) -> Array:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    """Over the last axis."""
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    return y / y.sum(axis=-1, keepdims=True)


def _activate(name: str | None, x: Array) -> Array:
    functions = {
        "relu": lambda x: np.maximum(x, 0),
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "softmax": softmax,
    }
    return functions[name](x) if name else x


def _recurrent(
    layer: Recurrent, x: Array, kernel: Array, recurrent: Array, bias: Array
) -> Array:
    h = c = np.zeros((len(x), layer.units))
    for t in range(x.shape[1]):
        if layer.kind == "lstm":
            z = x[:, t] @ kernel + h @ recurrent + bias
            i, f, g, o = np.split(z, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            xz, xr, xh = np.split(x[:, t] @ kernel + bias[0], 3, axis=1)
            hz, hr, hh = np.split(h @ recurrent + bias[1], 3, axis=1)
            z = sigmoid(xz + hz)
            candidate = np.tanh(xh + sigmoid(xr + hr) * hh)
            h = z * h + (1 - z) * candidate
    return h


# -------------------------------------------------------- convolution, tap by tap


def _taps(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    out: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: int,
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each kernel position with the padded input's pixels that it meets."""
    for tap in itertools.product(*(range(k) for k in kernel)):
        first = [t * dilation for t in tap]
        yield (
            tap,
            tuple(
                slice(f, f + (n - 1) * s + 1, s)
                for f, n, s in zip(first, out, strides, strict=True)
            ),
        )


def convolve(x: Array, w: Array, strides, pad=None, dilation=1, groups=1) -> Array:
    """x (n, *sizes, c), w (*k, c / groups, o)."""
    spatial = x.ndim - 2
    pad = pad or [(0, 0)] * spatial
    x = np.pad(x, [(0, 0), *pad, (0, 0)])
    out = tuple(
        (n - (k - 1) * dilation - 1) // s + 1
        for n, k, s in zip(x.shape[1:-1], w.shape[:spatial], strides, strict=True)
    )
    c, o = x.shape[-1] // groups, w.shape[-1] // groups
    y = np.zeros((len(x), *out, w.shape[-1]))
    for tap, window in _taps(x.shape, w.shape[:spatial], out, strides, dilation):
        part = x[(slice(None), *window)]
        for g in range(groups):
            outputs = slice(g * o, (g + 1) * o)
            y[..., outputs] += part[..., g * c : (g + 1) * c] @ w[tap][:, outputs]
    return y


def convolve_gradients(
    x: Array, w: Array, dy: Array, strides, pad=None, dilation=1, groups=1
) -> tuple[Array, Array]:
    """dx and dw of sum(convolve(x, w) * dy)."""
    spatial = x.ndim - 2
    pad = pad or [(0, 0)] * spatial
    padded = np.pad(x, [(0, 0), *pad, (0, 0)])
    dx, dw = np.zeros(padded.shape), np.zeros(w.shape)
    c, o = x.shape[-1] // groups, w.shape[-1] // groups
    out = dy.shape[1:-1]
    for tap, window in _taps(x.shape, w.shape[:spatial], out, strides, dilation):
        where = (slice(None), *window)
        for g in range(groups):
            inputs, outputs = slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)
            rows = np.ascontiguousarray(dy[..., outputs]).reshape(-1, o)
            part = padded[where][..., inputs].reshape(-1, c)
            dw[tap][:, outputs] = part.T @ rows
            product = rows @ w[tap][:, outputs].T
            dx[where][..., inputs] += product.reshape(*dy.shape[:-1], c)
    inner = [slice(lo, n - hi) for (lo, hi), n in zip(pad, dx.shape[1:-1], strict=True)]
    return dx[(slice(None), *inner)], dw
