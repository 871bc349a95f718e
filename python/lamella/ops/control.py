"""Branches and loops over tensors.

A Graph is traced once, so branches become `where` and loops are unrolled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamella import _core
from lamella.ops.conversion import is_concrete, to_tensor
from lamella.ops.elementwise import where

__all__ = ["cond", "custom_gradient", "map", "switch", "vectorize", "vectorized_map"]


def _choose(pred: Any, yes: Any, no: Any) -> Any:
    if yes is None and no is None:
        return None
    if isinstance(yes, dict):
        return {k: _choose(pred, yes[k], no[k]) for k in yes}
    if isinstance(yes, list | tuple):
        return type(yes)(_choose(pred, a, b) for a, b in zip(yes, no, strict=True))
    return where(pred, yes, no)


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """true_fn() where pred holds, else false_fn().

    While a Graph is traced both functions are run and the results chosen by `where`:
    they must return the same structure, and must not assign to variables.
    """
    if isinstance(pred, bool):
        return true_fn() if pred else false_fn()
    pred = to_tensor(pred)
    if is_concrete(pred):
        return true_fn() if bool(pred) else false_fn()
    return _choose(pred, true_fn(), false_fn())


def switch(index: Any, branches: Any, *operands: Any) -> Any:
    """The result of branches[index](*operands); index is limited to the branches."""
    index = to_tensor(index)
    last = len(branches) - 1
    if is_concrete(index):
        return branches[min(max(int(index), 0), last)](*operands)
    out = branches[last](*operands)
    for i in range(last - 1, -1, -1):
        out = _choose(_core.less_equal(index, i), branches[i](*operands), out)
    return out


def _leaves(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return [leaf for v in x.values() for leaf in _leaves(v)]
    if isinstance(x, list | tuple):
        return [leaf for v in x for leaf in _leaves(v)]
    return [x]


def _pick(x: Any, i: int) -> Any:
    if isinstance(x, dict):
        return {k: _pick(v, i) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(_pick(v, i) for v in x)
    return to_tensor(x)[i]


def _stack(rows: list[Any]) -> Any:
    first = rows[0]
    if isinstance(first, dict):
        return {k: _stack([r[k] for r in rows]) for k in first}
    if isinstance(first, list | tuple):
        return type(first)(_stack([r[i] for r in rows]) for i in range(len(first)))
    return _core.stack([to_tensor(r) for r in rows], 0)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """f applied to each element along the first axis, the results stacked.

    Raises:
        ValueError: the size of the first axis is not known.
    """
    n = to_tensor(_leaves(xs)[0]).shape[0]
    if n is None:
        raise ValueError("map: the size of the first axis must be known")
    return _stack([f(_pick(xs, i)) for i in range(n)])


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """Same as `map`."""
    return map(function, elements)


def vectorize(pyfunc: Any, *, excluded: Any = None, signature: Any = None) -> Any:
    """A function that applies pyfunc along the first axis of its arguments.

    Raises:
        ValueError: excluded or signature is given.
    """
    if excluded is not None or signature is not None:
        raise ValueError("vectorize: excluded and signature are not supported")

    def vectorized(*args: Any) -> Any:
        return map(lambda row: pyfunc(*row), tuple(args))

    return vectorized


def custom_gradient(f: Any) -> Any:
    """Not supported: gradients come from the ops themselves.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "custom_gradient: not supported; write the function so that its ops have the "
        "wanted gradient, with stop_gradient where needed"
    )
