"""Preprocessing layers, compared with Keras and with numbers written down here."""

from __future__ import annotations

import importlib
import os
import warnings
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
        reference = pytest.importorskip("keras", exc_type=ImportError)
    return reference


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
    assert plain(again.get_config()) == plain(mine.get_config())


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
