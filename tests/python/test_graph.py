"""Tracing: unknown sizes, scopes, variables, what the passes make of a graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lamella import _core as c
from lamella import ops

RNG = np.random.default_rng(5)
W = RNG.normal(size=(4, 3)).astype("float32")
B = RNG.normal(size=3).astype("float32")

Traced = Callable[..., c.Tensor]


def rows(n: int, *shape: int) -> np.ndarray:
    return RNG.normal(size=(n, *shape)).astype("float32")


def compiled(f: Traced, *shapes: tuple[int | None, ...]) -> c.Executor:
    g = c.Graph()
    with g:
        x = [g.input(f"x{i}", s, "float32") for i, s in enumerate(shapes)]
        g.output("y", f(*x))
    return c.Executor(g)


def op_names(g: c.Graph, arrays: list[np.ndarray], **kwargs: object) -> list[str]:
    """The kernel calls that a step is made of, in order."""
    return [line["op"] for line in c.Trainer(g, **kwargs).profile(arrays, 1)[1:]]


# ------------------------------------------------------------------ unknown sizes


def network(x: c.Tensor) -> c.Tensor:
    h = c.relu(c.matmul(x, c.tensor(W)) + c.tensor(B))
    return c.softmax(h - c.mean(h, axis=0, keepdims=True), -1)


@pytest.mark.parametrize("n", [1, 7, 32, 0])
def test_graph_traced_once_equals_eager_for_any_batch(n: int) -> None:
    run = compiled(network, (None, 4))
    x = rows(n, 4)
    if n == 0:
        (y,) = compiled(lambda t: c.relu(c.matmul(t, c.tensor(W))), (None, 4))([x])
        assert y.shape == (0, 3)
        return
    (y,) = run([x])
    np.testing.assert_array_equal(y, network(c.tensor(x)).numpy())


def test_graph_one_executor_alternates_between_batch_sizes() -> None:
    run = compiled(network, (None, 4))
    for n in (1, 7, 32, 7, 1):
        x = rows(n, 4)
        np.testing.assert_array_equal(run([x])[0], network(c.tensor(x)).numpy())


def test_graph_more_batch_sizes_than_programs_kept_stay_right() -> None:
    run = compiled(lambda x: x * 2.0, (None, 2))
    for n in [*range(1, 40), 1, 39]:
        x = rows(n, 2)
        np.testing.assert_array_equal(run([x])[0], 2 * x)


def test_graph_two_unknown_axes_are_independent() -> None:
    run = compiled(
        lambda x: c.sum(x, axis=1) / c.full((), 2.0, "float32"), (None, None, 3)
    )
    for n, t in [(2, 5), (5, 2), (1, 1), (3, 0)]:
        x = rows(n, t, 3)
        np.testing.assert_allclose(run([x])[0], x.sum(1) / 2, rtol=1e-6, atol=1e-6)


def test_graph_unknown_first_axes_are_one_batch() -> None:
    run = compiled(lambda a, b: a + b, (None, 2), (None, 2))
    a, b = rows(3, 2), rows(3, 2)
    np.testing.assert_array_equal(run([a, b])[0], a + b)
    with pytest.raises(c.ShapeError, match="x1"):
        run([a, rows(4, 2)])


def test_graph_unknown_axes_that_do_not_meet_raise_at_run_time() -> None:
    run = compiled(lambda a, b: a + b, (None, None), (None, None))
    a = rows(2, 3)
    np.testing.assert_array_equal(run([a, a])[0], a + a)
    with pytest.raises(c.ShapeError, match=r"3.*5|5.*3"):
        run([a, rows(2, 5)])


def test_reshape_with_dim_arithmetic_follows_the_batch() -> None:
    def pairs(x: c.Tensor) -> c.Tensor:
        n, t, k = x.dims
        assert k == 4
        y = c.reshape(x, (n * t, k))
        y = c.reshape(y * 2.0, (n, t * k))
        return c.reshape(y, (n * t * 2, k // 2))

    run = compiled(pairs, (None, None, 4))
    for n, t in [(2, 3), (1, 5), (4, 1)]:
        x = rows(n, t, 4)
        np.testing.assert_array_equal(run([x])[0], (2 * x).reshape(n * t * 2, 2))


def test_reshape_minus_one_of_an_unknown_size_is_inferred() -> None:
    run = compiled(lambda x: c.reshape(x, (-1, 6)), (None, 2, 3))
    x = rows(5, 2, 3)
    np.testing.assert_array_equal(run([x])[0], x.reshape(5, 6))


def test_reshape_that_cannot_fit_raises_when_the_batch_is_known() -> None:
    run = compiled(lambda x: c.reshape(x, (x.dims[0], 5)), (None, 6))
    with pytest.raises(c.ShapeError, match=r"reshape.*\(2, 6\).*\(2, 5\)"):
        run([rows(2, 6)])


def test_ops_shape_gives_sizes_for_full_and_slices() -> None:
    def f(x: c.Tensor) -> c.Tensor:
        n, k = ops.shape(x)
        assert k == 4
        return x + c.full((n, 1), 1.0, "float32")

    run = compiled(f, (None, 4))
    x = rows(3, 4)
    np.testing.assert_array_equal(run([x])[0], x + 1)
    assert tuple(ops.shape(c.tensor(x))) == (3, 4)


def test_dim_compares_hashes_and_prints() -> None:
    g = c.Graph()
    with g:
        n, t = g.input("x", (None, None), "float32").dims
    assert n + t == t + n
    assert n * 2 == n + n
    assert n - n == 0
    assert n != t
    assert len({n, n + 0, t}) == 2
    assert "s0" in repr(n)
    with pytest.raises((c.StateError, TypeError)):
        int(n)


def test_tensor_shape_of_unknown_sizes_is_none() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 3), "float32")
        assert x.shape == (None, 3)
        assert x.size is None
        assert c.matmul(x, c.tensor(RNG.normal(size=(3, 2)).astype("f4"))).shape == (
            None,
            2,
        )
        assert x.is_symbolic


def test_slice_of_the_batch_axis_counts_from_either_end() -> None:
    run = compiled(lambda x: x[1:] - x[:-1], (None, 2))
    for n in (2, 6):
        x = rows(n, 2)
        np.testing.assert_array_equal(run([x])[0], x[1:] - x[:-1])


# ------------------------------------------------------------------ errors


def test_error_while_tracing_names_the_scope() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        with g.scope("dense_7"), pytest.raises(c.ShapeError, match=r"^dense_7: "):
            c.matmul(x, c.tensor(np.ones((5, 2), "float32")))
        with (
            g.scope("outer"),
            g.scope("inner"),
            pytest.raises(ValueError, match="inner"),
        ):
            x + c.tensor(np.ones(3, "float32"))


def test_error_when_sizes_become_known_names_the_scope() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, None), "float32")
        with g.scope("dense_8"):
            g.output("y", x + c.tensor(np.ones(3, "float32")))
    with pytest.raises(c.ShapeError, match=r"^dense_8: .*4"):
        c.Executor(g)([rows(2, 4)])


def test_input_of_another_shape_raises_with_its_name() -> None:
    run = compiled(lambda x: x * 2.0, (None, 4))
    with pytest.raises(c.ShapeError, match=r"x0.*\(None, 4\).*\(2, 5\)"):
        run([rows(2, 5)])
    with pytest.raises(c.ShapeError, match="expected 1 arrays, got 2"):
        run([rows(2, 4), rows(2, 4)])


def test_tensors_of_two_graphs_cannot_be_mixed() -> None:
    a, b = c.Graph(), c.Graph()
    with a:
        x = a.input("x", (None, 2), "float32")
    with b:
        y = b.input("y", (None, 2), "float32")
        with pytest.raises(c.StateError, match="two different graphs"):
            x + y
        with pytest.raises(c.StateError, match="another graph"):
            b.output("x", x)


def test_nested_traces_are_separate_graphs() -> None:
    a, b = c.Graph(), c.Graph()
    v = c.Variable(np.ones(2, "float32"))
    assert c.current_graph() is None
    with a:
        a.output("a", v.value() * 2.0)
        with b:
            b.output("b", v.value() * 3.0)
        a.output("c", v.value() * 4.0)
    assert c.current_graph() is None
    assert (a.outputs, b.outputs) == (["a", "c"], ["b"])
    np.testing.assert_array_equal(c.Executor(b)([])[0], [3, 3])
    np.testing.assert_array_equal(c.Executor(a)([])[1], [4, 4])


LOOKS: dict[str, Callable[[c.Tensor], object]] = {
    "numpy": lambda x: x.numpy(),
    "float": float,
    "int": int,
    "bool": bool,
    "item": lambda x: x.item(),
    "array": np.asarray,
    "buffer": memoryview,
    "len": len,
    "iter": iter,
    "if": lambda x: 1 if c.sum(x) > 0 else 2,
    "dlpack": lambda x: x.__dlpack__(),
}


@pytest.mark.parametrize("name", LOOKS)
def test_symbolic_tensor_looked_at_raises_with_a_hint(name: str) -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 1), "float32")
        with pytest.raises((c.StateError, BufferError, ValueError, TypeError)) as info:
            LOOKS[name](x)
    text = str(info.value) + str(info.value.__cause__ or "")
    assert "traced" in text or "not known" in text or "unknown" in text


def test_symbolic_tensor_prints_without_values() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 1), "float32")
        assert repr(x) == "<Tensor shape=(None, 1) dtype=float32 traced>"


def test_loss_that_is_no_float_scalar_raises() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 1), "float32")
        with pytest.raises(c.ShapeError, match="scalar"):
            g.set_loss(x)
        with pytest.raises(c.DTypeError, match="float"):
            g.set_loss(c.argmax(c.reshape(x, (-1,)), 0))


def test_trainer_without_a_loss_raises_state_error() -> None:
    v = c.Variable(np.ones(1, "float32"))
    g = c.Graph()
    with g:
        g.output("y", c.sum(v.value()))
    trainer = c.Trainer(g, c.Optimizer("sgd"), [v])
    with pytest.raises(c.StateError, match="no loss"):
        trainer.step([])


# ------------------------------------------------------------------ variables


def test_variable_assigned_in_a_trace_reads_back_the_new_value() -> None:
    v = c.Variable(np.array([1.0], "float32"), "v", trainable=False)
    g = c.Graph()
    with g:
        before = v.value()
        v.assign(before + 1.0)
        after = v.value()
        v.assign(after * 10.0)
        g.output("before", c.sum(before))
        g.output("after", c.sum(after))
        g.output("last", c.sum(v.value()))
    assert v.numpy().tolist() == [1.0]
    t = c.Trainer(g)
    assert t.step([]) == [1, 2, 20]
    assert v.numpy().tolist() == [20.0]
    assert t.step([]) == [20, 21, 210]


def test_variables_swapped_in_a_trace_exchange_their_values() -> None:
    a = c.Variable(np.array([1.0, 2.0], "float32"), trainable=False)
    b = c.Variable(np.array([3.0, 4.0], "float32"), trainable=False)
    g = c.Graph()
    with g:
        x, y = a.value(), b.value()
        a.assign(y)
        b.assign(x)
        g.output("a", c.sum(x))
    t = c.Trainer(g)
    t.step([])
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([3, 4], [1, 2])
    t.step([])
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([1, 2], [3, 4])


def test_variable_rotation_of_views_assigns_all_at_the_end() -> None:
    v = c.Variable(np.arange(6.0, dtype="float32").reshape(2, 3), trainable=False)
    w = c.Variable(np.zeros((3, 2), "float32"), trainable=False)
    g = c.Graph()
    with g:
        w.assign(c.reshape(v.value(), (3, 2)))
        v.assign(c.reshape(c.reshape(v.value(), (6,)) + 10.0, (2, 3)))
        g.output("s", c.sum(v.value()))
    assert c.Trainer(g).step([]) == [75]
    np.testing.assert_array_equal(w.numpy(), np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(v.numpy(), np.arange(10.0, 16.0).reshape(2, 3))


def test_variable_of_the_graph_lists_read_and_assigned_once() -> None:
    a, b = (c.Variable(np.ones(1, "float32"), n) for n in "ab")
    g = c.Graph()
    with g:
        b.assign(a.value() + a.value())
        g.output("b", c.sum(b.value()))
    assert [v.name for v in g.variables] == ["a", "b"]


def test_variable_assign_of_another_shape_in_a_trace_raises() -> None:
    v = c.Variable(np.ones((2, 2), "float32"), "weights")
    with c.Graph(), pytest.raises(c.ShapeError, match=r"weights.*\(2, 3\).*\(2, 2\)"):
        v.assign(c.full((2, 3), 0.0, "float32"))


def test_variable_numpy_in_a_trace_raises_with_a_hint() -> None:
    v = c.Variable(np.ones(2, "float32"), "weights")
    with c.Graph(), pytest.raises(c.StateError, match=r"weights.*value"):
        v.numpy()


def test_executor_that_assigns_leaves_snapshots_alone() -> None:
    v = c.Variable(np.zeros(3, "float32"), trainable=False)
    g = c.Graph()
    with g:
        v.assign(v.value() + 1.0)
        g.output("v", v.value())
    before = v.value()
    view = before.numpy()
    (y,) = c.Executor(g)([])
    np.testing.assert_array_equal(y, [1, 1, 1])
    np.testing.assert_array_equal(v.numpy(), [1, 1, 1])
    np.testing.assert_array_equal(before.numpy(), [0, 0, 0])
    np.testing.assert_array_equal(view, [0, 0, 0])


# ------------------------------------------------------------------ passes


def dense_graph() -> c.Graph:
    w, b = c.Variable(W, "kernel"), c.Variable(B, "bias")
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        g.output("y", c.relu(c.matmul(x, w.value()) + b.value()))
    return g


def test_fusion_matmul_bias_relu_becomes_one_call() -> None:
    g = dense_graph()
    assert [w for w in str(g).split() if w.startswith(("matmul", "relu"))]
    x = rows(5, 4)
    names = op_names(g, [x])
    assert len(names) == 1, names
    assert "matmul" in names[0]
    want = np.maximum(x.astype("f8") @ W + B, 0)
    np.testing.assert_allclose(c.Executor(g)([x])[0], want, rtol=1e-5, atol=1e-6)


def test_fusion_conv_bias_relu_becomes_one_call() -> None:
    k, b = c.Variable(rows(3, 3, 2, 4)), c.Variable(rows(4))
    g = c.Graph()
    with g:
        x = g.input("x", (None, 6, 6, 2), "float32")
        y = c.conv(x, k.value(), (1, 1), "same", (1, 1), 1)
        g.output("y", c.relu(y + b.value()))
    x = rows(2, 6, 6, 2)
    names = op_names(g, [x])
    assert len(names) == 1, names
    eager = c.relu(c.conv(x, k.value(), (1, 1), "same", (1, 1), 1) + b.value())
    np.testing.assert_allclose(
        c.Executor(g)([x])[0], eager.numpy(), rtol=1e-5, atol=1e-5
    )


def test_fusion_elementwise_chain_becomes_one_call() -> None:
    def chain(x: c.Tensor) -> c.Tensor:
        return c.tanh(c.exp(x) * 0.5 + 1.0) * x - c.square(x)

    g = c.Graph()
    with g:
        x = g.input("x", (None, 8), "float32")
        g.output("y", chain(x))
    data = rows(9, 8)
    names = op_names(g, [data])
    assert len(names) == 1, names
    np.testing.assert_allclose(
        c.Executor(g)([data])[0], chain(c.tensor(data)).numpy(), rtol=1e-6, atol=1e-6
    )


def test_fusion_keeps_a_value_that_is_also_an_output() -> None:
    w, b = c.Variable(W), c.Variable(B)
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        linear = c.matmul(x, w.value()) + b.value()
        g.output("linear", linear)
        g.output("relu", c.relu(linear))
        g.output("exp", c.exp(linear))
    data = rows(3, 4)
    linear, relu, exp = c.Executor(g)([data])
    assert linear.min() < 0
    np.testing.assert_array_equal(relu, np.maximum(linear, 0))
    np.testing.assert_allclose(exp, np.exp(linear), rtol=1e-6)


def test_fusion_more_inputs_than_one_chain_takes_stays_right() -> None:
    n = 40
    g = c.Graph()
    with g:
        x = [g.input(f"x{i}", (None, 3), "float32") for i in range(n)]
        total = x[0]
        for t in x[1:]:
            total = total * 0.5 + c.sin(t)
        g.output("y", total)
    data = [rows(2, 3) for _ in range(n)]
    want = data[0].astype("f8")
    for d in data[1:]:
        want = want * 0.5 + np.sin(d.astype("f8"))
    np.testing.assert_allclose(c.Executor(g)(data)[0], want, rtol=1e-5, atol=1e-5)


def losses_graph(w: c.Variable, loss: str) -> c.Graph:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        z = c.matmul(x, w.value())
        if loss == "categorical":
            y = g.input("y", (None, 3), "float32")
            each = c.categorical_crossentropy(y, c.softmax(z, -1), False, -1)
        elif loss == "sparse":
            y = g.input("y", (None,), "int32")
            each = c.sparse_categorical_crossentropy(y, c.softmax(z, -1), False, -1)
        else:
            y = g.input("y", (None, 3), "float32")
            each = c.binary_crossentropy(y, c.sigmoid(z), False)
        g.output("loss", c.mean(each))
        g.set_loss(c.mean(each))
    return g


LABELS = np.array([0, 2, 1, 1, 0], "int32")
TARGETS = {
    "categorical": np.eye(3, dtype="float32")[LABELS],
    "sparse": LABELS,
    "binary": (RNG.uniform(size=(5, 3)) > 0.5).astype("float32"),
}


@pytest.mark.parametrize("loss", TARGETS)
def test_loss_after_its_activation_is_one_stable_call(loss: str) -> None:
    w = c.Variable(W)
    g = losses_graph(w, loss)
    names = op_names(g, [rows(5, 4), TARGETS[loss]])
    if loss == "binary":  # elementwise: from the logits, as part of one chain
        assert names.count("fused_elementwise") == 1, names
    else:
        assert any(n.startswith("softmax_cross_entropy") for n in names), names
    assert not any(n in ("softmax", "sigmoid") for n in names), names


@pytest.mark.parametrize("loss", TARGETS)
def test_loss_of_logits_1000_apart_is_finite_and_exact(loss: str) -> None:
    w = c.Variable(np.zeros((4, 3), "float32"))
    g = losses_graph(w, loss)
    x = np.zeros((5, 4), "float32")
    x[:, 0] = 1
    logits = np.array([1000.0, 0.0, -1000.0])
    w.assign(np.vstack([logits, np.zeros((3, 3))]).astype("float32"))
    trainer = c.Trainer(g, c.Optimizer("sgd", learning_rate=0.0), [w])
    (value,) = trainer.step([x, TARGETS[loss]])
    if loss == "binary":
        t = TARGETS[loss].astype("f8")
        each = np.maximum(logits, 0) - logits * t + np.log1p(np.exp(-np.abs(logits)))
        want = each.mean()
    else:
        want = (1000.0 - logits[LABELS]).mean()
    np.testing.assert_allclose(value, want, rtol=1e-6)
    assert np.isfinite(w.numpy()).all()


def test_loss_gradient_of_logits_1000_apart_is_probability_minus_target() -> None:
    w = c.Variable(np.zeros((1, 3), "float32"))
    g = c.Graph()
    with g:
        x = g.input("x", (None, 1), "float32")
        y = g.input("y", (None, 3), "float32")
        p = c.softmax(
            c.matmul(x, w.value()) + c.tensor(np.array([1000, 0, -1000], "f4")), -1
        )
        g.set_loss(c.mean(c.categorical_crossentropy(y, p, False, -1)))
    c.Trainer(g, c.Optimizer("sgd", learning_rate=1.0), [w]).step(
        [np.ones((1, 1), "f4"), np.array([[0, 0, 1]], "f4")]
    )
    np.testing.assert_array_equal(w.numpy(), [[-1, 0, 1]])


def test_dead_code_is_not_run() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 2), "float32")
        c.exp(c.matmul(x, c.tensor(np.ones((2, 500), "float32"))))
        g.output("y", x * 2.0)
    assert len(op_names(g, [rows(3, 2)])) == 1


def test_dead_inputs_are_checked_but_not_read() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 2), "float32")
        g.input("unused", (None, 3), "int32")
        g.output("y", x + 1.0)
    a = rows(4, 2)
    run = c.Executor(g)
    np.testing.assert_array_equal(run([a, np.zeros((4, 3), "int32")])[0], a + 1)
    with pytest.raises(c.ShapeError, match="unused"):
        run([a, np.zeros((4, 2), "int32")])


def test_output_that_is_an_input_or_a_variable_or_a_constant() -> None:
    v = c.Variable(np.array([5.0, 6.0], "float32"))
    g = c.Graph()
    with g:
        x = g.input("x", (None, 2), "float32")
        g.output("x", x)
        g.output("again", c.reshape(x, (-1,)))
        g.output("v", v.value())
        g.output("c", c.tensor([7.0]))
    a = rows(2, 2)
    x, again, w, k = c.Executor(g)([a])
    np.testing.assert_array_equal(x, a)
    np.testing.assert_array_equal(again, a.ravel())
    assert (w.tolist(), k.tolist()) == ([5, 6], [7])
    w[:] = 0
    assert v.numpy().tolist() == [5, 6]


def test_duplicates_are_computed_once() -> None:
    w = c.Variable(W)
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        g.output("a", c.softmax(c.matmul(x, w.value()), -1))
        g.output("b", c.softmax(c.matmul(x, w.value()), -1))
    data = rows(3, 4)
    assert sum("matmul" in n for n in op_names(g, [data])) == 1
    a, b = c.Executor(g)([data])
    np.testing.assert_array_equal(a, b)


def test_random_draws_with_different_keys_are_not_merged() -> None:
    g = c.Graph()
    with g:
        a, b = c.tensor(np.array([1, 0])), c.tensor(np.array([1, 1]))
        x = g.input("x", (None, 1), "float32")
        shape = (x.dims[0], 50)
        g.output("a", c.random_uniform(a, shape))
        g.output("b", c.random_uniform(b, shape))
    a, b = c.Executor(g)([rows(2, 1)])
    assert (a != b).mean() > 0.9


def test_graph_text_shows_nodes_scopes_and_outputs() -> None:
    g = c.Graph()
    with g:
        x = g.input("x", (None, 2), "float32")
        with g.scope("twice"):
            g.output("y", x * 2.0)
    text = str(g)
    assert "# twice" in text
    assert "output y" in text
    assert "(None, 2)" in text
    assert g.inputs == ["x"]


def test_update_of_a_traced_rule_becomes_part_of_the_step() -> None:
    w, unused = c.Variable(c.tensor([2.0])), c.Variable(c.tensor([1.0]))
    count = c.Variable(c.tensor(0.0), trainable=False)
    g, update = c.Graph(), c.Graph()
    with g:
        x = g.input("x", (None, 1), "float32")
        loss = c.mean(c.square(x * w.value()))
        g.set_loss(loss)
        g.output("loss", loss)
    assert g.loss_depends_on([w, unused, count]) == [True, False, False]
    with update:
        gradient = update.input("gradient", (1,), "float32")
        w.assign(w.value() - 0.5 * gradient)
        count.assign(count.value() + c.sum(gradient))
    g.set_update(update, [w])
    trainer = c.Trainer(g)
    data = np.ones((3, 1), "float32")
    assert trainer.step([data]) == [4.0]
    # d mean((x w)^2) / dw = 2 w = 4
    np.testing.assert_allclose(w.numpy(), [0.0])
    assert float(count.numpy()) == 4.0
    assert trainer.step([data[:2]]) == [0.0]


def test_update_that_does_not_fit_the_variables_raises() -> None:
    w = c.Variable(c.tensor([2.0, 3.0]))
    g, update = c.Graph(), c.Graph()
    with update:
        update.input("gradient", (1,), "float32")
    with pytest.raises(c.ShapeError, match="update: input 0 is float32"):
        g.set_update(update, [w])
    with pytest.raises(ValueError, match="one input for each of 0"):
        g.set_update(update, [])
