"""Parameters with a destination: optimizer__learning_rate, model__units, fit__..."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

__all__ = ["DESTINATIONS", "accepted", "made", "routed"]

DESTINATIONS = ("model", "optimizer", "loss", "callbacks", "compile", "fit", "predict")


def routed(params: Mapping[str, Any], destination: str) -> dict[str, Any]:
    """Return the parameters `destination__name` as {name: value}."""
    start = f"{destination}__"
    return {k[len(start) :]: v for k, v in params.items() if k.startswith(start)}


def accepted(function: Any) -> tuple[set[str], bool]:
    """Return (names of the arguments, whether it takes any keyword)."""
    parameters = inspect.signature(function).parameters.values()
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in parameters if p.kind in plain}, anything


def made(thing: Any, arguments: Mapping[str, Any], get: Any) -> Any:
    """Return a configured object.

    Args:
        thing: a name that `get` knows, a class, or an object with a config.
        arguments: replace those of the config, or go to the class.
        get: turns a name into an object or class.
    """
    if isinstance(thing, str):
        if not arguments:
            return thing
        found = get(thing)
        thing = found if isinstance(found, type) else type(found)
    if isinstance(thing, type):
        return thing(**arguments)
    if hasattr(thing, "get_config"):  # a copy, so that fits do not share state
        return type(thing).from_config({**thing.get_config(), **arguments})
    if arguments:
        raise ValueError(
            f"{thing!r} has no arguments that could be set to {dict(arguments)}"
        )
    return thing
