"""lamella and Keras: the same program with another import."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

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
)


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

    symmetric_padding = False

    def __init__(self, keras: Any, versions: dict[str, str]) -> None:
        self.keras = keras
        self.versions = versions

    def prepare(self, workload: ModelWorkload | OpWorkload) -> Task:
        """The model or op, ready to run."""
        if isinstance(workload, ModelWorkload):
            return ModelTask(self.keras, workload)
        from peers import lamella_ops

        return lamella_ops.prepare(workload)


class ModelTask:
    """A model with the common weights."""

    def __init__(self, keras: Any, workload: ModelWorkload) -> None:
        self.keras = keras
        self.workload = workload
        self.x, self.y = workload.data()
        weights = iter(workload.weights())
        x = keras.Input(self.x.shape[1:])
        self._given: list[tuple[Any, list[Array]]] = []
        model = keras.Model(x, self._call(workload.layers, x, weights))
        for layer, arrays in self._given:
            layer.set_weights(arrays)
        optimizer = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
        model.compile(
            optimizer[workload.optimizer](workload.learning_rate), workload.loss
        )
        self.model = model
        self.batch = self.x[: workload.batch_size], self.y[: workload.batch_size]

    def _call(
        self, layers: tuple[Layer, ...], x: Any, weights: Iterator[list[Array]]
    ) -> Any:
        """Symbolic layers; notes which weights each is to get."""
        for layer in layers:
            if isinstance(layer, Residual):
                y = self._call(layer.body, x, weights)
                x = self._call(layer.shortcut, x, weights)
                x = self.keras.layers.ReLU()(self.keras.layers.Add()([y, x]))
                continue
            made = self._make(layer)
            if isinstance(layer, Dense | Conv | BatchNorm | Recurrent):
                self._given.append((made, next(weights)))
            x = made(x)
        return x

    def _make(self, layer: Layer) -> Any:
        layers = self.keras.layers
        if isinstance(layer, Dense):
            return layers.Dense(layer.units, activation=layer.activation)
        if isinstance(layer, Conv):
            return layers.Conv2D(
                layer.filters,
                layer.size,
                strides=layer.stride,
                padding=layer.padding,
                activation=layer.activation,
                use_bias=layer.bias,
            )
        if isinstance(layer, MaxPool):
            return layers.MaxPooling2D(layer.size)
        if isinstance(layer, BatchNorm):
            return layers.BatchNormalization(
                epsilon=layer.epsilon, momentum=layer.momentum
            )
        if isinstance(layer, Dropout):
            return layers.Dropout(layer.rate)
        if isinstance(layer, Recurrent):
            name = layer.kind.upper()
            if not hasattr(layers, name):
                raise Unsupported(f"has no {name}")
            return getattr(layers, name)(layer.units)
        simple = {
            Flatten: "Flatten",
            GlobalAverage: "GlobalAveragePooling2D",
            Relu: "ReLU",
        }
        return getattr(layers, simple[type(layer)])()

    def run(self, count: int) -> int:
        """Steps, predictions or batches of predictions."""
        workload = self.workload
        if workload.action == "fit":
            epochs = min(max(1, round(count / workload.batches)), workload.epochs)
            fits = max(1, round(count / (epochs * workload.batches)))
            for _ in range(fits):
                self.model.fit(
                    self.x,
                    self.y,
                    batch_size=workload.batch_size,
                    epochs=epochs,
                    verbose=0,
                )
            return fits * epochs * workload.batches
        if workload.action == "predict":
            calls = max(1, round(count / workload.batches))
            for _ in range(calls):
                self.model.predict(self.x, batch_size=workload.batch_size, verbose=0)
            return calls * workload.batches
        if workload.action == "step":
            for _ in range(count):
                self.model.train_on_batch(*self.batch)
        else:
            for _ in range(count):
                self.model.predict_on_batch(self.x)
        return count

    def loss(self) -> float:
        """One step on the first batch: its loss before the update."""
        self.model.reset_metrics()
        return float(np.asarray(self.model.train_on_batch(*self.batch)))

    def results(self, rows: int) -> list[np.ndarray]:
        """Predictions for the first rows."""
        return [self.model.predict(self.x[:rows], batch_size=rows, verbose=0)]
