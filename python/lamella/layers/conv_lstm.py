"""ConvLSTM1D, ConvLSTM2D and ConvLSTM3D: LSTM whose products are convolutions."""

from __future__ import annotations

from typing import Any

from lamella import _core, config
from lamella.layers._arguments import integers, positive
from lamella.layers.convolution import (
    check_padding,
    check_strides,
    to_channels_first,
    to_channels_last,
    window_output,
)
from lamella.layers.input_spec import InputSpec
from lamella.layers.recurrent import RNN
from lamella.layers.recurrent_cells import LSTMCell
from lamella.layers.recurrent_fused import _FusedRNN, _of_cell

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "ConvLSTMCell"]


class ConvLSTMCell(LSTMCell):
    """One step of ConvLSTM: LSTMCell with convolutions in place of the products.

    The convolution of the state keeps its size ("same", stride 1); that of the input
    has the given strides, padding and dilation.

    Args:
        rank: number of the axes that are convolved, 1 to 3.
        filters: number of channels of the output and of both states.
        kernel_size: an int or one for each axis.
        strides: step of the window over the input. Default 1.
        padding: "valid" or "same".
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: distance between kernel elements. Default 1.
        **kwargs: those of LSTMCell.

    Source: Shi et al., 2015 (arXiv:1506.04214), without the cell's feedback.
    """

    _name_in_layer = "conv_lstm_cell"

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        **kwargs: Any,
    ) -> None:
        who = type(self).__name__
        self.rank = positive(rank, "rank", who)
        if self.rank > 3:
            raise ValueError(f"{who}: rank must be 1, 2 or 3, got rank={rank}")
        super().__init__(positive(filters, "filters", who), **kwargs)
        self.kernel_size = integers(kernel_size, rank, "kernel_size", who)
        self.strides = integers(strides, rank, "strides", who)
        self.padding = check_padding(padding, who, ("valid", "same"))
        self.data_format = config.standardize_data_format(data_format, who)
        self.dilation_rate = integers(dilation_rate, rank, "dilation_rate", who)
        check_strides(self.strides, self.dilation_rate, who)
        self._input_shape: Any = None

    @property
    def filters(self) -> int:
        """Number of channels of the output."""
        return self.units

    def build(self, input_shape: Any) -> None:
        """Make the kernels (k..., channels, 4 * filters) and the bias."""
        first = self.data_format == "channels_first"
        sizes = tuple(input_shape[2:] if first else input_shape[1:-1])
        channels = input_shape[1 if first else -1]
        if None in sizes or channels is None:
            raise ValueError(
                f"{self._who()}: sizes and channels of a step must be known, got an "
                f"input of shape {tuple(input_shape)}"
            )
        self._input_shape = tuple(input_shape)
        self._add_kernels(
            (*self.kernel_size, channels), (*self.kernel_size, self.units)
        )

    def compute_output_shape(self, input_shape: Any, *_: Any) -> Any:
        """Return the shape of the output and those of the states."""
        first = self.data_format == "channels_first"
        sizes = [
            window_output(size, k, s, self.padding, d)
            for size, k, s, d in zip(
                input_shape[2:] if first else input_shape[1:-1],
                self.kernel_size,
                self.strides,
                self.dilation_rate,
                strict=True,
            )
        ]
        batch, units = input_shape[0], self.units
        shape = (batch, units, *sizes) if first else (batch, *sizes, units)
        return shape, [shape, shape]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Return zeros for both states."""
        shape = self.compute_output_shape((batch_size, *self._input_shape[1:]))[0]
        return [_core.full(shape, 0.0, self.dtype) for _ in range(2)]

    def _of_input(self, x: Any, kernel: Any) -> Any:
        return _core.conv(x, kernel, self.strides, self.padding, self.dilation_rate, 1)

    def _of_state(self, h: Any, kernel: Any) -> Any:
        ones = (1,) * self.rank
        return _core.conv(h, kernel, ones, "same", ones, 1)

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, Any]:
        """Return the output and the new states h and c."""
        if self.data_format == "channels_last":
            return super().call(inputs, states, training)
        states = [to_channels_last(state) for state in states]
        _, new = super().call(to_channels_last(inputs), states, training)
        new = [to_channels_first(state) for state in new]
        return new[0], new

    @classmethod
    def _config_keys(cls, cell: bool) -> tuple[str, ...]:
        own = ("filters", "kernel_size", "strides", "padding", "data_format")
        gates = ("activation", "recurrent_activation", "use_bias")
        first = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
        rest = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer")
        last = ("kernel_constraint", "recurrent_constraint", "bias_constraint")
        between = () if cell else ("activity_regularizer",)
        return (
            *(*own, "dilation_rate", *gates, *first, "unit_forget_bias", *rest),
            *(*between, *last, "dropout", "recurrent_dropout", "seed"),
        )


class _ConvLSTM(_FusedRNN):
    """LSTM whose products with the input and the state are convolutions.

    Args:
        filters: number of channels of the output and of both states.
        kernel_size: an int or one for each axis.
        strides: step of the window over the input. Default 1.
        padding: "valid" or "same", of the input; the state keeps its size.
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: distance between kernel elements. Default 1.
        activation: default "tanh".
        recurrent_activation: of the gates. Default "sigmoid".
        use_bias: default True.
        kernel_initializer: of the kernel (k..., channels, 4 * filters).
        recurrent_initializer: of the recurrent kernel (k..., filters, 4 * filters).
        bias_initializer: default "zeros".
        unit_forget_bias: whether the bias of the forget gate starts at 1.
        kernel_regularizer: name, Regularizer or None.
        recurrent_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None; acts on the output.
        kernel_constraint: name, Constraint or None.
        recurrent_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        dropout: fraction of the inputs that is dropped in training.
        recurrent_dropout: the same for the state.
        seed: integer for a sequence of its own, or None.
        return_sequences: whether all outputs are returned, or the last.
        return_state: whether the final states are returned too.
        go_backwards: from the last step to the first.
        stateful: whether a batch starts with the final states of the last one.
        **kwargs: `zero_output_for_mask`, `unroll`, `name`, `dtype`, ...

    Input shape: (batch, steps, sizes..., channels), or (batch, steps, channels,
        sizes...) with "channels_first". The number of steps must be known.
    Output shape: that of a convolution, with the steps behind the batch if
        return_sequences.
    """

    _cell_class = ConvLSTMCell
    _rank = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = {
            "rank": self._rank,
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "padding": padding,
            "data_format": data_format,
            "dilation_rate": dilation_rate,
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "unit_forget_bias": unit_forget_bias,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "seed": seed,
        }
        flags = {
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
        }
        self._set_up(cell, activity_regularizer, flags, kwargs)
        self.input_spec = InputSpec(ndim=self._rank + 3)

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None
    ) -> Any:
        """Return the shapes of the output and, with return_state, of the states."""
        del initial_state_shape
        batch, steps = sequences_shape[:2]
        step = (batch, *sequences_shape[2:])
        state = self.cell.compute_output_shape(step)[0]
        shape = (batch, steps, *state[1:]) if self.return_sequences else state
        return (shape, state, state) if self.return_state else shape

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the input's mask for sequences; None for the last output."""
        mask = super().compute_mask(inputs, previous_mask)
        return [mask[0], None, None] if self.return_state else mask

    def _run(self, x: Any, states: list[Any], mask: Any, training: bool) -> Any:
        return RNN._run(self, x, states, mask, training)


@_of_cell
class ConvLSTM1D(_ConvLSTM):
    """1-D convolutional LSTM over (batch, steps, width, channels)."""

    _rank = 1


@_of_cell
class ConvLSTM2D(_ConvLSTM):
    """2-D convolutional LSTM over (batch, steps, h, w, channels)."""


@_of_cell
class ConvLSTM3D(_ConvLSTM):
    """3-D convolutional LSTM over (batch, steps, d, h, w, channels)."""

    _rank = 3
