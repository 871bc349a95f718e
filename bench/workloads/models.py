"""Whole models: the lecture's small nets, networks on images, recurrent ones."""

from __future__ import annotations

from functools import partial
from typing import Any

from workloads import data
from workloads.spec import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    Layer,
    MaxPool,
    ModelWorkload,
    Recurrent,
    Relu,
    Residual,
    Target,
)

# ------------------------------------------------------------------------- layers

SIGMOID_WIDTHS = (30, 100, 100, 30)
SIGMOID_MLP = (*(Dense(n, "sigmoid") for n in SIGMOID_WIDTHS), Dense(1))
SIGMOID_MLP_BN: tuple[Layer, ...] = (
    *(layer for n in SIGMOID_WIDTHS for layer in (Dense(n, "sigmoid"), BatchNorm())),
    Dense(1),
)
SIGMOID_MLP_DROPOUT: tuple[Layer, ...] = (
    *(layer for n in SIGMOID_WIDTHS for layer in (Dense(n, "sigmoid"), Dropout(0.2))),
    Dense(1),
)
SMALL = (Dense(32, "relu"), Dense(1))
MNIST_MLP = (Dense(100, "relu"), Dense(10, "softmax"))
LECTURE_CNN = (
    Conv(8, 3, "relu"),
    MaxPool(2),
    Flatten(),
    Dense(16, "relu"),
    Dense(10, "softmax"),
)
CONVNET = (
    Conv(32, 3, "relu"),
    MaxPool(2),
    Conv(64, 3, "relu"),
    MaxPool(2),
    Flatten(),
    Dropout(0.5),
    Dense(10, "softmax"),
)


def _vgg_block(filters: int) -> tuple[Layer, ...]:
    conv = Conv(filters, 3, "relu", padding="same")
    return conv, conv, MaxPool(2)


VGG = (
    *_vgg_block(64),
    *_vgg_block(128),
    *_vgg_block(256),
    Flatten(),
    Dense(256, "relu"),
    Dense(10, "softmax"),
)


def _residual_block(filters: int, stride: int) -> Residual:
    first = Conv(filters, 3, stride=stride, padding="same", bias=False)
    second = Conv(filters, 3, padding="same", bias=False)
    short = (Conv(filters, 1, stride=stride, padding="same", bias=False), BatchNorm())
    return Residual(
        (first, BatchNorm(), Relu(), second, BatchNorm()), short if stride > 1 else ()
    )


RESNET20 = (
    Conv(16, 3, padding="same", bias=False),
    BatchNorm(),
    Relu(),
    *(_residual_block(16, 1) for _ in range(3)),
    *(_residual_block(32, 2 if i == 0 else 1) for i in range(3)),
    *(_residual_block(64, 2 if i == 0 else 1) for i in range(3)),
    GlobalAverage(),
    Dense(10, "softmax"),
)

# ---------------------------------------------------------------------- workloads

_LECTURE = (
    Target("keras-tensorflow", 100),
    Target("torch", 50),
    Target("keras-jax", 30),
    Target("scikit-learn", 30),
)


def _lecture(
    name: str, text: str, layers, loss: str, source, batch: int, **more: Any
) -> ModelWorkload:
    text = f"{text}, batch {batch}, inside fit"
    more.setdefault("epochs", 100)
    return ModelWorkload(
        name, "lecture", text, layers, loss, source, "fit", batch,
        targets=_LECTURE, **more,
    )  # fmt: skip


_line = partial(data.table, 1000, 1)
_cross_entropy = "categorical_crossentropy"

LECTURE = (
    _lecture(
        "logistic", "logistic regression 2-1", (Dense(1, "sigmoid"),),
        "binary_crossentropy", partial(data.two_classes, 400), 400, optimizer="sgd",
        learning_rate=0.1, epochs=1000,
    ),
    _lecture(
        "relu_mlp", "1-100-1 ReLU", (Dense(100, "relu"), Dense(1)), "mse", _line, 50
    ),
    _lecture("sigmoid_mlp", "1-30-100-100-30-1 sigmoid", SIGMOID_MLP, "mse", _line, 10),
    _lecture(
        "sigmoid_mlp_bn", "the same with batch norm", SIGMOID_MLP_BN, "mse", _line, 10
    ),
    _lecture(
        "sigmoid_mlp_dropout", "the same with dropout", SIGMOID_MLP_DROPOUT, "mse",
        _line, 10,
    ),
    _lecture(
        "housing_mlp", "13-64-64-1 ReLU", (*(Dense(64, "relu"),) * 2, Dense(1)), "mse",
        partial(data.table, 404, 13), 1, epochs=20,
    ),
    _lecture(
        "xor", "XOR 2-8-1", (Dense(8, "tanh"), Dense(1, "sigmoid")),
        "binary_crossentropy", data.xor, 4, learning_rate=0.05, epochs=2000,
    ),
    ModelWorkload(
        "mlp_step", "lecture", "10-32-1 ReLU, batch 32, train_on_batch", SMALL, "mse",
        partial(data.table, 320, 10), "step", 32, targets=_LECTURE,
    ),
)  # fmt: skip

IMAGES = (
    ModelWorkload(
        "mnist_mlp", "images", "MNIST MLP 784-100-10, batch 32, inside fit", MNIST_MLP,
        _cross_entropy, partial(data.flat_images, 6400), "fit", 32,
        targets=(Target("torch", 8), Target("keras", 3)),
    ),
    ModelWorkload(
        "lecture_cnn", "images", "lecture CNN (8 filters), batch 200, inside fit",
        LECTURE_CNN, _cross_entropy, partial(data.images, 2000), "fit", 200,
        targets=(Target("", 4),),
    ),
    ModelWorkload(
        "convnet", "images", "convnet (32 and 64 filters, dropout), batch 128, in fit",
        CONVNET, _cross_entropy, partial(data.images, 1280), "fit", 128,
        targets=(Target("", 2),),
    ),
    ModelWorkload(
        "vgg", "images", "VGG-like (64-64-128-128-256-256), batch 64, train_on_batch",
        VGG, _cross_entropy, partial(data.colour_images, 128), "step", 64,
        targets=(Target("", 1.3),),
    ),
    ModelWorkload(
        "resnet20", "images", "ResNet-20, batch 128, train_on_batch", RESNET20,
        _cross_entropy, partial(data.colour_images, 128), "step", 128,
        targets=(Target("", 1.6),),
    ),
)  # fmt: skip

RECURRENT = tuple(
    ModelWorkload(
        kind, "recurrent", f"{kind.upper()} 64 units, sequence 100 of 16, batch 64",
        (Recurrent(kind, 64), Dense(1)), "mse", partial(data.sequences, 640, 100, 16),
        "step", 64, targets=(Target("torch", 1.5),),
    )
    for kind in ("lstm", "gru")
)  # fmt: skip

PREDICT = (
    ModelWorkload(
        "mlp_row", "predict", "one row, 10-32-1 MLP, predict_on_batch", SMALL, "mse",
        partial(data.table, 1, 10), "predict_on_batch", 1, unit="call",
        targets=(Target(limit=5e-6), Target("onnxruntime", 5)),
    ),
    ModelWorkload(
        "cnn_row", "predict", "one row, lecture CNN, predict_on_batch", LECTURE_CNN,
        _cross_entropy, partial(data.images, 1), "predict_on_batch", 1, unit="call",
        targets=(Target(limit=25e-6), Target("onnxruntime", 5)),
    ),
    ModelWorkload(
        "cnn_predict", "predict", "1000 rows of 5000, lecture CNN, predict",
        LECTURE_CNN, _cross_entropy, partial(data.images, 5000), "predict", 1000,
        unit="batch",
        targets=(Target("onnxruntime", 1.5),),
    ),
    ModelWorkload(
        "convnet_predict", "predict", "1000 rows of 3000, convnet, predict", CONVNET,
        _cross_entropy, partial(data.images, 3000), "predict", 1000, unit="batch",
        targets=(Target("onnxruntime", 1.5),),
    ),
)  # fmt: skip

_FEED_ROWS = 60_000


def _feed(name: str, text: str, source) -> ModelWorkload:
    return ModelWorkload(
        name, "feed", f"MNIST MLP, batch 128, fit on {text}", MNIST_MLP,
        _cross_entropy, source, "fit", 128, only=("lamella",),
    )  # fmt: skip


FEED = (
    _feed("feed_cached", "1280 rows (in cache)", partial(data.flat_images, 1280)),
    _feed(
        "feed_float32", "60 000 rows, float32", partial(data.flat_images, _FEED_ROWS)
    ),
    _feed("feed_uint8", "60 000 rows, uint8", partial(data.bytes_, _FEED_ROWS)),
    _feed("feed_memmap", "60 000 rows, np.memmap", partial(data.mapped, _FEED_ROWS)),
)

MODELS = (*LECTURE, *IMAGES, *RECURRENT, *PREDICT, *FEED)
