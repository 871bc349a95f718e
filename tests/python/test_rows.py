"""Prediction by pieces of rows: the same numbers as in one piece, or not used."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import lamella
from lamella import _core as c
from lamella import layers, utils

RNG = np.random.default_rng(5)
ROWS = 1003


def executor(shape: tuple[int, ...], f: Callable[[c.Tensor], c.Tensor]) -> c.Executor:
    g = c.Graph()
    with g:
        g.output("y", f(g.input("x", (None, *shape), "float32")))
    return c.Executor(g)


W = RNG.normal(size=(64, 900)).astype("float32")
K = RNG.normal(size=(3, 3, 4, 40)).astype("float32")
ROWS_ALONE = {
    "dense": ((64,), lambda x: c.relu(c.matmul(x, W) + np.float32(1))),
    "bias": ((64,), lambda x: c.matmul(x, W) + W[0]),
    "softmax": ((900,), lambda x: c.softmax(x, -1)),
    "conv": ((12, 12, 4), lambda x: c.conv(x, K, (1, 1), "same", (1, 1), 1)),
    "pool": ((16, 16, 8), lambda x: c.max_pool(x, (2, 2), (2, 2), "valid")),
    "reshape": ((30, 30), lambda x: c.reshape(x, (-1, 900)) * 2.0),
    "transpose": ((30, 30), lambda x: c.transpose(x, (0, 2, 1)) + x),
    "slice": ((900,), lambda x: c.concat([x[:, ::2], x[:, 1::2]], 1)),
    "mean": ((9, 100), lambda x: x - c.mean(x, 1, True)),
    "layer_norm": ((900,), lambda x: c.layer_norm(x, None, None, 1e-3)),
    "where": ((900,), lambda x: c.where(x > 0.0, x, W[0])),
    "embed": ((30,), lambda x: c.gather(W, c.cast(x * x, "int32") % 64, 0)),
    "batched": ((30, 30), lambda x: c.matmul(x, c.transpose(x, (0, 2, 1)))),
    "cumsum": ((900,), lambda x: c.cumsum(x, 1)),
    "gru": (
        (20, 8),
        lambda x: c.gru(x, c.mean(x, 1)[:, :5], W[:8, :15], W[:5, :15], W[:2, :15])[0],
    ),
}
ROWS_TOGETHER = {
    "mean": ((900,), lambda x: x - c.mean(x, 0, True)),
    "batch_norm": ((900,), lambda x: c.batch_norm(x, None, None, 1e-3)[0]),
    "flip": ((900,), lambda x: c.flip(x, (0,))),
    "cumsum": ((900,), lambda x: c.cumsum(x, 0)),
    "self": ((900,), lambda x: x + c.gather(x, np.array([0], "int32"), 0)),
    "flat": (
        (900,),
        lambda x: c.reshape(c.softmax(c.reshape(x, (1, -1)), -1), (-1, 900)),
    ),
    "product": ((64,), lambda x: c.matmul(c.matmul(x, c.transpose(x, (1, 0))), x)),
}


def data(shape: tuple[int, ...]) -> np.ndarray:
    return RNG.normal(size=(ROWS, *shape)).astype("float32")


@pytest.mark.parametrize("name", ROWS_ALONE)
def test_pieces_of_rows_give_what_the_rows_give(name: str) -> None:
    shape, f = ROWS_ALONE[name]
    x = data(shape)
    run = executor(shape, f)
    (whole,) = run([x])
    for batch in (1, 32, ROWS):
        (mapped,) = run.map([x], batch)
        np.testing.assert_allclose(mapped, whole, rtol=1e-5, atol=1e-4)
    some = [0, 1, 7, 500, 999, ROWS - 1]
    expected = np.concatenate([run([x[i : i + 1]])[0] for i in some])
    np.testing.assert_allclose(whole[some], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ROWS_TOGETHER)
def test_a_graph_that_mixes_rows_sees_all_of_them(name: str) -> None:
    shape, f = ROWS_TOGETHER[name]
    x = data(shape)
    (got,) = executor(shape, f)([x])
    np.testing.assert_allclose(got, f(c.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["conv", "dense", "softmax"])
def test_pieces_do_not_depend_on_the_number_of_threads(name: str) -> None:
    shape, f = ROWS_ALONE[name]
    x = data(shape)
    before = c.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 7):
            c.set_num_threads(threads)
            results.append(executor(shape, f)([x])[0])
    finally:
        c.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_predict_reports_every_batch_and_can_be_called_from_threads() -> None:
    shape, f = ROWS_ALONE["conv"]
    x = data(shape)
    run = executor(shape, f)
    steps: list[int] = []
    (whole,) = run.map([x], 100, progress=steps.append)
    assert steps == sorted(steps)
    assert steps[-1] == 11
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(run.map([x], 100)[0]))
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 4
    for r in results:
        np.testing.assert_array_equal(r, whole)


def test_a_fault_in_one_piece_raises_and_the_next_call_works() -> None:
    run = executor((30,), lambda x: c.gather(W, c.cast(x, "int32"), 0))
    x = np.zeros((ROWS, 30), "float32")
    x[900, 7] = 64
    with pytest.raises(ValueError, match="out of range"):
        run([x])
    assert run([x * 0])[0].shape == (ROWS, 30, 900)


def small_model() -> lamella.Model:
    model = lamella.Sequential(
        [
            lamella.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_profile_names_every_step_and_leaves_the_model_as_it_was() -> None:
    model = small_model()
    x = RNG.normal(size=(40, 8, 8, 1)).astype("float32")
    y = RNG.integers(0, 3, 40)
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    iterations = int(model.optimizer.iterations.numpy())
    p = utils.profile(model, x, y, batch_size=16, repeats=3)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations.numpy()) == iterations
    assert (p.mode, p.batch_size) == ("train", 16)
    ops = [s.op for s in p.steps]
    assert ops[0] == "feed"
    assert {"conv", "conv_backward_weights", "matmul", "adam"} <= set(ops)
    assert "conv_backward_data" not in ops  # no one asked for the gradient of x
    conv = p.steps[ops.index("conv")]
    assert conv.layer == model.layers[0].name
    assert conv.flops >= 2 * 16 * 6 * 6 * 9 * 4
    assert conv.shapes == ((16, 6, 6, 4),)
    assert all(0 <= s.share <= 1 for s in p.steps)
    assert p.seconds == pytest.approx(sum(s.seconds for s in p.steps))
    text = str(p)
    assert "GFLOP/s" in text
    assert "batch of 16" in text
    assert len(p.to_dict()["steps"]) == len(p.steps)


def test_profile_of_prediction_draws_a_picture() -> None:
    pytest.importorskip("matplotlib")
    model = small_model()
    p = utils.profile(model, RNG.normal(size=(5, 8, 8, 1)), repeats=2)
    assert (p.mode, p.batch_size) == ("predict", 5)
    ax = p.plot(least=0.0)
    assert len(ax.get_yticklabels()) == len(p.steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"repeats": 0}, "repeats must be positive"),
    ],
)
def test_profile_refuses_bad_arguments(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        utils.profile(small_model(), np.zeros((4, 8, 8, 1)), **arguments)
