"""Models: a physicist's small fit, and the lecture's networks on images."""

from __future__ import annotations

import functools

import numpy as np

from workloads.spec import Array, Conv, Dense, Flatten, MaxPool, ModelWorkload

IMAGES = 6000
ROWS = 320 * 32


@functools.cache
def regression() -> tuple[Array, Array]:
    """A smooth function of ten variables."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 10)).astype(np.float32)
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3] / 2
    return x, y.astype(np.float32)


@functools.cache
def images() -> tuple[Array, Array]:
    """Ten classes of noisy 28x28 pictures with the size and range of MNIST."""
    rng = np.random.default_rng(2)
    prototypes = rng.uniform(size=(10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    label = rng.integers(0, 10, IMAGES)
    noise = rng.normal(scale=0.3, size=(IMAGES, 28, 28))
    x = np.clip(prototypes[label] + noise, 0, 1)[..., None]
    return x.astype(np.float32), np.eye(10, dtype=np.float32)[label]


def flat_images() -> tuple[Array, Array]:
    """The same pictures as rows of 784 numbers."""
    x, y = images()
    return x.reshape(len(x), -1), y


def one_row() -> tuple[Array, Array]:
    """The first row of the regression data."""
    x, y = regression()
    return x[:1], y[:1]


SMALL = (Dense(32, "relu"), Dense(1))
MNIST_MLP = (Dense(100, "relu"), Dense(10, "softmax"))
LECTURE_CNN = (
    Conv(8, 3, "relu"),
    MaxPool(2),
    Flatten(),
    Dense(16, "relu"),
    Dense(10, "softmax"),
)

MODELS = (
    ModelWorkload(
        "mlp_step",
        "one Adam step, Dense 10-32-1, batch 32 (train_on_batch)",
        SMALL, "mse", regression, "step", 32, "step",
    ),
    ModelWorkload(
        "mlp_fit",
        "one Adam step, Dense 10-32-1, batch 32, inside fit of 320 batches",
        SMALL, "mse", regression, "fit", 32, "step", units_per_run=320,
    ),
    ModelWorkload(
        "mlp_predict",
        "one row, Dense 10-32-1 (predict_on_batch)",
        SMALL, "mse", one_row, "predict", 1, "call",
    ),
    ModelWorkload(
        "cnn_epoch",
        f"epoch of the lecture CNN, {IMAGES} images of 28x28, batch 200",
        LECTURE_CNN, "categorical_crossentropy", images, "fit", 200, "epoch",
    ),
    ModelWorkload(
        "mnist_mlp_epoch",
        f"epoch of Dense 784-100-10, {IMAGES} images, batch 32",
        MNIST_MLP, "categorical_crossentropy", flat_images, "fit", 32, "epoch",
    ),
)  # fmt: skip
