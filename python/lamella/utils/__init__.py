"""Helpers around training: encoding, seeds, downloads, plots, progress bars."""

from __future__ import annotations

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
    from .file_utils import get_file, hash_file, validate_file
    from .image_dataset import image_dataset_from_directory
    from .image_utils import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "CustomObjectScope",
    "Profile",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
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
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "load_img",
    "normalize",
    "plot_history",
    "profile",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
    "validate_file",
]

# The network modules of the standard library are not needed to train.
_FROM_FILES = ("get_file", "hash_file", "validate_file")

# Pillow and the image functions are not needed to train.
_FROM_IMAGES = ("array_to_img", "img_to_array", "load_img", "save_img")

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
    if name in _FROM_IMAGES:
        from . import image_utils

        return getattr(image_utils, name)
    if name == "image_dataset_from_directory":
        from . import image_dataset

        return image_dataset.image_dataset_from_directory
    if name in _FROM_SAVING:
        from .. import saving

        return getattr(saving, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
