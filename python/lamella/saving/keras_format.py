"""Keras 3's `.keras` archive and `.weights.h5`, written so that Keras opens them.

Layout (Keras 3.15): a zip, or a folder, with `metadata.json`, `config.json` and
`model.weights.h5`; see `weights` for what is in the last.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lamella.saving import assets, atomic, hdf5, sharding
from lamella.saving.serialization import (
    deserialize_keras_object,
    object_sharing,
    serialize_keras_object,
)
from lamella.saving.weights import load_weights_from, walk, weights_to_bytes

__all__ = [
    "KERAS_VERSION",
    "Archive",
    "load_model",
    "load_weights",
    "model_from_json_text",
    "save_model",
    "save_weights",
]

KERAS_VERSION = "3.15.1"  # whose layout is written

_CONFIG = "config.json"
_METADATA = "metadata.json"
_WEIGHTS = "model.weights.h5"
_ASSETS = "assets/"
_BOMB_FLOOR = 1 << 28
_BOMB_RATIO = 100


# -- .weights.h5 --------------------------------------------------------------------


def save_weights(
    model: Any,
    filepath: str | os.PathLike[str],
    max_shard_size: float | None = None,
) -> None:
    """Write `.weights.h5` as Keras does (weights, and the optimizer's state)."""
    if max_shard_size is not None:
        sharding.save_shards(model, filepath, max_shard_size)
        return
    atomic.write_bytes(filepath, weights_to_bytes(model), what="save_weights")


def load_weights(
    model: Any, filepath: str | os.PathLike[str], skip_mismatch: bool = False
) -> None:
    """Read `.weights.h5`, or the weights in a `.keras` archive."""
    title = f"load_weights '{filepath}'"
    if str(filepath).endswith(".json"):
        with sharding.open_shards(filepath, title) as file:
            load_weights_from(file, model, title, skip_mismatch=skip_mismatch)
        return
    data = atomic.read_file(filepath, what="load_weights")
    if str(filepath).endswith(".keras"):
        data = Archive(data, title).weights()
    with hdf5.open_bytes(data, title) as file:
        load_weights_from(file, model, title, skip_mismatch=skip_mismatch)


# -- .keras -------------------------------------------------------------------------


def config_json(model: Any, include_optimizer: bool = True) -> str:
    """Return config.json: the model, and how it was compiled."""
    with object_sharing():
        config = serialize_keras_object(model)
    if not include_optimizer:
        config.pop("compile_config", None)
    return json.dumps(config)


def save_model(
    model: Any,
    filepath: Any,
    include_optimizer: bool = True,
    zipped: bool = True,
) -> None:
    """Write a `.keras` archive, to a path or an open binary file, or a folder."""
    now = datetime.datetime.now()
    metadata = {
        "keras_version": KERAS_VERSION,
        "date_saved": now.strftime("%Y-%m-%d@%H:%M:%S"),
    }
    members = {
        _METADATA: json.dumps(metadata).encode(),
        _CONFIG: config_json(model, include_optimizer).encode(),
        _WEIGHTS: weights_to_bytes(model, include_optimizer),
    }
    for name, data in assets.collect(walk(model)).items():
        members[_ASSETS + name] = data
    if not zipped:
        folder = Path(filepath)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in members.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(folder / name, data, what="save_model")
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    if hasattr(filepath, "write"):
        filepath.write(buffer.getvalue())
    else:
        atomic.write_bytes(filepath, buffer.getbuffer(), what="save_model")


class Archive:
    """The members of a `.keras` archive, checked."""

    def __init__(self, data: bytes, title: str) -> None:
        self.title = title
        if data.startswith(hdf5.MAGIC):
            raise ValueError(
                f"{title}: this is an HDF5 file, not a .keras archive; give it the "
                "suffix .h5 (whole model) or .weights.h5 (weights)"
            )
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            what = (
                "the zip archive is damaged or cut short"
                if data.startswith(b"PK")
                else f"not a zip archive (it begins with {data[:4]!r})"
            )
            raise atomic.io_error(
                f"{title}: {what} ({len(data)} bytes): {error}"
            ) from error

    def member(self, name: str) -> bytes:
        """Return one member; its checksum is verified."""
        try:
            info = self.zip.getinfo(name)
        except KeyError:
            there = ", ".join(self.zip.namelist()[:8]) or "nothing"
            raise atomic.io_error(
                f"{self.title}: the archive has no member '{name}'; it holds: {there}"
            ) from None
        if (
            info.file_size > _BOMB_FLOOR
            and info.file_size > _BOMB_RATIO * info.compress_size
        ):
            raise atomic.io_error(
                f"{self.title}: member '{name}' claims {info.file_size} bytes but "
                f"stores {info.compress_size}; refused"
            )
        try:
            return self.zip.read(info)
        except Exception as error:  # zlib.error, BadZipFile, EOFError, ...
            raise atomic.io_error(
                f"{self.title}: member '{name}' is damaged: {error}"
            ) from error

    def weights(self) -> bytes:
        """Return the bytes of the weights file."""
        names = self.zip.namelist()
        if _WEIGHTS not in names:
            for name in names:
                if name.startswith("model.weights"):
                    raise ValueError(
                        f"{self.title}: the weights are in '{name}', which lamella "
                        f"does not read; save the model with '{_WEIGHTS}' "
                        "(Keras's default)"
                    )
        return self.member(_WEIGHTS)

    def assets(self) -> dict[str, bytes]:
        """Return the files of the layers by their paths."""
        names = [n for n in self.zip.namelist() if n.startswith(_ASSETS)]
        return {n[len(_ASSETS) :]: self.member(n) for n in names if n[-1] != "/"}


def read_json(data: bytes | str, title: str, what: str) -> Any:
    """Parse JSON from a file."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{title}: {what} is not valid JSON: {error}") from error


def model_from_json_text(
    data: bytes | str,
    title: str,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
) -> Any:
    """Make the model of a config.json."""
    config = read_json(data, title, _CONFIG)
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(
            f"{title}: {_CONFIG} does not describe a model: 'class_name' is missing"
        )
    if not compile:
        config["compile_config"] = None
    with damaged_config(title, _CONFIG), object_sharing():
        model = deserialize_keras_object(config, custom_objects)
        check_model(model)
    return model


def check_model(model: Any) -> None:
    """Refuse a description of something that is no model."""
    from lamella.layers import Layer

    if not isinstance(model, Layer) or not hasattr(model, "layers"):
        raise ValueError(f"the file describes no model but {str(model)[:80]!r}")


@contextmanager
def damaged_config(title: str, what: str) -> Iterator[None]:
    """Turn what a damaged description leads to into a ValueError with the file."""
    try:
        yield
    except RecursionError as error:
        raise ValueError(f"{title}: {what} is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from error
    except KeyError as error:
        raise ValueError(f"{title}: {what} lacks the key {error}") from error
    except (TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise ValueError(
            f"{title}: {what} cannot be understood: {type(error).__name__}: {error}"
        ) from error


def load_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
) -> Any:
    """Read a `.keras` archive (path, open file or folder) of lamella or Keras 3."""
    title = f"load_model '{getattr(filepath, 'name', filepath)}'"
    if not hasattr(filepath, "read") and (Path(filepath) / _CONFIG).is_file():
        config = atomic.read_file(Path(filepath) / _CONFIG, what="load_model")
        weights = atomic.read_file(Path(filepath) / _WEIGHTS, what="load_model")
        files = assets.read_folder(Path(filepath) / _ASSETS)
    else:
        data = (
            filepath.read()
            if hasattr(filepath, "read")
            else atomic.read_file(filepath, what="load_model")
        )
        archive = Archive(data, title)
        config = archive.member(_CONFIG)
        weights = archive.weights()
        files = archive.assets()
    model = model_from_json_text(config, title, custom_objects, compile)
    with hdf5.open_bytes(weights, title) as file:
        build_optimizer(model)
        load_weights_from(file, model, title, optimizer="must fit")
    assets.load(walk(model), files, title)
    return model


def build_optimizer(model: Any) -> None:
    """Create the optimizer's slots of a compiled, built model."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built and getattr(model, "built", False):
        optimizer.build(model.trainable_variables)
