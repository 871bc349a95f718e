"""A small network in the manner of VGG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamella import layers
from lamella.applications._head import classify, image_input
from lamella.models import Model

__all__ = ["SmallVGG"]


def SmallVGG(
    input_shape: Any = (32, 32, 3),
    classes: int = 10,
    filters: Sequence[int] = (32, 64, 128),
    units: int = 128,
    dropout: float = 0.3,
    classifier_activation: Any = "softmax",
    name: str = "small_vgg",
) -> Model:
    """Return a VGG-like net: blocks of two 3x3 convolutions and a max pooling.

    Args:
        input_shape: (height, width, channels); each block halves height and width.
            Default (32, 32, 3).
        classes: number of classes. Default 10.
        filters: number of filters of each block. Default (32, 64, 128).
        units: size of the dense layer before the last. Default 128.
        dropout: rate after each block and the dense layer. Default 0.3.
        classifier_activation: activation of the last layer. Default "softmax".
        name: name of the model.

    Reference: Simonyan, Zisserman, "Very deep convolutional networks for large-scale
    image recognition", ICLR 2015; batch normalization and dropout are added.

    Example:
        >>> SmallVGG(filters=(8,)).output_shape
        (None, 10)
    """
    x = inputs = image_input(input_shape, 2 ** len(filters), "SmallVGG")
    for block, n in enumerate(filters, 1):
        for number in (1, 2):
            part = f"block{block}_conv{number}"
            x = layers.Conv2D(n, 3, padding="same", use_bias=False, name=part)(x)
            x = layers.BatchNormalization(name=f"{part}_bn")(x)
            x = layers.ReLU(name=f"{part}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
        x = layers.Dropout(dropout, name=f"block{block}_drop")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="dense")(x)
    x = layers.Dropout(dropout, name="drop")(x)
    outputs = classify(x, classes, classifier_activation, "SmallVGG")
    return Model(inputs, outputs, name=name)
