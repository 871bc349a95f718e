"""Convolutions as modules."""

from __future__ import annotations

import math
from typing import Any

from . import _convolution as F
from .init import new_weight
from .module import Module

LAYERS: dict[str, Any] = {}


class _Conv(Module):
    """What Conv1d, 2d, 3d and their transposes share."""

    _axes = 0
    _transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        dilation: Any,
        padding_mode: str,
        dtype: Any,
    ) -> None:
        super().__init__()
        n = self._axes
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"padding_mode must be one of zeros, reflect, replicate, circular, "
                f"but got padding_mode='{padding_mode}'"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = F.tuple_of(kernel_size, n)
        self.stride, self.dilation = F.tuple_of(stride, n), F.tuple_of(dilation, n)
        self.padding = padding if isinstance(padding, str) else F.tuple_of(padding, n)
        self.output_padding = F.tuple_of(output_padding, n)
        self.groups, self.padding_mode = groups, padding_mode
        sides = (
            (in_channels, out_channels)
            if self._transposed
            else (out_channels, in_channels)
        )
        shape = (sides[0], sides[1] // groups, *self.kernel_size)
        bound = 1 / math.sqrt(shape[1] * math.prod(self.kernel_size))
        self.weight = new_weight(shape, bound, dtype)
        self.register_parameter(
            "bias", new_weight((out_channels,), bound, dtype) if bias else None
        )

    def extra_repr(self) -> str:
        n = self._axes
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if self.padding != (0,) * n:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * n:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * n:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


def _plain(n: int) -> None:
    convolve = (F.conv1d, F.conv2d, F.conv3d)[n - 1]

    class Conv(_Conv):
        _axes = n

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: Any,
            stride: Any = 1,
            padding: Any = 0,
            dilation: Any = 1,
            groups: int = 1,
            bias: bool = True,
            padding_mode: str = "zeros",
            device: Any = None,
            dtype: Any = None,
        ) -> None:
            super().__init__(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding,
                0,
                groups,
                bias,
                dilation,
                padding_mode,
                dtype,
            )

        def forward(self, input: Any) -> Any:
            padding: Any = self.padding
            if self.padding_mode != "zeros":
                sides: list[Any] = []
                for i, k in enumerate(self.kernel_size):
                    total = self.dilation[i] * (k - 1)
                    if padding == "same":
                        sides.append((total // 2, total - total // 2))
                    else:
                        sides.append(
                            (0, 0) if padding == "valid" else (padding[i],) * 2
                        )
                widths = [w for pair in reversed(sides) for w in pair]
                input, padding = F.pad(input, widths, self.padding_mode), 0
            own = self._parameters
            return convolve(
                input,
                own["weight"],
                own["bias"],
                self.stride,
                padding,
                self.dilation,
                self.groups,
            )

    Conv.__name__ = Conv.__qualname__ = f"Conv{n}d"
    Conv.__doc__ = f"Convolution over {n} axes behind the channels."
    LAYERS[Conv.__name__] = Conv


def _transposed(n: int) -> None:
    convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]

    class Conv(_Conv):
        _axes = n
        _transposed = True

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: Any,
            stride: Any = 1,
            padding: Any = 0,
            output_padding: Any = 0,
            groups: int = 1,
            bias: bool = True,
            dilation: Any = 1,
            padding_mode: str = "zeros",
            device: Any = None,
            dtype: Any = None,
        ) -> None:
            if padding_mode != "zeros":
                raise ValueError(
                    f'Only "zeros" padding mode is supported for ConvTranspose{n}d'
                )
            super().__init__(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding,
                output_padding,
                groups,
                bias,
                dilation,
                padding_mode,
                dtype,
            )

        def forward(self, input: Any, output_size: Any = None) -> Any:
            extra = self.output_padding
            if output_size is not None:
                settings: list[Any] = [
                    input.shape[-n:],
                    self.stride,
                    self.padding,
                    self.dilation,
                    self.kernel_size,
                ]
                least = [
                    (size - 1) * s - 2 * p + d * (k - 1) + 1
                    for size, s, p, d, k in zip(*settings, strict=True)
                ]
                extra = tuple(
                    o - m for o, m in zip(output_size[-n:], least, strict=True)
                )
            return convolve(
                input,
                self.weight,
                self.bias,
                self.stride,
                self.padding,
                extra,
                self.groups,
                self.dilation,
            )

    Conv.__name__ = Conv.__qualname__ = f"ConvTranspose{n}d"
    Conv.__doc__ = f"Transposed convolution over {n} axes behind the channels."
    LAYERS[Conv.__name__] = Conv


for _n in (1, 2, 3):
    _plain(_n)
    _transposed(_n)
