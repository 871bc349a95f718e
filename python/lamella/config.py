"""Global settings: the float type, epsilon, the image layout and object names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from lamella import _core
from lamella._support import (
    auto_name,
    epsilon,
    floatx,
    reset_uids,
    set_dtype_policy_name,
    set_epsilon,
    set_floatx,
    to_snake_case,
)

__all__ = [
    "auto_name",
    "backend",
    "clear_session",
    "conv_accuracy",
    "dtype_policy",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_float_dtype",
    "is_interactive_logging_enabled",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "near_names",
    "set_conv_accuracy",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_data_format",
    "standardize_dtype",
    "to_snake_case",
]

_FLOATS = ("float32", "float64")
_DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")

_settings: dict[str, Any] = {
    "image_data_format": "channels_last",
    "interactive": True,
}


def conv_accuracy() -> str:
    """Return how float32 convolutions may be computed: "default" or "exact"."""
    return _core.conv_accuracy()


def set_conv_accuracy(accuracy: str) -> None:
    """Choose between the speed and the last digit of float32 convolutions.

    Args:
        accuracy: "default": 3x3 convolutions at stride 1 use Winograd's algorithm
            where it is faster (two to three times); its rounding errors are one to
            three times those of a plain sum. "exact": sums of products only.

    It counts for calls from now on. A model keeps the setting with which its
    functions were traced, at its first `fit`, `evaluate` or `predict`, so set it
    before. The environment variable `LAMELLA_CONV` gives the initial value.
    """
    _core.set_conv_accuracy(accuracy)


def backend() -> str:
    """Return the name of the backend: always "lamella"."""
    return "lamella"


def image_data_format() -> str:
    """Return "channels_last" (the native layout) or "channels_first"."""
    return _settings["image_data_format"]


def set_image_data_format(data_format: str) -> None:
    """Set the default of every layer's `data_format`."""
    _settings["image_data_format"] = standardize_data_format(data_format)


def standardize_data_format(data_format: str | None, who: str = "data_format") -> str:
    """Return a checked data format; None stands for the global default."""
    if data_format is None:
        return image_data_format()
    value = str(data_format).lower()
    if value not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{who}: data_format must be 'channels_last' or 'channels_first', "
            f"got data_format={data_format!r}"
        )
    return value


def standardize_dtype(dtype: Any, who: str = "dtype") -> str:
    """Return the name of a type that lamella has; None stands for `floatx()`."""
    if dtype is None:
        return floatx()
    if isinstance(dtype, dict):  # Keras 3 writes a DTypePolicy object.
        dtype = dtype.get("config", {}).get("name", dtype)
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None)
    if name is None:
        name = getattr(dtype, "__name__", str(dtype))
    name = {"float": "float32", "int": "int32", "double": "float64"}.get(name, name)
    if name not in _DTYPES:
        if "float16" in name:
            raise ValueError(
                f"{who}: lamella computes in float32 and float64 and has no half or "
                f"mixed precision, got dtype={dtype!r}. Use 'float32'."
            )
        raise ValueError(
            f"{who}: unknown or unsupported dtype {dtype!r}. "
            f"lamella has {', '.join(_DTYPES)}."
        )
    return name


def is_float_dtype(dtype: Any) -> bool:
    """Return True for float32 and float64."""
    return str(dtype) in _FLOATS


def dtype_policy() -> Any:
    """Return the DTypePolicy of layers that are given no dtype."""
    from lamella import dtype_policies

    return dtype_policies.dtype_policy()


def set_dtype_policy(policy: Any) -> None:
    """Set the type of layers that are given no dtype: "float32" or "float64"."""
    from lamella import dtype_policies

    dtype_policies.set_dtype_policy(policy)


def enable_interactive_logging() -> None:
    """Let progress and summaries be printed (the default)."""
    _settings["interactive"] = True


def disable_interactive_logging() -> None:
    """Print progress as plain lines instead of a bar that redraws itself."""
    _settings["interactive"] = False


def is_interactive_logging_enabled() -> bool:
    """Return whether progress bars may redraw their line."""
    return _settings["interactive"]


def clear_session(free_memory: bool = True) -> None:
    """Start counting default names from zero again.

    Args:
        free_memory: accepted for Keras's sake; lamella keeps no global state
            that would need to be freed.
    """
    del free_memory
    set_dtype_policy_name(None)
    reset_uids()


def near_names(name: Any, known: Iterable[str]) -> str:
    """Return a hint such as "Did you mean 'relu'?" or the list of known names."""
    known = sorted({str(k) for k in known})
    lowered = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(name).lower(), list(lowered), n=3, cutoff=0.6)
    if close:
        names = [repr(lowered[c]) for c in close]
        return f"Did you mean {' or '.join(names)}?"
    shown = ", ".join(repr(k) for k in known[:40])
    return f"Known names: {shown}{', ...' if len(known) > 40 else ''}."
