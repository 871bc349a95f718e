"""Small networks for images, without weights: they are trained in minutes.

LeNet5, a VGG-like net, the ResNet for CIFAR and a small MobileNet, as functions that
return a model. Keras's own applications are nets for ImageNet with weights to
download; lamella ships none of them.
"""

from __future__ import annotations

from typing import Any

from lamella.applications.lenet import LeNet5
from lamella.applications.mobilenet import SmallMobileNet
from lamella.applications.resnet import ResNet20
from lamella.applications.vgg import SmallVGG

__all__ = ["LeNet5", "ResNet20", "SmallMobileNet", "SmallVGG"]

# beginnings of the names and modules of Keras's nets
_IMAGENET = (
    "ConvNeXt",
    "DenseNet",
    "EfficientNet",
    "Inception",
    "MobileNet",
    "NASNet",
    "ResNet",
    "VGG",
    "Xception",
    "imagenet_utils",
)


def __getattr__(name: str) -> Any:
    if name.lower().startswith(tuple(n.lower() for n in _IMAGENET)):
        raise AttributeError(
            f"lamella.applications has no {name!r}: lamella ships no ImageNet nets. It "
            f"has {', '.join(__all__)} (without weights); a model that Keras saved "
            "as .keras can be read with lamella.saving.load_model"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
