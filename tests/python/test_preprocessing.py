"""Preprocessing layers, compared with Keras and with numbers written down here."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import layers

STRINGS = np.array([["cat", "dog", ""], ["bird", "cat", "x y"]], dtype=object)
LONG = ["", "a", "abcd", "abcdefgh", "q" * 17, "r" * 33, "ß" * 40, "z" * 200]
INTS = np.array([[1, 5, -7], [12, 5, 999]])
TEXTS = ["The cat, the DOG!", "", "a  b\tc\nd", "Émile's cat — éa", "x_y dog dog"]
VOCAB = ["cat", "dog", "mouse", "cow"]
NUMBERS = [12, 5, 100, -3]


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras with TensorFlow, which its text layers need."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow", exc_type=ImportError)
        return pytest.importorskip("keras", exc_type=ImportError)


def values(result: Any) -> np.ndarray:
    """Return what a layer of either library gave as a numpy array."""
    if isinstance(result, list):
        return np.array(result, dtype=object)
    if hasattr(result, "detach"):
        result = result.detach()
    return np.asarray(result.numpy() if hasattr(result, "numpy") else result)


def same(got: Any, want: Any, rtol: float = 1e-6) -> None:
    got, want = values(got), values(want)
    assert got.shape == want.shape
    if got.dtype != object:
        assert got.dtype == want.dtype
    if got.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-7)
    else:
        np.testing.assert_array_equal(got, want)


def plain(config: Any) -> Any:
    """Return a config as JSON would hold it."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return config["config"]["name"]
        return {k: plain(v) for k, v in config.items()}
    if isinstance(config, list | tuple):
        return [plain(v) for v in config]
    return config.item() if isinstance(config, np.generic) else config


def same_config(mine: Any, theirs: Any) -> None:
    got, want = plain(mine.get_config()), plain(theirs.get_config())
    got.pop("name"), want.pop("name")
    assert got == want
    again = type(mine).from_config(mine.get_config())
    first, second = plain(mine.get_config()), plain(again.get_config())
    if first.get("vocabulary") is None:  # the size of one from data is not kept
        first.pop("vocabulary_size", None), second.pop("vocabulary_size", None)
    assert first == second


# (class, arguments, inputs, whether Keras too takes them as here)
CASES: list[tuple[str, dict[str, Any], list[Any]]] = [
    *(
        ("CategoryEncoding", {"num_tokens": 6, "output_mode": mode}, [x])
        for mode in ("multi_hot", "one_hot", "count")
        for x in (
            np.array([[1, 2], [0, 5]]),
            np.array([1, 2, 2]),
            np.array([[3], [0]]),
            np.array([[[1, 2], [2, 3]], [[0, 0], [4, 5]]]),
            [[1, 1], [2, 3]],
            np.array(3),
            np.array([[1.0, 2.0]], "float32"),
        )
    ),
    ("CategoryEncoding", {"num_tokens": 4, "dtype": "int32"}, [[[1, 2], [3, 3]]]),
    ("CategoryEncoding", {"num_tokens": 4, "dtype": "float64"}, [[[1, 2], [3, 3]]]),
    ("CategoryEncoding", {"num_tokens": 4, "output_mode": "binary"}, [[[1, 2]]]),
    *(
        ("Discretization", {"bin_boundaries": edges, "output_mode": mode}, [x])
        for mode in ("int", "one_hot", "multi_hot", "count")
        for edges in ([0.0, 0.5, 1.0], [1, 3], [0.3])
        for x in (
            np.array([[-1.0, 0.0], [0.25, 7.0]]),
            np.array([0.5, 0.49999997, np.inf, -np.inf, 1.0], "float32"),
            np.array([[1], [3], [2]]),
            [[0.5], [3.0]],
        )
    ),
    ("Discretization", {"bin_boundaries": [0.0, 1.0]}, [np.array([np.nan, 0.5])]),
    *(
        ("Hashing", {"num_bins": bins, **more}, [x])
        for bins in (1, 3, 1000)
        for more in (
            {},
            {"salt": 133},
            {"salt": (3, 5)},
            {"output_mode": "one_hot"},
            {"output_mode": "multi_hot"},
            {"output_mode": "count"},
            {"dtype": "int32"},
        )
        for x in (STRINGS, INTS, LONG, [["a"], ["b"]], np.array([2.7, -3.2]))
    ),
    ("Hashing", {"num_bins": 5, "mask_value": ""}, [STRINGS]),
    ("Hashing", {"num_bins": 5, "mask_value": 5, "salt": 7}, [INTS]),
    ("Hashing", {"num_bins": 5, "mask_value": 5, "output_mode": "count"}, [INTS]),
    *(
        ("HashedCrossing", {"num_bins": bins, "output_mode": mode}, [x])
        for bins in (2, 7, 1000)
        for mode in ("int", "one_hot")
        for x in (
            (["a", "b", "c"], [1, 2, 3]),
            (np.array([[1], [-5]]), np.array([["x"], ["yy"]])),
            (np.array(["a", "b"]), np.array(["", "b"]), np.array([7, 8])),
        )
    ),
    *(
        ("StringLookup", {"vocabulary": VOCAB, **more}, [x])
        for more in (
            {},
            {"mask_token": ""},
            {"num_oov_indices": 3},
            {"num_oov_indices": 3, "salt": 11},
            {"num_oov_indices": 2, "mask_token": "", "oov_token": "?"},
            {"output_mode": "one_hot"},
            {"output_mode": "one_hot", "mask_token": ""},
            {"output_mode": "multi_hot", "mask_token": ""},
            {"output_mode": "count", "num_oov_indices": 2},
            {"output_mode": "binary", "max_tokens": 9, "pad_to_max_tokens": True},
            {"output_mode": "tf_idf", "idf_weights": [0.5, 1.0, 2.0, 0.25]},
            {"output_mode": "tf-idf", "idf_weights": [1, 2, 3, 4], "mask_token": ""},
            {
                "output_mode": "tf_idf",
                "idf_weights": np.array([0.5, 1.0, 2.0, 0.25]),
                "max_tokens": 8,
                "pad_to_max_tokens": True,
            },
        )
        for x in (STRINGS, ["cat", "cow", "cow"], np.array([["dog"], ["x"]]))
    ),
    *(
        ("StringLookup", {"vocabulary": vocabulary, **more}, [["cat", "zz"]])
        for vocabulary, more in (
            (["[UNK]", "cat", "dog"], {}),
            (["", "[UNK]", "cat"], {"mask_token": ""}),
            (np.array(["cat", "zz"]), {"num_oov_indices": 0}),
            (("zz", "cat"), {"encoding": "utf-8"}),
        )
    ),
    *(
        ("StringLookup", {"vocabulary": VOCAB, "invert": True, **more}, [[0, 1, 2, 5]])
        for more in ({}, {"mask_token": ""}, {"num_oov_indices": 2}, {"oov_token": "?"})
    ),
    *(
        ("IntegerLookup", {"vocabulary": NUMBERS, **more}, [x])
        for more in (
            {},
            {"mask_token": 0},
            {"mask_token": 1, "num_oov_indices": 2},
            {"num_oov_indices": 3},
            {"num_oov_indices": 3, "oov_method": "farmhash"},
            {"num_oov_indices": 3, "oov_method": "farmhash", "salt": (1, 2)},
            {"output_mode": "one_hot"},
            {"output_mode": "multi_hot", "mask_token": 1},
            {"output_mode": "count"},
            {"output_mode": "tf_idf", "idf_weights": [0.5, 1.0, 2.0, 0.25]},
            {"invert": True},
            {"invert": True, "mask_token": 0, "oov_token": -9},
        )
        for x in (INTS, [12, -3, 7], np.array([[5], [1]]), np.array([[2, 3]], "int32"))
    ),
]


def case_id(case: Any) -> str:
    name, arguments, _ = case
    return f"{name}-{'-'.join(f'{k}={v}' for k, v in arguments.items())}"[:80]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_layer_gives_keras_numbers_and_config(keras: Any, case: Any) -> None:
    name, arguments, inputs = case
    mine = getattr(layers, name)(**arguments)
    theirs = getattr(keras.layers, name)(**arguments)
    same(mine(*inputs), theirs(*inputs))
    same_config(mine, theirs)


# -- vocabularies and boundaries from data ------------------------------------------

ADAPT: list[tuple[str, dict[str, Any], Any, Any]] = [
    *(
        ("StringLookup", arguments, data, STRINGS)
        for arguments in (
            {},
            {"mask_token": ""},
            {"max_tokens": 3},
            {"max_tokens": 4, "num_oov_indices": 2, "mask_token": ""},
            {"output_mode": "multi_hot"},
            {"output_mode": "tf_idf"},
            {"output_mode": "tf_idf", "max_tokens": 9, "pad_to_max_tokens": True},
            {"output_mode": "count", "max_tokens": 4},
        )
        for data in (
            ["cat", "dog", "cat", "", "bird", "é", "Z", "[UNK]"],
            np.array([["cat", "dog"], ["cat", "cat"], ["x", ""]]),
        )
    ),
    *(
        ("IntegerLookup", arguments, data, INTS)
        for arguments in (
            {},
            {"mask_token": 0},
            {"max_tokens": 3},
            {"output_mode": "count"},
            {"output_mode": "tf_idf"},
        )
        for data in ([1, 5, 5, -7, 0, 3, -1], np.array([[5, 5], [12, 1], [0, 1]]))
    ),
    *(
        ("Discretization", {"num_bins": bins, **more}, data, INTS / 7.0)
        for bins in (1, 2, 5)
        for more in ({}, {"epsilon": 0.1}, {"output_mode": "one_hot"})
        for data in (
            np.random.default_rng(0).normal(size=(50, 3)),
            np.arange(7),
            [np.arange(30.0), np.arange(10.0) * 3],
        )
    ),
    *(
        ("TextVectorization", arguments, [*TEXTS, "the dog", "A b"], x)
        for arguments in (
            {},
            {"output_sequence_length": 3},
            {"output_sequence_length": 12},
            {"max_tokens": 5},
            {"standardize": None},
            {"standardize": "lower"},
            {"standardize": "strip_punctuation"},
            {"split": "character"},
            {"split": None},
            {"split": None, "output_mode": "multi_hot"},
            {"ngrams": 2},
            {"ngrams": (2, 3), "output_mode": "count"},
            {"output_mode": "multi_hot"},
            {"output_mode": "binary", "max_tokens": 30, "pad_to_max_tokens": True},
            {"output_mode": "count", "max_tokens": 6},
            {"output_mode": "tf_idf"},
            {"output_mode": "tf-idf", "max_tokens": 40, "pad_to_max_tokens": True},
            {"output_mode": "tf_idf", "ngrams": 2, "split": "character"},
        )
        for x in (TEXTS, np.array([["The cat"], ["b é"]]))
    ),
    ("TextVectorization", {}, TEXTS, "one dog a"),
    ("TextVectorization", {"output_mode": "count"}, TEXTS, "one dog a dog"),
]


def numbers_of(layer: Any) -> Any:
    if hasattr(layer, "get_vocabulary"):
        return [
            token.item() if isinstance(token, np.generic) else token
            for token in layer.get_vocabulary()
        ]
    return layer.bin_boundaries


@pytest.mark.parametrize(
    ("name", "arguments", "data", "x"), ADAPT, ids=lambda v: str(v)[:40]
)
def test_adapt_finds_what_keras_finds(
    keras: Any, name: str, arguments: dict[str, Any], data: Any, x: Any
) -> None:
    mine = getattr(layers, name)(**arguments)
    theirs = getattr(keras.layers, name)(**arguments)
    mine.adapt(data)
    theirs.adapt(data)
    assert numbers_of(mine) == numbers_of(theirs)
    if hasattr(mine, "get_vocabulary"):
        assert mine.vocabulary_size() == theirs.vocabulary_size()
        assert mine.get_vocabulary(False) == list(theirs.get_vocabulary(False))
    same(mine(x), theirs(x))
    same_config(mine, theirs)


def test_adapt_takes_generators_and_datasets() -> None:
    batches = [["cat dog", "cat"], ["bird cat"]]
    dataset = lamella.utils.Dataset.from_tensor_slices(
        (["cat dog", "cat", "bird cat"], [0, 1, 1])
    ).batch(2)
    words = dataset.map(lambda text, label: text)
    for data in ([t for b in batches for t in b], iter(batches), words):
        layer = layers.TextVectorization()
        layer.adapt(data)
        assert layer.get_vocabulary() == ["", "[UNK]", "cat", "dog", "bird"]
    layer = layers.StringLookup()
    layer.adapt(iter(batches), steps=1)
    assert layer.get_vocabulary() == ["[UNK]", "cat dog", "cat"]
    texts, labels = next(iter(dataset.map(lambda x, y: (layer(x), y))))
    assert (texts.tolist(), labels.tolist()) == ([1, 2], [0, 1])


def test_functions_standardize_and_split() -> None:
    layer = layers.TextVectorization(
        standardize=np.char.upper,
        split=lambda texts: [text.split(",") for text in texts],
        vocabulary=["A", "B"],
    )
    assert layer(["a,b", "b"]).numpy().tolist() == [[2, 3], [3, 0]]


# -- rescaling and normalization -----------------------------------------------------

GRID = np.random.default_rng(1).normal(3, 2, size=(4, 3, 2))


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(
    ("arguments", "adapt"),
    [
        ({}, True),
        ({"axis": None}, True),
        ({"axis": 1}, True),
        ({"axis": (1, 2)}, True),
        ({"axis": (-1, 0)}, True),
        ({"axis": [1]}, True),
        ({"mean": 2.0, "variance": 3.0}, False),
        ({"axis": None, "mean": 2, "variance": 4}, False),
        ({"mean": [1.0, 2.0], "variance": [0.0, 4.0]}, False),
        ({"axis": 1, "mean": [1.0, 2.0, 3.0], "variance": [1.0, 4.0, 9.0]}, False),
        ({"axis": (1, 2), "mean": [1.0, 2.0], "variance": [1.0, 4.0]}, False),
        (
            {"axis": (1, 2), "mean": np.ones((3, 2)), "variance": np.ones((3, 2)) * 2},
            False,
        ),
        ({"dtype": "float64"}, True),
    ],
)
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "batches"])
def test_normalization_gives_keras_numbers(
    keras: Any, arguments: dict[str, Any], adapt: bool, invert: bool, kind: str
) -> None:
    mine = layers.Normalization(invert=invert, **arguments)
    theirs = keras.layers.Normalization(invert=invert, **arguments)
    batches = kind == "batches" and arguments.get("axis") != (-1, 0)
    data = GRID.astype("float32" if kind == "batches" else kind)
    for layer in (mine, theirs):
        if adapt:
            layer.adapt([data[:3], data[3:]] if batches else data)
    x = data[:, :, :]
    same(mine(x), theirs(x), rtol=2e-5)
    same_config(mine, theirs)
    if adapt:
        for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    same(mine.mean, theirs.mean, rtol=1e-5)
    same(mine.variance, theirs.variance, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": 0.5},
        {"scale": 1 / 255, "offset": -1.0},
        {"scale": [1.0, 2.0], "offset": [3.0, 4.0]},
        {"scale": 2, "offset": 1, "dtype": "float64"},
        {"scale": np.array([1.0, 2.0])},
    ],
)
def test_rescaling_gives_keras_numbers(keras: Any, arguments: dict[str, Any]) -> None:
    mine, theirs = layers.Rescaling(**arguments), keras.layers.Rescaling(**arguments)
    for x in (GRID.astype("float32"), GRID, np.arange(6, dtype="uint8").reshape(3, 2)):
        same(mine(x), theirs(x))
    same_config(mine, theirs)


# -- in models -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.CategoryEncoding(5, output_mode="one_hot"),
        lambda k: k.layers.CategoryEncoding(5),
        lambda k: k.layers.CategoryEncoding(5, output_mode="count"),
        lambda k: k.layers.IntegerLookup(vocabulary=[3, 1], output_mode="multi_hot"),
        lambda k: k.layers.IntegerLookup(
            vocabulary=[3, 1], mask_token=2, output_mode="count"
        ),
        lambda k: k.layers.IntegerLookup(
            vocabulary=[3, 1], num_oov_indices=2, output_mode="one_hot"
        ),
        lambda k: k.layers.IntegerLookup(
            vocabulary=[3, 1], idf_weights=[0.5, 2.0], output_mode="tf_idf"
        ),
        lambda k: k.layers.Discretization([0.5, 2.0], output_mode="one_hot"),
        lambda k: k.layers.Discretization([1, 3], output_mode="count"),
        lambda k: k.layers.Normalization(mean=2.0, variance=4.0),
        lambda k: k.layers.Rescaling(0.5, offset=1.0),
        lambda k: k.layers.Hashing(7, output_mode="multi_hot"),
    ],
)
def test_layers_in_a_model_train_like_keras(keras: Any, make: Any) -> None:
    x = np.array([[1, 3], [2, 0], [4, 4], [0, 1]])
    y = np.arange(4.0, dtype="float32")
    results = []
    for k in (lamella, keras):
        inputs = k.Input((2,), dtype="int64")
        hidden = make(k)(inputs)
        if len(hidden.shape) == 3:
            hidden = k.layers.Flatten()(hidden)
        outputs = k.layers.Dense(1, kernel_initializer="ones")(hidden)
        model = k.Model(inputs, outputs)
        model.compile(k.optimizers.SGD(0.01), "mse", run_eagerly=True)
        if k is lamella and not isinstance(model.layers[1], layers.Hashing):
            model.compile(k.optimizers.SGD(0.01), "mse")
        model.fit(x, y, epochs=2, batch_size=2, shuffle=False, verbose=0)
        results.append((model.predict(x, verbose=0), *model.get_weights()))
        results[-1] = (hidden.shape, hidden.dtype, *results[-1])
    mine, theirs = results
    assert mine[0] == tuple(theirs[0])
    assert str(mine[1]) == str(theirs[1])
    for a, b in zip(mine[2:], theirs[2:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"invert": True},
        {"invert": True, "mask_token": 0},
        {"mask_token": 1, "num_oov_indices": 3},
        {},
    ],
)
def test_integer_lookup_is_the_same_when_compiled(arguments: dict[str, Any]) -> None:
    layer = layers.IntegerLookup(vocabulary=NUMBERS, **arguments)
    x = np.array([[0, 1, 2], [5, 12, -3], [4, 100, 8]])
    inputs = lamella.Input((3,), dtype="int64")
    model = lamella.Model(inputs, layer(inputs))
    np.testing.assert_array_equal(model.predict(x, verbose=0), layer(x).numpy())


def test_host_layers_say_what_a_compiled_model_cannot_do() -> None:
    inputs = lamella.Input((1,), dtype="int64")
    outputs = layers.Hashing(3, output_mode="one_hot", name="h")(inputs)
    assert outputs.shape == (None, 3)
    model = lamella.Model(inputs, outputs)
    with pytest.raises(RuntimeError, match=r"Hashing 'h'.*run_eagerly=True"):
        model.predict(np.array([[1]]), verbose=0)


def test_pipeline_applies_layers_in_order(keras: Any) -> None:
    results = []
    for k in (lamella, keras):
        pipeline = k.layers.Pipeline(
            [
                k.layers.Rescaling(0.5),
                k.layers.Discretization([0.2, 0.6], output_mode="one_hot"),
            ]
        )
        again = k.layers.Pipeline.from_config(pipeline.get_config())
        assert len(again.layers) == 2
        results.append(values(again(np.ones((2, 3), "float32"))))
        assert pipeline(k.Input((3,))).shape == (None, 3, 3)
    np.testing.assert_allclose(*results)


# -- files ---------------------------------------------------------------------------


def text_model(k: Any, mode: str) -> Any:
    """A model with an adapted lookup, as Keras can build it in any backend."""
    lookup = k.layers.IntegerLookup(output_mode=mode, name="lookup", mask_token=0)
    lookup.adapt(np.array([[5, 7, 7], [3, 7, 0]]))
    bins = k.layers.Discretization(num_bins=3, output_mode="one_hot", name="bins")
    bins.adapt(np.arange(20.0))
    scale = k.layers.Normalization(name="scale")
    scale.adapt(np.arange(12.0).reshape(4, 3))
    inputs = k.Input((3,), dtype="int64")
    looked = lookup(inputs)
    if mode == "int":
        looked = k.layers.Embedding(6, 2)(looked)
        looked = k.layers.Flatten()(looked)
    binned = k.layers.Flatten()(bins(inputs))
    outputs = k.layers.Concatenate()([looked, binned, scale(inputs)])
    return k.Model(inputs, outputs)


@pytest.mark.parametrize("mode", ["int", "multi_hot", "tf_idf"])
def test_keras_archives_go_both_ways(keras: Any, tmp_path: Path, mode: str) -> None:
    x = np.array([[5, 7, 1], [0, 3, 7]])
    mine, theirs = text_model(lamella, mode), text_model(keras, mode)
    want = mine.predict(x, verbose=0)
    mine.save(tmp_path / "mine.keras")
    loaded = keras.models.load_model(tmp_path / "mine.keras")
    same(loaded.predict(x, verbose=0), want)
    same(lamella.models.load_model(tmp_path / "mine.keras").predict(x, verbose=0), want)
    theirs.save(tmp_path / "theirs.keras")
    loaded = lamella.models.load_model(tmp_path / "theirs.keras")
    same(loaded.predict(x, verbose=0), theirs.predict(x, verbose=0))
    mine.save(tmp_path / "mine.lamella")
    loaded = lamella.models.load_model(tmp_path / "mine.lamella")
    same(loaded.predict(x, verbose=0), want)


class Vectorize:
    """A model around a text layer, to save: built in either library."""

    @staticmethod
    def make(k: Any, mode: str) -> Any:
        layer = k.layers.TextVectorization(output_mode=mode, name="text")
        layer.adapt(["the cat", "a cat ß", "the dog"])
        model = k.Sequential([k.layers.Pipeline([layer], name="pipe")])
        return model, layer


@pytest.mark.filterwarnings("ignore:.*not yet been built")
@pytest.mark.parametrize("mode", ["int", "count", "tf_idf"])
def test_vocabularies_of_texts_go_both_ways(
    keras: Any, tmp_path: Path, mode: str
) -> None:
    for k, other in ((lamella, keras), (keras, lamella), (lamella, lamella)):
        model, layer = Vectorize.make(k, mode)
        path = tmp_path / f"{k.__name__}.keras"
        model.save(path)
        found = other.models.load_model(path).layers[0].layers[0]
        assert found.get_vocabulary() == layer.get_vocabulary()
        same(found(["cat the x"]), layer(["cat the x"]))


@lamella.saving.register_keras_serializable("tests")
class Noted(layers.Layer):
    """A user's layer with a file of its own."""

    note = ""

    def call(self, x: Any) -> Any:
        return x

    def save_assets(self, dir_path: str) -> None:
        folder = Path(dir_path, "deep")
        folder.mkdir()
        (folder / "note.txt").write_text(self.note)

    def load_assets(self, dir_path: str) -> None:
        self.note = Path(dir_path, "deep", "note.txt").read_text()


@pytest.mark.parametrize("suffix", ["keras", "lamella"])
def test_files_of_users_layers_are_kept(tmp_path: Path, suffix: str) -> None:
    model = lamella.Sequential([lamella.Input((2,)), Noted()])
    model.layers[0].note = "remember"
    model.save(tmp_path / f"m.{suffix}")
    loaded = lamella.models.load_model(tmp_path / f"m.{suffix}")
    assert loaded.layers[0].note == "remember"


def test_assets_stay_in_their_folder(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    lamella.Sequential([lamella.Input((2,)), Noted()]).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/layers/noted/../../../escaped.txt", "x")
    with pytest.raises(ValueError, match="leaves its folder"):
        lamella.models.load_model(path)
    assert not (tmp_path / "escaped.txt").exists()


def test_vocabulary_files(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("cat\ndog\nß\n", encoding="utf-8")
    layer = layers.StringLookup(vocabulary=str(path))
    assert layer.get_vocabulary() == ["[UNK]", "cat", "dog", "ß"]
    assert layer.get_config()["vocabulary"] is None
    with pytest.raises(ValueError, match="does not exist"):
        layers.StringLookup(vocabulary=str(path) + "x")
    with pytest.raises(ValueError, match="names a vocabulary file"):
        layers.StringLookup.from_config({"vocabulary": str(path)})


# -- what is written down here, without Keras ------------------------------------------


def test_bins_of_hashes_are_the_published_ones() -> None:
    x = [["A"], ["B"], ["C"], ["D"], ["E"]]
    assert layers.Hashing(num_bins=3)(x).numpy().tolist() == [[1], [0], [1], [1], [2]]
    masked = layers.Hashing(num_bins=3, mask_value="")([["A"], ["B"], [""], ["C"]])
    assert masked.numpy().tolist() == [[1], [1], [0], [2]]
    strong = layers.Hashing(num_bins=3, salt=[133, 137])(x)
    assert strong.numpy().tolist() == [[1], [2], [1], [0], [2]]
    cross = layers.HashedCrossing(num_bins=5)
    feature = np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102])
    assert cross(feature).numpy().tolist() == [1, 4, 1, 1, 3]


ERRORS: list[tuple[str, dict[str, Any], str]] = [
    ("CategoryEncoding", {}, "num_tokens must be given"),
    ("CategoryEncoding", {"num_tokens": 0}, "must be positive"),
    ("CategoryEncoding", {"num_tokens": 2, "output_mode": "x"}, "output_mode must be"),
    ("CategoryEncoding", {"num_tokens": 2, "sparse": True}, "dense tensors only"),
    ("Discretization", {}, "either num_bins or bin_boundaries"),
    ("Discretization", {"num_bins": 2, "bin_boundaries": [1]}, "either"),
    ("Discretization", {"num_bins": -1}, "at least 0"),
    ("Hashing", {"num_bins": 0}, "must be positive"),
    ("Hashing", {"num_bins": 2, "salt": "x"}, "salt must be"),
    ("Hashing", {"num_bins": 2, "dtype": "float32"}, "int32"),
    ("HashedCrossing", {"num_bins": 2, "output_mode": "count"}, "output_mode must"),
    ("StringLookup", {"max_tokens": 1}, "greater than 1"),
    ("StringLookup", {"num_oov_indices": -1}, "must not be negative"),
    ("StringLookup", {"pad_to_max_tokens": True}, "needs max_tokens"),
    ("StringLookup", {"vocabulary": ["a", "a"]}, "repeated"),
    ("StringLookup", {"vocabulary": []}, "empty"),
    ("StringLookup", {"vocabulary": ["a", ""], "mask_token": ""}, "special token ''"),
    ("StringLookup", {"vocabulary": ["a", "b"], "max_tokens": 2}, "max_tokens is 2"),
    ("StringLookup", {"vocabulary": [1, 2]}, "expected texts, got 1"),
    ("StringLookup", {"invert": True, "output_mode": "count"}, "invert needs"),
    ("StringLookup", {"idf_weights": [1.0]}, "idf_weights need"),
    ("StringLookup", {"encoding": "latin-1"}, "must be 'utf-8'"),
    ("StringLookup", {"bad": 1}, "unrecognized argument bad"),
    ("IntegerLookup", {"vocabulary_dtype": "int32"}, "must be 'int64'"),
    ("IntegerLookup", {"salt": 3}, "oov_method='farmhash'"),
    ("IntegerLookup", {"vocabulary": ["a"]}, "x.txt|expected integers"),
    ("TextVectorization", {"split": "x"}, "split must be"),
    ("TextVectorization", {"ngrams": [1]}, "ngrams must be"),
    ("TextVectorization", {"ragged": True}, "dense tensors only"),
    (
        "TextVectorization",
        {"output_mode": "count", "output_sequence_length": 3},
        "output_mode='int' only",
    ),
    ("Normalization", {"mean": 1.0}, "together"),
    ("Normalization", {"mean": [1.0], "variance": 1.0}, "same shape"),
    ("Normalization", {"axis": None, "mean": [1.0], "variance": [1.0]}, "at most 0"),
]


@pytest.mark.parametrize(("name", "arguments", "text"), ERRORS)
def test_bad_arguments_raise(name: str, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=text):
        getattr(layers, name)(**arguments)


def test_bad_use_raises() -> None:
    with pytest.raises(ValueError, match="adapt cannot be used"):
        layers.StringLookup(vocabulary=["a"]).adapt(["b"])
    with pytest.raises(ValueError, match=r"must be in the vocabulary, got \['b'\]"):
        layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "b"])
    with pytest.raises(TypeError, match="expected texts"):
        layers.StringLookup(vocabulary=["a"])([1, 2])
    for layer in (
        layers.StringLookup(),
        layers.StringLookup(output_mode="count"),
        layers.TextVectorization(),
    ):
        with pytest.raises(RuntimeError, match="needs a vocabulary first"):
            layer(["a"])
    with pytest.raises(ValueError, match="takes numbers, not texts"):
        lamella.Input((1,), dtype="string")
    model = lamella.Sequential([layers.Dense(1)])
    with pytest.raises(TypeError, match=r"layers\.TextVectorization"):
        model.predict(np.array(["a", "b"], dtype=object), verbose=0)
    with pytest.raises(RuntimeError, match="cannot change from 2 to 3"):
        layers.StringLookup(vocabulary=["a"], output_mode="count").set_vocabulary(
            ["a", "b"]
        )
    with pytest.raises(ValueError, match="at least two features"):
        layers.HashedCrossing(3)([["a"]])
    with pytest.raises(ValueError, match="same shape"):
        layers.HashedCrossing(3)((["a"], ["b", "c"]))
    with pytest.raises(ValueError, match="no boundaries yet"):
        layers.Discretization(num_bins=2)([1.0])
    with pytest.raises(ValueError, match="there is no batch"):
        layers.Normalization().adapt(iter([]))
    scale = layers.Normalization()
    scale.adapt(np.ones((3, 2)))
    with pytest.raises(ValueError, match="built for input of shape"):
        scale.adapt(np.ones((3, 4)))
