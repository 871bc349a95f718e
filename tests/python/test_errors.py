"""What a beginner reads: each error names the layer, what was expected and given."""

from __future__ import annotations

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


X = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
Y = X[:, :1]


def model(loss="mse", units=1, **arguments):
    result = keras.Sequential([keras.Input((4,)), L.Dense(units)])
    result.compile("sgd", loss, **arguments)
    return result


def uncompiled():
    return keras.Sequential([keras.Input((4,)), L.Dense(1)])


def built_dense():
    layer = L.Dense(3)
    layer(X)
    return layer


class NoInit(L.Layer):
    def __init__(self):
        self.units = 3

    def call(self, x):
        return x


class NoInitModel(keras.Model):
    def __init__(self):
        self.dense = L.Dense(3)


class NoReturn(L.Layer):
    def call(self, x):
        x * 2


class TwoInputs(L.Layer):
    def call(self, a, b):
        return a + b


IMAGES = np.zeros((10, 28, 28), "float32")

# what is done, the error, texts that the message must hold
TABLE = [
    # shapes
    (
        lambda: built_dense()(X[:, :3]),
        ValueError,
        ["Dense 'dense'", "size 4", "got 3", "(10, 3)"],
    ),
    (
        lambda: L.Dense(3)(X[0]),
        ValueError,
        ["Dense 'dense'", "rank at least 2", "rank 1", "x[:, None]"],
    ),
    (
        lambda: L.Conv2D(3, 3)(IMAGES),
        ValueError,
        ["Conv2D 'conv2d'", "rank 4", "rank 3", "(10, 28, 28)", "x[..., None]"],
    ),
    (lambda: L.Conv2D(3, 3)(X), ValueError, ["Conv2D 'conv2d'", "rank 4", "rank 2"]),
    (
        lambda: L.Conv2D(3, 5)(IMAGES[:, :3, :3, None]),
        ValueError,
        ["Conv2D 'conv2d'", "kernel (5, 5)", "(3, 3)", "padding='same'"],
    ),
    (
        lambda: L.MaxPooling2D(4)(IMAGES[:, :3, :3, None]),
        ValueError,
        ["MaxPooling2D 'max_pooling2d'", "window (4, 4)", "(3, 3)"],
    ),
    (
        lambda: L.Reshape((3, 3))(X),
        ValueError,
        ["Reshape 'reshape'", "(4,)", "(3, 3)", "9 values"],
    ),
    (
        lambda: uncompiled().predict(X[:, :2], verbose=0),
        ValueError,
        ["Sequential 'sequential'", "(None, 4)", "(None, 2)"],
    ),
    (
        lambda: keras.Sequential(
            [keras.Input((28, 28, 1)), L.Flatten(), L.Dense(1)]
        ).predict(np.zeros((5, 784)), verbose=0),
        ValueError,
        ["(None, 28, 28, 1)", "(None, 784)", "x.reshape(-1, 28, 28, 1)"],
    ),
    # arguments of layers
    (lambda: L.Dense(0), ValueError, ["Dense: units must be positive", "units=0"]),
    (lambda: L.Dense(-3), ValueError, ["Dense: units must be positive", "units=-3"]),
    (lambda: L.Dense(2.0), ValueError, ["Dense: units must be an integer", "units=2"]),
    (
        lambda: L.Conv2D(-1, 3),
        ValueError,
        ["Conv2D: filters must be positive", "filters=-1"],
    ),
    (
        lambda: L.Conv2D(1, (3, 3, 3)),
        ValueError,
        ["Conv2D: kernel_size", "2 integers", "(3, 3, 3)"],
    ),
    (
        lambda: L.Conv2D(1, 3, padding="smae"),
        ValueError,
        ["Conv2D: padding must be 'valid' or 'same'", "'smae'"],
    ),
    (
        lambda: L.Conv2D(1, 3, strides=2, dilation_rate=2),
        ValueError,
        ["strides and dilation_rate"],
    ),
    (lambda: L.Dropout(1.5), ValueError, ["Dropout: rate", "[0, 1]", "rate=1.5"]),
    (lambda: L.Dropout(30), ValueError, ["rate=30", "Did you mean 0.3"]),
    (lambda: L.Dropout(-0.1), ValueError, ["rate=-0.1"]),
    (lambda: L.Dense(3, activation="rleu"), ValueError, ["rleu", "relu"]),
    (
        lambda: L.Dense(3, kernel_initializer="glorot"),
        ValueError,
        ["glorot", "glorot_normal"],
    ),
    (
        lambda: L.Dense(3, activaton="relu"),
        ValueError,
        ["Dense: unrecognized argument activaton='relu'", "Did you mean 'activation'?"],
    ),
    (lambda: L.BatchNormalization(axis=5)(X), ValueError, ["axis=5", "rank 2"]),
    (lambda: keras.Input(), ValueError, ["Input: shape is missing"]),
    (lambda: keras.Input((4, -1)), ValueError, ["Input: sizes", "(None, 4, -1)"]),
    # names
    (lambda: L.Dence, AttributeError, ["'Dence'", "Did you mean 'Dense'?"]),
    (lambda: keras.Sequentail, AttributeError, ["Sequentail", "Sequential"]),
    (
        lambda: model(loss="meen_squared_error"),
        ValueError,
        ["meen_squared_error", "mean_squared_error"],
    ),
    (lambda: uncompiled().compile("adamm", "mse"), ValueError, ["adamm", "adam"]),
    (lambda: model(metrics=["acuracy_"]), ValueError, ["acuracy_"]),
    (
        lambda: model(metrics="accuracy"),
        ValueError,
        ["metrics must be a list", "['accuracy']"],
    ),
    # models
    (
        lambda: uncompiled().fit(X, Y),
        ValueError,
        ["Sequential 'sequential': call compile", "before fit()"],
    ),
    (lambda: uncompiled().evaluate(X, Y), ValueError, ["before evaluate()"]),
    (lambda: keras.Sequential().predict(X, verbose=0), ValueError, ["no layers"]),
    (
        lambda: keras.Sequential([L.Dense]),
        ValueError,
        ["only layers can be added", "Dense(...)"],
    ),
    (
        lambda: keras.Sequential([L.Dense(1, name="a"), L.Dense(1, name="a")]),
        ValueError,
        ["'a' occurs twice"],
    ),
    (
        lambda: keras.Sequential([L.Dense(1), keras.Input((3,))]),
        ValueError,
        ["Input must be the first"],
    ),
    (
        lambda: keras.Sequential([keras.Input((4,)), TwoInputs()]),
        ValueError,
        ["TwoInputs 'two_inputs'", "needs a, b"],
    ),
    (
        lambda: uncompiled().get_layer("dnse"),
        ValueError,
        ["no layer 'dnse'", "Did you mean 'dense'?"],
    ),
    (lambda: NoInit()(X), RuntimeError, ["NoInit: super().__init__() was not called"]),
    (
        lambda: NoInitModel(),
        RuntimeError,
        ["NoInitModel: super().__init__() was not called"],
    ),
    (lambda: NoReturn()(X), ValueError, ["NoReturn 'no_return'", "returned None"]),
    (lambda: L.Layer()(X), NotImplementedError, ["call(self, inputs)"]),
    # data
    (
        lambda: model().fit(X, Y[:7]),
        ValueError,
        ["same number of samples", "x: 10, y: 7"],
    ),
    (
        lambda: model().fit(X, Y, sample_weight=np.ones(9)),
        ValueError,
        ["sample_weight: 9"],
    ),
    (lambda: model().fit(X[:0], Y[:0]), ValueError, ["empty", "(0, 4)"]),
    (
        lambda: model().fit(X, np.array(["a"] * 10)),
        TypeError,
        ["Sequential 'sequential'", "y: expected numbers", "np.unique"],
    ),
    (
        lambda: model().fit(np.array([[1], [1, 2]], dtype=object), Y[:2]),
        TypeError,
        ["x: expected numbers", "object"],
    ),
    (
        lambda: model().fit([[1.0, 2.0], [1.0]], Y[:2]),
        ValueError,
        ["every row must have the same length"],
    ),
    (
        lambda: model().fit(X, Y, validation_split=1.0),
        ValueError,
        ["validation_split", "[0, 1)", "1.0"],
    ),
    (
        lambda: model().fit(X[:1], Y[:1], validation_split=0.5),
        ValueError,
        ["validation_split=0.5 of 1 samples leaves no training samples"],
    ),
    (
        lambda: model().fit(X, Y, epochs=2.5),
        ValueError,
        ["epochs must be an integer", "epochs=2.5"],
    ),
    (lambda: model().fit(X, Y, batch_size=0), ValueError, ["batch_size", "0"]),
    (
        lambda: model().fit(X, Y, class_weight={0: 1}, sample_weight=np.ones(10)),
        ValueError,
        ["class_weight and sample_weight"],
    ),
    (
        lambda: model().fit(X, Y, callbacks=[keras.callbacks.EarlyStopping]),
        ValueError,
        ["EarlyStopping()"],
    ),
    (lambda: model().fit(iter([]), epochs=1), ValueError, ["empty"]),
    # targets that would broadcast
    (
        lambda: model(units=3).fit(X, Y),
        ValueError,
        ["(None, 1)", "(None, 3)", "Dense 'dense'"],
    ),
    (lambda: model(units=1).fit(X, X[:, :3]), ValueError, ["(None, 3)", "(None, 1)"]),
    (
        lambda: model(loss="categorical_crossentropy", units=3).fit(
            X, np.zeros(10, int)
        ),
        ValueError,
        ["sparse_categorical_crossentropy"],
    ),
    (
        lambda: model(loss="sparse_categorical_crossentropy", units=3).fit(
            X, np.full(10, 3)
        ),
        ValueError,
        ["class 3", "3 classes (0 to 2)", "'dense'"],
    ),
    (
        lambda: model(loss="sparse_categorical_crossentropy", units=3).fit(
            X, np.full(10, -1)
        ),
        ValueError,
        ["class -1"],
    ),
    # weights
    (
        lambda: built_dense().set_weights([np.zeros((4, 3))]),
        ValueError,
        ["Dense 'dense'", "expected 2 arrays, got 1", "dense/kernel (4, 3)"],
    ),
    (
        lambda: built_dense().set_weights([np.zeros((3, 4)), np.zeros(3)]),
        ValueError,
        ["expected shape (4, 3)", "'dense/kernel'", "(3, 4)"],
    ),
    (lambda: L.Dense(3).count_params(), ValueError, ["needs a built layer"]),
    (lambda: keras.Variable([1.0]).assign([1.0, 2.0]), ValueError, ["(2,)", "(1,)"]),
    (lambda: keras.config.set_floatx("float16"), ValueError, ["float16"]),
]


@pytest.mark.parametrize("row", range(len(TABLE)))
def test_error_text(row):
    action, error, texts = TABLE[row]
    with pytest.raises(error) as caught:
        action()
    message = str(caught.value)
    for text in texts:
        assert text.lower() in message.lower(), message


def test_a_failed_set_weights_changes_nothing():
    layer = built_dense()
    before = layer.get_weights()
    with pytest.raises(ValueError, match="expected shape"):
        layer.set_weights([before[0] + 1, np.zeros(7)])
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])


def test_a_failed_fit_leaves_a_usable_model():
    m = model(units=1)
    with pytest.raises(ValueError, match="same number"):
        m.fit(X, Y[:3])
    with pytest.raises(ValueError, match="y_pred"):
        m.fit(X, X[:, :3])
    m.fit(X, Y, verbose=0)


def test_untraceable_code_is_told_about_run_eagerly():
    class Looks(L.Layer):
        def call(self, x):
            return x if float(keras.ops.sum(x)) > 0 else -x

    m = keras.Sequential([Looks(), L.Dense(1)])
    m.compile("sgd", "mse")
    with pytest.raises(Exception, match="run_eagerly=True"):
        m.fit(X, Y, verbose=0)
