"""HDF5 through h5py: safe reading (no links out of the file, no size bombs)."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lamella.saving.atomic import io_error

if TYPE_CHECKING:
    import h5py

__all__ = [
    "attribute",
    "dataset",
    "group",
    "keys",
    "memory_file",
    "open_bytes",
    "read_strings",
]

MAGIC = b"\x89HDF\r\n\x1a\n"
# a data set above the first size must be backed by this share of bytes in the file
_BOMB_FLOOR = 1 << 30
_BOMB_RATIO = 1000


@contextmanager
def memory_file() -> Iterator[tuple[h5py.File, list[bytes]]]:
    """Give an HDF5 file in memory; its bytes are in the list after the block."""
    import h5py

    result: list[bytes] = []
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        yield file, result
        file.flush()
        result.append(file.id.get_file_image())


@contextmanager
def open_bytes(data: bytes, title: str) -> Iterator[h5py.File]:
    """Open HDF5 bytes for reading; errors inside h5py name the file (`title`)."""
    import h5py

    if not data.startswith(MAGIC):
        raise io_error(
            f"{title}: not an HDF5 file (expected it to begin with {MAGIC!r}, found "
            f"{data[:8]!r})"
        )
    try:
        file = h5py.File(io.BytesIO(data), "r")
    except (OSError, RuntimeError, OverflowError, MemoryError) as error:
        raise io_error(
            f"{title}: HDF5 data is damaged or cut short ({len(data)} bytes): {error}"
        ) from error
    with file:
        yield file


@contextmanager
def damage(title: str) -> Iterator[None]:
    """Turn h5py's own errors into one `IoError` that names the file."""
    try:
        yield
    except (
        RuntimeError,
        KeyError,
        OSError,
        OverflowError,
        TypeError,
        MemoryError,
        UnicodeError,
    ) as error:
        if type(error).__module__.startswith("lamella"):
            raise
        raise io_error(f"{title}: HDF5 data is damaged: {error}") from error


def _child(parent: h5py.Group, name: str, title: str) -> Any:
    """Return a direct child that really lies in this file, or None."""
    import h5py

    with damage(title):
        link = parent.get(name, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            raise io_error(
                f"{title}: '{parent.name}/{name}' is a link to another place, "
                "which is refused"
            )
        return parent[name]


def find(parent: h5py.Group, path: str, title: str) -> Any:
    """Return the object at `path` below `parent`, or None."""
    import h5py

    current: Any = parent
    for part in path.split("/"):
        if not part:
            continue
        if not isinstance(current, h5py.Group):
            return None
        current = _child(current, part, title)
        if current is None:
            return None
    return current


def group(parent: h5py.Group, path: str, title: str) -> h5py.Group:
    """Return the group at `path`; when it is missing, the error lists what is there."""
    import h5py

    found = find(parent, path, title)
    if isinstance(found, h5py.Group):
        return found
    there = ", ".join(sorted(keys(parent, title))) or "nothing"
    raise ValueError(
        f"{title}: HDF5 group '{parent.name.rstrip('/')}/{path}' is missing; "
        f"'{parent.name}' holds: {there}"
    )


def dataset(parent: h5py.Group, path: str, title: str) -> np.ndarray:
    """Read the data set at `path`."""
    import h5py

    found = find(parent, path, title)
    where = f"'{parent.name.rstrip('/')}/{path}'"
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{title}: HDF5 data set {where} is missing")
    with damage(title):
        if found.external or found.is_virtual:
            raise io_error(
                f"{title}: {where} keeps its data in another file, which is refused"
            )
        size = math.prod(found.shape) * found.dtype.itemsize
        if size > _BOMB_FLOOR and size > _BOMB_RATIO * found.id.get_storage_size():
            raise io_error(
                f"{title}: {where} claims {size} bytes but stores "
                f"{found.id.get_storage_size()}; refused"
            )
        kind = found.attrs.get("dtype")
        value = np.asarray(found[()])
    if kind == "bfloat16":  # stored as raw 16-bit words
        return (value.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{title}: {where} has type {value.dtype}, expected numbers")
    return value


def keys(parent: h5py.Group, title: str) -> list[str]:
    """List what lies directly below a group."""
    with damage(title):
        return [text(name) for name in parent]


def attribute(parent: h5py.Group, name: str, title: str) -> str | None:
    """Read a text attribute; None when it is missing."""
    with damage(title):
        return text(parent.attrs[name]) if name in parent.attrs else None


def text(value: Any) -> str:
    """Return an attribute that may be bytes or str as str."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def read_strings(parent: h5py.Group, name: str, title: str) -> list[str] | None:
    """Read a list of strings from an attribute, joined from name0, name1, ...

    Returns None when the attribute is missing.
    """
    with damage(title):
        if name in parent.attrs:
            return [text(item) for item in np.atleast_1d(parent.attrs[name])]
        parts: list[str] = []
        index = 0
        while f"{name}{index}" in parent.attrs:
            parts += [text(item) for item in parent.attrs[f"{name}{index}"]]
            index += 1
    return parts if index else None


def write_strings(parent: h5py.Group, name: str, values: list[str]) -> None:
    """Write strings as Keras does: in several attributes when they are many.

    An HDF5 attribute holds about 64 kB; Keras counts the longest string for each.
    """
    data = [value.encode("utf-8") for value in values]
    limit = 64512
    longest = max((len(item) for item in data), default=1)
    if longest > limit:
        raise ValueError(f"a name of {longest} bytes is too long for an HDF5 file")
    per_part = max(1, limit // longest)
    if len(data) <= per_part:
        parent.attrs[name] = data
        return
    for index, start in enumerate(range(0, len(data), per_part)):
        parent.attrs[f"{name}{index}"] = data[start : start + per_part]


def write_arrays(parent: h5py.Group, arrays: Mapping[str, Any]) -> None:
    """Write each array as a data set."""
    for name, value in arrays.items():
        parent[name] = np.asarray(value)
