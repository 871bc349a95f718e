"""The small networks, and pictures of models."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

keras = pytest.importorskip("lamella")

applications = keras.applications
L = keras.layers

SVG = "{http://www.w3.org/2000/svg}"

# name, arguments, input shape, number of weights (counted by hand from the layers)
NETS = [
    ("LeNet5", {}, (28, 28, 1), 61706),
    ("LeNet5", {"input_shape": (32, 32, 3), "classes": 4}, (32, 32, 3), None),
    ("SmallVGG", {"filters": (8,), "units": 16}, (32, 32, 3), None),
    ("ResNet20", {}, (32, 32, 3), 274042),
    ("ResNet20", {"blocks": 1, "classes": 3}, (32, 32, 3), None),
    ("SmallMobileNet", {"alpha": 0.5, "classes": 5}, (32, 32, 3), None),
]


@pytest.mark.parametrize(("name", "arguments", "shape", "count"), NETS)
def test_networks_predict_probabilities(name, arguments, shape, count):
    model = getattr(applications, name)(**arguments)
    assert model.input_shape == (None, *shape)
    if count is not None:
        assert model.count_params() == count
    result = model.predict(np.random.RandomState(0).rand(2, *shape), verbose=0)
    assert result.shape == (2, arguments.get("classes", 10))
    np.testing.assert_allclose(result.sum(axis=1), 1.0, rtol=1e-5)


def test_networks_train():
    model = applications.LeNet5(classes=2)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = np.zeros((32, 28, 28, 1), "float32")
    x[::2, :14] = 1.0
    model.fit(x, np.arange(32) % 2, epochs=6, batch_size=8, verbose=0)
    assert model.evaluate(x, np.arange(32) % 2, verbose=0)[1] == 1.0


def test_nets_for_imagenet_and_wrong_arguments_are_refused():
    for name in ("VGG16", "ResNet50", "MobileNetV2", "resnet50"):
        with pytest.raises(AttributeError, match="no ImageNet nets"):
            getattr(applications, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = applications.Nothing
    with pytest.raises(ValueError, match="at least 16 x 16"):
        applications.LeNet5((8, 8, 1))
    with pytest.raises(ValueError, match="classes must be positive"):
        applications.ResNet20(classes=0)


# -- pictures -------------------------------------------------------------------


def nested():
    inner = keras.Sequential([L.Dense(3, "relu"), L.Dense(2)], name="inner")
    x, y = keras.Input((4,), name="x"), keras.Input((4,), name="y")
    z = L.concatenate([inner(x), L.Dense(5, name="side")(y)])
    inner.trainable = False
    return keras.Model([x, y], L.Dense(1, name="last")(z) * 2)


@pytest.fixture
def without_graphviz(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
def test_svg_shows_layers_shapes_and_arrows(rankdir, tmp_path, without_graphviz):
    path = tmp_path / "model.svg"
    keras.utils.plot_model(
        nested(),
        path,
        show_shapes=True,
        show_dtype=True,
        show_layer_names=True,
        show_layer_activations=True,
        show_trainable=True,
        expand_nested=True,
        rankdir=rankdir,
    )
    root = ElementTree.parse(path).getroot()
    texts = [t.text for t in root.iter(f"{SVG}text")]
    for text in ("side (Dense)", "inner", "activation: relu", "output: (None, 5)"):
        assert text in texts
    assert len(list(root.iter(f"{SVG}polyline"))) == 8
    fills = {r.get("fill") for r in root.iter(f"{SVG}rect")}
    assert {"#d7ead7", "#f3d9d9"} <= fills  # trained and frozen
    first, last = (
        next(t for t in root.iter(f"{SVG}text") if t.text.startswith(name))
        for name in ("x (", "last (")
    )
    axis = "x" if rankdir in ("LR", "RL") else "y"
    forward = float(first.get(axis)) < float(last.get(axis))
    assert forward == (rankdir in ("TB", "LR"))


def test_png_is_drawn_by_matplotlib(tmp_path, without_graphviz):
    pytest.importorskip("matplotlib")
    path = tmp_path / "model.png"
    keras.utils.plot_model(nested(), path, dpi=50)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_plot_model_names_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="not built"):
        keras.utils.plot_model(keras.Sequential([L.Dense(1)]), tmp_path / "m.svg")
    with pytest.raises(ValueError, match="rankdir must be one of"):
        keras.utils.plot_model(nested(), tmp_path / "m.svg", rankdir="XY")
    with pytest.raises(ValueError, match="needs an ending"):
        keras.utils.plot_model(nested(), tmp_path / "m")


def test_config_is_a_dict_with_attributes():
    config = keras.utils.Config(units=8, rate=0.1)
    config.seed = 3
    assert (config["seed"], config.units, len(config)) == (3, 8, 3)
    assert list(config.keys()) == ["units", "rate", "seed"]
    assert config.to_json() == '{"units": 8, "rate": 0.1, "seed": 3}'
    config.freeze()
    with pytest.raises(ValueError, match="frozen"):
        config.units = 9
    with pytest.raises(AttributeError, match="Did you mean 'units'"):
        _ = config.unitz
