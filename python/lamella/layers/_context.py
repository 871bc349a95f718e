"""What is true while a layer is being called: training flag and name scope."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["CallContext", "call_context", "current_path", "shapes_only"]


class CallContext(threading.local):
    """State of the outermost layer call of this thread.

    Attributes:
        training: True, False or None (not said) for the call that is running.
        depth: number of layer calls on the stack.
        path: names of the layers on the stack, outermost first.
        shapes_only: whether the graph being traced is thrown away once the shapes of
            its outputs are known.
    """

    def __init__(self) -> None:
        self.training: bool | None = None
        self.depth = 0
        self.path: list[str] = []
        self.shapes_only = False


call_context: Any = CallContext()


@contextlib.contextmanager
def shapes_only() -> Iterator[None]:
    """Say that the graph being traced will not run: layers may save themselves work."""
    outside, call_context.shapes_only = call_context.shapes_only, True
    try:
        yield
    finally:
        call_context.shapes_only = outside


def current_path() -> str:
    """Return "outer/inner" for the layers that are being called or built."""
    return "/".join(call_context.path)
