"""Helpers around training: encoding, seeds, downloads, plots, progress bars."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .io_utils import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from .numerical import normalize, to_categorical
from .plotting import plot_history
from .profiling import Profile, profile
from .progbar import Progbar
from .pydataset import PyDataset, Sequence
from .rng import get_random_seed, set_random_seed
from .session import clear_session

if TYPE_CHECKING:
    from .dataset import Dataset
    from .file_utils import get_file, hash_file, validate_file

__all__ = [
    "CustomObjectScope",
    "Dataset",
    "FeatureSpace",
    "Profile",
    "Progbar",
    "PyDataset",
    "Sequence",
    "audio_dataset_from_directory",
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
    "hash_file",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_history",
    "profile",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
    "validate_file",
]

# The network modules of the standard library are not needed to train.
_FROM_FILES = ("get_file", "hash_file", "validate_file")


def is_keras_tensor(x: Any) -> bool:
    """Return True for a placeholder: what `Input` and layers called on it return."""
    return getattr(type(x), "_is_placeholder", False)


# What reads and prepares data is loaded when it is first used.
_FROM_DATA = {
    "Dataset": "dataset",
    "FeatureSpace": "feature_space",
    "audio_dataset_from_directory": "audio_dataset",
    "pack_x_y_sample_weight": "splitting",
    "pad_sequences": "sequence_utils",
    "split_dataset": "splitting",
    "text_dataset_from_directory": "text_dataset",
    "timeseries_dataset_from_array": "timeseries_dataset",
}

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
    if name in _FROM_DATA:
        module = importlib.import_module(f"{__name__}.{_FROM_DATA[name]}")
        return getattr(module, name)
    if name == "standardize_dtype":
        from ..config import standardize_dtype

        return standardize_dtype
    if name == "unpack_x_y_sample_weight":
        from ..models.data import unpack_x_y_sample_weight

        return unpack_x_y_sample_weight
    if name in _FROM_SAVING:
        from .. import saving

        return getattr(saving, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
