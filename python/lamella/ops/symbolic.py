"""Functions of ops on the placeholders of functional models.

`ops.exp(x)` or `x + 1` on what `Input` returned computes nothing yet: it becomes an
`Operation`, a node between the layers of the model, as in Keras.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from lamella import _core, config
from lamella.ops._operations import ALIASES, BY_CLASS, BY_FUNCTION, OperationKind

__all__ = ["Operation", "apply", "holds_placeholder", "lift"]

# The functions themselves, by name; `lift` fills it.
_FUNCTIONS: dict[str, Callable[..., Any]] = {}


def holds_placeholder(value: Any) -> bool:
    """Return True for a placeholder, or a structure with one in it."""
    if getattr(type(value), "_is_placeholder", False):
        return True
    if isinstance(value, list | tuple):
        return any(holds_placeholder(v) for v in value)
    if isinstance(value, dict):
        return any(holds_placeholder(v) for v in value.values())
    return False


class Operation:
    """A function of ops as a node of a functional model.

    Args:
        kind: the line of the table.
        settings: values of the function's settings; those left out have defaults.
        name: default: class name in snake case with a counter.
    """

    # What texts and summaries ask of every node; an operation has no weights.
    built = True
    trainable = False
    weights: tuple[Any, ...] = ()
    _build_shape = None

    def __init__(
        self, kind: OperationKind, settings: dict[str, Any], name: str | None = None
    ) -> None:
        self.kind = kind
        self.settings = settings
        self.name = name or config.auto_name(kind.class_name)
        self._inbound_nodes: list[Any] = []
        self._output_shape_seen: Any = None

    def __repr__(self) -> str:
        return f"<Operation {self.kind.class_name} name={self.name}>"

    @property
    def class_name(self) -> str:
        """Name of Keras's class, for texts."""
        return self.kind.class_name

    def count_params(self) -> int:
        """Return 0."""
        return 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function to tensors, or note the call on placeholders."""
        if holds_placeholder(args) or holds_placeholder(kwargs):
            from lamella.models.functional import note_call

            outputs = note_call(self, self._run, args, kwargs)
            self._output_shape_seen = (
                [t.shape for t in outputs]
                if isinstance(outputs, list | tuple)
                else outputs.shape
            )
            return outputs
        return self._run(*args, **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        function = _FUNCTIONS[self.kind.function]
        if self.kind.class_name == "Einsum":
            return function(self.settings["subscripts"], *args)
        if self.kind.class_name == "GetItem" and isinstance(args[1], list):
            return function(args[0], tuple(args[1]))  # as files write a tuple
        if self.kind.class_name == "Meshgrid":
            return function(*args, **self.settings)
        names = [n for n in _parameters(function) if n not in self.kind.settings]
        named = dict(zip(names, args, strict=False))
        return function(**named, **kwargs, **self.settings)

    # -- configuration -------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make an equal operation."""
        kind = f"{self.kind.module}.{self.kind.class_name}"
        return {"name": self.name, "operation": kind, **self.settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Operation:
        """Return an operation as `get_config` described it."""
        settings = dict(config)
        name = settings.pop("name")
        module, _, class_name = settings.pop("operation").rpartition(".")
        place = module.rpartition(".")[2]
        return cls(BY_CLASS[(place, class_name)], settings, name)

    def serialize(self) -> dict[str, Any]:
        """Return this operation as Keras 3 JSON."""
        from lamella.saving import serialization

        return {
            "module": self.kind.module,
            "class_name": self.kind.class_name,
            "config": {
                "name": self.name,
                **{
                    k: serialization.serialize_keras_object(v)
                    for k, v in self.settings.items()
                },
            },
            "registered_name": self.kind.class_name,
        }

    @staticmethod
    def is_serialized(entry: Any) -> bool:
        """Return True if a part of a config describes an operation."""
        return str(entry.get("module")).startswith(("keras.src.ops.", "keras.ops"))

    @staticmethod
    def module_of(class_name: str) -> str | None:
        """Return Keras's module of an operation that a file names by class only."""
        for kind in BY_FUNCTION.values():
            if kind.class_name == class_name:
                return kind.module
        return None

    @staticmethod
    def deserialize(entry: dict[str, Any]) -> Operation:
        """Return the operation that `serialize` (or Keras) described.

        Raises:
            ValueError: for an operation that lamella does not have.
        """
        from lamella.saving import serialization

        place = entry["module"].rpartition(".")[2]
        kind = BY_CLASS.get((place, entry["class_name"]))
        if kind is None:
            raise ValueError(
                f"Model: the file uses the operation {entry['class_name']} of "
                f"{entry['module']}, which lamella does not have"
            )
        settings = dict(entry.get("config") or {})
        name = settings.pop("name", None) or entry.get("name")
        settings = {
            k: serialization.deserialize_keras_object(v)
            if isinstance(v, dict | list)
            else v
            for k, v in settings.items()
        }
        known = _parameters(_FUNCTIONS[kind.function])
        for key in [k for k in settings if k not in known]:
            if settings[key] is None or settings[key] is False:
                del settings[key]
                continue
            raise ValueError(
                f"{kind.class_name} {name!r}: the file sets {key}="
                f"{settings[key]!r}, which lamella's ops.{kind.function} does not have"
            )
        return Operation(kind, settings, name)


@functools.cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """Apply a function of ops to arguments that hold placeholders.

    Raises:
        TypeError: if the function cannot become a node of a model.
    """
    name = ALIASES.get(name, name)
    kind = BY_FUNCTION.get(name)
    if kind is None:
        raise TypeError(
            f"ops.{name} cannot take a placeholder; put the computation into the "
            "call() of a Layer"
        )
    if name == "einsum":
        return Operation(kind, {"subscripts": args[0]})(*args[1:])
    if name == "meshgrid":
        return Operation(kind, kwargs)(*args)
    bound = inspect.signature(_FUNCTIONS[name]).bind(*args, **kwargs)
    given = dict(bound.arguments)
    bound.apply_defaults()
    extra = bound.arguments.get("kwargs", {})  # what lamella only takes as "off"
    settings = {
        k: bound.arguments[k] if k in bound.arguments else extra.get(k, False)
        for k in kind.settings
    }
    lengths = bound.arguments.pop("axes_lengths", {})  # of rearrange
    values = [n for n in bound.arguments if n not in kind.settings and n != "kwargs"]
    while values and values[-1] not in given:
        values.pop()
    return Operation(kind, settings)(*(bound.arguments[n] for n in values), **lengths)


def lift(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` such that it also takes placeholders.

    Real tensors pay only for the call: a placeholder makes the function fail.
    """
    _FUNCTIONS[name] = function

    def symbolic(error: Exception, args: tuple[Any, ...], kwargs: Any) -> Any:
        if holds_placeholder(args) or holds_placeholder(kwargs):
            return apply(name, *args, **kwargs)
        raise error

    lifted: Any
    if _parameters(function) == ("x",):

        def lifted(x: Any) -> Any:
            try:
                return function(x)
            except Exception as error:
                return symbolic(error, (x,), {})

    elif _parameters(function) == ("x1", "x2"):

        def lifted(x1: Any, x2: Any) -> Any:
            try:
                return function(x1, x2)
            except Exception as error:
                return symbolic(error, (x1, x2), {})

    else:

        def lifted(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                return symbolic(error, args, kwargs)

    return direct(functools.wraps(function)(lifted))


def direct(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` behind its direct path for plain tensors, if there is one."""
    if not _core.has_fast_path(function.__name__):
        return function
    return _core.fast_path(function, _plain_signature(function))


def _plain_signature(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    bare = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in signature.parameters.values()
    ]
    return inspect.Signature(bare)
