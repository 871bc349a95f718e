"""Registration of the user's own classes and functions for saved files."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
]

T = TypeVar("T")

_objects: dict[str, Any] = {}
_names: dict[Any, str] = {}
_local = threading.local()


def _scope() -> dict[str, Any]:
    """The objects of the innermost `CustomObjectScope` of this thread."""
    return getattr(_local, "objects", {})


class CustomObjectScope:
    """Make custom classes and functions known while a model is loaded.

    Differs from Keras: nested scopes add to the outer one; they do not hide it.

    Args:
        custom_objects: names and the classes or functions they stand for.

    Example:
        >>> with CustomObjectScope({"Twice": Twice}):  # doctest: +SKIP
        ...     model = load_model("model.keras")
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})
        self._outer: dict[str, Any] = {}

    def __enter__(self) -> CustomObjectScope:
        self._outer = _scope()
        _local.objects = {**self._outer, **self.custom_objects}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _local.objects = self._outer


custom_object_scope = CustomObjectScope


def get_custom_objects() -> dict[str, Any]:
    """Return the global dictionary of registered objects (live: changes count)."""
    return _objects


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """Register a class or function under the key "package>name".

    Args:
        package: first part of the key. Default "Custom".
        name: second part. Default: the name of the class or function.

    Returns:
        A decorator that returns its argument unchanged.

    Raises:
        ValueError: for a class without `get_config`, or a lambda.

    Example:
        >>> @register_keras_serializable("my_package")
        ... def swish_like(x):
        ...     return x
        >>> get_registered_name(swish_like)
        'my_package>swish_like'
    """
    if not isinstance(package, str):
        raise ValueError(
            "register_keras_serializable: package must be a string, got "
            f"package={package!r}; write @register_keras_serializable() "
            "with parentheses"
        )

    def register(thing: T) -> T:
        own = name if name is not None else getattr(thing, "__name__", None)
        if own is None or own == "<lambda>":
            raise ValueError(
                f"register_keras_serializable: {thing!r} has no name; define a named "
                "class or function, or give name=..."
            )
        if inspect.isclass(thing) and not hasattr(thing, "get_config"):
            raise ValueError(
                f"register_keras_serializable: class {own} has no get_config() method"
            )
        key = f"{package}>{own}"
        _objects[key] = thing
        _names[thing] = key
        return thing

    return register


def get_registered_name(obj: Any) -> str:
    """Return the key under which `obj` is registered, else its own name."""
    try:
        if obj in _names:
            return _names[obj]
    except TypeError:  # not hashable
        pass
    return obj.__name__


def get_registered_object(
    name: str | None,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Return what is known under `name`, or None.

    Searched in order: the scopes, the global registry, `custom_objects`,
    `module_objects`.
    """
    for place in (_scope(), _objects, custom_objects, module_objects):
        if name is not None and place and name in place:
            return place[name]
    return None
