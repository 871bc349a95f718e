"""PyTorch as its tutorials write it, eager or compiled, in its better memory layout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from peers import Task, Unsupported
from workloads.spec import (
    Array,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    Layer,
    MaxPool,
    ModelWorkload,
    OpWorkload,
    Recurrent,
    Relu,
    Residual,
    Shape,
    output_shape,
    walk,
)


class Torch:
    """PyTorch."""

    symmetric_padding = True

    def __init__(self, threads: int, compiles: bool) -> None:
        torch.set_num_threads(threads)
        self.compiles = compiles
        self.versions = {"torch": torch.__version__}

    def prepare(self, workload: ModelWorkload | OpWorkload) -> Task:
        """The model or op, ready to run."""
        if isinstance(workload, ModelWorkload):
            torch.compiler.reset()
            return ModelTask(workload, self.compiles)
        from peers import torch_ops

        return torch_ops.prepare(workload, self.compiles)


def eager(name: str, threads: int) -> Torch:
    """PyTorch without compilation."""
    return Torch(threads, False)


def compiled(name: str, threads: int) -> Torch:
    """PyTorch with torch.compile."""
    return Torch(threads, True)


# ------------------------------------------------------------------------- layers


class ResidualModule(nn.Module):
    """relu(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both paths."""
        return functional.relu(self.body(x) + self.shortcut(x))


class LastOutput(nn.Module):
    """What a recurrent layer says at the end of the sequence."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, steps, features) to (batch, units)."""
        return self.cell(x)[0][:, -1]


class GlobalMean(nn.Module):
    """The mean of each channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) to (batch, channels)."""
        return x.mean(dim=(2, 3))


def _copy(*pairs: tuple[torch.Tensor, Array]) -> None:
    with torch.no_grad():
        for parameter, array in pairs:
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def _recurrent(layer: Recurrent, features: int, arrays: list[Array]) -> nn.Module:
    kernel, recurrent, bias = arrays
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[layer.kind]
    cell = kind(features, layer.units, batch_first=True)
    if layer.kind == "gru":  # Keras: update, reset, new; PyTorch: reset, update, new
        order = np.arange(3 * layer.units).reshape(3, -1)[[1, 0, 2]].ravel()
        kernel, recurrent, bias = kernel[:, order], recurrent[:, order], bias[:, order]
    biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    _copy(
        (cell.weight_ih_l0, kernel.T),
        (cell.weight_hh_l0, recurrent.T),
        (cell.bias_ih_l0, biases[0]),
        (cell.bias_hh_l0, biases[1]),
    )
    return LastOutput(cell)


def build(
    layers: tuple[Layer, ...], row: Shape, weights: Iterator[list[Array]]
) -> nn.Sequential:
    """The layers with their weights, ending before a softmax or sigmoid."""
    parts: list[nn.Module] = []
    image: Shape | None = None  # what the flattened axis was
    for layer in layers:
        if isinstance(layer, Dense):
            kernel, bias = next(weights)
            if image is not None:
                kernel = kernel.reshape(*image, -1).transpose(2, 0, 1, 3)
                kernel = kernel.reshape(-1, layer.units)
                image = None
            dense = nn.Linear(*kernel.shape)
            _copy((dense.weight, kernel.T), (dense.bias, bias))
            parts.append(dense)
        elif isinstance(layer, Conv):
            kernel, *biases = next(weights)
            conv = nn.Conv2d(
                kernel.shape[2],
                layer.filters,
                layer.size,
                stride=layer.stride,
                padding=layer.size // 2 if layer.padding == "same" else 0,
                bias=layer.bias,
            )
            _copy((conv.weight, kernel.transpose(3, 2, 0, 1)))
            if conv.bias is not None:
                _copy((conv.bias, biases[0]))
            parts.append(conv)
        elif isinstance(layer, BatchNorm):
            norm = nn.BatchNorm2d if len(row) == 3 else nn.BatchNorm1d
            part = norm(row[-1], eps=layer.epsilon, momentum=1 - layer.momentum)
            _copy((part.weight, (arrays := next(weights))[0]), (part.bias, arrays[1]))
            parts.append(part)
        elif isinstance(layer, Recurrent):
            parts.append(_recurrent(layer, row[-1], next(weights)))
        elif isinstance(layer, Residual):
            body = build(layer.body, row, weights)
            shortcut = build(layer.shortcut, row, weights)
            parts.append(ResidualModule(body, shortcut))
        elif isinstance(layer, MaxPool):
            parts.append(nn.MaxPool2d(layer.size))
        elif isinstance(layer, GlobalAverage):
            parts.append(GlobalMean())
        elif isinstance(layer, Dropout):
            parts.append(nn.Dropout(layer.rate))
        elif isinstance(layer, Relu):
            parts.append(nn.ReLU())
        elif isinstance(layer, Flatten):
            image = row
            parts.append(nn.Flatten())
        last = layer is layers[-1]
        activation = getattr(layer, "activation", None)
        if activation == "relu":
            parts.append(nn.ReLU())
        elif activation == "tanh":
            parts.append(nn.Tanh())
        elif activation == "sigmoid" and not last:
            parts.append(nn.Sigmoid())
        row = output_shape(layer, row)
    return nn.Sequential(*parts)


# ------------------------------------------------------------------------- models


def fastest(variants: list[Any], run: Callable[[Any], Any]) -> Any:
    """The variant that runs quickest, by a few short trials in turns."""
    if len(variants) == 1:
        return variants[0]
    best = [float("inf")] * len(variants)
    for turn in range(5):
        for i, variant in enumerate(variants):
            begin = time.perf_counter()
            run(variant)
            if turn:  # the first one warms up
                best[i] = min(best[i], time.perf_counter() - begin)
    return variants[best.index(min(best))]


class ModelTask:
    """A model with its training loop, in the layout that is faster eagerly."""

    def __init__(self, workload: ModelWorkload, compiles: bool) -> None:
        layouts = [torch.contiguous_format]
        if any(isinstance(layer, Conv) for layer in walk(workload.layers)):
            layouts.append(torch.channels_last)
        recurrent = any(isinstance(n, Recurrent) for n in walk(workload.layers))
        if recurrent and compiles:
            raise Unsupported("torch.compile leaves recurrent layers as they are")
        layout = fastest(
            layouts, lambda layout: _LaidOut(workload, layout, False).run(1)
        ) if len(layouts) > 1 else layouts[0]  # fmt: skip
        self.task = _LaidOut(workload, layout, compiles)
        self.run = self.task.run
        self.loss = self.task.loss
        self.results = self.task.results


class _LaidOut:
    """The model in one memory layout."""

    def __init__(
        self, workload: ModelWorkload, layout: torch.memory_format, compiles: bool
    ) -> None:
        x, y = workload.data()
        self.workload = workload
        self.x = torch.from_numpy(x)
        if x.ndim == 4:
            self.x = self.x.permute(0, 3, 1, 2).contiguous(memory_format=layout)
        self.model = build(workload.layers, x.shape[1:], iter(workload.weights()))
        self.model = self.model.to(memory_format=layout)
        if workload.loss == "categorical_crossentropy":
            self.y = torch.from_numpy(y.argmax(axis=1))
            self.criterion: Any = functional.cross_entropy
        else:
            self.y = torch.from_numpy(y)
            binary = workload.loss == "binary_crossentropy"
            self.criterion = (
                functional.binary_cross_entropy_with_logits
                if binary
                else functional.mse_loss
            )
        rate = workload.learning_rate
        parameters = self.model.parameters()
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(parameters, lr=rate, fused=True)
            if workload.optimizer == "adam"
            else torch.optim.SGD(parameters, lr=rate, fused=True)
        )
        self.forward = self._loss_of
        self.predict = self._predict
        if compiles:
            self.forward = torch.compile(self._loss_of)
            self.predict = torch.compile(self._predict)

    def _loss_of(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.criterion(self.model(x), y)

    def _predict(self, x: torch.Tensor) -> torch.Tensor:
        y = self.model(x)
        if self.workload.loss == "categorical_crossentropy":
            return torch.softmax(y, dim=-1)
        return torch.sigmoid(y) if self.workload.loss != "mse" else y

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One update; returns the loss before it."""
        self.optimizer.zero_grad()
        loss = self.forward(x, y)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, count: int) -> int:
        """Steps, predictions or batches of predictions."""
        workload, size = self.workload, self.workload.batch_size
        self.model.train(not workload.action.startswith("predict"))
        if workload.action == "step":
            for _ in range(count):
                self.step(self.x[:size], self.y[:size])
            return count
        epochs = max(1, round(count / workload.batches))
        if workload.action == "fit":
            for _ in range(epochs):
                order = torch.randperm(len(self.x))
                for begin in range(0, len(self.x), size):
                    index = order[begin : begin + size]
                    self.step(self.x[index], self.y[index])
        else:
            with torch.inference_mode():
                for _ in range(epochs):
                    for begin in range(0, len(self.x), size):
                        self.predict(self.x[begin : begin + size]).numpy()
        return epochs * workload.batches

    def loss(self) -> float:
        """One step on the first batch: its loss before the update."""
        self.model.train()
        size = self.workload.batch_size
        return self.step(self.x[:size], self.y[:size]).item()

    def results(self, rows: int) -> list[np.ndarray]:
        """Predictions for the first rows."""
        self.model.eval()
        with torch.inference_mode():
            return [self._predict(self.x[:rows]).numpy()]
