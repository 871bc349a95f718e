"""Functions of ops in functional models with an unknown batch: eager, predicted, saved.

The eager values are checked elsewhere (test_ops.py, test_ops_keras.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import activations, layers, ops, random

_r = np.random.default_rng(0)
ROWS = _r.normal(size=(5, 4)).astype("float32")
WHOLE = _r.integers(-4, 5, (5, 4)).astype("int32")
SQUARE = _r.normal(size=(5, 3, 3)).astype("float32")
DEFINITE = (SQUARE @ SQUARE.transpose(0, 2, 1) + 2 * np.eye(3)).astype("float32")
SERIES = _r.normal(size=(5, 8, 3)).astype("float32")
IMAGES = _r.normal(size=(5, 6, 6, 4)).astype("float32")

UNARY = [
    "angle",
    "arccosh",
    "arcsinh",
    "arctanh",
    "ceil",
    "erfinv",
    "fabs",
    "floor",
    "i0",
    "imag",
    "isreal",
    "logical_not",
    "nan_to_num",
    "real",
    "round",
    "sinc",
    "trunc",
    "relu6",
    "log_softmax",
    "softmax",
    "sparsemax",
    "argsort",
    "sort",
    "ravel",
    "size",
]
PAIRS = [
    "fmax",
    "fmin",
    "fmod",
    "hypot",
    "isclose",
    "logaddexp",
    "nextafter",
    "arctan2",
    "divide_no_nan",
]
BITS = [
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "left_shift",
    "right_shift",
    "gcd",
    "lcm",
]
REDUCTIONS = [
    "all",
    "amax",
    "any",
    "argmax",
    "count_nonzero",
    "logsumexp",
    "mean",
    "median",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanstd",
    "nansum",
    "prod",
    "ptp",
    "std",
    "var",
]
ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh",
    "tanh_shrink",
]


def last(x: Any) -> Any:
    """Labels or lengths of 2, made from x so that they have its batch."""
    return ops.cast(ops.zeros_like(x[:, 0, 0]) + 2, "int32")


Row = tuple[str, np.ndarray, Callable[[Any], Any]]
TABLE: list[Row] = [
    *((f, ROWS, lambda x, f=f: getattr(ops, f)(x)) for f in UNARY),
    *((f, ROWS, lambda x, f=f: getattr(ops, f)(x, ops.flip(x, 1))) for f in PAIRS),
    *((f"{f} of 2", ROWS, lambda x, f=f: getattr(ops, f)(2.0, x)) for f in PAIRS),
    *((f, WHOLE, lambda x, f=f: getattr(ops, f)(x, 3)) for f in BITS),
    *((f, ROWS, lambda x, f=f: getattr(ops, f)(x, axis=1)) for f in REDUCTIONS),
    *((f, ROWS, lambda x, f=f: getattr(activations, f)(x)) for f in ACTIVATIONS),
    (
        "relu with all settings",
        ROWS,
        lambda x: activations.relu(x, 0.1, max_value=0.5, threshold=0.1),
    ),
    ("threshold", ROWS, lambda x: activations.threshold(x, 0.1, 2.0)),
    ("bitwise_not", WHOLE, ops.bitwise_not),
    ("quantile", IMAGES, lambda x: ops.quantile(x, [0.3, 0.8], axis=(1, 2))),
    ("nanquantile", ROWS, lambda x: ops.nanquantile(x, 0.3, axis=-1, keepdims=True)),
    ("percentile", ROWS, lambda x: ops.percentile(x, 30, axis=1, method="nearest")),
    ("top_k", ROWS, lambda x: ops.top_k(x, 2)[0]),
    ("sort the middle", SERIES, lambda x: ops.sort(x, axis=1)),
    (
        "take_along_axis",
        ROWS,
        lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1),
    ),
    (
        "histogram",
        ROWS,
        lambda x: ops.histogram(ops.ravel(x), bins=4, range=(-2.0, 2.0))[0],
    ),
    ("fft", ROWS, lambda x: ops.fft((x, x * 0.5))[1]),
    ("fft2", IMAGES, lambda x: ops.fft2((x, x))[0]),
    ("ifft2", IMAGES, lambda x: ops.ifft2((x, x))[1]),
    ("rfft", ROWS, lambda x: ops.rfft(x, 6)[0]),
    ("irfft", ROWS, lambda x: ops.irfft((x, x))),
    ("stft", SERIES, lambda x: ops.stft(ops.transpose(x, (0, 2, 1)), 4, 2, 4)[0]),
    ("istft", SERIES, lambda x: ops.istft((x, x), 4, 2, 4)),
    ("extract_sequences", ROWS, lambda x: ops.extract_sequences(x, 2, 1)),
    ("cholesky", DEFINITE, lambda x: ops.cholesky(x, upper=True)),
    ("cholesky_inverse", DEFINITE, ops.cholesky_inverse),
    ("det", SQUARE, ops.det),
    ("inv", SQUARE, ops.inv),
    ("slogdet", SQUARE, lambda x: ops.slogdet(x)[1]),
    ("logdet", DEFINITE, ops.logdet),
    ("solve", SQUARE, lambda x: ops.solve(x, ops.transpose(x, (0, 2, 1)))),
    ("solve vectors", SQUARE, lambda x: ops.solve(x, x[:, 0])),
    ("solve_triangular", DEFINITE, lambda x: ops.solve_triangular(x, x, lower=True)),
    ("unfold", IMAGES, lambda x: ops.unfold(x, 2)),
    ("fold", IMAGES, lambda x: ops.fold(ops.unfold(x, 2), (6, 4), 2)),
    (
        "rearrange",
        IMAGES,
        lambda x: ops.rearrange(x, "b (h p) w c -> b h (w p c)", p=2),
    ),
    (
        "segment_sum",
        SERIES,
        lambda x: ops.segment_sum(ops.transpose(x, (1, 0, 2)), [0, 1] * 4, 2),
    ),
    ("adaptive_average_pool", IMAGES, lambda x: ops.adaptive_average_pool(x, (4, 5))),
    ("adaptive_max_pool", IMAGES, lambda x: ops.adaptive_max_pool(x, (4, 5))),
    ("softmax over two axes", IMAGES, lambda x: ops.softmax(x, axis=(1, 2))),
    (
        "ctc_loss",
        SERIES,
        lambda x: ops.ctc_loss(last(x)[:, None], x, last(x) - 1, last(x) + 4),
    ),
    ("ctc_decode", SERIES, lambda x: ops.ctc_decode(x, last(x) + 4)[0]),
    ("einsum with a diagonal", SQUARE, lambda x: ops.einsum("bii->b", x)),
    ("fori_loop", ROWS, lambda x: ops.fori_loop(0, 3, grow, x)),
    ("convert_to_tensor", ROWS, ops.convert_to_tensor),
    ("ldexp", WHOLE, lambda x: ops.ldexp(1.5, x)),
]


@lamella.saving.register_keras_serializable("test_ops_traced")
def grow(i: int, x: Any) -> Any:
    return x * 1.5 + i


@pytest.mark.parametrize(("name", "x", "f"), TABLE, ids=[row[0] for row in TABLE])
def test_function_of_a_placeholder_is_the_eager_function(
    name: str, x: np.ndarray, f: Callable[[Any], Any], tmp_path: Path
) -> None:
    want = np.asarray(f(ops.convert_to_tensor(x)))
    inputs = lamella.Input(x.shape[1:], dtype=x.dtype.name)
    outputs = f(inputs)
    assert len(outputs.shape) == want.ndim
    for told, size in zip(outputs.shape, want.shape, strict=True):
        assert told in (None, size)
    model = lamella.Model(inputs, outputs)
    path = tmp_path / "model.keras"
    model.save(path)
    for m in (model, lamella.models.load_model(path)):
        got = np.asarray(m.predict_on_batch(x))
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


# -- loops and gradients in trained models


class Loops(layers.Layer):
    """scan, while_loop with a traced condition, and cond."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x: Any) -> Any:
        def step(carry: Any, z: Any) -> Any:
            return carry * 0.5 + z * self.w, carry

        h, _ = ops.scan(step, ops.zeros_like(x[:, 0]), ops.transpose(x, (1, 0, 2)))
        _, h = ops.while_loop(
            lambda i, v: ops.less(ops.sum(ops.abs(v)), 50.0),
            lambda i, v: (i + 1, v * 1.5),
            (0, h),
            maximum_iterations=12,
        )
        return ops.cond(ops.sum(h) > 0, lambda: h * 2, lambda: h * 3)


@ops.custom_gradient
def sevenfold(x: Any) -> Any:
    return x * 2, lambda upstream: upstream * 7.0


class Sevenfold(layers.Layer):
    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], 2), initializer="ones")

    def call(self, x: Any) -> Any:
        return sevenfold(ops.matmul(x, self.w))


class Slope(layers.Layer):
    """The derivative of sin along a direction."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x: Any) -> Any:
        return ops.jvp(ops.sin, (x,), (ops.ones_like(x) * self.w,))[1]


def trained(layer: layers.Layer, x: np.ndarray, y: np.ndarray, eager: bool) -> Any:
    model = lamella.Sequential([lamella.Input(x.shape[1:]), layer])
    model.compile(lamella.optimizers.SGD(0.01), "mse", run_eagerly=eager)
    model.fit(x, y, batch_size=5, epochs=3, shuffle=False, verbose=0)
    return model.get_weights()[0]


@pytest.mark.parametrize(
    ("layer", "x", "y"),
    [
        (Loops, SERIES, np.ones((5, 3), "float32")),
        (Sevenfold, ROWS, np.zeros((5, 2), "float32")),
        (Slope, ROWS, np.zeros((5, 4), "float32")),
    ],
)
def test_loops_and_gradients_train_compiled_as_eagerly(
    layer: type, x: np.ndarray, y: np.ndarray
) -> None:
    compiled, eager = (trained(layer(), x, y, eager) for eager in (False, True))
    assert not np.allclose(compiled, 1)
    np.testing.assert_allclose(compiled, eager, rtol=1e-4)


def test_custom_gradient_is_the_one_that_is_given() -> None:
    x = ops.convert_to_tensor(ROWS.astype("float64"))
    x.requires_grad = True
    y = sevenfold(x)
    np.testing.assert_allclose(y, 2 * ROWS, rtol=1e-6)
    ops.sum(y * y).backward()
    np.testing.assert_allclose(x.grad, 7 * 2 * 2 * ROWS, rtol=1e-6)


def test_jvp_is_the_directional_derivative() -> None:
    u, v = ROWS, ROWS[::-1].copy()
    value, slope, aux = ops.jvp(
        lambda a, b: ({"product": a * b, "one": ops.ones(2)}, "aux"),
        (u, v),
        (v, u),
        has_aux=True,
    )
    np.testing.assert_allclose(value["product"], u * v, rtol=1e-6)
    np.testing.assert_allclose(slope["product"], v * v + u * u, rtol=1e-6)
    np.testing.assert_array_equal(slope["one"], [0, 0])
    assert aux == "aux"


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.5, 40.0])
def test_gamma_has_its_quantiles(alpha: float) -> None:
    n = 40000
    got = np.asarray(random.gamma((n,), alpha, seed=1, dtype="float64"))
    want = np.random.default_rng(2).standard_gamma(alpha, n)
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        assert abs((got < np.quantile(want, q)).mean() - q) < 0.01


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.2), (2.0, 5.0), (30.0, 3.0)])
def test_beta_has_its_quantiles(alpha: float, beta: float) -> None:
    n = 40000
    got = np.asarray(random.beta((n,), alpha, beta, seed=1, dtype="float64"))
    want = np.random.default_rng(2).beta(alpha, beta, n)
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        assert abs((got < np.quantile(want, q)).mean() - q) < 0.01


class Noise(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * 0 + random.gamma((4,), 2.0) + random.beta(ops.shape(x), 0.2, 0.2)


def test_gamma_and_beta_are_drawn_anew_in_a_model() -> None:
    model = lamella.Sequential([lamella.Input((4,)), Noise()])
    first, second = (np.asarray(model.predict(ROWS, verbose=0)) for _ in range(2))
    assert np.isfinite(first).all()
    assert not np.array_equal(first, second)


class Untraceable(layers.Layer):
    def __init__(self, f: Callable[[Any], Any]) -> None:
        super().__init__()
        self.f = f

    def call(self, x: Any) -> Any:
        return self.f(x)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (ops.qr, "qr: cannot be used inside a traced model"),
        (ops.svd, "svd: cannot be used inside a traced model"),
        (ops.pinv, "pinv: cannot be used inside a traced model"),
        (ops.nonzero, "nonzero: the shape of the result depends on the values"),
        (ops.unique, "unique: the shape of the result depends on the values"),
        (lambda x: ops.view(x, "int32"), "view: reading bits"),
        (
            lambda x: ops.while_loop(lambda v: ops.sum(v) < 1, lambda v: v + 1, x),
            "needs maximum_iterations",
        ),
    ],
)
def test_what_cannot_be_traced_says_so(f: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lamella.Sequential([lamella.Input((4,)), Untraceable(f)])


@pytest.mark.parametrize("name", ["eig", "polar", "view_as_complex", "view_as_real"])
def test_what_is_not_offered_says_so(name: str) -> None:
    with pytest.raises(AttributeError, match="needs complex tensors"):
        getattr(ops, name)


def test_factorizations_without_gradient_refuse_to_drop_it() -> None:
    x = ops.convert_to_tensor(SQUARE)
    x.requires_grad = True
    with pytest.raises(ValueError, match="has no gradient"):
        ops.svd(x)
    assert ops.svd(ops.stop_gradient(x))[1].shape == (5, 3)


def test_sort_predicts_many_rows_in_pieces() -> None:
    x = np.random.default_rng(1).normal(size=(3000, 7)).astype("float32")
    inputs = lamella.Input((7,))
    h = layers.Dense(7, kernel_initializer="identity")(inputs)
    y = ops.top_k(h, 2)[0] + ops.median(h, axis=1, keepdims=True)
    want = np.sort(x)[:, :-3:-1] + np.median(x, axis=1, keepdims=True)
    got = lamella.Model(inputs, y).predict(x, batch_size=3000, verbose=0)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
