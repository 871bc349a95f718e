"""The progress bar, by itself and in fit."""

from __future__ import annotations

import importlib
import io
import re
import sys
from typing import Any

import pytest
from callback_models import small_data, small_model

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


# The progress bar


class Terminal(io.StringIO):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


def draw(
    module: Any, steps: list[tuple[int, float]], monkeypatch: Any, **options: Any
) -> str:
    """Return what a Progbar writes when it is updated at these steps and times."""
    clock, terminal = Clock(), options.pop("terminal", None) or Terminal()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(sys, "stdout", terminal)
    bar = module.Progbar(interval=0.1, **options)
    for step, seconds in steps:
        clock.now = 1000.0 + seconds
        values = [("accuracy", 0.5 + step / 1000), ("loss", 1e-4 * step)]
        bar.update(step, values)
    monkeypatch.undo()
    return terminal.getvalue()


OUR_BAR = importlib.import_module("lamella.utils.progbar")
STEPS = {
    "fast": [(i, 0.04 * i) for i in range(1, 64)],
    "slow": [(i, 5.0 * i) for i in range(1, 64)],
    "very slow": [(i, 100.0 * i) for i in range(1, 64)],
    "micro": [(i, 3e-4 * i) for i in range(1, 64)],
    "skipping": [(5, 0.2), (30, 0.9), (63, 1.4)],
}


@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("kind", [{}, {"stateless_metrics": ()}])
@pytest.mark.parametrize("target", [63, 5, None])
@pytest.mark.parametrize("speed", STEPS)
def test_progbar_in_a_terminal_equals_keras(
    keras_reference: Any,
    monkeypatch: pytest.MonkeyPatch,
    speed: str,
    target: int | None,
    kind: dict[str, Any],
    verbose: int,
) -> None:
    steps = [s for s in STEPS[speed] if s[0] <= (target or 63)]
    options = {"target": target, "verbose": verbose, **kind}
    theirs = importlib.import_module("keras.src.utils.progbar")
    ours = draw(OUR_BAR, steps, monkeypatch, **options)
    assert ours == draw(theirs, steps, monkeypatch, **options)
    assert bool(ours) == (verbose == 1 or (verbose == 2 and steps[-1][0] == target))


def test_progbar_last_line_looks_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    text = draw(OUR_BAR, STEPS["fast"], monkeypatch, target=63)
    last = text.rpartition("\r")[2]
    plain = re.sub("\x1b\\[[0-9]*m", "", last)
    assert plain == (
        f"63/63 {'━' * 20} 3s 40ms/step - accuracy: 0.5630 - loss: 0.0063\n"
    )


def test_progbar_draws_at_most_ten_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = [(i, 0.001 * i) for i in range(1, 1001)]
    text = draw(OUR_BAR, steps, monkeypatch, target=1000)
    assert 5 <= text.count("\r") <= 12


def test_progbar_where_the_bar_cannot_be_shown_is_ascii(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal("ascii")
    text = draw(OUR_BAR, STEPS["skipping"], monkeypatch, target=63, terminal=terminal)
    assert text.isascii()
    assert "=" * 20 in text
    assert "." * 19 in text


def test_progbar_in_a_file_is_one_line_without_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = io.StringIO()
    text = draw(OUR_BAR, STEPS["fast"], monkeypatch, target=63, terminal=terminal)
    assert text == "63/63 - 3s - 40ms/step - accuracy: 0.5630 - loss: 0.0063\n"


def test_progbar_both_kinds_of_metrics_raise() -> None:
    with pytest.raises(ValueError, match=r"^Progbar: give stateful_metrics or state"):
        OUR_BAR.Progbar(3, stateful_metrics=(), stateless_metrics=())


@pytest.mark.parametrize("verbose", [0, 1, 2, "auto"])
def test_fit_verbose_on_a_plain_stream(
    capsys: pytest.CaptureFixture[str], verbose: Any
) -> None:
    x, y = small_data()
    small_model().fit(x, y, epochs=2, validation_split=0.25, verbose=verbose)
    out = capsys.readouterr().out
    if verbose == 0:
        assert out == ""
        return
    line = (
        r"2/2 - \d+s - \d+(us|ms|s)/step - accuracy: \d\.\d{4} - loss: \d\.\d{4}"
        r" - val_accuracy: \d\.\d{4} - val_loss: \d\.\d{4}\n"
    )
    assert re.fullmatch(f"Epoch 1/2\n{line}Epoch 2/2\n{line}", out)


def test_evaluate_and_predict_show_their_own_bars(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x, y = small_data()
    model = small_model()
    model.evaluate(x, y, verbose=1)
    assert re.fullmatch(
        r"2/2 - \d+s - \S+/step - accuracy: \S+ - loss: \S+\n", capsys.readouterr().out
    )
    model.predict(x, verbose=1)
    assert re.fullmatch(r"2/2 - \d+s - \S+/step\n", capsys.readouterr().out)


def test_fit_in_a_terminal_redraws_one_line_an_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    x, y = small_data()
    small_model().fit(x, y, epochs=3, validation_data=(x, y), verbose=1)
    monkeypatch.undo()
    text = terminal.getvalue()
    assert text.count("\n") == 6
    assert text.startswith("Epoch 1/3\n")
    assert f"\x1b[1m2/2\x1b[0m \x1b[32m{'━' * 20}\x1b[0m" in text


@pytest.mark.parametrize("verbose", [1, 2])
def test_fit_counts_the_steps_of_data_of_unknown_length(
    verbose: int, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = small_data()
    batches = [(x[:4], y[:4])] * 5
    small_model().fit(iter(batches), verbose=verbose)
    assert capsys.readouterr().out.startswith("5/5 - ")
