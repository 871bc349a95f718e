"""Saving and loading: golden files, round trips, layout of the files."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from saving_models import (
    CLOSE,
    FORMATS,
    GOLDEN,
    GOLDEN_FILES,
    MAKERS,
    assert_same,
    golden_arrays,
    make_cnn,
    make_functional,
    make_mlp,
    make_trained_mlp,
    predict,
    train,
)

lamella = pytest.importorskip("lamella")
h5py = pytest.importorskip("h5py")

from lamella import layers, saving  # noqa: E402
from lamella.saving import (  # noqa: E402
    hdf5,
    lamella_format,
    weights,
)


@pytest.fixture(scope="module")
def mlp():
    return make_trained_mlp()


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
    assert [weights.snake_case(name) for name in names] == keys


def test_long_lists_of_names_are_split_into_several_attributes():
    names = [f"layer_{i:050d}" for i in range(3000)]
    with hdf5.memory_file() as (file, result):
        hdf5.write_strings(file, "layer_names", names)
        assert "layer_names" not in file.attrs
        assert "layer_names0" in file.attrs
    with hdf5.open_bytes(result[0], "test") as file:
        assert hdf5.read_strings(file, "layer_names", "test") == names


# -- several files, folders, editing --------------------------------------------------


def test_sharded_weights_are_listed_and_read(mlp, tmp_path):
    model, _, _ = mlp
    path = tmp_path / "m.weights.json"
    largest = max(w.nbytes for w in model.get_weights()) / 1024**3
    model.save_weights(path, max_shard_size=1.01 * largest)
    index = json.loads(path.read_text())
    stored = sum(p.stat().st_size > 0 for p in tmp_path.glob("m_*.weights.h5"))
    assert stored > 1
    assert index["metadata"]["total_size"] > 0
    other, _, _ = make_mlp()
    other.load_weights(path)
    assert_same(model.get_weights(), other.get_weights())
    with pytest.raises(ValueError, match="more than max_shard_size allows"):
        model.save_weights(path, max_shard_size=1e-9)
    (tmp_path / "m_00001.weights.h5").unlink()
    with pytest.raises(OSError, match="m_00001"):
        other.load_weights(path)
    index["weight_map"] = {"/vars": "../m_00000.weights.h5"}
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match="outside its folder"):
        other.load_weights(path)
    with pytest.raises(ValueError, match="go together"):
        model.save_weights(tmp_path / "m.weights.json")


def test_folders_and_open_files(mlp, tmp_path):
    model, x, _ = mlp
    model.save(tmp_path / "folder", zipped=False)
    buffer = io.BytesIO()
    saving.save_model(model, buffer)
    buffer.seek(0)
    for source in (tmp_path / "folder", buffer):
        again = saving.load_model(source)
        np.testing.assert_array_equal(predict(again, x), predict(model, x))
    with pytest.raises(ValueError, match="must not end like a file"):
        model.save(tmp_path / "m.keras", zipped=False)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_file_editor_changes_weights(suffix, mlp, tmp_path, capsys):
    model, _, _ = mlp
    path = str(tmp_path / f"m{suffix}")
    (model.save if suffix == ".keras" else model.save_weights)(path)
    editor = saving.KerasFileEditor(path)
    assert editor.compare(model)["status"] == "success"
    editor.summary()
    assert "dense" in capsys.readouterr().out
    kernel = editor.weights_dict["layers"]["dense"]["0"]
    editor.add_weights("layers/dense", {"0": kernel * 2})
    editor.save(path)
    model_2, _, _ = make_mlp()
    model_2.load_weights(path)
    np.testing.assert_array_equal(model_2.get_weights()[0], kernel * 2)
    editor.rename_object("layers/dense", "other")
    assert editor.compare(model)["status"] == "error"
    editor.delete_object("layers/other")
    with pytest.raises(ValueError, match="no path 'layers/other'"):
        editor.delete_weight("layers/other", "0")
