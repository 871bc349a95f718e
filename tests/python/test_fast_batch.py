"""The short way of train_on_batch and test_on_batch."""

from __future__ import annotations

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L

RNG = np.random.default_rng(4)
X = RNG.normal(size=(32, 6)).astype("float32")
Y = RNG.integers(0, 3, 32)


def classifier(**compile_arguments):
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [keras.Input((6,)), L.Dense(8, activation="tanh"), L.Dense(3, "softmax")]
    )
    arguments = {
        "optimizer": "adam",
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    }
    model.compile(**arguments | compile_arguments)
    return model


def assert_same_weights(a, b):
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_batches_equal_fit_and_start_the_metrics_anew():
    one, two = classifier(), classifier()
    history = one.fit(X, Y, batch_size=32, epochs=6, shuffle=False, verbose=0).history
    for epoch in range(6):
        loss, accuracy = two.train_on_batch(X, Y)
        assert loss == pytest.approx(history["loss"][epoch], abs=0)
        assert accuracy == pytest.approx(history["accuracy"][epoch], abs=0)
    assert_same_weights(one, two)
    first, again = two.test_on_batch(X, Y), two.test_on_batch(X, Y)
    assert first == again == two.evaluate(X, Y, verbose=0)
    logs = two.test_on_batch(X, Y, return_dict=True)
    assert list(logs) == ["accuracy", "loss"]


def test_other_arrays_after_the_first():
    model, reference = classifier(), classifier()
    wide = RNG.normal(size=(64, 12)).astype("float32")
    calls = [
        (X, Y),
        (X[:7], Y[:7]),  # another number of rows
        (X.astype("float64"), Y),
        (X, Y.astype("float32")),
        (X.tolist(), Y.tolist()),
        (np.asfortranarray(X), Y),
        (wide[::2, ::2], Y),
        (X, Y[::-1]),
        (X, Y[:, None]),
    ]
    for x, y in calls:
        got = model.train_on_batch(x, y)
        # the long way: a new array type for the short way to know each time
        reference.__dict__.pop("_fast_batch", None)
        assert got == reference.train_on_batch(np.array(x), np.array(y))
    weights = RNG.random(32)
    for m in (model, reference):
        m.train_on_batch(X, Y, sample_weight=weights)
        m.train_on_batch(X, Y, class_weight={0: 2.0, 1: 1.0, 2: 0.5})
    assert_same_weights(model, reference)


def test_errors_are_those_of_the_first_call():
    model = classifier()
    model.train_on_batch(X, Y)
    before = model.get_weights()
    with pytest.raises(ValueError, match="class 7"):
        model.train_on_batch(X, np.where(Y == 0, 7, Y))
    with pytest.raises(ValueError, match="same number of samples"):
        model.train_on_batch(X, Y[:5])
    with pytest.raises(ValueError, match="empty"):
        model.train_on_batch(X[:0], Y[:0])
    with pytest.raises(ValueError, match="7"):
        model.train_on_batch(np.zeros((32, 7), "float32"), Y)
    for p, q in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_changes_of_the_model_are_seen():
    model = classifier()
    model.train_on_batch(X, Y)
    frozen = model.layers[0].get_weights()[0]
    model.layers[0].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert isinstance(model.train_on_batch(X, Y), float)  # no metrics now
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], frozen)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    model.train_on_batch(X, Y)
    for p, q in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    loss = model.test_on_batch(X, Y)
    model.layers[1].set_weights([2 * w for w in model.layers[1].get_weights()])
    assert model.test_on_batch(X, Y) != loss
    model.add(L.Dense(3, "softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.test_on_batch(X, Y) != loss


def test_own_ways_to_reset_metrics_are_called():
    calls = []

    class Own(keras.Sequential):
        def reset_metrics(self):
            calls.append(1)
            super().reset_metrics()

    model = Own([keras.Input((6,)), L.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    for _ in range(3):
        model.train_on_batch(X, Y)
    assert len(calls) == 3

    class Noted(keras.metrics.MeanSquaredError):
        def reset_state(self):
            calls.append(2)
            super().reset_state()

    model = classifier(loss="mse", metrics=[Noted()])
    for _ in range(4):
        model.train_on_batch(X, np.eye(3, dtype="float32")[Y])
    assert calls.count(2) >= 3  # the first call finds the metric, the others reset it

    class FromOne(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="from_one")
            self.total = self.add_weight(shape=(), initializer="ones", name="total")

        def reset_state(self):
            self.total.assign(1.0)

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.total.assign_add(1.0)

        def result(self):
            return self.total.value

    model = classifier(metrics=[FromOne()])
    for _ in range(3):
        assert model.train_on_batch(X, Y)[1] == 2.0


def test_eager_and_own_steps_stay_in_python():
    model = classifier()
    model.train_on_batch(X, Y)
    model.run_eagerly = True
    seen = []
    model.layers[0].call, call = (
        lambda x, **_: seen.append(type(x)) or call(x),
        model.layers[0].call,
    )
    model.train_on_batch(X, Y)
    model.train_on_batch(X, Y)
    assert len(seen) == 2


def predictor(outputs=3):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((6,)), L.Dense(8, activation="tanh"), L.Dense(outputs)]
    )


def test_predict_on_batch_of_other_arrays_after_the_first():
    model = predictor()
    first = model.predict_on_batch(X)
    kept = first.copy()
    expected = np.asarray(model(X))
    wide = RNG.normal(size=(64, 12)).astype("float32")
    for x in (
        X,
        X[:7],
        X[:1],
        X.astype("float64"),
        X.tolist(),
        np.asfortranarray(X),
        wide[::2, ::2],
        X[::-1],
        keras.ops.convert_to_tensor(X),
        X.astype(">f4"),
        X,
    ):
        outputs = model.predict_on_batch(x)
        assert outputs.flags.writeable
        rows = np.asarray(x, "float32")
        np.testing.assert_array_equal(outputs, np.asarray(model(rows)))
        np.testing.assert_array_equal(model.predict(x, verbose=0), outputs)
        outputs[:] = 0  # nobody else's
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(model.predict_on_batch(X), expected)
    with pytest.raises(ValueError, match="6"):
        model.predict_on_batch(X[:, :5])


def test_predict_on_batch_sees_what_changes():
    model = predictor()
    before = model.predict_on_batch(X)
    model.set_weights([w * 2 for w in model.get_weights()])
    after = model.predict_on_batch(X)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, np.asarray(model(X)))
    model.add(L.Dense(2))
    assert model.predict_on_batch(X).shape == (32, 2)


def test_large_predictions_are_arrays_like_small_ones():
    model = predictor(5000)
    model.predict_on_batch(X)
    large = model.predict_on_batch(X)
    assert large.shape == (32, 5000)
    assert large.flags.writeable
    np.testing.assert_array_equal(large[:1], model.predict_on_batch(X[:1]))


@pytest.mark.parametrize("kind", ["float16", "int8", "uint16", "uint32", "bool"])
def test_types_that_are_converted_first(kind):
    x = (np.abs(X) * 3).astype(kind)
    model, reference = predictor(), predictor()
    for _ in range(2):
        np.testing.assert_array_equal(
            model.predict_on_batch(x), reference(x.astype("float32")).numpy()
        )
        assert model.predict(x, verbose=0).shape == (32, 3)
    one, two = classifier(), classifier()
    y = Y.astype(kind) if kind != "bool" else Y
    for _ in range(3):
        got = one.train_on_batch(x, y)
        assert got == two.train_on_batch(x.astype("float32"), Y)
    assert_same_weights(one, two)
