"""Recurrent layers: RNN over any cell, SimpleRNN, LSTM and GRU."""

from __future__ import annotations

from typing import Any

from lamella import _core, activations
from lamella.layers import _tree
from lamella.layers._arguments import config_of
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer
from lamella.layers.recurrent_cells import (
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
    as_list,
    call_cell,
    initial_state_of,
    output_size_of,
)
from lamella.variable import Variable

__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]


class RNN(Layer):
    """Runs a cell over the steps of sequences.

    The steps of a traced model are unrolled, so their number must be known; SimpleRNN,
    LSTM and GRU run as one operation where they can.

    Args:
        cell: cell or list of cells: an object with `call(inputs, states)`, which
            returns (output, new states), and `state_size`; possibly `output_size` and
            `get_initial_state(batch_size)`.
        return_sequences: whether all outputs are returned, or the last. Default False.
        return_state: whether the final states are returned too. Default False.
        go_backwards: from the last step to the first (the outputs stay in that order).
        stateful: whether a batch starts with the final states of the last one; needs a
            fixed batch size.
        unroll: accepted: it says how, not what.
        zero_output_for_mask: whether masked steps put out 0 instead of the output
            before them.
        **kwargs: `name`, `dtype`, ...

    Input shape: (batch, steps, features...).
    Output shape: (batch, steps, units) or (batch, units); with return_state a tuple
        of that and the states.
    """

    _untracked = frozenset({"states"})

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, list | tuple):
            cell = StackedRNNCells(cell)
        who = type(self).__name__
        for what in ("call", "state_size"):
            if not hasattr(cell, what):
                raise ValueError(f"{who}: the cell needs {what!r}, got cell={cell!r}")
        kwargs.pop("implementation", None)
        super().__init__(**kwargs)
        self.cell = cell
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.unroll = bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.supports_masking = True
        self.states: Any = None
        sizes = cell.state_size
        if not isinstance(sizes, list | tuple | int):
            raise ValueError(
                f"{who}: the cell's state_size must be an integer or a list of "
                f"integers, got {sizes!r}"
            )
        self.single_state = isinstance(sizes, int)
        self.state_size = as_list(sizes)

    # -- shapes --------------------------------------------------------------

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None
    ) -> Any:
        """Return the shapes of the output and, with return_state, of the states."""
        del initial_state_shape
        batch, steps = sequences_shape[:2]
        units = output_size_of(self.cell)
        shape: Any = (batch, steps, units) if self.return_sequences else (batch, units)
        if not self.return_state:
            return shape
        states = [
            [(batch, s) for s in size]
            if isinstance(size, list | tuple)
            else (batch, size)
            for size in self.state_size
        ]
        return (shape, *states)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the input's mask for sequences; None for the last output."""
        del inputs
        mask = _tree.flatten(previous_mask)[0]
        mask = mask if self.return_sequences else None
        return [mask, *(None for _ in self.state_size)] if self.return_state else mask

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Build the cell and, if stateful, make the variables of the states."""
        del initial_state_shape
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell._build_once((sequences_shape[0], *sequences_shape[2:]))
        if self.stateful and self.states is None:
            if sequences_shape[0] is None:
                raise ValueError(
                    f"{self._who()}: stateful=True needs a fixed batch size; give the "
                    "model Input(batch_shape=(batch, steps, features))"
                )
            start = self.get_initial_state(int(sequences_shape[0]))
            self.states = _tree.map_structure(
                lambda x: Variable(_zeros(x), trainable=False, name="rnn_state"), start
            )

    # -- states --------------------------------------------------------------

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """Return what the cell starts with."""
        return initial_state_of(self.cell, batch_size, self.dtype)

    def reset_state(self) -> None:
        """Set the states of a stateful layer to 0."""
        for variable in _tree.flatten(self.states) if self.states is not None else []:
            variable.assign(_core.full(variable.shape, 0.0, variable.dtype))

    def reset_states(self) -> None:
        """Same as reset_state."""
        self.reset_state()

    def _start(self, sequences: Any, initial_state: Any) -> list[Any]:
        if initial_state is None:
            if not self.stateful:
                return self.get_initial_state(sequences.dims[0])
            initial_state = _tree.map_structure(lambda v: v.value, self.states)
        from lamella import ops

        return _tree.map_structure(
            lambda x: ops.convert_to_tensor(x, self.dtype), as_list(initial_state)
        )

    def _with_batch(self, sequences: Any) -> Any:
        """Return the input of a stateful layer with its batch size in the shape."""
        batch = _tree.flatten(self.states)[0].shape[0]
        size = sequences.shape[0]
        if size is not None and size != batch:
            raise ValueError(
                f"{self._who()}: a stateful layer was built for batches of {batch} "
                f"samples, got {size}"
            )
        return _core.reshape(sequences, (batch, *sequences.dims[1:]))

    # -- the steps -----------------------------------------------------------

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        """Return the output and, with return_state, the states.

        Args:
            sequences: (batch, steps, features).
            initial_state: list of the states to start with; default zeros.
            mask: booleans (batch, steps); False steps change no state.
            training: whether dropout acts.
        """
        x = self._as_float(sequences)
        if self.stateful:
            x = self._with_batch(x)
        if isinstance(mask, list | tuple):
            mask = mask[0]
        if mask is not None:
            mask = _core.cast(mask, "bool")
        states = self._start(x, initial_state)
        sequence, last, states = self._run(x, states, mask, bool(training))
        if self.stateful:
            pairs = zip(_tree.flatten(self.states), _tree.flatten(states), strict=True)
            for variable, state in pairs:
                variable.assign(_core.stop_gradient(state))
        output = sequence if self.return_sequences else last
        return (output, *states) if self.return_state else output

    def _run(self, x: Any, states: list[Any], mask: Any, training: bool) -> Any:
        """Return (outputs of all steps, last output, states)."""
        steps = x.shape[1]
        if steps is None:
            raise ValueError(
                f"{self._who()}: the number of steps must be known to run "
                f"{type(self.cell).__name__} step by step; give Input a shape of "
                "(steps, features)"
            )
        holder = getattr(self.cell, "_hold_masks", None)
        if holder is not None:
            holder(True)
        outputs = []
        before = last = None
        try:
            for t in reversed(range(steps)) if self.go_backwards else range(steps):
                output, new = call_cell(self.cell, x[:, t], states, training)
                new = as_list(new)
                last = output
                if mask is not None:
                    here = mask[:, t]
                    zeros = _core.mul(output, 0.0) if before is None else before
                    before = output = _select(here, output, zeros)
                    new = _tree.pack(
                        new,
                        [
                            _select(here, a, b)
                            for a, b in zip(
                                _tree.flatten(new), _tree.flatten(states), strict=True
                            )
                        ],
                    )
                    last = output
                    if self.zero_output_for_mask:
                        last = output = _select(here, output, _zeros(output))
                states = new
                if self.return_sequences:
                    outputs.append(output)
        finally:
            if holder is not None:
                holder(False)
        sequence = _core.stack(outputs, 1) if self.return_sequences else None
        return sequence, last, states

    # -- configuration -------------------------------------------------------

    def _own_config(self) -> dict[str, Any]:
        return config_of(
            self,
            "return_sequences",
            "return_state",
            "go_backwards",
            "stateful",
            "unroll",
            "zero_output_for_mask",
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        from lamella.saving import serialization

        cell = serialization.serialize_keras_object(self.cell)
        return {**super().get_config(), **self._own_config(), "cell": cell}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a layer as `get_config` described it."""
        from lamella.saving import serialization

        config = dict(config)
        cell = serialization.deserialize_keras_object(
            config.pop("cell"), custom_objects=custom_objects
        )
        return cls(cell, **config)


def _zeros(x: Any) -> Any:
    return _core.full(tuple(x.dims), 0.0, x.dtype)


def _select(mask: Any, yes: Any, no: Any) -> Any:
    """Return `yes` in the rows where the mask (batch,) is True."""
    return _core.where(
        _core.reshape(mask, (mask.dims[0], *(1 for _ in range(yes.ndim - 1)))), yes, no
    )


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
        if training and 0 < cell.dropout < 1:
            key = cell.seed_generator.next()
            x = _core.dropout(x, key, cell.dropout, (x.dims[0], 1, x.dims[2]))
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
