"""Saving and loading: golden files, round trips, both ways with Keras, faults."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

lamella = pytest.importorskip("lamella")
h5py = pytest.importorskip("h5py")

from lamella import layers, saving  # noqa: E402
from lamella.saving import (  # noqa: E402
    atomic,
    hdf5,
    keras_format,
    lamella_format,
)

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


@pytest.fixture(scope="module")
def mlp():
    model, x, y = make_mlp()
    train(model, x, y)
    return model, x, y


# -- golden files: what Keras wrote -------------------------------------------------


@pytest.mark.parametrize(("name", "suffix"), GOLDEN_FILES)
def test_golden_model_predicts_and_trains_on_as_keras_did(name, suffix):
    data = golden_arrays(name)
    model = saving.load_model(GOLDEN / f"{name}{suffix}")
    weights = [data[f"weight_{i}"] for i in range(len(model.get_weights()))]
    assert_same(model.get_weights(), weights)
    np.testing.assert_allclose(predict(model, data["x"]), data["prediction"], **CLOSE)
    if "after_0" in data:
        train(model, data["x"], data["y"], epochs=3)
        after = [data[f"after_{i}"] for i in range(len(weights))]
        # three optimizer steps magnify the last bits of the gradients
        assert_same(model.get_weights(), after, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_golden_weights_load_into_a_fresh_model(name, suffix):
    data = golden_arrays(name)
    model = saving.load_model(GOLDEN / f"{name}.keras", compile=False)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    saving.load_weights(model, GOLDEN / f"{name}{suffix}")
    np.testing.assert_allclose(predict(model, data["x"]), data["prediction"], **CLOSE)


def test_golden_model_loads_uncompiled_with_compile_false():
    model = saving.load_model(GOLDEN / "mlp.keras", compile=False)
    assert getattr(model, "optimizer", None) is None


# -- round trips --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("make", MAKERS)
def test_round_trip_continues_training_with_the_same_bits(make, suffix, tmp_path):
    model, x, y = make()
    train(model, x, y)
    path = tmp_path / f"model{suffix}"
    saving.save_model(model, path)
    again = saving.load_model(path)
    assert_same(again.get_weights(), model.get_weights())
    np.testing.assert_array_equal(predict(again, x), predict(model, x))
    train(model, x, y, epochs=3)
    train(again, x, y, epochs=3)
    assert_same(again.get_weights(), model.get_weights())


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".lamella"])
@pytest.mark.parametrize("make", MAKERS)
def test_weights_round_trip(make, suffix, tmp_path):
    model, x, y = make()
    train(model, x, y, epochs=1)
    path = tmp_path / f"w{suffix}"
    saving.save_weights(model, path)
    other = make()[0]
    saving.load_weights(other, path)
    assert_same(other.get_weights(), model.get_weights())


@pytest.mark.parametrize("suffix", [".keras", ".lamella"])
def test_dropout_continues_with_the_same_random_numbers(suffix, tmp_path):
    model = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(16), layers.Dropout(0.5), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 5)), rng.normal(size=(32, 1))
    train(model, x, y)
    saving.save_model(model, tmp_path / f"m{suffix}")
    again = saving.load_model(tmp_path / f"m{suffix}")
    train(model, x, y)
    train(again, x, y)
    assert_same(again.get_weights(), model.get_weights())


def test_model_methods_save_and_load(mlp, tmp_path):
    model, x, _ = mlp
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    other = lamella.models.load_model(tmp_path / "m.keras")
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(predict(other, x), predict(model, x))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_include_optimizer_false_loads_uncompiled(mlp, suffix, tmp_path):
    model, x, _ = mlp
    saving.save_model(model, tmp_path / f"m{suffix}", include_optimizer=False)
    other = saving.load_model(tmp_path / f"m{suffix}")
    assert getattr(other, "optimizer", None) is None
    np.testing.assert_array_equal(predict(other, x), predict(model, x))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_model_saved_before_training_loads_and_trains(suffix, tmp_path):
    model, x, y = make_mlp()
    saving.save_model(model, tmp_path / f"m{suffix}")
    again = saving.load_model(tmp_path / f"m{suffix}")
    train(model, x, y)
    train(again, x, y)
    assert_same(again.get_weights(), model.get_weights())


def test_learning_rate_schedule_survives(tmp_path):
    rate = lamella.optimizers.schedules.ExponentialDecay(0.05, 3, 0.9)
    model, x, y = make_functional()
    model.compile(lamella.optimizers.SGD(rate, momentum=0.9), "mse")
    train(model, x, y)
    saving.save_model(model, tmp_path / "m.keras")
    again = saving.load_model(tmp_path / "m.keras")
    train(model, x, y, epochs=4)
    train(again, x, y, epochs=4)
    assert_same(again.get_weights(), model.get_weights())


class Net(lamella.Model):
    """Layers as attributes and in a list, dropout, a private one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(4, "relu")
        self.blocks = [layers.Dense(3), layers.Dense(3)]
        self.zoom = layers.Dense(1)
        self._hidden = layers.Dense(4)
        self.drop = layers.Dropout(0.25)

    def call(self, x, training=None):
        x = self._hidden(self.first(x))
        for block in self.blocks:
            x = block(x)
        return self.zoom(self.drop(x, training=training))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_subclassed_model_round_trip(suffix, tmp_path):
    _, x, y = make_functional()
    model = Net()
    model.compile("adam", "mse")
    train(model, x, y)
    path = tmp_path / f"m{suffix}"
    saving.save_model(model, path)
    with pytest.raises(ValueError, match="Net"):
        saving.load_model(path)
    again = saving.load_model(path, custom_objects={"Net": Net})
    np.testing.assert_array_equal(predict(again, x), predict(model, x))
    if suffix != ".h5":  # which keeps no random counters
        train(model, x, y)
        train(again, x, y)
        assert_same(again.get_weights(), model.get_weights())


def test_weights_file_of_a_subclassed_model_has_the_groups_of_keras(tmp_path):
    model = Net()
    model.build((None, 6))
    saving.save_weights(model, tmp_path / "n.weights.h5")
    found = []
    with h5py.File(tmp_path / "n.weights.h5") as file:
        file.visititems(lambda n, o: found.append(n) if n.endswith("vars") else None)
    expected = ["blocks/dense", "blocks/dense_1", "drop", "drop/seed_generator"]
    # Keras visits the property `layers` in its place in the alphabet
    expected += ["first", "layers/dense_3", "layers/dense_4"]
    assert sorted(found) == sorted([*(f"{name}/vars" for name in expected), "vars"])


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_frozen_layers_stay_frozen(suffix, tmp_path):
    model, x, y = make_mlp()
    model.layers[0].trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    train(model, x, y)
    saving.save_model(model, tmp_path / f"m{suffix}")
    again = saving.load_model(tmp_path / f"m{suffix}")
    assert len(again.trainable_weights) == 2
    train(model, x, y)
    train(again, x, y)
    assert_same(again.get_weights(), model.get_weights())


@pytest.mark.parametrize("make", [make_mlp, make_cnn, make_functional])
def test_lamella_file_has_the_graphs_and_the_state_for_cpp(make, tmp_path):
    model, x, y = make()
    train(model, x, y)
    path = tmp_path / "m.lamella"
    saving.save_model(model, path)
    tensors, metadata = lamella._core.load_safetensors(str(path))
    assert {"graph.predict", "graph.train", "optimizer", "config"} <= set(metadata)
    for key in ("graph.predict", "graph.train"):
        assert set(json.loads(metadata[key])["variables"]) <= set(tensors)
    assert set(metadata["metric_state"].split("\n")) <= set(tensors)
    graph = lamella_format.predict_graph(model)
    (output,) = lamella._core.Executor(graph)([x])
    np.testing.assert_allclose(output, predict(model, x), rtol=1e-6, atol=1e-7)


def test_nested_and_shared_layers_round_trip(tmp_path):
    inner = lamella.Sequential([layers.Input((4,)), layers.Dense(4), layers.Dense(4)])
    first, second = layers.Input((4,)), layers.Input((4,))
    out = layers.Dense(1)(layers.Concatenate()([inner(first), inner(second)]))
    model = lamella.Model([first, second], out)
    x = [np.random.default_rng(i).normal(size=(6, 4)).astype("float32") for i in (0, 1)]
    for suffix in (".keras", ".h5", ".lamella"):
        saving.save_model(model, tmp_path / f"m{suffix}")
        again = saving.load_model(tmp_path / f"m{suffix}")
        assert again.count_params() == model.count_params()
        np.testing.assert_array_equal(predict(again, x), predict(model, x))


# -- custom objects -----------------------------------------------------------------


@saving.register_keras_serializable("test_saving")
class Scale(layers.Layer):
    """Multiplies by a trainable factor and has an inner layer."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start
        self.inner = layers.Dense(3)

    def build(self, input_shape):
        self.factor = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", name="factor"
        )
        self.inner.build(input_shape)

    def call(self, x):
        return self.inner(x * self.factor * self.start)

    def get_config(self):
        return {**super().get_config(), "start": self.start}


class Unregistered(layers.Layer):
    """Known to nobody but this file."""

    def call(self, x):
        return x * 2.0


@saving.register_keras_serializable("test_saving")
def cube(x):
    return x * x * x


def _custom_model(layer, activation=None):
    return lamella.Sequential(
        [layers.Input((4,)), layer, layers.Dense(2, activation=activation)]
    )


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_registered_layer_and_function_load(suffix, tmp_path):
    model = _custom_model(Scale(2.0), cube)
    x = np.ones((2, 4), "float32")
    saving.save_model(model, tmp_path / f"m{suffix}")
    again = saving.load_model(tmp_path / f"m{suffix}")
    assert isinstance(again.layers[0], Scale)
    np.testing.assert_array_equal(predict(again, x), predict(model, x))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_unknown_class_error_names_class_layer_and_custom_objects(suffix, tmp_path):
    model = _custom_model(Unregistered(name="mine"))
    path = tmp_path / f"m{suffix}"
    saving.save_model(model, path)
    with pytest.raises(ValueError, match="Unregistered") as caught:
        saving.load_model(path)
    for word in ("'mine'", "custom_objects", str(path), "register_keras_serializable"):
        assert word in str(caught.value)
    again = saving.load_model(path, custom_objects={"Unregistered": Unregistered})
    assert isinstance(again.layers[0], Unregistered)
    with saving.custom_object_scope({"Unregistered": Unregistered}):
        saving.load_model(path)


def test_registration_names():
    assert saving.get_registered_name(Scale) == "test_saving>Scale"
    assert saving.get_registered_object("test_saving>Scale") is Scale
    assert saving.get_custom_objects()["test_saving>cube"] is cube
    with pytest.raises(ValueError, match="get_config"):
        saving.register_keras_serializable()(type("Bare", (), {}))
    with pytest.raises(ValueError, match="parentheses"):
        saving.register_keras_serializable(Scale)


def test_scopes_nest_and_end():
    with saving.custom_object_scope({"a": 1}):
        with saving.custom_object_scope({"b": 2}):
            assert saving.get_registered_object("a") == 1
            assert saving.get_registered_object("b") == 2
        assert saving.get_registered_object("b") is None
    assert saving.get_registered_object("a") is None


# -- JSON ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        2.5,
        "text",
        [1, [2, "x"]],
        {"a": {"b": [1]}},
        b"bytes",
        slice(1, None, 2),
        Ellipsis,
    ],
)
def test_plain_values_round_trip(value):
    text = json.dumps(saving.serialize_keras_object(value))
    assert saving.deserialize_keras_object(json.loads(text)) == value


def test_arrays_round_trip():
    array = np.arange(6, dtype="float32").reshape(2, 3)
    again = saving.deserialize_keras_object(saving.serialize_keras_object(array))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)
    assert saving.serialize_keras_object(np.float32(0.5)) == 0.5


@pytest.mark.parametrize(
    ("make", "module", "name"),
    [
        (lambda: layers.Dense(2), "keras.layers", "Dense"),
        (lambda: layers.Conv2D(2, 3), "keras.layers", "Conv2D"),
        (lambda: lamella.Sequential([layers.Dense(2)]), "keras", "Sequential"),
        (lambda: lamella.optimizers.Adam(), "keras.optimizers", "Adam"),
        (
            lambda: lamella.optimizers.schedules.CosineDecay(0.1, 3),
            "keras.optimizers.schedules",
            "CosineDecay",
        ),
        (lambda: lamella.losses.Huber(), "keras.losses", "Huber"),
        (lambda: lamella.metrics.AUC(), "keras.metrics", "AUC"),
        (lambda: lamella.initializers.HeNormal(), "keras.initializers", "HeNormal"),
        (lambda: lamella.regularizers.L2(0.1), "keras.regularizers", "L2"),
        (lambda: lamella.constraints.NonNeg(), "keras.constraints", "NonNeg"),
    ],
)
def test_classes_are_written_with_the_paths_of_keras(make, module, name):
    obj = make()
    config = json.loads(json.dumps(saving.serialize_keras_object(obj)))
    assert (config["module"], config["class_name"]) == (module, name)
    assert config["registered_name"] is None
    again = saving.deserialize_keras_object(config)
    assert type(again) is type(obj)


@pytest.mark.parametrize(
    "module",
    [
        "keras.layers",
        "keras.src.layers.core.dense",
        "tf_keras.layers",
        "tf_keras.src.layers.core.dense",
        "tensorflow.keras.layers",
        "tensorflow.python.keras.layers.core",
        "lamella.layers",
        "lamella.layers.core",
        "keras",
        "keras.src.backend.torch.layers.dense",
    ],
)
def test_module_spellings_find_the_layer(module):
    config = {
        "module": module,
        "class_name": "Dense",
        "registered_name": None,
        "config": {
            "name": "d",
            "units": 3,
            "dtype": {
                "module": "keras",
                "class_name": "DTypePolicy",
                "config": {"name": "float32"},
            },
            "quantization_config": None,
        },
    }
    layer = saving.deserialize_keras_object(config)
    assert isinstance(layer, layers.Dense)
    assert (layer.units, layer.name) == (3, "d")


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("keras", "os")],
)
def test_foreign_modules_are_never_imported(module, name):
    for kind, inner in ((name, {}), ("function", name)):
        config = {"module": module, "class_name": kind, "config": inner}
        with pytest.raises(ValueError, match=r"unknown (class|function)"):
            saving.deserialize_keras_object(config)


def test_unknown_key_that_matters_is_an_error_with_key_and_layer():
    config = saving.serialize_keras_object(layers.Dense(2, name="d"))
    config["config"]["quantization_config"] = {"bits": 4}
    with pytest.raises(ValueError, match=r"Dense 'd'.*quantization_config"):
        saving.deserialize_keras_object(config)


def test_mixed_precision_warns_and_float16_is_refused():
    config = saving.serialize_keras_object(layers.Dense(2))
    config["config"]["dtype"] = {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "mixed_float16"},
    }
    with pytest.warns(UserWarning, match="float32"):
        assert saving.deserialize_keras_object(config).dtype == "float32"
    config["config"]["dtype"]["config"]["name"] = "float16"
    with pytest.raises(ValueError, match="float16"):
        saving.deserialize_keras_object(config)


# -- no code from files -------------------------------------------------------------


@pytest.mark.parametrize("safe_mode", [True, False])
@pytest.mark.parametrize(
    "function",
    [
        {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None}},
        ["4wEAAAA=", None, None],
    ],
)
def test_lambda_in_a_file_is_refused_with_advice(function, safe_mode, mlp, tmp_path):
    path = tmp_path / "m.keras"
    saving.save_model(mlp[0], path)

    def add_lambda(config):
        config["config"]["layers"].append(
            {
                "module": "keras.layers",
                "class_name": "Lambda",
                "config": {"name": "evil", "function": function},
                "registered_name": None,
            }
        )

    _edit_config(path, add_lambda)
    with pytest.raises(ValueError, match=r"refused.*register_keras_serializable"):
        saving.load_model(path, safe_mode=safe_mode)


def test_lambda_is_refused_when_saving(tmp_path):
    path = tmp_path / "m.keras"
    model = _custom_model(layers.Dense(2, activation=lambda x: x))
    with pytest.raises(ValueError, match="lambda"):
        saving.save_model(model, path)
    assert list(tmp_path.iterdir()) == []


def _edit_config(path, edit):
    """Change config.json inside an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    edit(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_hdf5_links_out_of_the_file_are_refused(mlp, tmp_path):
    path = tmp_path / "w.weights.h5"
    saving.save_weights(mlp[0], path)
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/hostname", "/x")
    with pytest.raises(OSError, match="link"):
        saving.load_weights(mlp[0], path)


def test_hdf5_size_bomb_is_refused(mlp, tmp_path):
    path = tmp_path / "w.weights.h5"
    saving.save_weights(mlp[0], path)
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset(
            "0", shape=(1 << 20, 1 << 14), dtype="f4", chunks=True, compression="gzip"
        )
    with pytest.raises(OSError, match="claims"):
        saving.load_weights(mlp[0], path)


# -- layout of the files ------------------------------------------------------------


def test_keras_archive_has_the_members_and_keys_of_keras(mlp, tmp_path):
    path = tmp_path / "m.keras"
    saving.save_model(mlp[0], path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [
            "metadata.json",
            "config.json",
            "model.weights.h5",
        ]
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    assert set(config) == {
        "module",
        "class_name",
        "config",
        "registered_name",
        "build_config",
        "compile_config",
    }
    assert {"optimizer", "loss", "metrics"} <= set(config["compile_config"])
    with h5py.File(io.BytesIO(weights)) as file:
        assert file["layers/dense/vars"].attrs["name"] == "hidden"
        assert file["layers/dense/vars/0"].shape == (5, 8)
        assert file["optimizer/vars/0"].dtype == np.int64
        assert len(file["optimizer/vars"]) == 2 + 2 * 4
    assert weights[8] == 0  # superblock version 0: the subset that C++ readers know


def test_deflated_archive_is_read(mlp, tmp_path):
    model, x, _ = mlp
    saving.save_model(model, tmp_path / "m.keras")
    with (
        zipfile.ZipFile(tmp_path / "m.keras") as old,
        zipfile.ZipFile(tmp_path / "n.keras", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    again = saving.load_model(tmp_path / "n.keras")
    np.testing.assert_array_equal(predict(again, x), predict(model, x))


def test_snake_case_of_class_names():
    names = ["Conv2D", "MaxPooling2D", "LSTM", "LeakyReLU", "Dense", "PReLU"]
    keys = ["conv2d", "max_pooling2d", "lstm", "leaky_re_lu", "dense", "p_re_lu"]
    assert [keras_format.snake_case(name) for name in names] == keys


def test_long_lists_of_names_are_split_into_several_attributes():
    names = [f"layer_{i:050d}" for i in range(3000)]
    with hdf5.memory_file() as (file, result):
        hdf5.write_strings(file, "layer_names", names)
        assert "layer_names" not in file.attrs
        assert "layer_names0" in file.attrs
    with hdf5.open_bytes(result[0], "test") as file:
        assert hdf5.read_strings(file, "layer_names", "test") == names


# -- files of Keras 2 ---------------------------------------------------------------


def _keras2_file(path, *, functional=False):
    """Write a .h5 file as Keras 2 did."""
    rng = np.random.default_rng(5)
    kernel, bias = rng.normal(size=(4, 3)).astype("f4"), rng.normal(size=3).astype("f4")
    gamma = np.full(3, 1.5, "f4")
    dense = {
        "name": "d",
        "trainable": True,
        "batch_input_shape": [None, 4],
        "dtype": "float32",
        "units": 3,
        "activation": "linear",
        "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    norm = {
        "name": "bn",
        "trainable": True,
        "dtype": "float32",
        "axis": [1],
        "momentum": 0.99,
        "epsilon": 0.001,
        "center": False,
        "scale": True,
    }
    if functional:
        del dense["batch_input_shape"]
        config = {
            "name": "model",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {
                        "batch_input_shape": [None, 4],
                        "dtype": "float32",
                        "sparse": False,
                        "ragged": False,
                        "name": "in",
                    },
                    "name": "in",
                    "inbound_nodes": [],
                },
                {
                    "class_name": "Dense",
                    "config": dense,
                    "name": "d",
                    "inbound_nodes": [[["in", 0, 0, {}]]],
                },
                {
                    "class_name": "BatchNormalization",
                    "config": norm,
                    "name": "bn",
                    "inbound_nodes": [[["d", 0, 0, {}]]],
                },
                {
                    "class_name": "Add",
                    "config": {"name": "sum", "trainable": True, "dtype": "float32"},
                    "name": "sum",
                    "inbound_nodes": [[["d", 0, 0, {}], ["bn", 0, 0, {}]]],
                },
            ],
            "input_layers": [["in", 0, 0]],
            "output_layers": [["sum", 0, 0]],
        }
        model = {"class_name": "Functional", "config": config}
    else:
        stack = [
            {"class_name": "Dense", "config": dense},
            {"class_name": "BatchNormalization", "config": norm},
        ]
        model = {
            "class_name": "Sequential",
            "config": {"name": "sequential", "layers": stack},
        }
    training = {
        "loss": {
            "class_name": "MeanSquaredError",
            "config": {"reduction": "auto", "name": "mean_squared_error", "fn": "mse"},
        },
        "metrics": [
            [
                {
                    "class_name": "MeanMetricWrapper",
                    "config": {"name": "mae", "dtype": "float32", "fn": "mae"},
                }
            ]
        ],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": {
            "class_name": "Adam",
            "config": {"name": "Adam", "lr": 0.002, "decay": 0.0, "beta_1": 0.9},
        },
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(model).encode()
        file.attrs["training_config"] = json.dumps(training).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"d", b"bn"])
        group.attrs["keras_version"] = b"2.4.0"
        layer = group.create_group("d")
        layer.attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
        layer["d/kernel:0"], layer["d/bias:0"] = kernel, bias
        layer = group.create_group("bn")
        layer.attrs["weight_names"] = np.array(
            [b"bn/gamma:0", b"bn/moving_mean:0", b"bn/moving_variance:0"]
        )
        layer["bn/gamma:0"] = gamma
        layer["bn/moving_mean:0"] = np.zeros(3, "f4")
        layer["bn/moving_variance:0"] = np.ones(3, "f4")
    return kernel, bias, gamma


@pytest.mark.parametrize("functional", [False, True])
def test_file_of_keras_2_is_read(functional, tmp_path):
    kernel, bias, gamma = _keras2_file(tmp_path / "k2.h5", functional=functional)
    model = saving.load_model(tmp_path / "k2.h5")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    dense = x @ kernel + bias
    expected = dense * gamma / np.sqrt(1.001, dtype="f4")
    if functional:
        expected = expected + dense
    np.testing.assert_allclose(predict(model, x), expected, **CLOSE)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.002)
    train(model, x, expected)


# -- faults: the old file stays, errors say what is wrong ---------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_file_is_an_error_that_names_it(mlp, suffix, share, tmp_path):
    path = tmp_path / f"cut{suffix}"
    saving.save_model(mlp[0], path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((OSError, ValueError), match="cut"):
        saving.load_model(path)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".lamella"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_weights_leave_the_model_unchanged(mlp, suffix, share, tmp_path):
    model = mlp[0]
    before = model.get_weights()
    path = tmp_path / f"cut{suffix}"
    saving.save_weights(model, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((OSError, ValueError), match="cut"):
        saving.load_weights(model, path)
    assert_same(model.get_weights(), before)


def test_flipped_byte_in_an_archive_is_found(mlp, tmp_path):
    path = tmp_path / "m.keras"
    saving.save_model(mlp[0], path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"m\.keras.*damaged"):
        saving.load_model(path)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_descriptions_are_errors_of_value(seed, tmp_path):
    path = tmp_path / "m.keras"
    saving.save_model(make_functional()[0], path)
    with zipfile.ZipFile(path) as archive:
        original = archive.read("config.json")
        weights = archive.read("model.weights.h5")
    rng = random.Random(seed)
    strange = [None, -1, "x", [], {}, [1, 2], True, {"class_name": 5, "config": {}}]
    strange += [{"class_name": "Dense", "config": {}}, "os.system", 1e300]

    def places(value, here=()):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield (*here, key)
            if isinstance(item, dict | list):
                yield from places(item, (*here, key))

    every = list(places(json.loads(original)))
    for place in rng.sample(every, 60):
        config = json.loads(original)
        target = config
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = rng.choice(strange)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", weights)
        with contextlib.suppress(ValueError, OSError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            saving.load_model(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_foreign_and_missing_files_are_named(suffix, tmp_path):
    path = tmp_path / f"foreign{suffix}"
    with pytest.raises(OSError, match=r"no such file.*foreign"):
        saving.load_model(path)
    path.write_text("name,value\n1,2\n" * 20)
    with pytest.raises((OSError, ValueError), match="foreign"):
        saving.load_model(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="folder"):
        saving.load_model(path)


def test_formats_that_are_mixed_up_are_recognised(mlp, tmp_path):
    saving.save_model(mlp[0], tmp_path / "a.keras")
    saving.save_model(mlp[0], tmp_path / "a.h5")
    saving.save_weights(mlp[0], tmp_path / "a.weights.h5")
    shutil.copy(tmp_path / "a.keras", tmp_path / "b.h5")
    shutil.copy(tmp_path / "a.h5", tmp_path / "b.keras")
    shutil.copy(tmp_path / "a.weights.h5", tmp_path / "w.h5")
    with pytest.raises(ValueError, match=r"suffix \.keras"):
        saving.load_model(tmp_path / "b.h5")
    with pytest.raises(ValueError, match=r"suffix \.h5"):
        saving.load_model(tmp_path / "b.keras")
    with pytest.raises(ValueError, match="weights only"):
        saving.load_model(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="weights alone"):
        saving.load_model(tmp_path / "a.weights.h5")
    saving.load_weights(mlp[0], tmp_path / "w.h5")


def test_missing_archive_member_is_named(mlp, tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(OSError, match=r"no member 'model\.weights\.h5'.*config\.json"):
        saving.load_model(path)


@pytest.mark.parametrize(
    "name", ["model", "model.pkl", "model.pt", "model.json", "m.tf"]
)
def test_unknown_suffix_lists_the_formats(mlp, name, tmp_path):
    for call in (
        lambda: saving.save_model(mlp[0], tmp_path / name),
        lambda: saving.load_model(tmp_path / name),
    ):
        with pytest.raises(ValueError, match=r"\.keras.*\.h5.*\.lamella"):
            call()
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        saving.save_weights(mlp[0], tmp_path / name)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".lamella"])
def test_shape_mismatch_names_layer_and_both_shapes(mlp, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    saving.save_weights(mlp[0], path)
    other = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(9, name="other"), layers.Dense(3)]
    )
    before = other.get_weights()
    with pytest.raises(ValueError, match="Nothing was loaded") as caught:
        saving.load_weights(other, path)
    for word in ("(5, 9)", "(5, 8)", "dense" if suffix == ".lamella" else "other"):
        assert word in str(caught.value)
    assert_same(other.get_weights(), before)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".lamella"])
def test_missing_and_extra_layers_are_errors(mlp, suffix, tmp_path):
    saving.save_weights(mlp[0], tmp_path / f"two{suffix}")
    three = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(8), layers.Dense(3), layers.Dense(2)]
    )
    saving.save_weights(three, tmp_path / f"three{suffix}")
    with pytest.raises(ValueError, match="Nothing was loaded"):
        saving.load_weights(three, tmp_path / f"two{suffix}")
    with pytest.raises(ValueError, match="Nothing was loaded"):
        saving.load_weights(mlp[0], tmp_path / f"three{suffix}")


def test_skip_mismatch_warns_and_loads_the_rest(mlp, tmp_path):
    saving.save_weights(mlp[0], tmp_path / "w.weights.h5")
    other = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(8), layers.Dense(4, name="new")]
    )
    with pytest.warns(UserWarning, match="'new'"):
        saving.load_weights(other, tmp_path / "w.weights.h5", skip_mismatch=True)
    assert_same(other.get_weights()[:2], mlp[0].get_weights()[:2])


def test_by_name_loads_the_layers_that_match(mlp, tmp_path):
    saving.save_weights(mlp[0], tmp_path / "w.h5")
    other = lamella.Sequential(
        [layers.Input((5,)), layers.Dense(8, name="hidden"), layers.Dense(1, name="q")]
    )
    saving.load_weights(other, tmp_path / "w.h5", by_name=True)
    assert_same(other.get_weights()[:2], mlp[0].get_weights()[:2])


def test_missing_optimizer_array_is_an_error(mlp, tmp_path):
    path = tmp_path / "m.h5"
    saving.save_model(mlp[0], path)
    with h5py.File(path, "a") as file:
        names = list(file["optimizer_weights"].attrs["weight_names"])
        file["optimizer_weights"].attrs["weight_names"] = names[:-1]
    with pytest.raises(ValueError, match="compile=False"):
        saving.load_model(path)
    saving.load_model(path, compile=False)


def test_unbuilt_model_cannot_save_or_load_weights(tmp_path):
    model = lamella.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="not built"):
        saving.save_weights(model, tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="not built"):
        saving.load_weights(model, GOLDEN / "mlp.weights.h5")


def test_missing_folder_is_a_clear_error(mlp, tmp_path):
    path = tmp_path / "no" / "such" / "m.keras"
    with pytest.raises(OSError, match=r"no/such.*does not exist"):
        saving.save_model(mlp[0], path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_unwritable_folder_is_a_clear_error(mlp, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match="Permission denied"):
            saving.save_model(mlp[0], tmp_path / "m.keras")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella", ".weights.h5"])
@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_crash_while_saving_keeps_the_old_file(
    mlp, suffix, where, tmp_path, monkeypatch
):
    model, x, y = make_mlp()
    path = tmp_path / f"m{suffix}"
    save = saving.save_weights if "weights" in suffix else saving.save_model
    save(model, path)
    old = path.read_bytes()
    train(model, x, y)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if where == "fsync":
        monkeypatch.setattr(atomic.os, "fsync", fail)
    elif where == "replace":
        monkeypatch.setattr(atomic.Path, "replace", fail)
    elif suffix == ".lamella":
        monkeypatch.setattr(lamella._core, "save_model", fail)
    else:
        monkeypatch.setattr(atomic.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        save(model, path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_interrupt_while_saving_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def save():
        with atomic.atomic_write(path) as temporary:
            temporary.write_bytes(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_keeps_permissions_and_follows_links(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    atomic.write_bytes(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_overwrite_false_keeps_an_existing_file(mlp, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"precious")
    with pytest.raises(OSError, match="overwrite"):
        saving.save_model(mlp[0], path, overwrite=False)
    assert path.read_bytes() == b"precious"


def test_lamella_file_of_a_newer_version_is_refused(mlp, tmp_path):
    path = tmp_path / "m.lamella"
    saving.save_model(mlp[0], path)
    tensors, metadata = lamella._core.load_safetensors(str(path))
    arrays = {name: np.array(value) for name, value in tensors.items()}
    metadata["format_version"] = "99"
    lamella._core.save_safetensors(str(path), arrays, metadata)
    with pytest.raises(ValueError, match=r"99.*update lamella"):
        saving.load_model(path)


# -- both ways with the real Keras --------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("make", MAKERS)
def test_keras_opens_our_model(make, suffix, keras, tmp_path):
    model, x, y = make()
    train(model, x, y)
    path = tmp_path / f"m{suffix}"
    saving.save_model(model, path)
    theirs = keras.models.load_model(path)
    assert_same(theirs.get_weights(), model.get_weights())
    np.testing.assert_allclose(predict(theirs, x), predict(model, x), **CLOSE)
    if suffix == ".h5":
        # Keras 3.15 builds the optimizer of a .h5 file for no variables at all, so
        # that training on fails with its own files too
        return
    train(model, x, y, epochs=3)
    theirs.jit_compile = True  # lamella writes False, which is slow in jax
    train(theirs, x, y, epochs=3)
    # three optimizer steps magnify the last bits of the gradients
    assert_same(theirs.get_weights(), model.get_weights(), rtol=1e-4, atol=5e-6)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", MAKERS)
def test_keras_opens_our_weights(make, keras, tmp_path):
    model, x, y = make()
    train(model, x, y)
    saving.save_model(model, tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras")
    for suffix in (".weights.h5", ".h5"):
        train(model, x, y, epochs=1)
        saving.save_weights(model, tmp_path / f"w{suffix}")
        theirs.load_weights(tmp_path / f"w{suffix}")
        assert_same(theirs.get_weights(), model.get_weights())


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_keras_and_lamella_write_the_same_weights_file(keras, tmp_path):
    theirs = keras.models.load_model(GOLDEN / "cnn.keras")
    ours = saving.load_model(GOLDEN / "cnn.keras")
    theirs.save_weights(tmp_path / "k.weights.h5")
    saving.save_weights(ours, tmp_path / "l.weights.h5")

    def content(path):
        found = {}
        with h5py.File(path) as file:

            def visit(name, item):
                if "seed_generator" not in name:
                    value = item[()] if isinstance(item, h5py.Dataset) else None
                    found[name] = (dict(item.attrs).get("name"), value)

            file.visititems(visit)
        return found

    a, b = content(tmp_path / "k.weights.h5"), content(tmp_path / "l.weights.h5")
    assert set(a) == set(b)
    for name, (label, value) in a.items():
        assert b[name][0] == label
        if value is not None:
            np.testing.assert_array_equal(b[name][1], value)


# -- every class, both ways --------------------------------------------------

ARGUMENTS = {
    "Activation": ("relu",),
    "AlphaDropout": (0.5,),
    "AveragePooling1D": (2,),
    "AveragePooling2D": (2,),
    "AveragePooling3D": (2,),
    "Bidirectional": lambda k: (k.layers.LSTM(2),),
    "Constant": (1.0,),
    "Conv1D": (3, 2),
    "Conv1DTranspose": (3, 2),
    "Conv2D": (3, 2),
    "Conv2DTranspose": (3, 2),
    "Conv3D": (3, 2),
    "CosineDecay": (0.1, 3),
    "CosineDecayRestarts": (0.1, 3),
    "Dense": (3,),
    "DepthwiseConv1D": (2,),
    "DepthwiseConv2D": (2,),
    "Dot": (1,),
    "Dropout": (0.5,),
    "EinsumDense": ("ab,bc->ac", 4),
    "Embedding": (4, 3),
    "ExponentialDecay": (0.1, 3, 0.9),
    "GRU": (3,),
    "GRUCell": (3,),
    "GaussianDropout": (0.5,),
    "GaussianNoise": (0.5,),
    "GroupNormalization": (2,),
    "InputLayer": ((3,),),
    "InverseTimeDecay": (0.1, 3, 0.9),
    "IoU": (3, [0]),
    "LSTM": (3,),
    "LSTMCell": (3,),
    "MeanIoU": (3,),
    "MultiHeadAttention": (2, 3),
    "OneHotIoU": (3, [0]),
    "OneHotMeanIoU": (3,),
    "Permute": ((2, 1),),
    "PiecewiseConstantDecay": ([1, 2], [0.1, 0.2, 0.3]),
    "PolynomialDecay": (0.1, 3),
    "PrecisionAtRecall": (0.5,),
    "RNN": lambda k: (k.layers.LSTMCell(2),),
    "RecallAtPrecision": (0.5,),
    "RepeatVector": (3,),
    "Rescaling": (2.0,),
    "Reshape": ((2, 3),),
    "SensitivityAtSpecificity": (0.5,),
    "SeparableConv1D": (3, 2),
    "SeparableConv2D": (3, 2),
    "SimpleRNN": (3,),
    "SimpleRNNCell": (3,),
    "SpatialDropout1D": (0.5,),
    "SpatialDropout2D": (0.5,),
    "SpatialDropout3D": (0.5,),
    "SpecificityAtSensitivity": (0.5,),
    "StackedRNNCells": lambda k: ([k.layers.LSTMCell(2)],),
    "TimeDistributed": lambda k: (k.layers.Dense(2),),
}
# bases, classes that take code, and one that lamella only names
NOT_PLAIN = {
    "CTC",
    "Constraint",
    "Initializer",
    "InputSpec",
    "Lambda",
    "Layer",
    "LearningRateSchedule",
    "Loss",
    "LossScaleOptimizer",
    "MeanMetricWrapper",
    "Metric",
    "MultiOptimizer",
    "Optimizer",
    "OptimizerMap",
    "Regularizer",
    "Wrapper",
}


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "family",
    [
        "layers",
        "losses",
        "metrics",
        "initializers",
        "regularizers",
        "constraints",
        "optimizers",
        "optimizers.schedules",
    ],
)
def test_every_class_is_read_from_keras_and_read_by_keras(family, keras):
    ours, theirs = lamella, keras
    for part in family.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    count = 0
    for name in ours.__all__:
        their_class = getattr(theirs, name, None)
        our_class = getattr(ours, name)
        if name in NOT_PLAIN or not isinstance(their_class, type):
            continue
        if our_class.__name__ != name:  # an alias of another class
            continue
        arguments = ARGUMENTS.get(name, ())
        if callable(arguments):
            arguments = arguments(keras)
        config = keras.saving.serialize_keras_object(their_class(*arguments))
        config = json.loads(json.dumps(config))
        made = saving.deserialize_keras_object(config)
        assert type(made) is our_class
        again = json.loads(json.dumps(saving.serialize_keras_object(made)))
        if "backend" not in config["module"]:  # Keras on torch has its own optimizers
            assert again["module"] == config["module"], name
        assert again["class_name"] == config["class_name"]
        back = keras.saving.deserialize_keras_object(again)
        assert isinstance(back, their_class)  # torch has subclasses of its own
        for key, value in again["config"].items():
            if key in config["config"] and key != "dtype":
                assert value == config["config"][key], (name, key)
        count += 1
    assert count >= 3
