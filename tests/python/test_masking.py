"""Masks: made by layers, passed on, and seen by layers, losses and metrics."""

from __future__ import annotations

import gc
import json
import warnings

import numpy as np
import pytest

import lamella as keras
from lamella import _masking
from lamella import layers as L

rng = np.random.default_rng(11)
IDS = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [4, 5, 6, 1]])
KEPT = IDS != 0


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


def mask_of(x):
    mask = x._keras_mask
    return None if mask is None else mask.numpy()


def steps(features: int = 3) -> np.ndarray:
    """Sequences whose padding is zero."""
    x = rng.normal(size=(3, 4, features)).astype("float32")
    return x * KEPT[..., None]


def test_embedding_and_masking_make_masks():
    np.testing.assert_array_equal(mask_of(L.Embedding(9, 2, mask_zero=True)(IDS)), KEPT)
    assert mask_of(L.Embedding(9, 2)(IDS)) is None
    x = np.where(KEPT[..., None], steps(), 7.0).astype("float32")
    y = L.Masking(mask_value=7.0)(x)
    np.testing.assert_array_equal(mask_of(y), KEPT)
    np.testing.assert_array_equal(y.numpy(), np.where(KEPT[..., None], x, 0))
    assert mask_of(keras.ops.exp(y)) is None  # an op makes a new tensor


# layer, and whether a mask comes out of it
PASSING = [
    (lambda: L.Dense(2), True),
    (lambda: L.Activation("relu"), True),
    (lambda: L.ReLU(), True),
    (lambda: L.LeakyReLU(), True),
    (lambda: L.ELU(), True),
    (lambda: L.PReLU(), True),
    (lambda: L.Dropout(0.5), True),
    (lambda: L.SpatialDropout1D(0.5), True),
    (lambda: L.GaussianNoise(0.5), True),
    (lambda: L.GaussianDropout(0.5), True),
    (lambda: L.AlphaDropout(0.5), True),
    (lambda: L.ActivityRegularization(0.1), True),
    (lambda: L.BatchNormalization(), True),
    (lambda: L.LayerNormalization(), True),
    (lambda: L.GroupNormalization(1), True),
    (lambda: L.UnitNormalization(), True),
    (lambda: L.Identity(), True),
    (lambda: L.Rescaling(2.0), True),
    (lambda: L.GlobalAveragePooling1D(), False),
    (lambda: L.Flatten(), None),
    (lambda: L.GlobalMaxPooling1D(), None),
    (lambda: L.Conv1D(2, 2), None),
    (lambda: L.Reshape((12,)), None),
]


def passed_mask(library, layer):
    x = library.layers.Masking()(steps())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y = layer(x)
    warned = any("support masking" in str(w.message) for w in caught)
    return getattr(y, "_keras_mask", None) is not None, warned


@pytest.mark.parametrize(("make", "expected"), PASSING)
def test_layers_pass_masks_on(make, expected):
    layer = make()
    assert layer.supports_masking == (expected is not None)
    assert passed_mask(keras, layer) == (bool(expected), expected is None)


@pytest.mark.reference
@pytest.mark.parametrize(("make", "expected"), PASSING)
def test_layers_pass_masks_on_as_in_keras(keras_reference, make, expected):
    ours = make()
    cls = getattr(keras_reference.layers, type(ours).__name__)
    theirs = cls.from_config(json.loads(json.dumps(ours.get_config())))
    assert theirs.supports_masking == ours.supports_masking
    assert passed_mask(keras_reference, theirs) == (bool(expected), expected is None)


def test_a_user_layer_computes_its_mask():
    class Halve(L.Layer):
        def call(self, inputs, mask=None):
            self.seen = mask
            return inputs[:, ::2]

        def compute_mask(self, inputs, previous_mask=None):
            return None if previous_mask is None else previous_mask[:, ::2]

    layer = Halve()
    assert layer.supports_masking
    y = layer(L.Masking()(steps()))
    np.testing.assert_array_equal(layer.seen.numpy(), KEPT)
    np.testing.assert_array_equal(mask_of(y), KEPT[:, ::2])
    y = layer(steps(), mask=keras.ops.array(KEPT[:, ::-1]))
    np.testing.assert_array_equal(mask_of(y), KEPT[:, ::-1][:, ::2])
    assert layer(steps())._keras_mask is None


def test_masks_are_forgotten_with_their_tensors():
    gc.collect()
    before = len(_masking._masks)
    tensors = [L.Masking()(steps()) for _ in range(20)]
    assert len(_masking._masks) > before
    del tensors
    gc.collect()
    assert len(_masking._masks) == before


MERGING = [
    ("Add", {}),
    ("Subtract", {}),
    ("Multiply", {}),
    ("Average", {}),
    ("Maximum", {}),
    ("Minimum", {}),
    ("Concatenate", {"axis": -1}),
    ("Concatenate", {"axis": 1}),
    ("Dot", {"axes": 2}),
]


@pytest.mark.reference
@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(("name", "arguments"), MERGING)
def test_merging_agrees_with_keras(keras_reference, name, arguments, masked):
    a, b = steps(), steps()[::-1].copy()
    results = []
    for library in (keras, keras_reference):
        inputs = [
            library.layers.Masking()(x) if m else library.ops.array(x)
            for x, m in zip((a, b), masked, strict=True)
        ]
        y = getattr(library.layers, name)(**arguments)(inputs)
        mask = getattr(y, "_keras_mask", None)
        to_numpy = library.ops.convert_to_numpy
        results.append((to_numpy(y), None if mask is None else to_numpy(mask)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=2e-5)
    assert (results[0][1] is None) == (results[1][1] is None)
    if results[0][1] is not None:
        np.testing.assert_array_equal(results[0][1], results[1][1])


def test_global_average_leaves_masked_steps_out():
    x = steps()
    y = L.GlobalAveragePooling1D()(L.Masking()(x)).numpy()
    want = [row[k].mean(0) for row, k in zip(x, KEPT, strict=True)]
    np.testing.assert_allclose(y, want, rtol=1e-5)


def test_batch_normalization_leaves_masked_steps_out():
    x = steps() + 5.0
    layer = L.BatchNormalization(momentum=0.5)
    mask = keras.ops.array(KEPT)
    y = layer(x, training=True, mask=mask).numpy()
    mean, var = x[KEPT].mean(0), x[KEPT].var(0)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-3), rtol=1e-3)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.5 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.5 + 0.5 * var, 1e-5)
    with pytest.raises(ValueError, match="one axis less"):
        layer(x, mask=keras.ops.array(KEPT[:, 0]))


def test_softmax_gives_masked_places_nothing():
    x = rng.normal(size=(3, 4)).astype("float32")
    y = L.Softmax()(x, mask=keras.ops.array(KEPT)).numpy()
    e = np.exp(x) * KEPT
    np.testing.assert_allclose(y, e / e.sum(-1, keepdims=True), rtol=1e-5)


def test_lambda_takes_and_makes_masks():
    layer = L.Lambda(
        lambda x, mask=None: x * 2.0 if mask is None else x * 3.0,
        mask=lambda inputs, mask: mask,
    )
    x = steps()
    y = layer(L.Masking()(x))
    np.testing.assert_allclose(y.numpy(), x * 3)
    np.testing.assert_array_equal(mask_of(y), KEPT)


# -- models ---------------------------------------------------------------


def sequential(library):
    return library.Sequential(
        [
            library.Input((4, 3)),
            library.layers.Masking(),
            library.layers.Dense(5, activation="tanh"),
            library.layers.BatchNormalization(),
            library.layers.Dense(2),
        ]
    )


def functional(library):
    x = library.Input((4, 3))
    h = library.layers.Masking()(x)
    a = library.layers.Dense(5, activation="tanh")(h)
    b = library.layers.Dense(5)(h)
    y = library.layers.Dense(2)(library.layers.Concatenate()([a, b]))
    return library.Model(x, y)


def subclassed(library):
    class Net(library.Model):
        def __init__(self):
            super().__init__()
            self.masking = library.layers.Masking()
            self.hidden = library.layers.Dense(5, activation="tanh")
            self.out = library.layers.Dense(2)

        def call(self, x):
            return self.out(self.hidden(self.masking(x)))

    return Net()


def pooled(library):
    x = library.Input((4,), dtype="int32")
    h = library.layers.Embedding(9, 3, mask_zero=True)(x)
    h = library.layers.Dropout(0.0)(library.layers.Dense(4)(h))
    y = library.layers.Dense(2)(library.layers.GlobalAveragePooling1D()(h))
    return library.Model(x, y)


MODELS = [sequential, functional, subclassed, pooled]


def data_for(make):
    x = IDS if make is pooled else steps()
    shape = (3, 2) if make is pooled else (3, 4, 2)
    return x, np.random.default_rng(1).normal(size=shape).astype("float32")


@pytest.mark.reference
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", MODELS)
def test_masked_training_agrees_with_keras(keras_reference, make, weighted):
    x, y = data_for(make)
    weights = None
    if weighted:
        weights = np.array([1.0, 2.0, 0.5], "float32")
        weights = weights if y.ndim == 2 else np.repeat(weights[:, None], 4, 1)
    models = [make(keras), make(keras_reference)]
    models[1](x), models[0](x)
    models[0].set_weights([rng.normal(size=w.shape) for w in models[0].get_weights()])
    models[1].set_weights(models[0].get_weights())
    logs = []
    for model, library in zip(models, (keras, keras_reference), strict=True):
        model.compile(
            library.optimizers.SGD(0.1),
            "mse",
            metrics=["mae"],
            weighted_metrics=["mse"],
        )
        history = model.fit(
            x, y, epochs=3, shuffle=False, verbose=0, sample_weight=weights
        )
        logs.append(
            history.history
            | model.evaluate(x, y, verbose=0, return_dict=True, sample_weight=weights)
        )
    assert sorted(logs[0]) == sorted(logs[1])
    for key, value in logs[1].items():
        np.testing.assert_allclose(logs[0][key], value, rtol=2e-5, err_msg=key)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_padding_changes_nothing(make):
    x, y = data_for(make)
    model = make(keras)
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    a = model.evaluate(x, y, verbose=0)
    if make is not pooled:
        y = np.where(KEPT[..., None], y, 1e3)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), a, rtol=1e-6)


def test_functional_config_keeps_the_mask_as_keras_does():
    model = pooled(keras)
    names = [entry["name"] for entry in model.get_config()["layers"]]
    assert "not_equal" in names
    calls = model.get_config()["layers"][-2]["inbound_nodes"][0]["kwargs"]
    assert calls["mask"]["config"]["keras_history"] == ["not_equal", 0, 0]
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(IDS).numpy(), model(IDS).numpy())


@pytest.mark.reference
@pytest.mark.parametrize("make", [sequential, functional, pooled])
def test_masked_models_go_both_ways(keras_reference, make, tmp_path):
    x, _ = data_for(make)
    for write, read in ((keras, keras_reference), (keras_reference, keras)):
        model = make(write)
        model.save(tmp_path / "m.keras")
        want = write.ops.convert_to_numpy(model(x))
        again = read.models.load_model(tmp_path / "m.keras")
        got = read.ops.convert_to_numpy(again(x))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_mask_given_to_a_model_reaches_its_layers():
    x = rng.normal(size=(3, 4, 3)).astype("float32")
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, L.GlobalAveragePooling1D()(inputs))
    with pytest.warns(UserWarning, match="support masking"):  # of the model itself
        y = model(x, mask=keras.ops.array(KEPT)).numpy()
    want = [row[k].mean(0) for row, k in zip(x, KEPT, strict=True)]
    np.testing.assert_allclose(y, want, rtol=1e-5)
    model = keras.Sequential([keras.Input((4, 3)), L.GlobalAveragePooling1D()])
    with pytest.warns(UserWarning, match="support masking"):
        y = model(x, mask=keras.ops.array(KEPT)).numpy()
    np.testing.assert_allclose(y, want, rtol=1e-5)
