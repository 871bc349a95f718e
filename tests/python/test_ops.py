"""Every op: value, gradient, float32, eager against compiled, threads, empty, NaN."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, Case
from cases_ops import MORE, SMOOTH

import lamella
from lamella import _core as c

ALL = [*CASES, *MORE]
by_name = pytest.mark.parametrize("case", ALL, ids=lambda k: k.name)
differentiable = pytest.mark.parametrize(
    "case", [k for k in ALL if k.grad], ids=lambda k: k.name
)


def run(case: Case, dtype: str) -> np.ndarray:
    tensors = [c.tensor(x, dtype) for x in case.inputs]
    return case.op(*tensors).numpy()


@by_name
def test_op_value_float64_equals_formula(case: Case) -> None:
    want = np.asarray(case.reference(*case.inputs))
    got = run(case, "float64")
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


@by_name
def test_op_value_float32_is_close_to_float64(case: Case) -> None:
    narrow = [x.astype(np.float32).astype(np.float64) for x in case.inputs]
    want = np.asarray(case.reference(*narrow))
    got = run(case, "float32")
    np.testing.assert_allclose(got, want, rtol=case.rtol, atol=case.atol)


@differentiable
def test_op_gradient_equals_central_difference(case: Case) -> None:
    assert lamella.gradcheck(case.op, *case.inputs, step=1e-6, atol=1e-6) <= 1


@pytest.mark.parametrize("case", SMOOTH, ids=lambda k: k.name)
def test_op_second_derivative_equals_central_difference(case: Case) -> None:
    rng = np.random.default_rng(5)
    first = case.inputs[0]
    rest = [c.tensor(x) for x in case.inputs[1:]]
    weights = c.tensor(rng.normal(size=case.reference(*case.inputs).shape))
    direction = rng.normal(size=first.shape)

    def gradient(at: np.ndarray) -> tuple[c.Tensor, c.Tensor]:
        x = c.tensor(at)
        x.requires_grad = True
        y = case.op(x, *rest)
        return x, c.gradients([y], [x], [weights], create_graph=True)[0]

    x, slope = gradient(first)
    (got,) = c.gradients([slope], [x], [c.tensor(direction)])
    step = 1e-6
    after = gradient(first + step * direction)[1].numpy()
    before = gradient(first - step * direction)[1].numpy()
    want = (after - before) / (2 * step)  # the Hessian is symmetric
    close = {"rtol": 1e-5, "atol": 1e-6 * abs(want).max()}
    np.testing.assert_allclose(got.numpy(), want, **close)


@by_name
def test_op_compiled_equals_eager_bit_for_bit(case: Case) -> None:
    narrow = [x.astype(np.float32) for x in case.inputs]
    tensors = [c.tensor(x) for x in narrow]
    for t in tensors:
        t.requires_grad = True  # so that eager mode, too, knows what made a tensor
    eager = case.op(*tensors).numpy()
    g = c.Graph()
    variables = [c.Variable(x) for x in narrow]
    with g:
        g.output("y", case.op(*[v.value() for v in variables]))
    (got,) = c.Executor(g)([])
    np.testing.assert_array_equal(got, eager)


@differentiable
def test_op_float32_gradient_is_the_same_for_any_thread_count(case: Case) -> None:
    def gradients() -> list[np.ndarray]:
        tensors = [c.tensor(x, "float32") for x in case.inputs]
        for t in tensors:
            t.requires_grad = True
        y = case.op(*tensors)
        weights = np.random.default_rng(5).normal(size=y.shape).astype(np.float32)
        if y.requires_grad:
            y.backward(c.tensor(weights))
        return [
            np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in tensors
        ]

    before = lamella.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3, 8):
            lamella.set_num_threads(n)
            results.append(gradients())
    finally:
        lamella.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("op", [c.relu, c.sigmoid, c.tanh, c.exp, c.softmax, c.abs])
def test_op_nan_propagates(op: object) -> None:
    x = np.array([[1.0, np.nan, 2.0, 3.0, 4.0]], np.float32)
    assert np.isnan(op(c.tensor(x)).numpy()[0, 1])


@pytest.mark.parametrize("op", [c.max, c.min, c.sum, c.mean, c.prod])
def test_reduction_nan_propagates(op: object) -> None:
    x = np.ones(37, np.float32)
    x[20] = np.nan
    assert np.isnan(op(c.tensor(x)).item())


@pytest.mark.parametrize("op", [c.relu, c.exp, c.neg, c.isnan])
def test_op_empty_gives_empty(op: object) -> None:
    assert op(c.tensor(np.zeros((0, 3), np.float32))).shape == (0, 3)


def test_matmul_empty_inner_size_gives_zeros() -> None:
    y = c.matmul(np.zeros((2, 0), np.float32), np.zeros((0, 3), np.float32))
    np.testing.assert_array_equal(y.numpy(), np.zeros((2, 3)))


def test_sum_of_empty_is_zero() -> None:
    assert c.sum(np.zeros((0, 3), np.float32)).item() == 0


def test_max_of_empty_raises() -> None:
    with pytest.raises(ValueError, match="no elements"):
        c.max(np.zeros((0, 3), np.float32), 0)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_integer_arithmetic_equals_numpy(dtype: str) -> None:
    x = np.array([[3, 0, 7], [1, 2, 5]]).astype(dtype)
    y = np.array([[2, 1, 3], [1, 4, 2]]).astype(dtype)
    t, u = c.tensor(x), c.tensor(y)
    wide = np.int32 if dtype in ("uint8", "bool") else np.dtype(dtype)
    np.testing.assert_array_equal(
        c.sum(t, 0).numpy(), x.astype(wide).sum(0, dtype=wide)
    )
    np.testing.assert_array_equal(c.equal(t, u).numpy(), x == y)
    if dtype != "bool":
        np.testing.assert_array_equal(c.add(t, u).numpy(), x + y)
        np.testing.assert_array_equal(c.mul(t, u).numpy(), x * y)
        np.testing.assert_array_equal(c.maximum(t, u).numpy(), np.maximum(x, y))


def test_integer_floor_division_and_modulo_follow_python() -> None:
    x, y = np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])
    np.testing.assert_array_equal(c.floor_div(x, y).numpy(), x // y)
    np.testing.assert_array_equal(c.mod(x, y).numpy(), x % y)
    assert c.floor_div(np.array([1]), np.array([0])).numpy()[0] == 0


@pytest.mark.parametrize(
    ("x", "y", "want"),
    [
        ("int32", "float32", "float32"),
        ("int64", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("uint8", "int32", "int32"),
        ("bool", "int32", "int32"),
    ],
)
def test_promotion_follows_keras(x: str, y: str, want: str) -> None:
    a = c.tensor(np.ones(2), x)
    b = c.tensor(np.ones(2), y)
    assert (a + b).dtype == want
    assert (b + a).dtype == want


def test_python_scalars_are_weak() -> None:
    assert (c.tensor(np.ones(2), "float64") * 2.0).dtype == "float64"
    assert (c.tensor(np.ones(2), "int32") * 2).dtype == "int32"
    assert (c.tensor(np.ones(2), "int32") * 2.5).dtype == "float32"
    assert (1 - c.tensor(np.ones(2), "float32")).dtype == "float32"


def test_gather_out_of_range_raises() -> None:
    with pytest.raises(ValueError, match="out of range"):
        c.gather(np.ones((3, 2), np.float32), [0, 3], 0)


def test_sparse_label_out_of_range_raises() -> None:
    with pytest.raises(ValueError, match="out of range"):
        c.sparse_categorical_crossentropy(np.array([0, 4]), np.ones((2, 4), "f"), True)


def test_shapes_that_do_not_broadcast_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4,\)"):
        c.add(np.ones((2, 3)), np.ones(4))


def test_matmul_error_names_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 5\)"):
        c.matmul(np.ones((2, 3), "f"), np.ones((4, 5), "f"))


def test_random_depends_on_key_only() -> None:
    key = np.array([3, 7], np.int64)
    a = c.random_normal(key, (1000,)).numpy()
    np.testing.assert_array_equal(a, c.random_normal(key, (1000,)).numpy())
    # The stream of a longer draw begins with the shorter one.
    np.testing.assert_array_equal(a, c.random_normal(key, (5000,)).numpy()[:1000])
    b = c.random_normal(np.array([3, 8], np.int64), (1000,)).numpy()
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_moments(dtype: str) -> None:
    key = np.array([1, 2], np.int64)
    n = c.random_normal(key, (200_000,), 2.0, 3.0, dtype).numpy()
    assert abs(n.mean() - 2) < 0.03
    assert abs(n.std() - 3) < 0.03
    u = c.random_uniform(key, (200_000,), -1.0, 3.0, dtype).numpy()
    assert u.min() >= -1
    assert u.max() < 3
    assert abs(u.mean() - 1) < 0.01
    assert abs(u.var() - 16 / 12) < 0.02
    t = c.random_truncated_normal(key, (200_000,), 0.0, 1.0, dtype).numpy()
    assert np.abs(t).max() <= 2
    assert abs(t.std() - 0.87962566103423978) < 0.01


def test_dropout_scales_and_its_gradient_uses_the_same_mask() -> None:
    x = c.tensor(np.ones((100, 100), np.float32))
    x.requires_grad = True
    key = np.array([5, 0], np.int64)
    y = c.dropout(x, key, 0.25)
    y.backward(c.tensor(np.ones((100, 100), np.float32)))
    values = y.numpy()
    np.testing.assert_array_equal(np.unique(values), np.float32([0, 1 / 0.75]))
    assert abs((values == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(x.grad.numpy(), values)


def test_dropout_noise_shape_shares_the_draw() -> None:
    x = np.ones((6, 5, 4), np.float32)
    y = c.dropout(x, np.array([5, 0], np.int64), 0.5, (None, 1, None)).numpy()
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
