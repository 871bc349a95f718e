"""Trainer and Executor: updates, snapshots, orders of rows, kinds of data, faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lamella import _core as c

RNG = np.random.default_rng(6)
X = RNG.normal(size=(23, 4)).astype("float32")
Y = RNG.normal(size=(23, 2)).astype("float32")
W = RNG.normal(size=(4, 2)).astype("float32")
B = np.array([0.5, -0.5], "float32")


class Linear:
    """loss = mean((x w + b - y)^2), with the sum of the batch as a second output."""

    def __init__(
        self, dtype: str = "float32", kind: str = "sgd", **hyper: object
    ) -> None:
        self.w = c.Variable(W.astype(dtype), "w")
        self.b = c.Variable(B.astype(dtype), "b")
        self.graph = c.Graph()
        with self.graph:
            x = self.graph.input("x", (None, 4), dtype)
            y = self.graph.input("y", (None, 2), dtype)
            loss = c.mean(c.square(c.matmul(x, self.w.value()) + self.b.value() - y))
            self.graph.output("loss", loss)
            self.graph.output("sum", c.sum(x))
            self.graph.set_loss(loss)
        self.optimizer = c.Optimizer(kind, **hyper)
        self.trainer = c.Trainer(self.graph, self.optimizer, [self.w, self.b])

    def weights(self) -> list[np.ndarray]:
        return [self.w.numpy(), self.b.numpy()]


def gradient(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray
) -> list[np.ndarray]:
    r = 2 * (x.astype("f8") @ w + b - y) / y.size
    return [x.T.astype("f8") @ r, r.sum(0)]


# ------------------------------------------------------------------ updates

OPTIMIZERS: dict[str, dict[str, object]] = {
    "sgd": {},
    "sgd momentum": {"momentum": 0.9},
    "sgd nesterov": {"momentum": 0.9, "nesterov": True},
    "rmsprop": {},
    "rmsprop centered": {"centered": True, "momentum": 0.5},
    "adagrad": {},
    "adadelta": {"rho": 0.95},
    "adam": {},
    "adam amsgrad": {"amsgrad": True},
    "adam decay": {"weight_decay": 0.01},
    "adam clip norm": {"clip_norm": 0.1},
    "adam clip value": {"clip_value": 0.05},
    "sgd global clip norm": {"global_clip_norm": 0.1},
    "adamax": {},
    "nadam": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trainer_update_equals_eager_gradients_and_apply(name: str) -> None:
    hyper = {"learning_rate": 0.05, **OPTIMIZERS[name]}
    net = Linear("float64", name.split()[0], **hyper)
    eager = Linear("float64", name.split()[0], **hyper)
    x, y = X.astype("f8"), Y.astype("f8")
    for _ in range(4):
        (loss, _) = net.trainer.step([x, y])
        value = c.mean(c.square(c.matmul(x, eager.w.value()) + eager.b.value() - y))
        value.backward()
        eager.optimizer.apply([eager.w.grad, eager.b.grad])
        eager.w.grad = eager.b.grad = None
        assert loss == pytest.approx(value.item(), rel=1e-13)
    for u, v in zip(net.weights(), eager.weights(), strict=True):
        np.testing.assert_allclose(u, v, rtol=1e-10, atol=1e-13)
    assert (net.w.numpy() != W).all()
    assert net.optimizer.iterations.numpy() == 4


def test_trainer_sgd_step_equals_the_formula() -> None:
    net = Linear(learning_rate=0.1)
    w, b = W.astype("f8"), B.astype("f8")
    for _ in range(3):
        gw, gb = gradient(w, b, X, Y)
        w, b = w - 0.1 * gw, b - 0.1 * gb
        net.trainer.step([X, Y])
    np.testing.assert_allclose(net.w.numpy(), w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.b.numpy(), b, rtol=1e-5, atol=1e-6)


def test_trainer_without_optimizer_changes_nothing() -> None:
    net = Linear()
    evaluate = c.Trainer(net.graph)
    want = np.square(X @ W + B - Y).mean()
    assert evaluate.step([X, Y])[0] == pytest.approx(want, rel=1e-5)
    np.testing.assert_array_equal(net.w.numpy(), W)


def test_trainer_variable_without_part_in_the_loss_stays() -> None:
    used, unused = c.Variable(W, "used"), c.Variable(B, "unused")
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        g.set_loss(c.mean(c.square(c.matmul(x, used.value()))))
    c.Trainer(g, c.Optimizer("adam"), [used, unused]).step([X])
    np.testing.assert_array_equal(unused.numpy(), B)
    assert (used.numpy() != W).all()


def test_trainer_assigned_weights_are_used_by_the_next_step() -> None:
    net, fresh = Linear(learning_rate=0.1), Linear(learning_rate=0.1)
    net.trainer.step([X, Y])  # parameters now lie in one flat block
    net.w.assign(W)
    net.b.assign(B)
    for n in (net, fresh):
        n.trainer.step([X, Y])
    for u, v in zip(net.weights(), fresh.weights(), strict=True):
        np.testing.assert_array_equal(u, v)


def test_trainer_learning_rate_variable_takes_effect_between_steps() -> None:
    net = Linear(learning_rate=0.1)
    net.trainer.step([X, Y])
    before = net.weights()
    net.optimizer.learning_rate.assign(0.0)
    net.trainer.step([X, Y])
    for u, v in zip(before, net.weights(), strict=True):
        np.testing.assert_array_equal(u, v)


def test_trainer_two_on_the_same_variables_share_them() -> None:
    net = Linear(learning_rate=0.1)
    net.trainer.step([X, Y])
    after_one = net.weights()
    other = c.Optimizer("sgd", learning_rate=0.1)
    second = c.Trainer(net.graph, other, [net.b, net.w])  # moves both to a new block
    second.step([X, Y])
    gw, gb = gradient(*after_one, X, Y)
    np.testing.assert_allclose(
        net.w.numpy(), after_one[0] - 0.1 * gw, rtol=1e-4, atol=1e-6
    )
    before = net.weights()
    net.trainer.step([X, Y])
    gw, gb = gradient(*before, X, Y)
    np.testing.assert_allclose(
        net.b.numpy(), before[1] - 0.1 * gb, rtol=1e-4, atol=1e-6
    )
    executor = c.Executor(net.graph)
    assert executor([X, Y])[0] == pytest.approx(
        np.square(X @ net.w.numpy() + net.b.numpy() - Y).mean(), rel=1e-5
    )


def test_trainer_profile_after_another_trainer_moved_the_weights() -> None:
    net = Linear(learning_rate=0.1)
    net.trainer.step([X, Y])
    c.Trainer(net.graph, c.Optimizer("sgd", learning_rate=0.0), [net.b, net.w]).step(
        [X, Y]
    )
    before = net.weights()
    net.trainer.profile([X, Y], 1)  # the step is really taken
    gw, _ = gradient(*before, X, Y)
    np.testing.assert_allclose(
        net.w.numpy(), before[0] - 0.1 * gw, rtol=1e-4, atol=1e-6
    )


# ------------------------------------------------------------------ snapshots


def test_snapshot_and_its_views_do_not_change_while_training() -> None:
    net = Linear(learning_rate=0.1)
    for round_ in range(2):  # before and after the weights moved to their flat block
        snapshot = net.w.value()
        view, early = snapshot.numpy(), net.w.value().numpy()
        buffer = memoryview(snapshot)
        kept = snapshot.numpy(copy=True)
        net.trainer.epoch([X, Y], 5)
        for a in (view, early, np.asarray(buffer), snapshot.numpy()):
            np.testing.assert_array_equal(a, kept, err_msg=f"round {round_}")
        assert (net.w.numpy() != kept).all()


def test_snapshot_inside_an_expression_keeps_its_value() -> None:
    net = Linear(learning_rate=0.1)
    reshaped = c.reshape(net.w.value(), (8,))
    net.trainer.step([X, Y])
    np.testing.assert_array_equal(reshaped.numpy(), W.ravel())


def test_value_after_a_step_is_new() -> None:
    net = Linear(learning_rate=0.1)
    x = c.tensor(X)
    before = c.matmul(x, net.w.value()).numpy()
    net.trainer.step([X, Y])
    after = c.matmul(x, net.w.value()).numpy()
    np.testing.assert_allclose(after, X @ net.w.numpy(), rtol=1e-5, atol=1e-6)
    assert (before != after).any()


def test_hooks_read_and_set_variables_between_batches() -> None:
    net = Linear(learning_rate=0.1)
    seen = []

    def end(step: int, values: list[float]) -> None:
        seen.append(net.w.numpy()[0, 0])
        net.b.assign(np.full(2, float(step), "float32"))

    net.trainer.epoch([X, Y], 10, on_batch_end=end)
    assert len(set(seen)) == 3
    assert net.b.numpy().tolist() == [2, 2]


# ------------------------------------------------------------------ epochs


def test_epoch_equals_steps_over_its_batches_with_a_short_last_one() -> None:
    a, b = Linear(kind="adam"), Linear(kind="adam")
    values = a.trainer.epoch([X, Y], 10)
    for first in (0, 10, 20):
        want = b.trainer.step([X[first : first + 10], Y[first : first + 10]])
    assert values == want
    for u, v in zip(a.weights(), b.weights(), strict=True):
        np.testing.assert_array_equal(u, v)


def test_epoch_batch_larger_than_the_data_is_one_step() -> None:
    a, b = Linear(), Linear()
    assert a.trainer.epoch([X, Y], 1000) == b.trainer.step([X, Y])


def test_epoch_shuffled_visits_rows_in_shuffled_order() -> None:
    net = Linear(learning_rate=0.0)
    ids = np.arange(23, dtype="float32")
    x = np.zeros((23, 4), "float32")
    x[:, 0] = ids
    for epoch in (0, 3):
        seen: list[float] = []
        net.trainer.epoch(
            [x, Y],
            1,
            shuffle=True,
            seed=9,
            epoch=epoch,
            on_batch_end=lambda step, v, seen=seen: seen.append(v[1]),
        )
        assert seen == c.shuffled_order(23, 9, epoch)
    assert c.shuffled_order(23, 9, 0) != c.shuffled_order(23, 9, 3)
    assert sorted(c.shuffled_order(1000, 1, 2)) == list(range(1000))
    assert c.shuffled_order(0, 1, 2) == []


def test_epoch_shuffled_batches_are_the_order_cut_in_pieces() -> None:
    a, b = Linear(), Linear()
    a.trainer.epoch([X, Y], 5, shuffle=True, seed=4, epoch=2)
    order = np.array(c.shuffled_order(23, 4, 2))
    for first in range(0, 23, 5):
        rows = order[first : first + 5]
        b.trainer.step([X[rows], Y[rows]])
    np.testing.assert_array_equal(a.w.numpy(), b.w.numpy())


def test_fit_equals_epochs_with_reset_variables() -> None:
    def build() -> tuple[c.Trainer, c.Variable, c.Variable]:
        w = c.Variable(W)
        rows = c.Variable(np.zeros((), "float32"), trainable=False)
        g = c.Graph()
        with g:
            x = g.input("x", (None, 4), "float32")
            loss = c.mean(c.square(c.matmul(x, w.value())))
            rows.assign(rows.value() + c.sum(c.full((x.dims[0],), 1.0, "float32")))
            g.output("loss", loss)
            g.output("rows", rows.value())
            g.set_loss(loss)
        return c.Trainer(g, c.Optimizer("adam"), [w]), w, rows

    one, w1, rows1 = build()
    logs = one.fit([X], 10, 3, first_epoch=1, shuffle=True, seed=5, reset=[rows1])
    two, w2, rows2 = build()
    want = []
    for epoch in (1, 2, 3):
        rows2.assign(0.0)
        want.append(two.epoch([X], 10, shuffle=True, seed=5, epoch=epoch))
    np.testing.assert_array_equal(logs, want)
    np.testing.assert_array_equal(w1.numpy(), w2.numpy())
    assert logs[:, 1].tolist() == [23, 23, 23]


def test_epoch_steps_bounds_the_number_of_batches() -> None:
    net = Linear()
    net.trainer.epoch([X, Y], 5, steps=2)
    assert net.optimizer.iterations.numpy() == 2


@pytest.mark.parametrize("hook", ["on_batch_begin", "on_batch_end"])
def test_epoch_hook_that_returns_true_stops(hook: str) -> None:
    net = Linear()
    net.trainer.epoch([X, Y], 5, **{hook: lambda step, *_: step == 1})
    assert (
        net.optimizer.iterations.numpy()
        == {"on_batch_begin": 1, "on_batch_end": 2}[hook]
    )


def test_epoch_hook_that_raises_leaves_a_usable_trainer() -> None:
    net = Linear()

    def fail(step: int, values: list[float]) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        net.trainer.epoch([X, Y], 5, on_batch_end=fail)
    assert net.optimizer.iterations.numpy() == 1
    net.trainer.epoch([X, Y], 5)
    assert net.optimizer.iterations.numpy() == 6


def test_epoch_progress_is_called_with_values() -> None:
    net = Linear()
    seen: list[tuple[int, int]] = []
    net.trainer.epoch(
        [X, Y], 1, progress=lambda s, v: seen.append((s, len(v))), progress_interval=0.0
    )
    assert seen == [(i, 2) for i in range(22)]


# ------------------------------------------------------------------ data

U8 = RNG.integers(0, 255, (23, 4)).astype("uint8")


def memmap(a: np.ndarray, folder: Path) -> np.ndarray:
    path = folder / "rows"
    a.tofile(path)
    return np.memmap(path, a.dtype, "r", shape=a.shape)


def unaligned(a: np.ndarray) -> np.ndarray:
    return (
        np.frombuffer(b"\0" + a.tobytes(), "uint8")[1:].view(a.dtype).reshape(a.shape)
    )


LAYOUTS: dict[str, Callable[[np.ndarray, Path], object]] = {
    "uint8": lambda a, _: a.astype("uint8"),
    "int8": lambda a, _: (a // 2).astype("int8") if a.max() > 127 else a.astype("int8"),
    "int32": lambda a, _: a.astype("int32"),
    "int64": lambda a, _: a.astype("int64"),
    "uint16": lambda a, _: a.astype("uint16"),
    "float16": lambda a, _: a.astype("float16"),
    "float64": lambda a, _: a.astype("float64"),
    "bool": lambda a, _: a > 100,
    "fortran": lambda a, _: np.asfortranarray(a),
    "every second row": lambda a, _: np.repeat(a, 2, 0)[::2],
    "every second column": lambda a, _: np.repeat(a, 2, 1)[:, ::2],
    "rows backwards": lambda a, _: a[::-1].copy()[::-1],
    "columns backwards": lambda a, _: a[:, ::-1].copy()[:, ::-1],
    "byte-swapped": lambda a, _: a.astype(">f4"),
    "byte-swapped int": lambda a, _: a.astype(">i8"),
    "memmap": memmap,
    "unaligned": lambda a, _: unaligned(a),
    "list": lambda a, _: a.tolist(),
    "tensor": lambda a, _: c.tensor(a),
    "read-only": lambda a, _: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_epoch_any_kind_of_array_gives_the_same_bits(
    layout: str, tmp_path: Path
) -> None:
    base = U8.astype("float32")
    data = LAYOUTS[layout](base, tmp_path)
    plain = np.ascontiguousarray(np.asarray(data).astype("float32"))
    a, b = Linear(learning_rate=1e-5), Linear(learning_rate=1e-5)
    want = a.trainer.epoch([plain, Y], 5, shuffle=True, seed=3)
    assert b.trainer.epoch([data, Y], 5, shuffle=True, seed=3) == want
    np.testing.assert_array_equal(b.w.numpy(), a.w.numpy())
    run = c.Executor(b.graph)
    np.testing.assert_array_equal(run([data, Y])[1], run([plain, Y])[1])


def test_data_of_another_dtype_raises_with_its_name() -> None:
    net = Linear()
    for bad in ("complex64", "datetime64[s]"):
        with pytest.raises(c.DTypeError, match=bad[:8]):
            net.trainer.step([np.zeros((3, 4), bad), Y[:3]])
    with pytest.raises(TypeError, match="object"):
        net.trainer.step([np.array([[None] * 4]), Y[:1]])


def test_data_that_do_not_fit_raise_with_name_and_shapes() -> None:
    net = Linear()
    with pytest.raises(c.ShapeError, match=r"'x'.*\(None, 4\).*\(23, 2\)"):
        net.trainer.step([Y, Y])
    with pytest.raises(c.ShapeError, match=r"'y' has 22 rows.*'x' has 23"):
        net.trainer.epoch([X, Y[:22]], 5)
    with pytest.raises(c.ShapeError, match="expected 2 arrays, got 1"):
        net.trainer.step([X])
    with pytest.raises(ValueError, match="empty"):
        net.trainer.epoch([X[:0], Y[:0]], 5)
    with pytest.raises(ValueError, match="empty"):
        net.trainer.step([X[:0], Y[:0]])
    with pytest.raises(ValueError, match="empty"):
        net.trainer.profile([X[:0], Y[:0]], 1)
    with pytest.raises(ValueError, match=r"batch_size.*0"):
        net.trainer.epoch([X, Y], 0)
    with pytest.raises(c.ShapeError, match="scalar"):
        net.trainer.step([np.float32(3), Y])
    np.testing.assert_array_equal(net.w.numpy(), W)


def test_index_out_of_range_raises_and_leaves_the_weights() -> None:
    table = c.Variable(RNG.normal(size=(5, 3)).astype("float32"), "table")
    count = c.Variable(np.zeros((), "float32"), trainable=False)
    g = c.Graph()
    with g:
        ids = g.input("ids", (None,), "int32")
        loss = c.mean(c.square(c.gather(table.value(), ids, 0)))
        count.assign(count.value() + 1.0)
        g.output("loss", loss)
        g.set_loss(loss)
    trainer = c.Trainer(g, c.Optimizer("adam"), [table])
    before = table.numpy()
    for bad in (5, -6, 2**31 - 1, -(2**31)):
        with pytest.raises(ValueError, match="out of range"):
            trainer.step([np.array([0, bad], "int32")])
        with pytest.raises(ValueError, match="out of range"):
            trainer.profile([np.array([0, bad], "int32")], 1)
        with pytest.raises(ValueError, match="out of range"):
            c.Executor(g)([np.array([bad], "int32")])
    np.testing.assert_array_equal(table.numpy(), before)
    assert count.numpy() == 0
    trainer.step([np.array([0, 4], "int32")])
    changed = (table.numpy() != before).any(1)
    assert changed.tolist() == [True, False, False, False, True]
    assert count.numpy() == 1


def test_class_label_out_of_range_raises_and_leaves_the_weights() -> None:
    w = c.Variable(RNG.normal(size=(4, 3)).astype("float32"))
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        y = g.input("y", (None,), "int32")
        p = c.softmax(c.matmul(x, w.value()), -1)
        g.set_loss(c.mean(c.sparse_categorical_crossentropy(y, p, False, -1)))
    trainer = c.Trainer(g, c.Optimizer("sgd"), [w])
    before = w.numpy()
    with pytest.raises(ValueError, match="out of range"):
        trainer.step([X[:2], np.array([0, 3])])
    np.testing.assert_array_equal(w.numpy(), before)


# ---------------------------------------------------------------- Executor, profile


@pytest.mark.parametrize("batch", [1, 4, 23, 100])
def test_executor_map_equals_one_big_call(batch: int) -> None:
    w = c.Variable(W)
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        g.output("p", c.softmax(c.matmul(x, w.value()), -1))
        g.output("x2", x * 2.0)
    run = c.Executor(g)
    steps: list[int] = []
    whole, many = run([X]), run.map([X], batch, progress=steps.append)
    for u, v in zip(whole, many, strict=True):
        np.testing.assert_array_equal(u, v)
    assert steps == list(range(1, -(-23 // batch) + 1))


def test_executor_map_of_a_scalar_output_raises() -> None:
    g = c.Graph()
    with g:
        g.output("m", c.mean(g.input("x", (None, 4), "float32")))
    run = c.Executor(g)
    with pytest.raises(c.ShapeError, match="one row for each input row"):
        run.map([X], 4)
    with pytest.raises(ValueError, match="batch_size"):
        run.map([X], 0)
    assert run([X])[0] == pytest.approx(X.mean(), abs=1e-6)


def test_executor_results_are_independent_of_later_runs() -> None:
    g = c.Graph()
    with g:
        g.output("y", g.input("x", (None, 4), "float32") * 2.0)
    run = c.Executor(g)
    (first,) = run([X])
    first[0, 0] = 99
    (second,) = run([X])
    assert first[0, 0] == 99
    np.testing.assert_array_equal(second, 2 * X)


def test_profile_names_calls_with_flops_bytes_and_scopes() -> None:
    w = c.Variable(W)
    g = c.Graph()
    with g:
        x = g.input("x", (None, 4), "float32")
        with g.scope("dense_3"):
            z = c.matmul(x, w.value())
        g.output("loss", c.mean(c.square(z)))
        g.set_loss(c.mean(c.square(z)))
    lines = c.Trainer(g, c.Optimizer("sgd"), [w]).profile([X], 2)
    products = [k for k in lines if "matmul" in k["op"]]
    assert len(products) == 2  # forward, and backward to w
    assert {k["scope"] for k in products} == {"dense_3"}
    assert [k["flops"] for k in products] == [2 * 23 * 4 * 2] * 2
    assert products[0]["shapes"] == [(23, 2)]
    assert products[0]["bytes"] == 4 * (23 * 4 + 4 * 2 + 23 * 2)
    assert all(k["seconds"] >= 0 for k in lines)
    assert lines[0]["op"] == "feed"
    assert lines[0]["bytes"] == 2 * 4 * 23 * 4
    updates = [k for k in lines if k["op"] == "sgd" and k["bytes"]]
    assert [k["bytes"] for k in updates] == [3 * 4 * w.numpy().size]


def test_trainer_step_inside_its_own_hook_raises_instead_of_hanging() -> None:
    net = Linear()
    texts: list[str] = []

    def again(step: int, values: list[float]) -> bool:
        try:
            net.trainer.step([X, Y])
        except RuntimeError as error:
            texts.append(str(error))
        return True

    net.trainer.epoch([X, Y], 5, on_batch_end=again)
    assert len(texts) == 1
    assert "already" in texts[0]


def test_trainer_frozen_variable_stays_and_the_others_move() -> None:
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    w = c.Variable(np.ones((3, 2), np.float32), "w")
    b = c.Variable(np.zeros(2, np.float32), "b")
    g = c.Graph()
    with g:
        y = g.input("x", (None, 3)) @ w.value() + b.value()
        g.set_loss(c.mean(c.square(y - 1.0)))
        g.output("loss", c.mean(y))
    optimizer = c.Optimizer("adam", learning_rate=0.1)
    c.Trainer(g, optimizer, [w, b]).step([x])
    kernel, bias = w.numpy(), b.numpy()
    c.Trainer(g, optimizer, [b]).step([x])
    np.testing.assert_array_equal(w.numpy(), kernel)
    assert not np.array_equal(b.numpy(), bias)
    other = c.Variable(np.zeros(2, np.float32), "other")
    with pytest.raises(RuntimeError, match="'other'"):
        c.Trainer(g, optimizer, [other])
