"""What all derivatives share: fresh inputs, the walk back, the form of the result."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core
from lamella.layers._tree import flatten, map_structure, pack

__all__ = [
    "Point",
    "Recording",
    "as_tensor",
    "cut",
    "derivatives_of",
    "find_gradients",
    "gradients",
    "matching",
    "parts_of",
    "tensor",
    "zeros_like",
]


class Recording:
    """While one is entered, derivatives taken inside can be differentiated again."""

    open = 0  # transformations and tapes around the present place

    def __enter__(self) -> None:
        Recording.open += 1
        self._mode = _core.enable_grad()
        self._mode.__enter__()

    def __exit__(self, *exception: object) -> None:
        Recording.open -= 1
        self._mode.__exit__(*exception)


# ---------------------------------------------------------------- inputs


def as_tensor(x: Any) -> _core.Tensor:
    """A tensor of whatever a function returned."""
    return x if isinstance(x, _core.Tensor) else _core.tensor(x)


def tensor(value: Any, where: str) -> _core.Tensor:
    """A floating tensor; what NumPy would hold in float64 stays in float64."""
    if hasattr(value, "assign"):
        value = value.value  # a Variable
    if not isinstance(value, _core.Tensor):
        array = np.asarray(value)
        if array.dtype.kind in "iub":
            array = array.astype("float64")
        if array.dtype.kind != "f":
            raise TypeError(
                f"{where}: expected numbers to differentiate by, got {value!r}"
            )
        value = _core.from_numpy(np.array(array, order="C"))
    if not value.dtype.startswith("float"):
        raise TypeError(
            f"{where}: expected a floating dtype, got {value.dtype}; cast it first"
        )
    return value


def fresh(value: Any, where: str) -> _core.Tensor:
    """A tensor of its own with the same values, for gradients to end at.

    Inside another derivative it stays connected to `value`. Two views rather than one:
    a reshape to the same shape would be the same tensor.
    """
    t = tensor(value, where)
    graph = _core.current_graph()
    if graph is not None and not t.is_symbolic:
        t = graph.constant(t)
    if not t.is_symbolic and not t.requires_grad:
        leaf = t.detach()
        leaf.requires_grad = True
        return leaf
    return _core.squeeze(_core.expand_dims(t, 0), 0)


def zeros_like(x: _core.Tensor) -> _core.Tensor:
    """Zeros of the tensor's shape and dtype, traced if it is."""
    if x.is_symbolic:
        return _core.full(x.dims, 0.0, x.dtype)
    return _core.from_numpy(np.zeros(x.shape, x.dtype))


def matching(given: Any, like: list[_core.Tensor], where: str) -> list[_core.Tensor]:
    """The leaves of a structure as tensors of the shapes and dtypes of `like`."""
    leaves = flatten(given)
    if len(leaves) != len(like):
        raise ValueError(f"{where}: expected {len(like)} array(s), got {len(leaves)}")
    result = []
    for leaf, t in zip(leaves, like, strict=True):
        leaf = _core.cast(tensor(leaf, where), t.dtype)
        if tuple(leaf.shape) != tuple(t.shape):
            raise ValueError(
                f"{where}: expected shape {tuple(t.shape)}, got {tuple(leaf.shape)}"
            )
        result.append(leaf)
    return result


class Point:
    """The arguments of a function, those to differentiate by made fresh."""

    def __init__(
        self,
        who: str,
        args: Sequence[Any],
        argnums: int | Sequence[int] | None,
        variables: Any = None,
    ) -> None:
        self.argnums = argnums
        self.args = list(args)
        self.structures: list[Any] = []
        self.leaves: list[_core.Tensor] = []
        numbers = () if argnums is None else argnums
        for number in [numbers] if isinstance(numbers, int) else list(numbers):
            if not -len(args) <= number < len(args):
                raise ValueError(
                    f"{who}: argnums={argnums} asks for positional argument {number}, "
                    f"got {len(args)} of them"
                )
            where = f"{who}: argument {number}"
            structure = map_structure(
                functools.partial(fresh, where=where), args[number]
            )
            self.args[number] = structure
            self.structures.append(structure)
            self.leaves += flatten(structure)
        self.by_variables = variables is not None
        for variable in _variables_of(variables):
            if not variable.trainable:
                raise ValueError(
                    f"{who}: variable {variable.name!r} is not trainable; set "
                    "trainable=True to differentiate by it"
                )
            self.leaves.append(variable.value)

    def arrange(self, leaves: list[Any]) -> Any:
        """Values for `leaves` in the form the caller gave the arguments in."""
        parts = []
        for structure in self.structures:
            n = len(flatten(structure))
            parts.append(pack(structure, leaves[:n]))
            leaves = leaves[n:]
        of_arguments = parts[0] if isinstance(self.argnums, int) else tuple(parts)
        if not self.by_variables:
            return of_arguments
        return leaves if self.argnums is None else (of_arguments, leaves)


def _variables_of(variables: Any) -> list[Any]:
    if variables is None:
        return []
    if hasattr(variables, "trainable_variables"):
        return list(variables.trainable_variables)
    return [variables] if hasattr(variables, "assign") else list(variables)


# ---------------------------------------------------------------- the walk


def find_gradients(
    roots: Sequence[_core.Tensor],
    inputs: Sequence[_core.Tensor],
    root_gradients: Sequence[_core.Tensor] | None = None,
    retain: bool = False,
) -> list[_core.Tensor | None]:
    """d(sum of roots * root_gradients)/d(inputs); None where roots do not depend."""
    used = [i for i, r in enumerate(roots) if r.is_symbolic or r.requires_grad]
    known = [x for x in inputs if x.is_symbolic or x.requires_grad]
    if not used or not known:
        return [None] * len(inputs)
    found = _core.gradients(
        [roots[i] for i in used],
        known,
        None if root_gradients is None else [root_gradients[i] for i in used],
        retain_graph=retain,
        create_graph=Recording.open > 0,
    )
    by_input = {id(x): g for x, g in zip(known, found, strict=True)}
    return [by_input.get(id(x)) for x in inputs]


def gradients(
    roots: Sequence[_core.Tensor],
    inputs: Sequence[_core.Tensor],
    root_gradients: Sequence[_core.Tensor] | None = None,
    retain: bool = False,
) -> list[_core.Tensor]:
    """As `find_gradients`, with zeros where the roots do not depend on an input."""
    found = find_gradients(roots, inputs, root_gradients, retain)
    return [
        zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)
    ]


def cut(x: Any) -> Any:
    """A tensor without its tape, unless a derivative around may still need it."""
    if isinstance(x, _core.Tensor) and not Recording.open and not x.is_symbolic:
        return x.detach()
    return x


# ---------------------------------------------------------------- all derivatives


def parts_of(root: _core.Tensor, batched: bool, who: str) -> list[_core.Tensor]:
    """One number for each reverse pass that a Jacobian takes.

    Each element of the result; `batched`: each element of a row, summed over rows.
    """
    if batched and root.ndim == 0:
        raise ValueError(f"{who}: batched=True expects rows, got a single number")
    shape = root.shape[1:] if batched else root.shape
    if any(n is None for n in shape):
        raise ValueError(
            f"{who}: a result of shape {tuple(root.shape)} has an unknown number of "
            "elements while it is traced; use batched=True for rows"
        )
    n = int(np.prod(shape, dtype=int))
    if batched:
        rows = _core.reshape(root, (-1, n))
        return [_core.sum(rows[:, i]) for i in range(n)]
    flat = _core.reshape(root, (n,))
    return [flat[i] for i in range(n)]


def derivatives_of(
    root: _core.Tensor,
    parts: list[_core.Tensor],
    inputs: Sequence[_core.Tensor],
    batched: bool,
    who: str,
) -> list[_core.Tensor]:
    """The Jacobian of `root`, cut into `parts`, for each input."""
    passes = [gradients([part], inputs, retain=True) for part in parts]
    result = []
    for i, x in enumerate(inputs):
        if batched and (x.ndim == 0 or x.shape[0] != root.shape[0]):
            raise ValueError(
                f"{who}: batched=True expects as many rows in the argument as in the "
                f"result, got shapes {tuple(x.shape)} and {tuple(root.shape)}"
            )
        shape = (*root.dims, *(x.dims[1:] if batched else x.dims))
        if not passes:
            result.append(_core.full(shape, 0.0, x.dtype))
            continue
        rows = _core.stack([p[i] for p in passes], 1 if batched else 0)
        result.append(_core.reshape(rows, shape))
    return result
