"""Models and helpers that the tests of saving share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

lamella = pytest.importorskip("lamella")
h5py = pytest.importorskip("h5py")

from lamella import layers  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
FORMATS = (".keras", ".h5", ".hdf5", ".lamella")
HAS_RNN = hasattr(layers, "Bidirectional")
needs_rnn = pytest.mark.skipif(not HAS_RNN, reason="lamella has no recurrent layers")
GOLDEN_FILES = [
    ("mlp", ".keras"),
    ("mlp", ".h5"),
    ("cnn", ".keras"),
    ("cnn", ".h5"),
    ("functional", ".keras"),
    ("functional", ".h5"),
    pytest.param("recurrent", ".keras", marks=needs_rnn),
]
# two libraries add float32 numbers in different orders
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


# -- models -------------------------------------------------------------------------


def make_mlp():
    model = lamella.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.Dense(3, activation="softmax", kernel_regularizer="l2"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 5)).astype("float32")
    return model, x, rng.integers(0, 3, 24).astype("int32")


def make_cnn():
    model = lamella.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", padding="same"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("rmsprop", "categorical_crossentropy", metrics=["mse"])
    rng = np.random.default_rng(1)
    x = rng.random((8, 8, 8, 1)).astype("float32")
    return model, x, np.eye(10, dtype="float32")[rng.integers(0, 10, 8)]


def make_functional():
    inputs = layers.Input((6,), name="features")
    a = layers.Dense(6, activation="relu", name="a")(inputs)
    a = layers.BatchNormalization(name="norm")(a)
    skip = layers.Add(name="skip")([a, inputs])
    b = layers.Dense(4, activation="tanh", name="b")(inputs)
    out = layers.Dense(1, name="out")(layers.Concatenate(name="both")([skip, b]))
    model = lamella.Model(inputs, out, name="functional")
    model.compile(lamella.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    rng = np.random.default_rng(2)
    x = rng.normal(size=(16, 6)).astype("float32")
    return model, x, rng.normal(size=(16, 1)).astype("float32")


def make_recurrent():
    model = lamella.Sequential(
        [
            layers.Input((7,), dtype="int32"),
            layers.Embedding(11, 4),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.GRU(4),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("nadam", "binary_crossentropy")
    rng = np.random.default_rng(3)
    x = rng.integers(0, 11, (12, 7)).astype("int32")
    return model, x, rng.integers(0, 2, (12, 1)).astype("float32")


MAKERS = [
    make_mlp,
    make_cnn,
    make_functional,
    pytest.param(make_recurrent, marks=needs_rnn),
]


def golden_arrays(name):
    with np.load(GOLDEN / f"{name}.npz") as data:
        return dict(data)


def train(model, x, y, epochs=2):
    model.fit(x, y, batch_size=len(x), epochs=epochs, shuffle=False, verbose=0)


def predict(model, x):
    return np.asarray(model.predict(x, verbose=0))


def assert_same(first, second, **tolerance):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        if tolerance:
            np.testing.assert_allclose(a, b, **tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def make_trained_mlp():
    model, x, y = make_mlp()
    train(model, x, y)
    return model, x, y
