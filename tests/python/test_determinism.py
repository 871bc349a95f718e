"""The same bits for any number of threads, for a second run, for a row alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import lamella as keras
from lamella import _core as c
from lamella import layers as L

RNG = np.random.default_rng(8)
IMAGES = RNG.uniform(0, 1, (160, 28, 28, 1)).astype("float32")
FLAT = RNG.normal(size=(256, 200)).astype("float32")
DIGITS = RNG.integers(0, 10, 160)
CLASSES = RNG.integers(0, 10, 256)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = c.get_num_threads()
    keras.config.clear_session()
    yield
    c.set_num_threads(before)


def mlp() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((200,)),
            L.Dense(300, activation="relu"),
            L.Dropout(0.2),
            L.Dense(100, activation="tanh", kernel_regularizer="l2"),
            L.Dense(10, activation="softmax"),
        ]
    )


def cnn() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.Conv2D(16, 3, activation="relu"),
            L.BatchNormalization(),
            L.MaxPooling2D(2),
            L.Conv2D(8, 3, padding="same", strides=2),
            L.LeakyReLU(),
            L.AveragePooling2D(2),
            L.Dropout(0.25),
            L.Flatten(),
            L.Dense(64, activation="elu"),
            L.Dense(10, activation="softmax"),
        ]
    )


DATA = {"mlp": (mlp, FLAT, CLASSES, 128), "cnn": (cnn, IMAGES, DIGITS, 64)}

Result = tuple[list[np.ndarray], dict[str, list[float]], np.ndarray]


def train(name: str, count: int, seed: int = 11, optimizer: str = "adam") -> Result:
    """Weights, logs and predictions of a short training; the last batch is short."""
    make, x, y, batch = DATA[name]
    c.set_num_threads(count)
    keras.config.clear_session()
    keras.utils.set_random_seed(seed)
    model = make()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=batch, epochs=2, verbose=0)
    return model.get_weights(), history.history, model.predict(x[:50], verbose=0)


def assert_equal(a: Result, b: Result) -> None:
    for u, v in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(u, v)
    assert a[1] == b[1]
    np.testing.assert_array_equal(a[2], b[2])


@pytest.mark.parametrize("name", DATA)
def test_fit_same_bits_for_1_2_3_8_threads(name: str) -> None:
    one = train(name, 1)
    assert all(np.isfinite(w).all() for w in one[0])
    for count in (2, 3, 8):
        assert_equal(train(name, count), one)


@pytest.mark.parametrize("name", DATA)
def test_fit_same_seed_same_bits_and_another_seed_other_bits(name: str) -> None:
    first = train(name, 2, seed=5)
    assert_equal(train(name, 2, seed=5), first)
    other = train(name, 2, seed=6)
    assert any((u != v).any() for u, v in zip(first[0], other[0], strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "nadam"])
def test_fit_optimizer_same_bits_for_1_and_3_threads(optimizer: str) -> None:
    assert_equal(
        train("mlp", 3, optimizer=optimizer), train("mlp", 1, optimizer=optimizer)
    )


def test_fit_continued_equals_fit_in_one_go() -> None:
    def run(*epochs: tuple[int, int]) -> list[np.ndarray]:
        keras.config.clear_session()
        keras.utils.set_random_seed(2)
        model = keras.Sequential([keras.Input((200,)), L.Dense(8), L.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        for first, last in epochs:
            model.fit(
                FLAT,
                CLASSES,
                epochs=last,
                initial_epoch=first,
                shuffle=False,
                verbose=0,
            )
        return model.get_weights()

    for u, v in zip(run((0, 4)), run((0, 2), (2, 4)), strict=True):
        np.testing.assert_array_equal(u, v)


@pytest.mark.parametrize("name", DATA)
def test_predict_same_bits_for_1_and_3_threads(name: str) -> None:
    make, x, _, _ = DATA[name]
    keras.utils.set_random_seed(1)
    model = make()
    c.set_num_threads(1)
    one = model.predict(x, verbose=0)
    c.set_num_threads(3)
    np.testing.assert_array_equal(model.predict(x, verbose=0), one)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 300])
@pytest.mark.parametrize("k", [3, 150, 200, 784, 1100])
def test_matmul_row_alone_equals_the_row_in_a_batch(k: int, n: int) -> None:
    # What matmul.cpp promises: a row's result depends on the row, not on the others.
    a = RNG.normal(size=(64, k)).astype("float32")
    b = c.tensor(RNG.normal(size=(k, n)).astype("float32"))
    many = c.matmul(a, b).numpy()
    for i in (0, 1, 17, 63):
        np.testing.assert_array_equal(c.matmul(a[i : i + 1], b).numpy()[0], many[i])


def test_predict_row_alone_equals_the_row_in_a_batch() -> None:
    keras.utils.set_random_seed(1)
    model = mlp()
    many = model.predict(FLAT[:64], batch_size=64, verbose=0)
    for i in (0, 5, 63):
        alone = model.predict(FLAT[i : i + 1], verbose=0)
        np.testing.assert_array_equal(alone[0], many[i])


def test_eager_gradient_same_bits_for_1_2_3_8_threads() -> None:
    def gradient(count: int) -> list[np.ndarray]:
        c.set_num_threads(count)
        x = c.tensor(IMAGES[:64])
        k = c.tensor(
            np.linspace(-1, 1, 3 * 3 * 16, dtype="float32").reshape(3, 3, 1, 16)
        )
        for t in (x, k):
            t.requires_grad = True
        y = c.tanh(c.conv(x, k, (1, 1), "valid", (1, 1), 1))
        c.mean(y * y).backward()
        return [x.grad.numpy(), k.grad.numpy()]

    one = gradient(1)
    for count in (2, 3, 8):
        for u, v in zip(gradient(count), one, strict=True):
            np.testing.assert_array_equal(u, v)


def test_random_ops_depend_on_the_key_only() -> None:
    key = c.tensor(np.array([7, 3]))
    draws = []
    for count in (1, 3):
        c.set_num_threads(count)
        draws.append(c.random_normal(key, (100_003,)).numpy())
    np.testing.assert_array_equal(draws[0], draws[1])
    other = c.random_normal(c.tensor(np.array([7, 4])), (100_003,)).numpy()
    assert abs(np.corrcoef(draws[0], other)[0, 1]) < 0.02


def test_set_random_seed_repeats_the_stream_of_seeds() -> None:
    c.set_random_seed(4)
    first = [c.next_seed() for _ in range(5)]
    c.set_random_seed(4)
    assert [c.next_seed() for _ in range(5)] == first
    assert len(set(first)) == 5
