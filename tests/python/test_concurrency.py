"""Many threads, one model; fork; the GIL is free while the core computes."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import lamella as keras
from lamella import _core as c
from lamella import layers as L

RNG = np.random.default_rng(12)
X = RNG.normal(size=(512, 64)).astype("float32")
Y = RNG.integers(0, 10, 512)
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = c.get_num_threads()
    keras.config.clear_session()
    keras.utils.set_random_seed(3)
    yield
    c.set_num_threads(before)


def build() -> keras.Sequential:
    model = keras.Sequential(
        [keras.Input((64,)), L.Dense(128, activation="relu"), L.Dense(10, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def in_child(work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a forked child; fails when that takes too long."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            with os.fdopen(write, "wb") as out:
                out.write(work())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    data = b""
    end = time.monotonic() + PATIENCE
    try:
        while True:
            ready, _, _ = select.select(
                [read], [], [], max(0.0, end - time.monotonic())
            )
            if not ready:
                os.kill(pid, signal.SIGKILL)
                pytest.fail("the child hangs")
            part = os.read(read, 1 << 16)
            if not part:
                break
            data += part
    finally:
        os.close(read)
        _, status = os.waitpid(pid, 0)
    assert status == 0
    return data


def join(workers: list[threading.Thread]) -> None:
    for t in workers:
        t.join(PATIENCE)
        assert not t.is_alive()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@needs_fork
@pytest.mark.parametrize("count", [1, 4])
def test_fork_child_predicts_the_parents_bits(count: int) -> None:
    c.set_num_threads(count)
    model = build()
    want = model.predict(X, verbose=0)
    got = in_child(lambda: model.predict(X, verbose=0).tobytes())
    assert got == want.tobytes()
    np.testing.assert_array_equal(model.predict(X, verbose=0), want)


@needs_fork
def test_fork_child_trains_with_threads_of_its_own() -> None:
    c.set_num_threads(3)
    model = build()
    model.predict(X, verbose=0)
    weights = model.get_weights()

    def work() -> bytes:
        c.set_num_threads(3)
        model.fit(X, Y, epochs=1, shuffle=False, verbose=0)
        return b"".join(w.tobytes() for w in model.get_weights())

    got = in_child(work)
    for u, v in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(u, v)
    model.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    assert got == b"".join(w.tobytes() for w in model.get_weights())


@needs_fork
def test_fork_child_is_serial_though_threads_were_set_first() -> None:
    c.set_num_threads(4)
    assert in_child(lambda: str(c.get_num_threads()).encode()) == b"1"
    assert c.get_num_threads() == 4


@needs_fork
def test_fork_while_other_threads_compute_leaves_a_working_child() -> None:
    stop = threading.Event()

    def churn() -> None:
        a = c.tensor(X)
        while not stop.is_set():
            c.matmul(a, c.transpose(a))

    model = build()
    want = model.predict(X[:9], verbose=0)
    workers = [threading.Thread(target=churn) for _ in range(2)]
    for t in workers:
        t.start()
    try:
        for _ in range(8):
            got = in_child(
                lambda: (
                    (c.tensor(X[:9]) * 2.0).numpy().tobytes()
                    + build().predict(X[:9], verbose=0)[:0].tobytes()
                )
            )
            assert got == (2 * X[:9]).tobytes()
    finally:
        stop.set()
    join(workers)
    np.testing.assert_array_equal(model.predict(X[:9], verbose=0), want)


def test_predict_from_8_threads_equals_the_serial_result() -> None:
    model = build()
    parts = [X[i * 37 : i * 37 + 20 + i] for i in range(8)]
    want = [model.predict(p, batch_size=7, verbose=0) for p in parts]
    bad: list[str] = []

    def work(i: int) -> None:
        for _ in range(5):
            whole = model.predict_on_batch(parts[i])
            if not np.array_equal(
                model.predict(parts[i], batch_size=7, verbose=0), want[i]
            ):
                bad.append(f"predict {i}")
            if not np.array_equal(whole, want[i]):
                bad.append(f"predict_on_batch {i}")

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in workers:
        t.start()
    join(workers)
    assert bad == []


def test_executor_from_8_threads_with_the_same_shape_equals_serial() -> None:
    w = c.Variable(RNG.normal(size=(64, 96)).astype("float32"))
    g = c.Graph()
    with g:
        x = g.input("x", (None, 64), "float32")
        g.output("y", c.tanh(c.matmul(x, w.value())))
    run = c.Executor(g)
    want = [run([X + i])[0] for i in range(8)]
    got: list[list[np.ndarray]] = [[] for _ in range(8)]

    def work(i: int) -> None:
        for _ in range(10):
            got[i].append(run([X + i])[0])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in workers:
        t.start()
    join(workers)
    for i in range(8):
        assert len(got[i]) == 10
        for y in got[i]:
            np.testing.assert_array_equal(y, want[i])


def test_epoch_releases_the_gil() -> None:
    # With a huge switch interval another thread runs only when the GIL is released.
    w = c.Variable(np.zeros((64, 1), "float32"))
    g = c.Graph()
    with g:
        x = g.input("x", (None, 64), "float32")
        g.set_loss(c.mean(c.square(c.matmul(x, w.value()) - 1.0)))
        g.output("loss", c.mean(c.square(w.value())))
    trainer = c.Trainer(g, c.Optimizer("adam"), [w])
    stop, ticks = threading.Event(), [0]

    def count() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0)

    before = sys.getswitchinterval()
    other = threading.Thread(target=count)
    sys.setswitchinterval(100.0)
    try:
        other.start()
        start, end = ticks[0], time.monotonic() + PATIENCE
        made = 0
        while made <= 10 and time.monotonic() < end:
            trainer.fit([X], 1, 20)
            made = ticks[0] - start
    finally:
        sys.setswitchinterval(before)
        stop.set()
    join([other])
    assert made > 10
    assert (w.numpy() != 0).all()


def test_weights_read_while_another_thread_trains() -> None:
    model = build()
    done = threading.Event()
    shapes = [w.shape for w in model.get_weights()]
    failures: list[BaseException] = []

    def train() -> None:
        try:
            for _ in range(6):
                model.fit(X, Y, batch_size=16, epochs=4, verbose=0)
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    t = threading.Thread(target=train)
    first = model.get_weights()
    t.start()
    reads, kept = 0, []
    while not done.is_set() or reads == 0:
        weights = model.get_weights()
        assert [w.shape for w in weights] == shapes
        assert all(np.isfinite(w).all() for w in weights)
        snapshot = model.weights[0].value
        if len(kept) < 50:
            kept.append((snapshot.numpy(), snapshot.numpy(copy=True)))
        reads += 1
    join([t])
    assert failures == []
    assert reads > 1
    for view, copy in kept:
        np.testing.assert_array_equal(view, copy)
    assert any((a != b).any() for a, b in zip(first, model.get_weights(), strict=True))


def test_predict_while_another_thread_trains_is_finite() -> None:
    model = build()
    model.predict(X, verbose=0)
    t = threading.Thread(
        target=lambda: model.fit(X, Y, batch_size=16, epochs=20, verbose=0)
    )
    t.start()
    sums = []
    while t.is_alive():
        sums.append(model.predict(X[:32], verbose=0).sum(1))
    join([t])
    assert len(sums) >= 1
    np.testing.assert_allclose(np.array(sums), 1, rtol=1e-4)


def test_two_models_train_in_two_threads_as_they_do_alone() -> None:
    def run(parallel: bool) -> list[list[np.ndarray]]:
        keras.utils.set_random_seed(3)
        models = [build(), build()]

        def fit(m: keras.Sequential) -> None:
            m.fit(X, Y, batch_size=32, epochs=3, shuffle=False, verbose=0)

        if parallel:
            workers = [threading.Thread(target=fit, args=(m,)) for m in models]
            for t in workers:
                t.start()
            join(workers)
        else:
            for m in models:
                fit(m)
        return [m.get_weights() for m in models]

    for a, b in zip(run(True), run(False), strict=True):
        for u, v in zip(a, b, strict=True):
            np.testing.assert_array_equal(u, v)


def test_steps_of_one_trainer_from_many_threads_are_all_taken() -> None:
    w = c.Variable(np.zeros(3, "float32"))
    count = c.Variable(np.zeros((), "float32"), trainable=False)
    g = c.Graph()
    with g:
        g.input("x", (None, 1), "float32")
        count.assign(count.value() + 1.0)
        g.set_loss(c.sum(w.value()))
    trainer = c.Trainer(g, c.Optimizer("sgd", learning_rate=1.0), [w])
    one = np.zeros((1, 1), "float32")

    def work() -> None:
        for _ in range(100):
            trainer.step([one])

    workers = [threading.Thread(target=work) for _ in range(4)]
    for t in workers:
        t.start()
    join(workers)
    assert count.numpy() == 400
    assert w.numpy().tolist() == [-400] * 3


def test_eager_ops_and_backward_in_many_threads_are_independent() -> None:
    results: dict[int, float] = {}

    def work(i: int) -> None:
        for _ in range(20):
            x = c.tensor(np.full(1000, float(i)))
            x.requires_grad = True
            c.sum(x * x).backward()
            results[i] = float(x.grad.numpy().sum())

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in workers:
        t.start()
    join(workers)
    assert results == {i: 2000.0 * i for i in range(8)}


def test_no_grad_in_one_thread_does_not_reach_another() -> None:
    seen: list[bool] = []
    with c.no_grad():
        t = threading.Thread(target=lambda: seen.append(c.is_grad_enabled()))
        t.start()
        join([t])
    assert seen == [True]
