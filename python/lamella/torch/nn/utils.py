"""torch.nn.utils: clipping, vectors of parameters, weight norm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import _dtype as dt
from ..autograd import no_grad
from ..reduce import norm
from ..shape import cat, stack
from ..tensor import Parameter, Tensor, new_tensor
from . import rnn_utils as rnn

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "parameters_to_vector",
    "rnn",
    "vector_to_parameters",
    "weight_norm",
]


def _with_grad(parameters: Any) -> list[Any]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p for p in listed if p.grad is not None]


def get_total_norm(tensors: Iterable[Any], norm_type: float = 2.0) -> Any:
    """The norm of all elements of all tensors."""
    norms = [norm(t, norm_type) for t in tensors]
    if not norms:
        return new_tensor(0.0, dt.float32)
    return norm(stack(norms), norm_type)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """Scales all gradients together so that their norm is at most max_norm.

    Returns:
        The norm before.
    """
    chosen = _with_grad(parameters)
    with no_grad():
        total = get_total_norm([p.grad for p in chosen], float(norm_type))
        size = total.item()
        if error_if_nonfinite and not math.isfinite(size):
            raise RuntimeError(
                f"The total norm of order {norm_type} for gradients from `parameters` "
                "is "
                "non-finite, so it cannot be clipped."
            )
        factor = (
            min(float(max_norm) / (size + 1e-6), 1.0)
            if math.isfinite(size)
            else (float(max_norm) / size)
        )
        if factor < 1 or not math.isfinite(size):
            for p in chosen:
                p.grad.mul_(factor)
    return total


def clip_grad_value_(
    parameters: Any, clip_value: float, foreach: bool | None = None
) -> None:
    """Limits each element of the gradients to [-clip_value, clip_value]."""
    with no_grad():
        for p in _with_grad(parameters):
            p.grad.clamp_(-float(clip_value), float(clip_value))


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All parameters in a row."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Parameters filled from a row."""
    at = 0
    for p in parameters:
        n = p.numel()
        p.data = vec[at : at + n].reshape(p.shape).detach().clone()
        at += n


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Writes a weight as g * v / |v|, with g and v as parameters."""
    w = getattr(module, name)
    axes = [i for i in range(w.dim()) if i != dim] if dim is not None else None

    def size(v: Any) -> Any:
        return norm(v, 2, axes, axes is not None)

    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(size(w.detach())))
    module.register_parameter(f"{name}_v", Parameter(w.detach().clone()))

    def refresh(m: Any, inputs: Any) -> None:
        v = getattr(m, f"{name}_v")
        value = v * (getattr(m, f"{name}_g") / size(v))
        m.__dict__[name] = value

    refresh(module, ())
    # Layers read their weight from the table of parameters: it is there for the call.
    first = module.forward

    def forward(*args: Any, **options: Any) -> Any:
        refresh(module, ())
        module._parameters[name] = module.__dict__[name]
        try:
            return first(*args, **options)
        finally:
            del module._parameters[name]

    module.__dict__["forward"] = forward
    return module
