"""Nested lists, tuples and dicts of tensors: flatten, rebuild, map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["flatten", "is_plain", "map_structure", "pack"]


def flatten(structure: Any) -> list[Any]:
    """Return the leaves in order; dict entries in the order of their sorted keys."""
    if isinstance(structure, dict):
        return [x for k in sorted(structure) for x in flatten(structure[k])]
    if isinstance(structure, list | tuple):
        return [x for item in structure for x in flatten(item)]
    return [structure]


def map_structure(function: Callable[[Any], Any], structure: Any) -> Any:
    """Return the same structure with `function` applied to every leaf."""
    if isinstance(structure, dict):
        return {k: map_structure(function, v) for k, v in structure.items()}
    if isinstance(structure, list | tuple):
        items = [map_structure(function, v) for v in structure]
        if hasattr(structure, "_fields"):
            return type(structure)(*items)
        return type(structure)(items)
    return function(structure)


def pack(structure: Any, leaves: list[Any]) -> Any:
    """Return `structure` with its leaves replaced, in `flatten`'s order."""
    iterator = iter(leaves)

    def rebuild(node: Any) -> Any:
        if isinstance(node, dict):
            filled = {k: rebuild(node[k]) for k in sorted(node)}
            return {k: filled[k] for k in node}
        if isinstance(node, list | tuple):
            items = [rebuild(v) for v in node]
            if hasattr(node, "_fields"):
                return type(node)(*items)
            return type(node)(items)
        return next(iterator)

    return rebuild(structure)


def is_plain(value: Any) -> bool:
    """Return True for what JSON can hold: None, bool, numbers, text, lists, dicts."""
    if value is None or isinstance(value, bool | int | float | str):
        return True
    if isinstance(value, list | tuple):
        return all(is_plain(v) for v in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    return False
