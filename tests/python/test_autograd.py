"""The tape: accumulation, its end, higher derivatives, deep chains, gradcheck."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest

import lamella
from lamella import _core as c

Op = Callable[..., c.Tensor]
RNG = np.random.default_rng(3)


def leaf(value: object, dtype: str = "float64") -> c.Tensor:
    t = c.tensor(value, dtype)
    t.requires_grad = True
    return t


def test_backward_twice_on_fresh_results_accumulates() -> None:
    x = leaf([1.0, 2.0, 3.0])
    c.sum(c.square(x)).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4, 6])
    c.sum(3 * x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5, 7, 9])


def test_backward_accumulation_leaves_an_earlier_gradient_alone() -> None:
    x = leaf([1.0, 2.0])
    c.sum(2 * x).backward()
    first = x.grad
    view = first.numpy()
    c.sum(2 * x).backward()
    np.testing.assert_array_equal(view, [2, 2])
    np.testing.assert_array_equal(first.numpy(), [2, 2])
    np.testing.assert_array_equal(x.grad.numpy(), [4, 4])


def test_backward_grad_set_to_none_starts_again() -> None:
    x = leaf([1.0])
    (2 * x).backward()
    x.grad = None
    assert x.grad is None
    (5 * x).backward()
    assert x.grad.item() == 5


def test_backward_second_walk_raises_state_error() -> None:
    x = leaf([1.0, 2.0])
    y = c.sum(c.exp(x))
    y.backward()
    before = x.grad.numpy(copy=True)
    with pytest.raises(c.StateError, match="retain_graph"):
        y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), before)


def test_backward_through_a_freed_part_raises_state_error() -> None:
    x = leaf([2.0])
    shared = c.exp(x)
    (3 * shared).backward()
    with pytest.raises(RuntimeError, match="already freed"):
        (4 * shared).backward()


def test_backward_retain_graph_can_walk_again() -> None:
    x = leaf([1.0, 2.0])
    y = c.sum(x * x * x)
    y.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad.numpy(), [3, 12])
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6, 24])


def test_no_grad_records_nothing_and_ends_with_its_block() -> None:
    x = leaf([2.0])
    assert c.is_grad_enabled()
    with c.no_grad():
        assert not c.is_grad_enabled()
        with c.no_grad():
            y = x * x
        assert not c.is_grad_enabled()
    assert c.is_grad_enabled()
    assert not y.requires_grad
    with pytest.raises(c.StateError, match="does not depend"):
        y.backward()
    assert (x * x).requires_grad


def test_no_grad_after_an_exception_is_off() -> None:
    with pytest.raises(KeyError), c.no_grad():
        raise KeyError("x")
    assert c.is_grad_enabled()


def test_no_grad_one_object_nested_stays_off_inside() -> None:
    block = c.no_grad()
    with block:
        with block:
            assert not c.is_grad_enabled()
        assert not c.is_grad_enabled()
    assert c.is_grad_enabled()


def test_detach_stops_the_gradient_and_keeps_the_values() -> None:
    x = leaf([1.0, -2.0])
    y = c.exp(x)
    cut = y.detach()
    assert not cut.requires_grad
    np.testing.assert_array_equal(cut.numpy(), y.numpy())
    c.sum(y * cut).backward()  # d/dx = exp(x) * cut
    np.testing.assert_allclose(x.grad.numpy(), np.exp([2.0, -4.0]), rtol=1e-15)


def test_requires_grad_of_a_result_cannot_be_changed() -> None:
    x = leaf([1.0])
    y = x * 2
    with pytest.raises(c.StateError, match="leaves"):
        y.requires_grad = False
    y.backward()
    assert y.grad is None
    assert x.grad.item() == 2


def test_requires_grad_of_integers_raises_dtype_error() -> None:
    t = c.tensor([1, 2])
    with pytest.raises(TypeError, match="float"):
        t.requires_grad = True


def test_backward_of_a_vector_needs_a_gradient() -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    with pytest.raises(c.ShapeError, match=r"\(2\)|\(2,\)"):
        y.backward()
    with pytest.raises(c.ShapeError, match="gradient of shape"):
        y.backward(c.tensor([1.0], "float64"))
    y.backward(c.tensor([10.0, 1.0], "float64"))
    np.testing.assert_array_equal(x.grad.numpy(), [20, 4])


def test_backward_gradient_of_another_dtype_is_cast() -> None:
    x = leaf([1.0, 2.0])
    (x * x).backward(c.tensor([1.0, 1.0]))
    assert x.grad.dtype == "float64"
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])


def test_backward_of_a_leaf_is_its_own_gradient() -> None:
    x = leaf([3.0])
    x.backward()
    assert x.grad.item() == 1


def test_backward_broadcast_operand_sums_over_the_broadcast_axes() -> None:
    x, b = leaf(np.ones((3, 2))), leaf([1.0, 2.0])
    up = np.arange(6.0).reshape(3, 2)
    (x + b).backward(c.tensor(up))
    np.testing.assert_array_equal(b.grad.numpy(), up.sum(0))
    np.testing.assert_array_equal(x.grad.numpy(), up)


def test_variable_gradient_is_shared_by_its_values() -> None:
    v = c.Variable(np.array([1.0, 2.0], "float32"), "v")
    c.sum(v.value() * v.value()).backward()
    np.testing.assert_array_equal(v.grad.numpy(), [2, 4])
    v.grad = None
    assert v.value().grad is None


def test_variable_not_trainable_gets_no_gradient() -> None:
    v = c.Variable(np.ones(2, "float32"), trainable=False)
    assert not v.value().requires_grad


def test_variable_assigned_after_the_forward_pass_keeps_the_old_gradient() -> None:
    v = c.Variable(np.array([3.0], "float32"))
    y = c.square(v.value())
    v.assign(np.array([100.0], "float32"))
    y.backward()
    assert v.grad.item() == 6


def test_gradients_does_not_touch_grad() -> None:
    x, y = leaf([2.0]), leaf([5.0])
    gx, gy = c.gradients([x * y], [x, y])
    assert (gx.item(), gy.item()) == (5, 2)
    assert x.grad is None
    assert y.grad is None


def test_gradients_of_an_inner_result_and_of_an_unused_input() -> None:
    x, unused = leaf([3.0]), leaf([1.0])
    inner = x * x
    g_inner, g_x, g_unused = c.gradients([inner * 5], [inner, x, unused])
    assert g_inner.item() == 5
    assert g_x.item() == 30
    assert g_unused is None


def test_gradients_of_several_roots_are_summed() -> None:
    x = leaf([2.0])
    weights = [c.tensor([10.0], "float64"), c.tensor([1.0], "float64")]
    (g,) = c.gradients([x * x, 3 * x], [x], weights)
    assert g.item() == 10 * 4 + 3


SMOOTH: dict[str, tuple[Op, list[tuple[int, ...]], tuple[float, float]]] = {
    "exp": (c.exp, [(3,)], (-1, 1)),
    "log": (c.log, [(3,)], (0.5, 2)),
    "sqrt": (c.sqrt, [(3,)], (0.5, 2)),
    "sin": (c.sin, [(3,)], (-1, 1)),
    "cos": (c.cos, [(3,)], (-1, 1)),
    "tanh": (c.tanh, [(3,)], (-1, 1)),
    "sigmoid": (c.sigmoid, [(3,)], (-1, 1)),
    "softplus": (c.softplus, [(3,)], (-1, 1)),
    "silu": (c.silu, [(3,)], (-1, 1)),
    "erf": (c.erf, [(3,)], (-1, 1)),
    "square": (c.square, [(3,)], (-1, 1)),
    "mul": (c.mul, [(2, 3), (3,)], (-1, 1)),
    "div": (c.div, [(2, 3), (3,)], (0.5, 2)),
    "pow": (c.pow, [(3,), (3,)], (0.5, 2)),
    "matmul": (c.matmul, [(2, 3), (3, 2)], (-1, 1)),
    "softmax": (lambda x: c.softmax(x, -1), [(2, 3)], (-1, 1)),
    "log_softmax": (lambda x: c.log_softmax(x, -1), [(2, 3)], (-1, 1)),
    "logsumexp": (lambda x: c.logsumexp(x, axis=1), [(2, 3)], (-1, 1)),
    "mean": (lambda x: c.mean(x * x, axis=0), [(2, 3)], (-1, 1)),
    "var": (lambda x: c.var(x, axis=0), [(3, 2)], (-1, 1)),
    "reshape": (lambda x: c.transpose(c.reshape(c.exp(x), (3, 2))), [(2, 3)], (-1, 1)),
    "conv": (
        lambda x, w: c.conv(x, w, (1, 1), "same", (1, 1), 1),
        [(1, 3, 3, 1), (2, 2, 1, 2)],
        (-1, 1),
    ),
    "max_pool": (
        lambda x: c.max_pool(c.sin(x), (3, 2), (2, 1), "same"),
        [(1, 4, 3, 2)],
        (-1, 1),
    ),
    "avg_pool": (
        lambda x: c.avg_pool(c.sin(x), (2, 2), (1, 1), "same"),
        [(1, 3, 3, 2)],
        (-1, 1),
    ),
    "layer_norm": (
        lambda x, g, b: c.layer_norm(x, g, b, 1e-3),
        [(2, 4), (4,), (4,)],
        (-1, 1),
    ),
    "layer_norm_plain": (lambda x: c.layer_norm(x, None, None, 0.1), [(2, 4)], (-1, 1)),
    "batch_norm": (
        lambda x, g, b: c.batch_norm(x, g, b, 1e-3)[0],
        [(4, 3), (3,), (3,)],
        (-1, 1),
    ),
    "batch_norm_plain": (
        lambda x: c.batch_norm(x, None, None, 0.1)[0],
        [(2, 2, 3)],
        (-1, 1),
    ),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_create_graph_second_derivative_equals_difference(name: str) -> None:
    op, shapes, (low, high) = SMOOTH[name]
    inputs = [RNG.uniform(low, high, s) for s in shapes]
    with c.no_grad():
        y = op(*[c.tensor(x) for x in inputs])
    # A fixed non-linear functional of the result, so that no second derivative is zero.
    weight = c.tensor(RNG.normal(size=y.shape))

    def first_derivatives(*at: c.Tensor) -> tuple[c.Tensor, ...]:
        fresh = [leaf(t.numpy(copy=True)) if not t.requires_grad else t for t in at]
        # gradcheck calls this under no_grad for the differences
        return _gradient(lambda *a: c.sum(weight * c.sin(op(*a))), fresh)

    assert second_order_error(first_derivatives, inputs) <= 1


def _gradient(f: Op, at: list[c.Tensor]) -> tuple[c.Tensor, ...]:
    return tuple(c.gradients([f(*at)], at, create_graph=True))


def second_order_error(
    gradient: Callable[..., tuple[c.Tensor, ...]], inputs: list[np.ndarray]
) -> float:
    """The largest error of the gradient's gradient, as a fraction of 1e-5 relative."""
    at = [leaf(x) for x in inputs]
    first = gradient(*at)
    weights = [c.tensor(RNG.normal(size=g.shape)) for g in first]
    analytic = c.gradients(list(first), at, weights)

    def objective(points: list[np.ndarray]) -> float:
        g = gradient(*[leaf(x) for x in points])
        return float(
            sum((w.numpy() * t.numpy()).sum() for w, t in zip(weights, g, strict=True))
        )

    worst = 0.0
    for i, x in enumerate(inputs):
        for e in np.ndindex(x.shape):
            step = 1e-6
            moved = [p.copy() for p in inputs]
            moved[i][e] += step
            up = objective(moved)
            moved[i][e] -= 2 * step
            numeric = (up - objective(moved)) / (2 * step)
            exact = 0.0 if analytic[i] is None else analytic[i].numpy()[e]
            worst = max(worst, abs(exact - numeric) / (1e-7 + 1e-5 * abs(numeric)))
    return worst


def test_second_order_check_reports_a_wrong_derivative() -> None:
    def wrong(x: c.Tensor) -> tuple[c.Tensor, ...]:
        return (x * c.stop_gradient(x),)

    assert second_order_error(wrong, [np.array([1.5, 2.5])]) > 1e3


def test_gradients_create_graph_third_derivative_of_a_power() -> None:
    x = leaf([2.0])
    (d1,) = c.gradients([x * x * x * x], [x], create_graph=True)
    (d2,) = c.gradients([d1], [x], create_graph=True)
    (d3,) = c.gradients([d2], [x])
    np.testing.assert_allclose([d1.item(), d2.item(), d3.item()], [32, 48, 48])


def test_gradients_without_create_graph_are_leaves_without_history() -> None:
    x = leaf([2.0])
    (d1,) = c.gradients([x * x], [x])
    assert not d1.requires_grad


def test_backward_of_a_gradient_penalty_reaches_the_leaf() -> None:
    x = leaf([1.0, 2.0])
    (g,) = c.gradients([c.sum(x * x * x)], [x], create_graph=True)
    c.sum(g * g).backward()  # sum 9 x^4
    np.testing.assert_allclose(x.grad.numpy(), 36 * np.array([1.0, 8.0]), rtol=1e-15)


@pytest.mark.parametrize("walk", [True, False])
def test_backward_chain_of_100000_ops_needs_no_stack(walk: bool) -> None:
    x = leaf([1.0])
    y = x
    for _ in range(100_000):
        y = y + 1.0
    assert y.item() == 100_001
    if walk:
        y.backward()
        assert x.grad.item() == 1
    del y
    gc.collect()
    assert (x.grad is not None) == walk


def test_gradcheck_of_correct_ops_is_within_tolerance() -> None:
    x = RNG.normal(size=(2, 3))
    w = RNG.normal(size=(3, 2))
    assert lamella.gradcheck(lambda a, b: c.tanh(c.matmul(a, b)), x, w) <= 1
    two = lamella.gradcheck(lambda a: (c.exp(a), c.sin(a)), x)
    assert two <= 1


CONTROLS: dict[str, Op] = {
    "half of a product": lambda x: x * c.stop_gradient(x),
    "sign": lambda x: c.stop_gradient(2 * x) - x,
    "nothing": lambda x: c.stop_gradient(c.exp(x)),
    # The errors of these vanish in a plain sum: only a random cotangent sees them.
    "swapped axes": lambda x: (
        c.transpose(x) * 1.0 + c.stop_gradient(x - c.transpose(x))
    ),
    "constant sum": lambda x: c.softmax(c.stop_gradient(x), -1) + 0.0 * x,
}


@pytest.mark.parametrize("name", CONTROLS)
def test_gradcheck_of_a_wrong_gradient_raises(name: str) -> None:
    with pytest.raises(ValueError, match=r"gradcheck: input 0, element \d+: gradient"):
        lamella.gradcheck(CONTROLS[name], RNG.normal(size=(3, 3)))


def test_gradcheck_of_float32_raises_dtype_error() -> None:
    with pytest.raises(TypeError, match="float64"):
        lamella.gradcheck(c.exp, np.ones(2, "float32"))


def test_stop_gradient_of_part_of_a_product_counts_once() -> None:
    x = leaf([3.0])
    (x * c.stop_gradient(x)).backward()
    assert x.grad.item() == 3


def test_backward_from_another_thread_reaches_the_leaf() -> None:
    import threading

    x = leaf([2.0])
    y = x * x
    t = threading.Thread(target=y.backward)
    t.start()
    t.join(20)
    assert not t.is_alive()
    assert x.grad.item() == 4
