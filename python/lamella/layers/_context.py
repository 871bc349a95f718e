"""What is true while a layer is being called: training flag and name scope."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["CallContext", "call_context", "current_path"]


class CallContext(threading.local):
    """State of the outermost layer call of this thread.

    Attributes:
        training: True, False or None (not said) for the call that is running.
        depth: number of layer calls on the stack.
        path: names of the layers on the stack, outermost first.
    """

    def __init__(self) -> None:
        self.training: bool | None = None
        self.depth = 0
        self.path: list[str] = []


call_context: Any = CallContext()


def current_path() -> str:
    """Return "outer/inner" for the layers that are being called or built."""
    return "/".join(call_context.path)
