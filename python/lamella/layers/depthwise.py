"""Depthwise and separable convolutions, 1-D and 2-D."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers._arguments import config_of, positive
from lamella.layers.convolution import BaseConv

__all__ = [
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]


class _DepthwiseConv(BaseConv):
    """Each channel convolved on its own, with a kernel (k..., channels, multiplier).

    Output channel c * depth_multiplier + m comes from channel c.

    Args:
        kernel_size: an int or one for each axis.
        strides: step of the window; equal along both axes.
        padding: "valid" or "same".
        depth_multiplier: output channels for each input channel. Default 1.
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: distance between kernel elements. Default 1.
        activation: name, function or None.
        use_bias: default True.
        depthwise_initializer: default "glorot_uniform".
        bias_initializer: default "zeros".
        depthwise_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None.
        depthwise_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        **kwargs: `name`, `dtype`, `input_shape`, ...
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = positive(
            depth_multiplier, "depth_multiplier", type(self).__name__
        )
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
            depthwise_initializer=depthwise_initializer,
            depthwise_regularizer=depthwise_regularizer,
            depthwise_constraint=depthwise_constraint,
        )
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the kernel (k..., channels, depth_multiplier) and the bias."""
        channels = self._channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.kernel = self._add_kernel("depthwise", shape, "kernel")
        self._add_bias(channels * self.depth_multiplier)

    def _convolve(self, x: Any) -> Any:
        return _core.depthwise_conv(
            x, self.kernel.value, self.strides, self.padding, self.dilation_rate
        )

    def _out_channels(self, channels: Any) -> Any:
        return None if channels is None else channels * self.depth_multiplier

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "depth_multiplier",
                "kernel_size",
                "strides",
                "padding",
                "data_format",
                "dilation_rate",
                "activation",
                "use_bias",
                "depthwise_initializer",
                "bias_initializer",
                "depthwise_regularizer",
                "bias_regularizer",
                "activity_regularizer",
                "depthwise_constraint",
                "bias_constraint",
            ),
        }


class DepthwiseConv1D(_DepthwiseConv):
    """1-D depthwise convolution."""

    _rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """2-D depthwise convolution."""


class _SeparableConv(BaseConv):
    """A depthwise convolution, then a 1x1 convolution that mixes the channels.

    Args:
        filters: number of output channels.
        kernel_size: an int or one for each axis.
        strides: step of the window. Default 1.
        padding: "valid" or "same".
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: distance between kernel elements. Default 1.
        depth_multiplier: channels between the two steps for each input channel.
        activation: name, function or None.
        use_bias: default True.
        depthwise_initializer: default "glorot_uniform".
        pointwise_initializer: default "glorot_uniform".
        bias_initializer: default "zeros".
        depthwise_regularizer: name, Regularizer or None.
        pointwise_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None.
        depthwise_constraint: name, Constraint or None.
        pointwise_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        **kwargs: `name`, `dtype`, `input_shape`, ...
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        who = type(self).__name__
        self.filters = positive(filters, "filters", who)
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier", who)
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
            depthwise_initializer=depthwise_initializer,
            depthwise_regularizer=depthwise_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_initializer=pointwise_initializer,
            pointwise_regularizer=pointwise_regularizer,
            pointwise_constraint=pointwise_constraint,
        )
        self.depthwise_kernel: Any = None
        self.pointwise_kernel: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the two kernels and the bias."""
        channels = self._channels(input_shape)
        inner = channels * self.depth_multiplier
        self.depthwise_kernel = self._add_kernel(
            "depthwise",
            (*self.kernel_size, channels, self.depth_multiplier),
            "depthwise_kernel",
        )
        self.pointwise_kernel = self._add_kernel(
            "pointwise", (*(1,) * self._rank, inner, self.filters), "pointwise_kernel"
        )
        self._add_bias(self.filters)

    def _convolve(self, x: Any) -> Any:
        ones = (1,) * self._rank
        x = _core.depthwise_conv(
            x,
            self.depthwise_kernel.value,
            self.strides,
            self.padding,
            self.dilation_rate,
        )
        return _core.conv(x, self.pointwise_kernel.value, ones, "valid", ones, 1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "depth_multiplier",
                "filters",
                "kernel_size",
                "strides",
                "padding",
                "data_format",
                "dilation_rate",
                "activation",
                "use_bias",
                "depthwise_initializer",
                "pointwise_initializer",
                "bias_initializer",
                "depthwise_regularizer",
                "pointwise_regularizer",
                "bias_regularizer",
                "activity_regularizer",
                "depthwise_constraint",
                "pointwise_constraint",
                "bias_constraint",
            ),
        }


class SeparableConv1D(_SeparableConv):
    """1-D separable convolution."""

    _rank = 1


class SeparableConv2D(_SeparableConv):
    """2-D separable convolution."""


SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
