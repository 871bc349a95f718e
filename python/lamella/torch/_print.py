"""Tensors as text, with PyTorch's layout."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

__all__ = ["set_printoptions", "tensor_text"]


@dataclasses.dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed.

    Args:
        precision: digits after the point (4).
        threshold: number of elements above which the middle is left out (1000).
        edgeitems: how many elements at each end are then shown (3).
        linewidth: characters a line (80).
        profile: "default", "short" or "full" sets all of them.
        sci_mode: True or False forces scientific notation on or off; None decides by
            the values.
    """
    global _options
    new = dataclasses.replace(_PROFILES[profile] if profile else _options)
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    for name, value in given.items():
        if value is not None:
            setattr(new, name, value)
    new.sci_mode = sci_mode
    _options = new


class _Formatter:
    """One width and one notation for all elements."""

    def __init__(self, values: Any) -> None:
        self.floating = values.dtype.kind == "f"
        self.integral = True
        self.scientific = False
        self.width = 1
        values = values.reshape(-1)
        if not self.floating:
            self.width = max((len(str(v)) for v in values.tolist()), default=1)
            return
        finite = values[np.isfinite(values) & (values != 0)]
        if finite.size:
            size = np.abs(finite.astype(np.float64))
            low, high = float(size.min()), float(size.max())
            self.integral = bool((finite == np.ceil(finite)).all())
            ratio = high / low if low else math.inf
            self.scientific = (
                ratio > 1000 or high > 1e8 or (low < 1e-4 and not self.integral)
            )
        if _options.sci_mode is not None:
            self.scientific = _options.sci_mode
        shown = finite.tolist()
        self.width = max([len(self._finite(v)) for v in shown], default=1)

    def _finite(self, v: float) -> str:
        if self.scientific:
            return f"{v:.{_options.precision}e}"
        if self.integral:
            return f"{v:.0f}."
        return f"{v:.{_options.precision}f}"

    def _one(self, v: Any) -> str:
        if not self.floating:
            return str(v)
        return self._finite(v) if math.isfinite(v) else str(v)

    def __call__(self, v: Any) -> str:
        return self._one(v).rjust(self.width)


def _row(values: Any, indent: int, fmt: _Formatter, cut: bool) -> str:
    items = values.tolist()
    edge = _options.edgeitems
    if cut and len(items) > 2 * edge:
        cells = [*map(fmt, items[:edge]), " ...", *map(fmt, items[-edge:])]
    else:
        cells = [*map(fmt, items)]
    # Each element takes its width and a comma with a space.
    per_line = max(1, (_options.linewidth - indent) // max(1, fmt.width + 2))
    lines = [cells[i : i + per_line] for i in range(0, len(cells), per_line)] or [[]]
    return (
        "[" + (",\n" + " " * (indent + 1)).join(", ".join(line) for line in lines) + "]"
    )


def _nested(values: Any, indent: int, fmt: _Formatter, cut: bool) -> str:
    if values.ndim == 0:
        return fmt(values.item())
    if values.ndim == 1:
        return _row(values, indent, fmt, cut)
    edge = _options.edgeitems
    if cut and len(values) > 2 * edge:
        head = [_nested(v, indent + 1, fmt, cut) for v in values[:edge]]
        tail = [_nested(v, indent + 1, fmt, cut) for v in values[-edge:]]
        parts = [*head, "...", *tail]
    else:
        parts = [_nested(v, indent + 1, fmt, cut) for v in values]
    gap = "," + "\n" * (values.ndim - 1) + " " * (indent + 1)
    return "[" + gap.join(parts) + "]"


def _shown(values: Any) -> Any:
    """The elements that appear when the middle is left out."""
    edge = _options.edgeitems
    for axis, n in enumerate(values.shape):
        if n > 2 * edge:
            keep = [*range(edge), *range(n - edge, n)]
            values = np.take(values, keep, axis=axis)
    return values


def tensor_text(values: Any, head: str, default: bool, notes: list[str]) -> str:
    """`head(...)` around the elements.

    Args:
        values: a numpy array.
        head: "tensor(".
        default: whether the dtype needs no mention.
        notes: what follows, such as "requires_grad=True".
    """
    suffixes = []
    if values.size == 0:
        body = "[]"
        if values.ndim != 1:
            suffixes.append(f"size={tuple(values.shape)}")
    else:
        cut = values.size > _options.threshold
        fmt = _Formatter(_shown(values) if cut else values)
        body = _nested(values, len(head), fmt, cut)
    if not default:
        suffixes.append(f"dtype=torch.{values.dtype.name}")
    text = head + body
    last = len(text) - text.rfind("\n") - 1
    for note in [*suffixes, *notes]:
        if last + len(note) + 2 > _options.linewidth:
            text += ",\n" + " " * len(head) + note
            last = len(head) + len(note)
        else:
            text += ", " + note
            last += len(note) + 2
    return text + ")"
