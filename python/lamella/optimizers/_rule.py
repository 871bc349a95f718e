"""The parts of a step that all optimizers share: clipping, accumulating, averaging."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lamella import _core

__all__ = ["SHARED", "check_rate", "check_shared", "run"]

SHARED = (
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


def check_rate(owner: str, value: Any) -> float:
    """Return a learning rate as a float."""
    try:
        rate = float(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"{owner}: learning_rate must be a number, a LearningRateSchedule or a "
            f"function without arguments, got learning_rate={value!r}"
        ) from None
    if not rate >= 0:
        raise ValueError(
            f"{owner}: learning_rate must be >= 0, got learning_rate={rate}"
        )
    return rate


def check_shared(optimizer: Any) -> None:
    """Check the arguments that all optimizers have."""
    owner = type(optimizer).__name__
    names = ("clipnorm", "clipvalue", "global_clipnorm")
    given = {n: getattr(optimizer, n) for n in names}
    given = {n: v for n, v in given.items() if v is not None}
    if len(given) > 1:
        raise ValueError(
            f"{owner}: only one of clipnorm, clipvalue and global_clipnorm can be "
            f"set, got {', '.join(f'{k}={v}' for k, v in given.items())}"
        )
    for name, value in given.items():
        if not value > 0:
            raise ValueError(f"{owner}: {name} must be positive, got {name}={value}")
    decay = optimizer.weight_decay
    if decay is not None and not decay >= 0:
        raise ValueError(
            f"{owner}: weight_decay must be >= 0, got weight_decay={decay}"
        )
    steps = optimizer.gradient_accumulation_steps
    if steps and not steps >= 2:
        raise ValueError(
            f"{owner}: gradient_accumulation_steps must be at least 2, got "
            f"gradient_accumulation_steps={steps}"
        )
    if optimizer.use_ema:
        momentum, every = optimizer.ema_momentum, optimizer.ema_overwrite_frequency
        if not 0 <= momentum <= 1:
            raise ValueError(
                f"{owner}: ema_momentum must be in [0, 1], got ema_momentum={momentum}"
            )
        if every and (not isinstance(every, int) or every < 1):
            raise ValueError(
                f"{owner}: ema_overwrite_frequency must be a positive integer or None, "
                f"got ema_overwrite_frequency={every!r}"
            )


def tensor(value: Any) -> Any:
    """Return a Variable, Tensor or number as a tensor."""
    from lamella.ops.conversion import to_tensor

    return to_tensor(value)


# -- what goes in --------------------------------------------------------------


def weights_for(optimizer: Any, grads: list[Any], weights: Any) -> list[Any]:
    """Return the weights that belong to the gradients."""
    owner = type(optimizer).__name__
    if weights is None:
        if not optimizer.built:
            raise ValueError(
                f"{owner}: call build(weights) first, or give apply() the weights"
            )
        weights = optimizer._trainable_variables
    weights = list(weights)
    if len(grads) != len(weights):
        raise ValueError(
            f"{owner}: expected one gradient per weight, got {len(grads)} "
            f"gradients for {len(weights)} weights"
        )
    return weights


def warn_missing(owner: str, variables: Sequence[Any]) -> None:
    """Warn about weights that have no gradient."""
    if variables:
        paths = ", ".join(getattr(v, "path", v.name) for v in variables)
        warnings.warn(
            f"{owner}: no gradients for {paths}; these weights stay", stacklevel=3
        )


def present(owner: str, grads: list[Any], weights: list[Any]) -> tuple[Any, Any]:
    """Return the gradients that are there, as tensors, and their weights."""
    from lamella.ops.conversion import convert_to_tensor

    pairs = list(zip(grads, weights, strict=True))
    if all(g is None for g in grads):
        raise ValueError(f"{owner}: no gradients provided for any variable")
    warn_missing(owner, [v for g, v in pairs if g is None])
    kept = [convert_to_tensor(g, v.dtype) for g, v in pairs if g is not None]
    return kept, [v for g, v in pairs if g is not None]


# -- the step ------------------------------------------------------------------


def clipped(optimizer: Any, grads: list[Any]) -> list[Any]:
    """Return the gradients clipped as the optimizer's arguments say."""
    if optimizer.clipnorm:
        return [
            _by_norm(g, _core.sum(_core.square(g)), optimizer.clipnorm) for g in grads
        ]
    if optimizer.global_clipnorm:
        total = _core.sum(_core.square(grads[0]))
        for g in grads[1:]:
            total = total + _core.cast(_core.sum(_core.square(g)), total.dtype)
        return [
            _by_norm(g, _core.cast(total, g.dtype), optimizer.global_clipnorm)
            for g in grads
        ]
    if optimizer.clipvalue:
        limit = float(optimizer.clipvalue)
        return [_core.clip(g, -limit, limit) for g in grads]
    return grads


def _by_norm(gradient: Any, squares: Any, limit: float) -> Any:
    return gradient * (limit / _core.maximum(_core.sqrt(squares), limit))


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Select between two values of a variable by a scalar condition."""
    return _core.where(condition, yes, no)


def run(optimizer: Any, grads: list[Any], variables: list[Any]) -> None:
    """Run the rule in Python: clip, decay, update, accumulate, average."""
    every = optimizer.gradient_accumulation_steps
    if every:
        _accumulate(optimizer, grads, variables, int(every))
    else:
        _update(optimizer, grads, variables)
    if optimizer.use_ema:
        _average(optimizer)


def _update(optimizer: Any, grads: list[Any], variables: list[Any]) -> None:
    grads = optimizer._clip_gradients(grads)
    optimizer._apply_weight_decay(variables)
    optimizer._update_all(grads, variables, optimizer.learning_rate)


def _due(steps: Any, every: int) -> Any:
    """Return whether the next step is one of every so many."""
    return _core.equal(_core.mod(tensor(steps) + 1, every), 0)


def only_if(condition: Any, update: Any, variables: Sequence[Any]) -> None:
    """Run `update` if the condition holds; in a trace select the values it assigns."""
    if not condition.is_symbolic:
        if bool(condition):
            update()
        return
    before = [v.value for v in variables]
    update()
    for variable, old in zip(variables, before, strict=True):
        variable.assign(_core.where(condition, variable.value, old))


def _accumulate(
    optimizer: Any, grads: list[Any], variables: list[Any], every: int
) -> None:
    due = _due(optimizer._iterations, every)
    sums = [optimizer._accumulated[optimizer._get_variable_index(v)] for v in variables]
    totals = [g + s.value for g, s in zip(grads, sums, strict=True)]
    own = {id(v) for v in (*sums, optimizer._iterations)}
    state = [v for v in optimizer.variables if id(v) not in own]
    only_if(
        due,
        lambda: _update(optimizer, [t / every for t in totals], variables),
        [*variables, *state],
    )
    for held, total in zip(sums, totals, strict=True):
        held.assign(_core.where(due, _core.full(held.shape, 0.0, held.dtype), total))


def _average(optimizer: Any) -> None:
    weights = optimizer._trainable_variables
    later = _core.not_equal(tensor(optimizer.iterations), 0)
    for variable, average in zip(weights, optimizer._averages, strict=True):
        momentum = _core.cast(later, variable.dtype) * optimizer.ema_momentum
        average.assign(momentum * average.value + (1 - momentum) * variable.value)
    if optimizer.ema_overwrite_frequency:
        due = _due(optimizer.iterations, optimizer.ema_overwrite_frequency)
        only_if(due, lambda: overwrite_with_averages(optimizer, weights), weights)


def overwrite_with_averages(optimizer: Any, variables: Sequence[Any]) -> None:
    """Give the weights their moving averages."""
    averages = getattr(optimizer, "_averages", [])
    if len(variables) != len(averages):
        raise ValueError(
            f"{type(optimizer).__name__}: {len(variables)} weights, but "
            f"{len(averages)} averages: has the optimizer been used with this model?"
        )
    for variable, average in zip(variables, averages, strict=True):
        variable.assign(average.value)


def stateless(
    optimizer: Any, state: Sequence[Any], grads: Sequence[Any], weights: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Run `apply` from given values and put the old ones back."""
    owner = type(optimizer).__name__
    if not optimizer.built:
        raise ValueError(f"{owner}: call build(weights) before stateless_apply()")
    trained, own = optimizer._trainable_variables, optimizer.variables
    for what, values, variables in (
        ("optimizer_variables", state, own),
        ("trainable_variables", weights, trained),
    ):
        if len(values) != len(variables):
            raise ValueError(
                f"{owner}: stateless_apply: {what} must have {len(variables)} entries, "
                f"got {len(values)}"
            )
    both = [*trained, *own]
    before = [v.value for v in both]
    try:
        for variable, value in zip(both, [*weights, *state], strict=True):
            variable.assign(value)
        optimizer.apply(grads)
        after = [v.value for v in both]
    finally:
        for variable, value in zip(both, before, strict=True):
            variable.assign(value)
    return after[: len(trained)], after[len(trained) :]
