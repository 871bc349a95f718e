"""torch.nn.utils.rnn: sequences of different lengths."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from lamella import _core

from ..create import full
from ..shape import cat, stack
from ..tensor import dtype_of, new_tensor, shape_of, wrap

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
]


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Sequences (length, ...) as one tensor (time, batch, ...), filled up."""
    longest = max(len(s) for s in sequences)
    rows = []
    for s in sequences:
        if len(s) < longest:
            more = full(
                (longest - len(s), *shape_of(s)[1:]), padding_value, dtype=dtype_of(s)
            )
            s = cat([s, more] if padding_side == "right" else [more, s])
        rows.append(s)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded tensor."""
    x = padded if batch_first else padded.transpose(0, 1)
    return [x[i, : int(n)] for i, n in enumerate(lengths)]


class PackedSequence:
    """A batch of sequences of different lengths, as recurrent layers take it."""

    def __init__(self, batch: Any, lengths: Any) -> None:
        self._batch = batch  # (batch, time, ...)
        self._lengths = np.asarray(lengths)

    @property
    def batch_sizes(self) -> Any:
        """How many sequences reach each time."""
        times = np.arange(int(self._lengths.max()))
        return new_tensor((self._lengths[None] > times[:, None]).sum(1))

    @property
    def data(self) -> Any:
        """All steps in a row: those of the first time, of the second, ..."""
        order = np.argsort(-self._lengths, kind="stable")
        rows = [
            (int(b), t)
            for t in range(int(self._lengths.max()))
            for b in order
            if self._lengths[b] > t
        ]
        return self._batch[
            new_tensor([r[0] for r in rows]), new_tensor([r[1] for r in rows])
        ]

    def padded(self) -> tuple[Any, Any]:
        """(batch, time, ...) and which steps count."""
        times = np.arange(shape_of(self._batch)[1])
        return self._batch, _core.from_numpy(times[None] < self._lengths[:, None], True)

    def like(self, batch: Any) -> PackedSequence:
        """Another batch of the same lengths."""
        return PackedSequence(batch, self._lengths)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Takes the lengths of the sequences in a padded tensor down."""
    n = [int(v) for v in lengths]
    if enforce_sorted and any(a < b for a, b in itertools.pairwise(n)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` "
            "is True."
        )
    x = input if batch_first else input.transpose(0, 1)
    return PackedSequence(x[:, : max(n)], n)


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Packs a list of sequences."""
    lengths = [len(s) for s in sequences]
    return pack_padded_sequence(
        pad_sequence(sequences, True), lengths, True, enforce_sorted
    )


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:
    """The padded tensor and the lengths of its sequences."""
    x, mask = sequence.padded()
    shape = shape_of(x)
    mask = _core.reshape(mask, (*shape[:2], *(1,) * (len(shape) - 2)))
    x = wrap(_core.where(mask, x, _core.full((), padding_value, dtype_of(x).name)))
    if total_length is not None and total_length > shape[1]:
        more = full((shape[0], total_length - shape[1], *shape[2:]), padding_value)
        x = cat([x, more], 1)
    lengths = new_tensor(sequence._lengths.astype(np.int64))
    return (x if batch_first else x.transpose(0, 1)), lengths
