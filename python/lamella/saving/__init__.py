"""Saving and loading: Keras's `.keras` and `.h5`, and lamella's own `.lamella`.

Every file is written to a temporary name first and then renamed: a crash leaves the
old file whole. Loading never runs code from a file.
"""

from __future__ import annotations

import os
from typing import Any

from lamella.saving.file_editor import KerasFileEditor
from lamella.saving.object_registration import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from lamella.saving.serialization import (
    deserialize_keras_object,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope",
    "KerasFileEditor",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]

_MODEL_SUFFIXES = ".keras (Keras 3), .h5 or .hdf5 (older Keras), .lamella (C++ too)"
_WEIGHT_SUFFIXES = ".weights.h5 (Keras 3), .h5 or .hdf5 (older Keras), .lamella"


def _path(filepath: str | os.PathLike[str], what: str) -> str:
    """Return the path as a string."""
    if not isinstance(filepath, str | os.PathLike):
        raise ValueError(f"{what}: filepath must be a path, got filepath={filepath!r}")
    return os.fspath(filepath)


def _free(path: str, overwrite: bool, what: str) -> None:
    """Refuse to replace a file when overwrite is False."""
    if not overwrite and os.path.exists(path):  # noqa: PTH110
        from lamella.saving.atomic import io_error

        raise io_error(f"{what}: '{path}' exists; pass overwrite=True to replace it")


def _format(path: str) -> str:
    """Return the format that a suffix stands for, or ""."""
    lower = path.lower()
    if lower.endswith(".weights.h5"):
        return "weights"
    if lower.endswith(".weights.json"):
        return "shards"
    if lower.endswith((".h5", ".hdf5")):
        return "h5"
    for suffix in ("keras", "lamella"):
        if lower.endswith(f".{suffix}"):
            return suffix
    return ""


def save_model(
    model: Any,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    include_optimizer: bool = True,
    **kwargs: Any,
) -> None:
    """Save a model: architecture, weights, and how it was compiled.

    Differs from Keras: the file is written atomically; `overwrite=False` raises
    and never asks; `include_optimizer=False` counts for every format.

    Args:
        model: the model, built.
        filepath: the suffix chooses the format: ".keras", ".h5"/".hdf5", ".lamella".
        overwrite: whether an existing file may be replaced. Default True.
        include_optimizer: save how the model was compiled and the optimizer's state,
            so that training goes on with the same numbers. Default True.
        kwargs: `zipped=False` writes the parts of a ".keras" file into a folder;
            `save_format` ("keras", "h5") is accepted.

    Raises:
        ValueError: another suffix, or a lambda in the model.
        IoError: the file cannot be written; an old one is unchanged.

    Example:
        >>> save_model(model, "model.keras")  # doctest: +SKIP
    """
    zipped = kwargs.pop("zipped", None)
    if hasattr(filepath, "write"):
        _module("keras").save_model(model, filepath, include_optimizer)
        return
    path = _path(filepath, "save_model")
    kind = _format(path)
    save_format = kwargs.pop("save_format", None)
    if kwargs:
        raise ValueError(f"save_model: unknown arguments: {', '.join(kwargs)}")
    if save_format not in (None, "keras", "h5"):
        raise ValueError(
            f"save_model: save_format={save_format!r} is not supported; "
            f"the suffix chooses the format: {_MODEL_SUFFIXES}"
        )
    if zipped is False:
        if kind:
            raise ValueError(
                "save_model: zipped=False writes a folder, whose name must not end "
                f"like a file, got filepath='{path}'"
            )
        _free(path, overwrite, "save_model")
        _module("keras").save_model(model, path, include_optimizer, zipped=False)
        return
    if kind in ("weights", "shards"):
        raise ValueError(
            f"save_model: '{path}': .weights.h5 is for weights alone; call "
            f"save_weights(), or use one of {_MODEL_SUFFIXES}"
        )
    if not kind:
        raise ValueError(
            f"save_model: unknown suffix in filepath='{path}'; use one of "
            f"{_MODEL_SUFFIXES}"
        )
    _free(path, overwrite, "save_model")
    _module(kind).save_model(model, path, include_optimizer)


def _module(kind: str) -> Any:
    """Import the module of a format; h5py only comes with those that need it."""
    if kind == "h5":
        from lamella.saving import legacy_h5

        return legacy_h5
    if kind == "lamella":
        from lamella.saving import lamella_format

        return lamella_format
    from lamella.saving import keras_format

    return keras_format


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Load a model that lamella or Keras saved.

    Args:
        filepath: a ".keras", ".h5"/".hdf5" or ".lamella" file.
        custom_objects: names and the classes or functions they stand for.
        compile: compile as the file says and restore the optimizer. Default True.
        safe_mode: accepted for Keras's sake. Differs from Keras: code in a file
            (lambdas) is refused even with safe_mode=False.

    Returns:
        The model, built, and compiled if it was and `compile` is True.

    Raises:
        IoError: the file is missing, damaged or not of its format.
        ValueError: unknown suffix, unknown class, code in the file, or weights that
            do not fit; nothing is skipped in silence.

    Example:
        >>> model = load_model("model.keras")  # doctest: +SKIP
    """
    if hasattr(filepath, "read"):
        return _module("keras").load_model(filepath, custom_objects, compile)
    path = _path(filepath, "load_model")
    kind = _format(path)
    if os.path.isfile(os.path.join(path, "config.json")):  # noqa: PTH113, PTH118
        return _module("keras").load_model(path, custom_objects, compile)
    if kind in ("weights", "shards"):
        raise ValueError(
            f"load_model: '{path}' holds weights alone; build the model and call "
            "model.load_weights()"
        )
    if not kind:
        if os.path.isdir(path):  # noqa: PTH112
            raise ValueError(
                f"load_model: '{path}' is a folder (a TensorFlow SavedModel?); save it "
                "from Keras as .keras or .h5"
            )
        raise ValueError(
            f"load_model: unknown suffix in filepath='{path}'; use one of "
            f"{_MODEL_SUFFIXES}"
        )
    del safe_mode
    return _module(kind).load_model(path, custom_objects, compile)


def save_weights(
    model: Any,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    max_shard_size: float | None = None,
) -> None:
    """Save the weights of a model.

    Args:
        model: a built model.
        filepath: the suffix chooses the format: ".weights.h5" (Keras 3; also holds
            the optimizer's state), ".h5"/".hdf5" (older Keras), ".lamella".
        overwrite: whether an existing file may be replaced. Default True.
        max_shard_size: largest size of a file in GiB; the weights then go into several
            files, listed in `filepath`, which must end in ".weights.json".

    Raises:
        ValueError: another suffix, or a model that is not built.
        IoError: the file cannot be written; an old one is unchanged.
    """
    path = _path(filepath, "save_weights")
    kind = _format(path)
    if kind in ("", "keras"):
        raise ValueError(
            f"save_weights: unknown suffix in filepath='{path}'; use one of "
            f"{_WEIGHT_SUFFIXES}"
        )
    _built(model, "save_weights")
    if max_shard_size is not None or kind == "shards":
        if kind not in ("shards", "weights") or max_shard_size is None:
            raise ValueError(
                "save_weights: max_shard_size and a filepath that ends in "
                f".weights.json go together, got filepath='{path}', "
                f"max_shard_size={max_shard_size!r}"
            )
        path = path.removesuffix(".h5").removesuffix(".json") + ".json"
        _free(path, overwrite, "save_weights")
        _module("keras").save_weights(model, path, max_shard_size)
        return
    _free(path, overwrite, "save_weights")
    _module(kind).save_weights(model, path)


def load_weights(
    model: Any,
    filepath: str | os.PathLike[str],
    skip_mismatch: bool = False,
    by_name: bool = False,
) -> None:
    """Load weights into a built model.

    Nothing is assigned unless everything fits. The state of an optimizer that is
    already built is restored too when the file has one that fits.

    Args:
        model: a built model.
        filepath: ".weights.h5", ".weights.json" (a list of files), ".keras",
            ".h5"/".hdf5" or ".lamella".
        skip_mismatch: leave layers that do not fit as they are and warn. Default False.
        by_name: match layers by name, not by order (older ".h5" only). Default False.

    Raises:
        ValueError: a layer is missing, or a shape is different: both are named.
        IoError: the file is missing, damaged or not of its format.
    """
    path = _path(filepath, "load_weights")
    kind = _format(path)
    if not kind:
        raise ValueError(
            f"load_weights: unknown suffix in filepath='{path}'; use one of "
            f"{_WEIGHT_SUFFIXES}, .keras"
        )
    if by_name and kind != "h5":
        raise ValueError("load_weights: by_name=True works with older .h5 files only")
    _built(model, "load_weights")
    if kind == "h5":
        _module(kind).load_weights(model, path, skip_mismatch, by_name)
    else:
        _module(kind).load_weights(model, path, skip_mismatch)


def _built(model: Any, what: str) -> None:
    """Refuse a model without weights."""
    if not getattr(model, "built", True):
        raise ValueError(
            f"{what}: model '{model.name}' is not built: its weights do not exist yet. "
            "Call it on data, call build(input_shape), or begin it with an Input"
        )
