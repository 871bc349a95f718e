"""Dataset, and the functions of utils that make and cut data."""

from __future__ import annotations

import os
import warnings
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import utils
from lamella.utils import Dataset


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow", exc_type=ImportError)
        return pytest.importorskip("keras", exc_type=ImportError)


def listed(dataset: Any) -> list[Any]:
    """Return the elements of a dataset as plain lists."""

    def plain(leaf: Any) -> Any:
        if isinstance(leaf, str | bytes):
            return leaf.decode() if isinstance(leaf, bytes) else leaf
        array = np.asarray(leaf)
        if array.dtype == object:
            return [x.decode() if isinstance(x, bytes) else x for x in array.ravel()]
        return (str(array.dtype), array.tolist())

    return [
        lamella.tree.map_structure(plain, element)
        for element in dataset.as_numpy_iterator()
    ]


# -- Dataset --------------------------------------------------------------------------

NUMBERS = np.arange(7, dtype="int32")

PIPELINES = {
    "batch": lambda d: d.batch(3),
    "drop": lambda d: d.batch(3, drop_remainder=True),
    "map": lambda d: d.map(lambda x: x * 2),
    "filter": lambda d: d.filter(lambda x: x % 2 == 0),
    "take": lambda d: d.take(2),
    "take all": lambda d: d.take(-1),
    "take more": lambda d: d.take(99),
    "skip": lambda d: d.skip(5),
    "skip all": lambda d: d.skip(-1),
    "repeat": lambda d: d.repeat(2).batch(4),
    "repeat 0": lambda d: d.repeat(0),
    "endless": lambda d: d.repeat().take(9),
    "unbatch": lambda d: d.batch(3).unbatch(),
    "rebatch": lambda d: d.batch(3).rebatch(2),
    "shard": lambda d: d.shard(3, 1),
    "enumerate": lambda d: d.enumerate(),
    "concatenate": lambda d: d.concatenate(d.skip(5)),
    "zip": lambda d: type(d).zip((d, d.skip(4))),
    "cache": lambda d: d.cache().prefetch(2),
    "shuffle 1": lambda d: d.shuffle(1, seed=0),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_methods_do_what_tensorflow_does(keras: Any, name: str) -> None:
    import tensorflow

    mine = PIPELINES[name](Dataset.from_tensor_slices(NUMBERS))
    theirs = PIPELINES[name](tensorflow.data.Dataset.from_tensor_slices(NUMBERS))
    assert listed(mine) == listed(theirs)
    count = int(theirs.cardinality())
    if count >= 0 or int(mine.cardinality()) < 0:
        assert int(mine.cardinality()) == count
    assert listed(mine) == listed(mine)


def test_shuffle_draws_from_its_buffer_and_repeats_with_its_seed() -> None:
    source = Dataset.range(20)
    first, second = (source.shuffle(20, seed=3) for _ in range(2))
    a, b = [int(x) for x in first], [int(x) for x in first]
    assert sorted(a) == sorted(b) == list(range(20))
    assert a != b
    assert [int(x) for x in second] == a
    fixed = source.shuffle(20, seed=3, reshuffle_each_iteration=False)
    assert listed(fixed) == listed(fixed)
    near = [int(x) for x in source.shuffle(3, seed=1)]
    assert all(x <= i + 2 for i, x in enumerate(near))
    utils.set_random_seed(5)
    one = listed(source.shuffle(20))
    utils.set_random_seed(5)
    assert listed(source.shuffle(20)) == one


def test_elements_are_arrays_with_numpy() -> None:
    dataset = Dataset.from_tensor_slices(([[1.5, 2.0], [3.0, 4.0]], ["a", "b"]))
    x, text = next(iter(dataset.batch(2)))
    assert isinstance(x, np.ndarray)
    assert x.dtype == "float32"
    assert type(x.numpy()) is np.ndarray
    assert x[0, 1].numpy() == 2.0
    assert ["p", "q"][next(iter(Dataset.range(2)))] == "p"
    assert text.tolist() == ["a", "b"]
    assert type(next(dataset.as_numpy_iterator())[0]) is np.ndarray


def test_fit_evaluate_predict_take_datasets() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))
    model = lamella.Sequential([lamella.Input((3,)), lamella.layers.Dense(1)])
    model.compile("sgd", "mse")
    weights = model.get_weights()
    dataset = Dataset.from_tensor_slices((x, y)).batch(8)
    history = model.fit(dataset, epochs=2, validation_data=dataset, verbose=0)
    after = model.get_weights()
    model.set_weights(weights)
    model.compile("sgd", "mse")
    expected = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], 1e-6)
    for a, b in zip(after, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert model.predict(dataset, verbose=0).shape == (20, 1)
    model.fit(dataset.repeat(), steps_per_epoch=5, epochs=2, verbose=0)
    model.fit(dataset.unbatch().batch(5), epochs=2, verbose=0)
    loss = model.evaluate(dataset.map(lambda x, y: (x, y)), verbose=0)
    assert loss == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)


def test_bad_datasets_raise() -> None:
    with pytest.raises(ValueError, match="same number of rows"):
        Dataset.from_tensor_slices((np.ones(2), np.ones(3)))
    with pytest.raises(ValueError, match="a single value has no rows"):
        Dataset.from_tensor_slices(3)
    with pytest.raises(TypeError, match="length is infinite"):
        len(Dataset.range(3).repeat())
    with pytest.raises(TypeError, match="length is unknown"):
        len(Dataset.range(3).filter(lambda x: True))
    with pytest.raises(ValueError, match="batch_size must be positive"):
        Dataset.range(3).batch(0)
    ragged = Dataset.from_generator(lambda: iter([[1], [1, 2]]))
    with pytest.raises(ValueError, match=r"same shape, got \(1,\) and \(2,\)"):
        list(ragged.batch(2))
    with pytest.raises(AttributeError, match="class_names are known to the dataset"):
        _ = Dataset.range(3).class_names
    with pytest.raises(ValueError, match="only a cache in memory"):
        Dataset.range(3).cache("file")


# -- arrays ---------------------------------------------------------------------------


@pytest.mark.parametrize("maxlen", [None, 2, 5])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize(
    ("sequences", "more"),
    [
        ([[1], [2, 3], [4, 5, 6]], {}),
        ([[], [1, 2, 3]], {"value": 7}),
        ([np.ones((2, 3)), np.zeros((4, 3))], {"dtype": "float32", "value": -1.5}),
        ([["a"], ["b", "c"]], {"dtype": object, "value": "pad"}),
        (np.arange(6).reshape(2, 3), {"dtype": "int64"}),
    ],
)
def test_pad_sequences_equals_keras(
    keras: Any,
    sequences: Any,
    more: dict[str, Any],
    maxlen: int | None,
    padding: str,
    truncating: str,
) -> None:
    more = {**more, "maxlen": maxlen, "padding": padding, "truncating": truncating}
    got = utils.pad_sequences(sequences, **more)
    want = keras.utils.pad_sequences(sequences, **more)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


SERIES = [
    {},
    {"sequence_stride": 2},
    {"sampling_rate": 2, "batch_size": 3},
    {"start_index": 2, "end_index": 11, "batch_size": 4},
    {"batch_size": None},
    {"sequence_stride": 3, "sampling_rate": 2, "start_index": 1},
]


@pytest.mark.parametrize("with_targets", [False, True])
@pytest.mark.parametrize("arguments", SERIES)
def test_timeseries_equals_keras(
    keras: Any, arguments: dict[str, Any], with_targets: bool
) -> None:
    data = np.arange(32.0).reshape(16, 2)
    targets = np.arange(14) * 10 if with_targets else None
    got = utils.timeseries_dataset_from_array(data, targets, 3, **arguments)
    want = keras.utils.timeseries_dataset_from_array(data, targets, 3, **arguments)
    assert listed(got) == listed(want)


def test_timeseries_shuffles_and_checks() -> None:
    data = np.arange(50)
    dataset = utils.timeseries_dataset_from_array(
        data, data[4:], 4, shuffle=True, seed=1, batch_size=7
    )
    rows = [(x, y) for xs, ys in dataset for x, y in zip(xs, ys, strict=True)]
    assert sorted(int(x[0]) for x, _ in rows) == list(range(46))
    assert [int(x[0]) for x, _ in rows] != list(range(46))
    assert all(int(y) == int(x[-1]) + 1 for x, y in rows)
    for bad in (
        {"sampling_rate": 0},
        {"sequence_stride": 50},
        {"start_index": -1},
        {"start_index": 5, "end_index": 4},
        {"format": "x"},
    ):
        with pytest.raises(ValueError, match=next(iter(bad)).replace("start", "")):
            utils.timeseries_dataset_from_array(data, None, 4, **bad)  # type: ignore[arg-type]


SPLITS: list[dict[str, Any]] = [
    {"left_size": 0.8},
    {"left_size": 3},
    {"right_size": 2},
    {"right_size": 0.25},
    {"left_size": 4, "right_size": 0.3},
    {"left_size": 0.5, "right_size": 0.5, "shuffle": True, "seed": 4},
]


@pytest.mark.parametrize("arguments", SPLITS)
@pytest.mark.parametrize("kind", ["array", "tuple", "batches"])
def test_split_dataset_equals_keras(
    keras: Any, arguments: dict[str, Any], kind: str
) -> None:
    import tensorflow

    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    data: Any = x if kind == "array" else (x, y)
    mine = theirs = data
    if kind == "batches":
        mine = Dataset.from_tensor_slices(data).batch(4)
        theirs = tensorflow.data.Dataset.from_tensor_slices(data).batch(4)
    got = utils.split_dataset(mine, **arguments)
    want = keras.utils.split_dataset(
        theirs, preferred_backend="tensorflow", **arguments
    )
    for a, b in zip(got, want, strict=True):
        assert listed(a) == listed(b)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, ValueError, "give left_size or right_size"),
        ({"left_size": 10}, ValueError, "between 0 and 10"),
        ({"left_size": 1.5}, ValueError, "between 0 and 1"),
        ({"left_size": "x"}, TypeError, "must be an int, a float"),
        ({"left_size": 0.8, "right_size": 0.4}, ValueError, "at most 1"),
        ({"left_size": 6, "right_size": 6}, ValueError, "cannot be cut"),
    ],
)
def test_split_dataset_refuses(arguments: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        utils.split_dataset(np.arange(10), **arguments)


def test_small_helpers() -> None:
    pack, unpack = utils.pack_x_y_sample_weight, utils.unpack_x_y_sample_weight
    assert (pack(1), pack((1,)), pack(1, 2), pack(1, 2, 3)) == (
        1,
        ((1,),),
        (1, 2),
        (1, 2, 3),
    )
    assert unpack((1, 2)) == (1, 2, None)
    assert unpack(5) == (5, None, None)
    assert utils.is_keras_tensor(lamella.Input((2,)))
    assert not utils.is_keras_tensor(np.ones(2))
    assert utils.standardize_dtype(np.float32) == "float32"
    assert utils.standardize_dtype(np.dtype("int64")) == "int64"
    assert lamella.preprocessing.sequence.pad_sequences is utils.pad_sequences


# -- folders --------------------------------------------------------------------------


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for name, count in (("neg", 7), ("pos", 5)):
        (tmp_path / name / "sub").mkdir(parents=True)
        for i in range(count):
            place = tmp_path / name / ("sub" if i % 3 == 0 else "") / f"{i}.txt"
            place.write_text(f"{name} text {i}", encoding="utf-8")
    (tmp_path / "neg" / "other.md").write_text("no")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


FOLDERS: list[dict[str, Any]] = [
    {"shuffle": False},
    {"shuffle": False, "label_mode": "categorical", "batch_size": 5},
    {"shuffle": False, "label_mode": "binary", "class_names": ["pos", "neg"]},
    {"shuffle": False, "label_mode": None, "max_length": 5},
    {"shuffle": False, "labels": None, "batch_size": None},
    {"shuffle": False, "labels": [3, 4] * 6},
    {"shuffle": False, "validation_split": 0.3, "subset": "training"},
    {"shuffle": False, "validation_split": 0.3, "subset": "both"},
    {"seed": 5, "validation_split": 0.25, "subset": "validation", "batch_size": 99},
]


@pytest.mark.parametrize("arguments", FOLDERS)
def test_text_folders_equal_keras(
    keras: Any, texts: Path, arguments: dict[str, Any], capsys: Any
) -> None:
    got = utils.text_dataset_from_directory(str(texts), **arguments)
    said = capsys.readouterr().out
    want = keras.utils.text_dataset_from_directory(str(texts), **arguments)
    assert said == capsys.readouterr().out
    pairs = zip(got, want, strict=True) if isinstance(want, list) else [(got, want)]
    for a, b in pairs:
        assert a.class_names == b.class_names
        mine, theirs = listed(a), listed(b)
        if arguments.get("shuffle", True):  # tf's own order within the part
            mine, theirs = (
                sorted(zip(x[0][0], x[0][1][1], strict=True)) for x in (mine, theirs)
            )
        assert mine == theirs


def test_text_folders_train_a_model(texts: Path) -> None:
    train, val = utils.text_dataset_from_directory(
        texts, batch_size=4, validation_split=0.25, subset="both", seed=1, verbose=False
    )
    assert (len(train), len(val), train.class_names) == (3, 1, ["neg", "pos"])
    vectorize = lamella.layers.TextVectorization(output_mode="multi_hot")
    vectorize.adapt(train.map(lambda text, label: text))
    prepared = train.map(lambda text, label: (vectorize(text), label))
    model = lamella.Sequential([lamella.layers.Dense(1, activation="sigmoid")])
    adam = lamella.optimizers.Adam(0.1)
    model.compile(adam, "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(prepared.cache(), epochs=30, verbose=0)
    assert history.history["accuracy"][-1] == 1.0


def test_bad_folders_raise(texts: Path, tmp_path: Path) -> None:
    folder = utils.text_dataset_from_directory
    for arguments, text in (
        ({"labels": "x"}, "labels must be"),
        ({"label_mode": "x"}, "label_mode must be"),
        ({"labels": [1]}, "one entry for each of the 12 files"),
        ({"class_names": ["x"]}, "names of folders"),
        ({"validation_split": 0.5}, "given together"),
        ({"validation_split": 2, "subset": "both"}, "between 0 and 1"),
        ({"validation_split": 0.5, "subset": "both"}, "needs a seed"),
        ({"validation_split": 0.5, "subset": "x", "seed": 1}, "subset must be"),
        ({"labels": [1, 2], "class_names": ["x"]}, "class_names are for"),
        ({"label_mode": "binary", "class_names": ["neg"]}, "exactly two classes"),
        ({"format": "x"}, "format must be"),
    ):
        with pytest.raises(ValueError, match=text):
            folder(texts, verbose=False, **arguments)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no text files found"):
        folder(tmp_path / "empty", verbose=False)


def test_audio_folders_equal_keras(keras: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        for j, length in enumerate((5, 9)):
            with wave.open(str(tmp_path / name / f"{j}.wav"), "wb") as file:
                file.setnchannels(2)
                file.setsampwidth(2)
                file.setframerate(8000)
                samples = rng.integers(-32768, 32767, (length + i, 2))
                file.writeframes(samples.astype("<i2").tobytes())
    for arguments in (
        {},
        {"output_sequence_length": 7},
        {"labels": None},
        {"batch_size": None, "label_mode": "categorical"},
    ):
        arguments = {"shuffle": False, "verbose": False, **arguments}
        got = utils.audio_dataset_from_directory(str(tmp_path), **arguments)
        want = keras.utils.audio_dataset_from_directory(str(tmp_path), **arguments)
        assert listed(got) == listed(want)
        assert got.class_names == want.class_names
    with pytest.raises(ValueError, match="resampling is not supported"):
        utils.audio_dataset_from_directory(tmp_path, sampling_rate=4000)
    (tmp_path / "a" / "0.wav").write_bytes(b"no wave file")
    with pytest.raises(ValueError, match="cannot read"):
        list(utils.audio_dataset_from_directory(tmp_path, verbose=False))
