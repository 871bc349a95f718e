"""The user's own layers, losses, metrics, models and training steps."""

from __future__ import annotations

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L
from lamella import ops


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()
    keras.utils.set_random_seed(3)


X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = X.sum(1, keepdims=True)


class Linear(L.Layer):
    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="random_normal", name="w"
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, x):
        return ops.matmul(x, self.w) + self.b


def test_own_layer_with_weights_made_in_build():
    layer = Linear(3)
    assert layer(X).shape == (40, 3)
    assert [(v.path, v.shape) for v in layer.weights] == [
        ("linear/w", (4, 3)),
        ("linear/b", (3,)),
    ]
    assert layer.get_config()["units"] == 3
    assert Linear.from_config(layer.get_config()).units == 3
    model = keras.Sequential([keras.Input((4,)), Linear(8), L.ReLU(), Linear(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    history = model.fit(X, Y, epochs=40, verbose=0)
    assert history.history["loss"][-1] < 0.05 * history.history["loss"][0]


def test_own_layer_that_uses_operators_and_weights_of_init():
    class Scale(L.Layer):
        def __init__(self):
            super().__init__()
            self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

        def call(self, x):
            return x * self.factor + (self.factor - 2.0) ** 2

    model = keras.Sequential([keras.Input((4,)), Scale()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, 2 * X, epochs=200, batch_size=8, verbose=0)
    assert abs(float(model.layers[0].factor) - 2) < 0.3


def test_own_layer_of_sublayers_sees_training():
    class Block(L.Layer):
        def __init__(self, units):
            super().__init__()
            self.parts = [L.Dense(units), L.Dropout(0.5)]
            self.norm = L.BatchNormalization()

        def call(self, x, training=None):
            self.seen = training
            for part in self.parts:
                x = part(x)
            return self.norm(x, training=training)

    block = Block(3)
    model = keras.Sequential([block, L.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert block.seen is True
    assert block.norm.moving_mean.numpy().any()
    a, b = model.predict(X, verbose=0), model.predict(X, verbose=0)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(
        model(X, training=True).numpy(), model(X, training=True).numpy()
    )


def test_own_state_is_assigned_once_a_step():
    class Count(L.Layer):
        def build(self, input_shape):
            self.steps = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="steps"
            )

        def call(self, x, training=False):
            if training:
                self.steps.assign_add(1.0)
            return x

    model = keras.Sequential([keras.Input((4,)), Count(), L.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0)
    model.predict(X, verbose=0)
    assert float(model.layers[0].steps) == 15


def test_own_loss_function_class_and_metric_function():
    def cubic(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred) ** 3, axis=-1)

    class Cubic(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.abs(y_true - y_pred) ** 3, axis=-1)

    values = []
    for loss in (cubic, Cubic()):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
        model.compile("sgd", loss, metrics=[cubic])
        history = model.fit(X, Y, epochs=2, verbose=0)
        assert list(history.history) == ["cubic", "loss"]
        np.testing.assert_allclose(
            history.history["cubic"], history.history["loss"], rtol=1e-5
        )
        values.append(history.history["loss"])
    assert values[0] == values[1]


def test_own_metric_class_is_traced():
    class Largest(keras.metrics.Metric):
        def __init__(self, name="largest"):
            super().__init__(name=name)
            self.value = self.add_variable(shape=(), initializer="zeros", name="value")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(ops.maximum(self.value, ops.max(ops.abs(y_pred))))

        def result(self):
            return self.value

    model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[Largest()])
    history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    expected = np.abs(model.predict(X, verbose=0)).max()
    np.testing.assert_allclose(history.history["largest"], [expected] * 2, rtol=1e-6)


class Net(keras.Model):
    def __init__(self, units=8):
        super().__init__()
        self.hidden = L.Dense(units, activation="relu")
        self.drop = L.Dropout(0.1)
        self.out = L.Dense(1)

    def call(self, x, training=False):
        return self.out(self.drop(self.hidden(x), training=training))


def test_own_model_trains_like_a_sequential():
    model = Net()
    assert not model.built
    model.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
    history = model.fit(X, Y, epochs=50, validation_split=0.2, verbose=0)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]
    assert [layer.name for layer in model.layers] == ["dense", "dropout", "dense_1"]
    assert [v.path for v in model.weights][:2] == ["net/dense/kernel", "net/dense/bias"]
    assert model.predict(X, verbose=0).shape == (40, 1)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "dense_1 (Dense)" in lines[0]
    again = Net()
    again.build((None, 4))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        again.predict(X, verbose=0), model.predict(X, verbose=0)
    )


def test_own_model_with_dict_input_and_two_outputs():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = L.Dense(1), L.Dense(2)

        def call(self, inputs):
            x = ops.concatenate([inputs["p"], inputs["q"]], axis=-1)
            return {"a": self.a(x), "b": self.b(x)}

    model = Two()
    model.compile("sgd", {"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    data = {"p": X, "q": X}
    history = model.fit(data, {"a": Y, "b": X[:, :2]}, epochs=2, verbose=0)
    assert list(history.history) == ["a_loss", "a_mae", "b_loss", "loss"]
    result = model.predict(data, verbose=0)
    assert set(result) == {"a", "b"}
    assert result["b"].shape == (40, 2)


def test_own_train_step_runs_eagerly():
    class Own(Net):
        def train_step(self, data):
            x, y = data
            prediction = self(x, training=True)
            loss = ops.mean(ops.square(prediction - y))
            for v in self.trainable_variables:
                v.zero_grad()
            loss.backward()
            grads = [v.grad for v in self.trainable_variables]
            self.optimizer.apply_gradients(
                zip(grads, self.trainable_variables, strict=True)
            )
            return {"my_loss": loss}

    model = Own()
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit(X, Y, epochs=10, verbose=0)
    losses = history.history["my_loss"]
    assert list(history.history) == ["my_loss"]
    assert losses[-1] < losses[0]


def test_own_compute_loss_is_traced():
    class Own(Net):
        def compute_loss(
            self, x=None, y=None, y_pred=None, sample_weight=None, training=True
        ):
            return ops.mean(ops.abs(y - y_pred)) + 1.0

    model = Own()
    model.compile(keras.optimizers.SGD(0.0))
    value = model.evaluate(X, Y, verbose=0)
    expected = np.abs(model.predict(X, verbose=0) - Y).mean() + 1
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_run_eagerly_takes_python_and_gives_the_same_numbers():
    class Looks(L.Layer):
        def call(self, x):
            assert float(ops.max(x)) > -1e9  # looks at values
            return x

    weights = []
    for eager in (False, True):
        keras.utils.set_random_seed(1)
        middle = [Looks()] if eager else []
        model = keras.Sequential([L.Dense(5, "tanh"), *middle, L.Dense(1)])
        model.compile("adam", "mse", metrics=["mae"], run_eagerly=eager)
        if eager:
            model.layers[0].build((None, 4))
            model.layers[2].build((None, 5))
        else:
            model.build((None, 4))
        model.fit(X, Y, epochs=2, verbose=0)
        assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_own_training_loop_with_the_tape():
    model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1)
    loss = keras.losses.MeanSquaredError()
    values = []
    for _ in range(30):
        value = loss(Y, model(X, training=True))
        for v in model.trainable_variables:
            v.zero_grad()
        value.backward()
        grads = [v.grad for v in model.trainable_variables]
        optimizer.apply(grads, model.trainable_variables)
        values.append(float(value))
    assert values[-1] < 1e-2 * values[0]


def test_own_regularizer_and_constraint():
    class Sum(keras.regularizers.Regularizer):
        def __call__(self, x):
            return ops.sum(ops.abs(x)) * 0.5

    class Clip(keras.constraints.Constraint):
        def __call__(self, w):
            return ops.clip(w, -0.1, 0.1)

    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(1, kernel_regularizer=Sum(), kernel_constraint=Clip()),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, epochs=3, verbose=0)
    kernel = model.get_weights()[0]
    assert np.abs(kernel).max() <= 0.1 + 1e-7
    error = ((model.predict(X, verbose=0) - Y) ** 2).mean()
    np.testing.assert_allclose(
        model.evaluate(X, Y, verbose=0), error + 0.5 * np.abs(kernel).sum(), rtol=1e-5
    )


def test_lambda_layer():
    model = keras.Sequential([keras.Input((4,)), L.Lambda(lambda x: x * 2 + 1)])
    np.testing.assert_allclose(model.predict(X, verbose=0), X * 2 + 1, rtol=1e-6)
    assert model.output_shape == (None, 4)
    with pytest.raises(ValueError, match="cannot be saved"):
        model.layers[0].get_config()


def test_layers_that_come_later_are_found():
    class Stack(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [L.Dense(4)]
            self.more = {"out": []}

        def call(self, x):
            for layer in [*self.blocks, *self.more["out"]]:
                x = layer(x)
            return x

    model = Stack()

    def names_and_size():
        size = model.predict_on_batch(X).shape[1]
        assert model.predict(X, verbose=0).shape[1] == size
        weights = model.get_weights()
        model.compile("sgd", "mse")
        model.train_on_batch(X, np.ones((40, size), "float32"))
        assert all(
            (a != b).any() for a, b in zip(weights, model.get_weights(), strict=True)
        )
        return [layer.name for layer in model.layers], size

    assert names_and_size() == (["dense"], 4)
    model.blocks.append(L.Dense(3))
    assert names_and_size() == (["dense", "dense_1"], 3)
    model.more["out"].append(L.Dense(2))
    assert names_and_size() == (["dense", "dense_1", "dense_2"], 2)
    model.blocks[1] = L.Dense(3)
    assert names_and_size() == (["dense", "dense_3", "dense_2"], 2)
    model.more = {"out": []}
    assert names_and_size() == (["dense", "dense_3"], 3)


def test_metrics_that_come_later_are_found():
    model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
    model.layers[0].seen = keras.metrics.Mean(name="seen")
    assert [m.name for m in model.metrics] == ["loss", "seen"]
    model.layers[0].seen.update_state(3.0)
    model.reset_metrics()
    assert float(model.layers[0].seen.result()) == 0.0
    del model.layers[0].seen
    assert [m.name for m in model.metrics] == ["loss"]


def test_freezing_after_a_batch_is_seen():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
    model.layers[0].trainable = False
    model.optimizer = keras.optimizers.SGD()
    before = model.get_weights()
    with pytest.warns(UserWarning, match="compile"):
        model.train_on_batch(X, Y)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[2] != after[2]).any()


class Sizes(L.Layer):
    """Calls a function with its input and the size of the batch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x, ops.shape(x)[0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: x / n,
        lambda x, n: n - x,
        lambda x, n: x * ops.sqrt(ops.cast(n, "float32")),
        lambda x, n: x + 0.5 * n,
        lambda x, n: x * (-n),
        lambda x, n: ops.tile(x[:1], [n, 2]),
        lambda x, n: ops.tile(x[:2], [n, 1])[: 2 * n],
        lambda x, n: ops.repeat(x[:1], n, axis=0),
        lambda x, n: ops.repeat(x[:, :2], ops.cast(n, "int32"), axis=0),
        lambda x, n: x * ops.cast(ops.arange(n), "float32")[:, None],
        lambda x, n: ops.arange(1, 2 * n, 2),
        lambda x, n: ops.eye(n)[:, :2],
        lambda x, n: ops.prod(ops.convert_to_tensor(ops.shape(x))) * ops.ones((n,)),
        lambda x, n: ops.reshape(x, ops.stack([n * 4])),
        lambda x, n: ops.tile(
            x[:1][None],
            ops.concatenate(
                [ops.expand_dims(n, -1), ops.convert_to_tensor([1, 1])], axis=0
            ),
        ),
    ],
)
def test_size_of_the_batch_counts_as_a_tensor(function):
    """As in Keras, `ops.shape(x)[0]` may be computed with and be put into shapes."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Sizes(function)(inputs))
    want = np.asarray(function(ops.convert_to_tensor(X[:5]), 5))
    got = model.predict(X[:5], batch_size=5, verbose=0)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_shape_from_computed_values_says_so():
    layer = Sizes(lambda x, n: ops.tile(x, ops.cast(ops.max(x, 0), "int32")))
    inputs = keras.Input((4,))
    with pytest.raises(TypeError, match="tile: expected sizes known before"):
        layer(inputs)


class StepsOnly(keras.Model):
    """A model without call, as GANs are, whose step takes x alone."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.seen = []

    def train_step(self, data):
        self.seen.append(data)
        with keras.GradientTape() as tape:
            x = data[0] if isinstance(data, tuple) else data
            loss = ops.mean(ops.square(self.inner(x)))
        weights = self.inner.trainable_weights
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, weights), weights, strict=True)
        )
        return {"loss": loss}


def test_model_of_steps_alone_needs_no_call_and_gets_bare_inputs():
    model = StepsOnly(keras.Sequential([keras.Input((4,)), L.Dense(1)]))
    model.compile("sgd")
    history = model.fit(X, epochs=2, batch_size=20, verbose=0).history["loss"]
    assert history[1] < history[0]
    assert all(data.shape == (20, 4) for data in model.seen)
    model.seen.clear()

    class Wrapped(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return (X[:3],)

    model.fit(Wrapped(), verbose=0)  # a step sees what the data yield
    assert type(model.seen[0]) is tuple
    with pytest.raises(NotImplementedError, match="needs a method call"):
        model.predict(X, verbose=0)


def test_outputs_without_a_loss_need_no_target():
    inputs = keras.Input((4,))
    hidden = L.Dense(3, name="hidden")(inputs)
    model = keras.Model(inputs, [L.Dense(1, name="out")(hidden), hidden])
    model.compile("sgd", loss=["mse", None])
    alone = keras.Model(inputs, model.outputs[0])
    alone.compile("sgd", loss="mse")
    want = alone.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), want, rtol=1e-6)
    model.fit(X, Y, verbose=0)
    three = keras.Model(inputs, [*model.outputs, L.Dense(2)(hidden)])
    three.compile("sgd", loss=["mse", "mse", None])
    with pytest.raises(ValueError, match=r"has 1 arrays.*3 outputs, 2 of them with"):
        three.fit(X, Y, verbose=0)


def test_callback_that_does_not_call_the_constructor_of_callback():
    class Counts(keras.callbacks.Callback):
        def __init__(self):
            self.epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1
            assert self.model is model
            assert self.params["epochs"] == 2

    counts = Counts()
    model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[counts])
    assert counts.epochs == 2
