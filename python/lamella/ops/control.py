"""Branches, loops over tensors, and gradients of functions.

Eagerly these are Python's own. A Graph is traced once: there a branch on a traced
value runs both sides and chooses with `where`, and a loop is unrolled, so the number
of its rounds must be known.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import cast, is_concrete, to_tensor
from lamella.ops.elementwise import where
from lamella.ops.shaping import axis_of, flip

__all__ = [
    "associative_scan",
    "cond",
    "custom_gradient",
    "fori_loop",
    "jvp",
    "map",
    "scan",
    "switch",
    "vectorize",
    "vectorized_map",
    "while_loop",
]


# -- structures: dicts, lists and tuples with tensors as leaves


def _leaves(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return [leaf for v in x.values() for leaf in _leaves(v)]
    if isinstance(x, list | tuple):
        return [leaf for v in x for leaf in _leaves(v)]
    return [] if x is None else [x]


def _each(f: Callable[..., Any], first: Any, *others: Any) -> Any:
    """f over the leaves of structures that are alike."""
    if first is None:
        return None
    if isinstance(first, dict):
        return {k: _each(f, first[k], *(o[k] for o in others)) for k in first}
    if isinstance(first, list | tuple):
        rows = [_each(f, *row) for row in zip(first, *others, strict=True)]
        return type(first)(*rows) if hasattr(first, "_fields") else type(first)(rows)
    return f(first, *others)


def _choose(pred: Any, yes: Any, no: Any) -> Any:
    return _each(lambda a, b: where(pred, a, b), yes, no)


def _rows(name: str, xs: Any, length: int | None = None) -> int:
    sizes = {to_tensor(x).shape[0] for x in _leaves(xs)}
    if length is not None:
        return int(length)
    if len(sizes) != 1 or None in sizes:
        raise ValueError(
            f"{name}: the size of the first axis must be known, and the same for all "
            f"tensors, got sizes {sorted(sizes, key=str)}"
        )
    return int(sizes.pop() or 0)


def _stack(name: str, rows: list[Any]) -> Any:
    if not rows:
        raise ValueError(f"{name}: there must be at least one round")
    return _each(lambda *r: _core.stack([to_tensor(x) for x in r], 0), *rows)


# -- branches


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


# -- loops


def fori_loop(
    lower: int, upper: int, body_fun: Callable[[int, Any], Any], init_val: Any
) -> Any:
    """init_val after body_fun(i, value) for i from lower to upper - 1.

    Raises:
        ValueError: a bound is a traced tensor.
    """
    bounds = []
    for bound in (lower, upper):
        if not is_concrete(bound):
            raise ValueError(
                "fori_loop: the bounds must be numbers inside a traced model; use "
                "while_loop with maximum_iterations for a traced bound"
            )
        bounds.append(int(bound))
    value = init_val
    for i in range(*bounds):
        value = body_fun(i, value)
    return value


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """loop_vars after body(*loop_vars) as long as cond(*loop_vars) holds.

    In a traced model a condition that depends on traced values needs
    `maximum_iterations`: so many rounds are laid out, and those after the end of the
    loop change nothing.

    Args:
        cond: takes the loop variables, returns a boolean scalar.
        body: takes the loop variables, returns the next ones.
        loop_vars: a tuple or list of tensors, or one tensor.
        maximum_iterations: upper limit of the number of rounds.

    Raises:
        ValueError: a traced condition without maximum_iterations.
    """
    several = isinstance(loop_vars, list | tuple)
    values = tuple(loop_vars) if several else (loop_vars,)
    values = _each(to_tensor, values)
    done = 0
    going: Any = None  # traced: whether the loop has not ended before
    while maximum_iterations is None or done < maximum_iterations:
        holds = to_tensor(cond(*values))
        if is_concrete(holds) and going is None:
            if not bool(holds):
                break
        elif maximum_iterations is None:
            raise ValueError(
                "while_loop: inside a traced model a condition on traced values needs "
                "maximum_iterations: the number of rounds must be known"
            )
        else:
            going = holds if going is None else _core.logical_and(going, holds)
        found = body(*values)
        found = tuple(found) if isinstance(found, list | tuple) else (found,)
        found = _each(to_tensor, found)
        values = found if going is None else _choose(going, found, values)
        done += 1
    return values if several else values[0]


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """f applied to each element along the first axis, the results stacked.

    Raises:
        ValueError: the size of the first axis is not known.
    """
    n = _rows("map", xs)
    xs = _each(to_tensor, xs)
    return _stack("map", [f(_each(lambda x, i=i: x[i], xs)) for i in range(n)])


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """Same as `map`."""
    return map(function, elements)


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """A loop that carries a value along the first axis and stacks what it emits.

    Args:
        f: takes (carry, x), returns (next carry, y).
        init: first carry.
        xs: structure of tensors; x is its slice along the first axis. None: no x.
        length: number of rounds where xs does not tell.
        reverse: go from the last slice to the first.
        unroll: accepted; a traced loop is always unrolled.

    Returns:
        (last carry, ys stacked along a new first axis).

    Raises:
        TypeError: f cannot be called.
        ValueError: neither xs nor length, or a bad unroll.
    """
    if not callable(f):
        raise TypeError(f"scan: f must be a callable, got {type(f).__name__}")
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(f"scan: unroll must be a positive int, got unroll={unroll!r}")
    if xs is None and length is None:
        raise ValueError("scan: xs or length must be given")
    n = int(length or 0) if xs is None else _rows("scan", xs, length)
    xs, carry = _each(to_tensor, xs), _each(to_tensor, init)
    nothing = _each(lambda x: _core.mul(x, 0), carry)
    emitted = []
    for i in range(n - 1, -1, -1) if reverse else range(n):
        carry, y = f(carry, _each(lambda x, i=i: x[i], xs))
        emitted.append(nothing if y is None else y)
    return carry, _stack("scan", emitted[::-1] if reverse else emitted)


def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Running results of an associative function along an axis.

    The rounds double the distance (Hillis and Steele), so that n elements take about
    log2(n) calls of f on whole tensors.

    Args:
        f: takes two structures as elems, returns one; works on any number of rows.
        elems: structure of tensors with the same size along the axis.
        reverse: start at the end.
        axis: the axis.
    """
    if not callable(f):
        raise TypeError(
            f"associative_scan: f must be a callable, got {type(f).__name__}"
        )
    values = _each(to_tensor, elems)
    rank = _leaves(values)[0].ndim
    axis = axis_of("associative_scan", axis, rank)
    sizes = {x.shape[axis] for x in _leaves(values)}
    n = sizes.pop()
    if sizes or n is None:
        raise ValueError(
            "associative_scan: the axis must have one known size in all tensors, got "
            f"{[x.shape for x in _leaves(values)]}, axis={axis}"
        )
    if reverse:
        values = _each(lambda x: flip(x, axis), values)

    def cut(x: Tensor, start: int | None, stop: int | None) -> Tensor:
        return x[(slice(None),) * axis + (slice(start, stop),)]

    step = 1
    while step < n:
        near = _each(lambda x, s=step: cut(x, s, None), values)
        far = _each(lambda x, s=step: cut(x, None, n - s), values)
        joined = _each(to_tensor, f(far, near))
        values = _each(
            lambda x, y, s=step: _core.concat(
                [cut(x, None, s), cast(y, x.dtype)], axis
            ),
            values,
            joined,
        )
        step *= 2
    return _each(lambda x: flip(x, axis), values) if reverse else values


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None
) -> Callable[..., Any]:
    """A function that maps pyfunc over the leading axes of its arguments.

    Args:
        pyfunc: takes tensors of few axes, returns a structure of tensors.
        excluded: positions of arguments that are passed on as they are.
        signature: the axes that pyfunc takes, such as "(m,n),(n)->(m)"; default: none,
            pyfunc takes scalars. The axes before them broadcast against each other.

    Raises:
        ValueError: the signature cannot be read.
    """
    held = set(excluded or ())
    inner: list[int] | None = None
    if signature is not None:
        left, arrow, _ = signature.replace(" ", "").partition("->")
        if not arrow or re.fullmatch(r"(\([\w,]*\),?)*", left) is None:
            raise ValueError(
                "vectorize: signature must read like '(m,n),(n)->(m)', got "
                f"signature={signature!r}"
            )
        inner = [len(re.findall(r"\w+", part)) for part in re.findall(r"\(.*?\)", left)]

    def vectorized(*args: Any) -> Any:
        mapped = [i for i in range(len(args)) if i not in held]
        ranks = [0] * len(mapped) if inner is None else inner
        if len(ranks) != len(mapped):
            raise ValueError(
                f"vectorize: signature={signature!r} has {len(ranks)} arguments, got "
                f"{len(mapped)}"
            )
        tensors = [to_tensor(args[i]) for i in mapped]
        leads = [t.dims[: t.ndim - r] for t, r in zip(tensors, ranks, strict=True)]
        if any(not isinstance(n, int) for lead in leads for n in lead):
            raise ValueError(
                "vectorize: the sizes of the leading axes must be known, got "
                f"{[t.shape for t in tensors]}"
            )
        lead = np.broadcast_shapes(*leads)
        spread = [
            _core.reshape(
                _core.broadcast_to(t, (*lead, *t.dims[t.ndim - r :])),
                (math.prod(lead), *t.dims[t.ndim - r :]),
            )
            for t, r in zip(tensors, ranks, strict=True)
        ]
        rows = []
        for row in range(math.prod(lead)):
            given = list(args)
            for i, t in zip(mapped, spread, strict=True):
                given[i] = t[row]
            rows.append(pyfunc(*given))
        return _each(
            lambda x: _core.reshape(x, (*lead, *x.dims[1:])), _stack("vectorize", rows)
        )

    return vectorized


# -- gradients of functions


def _differs(x: Tensor) -> bool:
    """Whether x may depend on what is differentiated (traced: not known yet)."""
    return bool(x.requires_grad) or not is_concrete(x)


def _zeros(x: Tensor) -> Tensor:
    """Zeros that can be differentiated by: a leaf of the tape, a node of the trace."""
    if not is_concrete(x):
        return _core.mul(_core.where(_core.isfinite(x), x, 0.0), 0.0)
    leaf = _core.full(x.dims, 0, x.dtype)
    leaf.requires_grad = True
    return leaf


def _transposed(
    pull: Callable[[list[Tensor]], list[Any]], out: list[Tensor], along: list[Tensor]
) -> list[Tensor]:
    """The derivative that `pull` is the vector-Jacobian product of, times `along`.

    `pull` is linear in its argument, so differentiating it there transposes it.
    """
    at = [_zeros(x) for x in out]
    pulled = pull(at)
    pairs = [
        (p, t)
        for p, t in zip(pulled, along, strict=True)
        if isinstance(p, Tensor) and _differs(p)
    ]
    if not pairs:
        return [_core.full(x.dims, 0, x.dtype) for x in out]
    found = _core.gradients(
        [p for p, _ in pairs], at, [cast(t, p.dtype) for p, t in pairs], False, True
    )
    return [
        _core.full(x.dims, 0, x.dtype) if g is None else g
        for g, x in zip(found, out, strict=True)
    ]


def jvp(
    fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> Any:
    """fun(*primals) and its derivative along tangents.

    Args:
        fun: takes tensors, returns a structure of tensors (with has_aux: a pair of one
            and something that is passed on).
        primals: tuple or list of the arguments.
        tangents: tuple or list of the directions, as primals.
        has_aux: whether fun returns (outputs, aux).

    Returns:
        (outputs, derivative), and aux with has_aux.

    Raises:
        ValueError: primals and tangents do not match.
    """
    from lamella import derivatives
    from lamella.derivatives import Recording

    if len(primals) != len(tangents):
        raise ValueError(
            "jvp: expected as many tangents as primals, got "
            f"{len(primals)} primals and {len(tangents)} tangents"
        )
    at = [to_tensor(p) for p in primals]
    along = [to_tensor(t) for t in tangents]
    with Recording():  # as all of ops: what comes out can be differentiated on
        return derivatives.jvp(fun, at, along, has_aux)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a function that brings its own gradient.

    Args:
        f: takes tensors, returns (outputs, grad). grad gets the gradients of the
            outputs, `grad(*upstream)`, or, where it has a later argument of that name,
            `grad(*args, upstream=...)`; it returns one gradient for each argument, is
            linear in upstream, and written with ops.

    Returns:
        A function that returns the outputs only.
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        inputs = [to_tensor(a) for a in args]
        held = [_core.stop_gradient(x) for x in inputs]
        outputs, grad = f(*held, **kwargs)
        leaves = [_core.stop_gradient(to_tensor(x)) for x in _leaves(outputs)]
        names = inspect.signature(grad).parameters
        named = "upstream" in names and next(iter(names)) != "upstream"

        def pull(at: list[Tensor]) -> list[Any]:
            if named:
                found = grad(*held, upstream=at[0] if len(at) == 1 else tuple(at))
            else:
                found = grad(*at)
            return list(found) if isinstance(found, list | tuple) else [found]

        # The value of this term is 0; its derivative is what grad says.
        moved = [x - h for x, h in zip(inputs, held, strict=True)]
        slopes = iter(_transposed(pull, leaves, moved))
        whole = iter([y + next(slopes) for y in leaves])
        return _each(lambda _: next(whole), outputs)

    return wrapped
