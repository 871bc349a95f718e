"""Recurrent layers: parity with Keras, masks, states, files, training."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L

BATCH, STEPS, FEATURES = 3, 5, 4
KEPT = np.array(
    [[True, True, True, False, False], [False, True, False, True, True], [True] * 5]
)


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def data(*shape: int) -> np.ndarray:
    return rng().normal(size=shape or (BATCH, STEPS, FEATURES)).astype("float32")


def to_numpy(value):
    if isinstance(value, list | tuple):
        return [to_numpy(v) for v in value]
    if hasattr(value, "detach"):
        return value.detach().numpy()
    return np.asarray(value)


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def assert_close(a, b, **kwargs):
    a, b = to_numpy(a), to_numpy(b)
    if isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_close(x, y, **kwargs)
        return
    np.testing.assert_allclose(a, b, **{"rtol": 2e-5, "atol": 2e-6, **kwargs})


def fill(layer) -> None:
    source = rng()
    layer.set_weights([0.5 * source.normal(size=v.shape) for v in layer.weights])


# name, arguments
LAYERS = [
    ("SimpleRNN", {}),
    ("SimpleRNN", {"activation": "relu", "use_bias": False, "go_backwards": True}),
    ("SimpleRNN", {"activation": "softsign", "kernel_regularizer": "l2"}),
    ("LSTM", {}),
    ("LSTM", {"go_backwards": True, "unit_forget_bias": False}),
    ("LSTM", {"recurrent_activation": "hard_sigmoid", "use_bias": False}),
    ("LSTM", {"activation": "elu", "unroll": True}),
    ("LSTM", {"activation": None, "recurrent_constraint": "max_norm"}),
    ("GRU", {}),
    ("GRU", {"reset_after": False, "go_backwards": True}),
    ("GRU", {"use_bias": False}),
    ("GRU", {"activation": "softplus", "reset_after": False}),
    ("GRU", {"activation": "gelu"}),
]


@pytest.mark.reference
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", ["no", "mask", "zeros"])
@pytest.mark.parametrize(("name", "arguments"), LAYERS)
def test_layer_agrees_with_keras(keras_reference, name, arguments, masked, sequences):
    keras_reference.utils.clear_session()
    arguments = {
        **arguments,
        "units": 6,
        "return_sequences": sequences,
        "return_state": True,
        "zero_output_for_mask": masked == "zeros",
    }
    ours = getattr(L, name)(**arguments)
    theirs = getattr(keras_reference.layers, name)(**arguments)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert list(ours.get_config()) == list(theirs.get_config())
    x = data()
    ours(x), theirs(x)
    assert [(v.path, v.shape) for v in ours.weights] == [
        (v.path, tuple(v.shape)) for v in theirs.weights
    ]
    fill(ours)
    theirs.set_weights(ours.get_weights())
    starts = [data(BATCH, 6) for _ in ours.state_size]
    for start in (None, starts):
        kwargs = {"initial_state": start}
        if masked == "no":
            assert_close(ours(x, **kwargs), theirs(x, **kwargs))
        else:
            a = ours(x, mask=keras.ops.array(KEPT), **kwargs)
            b = theirs(x, mask=keras_reference.ops.array(KEPT), **kwargs)
            assert_close(a, b)
    full = (None, STEPS, FEATURES)
    assert plain(ours.compute_output_shape(full)) == plain(
        theirs.compute_output_shape(full)
    )
    again = type(ours).from_config(ours.get_config())
    assert plain(again.get_config()) == plain(ours.get_config())


@pytest.mark.parametrize(("name", "arguments"), LAYERS)
@pytest.mark.parametrize("masked", [False, True])
def test_operation_equals_the_steps_of_the_cell(name, arguments, masked):
    layer = getattr(L, name)(6, return_sequences=True, **arguments, dtype="float64")
    x = data().astype("float64")
    layer(x)
    fill(layer)
    mask = keras.ops.array(KEPT) if masked else None
    cell = L.RNN(
        layer.cell,
        return_sequences=True,
        go_backwards=layer.go_backwards,
        dtype="float64",
    )
    assert_close(layer(x, mask=mask), cell(x, mask=mask), rtol=1e-10, atol=1e-12)


CELLS = [
    ("SimpleRNNCell", {}),
    ("LSTMCell", {"unit_forget_bias": False}),
    ("GRUCell", {"reset_after": False}),
    ("GRUCell", {"dropout": 0.2, "recurrent_dropout": 0.3, "seed": 1}),
]


@pytest.mark.reference
@pytest.mark.parametrize(("name", "arguments"), CELLS)
def test_cell_agrees_with_keras(keras_reference, name, arguments):
    keras_reference.utils.clear_session()
    ours = getattr(L, name)(6, **arguments)
    theirs = getattr(keras_reference.layers, name)(6, **arguments)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert list(ours.get_config()) == list(theirs.get_config())
    x = data(BATCH, FEATURES)
    states = [data(BATCH, 6) for _ in ours.get_initial_state(BATCH)]
    ours(x, states), theirs(x, [keras_reference.ops.array(s) for s in states])
    fill(ours)
    theirs.set_weights(ours.get_weights())
    a = ours(x, states)
    b = theirs(x, [keras_reference.ops.array(s) for s in states])
    assert_close(a[0], b[0])
    assert_close(list(a[1]), list(b[1]))


@pytest.mark.reference
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_stacked_cells_agree_with_keras(keras_reference, sequences, masked):
    x = data()

    def build(library):
        library.utils.clear_session()
        cells = [library.layers.LSTMCell(5), library.layers.GRUCell(3)]
        cells.append(library.layers.SimpleRNNCell(2))
        layer = library.layers.RNN(
            cells, return_sequences=sequences, return_state=not masked
        )
        layer(library.ops.array(x))
        return layer

    ours, theirs = build(keras), build(keras_reference)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]
    fill(ours)
    theirs.set_weights(ours.get_weights())
    if masked:
        a = ours(x, mask=keras.ops.array(KEPT))
        assert_close(a, theirs(x, mask=keras_reference.ops.array(KEPT)))
    else:
        assert_close(ours(x), theirs(x))
    again = L.RNN.from_config(json.loads(json.dumps(ours.get_config())))
    assert plain(again.get_config()) == plain(ours.get_config())


@pytest.mark.reference
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mode", ["concat", "sum", "ave", "mul", None])
def test_bidirectional_agrees_with_keras(
    keras_reference, mode, sequences, state, masked
):
    x = data()

    def build(library):
        library.utils.clear_session()
        layer = library.layers.Bidirectional(
            library.layers.LSTM(4, return_sequences=sequences, return_state=state),
            merge_mode=mode,
        )
        layer(library.ops.array(x))
        return layer

    ours, theirs = build(keras), build(keras_reference)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]
    fill(ours)
    theirs.set_weights(ours.get_weights())
    full = (None, STEPS, FEATURES)
    if mode is not None or not state:  # Keras mixes the shapes up
        assert plain(ours.compute_output_shape(full)) == plain(
            theirs.compute_output_shape(full)
        )
    masks = [None, None]
    if masked:
        masks = [keras.ops.array(KEPT), keras_reference.ops.array(KEPT)]
    a, b = ours(x, mask=masks[0]), theirs(x, mask=masks[1])
    assert_close(a, b)
    if state:
        starts = [data(BATCH, 4) for _ in range(4)]
        assert_close(ours(x, initial_state=starts), theirs(x, initial_state=starts))


def test_bidirectional_takes_a_layer_for_the_other_direction():
    layer = L.Bidirectional(
        L.LSTM(4), backward_layer=L.GRU(3, go_backwards=True), merge_mode="concat"
    )
    assert layer(data()).shape == (BATCH, 7)
    with pytest.raises(ValueError, match="go_backwards"):
        L.Bidirectional(L.LSTM(4), backward_layer=L.GRU(3))
    with pytest.raises(ValueError, match="return_sequences"):
        L.Bidirectional(
            L.LSTM(4), backward_layer=L.GRU(3, return_sequences=True, go_backwards=True)
        )
    with pytest.raises(ValueError, match="merge_mode"):
        L.Bidirectional(L.LSTM(4), merge_mode="max")
    with pytest.raises(ValueError, match="recurrent layer"):
        L.Bidirectional(L.Dense(4))


TIME = [
    (lambda k: k.layers.Dense(3, activation="tanh"), (BATCH, STEPS, 4)),
    (lambda k: k.layers.Conv2D(2, 2), (BATCH, STEPS, 4, 4, 1)),
    (lambda k: k.layers.Flatten(), (BATCH, STEPS, 2, 3)),
    (lambda k: k.layers.BatchNormalization(), (BATCH, STEPS, 4)),
    (lambda k: k.layers.LSTM(3), (BATCH, STEPS, 4, 2)),
    (lambda k: k.layers.Dropout(0.5), (BATCH, STEPS, 4)),
]


@pytest.mark.reference
@pytest.mark.parametrize(("make", "shape"), TIME)
def test_time_distributed_agrees_with_keras(keras_reference, make, shape):
    x = data(*shape)
    pair = []
    for library in (keras, keras_reference):
        library.utils.clear_session()
        pair.append(library.layers.TimeDistributed(make(library)))
        pair[-1](x)
    ours, theirs = pair
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]
    theirs.set_weights(ours.get_weights())
    assert_close(ours(x), theirs(x))
    full = (None, *shape[1:])
    assert ours.compute_output_shape(full) == tuple(theirs.compute_output_shape(full))


class Minimal(L.Layer):
    """A cell as Keras's documentation writes one."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight((self.units, self.units), name="recurrent")

    def call(self, inputs, states):
        h = keras.ops.matmul(inputs, self.kernel)
        output = h + keras.ops.matmul(states[0], self.recurrent)
        return output, [output]


def test_a_user_cell_runs_and_trains():
    x = data()
    layer = L.RNN(Minimal(6))
    y = layer(x).numpy()
    kernel, recurrent = layer.get_weights()
    h = np.zeros((BATCH, 6))
    for t in range(STEPS):
        h = x[:, t] @ kernel + h @ recurrent
    np.testing.assert_allclose(y, h, rtol=1e-4, atol=1e-5)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), L.RNN(Minimal(6))])
    model.add(L.Dense(1))
    model.compile("adam", "mse")
    losses = model.fit(x, x[:, 0, :1], epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_a_cell_need_not_be_a_layer():
    class Sum:
        state_size = FEATURES

        def call(self, inputs, states):
            return inputs + states[0], [inputs + states[0]]

    x = data()
    assert_close(L.RNN(Sum())(x), x.sum(1))


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_dropout_keeps_one_mask_for_all_steps(name):
    x = np.ones((2, STEPS, 50), "float32")
    for arguments in ({"dropout": 0.5}, {"dropout": 0.5, "recurrent_dropout": 0.5}):
        layer = getattr(L, name)(8, return_sequences=True, seed=1, **arguments)
        quiet = layer(x).numpy()
        a, b = (layer(x, training=True).numpy() for _ in range(2))
        assert not np.allclose(a, b)
        assert not np.allclose(a, quiet)
        np.testing.assert_array_equal(layer(x).numpy(), quiet)
    # without a recurrence, steps that see the same input and mask are equal
    layer = getattr(L, name)(
        8, return_sequences=True, dropout=0.5, recurrent_initializer="zeros", seed=1
    )
    y = layer(x, training=True).numpy()
    if name == "SimpleRNN":
        np.testing.assert_allclose(y, np.repeat(y[:, :1], STEPS, 1), rtol=1e-6)


def models(library, name):
    """One model of each way in which recurrent layers are used."""
    k = library
    if name == "many to one":
        return k.Sequential(
            [
                k.Input((STEPS, FEATURES)),
                k.layers.Masking(),
                k.layers.LSTM(6, return_sequences=True),
                k.layers.GRU(5),
                k.layers.Dense(2),
            ]
        )
    if name == "many to many":
        return k.Sequential(
            [
                k.Input((STEPS, FEATURES)),
                k.layers.Masking(),
                k.layers.Bidirectional(k.layers.SimpleRNN(4, return_sequences=True)),
                k.layers.TimeDistributed(k.layers.Dense(2)),
            ]
        )
    if name == "embedding":
        x = k.Input((STEPS,), dtype="int32")
        h = k.layers.Embedding(7, 3, mask_zero=True)(x)
        h = k.layers.Bidirectional(k.layers.GRU(4))(h)
        return k.Model(x, k.layers.Dense(2)(h))
    assert name == "encoder"
    x = k.Input((STEPS, FEATURES))
    h = k.layers.LSTM(4, return_sequences=True, return_state=True)(x)
    g = k.layers.LSTM(4)(h[0], initial_state=h[1:])
    return k.Model(x, k.layers.Dense(2)(g))


NAMES = ["many to one", "many to many", "embedding", "encoder"]


def model_data(name):
    x = data() * KEPT[..., None]
    if name == "embedding":
        x = rng().integers(1, 7, size=(BATCH, STEPS)) * KEPT
    y = data(BATCH, STEPS, 2) if name == "many to many" else data(BATCH, 2)
    return x, y


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_training_agrees_with_keras(keras_reference, name):
    x, y = model_data(name)
    pair = []
    for library in (keras, keras_reference):
        library.utils.clear_session()
        pair.append(models(library, name))
    ours, theirs = pair
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]
    fill(ours)
    theirs.set_weights(ours.get_weights())
    histories = []
    for model, library in zip(pair, (keras, keras_reference), strict=True):
        model.compile(library.optimizers.SGD(0.1), "mse", metrics=["mae"])
        histories.append(model.fit(x, y, epochs=4, shuffle=False, verbose=0).history)
    for key, values in histories[1].items():
        np.testing.assert_allclose(histories[0][key], values, rtol=2e-5)
    assert_close(ours.get_weights(), theirs.get_weights(), rtol=1e-4, atol=1e-5)


@pytest.mark.reference
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("name", NAMES)
def test_files_go_both_ways(keras_reference, tmp_path, name, suffix):
    x, _ = model_data(name)
    for write, read in ((keras, keras_reference), (keras_reference, keras)):
        model = models(write, name)
        path = tmp_path / f"m{suffix}"
        if suffix == ".weights.h5":
            model.save_weights(path)
            again = models(read, name)
            again.load_weights(path)
        else:
            model.save(path)
            if suffix == ".h5" and name == "embedding" and read is keras_reference:
                continue  # Keras does not read operations from .h5
            again = read.models.load_model(path)
        assert_close(again(x), model(x))


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_stateful_layer_goes_on_where_the_batch_ended(name):
    x = data(BATCH, 2 * STEPS, FEATURES)
    inputs = keras.Input(batch_shape=(BATCH, STEPS, FEATURES))
    layer = getattr(L, name)(6, stateful=True)
    model = keras.Model(inputs, layer(inputs))
    fill(model)
    whole = getattr(L, name)(6)
    whole(x)
    whole.set_weights(model.get_weights())
    first = model.predict(x[:, :STEPS], batch_size=BATCH, verbose=0)
    second = model.predict(x[:, STEPS:], batch_size=BATCH, verbose=0)
    assert_close(second, whole(x))
    layer.reset_state()
    assert_close(model.predict(x[:, :STEPS], batch_size=BATCH, verbose=0), first)
    with pytest.raises(ValueError, match="fixed batch size"):
        getattr(L, name)(6, stateful=True).build((None, STEPS, FEATURES))
    with pytest.raises(ValueError, match="batches of 3"):
        layer(x[:2, :STEPS])


def test_unknown_number_of_steps_works_where_one_operation_does_it():
    model = keras.Sequential([keras.Input((None, FEATURES)), L.LSTM(4), L.Dense(1)])
    model.compile("sgd", "mse")
    for steps in (3, 6):
        x = data(2, steps, FEATURES)
        assert model.predict(x, verbose=0).shape == (2, 1)
        model.fit(x, x[:, 0, :1], verbose=0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: L.LSTM(4, activation="elu", return_sequences=True), (FEATURES,)),
        (lambda: L.RNN([L.GRUCell(3), L.SimpleRNNCell(2)]), (FEATURES,)),
        (lambda: L.ConvLSTM1D(2, 3, return_sequences=True), (6, FEATURES)),
        (lambda: L.Bidirectional(L.ConvLSTM1D(2, 3)), (6, FEATURES)),
    ],
)
def test_unknown_number_of_steps_is_known_when_there_are_data(layer, shape):
    inputs = keras.Input((None, *shape))
    layer = layer()
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == layer.compute_output_shape((None, None, *shape))
    for steps in (3, 5):
        x = data(2, steps, *shape)
        got = model.predict(x, verbose=0)
        np.testing.assert_allclose(got, np.asarray(layer(x)), atol=1e-6)


def test_initializers_are_those_of_keras():
    layer = L.LSTM(8)
    layer.build((None, STEPS, FEATURES))
    kernel, recurrent, bias = layer.get_weights()
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], 8))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(8), atol=1e-5)
    limit = np.sqrt(6 / (FEATURES + 32))
    assert np.abs(kernel).max() <= limit
    layer = L.LSTM(8, unit_forget_bias=False)
    layer.build((None, STEPS, FEATURES))
    assert not layer.get_weights()[2].any()


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="units must be positive"):
        L.LSTM(0)
    with pytest.raises(ValueError, match="the cell needs"):
        L.RNN(object())
    with pytest.raises(ValueError, match="rank 3"):
        L.GRU(3)(np.ones((2, 4), "float32"))
