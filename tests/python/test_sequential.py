"""Sequential and functional models: building, names, shapes, the summary."""

from __future__ import annotations

import os

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


def data(rows: int = 12, features: int = 4) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(rows, features)).astype("float32")


def test_list_and_add_make_the_same_model():
    a = keras.Sequential([keras.Input((4,)), L.Dense(3, "relu"), L.Dense(2)])
    b = keras.Sequential()
    b.add(keras.Input(shape=(4,)))
    b.add(L.Dense(3, activation="relu"))
    b.add(L.Dense(2))
    assert a.count_params() == b.count_params() == 23
    assert a.input_shape == (None, 4)
    assert a.output_shape == (None, 2)
    b.set_weights(a.get_weights())
    np.testing.assert_array_equal(
        a.predict(data(), verbose=0), b.predict(data(), verbose=0)
    )


@pytest.mark.parametrize(
    "first",
    [
        {"input_shape": (4,)},
        {"input_dim": 4},
        {"batch_input_shape": (None, 4)},
    ],
)
def test_input_arguments_of_the_first_layer_build_the_model(first):
    model = keras.Sequential([L.Dense(3, **first), L.Dense(2)])
    assert model.built
    assert model.input_shape == (None, 4)
    assert [v.path for v in model.weights] == [
        "sequential/dense/kernel",
        "sequential/dense/bias",
        "sequential/dense_1/kernel",
        "sequential/dense_1/bias",
    ]


def test_without_a_shape_the_first_data_build_the_model():
    model = keras.Sequential([L.Dense(3), L.Dense(2)])
    assert not model.built
    assert model.weights == []
    assert model.predict(data(), verbose=0).shape == (12, 2)
    assert model.built
    assert model.count_params() == 23
    assert model.input_shape == (None, 4)
    model = keras.Sequential([L.Dense(3), L.Dense(2)])
    model.build((None, 5))
    assert model.count_params() == 26
    model = keras.Sequential([L.Dense(2)])
    assert model(data()).shape == (12, 2)
    assert model.input_shape == (12, 4)  # as in Keras; other batch sizes still fit
    assert model(data()[:5]).shape == (5, 2)
    assert model.predict(data()[:7], verbose=0).shape == (7, 2)


def test_evaluate_works_before_fit():
    model = keras.Sequential([L.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    values = model.evaluate(data(), data()[:, :1], verbose=0)
    assert len(values) == 2
    assert all(np.isfinite(values))


def test_add_and_pop_after_building_keep_the_weights():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    kernel = model.get_weights()[0]
    assert model.predict(data(), verbose=0).shape == (12, 3)
    model.add(L.Dense(2))
    assert model.output_shape == (None, 2)
    assert model.predict(data(), verbose=0).shape == (12, 2)
    model.pop()
    assert model.output_shape == (None, 3)
    np.testing.assert_allclose(model.predict(data(), verbose=0), data() @ kernel, 1e-5)
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_nested_sequential_is_a_layer():
    inner = keras.Sequential([L.Dense(3), L.Dropout(0.5)])
    model = keras.Sequential([keras.Input((4,)), inner, L.Dense(2)])
    assert [v.path for v in model.weights] == [
        "sequential_1/sequential/dense/kernel",
        "sequential_1/sequential/dense/bias",
        "sequential_1/dense_1/kernel",
        "sequential_1/dense_1/bias",
    ]
    model.compile("sgd", "mse")
    model.fit(data(), data()[:, :2], verbose=0)
    assert model.layers[0] is inner


def test_get_layer_and_layers():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, name="a"), L.Dense(2)])
    assert model.get_layer("a") is model.layers[0] is model.get_layer(index=0)
    assert [layer.name for layer in model.layers] == ["a", "dense"]


def test_column_is_added_when_the_input_has_one_feature():
    model = keras.Sequential([keras.Input((1,)), L.Dense(2)])
    x = np.arange(5.0)
    assert model.predict(x, verbose=0).shape == (5, 2)
    assert model(x.astype("float32")).shape == (5, 2)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.matrix,
        lambda a: a.tolist(),
        np.asfortranarray,
        lambda a: a.astype("float64"),
        lambda a: a[::-1][::-1],
        lambda a: keras.ops.convert_to_tensor(a),
        lambda a: [a],
    ],
)
def test_predict_takes_what_numpy_takes(convert):
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    expected = model.predict(data(), verbose=0)
    np.testing.assert_array_equal(model.predict(convert(data()), verbose=0), expected)


def test_integer_images_become_floats():
    model = keras.Sequential([keras.Input((3, 3, 1)), L.Flatten(), L.Dense(1)])
    x = np.arange(18, dtype="uint8").reshape(2, 3, 3, 1)
    y = model.predict(x, verbose=0)
    np.testing.assert_allclose(y, model.predict(x.astype("float32"), verbose=0))
    np.testing.assert_allclose(y, model(x).numpy(), rtol=1e-6)


def test_embedding_first_gets_integers():
    model = keras.Sequential([L.Embedding(50, 3), L.Flatten(), L.Dense(1)])
    x = np.random.default_rng(0).integers(0, 50, size=(8, 5))
    model.compile("sgd", "mse")
    model.fit(x, np.ones(8), verbose=0)
    assert model.predict(x, verbose=0).shape == (8, 1)


def test_predict_cut_into_batches_is_the_same():
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, "tanh"), L.Dense(2)])
    x = data(70)
    whole = model.predict_on_batch(x)
    for size in (1, 7, 32, 100):
        part = model.predict(x, batch_size=size, verbose=0)
        np.testing.assert_allclose(part, whole, rtol=1e-6, atol=1e-7)


def test_float64_models_compute_in_float64():
    model = keras.Sequential(
        [keras.Input((4,), dtype="float64"), L.Dense(2, dtype="float64")]
    )
    x = np.random.default_rng(0).normal(size=(3, 4))
    y = model(x)
    assert y.dtype == "float64"
    np.testing.assert_allclose(y.numpy(), x @ model.get_weights()[0], rtol=1e-14)


# -- configuration ----------------------------------------------------------


def test_config_round_trip():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            L.Conv2D(2, 3, activation="relu"),
            L.Flatten(),
            L.Dense(3, activation="softmax", kernel_regularizer="l2"),
        ]
    )
    copy = keras.Sequential.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    copy.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1))
    np.testing.assert_array_equal(
        copy.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    clone = keras.models.clone_model(model)
    assert clone.count_params() == model.count_params()
    again = keras.models.model_from_json(model.to_json())
    assert [type(layer) for layer in again.layers] == [
        type(layer) for layer in model.layers
    ]


# -- functional models ------------------------------------------------------


def functional():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    x = L.Dense(5, activation="relu", name="da")(a)
    y = L.Dense(5, activation="relu", name="db")(b)
    z = L.Concatenate(name="joined")([x, y])
    return keras.Model([a, b], L.Dense(1, name="out")(z))


def test_functional_model_with_two_inputs_trains():
    keras.utils.set_random_seed(1)
    model = functional()
    x = [data(40), data(40, 3)]
    y = x[0].sum(1) - x[1].sum(1)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = model.fit(x, y, epochs=30, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0] / 3
    p = model.predict(x, verbose=0)
    q = model.predict({"a": x[0], "b": x[1]}, verbose=0)
    np.testing.assert_array_equal(p, q)


def test_functional_model_with_two_outputs_names_its_losses():
    x = keras.Input((4,))
    h = L.Dense(6, "tanh")(x)
    model = keras.Model(x, [L.Dense(1, name="p")(h), L.Dense(2, name="q")(h)])
    model.compile(
        "sgd",
        {"p": "mse", "q": "mae"},
        loss_weights={"p": 1.0, "q": 0.5},
        metrics={"q": ["mse"]},
    )
    y = [data()[:, :1], data()[:, :2]]
    history = model.fit(data(), y, verbose=0)
    assert sorted(history.history) == ["loss", "p_loss", "q_loss", "q_mse"]
    values = model.evaluate(data(), y, verbose=0, return_dict=True)
    total = values["p_loss"] + 0.5 * values["q_loss"]
    np.testing.assert_allclose(values["loss"], total, rtol=1e-5)
    p, q = model.predict(data(), verbose=0)
    assert p.shape == (12, 1)
    assert q.shape == (12, 2)


def test_functional_model_shares_layers():
    shared = L.Dense(3)
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], L.Subtract()([shared(a), shared(b)]))
    assert model.count_params() == 15
    x = data()
    assert not model.predict([x, x], verbose=0).any()


def test_functional_config_round_trip():
    model = functional()
    config = model.get_config()
    copy = type(model).from_config(config)
    assert copy.get_config() == config
    copy.set_weights(model.get_weights())
    x = [data(), data(12, 3)]
    np.testing.assert_array_equal(
        copy.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_functional_model_with_a_missing_input_is_refused():
    a, b = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    with pytest.raises(ValueError, match="'right', which is not among the inputs"):
        keras.Model(a, L.Add()([a, b]))


def test_part_of_a_sequential_becomes_a_model():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, "relu"), L.Dense(2)])
    part = keras.Model(inputs=model.inputs, outputs=model.layers[0].output)
    kernel, bias = model.layers[0].get_weights()
    np.testing.assert_allclose(
        part.predict(data(), verbose=0), np.maximum(data() @ kernel + bias, 0), 1e-5
    )
    both = keras.Model(model.input, [layer.output for layer in model.layers])
    assert [y.shape for y in both.predict(data(), verbose=0)] == [(12, 3), (12, 2)]


# -- summary ----------------------------------------------------------------


def text_of(model, **arguments) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, **arguments)
    return "".join(lines)


def test_summary_is_keras_table():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dropout(0.1)], name="m")
    assert text_of(model, line_length=60) == (
        'Model: "m"\n'
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┓\n"
        "┃ Layer (type)             ┃ Output Shape      ┃   Param # ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━┩\n"
        "│ dense (Dense)            │ (None, 3)         │        15 │\n"
        "├──────────────────────────┼───────────────────┼───────────┤\n"
        "│ dropout (Dropout)        │ (None, 3)         │         0 │\n"
        "└──────────────────────────┴───────────────────┴───────────┘\n"
        " Total params: 15 (60.00 B)\n"
        " Trainable params: 15 (60.00 B)\n"
        " Non-trainable params: 0 (0.00 B)\n"
    )


def test_summary_goes_to_stdout(capsys):
    keras.Sequential([L.Dense(3)]).summary()
    out = capsys.readouterr().out
    assert "0 (unbuilt)" in out
    assert "?" in out


def cnn(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(
                name="a_name_that_is_far_too_long_for_the_column"
            ),
            layers.Flatten(),
            k.Sequential([layers.Dense(1000), layers.Dropout(0.5)], name="head"),
            layers.Dense(10),
        ]
    )


def branches(k):
    layers = k.layers
    x = k.Input((4,), name="in")
    y = layers.Concatenate()([layers.Dense(3)(x), layers.Dense(3)(x)])
    return k.Model(x, layers.Add()([y, layers.Dense(6)(x)]))


@pytest.mark.reference
@pytest.mark.parametrize("make", [cnn, branches])
@pytest.mark.parametrize("columns", ["60", "80", "200"])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"show_trainable": True}, {"expand_nested": True}, {"line_length": 57}],
    ids=str,
)
def test_summary_agrees_with_keras(monkeypatch, make, columns, arguments):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    reference = pytest.importorskip("keras")
    monkeypatch.setenv("COLUMNS", columns)
    reference.utils.clear_session()
    assert text_of(make(keras), **arguments) == text_of(make(reference), **arguments)


@pytest.mark.reference
@pytest.mark.parametrize("make", [cnn, branches])
def test_model_config_agrees_with_keras(make):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    reference = pytest.importorskip("keras")
    reference.utils.clear_session()
    ours, theirs = make(keras), make(reference)
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]
    assert _plain(ours.get_config()) == _plain(theirs.get_config())


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k != "shared_object_id"}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
