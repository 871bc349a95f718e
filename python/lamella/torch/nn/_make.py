"""Modules that only call a function: classes made from a table row."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .module import Module


def function_module(
    name: str,
    function: Callable[..., Any],
    arguments: dict[str, Any],
    buffers: tuple[str, ...] = (),
    shown: tuple[str, ...] | None = None,
    inputs: int = 1,
    renamed: dict[str, str] | None = None,
    training: bool = False,
) -> Any:
    """A Module class whose forward is function(inputs..., arguments...).

    Args:
        name: of the class.
        function: takes the inputs, then keywords.
        arguments: of __init__ in order, with defaults (inspect.Parameter.empty for
            none).
        buffers: arguments that are tensors of the module's state.
        shown: arguments in the repr, None for all.
        inputs: number of inputs.
        renamed: keywords of the function that have another name than the argument.
        training: whether the function takes the module's mode.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter(a, kind, default=d) for a, d in arguments.items()]
    )
    keys = renamed or {}

    def init(self: Any, *args: Any, **options: Any) -> None:
        Module.__init__(self)
        bound = signature.bind(*args, **options)
        bound.apply_defaults()
        for key, value in bound.arguments.items():
            if key in buffers:
                self.register_buffer(key, value)
            else:
                setattr(self, key, value)

    def forward(self: Any, *values: Any) -> Any:
        if len(values) != inputs:
            raise TypeError(f"{name}: expected {inputs} inputs, got {len(values)}")
        given = {keys.get(a, a): getattr(self, a) for a in arguments}
        if training:
            given["training"] = self.training
        return function(*values, **given)

    def extra_repr(self: Any) -> str:
        names = [a for a in arguments if a not in buffers] if shown is None else shown
        return ", ".join(f"{a}={getattr(self, a)}" for a in names)

    doc = f"{(function.__doc__ or name).splitlines()[0]}"
    body = {
        "__init__": init,
        "forward": forward,
        "extra_repr": extra_repr,
        "__doc__": doc,
        "__module__": "lamella.torch.nn",
    }
    made = type(name, (Module,), body)
    made.__signature__ = signature  # type: ignore[attr-defined]
    return made
