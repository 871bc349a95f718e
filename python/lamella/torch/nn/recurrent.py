"""RNN, LSTM, GRU and their cells."""

from __future__ import annotations

import math
from typing import Any

from lamella import _core

from ..reduce import one_axis
from ..tensor import dtype_of, shape_of, unwrap, wrap
from . import _activations as F
from .init import new_weight
from .module import Module

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"]


def _zrh(w: Any, axis: int = 0) -> Any:
    """PyTorch's gate order r, z, n as the core's z, r, n."""
    n = w.shape[axis] // 3
    first = [0] * len(w.shape)

    def part(i: int) -> Any:
        starts, stops = list(first), list(w.shape)
        starts[axis], stops[axis] = i * n, (i + 1) * n
        return _core.slice(w, starts, stops, [1] * len(first))

    return _core.concat([part(1), part(0), part(2)], axis)


class _Recurrent(Module):
    """Layers of recurrent cells over whole sequences."""

    _gates = 1
    _mode = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if proj_size:
            raise ValueError(
                f"{type(self).__name__}: lamella.torch does not have proj_size"
            )
        self.input_size, self.hidden_size, self.num_layers = (
            input_size,
            hidden_size,
            num_layers,
        )
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional = bidirectional
        bound = 1 / math.sqrt(hidden_size)
        rows = self._gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * (1 + bidirectional)
            for suffix in self._suffixes(layer):
                setattr(
                    self, f"weight_ih_{suffix}", new_weight((rows, width), bound, dtype)
                )
                setattr(
                    self,
                    f"weight_hh_{suffix}",
                    new_weight((rows, hidden_size), bound, dtype),
                )
                if bias:
                    setattr(
                        self, f"bias_ih_{suffix}", new_weight((rows,), bound, dtype)
                    )
                    setattr(
                        self, f"bias_hh_{suffix}", new_weight((rows,), bound, dtype)
                    )

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}"] + ([f"l{layer}_reverse"] if self.bidirectional else [])

    def flatten_parameters(self) -> None:
        """Nothing to do."""

    def _run(self, x: Any, state: tuple[Any, ...], suffix: str) -> tuple[Any, ...]:
        raise NotImplementedError

    def _weights(self, suffix: str) -> tuple[Any, Any, Any, Any]:
        own = self._parameters
        return (
            _core.transpose(own[f"weight_ih_{suffix}"]),
            _core.transpose(own[f"weight_hh_{suffix}"]),
            own.get(f"bias_ih_{suffix}"),
            own.get(f"bias_hh_{suffix}"),
        )

    def _start(self, hx: Any, single: bool, batch: int, x: Any) -> list[Any]:
        count = self.num_layers * (1 + self.bidirectional)
        if hx is None:
            zero = _core.full((count, batch, self.hidden_size), 0.0, dtype_of(x).name)
            return [zero] * (2 if self._mode == "LSTM" else 1)
        states = list(hx) if self._mode == "LSTM" else [hx]
        for h in states:
            wanted = (
                (count, self.hidden_size)
                if single
                else (count, batch, self.hidden_size)
            )
            if tuple(shape_of(h)) != wanted:
                raise RuntimeError(
                    f"Expected hidden size {wanted}, got {list(shape_of(h))}"
                )
        return [_core.expand_dims(h, 1) for h in states] if single else states

    def forward(self, input: Any, hx: Any = None) -> Any:
        from .rnn_utils import PackedSequence

        packed = input if isinstance(input, PackedSequence) else None
        mask = None
        x = input
        if packed is not None:
            x, mask = packed.padded()
        single = len(shape_of(x)) == 2
        if shape_of(x)[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got "
                f"{shape_of(x)[-1]}"
            )
        if single:
            x = _core.expand_dims(x, 0)
        elif packed is None and not self.batch_first:
            x = _core.transpose(x, [1, 0, 2])
        states = self._start(
            hx, single, shape_of(wrap(x))[0], input if packed is None else x
        )
        ends: list[list[Any]] = [[] for _ in states]
        for layer in range(self.num_layers):
            sides = []
            for side, suffix in enumerate(self._suffixes(layer)):
                k = layer * (1 + self.bidirectional) + side
                begin = tuple(
                    _core.reshape(
                        _core.slice(s, [k, 0, 0], [k + 1, *s.shape[1:]], [1, 1, 1]),
                        s.shape[1:],
                    )
                    for s in map(unwrap, states)
                )
                y, *last = self._run(x, begin, suffix, mask)  # type: ignore[call-arg]
                sides.append(_core.flip(y, [1]) if side else y)
                for end, v in zip(ends, last, strict=True):
                    end.append(v)
            x = sides[0] if len(sides) == 1 else _core.concat(sides, -1)
            if self.dropout and self.training and layer + 1 < self.num_layers:
                x = F.dropout(wrap(x), self.dropout)
        if packed is not None:
            y = packed.like(wrap(x))
        elif single:
            y = wrap(_core.squeeze(x, [0]))
        else:
            y = wrap(x if self.batch_first else _core.transpose(x, [1, 0, 2]))
        last = [wrap(_core.stack(e, 0)) for e in ends]
        last = [wrap(_core.squeeze(e, [1])) for e in last] if single else last
        return y, tuple(last) if self._mode == "LSTM" else last[0]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if not self.bias:
            text += f", bias={self.bias}"
        if self.batch_first:
            text += f", batch_first={self.batch_first}"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.bidirectional:
            text += f", bidirectional={self.bidirectional}"
        return text


def _both(a: Any, b: Any) -> Any:
    return None if a is None else _core.add(a, b)


class RNN(_Recurrent):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu.

    Args:
        input_size, hidden_size: features of the input and of the state.
        num_layers: layers on top of each other.
        nonlinearity: "tanh" or "relu".
        bias: whether to add the biases.
        batch_first: (batch, time, features) instead of (time, batch, features).
        dropout: between the layers.
        bidirectional: also from the end to the start.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, *args, **options)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        self.nonlinearity = nonlinearity

    def _run(self, x: Any, state: Any, suffix: str, mask: Any = None) -> Any:
        w, u, bi, bh = self._weights(suffix)
        return _core.simple_rnn(
            x,
            state[0],
            w,
            u,
            _both(bi, bh),
            mask,
            self.nonlinearity,
            suffix.endswith("reverse"),
        )


class LSTM(_Recurrent):
    """Long short-term memory; arguments as RNN, without nonlinearity."""

    _gates = 4
    _mode = "LSTM"

    def _run(self, x: Any, state: Any, suffix: str, mask: Any = None) -> Any:
        w, u, bi, bh = self._weights(suffix)
        return _core.lstm(
            x,
            state[0],
            state[1],
            w,
            u,
            _both(bi, bh),
            mask,
            go_backwards=suffix.endswith("reverse"),
        )


class GRU(_Recurrent):
    """Gated recurrent unit; arguments as RNN, without nonlinearity."""

    _gates = 3
    _mode = "GRU"

    def _run(self, x: Any, state: Any, suffix: str, mask: Any = None) -> Any:
        w, u, bi, bh = self._weights(suffix)
        bias = None if bi is None else _core.stack([_zrh(bi), _zrh(bh)], 0)
        return _core.gru(
            x,
            state[0],
            _zrh(w, 1),
            _zrh(u, 1),
            bias,
            mask,
            reset_after=True,
            go_backwards=suffix.endswith("reverse"),
        )


class _Cell(Module):
    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        bound, rows = 1 / math.sqrt(hidden_size), self._gates * hidden_size
        self.weight_ih = new_weight((rows, input_size), bound, dtype)
        self.weight_hh = new_weight((rows, hidden_size), bound, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(
                name, new_weight((rows,), bound, dtype) if bias else None
            )

    def _zero(self, input: Any) -> Any:
        shape = (*shape_of(input)[:-1], self.hidden_size)
        return wrap(_core.full(shape, 0.0, dtype_of(input).name))

    def _sums(self, input: Any, h: Any) -> tuple[Any, Any]:
        return F.linear(input, self.weight_ih, self.bias_ih), F.linear(
            h, self.weight_hh, self.bias_hh
        )

    def _parts(self, x: Any) -> list[Any]:
        n, axis = self.hidden_size, one_axis(-1, len(shape_of(x)))
        lead = (slice(None),) * axis
        cuts = [(*lead, slice(i * n, (i + 1) * n)) for i in range(self._gates)]
        return [x[cut] for cut in cuts]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias=False"


class RNNCell(_Cell):
    """One step of an RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Applies the module."""
        a, b = self._sums(input, self._zero(input) if hx is None else hx)
        return F.tanh(a + b) if self.nonlinearity == "tanh" else F.relu(a + b)


class LSTMCell(_Cell):
    """One step of an LSTM: (h, c)."""

    _gates = 4

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Applies the module."""
        h, c = (self._zero(input),) * 2 if hx is None else hx
        a, b = self._sums(input, h)
        i, f, g, o = self._parts(a + b)
        c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
        return F.sigmoid(o) * F.tanh(c), c


class GRUCell(_Cell):
    """One step of a GRU."""

    _gates = 3

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Applies the module."""
        h = self._zero(input) if hx is None else hx
        a, b = self._sums(input, h)
        (ra, za, na), (rb, zb, nb) = self._parts(a), self._parts(b)
        z = F.sigmoid(za + zb)
        n = F.tanh(na + F.sigmoid(ra + rb) * nb)
        return (1 - z) * n + z * h
