"""Functional and subclassed models: structures, parts, copies, training flags."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

keras = pytest.importorskip("lamella")

L = keras.layers


def data(*shape, seed=1):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def fill(model, seed=0):
    """Give a model weights that do not depend on names or seeds."""
    random = np.random.RandomState(seed)
    model.set_weights([random.rand(*w.shape) * 0.5 for w in model.weights])
    return model


def two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    x = L.concatenate([L.Dense(5, name="h1")(a), L.Dense(5, name="h2")(b)])
    return a, b, L.Dense(2, name="y")(x), L.Dense(1, name="z")(x)


def small():
    layers = [keras.Input((3,)), L.Dense(4, activation="relu"), L.Dense(2)]
    return fill(keras.Sequential(layers))


def text_of(model, **arguments):
    lines = []
    model.summary(print_fn=lines.append, **arguments)
    return "\n".join(lines)


# -- structures of inputs and outputs --------------------------------------------


def test_structures_of_inputs_and_outputs_are_kept_as_in_keras():
    a, b, y, z = two_inputs()
    x = {"a": data(5, 3), "b": data(5, 4)}
    as_lists = fill(keras.Model([a, b], [y, z]))
    as_dicts = keras.Model({"a": a, "b": b}, {"v": y, "u": z})
    one = keras.Model([a, b], [y])
    first, second = as_lists([x["a"], x["b"]])
    result = as_dicts(x)
    assert list(result) == ["u", "v"]  # sorted
    np.testing.assert_array_equal(result["v"], first)
    np.testing.assert_array_equal(result["u"], second)
    np.testing.assert_array_equal(one(x), first)  # a list of one is the entry
    assert as_dicts.input_shape == [(None, 3), (None, 4)]
    assert as_dicts.output_names == ["z", "y"]
    assert one.output_shape == (None, 2)


def test_output_that_depends_on_another_input_is_an_error():
    a, _, y, _ = two_inputs()
    with pytest.raises(ValueError, match="depends on the input 'b'"):
        keras.Model(a, y)


# -- parts of models ---------------------------------------------------------------


def test_model_of_an_inner_placeholder_holds_only_what_lies_behind_it():
    x = keras.Input((3,))
    hidden = L.Dense(4)(x)
    whole = fill(keras.Model(x, L.Dense(2, name="last")(hidden)))
    part = keras.Model(hidden, whole.output)
    assert [layer.name for layer in part.layers][1:] == ["last"]
    assert part.count_params() == 10
    h = keras.Model(x, hidden)(data(5, 3))
    np.testing.assert_allclose(part(h), whole(data(5, 3)), rtol=1e-6)


def test_output_of_a_layer_that_was_called_twice_is_that_of_the_first_call():
    layer = L.Dense(2)
    first = layer(keras.Input((3,)))
    layer(keras.Input((3,)))
    assert layer.output is first


def test_parts_of_a_sequential_that_grows_fit_together():
    model = small()
    keras.Model(model.inputs, model.layers[0].output)
    model.add(L.Dense(5))
    every = keras.Model(model.inputs, [layer.output for layer in model.layers])
    assert [y.shape for y in every(data(6, 3))] == [(6, 4), (6, 2), (6, 5)]


def test_get_source_inputs_finds_all():
    _, _, y, _ = two_inputs()
    assert [t.name for t in keras.utils.get_source_inputs(y)] == ["a", "b"]


# -- the training flag ---------------------------------------------------------------


@pytest.mark.parametrize("noted", [None, False, True])
def test_flag_of_the_model_wins_over_that_of_a_call(noted):
    x = keras.Input((50,))
    given = {} if noted is None else {"training": noted}
    model = keras.Model(x, L.Dropout(0.5)(x, **given))
    ones = np.ones((4, 50), "float32")
    assert (np.asarray(model(ones, training=True)) == 0).any()
    assert (np.asarray(model(ones, training=False)) == 1).all()
    assert (np.asarray(model(ones)) == 0).any() == (noted is True)


def test_inner_weights_made_trainable_again_are_trained():
    inner = keras.Sequential([L.Dense(3), L.Dense(3)], name="inner")
    model = keras.Sequential([keras.Input((3,)), inner, L.Dense(2)])
    inner.trainable = False
    assert len(model.trainable_weights) == 2
    inner.layers[0].trainable = True
    assert len(model.trainable_weights) == 4
    assert inner.trainable_weights == []


# -- subclasses of functional models -------------------------------------------------


class OfGraph(keras.Model):
    """A functional model as a class."""

    def __init__(self, units=4, **kwargs):
        x = keras.Input((3,), name="x")
        super().__init__(x, L.Dense(units, name="d")(x), **kwargs)
        self.units = units

    def get_config(self):
        return {"units": self.units, "name": self.name}


class Doubled(keras.Model):
    """A functional model with a loss of its own."""

    def compute_loss(self, *args, **kwargs):
        return 2 * super().compute_loss(*args, **kwargs)


def test_subclass_can_be_made_of_inputs_and_outputs():
    model = fill(OfGraph(2, name="mine"))
    assert isinstance(model, keras.Model)
    assert isinstance(model, keras.Functional)
    assert OfGraph.from_config(model.get_config()).units == 2
    assert model(data(5, 3)).shape == (5, 2)
    x = keras.Input((3,))
    plain, doubled = (fill(cls(x, L.Dense(2)(x))) for cls in (keras.Model, Doubled))
    for m in (plain, doubled):
        m.compile("sgd", "mse")
    scores = [m.evaluate(data(6, 3), data(6, 2), verbose=0) for m in (plain, doubled)]
    assert scores[1] == pytest.approx(2 * scores[0], rel=1e-5)
    assert type(keras.models.clone_model(doubled)) is Doubled


# -- copies ---------------------------------------------------------------------


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy])
def test_pickled_and_copied_models_train_on_alike(copied):
    model = small()
    model.compile("adam", "mse", metrics=["mae"])
    x, y = data(6, 3), data(6, 2)
    model.fit(x, y, epochs=2, verbose=0, shuffle=False)
    twin = copied(model)
    twin = pickle.loads(twin) if isinstance(twin, bytes) else twin
    for m in (model, twin):
        m.fit(x, y, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert twin.optimizer is not model.optimizer


class Half(L.Layer):
    """A layer that nobody registered."""

    def call(self, inputs):
        return inputs * 0.5


def test_pickles_name_the_classes_of_the_user():
    x = keras.Input((3,))
    model = keras.Model(x, Half()(x))
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model))(np.ones((1, 3))), 0.5)
    layer = L.Dense(2)
    layer.build((None, 3))
    np.testing.assert_array_equal(copy.deepcopy(layer).kernel, layer.kernel)


def test_variables_metrics_and_optimizers_can_be_copied():
    metric = keras.metrics.MeanSquaredError()
    metric.update_state([[1.0]], [[3.0]])
    twin = pickle.loads(pickle.dumps(metric))
    twin.update_state([[1.0]], [[1.0]])
    assert (float(metric.result()), float(twin.result())) == (4.0, 2.0)
    variable = keras.Variable(np.arange(3), name="v", trainable=False)
    again = copy.deepcopy(variable)
    variable.assign([0, 0, 0])
    assert (again.name, again.dtype, again.trainable) == ("v", variable.dtype, False)
    np.testing.assert_array_equal(again, [0, 1, 2])
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)
    optimizer = copy.deepcopy(keras.optimizers.SGD(rate, momentum=0.5))
    assert optimizer.get_config()["momentum"] == 0.5
    assert not optimizer.built


def test_clone_model_takes_functions_and_inputs():
    x = keras.Input((3,), name="x")
    y = L.Dense(2, name="y")(L.Dense(4, name="h")(x)) + 1.0
    model = keras.Model(x, y, name="mine")
    model.compile("sgd", "mse")

    def wider(layer):
        if isinstance(layer, L.Dense):
            return L.Dense(2 * layer.units, name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    def dropped(layer, *args, **kwargs):
        out = layer(*args, **kwargs)
        return L.Dropout(0.5)(out) if isinstance(layer, L.Dense) else out

    clone = keras.models.clone_model(model, clone_function=wider)
    assert clone.compiled
    assert clone.output_shape == (None, 4)
    clone = keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=dropped
    )
    assert sum(isinstance(layer, L.Dropout) for layer in clone.layers) == 2
    assert clone.get_layer("h") is model.get_layer("h")
    new = keras.Input((3,), name="new")
    assert keras.models.clone_model(model, input_tensors=new).input_names == ["new"]
    with pytest.raises(ValueError, match="call_function needs a functional model"):
        keras.models.clone_model(small(), call_function=dropped)


def test_state_tree_goes_there_and_back():
    model = small()
    model.compile("sgd", "mse")
    tree = model.get_state_tree("numpy_array")
    (name,) = tree["trainable_variables"]
    dense = tree["trainable_variables"][name][model.layers[0].name]
    dense["kernel"] = dense["kernel"] * 2
    model.set_state_tree(tree)
    np.testing.assert_allclose(model.get_weights()[0], dense["kernel"])


# -- files of Keras -----------------------------------------------------------------


def test_configs_and_calls_are_those_of_keras(keras_reference):
    reference = keras_reference

    def build(k):
        k.utils.clear_session()
        i = k.Input((3,), name="i")
        inner = k.Model(i, k.layers.Dense(3, name="d")(i), name="inner")
        x = k.Input((3,), name="x")
        h = k.layers.Dropout(0.5, name="drop")(inner(x))
        y = k.layers.BatchNormalization(name="bn")(inner(h))
        return k.Model(x, k.layers.Add(name="add")([y, h]), name="outer")

    ours, theirs = build(keras), build(reference)
    clean = json.loads(json.dumps(ours.get_config()))
    assert clean == json.loads(json.dumps(theirs.get_config()))
    again = keras.Model.from_config(theirs.get_config())
    assert json.loads(json.dumps(again.get_config())) == clean
    again.set_weights([np.asarray(w) for w in theirs.get_weights()])
    x = data(5, 3)
    want = theirs.predict(x, verbose=0)
    np.testing.assert_allclose(again.predict(x, verbose=0), want, rtol=1e-5, atol=1e-6)
    assert text_of(ours, expand_nested=True) == text_of(theirs, expand_nested=True)


@pytest.fixture(scope="module")
def keras_reference():
    return pytest.importorskip("keras")


# -- summaries ------------------------------------------------------------------------


def test_summary_is_cut_at_the_screen_and_counts_the_optimizer(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    model = small()
    model.compile("sgd", "mse")
    model.fit(data(6, 3), data(6, 2), verbose=0)
    text = text_of(model, line_length=120)
    assert max(map(len, text.splitlines())) == 80
    assert " Optimizer params: 2 (8.00 B)\n" in text


class Net(keras.Model):
    """A subclass: its layers say what they were built for."""

    def __init__(self):
        super().__init__()
        self.hidden, self.drop = L.Dense(4), L.Dropout(0.5)

    def call(self, x):
        return self.drop(self.hidden(x))


def test_summary_of_a_subclass_shows_what_the_layers_know():
    net = Net()
    assert "0 (unbuilt)" in text_of(net)
    net(data(6, 3))
    dense, drop = (line for line in text_of(net).splitlines() if "(D" in line)
    assert "(6, 4)" in dense
    assert "?" in drop


# -- masks of unknown length ---------------------------------------------------------


@pytest.mark.parametrize("layer", [L.LSTM, L.GRU, L.SimpleRNN])
def test_masks_of_unknown_length_reach_recurrent_layers(layer):
    x = keras.Input((None,), dtype="int32")
    model = keras.Model(x, layer(3)(L.Embedding(9, 4, mask_zero=True)(x)))
    ids = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
    np.testing.assert_allclose(model(ids[:1]), model(ids[:1, :2]), rtol=1e-6)
    assert model.predict(ids, verbose=0).shape == (2, 3)
