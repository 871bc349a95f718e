"""Printing that works on every stream: terminal, file, notebook, ASCII-only."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from ..config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)

__all__ = [
    "disable_interactive_logging",
    "enable_interactive_logging",
    "is_interactive_logging_enabled",
    "print_msg",
    "set_logging_verbosity",
]

logger = logging.getLogger("lamella")


def set_logging_verbosity(level: str) -> None:
    """Set the level of the logger ``"lamella"``.

    Args:
        level: One of ``"FATAL"``, ``"ERROR"``, ``"WARNING"``, ``"INFO"``,
            ``"DEBUG"``.

    Raises:
        ValueError: If `level` is none of these.
    """
    names = ("FATAL", "ERROR", "WARNING", "INFO", "DEBUG")
    if level not in names:
        raise ValueError(
            f"set_logging_verbosity: level must be one of {', '.join(names)}, "
            f"got level={level!r}"
        )
    logger.setLevel(level)


def can_encode(text: str, stream: Any) -> bool:
    """Whether `stream` can show all characters of `text`."""
    encoding = getattr(stream, "encoding", None)
    if encoding is None:  # in-memory text streams take everything
        return True
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def in_notebook(stream: Any) -> bool:
    """Whether `stream` is the output area of a Jupyter notebook."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"


def is_dynamic(stream: Any) -> bool:
    """Whether a line on `stream` can be redrawn: a terminal or a notebook."""
    if in_notebook(stream) or "PYCHARM_HOSTED" in os.environ:
        return True
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no such method; closed stream
        return False


def print_msg(message: Any, line_break: bool = True) -> None:
    """Write a message to stdout, or to the logger when logging is not interactive.

    Characters that the stream's encoding lacks are replaced: the bar of the
    progress display by ``=``, others by ``?``.

    Args:
        message: Anything with a text form.
        line_break: Whether to end the line.
    """
    text = str(message)
    if not is_interactive_logging_enabled():
        logger.info(text)
        return
    stream = sys.stdout
    if stream is None:  # pythonw: there is no standard output
        return
    if line_break:
        text += "\n"
    if not can_encode(text, stream):
        encoding = stream.encoding
        text = text.replace("\N{BOX DRAWINGS HEAVY HORIZONTAL}", "=")
        text = text.encode(encoding, errors="replace").decode(encoding)
    stream.write(text)
    stream.flush()
