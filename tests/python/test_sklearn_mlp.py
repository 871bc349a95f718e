"""MLPClassifier and MLPRegressor: number by number against scikit-learn's own."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn.neural_network as theirs
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import lamella as keras
import lamella.sklearn as ours
from lamella import callbacks, losses, ops, optimizers

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::RuntimeWarning:sklearn",
    "ignore:Got `batch_size`:UserWarning",
)

RNG = np.random.default_rng(0)
X, Y3 = make_classification(120, 8, n_informative=5, n_classes=3, random_state=0)
TARGETS = {
    "three": Y3,
    "two": (Y3 > 0).astype(int),
    "strings": np.array(["u", "v", "w"])[Y3],
    "labels": (RNG.random((120, 4)) > 0.6).astype(int),
    "number": 2 * X[:, 0] - X[:, 1] ** 2,
    "numbers": np.c_[X[:, 0], np.tanh(X[:, 1]), X[:, 2] ** 2],
    "counts": RNG.poisson(np.exp(0.3 * X[:, 0])),
}
REGRESSIONS = {"number": {}, "numbers": {}, "counts": {"loss": "poisson"}}
WEIGHTS = RNG.random(120) + 0.1
OPTIONS = {
    "adam": {},
    "adam, own numbers": {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    "sgd": {"solver": "sgd"},
    "invscaling": {
        "solver": "sgd",
        "momentum": 0.0,
        "learning_rate": "invscaling",
        "learning_rate_init": 0.1,
    },
    "adaptive": {
        "solver": "sgd",
        "nesterovs_momentum": False,
        "learning_rate": "adaptive",
        "learning_rate_init": 0.05,
        "n_iter_no_change": 2,
        "tol": 1e-2,
        "max_iter": 40,
    },
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3},
    "in order": {"shuffle": False, "batch_size": 50},
    "one by one": {"batch_size": 1, "max_iter": 2},
    "tanh": {"activation": "tanh", "hidden_layer_sizes": (7, 5)},
    "logistic": {"activation": "logistic", "hidden_layer_sizes": 9, "alpha": 0.5},
    "identity": {"activation": "identity", "hidden_layer_sizes": [5], "alpha": 0},
    "no hidden layer": {"hidden_layer_sizes": ()},
}
COUNTS = ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_")


def pair(name, **options):
    kind = "MLPRegressor" if name in REGRESSIONS else "MLPClassifier"
    options = {
        "max_iter": 10,
        "random_state": 3,
        "hidden_layer_sizes": (20,),
        **REGRESSIONS.get(name, {}),
        **options,
    }
    return [getattr(module, kind)(**options) for module in (theirs, ours)]


def assert_same(a, b, atol=1e-6):
    for name in COUNTS:
        assert getattr(a, name) == getattr(b, name), name
    for mine, other in zip(
        b.coefs_ + b.intercepts_, a.coefs_ + a.intercepts_, strict=True
    ):
        assert mine.shape == other.shape
        assert mine.dtype == other.dtype
        np.testing.assert_allclose(mine, other, atol=atol)
    assert abs(a.loss_ - b.loss_) < 10 * atol
    for name in ("loss_curve_", "validation_scores_"):
        if getattr(a, name, None) is not None:
            np.testing.assert_allclose(
                getattr(b, name), getattr(a, name), atol=10 * atol
            )
    for name in ("best_loss_", "best_validation_score_"):
        if hasattr(a, name):
            one, other = getattr(a, name), getattr(b, name)
            assert one == other or abs(one - other) < 10 * atol


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("target", TARGETS)
def test_same_numbers_as_scikit_learn(target, options):
    a, b = pair(target, **options)
    y = TARGETS[target]
    assert_same(a.fit(X, y), b.fit(X, y))
    if target in REGRESSIONS:
        np.testing.assert_allclose(b.predict(X), a.predict(X), rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(b.predict(X), a.predict(X))
        np.testing.assert_allclose(b.predict_proba(X), a.predict_proba(X), atol=1e-5)
        np.testing.assert_array_equal(b.classes_, a.classes_)
    assert abs(a.score(X, y) - b.score(X, y)) < 1e-5


KINDS = {
    "weights": ("float64", False, True),
    "float32": ("float32", False, False),
    "sparse": ("float64", True, False),
    "sparse, weights": ("float64", True, True),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("target", ["three", "labels", "numbers", "counts"])
def test_same_numbers_for_other_kinds_of_data(target, solver, kind):
    dtype, is_sparse, weighted = kind
    data = np.where(np.abs(X) < 0.5, 0, X).astype(dtype)
    data = sparse.csc_matrix(data) if is_sparse else data
    kwargs = {"sample_weight": WEIGHTS} if weighted else {}
    a, b = pair(target, solver=solver, max_iter=5)
    a.fit(data, TARGETS[target], **kwargs)
    b.fit(data, TARGETS[target], **kwargs)
    assert_same(a, b, atol=1e-6 if dtype == "float64" else 2e-4)
    dense = data.toarray() if is_sparse else data
    np.testing.assert_allclose(b._outputs(data), b._outputs(dense), rtol=1e-12)


def test_initial_weights_come_from_the_same_stream():
    # without scikit-learn's network: Glorot's bounds, weights then bias of each layer
    stream = np.random.RandomState(5)
    net = ours.MLPRegressor(hidden_layer_sizes=(4,), random_state=5, max_iter=1)
    net.set_params(learning_rate_init=1e-300).fit(X, TARGETS["number"])
    for i, shape in enumerate([(8, 4), (4, 1)]):
        bound = np.sqrt(6 / sum(shape))
        coef = stream.uniform(-bound, bound, shape)
        np.testing.assert_array_equal(net.coefs_[i], coef)
        np.testing.assert_array_equal(
            net.intercepts_[i], stream.uniform(-bound, bound, shape[1])
        )


def partial(cls, **kwargs):
    net = cls(random_state=1, hidden_layer_sizes=(8,), **kwargs)
    first = {"classes": [0, 1, 2]} if hasattr(net, "predict_proba") else {}
    for _ in range(4):
        net.partial_fit(X, Y3, **first)
    return net


def warm(cls, **kwargs):
    net = cls(random_state=1, hidden_layer_sizes=(8,), warm_start=True, **kwargs)
    net.set_params(max_iter=6).fit(X, Y3).fit(X, Y3)
    return net.set_params(max_iter=3).fit(X, Y3)


def resumed(cls, **kwargs):
    net = cls(random_state=1, max_iter=3, **kwargs).fit(X, Y3).partial_fit(X, Y3)
    return pickle.loads(pickle.dumps(net)).partial_fit(X[:50], Y3[:50])


@pytest.mark.parametrize("run", [partial, warm, resumed])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"early_stopping": True},
        {"solver": "lbfgs"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_partial_fit_warm_start_and_pickles(kind, options, run):
    if kind == "MLPRegressor" and options.get("solver") == "lbfgs" and run is not warm:
        pytest.skip("scikit-learn's regressor forgets to refuse partial_fit here")
    results = []
    for module in (theirs, ours):
        try:
            results.append(run(getattr(module, kind), **options))
        except (ValueError, AttributeError) as error:
            results.append(error)
    if isinstance(results[0], Exception):
        assert type(results[1]) is type(results[0])
        assert str(results[1]) == str(results[0])
    else:
        assert_same(*results)


def captured(call, capsys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    kinds = [(w.category, str(w.message).split("(")[0][:30]) for w in caught]
    return capsys.readouterr().out, kinds


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 30},
        {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 60},
        {
            "solver": "sgd",
            "learning_rate": "adaptive",
            "tol": 0.1,
            "n_iter_no_change": 1,
            "max_iter": 40,
        },
        {"batch_size": 1000, "max_iter": 2},
    ],
    ids=str,
)
def test_what_is_printed_and_warned(options, capsys):
    a, b = pair("three", verbose=True, **options)
    one = captured(lambda: a.fit(X, Y3), capsys)
    two = captured(lambda: b.fit(X, Y3), capsys)

    def words(text):  # the last digit of a loss may differ
        return [line.split("=")[0] for line in text.splitlines()]

    assert words(two[0]) == words(one[0])
    assert two[1] == one[1]


def failing(cls, X, y, fit=None, **kwargs):
    return cls(random_state=0, max_iter=3, **kwargs).fit(X, y, **(fit or {}))


WRONG = [
    *({"X": X, "y": Y3, k: v} for k, v in (
        ("alpha", -1), ("learning_rate", "x"), ("hidden_layer_sizes", (0,)),
        ("hidden_layer_sizes", -1), ("validation_fraction", 2.0), ("momentum", 2),
        ("tol", -1), ("beta_1", 1.0), ("batch_size", 0), ("n_iter_no_change", 0),
        ("warm_start", "yes"), ("max_fun", 0),
    )),
    {"X": X, "y": Y3[:5]},
    {"X": np.where(X > 2, np.nan, X), "y": Y3},
    {"X": X[:5], "y": Y3[:5], "early_stopping": True},
    {"X": X * 1e200, "y": Y3, "solver": "sgd"},
    {"X": X, "y": Y3, "fit": {"sample_weight": WEIGHTS[:3]}},
    {"X": X, "y": Y3, "shuffle": False, "batch_size": 10,
     "fit": {"sample_weight": np.r_[np.zeros(110), np.ones(10)]}},
]  # fmt: skip


@pytest.mark.parametrize("arguments", WRONG, ids=range(len(WRONG)))
def test_errors_are_those_of_scikit_learn(arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as other:
            failing(theirs.MLPClassifier, **arguments)
        with pytest.raises(type(other.value)) as mine:
            failing(ours.MLPClassifier, **arguments)
    # the order in which a set of names is printed may differ
    assert sorted(str(mine.value)) == sorted(str(other.value))


def test_unknown_names_and_states_that_do_not_fit():
    for name in ("solver", "activation", "loss"):
        with pytest.raises(ValueError, match=f"'{name}' parameter of MLPClassifier"):
            ours.MLPClassifier(**{name: "x"}).fit(X, Y3)
    for helper in ("get", "serialize", "deserialize"):
        for estimator, name in (
            (ours.MLPClassifier, "activation"),
            (ours.MLPClassifier, "loss"),
            (ours.MLPRegressor, "loss"),
        ):
            with pytest.raises(ValueError, match=f"'{name}' parameter of"):
                estimator(**{name: helper}).fit(X, Y3)
    with pytest.raises(ValueError, match="'loss' parameter of MLPRegressor"):
        ours.MLPRegressor((30,)).fit(X, X[:, 0])  # its first argument is the loss
    with pytest.raises(NotFittedError):
        ours.MLPClassifier().predict(X)
    net = ours.MLPClassifier(max_iter=2).fit(X, Y3)
    with pytest.raises(ValueError, match="8 features"):
        net.predict(X[:, :3])
    with pytest.raises(ValueError, match="classes must be passed"):
        ours.MLPClassifier().partial_fit(X, Y3)
    with pytest.raises(ValueError, match="1 entries for 2 hidden layers"):
        ours.MLPClassifier((3, 3), activation=["tanh"]).fit(X, Y3)
    with pytest.raises(ValueError, match="validation_data must be"):
        ours.MLPClassifier().fit(X, Y3, validation_data=X)
    with pytest.raises(ValueError, match="residuals"):
        ours.MLPRegressor(solver=optimizers.LevenbergMarquardt()).fit(X, X[:, 0])


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_the_signature_begins_with_scikit_learns(kind):
    own, other = (
        list(inspect.signature(getattr(m, kind)).parameters.values())
        for m in (ours, theirs)
    )
    for mine, wanted in zip(own, other, strict=False):
        assert (mine.name, mine.default, mine.kind) == (
            wanted.name,
            wanted.default,
            wanted.kind,
        )


# -- beyond scikit-learn ---------------------------------------------------------

SMALL = {"hidden_layer_sizes": (16, 8), "max_iter": 60, "random_state": 0}
SMALL["learning_rate_init"] = 0.01


def wave(x):
    return ops.sin(x)


EXTRAS = {
    "dropout": {"dropout": 0.2},
    "dropout list": {"dropout": [0.2, 0]},
    "batch_normalization": {"batch_normalization": True},
    "activations": {"activation": ["tanh", "gelu"]},
    "activation function": {"activation": wave},
    "loss name": {"loss": "categorical_focal_crossentropy"},
    "loss object": {"loss": losses.CategoricalCrossentropy(label_smoothing=0.1)},
    "class_weight": {"class_weight": "balanced"},
    "optimizer": {"solver": optimizers.RMSprop(0.01)},
    "schedule": {
        "solver": optimizers.SGD(
            optimizers.schedules.ExponentialDecay(0.5, 10, 0.9), momentum=0.5
        )
    },
    "whole batch": {"solver": optimizers.LBFGS()},
}


@pytest.mark.parametrize("options", EXTRAS.values(), ids=EXTRAS)
def test_more_than_scikit_learn(options):
    net = ours.MLPClassifier(**{**SMALL, **options}).fit(X, Y3)
    assert net.score(X, Y3) > 0.7
    assert net.history_["loss"][-1] < net.history_["loss"][0]
    again = clone(net).fit(X, Y3)
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    for copied in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        np.testing.assert_array_equal(copied.predict_proba(X), net.predict_proba(X))


def test_validation_data_and_callbacks():
    train, test = (X[:80], Y3[:80]), (X[80:], Y3[80:])
    stop = callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    net = ours.MLPClassifier(**{**SMALL, "max_iter": 500}, tol=0, callbacks=[stop])
    net.fit(*train, validation_data=test)
    history = net.history_
    assert net.n_iter_ == stop.stopped_epoch + 1 < 500
    assert len(history["val_score"]) == len(history["val_loss"]) == net.n_iter_
    p = net.predict_proba(test[0])[np.arange(40), test[1]]
    best = int(np.argmin(history["val_loss"]))
    assert abs(-np.log(p).mean() - history["val_loss"][best]) < 1e-9
    assert abs(net.score(*test) - history["val_score"][best]) < 1e-12
    rates = callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1, factor=0.5)
    slow = ours.MLPClassifier(**{**SMALL, "max_iter": 5}, callbacks=[rates]).fit(*train)
    assert abs(float(slow.model_.optimizer.learning_rate) - 0.01 / 16) < 1e-8
    early = ours.MLPClassifier(**{**SMALL, "max_iter": 500}, early_stopping=True)
    early.fit(*train, validation_data=(*test, np.ones(40)))
    assert abs(early.score(*test) - early.best_validation_score_) < 1e-12
    assert clone(net).fit(*train, validation_data=test).n_iter_ == net.n_iter_


def test_class_weights_act_as_sample_weights():
    weights = {0: 3.0, 1: 1.0, 2: 0.5}
    one = ours.MLPClassifier(class_weight=weights, **SMALL).fit(X, Y3)
    two = ours.MLPClassifier(**SMALL).fit(X, Y3, [weights[k] for k in Y3])
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])
    with pytest.raises(ValueError, match="balanced"):
        ours.MLPClassifier(class_weight="balanced").partial_fit(
            X, Y3, classes=[0, 1, 2]
        )


def test_model_is_the_network_and_coefs_are_its_weights(tmp_path):
    net = ours.MLPClassifier(**SMALL).fit(X, Y3)
    np.testing.assert_array_equal(
        net.model_.predict(X, verbose=0), net.predict_proba(X)
    )
    loss = net.model_.evaluate(X, np.eye(3)[Y3], verbose=0)
    p = net.predict_proba(X)[np.arange(120), Y3]
    assert abs(loss + np.log(p).mean()) < 1e-4
    net.model_.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), net.predict_proba(X))
    net.coefs_[-1][:] = 0.0  # as in scikit-learn, the lists are the network
    assert np.ptp(net.predict_proba(X), axis=0).max() == 0


def test_any_layout_of_the_data_gives_the_same():
    layouts = [X, np.asfortranarray(X), np.repeat(X, 2, 0)[::2], X.tolist()]
    for shuffle in (True, False):
        found = [
            ours.MLPClassifier(shuffle=shuffle, **SMALL).fit(x, Y3).predict_proba(x)
            for x in layouts
        ]
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])


def test_large_data_are_gathered_in_pieces(monkeypatch):
    from lamella.sklearn import _network

    whole = ours.MLPClassifier(batch_size=16, **SMALL).fit(X, Y3)
    monkeypatch.setattr(_network, "_BYTES", 16 * 8 * 8 * 2)  # two batches at a time
    pieces = ours.MLPClassifier(batch_size=16, **SMALL).fit(X, Y3)
    np.testing.assert_array_equal(pieces.coefs_[0], whole.coefs_[0])


def test_an_interrupt_keeps_the_network():
    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    net = ours.MLPClassifier(callbacks=[Stop()], **SMALL)
    with pytest.warns(UserWarning, match="interrupted"):
        net.fit(X, Y3)
    assert net.n_iter_ == 4
    assert net.predict(X).shape == (120,)


def test_not_converged_is_a_warning():
    for options in ({}, {"solver": "lbfgs"}, {"solver": optimizers.LBFGS(ftol=0.0)}):
        with pytest.warns(ConvergenceWarning):
            ours.MLPClassifier(max_iter=2, **options).fit(X, Y3)


def test_feature_names_are_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"f{i}" for i in range(8)])
    net = ours.MLPClassifier(max_iter=2).fit(frame, Y3)
    assert list(net.feature_names_in_) == list(frame.columns)


CHECKED = {"max_iter": 100, "hidden_layer_sizes": (20,), "learning_rate_init": 0.02}


@parametrize_with_checks(
    [ours.MLPClassifier(**CHECKED), ours.MLPRegressor(**CHECKED)],
)
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)
