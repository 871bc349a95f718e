"""Functions of ops on placeholders: nodes of functional models, as in Keras."""

from __future__ import annotations

import importlib
import inspect
import json

import numpy as np
import pytest

import lamella as keras
from lamella.ops._operations import BY_FUNCTION

rng = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


# name, function of (library, x, w), for x (batch, 4) and w (batch, 4)
EXPRESSIONS = [
    ("operators", lambda k, x, w: (x + 1.0) * w - 2.0 / (w + 3.0) + (-x)),
    ("reflected", lambda k, x, w: 2.0 * x - (1.0 - w) + 3.0 ** (x * 0.1)),
    ("power", lambda k, x, w: abs(x) ** 1.5 + (x // 0.5) + w % 0.7),
    ("compare", lambda k, x, w: k.ops.where((x > w) & (x <= 1.0), x, w)),
    ("invert", lambda k, x, w: k.ops.cast(~(x < w) | (x != w), "float32")),
    ("item", lambda k, x, w: x[:, 1:] + w[:, :-1]),
    ("new axis", lambda k, x, w: x[:, None, ::2] * w[..., None]),
    ("one item", lambda k, x, w: x[:, 2] + w[:, -1]),
    ("matmul", lambda k, x, w: x @ np.ones((4, 3), "float32") + w[:, :1]),
    ("unary", lambda k, x, w: k.ops.exp(k.ops.sin(x)) + k.ops.sqrt(k.ops.square(w))),
    ("reduce", lambda k, x, w: k.ops.sum(x, axis=-1, keepdims=True) + k.ops.mean(w)),
    ("extrema", lambda k, x, w: k.ops.max(x, axis=1) - k.ops.min(w, axis=1)),
    ("joined", lambda k, x, w: k.ops.concatenate([x, w, x], axis=-1)),
    ("stack", lambda k, x, w: k.ops.stack([x, w], axis=1)),
    (
        "shapes",
        lambda k, x, w: k.ops.transpose(k.ops.reshape(x, (-1, 2, 2)), (0, 2, 1)),
    ),
    ("expand", lambda k, x, w: k.ops.squeeze(k.ops.expand_dims(x, 1), 1) + w),
    ("clip", lambda k, x, w: k.ops.clip(x, -0.5, 0.5) + k.ops.maximum(w, 0.1)),
    ("relu", lambda k, x, w: k.ops.relu(x) + k.ops.leaky_relu(w, 0.1)),
    ("softmax", lambda k, x, w: k.ops.softmax(x) * k.ops.log_softmax(w, axis=-1)),
    ("gelu", lambda k, x, w: k.ops.gelu(x, approximate=False) + k.ops.silu(w)),
    ("swish", lambda k, x, w: k.ops.swish(x) + k.ops.abs(w)),
    ("take", lambda k, x, w: k.ops.take(x, [0, 2], axis=1) + w[:, :2]),
    ("einsum", lambda k, x, w: k.ops.einsum("bi,bj->bij", x, w)),
    ("tensordot", lambda k, x, w: k.ops.tensordot(x, np.eye(4, dtype="f"), axes=1) + w),
    ("pad", lambda k, x, w: k.ops.pad(x, ((0, 0), (1, 2))) + 1.0),
    ("repeat", lambda k, x, w: k.ops.repeat(x, 2, axis=1) + k.ops.tile(w, (1, 2))),
    ("logsumexp", lambda k, x, w: k.ops.logsumexp(x, axis=-1) + k.ops.var(w, axis=1)),
    ("norm", lambda k, x, w: k.ops.normalize(x, axis=-1) + w),
    ("logical", lambda k, x, w: k.ops.logical_and(x > 0, w > 0)),
    ("argmax", lambda k, x, w: k.ops.argmax(x, axis=-1)),
    ("one hot", lambda k, x, w: k.ops.one_hot(k.ops.argmax(x, axis=-1), 4) * w),
    ("several", lambda k, x, w: k.ops.split(x, 2, axis=1)[0] + w[:, :2]),
    ("zeros", lambda k, x, w: k.ops.zeros_like(x) + k.ops.ones_like(w)),
    ("cumsum", lambda k, x, w: k.ops.cumsum(x, axis=1) + k.ops.flip(w, axis=1)),
]
IDS = [name for name, _ in EXPRESSIONS]


def data() -> list[np.ndarray]:
    return [rng.normal(size=(5, 4)).astype("float32") for _ in range(2)]


def model_of(library, expression):
    inputs = [library.Input((4,), name="x"), library.Input((4,), name="w")]
    return library.Model(inputs, expression(library, *inputs))


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=IDS)
def test_expression_of_placeholders_equals_that_of_tensors(name, expression):
    model = model_of(keras, expression)
    x, w = data()
    want = expression(keras, keras.ops.array(x), keras.ops.array(w))
    got = model([x, w])
    assert tuple(model.output_shape[1:]) == tuple(got.shape[1:])
    assert model.output.dtype == got.dtype
    np.testing.assert_array_equal(got.numpy(), want.numpy())
    np.testing.assert_allclose(
        model.predict([x, w], verbose=0), want.numpy(), rtol=1e-6, atol=1e-6
    )
    again = keras.Model.from_config(json.loads(json.dumps(model.get_config())))
    np.testing.assert_array_equal(again([x, w]).numpy(), want.numpy())


def _plain(value):
    if isinstance(value, dict):
        if value.get("class_name") in ("__tensor__", "__numpy__"):
            return "constant"
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


@pytest.mark.reference
@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=IDS)
def test_expression_agrees_with_keras(keras_reference, name, expression):
    keras_reference.utils.clear_session()
    ours, theirs = model_of(keras, expression), model_of(keras_reference, expression)
    assert ours.output_shape == tuple(theirs.output_shape)
    x, w = data()
    a = ours([x, w]).numpy()
    b = keras_reference.ops.convert_to_numpy(theirs([x, w]))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    mine, other = _plain(ours.get_config()), _plain(theirs.get_config())
    names = [[entry["name"] for entry in c["layers"]] for c in (mine, other)]
    assert sorted(names[0]) == sorted(names[1])
    theirs_by_name = {entry["name"]: entry for entry in other["layers"]}
    for entry in mine["layers"]:
        if entry["class_name"] in ("Pad", "OneHot"):  # Keras notes its own defaults
            continue
        assert entry == theirs_by_name[entry["name"]]
    text = json.dumps(theirs.get_config())
    np.testing.assert_allclose(
        keras.Model.from_config(json.loads(text))([x, w]).numpy(), b, 1e-5, 1e-6
    )


@pytest.mark.reference
@pytest.mark.parametrize("function", sorted(BY_FUNCTION))
def test_table_names_the_classes_of_keras(keras_reference, function):
    kind = BY_FUNCTION[function]
    cls = getattr(importlib.import_module(kind.module), kind.class_name)
    if cls.__init__ is not keras_reference.Operation.__init__:
        settings = [*inspect.signature(cls.__init__).parameters][1:]
        settings = [s for s in settings if s not in ("name", "kwargs")]
        assert settings == list(kind.settings)
    owner = keras.ops.image if function in keras.ops.image.__all__ else keras.ops
    mine = inspect.signature(getattr(owner, function)).parameters
    assert set(kind.settings) <= set(mine) or "kwargs" in mine


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella"])
def test_operations_survive_saving(tmp_path, suffix):
    x = keras.Input((4,))
    h = keras.layers.Dense(4, name="hidden")(x)
    y = keras.layers.Dense(2)(keras.ops.tanh(h[:, ::-1]) * 2.0 + x)
    model = keras.Model(x, y)
    assert [type(v).__name__ for v in model.layers] == ["InputLayer", "Dense", "Dense"]
    path = tmp_path / f"m{suffix}"
    model.save(path)
    z = data()[0]
    again = keras.models.load_model(path)
    np.testing.assert_array_equal(again(z).numpy(), model(z).numpy())
    assert [v.name for v in again.layers] == [v.name for v in model.layers]


@pytest.mark.reference
def test_files_with_operations_go_both_ways(keras_reference, tmp_path):
    def build(library):
        library.utils.clear_session()
        x = library.Input((4,))
        h = library.layers.Dense(4, activation="tanh")(x)
        y = library.layers.Dense(2)(library.ops.concatenate([h[:, 1:], x * 2.0], 1))
        return library.Model(x, y)

    z = data()[0]
    for write, read in ((keras, keras_reference), (keras_reference, keras)):
        model = build(write)
        path = tmp_path / f"{write.__name__}.keras"
        model.save(path)
        want = write.ops.convert_to_numpy(model(z))
        got = read.ops.convert_to_numpy(read.models.load_model(path)(z))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_model_with_operations_trains():
    x = keras.Input((3,))
    h = keras.layers.Dense(8)(x)
    y = keras.layers.Dense(1)(keras.ops.maximum(h, 0.0) + h * 0.1)
    model = keras.Model(x, y)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    data = rng.normal(size=(64, 3)).astype("float32")
    target = np.abs(data).sum(1, keepdims=True)
    losses = model.fit(data, target, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.2 * losses[0]


def test_summary_shows_operations():
    x = keras.Input((3,))
    model = keras.Model(x, keras.ops.exp(x) + x)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "exp (Exp)" in lines[0]
    assert "add (Add)" in lines[0]


def test_shape_questions_about_placeholders_have_answers():
    x = keras.Input((3, 2))
    assert keras.ops.shape(x) == (None, 3, 2)
    assert keras.ops.ndim(x) == 3
    assert x.reshape((-1, 6)).shape == (None, 6)
    assert (x == x) is True
    assert len({x, x}) == 1


def test_errors_of_placeholders_say_what_is_wrong():
    x = keras.Input((3,))
    with pytest.raises(TypeError, match="no value"):
        float(x)
    with pytest.raises(TypeError, match="iterated"):
        list(x)
    with pytest.raises(TypeError, match="no value"):
        bool(x)
    with pytest.raises(ValueError, match="3"):
        _ = x + keras.Input((4,))
    with pytest.raises(ValueError, match="lamella does not have"):
        keras.Model.from_config(
            {
                "name": "m",
                "layers": [
                    {
                        "module": "keras.src.ops.linalg",
                        "class_name": "SVD",
                        "config": {},
                        "name": "svd",
                        "inbound_nodes": [],
                    }
                ],
                "input_layers": [],
                "output_layers": [],
            }
        )
