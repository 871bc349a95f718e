"""LeNet-5."""

from __future__ import annotations

from typing import Any

from lamella import layers
from lamella.applications._head import classify, image_input
from lamella.models import Model

__all__ = ["LeNet5"]


def LeNet5(
    input_shape: Any = (28, 28, 1),
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "lenet5",
) -> Model:
    """Return LeNet-5: two convolutions with pooling, then three dense layers.

    With the default input it has 61706 parameters. Differs from the paper: a dense
    softmax in place of the radial basis functions, plain average pooling, and all maps
    of the first pooling reach all of the second convolution.

    Args:
        input_shape: (height, width, channels), at least 16 x 16. Default (28, 28, 1).
        classes: number of classes. Default 10.
        classifier_activation: activation of the last layer. Default "softmax".
        name: name of the model.

    Reference: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
    document recognition", Proc. IEEE 86 (1998).

    Example:
        >>> LeNet5().count_params()
        61706
    """
    inputs = image_input(input_shape, 16, "LeNet5")
    # The paper pads 28 x 28 digits to 32 x 32.
    x = layers.Conv2D(6, 5, padding="same", activation="tanh", name="c1")(inputs)
    x = layers.AveragePooling2D(2, name="s2")(x)
    x = layers.Conv2D(16, 5, activation="tanh", name="c3")(x)
    x = layers.AveragePooling2D(2, name="s4")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation="tanh", name="c5")(x)
    x = layers.Dense(84, activation="tanh", name="f6")(x)
    return Model(
        inputs, classify(x, classes, classifier_activation, "LeNet5"), name=name
    )
