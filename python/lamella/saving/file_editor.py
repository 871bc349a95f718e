"""KerasFileEditor: look into a file of weights and change what it holds."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["KerasFileEditor"]


class KerasFileEditor:
    """The weights of a `.keras` or `.weights.h5` file as nested dicts, to be changed.

    Differs from Keras: it prints plain text, and only when asked to.

    Args:
        filepath: the file.

    Example:
        >>> editor = KerasFileEditor("model.weights.h5")  # doctest: +SKIP
        >>> editor.rename_object("dense_1", "dense_2")  # doctest: +SKIP
        >>> editor.save("edited.weights.h5")  # doctest: +SKIP
    """

    def __init__(self, filepath: str | os.PathLike[str]) -> None:
        from lamella.saving import atomic, hdf5

        self.filepath = os.fspath(filepath)
        self.config: Any = None
        self.metadata: Any = None
        title = f"KerasFileEditor '{self.filepath}'"
        if not self.filepath.endswith((".keras", ".weights.h5")):
            raise ValueError(f"{title}: expected a .keras or .weights.h5 file")
        data = atomic.read_file(self.filepath, what="KerasFileEditor")
        if self.filepath.endswith(".keras"):
            from lamella.saving.keras_format import Archive

            archive = Archive(data, title)
            self.config = json.loads(archive.member("config.json"))
            self.metadata = json.loads(archive.member("metadata.json"))
            data = archive.weights()
        self.weights_dict: dict[str, Any] = {}
        self.object_metadata: dict[str, Any] = {}
        with hdf5.open_bytes(data, title) as file:
            self.weights_dict = self._read(file, "", title)

    def _read(self, group: Any, path: str, title: str) -> dict[str, Any]:
        from lamella.saving import hdf5

        found: dict[str, Any] = {}
        for key in hdf5.keys(group, title):
            item = hdf5.find(group, key, title)
            inner = f"{path}/{key}" if path else key
            if not hasattr(item, "keys"):
                found[key] = hdf5.dataset(group, key, title)
            elif key == "vars":  # the arrays of the object itself
                found.update(self._read(item, path, title))
                name = hdf5.attribute(item, "name", title)
                if name is not None:
                    self.object_metadata[path] = name
            else:
                found[key] = self._read(item, inner, title)
        return found

    # -- looking ---------------------------------------------------------------

    def summary(self) -> None:
        """Print the tree of objects and arrays."""
        print(f"Weights structure of '{self.filepath}'")
        for line in self._lines(self.weights_dict, 1, ""):
            print(line)

    def _lines(self, tree: Mapping[str, Any], level: int, path: str) -> Iterator[str]:
        for key, value in tree.items():
            indent = "   " * level
            if isinstance(value, dict):
                inner = f"{path}/{key}" if path else key
                name = self.object_metadata.get(inner)
                yield f"{indent}{key}" + (f" ('{name}')" if name else "")
                yield from self._lines(value, level + 1, inner)
            else:
                yield f"{indent}{key}: shape={value.shape}, dtype={value.dtype}"

    def compare(self, reference_model: Any) -> dict[str, Any]:
        """Compare with a built model; print what differs.

        Returns:
            Dict with "status" ("success" or "error"), "error_count", "match_count".
        """
        from lamella.saving.weights import is_seed, own_arrays, walk

        found = {path: value.shape for path, value in _leaves(self.weights_dict, "")}
        expected = {}
        for path, obj in walk(reference_model):
            for key, value in own_arrays(obj).items():
                full = f"{path}/{key}" if path else key
                if full in found or not is_seed(obj):  # Keras's files have no seeds
                    expected[full] = value.shape
        errors = 0
        for path in sorted({*expected, *found}):
            if expected.get(path) == found.get(path):
                continue
            errors += 1
            print(
                f"...{path}: shape {expected.get(path, 'missing')} in the model, "
                f"{found.get(path, 'missing')} in the file"
            )
        matches = sum(found.get(path) == shape for path, shape in expected.items())
        return {
            "status": "error" if errors else "success",
            "error_count": errors,
            "match_count": matches,
        }

    # -- changing --------------------------------------------------------------

    def _find(self, name: str) -> tuple[dict[str, Any], str]:
        """Return the dict that holds an object, and its key there."""
        if "/" in name:
            place: Any = self.weights_dict
            *parts, last = name.split("/")
            for part in parts:
                place = place.get(part) if isinstance(place, dict) else None
            if not isinstance(place, dict) or last not in place:
                raise ValueError(f"KerasFileEditor: the file has no path '{name}'")
            return place, last
        places = [d for d in _dicts(self.weights_dict) if name in d]
        if len(places) != 1:
            raise ValueError(
                f"KerasFileEditor: the file has {len(places)} objects named '{name}'; "
                "give the whole path (summary() prints them)"
            )
        return places[0], name

    def rename_object(self, object_name: str, new_name: str) -> None:
        """Give an object (its name, or its path) another name."""
        if "/" in new_name:
            raise ValueError(
                f"KerasFileEditor: new_name must be a name, not a path: '{new_name}'"
            )
        place, key = self._find(object_name)
        place[new_name] = place.pop(key)

    def delete_object(self, object_name: str) -> None:
        """Remove an object."""
        place, key = self._find(object_name)
        del place[key]

    def add_object(self, object_path: str, weights: Mapping[str, Any]) -> None:
        """Add an object with arrays by their keys ("0", "1", ...)."""
        _check_weights(weights)
        place = self.weights_dict
        *parts, last = object_path.split("/")
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = dict(weights)

    def delete_weight(self, object_name: str, weight_name: str) -> None:
        """Remove one array of an object."""
        place, key = self._find(object_name)
        if weight_name not in place[key]:
            raise ValueError(
                f"KerasFileEditor: '{object_name}' has no weight '{weight_name}'; it "
                f"has {', '.join(place[key])}"
            )
        del place[key][weight_name]

    def add_weights(self, object_name: str, weights: Mapping[str, Any]) -> None:
        """Add arrays to an object, or replace some."""
        _check_weights(weights)
        place, key = self._find(object_name)
        place[key].update(weights)

    # -- writing ---------------------------------------------------------------

    def save(self, filepath: str | os.PathLike[str]) -> None:
        """Write the changed weights: `.weights.h5`, or `.keras` if this was one."""
        from lamella.saving import atomic, hdf5

        path = os.fspath(filepath)
        whole = path.endswith(".keras") and self.config is not None
        if not whole and not path.endswith(".weights.h5"):
            raise ValueError(
                f"KerasFileEditor: save expects a .weights.h5 file, got '{path}'"
            )
        with hdf5.memory_file() as (file, result):
            self._write(file, self.weights_dict, "")
        data = result[0]
        if whole:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr("metadata.json", json.dumps(self.metadata))
                archive.writestr("config.json", json.dumps(self.config))
                archive.writestr("model.weights.h5", data)
            data = buffer.getvalue()
        atomic.write_bytes(path, data, what="KerasFileEditor")

    resave_weights = save

    def _write(self, file: Any, tree: Mapping[str, Any], path: str) -> None:
        from lamella.saving import hdf5

        arrays = {k: v for k, v in tree.items() if not isinstance(v, dict)}
        group = file.require_group(f"{path}/vars" if path else "vars")
        if path in self.object_metadata:
            group.attrs["name"] = self.object_metadata[path]
        hdf5.write_arrays(group, arrays)
        for key, value in tree.items():
            if isinstance(value, dict):
                self._write(file, value, f"{path}/{key}" if path else key)


def _check_weights(weights: Any) -> None:
    if not isinstance(weights, Mapping) or not all(
        isinstance(k, str) and isinstance(v, np.ndarray) for k, v in weights.items()
    ):
        raise ValueError(
            "KerasFileEditor: weights must be a dict of names and NumPy arrays, got "
            f"{weights!r}"
        )


def _dicts(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield tree
    for value in tree.values():
        if isinstance(value, dict):
            yield from _dicts(value)


def _leaves(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, np.ndarray]]:
    for key, value in tree.items():
        inner = f"{path}/{key}" if path else key
        if isinstance(value, dict):
            yield from _leaves(value, inner)
        else:
            yield inner, value
