"""Linear layers, and modules that change shapes."""

from __future__ import annotations

import math
from typing import Any

from .. import shape as _shape
from ..tensor import dtype_of, shape_of
from . import _activations as F
from ._convolution import pixel_shuffle, pixel_unshuffle
from ._convolution import unfold as _unfold
from ._make import function_module
from .init import new_weight
from .module import Module

__all__ = [
    "Bilinear",
    "Flatten",
    "Identity",
    "LazyLinear",
    "Linear",
    "PixelShuffle",
    "PixelUnshuffle",
    "Unflatten",
    "Unfold",
]


class Linear(Module):
    """y = x W^T + b.

    Args:
        in_features, out_features: sizes of the last axis before and after.
        bias: whether to add b.

    Weights start uniform within 1 / sqrt(in_features), as PyTorch's do.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        bound = 1 / math.sqrt(in_features) if in_features > 0 else 0.0
        self.weight = new_weight((out_features, in_features), bound, dtype)
        if bias:
            self.bias = new_weight((out_features,), bound, dtype)
        else:
            self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        """New first values."""
        from .init import uniform_

        bound = 1 / math.sqrt(self.in_features)
        for p in self.parameters():
            uniform_(p, -bound, bound)

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        own = self._parameters
        return F.linear(input, own["weight"], own["bias"])

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class LazyLinear(Linear):
    """Linear that takes in_features from its first input."""

    def __init__(
        self,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(0, 0, bias, device, dtype)
        self.out_features = out_features
        self.__dict__["_waiting"] = True

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        if self._waiting:
            self.in_features = shape_of(input)[-1]
            bound = 1 / math.sqrt(self.in_features)
            self.weight.data = new_weight(
                (self.out_features, self.in_features), bound, dtype_of(self.weight)
            ).detach()
            if self.bias is not None:
                self.bias.data = new_weight((self.out_features,), bound).detach()
            self.__dict__["_waiting"] = False
            self.__class__ = Linear  # type: ignore[assignment]
        return super().forward(input)


class Bilinear(Module):
    """y = x1^T W x2 + b."""

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        bound = 1 / math.sqrt(in1_features)
        self.weight = new_weight(
            (out_features, in1_features, in2_features), bound, dtype
        )
        self.register_parameter(
            "bias", new_weight((out_features,), bound, dtype) if bias else None
        )

    def forward(self, input1: Any, input2: Any) -> Any:
        """Applies the module."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Identity(Module):
    """The input itself; arguments are ignored."""

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return input


Flatten = function_module("Flatten", _shape.flatten, {"start_dim": 1, "end_dim": -1})


class Unflatten(Module):
    """One axis as several."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return _shape.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class PixelShuffle(Module):
    """Channels to pixels."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels to channels."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return f"downscale_factor={self.downscale_factor}"


class Unfold(Module):
    """Windows as columns."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return _unfold(
            input, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
