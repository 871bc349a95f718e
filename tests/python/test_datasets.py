"""Data sets: contents, shapes, where they are looked for, damaged files."""

from __future__ import annotations

import gzip
import importlib
import io
import logging
import shutil
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamella import datasets
from lamella.datasets import cifar10
from lamella.utils import file_utils

TOYS = ["xor", "circles", "moons", "spirals", "gaussians"]


def shapes(parts: Any) -> list[tuple[tuple[int, ...], str]]:
    return [(a.shape, str(a.dtype)) for pair in parts for a in pair]


# Embedded sets


def test_digits_are_the_1797_of_scikit_learn() -> None:
    (x, y), (x_test, y_test) = datasets.digits.load_data(test_split=0.0)
    assert shapes(((x, y), (x_test, y_test))) == [
        ((1797, 8, 8), "uint8"),
        ((1797,), "uint8"),
        ((0, 8, 8), "uint8"),
        ((0,), "uint8"),
    ]
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(y).tolist() == counts
    assert (x.min(), x.max(), int(x.sum(dtype=np.int64))) == (0, 16, 561718)


def test_digits_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.datasets")
    reference = sklearn.load_digits()
    (x, y), _ = datasets.digits.load_data(test_split=0.0, seed=3)
    order = np.arange(1797)
    np.random.RandomState(3).shuffle(order)
    np.testing.assert_array_equal(x, reference.images[order])
    np.testing.assert_array_equal(y, reference.target[order])


def test_digits_split_is_deterministic_and_disjoint() -> None:
    first = datasets.digits.load_data()
    again = datasets.digits.load_data()
    assert [s for s, _ in shapes(first)] == [(1437, 8, 8), (1437,), (360, 8, 8), (360,)]
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
    other = datasets.digits.load_data(seed=5)
    assert not np.array_equal(first[0][1], other[0][1])
    rows = np.concatenate([first[0][0], first[1][0]]).reshape(1797, 64)
    every, _ = datasets.digits.load_data(test_split=0.0)
    assert sorted(map(bytes, rows)) == sorted(map(bytes, every[0].reshape(1797, 64)))
    assert first[0][0].flags.writeable


@pytest.mark.parametrize("split", [-0.1, 1.0, 2])
@pytest.mark.parametrize("name", ["digits", "boston_housing", "moons"])
def test_test_split_out_of_range_raises(name: str, split: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name}.load_data: test_split must lie"):
        getattr(datasets, name).load_data(test_split=split)


@pytest.mark.parametrize("name", TOYS)
def test_toy_shapes_classes_and_seed(name: str) -> None:
    toy = getattr(datasets, name)
    (x, y), (x_test, y_test) = toy.load_data(n_samples=500, test_split=0.1)
    assert shapes(((x, y), (x_test, y_test))) == [
        ((450, 2), "float32"),
        ((450,), "uint8"),
        ((50, 2), "float32"),
        ((50,), "uint8"),
    ]
    labels = np.concatenate([y, y_test])
    counts = np.bincount(labels)
    assert len(counts) == toy.classes
    assert counts.max() - counts.min() <= 1
    again = toy.load_data(n_samples=500, test_split=0.1)
    np.testing.assert_array_equal(x, again[0][0])
    other = toy.load_data(n_samples=500, test_split=0.1, seed=1)
    assert not np.array_equal(x, other[0][0])


def test_toy_points_lie_where_they_should() -> None:
    (x, y), _ = datasets.xor.load_data(noise=0, test_split=0)
    np.testing.assert_array_equal(y, x[:, 0].astype(int) ^ x[:, 1].astype(int))
    (x, y), _ = datasets.circles.load_data(noise=0, test_split=0)
    np.testing.assert_allclose(np.hypot(*x.T), np.where(y == 1, 0.5, 1), rtol=1e-6)
    (x, y), _ = datasets.moons.load_data(noise=0, test_split=0)
    upper, lower = x[y == 0], x[y == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1, rtol=1e-6)
    assert upper[:, 1].min() >= 0
    np.testing.assert_allclose(np.hypot(lower[:, 0] - 1, lower[:, 1] - 0.5), 1, 1e-5)
    assert lower[:, 1].max() <= 0.5 + 1e-6
    (x, y), _ = datasets.spirals.load_data(noise=0, test_split=0, classes=3)
    assert np.hypot(*x.T).max() <= 1
    turn = np.hypot(*x.T)
    angle = 3.5 * np.pi * turn + 2 * np.pi * y / 3
    np.testing.assert_allclose(x[:, 0], turn * np.sin(angle), atol=1e-5)
    (x, y), _ = datasets.gaussians.load_data(noise=0.1, test_split=0, classes=4)
    for k in range(4):
        centre = (np.cos(np.pi * k / 2), np.sin(np.pi * k / 2))
        # 250 points with a deviation of 0.1: four standard errors of the mean
        np.testing.assert_allclose(x[y == k].mean(0), centre, atol=0.025)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_samples": 1}, "n_samples must be at least the number of classes, 2"),
        ({"noise": -1}, "noise must not be negative, got noise=-1"),
        ({"classes": 3}, "classes is always 2, got 3"),
    ],
)
def test_toy_bad_arguments_raise(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=f"^moons.load_data: {match}"):
        datasets.moons.load_data(**options)


# Sets that are read from a folder


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    ("name", "labels"),
    [("mnist", [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]), ("fashion_mnist", [9, 0, 0, 3, 0, 2])],
)
def test_idx_sets_equal_what_keras_returns(name: str, labels: list[int]) -> None:
    parts = getattr(datasets, name).load_data()
    assert shapes(parts) == [
        ((60000, 28, 28), "uint8"),
        ((60000,), "uint8"),
        ((10000, 28, 28), "uint8"),
        ((10000,), "uint8"),
    ]
    (x, y), (_, y_test) = parts
    assert y[: len(labels)].tolist() == labels
    if name == "mnist":
        assert np.bincount(y_test).tolist()[:3] == [980, 1135, 1032]
        assert round(x.mean() / 255, 4) == 0.1307
    else:
        assert np.bincount(y).tolist() == [6000] * 10
        assert round(x.mean() / 255, 4) == 0.2860


@pytest.mark.usefixtures("data_dir")
def test_boston_housing_rows_are_those_of_keras() -> None:
    (x, y), (x_test, y_test) = datasets.boston_housing.load_data()
    assert shapes(((x, y), (x_test, y_test))) == [
        ((404, 13), "float64"),
        ((404,), "float64"),
        ((102, 13), "float64"),
        ((102,), "float64"),
    ]
    # The values that Keras's own load_data() is known to give (F. Chollet, "Deep
    # Learning with Python", listing 3.24 and after).
    first = [1.23247, 0, 8.14, 0, 0.538, 6.142, 91.7, 3.9769, 4, 307, 21, 396.9, 18.72]
    assert x[0].tolist() == first
    assert y[:3].tolist() == [15.2, 42.3, 50.0]
    assert y[-3:].tolist() == [19.4, 19.4, 29.1]


def test_boston_housing_says_why_it_is_disputed() -> None:
    text = datasets.boston_housing.load_data.__doc__
    assert "Warning: this data set is disputed" in text
    assert "segregation" in text


@pytest.mark.usefixtures("data_dir")
def test_boston_housing_through_keras_gives_the_same_rows(
    keras_reference: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import importlib

    module = importlib.import_module("keras.src.datasets.boston_housing")
    (x, y), _ = datasets.boston_housing.load_data(test_split=0, seed=0)
    order = np.arange(506)
    np.random.RandomState(0).shuffle(order)
    back = np.empty((506, 14))
    back[order] = np.column_stack([x, y])
    np.savez(tmp_path / "boston.npz", x=back[:, :13], y=back[:, 13])
    monkeypatch.setattr(module, "get_file", lambda *a, **k: tmp_path / "boston.npz")
    theirs = module.load_data(test_split=0.3, seed=5)
    ours = datasets.boston_housing.load_data(test_split=0.3, seed=5)
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_cifar10_subset_says_that_it_is_one(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="lamella"):
        (x, y), (x_test, y_test) = datasets.cifar10.load_data()
    assert "only a subset of CIFAR-10 was found" in caplog.text
    assert "2000 training and 500 test images instead of 50000 and 10000" in caplog.text
    assert shapes(((x, y), (x_test, y_test))) == [
        ((2000, 32, 32, 3), "uint8"),
        ((2000, 1), "uint8"),
        ((500, 32, 32, 3), "uint8"),
        ((500, 1), "uint8"),
    ]
    assert y[:10, 0].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert x[0, 0, 0].tolist() == [59, 62, 63]


def make_batches(folder: Path) -> dict[str, np.ndarray]:
    random = np.random.RandomState(0)
    records = {}
    for name in cifar10._BATCHES:
        records[name] = random.randint(0, 256, (4, 3073)).astype("uint8")
        records[name][:, 0] %= 10
        (folder / name).write_bytes(records[name].tobytes())
    return records


@pytest.mark.parametrize("packed", [True, False])
def test_cifar10_binary_version_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    records = make_batches(folder)
    if packed:
        with tarfile.open(folder.parent / "cifar-10-binary.tar.gz", "w:gz") as tar:
            tar.add(folder, folder.name)
        shutil.rmtree(folder)
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path))
    (x, y), (x_test, y_test) = datasets.cifar10.load_data()
    assert x.shape == (20, 32, 32, 3)
    assert y.shape == (20, 1)
    test = records["test_batch.bin"]
    np.testing.assert_array_equal(y_test[:, 0], test[:, 0])
    # plane by plane in the file, channels last in the array
    assert x_test[2, 5, 7].tolist() == [
        test[2, 1 + c * 1024 + 5 * 32 + 7] for c in range(3)
    ]


# What is missing or damaged


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype("uint8").tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, n in (("train", 6), ("t10k", 3)):
        images = np.arange(n * 784).reshape(n, 28, 28) % 256
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(idx(images))
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(n)))
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path))
    return folder


def test_mnist_from_own_files_warns_that_they_differ(
    small_mnist: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="lamella"):
        (x, y), (x_test, _) = datasets.mnist.load_data("mnist.npz")
    assert x.shape == (6, 28, 28)
    assert y.tolist() == list(range(6))
    assert x_test[0, 0, :3].tolist() == [0, 1, 2]
    assert x.flags.writeable
    assert "is not byte for byte the published file" in caplog.text


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda raw: raw[:-20], "cannot read .*train-images"),
        (lambda raw: b"", "it is no IDX file of uint8 with 3 axes"),
        (lambda raw: b"hello world, hello world", "expected 00 00 08 03"),
        (lambda raw: gzip.decompress(raw)[:-1], r"4703 bytes follow"),
        (lambda raw: idx(np.zeros((6, 10, 10))), r"expected \(n, 28, 28\)"),
        (lambda raw: idx(np.zeros((5, 28, 28))), "5 images but 6 labels"),
        (lambda raw: raw[:40] + b"\xff" * 10 + raw[50:], "cannot read .*train-images"),
    ],
)
def test_mnist_damaged_file_raises(small_mnist: Path, damage: Any, match: str) -> None:
    file = small_mnist / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(OSError, match=match) as caught:
        datasets.mnist.load_data()
    assert isinstance(caught.value, datasets.DatasetError)


def test_missing_set_names_file_folders_and_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path))

    def offline(name: str, *args: Any, **kwargs: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(file_utils, "get_file", offline)
    for name, file in (
        ("mnist", "train-images-idx3-ubyte.gz"),
        ("fashion_mnist", "train-images-idx3-ubyte.gz"),
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("boston_housing", "boston_housing.csv"),
        ("cifar100", "cifar-100-binary.tar.gz"),
        ("imdb", "imdb.npz"),
        ("reuters", "reuters.npz"),
        ("california_housing", "california_housing.npz"),
    ):
        with pytest.raises(datasets.DatasetError) as caught:
            getattr(datasets, name).load_data()
        text = str(caught.value)
        for part in (f"{name}.load_data", file, str(tmp_path / name), "no network"):
            assert part in text
        assert "cache" in text
        assert "LAMELLA_DATA" in text


def test_data_folder_that_does_not_exist_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(
        OSError, match="LAMELLA_DATA names a folder that does not exist"
    ):
        datasets.mnist.load_data()


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"CRIM,ZN\n1,2\n", b"\xff\xfe"]
)
def test_boston_housing_damaged_file_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "boston_housing").mkdir()
    (tmp_path / "boston_housing" / "boston_housing.csv").write_bytes(content)
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path))
    with pytest.raises(OSError, match=r"^boston_housing.load_data: cannot read"):
        datasets.boston_housing.load_data()


@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"PK\x03\x04broken"])
def test_cifar10_damaged_subset_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar10_subset.npz").write_bytes(content)
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path))
    with pytest.raises(OSError, match=r"^cifar10.load_data: cannot read"):
        datasets.cifar10.load_data()


def test_cifar10_damaged_archive_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cifar10").mkdir()
    archive = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path))
    archive.write_bytes(buffer.getvalue())
    with pytest.raises(OSError, match=r"does not hold data_batch_1\.bin"):
        datasets.cifar10.load_data()
    archive.write_bytes(b"no archive")
    with pytest.raises(OSError, match="cannot read"):
        datasets.cifar10.load_data()


# Words, districts and a hundred kinds of images, from small files made here


def object_array(rows: list[list[int]]) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


@pytest.fixture
def small_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """imdb, reuters, california_housing and cifar100 of a few rows."""
    rng = np.random.default_rng(0)

    def rows(n: int) -> np.ndarray:
        lengths = rng.integers(1, 9, n)
        return object_array([rng.integers(1, 30, k).tolist() for k in lengths])

    for name in ("imdb", "reuters", "california_housing", "cifar100"):
        (tmp_path / name).mkdir()
    np.savez(
        tmp_path / "imdb" / "imdb.npz",
        x_train=rows(20),
        y_train=rng.integers(0, 2, 20),
        x_test=rows(10),
        y_test=rng.integers(0, 2, 10),
    )
    np.savez(
        tmp_path / "reuters" / "reuters.npz", x=rows(30), y=rng.integers(0, 46, 30)
    )
    for name in ("imdb", "reuters"):
        index = tmp_path / name / f"{name}_word_index.json"
        index.write_text('{"the": 1, "caf\\u00e9": 2}')
    np.savez(
        tmp_path / "california_housing" / "california_housing.npz",
        x=rng.normal(size=(700, 8)).astype("float32"),
        y=rng.normal(size=700).astype("float32"),
    )
    folder = tmp_path / "cifar100" / "cifar-100-binary"
    folder.mkdir()
    for part, n in (("train", 4), ("test", 2)):
        records = rng.integers(0, 20, (n, 2 + 3072)).astype("uint8")
        (folder / f"{part}.bin").write_bytes(records.tobytes())
    monkeypatch.setenv("LAMELLA_DATA", str(tmp_path))
    return tmp_path


WORDS: list[dict[str, Any]] = [
    {},
    {"num_words": 15},
    {"num_words": 20, "skip_top": 6},
    {"maxlen": 6},
    {"start_char": None, "index_from": 0},
    {"start_char": None, "index_from": 5},
    {"oov_char": None, "num_words": 12, "skip_top": 4},
    {"seed": 7, "oov_char": 0, "num_words": 10},
]


@pytest.mark.parametrize("arguments", WORDS)
@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_words_equal_what_keras_makes_of_the_same_file(
    small_sets: Path, monkeypatch: Any, name: str, arguments: dict[str, Any]
) -> None:
    keras = pytest.importorskip("keras", exc_type=ImportError)
    reference = getattr(keras.datasets, name)
    inner = importlib.import_module(f"keras.src.datasets.{name}")
    file = str(small_sets / name / f"{name}.npz")
    monkeypatch.setattr(inner, "get_file", lambda *_, **__: file)
    got = getattr(datasets, name).load_data(**arguments)
    want = reference.load_data(**arguments)
    for (x, y), (want_x, want_y) in zip(got, want, strict=True):
        assert x.dtype == object
        assert [list(row) for row in x] == [list(row) for row in want_x]
        np.testing.assert_array_equal(y, want_y)


def test_words_by_hand(small_sets: Path) -> None:
    file = small_sets / "imdb" / "imdb.npz"
    x = object_array([[1, 2, 9], [3]])
    y = np.array([0, 1])
    np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    (rows, labels), _ = datasets.imdb.load_data(num_words=6)
    found = dict(zip(labels.tolist(), rows.tolist(), strict=True))
    assert found == {0: [1, 4, 5, 2], 1: [1, 2]}
    assert datasets.imdb.get_word_index() == {"the": 1, "café": 2}
    assert datasets.reuters.get_word_index() == {"the": 1, "café": 2}
    names = datasets.reuters.get_label_names()
    assert (len(names), names[0], names[3], names[-1]) == (46, "cocoa", "earn", "lead")
    with pytest.raises(ValueError, match="shorter than maxlen=1"):
        datasets.imdb.load_data(maxlen=1)


class Attack:
    """Pickled, it runs code when an ordinary unpickler reads it."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('it ran')",))


@pytest.mark.parametrize("content", [Attack(), {"a": 1}, "text", 1.5])
def test_words_never_run_code_of_a_file(small_sets: Path, content: Any) -> None:
    rows = np.empty(2, dtype=object)
    rows[:] = [[1], content]
    np.savez(small_sets / "reuters" / "reuters.npz", x=rows, y=np.zeros(2, int))
    with pytest.raises(datasets.DatasetError, match=r"cannot read .*reuters.npz"):
        datasets.reuters.load_data()


def test_damaged_words_raise(small_sets: Path) -> None:
    file = small_sets / "reuters" / "reuters.npz"
    whole = file.read_bytes()
    for damaged in (b"", b"text", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(datasets.DatasetError, match=r"reuters.load_data: cannot"):
            datasets.reuters.load_data()
    np.savez(file, x=np.arange(3))
    with pytest.raises(datasets.DatasetError, match="cannot read"):
        datasets.reuters.load_data()


@pytest.mark.parametrize("version", ["large", "small"])
def test_california_housing_is_cut_as_in_keras(small_sets: Path, version: str) -> None:
    with np.load(small_sets / "california_housing" / "california_housing.npz") as file:
        x, y = file["x"], file["y"]
    n = 600 if version == "small" else 700
    order = np.arange(n)
    np.random.RandomState(113).shuffle(order)
    parts = datasets.california_housing.load_data(version)
    cut = int(n * 0.8)
    np.testing.assert_array_equal(parts[0][0], x[order[:cut]])
    np.testing.assert_array_equal(parts[1][1], y[order[cut:]])
    with pytest.raises(ValueError, match="version must be 'large' or 'small'"):
        datasets.california_housing.load_data("medium")


def test_cifar100_has_fine_and_coarse_labels(small_sets: Path) -> None:
    raw = (small_sets / "cifar100" / "cifar-100-binary" / "train.bin").read_bytes()
    records = np.frombuffer(raw, "uint8").reshape(4, -1)
    for mode, column in (("coarse", 0), ("fine", 1)):
        (x, y), (x_test, y_test) = datasets.cifar100.load_data(mode)
        assert (x.shape, x_test.shape) == ((4, 32, 32, 3), (2, 32, 32, 3))
        assert y_test.shape == (2, 1)
        np.testing.assert_array_equal(y[:, 0], records[:, column])
        np.testing.assert_array_equal(x[1, 0, :5, 2], records[1, 2 + 2048 : 2 + 2053])
    with pytest.raises(ValueError, match="label_mode must be"):
        datasets.cifar100.load_data("x")
    archive = small_sets / "cifar100" / "cifar-100-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(small_sets / "cifar100" / "cifar-100-binary", "cifar-100-binary")
    shutil.rmtree(small_sets / "cifar100" / "cifar-100-binary")
    assert datasets.cifar100.load_data("coarse")[0][1].tolist() == [
        [label] for label in records[:, 0]
    ]
    archive.write_bytes(b"no archive")
    with pytest.raises(datasets.DatasetError, match="cannot read"):
        datasets.cifar100.load_data()
