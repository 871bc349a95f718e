"""Derivatives of functions as functions, in JAX's idiom."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from lamella import _core
from lamella.derivatives._walk import (
    Point,
    Recording,
    as_tensor,
    cut,
    derivatives_of,
    fresh,
    gradients,
    matching,
    parts_of,
    zeros_like,
)
from lamella.layers._tree import flatten, map_structure, pack

__all__ = ["grad", "hessian", "jacobian", "jvp", "value_and_grad", "vjp"]

Function = Callable[..., Any]


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _which(argnums: Any, variables: Any) -> int | tuple[int, ...] | None:
    if argnums is None:
        return 0 if variables is None else None
    return argnums if isinstance(argnums, int) else tuple(argnums)


def value_and_grad(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    variables: Any = None,
) -> Function:
    """Return a function that gives (value, gradient) of a scalar function.

    Args:
        fun: returns a number (a tensor with one element). May call layers and models.
        argnums: which positional arguments to differentiate by: an int, or a tuple
            of ints (then the gradient is a tuple). Default: 0, or none if
            `variables` are given. An argument may be a nested list, tuple or dict.
        has_aux: fun returns (value, auxiliary); the result is
            ((value, auxiliary), gradient).
        variables: Variables, or a layer or model (its trainable variables), to
            differentiate by; the gradient is a list in their order, behind that of
            the arguments if `argnums` are given, too.

    Returns:
        A function of fun's arguments. Python numbers and integers count as float64;
        arrays and tensors keep their dtype. Gradients have the shapes of what they
        belong to; what fun does not depend on has gradient zero.

    Raises:
        ValueError: fun's value is not one number; an argument is missing.
        TypeError: an argument to differentiate by is not a number.

    Reference:
        jax.value_and_grad, mlx.core.value_and_grad.

    Example:
        >>> import lamella
        >>> value, slope = lamella.value_and_grad(lambda x: x**3)(2.0)
        >>> float(value), float(slope)
        (8.0, 12.0)
    """
    which = _which(argnums, variables)

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        who = f"grad of {_name(fun)}"
        with Recording():
            point = Point(who, args, which, variables)
            out = fun(*point.args, **kwargs)
        aux = None
        if has_aux:
            if not isinstance(out, tuple) or len(out) != 2:
                raise ValueError(
                    f"{who}: has_aux=True expects (value, auxiliary), got {type(out)}"
                )
            out, aux = out
        root = _scalar(out, who)
        slopes = point.arrange(gradients([root], point.leaves))
        value = cut(root)
        if has_aux:
            return (value, map_structure(cut, aux)), slopes
        return value, slopes

    return wrapped


def _scalar(out: Any, who: str) -> _core.Tensor:
    if not isinstance(out, _core.Tensor):
        out = _core.tensor(out)
    if out.size != 1:
        raise ValueError(
            f"{who}: expected one number, got shape {tuple(out.shape)}; sum or "
            "average it, or ask for the jacobian"
        )
    return out


def grad(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    variables: Any = None,
) -> Function:
    """Return a function that gives the gradient of a scalar function.

    Arguments and errors as of `value_and_grad`; nests for higher derivatives. With
    `has_aux` the result is (gradient, auxiliary).

    Example:
        >>> import lamella
        >>> float(lamella.grad(lamella.grad(lambda x: x**4))(2.0))
        48.0
    """
    both = value_and_grad(fun, argnums, has_aux, variables=variables)

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, slopes = both(*args, **kwargs)
        return (slopes, value[1]) if has_aux else slopes

    return wrapped


def vjp(fun: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return fun(*primals) and the function that pulls cotangents back.

    Args:
        fun: any function of tensors (or nested structures) to tensors (ditto).
        *primals: where; numbers, arrays, tensors or structures of them.
        has_aux: fun returns (value, auxiliary), and vjp (value, pullback, auxiliary).

    Returns:
        (value, pullback). pullback(cotangent), cotangent of value's structure and
        shapes, gives a tuple with the gradient of sum(value * cotangent) for each
        primal; it may be called any number of times.

    Reference:
        jax.vjp.

    Example:
        >>> import lamella
        >>> value, pullback = lamella.vjp(lambda x, y: x * y, 3.0, 4.0)
        >>> [float(g) for g in pullback(1.0)]
        [4.0, 3.0]
    """
    who = f"vjp of {_name(fun)}"
    with Recording():
        point = Point(who, primals, range(len(primals)))
        out = fun(*point.args)
        out, aux = out if has_aux else (out, None)
    roots = [as_tensor(r) for r in flatten(out)]

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        ends = matching(cotangent, roots, f"{who}: cotangent")
        found: tuple[Any, ...] = point.arrange(
            gradients(roots, point.leaves, ends, retain=True)
        )
        return found

    value = pack(out, [cut(r) for r in roots])
    return (value, pullback, aux) if has_aux else (value, pullback)


def jvp(
    fun: Function,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """Return fun(*primals) and its derivative along the tangents.

    The derivative of the pulled-back gradient by the cotangent, which is linear in
    it: two reverse passes rather than a forward pass of its own.

    Args:
        fun: any function of tensors to tensors (nested structures allowed).
        primals: tuple of the arguments.
        tangents: tuple of directions, of the primals' structure and shapes.
        has_aux: fun returns (value, auxiliary), and jvp (value, derivative, auxiliary).

    Returns:
        (value, derivative), both of the structure of fun's value.

    Reference:
        jax.jvp; J. Townsend, "A new trick for calculating Jacobian vector products"
        (2017).

    Example:
        >>> import lamella
        >>> value, slope = lamella.jvp(lambda x: x**2, (3.0,), (1.0,))
        >>> float(value), float(slope)
        (9.0, 6.0)
    """
    who = f"jvp of {_name(fun)}"
    if not isinstance(primals, list | tuple) or not isinstance(tangents, list | tuple):
        raise TypeError(f"{who}: expected primals and tangents as tuples")
    with Recording():
        point = Point(who, primals, range(len(primals)))
        out = fun(*point.args)
        out, aux = out if has_aux else (out, None)
        roots = [as_tensor(r) for r in flatten(out)]
        along = matching(list(tangents), point.leaves, f"{who}: tangents")
        weights = [fresh(zeros_like(r), who) for r in roots]
        pulled = gradients(roots, point.leaves, weights)
    slopes = gradients(pulled, weights, along)
    value = pack(out, [cut(r) for r in roots])
    derivative = pack(out, slopes)
    return (value, derivative, aux) if has_aux else (value, derivative)


def jacobian(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    *,
    variables: Any = None,
    batched: bool = False,
) -> Function:
    """Return a function that gives all first derivatives of a function's results.

    Args:
        fun: returns a tensor or a nested structure of tensors.
        argnums: what to differentiate by, as for `value_and_grad`.
        variables: ditto.
        batched: row i of the result depends on row i of the arguments alone, as in
            models (batch normalization in training excepted); then the result holds
            only those derivatives, at the cost of one row.

    Returns:
        A function of fun's arguments. For a result of shape (r...) and an argument of
        shape (a...) it gives shape (r..., a...); `batched`: (b, r..., a...) from
        (b, r...) and (b, a...). One reverse pass an element of the result.

    Raises:
        ValueError: `batched` with variables or with unequal numbers of rows.

    Reference:
        jax.jacrev, tf.GradientTape.batch_jacobian.

    Example:
        >>> import lamella
        >>> lamella.jacobian(lambda x: x * x)([1.0, 2.0]).numpy().tolist()
        [[2.0, 0.0], [0.0, 4.0]]
    """
    which = _which(argnums, variables)
    if batched and variables is not None:
        raise ValueError(
            "jacobian: batched=True has no meaning for variables, which all rows share"
        )

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        who = f"jacobian of {_name(fun)}"
        with Recording():
            point = Point(who, args, which, variables)
            out = fun(*point.args, **kwargs)
            roots = [as_tensor(r) for r in flatten(out)]
            parts = [parts_of(r, batched, who) for r in roots]
        blocks = [
            point.arrange(derivatives_of(r, p, point.leaves, batched, who))
            for r, p in zip(roots, parts, strict=True)
        ]
        return pack(out, blocks)

    return wrapped


def hessian(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    *,
    variables: Any = None,
    batched: bool = False,
) -> Function:
    """Return a function that gives all second derivatives of a scalar function.

    Args:
        fun: returns one number; `batched`: one a row, shape (b,) or (b, 1).
        argnums: what to differentiate by, as for `value_and_grad`. With a tuple the
            result is nested: by i, then by j.
        variables: ditto; the result is a list of lists.
        batched: as for `jacobian`: (b, a..., a...) from an argument (b, a...).

    Returns:
        A function of fun's arguments; shape (a..., a...) for an argument (a...).

    Reference:
        jax.hessian.

    Example:
        >>> import lamella
        >>> h = lamella.hessian(lambda x: x[0] ** 2 * x[1])
        >>> h([1.0, 3.0]).numpy().tolist()
        [[6.0, 2.0], [2.0, 0.0]]
    """

    def total(*args: Any, **kwargs: Any) -> Any:
        y = fun(*args, **kwargs)
        return _core.sum(y) if batched else y

    functools.update_wrapper(total, fun, assigned=("__name__",))
    inner = grad(total, argnums, variables=variables)
    return jacobian(inner, argnums, variables=variables, batched=batched)
