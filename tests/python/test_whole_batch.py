"""Whole-batch optimizers: against SciPy on known problems, in fit, and their errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lamella as keras
from lamella import layers, ops, optimizers
from lamella.optimizers import (
    LBFGS,
    ConjugateGradient,
    GradientDescent,
    LevenbergMarquardt,
    minimize,
)


def rosenbrock(x):
    return ops.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def beale(x):
    terms = [c - x[0] * (1 - x[1] ** k) for c, k in ((1.5, 1), (2.25, 2), (2.625, 3))]
    return sum(t**2 for t in terms)


def booth(x):
    return (x[0] + 2 * x[1] - 7) ** 2 + (2 * x[0] + x[1] - 5) ** 2


def matrix_norm(x):  # of a matrix, to see that shapes are kept
    return ops.sum((x - ops.reshape(ops.arange(6, dtype="float64"), (2, 3))) ** 2)


PROBLEMS = [
    ("rosenbrock2", rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
    ("rosenbrock6", rosenbrock, np.linspace(-1, 1, 6), np.ones(6)),
    ("beale", beale, [1.0, 1.0], [3.0, 0.5]),
    ("booth", booth, [0.0, 0.0], [1.0, 3.0]),
    ("matrix", matrix_norm, np.zeros((2, 3)), np.arange(6.0).reshape(2, 3)),
]
METHODS = [
    ("lbfgs", {"ftol": 0.0}),
    ("cg", {}),
    ("cg", {"formula": "fletcher-reeves"}),
]


@pytest.mark.parametrize(("method", "options"), METHODS)
@pytest.mark.parametrize(("name", "fun", "x0", "best"), PROBLEMS)
def test_minimize_finds_the_known_minimum(name, fun, x0, best, method, options):
    result = minimize(fun, x0, method=method, **options)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, best, atol=1e-3)
    assert np.abs(result.grad).max() < 1e-4
    assert result.path.shape == (result.nit + 1, *np.shape(x0))
    assert (np.diff(result.path_fun) <= 0).all()  # a line search never goes up
    np.testing.assert_array_equal(result.path[0], x0)
    np.testing.assert_array_equal(result.path[-1], result.x)


@pytest.mark.reference
@pytest.mark.parametrize(("name", "fun", "x0", "best"), PROBLEMS[:4])
@pytest.mark.parametrize(("ours", "theirs"), [("lbfgs", "L-BFGS-B"), ("cg", "CG")])
def test_minimize_agrees_with_scipy(name, fun, x0, best, ours, theirs):
    scipy = pytest.importorskip("scipy.optimize")

    def with_gradient(x):
        x = ops.convert_to_tensor(x, dtype="float64")
        x.requires_grad = True
        value = fun(x)
        value.backward()
        return float(value), x.grad.numpy()

    reference = scipy.minimize(with_gradient, np.array(x0), jac=True, method=theirs)
    result = minimize(fun, x0, method=ours)
    np.testing.assert_allclose(result.x, reference.x, atol=2e-4)
    assert abs(result.fun - reference.fun) < 1e-7
    assert result.nfev < 3 * reference.nfev + 10


def test_jac_may_be_given_for_functions_in_numpy():
    def fun(x):
        return float(np.sum((x - 3) ** 4))

    def slope(x):
        return 4 * (x - 3) ** 3

    for jac, f in ((slope, fun), (True, lambda x: (fun(x), slope(x)))):
        result = minimize(f, np.zeros(2), jac=jac, gtol=1e-9, ftol=0.0)
        np.testing.assert_allclose(result.x, 3, atol=1e-2)
    np.testing.assert_array_equal(
        minimize(f, np.zeros(2), jac=True).x, minimize(fun, np.zeros(2), jac=slope).x
    )


def test_args_callback_and_maxiter():
    seen = []
    result = minimize(
        lambda x, a: ops.sum((x - a) ** 2),
        [0.0, 0.0],
        args=(5.0,),
        method="gd",
        learning_rate=0.1,
        maxiter=7,
        callback=lambda r: seen.append((r.nit, r.fun)),
    )
    assert [nit for nit, _ in seen] == list(range(1, 8))
    assert not result.success
    assert "7 iterations" in result.message
    stopped = minimize(rosenbrock, [0.0, 0.0], callback=lambda r: r.nit == 2)
    assert stopped.nit == 2
    assert "callback" in stopped.message


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_follows_its_formula(momentum, nesterov):
    def slope(x):
        return np.array([2 * x[0], 20 * x[1]])

    method = GradientDescent(0.03, momentum=momentum, nesterov=nesterov)
    x, v = np.array([2.0, 1.0]), np.zeros(2)
    for step in method.steps(lambda x: x[0] ** 2 + 10 * x[1] ** 2, x, 20):
        if step.nit:
            at = x + momentum * v if nesterov else x
            v = momentum * v - 0.03 * slope(at)
            x = x + v
        np.testing.assert_allclose(step.x, x, rtol=1e-12)
        np.testing.assert_allclose(step.move, v, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(step.grad, slope(x), rtol=1e-12)


T = np.linspace(0.0, 2.0, 30)
FITS = [
    ("decay", lambda p, m: p[0] * m.exp(-p[1] * T) + p[2], [1.0, 1.0, 0.0], [2, 3, 1]),
    ("wave", lambda p, m: p[0] * m.sin(p[1] * T + p[2]), [1.0, 1.9, 0.0], [3, 2, 0.5]),
    (
        "hill",
        lambda p, m: p[0] / (1 + m.exp(-p[1] * (T - p[2]))),
        [1, 1, 0.5],
        [2, 5, 1],
    ),
]


@pytest.mark.parametrize(("name", "curve", "x0", "true"), FITS)
def test_levenberg_marquardt_fits_curves(name, curve, x0, true):
    noise = 0.01 * np.random.default_rng(0).normal(size=len(T))
    y = curve(np.array(true, float), np) + noise
    result = minimize(lambda p: curve(p, ops) - y, x0, method="lm")
    assert result.success
    np.testing.assert_allclose(result.x, true, rtol=0.05)
    residuals = curve(result.x, np) - y
    assert abs(result.fun - 0.5 * residuals @ residuals) < 1e-12
    scipy = pytest.importorskip("scipy.optimize")
    reference = scipy.least_squares(lambda p: curve(p, np) - y, x0, method="lm")
    np.testing.assert_allclose(result.x, reference.x, rtol=1e-5)
    given = minimize(
        lambda p: curve(p, np) - y,
        x0,
        method="lm",
        jac=lambda p: scipy.approx_fprime(p, lambda q: curve(q, np)),
    )
    np.testing.assert_allclose(given.x, reference.x, rtol=1e-4)


X = np.linspace(-1, 1, 64)[:, None]
Y = np.sin(np.pi * X)


def network(dtype="float64", seed=1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((1,), dtype=dtype),
            layers.Dense(6, "tanh", bias_initializer="random_normal", dtype=dtype),
            layers.Dense(1, dtype=dtype),
        ]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("optimizer", "loss"),
    [
        (LBFGS(), 1e-2),
        (ConjugateGradient(), 1e-2),
        (LevenbergMarquardt(), 1e-4),
        (GradientDescent(0.1, momentum=0.9), 0.1),
    ],
    ids=lambda o: type(o).__name__,
)
def test_fit_makes_one_iteration_an_epoch(optimizer, loss, dtype):
    model = network(dtype)
    model.compile(
        optimizer=type(optimizer).from_config(optimizer.get_config()), loss="mse"
    )
    before = model.evaluate(X, Y, verbose=0)
    history = model.fit(X, Y, epochs=60, verbose=0).history["loss"]
    assert history[0] < before
    assert history[-1] < loss
    if not isinstance(optimizer, GradientDescent):
        assert (np.diff(history) <= 1e-9).all()
    # the loss in the logs is that of the weights after the iteration
    assert abs(model.evaluate(X, Y, verbose=0) - history[-1]) < 1e-6


def test_fit_equals_minimize_on_the_same_problem():
    model = network()
    shapes = [w.shape for w in model.get_weights()]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    start = np.concatenate([w.ravel() for w in model.get_weights()])

    def mse(flat):
        parts = [
            ops.reshape(flat[a:b], s)
            for a, b, s in zip([0, *ends], [*ends, None], shapes, strict=True)
        ]
        hidden = ops.tanh(ops.matmul(X, parts[0]) + parts[1])
        return ops.mean((ops.matmul(hidden, parts[2]) + parts[3] - Y) ** 2)

    model.compile(LBFGS(ftol=0.0), "mse")
    keras.config.set_floatx("float64")
    try:
        losses = model.fit(X, Y, epochs=10, verbose=0).history["loss"]
    finally:
        keras.config.set_floatx("float32")
    result = minimize(mse, start, method=LBFGS(ftol=0.0), maxiter=10)
    np.testing.assert_allclose(losses, result.path_fun[1:], rtol=1e-6)
    weights = np.concatenate([w.ravel() for w in model.get_weights()])
    np.testing.assert_allclose(weights, result.x, rtol=1e-5)


def test_fit_works_with_validation_metrics_callbacks_and_weights():
    model = network("float32")
    model.compile("lbfgs", "mse", metrics=["mae"])
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=2, min_delta=10, restore_best_weights=True
    )
    batches = []

    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            batches.append((batch, logs["loss"]))

    history = model.fit(
        X,
        Y,
        batch_size=len(X),
        epochs=50,
        verbose=0,
        sample_weight=np.linspace(0.5, 1, len(X)),
        validation_data=(X, Y),
        callbacks=[stop, Batches()],
    )
    assert set(history.history) == {"loss", "mae", "val_loss", "val_mae"}
    assert len(batches) == len(history.epoch) == 3
    assert history.stopped_by == "callback"
    mae = np.abs(model.predict(X, verbose=0) - Y).mean()
    assert abs(mae - history.history["mae"][0]) < 1e-5  # the best weights came back


def test_fit_ends_when_the_tolerance_is_met():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    model.compile(LBFGS(), "mse")
    history = model.fit(x, x @ [[1.0], [2.0]], epochs=100, verbose=0)
    assert history.stopped_by == "convergence"
    assert len(history.epoch) < 30
    np.testing.assert_allclose(model.get_weights()[0].ravel(), [1, 2], atol=1e-3)


def test_constraints_and_penalties_count():
    kwargs = {"kernel_constraint": "non_neg", "kernel_regularizer": "l2"}
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, **kwargs)])
    x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    model.compile(LBFGS(), "mse")
    model.fit(x, x @ [[1.0], [-2.0]], epochs=5, verbose=0)
    assert (model.get_weights()[0] >= 0).all()


def test_several_outputs_and_weights_in_least_squares():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(30, 3)), rng.random(30)
    y = np.c_[x @ [1.0, 2.0, 3.0], x @ [0.0, -1.0, 1.0]] + rng.normal(size=(30, 2))
    model = keras.Sequential(
        [keras.Input((3,), dtype="float64"), layers.Dense(2, dtype="float64")]
    )
    model.compile(LevenbergMarquardt(), keras.losses.MeanSquaredError())
    model.fit(x, y, sample_weight=w, epochs=20, verbose=0)
    a = np.c_[x, np.ones(30)] * np.sqrt(w)[:, None]
    best = np.linalg.lstsq(a, y * np.sqrt(w)[:, None], rcond=None)[0]
    np.testing.assert_allclose(model.get_weights()[0], best[:3], atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], best[3], atol=1e-6)


def test_configs_names_copies_and_files(tmp_path):
    for cls, name in (
        (LBFGS, "LBFGS"),
        (ConjugateGradient, "ConjugateGradient"),
        (GradientDescent, "GradientDescent"),
        (LevenbergMarquardt, "LevenbergMarquardt"),
    ):
        made = optimizers.get(name)
        assert type(made) is cls
        assert type(optimizers.get(name.lower())) is cls
        config = cls(gtol=0.5).get_config()
        assert config["gtol"] == 0.5
        for copied in (
            cls.from_config(config),
            optimizers.deserialize(optimizers.serialize(cls(gtol=0.5))),
            pickle.loads(pickle.dumps(cls(gtol=0.5))),
            copy.deepcopy(cls(gtol=0.5)),
        ):
            assert type(copied) is cls
            assert {**copied.get_config(), "name": ""} == {**config, "name": ""}
    model = network("float32")
    model.compile(LBFGS(memory=3), "mse")
    model.fit(X, Y, epochs=3, verbose=0)
    for suffix in ("keras", "lamella"):
        model.save(tmp_path / f"m.{suffix}")
        loaded = keras.models.load_model(tmp_path / f"m.{suffix}")
        assert loaded.optimizer.memory == 3
        np.testing.assert_array_equal(
            loaded.predict(X, verbose=0), model.predict(X, verbose=0)
        )
        assert len(loaded.fit(X, Y, epochs=2, verbose=0).epoch) == 2


def lbfgs_model(*stack, optimizer="lbfgs", loss="mse", **kwargs):
    model = keras.Sequential([*stack, layers.Dense(1)])
    model.compile(optimizer, loss, **kwargs)
    return model


ERRORS = [
    (lambda: lbfgs_model().fit(X, Y, batch_size=8, verbose=0), "all 64 samples"),
    (lambda: lbfgs_model(run_eagerly=True).fit(X, Y, verbose=0), "run_eagerly"),
    (lambda: lbfgs_model().fit(iter([(X, Y)]), verbose=0), "needs arrays"),
    (lambda: lbfgs_model(layers.Dropout(0.5)).fit(X, Y, verbose=0), "is random"),
    (lambda: lbfgs_model().train_on_batch(X, Y), "whole data set"),
    (lambda: LBFGS().apply([]), "cannot apply"),
    (
        lambda: lbfgs_model(optimizer="levenbergmarquardt", loss="mae").fit(
            X, Y, verbose=0
        ),
        "loss='mse'",
    ),
    (
        lambda: lbfgs_model(
            layers.Dense(2, kernel_regularizer="l2"), optimizer="levenbergmarquardt"
        ).fit(X, Y, verbose=0),
        "regularizers",
    ),
    (lambda: minimize(rosenbrock, [1.0, 2.0], method="bfgs"), "unknown method"),
    (lambda: minimize(lambda x: x, [1.0, 2.0]), "one number"),
    (lambda: minimize(lambda x: float(x[0]), [1.0]), "cannot be traced"),
    (lambda: minimize(lambda x: 3.0, [1.0]), "returned a float"),
    (lambda: minimize(rosenbrock, [np.nan, 1.0]), "finite"),
    (lambda: minimize(lambda x: ops.sum(ops.log(x)), [-1.0]), "value at the start"),
    (lambda: minimize(lambda x: (1.0, np.ones(3)), [1.0], jac=True), "3 elements"),
    (lambda: LBFGS(memory=0), "memory"),
    (lambda: LBFGS(c1=0.5, c2=0.1), "c1 < c2"),
    (lambda: ConjugateGradient("newton"), "formula"),
    (lambda: GradientDescent(-1), "learning_rate"),
    (lambda: GradientDescent(momentum=1.0), "momentum"),
    (lambda: LevenbergMarquardt(gtol=-1), "gtol"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS, ids=[t for _, t in ERRORS])
def test_errors_say_what_to_do(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_a_rate_that_is_too_large_is_reported():
    result = minimize(rosenbrock, [-1.2, 1.0], method="gd", learning_rate=1.0)
    assert not result.success
    assert "too large" in result.message
    assert np.isfinite(result.x).all()
    with pytest.raises(AttributeError, match="cannot be set"):
        LBFGS().learning_rate = 0.1
    with pytest.raises(AttributeError, match="nfev"):
        result.nfevs  # noqa: B018
    assert "message" in repr(result)
