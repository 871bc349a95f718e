"""lamella and Keras: the same program with another import."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import numpy as np

from peers import Task, Unsupported
from workloads.spec import Conv, Dense, Flatten, MaxPool, ModelWorkload, OpWorkload


def lamella_peer(name: str, threads: int) -> KerasLike:
    """Lamella itself."""
    import lamella

    lamella.set_num_threads(threads)
    return KerasLike(lamella, {"lamella": lamella.__version__})


def keras_peer(name: str, threads: int) -> KerasLike:
    """Keras on the back-end that its name ends in."""
    backend = name.removeprefix("keras-")
    os.environ["KERAS_BACKEND"] = backend
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
    import keras

    return KerasLike(keras, {"keras": keras.__version__, backend: version(backend)})


class KerasLike:
    """Builds workloads with a module that speaks Keras."""

    def __init__(self, keras: Any, versions: dict[str, str]) -> None:
        self.keras = keras
        self.versions = versions

    def prepare(self, workload: ModelWorkload | OpWorkload) -> Task:
        """The model or op, ready to run."""
        if isinstance(workload, ModelWorkload):
            return ModelTask(self.keras, workload)
        if self.keras.__name__ != "lamella":
            raise Unsupported("single ops are those of its back-end")
        return OpTask(self.keras, workload)


class ModelTask:
    """A Sequential model with the common weights."""

    def __init__(self, keras: Any, workload: ModelWorkload) -> None:
        layers = keras.layers
        self.workload = workload
        self.x, self.y = workload.data()
        model = keras.Sequential([keras.Input(self.x.shape[1:])])
        for layer in workload.layers:
            if isinstance(layer, Dense):
                model.add(layers.Dense(layer.units, activation=layer.activation))
            elif isinstance(layer, Conv):
                model.add(
                    layers.Conv2D(
                        layer.filters, layer.size, activation=layer.activation
                    )
                )
            elif isinstance(layer, MaxPool):
                model.add(layers.MaxPooling2D(layer.size))
            elif isinstance(layer, Flatten):
                model.add(layers.Flatten())
        model.set_weights(workload.weights())
        optimizer = keras.optimizers.Adam(workload.learning_rate)
        model.compile(optimizer, workload.loss)
        self.model = model
        self.batch = self.x[: workload.batch_size], self.y[: workload.batch_size]

    def run(self) -> None:
        """One step, one epoch or one prediction."""
        if self.workload.action == "step":
            self.model.train_on_batch(*self.batch)
        elif self.workload.action == "predict":
            self.model.predict_on_batch(self.x)
        else:
            self.model.fit(
                self.x, self.y, batch_size=self.workload.batch_size, verbose=0
            )

    def results(self) -> list[np.ndarray]:
        """Predictions for all rows."""
        return [self.model.predict(self.x, batch_size=1000, verbose=0)]


class OpTask:
    """An eager op of lamella, with its gradients where the workload has them."""

    def __init__(self, lamella: Any, workload: OpWorkload) -> None:
        self.ops = lamella.ops
        self.arrays = [self.ops.convert_to_tensor(a) for a in workload.arrays()]
        self.run = getattr(self, workload.op)

    def results(self) -> list[np.ndarray]:
        """What the op returned, as arrays."""
        return [np.array(result) for result in self.run()]

    def matmul(self) -> list[Any]:
        """A product."""
        return [self.ops.matmul(*self.arrays)]

    def elementwise(self) -> list[Any]:
        """Two elementwise ops."""
        x, y = self.arrays
        return [x * y + x]

    def conv(self) -> list[Any]:
        """A convolution, forward and backward."""
        x, w = (array.detach() for array in self.arrays[:2])
        x.requires_grad = w.requires_grad = True
        y = self.ops.conv(x, w, strides=1, padding="valid")
        y.backward(self.arrays[2])
        return [y.detach(), x.grad, w.grad]
