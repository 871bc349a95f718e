"""Files that layers keep beside their weights: vocabularies.

A layer with `save_assets(folder)` and `load_assets(folder)` writes and reads files of
its own. In a `.keras` archive they are the members `assets/<path of the layer>/...`.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

__all__ = ["collect", "from_text", "load", "read_folder", "to_text"]

Objects = Iterable[tuple[str, Any]]  # what `keras_format.walk` yields


def collect(objects: Objects) -> dict[str, bytes]:
    """Return the files of all layers by their path: "layers/string_lookup/..."."""
    found: dict[str, bytes] = {}
    for path, obj in objects:
        if not hasattr(obj, "save_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            obj.save_assets(folder)
            for name, data in read_folder(Path(folder)).items():
                found[str(PurePosixPath(path, name))] = data
    return found


def load(objects: Objects, files: dict[str, bytes], title: str) -> None:
    """Give each layer the files below its path.

    Raises:
        ValueError: if a layer cannot read its files, or one would leave its folder.
    """
    for path, obj in objects:
        if not hasattr(obj, "load_assets"):
            continue
        prefix = f"{path}/" if path else ""
        own = {k[len(prefix) :]: v for k, v in files.items() if k.startswith(prefix)}
        with tempfile.TemporaryDirectory() as folder:
            for name, data in own.items():
                parts = PurePosixPath(name).parts
                if ".." in parts or PurePosixPath(name).is_absolute():
                    raise ValueError(f"{title}: the asset {name!r} leaves its folder")
                target = Path(folder, *parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            try:
                obj.load_assets(folder)
            except (OSError, ValueError) as error:
                who = f"{type(obj).__name__} {getattr(obj, 'name', '')!r}"
                raise ValueError(f"{title}: the assets of {who}: {error}") from error


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their paths in it."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def to_text(objects: Objects) -> str | None:
    """Return the files, and the arrays that are no variables, as JSON; None: none."""
    objects = list(objects)
    arrays: dict[str, Any] = {}
    for path, obj in objects:
        if getattr(obj, "_reads_own_state", False):
            store: dict[str, Any] = {}
            obj.save_own_variables(store)
            if store:
                arrays[path] = {k: np.asarray(v).tolist() for k, v in store.items()}
    files = {
        name: base64.b64encode(data).decode() for name, data in collect(objects).items()
    }
    return json.dumps({"files": files, "arrays": arrays}) if files or arrays else None


def from_text(objects: Objects, text: str, title: str) -> None:
    """Give each layer what `to_text` wrote.

    Raises:
        ValueError: if the text is damaged.
    """
    objects = list(objects)
    try:
        content = json.loads(text)
        files = {k: base64.b64decode(v) for k, v in content["files"].items()}
        for path, obj in objects:
            if path in content["arrays"] and getattr(obj, "_reads_own_state", False):
                store = content["arrays"][path]
                obj.load_own_variables(
                    {k: np.asarray(v, "float32") for k, v in store.items()}
                )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{title}: the assets are damaged: {error}") from error
    load(objects, files, title)
