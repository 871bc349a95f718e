"""The residual network for CIFAR-10."""

from __future__ import annotations

from typing import Any

from lamella import layers, regularizers
from lamella.applications._head import classify, image_input
from lamella.models import Model

__all__ = ["ResNet20"]


def ResNet20(
    input_shape: Any = (32, 32, 3),
    classes: int = 10,
    blocks: int = 3,
    weight_decay: float = 1e-4,
    classifier_activation: Any = "softmax",
    name: str = "resnet20",
) -> Model:
    """Return the residual network for CIFAR-10 with 6 * blocks + 2 layers.

    Args:
        input_shape: (height, width, channels), at least 8 x 8. Default (32, 32, 3).
        classes: number of classes. Default 10.
        blocks: residual blocks of each of the three stages. Default 3 (ResNet-20); 5,
            7, 9 give ResNet-32, 44, 56.
        weight_decay: L2 penalty of the convolutions. Default 1e-4.
        classifier_activation: activation of the last layer. Default "softmax".
        name: name of the model.

    Reference: He, Zhang, Ren, Sun, "Deep residual learning for image recognition",
    CVPR 2016, section 4.2; shortcuts to more filters are 1x1 convolutions (its
    option B).

    Example:
        >>> ResNet20().count_params()
        274042
    """
    if not isinstance(blocks, int) or blocks < 1:
        raise ValueError(f"ResNet20: blocks must be positive, got blocks={blocks!r}")

    def conv(x: Any, filters: int, size: int, strides: int, part: str) -> Any:
        x = layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizers.L2(weight_decay) if weight_decay else None,
            name=part,
        )(x)
        return layers.BatchNormalization(name=f"{part}_bn")(x)

    inputs = image_input(input_shape, 8, "ResNet20")
    x = layers.ReLU(name="stem_relu")(conv(inputs, 16, 3, 1, "stem"))
    for stage, filters in enumerate((16, 32, 64), 1):
        for block in range(1, blocks + 1):
            part = f"stage{stage}_block{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            y = layers.ReLU(name=f"{part}_relu1")(
                conv(x, filters, 3, strides, f"{part}_conv1")
            )
            y = conv(y, filters, 3, 1, f"{part}_conv2")
            if strides != 1:
                x = conv(x, filters, 1, strides, f"{part}_short")
            x = layers.Add(name=f"{part}_add")([x, y])
            x = layers.ReLU(name=f"{part}_relu2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = classify(x, classes, classifier_activation, "ResNet20")
    return Model(inputs, outputs, name=name)
