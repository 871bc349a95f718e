"""Checks of layer arguments, and the part of get_config that layers share."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_rate", "config_of", "integers", "positive", "reject"]


def positive(value: Any, name: str, who: str) -> int:
    """Return `value` as a positive int.

    Raises:
        ValueError: if it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        if isinstance(value, float) and value.is_integer() and value > 0:
            hint = f" Write {name}={int(value)}."
        else:
            hint = ""
        raise ValueError(
            f"{who}: {name} must be an integer, got {name}={value!r}.{hint}"
        )
    if value <= 0:
        raise ValueError(f"{who}: {name} must be positive, got {name}={value!r}")
    return int(value)


def reject(who: str, **arguments: Any) -> None:
    """Raise ValueError for an argument that Keras has, lamella not, and is given."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{who}: {name}={value!r} is not supported")


def integers(
    value: Any, count: int, name: str, who: str, minimum: int = 1
) -> tuple[int, ...]:
    """Return a tuple of `count` ints; one int stands for all of them."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        result: tuple[Any, ...] = (value,) * count
    else:
        try:
            result = tuple(value)
        except TypeError:
            result = ()
    if len(result) != count or not all(
        isinstance(v, int | np.integer) and not isinstance(v, bool) for v in result
    ):
        raise ValueError(
            f"{who}: {name} must be an integer or a tuple of {count} integers, got "
            f"{name}={value!r}"
        )
    if min(result) < minimum:
        what = "positive" if minimum == 1 else f"at least {minimum}"
        raise ValueError(f"{who}: {name} must be {what}, got {name}={value!r}")
    return tuple(int(v) for v in result)


def check_rate(rate: Any, who: str, name: str = "rate", top: bool = False) -> float:
    """Return `rate` as a float in [0, 1), or in [0, 1] with `top`."""
    where = "[0, 1]" if top else "[0, 1)"
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number):
        raise ValueError(f"{who}: {name} must be a number in {where}, got {rate!r}")
    if not 0 <= rate < 1 and not (top and rate == 1):
        hint = f" Did you mean {rate / 100:g}?" if 1 < rate < 100 else ""
        raise ValueError(
            f"{who}: {name} is the fraction that is dropped and must be in {where}, "
            f"got {name}={rate!r}.{hint}"
        )
    return float(rate)


def config_of(layer: Any, *names: str) -> dict[str, Any]:
    """Return the named attributes, objects among them serialized as Keras does."""
    from lamella import activations, constraints, initializers, regularizers

    result: dict[str, Any] = {}
    for name in names:
        value = getattr(layer, name)
        if name.endswith("activation"):
            value = activations.serialize(value)
        elif name.endswith("_initializer"):
            value = initializers.serialize(value)
        elif name.endswith("_regularizer") and value is not None:
            value = regularizers.serialize(value)
        elif name.endswith("_constraint") and value is not None:
            value = constraints.serialize(value)
        result[name] = value
    return result
