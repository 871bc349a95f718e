"""A small network of depthwise separable convolutions."""

from __future__ import annotations

from typing import Any

from lamella import layers
from lamella.applications._head import classify, image_input
from lamella.models import Model

__all__ = ["SmallMobileNet"]

_STAGES = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (128, 1))


def SmallMobileNet(
    input_shape: Any = (32, 32, 3),
    classes: int = 10,
    alpha: float = 1.0,
    dropout: float = 0.2,
    classifier_activation: Any = "softmax",
    name: str = "small_mobilenet",
) -> Model:
    """Return a small MobileNet: depthwise 3x3 and pointwise 1x1 convolutions.

    Args:
        input_shape: (height, width, channels), at least 8 x 8. Default (32, 32, 3).
        classes: number of classes. Default 10.
        alpha: width: all numbers of filters are multiplied by it. Default 1.0.
        dropout: rate before the last layer. Default 0.2.
        classifier_activation: activation of the last layer. Default "softmax".
        name: name of the model.

    Reference: Howard et al., "MobileNets: efficient convolutional neural networks for
    mobile vision applications", arXiv:1704.04861; fewer stages, for small images.

    Example:
        >>> SmallMobileNet(alpha=0.5).output_shape
        (None, 10)
    """
    if not alpha > 0:
        raise ValueError(f"SmallMobileNet: alpha must be positive, got alpha={alpha!r}")

    def after(x: Any, part: str) -> Any:
        x = layers.BatchNormalization(name=f"{part}_bn")(x)
        return layers.ReLU(6.0, name=f"{part}_relu")(x)

    def width(filters: int) -> int:
        return max(1, int(filters * alpha))

    inputs = image_input(input_shape, 8, "SmallMobileNet")
    x = layers.Conv2D(width(16), 3, padding="same", use_bias=False, name="stem")(inputs)
    x = after(x, "stem")
    for number, (filters, strides) in enumerate(_STAGES, 1):
        part = f"stage{number}"
        x = layers.DepthwiseConv2D(
            3, strides=strides, padding="same", use_bias=False, name=f"{part}_depth"
        )(x)
        x = after(x, f"{part}_depth")
        x = layers.Conv2D(width(filters), 1, use_bias=False, name=f"{part}_point")(x)
        x = after(x, f"{part}_point")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="drop")(x)
    outputs = classify(x, classes, classifier_activation, "SmallMobileNet")
    return Model(inputs, outputs, name=name)
