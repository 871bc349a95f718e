"""SimpleRNN, LSTM and GRU: recurrent layers that run as one operation."""

from __future__ import annotations

from typing import Any

from lamella import _core, activations
from lamella.layers._arguments import config_of
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer
from lamella.layers.recurrent import RNN
from lamella.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell

__all__ = ["GRU", "LSTM", "SimpleRNN"]

# Functions that the one-operation layers know, by the names that they know.
_KNOWN = ("tanh", "sigmoid", "relu", "hard_sigmoid", "linear")


def _name_of(activation: Any) -> str | None:
    """Return the name of an activation that the recurrent operations have."""
    for name in _KNOWN:
        if activation is activations.get(name):
            return name
    return None


class _FusedRNN(RNN):
    """A layer with a cell of its own that runs as one operation where it can."""

    _cell_class: Any = None

    def _set_up(
        self,
        cell_arguments: dict[str, Any],
        activity_regularizer: Any,
        flags: dict[str, Any],
        kwargs: dict[str, Any],
    ) -> None:
        kwargs.pop("use_cudnn", None)
        cell = self._cell_class(
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name=self._cell_class._name_in_layer,
            **cell_arguments,
        )
        RNN.__init__(
            self, cell, activity_regularizer=activity_regularizer, **flags, **kwargs
        )
        self.input_spec = InputSpec(ndim=3)

    def _operation(self, x: Any, states: list[Any], mask: Any) -> Any:
        """Return (sequence, states) of the operation; None if it cannot do this."""
        raise NotImplementedError

    def _run(self, x: Any, states: list[Any], mask: Any, training: bool) -> Any:
        cell = self.cell
        names = [_name_of(cell.activation)]
        if hasattr(cell, "recurrent_activation"):
            names.append(_name_of(cell.recurrent_activation))
        if None in names or (training and cell.recurrent_dropout > 0):
            return super()._run(x, states, mask, training)
        if training and cell.dropout == 1:
            x = _core.mul(x, 0.0)
        elif training and cell.dropout > 0:
            key = cell.seed_generator.next()
            x = _core.dropout(x, key, cell.dropout, (x.dims[0], 1, x.dims[2]))
        if mask is not None and tuple(mask.dims) != tuple(x.dims[:2]):
            # Two unknown numbers of steps, each with a name of its own.
            mask = _core.reshape(mask, x.dims[:2])
        sequence, states = self._operation(x, states, mask)
        if mask is None:
            return sequence, states[0], states
        if self.zero_output_for_mask:
            order = _core.flip(mask, (1,)) if self.go_backwards else mask
            sequence = _core.where(_core.expand_dims(order, 2), sequence, 0.0)
        return sequence, sequence[:, -1], states

    def _weights_of_cell(self) -> tuple[Any, Any, Any]:
        cell = self.cell
        bias = None if cell.bias is None else cell.bias.value
        return cell.kernel.value, cell.recurrent_kernel.value, bias

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        from lamella import regularizers

        keys = type(self)._cell_class._config_keys(False)
        own = {k: None for k in keys}
        own.update(config_of(self.cell, *(k for k in keys if k != _ACTIVITY)))
        if self.activity_regularizer is not None:
            own[_ACTIVITY] = regularizers.serialize(self.activity_regularizer)
        return {**Layer.get_config(self), **self._own_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a layer as `get_config` described it."""
        del custom_objects
        return cls(**config)


_ACTIVITY = "activity_regularizer"


def _of_cell(cls: type) -> type:
    """Give a layer its cell's settings as attributes."""
    for key in cls._cell_class._config_keys(True):  # type: ignore[attr-defined]

        def read(self: Any, key: str = key) -> Any:
            return getattr(self.cell, key)

        setattr(cls, key, property(read, doc=f"The cell's {key}."))
    return cls


@_of_cell
class SimpleRNN(_FusedRNN):
    """Fully connected recurrent layer: y = tanh(x @ kernel + y' @ recurrent + bias).

    Args:
        units: size of the output and of each state.
        activation: default "tanh".
        use_bias: whether to add a bias. Default True.
        kernel_initializer: of the kernel (features, units).
        recurrent_initializer: of the recurrent kernel (units, units).
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        recurrent_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None; acts on the output.
        kernel_constraint: name, Constraint or None.
        recurrent_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        dropout: fraction of the inputs that is dropped in training, the same in every
            step.
        recurrent_dropout: the same for the state that goes into a step; the layer then
            runs step by step.
        return_sequences: whether all outputs are returned, or the last.
        return_state: whether the final states are returned too.
        go_backwards: from the last step to the first.
        stateful: whether a batch starts with the final states of the last one.
        unroll: accepted: it says how, not what.
        seed: integer for a sequence of its own, or None.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, ...; `use_cudnn` and
            `implementation` are accepted and ignored.

    Input shape: (batch, steps, features).
    Output shape: (batch, units), or (batch, steps, units).

    Example:
        >>> import lamella as keras
        >>> keras.layers.SimpleRNN(4)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)
    """

    _cell_class = SimpleRNNCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = {
            "units": units,
            "activation": activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
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
            "unroll": unroll,
        }
        self._set_up(cell, activity_regularizer, flags, kwargs)

    def _operation(self, x: Any, states: list[Any], mask: Any) -> Any:
        kernel, recurrent, bias = self._weights_of_cell()
        sequence, h = _core.simple_rnn(
            x,
            states[0],
            kernel,
            recurrent,
            bias,
            mask,
            _name_of(self.cell.activation) or "",
            self.go_backwards,
        )
        return sequence, [h]


@_of_cell
class LSTM(_FusedRNN):
    """Long short-term memory (see LSTMCell for the formulas).

    Args:
        units: size of the output and of each state.
        activation: default "tanh".
        recurrent_activation: of the gates. Default "sigmoid".
        use_bias: whether to add a bias. Default True.
        kernel_initializer: of the kernel (features, 4 * units).
        recurrent_initializer: of the recurrent kernel (units, 4 * units).
        bias_initializer: default "zeros".
        unit_forget_bias: whether the bias of the forget gate starts at 1.
        kernel_regularizer: name, Regularizer or None.
        recurrent_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None; acts on the output.
        kernel_constraint: name, Constraint or None.
        recurrent_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        dropout: fraction of the inputs that is dropped in training, the same in every
            step.
        recurrent_dropout: the same for the state that goes into a step; the layer then
            runs step by step.
        seed: integer for a sequence of its own, or None.
        return_sequences: whether all outputs are returned, or the last.
        return_state: whether the final states are returned too.
        go_backwards: from the last step to the first.
        stateful: whether a batch starts with the final states of the last one.
        unroll: accepted: it says how, not what.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, ...; `use_cudnn` and
            `implementation` are accepted and ignored.

    Input shape: (batch, steps, features).
    Output shape: (batch, units), or (batch, steps, units).

    Example:
        >>> import lamella as keras
        >>> keras.layers.LSTM(4)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)
    """

    _cell_class = LSTMCell

    def __init__(
        self,
        units: int,
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
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = {
            "units": units,
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
            "unroll": unroll,
        }
        self._set_up(cell, activity_regularizer, flags, kwargs)

    def _operation(self, x: Any, states: list[Any], mask: Any) -> Any:
        kernel, recurrent, bias = self._weights_of_cell()
        sequence, h, c = _core.lstm(
            x,
            states[0],
            states[1],
            kernel,
            recurrent,
            bias,
            mask,
            _name_of(self.cell.activation) or "",
            _name_of(self.cell.recurrent_activation) or "",
            self.go_backwards,
        )
        return sequence, [h, c]


@_of_cell
class GRU(_FusedRNN):
    """Gated recurrent unit (see GRUCell for the formulas).

    Args:
        units: size of the output and of each state.
        activation: default "tanh".
        recurrent_activation: of the gates. Default "sigmoid".
        use_bias: whether to add a bias. Default True.
        kernel_initializer: of the kernel (features, 3 * units).
        recurrent_initializer: of the recurrent kernel (units, 3 * units).
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        recurrent_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None; acts on the output.
        kernel_constraint: name, Constraint or None.
        recurrent_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        dropout: fraction of the inputs that is dropped in training, the same in every
            step.
        recurrent_dropout: the same for the state that goes into a step; the layer then
            runs step by step.
        seed: integer for a sequence of its own, or None.
        return_sequences: whether all outputs are returned, or the last.
        return_state: whether the final states are returned too.
        go_backwards: from the last step to the first.
        stateful: whether a batch starts with the final states of the last one.
        unroll: accepted: it says how, not what.
        reset_after: whether the reset gate multiplies after the recurrent kernel.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, ...; `use_cudnn` and
            `implementation` are accepted and ignored.

    Input shape: (batch, steps, features).
    Output shape: (batch, units), or (batch, steps, units).

    Example:
        >>> import lamella as keras
        >>> keras.layers.GRU(4)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)
    """

    _cell_class = GRUCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
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
        unroll: bool = False,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        cell = {
            "units": units,
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "seed": seed,
            "reset_after": reset_after,
        }
        flags = {
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
            "unroll": unroll,
        }
        self._set_up(cell, activity_regularizer, flags, kwargs)

    def _operation(self, x: Any, states: list[Any], mask: Any) -> Any:
        kernel, recurrent, bias = self._weights_of_cell()
        sequence, h = _core.gru(
            x,
            states[0],
            kernel,
            recurrent,
            bias,
            mask,
            _name_of(self.cell.activation) or "",
            _name_of(self.cell.recurrent_activation) or "",
            self.cell.reset_after,
            self.go_backwards,
        )
        return sequence, [h]
