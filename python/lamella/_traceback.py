"""Tracebacks without lamella's own lines."""

from __future__ import annotations

import functools
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lamella import config

__all__ = ["filter_traceback"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_HERE = str(Path(__file__).parent)


def _without_own(error: BaseException) -> types.TracebackType | None:
    """Return the traceback with the user's lines, and the one that raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    kept: types.TracebackType | None = None
    for i, (frame, line) in reversed(list(enumerate(frames))):
        own = frame.f_code.co_filename.startswith(_HERE)
        if not own or i == len(frames) - 1:
            kept = types.TracebackType(kept, frame, frame.f_lasti, line)
    return kept


def filter_traceback(function: _Function) -> _Function:
    """Let errors of `function` show the user's lines, not those in between.

    `config.disable_traceback_filtering()` shows all of them.
    """

    @functools.wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not config.is_traceback_filtering_enabled():
                raise
            raise error.with_traceback(_without_own(error))  # noqa: B904

    return filtered  # type: ignore[return-value]
