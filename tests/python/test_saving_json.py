"""Configs of saved objects: custom objects, JSON, no code from files."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from saving_models import (
    make_trained_mlp,
    predict,
)

lamella = pytest.importorskip("lamella")
h5py = pytest.importorskip("h5py")

from lamella import layers, saving  # noqa: E402


@pytest.fixture(scope="module")
def mlp():
    return make_trained_mlp()


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
