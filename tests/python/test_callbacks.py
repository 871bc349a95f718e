"""Callbacks: hooks, their order, schedules, logs, interruption."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from callback_models import FakeModel, play, small_data, small_model

import lamella
from lamella import callbacks
from lamella.callbacks.callback_list import pythonify_logs

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


# Direction of metrics


@pytest.mark.parametrize(
    ("monitor", "values", "stops"),
    [
        ("val_accuracy", [0.1, 0.2, 0.3], False),
        ("accuracy", [0.3, 0.2, 0.1], True),
        ("val_mse", [0.3, 0.2, 0.1], False),
        ("mse", [0.1, 0.2, 0.3], True),
        ("val_loss", [0.1, 0.2, 0.3], True),
    ],
)
def test_monitor_auto_mode_asks_the_metric(
    monitor: str, values: list[float], stops: bool
) -> None:
    model = small_model(metrics=["accuracy", "mse"])
    x, y = small_data()
    model.fit(x, y, verbose=0)
    stop = callbacks.EarlyStopping(monitor=monitor, patience=0)
    stop.set_model(model)
    stop.on_train_begin()
    model.stop_training = False
    for epoch, value in enumerate(values):
        stop.on_epoch_end(epoch, {monitor: value})
    assert model.stop_training is stops


@pytest.mark.parametrize(
    "callback",
    [
        callbacks.EarlyStopping(monitor="val_wow"),
        callbacks.ModelCheckpoint("a.keras", monitor="val_wow"),
        callbacks.ReduceLROnPlateau(monitor="val_wow"),
    ],
    ids=lambda c: type(c).__name__,
)
def test_monitor_auto_mode_unknown_metric_raises(callback: Any) -> None:
    name = type(callback).__name__
    with pytest.raises(ValueError, match=rf"^{name}: .*'val_wow'.*mode='max'"):
        play(callback, [1.0], name="val_wow")


def test_monitor_unknown_mode_warns_and_takes_auto() -> None:
    with pytest.warns(UserWarning, match="EarlyStopping: mode 'best' is unknown"):
        stop = callbacks.EarlyStopping(mode="best")
    assert stop.mode == "auto"


# Learning rate


@hypothesis.given(
    values=st.lists(
        st.floats(0, 2).map(lambda v: round(v, 2)), min_size=1, max_size=15
    ),
    patience=st.integers(0, 3),
    cooldown=st.integers(0, 2),
    factor=st.sampled_from([0.1, 0.5]),
    min_lr=st.sampled_from([0.0, 0.03]),
)
def test_reduce_lr_on_plateau_equals_keras(
    keras_reference: Any,
    values: list[float],
    patience: int,
    cooldown: int,
    factor: float,
    min_lr: float,
) -> None:
    results = []
    for module in (callbacks, keras_reference.callbacks):
        reduce = module.ReduceLROnPlateau(
            patience=patience, cooldown=cooldown, factor=factor, min_lr=min_lr
        )
        model = FakeModel()
        reduce.set_model(model)
        reduce.on_train_begin()
        rates = []
        for epoch, value in enumerate(values):
            logs = {"val_loss": value}
            reduce.on_epoch_end(epoch, logs)
            rates.append((logs["learning_rate"], model.optimizer.learning_rate))
        results.append(rates)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


def test_reduce_lr_on_plateau_verbose_says_what_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    play(callbacks.ReduceLROnPlateau(patience=1, factor=0.5, verbose=1), [1.0, 1.0])
    assert capsys.readouterr().out == (
        "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.05.\n"
    )


def test_reduce_lr_on_plateau_factor_one_raises() -> None:
    with pytest.raises(ValueError, match=r"^ReduceLROnPlateau: factor must be below 1"):
        callbacks.ReduceLROnPlateau(factor=1.0)


@pytest.mark.parametrize(
    "schedule", [lambda epoch, rate: rate * 0.5, lambda epoch: 0.1 * 0.5**epoch]
)
def test_learning_rate_scheduler_in_fit_sets_rate_and_history(schedule: Any) -> None:
    x, y = small_data()
    model = small_model()
    history = model.fit(
        x,
        y,
        epochs=3,
        verbose=0,
        callbacks=[callbacks.LearningRateScheduler(schedule)],
    )
    first = 0.05 if schedule.__code__.co_argcount == 2 else 0.1
    expected = [first, first / 2, first / 4]
    assert history.history["learning_rate"] == pytest.approx(expected, rel=1e-6)
    assert float(np.asarray(model.optimizer.learning_rate)) == pytest.approx(
        expected[-1]
    )


def test_learning_rate_scheduler_wrong_type_raises() -> None:
    with pytest.raises(ValueError, match=r"schedule must return a float, got 'fast'"):
        play(callbacks.LearningRateScheduler(lambda epoch, rate: "fast"), [1.0])


def test_learning_rate_scheduler_verbose_says_the_rate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    play(callbacks.LearningRateScheduler(lambda epoch, rate: 0.25, verbose=1), [1.0])
    assert capsys.readouterr().out == (
        "\nEpoch 1: LearningRateScheduler setting learning rate to 0.25.\n"
    )


# CSVLogger, TerminateOnNaN, LambdaCallback


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("validation", [True, False])
def test_csv_logger_file_equals_keras(
    keras_reference: Any, tmp_path: Path, separator: str, validation: bool
) -> None:
    contents = []
    for module, name in ((callbacks, "a"), (keras_reference.callbacks, "b")):
        for append, epochs in ((False, (0, 1)), (True, (2,))):
            log = module.CSVLogger(tmp_path / name, separator, append=append)
            log.on_train_begin()
            for epoch in epochs:
                logs = {"loss": 0.5 / (epoch + 1), "acc": 1.0, "v": np.arange(3)}
                if validation:
                    logs["val_loss"] = 0.25
                log.on_epoch_end(epoch, logs)
            log.on_train_end()
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_csv_logger_in_fit_writes_a_line_an_epoch(in_tmp: Path) -> None:
    x, y = small_data()
    history = small_model().fit(
        x,
        y,
        epochs=3,
        validation_data=(x, y),
        verbose=0,
        callbacks=[callbacks.CSVLogger("log.csv")],
    )
    lines = Path("log.csv").read_text().splitlines()
    assert lines[0] == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert len(lines) == 4
    losses = [float(line.split(",")[2]) for line in lines[1:]]
    assert losses == history.history["loss"]


def test_terminate_on_nan_stops_at_the_batch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x, y = small_data()
    x[40] = np.nan
    model = small_model()
    history = model.fit(
        x,
        y,
        batch_size=16,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[callbacks.TerminateOnNaN()],
    )
    assert capsys.readouterr().out == "Batch 2: Invalid loss, terminating training\n"
    assert history.epoch == [0]


def test_terminate_on_nan_raise_error_raises() -> None:
    x, y = small_data()
    x[40] = np.inf
    with pytest.raises(RuntimeError, match="TerminateOnNaN: the loss is nan at batch"):
        small_model().fit(
            np.where(np.isinf(x), np.nan, x),
            y,
            batch_size=16,
            shuffle=False,
            verbose=0,
            callbacks=[callbacks.TerminateOnNaN(raise_error=True)],
        )


def test_lambda_callback_calls_each_hook() -> None:
    seen: list[Any] = []
    x, y = small_data()
    small_model().fit(
        x,
        y,
        batch_size=32,
        verbose=0,
        callbacks=[
            callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: seen.append(("begin", epoch)),
                on_epoch_end=lambda epoch, logs: seen.append(("end", sorted(logs))),
                on_train_batch_end=lambda batch, logs: seen.append(batch),
                on_train_begin=lambda logs: seen.append("train"),
                on_train_end=lambda logs: seen.append("done"),
            )
        ],
    )
    end = ("end", ["accuracy", "loss"])
    assert seen == ["train", ("begin", 0), 0, 1, end, "done"]


def test_lambda_callback_unknown_hook_raises() -> None:
    with pytest.raises(ValueError, match="there is no hook 'on_epoch_finish'"):
        callbacks.LambdaCallback(on_epoch_finish=print)


# CallbackList and hooks


def record(keras: Any) -> Any:
    """Make a callback that notes each hook, for Keras or lamella."""
    events: list[Any] = []

    def hook(name: str) -> Any:
        if name in ("on_epoch_begin", "on_epoch_end") or "_batch_" in name:

            def numbered(self: Any, index: int, logs: Any = None) -> None:
                events.append((name, index, sorted(logs or {})))

            return numbered

        def plain(self: Any, logs: Any = None) -> None:
            events.append((name, sorted(logs or {})))

        return plain

    names = [
        f"on_{what}_{when}"
        for what in (
            "train",
            "test",
            "predict",
            "epoch",
            "train_batch",
            "test_batch",
            "predict_batch",
        )
        for when in ("begin", "end")
    ]
    kind = type("Record", (keras.callbacks.Callback,), {n: hook(n) for n in names})
    return kind(), events


def test_hook_order_equals_keras(keras_reference: Any) -> None:
    x, y = small_data(40)
    all_events = []
    for keras in (lamella, keras_reference):
        recorder, events = record(keras)
        model = small_model(keras)
        model.fit(
            x,
            y,
            batch_size=16,
            epochs=2,
            validation_split=0.25,
            verbose=0,
            callbacks=[recorder],
        )
        model.evaluate(x, y, verbose=0, callbacks=[recorder])
        model.predict(x, verbose=0, callbacks=[recorder])
        all_events.append(events)
    names = [[event[0] for event in events] for events in all_events]
    assert names[0] == names[1]
    for ours, theirs in zip(*all_events, strict=True):
        if ours[0] != "on_predict_batch_end":  # its logs are the outputs
            assert ours == theirs


class BatchHook(callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


class OldBatchHook(callbacks.Callback):
    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        pass


class TestHook(callbacks.Callback):
    __test__ = False

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


@pytest.mark.parametrize(
    ("callback", "train", "test"),
    [
        (callbacks.Callback(), False, False),
        (callbacks.EarlyStopping(), False, False),
        (callbacks.ReduceLROnPlateau(), False, False),
        (callbacks.CSVLogger("x"), False, False),
        (callbacks.ProgbarLogger(), False, False),
        (callbacks.ModelCheckpoint("a.keras"), False, False),
        (callbacks.ModelCheckpoint("a.keras", save_freq=3), True, False),
        (callbacks.TerminateOnNaN(), True, False),
        (callbacks.LambdaCallback(on_epoch_end=print), False, False),
        (callbacks.LambdaCallback(on_train_batch_end=print), True, False),
        (callbacks.LambdaCallback(on_test_batch_end=print), False, True),
        (BatchHook(), True, False),
        (OldBatchHook(), True, False),
        (TestHook(), False, True),
    ],
)
def test_callback_list_needs_batch_hooks_only_for_overridden(
    callback: Any, train: bool, test: bool
) -> None:
    several = callbacks.CallbackList([callback], add_history=True, add_progbar=True)
    assert several.needs_batch_hooks is train
    assert several.needs_test_batch_hooks is test
    assert several.needs_predict_batch_hooks is False


def test_callback_list_logs_are_floats_sorted_and_shared() -> None:
    logs = pythonify_logs({"b": np.float32(1), "a": {"d": 2, "c": "text"}})
    assert list(logs.items()) == [("c", "text"), ("d", 2.0), ("b", 1.0)]
    assert type(logs["b"]) is float

    class Add(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["extra"] = 7.0

    x, y = small_data()
    history = small_model().fit(x, y, verbose=0, callbacks=[Add()])
    assert history.history["extra"] == [7.0]


@pytest.mark.parametrize(
    ("callback", "match"),
    [
        (callbacks.EarlyStopping, r"got the class EarlyStopping.*write EarlyStopping"),
        ("early", "expected objects derived from lamella.callbacks.Callback, got 'e"),
    ],
)
def test_callback_list_wrong_member_raises(callback: Any, match: str) -> None:
    x, y = small_data()
    with pytest.raises(ValueError, match=match):
        small_model().fit(x, y, verbose=0, callbacks=[callback])


def test_callback_list_append_tells_model_and_params() -> None:
    model = FakeModel()
    several = callbacks.CallbackList([], model=model, verbose=0, epochs=1, steps=2)
    late = callbacks.Callback()
    several.append(late)
    assert late.model is model
    assert late.params == {"verbose": 0, "epochs": 1, "steps": 2}


def test_history_has_epochs_params_and_values() -> None:
    x, y = small_data()
    model = small_model()
    history = model.fit(x, y, batch_size=16, epochs=5, initial_epoch=2, verbose=0)
    assert history.epoch == [2, 3, 4]
    assert set(history.history) == {"accuracy", "loss"}
    assert all(len(values) == 3 for values in history.history.values())
    assert history.params == {"verbose": 0, "epochs": 5, "steps": 4}
    assert model.history is history
    assert all(type(v) is float for v in history.history["loss"])


def test_training_with_callbacks_equals_keras(keras_reference: Any) -> None:
    x, y = small_data(96)
    histories, weights = [], []
    for keras in (lamella, keras_reference):
        model = small_model(keras)
        history = model.fit(
            x,
            y,
            batch_size=16,
            epochs=40,
            shuffle=False,
            validation_split=0.25,
            verbose=0,
            callbacks=[
                keras.callbacks.ReduceLROnPlateau(
                    factor=0.5, patience=2, min_delta=0.02
                ),
                keras.callbacks.EarlyStopping(
                    patience=6, min_delta=0.01, restore_best_weights=True
                ),
            ],
        )
        histories.append(history.history)
        weights.append(model.get_weights())
    ours, theirs = histories
    assert list(ours) == list(theirs)
    assert min(ours["learning_rate"]) < 0.1
    for name in ours:
        # float32 sums in another order, over some hundred steps
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, err_msg=name)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_interrupt_runs_the_end_hooks_and_keeps_best_weights(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("signals as on Unix")
    program = textwrap.dedent(
        """
        import os, signal, sys
        import numpy as np
        import lamella as keras
        x = np.random.rand(64, 3).astype("float32")
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        class Watch(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 3:
                    os.kill(os.getpid(), signal.SIGINT)
            def on_train_end(self, logs=None):
                print("end hook", flush=True)
        stop = keras.callbacks.EarlyStopping(
            monitor="loss", patience=10**9, restore_best_weights=True)
        history = model.fit(x, x[:, :1], epochs=10**6, verbose=0,
                            callbacks=[stop, Watch()])
        assert history.stopped_by == "interrupt"
        assert 3 <= len(history.epoch) < 1000
        best = stop.best_weights
        assert all((a == b).all() for a, b in zip(best, model.get_weights()))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "end hook\n"
