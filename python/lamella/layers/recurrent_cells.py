"""One step of a recurrent layer: SimpleRNNCell, LSTMCell, GRUCell, StackedRNNCells."""

from __future__ import annotations

from typing import Any

from lamella import _core, activations, constraints, initializers, regularizers
from lamella.layers._arguments import config_of, positive
from lamella.layers.layer import Layer

__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]


def as_list(states: Any) -> list[Any]:
    """Return states as a list; one state may come without it."""
    return list(states) if isinstance(states, list | tuple) else [states]


def output_size_of(cell: Any) -> int:
    """Return the size of a cell's output: by default that of its first state."""
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size
    return int(size if not isinstance(size, list | tuple) else size[0])


def initial_state_of(cell: Any, batch_size: Any, dtype: str) -> list[Any]:
    """Return what a cell starts with: its own choice, or zeros."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        return as_list(own(batch_size=batch_size))
    return [
        _core.full((batch_size, size), 0.0, dtype) for size in as_list(cell.state_size)
    ]


class _Cell(Layer):
    """What the cells share.

    Args:
        units: size of the output and of each state.
        activation: function of the output. Default "tanh".
        use_bias: whether to add a bias. Default True.
        kernel_initializer: of the kernel (features, gates * units).
        recurrent_initializer: of the recurrent kernel (units, gates * units).
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        recurrent_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        kernel_constraint: name, Constraint or None.
        recurrent_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        dropout: fraction of the inputs that is dropped in training, in [0, 1].
        recurrent_dropout: the same for the state that goes into the step.
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...; `implementation` is accepted and ignored.
    """

    _gates = 1
    _name_in_layer = "cell"

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        from lamella.random import SeedGenerator

        kwargs.pop("implementation", None)
        super().__init__(**kwargs)
        self.units = positive(units, "units", type(self).__name__)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, float(dropout)))
        self.recurrent_dropout = min(1.0, max(0.0, float(recurrent_dropout)))
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self.kernel: Any = None
        self.recurrent_kernel: Any = None
        self.bias: Any = None

    @property
    def state_size(self) -> Any:
        """Size of the state."""
        return self.units

    @property
    def output_size(self) -> int:
        """Size of the output."""
        return self.units

    def _bias_shape(self) -> tuple[int, ...]:
        return (self._gates * self.units,)

    def _start_of_bias(self) -> Any:
        return self.bias_initializer

    def build(self, input_shape: Any) -> None:
        """Make kernel, recurrent kernel and bias."""
        self._add_kernels((input_shape[-1],), (self.units,))

    def _add_kernels(
        self, of_input: tuple[Any, ...], of_state: tuple[Any, ...]
    ) -> None:
        """Make the weights; the kernels end in one column for each gate and unit."""
        columns = self._gates * self.units
        self.kernel = self.add_weight(
            shape=(*of_input, columns),
            name="kernel",
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            shape=(*of_state, columns),
            name="recurrent_kernel",
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=self._bias_shape(),
                name="bias",
                initializer=self._start_of_bias(),
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def compute_output_shape(self, input_shape: Any, *_: Any) -> Any:
        """Return (batch, units) and the shapes of the states."""
        shape = (input_shape[0], self.units)
        return shape, [shape for _ in as_list(self.state_size)]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Return zeros for each state."""
        sizes = as_list(self.state_size)
        return [_core.full((batch_size, size), 0.0, self.dtype) for size in sizes]

    # -- dropout: one mask for all steps of a sequence ---------------------------

    def _hold_masks(self, held: bool) -> None:
        """Keep the masks from now on (a sequence begins), or forget them."""
        self.__dict__["_masks_held"] = {} if held else None

    def _dropped(self, x: Any, rate: float, which: str, training: Any) -> list[Any]:
        """Return `x` for each gate, with elements dropped in training.

        Without recurrent dropout all gates see the same input.
        """
        count = self._gates if self.recurrent_dropout > 0 else 1
        if not training or rate == 0:
            return [x] * self._gates
        if rate == 1:
            return [_core.mul(x, 0.0)] * self._gates
        held = self.__dict__.get("_masks_held")
        masks = None if held is None else held.get(which)
        if masks is None:
            ones = _core.full(tuple(x.dims), 1.0, x.dtype)
            masks = [
                _core.dropout(ones, self.seed_generator.next(), rate)
                for _ in range(count)
            ]
            if held is not None:
                held[which] = masks
        dropped = [_core.mul(x, mask) for mask in masks]
        return dropped if count == self._gates else dropped * self._gates

    def _projected(
        self,
        parts: list[Any],
        kernel: Any,
        bias: Any,
        gates: int,
        product: Any = _core.matmul,
    ) -> list[Any]:
        """Return product(part, kernel) + bias for the first gates, in one if alike."""
        units = self.units
        if all(part is parts[0] for part in parts[:gates]):
            total = self._gates
            if gates != total:
                kernel = kernel[..., : gates * units]
                bias = None if bias is None else bias[: gates * units]
            y = product(parts[0], kernel)
            y = y if bias is None else _core.add(y, bias)
            return [y[..., g * units : (g + 1) * units] for g in range(gates)]
        result = []
        for g in range(gates):
            columns = slice(g * units, (g + 1) * units)
            y = product(parts[g], kernel[..., columns])
            result.append(y if bias is None else _core.add(y, bias[columns]))
        return result

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **config_of(self, *self._config_keys(True))}

    @classmethod
    def _config_keys(cls, cell: bool) -> tuple[str, ...]:
        """Return the keys of a cell's config, or of its layer's, in Keras's order."""
        raise NotImplementedError


_INITIALIZERS = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
_REGULARIZERS = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer")
_CONSTRAINTS = ("kernel_constraint", "recurrent_constraint", "bias_constraint")


class SimpleRNNCell(_Cell):
    """One step of SimpleRNN: output = activation(x @ kernel + h @ recurrent + bias)."""

    _name_in_layer = "simple_rnn_cell"

    def call(
        self, sequence: Any, states: Any, training: bool = False
    ) -> tuple[Any, Any]:
        """Return the output and the new state (the same)."""
        h = as_list(states)[0]
        x = self._dropped(sequence, self.dropout, "x", training)[0]
        h = self._dropped(h, self.recurrent_dropout, "h", training)[0]
        y = _core.matmul(x, self.kernel.value)
        if self.bias is not None:
            y = _core.add(y, self.bias.value)
        y = _core.add(y, _core.matmul(h, self.recurrent_kernel.value))
        y = y if self.activation is None else self.activation(y)
        return y, [y] if isinstance(states, list | tuple) else y

    @classmethod
    def _config_keys(cls, cell: bool) -> tuple[str, ...]:
        keys: tuple[str, ...] = ("units", "activation", "use_bias")
        keys = (*keys, *_INITIALIZERS, *_REGULARIZERS)
        if not cell:
            keys = (*keys, "activity_regularizer")
        keys = (*keys, *_CONSTRAINTS, "dropout", "recurrent_dropout")
        return (*keys, "seed") if cell else keys


class LSTMCell(_Cell):
    """One step of LSTM.

    i, f, o = sigmoid, g = tanh of x @ kernel + h @ recurrent + bias (gates in the order
    i, f, g, o); c' = f * c + i * g; output = h' = o * tanh(c').

    Args:
        units: size of the output and of both states.
        activation: of g and of c'. Default "tanh".
        recurrent_activation: of the gates. Default "sigmoid".
        use_bias: whether to add a bias. Default True.
        kernel_initializer: of the kernel (features, 4 * units).
        recurrent_initializer: of the recurrent kernel (units, 4 * units).
        bias_initializer: default "zeros".
        unit_forget_bias: whether the bias of the gate f starts at 1. Default True.
        kernel_regularizer: name, Regularizer or None.
        recurrent_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        kernel_constraint: name, Constraint or None.
        recurrent_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        dropout: fraction of the inputs that is dropped in training.
        recurrent_dropout: the same for the state.
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...

    Source: Hochreiter and Schmidhuber, 1997; Gers et al., 2000 (forget gate).
    """

    _gates = 4
    _name_in_layer = "lstm_cell"
    # How the kernels act on the input and on the state.
    _of_input = staticmethod(_core.matmul)
    _of_state = staticmethod(_core.matmul)

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)

    @property
    def state_size(self) -> list[int]:
        """Sizes of both states, h and c."""
        return [self.units, self.units]

    def _start_of_bias(self) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer

        def start(shape: Any, dtype: Any = None) -> Any:
            from lamella import ops

            del shape
            first = ops.convert_to_tensor(self.bias_initializer((self.units,), dtype))
            rest = ops.convert_to_tensor(
                self.bias_initializer((2 * self.units,), dtype)
            )
            ones = _core.full((self.units,), 1.0, first.dtype)
            return _core.concat([first, ones, rest], 0)

        return start

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, Any]:
        """Return the output and the new states h and c."""
        h, c = states
        x = self._dropped(inputs, self.dropout, "x", training)
        h = self._dropped(h, self.recurrent_dropout, "h", training)
        bias = None if self.bias is None else self.bias.value
        from_x = self._projected(x, self.kernel.value, bias, 4, self._of_input)
        recurrent = self.recurrent_kernel.value
        from_h = self._projected(h, recurrent, None, 4, self._of_state)
        i, f, g, o = (_core.add(a, b) for a, b in zip(from_x, from_h, strict=True))
        gate, act = self.recurrent_activation, self.activation
        c = _core.add(_core.mul(gate(f), c), _core.mul(gate(i), act(g)))
        h = _core.mul(gate(o), act(c))
        return h, [h, c]

    @classmethod
    def _config_keys(cls, cell: bool) -> tuple[str, ...]:
        keys = ("units", "activation", "recurrent_activation", "use_bias")
        tail = ("dropout", "recurrent_dropout", "seed")
        middle: tuple[str, ...]
        if cell:
            middle = ("unit_forget_bias", *_INITIALIZERS, *_REGULARIZERS)
        else:
            middle = (*_INITIALIZERS, "unit_forget_bias", *_REGULARIZERS)
            middle = (*middle, "activity_regularizer")
        return (*keys, *middle, *_CONSTRAINTS, *tail)


class GRUCell(_Cell):
    """One step of GRU.

    z, r = sigmoid, g = tanh (gates in the order z, r, g); the reset gate r multiplies
    h @ recurrent (reset_after) or h; output = h' = z * h + (1 - z) * g.

    Args:
        units: size of the output and of the state.
        activation: of g. Default "tanh".
        recurrent_activation: of the gates. Default "sigmoid".
        use_bias: whether to add a bias. Default True.
        kernel_initializer: of the kernel (features, 3 * units).
        recurrent_initializer: of the recurrent kernel (units, 3 * units).
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        recurrent_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        kernel_constraint: name, Constraint or None.
        recurrent_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        dropout: fraction of the inputs that is dropped in training.
        recurrent_dropout: the same for the state.
        reset_after: whether r multiplies after the product with the recurrent kernel;
            the bias then has a row for the input and one for the state. Default True.
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...

    Source: Cho et al., 2014 (arXiv:1406.1078), versions 3 and 1.
    """

    _gates = 3
    _name_in_layer = "gru_cell"

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = bool(reset_after)

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, Any]:
        """Return the output and the new state (the same)."""
        state = as_list(states)[0]
        x = self._dropped(inputs, self.dropout, "x", training)
        h = self._dropped(state, self.recurrent_dropout, "h", training)
        bias = None if self.bias is None else self.bias.value
        own: Any = None  # the bias of the state
        if bias is not None and self.reset_after:
            bias, own = bias[0], bias[1]
        recurrent = self.recurrent_kernel.value
        x_z, x_r, x_g = self._projected(x, self.kernel.value, bias, 3)
        gate, act = self.recurrent_activation, self.activation
        if self.reset_after:
            h_z, h_r, h_g = self._projected(h, recurrent, own, 3)
            r = gate(_core.add(x_r, h_r))
            h_g = _core.mul(r, h_g)
        else:
            h_z, h_r = self._projected(h, recurrent, None, 2)
            r = gate(_core.add(x_r, h_r))
            h_g = _core.matmul(_core.mul(r, h[2]), recurrent[:, 2 * self.units :])
        z = gate(_core.add(x_z, h_z))
        g = act(_core.add(x_g, h_g))
        y = _core.add(_core.mul(z, state), _core.mul(_core.sub(1.0, z), g))
        return y, [y] if isinstance(states, list | tuple) else y

    @classmethod
    def _config_keys(cls, cell: bool) -> tuple[str, ...]:
        keys = ("units", "activation", "recurrent_activation", "use_bias")
        between = () if cell else ("activity_regularizer",)
        tail = ("dropout", "recurrent_dropout", "reset_after", "seed")
        middle = (*_INITIALIZERS, *_REGULARIZERS, *between, *_CONSTRAINTS)
        return (*keys, *middle, *tail)


class StackedRNNCells(Layer):
    """Cells one behind the other that act as one.

    Args:
        cells: list of cells.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, cells: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for cell in cells:
            for what in ("call", "state_size"):
                if not hasattr(cell, what):
                    raise ValueError(
                        f"StackedRNNCells: every cell needs {what!r}, got {cell!r}"
                    )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """Sizes of the states of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """Size of the last cell's output."""
        return output_size_of(self.cells[-1])

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Return the initial states of each cell."""
        states = []
        for cell in self.cells:
            own = initial_state_of(cell, batch_size, self.dtype)
            has_own = hasattr(cell, "get_initial_state")
            plain = not has_own and not isinstance(cell.state_size, list | tuple)
            states.append(own[0] if plain else own)
        return states

    def build(self, input_shape: Any) -> None:
        """Build the cells."""
        shape = tuple(input_shape)
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell._build_once(shape)
            shape = (shape[0], output_size_of(cell))

    def _hold_masks(self, held: bool) -> None:
        for cell in self.cells:
            if hasattr(cell, "_hold_masks"):
                cell._hold_masks(held)

    def call(
        self, inputs: Any, states: Any, training: bool = False, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Run the cells; return the last output and the states of all."""
        new_states = []
        for cell, own in zip(self.cells, states, strict=True):
            listed = isinstance(own, list | tuple)
            inputs, new = call_cell(cell, inputs, as_list(own), training, kwargs)
            new = as_list(new)
            new_states.append(new if listed or len(new) > 1 else new[0])
        result = new_states[0] if len(new_states) == 1 else new_states
        return inputs, result

    def get_config(self) -> dict[str, Any]:
        """Return the cells' configs."""
        from lamella.saving import serialization

        cells = [serialization.serialize_keras_object(cell) for cell in self.cells]
        return {**super().get_config(), "cells": cells}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return the cells that `get_config` described."""
        from lamella.saving import serialization

        config = dict(config)
        cells = [
            serialization.deserialize_keras_object(cell, custom_objects=custom_objects)
            for cell in config.pop("cells")
        ]
        return cls(cells, **config)


def call_cell(
    cell: Any, inputs: Any, states: Any, training: Any, kwargs: Any = None
) -> tuple[Any, Any]:
    """Call a cell, which need not be a Layer."""
    kwargs = dict(kwargs or {})
    if isinstance(cell, Layer) and "training" in cell._call_parameters():
        kwargs["training"] = training
    run = cell if callable(cell) else cell.call
    return run(inputs, states, **kwargs)
