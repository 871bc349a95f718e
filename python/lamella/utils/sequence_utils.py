"""Sequences of different lengths as one array."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["pad_sequences"]


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Return sequences as rows of one array, filled up and cut to one length.

    Args:
        sequences: list of lists (or arrays), of steps of the same shape.
        maxlen: length of the rows; None: that of the longest sequence.
        dtype: of the result; `object` for texts of any length.
        padding: "pre" (default) or "post": where short sequences are filled up.
        truncating: "pre" (default) or "post": where long sequences are cut.
        value: what they are filled up with. Default 0.

    Returns:
        Array of shape (number of sequences, maxlen, ...).

    Raises:
        ValueError: if an item is no sequence, the steps differ in shape, or an
            argument is unknown.

    Example:
        >>> pad_sequences([[1], [2, 3]], padding="post").tolist()
        [[1, 0], [2, 3]]
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError("pad_sequences: sequences must be a list of sequences")
    for name, choice in (("padding", padding), ("truncating", truncating)):
        if choice not in ("pre", "post"):
            raise ValueError(
                f"pad_sequences: {name} must be 'pre' or 'post', got {choice!r}"
            )
    lengths = []
    for sequence in sequences:
        if not hasattr(sequence, "__len__"):
            raise ValueError(
                f"pad_sequences: sequences must be a list of sequences, got the item "
                f"{sequence!r}"
            )
        lengths.append(len(sequence))
    shape = next((np.asarray(s).shape[1:] for s in sequences if len(s)), ())
    if maxlen is None:
        maxlen = max(lengths, default=0)
    holds_text = dtype is object or np.dtype(dtype).kind in "USO"
    if isinstance(value, str) and not holds_text:
        raise ValueError(
            f"pad_sequences: dtype={dtype!r} cannot hold value={value!r}; use "
            "dtype=object for texts"
        )
    result = np.full((len(lengths), maxlen, *shape), value, dtype=dtype)
    for i, sequence in enumerate(sequences):
        if not len(sequence):
            continue
        kept = sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen]
        row = np.asarray(kept, dtype=dtype)
        if row.shape[1:] != shape:
            raise ValueError(
                f"pad_sequences: the steps of sequence {i} have shape {row.shape[1:]}, "
                f"those before {shape}"
            )
        if padding == "post":
            result[i, : len(row)] = row
        else:
            result[i, -len(row) :] = row
    return result
