"""Helpers around training: encoding, seeds, downloads, plots, progress bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import Config
from .graph_utils import get_source_inputs
from .io_utils import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from .model_visualization import model_to_dot, plot_model
from .numerical import normalize, to_categorical
from .plotting import plot_history
from .profiling import Profile, profile
from .progbar import Progbar
from .pydataset import PyDataset, Sequence
from .rng import get_random_seed, set_random_seed
from .session import clear_session

if TYPE_CHECKING:
    from .file_utils import get_file, hash_file, validate_file

__all__ = [
    "Config",
    "CustomObjectScope",
    "Profile",
    "Progbar",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_random_seed",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "hash_file",
    "is_interactive_logging_enabled",
    "model_to_dot",
    "normalize",
    "plot_history",
    "plot_model",
    "profile",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
    "validate_file",
]

# The network modules of the standard library are not needed to train.
_FROM_FILES = ("get_file", "hash_file", "validate_file")

# Keras has these both here and in `saving`, where they live.
_FROM_SAVING = (
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
    "serialize_keras_object",
)


def __getattr__(name: str) -> Any:
    if name in _FROM_FILES:
        from . import file_utils

        return getattr(file_utils, name)
    if name in _FROM_SAVING:
        from .. import saving

        return getattr(saving, name)
    if name == "bounding_boxes":
        raise AttributeError(
            "lamella.utils has no 'bounding_boxes': lamella has no layers or functions "
            "for object detection"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
