"""Helpers around training: encoding, seeds, downloads, plots, progress bars."""

from __future__ import annotations

import importlib
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
from .profiling import Profile, profile
from .progbar import Progbar
from .pydataset import PyDataset, Sequence
from .rng import get_random_seed, set_random_seed
from .session import clear_session

if TYPE_CHECKING:
    from .dataset import Dataset
    from .file_utils import get_file, hash_file, validate_file
    from .image_dataset import image_dataset_from_directory
    from .image_utils import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "Config",
    "CustomObjectScope",
    "Dataset",
    "FeatureSpace",
    "Profile",
    "Progbar",
    "PyDataset",
    "Sequence",
    "audio_dataset_from_directory",
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
    "get_source_inputs",
    "hash_file",
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "profile",
    "register_keras_serializable",
    "save_img",
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

# The module of each name that is loaded when it is first used: reading data, Pillow and
# the network are not needed to train.
_LAZY = {
    "CustomObjectScope": "lamella.saving",
    "Dataset": "lamella.utils.dataset",
    "FeatureSpace": "lamella.utils.feature_space",
    "array_to_img": "lamella.utils.image_utils",
    "audio_dataset_from_directory": "lamella.utils.audio_dataset",
    "custom_object_scope": "lamella.saving",
    "deserialize_keras_object": "lamella.saving",
    "get_custom_objects": "lamella.saving",
    "get_file": "lamella.utils.file_utils",
    "get_registered_name": "lamella.saving",
    "get_registered_object": "lamella.saving",
    "hash_file": "lamella.utils.file_utils",
    "image_dataset_from_directory": "lamella.utils.image_dataset",
    "img_to_array": "lamella.utils.image_utils",
    "load_img": "lamella.utils.image_utils",
    "pack_x_y_sample_weight": "lamella.utils.splitting",
    "pad_sequences": "lamella.utils.sequence_utils",
    "register_keras_serializable": "lamella.saving",
    "save_img": "lamella.utils.image_utils",
    "serialize_keras_object": "lamella.saving",
    "split_dataset": "lamella.utils.splitting",
    "standardize_dtype": "lamella.config",
    "text_dataset_from_directory": "lamella.utils.text_dataset",
    "timeseries_dataset_from_array": "lamella.utils.timeseries_dataset",
    "unpack_x_y_sample_weight": "lamella.models.data",
    "validate_file": "lamella.utils.file_utils",
}


def is_keras_tensor(x: Any) -> bool:
    """Return True for a placeholder: what `Input` and layers called on it return."""
    return getattr(type(x), "_is_placeholder", False)


def __getattr__(name: str) -> Any:
    if name == "bounding_boxes":
        raise AttributeError(
            "lamella.utils has no 'bounding_boxes': lamella has no layers or functions "
            "for object detection"
        )
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
