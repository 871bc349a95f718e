"""Downloads: cache folder, checksums, mirrors, resumed and atomic."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .io_utils import print_msg
from .progbar import Progbar

__all__ = ["cache_folder", "extract_archive", "get_file", "hash_file", "validate_file"]

_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without an answer


class _Mismatch(OSError):
    """The bytes that came are not those that were expected."""


def cache_folder() -> Path:
    """Return the cache folder: ``LAMELLA_HOME``, else ``~/.lamella``."""
    home = os.environ.get("LAMELLA_HOME")
    return Path(home).expanduser() if home else Path("~/.lamella").expanduser()


def hash_file(
    fpath: str | os.PathLike[str],
    algorithm: str = "sha256",
    chunk_size: int = 1 << 20,
) -> str:
    """Compute the SHA-256 (or md5) of a file.

    Args:
        fpath: The file.
        algorithm: ``"sha256"`` (also ``"auto"``) or ``"md5"``.
        chunk_size: Bytes read at a time.

    Returns:
        The hash in hexadecimal.

    Raises:
        ValueError: If the algorithm is unknown.
    """
    if algorithm not in ("auto", "sha256", "md5"):
        raise ValueError(
            "hash_file: algorithm must be 'auto', 'sha256' or 'md5', "
            f"got algorithm={algorithm!r}"
        )
    if algorithm == "md5":
        hasher = hashlib.md5(usedforsecurity=False)
    else:
        hasher = hashlib.sha256()
    with Path(fpath).open("rb") as file:
        while chunk := file.read(chunk_size):
            hasher.update(chunk)
    return hasher.hexdigest()


def validate_file(
    fpath: str | os.PathLike[str],
    file_hash: str,
    algorithm: str = "auto",
    chunk_size: int = 1 << 20,
) -> bool:
    """Whether a file has the given hash.

    Args:
        fpath: The file.
        file_hash: The expected hash in hexadecimal.
        algorithm: ``"sha256"``, ``"md5"``, or ``"auto"``: told by the length.
        chunk_size: Bytes read at a time.
    """
    if algorithm == "auto":
        algorithm = "md5" if len(file_hash) == 32 else "sha256"
    return hash_file(fpath, algorithm, chunk_size) == file_hash.lower()


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | Sequence[str] | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | Sequence[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """Download a file into the cache, unless it is there already.

    The file appears under its name only when it is whole and its hash is right.
    With a hash given, a broken download is resumed where it stopped.

    Differs from Keras: the cache is ``~/.lamella`` or ``LAMELLA_HOME``; `origin`
    may list mirrors, tried in order; a folder that cannot be written is an error
    instead of a silent move to ``/tmp``.

    Args:
        fname: Name of the file in the cache; None: taken from the URL.
        origin: URL, or several with the same content.
        untar: Old spelling of ``extract=True, archive_format="tar"``.
        md5_hash: Old spelling of `file_hash` with an md5.
        file_hash: Expected hash in hexadecimal.
        cache_subdir: Folder inside the cache, default ``"datasets"``.
        hash_algorithm: ``"sha256"``, ``"md5"`` or ``"auto"``.
        extract: Whether to unpack an archive; its folder is returned then.
        archive_format: ``"auto"``, ``"tar"``, ``"zip"``, a list, or None.
        cache_dir: Another cache folder.
        force_download: Whether to download although the file is there.

    Returns:
        The path of the file, or of the folder it was unpacked to.

    Raises:
        ValueError: If `origin` is missing, `fname` is a path, the file is no
            archive, or the hash is wrong from every mirror.
        OSError: If no mirror answers, or the cache cannot be written.

    Example:
        >>> get_file(origin="https://example.org/a.csv")  # doctest: +SKIP
        '/home/me/.lamella/datasets/a.csv'
    """
    if not origin:
        raise ValueError("get_file: origin must be given: the URL of the file")
    mirrors = [origin] if isinstance(origin, str) else list(origin)
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    name = os.fspath(fname) if fname else ""
    if not name:
        name = PurePosixPath(urllib.parse.urlsplit(mirrors[0]).path).name
        if not name:
            raise ValueError(
                f"get_file: no file name in origin={mirrors[0]!r}; give fname"
            )
    elif name in (".", "..") or any(
        sep in name for sep in ("/", os.sep, os.altsep) if sep
    ):
        raise ValueError(
            "get_file: fname must be a plain name; choose the folder with cache_dir "
            f"and cache_subdir, got fname={name!r}"
        )

    folder = Path(cache_dir).expanduser() if cache_dir else cache_folder()
    folder = folder / cache_subdir
    folder.mkdir(parents=True, exist_ok=True)
    unpack = extract or untar
    target, unpacked = folder / name, folder / name
    if unpack:
        if fname and "." in name:
            unpacked = folder / f"{name[: name.find('.')]}_extracted"
        else:
            target = folder / f"{name}_archive"

    fresh = force_download or not target.exists()
    if (
        not fresh
        and file_hash is not None
        and not validate_file(target, file_hash, hash_algorithm)
    ):
        print_msg(f"{target} does not have the expected hash; downloading it again")
        fresh = True
    if fresh:
        _download(mirrors, target, file_hash, hash_algorithm)
    if not unpack:
        return str(target)
    if fresh or not unpacked.is_dir():
        _unpack(target, unpacked, "tar" if untar else archive_format)
    return str(unpacked)


def _download(
    mirrors: list[str], target: Path, file_hash: str | None, algorithm: str
) -> None:
    """Fetch `target` from the first mirror that delivers the right bytes."""
    failures: list[str] = []
    mismatch = False
    with _partial_file(target) as (part, resumable):
        for url in mirrors:
            print_msg(f"Downloading data from {url}")
            attempts = 2 if file_hash and resumable else 1
            while attempts:
                attempts -= 1
                had_bytes = part.stat().st_size > 0 if part.exists() else False
                if had_bytes and not (file_hash and resumable):
                    part.unlink()  # without a hash a joint could go unnoticed
                    had_bytes = False
                try:
                    _transfer(url, part)
                    if file_hash and not validate_file(part, file_hash, algorithm):
                        got = hash_file(
                            part, "md5" if len(file_hash) == 32 else "sha256"
                        )
                        part.unlink()
                        raise _Mismatch(
                            f"the hash is {got}, expected {file_hash.lower()}"
                        )
                except _Mismatch as error:
                    # Perhaps only the earlier half was bad: once more from the start.
                    if had_bytes and attempts:
                        continue
                    mismatch = True
                    failures.append(f"{url}: {error}")
                    break
                except (OSError, http.client.HTTPException) as error:
                    reason = getattr(error, "reason", None) or error
                    failures.append(f"{url}: {reason or type(error).__name__}")
                    break
                part.replace(target)
                return
    text = "\n  ".join(failures)
    message = (
        f"get_file: could not download {target.name} to {target.parent}:\n  {text}"
    )
    if mismatch:
        raise ValueError(
            f"{message}\nThe file was incomplete, corrupted or changed; "
            "nothing was kept."
        )
    raise OSError(message)


@contextlib.contextmanager
def _partial_file(target: Path) -> Iterator[tuple[Path, bool]]:
    """Give the path for the partial download and whether it may be resumed.

    One process at a time owns ``NAME.part``; a second one uses a name of its own.
    """
    lock_path = target.with_name(f".{target.name}.lock")
    part = target.with_name(f".{target.name}.part")
    with lock_path.open("a+b") as lock:
        owned = _try_lock(lock) and _is_at(lock, lock_path)
        if not owned:
            part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        try:
            yield part, owned
        finally:
            if not owned:
                part.unlink(missing_ok=True)
            else:
                with contextlib.suppress(OSError):
                    lock_path.unlink()


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file still has this path: another owner may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _try_lock(file: BinaryIO) -> bool:
    """Lock an open file if nobody else has; closing it unlocks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _transfer(url: str, part: Path) -> None:
    """Read `url` into `part`, going on after the bytes that are there already."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "lamella"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is left: the file is whole
            return
        raise OSError(f"HTTP {error.code} {error.reason}") from error
    with answer:
        resumed = have > 0 and getattr(answer, "status", None) == 206
        if resumed:
            span = answer.headers.get("Content-Range", "")
            resumed = span.startswith(f"bytes {have}-")
            if not resumed:
                part.unlink()
                raise OSError(f"the server answered with another range: {span!r}")
        if not resumed:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        bar = Progbar(total, unit_name="byte")
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if bar.shows_progress and (total is None or have < total):
                    bar.update(have)
            file.flush()
            os.fsync(file.fileno())
        if bar.shows_progress:
            bar.update(have, finalize=True)
        if total is not None and have != total:
            raise OSError(f"the connection broke after {have} of {total} bytes")


def extract_archive(
    file_path: str | os.PathLike[str],
    path: str | os.PathLike[str] = ".",
    archive_format: str | Sequence[str] | None = "auto",
) -> bool:
    """Unpack a tar or zip archive; members that point outside are refused.

    Args:
        file_path: The archive.
        path: The folder to unpack into, default the current one.
        archive_format: ``"auto"``, ``"tar"``, ``"zip"``, a list of these, or None.

    Returns:
        Whether the file was an archive of such a format.

    Raises:
        ValueError: If a format is unknown, or a member would leave the folder.
    """
    if archive_format is None:
        return False
    if isinstance(archive_format, str):
        formats = ["tar", "zip"] if archive_format == "auto" else [archive_format]
    else:
        formats = list(archive_format)
    base = Path(path)
    for kind in formats:
        if kind == "tar":
            if tarfile.is_tarfile(file_path):
                _unpack_tar(Path(file_path), base)
                return True
        elif kind == "zip":
            if zipfile.is_zipfile(file_path):
                with zipfile.ZipFile(file_path) as archive:
                    for name in archive.namelist():
                        _check_member(name, file_path)
                    archive.extractall(base)
                return True
        else:
            raise ValueError(
                "extract_archive: archive_format must be 'auto', 'tar', 'zip' or "
                f"None, got {kind!r}"
            )
    return False


def _check_member(name: str, archive: str | os.PathLike[str]) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or Path(name).drive:
        raise ValueError(
            f"extract_archive: refused to unpack {os.fspath(archive)}: its member "
            f"{name!r} would be written outside of the folder"
        )


def _unpack_tar(file: Path, base: Path) -> None:
    with tarfile.open(file) as archive:
        members = archive.getmembers()
        for member in members:
            _check_member(member.name, file)
            if not (member.isreg() or member.isdir()):
                raise ValueError(
                    f"extract_archive: refused to unpack {file}: its member "
                    f"{member.name!r} is neither a file nor a folder"
                )
        if hasattr(tarfile, "data_filter"):
            archive.extractall(base, members=members, filter="data")
        else:
            archive.extractall(base, members=members)


def _unpack(archive: Path, folder: Path, kind: str | Sequence[str] | None) -> None:
    """Unpack so that `folder` is there only when it is complete."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"get_file: cannot unpack into the folder {folder}: it is a file; choose "
            "another fname or cache_subdir"
        )
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        if not extract_archive(archive, scratch, kind):
            raise ValueError(
                f"get_file: {archive} is no archive of format {kind!r}; "
                "nothing was unpacked"
            )
        if folder.is_dir():
            shutil.rmtree(folder)
        scratch.chmod(0o755)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
