"""Initializers, regularizers, constraints and random tensors."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from lamella import (
    Variable,
    _core,
    constraints,
    initializers,
    ops,
    random,
    regularizers,
)

SHAPES = [(), (7,), (200, 300), (3, 3, 32, 64), (5, 20, 30)]


def fans(shape):
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


# name: (variance as a function of the fans, bound in standard deviations)
SCALED = {
    "GlorotUniform": (lambda i, o: 2 / (i + o), math.sqrt(3)),
    "GlorotNormal": (lambda i, o: 2 / (i + o), 2 / 0.87962566103423978),
    "HeUniform": (lambda i, o: 2 / i, math.sqrt(3)),
    "HeNormal": (lambda i, o: 2 / i, 2 / 0.87962566103423978),
    "LecunUniform": (lambda i, o: 1 / i, math.sqrt(3)),
    "LecunNormal": (lambda i, o: 1 / i, 2 / 0.87962566103423978),
}
ALL = [
    ("Zeros", {}),
    ("Ones", {}),
    ("Constant", {"value": 1.5}),
    ("Identity", {"gain": 2.0}),
    ("RandomNormal", {"mean": 1.0, "stddev": 0.2, "seed": 3}),
    ("RandomUniform", {"minval": -1.0, "maxval": 2.0, "seed": 3}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 0.2, "seed": 3}),
    ("VarianceScaling", {"scale": 0.5, "mode": "fan_out", "distribution": "uniform"}),
    ("VarianceScaling", {"distribution": "untruncated_normal", "seed": 1}),
    ("VarianceScaling", {"input_axes": [0], "output_axes": [1]}),
    ("Orthogonal", {"gain": 0.7, "seed": 5}),
    *[(name, {"seed": 9}) for name in SCALED],
]


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def value(x):
    x = x.detach() if hasattr(x, "detach") else x
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x)


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("shape", [(200, 300), (3, 3, 32, 64)])
def test_scaled_initializers_have_variance_and_bound(name, shape):
    variance, bound = SCALED[name]
    x = np.asarray(getattr(initializers, name)(seed=0)(shape)).astype("float64")
    sigma = math.sqrt(variance(*fans(shape)))
    n = x.size
    assert abs(x.mean()) < 5 * sigma / math.sqrt(n)
    assert abs(x.std() / sigma - 1) < 5 / math.sqrt(n)
    assert np.abs(x).max() <= bound * sigma * (1 + 1e-6)
    assert np.abs(x).max() > 0.9 * bound * sigma


def test_plain_random_initializers():
    shape = (300, 200)
    x = np.asarray(initializers.RandomNormal(mean=2.0, stddev=0.5, seed=1)(shape))
    assert abs(x.mean() - 2.0) < 0.01
    assert abs(x.std() - 0.5) < 0.01
    x = np.asarray(initializers.RandomUniform(-1.0, 3.0, seed=1)(shape))
    assert x.min() >= -1.0
    assert x.max() < 3.0
    assert abs(x.mean() - 1.0) < 0.02
    x = np.asarray(initializers.TruncatedNormal(stddev=0.5, seed=1)(shape))
    assert np.abs(x).max() <= 1.0
    assert abs(x.std() - 0.5 * 0.87962566103423978) < 0.01


@pytest.mark.parametrize("shape", [(6, 6), (8, 3), (3, 8), (2, 3, 4)])
def test_orthogonal_is_orthogonal(shape):
    q = np.asarray(initializers.Orthogonal(gain=2.0, seed=0)(shape))
    q = q.reshape(-1, shape[-1]) / 2.0
    product = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6)
    with pytest.raises(ValueError, match="Orthogonal: shape"):
        initializers.Orthogonal()((3,))


def test_constants():
    assert np.asarray(initializers.Constant(1.5)((2, 3))).tolist() == [[1.5] * 3] * 2
    assert np.asarray(initializers.Constant([1.0, 2.0])((3, 2))).shape == (3, 2)
    np.testing.assert_array_equal(
        np.asarray(initializers.Identity(3.0)((2, 3))), 3 * np.eye(2, 3)
    )
    with pytest.raises(ValueError, match="Identity: shape"):
        initializers.Identity()((2, 2, 2))
    for name in ("zeros", "ones"):
        x = initializers.get(name)((2,), dtype="int32")
        assert x.dtype == "int32"


def test_seeds():
    one = initializers.GlorotUniform(seed=5)
    a, b = np.asarray(one((4, 4))), np.asarray(one((4, 4)))
    np.testing.assert_array_equal(a, b)
    other = np.asarray(initializers.GlorotUniform(seed=6)((4, 4)))
    assert (a != other).any()
    first, second = initializers.GlorotUniform(), initializers.GlorotUniform()
    assert (np.asarray(first((4, 4))) != np.asarray(second((4, 4)))).any()
    _core.set_random_seed(1)
    first = np.asarray(initializers.HeNormal()((4, 4)))
    _core.set_random_seed(1)
    np.testing.assert_array_equal(first, np.asarray(initializers.HeNormal()((4, 4))))
    with pytest.raises(ValueError, match="seed must be"):
        initializers.HeNormal(seed="1")


@pytest.mark.parametrize("case", ALL, ids=[f"{n}-{i}" for i, (n, _) in enumerate(ALL)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_config_round_trip_and_dtype(case, dtype):
    name, kwargs = case
    first = getattr(initializers, name)(**kwargs)
    again = type(first).from_config(first.get_config())
    assert again.get_config() == first.get_config()
    x = first((4, 4), dtype=dtype)
    assert np.asarray(x).dtype == dtype
    if kwargs.get("seed") is not None or name in ("Zeros", "Ones", "Constant"):
        np.testing.assert_array_equal(
            np.asarray(x), np.asarray(again((4, 4), dtype=dtype))
        )


def test_get():
    assert isinstance(initializers.get("he_normal"), initializers.HeNormal)
    assert isinstance(initializers.get("HeNormal"), initializers.HeNormal)
    assert isinstance(initializers.get("normal"), initializers.RandomNormal)
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)
    given = initializers.get(np.arange(4, dtype="float32"))
    np.testing.assert_array_equal(np.asarray(given((4,))), np.arange(4))
    with pytest.raises(ValueError, match="shape of the weight"):
        given((5,))
    with pytest.raises(ValueError, match=r"unknown initializer 'glorot_unifrom'"):
        initializers.get("glorot_unifrom")
    config = {"class_name": "HeNormal", "config": {"seed": 3}}
    assert initializers.get(config).seed == 3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: initializers.VarianceScaling(scale=0.0), "scale must be positive"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode must be"),
        (lambda: initializers.VarianceScaling(distribution="flat"), "distribution"),
        (lambda: regularizers.L2(-1.0), "L2: l2 must be"),
        (lambda: regularizers.L1(math.nan), "L1: l1 must be"),
        (lambda: regularizers.OrthogonalRegularizer(mode="row"), "mode must be"),
        (lambda: regularizers.get("l1_l2"), "unknown regularizer 'l1_l2'"),
        (lambda: constraints.get("nonneg"), "unknown constraint 'nonneg'.*'non_neg'"),
    ],
)
def test_bad_arguments_raise(make, text):
    with pytest.raises(ValueError, match=text):
        make()


W = np.random.default_rng(1).normal(size=(5, 4)).astype("float32")
PENALTIES = [
    ("L1", {"l1": 0.3}, lambda w: 0.3 * np.abs(w).sum()),
    ("L2", {"l2": 0.2}, lambda w: 0.2 * (w**2).sum()),
    (
        "L1L2",
        {"l1": 0.1, "l2": 0.2},
        lambda w: 0.1 * np.abs(w).sum() + 0.2 * (w**2).sum(),
    ),
    ("L1L2", {}, lambda w: 0.0),
    ("OrthogonalRegularizer", {"factor": 0.4}, None),
    ("OrthogonalRegularizer", {"mode": "columns"}, None),
]
CONDITIONS = [
    (
        "MaxNorm",
        {"max_value": 1.5},
        lambda w: w * np.minimum(1, 1.5 / np.sqrt((w**2).sum(0))),
    ),
    (
        "MaxNorm",
        {"max_value": 1.0, "axis": [0, 1]},
        lambda w: w * min(1, 1 / np.sqrt((w**2).sum())),
    ),
    ("NonNeg", {}, lambda w: np.maximum(w, 0)),
    ("UnitNorm", {"axis": 1}, lambda w: w / np.sqrt((w**2).sum(1, keepdims=True))),
    ("MinMaxNorm", {"min_value": 2.0, "max_value": 2.5, "rate": 0.5}, None),
]


@pytest.mark.parametrize("case", PENALTIES, ids=str)
def test_regularizer_formula_and_config(case):
    name, kwargs, formula = case
    penalty = getattr(regularizers, name)(**kwargs)
    if formula is not None:
        got = float(penalty(ops.convert_to_tensor(W)))
        np.testing.assert_allclose(got, formula(W.astype("float64")), rtol=1e-5)
    again = type(penalty).from_config(penalty.get_config())
    assert again.get_config() == penalty.get_config()


@pytest.mark.parametrize("case", CONDITIONS, ids=str)
def test_constraint_formula_and_config(case):
    name, kwargs, formula = case
    condition = getattr(constraints, name)(**kwargs)
    if formula is not None:
        got = np.asarray(condition(ops.convert_to_tensor(W)))
        np.testing.assert_allclose(got, formula(W.astype("float64")), rtol=1e-5)
    again = type(condition).from_config(condition.get_config())
    assert again.get_config() == condition.get_config()


@pytest.mark.reference
def test_match_keras(keras):
    for name, kwargs in ALL:
        ours = getattr(initializers, name)(**kwargs).get_config()
        theirs = getattr(keras.initializers, name)(**kwargs).get_config()
        if name == "Identity":  # Keras forgets the gain
            theirs = {"gain": kwargs["gain"], **theirs}
        assert ours == theirs
    for shape in SHAPES:
        assert initializers.compute_fans(shape) == fans(shape)
    for name, kwargs, _ in PENALTIES:
        ours = getattr(regularizers, name)(**kwargs)
        theirs = getattr(keras.regularizers, name)(**kwargs)
        want = float(value(theirs(keras.ops.array(W))))
        np.testing.assert_allclose(
            float(ours(ops.convert_to_tensor(W))), want, rtol=1e-5
        )
        assert ours.get_config() == pytest.approx(theirs.get_config())
    for name, kwargs, _ in CONDITIONS:
        ours = getattr(constraints, name)(**kwargs)
        theirs = getattr(keras.constraints, name)(**kwargs)
        want = value(theirs(keras.ops.array(W)))
        got = np.asarray(ours(ops.convert_to_tensor(W)))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert ours.get_config() == theirs.get_config()


@pytest.mark.reference
@pytest.mark.parametrize("family", ["initializers", "regularizers", "constraints"])
def test_same_names_are_known_as_in_keras(keras, family):
    theirs = getattr(keras, family)
    ours = {
        "initializers": initializers,
        "regularizers": regularizers,
        "constraints": constraints,
    }[family]
    names = set(dir(ours)) | set(dir(theirs)) | {"l1l2", "normal", "uniform", "one"}
    skipped = {
        "stft",
        "STFT",
        "STFTInitializer",
        "Initializer",
        "Constraint",
        "Regularizer",
        "initializer",
        "constraint",
        "regularizer",
    }
    for name in sorted(names - skipped):
        try:
            theirs.get(name)
        except KeyError:  # Keras's Constant cannot be made from its name
            assert name.lower() == "constant"
        except (ValueError, TypeError):
            with pytest.raises(ValueError):
                ours.get(name)
        else:
            assert ours.get(name) is not None


# keras.random


def test_random_seed_repeats_and_generator_advances():
    np.testing.assert_array_equal(
        np.asarray(random.normal((4,), seed=3)), np.asarray(random.normal((4,), seed=3))
    )
    generator = random.SeedGenerator(3)
    first = np.asarray(random.normal((4,), seed=generator))
    second = np.asarray(random.normal((4,), seed=generator))
    assert (first != second).any()
    assert generator.state.numpy().tolist() == [3, 2]
    restored = random.SeedGenerator.from_config(generator.get_config())
    np.testing.assert_array_equal(first, np.asarray(random.normal((4,), seed=restored)))
    assert (np.asarray(random.uniform((4,))) != np.asarray(random.uniform((4,)))).any()
    with pytest.raises(ValueError, match="seed must be"):
        random.uniform((2,), seed="x")


def test_random_integers_and_classes_have_their_frequencies():
    draws = np.asarray(random.randint((30000,), -2, 3, seed=1))
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert np.abs(counts / 30000 - 0.2).max() < 0.015
    p = np.array([[0.2, 0.3, 0.5], [1.0, 1e-9, 1e-9]])
    draws = np.asarray(random.categorical(np.log(p).astype("f"), 20000, seed=2))
    assert np.abs(np.bincount(draws[0]) / 20000 - p[0]).max() < 0.015
    assert (draws[1] == 0).all()
    with pytest.raises(ValueError, match="randint: minval"):
        random.randint((1,), 3, 3)
    with pytest.raises(ValueError, match="uniform: dtype"):
        random.uniform((1,), dtype="int32")


def test_random_shuffle_permutes_and_dropout_scales():
    x = np.arange(40).reshape(20, 2)
    y = np.asarray(random.shuffle(x, seed=5))
    assert (y != x).any()
    np.testing.assert_array_equal(np.sort(y[:, 0]), x[:, 0])
    np.testing.assert_array_equal(y[:, 1], y[:, 0] + 1)
    dropped = np.asarray(random.dropout(np.ones((200, 50), "f"), 0.2, seed=1))
    assert set(np.unique(dropped)) == {np.float32(0.0), np.float32(1.25)}
    assert abs(dropped.mean() - 1.0) < 0.03
    rows = np.asarray(
        random.dropout(np.ones((200, 3), "f"), 0.5, noise_shape=(200, 1), seed=1)
    )
    assert (rows == rows[:, :1]).all()


@pytest.mark.parametrize(
    ("draw", "mean", "sigma"),
    [
        (lambda: random.gamma((20000,), 3.0, seed=1), 3.0, math.sqrt(3.0)),
        (lambda: random.beta((20000,), 2.0, 3.0, seed=1), 0.4, 0.2),
        (lambda: random.binomial((20000,), 10, 0.3, seed=1), 3.0, math.sqrt(2.1)),
    ],
)
def test_random_distributions_have_their_moments(draw, mean, sigma):
    x = np.asarray(draw())
    assert abs(x.mean() - mean) < 5 * sigma / math.sqrt(x.size)
    assert abs(x.std() / sigma - 1) < 0.05


def test_traced_random_numbers_change_every_step():
    generator = random.SeedGenerator(7)
    graph = _core.Graph()
    with graph:
        x = graph.input("x", (None, 3), "float32")
        graph.output("mine", ops.sum(random.normal((3,), seed=generator) + 0 * x[0]))
        graph.output("global", ops.sum(random.uniform((3,)) + 0 * x[0]))
    trainer = _core.Trainer(graph)
    rows = [trainer.step([np.zeros((2, 3), "f")]) for _ in range(3)]
    for column in zip(*rows, strict=True):
        assert len(set(column)) == 3
    assert generator.state.numpy().tolist() == [7, 3]
    with graph, pytest.raises(ValueError, match="binomial: cannot be used"):
        random.binomial((2,), 3, 0.5)


def test_variables_made_while_tracing_get_their_values():
    graph = _core.Graph()
    with graph:
        x = graph.input("x", (None, 3), "float32")
        w = Variable(initializers.Orthogonal(seed=1), shape=(3, 3))
        b = Variable(initializers.GlorotUniform(seed=2), shape=(3,))
        graph.output("y", ops.matmul(x, w) + b)
    np.testing.assert_allclose(w.numpy() @ w.numpy().T, np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(
        b.numpy(), np.asarray(initializers.GlorotUniform(seed=2)((3,)))
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"side": "imag"},
        {"window": "hamming", "scaling": "spectrum", "periodic": True},
        {"window": None},
    ],
)
def test_stft_is_a_windowed_fourier_transform(arguments):
    kernel = np.asarray(initializers.get("stft").__class__(**arguments)((16, 1, 9)))
    frame = np.random.default_rng(0).normal(size=16)
    window = {"hann": np.hanning(16), "hamming": np.hamming(17)[:-1]}.get(
        arguments.get("window", "hann"), np.ones(16)
    )
    scale = {"density": np.sqrt((window**2).sum()), "spectrum": window.sum()}
    scale = scale[arguments.get("scaling", "density")]
    if arguments.get("window", "hann") is None:
        scale = 1.0
    wanted = np.fft.rfft(frame * window) / scale
    part = wanted.imag if arguments.get("side") == "imag" else wanted.real
    got = np.einsum("t,tof->f", frame, kernel)
    np.testing.assert_allclose(got, part, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="STFT: side must be"):
        initializers.STFT(side="left")
