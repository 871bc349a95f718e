"""Losses against float64 formulas and against Keras."""

from __future__ import annotations

import os

import numpy as np
import pytest

import lamella
from lamella import _core, layers, losses, ops

EPS = 1e-7
rng = np.random.default_rng(7)
N, K = 6, 4


def probabilities(*shape):
    p = rng.uniform(0.05, 1.0, shape)
    return (p / p.sum(-1, keepdims=True)).astype("float32")


def real(*shape):
    return rng.normal(size=shape).astype("float32")


def positive(*shape):
    return rng.uniform(0.1, 2.0, shape).astype("float32")


def one_hot(*shape):
    return np.eye(shape[-1], dtype="float32")[rng.integers(0, shape[-1], shape[:-1])]


def labels(*shape):
    return rng.integers(0, K, shape[:-1]).astype("int32")


def bits(*shape):
    return rng.integers(0, 2, shape).astype("float32")


def units(*shape):
    return rng.uniform(0.02, 0.98, shape).astype("float32")


def signs(*shape):
    return np.where(rng.normal(size=shape) > 0, 1.0, -1.0).astype("float32")


# Formulas, in float64.


def normed(x, axis=-1):
    return x / np.sqrt((x**2).sum(axis, keepdims=True))


def cce(t, p, from_logits=False, label_smoothing=0.0):
    k = p.shape[-1]
    t = t * (1 - label_smoothing) + label_smoothing / k
    if from_logits:
        e = np.exp(p - p.max(-1, keepdims=True))
        log_p = np.log(e / e.sum(-1, keepdims=True))
    else:
        log_p = np.log(np.clip(p / p.sum(-1, keepdims=True), EPS, 1 - EPS))
    return -(t * log_p).sum(-1)


def scce(t, p, from_logits=False):
    return cce(np.eye(p.shape[-1])[t.astype(int)], p, from_logits)


def bce(t, p, from_logits=False, label_smoothing=0.0):
    t = t * (1 - label_smoothing) + 0.5 * label_smoothing
    p = 1 / (1 + np.exp(-p)) if from_logits else np.clip(p, EPS, 1 - EPS)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1)


def focal(t, p, alpha=0.25, gamma=2.0):
    p = np.clip(p / p.sum(-1, keepdims=True), EPS, 1 - EPS)
    return -(alpha * (1 - p) ** gamma * t * np.log(p)).sum(-1)


def binary_focal(t, p, apply_class_balancing=False, alpha=0.25, gamma=2.0):
    p = np.clip(p, EPS, 1 - EPS)
    hit = np.where(t == 1, p, 1 - p)
    weight = np.where(t == 1, alpha, 1 - alpha) if apply_class_balancing else 1.0
    return (-weight * (1 - hit) ** gamma * np.log(hit)).mean(-1)


def huber(t, p, delta=1.0):
    e = np.abs(t - p)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2).mean(-1)


def hinge_labels(t):
    return 2 * t - 1 if np.isin(t, (0, 1)).all() else t


def dice(t, p, axis=None):
    return 1 - 2 * (t * p).sum(axis) / (t.sum(axis) + p.sum(axis) + EPS)


def tversky(t, p, alpha=0.5, beta=0.5, axis=None):
    both = (t * p).sum(axis)
    miss, alarm = (t * (1 - p)).sum(axis), (p * (1 - t)).sum(axis)
    return 1 - both / (both + alpha * miss + beta * alarm + EPS)


# (function, class, arguments, targets, predictions, formula)
CASES = [
    (
        "mean_squared_error",
        "MeanSquaredError",
        {},
        real,
        real,
        lambda t, p: ((t - p) ** 2).mean(-1),
    ),
    (
        "mean_absolute_error",
        "MeanAbsoluteError",
        {},
        real,
        real,
        lambda t, p: np.abs(t - p).mean(-1),
    ),
    (
        "mean_absolute_percentage_error",
        "MeanAbsolutePercentageError",
        {},
        real,
        real,
        lambda t, p: 100 * np.abs((t - p) / np.maximum(np.abs(t), EPS)).mean(-1),
    ),
    (
        "mean_squared_logarithmic_error",
        "MeanSquaredLogarithmicError",
        {},
        real,
        real,
        lambda t, p: (
            (np.log1p(np.maximum(t, EPS)) - np.log1p(np.maximum(p, EPS))) ** 2
        ).mean(-1),
    ),
    (
        "cosine_similarity",
        "CosineSimilarity",
        {},
        real,
        real,
        lambda t, p: -(normed(t) * normed(p)).sum(-1),
    ),
    ("huber", "Huber", {}, real, real, huber),
    ("huber", "Huber", {"delta": 0.4}, real, real, huber),
    (
        "log_cosh",
        "LogCosh",
        {},
        real,
        real,
        lambda t, p: np.log(np.cosh(t - p)).mean(-1),
    ),
    ("hinge", "Hinge", {}, signs, real, lambda t, p: np.maximum(1 - t * p, 0).mean(-1)),
    (
        "hinge",
        "Hinge",
        {},
        bits,
        real,
        lambda t, p: np.maximum(1 - hinge_labels(t) * p, 0).mean(-1),
    ),
    (
        "squared_hinge",
        "SquaredHinge",
        {},
        bits,
        real,
        lambda t, p: (np.maximum(1 - hinge_labels(t) * p, 0) ** 2).mean(-1),
    ),
    (
        "categorical_hinge",
        "CategoricalHinge",
        {},
        one_hot,
        real,
        lambda t, p: np.maximum(((1 - t) * p).max(-1) - (t * p).sum(-1) + 1, 0),
    ),
    (
        "kl_divergence",
        "KLDivergence",
        {},
        probabilities,
        probabilities,
        lambda t, p: (t * np.log(t / p)).sum(-1),
    ),
    (
        "poisson",
        "Poisson",
        {},
        positive,
        positive,
        lambda t, p: (p - t * np.log(p + EPS)).mean(-1),
    ),
    ("binary_crossentropy", "BinaryCrossentropy", {}, bits, units, bce),
    (
        "binary_crossentropy",
        "BinaryCrossentropy",
        {"from_logits": True},
        bits,
        real,
        bce,
    ),
    (
        "binary_crossentropy",
        "BinaryCrossentropy",
        {"label_smoothing": 0.2},
        bits,
        units,
        bce,
    ),
    (
        "binary_focal_crossentropy",
        "BinaryFocalCrossentropy",
        {},
        bits,
        units,
        binary_focal,
    ),
    (
        "binary_focal_crossentropy",
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5},
        bits,
        units,
        binary_focal,
    ),
    (
        "categorical_crossentropy",
        "CategoricalCrossentropy",
        {},
        one_hot,
        probabilities,
        cce,
    ),
    (
        "categorical_crossentropy",
        "CategoricalCrossentropy",
        {"from_logits": True},
        one_hot,
        real,
        cce,
    ),
    (
        "categorical_crossentropy",
        "CategoricalCrossentropy",
        {"label_smoothing": 0.1},
        one_hot,
        probabilities,
        cce,
    ),
    ("categorical_crossentropy", "CategoricalCrossentropy", {}, one_hot, positive, cce),
    (
        "categorical_focal_crossentropy",
        "CategoricalFocalCrossentropy",
        {},
        one_hot,
        probabilities,
        focal,
    ),
    (
        "categorical_focal_crossentropy",
        "CategoricalFocalCrossentropy",
        {"alpha": 0.5, "gamma": 1.0},
        one_hot,
        probabilities,
        focal,
    ),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        {},
        labels,
        probabilities,
        scce,
    ),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        labels,
        real,
        scce,
    ),
    ("dice", "Dice", {}, bits, units, dice),
    ("dice", "Dice", {"axis": (1,)}, bits, units, dice),
    ("tversky", "Tversky", {"alpha": 0.3, "beta": 0.6}, bits, units, tversky),
    ("tversky", "Tversky", {"axis": (1,)}, bits, units, tversky),
]
IDS = [f"{c[0]}-{i}" for i, c in enumerate(CASES)]
RTOL, ATOL = 2e-5, 2e-6  # float32 logarithms and sums of a few terms


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def value(x):
    x = x.detach() if hasattr(x, "detach") else x
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x)


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("shape", [(N, K), (3, 5, K)])
def test_function_matches_formula(case, shape):
    name, _, kwargs, make_true, make_pred, formula = case
    t, p = make_true(*shape), make_pred(*shape)
    got = np.asarray(getattr(losses, name)(t, p, **kwargs))
    want = formula(t.astype("float64"), p.astype("float64"), **kwargs)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", "none"]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_class_matches_formula(case, reduction, weighted):
    _, cls, kwargs, make_true, make_pred, formula = case
    t, p = make_true(N, K), make_pred(N, K)
    values = formula(t.astype("float64"), p.astype("float64"), **kwargs)
    if np.ndim(values) == 0 and weighted:
        pytest.skip("one value for the whole batch has no sample weights")
    w = rng.uniform(0.1, 2.0, N).astype("float32") if weighted else None
    got = getattr(losses, cls)(reduction=reduction, **kwargs)(t, p, sample_weight=w)
    want = values * w if weighted else values
    if np.ndim(values):
        if reduction == "sum":
            want = want.sum()
        elif reduction == "mean_with_sample_weight" and weighted:
            want = want.sum() / w.sum()
        elif reduction != "none":
            want = want.mean()
    np.testing.assert_allclose(np.asarray(got), want, rtol=RTOL, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_traced_loss_equals_eager_for_every_batch_size(case, weighted):
    _, cls, kwargs, make_true, make_pred, _ = case
    if weighted and cls in ("Dice", "Tversky"):
        pytest.skip("one value for the whole batch has no sample weights")
    loss = getattr(losses, cls)(**kwargs)
    t, p = make_true(N, K), make_pred(N, K)
    w = positive(N)
    graph = _core.Graph()
    with graph:
        y_true = graph.input("t", (None, *t.shape[1:]), t.dtype.name)
        y_pred = graph.input("p", (None, K), "float32")
        weight = graph.input("w", (None,), "float32")
        weight = weight if weighted else None
        graph.output("loss", loss(y_true, y_pred, sample_weight=weight))
    run = _core.Executor(graph)
    for n in (N, 2):
        arrays = [t[:n], p[:n], w[:n]]
        want = loss(t[:n], p[:n], sample_weight=w[:n] if weighted else None)
        np.testing.assert_allclose(
            np.asarray(run(arrays)[0]), np.asarray(want), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_gradient_of_the_loss_is_its_difference_quotient(case):
    _, cls, kwargs, make_true, make_pred, _ = case
    loss = getattr(losses, cls)(dtype="float64", **kwargs)
    t, p = make_true(N, K), make_pred(N, K).astype("float64")
    x = _core.from_numpy(p)
    x.requires_grad = True
    loss(t, x).backward()
    got, step = np.asarray(x.grad), 1e-6
    for index in ((0, 0), (1, 2), (N - 1, K - 1)):
        high, low = p.copy(), p.copy()
        high[index] += step
        low[index] -= step
        slope = (float(loss(t, high)) - float(loss(t, low))) / (2 * step)
        np.testing.assert_allclose(got[index], slope, rtol=1e-5, atol=1e-8)


def test_float64_loss_computes_in_float64():
    t, p = rng.normal(size=(2, N, K))
    got = losses.MeanSquaredError(dtype="float64")(t, p)
    assert got.dtype == "float64"
    np.testing.assert_allclose(float(got), ((t - p) ** 2).mean(), rtol=1e-14)


def test_vector_and_column_match_each_other():
    t, p = real(N), real(N, 1)
    want = ((t - p[:, 0]) ** 2).mean()
    for a, b in ((t, p), (t[:, None], p[:, 0])):
        np.testing.assert_allclose(
            float(losses.MeanSquaredError()(a, b)), want, rtol=1e-6
        )
    got = np.asarray(losses.mean_squared_error(t, p))
    np.testing.assert_allclose(got, (t - p[:, 0]) ** 2, rtol=1e-6)
    sparse = losses.SparseCategoricalCrossentropy()
    classes, q = labels(N, K), probabilities(N, K)
    assert float(sparse(classes, q)) == float(sparse(classes[:, None], q))


@pytest.mark.parametrize(
    ("name", "true", "pred"),
    [
        ("mean_squared_error", (N,), (N, K)),
        ("mean_squared_error", (N, 1), (N, K)),
        ("mean_absolute_error", (1, K), (N, K)),
        ("binary_crossentropy", (N,), (N, 2)),
        ("categorical_crossentropy", (N,), (N, K)),
        ("kl_divergence", (N, K), (N, K + 1)),
        ("huber", (N, 1, K), (N, K)),
        ("dice", (N, 1), (N, K)),
    ],
)
def test_other_shapes_raise_and_name_the_fix(name, true, pred):
    with pytest.raises(ValueError, match=name) as error:
        getattr(losses, name)(np.zeros(true, "f"), np.ones(pred, "f"))
    text = str(error.value)
    assert f"y_true.shape={true}" in text
    assert f"y_pred.shape={pred}" in text
    assert " or " in text


def test_one_hot_labels_for_the_sparse_loss_raise():
    with pytest.raises(ValueError, match="categorical_crossentropy"):
        losses.sparse_categorical_crossentropy(one_hot(N, K), probabilities(N, K))


def test_sample_weight_of_another_length_raises():
    loss = losses.MeanSquaredError()
    with pytest.raises(ValueError, match="sample_weight must have the shape"):
        loss(real(N, K), real(N, K), sample_weight=np.ones(N + 1, "f"))
    with pytest.raises(ValueError, match=r"reshape it to \(n, 1\)"):
        loss(real(N, 5, K), real(N, 5, K), sample_weight=np.ones(N, "f"))


def test_sample_weight_column_is_a_weight_per_sample():
    t, p, w = real(N, K), real(N, K), positive(N)
    loss = losses.MeanAbsoluteError()
    flat, column = loss(t, p, sample_weight=w), loss(t, p, sample_weight=w[:, None])
    assert float(flat) == float(column)
    np.testing.assert_allclose(
        float(flat), (np.abs(t - p).mean(-1) * w).mean(), rtol=1e-6
    )


def test_mask_leaves_positions_out_of_the_mean():
    t, p = real(2, 5, K), real(2, 5, K)
    mask = rng.integers(0, 2, (2, 5)).astype(bool)
    mask[0, 0] = True
    got = losses.MeanSquaredError()(t, p, mask=mask)
    want = ((t - p) ** 2).mean(-1)[mask].mean()
    np.testing.assert_allclose(float(got), want, rtol=1e-5)
    none = losses.MeanSquaredError()(t, p, mask=np.zeros((2, 5), bool))
    assert float(none) == 0.0


@pytest.mark.parametrize("from_logits", [False, True])
def test_ignore_class_leaves_rows_out(from_logits):
    t, p = labels(9, K), probabilities(9, K)
    t[:3] = -1
    loss = losses.SparseCategoricalCrossentropy(
        ignore_class=-1, from_logits=from_logits
    )
    want = scce(t[3:], p[3:].astype("float64"), from_logits).mean()
    np.testing.assert_allclose(float(loss(t, p)), want, rtol=1e-5)
    rows = losses.sparse_categorical_crossentropy(
        t, p, ignore_class=-1, from_logits=from_logits
    )
    assert not np.asarray(rows)[:3].any()


def test_confident_predictions_stay_finite():
    t = np.eye(3, dtype="float32")
    assert np.isfinite(np.asarray(losses.categorical_crossentropy(t, 1 - t))).any()
    np.testing.assert_allclose(
        np.asarray(losses.binary_crossentropy(t, t)), 0.0, atol=1e-6
    )
    logits = np.array([[1000.0, -1000.0]], "float32")
    got = losses.categorical_crossentropy(
        np.array([[0.0, 1.0]], "f"), logits, from_logits=True
    )
    np.testing.assert_allclose(np.asarray(got), [2000.0])


def test_unknown_names_list_near_ones():
    for name in ("logcosh", "crossentropy", "kullback_leibler_divergence"):
        with pytest.raises(ValueError, match=f"unknown loss '{name}'"):
            losses.get(name)
    with pytest.raises(ValueError, match="'mean_squared_error'"):
        losses.get("mean_square_error")
    with pytest.raises(ValueError, match="reduction must be"):
        losses.MeanSquaredError(reduction="average")


def test_ctc_sums_over_all_alignments():
    logits = np.log(np.array([[[0.5, 0.3, 0.2], [0.4, 0.5, 0.1]]], "float32"))
    # label 1 in two steps: 1 1, 1 blank, blank 1
    expected = -np.log(0.3 * 0.5 + 0.3 * 0.4 + 0.5 * 0.5)
    np.testing.assert_allclose(losses.CTC()([[1, 0]], logits), expected, rtol=1e-5)


def test_ctc_trains_in_a_compiled_model():
    model = lamella.Sequential([lamella.Input((6, 3)), lamella.layers.Dense(4)])
    model.compile("adam", "ctc")
    x = np.random.default_rng(0).normal(size=(8, 6, 3)).astype("float32")
    y = np.array([[1, 2, 0], [3, 0, 0]] * 4)
    losses_seen = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert losses_seen[-1] < losses_seen[0]


@pytest.mark.reference
def test_ctc_equals_keras(keras_reference):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 7, 5)).astype("float32")
    y = np.array([[1, 2, 2, 0], [4, 0, 0, 0], [3, 1, 3, 1]])
    np.testing.assert_allclose(
        losses.ctc(y, logits),
        keras_reference.ops.convert_to_numpy(keras_reference.losses.ctc(y, logits)),
        rtol=1e-5,
    )


def test_ctc_sums_over_the_alignments():
    """Two steps for the label [1]: the paths are 11, 01 and 10."""
    logits = np.random.default_rng(0).normal(size=(3, 2, 3)).astype("float32")
    labels = np.array([[1], [2], [1]])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    c = labels[:, 0]
    first, second = p[range(3), 0, c], p[range(3), 1, c]
    want = -np.log(first * second + p[:, 0, 0] * second + first * p[:, 1, 0])
    np.testing.assert_allclose(losses.ctc(labels, logits), want, rtol=1e-5)
    np.testing.assert_allclose(losses.CTC()(labels, logits), want.mean(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"ctc: y_true must be labels"):
        losses.ctc(c, logits)
    with pytest.raises(ValueError, match=r"ctc: y_pred must be logits"):
        losses.ctc(labels, logits[0])


def test_get_resolves_strings_classes_and_callables():
    assert losses.get("mse") is losses.mean_squared_error
    assert losses.get("KLD") is losses.kl_divergence
    assert isinstance(losses.get("Huber"), losses.Huber)
    assert isinstance(losses.get(losses.LogCosh), losses.LogCosh)
    assert losses.get(None) is None

    def own(y_true, y_pred):
        return y_pred

    assert losses.get(own) is own


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_config_round_trip(case):
    _, cls, kwargs, make_true, make_pred, _ = case
    first = getattr(losses, cls)(reduction="sum", name="mine", **kwargs)
    again = type(first).from_config(first.get_config())
    assert again.get_config() == first.get_config()
    t, p = make_true(N, K), make_pred(N, K)
    assert float(first(t, p)) == float(again(t, p))


def test_own_loss_class_and_function():
    class Cubic(losses.Loss):
        def call(self, y_true, y_pred):
            return lamella.ops.mean(lamella.ops.abs(y_true - y_pred) ** 3, axis=-1)

    t, p = real(N, K), real(N, K)
    got = Cubic()(t, p)
    np.testing.assert_allclose(float(got), (np.abs(t - p) ** 3).mean(), rtol=1e-5)


@pytest.mark.reference
@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None]
)
@pytest.mark.parametrize("shape", [(N, K), (3, 5, K)])
def test_class_matches_keras(keras, case, reduction, shape):
    _, cls, kwargs, make_true, make_pred, formula = case
    t, p = make_true(*shape), make_pred(*shape)
    ours = getattr(losses, cls)(reduction=reduction, **kwargs)
    theirs = getattr(keras.losses, cls)(reduction=reduction, **kwargs)
    rank = np.ndim(formula(t.astype("float64"), p.astype("float64"), **kwargs))
    weights = [None]
    if rank and not (rank == 2 and "axis" in kwargs):
        weights.append(positive(*shape[:-1])[tuple([slice(None)] * rank)])
        if rank == 2:
            weights.append(positive(shape[0], 1))
    for w in weights:
        if w is not None and w.ndim != rank:
            continue
        got = np.asarray(ours(t, p, sample_weight=w))
        want = value(theirs(t, p, sample_weight=w))
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=RTOL, atol=ATOL)
    assert ours.get_config().keys() >= theirs.get_config().keys()
    for key, setting in theirs.get_config().items():
        assert ours.get_config()[key] == setting


@pytest.mark.reference
def test_circle_and_generalized_match_keras(keras):
    t = rng.integers(0, 3, 8).astype("int32")
    e = normed(real(8, 5)).astype("float32")
    got = float(losses.Circle(gamma=8.0)(t, e))
    want = float(keras.losses.Circle(gamma=8.0)(t, e))
    np.testing.assert_allclose(got, want, rtol=1e-4)
    p = probabilities(8, 3)
    got = float(losses.CategoricalGeneralizedCrossEntropy(q=0.3)(t, p))
    want = float(keras.losses.CategoricalGeneralizedCrossEntropy(q=0.3)(t, p))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.reference
def test_ignore_class_and_axis_match_keras(keras):
    t, p = rng.integers(0, K, (3, 5)).astype("int32"), probabilities(3, 5, K)
    for kwargs in ({"ignore_class": 1}, {"ignore_class": 0, "from_logits": True}):
        got = float(losses.SparseCategoricalCrossentropy(**kwargs)(t, p))
        want = float(keras.losses.SparseCategoricalCrossentropy(**kwargs)(t, p))
        np.testing.assert_allclose(got, want, rtol=1e-5)
    q = np.moveaxis(p, -1, 1)
    got = np.asarray(losses.sparse_categorical_crossentropy(t, q, axis=1))
    want = value(keras.losses.sparse_categorical_crossentropy(t, q, axis=1))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.reference
def test_same_names_are_known_as_in_keras(keras):
    names = (
        set(dir(losses))
        | set(dir(keras.losses))
        | {
            "mse",
            "MSE",
            "mae",
            "bce",
            "BCE",
            "kld",
            "KLD",
            "mape",
            "msle",
            "logcosh",
            "huber_loss",
            "cosine",
            "crossentropy",
            "mean_squared_error",
        }
    )
    missing = {"Loss", "LossFunctionWrapper"}
    for name in sorted(names - missing):
        try:
            keras.losses.get(name)
        except (ValueError, TypeError):
            with pytest.raises(ValueError):
                losses.get(name)
        else:
            assert losses.get(name) is not None


def test_weights_of_a_loss_that_is_one_number_multiply_it():
    # without a batch axis the loss is one number: Keras gives mean(loss * weights)
    t, p = np.array([1.0, 2.0, 4.0], "float32"), np.zeros(3, "float32")
    w = np.array([1.0, 0.0, 2.0], "float32")
    loss = losses.MeanSquaredError()
    assert float(loss(t, p)) == pytest.approx(7.0)
    assert float(loss(t, p, sample_weight=w)) == pytest.approx(7.0)
    each = losses.MeanSquaredError(reduction="none")(t, p, sample_weight=w)
    np.testing.assert_allclose(np.asarray(each), 7.0 * w)


def test_ctc_as_the_loss_of_a_layer_with_labels_of_unknown_length():
    class Endpoint(layers.Layer):
        def call(self, labels, logits):
            self.add_loss(ops.mean(losses.ctc(labels, logits)))
            return logits

    steps = layers.Input((5, 4))
    labels = layers.Input((None,))
    logits = layers.Dense(3)(steps)
    model = lamella.Model([steps, labels], Endpoint()(labels, logits))
    model.compile("sgd")
    x = np.random.default_rng(0).normal(size=(4, 5, 4)).astype("float32")
    y = np.array([[1, 2], [2, 0], [1, 1], [2, 1]], "float32")
    history = model.fit([x, y], epochs=3, verbose=0).history["loss"]
    assert history[2] < history[0]
