"""Models: Sequential, Model, and functions to copy and read them."""

from __future__ import annotations

from typing import Any

from lamella.models.cloning import clone_model
from lamella.models.functional import Functional
from lamella.models.model import Model, model_from_json
from lamella.models.sequential import Sequential

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]


def load_model(
    filepath: Any,
    custom_objects: Any = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Read a model from a file; see `lamella.saving.load_model`."""
    from lamella import saving

    return saving.load_model(
        filepath, custom_objects=custom_objects, compile=compile, safe_mode=safe_mode
    )


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, **kwargs: Any
) -> None:
    """Write a model to a file; see `Model.save`."""
    model.save(filepath, overwrite=overwrite, **kwargs)
