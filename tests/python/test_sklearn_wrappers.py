"""Estimators around models: scikit-learn's checks, searches, parameters, workers."""

from __future__ import annotations

import pickle
import sys
import types
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lamella as keras
from lamella import callbacks, layers, losses, optimizers
from lamella.sklearn import (
    LamellaClassifier,
    LamellaRegressor,
    LamellaTransformer,
    MLPClassifier,
)

X, Y = load_iris(return_X_y=True)
XR, YR = make_regression(80, 5, random_state=0)
YR = YR / YR.std()
FAST = {"epochs": 40, "batch_size": 16, "random_state": 0}
FAST.update({"optimizer": "adam", "optimizer__learning_rate": 0.02})


def classifier(meta, units=16):
    binary = meta["target_type_"] == "binary"
    return keras.Sequential(
        [
            keras.Input(meta["X_shape_"][1:]),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(
                1 if binary else meta["n_classes_"],
                activation="softmax"
                if meta["target_type_"] == "multiclass"
                else "sigmoid",
            ),
        ]
    )


def regressor(meta, units=16):
    return keras.Sequential(
        [
            keras.Input(meta["X_shape_"][1:]),
            layers.Dense(units, activation="relu"),
            layers.Dense(meta["n_outputs_"]),
        ]
    )


def squeezer(X, y):
    return keras.Sequential(
        [
            keras.Input(X.shape[1:]),
            layers.Dense(2, activation="tanh"),
            layers.Dense(y.shape[1]),
        ]
    )


def keras_net(X, y, loss, out="linear", hidden=(10,)):
    keras.utils.set_random_seed(0)  # the checks compare one fit with another
    stack = [layers.Dense(n, activation="relu") for n in hidden]
    outputs = y.shape[1] if y.ndim > 1 else 1
    model = keras.Sequential(
        [keras.Input((X.shape[1],)), *stack, layers.Dense(outputs, activation=out)]
    )
    model.compile(loss=loss, optimizer=optimizers.RMSprop(0.01))
    return model


CHECKED = {"epochs": 100, "batch_size": 16, "random_state": 0}
QUIET = {"verbose": 0}
# Keras divides a batch's loss by its rows, scikit-learn by the sum of their weights,
# and batches are cut from the rows: a weight is not a repetition.
NOT_REPEATED = {
    f"check_sample_weight_equivalence_on_{kind}_data": "weights in batches"
    for kind in ("dense", "sparse")
}
# decision_function gives all outputs, as in Keras
ALL_OUTPUTS = {
    "check_classifiers_train": "two columns for two classes",
    "check_classifiers_classes": "two columns for two classes",
}


@parametrize_with_checks(
    [
        LamellaClassifier(classifier, optimizer=optimizers.Adam(0.01), **CHECKED),
        LamellaRegressor(regressor, optimizer=optimizers.Adam(0.01), **CHECKED),
        LamellaTransformer(squeezer, epochs=2, random_state=0),
        LamellaTransformer(squeezer, layer=0, epochs=2, random_state=0),
        keras.wrappers.SKLearnClassifier(
            keras_net,
            model_kwargs={"loss": "categorical_crossentropy", "out": "softmax"},
            fit_kwargs={"epochs": 20, **QUIET},
        ),
        keras.wrappers.SKLearnRegressor(
            keras_net, model_kwargs={"loss": "mse"}, fit_kwargs=QUIET
        ),
        keras.wrappers.SKLearnTransformer(
            keras_net, model_kwargs={"loss": "mse"}, fit_kwargs=QUIET
        ),
    ],
    expected_failed_checks=lambda e: (
        ALL_OUTPUTS
        if isinstance(e, keras.wrappers.SKLearnClassifier)
        else NOT_REPEATED
        if type(e).__name__.startswith("Lamella")
        else {}
    ),
)
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


LABELS = {
    "three": Y,
    "strings": np.array(["a", "b", "c"])[Y],
    "two": np.array(["no", "yes"])[(Y > 0).astype(int)],
    "indicators": np.c_[Y > 0, Y > 1, Y == 0].astype(int),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_classifier_takes_all_kinds_of_labels(y):
    net = LamellaClassifier(classifier, **FAST).fit(X, y)
    assert net.score(X, y) > 0.9
    p = net.predict_proba(X)
    assert p.shape == (150, len(net.classes_))
    if y.ndim == 1:
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        assert set(net.predict(X)) <= set(y)
    for copied in (pickle.loads(pickle.dumps(net)), clone(net).fit(X, y)):
        np.testing.assert_array_equal(copied.predict_proba(X), p)


LOSSES = {
    "one-hot": {"loss": "categorical_crossentropy", "metrics": ["accuracy"]},
    "object": {"loss": losses.SparseCategoricalCrossentropy()},
    "class": {"loss": losses.CategoricalCrossentropy, "loss__label_smoothing": 0.1},
    "name and argument": {
        "loss": "categorical_crossentropy",
        "loss__label_smoothing": 0.1,
    },
    "weights": {"class_weight": {0: 1.0, 1: 2.0, 2: 2.0}},
    "balanced": {"class_weight": "balanced"},
    "schedule": {"optimizer": optimizers.SGD(0.01, momentum=0.9), "units": 8},
}


@pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)
def test_losses_metrics_and_weights(options):
    options = {**FAST, **options}
    if not isinstance(options["optimizer"], str):
        del options["optimizer__learning_rate"]
    net = LamellaClassifier(classifier, **options).fit(X, Y)
    assert net.score(X, Y) > 0.85
    for metric in options.get("metrics", ()):
        assert len(net.history_[metric]) == 40


def logits():
    return keras.Sequential([layers.Dense(3)])


def test_logits_become_probabilities():
    for loss in (
        losses.SparseCategoricalCrossentropy(from_logits=True),
        losses.CategoricalCrossentropy(from_logits=True),
    ):
        net = LamellaClassifier(logits, loss=loss, **FAST).fit(X, Y)
        p = net.predict_proba(X)
        z = net.model_.predict(X, verbose=0)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        np.testing.assert_allclose(p, e / e.sum(axis=1, keepdims=True), rtol=1e-5)


def test_regressor_keeps_the_shape_of_y():
    for y, shape in ((YR, (80,)), (np.c_[YR, -YR], (80, 2))):
        net = LamellaRegressor(regressor, **{**FAST, "epochs": 100}).fit(XR, y)
        assert net.predict(XR).shape == shape
        assert net.score(XR, y) > 0.9
    lm = LamellaRegressor(
        regressor,
        optimizer=optimizers.LevenbergMarquardt(),
        epochs=15,
        units=3,
        random_state=0,
    )
    assert lm.fit(XR, YR).score(XR, YR) > 0.999


def test_images_sparse_rows_and_validation_data():
    images = np.random.default_rng(0).normal(size=(150, 2, 2, 1))
    images[:, 0, 0, 0] += Y
    net = LamellaClassifier(classifier, **FAST)
    net.fit(images, LABELS["strings"], validation_data=(images, LABELS["strings"]))
    assert len(net.history_["val_loss"]) == 40
    with pytest.raises(ValueError, match="samples of shape"):
        net.predict(images[:, :, :1])
    scipy = pytest.importorskip("scipy.sparse")
    dense = LamellaClassifier(classifier, **FAST).fit(X, Y)
    rows = LamellaClassifier(classifier, **FAST).fit(scipy.csr_matrix(X), Y)
    np.testing.assert_array_equal(
        rows.predict_proba(scipy.csr_matrix(X)), dense.predict_proba(X)
    )


def test_transformer_gives_a_layers_output():
    net = LamellaTransformer(squeezer, layer=0, epochs=3, random_state=0)
    codes = net.fit_transform(X)
    kernel, bias = net.model_.get_weights()[:2]
    np.testing.assert_allclose(codes, np.tanh(X @ kernel + bias), rtol=1e-4, atol=1e-5)
    pipe = make_pipeline(StandardScaler(), net, LamellaClassifier(classifier, **FAST))
    assert pipe.fit(X, Y).score(X, Y) > 0.7


def test_a_model_is_copied_and_a_warm_start_goes_on():
    model = regressor({"X_shape_": (None, 5), "n_outputs_": 1})
    model.compile("adam", "mse")
    before = model.get_weights()
    net = LamellaRegressor(model, epochs=3, random_state=0, warm_start=True)
    first = net.fit(XR, YR).history_["loss"][:]
    assert len(net.fit(XR, YR).history_["loss"]) == 6
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    again = clone(net).fit(XR, YR)
    assert again.history_["loss"] == first
    net.partial_fit(XR, YR)
    assert len(net.history_["loss"]) == 7


def test_partial_fit_needs_the_classes_once():
    net = LamellaClassifier(classifier, **FAST)
    with pytest.raises(ValueError, match="classes must be passed"):
        net.partial_fit(X, Y)
    net.partial_fit(X[:40], Y[:40], classes=[0, 1, 2]).partial_fit(X, Y)
    assert len(net.history_["loss"]) == 2
    with pytest.raises(ValueError, match="not in classes_"):
        net.partial_fit(X, Y + 1)


def test_parameters_find_their_destination():
    stop = {"monitor": "loss", "patience": 2, "min_delta": 1}
    for options in (
        {"callbacks": callbacks.EarlyStopping(**stop)},
        {"callbacks": [callbacks.EarlyStopping(**stop)]},
        {
            "callbacks": callbacks.EarlyStopping,
            **{f"callbacks__{k}": v for k, v in stop.items()},
        },
        {
            "callbacks": {"early": callbacks.EarlyStopping},
            **{f"callbacks__early__{k}": v for k, v in stop.items()},
        },
    ):
        net = LamellaRegressor(regressor, **{**FAST, **options}).fit(XR, YR)
        assert len(net.history_["loss"]) < 10
    net = LamellaRegressor(regressor, model__units=3, fit__validation_split=0.5, **FAST)
    net.set_params(fit__epochs=2, units=4, model__units=5, predict__batch_size=7)
    net.fit(XR, YR)
    assert net.model_.get_weights()[0].shape == (5, 5)  # model__ goes before the name
    assert len(net.history_["val_loss"]) == 2
    assert abs(float(net.model_.optimizer.learning_rate) - 0.02) < 1e-8
    assert net.get_params()["model__units"] == 5
    assert clone(net).get_params() == net.get_params()


WRONG = [
    (lambda: LamellaRegressor().fit(XR, YR), "model is None"),
    (lambda: LamellaRegressor(3).fit(XR, YR), "must be a lamella Model"),
    (lambda: LamellaRegressor(lambda: 3).fit(XR, YR), "must return a lamella Model"),
    (lambda: LamellaRegressor(regressor, unit=3).fit(XR, YR), "mean 'units'"),
    (lambda: LamellaRegressor(regressor).set_params(unit=3), "Invalid parameter"),
    (lambda: LamellaClassifier(classifier).fit(X, X[:, :2]), "Unknown label type"),
    (
        lambda: LamellaClassifier(classifier).fit(X, np.c_[Y, Y]),
        "several columns of classes",
    ),
    (
        lambda: LamellaRegressor(keras.Sequential([layers.Dense(1)]), units=3).fit(
            XR, YR
        ),
        "is a model already",
    ),
]


@pytest.mark.parametrize(("call", "text"), WRONG, ids=[t for _, t in WRONG])
def test_errors_say_what_to_do(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_an_unknown_argument_of_fit_is_refused():
    with pytest.raises(TypeError, match="'epoch'"):
        LamellaRegressor(regressor).fit(XR, YR, epoch=3)


@pytest.fixture
def importable(monkeypatch):
    """Let other processes find the functions of this file by value."""
    try:
        import cloudpickle
    except ImportError:  # before 1.6 joblib brings its own
        from joblib.externals import cloudpickle
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_search_over_a_pipeline(importable):
    pipe = make_pipeline(StandardScaler(), LamellaClassifier(classifier, **FAST))
    grid = {
        "lamellaclassifier__model__units": [2, 16],
        "lamellaclassifier__optimizer__learning_rate": [1e-5, 0.02],
    }
    found = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X, Y)
    assert found.best_params_["lamellaclassifier__optimizer__learning_rate"] == 0.02
    assert found.best_score_ > 0.9
    mlp = MLPClassifier(solver="lbfgs", random_state=0)
    sizes = {"hidden_layer_sizes": [(3,), (5, 3)], "alpha": [1e-4, 1.0]}
    found = RandomizedSearchCV(mlp, sizes, n_iter=2, cv=2, random_state=0).fit(X, Y)
    assert found.best_score_ > 0.8


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing", "dask"])
def test_workers_give_the_same_scores(backend, importable):
    mlp = MLPClassifier((8,), max_iter=100, tol=1.0, random_state=0)
    nets = [LamellaClassifier(classifier, **FAST), mlp]
    alone = [cross_val_score(net, X, Y, cv=2) for net in nets]
    client = None
    if backend == "dask":
        distributed = pytest.importorskip("distributed")
        client = distributed.Client(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        )
    try:
        with joblib.parallel_config(backend, n_jobs=2):
            together = [cross_val_score(net, X, Y, cv=2) for net in nets]
    finally:
        if client is not None:
            client.close()
    np.testing.assert_array_equal(together, alone)


def test_a_worker_takes_its_share_of_the_cores():
    count = joblib.delayed(keras.get_num_threads)
    for each in (1, 3):
        with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=each):
            assert joblib.Parallel()(count() for _ in range(2)) == [each, each]


def test_keras_wrappers_follow_keras():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    with pytest.raises(RuntimeError, match="needs to be compiled"):
        keras.wrappers.SKLearnClassifier(model).fit(X, Y)
    model.compile("adam", "categorical_crossentropy")
    net = keras.wrappers.SKLearnClassifier(model, fit_kwargs={"epochs": 4, **QUIET})
    assert net.epoch_ == 0
    net.fit(X, LABELS["strings"], epochs=2)  # goes before fit_kwargs
    assert net.epoch_ == 2
    assert len(net.history_.history["loss"]) == 2
    assert net.model_ is not model
    assert net.fit_kwargs == {"epochs": 4, **QUIET}
    z = net.decision_function(X)
    np.testing.assert_array_equal(
        net.predict(X), np.array(["a", "b", "c"])[z.argmax(1)]
    )
    assert clone(net).fit_kwargs == net.fit_kwargs
    copied = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(copied.decision_function(X), z)
    warm = keras.wrappers.SKLearnClassifier(model, warm_start=True)
    assert warm.fit(X, Y, **QUIET).model_ is model
    with pytest.raises(ValueError, match="one class"):
        net.fit(X, np.zeros(150, int))
    with pytest.raises(ValueError, match="binary and multiclass"):
        net.fit(X, X[:, 0])
    with pytest.raises(RuntimeError, match="metadata routing"):
        net.set_fit_request(sample_weight=True)
    line = keras.wrappers.SKLearnRegressor(
        keras_net, model_kwargs={"loss": "mse"}, fit_kwargs=QUIET
    )
    assert line.fit(XR, YR).predict(XR).shape == (80,)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    for name in [m for m in sys.modules if m.startswith("lamella.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"lamella\[sklearn\]"):
        __import__("lamella.sklearn")
    old = types.ModuleType("sklearn")
    old.__version__ = "1.2.0"
    monkeypatch.setitem(sys.modules, "sklearn", old)
    with pytest.raises(ImportError, match=r"1\.6 or newer, found 1\.2\.0"):
        __import__("lamella.sklearn")
