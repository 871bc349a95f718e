"""Atomic files: the old file stays whole until the new one is safely on disk."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

__all__ = ["atomic_write", "io_error", "read_file", "write_bytes"]


def io_error(message: str) -> OSError:
    """Make the error for files that cannot be read or written (`IoError`)."""
    from lamella import _core

    return _core.IoError(message)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, what: str = "save") -> Iterator[Path]:
    """Give a temporary path that replaces `path` when the block ends well.

    The temporary file lies in the folder of `path`, so that the replacement is one
    rename. Before it, the file is flushed to the disk (fsync). When the block or
    the disk fails, the temporary file is removed and `path` is as it was.

    Args:
        path: the file to write. A symbolic link is followed, not replaced.
        what: the user's call, for the error text.

    Raises:
        IoError: when the folder is missing or not writable, or the disk is full.
    """
    target = Path(os.path.realpath(os.fspath(path)))
    folder = target.parent
    if not folder.is_dir():
        raise io_error(
            f"{what}: cannot write '{path}': the folder '{folder}' does not exist; "
            "create it first (os.makedirs)"
        )
    if target.is_dir():
        raise io_error(f"{what}: cannot write '{path}': it is a folder")
    temporary = folder / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        # created here, so that an unwritable folder is found before any work is done,
        # and with the permissions that the umask gives, as open() would
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise io_error(
            f"{what}: cannot write '{path}' in folder '{folder}': {error.strerror}"
        ) from error
    try:
        yield temporary
        try:
            _replace(temporary, target)
        except OSError as error:
            raise io_error(
                f"{what}: cannot write '{path}': {error.strerror}; "
                "the previous file, if any, is unchanged"
            ) from error
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _replace(temporary: Path, target: Path) -> None:
    """Flush `temporary` to the disk and give it the name `target`."""
    with contextlib.suppress(OSError):
        temporary.chmod(target.stat().st_mode & 0o777)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    if os.name == "posix":  # the rename itself reaches the disk with the folder
        with contextlib.suppress(OSError):
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def write_bytes(
    path: str | os.PathLike[str], data: bytes | memoryview, *, what: str = "save"
) -> None:
    """Write `data` to `path` atomically."""
    with atomic_write(path, what=what) as temporary:
        try:
            temporary.write_bytes(data)
        except OSError as error:
            raise io_error(
                f"{what}: cannot write '{path}': {error.strerror}; "
                "the previous file, if any, is unchanged"
            ) from error


def read_file(path: str | os.PathLike[str], *, what: str = "load") -> bytes:
    """Read a whole file; an error names the file and the reason."""
    path = Path(path)
    if path.is_dir():
        raise io_error(f"{what}: '{path}' is a folder, expected a file")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise io_error(f"{what}: no such file: '{path}'") from error
    except OSError as error:
        raise io_error(f"{what}: cannot read '{path}': {error.strerror}") from error
    if not data:
        raise io_error(f"{what}: '{path}' is empty (0 bytes)")
    return data
