"""Defaults, automatic names, and look-up of objects by string, class or config."""

from __future__ import annotations

import inspect
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

__all__ = [
    "auto_name",
    "deserialize",
    "dtype_policy_name",
    "epsilon",
    "floatx",
    "get",
    "lookup_table",
    "next_uid",
    "reset_uids",
    "revive",
    "serialize",
    "set_dtype_policy_name",
    "set_epsilon",
    "set_floatx",
    "to_snake_case",
    "uniquify",
]

_settings: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "policy": None}
_uids: defaultdict[str, int] = defaultdict(int)
_lock = threading.Lock()


def floatx() -> str:
    """Default float type of weights, losses and metrics: "float32" unless set."""
    return _settings["floatx"]


def set_floatx(value: str) -> None:
    """Set the default float type: "float32" or "float64".

    Raises:
        ValueError: value is another type.
    """
    if value not in ("float32", "float64"):
        raise ValueError(
            "set_floatx: value must be 'float32' or 'float64' (lamella computes in "
            f"these two), got value={value!r}"
        )
    _settings["floatx"] = str(value)


def dtype_policy_name() -> str:
    """Default type of layers: what was set, else floatx()."""
    return _settings["policy"] or floatx()


def set_dtype_policy_name(name: str | None) -> None:
    """Set the default type of layers; None stands for floatx()."""
    _settings["policy"] = name


def epsilon() -> float:
    """The fuzz factor of losses and constraints, 1e-7 unless set."""
    return _settings["epsilon"]


def set_epsilon(value: float) -> None:
    """Set the fuzz factor. The fused cross-entropies of the core keep 1e-7."""
    _settings["epsilon"] = float(value)


def to_snake_case(name: str) -> str:
    """`MeanSquaredError` -> `mean_squared_error`, as Keras spells default names."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def uniquify(name: str) -> str:
    """`name` the first time, then `name_1`, `name_2`, ..."""
    with _lock:
        count = _uids[name]
        _uids[name] += 1
    return f"{name}_{count}" if count else name


def next_uid(prefix: str) -> int:
    """1, 2, ... for each call with the same prefix."""
    with _lock:
        _uids[f"uid of {prefix}"] += 1
        return _uids[f"uid of {prefix}"]


def auto_name(class_name: str) -> str:
    """The automatic name of a new object of this class: "dense", "dense_1", ..."""
    return uniquify(to_snake_case(class_name))


def reset_uids() -> None:
    """Start the counters of automatic names again (part of `clear_session`)."""
    with _lock:
        _uids.clear()


def lookup_table(
    objects: list[Any], *, snake: bool = True, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Names of `objects` (also in snake_case for classes) plus `extra` aliases."""
    table = {obj.__name__: obj for obj in objects}
    if snake:
        table.update({to_snake_case(obj.__name__): obj for obj in objects})
    table.update(extra or {})
    return table


def serialize(obj: Any) -> Any:
    """Keras 3 JSON form of an object or function."""
    from lamella.saving.serialization import serialize_keras_object

    return serialize_keras_object(obj)


def revive(cls: Any, config: dict[str, Any]) -> Any:
    """Return `cls.from_config(config)`: what copies and pickles are made by."""
    return cls.from_config(config)


def deserialize(
    config: Any,
    table: Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Inverse of `serialize`; a bare string names a function or class of `table`."""
    if isinstance(config, str):
        found = _custom(config, custom_objects)
        return table.get(config, config) if found is None else found
    if isinstance(config, dict) and set(config) <= {"class_name", "config"}:
        # The short form {"class_name": ..., "config": ...}.
        name = str(config.get("class_name"))
        cls = _custom(name, custom_objects) or table.get(name)
        if cls is not None:
            arguments = dict(config.get("config") or {})
            if inspect.isclass(cls):
                if hasattr(cls, "from_config"):
                    return cls.from_config(arguments)
                return cls(**arguments)
            return cls
    from lamella.saving.serialization import deserialize_keras_object

    if custom_objects:
        return deserialize_keras_object(config, custom_objects=dict(custom_objects))
    return deserialize_keras_object(config)


def _custom(name: Any, custom_objects: Mapping[str, Any] | None) -> Any:
    """An object that the user registered, gave, or put into the current scope."""
    if custom_objects and name in custom_objects:
        return custom_objects[name]
    # Nothing can have been registered while that module was never imported.
    registration = sys.modules.get("lamella.saving.object_registration")
    if registration is None:
        return None
    return registration.get_registered_object(name)


def get(identifier: Any, table: Mapping[str, Any], kind: str) -> Any:
    """Resolve None, a string, a config dict, a class or a callable.

    Args:
        identifier: what the user wrote.
        table: names that are known for this kind of object.
        kind: "loss", "metric", ...: used in the error text.

    Returns:
        The object; classes are instantiated without arguments.

    Raises:
        ValueError: the name is unknown, or the object is not callable.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        obj = deserialize(identifier, table)
    elif isinstance(identifier, str):
        obj = table.get(identifier)
        if obj is None:
            obj = _custom(identifier, None)
        if obj is None:
            from lamella.config import near_names

            raise ValueError(
                f"unknown {kind} {identifier!r}. {near_names(identifier, table)}"
            )
    else:
        obj = identifier
    if not callable(obj):
        raise ValueError(
            f"a {kind} must be a string, a config dict, a class or a callable, "
            f"got {identifier!r}"
        )
    return obj() if inspect.isclass(obj) else obj
