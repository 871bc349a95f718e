"""What a layer is called with, turned into tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamella import _core, config
from lamella._masking import copy_mask
from lamella.layers import _tree
from lamella.variable import Variable

if TYPE_CHECKING:
    from lamella.layers.layer import Layer

__all__ = ["check_numeric", "convert_inputs"]


def check_numeric(array: np.ndarray, who: str) -> np.ndarray:
    """Return `array`, or raise TypeError when it does not hold real numbers."""
    kind = array.dtype.kind
    if kind in "iub" or (kind == "f" and array.dtype.itemsize <= 8):
        return array
    holds_text = array.size > 0 and isinstance(array.flat[0], str | bytes)
    if array.dtype.kind == "O" and not holds_text:
        hint = (
            "Rows of different lengths or mixed types make such arrays; "
            "use np.asarray(x, dtype='float32') to find the culprit."
        )
    elif array.dtype.kind in "OUS":
        hint = (
            "Turn text into numbers first (for labels: np.unique(y, "
            "return_inverse=True)[1]; for texts: layers.TextVectorization, "
            "layers.StringLookup)."
        )
    elif array.dtype.kind == "c":
        hint = "Split it into real and imaginary parts."
    else:
        hint = "Convert it with astype('float32')."
    raise TypeError(f"{who}: expected numbers, got an array of {array.dtype}. {hint}")


def convert_inputs(layer: Layer, value: Any) -> Any:
    """Return arrays as tensors and float tensors in the layer's type."""
    if isinstance(value, _core.Tensor):
        if (
            layer.autocast
            and value.dtype != layer._input_dtype
            and config.is_float_dtype(value.dtype)
        ):
            return copy_mask(value, _core.cast(value, layer._input_dtype))
        return value
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Variable):
        return convert_inputs(layer, value.value)
    if isinstance(value, list | tuple):
        if any(isinstance(v, _core.Tensor | np.ndarray | Variable) for v in value):
            return type(value)(convert_inputs(layer, v) for v in value)
        if any(isinstance(v, list | tuple | dict) for v in value) and any(
            isinstance(v, _core.Tensor) for v in _tree.flatten(value)
        ):
            return type(value)(convert_inputs(layer, v) for v in value)
        value = np.asarray(value)
    if isinstance(value, dict):
        return {k: convert_inputs(layer, v) for k, v in value.items()}
    if isinstance(value, np.ndarray | int | float | np.generic):
        array = check_numeric(np.asarray(value), layer._who())
        if array.dtype.kind == "f":
            array = array.astype(layer._input_dtype, copy=False)
        elif array.dtype.kind in "iu" and array.dtype.name not in (
            "int32",
            "int64",
            "uint8",
        ):
            array = array.astype(
                "int64" if array.dtype.itemsize > 4 else "int32", copy=False
            )
        return _core.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    if hasattr(value, "__array__"):
        return convert_inputs(layer, np.asarray(value))
    return value
