"""FeatureSpace, compared with Keras."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import lamella

TABLE: dict[str, Any] = {
    "age": [23.0, 45.0, 31.0, 70.0, 18.0, 52.0],
    "size": [1.0, 2.5, 0.5, 4.0, 3.0, 2.0],
    "city": ["a", "b", "a", "c", "b", "a"],
    "zip": [10, 20, 10, 30, 40, 10],
}
NEW = {"age": [20.0, 99.0], "size": [0.0, 1.0], "city": ["b", "z"], "zip": [30, 7]}
ROW = {"age": 20.0, "size": 0.5, "city": "b", "zip": 30}


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow", exc_type=ImportError)
        return pytest.importorskip("keras", exc_type=ImportError)


def plain(outputs: Any) -> Any:
    return lamella.tree.map_structure(lambda x: np.asarray(x), outputs)


SPACES: list[Any] = [
    lambda F: F(
        {
            "age": "float",
            "size": "float_normalized",
            "city": "string_categorical",
            "zip": "integer_categorical",
        }
    ),
    lambda F: F(
        {"age": "float_discretized", "city": "string_hashed", "zip": "integer_hashed"},
        crosses=[("city", "zip")],
        crossing_dim=8,
        hashing_dim=5,
        num_discretization_bins=3,
    ),
    lambda F: F(
        {
            "age": F.float_rescaled(0.1, 2.0),
            "city": F.string_categorical(output_mode="int", max_tokens=3),
            "zip": F.integer_categorical(num_oov_indices=2),
            "size": F.float_discretized(4, output_mode="int"),
        },
        output_mode="dict",
        crosses=[F.cross(("city", "zip"), 6, output_mode="int")],
    ),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", SPACES)
@pytest.mark.parametrize("data", [NEW, ROW])
def test_outputs_equal_keras(keras: Any, make: Any, data: Any) -> None:
    results = []
    for k in (lamella, keras):
        space = make(k.utils.FeatureSpace)
        table = {name: TABLE[name] for name in space.features}
        space.adapt(table)
        results.append(plain(space({name: data[name] for name in table})))
    mine, theirs = results
    lamella.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        mine,
        theirs,
    )


def test_encoded_features_train_a_model() -> None:
    space = SPACES[0](lamella.utils.FeatureSpace)
    space.adapt(lamella.utils.Dataset.from_tensor_slices(TABLE))
    encoded = space.get_encoded_features()
    assert encoded.shape == (None, 11)
    model = lamella.Model(encoded, lamella.layers.Dense(1)(encoded))
    model.compile("sgd", "mse")
    rows = lamella.utils.Dataset.from_tensor_slices((TABLE, np.ones((6, 1)))).batch(2)
    model.fit(rows.map(lambda x, y: (space(x), y)), verbose=0)
    with pytest.raises(ValueError, match=r"columns \['city'\] are texts"):
        space.get_inputs()


def test_columns_of_numbers_become_one_model() -> None:
    numeric = {"age": "float_normalized", "zip": "integer_categorical"}
    space = lamella.utils.FeatureSpace(numeric)
    columns = {name: np.array(TABLE[name]) for name in numeric}
    space.adapt(columns)
    model = lamella.Model(space.get_inputs(), space.get_encoded_features())
    got = model.predict(columns, verbose=0)
    np.testing.assert_allclose(got, space(columns).numpy(), rtol=1e-6)
    again = lamella.utils.FeatureSpace.from_config(space.get_config())
    again.adapt(columns)
    np.testing.assert_allclose(again(columns).numpy(), got, rtol=1e-6)


def test_bad_spaces_raise() -> None:
    make = lamella.utils.FeatureSpace
    for arguments, text in (
        (({},), "must not be empty"),
        (({"a": "flaot"},), "Did you mean 'float'"),
        (({"a": "float"}, "x"), "output_mode must be"),
        (({"a": "float"}, "concat", [("a", "b")]), r"not there: \['b'\]"),
    ):
        with pytest.raises(ValueError, match=text):
            make(*arguments)  # type: ignore[arg-type]
    space = make({"a": "float_normalized"})
    with pytest.raises(ValueError, match="call adapt"):
        space({"a": [1.0]})
    space.adapt({"a": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"columns \['a'\] are missing"):
        space({"b": [1.0]})
    with pytest.raises(ValueError, match="expected a dict"):
        space([1.0])
    whole = make({"a": make.integer_hashed(3, output_mode="int")})
    with pytest.raises(ValueError, match="cannot be concatenated"):
        whole({"a": [1]})
