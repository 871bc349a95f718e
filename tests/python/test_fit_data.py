"""What fit, evaluate and predict accept, and where epochs end, as in Keras."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import config, layers, utils

RNG = np.random.default_rng(0)
N = 22
X = RNG.normal(size=(N, 4)).astype("float32")
Y = np.sin(X[:, :1])
W = RNG.random(N).astype("float32")
START = [RNG.normal(size=s).astype("float32") for s in ((4, 5), (5,), (5, 1), (1,))]


def model(keras: Any = lamella, **compiled: Any) -> Any:
    made = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(1),
        ]
    )
    made.set_weights(START)
    arguments = {"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", **compiled}
    made.compile(**arguments)
    return made


def batches(count: int = 10**6, size: int = 5, weights: bool = False) -> Any:
    for i in range(count):
        rows = slice(i * size % 20, i * size % 20 + size)
        yield (X[rows], Y[rows], W[rows]) if weights else (X[rows], Y[rows])


def dataset(keras: Any, workers: int = 1) -> Any:
    class Parts(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            rows = slice(index * 6, index * 6 + 6)
            return X[rows], Y[rows], W[rows]

    return Parts(workers=workers)


# name: (data of a library, arguments of compile, arguments of fit)
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "arrays": (lambda k: (X, Y), {"metrics": ["mae"]}, {"batch_size": 8}),
    "weights": (
        lambda k: (X, Y),
        {"metrics": ["mae"], "weighted_metrics": ["mae", "mse"]},
        {"sample_weight": W, "batch_size": 8},
    ),
    "split": (
        lambda k: (X, Y),
        {"weighted_metrics": ["mae"]},
        {"validation_split": 0.3, "sample_weight": W},
    ),
    "frequency": (
        lambda k: (X, Y),
        {},
        {"validation_data": (X[:9], Y[:9], W[:9]), "validation_freq": [1, 3]},
    ),
    "validation steps": (
        lambda k: (X, Y),
        {},
        {
            "validation_data": (X, Y),
            "validation_steps": 2,
            "validation_batch_size": 4,
        },
    ),
    "steps": (lambda k: (X, Y), {}, {"steps_per_epoch": 2, "batch_size": 8}),
    "too many steps": (lambda k: (X, Y), {}, {"steps_per_epoch": 9}),
    "generator": (lambda k: (batches(),), {}, {"steps_per_epoch": 3}),
    "generator with weights": (
        lambda k: (batches(weights=True),),
        {"weighted_metrics": ["mae"]},
        {"steps_per_epoch": 2},
    ),
    "short generator": (lambda k: (batches(7),), {}, {"steps_per_epoch": 3}),
    "dataset": (lambda k: (dataset(k),), {"weighted_metrics": ["mae"]}, {}),
    "steps of a dataset": (lambda k: (dataset(k),), {}, {"steps_per_epoch": 3}),
}


def fitted(keras: Any, name: str) -> Any:
    data, compiled, arguments = CASES[name]
    made = model(keras, **compiled)
    return made, made.fit(*data(keras), epochs=3, verbose=0, shuffle=False, **arguments)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_history_equals_keras(keras_reference: Any, name: str) -> None:
    (_, ours), (_, theirs) = (fitted(k, name) for k in (lamella, keras_reference))
    assert list(ours.history) == list(theirs.history)
    assert ours.params == theirs.params
    for key, values in theirs.history.items():
        np.testing.assert_allclose(ours.history[key], values, rtol=2e-4, err_msg=key)


@pytest.mark.reference
def test_evaluate_orders_values_as_keras(keras_reference: Any) -> None:
    results = []
    for keras in (lamella, keras_reference):
        x = keras.Input((4,))
        hidden = keras.layers.Dense(5, activation="tanh")(x)
        heads = {n: keras.layers.Dense(1, name=n)(hidden) for n in "ab"}
        made = keras.Model(x, heads)
        made.set_weights([*START, *START[2:]])
        made.compile(
            "sgd",
            {"a": "mse", "b": "mae"},
            metrics={"a": ["mae"], "b": ["mse"]},
            weighted_metrics={"b": ["mae"]},
        )
        results.append(made.evaluate(X, {"a": Y, "b": 2 * Y}, verbose=0))
    np.testing.assert_allclose(*results, rtol=1e-4)


def test_epoch_goes_on_where_the_last_one_stopped() -> None:
    seen: list[float] = []

    def parts() -> Any:
        for i in range(100):
            seen.append(i)
            yield np.full((2, 4), i, "float32"), np.zeros((2, 1), "float32")

    model().fit(parts(), steps_per_epoch=3, epochs=2, verbose=0)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_workers_train_as_one_thread_does() -> None:
    weights = []
    for workers in (1, 3):
        made = model()
        made.fit(dataset(lamella, workers), epochs=2, verbose=0, shuffle=False)
        weights.append(made.get_weights()[0])
    np.testing.assert_array_equal(*weights)


def test_dataset_of_unknown_length_and_its_hooks() -> None:
    calls = []

    class Endless(utils.PyDataset):
        @property
        def num_batches(self) -> None:
            return None

        def __getitem__(self, index: int) -> Any:
            return X[:5], Y[:5]

        def on_epoch_begin(self) -> None:
            calls.append("begin")

    history = model().fit(Endless(), steps_per_epoch=4, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    assert calls


class Loader:
    """As much of PyTorch's DataLoader as fit sees: lists of (x, y)."""

    __module__ = "torch.utils.data"

    def __iter__(self) -> Any:
        for start in range(0, 20, 5):
            yield [X[start : start + 5], Y[start : start + 5]]

    def __len__(self) -> int:
        return 4


def test_loader_trains_and_predicts() -> None:
    made = model()
    one, two = made.predict(Loader(), verbose=0), made.predict(X[:20], verbose=0)
    np.testing.assert_allclose(one, two, rtol=1e-6)
    # three of four batches, then the one that is left
    with pytest.warns(UserWarning, match="the data ended after 1 batches"):
        history = made.fit(Loader(), steps_per_epoch=3, epochs=3, verbose=0)
    assert len(history.epoch) == 3


class Frame:
    """As much of a DataFrame as fit sees."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape = values.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, column: Any) -> Any:
        raise KeyError(column)


def test_frames_are_arrays() -> None:
    plain = model().fit(X, Y, epochs=2, verbose=0, shuffle=False)
    framed = model().fit(Frame(X), Frame(Y), epochs=2, verbose=0, shuffle=False)
    assert plain.history == framed.history


def test_batch_size_beside_batches_is_not_used() -> None:
    with pytest.warns(UserWarning, match="batch_size=4 is not used"):
        model().fit(batches(4), batch_size=4, verbose=0)


def test_output_without_a_loss_needs_no_target() -> None:
    x = layers.Input((4,))
    heads = {n: layers.Dense(1, name=n)(x) for n in "ab"}
    made = lamella.Model(x, heads)
    made.compile("sgd", {"a": "mse"}, metrics={"a": ["mae"]})
    history = made.fit(X, {"a": Y}, verbose=0).history
    assert list(history) == ["a_mae", "loss"]
    made.compile("sgd", {"a": "mse", "b": "mse"})
    with pytest.raises(ValueError, match="no entry for the output 'b', which has"):
        made.fit(X, {"a": Y}, verbose=0)
    with pytest.raises(ValueError, match="y has an entry for 'c'"):
        made.fit(X, {"a": Y, "c": Y}, verbose=0)


def test_limits_of_config_end_training_early() -> None:
    config.set_max_epochs(2)
    config.set_max_steps_per_epoch(3)
    try:
        assert (config.max_epochs(), config.max_steps_per_epoch()) == (2, 3)
        with pytest.warns(UserWarning, match="limiting"):
            history = model().fit(X, Y, batch_size=2, epochs=9, verbose=0)
        assert history.params == {"verbose": 0, "epochs": 2, "steps": 3}
        with pytest.warns(UserWarning, match="limiting"):
            assert len(model().predict(X, batch_size=2, verbose=0)) == 6
    finally:
        config.set_max_epochs(None)
        config.set_max_steps_per_epoch(None)


def test_traceback_shows_the_users_lines() -> None:
    def fails(y_true: Any, y_pred: Any) -> Any:
        raise KeyError("here")

    for filtering in (True, False):
        (
            config.enable_traceback_filtering
            if filtering
            else config.disable_traceback_filtering
        )()
        try:
            with pytest.raises(KeyError) as info:
                model(loss=fails).fit(X, Y, verbose=0)
        finally:
            config.enable_traceback_filtering()
        files = [f.filename for f in traceback.extract_tb(info.value.__traceback__)]
        inner = [f for f in files if "lamella" in f and "tests" not in f]
        assert files[-1] == __file__
        assert (len(inner) <= 1) == filtering


# Custom loops


class TorchStep(lamella.Sequential):
    """A train_step as programs for PyTorch write it."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        y_pred = self(x, training=True)
        self.zero_grad()
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        loss.backward()
        weights = self.trainable_weights
        gradients = [v.value.grad for v in weights]
        with lamella.no_grad():
            self.optimizer.apply(gradients, weights)
        return self._report(y, y_pred, loss)

    def _report(self, y: Any, y_pred: Any, loss: Any) -> Any:
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


class TapeStep(TorchStep):
    """A train_step as programs for TensorFlow write it."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with lamella.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return self._report(y, y_pred, loss)


@pytest.mark.parametrize("kind", [TorchStep, TapeStep])
def test_own_train_step_equals_fit(kind: Any) -> None:
    results = []
    for cls in (lamella.Sequential, kind):
        parts = [layers.Input((4,)), layers.Dense(5, activation="tanh")]
        made = cls([*parts, layers.Dense(1)])
        made.set_weights(START)
        made.compile(lamella.optimizers.Adam(0.05), "mse", metrics=["mae"])
        history = made.fit(
            X[:20], Y[:20], batch_size=5, epochs=3, verbose=0, shuffle=False
        )
        results.append((history.history, made.get_weights()[0]))
    (plain, weights), (own, own_weights) = results
    assert list(plain) == list(own)
    for key in plain:
        np.testing.assert_allclose(plain[key], own[key], rtol=1e-4)
    np.testing.assert_allclose(weights, own_weights, rtol=1e-4, atol=1e-6)


def test_tape_differentiates_twice_and_keeps_structures() -> None:
    x = lamella.ops.convert_to_tensor(np.array([1.0, 2.0], "float32"))
    with lamella.GradientTape() as outer:
        outer.watch(x)
        with lamella.GradientTape() as inner:
            inner.watch(x)
            y = lamella.ops.sum(x * x * x)
        slope = inner.gradient(y, x)
        total = lamella.ops.sum(slope)
    np.testing.assert_allclose(slope.numpy(), [3.0, 12.0])
    np.testing.assert_allclose(outer.gradient(total, x).numpy(), [6.0, 12.0])
    v, unused = lamella.Variable([2.0]), lamella.Variable([1.0])
    with lamella.GradientTape(persistent=True) as tape:
        y = v * v
    found = tape.gradient(y, {"v": [v], "none": unused})
    np.testing.assert_allclose(found["v"][0].numpy(), [4.0])
    assert found["none"] is None
    np.testing.assert_allclose(tape.gradient(y, v).numpy(), [4.0])
    with lamella.GradientTape() as tape:
        y = v * v
    tape.gradient(y, v)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(y, v)


@pytest.mark.reference
def test_nested_outputs_are_named_as_in_keras(keras_reference: Any) -> None:
    results = []
    for keras in (lamella, keras_reference):
        x = keras.Input((4,))
        a, b, c = (keras.layers.Dense(1, name=n)(x) for n in "abc")
        made = keras.Model(x, {"x": [a, b], "c": c})
        made.set_weights(
            [w for i in (1.0, 2.0, 3.0) for w in (np.full((4, 1), i), np.full(1, i))]
        )
        made.compile(
            keras.optimizers.SGD(0.01),
            {"x": ["mse", "mae"], "c": "mae"},
            loss_weights={"x": [1.0, 0.5], "c": 2.0},
            metrics={"x": [["mae"], None], "c": ["mse"]},
        )
        y = {"x": [Y, 2 * Y], "c": 3 * Y}
        history = made.fit(X, y, epochs=2, verbose=0, shuffle=False).history
        results.append((history, made.evaluate(X, y, verbose=0)))
    (ours, values), (theirs, wanted) = results
    assert list(ours) == list(theirs)
    assert {"x/a_loss", "x/b_loss", "c_loss"} <= set(ours)
    for key in theirs:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-4)
    np.testing.assert_allclose(values, wanted, rtol=1e-4)


def test_weights_of_some_outputs() -> None:
    x = layers.Input((4,))
    made = lamella.Model(x, [layers.Dense(1, name=n)(x) for n in "ab"])
    made.compile("sgd", "mse", weighted_metrics=[["mae"], ["mae"]])
    values = made.evaluate(
        X, [Y, Y], sample_weight=[np.zeros(N), None], verbose=0, return_dict=True
    )
    assert values["a_mae"] == 0.0
    assert values["b_mae"] > 0.0
