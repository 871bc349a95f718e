"""Weights in several files of limited size, as Keras 3 lays them out.

`<name>.weights.json` says which file `<name>_00000.weights.h5`, ... holds the arrays
of each layer: {"metadata": {"total_size": bytes}, "weight_map": {group: file or
list of files}}. The files have the layout of `.weights.h5`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamella.saving import atomic, hdf5
from lamella.saving.weights import is_seed, own_arrays, walk

if TYPE_CHECKING:
    import h5py

__all__ = ["open_shards", "save_shards"]

# One array of one object: (group, its name attribute, key, value).
_Entry = tuple[str, "str | None", str, np.ndarray]


def _entries(model: Any) -> Iterator[_Entry]:
    for path, obj in walk(model):
        name = None if is_seed(obj) else getattr(obj, "name", None)
        for key, value in own_arrays(obj).items():
            yield f"{path}/vars" if path else "vars", name, key, value


def _shards(model: Any, limit: float) -> Iterator[list[_Entry]]:
    shard: list[_Entry] = []
    size = 0
    for entry in _entries(model):
        n_bytes = entry[3].nbytes
        if n_bytes > limit:
            raise ValueError(
                f"save_weights: array {entry[2]!r} of {entry[0]!r} has {n_bytes} "
                f"bytes, more than max_shard_size allows ({int(limit)}); give more"
            )
        if size + n_bytes > limit:
            yield shard
            shard, size = [], 0
        shard.append(entry)
        size += n_bytes
    yield shard


def save_shards(
    model: Any, filepath: str | os.PathLike[str], max_shard_size: float
) -> None:
    """Write the weights in files of at most `max_shard_size` GiB each.

    The list of files is written last, so that a broken attempt leaves an old list
    whole.
    """
    path = Path(filepath).with_suffix(".json")
    stem = path.stem.replace(".weights", "")
    places: dict[str, Any] = {}
    total = 0
    for number, shard in enumerate(_shards(model, float(max_shard_size) * 1024**3)):
        file_name = f"{stem}_{number:05}.weights.h5"
        with hdf5.memory_file() as (file, result):
            for group_name, name, key, value in shard:
                group = file.require_group(group_name)
                if isinstance(name, str):
                    group.attrs["name"] = name
                hdf5.write_arrays(group, {key: value})
                total += value.nbytes
                known = places.setdefault(f"/{group_name}", file_name)
                if isinstance(known, str) and known != file_name:
                    places[f"/{group_name}"] = [known, file_name]
                elif isinstance(known, list) and file_name not in known:
                    known.append(file_name)
        atomic.write_bytes(path.with_name(file_name), result[0], what="save_weights")
    index = {"metadata": {"total_size": total}, "weight_map": places}
    atomic.write_bytes(path, json.dumps(index, indent=4).encode(), what="save_weights")


@contextmanager
def open_shards(filepath: str | os.PathLike[str], title: str) -> Iterator[h5py.File]:
    """Give one HDF5 file in memory with what all the files hold."""
    path = Path(filepath)
    try:
        index = json.loads(atomic.read_file(path, what="load_weights"))
        places = index["weight_map"]
        listed = {
            n for v in places.values() for n in (v if isinstance(v, list) else [v])
        }
        names = sorted(listed)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{title}: not a list of weight files: {type(error).__name__}: {error}"
        ) from error
    if any(not isinstance(n, str) or Path(n).name != n for n in names):
        raise ValueError(f"{title}: the list names files outside its folder: {names}")
    with hdf5.memory_file() as (whole, result):
        for name in names:
            data = atomic.read_file(path.with_name(name), what="load_weights")
            with hdf5.open_bytes(data, f"{title}: '{name}'") as part:
                _copy(part, whole, f"{title}: '{name}'")
    with hdf5.open_bytes(result[0], title) as file:
        yield file


def _copy(source: Any, target: Any, title: str) -> None:
    """Copy all groups and data sets."""
    import h5py

    for key in hdf5.keys(source, title):
        item = hdf5.find(source, key, title)
        if isinstance(item, h5py.Group):
            _copy(item, target.require_group(key), title)
        else:
            hdf5.write_arrays(target, {key: hdf5.dataset(source, key, title)})
