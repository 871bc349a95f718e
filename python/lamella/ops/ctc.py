"""Connectionist temporal classification: sequences without an alignment.

Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal
classification" (2006), equations 6 to 8, in logarithms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    is_concrete,
    to_float,
    to_tensor,
)
from lamella.ops.shaping import take_along_axis

__all__ = ["ctc_decode", "ctc_loss"]

_NEVER = -1e30  # a logarithm that stands for 0 and has finite differences


def ctc_loss(
    target: Any,
    output: Any,
    target_length: Any,
    output_length: Any,
    mask_index: int = 0,
) -> Tensor:
    """-log of the probability of the labels, summed over all alignments.

    Args:
        target: labels, integers (batch, labels).
        output: logits (batch, time, classes); time and labels must be known sizes.
        target_length: number of labels that count, integers (batch,).
        output_length: number of time steps that count, integers (batch,).
        mask_index: class of the blank.

    Returns:
        (batch,); infinity where no alignment exists.

    Raises:
        ValueError: shapes do not fit, or a concrete label is not a class.
    """
    labels, logits = cast(target, "int32"), to_float(output)
    if labels.ndim != 2 or logits.ndim != 3 or None in logits.shape[1:]:
        raise ValueError(
            "ctc_loss: expected target (batch, labels) and output (batch, time, "
            f"classes) of known sizes, got {labels.shape} and {logits.shape}"
        )
    count, (time, classes) = labels.shape[1], logits.shape[1:]
    if count is None or time is None or classes is None:
        raise ValueError(f"ctc_loss: target must have a known size, got {labels.shape}")
    lengths = cast(target_length, "int32")
    if is_concrete(labels, lengths):
        counts = np.arange(count) < np.asarray(lengths).reshape(-1, 1)
        used = np.asarray(labels)[np.broadcast_to(counts, (labels.shape[0], count))]
        if used.size and (used.min() < 0 or used.max() >= classes):
            raise ValueError(
                f"ctc_loss: labels must be between 0 and {classes - 1}, got "
                f"{int(used.min())} to {int(used.max())}"
            )
    steps = _core.expand_dims(cast(output_length, "int32"), -1)

    # blank, label, blank, label, ..., blank
    spread = _core.pad(
        _core.expand_dims(labels, -1), [(0, 0), (0, 0), (1, 0)], mask_index
    )
    states = 2 * count + 1
    path = _core.reshape(spread, (labels.dims[0], states - 1))
    path = _core.pad(path, [(0, 0), (0, 1)], mask_index)
    two_ago = _core.pad(path[:, : states - 2], [(0, 0), (2, 0)], mask_index)
    may_skip = _core.logical_and(
        _core.not_equal(path, mask_index), _core.not_equal(path, two_ago)
    )
    chosen = _core.one_hot(path, classes, logits.dtype)
    scores = _core.log_softmax(logits, -1)
    scores = _core.matmul(scores, _core.transpose(chosen, (0, 2, 1)))  # (b, t, states)

    start = convert_to_tensor(
        np.where(np.arange(states) < 2, 0.0, _NEVER), logits.dtype
    )
    alpha = scores[:, 0] + start
    for t in range(1, time):
        one = _core.pad(alpha[:, : states - 1], [(0, 0), (1, 0)], _NEVER)
        two = _core.pad(alpha[:, : states - 2], [(0, 0), (2, 0)], _NEVER)
        two = _core.where(may_skip, two, _NEVER)
        moved = _core.logsumexp(_core.stack([alpha, one, two], 0), 0) + scores[:, t]
        alpha = _core.where(_core.less(t, steps), moved, alpha)

    last = _core.expand_dims(lengths * 2, -1)
    place = convert_to_tensor(np.arange(states, dtype=np.int32))
    ends = _core.logical_and(
        _core.less_equal(place, last), _core.greater_equal(place, last - 1)
    )
    total = _core.logsumexp(_core.where(ends, alpha, _NEVER), -1)
    return _core.where(_core.less(total, 0.1 * _NEVER), math.inf, _core.neg(total))


def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Tensor, Tensor]:
    """Label sequences from the output of a network trained with `ctc_loss`.

    Args:
        inputs: logits (batch, time, classes).
        sequence_lengths: number of time steps that count, integers (batch,).
        strategy: "greedy" (the largest class of each step) or "beam_search" (the most
            probable labels; concrete tensors only).
        beam_width: number of prefixes that the beam search keeps.
        top_paths: number of results of the beam search.
        merge_repeated: whether greedy decoding merges a class that repeats.
        mask_index: class of the blank.

    Returns:
        (labels, scores): int32 (paths, batch, time), filled with -1 at the end, and
        (batch, paths): for greedy minus the sum of the largest logits, for the beam
        search the logarithms of the probabilities.

    Raises:
        ValueError: unknown strategy, or a traced beam search.
    """
    x = to_float(inputs)
    lengths = cast(sequence_lengths, "int32")
    if x.ndim != 3 or None in x.shape[1:]:
        raise ValueError(
            "ctc_decode: expected inputs (batch, time, classes) of known sizes, got "
            f"inputs.shape={x.shape}"
        )
    if strategy == "greedy":
        return _greedy(x, lengths, merge_repeated, mask_index)
    if strategy != "beam_search":
        raise ValueError(
            "ctc_decode: strategy must be 'greedy' or 'beam_search', got "
            f"strategy={strategy!r}"
        )
    if not is_concrete(x, lengths):
        raise ValueError("ctc_decode: the beam search cannot be traced; use 'greedy'")
    return _beam_search(
        _core.log_softmax(x, -1).numpy(),
        lengths.numpy(),
        beam_width,
        top_paths,
        mask_index,
    )


def _greedy(
    x: Tensor, lengths: Tensor, merge_repeated: bool, mask_index: int
) -> tuple[Tensor, Tensor]:
    time = int(x.shape[1] or 0)
    place = convert_to_tensor(np.arange(time, dtype=np.int32))
    over = _core.greater_equal(place, _core.expand_dims(lengths, -1))
    labels = _core.where(over, mask_index, _core.argmax(x, -1))
    scores = _core.where(over, 0.0, _core.max(x, -1))
    blank = _core.equal(labels, mask_index)
    if merge_repeated:
        same = _core.equal(labels[:, 1:], labels[:, :-1])
        blank = _core.logical_or(blank, _core.pad(same, [(0, 0), (1, 0)], False))
    labels = _core.where(blank, -1, labels)
    order = _core.argsort(_core.where(blank, time, place), -1)
    labels = take_along_axis(labels, order, -1)
    return _core.expand_dims(labels, 0), _core.neg(_core.sum(scores, 1, True))


def _beam_search(
    scores: np.ndarray, lengths: np.ndarray, width: int, paths: int, blank: int
) -> tuple[Tensor, Tensor]:
    batch, time, classes = scores.shape
    labels = np.full((paths, batch, time), -1, np.int32)
    best = np.full((batch, paths), -np.inf, scores.dtype)
    for row in range(batch):
        # prefix: logarithms of its probability with a blank at the end, and without
        beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
        for step in scores[row, : lengths[row]].astype(float):
            grown: dict[tuple[int, ...], list[float]] = {}

            def add(
                prefix: tuple[int, ...], end: int, p: float, to: Any = grown
            ) -> None:
                entry = to.setdefault(prefix, [-math.inf, -math.inf])
                entry[end] = float(np.logaddexp(entry[end], p))

            for prefix, (closed, open_) in beams.items():
                whole = float(np.logaddexp(closed, open_))
                add(prefix, 0, whole + step[blank])
                for k in range(classes):
                    if k == blank:
                        continue
                    repeats = bool(prefix) and prefix[-1] == k
                    if repeats:
                        add(prefix, 1, open_ + step[k])
                    add((*prefix, k), 1, (closed if repeats else whole) + step[k])
            ranked = sorted(
                grown.items(), key=lambda e: -np.logaddexp(e[1][0], e[1][1])
            )
            beams = {k: (v[0], v[1]) for k, v in ranked[:width]}
        for i, (prefix, ends) in enumerate(list(beams.items())[:paths]):
            labels[i, row, : len(prefix)] = prefix
            best[row, i] = np.logaddexp(*ends)
    return to_tensor(convert_to_tensor(labels)), convert_to_tensor(best)
