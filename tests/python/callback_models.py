"""Models that the tests of callbacks share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

import lamella


class FakeModel:
    """As much of a model as callbacks see."""

    def __init__(self, rate: float = 0.1, metrics: tuple[Any, ...] = ()) -> None:
        self.stop_training = False
        self.optimizer = SimpleNamespace(learning_rate=rate)
        self.metrics = list(metrics)
        self.epoch = -1
        self.restored: Any = None
        self.saved: list[tuple[str, str]] = []

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.epoch)]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.restored = int(weights[0])

    def save(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("model", path))

    def save_weights(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("weights", path))


def play(callback: Any, values: list[float], name: str = "val_loss") -> FakeModel:
    """Run epochs in which the metric has these values."""
    model = FakeModel()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.epoch = epoch
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {name: value})
        if model.stop_training:
            break
    callback.on_train_end()
    return model


def small_data(n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(0)
    x = random.uniform(-1, 1, (n, 3)).astype("float32")
    return x, (x.sum(1, keepdims=True) > 0).astype("float32")


def small_model(keras: Any = lamella, metrics: Any = ("accuracy",)) -> Any:
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    random = np.random.RandomState(1)
    model.set_weights(
        [random.uniform(-1, 1, w.shape).astype("float32") for w in model.get_weights()]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss="binary_crossentropy",
        metrics=list(metrics),
    )
    return model
