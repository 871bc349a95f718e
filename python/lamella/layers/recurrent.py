"""RNN: a cell run over the steps of sequences."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers import _tree
from lamella.layers._arguments import config_of
from lamella.layers._context import call_context
from lamella.layers.layer import Layer
from lamella.layers.recurrent_cells import (
    StackedRNNCells,
    as_list,
    call_cell,
    initial_state_of,
    output_size_of,
)
from lamella.variable import Variable

__all__ = ["RNN"]


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
        if steps is None and call_context.shapes_only:
            return self._shapes_of_run(x, states, mask, training)
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

    def _shapes_of_run(self, x: Any, states: Any, mask: Any, training: bool) -> Any:
        """Return what has the shapes of `_run` for a number of steps not known yet."""
        one = _core.reshape(x[:, :1], (x.dims[0], 1, *x.dims[2:]))
        mask = None if mask is None else mask[:, 0:1]
        sequence, last, states = self._run(one, states, mask, training)
        if sequence is not None:
            dims = (*x.dims[:2], *sequence.dims[2:])
            sequence = _core.broadcast_to(sequence, dims)
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
