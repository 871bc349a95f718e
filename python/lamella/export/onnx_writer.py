"""Writes nodes, constants and sizes of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Writer", "load_onnx"]


def load_onnx() -> Any:
    """Import the package onnx.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'export(format="onnx") needs the package onnx: pip install onnx'
        ) from error
    return onnx


class Writer:
    """Collects the nodes and constants of one graph.

    Args:
        opset: version of ONNX's operators.
    """

    def __init__(self, opset: int) -> None:
        self.onnx = load_onnx()
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.symbols: dict[str, tuple[str, int]] = {}  # "s0" -> (input, axis)
        self._sizes: dict[str, str] = {}
        self._count = 0

    def name(self, hint: str) -> str:
        """Return a new name of a value; the dot keeps it apart from names of layers."""
        self._count += 1
        return f"{hint}.{self._count}"

    def constant(self, value: Any, dtype: Any = None, name: str | None = None) -> str:
        """Add an array as a constant and return its name."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        array = array.reshape(np.shape(value))
        key = name or self.name("constant")
        self.arrays[key] = array
        self.initializers.append(self.onnx.numpy_helper.from_array(array, key))
        return key

    def ints(self, *values: int) -> str:
        """Add a list of int64 and return its name."""
        return self.constant(np.array(values, dtype="int64"))

    def add(
        self, kind: str, inputs: list[str], outputs: int | list[str] = 1, **attrs: Any
    ) -> Any:
        """Add a node; return the name of its output, or a list of names."""
        names = outputs
        if isinstance(names, int):
            names = [self.name(kind.lower()) for _ in range(names)]
        node = self.onnx.helper.make_node(kind, inputs, names, **attrs)
        self.nodes.append(node)
        return names[0] if len(names) == 1 else names

    # -- sizes ---------------------------------------------------------------

    def size(self, dim: int | str) -> str:
        """Return a 1-element int64 tensor that holds a size.

        Args:
            dim: a number, or lamella's text for an unknown size: a sum of products of
                numbers, symbols (s0, s1, ...) and floored quotients in brackets.
        """
        key = str(dim)
        if key not in self._sizes:
            if isinstance(dim, int):
                self._sizes[key] = self.ints(dim)
            else:
                value, end = self._sum(dim, 0)
                assert end == len(dim)
                self._sizes[key] = value
        return self._sizes[key]

    def _sum(self, text: str, at: int) -> tuple[str, int]:
        total, at = self._product(text, at)
        while at < len(text) and text[at] == "+":
            term, at = self._product(text, at + 1)
            total = self.add("Add", [total, term])
        return total, at

    def _product(self, text: str, at: int) -> tuple[str, int]:
        factors: list[str] = []
        number, at = _number(text, at)
        while at < len(text) and text[at] == "*":
            if text[at + 1] == "[":
                top, at = self._sum(text, at + 2)
                below, at = _number(text, at + 1)
                factors.append(self.add("Div", [top, self.ints(below)]))
                at += 1
            else:
                index, at = _number(text, at + 2)
                factors.append(self._symbol(f"s{index}"))
        value = self.ints(number) if number != 1 or not factors else factors.pop()
        for factor in factors:
            value = self.add("Mul", [value, factor])
        return value, at

    def _symbol(self, symbol: str) -> str:
        if symbol not in self._sizes:
            name, axis = self.symbols[symbol]
            self._sizes[symbol] = self.add("Shape", [name], start=axis, end=axis + 1)
        return self._sizes[symbol]

    def shape(self, dims: list[Any]) -> str:
        """Return an int64 tensor with sizes, some of which are unknown."""
        if all(isinstance(d, int) for d in dims):
            return self.ints(*dims)
        return self.add("Concat", [self.size(d) for d in dims], axis=0)


def _number(text: str, at: int) -> tuple[int, int]:
    end = at + 1
    while end < len(text) and text[end].isdigit():
        end += 1
    return int(text[at:end]), end
