"""Keras's old place of functions that read and prepare data; they live in `utils`."""

from __future__ import annotations

import importlib
from typing import Any

from . import sequence

__all__ = [
    "image",
    "image_dataset_from_directory",
    "sequence",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]


def __getattr__(name: str) -> Any:
    if name == "image":
        return importlib.import_module(f"{__name__}.image")
    if name in __all__:
        from lamella import utils

        return getattr(utils, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
