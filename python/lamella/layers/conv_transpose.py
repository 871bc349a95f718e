"""Transposed convolutions: 1-D, 2-D and 3-D."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers._arguments import config_of, integers, positive
from lamella.layers.convolution import BaseConv

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
]


class _ConvTranspose(BaseConv):
    """The transpose of a convolution: strides make the output larger.

    The kernel has shape (k..., filters, channels): output before input.

    Args:
        filters: number of output channels.
        kernel_size: an int or one for each axis.
        strides: factor by which sizes grow. Default 1.
        padding: "valid" or "same" (then a size becomes size * stride).
        output_padding: extra elements at the end, below the stride, or None.
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: distance between kernel elements. Default 1.
        activation: name, function or None.
        use_bias: default True.
        kernel_initializer: default "glorot_uniform".
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None.
        kernel_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        **kwargs: `name`, `dtype`, `input_shape`, ...
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        who = type(self).__name__
        self.filters = positive(filters, "filters", who)
        self._set(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = integers(
                output_padding, self._rank, "output_padding", who, minimum=0
            )
            if any(
                p >= s for p, s in zip(self.output_padding, self.strides, strict=True)
            ):
                raise ValueError(
                    f"{who}: output_padding must be smaller than strides, got "
                    f"output_padding={output_padding}, strides={self.strides}"
                )
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the kernel (k..., filters, channels) and the bias."""
        channels = self._channels(input_shape)
        shape = (*self.kernel_size, self.filters, channels)
        self.kernel = self._add_kernel("kernel", shape, "kernel")
        self._add_bias(self.filters)

    def _check_size(self, shape: Any) -> None:
        """Any input is large enough."""

    def _convolve(self, x: Any) -> Any:
        return _core.conv_transpose(
            x,
            self.kernel.value,
            self.strides,
            self.padding,
            self.output_padding,
            self.dilation_rate,
        )

    def _out_size(self, size: int | None, i: int) -> int | None:
        if size is None:
            return None
        kernel = (self.kernel_size[i] - 1) * self.dilation_rate[i] + 1
        stride = self.strides[i]
        if self.output_padding is None:
            if self.padding == "same":
                return size * stride
            return size * stride + max(kernel - stride, 0)
        extra = self.output_padding[i]
        if self.padding == "same":
            return (size - 1) * stride + kernel - 2 * (kernel // 2) + extra
        return (size - 1) * stride + kernel + extra

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "filters",
                "kernel_size",
                "strides",
                "padding",
                "output_padding",
                "data_format",
                "dilation_rate",
                "activation",
                "use_bias",
                "kernel_initializer",
                "bias_initializer",
                "kernel_regularizer",
                "bias_regularizer",
                "activity_regularizer",
                "kernel_constraint",
                "bias_constraint",
            ),
        }


class Conv1DTranspose(_ConvTranspose):
    """1-D transposed convolution."""

    _rank = 1


class Conv2DTranspose(_ConvTranspose):
    """2-D transposed convolution."""


class Conv3DTranspose(_ConvTranspose):
    """3-D transposed convolution."""

    _rank = 3


Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
