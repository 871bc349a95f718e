"""The switch between Winograd's algorithm and plain sums, from Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import lamella as keras
from lamella import config, ops


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    before = config.conv_accuracy()
    yield
    config.set_conv_accuracy(before)


def images(channels: int = 32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 12, 12, channels)).astype("float32")


def test_eager_calls_follow_the_switch() -> None:
    x = images()
    w = np.random.default_rng(1).normal(size=(3, 3, 32, 32)).astype("float32")
    results = {}
    for accuracy in ("exact", "default"):
        config.set_conv_accuracy(accuracy)
        assert config.conv_accuracy() == accuracy
        results[accuracy] = ops.conv(x, w, padding="same").numpy()
    assert not np.array_equal(results["exact"], results["default"])
    np.testing.assert_allclose(results["exact"], results["default"], atol=1e-4)


def test_float64_is_the_same_either_way() -> None:
    x = images().astype("float64")
    w = np.random.default_rng(1).normal(size=(3, 3, 32, 32))
    config.set_conv_accuracy("exact")
    exact = ops.conv(x, w, padding="same").numpy()
    config.set_conv_accuracy("default")
    np.testing.assert_array_equal(ops.conv(x, w, padding="same").numpy(), exact)


def test_a_model_keeps_what_it_was_traced_with() -> None:
    config.set_conv_accuracy("exact")
    model = keras.Sequential(
        [keras.Input((12, 12, 32)), keras.layers.Conv2D(32, 3, padding="same")]
    )
    x = images()
    exact = model.predict(x, verbose=0)
    config.set_conv_accuracy("default")
    np.testing.assert_array_equal(model.predict(x, verbose=0), exact)
    np.testing.assert_array_equal(model.predict(x[:1], verbose=0), exact[:1])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 'default' or 'exact', got 'fast'"):
        config.set_conv_accuracy("fast")


@pytest.mark.parametrize("value", ["exact", "default", ""])
def test_environment(value: str) -> None:
    code = "import lamella; print(lamella.config.conv_accuracy())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LAMELLA_CONV": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (value or "default")
