"""The programs in lamella.examples and examples/python do what they promise."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella
from lamella.examples import digits_cnn

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "python"


def script(name: str) -> Any:
    if not (SCRIPTS / f"{name}.py").exists():
        pytest.skip(f"{SCRIPTS} is not here: the tests run without the checkout")
    spec = importlib.util.spec_from_file_location(f"_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_digits_cnn_as_a_program_does_the_main_job(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lamella.examples.digits_cnn", "--out", "new/out"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    out = done.stdout
    assert "Total params: 1,418 (5.54 KB)" in out  # 80 + 1168 + 170
    assert re.search(
        r"\nEpoch 1/100\n81/81 - \d+s - \S+/step - accuracy: .* - val_loss: ", out
    )
    accuracy = float(re.search(r"validation accuracy (\d\.\d+)", out)[1])
    assert accuracy >= 0.97
    image = re.search(r"(?:\n    [ .:=+*#%@-]*|\n){8}", out)
    assert image
    chances = re.findall(r"\n    (\d): (\d\.\d{4})", out)
    assert [int(digit) for digit, _ in chances] == list(range(10))
    # ten numbers rounded to four places
    assert sum(float(p) for _, p in chances) == pytest.approx(1, abs=5e-4)
    folder = tmp_path / "new" / "out"
    names = {"digits_cnn.keras", "digits_cnn.lamella", "digits_cnn_best.keras"}
    written = {path.name for path in folder.iterdir()}
    assert names < written
    assert written - names in ({"digits_cnn.png"}, {"digits_cnn.csv"})
    one = lamella.models.load_model(folder / "digits_cnn.keras")
    two = lamella.models.load_model(folder / "digits_cnn.lamella")
    x = np.random.RandomState(0).rand(3, 8, 8, 1).astype("float32")
    np.testing.assert_array_equal(one.predict(x, verbose=0), two.predict(x, verbose=0))


def test_digits_cnn_below_target_says_so(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert digits_cnn.main(["--epochs", "1", "--quiet"]) == 1
    text = capsys.readouterr()
    assert re.search(r"validation accuracy is 0\.\d+, expected at least 0.97", text.err)
    assert "Epoch" not in text.out
    assert (in_tmp / "digits_cnn_out" / "digits_cnn.keras").exists()


def test_digits_cnn_without_matplotlib_writes_the_numbers(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*args: Any) -> None:
        raise ImportError("plot_history needs matplotlib: pip install 'lamella[plot]'")

    monkeypatch.setattr(digits_cnn, "plot_history", missing)
    assert digits_cnn.main(["--epochs", "2", "--quiet", "--out", "o"]) == 1
    assert "pip install 'lamella[plot]'" in capsys.readouterr().out
    lines = (in_tmp / "o" / "digits_cnn.csv").read_text().splitlines()
    assert lines[0] == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert len(lines) == 3
    assert not (in_tmp / "o" / "digits_cnn.png").exists()


def test_digits_cnn_same_seed_gives_same_numbers(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for seed in ("4", "4", "5"):
        digits_cnn.main(["--epochs", "3", "--quiet", "--seed", seed])
        texts.append(re.sub(r" in \d+\.\d s", "", capsys.readouterr().out))
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--data", "cats"]])
def test_digits_cnn_bad_arguments_exit(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        digits_cnn.main(arguments)
    assert "error: argument" in capsys.readouterr().err


def test_digits_cnn_mnist_missing_exits_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = importlib.import_module("lamella.utils.file_utils")

    def offline(*args: Any, **kwargs: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(files, "get_file", offline)
    assert digits_cnn.main(["--data", "mnist", "--out", str(tmp_path)]) == 2
    assert "mnist.load_data: train-images-idx3-ubyte.gz not found in" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.usefixtures("data_dir")
def test_digits_cnn_mnist_reaches_its_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert digits_cnn.main(["--data", "mnist", "--quiet", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert float(re.search(r"test accuracy (\d\.\d+)", out)[1]) >= 0.985


def test_xor_script_learns_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("xor").main() == 1.0
    assert "0 xor 1 -> 0.99" in capsys.readouterr().out


def test_regression_script_reaches_the_noise(tmp_path: Path) -> None:
    # 500 points: the mean of squares of the noise itself is 0.01 +- 0.0006
    assert script("regression").main(tmp_path) < 0.014
    assert (tmp_path / "regression.csv").exists()


@pytest.mark.parametrize("suffix", ["keras", "lamella"])
def test_custom_layer_script_learns_and_survives_a_file(
    tmp_path: Path, suffix: str
) -> None:
    assert script("custom_layer").main(str(tmp_path / f"model.{suffix}")) > 0.97


def test_resume_script_gives_the_same_bits(tmp_path: Path) -> None:
    assert script("resume").main(tmp_path) == 0


@pytest.fixture
def figures() -> Iterator[None]:
    pytest.importorskip("matplotlib").use("Agg")
    yield
    importlib.import_module("matplotlib.pyplot").close("all")


# script -> what its main(folder) returns must fulfil
THEMES: dict[str, Callable[[Any], bool]] = {
    "activations": lambda r: max(r, key=r.get) != "sigmoid" and r["relu"] > 0.93,
    "augmentation": lambda r: r["augmented"] > r["as they are"] + 0.2,
    "autoencoder": lambda r: r[0] < 0.6 and r[1] < 0.6,
    "class_imbalance": lambda r: (
        r["unweighted"][1] < 0.2 and r["class weights"][1] > 0.7
    ),
    "feature_maps": lambda r: r > 0.95,
    "gan": lambda r: r < 0.15,
    "image_folder": lambda r: r > 0.9,
    "initialization": lambda r: r["zeros"] < 0.2 and r["relu, He"] > 0.95,
    "line_fit": lambda r: max(map(abs, r)) < 1e-3,
    "logistic_regression": lambda r: (
        r["line"] > 0.98
        and r["parabola, one neuron"] < 0.95 < r["parabola, hidden layer"]
    ),
    "optimizers": lambda r: max(r.values()) < 0.4 and r["Adam"] < r["SGD"],
    "overfitting": lambda r: min(r["L2"], r["dropout"]) < 0.8 * r["none"],
    "perceptron": lambda r: r["and"] == 1 and r["xor"] < 1,
    "quasi_newton": lambda r: r["L-BFGS"] < 0.1 * r["Adam"],
    "recurrent": lambda r: r[0] < 0.01 and r[1] > 0.95,
    "torch_training": lambda r: r > 0.95,
    "relu_approximation": lambda r: r[1] > r[2] > r[100] and r[100] < 1e-3,
}


@pytest.mark.usefixtures("figures")
@pytest.mark.parametrize("name", THEMES)
def test_script_shows_what_its_theme_says(name: str, tmp_path: Path) -> None:
    result = script(name).main(tmp_path)
    assert THEMES[name](result), result
    assert list(tmp_path.glob("*.png"))


@pytest.mark.usefixtures("figures")
def test_hyperparameters_script_beats_the_tree(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = script("hyperparameters").main(tmp_path)
    assert min(found["grid search"], found["random search"]) > found["tree"]


def test_backpropagation_script_equals_autodiff() -> None:
    assert script("backpropagation").main() < 1e-12


@pytest.mark.usefixtures("figures")
def test_digits_mlp_script_gains_from_a_hidden_layer(tmp_path: Path) -> None:
    accuracy = script("digits_mlp").main("digits", tmp_path)
    assert accuracy["100"] > accuracy["softmax alone"] > 0.9
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.usefixtures("figures")
def test_own_digit_script_reads_a_seven_and_keeps_its_network(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    own = script("own_digit")
    assert own.main(folder=tmp_path) == 7
    written = (tmp_path / "own_digit.keras").stat().st_mtime_ns
    assert own.main(tmp_path / "own_digit.png", tmp_path) == 7
    assert (tmp_path / "own_digit.keras").stat().st_mtime_ns == written


def test_every_script_is_run_by_a_test() -> None:
    if not SCRIPTS.is_dir():
        pytest.skip("the tests run without the checkout")
    text = Path(__file__).read_text(encoding="utf-8")
    missing = [p.stem for p in SCRIPTS.glob("*.py") if f'"{p.stem}"' not in text]
    assert missing == []
