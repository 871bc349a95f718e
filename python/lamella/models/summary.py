"""The table that `model.summary()` prints, in the form that Keras prints it."""

from __future__ import annotations

import itertools
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from lamella.layers import _tree
from lamella.layers._shapes import is_shape
from lamella.layers.layer import Layer
from lamella.layers.recurrent import RNN
from lamella.models.functional import Functional
from lamella.models.sequential import Sequential as SequentialModel

__all__ = ["count_params", "print_summary", "readable_size"]

_WORD = re.compile(r"\s*\S+\s*")
_BOX = {
    "top": ("┏", "━", "┳", "┓"),
    "head": ("┃", "┃"),
    "below_head": ("┡", "━", "╇", "┩"),
    "row": ("│", "│"),
    "between": ("├", "─", "┼", "┤"),
    "bottom": ("└", "─", "┴", "┘"),
}
_ASCII = str.maketrans("┏━┳┓┃┡╇┩│├─┼┤└┴┘…", "+=++|+++|+-+++++.")


def count_params(variables: Iterable[Any]) -> int:
    """Return the number of scalars."""
    return sum(math.prod(v.shape) for v in variables)


def _bytes(variables: Iterable[Any]) -> float:
    unique = {id(v): v for v in variables}.values()
    return float(sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in unique))


def readable_size(size: float) -> str:
    """Return a number of bytes as "85.54 KB"."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


def _shape_text(shape: Any) -> str:
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{k}: {_shape_text(v)}" for k, v in shape.items()) + "}"
    if isinstance(shape, list | tuple) and any(
        isinstance(s, list | tuple | dict) for s in shape
    ):
        parts = ", ".join(_shape_text(s) for s in shape)
        return f"[{parts}]" if isinstance(shape, list) else f"({parts})"
    return "(" + ", ".join(str(s) for s in shape) + ")"


def _output_shape(layer: Layer, in_graph: bool) -> str:
    nodes = layer.__dict__.get("_inbound_nodes")
    if nodes:
        shape = _tree.map_structure(lambda t: tuple(t.shape), nodes[-1].outputs)
    elif in_graph:
        shape = layer.__dict__.get("_graph_shape")
    else:
        shape = _computed_shape(layer)
    if shape is None:
        return "?"
    flat = _shapes(shape)
    if len(flat) == 1:
        return _shape_text(flat[0])
    if isinstance(shape, tuple) and isinstance(layer, RNN):
        shape = list(shape)
    return _shape_text(shape)


def _computed_shape(layer: Layer) -> Any:
    """Return what a layer that no graph holds says about the shape it was built for.

    As in Keras, layers without a `build`, and layers of users without a
    `compute_output_shape`, say nothing.
    """
    if isinstance(layer, Functional | SequentialModel):
        return layer.output_shape if layer.built else None
    own = type(layer).__module__.startswith("lamella.")
    silent = type(layer).build is Layer.build or (
        not own and type(layer).compute_output_shape is Layer.compute_output_shape
    )
    if silent or layer._build_shape is None:
        return None
    return layer.compute_output_shape(layer._build_shape)


def _shapes(structure: Any) -> list[Any]:
    """Return the shapes in a structure of shapes."""
    if is_shape(structure):
        return [structure]
    values = structure.values() if isinstance(structure, dict) else structure
    return [s for v in values for s in _shapes(v)]


# -- layout of text in columns, as the library that Keras uses for it does --


def _divide(text: str, width: int) -> list[str]:
    """Break text at words; a word that is too long stays in one piece."""
    offsets: list[int] = []
    used = 0
    position = 0
    match = _WORD.match(text, position)
    while match is not None:
        start, end = match.span()
        word = match.group(0)
        length = len(word.rstrip())
        if width - used >= length:
            used += len(word)
        elif length > width:
            if start:
                offsets.append(start)
            used = len(word)
        elif used and start:
            offsets.append(start)
            used = len(word)
        else:
            used += len(word)
        match = _WORD.match(text, end)
    bounds = [0, *offsets, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


def _cell(text: str, width: int, justify: str) -> list[str]:
    """Return the lines of a cell, each exactly `width` wide."""
    lines = []
    for line in _divide(text, width):
        excess = len(line) - width
        if excess > 0:
            blanks = len(line) - len(line.rstrip())
            line = line[: len(line) - min(blanks, excess)]
        if justify != "left":
            line = line.rstrip()
        if len(line) > width:
            line = line[: width - 1] + "…"
        if justify == "right":
            line = line.rjust(width)
        elif justify == "center":
            line = " " * ((width - len(line)) // 2) + line
            line = line.ljust(width)
        else:
            line = line.ljust(width)
        lines.append(line)
    return lines


def _reduce(total: int, values: list[int]) -> list[int]:
    """Take `total` away from the values, as evenly as whole numbers allow."""
    count, left, result = len(values), total, []
    for value in values:
        take = min(value, round(left / count)) if count else 0
        result.append(value - take)
        left -= take
        count -= 1
    return result


def _distribute(total: int, values: list[int]) -> list[int]:
    """Spread `total` over the values in proportion to them."""
    weight, left, result = sum(values), total, []
    for value in values:
        give = math.ceil(value * left / weight) if weight > 0 else left
        result.append(give)
        weight -= value
        left -= give
    return result


def _table(
    header: list[str],
    rows: list[list[str]],
    widths: list[int],
    justify: list[str],
    line_length: int,
) -> list[str]:
    columns = [w + 2 for w in widths]
    room = line_length - len(columns) - 1
    if sum(columns) > room:
        columns = _reduce(sum(columns) - room, columns)
    elif sum(columns) < room:
        extra = _distribute(room - sum(columns), columns)
        columns = [c + e for c, e in zip(columns, extra, strict=True)]

    def rule(name: str) -> str:
        left, line, cross, right = _BOX[name]
        return left + cross.join(line * c for c in columns) + right

    def row(cells: list[str], name: str) -> list[str]:
        outer, inner = _BOX[name]
        blocks = [
            _cell(text, max(c - 2, 0), j)
            for text, c, j in zip(cells, columns, justify, strict=True)
        ]
        height = max(len(b) for b in blocks)
        if name == "head":  # titles stand at the bottom, other cells at the top
            blocks = [
                [" " * (c - 2)] * (height - len(b)) + b
                for b, c in zip(blocks, columns, strict=True)
            ]
        lines = []
        for i in range(height):
            parts = [
                f" {b[i]} " if i < len(b) else " " * c
                for b, c in zip(blocks, columns, strict=True)
            ]
            lines.append(outer + inner.join(parts) + outer)
        return lines

    lines = [rule("top"), *row(header, "head"), rule("below_head")]
    for i, cells in enumerate(rows):
        if i:
            lines.append(rule("between"))
        lines += row(cells, "row")
    lines.append(rule("bottom"))
    return lines


# -- what the table says ----------------------------------------------------


def _class_name(layer: Any) -> str:
    return getattr(layer, "class_name", type(layer).__name__)


def _fields(
    layer: Layer, prefix: str, connected: Any, trainable: bool, in_graph: bool
) -> list[str]:
    if not layer.built:
        params = "0 (unbuilt)"
    else:
        params = f"{layer.count_params():,}"
    fields = [
        f"{prefix}{layer.name} ({_class_name(layer)})",
        _output_shape(layer, in_graph),
        params,
    ]
    if connected is not None:
        fields.append(connected(layer))
    if trainable:
        fields.append(("Y" if layer.trainable else "N") if layer.weights else "-")
    return fields


def _rows(
    layer: Layer,
    level: int,
    expand: bool,
    connected: Any,
    trainable: bool,
    in_graph: bool,
) -> list[list[str]]:
    prefix = "   " * level + "└ " if level else ""
    rows = [_fields(layer, prefix, connected, trainable, in_graph)]
    if expand:
        below = isinstance(layer, Functional | SequentialModel)
        for inner in getattr(layer, "layers", []):
            rows += _rows(inner, level + 1, expand, connected, trainable, below)
    return rows


def _selected(layers: Sequence[Layer], layer_range: Any) -> Sequence[Layer]:
    if layer_range is None:
        return layers
    if len(layer_range) != 2 or not all(isinstance(p, str) for p in layer_range):
        raise ValueError(
            "summary: layer_range must be two names or patterns, got "
            f"layer_range={layer_range!r}"
        )
    found = [
        [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        for pattern in layer_range
    ]
    if not found[0] or not found[1]:
        raise ValueError(
            f"summary: no layer matches layer_range={layer_range!r}; the layers are "
            + ", ".join(layer.name for layer in layers)
        )
    first, last = found
    if min(first) > max(last):
        return layers[min(last) : max(first) + 1]
    return layers[min(first) : max(last) + 1]


def summary_text(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> str:
    """Return the table and the lines below it.

    Raises:
        ValueError: if a column would be narrower than 4 characters.
    """
    connected = getattr(model, "_summary_connections", None)
    connected = connected() if connected is not None else None
    layers = getattr(model, "_summary_layers", model.layers)
    if connected is None:
        width = 88
        positions = list(positions or (0.45, 0.80, 1.0))
        header = ["Layer (type)", "Output Shape", "Param #"]
        justify = ["left", "left", "right"]
    else:
        width = 108
        positions = list(positions or (0.3, 0.56, 0.74, 1.0))
        header = ["Layer (type)", "Output Shape", "Param #", "Connected to"]
        justify = ["left", "left", "right", "left"]
    if show_trainable:
        width += 12
        positions = [p * 0.90 for p in positions] + [1.0]
        header.append("Trainable")
        justify.append("center")
    if len(positions) < len(header):
        raise ValueError(
            f"summary: positions needs {len(header)} entries for the columns, got "
            f"{len(positions)}"
        )
    screen = shutil.get_terminal_size().columns
    line_length = line_length or min(width, screen - 4)
    widths, current = [], 0
    for position in positions:
        size = int(position * line_length) - current
        if size < 4:
            raise ValueError(
                f"summary: line_length={line_length} and positions={positions} leave "
                "less than 4 characters for a column"
            )
        widths.append(size)
        current += size
    widths = widths[: len(header)]
    in_graph = isinstance(model, Functional | SequentialModel)
    rows: list[list[str]] = []
    for layer in _selected(layers, layer_range):
        rows += _rows(layer, 0, expand_nested, connected, show_trainable, in_graph)
    # What is wider than the screen is cut, and the title broken, as Keras does.
    title = _divide(f'Model: "{model.name}"', screen)
    lines = [t[i : i + screen] for t in title for i in range(0, len(t), screen)]
    lines += [
        line[:screen] for line in _table(header, rows, widths, justify, line_length)
    ]
    trained, frozen = model.trainable_weights, model.non_trainable_weights
    parts = [
        ("Trainable params", count_params(trained), _bytes(trained)),
        ("Non-trainable params", count_params(frozen), _bytes(frozen)),
    ]
    optimizer = model.optimizer if model.compiled else None
    if optimizer is not None and optimizer.built:
        state = optimizer.variables
        # Keras counts steps in 32 bits.
        excess = sum(4.0 for v in state if v.dtype == "int64")
        n_bytes = _bytes(state) - excess
        parts.append(("Optimizer params", count_params(state), n_bytes))
    total = ("Total params", sum(p[1] for p in parts), math.fsum(p[2] for p in parts))
    for what, count, n_bytes in [total, *parts]:
        lines.append(f" {what}: {count:,} ({readable_size(n_bytes)})")
    return "\n".join(lines) + "\n"


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> None:
    """Print the summary, or call `print_fn` with its text.

    Args:
        model: the model.
        line_length: width of the table; default 88, less on narrow screens; what is
            wider than the screen is cut off.
        positions: where the columns end, as fractions of the width.
        print_fn: called once with the whole text.
        expand_nested: also show the layers of nested models.
        show_trainable: add a column that says which layers are trained.
        layer_range: (first, last) names or patterns of layers to show.
    """
    text = summary_text(
        model, line_length, positions, expand_nested, show_trainable, layer_range
    )
    if print_fn is not None:
        print_fn(text)
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = text.translate(_ASCII)  # a terminal without box characters
    sys.stdout.write(text)
    sys.stdout.flush()
