"""Convolutions: 1-D, 2-D and 3-D, and what all convolutions share.

The native layout is channels last; "channels_first" is transposed at the border.
"""

from __future__ import annotations

from typing import Any

from lamella import _core, activations, config, constraints, initializers, regularizers
from lamella.layers._arguments import config_of, integers, positive
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer

__all__ = [
    "BaseConv",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
]


def to_channels_last(x: Any) -> Any:
    """Return `x` (batch, channels, ...) as (batch, ..., channels)."""
    return _core.transpose(x, (0, *range(2, x.ndim), 1))


def to_channels_first(x: Any) -> Any:
    """Return `x` (batch, ..., channels) as (batch, channels, ...)."""
    return _core.transpose(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def window_output(
    size: int | None, window: int, stride: int, padding: str, dilation: int = 1
) -> int | None:
    """Return how many windows fit along an axis of `size`; None if it is unknown."""
    if size is None:
        return None
    if padding in ("same", "causal"):
        return -(-size // stride)
    return (size - (window - 1) * dilation - 1) // stride + 1


def check_padding(padding: Any, who: str, allowed: tuple[str, ...]) -> str:
    """Return the padding in lower case, or raise ValueError."""
    value = str(padding).lower()
    if value not in allowed:
        names = " or ".join(repr(a) for a in allowed)
        hint = " ('causal' is for Conv1D.)" if value == "causal" else ""
        raise ValueError(f"{who}: padding must be {names}, got {padding!r}.{hint}")
    return value


def check_strides(strides: Any, dilation_rate: Any, who: str) -> None:
    """Raise ValueError if steps and dilation are both asked for."""
    if max(strides) > 1 and max(dilation_rate) > 1:
        raise ValueError(
            f"{who}: strides and dilation_rate cannot both be above 1, got "
            f"strides={strides}, dilation_rate={dilation_rate}"
        )


class BaseConv(Layer):
    """What all convolutions share: arguments, layout, bias and activation."""

    _rank = 2
    _kernel_names: tuple[str, ...] = ("kernel",)
    _paddings: tuple[str, ...] = ("valid", "same")

    def _set(
        self,
        kernel_size: Any,
        strides: Any,
        padding: Any,
        data_format: Any,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        **kernels: Any,
    ) -> None:
        who, rank = type(self).__name__, self._rank
        self.kernel_size = integers(kernel_size, rank, "kernel_size", who)
        self.strides = integers(strides, rank, "strides", who)
        self.padding = check_padding(padding, who, self._paddings)
        self.data_format = config.standardize_data_format(data_format, who)
        self.dilation_rate = integers(dilation_rate, rank, "dilation_rate", who)
        check_strides(self.strides, self.dilation_rate, who)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        for key, value in kernels.items():
            if key.endswith("_initializer"):
                value = initializers.get(value)
            elif key.endswith("_regularizer"):
                value = regularizers.get(value)
            else:
                value = constraints.get(value)
            setattr(self, key, value)
        self.bias: Any = None
        self.input_spec = InputSpec(ndim=rank + 2)

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def _channels(self, input_shape: Any) -> int:
        axis = self._channel_axis
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"{self._who()}: the number of channels must be known, got an input of "
                f"shape {tuple(input_shape)}"
            )
        self.input_spec = InputSpec(ndim=self._rank + 2, axes={axis: channels})
        return int(channels)

    def _add_kernel(self, name: str, shape: tuple[int, ...], weight: str) -> Any:
        return self.add_weight(
            shape=shape,
            initializer=getattr(self, f"{name}_initializer"),
            regularizer=getattr(self, f"{name}_regularizer"),
            constraint=getattr(self, f"{name}_constraint"),
            name=weight,
        )

    def _add_bias(self, channels: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(channels,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Any) -> Any:
        """Return activation(convolution(inputs) + bias)."""
        x = self._as_float(inputs)
        if self.data_format == "channels_first":
            x = to_channels_last(x)
        self._check_size(x.shape)
        x = self._convolve(x)
        if self.bias is not None:
            x = _core.add(x, self.bias.value)
        if self.data_format == "channels_first":
            # A softmax over the last axis must see the user's layout.
            x = to_channels_first(x)
        return x if self.activation is None else self.activation(x)

    def _convolve(self, x: Any) -> Any:
        raise NotImplementedError

    def _check_size(self, shape: Any) -> None:
        if self.padding != "valid":
            return
        for i in range(self._rank):
            size = shape[i + 1]
            extent = (self.kernel_size[i] - 1) * self.dilation_rate[i] + 1
            if size is not None and size < extent:
                spatial = tuple(shape[1 : self._rank + 1])
                raise ValueError(
                    f"{self._who()}: the kernel {self.kernel_size} (dilation "
                    f"{self.dilation_rate}) is larger than the input, whose size is "
                    f"{spatial}. Use padding='same', a smaller kernel or less pooling "
                    "before it."
                )

    def _out_channels(self, channels: Any) -> Any:
        return self.filters  # type: ignore[attr-defined]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        first = self.data_format == "channels_first"
        spatial = input_shape[2:] if first else input_shape[1:-1]
        channels = input_shape[1] if first else input_shape[-1]
        if len(spatial) != self._rank:
            raise ValueError(
                f"{self._who()}: expected an input of rank {self._rank + 2}, got shape "
                f"{tuple(input_shape)}"
            )
        self._check_size((input_shape[0], *spatial, channels))
        sizes = tuple(self._out_size(s, i) for i, s in enumerate(spatial))
        out = self._out_channels(channels)
        return (input_shape[0], out, *sizes) if first else (input_shape[0], *sizes, out)

    def _out_size(self, size: int | None, i: int) -> int | None:
        return window_output(
            size,
            self.kernel_size[i],
            self.strides[i],
            self.padding,
            self.dilation_rate[i],
        )


class _Conv(BaseConv):
    """Convolution with a kernel (k..., channels / groups, filters).

    Args:
        filters: number of output channels.
        kernel_size: an int or one for each axis.
        strides: step of the window. Default 1.
        padding: "valid", "same" (Conv1D also "causal").
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: distance between kernel elements. Default 1.
        groups: channels are convolved in so many separate groups. Default 1.
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

    Input shape: (batch, sizes..., channels).
    Output shape: (batch, sizes..., filters); with "same" a size is
        ceil(size / stride), with "valid" (size - dilated kernel) // stride + 1.

    Raises:
        ValueError: for bad arguments, a wrong rank, or a kernel larger than the input.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
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
        self.groups = positive(groups, "groups", who)
        if self.filters % self.groups:
            raise ValueError(
                f"{who}: filters must be a multiple of groups, got filters={filters}, "
                f"groups={groups}"
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
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the kernel (k..., channels / groups, filters) and the bias."""
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{self._who()}: the number of input channels must be a multiple of "
                f"groups, got {channels} channels and groups={self.groups}"
            )
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self._add_kernel("kernel", shape, "kernel")
        self._add_bias(self.filters)

    def _convolve(self, x: Any) -> Any:
        return _core.conv(
            x,
            self.kernel.value,
            self.strides,
            self.padding,
            self.dilation_rate,
            self.groups,
        )

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
                "data_format",
                "dilation_rate",
                "groups",
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


class Conv1D(_Conv):
    """1-D convolution over (batch, steps, channels)."""

    _rank = 1
    _paddings = ("valid", "same", "causal")


class Conv2D(_Conv):
    """2-D convolution over (batch, h, w, channels)."""


class Conv3D(_Conv):
    """3-D convolution over (batch, d, h, w, channels)."""

    _rank = 3


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
