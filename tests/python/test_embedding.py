"""A C++ program outside the tree uses the installed package and agrees with Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lamella as keras

SOURCE = Path(__file__).parents[1] / "cpp" / "consumer"
CLASSES = 4


def run(*command: str | Path) -> str:
    """Runs a command; its whole output is the text of the failure."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(
            f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


@pytest.fixture(scope="module")
def cmake_dir() -> Path:
    return Path(run(sys.executable, "-m", "lamella", "--cmakedir").strip())


@pytest.fixture(scope="module")
def consumer(cmake_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # cmake of the same environment first: pip puts it beside the interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cmake = shutil.which("cmake", path=path)
    if cmake is None:
        pytest.skip("no cmake found")
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        pytest.skip("no C++ compiler found")
    if not SOURCE.is_dir():
        pytest.skip("the consumer project lies in the source tree, which is not here")
    build = tmp_path_factory.mktemp("consumer")
    run(
        cmake, "-S", SOURCE, "-B", build,
        f"-Dlamella_DIR={cmake_dir}", "-DCMAKE_BUILD_TYPE=Release",
    )  # fmt: skip
    run(cmake, "--build", build)
    return build / "consumer"


def dense_model() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def convolutional_model() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(6, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("make", [dense_model, convolutional_model])
def test_consumer_program_agrees_with_python_bit_for_bit(make, consumer, tmp_path):
    keras.utils.set_random_seed(3)
    model = make()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(3)
    rows = 80  # two batches and a half
    x = rng.normal(size=(rows, *model.input_shape[1:])).astype(np.float32)
    y = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, rows)]
    model.fit(x, y, epochs=2, verbose=0)
    saved = tmp_path / "model.lamella"
    model.save(saved)
    x.tofile(tmp_path / "x.f32")
    y.tofile(tmp_path / "y.f32")

    run(
        consumer, saved,
        tmp_path / "x.f32", ",".join(map(str, x.shape)),
        tmp_path / "y.f32", ",".join(map(str, y.shape)),
        tmp_path,
    )  # fmt: skip

    def result(name: str) -> np.ndarray:
        return np.fromfile(tmp_path / name, np.float32).reshape(rows, CLASSES)

    before = model.predict(x, verbose=0)
    np.testing.assert_array_equal(result("before.f32"), before)
    model.fit(x, y, epochs=1, shuffle=False, verbose=0)
    after = model.predict(x, verbose=0)
    assert np.abs(after - before).max() > 1e-4, "the epoch changed nothing"
    np.testing.assert_array_equal(result("after.f32"), after)

    reloaded = keras.models.load_model(tmp_path / "trained.lamella")
    np.testing.assert_array_equal(reloaded.predict(x, verbose=0), after)
    for trained, weight in zip(
        reloaded.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(trained, weight)


def test_cmake_package_is_complete_and_names_no_build_folder(cmake_dir):
    prefix = cmake_dir.parents[2]
    assert (cmake_dir / "lamellaConfig.cmake").is_file()
    assert (prefix / "include" / "lamella" / "lamella.h").is_file()
    texts = [path.read_text() for path in cmake_dir.glob("*.cmake")]
    assert len(texts) >= 4
    for text in texts:
        assert "site-packages" not in text
        assert "eigen" not in text.lower()


def test_public_headers_name_no_private_dependency(cmake_dir):
    headers = list((cmake_dir.parents[2] / "include" / "lamella").glob("*.h"))
    assert headers
    for header in headers:
        text = header.read_text()
        for private in ("<Eigen", "<omp.h>", "pybind11", "nlohmann", "<cuda"):
            assert private not in text, f"{header.name} mentions {private}"
