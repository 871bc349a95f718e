"""Metrics against float64 formulas and against Keras."""

from __future__ import annotations

import os

import numpy as np
import pytest

import lamella
from lamella import _core, metrics

rng = np.random.default_rng(11)
N, K = 24, 4


def probabilities(n=N, k=K):
    p = rng.uniform(0.05, 1.0, (n, k))
    return (p / p.sum(-1, keepdims=True)).astype("float32")


def one_hot(n=N, k=K):
    return np.eye(k, dtype="float32")[rng.integers(0, k, n)]


def labels(n=N, k=K):
    return rng.integers(0, k, n).astype("int32")


def bits(*shape):
    return rng.integers(0, 2, shape or (N,)).astype("float32")


def units(*shape):
    return rng.uniform(0.0, 1.0, shape or (N,)).astype("float32")


def real(*shape):
    return rng.normal(size=shape or (N, K)).astype("float32")


def matrix_bits():
    return bits(N, K)


def matrix_units():
    return units(N, K)


def few_bits():
    return bits(N, 1)


def few_units():
    return units(N, 1)


def classes(n=N):
    return rng.integers(0, K, n).astype("int32")


# (class, arguments, targets, predictions, formula or None)
CASES = [
    ("Accuracy", {}, classes, classes, lambda t, p: (t == p).mean()),
    ("BinaryAccuracy", {}, few_bits, few_units, lambda t, p: ((p > 0.5) == t).mean()),
    (
        "BinaryAccuracy",
        {"threshold": 0.3},
        matrix_bits,
        matrix_units,
        lambda t, p: ((p > 0.3) == t).mean(),
    ),
    (
        "CategoricalAccuracy",
        {},
        one_hot,
        probabilities,
        lambda t, p: (t.argmax(-1) == p.argmax(-1)).mean(),
    ),
    (
        "SparseCategoricalAccuracy",
        {},
        labels,
        probabilities,
        lambda t, p: (t == p.argmax(-1)).mean(),
    ),
    (
        "TopKCategoricalAccuracy",
        {"k": 2},
        one_hot,
        probabilities,
        lambda t, p: (np.argsort(-p)[:, :2] == t.argmax(-1)[:, None]).any(-1).mean(),
    ),
    (
        "SparseTopKCategoricalAccuracy",
        {"k": 3},
        labels,
        probabilities,
        lambda t, p: (np.argsort(-p)[:, :3] == t[:, None]).any(-1).mean(),
    ),
    ("MeanSquaredError", {}, real, real, lambda t, p: ((t - p) ** 2).mean()),
    (
        "RootMeanSquaredError",
        {},
        real,
        real,
        lambda t, p: np.sqrt(((t - p) ** 2).mean()),
    ),
    ("MeanAbsoluteError", {}, real, real, lambda t, p: np.abs(t - p).mean()),
    (
        "MeanAbsolutePercentageError",
        {},
        real,
        real,
        lambda t, p: 100 * np.abs((t - p) / t).mean(),
    ),
    (
        "MeanSquaredLogarithmicError",
        {},
        matrix_units,
        matrix_units,
        lambda t, p: ((np.log1p(t) - np.log1p(p)) ** 2).mean(),
    ),
    (
        "CosineSimilarity",
        {},
        real,
        real,
        lambda t, p: (
            (t * p).sum(-1) / np.sqrt((t**2).sum(-1) * (p**2).sum(-1))
        ).mean(),
    ),
    ("LogCoshError", {}, real, real, lambda t, p: np.log(np.cosh(t - p)).mean()),
    (
        "R2Score",
        {},
        real,
        real,
        lambda t, p: (1 - ((t - p) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)).mean(),
    ),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, real, real, None),
    ("R2Score", {"class_aggregation": None}, real, real, None),
    ("R2Score", {"num_regressors": 2}, real, real, None),
    (
        "PearsonCorrelation",
        {},
        real,
        real,
        lambda t, p: np.mean(
            [np.corrcoef(a, b)[0, 1] for a, b in zip(t, p, strict=True)]
        ),
    ),
    ("ConcordanceCorrelation", {}, real, real, None),
    (
        "Hinge",
        {},
        matrix_bits,
        real,
        lambda t, p: np.maximum(1 - (2 * t - 1) * p, 0).mean(),
    ),
    (
        "SquaredHinge",
        {},
        matrix_bits,
        real,
        lambda t, p: (np.maximum(1 - (2 * t - 1) * p, 0) ** 2).mean(),
    ),
    ("CategoricalHinge", {}, one_hot, real, None),
    (
        "KLDivergence",
        {},
        probabilities,
        probabilities,
        lambda t, p: (t * np.log(t / p)).sum(-1).mean(),
    ),
    ("Poisson", {}, matrix_units, matrix_units, None),
    ("BinaryCrossentropy", {}, few_bits, few_units, None),
    (
        "BinaryCrossentropy",
        {"from_logits": True, "label_smoothing": 0.1},
        matrix_bits,
        real,
        None,
    ),
    (
        "CategoricalCrossentropy",
        {},
        one_hot,
        probabilities,
        lambda t, p: -(t * np.log(p)).sum(-1).mean(),
    ),
    ("CategoricalCrossentropy", {"from_logits": True}, one_hot, real, None),
    (
        "SparseCategoricalCrossentropy",
        {},
        labels,
        probabilities,
        lambda t, p: -np.log(p[np.arange(N), t.astype(int)]).mean(),
    ),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, labels, probabilities, None),
    ("TruePositives", {}, bits, units, lambda t, p: ((p > 0.5) & (t == 1)).sum()),
    ("FalsePositives", {}, bits, units, lambda t, p: ((p > 0.5) & (t == 0)).sum()),
    (
        "TrueNegatives",
        {"thresholds": 0.2},
        bits,
        units,
        lambda t, p: ((p <= 0.2) & (t == 0)).sum(),
    ),
    (
        "FalseNegatives",
        {"thresholds": [0.2, 0.6]},
        bits,
        units,
        lambda t, p: [((p <= a) & (t == 1)).sum() for a in (0.2, 0.6)],
    ),
    (
        "TruePositives",
        {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]},
        bits,
        units,
        lambda t, p: [((p > a) & (t == 1)).sum() for a in (0, 0.25, 0.5, 0.75, 1)],
    ),
    (
        "Precision",
        {},
        bits,
        units,
        lambda t, p: ((p > 0.5) & (t == 1)).sum() / (p > 0.5).sum(),
    ),
    ("Precision", {"thresholds": [0.1, 0.7]}, matrix_bits, matrix_units, None),
    ("Precision", {"top_k": 2}, matrix_bits, matrix_units, None),
    ("Precision", {"class_id": 1}, matrix_bits, matrix_units, None),
    (
        "Recall",
        {},
        bits,
        units,
        lambda t, p: ((p > 0.5) & (t == 1)).sum() / (t == 1).sum(),
    ),
    ("Recall", {"top_k": 1, "class_id": 2}, one_hot, probabilities, None),
    ("Recall", {}, matrix_bits, matrix_units, None),
    ("AUC", {}, bits, units, None),
    ("AUC", {"curve": "PR"}, bits, units, None),
    ("AUC", {"curve": "PRGAIN"}, bits, units, None),
    ("AUC", {"curve": "PR", "summation_method": "minoring"}, bits, units, None),
    ("AUC", {"summation_method": "majoring", "num_thresholds": 7}, bits, units, None),
    ("AUC", {"thresholds": [0.2, 0.3, 0.9]}, bits, units, None),
    ("AUC", {"multi_label": True}, matrix_bits, matrix_units, None),
    (
        "AUC",
        {
            "multi_label": True,
            "num_labels": K,
            "curve": "PR",
            "label_weights": [1.0, 2.0, 0.5, 3.0],
        },
        matrix_bits,
        matrix_units,
        None,
    ),
    ("AUC", {"from_logits": True}, bits, lambda: real(N), None),
    ("AUC", {}, few_bits, few_units, None),
    ("SensitivityAtSpecificity", {"specificity": 0.5}, bits, units, None),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4}, bits, units, None),
    ("PrecisionAtRecall", {"recall": 0.6, "num_thresholds": 20}, bits, units, None),
    ("RecallAtPrecision", {"precision": 0.5}, bits, units, None),
    ("F1Score", {}, one_hot, probabilities, None),
    (
        "F1Score",
        {"average": "macro", "threshold": 0.4},
        matrix_bits,
        matrix_units,
        None,
    ),
    ("FBetaScore", {"average": "weighted", "beta": 2.0}, one_hot, probabilities, None),
    ("FBetaScore", {"average": "micro", "beta": 0.5}, one_hot, probabilities, None),
    ("IoU", {"num_classes": K, "target_class_ids": [0, 2]}, classes, classes, None),
    ("MeanIoU", {"num_classes": K}, classes, classes, None),
    ("MeanIoU", {"num_classes": K, "ignore_class": 3}, classes, classes, None),
    (
        "MeanIoU",
        {"num_classes": K, "sparse_y_pred": False},
        classes,
        probabilities,
        None,
    ),
    ("BinaryIoU", {"threshold": 0.4}, bits, units, None),
    (
        "OneHotIoU",
        {"num_classes": K, "target_class_ids": [1]},
        one_hot,
        probabilities,
        None,
    ),
    ("OneHotMeanIoU", {"num_classes": K}, one_hot, probabilities, None),
]
IDS = [f"{c[0]}-{i}" for i, c in enumerate(CASES)]
UNWEIGHTED = {"IoU", "MeanIoU", "BinaryIoU", "OneHotIoU", "OneHotMeanIoU"}


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def value(x):
    x = x.detach() if hasattr(x, "detach") else x
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x)


def batches(t, p, w=None):
    for part in (slice(0, 7), slice(7, 16), slice(16, None)):
        yield t[part], p[part], None if w is None else w[part]


WITH_FORMULA = [c for c in CASES if c[4] is not None]


@pytest.mark.parametrize(
    "case", WITH_FORMULA, ids=[f"{c[0]}-{i}" for i, c in enumerate(WITH_FORMULA)]
)
def test_result_over_batches_matches_formula(case):
    cls, kwargs, make_true, make_pred, formula = case
    t, p = make_true(), make_pred()
    metric = getattr(metrics, cls)(**kwargs)
    for a, b, _ in batches(t, p):
        metric.update_state(a, b)
    want = formula(t.astype("float64"), p.astype("float64"))
    np.testing.assert_allclose(np.asarray(metric.result()), want, rtol=2e-5, atol=1e-6)
    metric.reset_state()
    assert not any(np.any(v.numpy()) for v in metric.variables)


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_traced_metric_equals_eager(case, weighted):
    cls, kwargs, make_true, make_pred, _ = case
    if weighted and cls in UNWEIGHTED:
        pytest.skip("Keras casts the weights of counts to integers")
    t, p, w = make_true(), make_pred(), units(N)
    traced = getattr(metrics, cls)(**kwargs)
    eager = getattr(metrics, cls)(**kwargs)
    graph = _core.Graph()
    with graph:
        y_true = graph.input("t", (None, *t.shape[1:]), t.dtype.name)
        y_pred = graph.input("p", (None, *p.shape[1:]), p.dtype.name)
        weight = graph.input("w", (None,), "float32")
        traced.update_state(y_true, y_pred, weight if weighted else None)
        graph.output("n", lamella.ops.sum(traced.result()))
    trainer = _core.Trainer(graph)
    for a, b, c in batches(t, p, w):
        got = trainer.step([np.ascontiguousarray(x) for x in (a, b, c)])
        eager.update_state(a, b, sample_weight=c if weighted else None)
        want = np.asarray(eager.result(), "float64").sum()
        np.testing.assert_allclose(got[0], want, rtol=1e-5, atol=1e-6)
    for a, b in zip(traced.variables, eager.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_mean_and_sum_weigh_their_values():
    v, w = real(N), units(N)
    mean, total = metrics.Mean(), metrics.Sum()
    for part in (slice(0, 10), slice(10, None)):
        mean.update_state(v[part], sample_weight=w[part])
        total.update_state(v[part], sample_weight=w[part])
    np.testing.assert_allclose(float(mean.result()), (v * w).sum() / w.sum(), rtol=1e-5)
    np.testing.assert_allclose(float(total.result()), (v * w).sum(), rtol=1e-5)
    assert float(metrics.Mean().result()) == 0.0
    once = metrics.Mean()
    once.update_state(3.0)
    once.update_state(5.0)
    assert float(once.result()) == 4.0


def test_binary_accuracy_is_strict_at_the_threshold():
    metric = metrics.BinaryAccuracy()
    metric.update_state([0.0, 1.0], [0.5, 0.5])
    assert float(metric.result()) == 0.5


def test_shapes_never_broadcast():
    for name in ("MeanSquaredError", "BinaryAccuracy", "Accuracy"):
        with pytest.raises(ValueError, match=r"y_pred.shape=\(24, 4\)"):
            getattr(metrics, name)().update_state(bits(N), units(N, K))
    with pytest.raises(ValueError, match="sample_weight"):
        metrics.Mean().update_state(real(N), sample_weight=units(N - 1))


def test_mask_leaves_positions_out():
    t, p, mask = real(3, 5, K), real(3, 5, K), bits(3, 5).astype(bool)
    mask[:, 0] = True
    metric = metrics.MeanAbsoluteError()
    metric.update_state(t, p, mask=mask)
    want = np.abs(t - p).mean(-1)
    # as in Keras: a mean over the positions of each sample, then a weighted one
    want = (want * mask).mean(-1).sum() / mask.mean(-1).sum()
    np.testing.assert_allclose(float(metric.result()), want, rtol=1e-5)


def test_own_metric_with_nested_metric():
    class Pair(metrics.Metric):
        def __init__(self, name="pair"):
            super().__init__(name=name)
            self.count = self.add_weight(shape=(), initializer="zeros", name="count")
            self.inner = metrics.Mean(name="inner")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.count.assign_add(1.0)
            self.inner.update_state(y_pred)

        def result(self):
            return self.inner.result() + self.count.value

    metric = Pair()
    assert [v.name for v in metric.variables] == ["count", "total", "count"]
    assert metric.variables[1].path == "inner/total"
    np.testing.assert_allclose(float(metric(None, np.array([1.0, 3.0], "f"))), 3.0)
    metric.reset_state()
    assert float(metric.count) == 0.0

    class Forgot(metrics.Metric):
        def __init__(self):
            self.inner = metrics.Mean()

    with pytest.raises(RuntimeError, match="super"):
        Forgot()


def test_function_becomes_a_mean():
    def first(y_true, y_pred):
        return y_pred[:, 0]

    metric = metrics.MeanMetricWrapper(first, name="first")
    p = real(N, K)
    metric.update_state(p, p)
    np.testing.assert_allclose(float(metric.result()), p[:, 0].mean(), rtol=1e-5)
    wrapped = metrics.MeanMetricWrapper(lamella.losses.mean_squared_error)
    assert wrapped._direction == "down"


def test_unknown_names_list_near_ones():
    for name in ("kld", "crossentropy", "logcosh", "huber", "iou2"):
        with pytest.raises(ValueError, match=f"unknown metric '{name}'"):
            metrics.get(name)
    with pytest.raises(ValueError, match="'precision'"):
        metrics.get("precison")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: metrics.AUC(curve="roc curve"), "AUC: curve"),
        (lambda: metrics.AUC(num_thresholds=1), "AUC: num_thresholds"),
        (lambda: metrics.AUC(num_labels=3), "AUC: num_labels"),
        (lambda: metrics.Precision(thresholds=1.5), "Precision: thresholds"),
        (lambda: metrics.FBetaScore(beta=1), "FBetaScore: beta"),
        (lambda: metrics.F1Score(average="mean"), "F1Score: average"),
        (lambda: metrics.R2Score(num_regressors=-1), "R2Score: num_regressors"),
        (lambda: metrics.RecallAtPrecision(2.0), "RecallAtPrecision: precision"),
        (lambda: metrics.IoU(2, [2]), "IoU: target_class_ids"),
    ],
)
def test_bad_arguments_raise(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_config_round_trip(case):
    cls, kwargs, make_true, make_pred, _ = case
    first = getattr(metrics, cls)(**kwargs)
    again = type(first).from_config(first.get_config())
    assert again.get_config() == first.get_config()
    t, p = make_true(), make_pred()
    np.testing.assert_array_equal(np.asarray(first(t, p)), np.asarray(again(t, p)))


@pytest.mark.reference
@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_matches_keras(keras, case, weighted):
    cls, kwargs, make_true, make_pred, _ = case
    if weighted and cls in UNWEIGHTED:
        pytest.skip("Keras casts the weights of counts to integers")
    t, p = make_true(), make_pred()
    w = rng.uniform(0.1, 2.0, N).astype("float32") if weighted else None
    ours = getattr(metrics, cls)(**kwargs)
    theirs = getattr(keras.metrics, cls)(**kwargs)
    for a, b, c in batches(t, p, w):
        ours.update_state(a, b, sample_weight=c)
        theirs.update_state(a, b, sample_weight=c)
    got, want = np.asarray(ours.result()), value(theirs.result())
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=5e-5, atol=2e-6)
    mine, reference = ours.get_config(), theirs.get_config()
    assert mine.keys() == reference.keys()
    for key, setting in reference.items():
        if key not in ("name", "dtype", "label_weights"):
            assert mine[key] == setting
    mine_names = [v.name for v in ours.variables]
    assert mine_names == [v.name for v in theirs.variables]
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.numpy(), value(b.value), rtol=5e-5, atol=1e-5)


@pytest.mark.reference
def test_weights_of_other_ranks_match_keras(keras):
    values = real(N, 5)
    for w in (units(N), units(N, 1), units(N, 5), np.float32(0.5)):
        ours, theirs = metrics.Mean(), keras.metrics.Mean()
        ours.update_state(values, sample_weight=w)
        theirs.update_state(values, sample_weight=w)
        np.testing.assert_allclose(
            float(ours.result()), float(theirs.result()), rtol=1e-5
        )


@pytest.mark.reference
def test_same_names_are_known_as_in_keras(keras):
    names = (
        set(dir(metrics))
        | set(dir(keras.metrics))
        | {
            "acc",
            "accuracy",
            "mse",
            "MSE",
            "kld",
            "bce",
            "auc",
            "precision",
            "recall",
            "f1_score",
            "r2_score",
            "mean_io_u",
            "top_k_categorical_accuracy",
            "logcosh",
            "root_mean_squared_error",
            "sparse_categorical_accuracy",
            "huber",
        }
    )
    for name in sorted(names - {"Metric"}):
        try:
            keras.metrics.get(name)
        except TypeError:
            with pytest.raises((TypeError, ValueError)):
                metrics.get(name)
        except ValueError:
            with pytest.raises(ValueError):
                metrics.get(name)
        else:
            assert metrics.get(name) is not None
