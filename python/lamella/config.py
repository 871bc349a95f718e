"""Global settings: the float type, epsilon, the image layout and object names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from lamella import _core
from lamella._promotion import result_type
from lamella._support import (
    auto_name,
    epsilon,
    floatx,
    next_uid,
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
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "get_uid",
    "is_flash_attention_enabled",
    "is_int_dtype",
    "is_keras_tensor",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "near_names",
    "result_type",
    "set_backend",
    "set_conv_accuracy",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
    "standardize_data_format",
    "standardize_dtype",
    "to_snake_case",
]

_FLOATS = ("float32", "float64")
_DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")

_settings: dict[str, Any] = {
    "image_data_format": "channels_last",
    "interactive": True,
    "traceback_filtering": True,
    "flash_attention": None,
    "max_epochs": None,
    "max_steps_per_epoch": None,
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


def set_backend(backend: str) -> None:
    """Accept "lamella", the only backend there is.

    Raises:
        ValueError: for another one.
    """
    if backend != "lamella":
        raise ValueError(
            f"set_backend: lamella computes by itself and has no backend {backend!r}; "
            "leave the call out"
        )


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


def enable_traceback_filtering() -> None:
    """Leave lamella's own lines out of the tracebacks of fit and evaluate."""
    _settings["traceback_filtering"] = True


def disable_traceback_filtering() -> None:
    """Show lamella's own lines in tracebacks, too."""
    _settings["traceback_filtering"] = False


def is_traceback_filtering_enabled() -> bool:
    """Return whether lamella's own lines are left out of tracebacks (the default)."""
    return bool(_settings["traceback_filtering"])


def enable_flash_attention() -> None:
    """Accepted for Keras's sake: there is one algorithm for attention."""
    _settings["flash_attention"] = True


def disable_flash_attention() -> None:
    """Accepted for Keras's sake: there is one algorithm for attention."""
    _settings["flash_attention"] = False


def is_flash_attention_enabled() -> bool | None:
    """Return what was last asked for; None if nothing was."""
    return _settings["flash_attention"]


def is_nnx_enabled() -> bool:
    """Return False: that belongs to another backend of Keras."""
    return False


def enable_unsafe_deserialization() -> None:
    """Accepted for Keras's sake: code in a file is refused all the same."""


def max_epochs() -> int | None:
    """Return the largest number of epochs that `fit` runs; None for no limit."""
    return _settings["max_epochs"]


def set_max_epochs(max_epochs: int | None) -> None:
    """Let every `fit` end after so many epochs, for trying things out."""
    _settings["max_epochs"] = max_epochs


def max_steps_per_epoch() -> int | None:
    """Return the largest number of batches in an epoch; None for no limit."""
    return _settings["max_steps_per_epoch"]


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Let every epoch, evaluation and prediction end after so many batches."""
    _settings["max_steps_per_epoch"] = max_steps_per_epoch


def get_uid(prefix: str = "") -> int:
    """Return 1, 2, ... for each call with the same prefix."""
    return next_uid(prefix)


def is_int_dtype(dtype: Any) -> bool:
    """Return True for the types of integers."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", str(dtype))
    return "int" in name


def is_keras_tensor(x: Any) -> bool:
    """Return whether it is a placeholder that `Input` or a layer made."""
    from lamella.layers.input import KerasTensor

    return isinstance(x, KerasTensor)


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
