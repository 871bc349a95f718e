"""Gradients: torch.autograd and the grad modes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from lamella import _core

from ._paths import namespace
from .tensor import Tensor, shape_of, wrap

__all__ = [
    "Function",
    "Variable",
    "backward",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]

is_grad_enabled = _core.is_grad_enabled


class _Mode:
    """A grad mode as context manager and decorator."""

    _enabled = False

    def __init__(self) -> None:
        self._modes: list[Any] = []

    def __new__(cls, *args: Any, **options: Any) -> Any:
        made = super().__new__(cls)
        if cls._bare and len(args) == 1 and callable(args[0]) and not options:
            cls.__init__(made)
            return made(args[0])
        return made

    _bare = True

    def __enter__(self) -> None:
        mode = _core.grad_mode(self._enabled)
        mode.__enter__()
        self._modes.append(mode)

    def __exit__(self, *error: Any) -> None:
        self._modes.pop().__exit__(*error)

    def _again(self) -> Any:
        made = object.__new__(type(self))
        made._modes, made._enabled = [], self._enabled
        return made

    def __call__(self, function: Callable[..., Any]) -> Any:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def stepping(*args: Any, **options: Any) -> Any:
                source = function(*args, **options)
                while True:
                    with self._again():
                        try:
                            item = next(source)
                        except StopIteration:
                            return
                    yield item

            return stepping

        @functools.wraps(function)
        def wrapped(*args: Any, **options: Any) -> Any:
            with self._again():
                return function(*args, **options)

        return wrapped


class no_grad(_Mode):
    """Nothing is recorded inside: `with torch.no_grad():` or `@torch.no_grad()`."""


class enable_grad(_Mode):
    """Operations are recorded inside."""

    _enabled = True


class inference_mode(_Mode):
    """As no_grad; inference_mode(False) records."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._enabled = not mode


class set_grad_enabled(_Mode):
    """Sets whether operations are recorded, at once or for the length of a `with`."""

    _bare = False

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._enabled = bool(mode)
        self._modes.append(_core.grad_mode(self._enabled))
        self._modes[0].__enter__()

    def __enter__(self) -> None:
        pass

    def __call__(self, function: Callable[..., Any]) -> Any:
        """See the base class."""
        self.__exit__()
        return super().__call__(function)


def _listed(x: Any) -> list[Any]:
    return [x] if isinstance(x, Tensor) else list(x)


def _starts(outputs: list[Any], gradients: Any) -> list[Any]:
    given = [None] * len(outputs) if gradients is None else _listed(gradients)
    starts = []
    for y, g in zip(outputs, given, strict=True):
        if not y.requires_grad:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        if g is None:
            if y.numel() != 1:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs"
                )
            g = _core.full(shape_of(y), 1.0, y.dtype.name)
        elif shape_of(g) != shape_of(y):
            raise RuntimeError(
                f"Mismatch in shape: grad_output[0] has a shape of {shape_of(g)} and "
                "output[0] has "
                f"a shape of {shape_of(y)}."
            )
        starts.append(g)
    return starts


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of the outputs' sum by the inputs; `grad` of no tensor changes.

    Args:
        outputs: tensors that were computed from the inputs.
        inputs: tensors that require a gradient.
        grad_outputs: upstream gradients; may be left out for outputs with one element.
        retain_graph: whether the graph can be walked again; None: as create_graph.
        create_graph: whether the gradients can be differentiated.
        allow_unused: None instead of an error for an input that plays no part.
        is_grads_batched: accepted if False.
        materialize_grads: zeros for such inputs.

    Raises:
        RuntimeError: for an input without requires_grad or without influence.
    """
    y, x = _listed(outputs), _listed(inputs)
    for t in x:
        if not t.requires_grad:
            raise RuntimeError(
                "One of the differentiated Tensors does not require grad"
            )
    keep = create_graph if retain_graph is None else retain_graph
    found = _core.gradients(y, x, _starts(y, grad_outputs), keep, create_graph)
    result = []
    for t, g in zip(x, found, strict=True):
        if g is None and materialize_grads:
            g = _core.full(shape_of(t), 0.0, t.dtype.name)
        if g is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in "
                "the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        result.append(None if g is None else wrap(g))
    return tuple(result)


def accumulate_into(
    tensors: Any, inputs: Any, gradients: Any, retain_graph: Any, create_graph: bool
) -> None:
    """backward() for some leaves only."""
    leaves = _listed(inputs)
    found = grad(
        tensors, leaves, gradients, retain_graph, create_graph, allow_unused=True
    )
    for leaf, g in zip(leaves, found, strict=True):
        if g is not None:
            leaf.grad = g if leaf.grad is None else (leaf.grad + g).detach()


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of the tensors' sum to `grad` of their leaves."""
    roots = _listed(tensors)
    starts = _starts(roots, grad_tensors)
    if inputs is not None:
        accumulate_into(roots, inputs, starts, retain_graph, create_graph)
        return
    for i, (y, g) in enumerate(zip(roots, starts, strict=True)):
        keep = bool(retain_graph) or i + 1 < len(roots)
        _core.torch_backward(y, g, keep, create_graph)


class _Context:
    """What a Function's forward leaves for its backward."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self._constant: set[int] = set()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors; backward finds them in saved_tensors."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Outputs without gradient."""
        self._constant.update(map(id, tensors))

    def mark_dirty(self, *tensors: Any) -> None:
        """Accepted: values are never shared with what was recorded."""

    def set_materialize_grads(self, value: bool) -> None:
        """Accepted: gradients that no one asked for are zeros."""


class Function:
    """A computation with a gradient of one's own: static forward and backward.

    Example:
        >>> import lamella.torch as torch
        >>> class Square(torch.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return 2 * ctx.saved_tensors[0] * g
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> Square.apply(x).backward()
        >>> x.grad
        tensor(6.)
    """

    @staticmethod
    def forward(*args: Any, **options: Any) -> Any:
        """Applies the module."""
        raise NotImplementedError(
            "autograd.Function: write a static method forward(ctx, ...)"
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Gradients of the inputs from those of the outputs."""
        raise NotImplementedError(
            "autograd.Function: write a static method backward(ctx, ...)"
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs forward, and has backward called when gradients pass."""
        context = _Context()
        context.needs_input_grad = tuple(
            isinstance(a, Tensor) and a.requires_grad for a in args
        )
        with no_grad():
            setup = getattr(cls, "setup_context", None)
            if setup is None:
                result = cls.forward(context, *args)
            else:
                result = cls.forward(*args)
                setup(context, args, result)
        if not (_core.is_grad_enabled() and any(context.needs_input_grad)):
            return result
        outputs = [result] if isinstance(result, Tensor) else list(result)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]

        def vjp(gradients: Any) -> Any:
            found = cls.backward(context, *map(wrap, gradients))
            found = found if isinstance(found, tuple | list) else (found,)
            if len(found) != len(args):
                raise RuntimeError(
                    f"function {cls.__name__}Backward returned an incorrect number of "
                    "gradients "
                    f"(expected {len(args)}, got {len(found)})"
                )
            return [found[i] if context.needs_input_grad[i] else None for i in places]

        made = _core.record_custom(
            cls.__name__, [args[i] for i in places], outputs, vjp
        )
        made = [
            y if id(y) in context._constant else wrap(m)
            for y, m in zip(outputs, made, strict=True)
        ]
        return made[0] if isinstance(result, Tensor) else tuple(made)


def Variable(data: Any, requires_grad: bool = False) -> Any:
    """A tensor: what Variables became."""
    return data.requires_grad_() if requires_grad else data


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compares gradients with central differences; inputs in float64."""
    arrays = [x.detach() for x in _listed(inputs)]

    def core(*values: Any) -> Any:
        return func(*map(wrap, values))

    try:
        _core.gradcheck(core, *arrays, step=eps, rtol=rtol, atol=atol)
    except _core.Error:
        if raise_exception:
            raise
        return False
    return True


# ---------------------------------------------------------------- functional


def _leaves(inputs: Any, create_graph: bool) -> list[Any]:
    given = _listed(inputs)
    if create_graph:
        return [x if x.requires_grad else x.detach().requires_grad_() for x in given]
    return [wrap(_core.Tensor.detach(x)).requires_grad_() for x in given]


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """All derivatives of func's outputs with respect to its inputs.

    Returns:
        A tensor of shape output + input for one of each; tuples for several.
    """
    from .shape import stack

    x = _leaves(inputs, create_graph)
    with enable_grad():
        result = func(*x)
        outputs = _listed(result)
        rows = []
        for y in outputs:
            columns: list[list[Any]] = [[] for _ in x]
            flat = y.reshape(-1)
            for i in range(flat.numel()):
                if y.requires_grad:
                    found = grad(
                        flat[i], x, None, True, create_graph, materialize_grads=True
                    )
                else:
                    found = tuple(t.detach() * 0 for t in x)
                for column, g in zip(columns, found, strict=True):
                    column.append(g)
            rows.append(
                tuple(
                    stack(c).reshape(tuple(shape_of(y)) + tuple(shape_of(t)))
                    for c, t in zip(columns, x, strict=True)
                )
            )
    single_x, single_y = isinstance(inputs, Tensor), isinstance(result, Tensor)
    parts = [r[0] if single_x else r for r in rows]
    return parts[0] if single_y else tuple(parts)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """All second derivatives of a function with one value."""

    def first(*x: Any) -> Any:
        with enable_grad():
            y = func(*x)
        if y.numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should "
                "contain a single element"
            )
        g = grad(y, x, create_graph=True, materialize_grads=True)
        return g[0] if isinstance(inputs, Tensor) else g

    return jacobian(first, inputs, create_graph)


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False
) -> Any:
    """func(inputs), and v times its Jacobian."""
    x = _leaves(inputs, create_graph)
    with enable_grad():
        y = func(*x)
        g = grad(y, x, v, None, create_graph, materialize_grads=True)
    return y.detach(), g[0] if isinstance(inputs, Tensor) else g


functional = namespace(
    "autograd.functional",
    "torch.autograd.functional",
    jacobian=jacobian,
    hessian=hessian,
    vjp=vjp,
)


def func_grad(
    func: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., Any]:
    """torch.func.grad: the gradient of a function with one value, as a function."""

    def gradient(*args: Any, **options: Any) -> Any:
        values = list(args)
        numbers = [argnums] if isinstance(argnums, int) else list(argnums)
        for n in numbers:
            x = values[n]
            # Inside another gradient the graph goes on; a leaf of its own otherwise.
            values[n] = x * 1 if x.requires_grad else wrap(x.detach()).requires_grad_()
        inner = any(isinstance(a, Tensor) and a.requires_grad for a in args)
        with enable_grad():
            y = func(*values, **options)
            g = grad(
                y,
                [values[n] for n in numbers],
                create_graph=inner,
                materialize_grads=True,
            )
        return g[0] if isinstance(argnums, int) else g

    return gradient
