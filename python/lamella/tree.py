"""Nested lists, tuples and dicts as trees: Keras's `keras.tree`.

A node is a list, tuple, named tuple, deque or dict (also OrderedDict and
defaultdict); everything else, None too, is a leaf. The items of a dict come in the
order of their sorted keys, those of an OrderedDict in their own.
"""

from __future__ import annotations

import collections
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]

_DICTS = (dict, collections.OrderedDict, collections.defaultdict)


class MAP_TO_NONE:
    """What a function given to `traverse` returns to put None into the result."""


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def is_nested(structure: Any) -> bool:
    """Return True for a node, False for a leaf.

    Example:
        >>> is_nested([1]), is_nested("text"), is_nested(None)
        (True, False, False)
    """
    kind = type(structure)
    return kind in (list, tuple, collections.deque, *_DICTS) or _is_named_tuple(
        structure
    )


def _items(node: Any) -> list[tuple[Any, Any]]:
    """Return the (key, child) pairs of a node in order."""
    if isinstance(node, dict):
        keys = list(node)
        if not isinstance(node, collections.OrderedDict):
            try:
                keys = sorted(keys)
            except TypeError:  # keys of several types: in their own order
                keys = sorted(keys, key=lambda k: (type(k).__qualname__, str(k)))
        return [(k, node[k]) for k in keys]
    return list(enumerate(node))


def _rebuild(node: Any, children: Iterable[Any]) -> Any:
    """Return a node like `node` with other children, given in order."""
    children = list(children)
    if isinstance(node, dict):
        found = dict(zip((k for k, _ in _items(node)), children, strict=True))
        ordered = [(k, found[k]) for k in node]
        if isinstance(node, collections.defaultdict):
            return collections.defaultdict(node.default_factory, ordered)
        return type(node)(ordered)
    if _is_named_tuple(node):
        return type(node)(*children)
    if isinstance(node, collections.deque):
        return collections.deque(children, maxlen=node.maxlen)
    return type(node)(children)


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """Return the structure with what `func` returns for nodes and leaves.

    Args:
        func: called with each node and leaf. None: go on (or keep the leaf);
            `MAP_TO_NONE`: put None; anything else replaces the node.
        structure: any structure.
        top_down: whether nodes come before their children. Default True.

    Raises:
        TypeError: if `func` is not callable.

    Example:
        >>> traverse(lambda x: x + 1 if isinstance(x, int) else None, [1, (2, "a")])
        [2, (3, 'a')]
    """
    if not callable(func):
        raise TypeError(f"traverse: func must be callable, got {func!r}")

    def below(node: Any) -> Any:
        if not is_nested(node):
            return node
        return _rebuild(node, [traverse(func, c, top_down) for _, c in _items(node)])

    if top_down:
        result = func(structure)
        if result is None:
            return below(structure)
    else:
        structure = below(structure)
        result = func(structure)
        if result is None:
            return structure
    return None if result is MAP_TO_NONE else result


def _leaves(structure: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    if not is_nested(structure):
        yield path, structure
        return
    for key, child in _items(structure):
        yield from _leaves(child, (*path, key))


def flatten(structure: Any) -> list[Any]:
    """Return the leaves in order.

    Example:
        >>> flatten({"b": 1, "a": [2, (3, None)]})
        [2, 3, None, 1]
    """
    return [leaf for _, leaf in _leaves(structure)]


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Return (path, leaf) pairs in order; a path is the keys and indices to the leaf.

    Example:
        >>> flatten_with_path({"a": [1, 2]})
        [(('a', 0), 1), (('a', 1), 2)]
    """
    return list(_leaves(structure))


def _same_kind(a: Any, b: Any) -> bool:
    """Return True if two nodes have the same type and keys."""
    if isinstance(a, _DICTS) and isinstance(b, _DICTS):
        return a.keys() == b.keys()
    return type(a) is type(b) and len(a) == len(b)


def _mismatch(name: str, a: Any, b: Any) -> ValueError:
    return ValueError(
        f"{name}: the structures are not nested in the same way: {a!r} against {b!r}"
    )


def _map(
    name: str, func: Callable[..., Any], structures: tuple[Any, ...], up_to: bool
) -> Any:
    first = structures[0]
    if not is_nested(first):
        if not up_to:
            for other in structures[1:]:
                if is_nested(other):
                    raise _mismatch(name, first, other)
        return func(*structures)
    columns = [[child for _, child in _items(first)]]
    for other in structures[1:]:
        if not is_nested(other) or not _same_kind(first, other):
            raise _mismatch(name, first, other)
        if isinstance(first, dict):
            columns.append([other[k] for k, _ in _items(first)])
        else:
            columns.append([child for _, child in _items(other)])
    return _rebuild(
        first, [_map(name, func, c, up_to) for c in zip(*columns, strict=True)]
    )


def map_structure(
    func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True
) -> Any:
    """Return the structure of `func`'s results for the leaves.

    Args:
        func: called with one leaf of each structure.
        *structures: one or more, nested in the same way.
        none_is_leaf: whether `func` sees None; else None stays. Default True.

    Raises:
        TypeError: if `func` is not callable.
        ValueError: without structures, or if they differ.

    Example:
        >>> map_structure(lambda x, y: x + y, [1, (2,)], [10, (20,)])
        [11, (22,)]
    """
    if not callable(func):
        raise TypeError(f"map_structure: func must be callable, got {func!r}")
    if not structures:
        raise ValueError("map_structure: at least one structure must be given")

    def skipping_none(*leaves: Any) -> Any:
        if leaves[0] is not None:
            return func(*leaves)
        if any(leaf is not None for leaf in leaves):
            raise ValueError(
                f"map_structure: some leaves are None, others are not: {leaves}"
            )
        return None

    chosen = func if none_is_leaf else skipping_none
    return _map("map_structure", chosen, structures, up_to=False)


def map_structure_up_to(
    shallow_structure: Any, func: Callable[..., Any], *structures: Any
) -> Any:
    """Return `func` of what the structures have at the leaves of a shallow one.

    Example:
        >>> map_structure_up_to((None, None), len, ([1, 2], [3]))
        (2, 1)
    """
    if not structures:
        raise ValueError("map_structure_up_to: at least one structure must be given")
    return _map(
        "map_structure_up_to",
        lambda _, *rest: func(*rest),
        (shallow_structure, *structures),
        up_to=True,
    )


def assert_same_structure(a: Any, b: Any, check_types: bool | None = None) -> None:
    """Check that two structures are nested in the same way.

    Raises:
        ValueError: if they differ in the type, length or keys of a node.
    """
    if check_types is not None:
        warnings.warn(
            "assert_same_structure: check_types has no effect; leave it out, or use "
            "assert_same_paths for a check that takes lists for tuples",
            DeprecationWarning,
            stacklevel=2,
        )
    _map("assert_same_structure", lambda *_: None, (a, b), up_to=False)


def assert_same_paths(a: Any, b: Any) -> None:
    """Check that two structures have leaves at the same paths; types may differ.

    Raises:
        ValueError: naming the paths that only one of them has.
    """
    paths_a = {path for path, _ in _leaves(a)}
    paths_b = {path for path, _ in _leaves(b)}
    if paths_a != paths_b:
        raise ValueError(
            "assert_same_paths: `a` and `b` do not have the same paths; only in `a`: "
            f"{paths_a - paths_b or 'none'}, only in `b`: {paths_b - paths_a or 'none'}"
        )


def pack_sequence_as(structure: Any, flat_sequence: Iterable[Any]) -> Any:
    """Return the structure with its leaves replaced, in the order of `flatten`.

    Raises:
        ValueError: for another number of leaves.

    Example:
        >>> pack_sequence_as({"b": 0, "a": [0, 0]}, [1, 2, 3])
        {'b': 3, 'a': [1, 2]}
    """
    flat = list(flat_sequence)
    count = len(flatten(structure))
    if len(flat) != count:
        raise ValueError(
            f"pack_sequence_as: the structure has {count} leaves, got {len(flat)}"
        )
    counter = itertools.count()

    def fill(node: Any) -> Any:
        if not is_nested(node):
            return flat[next(counter)]
        return _rebuild(node, [fill(child) for _, child in _items(node)])

    return fill(structure)


def lists_to_tuples(structure: Any) -> Any:
    """Return the structure with tuples for lists.

    Example:
        >>> lists_to_tuples([1, {"a": [2]}])
        (1, {'a': (2,)})
    """
    return traverse(
        lambda x: tuple(x) if isinstance(x, list) else None, structure, top_down=False
    )


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """Return the structure of `func`'s results for shapes (tuples of int and None).

    Example:
        >>> map_shape_structure(lambda s: s[1:], {"x": (None, 3)})
        {'x': (3,)}
    """
    if not callable(func):
        raise TypeError(f"map_shape_structure: func must be callable, got {func!r}")
    is_shape = isinstance(structure, list | tuple) and all(
        x is None or isinstance(x, int) for x in structure
    )
    if is_shape or not is_nested(structure):
        return func(structure)
    return _rebuild(
        structure, [map_shape_structure(func, c) for _, c in _items(structure)]
    )
