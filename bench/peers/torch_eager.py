"""PyTorch as its tutorials write it: eager, in its own layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from peers import Task
from workloads.spec import (
    Conv,
    Dense,
    Flatten,
    MaxPool,
    ModelWorkload,
    OpWorkload,
    output_shape,
)


class Torch:
    """Eager PyTorch."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.versions = {"torch": torch.__version__}

    def prepare(self, workload: ModelWorkload | OpWorkload) -> Task:
        """The model or op, ready to run."""
        if isinstance(workload, ModelWorkload):
            return ModelTask(workload)
        return OpTask(workload)


def peer(name: str, threads: int) -> Torch:
    """The one peer of this module."""
    return Torch(threads)


def channels_first(array: np.ndarray) -> torch.Tensor:
    """An (N, H, W, C) array as an (N, C, H, W) tensor; others unchanged."""
    if array.ndim == 4:
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return torch.from_numpy(array.copy())


def build(workload: ModelWorkload, row: tuple[int, ...]) -> nn.Sequential:
    """The model with the common weights, ending before a softmax."""
    weights: Iterator[np.ndarray] = iter(workload.weights())
    parts: list[nn.Module] = []
    image: tuple[int, ...] | None = None  # what the flattened axis was
    for layer in workload.layers:
        module: nn.Module | None = None
        if isinstance(layer, Dense):
            kernel = next(weights)
            if image is not None:
                kernel = kernel.reshape(*image, -1).transpose(2, 0, 1, 3)
                kernel = kernel.reshape(-1, layer.units)
                image = None
            module = nn.Linear(*kernel.shape)
            kernel = kernel.T
        elif isinstance(layer, Conv):
            kernel = next(weights)
            module = nn.Conv2d(kernel.shape[2], layer.filters, layer.size)
            kernel = kernel.transpose(3, 2, 0, 1)
        elif isinstance(layer, MaxPool):
            parts.append(nn.MaxPool2d(layer.size))
        elif isinstance(layer, Flatten):
            image = row
            parts.append(nn.Flatten())
        if module is not None:
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(kernel.copy()))
                module.bias.copy_(torch.from_numpy(next(weights)))
            parts.append(module)
            if layer.activation == "relu":
                parts.append(nn.ReLU())
        row = output_shape(layer, row)
    return nn.Sequential(*parts)


class ModelTask:
    """A model with its training loop."""

    def __init__(self, workload: ModelWorkload) -> None:
        x, y = workload.data()
        self.workload = workload
        self.x = channels_first(x)
        self.model = build(workload, x.shape[1:])
        self.softmax = workload.loss == "categorical_crossentropy"
        if self.softmax:
            self.y = torch.from_numpy(y.argmax(axis=1))
            self.loss: nn.Module = nn.CrossEntropyLoss()
        else:
            self.y = torch.from_numpy(y)
            self.loss = nn.MSELoss()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=workload.learning_rate
        )

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update."""
        self.optimizer.zero_grad()
        self.loss(self.model(x), y).backward()
        self.optimizer.step()

    def predict(self) -> np.ndarray:
        """Predictions for all rows."""
        with torch.inference_mode():
            y = self.model(self.x)
            return (torch.softmax(y, dim=-1) if self.softmax else y).numpy()

    def run(self) -> None:
        """One step, one epoch or one prediction."""
        size = self.workload.batch_size
        if self.workload.action == "predict":
            self.predict()
        elif self.workload.action == "step":
            self.step(self.x[:size], self.y[:size])
        else:
            order = torch.randperm(len(self.x))
            for begin in range(0, len(self.x), size):
                index = order[begin : begin + size]
                self.step(self.x[index], self.y[index])

    def results(self) -> list[np.ndarray]:
        """Predictions for all rows."""
        return [self.predict()]


class OpTask:
    """An eager op, with its gradients where the workload has them."""

    def __init__(self, workload: OpWorkload) -> None:
        arrays = workload.arrays()
        if workload.op == "conv":
            x, w, r = arrays
            w = np.ascontiguousarray(w.transpose(3, 2, 0, 1))
            self.arrays = [channels_first(x), torch.from_numpy(w), channels_first(r)]
            self.arrays[0].requires_grad_()
            self.arrays[1].requires_grad_()
        else:
            self.arrays = [torch.from_numpy(a) for a in arrays]
        self.op = workload.op
        self.run = getattr(self, workload.op)

    def results(self) -> list[np.ndarray]:
        """What the op returned, in the workload's layout."""
        results = [result.detach().numpy() for result in self.run()]
        if self.op == "conv":
            y, dx, dw = results
            return [
                y.transpose(0, 2, 3, 1),
                dx.transpose(0, 2, 3, 1),
                dw.transpose(2, 3, 1, 0),
            ]
        return results

    def matmul(self) -> list[Any]:
        """A product."""
        return [self.arrays[0] @ self.arrays[1]]

    def elementwise(self) -> list[Any]:
        """Two elementwise ops."""
        x, y = self.arrays
        return [x * y + x]

    def conv(self) -> list[Any]:
        """A convolution, forward and backward."""
        x, w, r = self.arrays
        x.grad = w.grad = None
        y = nn.functional.conv2d(x, w)
        y.backward(r)
        return [y, x.grad, w.grad]
