"""Utilities: encoding, seeds, downloads, plots."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import utils
from lamella.utils import file_utils

# to_categorical, normalize


@pytest.mark.parametrize(
    "labels",
    [
        [0, 2, 1],
        np.array([[1], [0]]),
        np.array([[0, 1], [3, 2]], dtype="uint8"),
        np.array(2),
        np.array([1.0, 0.0]),
        np.zeros((2, 3, 1), int),
    ],
)
@pytest.mark.parametrize("classes", [None, 5])
def test_to_categorical_equals_keras(
    keras_reference: Any, labels: Any, classes: int | None
) -> None:
    ours = utils.to_categorical(labels, classes)
    theirs = keras_reference.utils.to_categorical(labels, classes)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_to_categorical_of_a_tensor_gives_a_tensor() -> None:
    labels = lamella.ops.convert_to_tensor(np.array([[1], [0]]))
    encoded = utils.to_categorical(labels, 3)
    assert lamella.ops.is_tensor(encoded)
    np.testing.assert_array_equal(np.asarray(encoded), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("labels", "classes", "match"),
    [
        ([0, 3], 3, r"must lie in \[0, 2\], got values from 0 to 3 with num_classes=3"),
        ([-1, 1], None, r"got values from -1 to 1"),
        ([], None, "num_classes must be given when x is empty"),
        ([float("nan")], 2, "got NaN or infinity"),
    ],
)
def test_to_categorical_bad_classes_raise(
    labels: Any, classes: int | None, match: str
) -> None:
    with pytest.raises(ValueError, match=f"^to_categorical: .*{match}"):
        utils.to_categorical(labels, classes)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_normalize_equals_keras(keras_reference: Any, axis: int, order: float) -> None:
    if axis == 0:
        # Keras divides rows by the norms of columns there ("axis or -1").
        return
    x = np.random.RandomState(0).randn(4, 3)
    x[1] = 0
    np.testing.assert_array_equal(
        utils.normalize(x, axis, order), keras_reference.utils.normalize(x, axis, order)
    )


def test_normalize_along_the_first_axis() -> None:
    x = np.array([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]])
    expected = [[0.6, 0.0, 1.0], [0.8, 0.0, 0.0]]
    np.testing.assert_allclose(utils.normalize(x, axis=0), expected)


def test_normalize_of_a_tensor_equals_that_of_an_array() -> None:
    x = np.random.RandomState(0).randn(4, 3).astype("float32")
    tensor = utils.normalize(lamella.ops.convert_to_tensor(x))
    np.testing.assert_allclose(np.asarray(tensor), utils.normalize(x), rtol=1e-6)


# Seeds, session, progress bar of the public name


def test_set_random_seed_fixes_all_generators() -> None:
    draws = []
    for _ in range(2):
        utils.set_random_seed(123)
        model = lamella.Sequential([lamella.Input((3,)), lamella.layers.Dense(2)])
        noise = np.asarray(lamella.random.normal((4,)))
        draws.append((random.random(), np.random.rand(), model.get_weights()[0], noise))
    for one, two in zip(*draws, strict=True):
        np.testing.assert_array_equal(one, two)
    assert utils.get_random_seed() == 123
    assert np.random.RandomState(123).rand() == draws[0][1]


@pytest.mark.parametrize("seed", ["1", 1.0, None, True, -1, 2**32])
def test_set_random_seed_bad_seed_raises(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^set_random_seed: seed must .*got seed="):
        utils.set_random_seed(seed)


def test_clear_session_starts_names_again() -> None:
    utils.clear_session()
    first = lamella.layers.Dense(1).name
    lamella.layers.Dense(1)
    utils.clear_session()
    assert (first, lamella.layers.Dense(1).name) == ("dense", "dense")


def test_public_names_exist() -> None:
    for name in utils.__all__:
        assert getattr(utils, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'get_fil'"):
        _ = utils.get_fil


# get_file


class Server:
    """A small web server with ranges, broken connections and errors on demand."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.break_after: int | None = None
        self.ranges = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                outer.requests.append((self.path, wanted))
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                start = 0
                if wanted and outer.ranges:
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                    if start >= len(content):
                        self.send_error(416)
                        return
                    self.send_response(206)
                    end = f"{start}-{len(content) - 1}/{len(content)}"
                    self.send_header("Content-Range", f"bytes {end}")
                else:
                    self.send_response(200)
                body = content[start:]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if outer.break_after is not None:
                    body, outer.break_after = body[: outer.break_after], None
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(
            target=self.http.serve_forever, args=(0.01,), daemon=True
        )
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAMELLA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


def test_get_file_downloads_once_into_the_cache(
    server: Server, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/a/data.bin"] = CONTENT
    url = f"{server.url}/a/data.bin"
    path = utils.get_file(origin=url, file_hash=SHA256)
    assert path == str(home / "datasets" / "data.bin")
    assert Path(path).read_bytes() == CONTENT
    assert utils.get_file(origin=url, file_hash=SHA256) == path
    assert len(server.requests) == 1
    assert capsys.readouterr().out == f"Downloading data from {url}\n"
    utils.get_file(origin=url, force_download=True)
    assert len(server.requests) == 2
    assert [p.name for p in Path(path).parent.iterdir()] == ["data.bin"]


@pytest.mark.parametrize(
    "options",
    [
        {"file_hash": MD5},
        {"md5_hash": MD5},
        {"file_hash": SHA256.upper()},
        {"file_hash": SHA256, "hash_algorithm": "sha256"},
    ],
)
@pytest.mark.usefixtures("home")
def test_get_file_kinds_of_hashes(server: Server, options: dict[str, str]) -> None:
    server.files["/x"] = CONTENT
    for _ in range(2):
        path = utils.get_file("y", f"{server.url}/x", cache_subdir="s", **options)
    assert Path(path).parts[-2:] == ("s", "y")
    assert len(server.requests) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_get_file_broken_download_is_resumed(
    server: Server, home: Path, ranges: bool
) -> None:
    server.files["/x"], server.ranges = CONTENT, ranges
    server.break_after = 100_000
    with pytest.raises(OSError, match="broke after 100000 of 256000 bytes"):
        utils.get_file(origin=f"{server.url}/x", file_hash=SHA256)
    assert not (home / "datasets" / "x").exists()
    path = utils.get_file(origin=f"{server.url}/x", file_hash=SHA256)
    assert Path(path).read_bytes() == CONTENT
    assert server.requests[-1] == ("/x", "bytes=100000-")


def test_get_file_bad_first_half_is_not_trusted(server: Server, home: Path) -> None:
    server.files["/x"] = CONTENT
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / ".x.part").write_bytes(b"wrong" * 100)
    path = utils.get_file(origin=f"{server.url}/x", file_hash=SHA256)
    assert Path(path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=500-", None]


@pytest.mark.usefixtures("home")
def test_get_file_mirrors_are_tried_in_order(server: Server) -> None:
    server.files.update({"/bad": b"something else", "/good": CONTENT})
    urls = [f"{server.url}/{name}" for name in ("absent", "bad", "good")]
    path = utils.get_file("x", urls, file_hash=SHA256)
    assert Path(path).read_bytes() == CONTENT
    assert [name for name, _ in server.requests] == ["/absent", "/bad", "/good"]


def test_get_file_wrong_hash_raises_and_keeps_nothing(
    server: Server, home: Path
) -> None:
    server.files["/x"] = b"something else"
    with pytest.raises(ValueError, match=rf"the hash is \w+, expected {SHA256}"):
        utils.get_file(origin=f"{server.url}/x", file_hash=SHA256)
    assert list((home / "datasets").iterdir()) == []


def test_get_file_cached_file_with_wrong_hash_is_replaced(
    server: Server, home: Path
) -> None:
    server.files["/x"] = CONTENT
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "x").write_bytes(b"old")
    path = utils.get_file(origin=f"{server.url}/x", file_hash=SHA256)
    assert Path(path).read_bytes() == CONTENT


@pytest.mark.usefixtures("home")
def test_get_file_no_server_names_url_and_reason(server: Server) -> None:
    with pytest.raises(OSError, match=rf"{server.url}/x: HTTP 404"):
        utils.get_file(origin=f"{server.url}/x")
    server.close()
    with pytest.raises(OSError, match=r"could not download x to .*\n.*refused"):
        utils.get_file(origin=f"{server.url}/x")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "origin must be given"),
        ({"origin": "http://host/"}, "no file name in origin='http://host/'"),
        ({"fname": "a/b", "origin": "http://host/x"}, "fname must be a plain name"),
        ({"fname": "..", "origin": "http://host/x"}, "fname must be a plain name"),
    ],
)
def test_get_file_bad_arguments_raise(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=f"^get_file: {match}"):
        utils.get_file(**options)


def archive(kind: str, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_get_file_extracts(server: Server, home: Path, kind: str) -> None:
    server.files["/x.bin"] = archive(kind, {"in/a.txt": b"1", "b.txt": b"2"})
    url = f"{server.url}/x.bin"
    for _ in range(2):
        folder = utils.get_file("x.bin", url, extract=True)
        assert folder == str(home / "datasets" / "x_extracted")
        assert (Path(folder) / "in" / "a.txt").read_bytes() == b"1"
    assert len(server.requests) == 1
    other = utils.get_file(origin=url, extract=True, cache_subdir="other")
    assert other == str(home / "other" / "x.bin")
    with pytest.raises(ValueError, match=r"x\.bin: it is a file; choose another fname"):
        utils.get_file(origin=url, extract=True)


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil"])
def test_get_file_archive_that_leaves_its_folder_is_refused(
    server: Server, home: Path, kind: str, name: str
) -> None:
    server.files["/x"] = archive(kind, {"fine": b"1", name: b"2"})
    with pytest.raises(ValueError, match="would be written outside"):
        utils.get_file("y", f"{server.url}/x", extract=True)
    assert [p.name for p in (home / "datasets").iterdir()] == ["y_archive"]


def test_extract_archive_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        file_utils.extract_archive(tmp_path / "a.tar", tmp_path / "out")


def test_extract_archive_other_files_and_formats(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"text")
    assert file_utils.extract_archive(tmp_path / "plain", tmp_path) is False
    assert file_utils.extract_archive(tmp_path / "plain", tmp_path, None) is False
    with pytest.raises(ValueError, match="'auto', 'tar', 'zip' or None, got 'rar'"):
        file_utils.extract_archive(tmp_path / "plain", tmp_path, "rar")


def test_get_file_two_at_a_time_both_succeed(server: Server, home: Path) -> None:
    server.files["/x"] = CONTENT * 20
    digest = hashlib.sha256(CONTENT * 20).hexdigest()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            utils.get_file(origin=f"{server.url}/x", file_hash=digest)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [p.name for p in (home / "datasets").iterdir()] == ["x"]


def test_hash_file_and_validate_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(CONTENT)
    assert utils.hash_file(file) == SHA256
    assert utils.hash_file(file, "md5") == MD5
    assert utils.validate_file(file, SHA256)
    assert utils.validate_file(file, MD5)
    assert not utils.validate_file(file, "0" * 64)
    with pytest.raises(ValueError, match="algorithm must be"):
        utils.hash_file(file, "crc")


def test_pydataset_is_a_source_for_fit() -> None:
    class Halves(utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            x = np.full((4, 1), index, "float32")
            return x, 2 * x

    data = Halves()
    assert [x[0, 0] for x, _ in data] == [0, 1, 2]
    model = lamella.Sequential([lamella.Input((1,)), lamella.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(data, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    assert history.params["steps"] == 3


@pytest.mark.parametrize("processes", [False, True])
def test_pydataset_workers_keep_the_order(processes: bool) -> None:
    data = _Squares(workers=3, use_multiprocessing=processes, max_queue_size=4)
    assert [float(batch[0]) for batch in data] == [i * i for i in range(7)]


class _Squares(utils.PyDataset):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Any:
        return np.full(1, index * index)


def test_pydataset_without_an_end() -> None:
    class Endless(utils.PyDataset):
        @property
        def num_batches(self) -> None:
            return None

        def __getitem__(self, index: int) -> int:
            return index

    batches = iter(Endless(workers=2))
    assert [next(batches) for _ in range(30)] == list(range(30))
