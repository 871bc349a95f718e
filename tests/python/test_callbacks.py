"""Callbacks: semantics number for number as in Keras 3, hooks, progress bar."""

from __future__ import annotations

import importlib
import io
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import callbacks
from lamella.callbacks.callback_list import pythonify_logs

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


class FakeModel:
    """As much of a model as callbacks see."""

    def __init__(self, rate: float = 0.1, metrics: tuple[Any, ...] = ()) -> None:
        self.stop_training = False
        self.optimizer = SimpleNamespace(learning_rate=rate)
        self.metrics = list(metrics)
        self.epoch = -1
        self.restored: Any = None
        self.saved: list[tuple[str, str]] = []

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.epoch)]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.restored = int(weights[0])

    def save(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("model", path))

    def save_weights(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("weights", path))


def play(callback: Any, values: list[float], name: str = "val_loss") -> FakeModel:
    """Run epochs in which the metric has these values."""
    model = FakeModel()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.epoch = epoch
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {name: value})
        if model.stop_training:
            break
    callback.on_train_end()
    return model


def small_data(n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(0)
    x = random.uniform(-1, 1, (n, 3)).astype("float32")
    return x, (x.sum(1, keepdims=True) > 0).astype("float32")


def small_model(keras: Any = lamella, metrics: Any = ("accuracy",)) -> Any:
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    random = np.random.RandomState(1)
    model.set_weights(
        [random.uniform(-1, 1, w.shape).astype("float32") for w in model.get_weights()]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss="binary_crossentropy",
        metrics=list(metrics),
    )
    return model


# EarlyStopping


def test_early_stopping_without_improvement_stops_after_patience() -> None:
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    model = play(stop, [1.0, 0.5, 0.6, 0.7, 0.1])
    assert model.stop_training
    assert stop.stopped_epoch == 3
    assert stop.best_epoch == 1
    assert model.restored == 1


def test_early_stopping_at_normal_end_restores_best_weights() -> None:
    stop = callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    model = play(stop, [1.0, 0.5, 0.6])
    assert not model.stop_training
    assert model.restored == 1


def test_early_stopping_never_stops_in_epoch_zero() -> None:
    stop = callbacks.EarlyStopping(patience=0, baseline=0.1)
    model = play(stop, [float("nan"), float("nan")])
    assert stop.stopped_epoch == 1
    assert model.stop_training


def test_early_stopping_reused_starts_afresh() -> None:
    stop = callbacks.EarlyStopping(patience=1)
    assert play(stop, [1.0, 2.0]).stop_training
    assert not play(stop, [5.0, 4.0, 3.0]).stop_training


def test_early_stopping_missing_metric_warns_and_goes_on() -> None:
    stop = callbacks.EarlyStopping(patience=0)
    with pytest.warns(UserWarning, match=r"'val_loss' is not available.*: loss"):
        model = play(stop, [1.0, 2.0], name="loss")
    assert not model.stop_training


@hypothesis.given(
    values=st.lists(
        st.one_of(
            st.floats(0, 2, width=32).map(lambda v: round(v, 2)),
            st.just(float("nan")),
        ),
        min_size=1,
        max_size=12,
    ),
    patience=st.integers(0, 3),
    min_delta=st.sampled_from([0, 0.1]),
    mode=st.sampled_from(["auto", "min", "max"]),
    baseline=st.sampled_from([None, 0.5, 1.5]),
    restore=st.booleans(),
    start=st.integers(0, 2),
)
def test_early_stopping_equals_keras(
    keras_reference: Any,
    values: list[float],
    patience: int,
    min_delta: float,
    mode: str,
    baseline: float | None,
    restore: bool,
    start: int,
) -> None:
    options = {
        "patience": patience,
        "min_delta": min_delta,
        "mode": mode,
        "baseline": baseline,
        "restore_best_weights": restore,
        "start_from_epoch": start,
    }
    ours = callbacks.EarlyStopping(**options)
    theirs = keras_reference.callbacks.EarlyStopping(**options)
    our_model, their_model = play(ours, values), play(theirs, values)
    for name in ("stopped_epoch", "wait", "best_epoch"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert our_model.stop_training == their_model.stop_training
    assert our_model.restored == their_model.restored


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


# ModelCheckpoint


def test_model_checkpoint_formats_the_path(tmp_path: Path) -> None:
    pattern = tmp_path / "new" / "{epoch:02d}-{val_loss:.2f}.keras"
    model = play(callbacks.ModelCheckpoint(pattern), [0.5, 0.256])
    assert [Path(path).name for _, path in model.saved] == [
        "01-0.50.keras",
        "02-0.26.keras",
    ]
    assert (tmp_path / "new").is_dir()


def test_model_checkpoint_unknown_placeholder_names_it() -> None:
    save = callbacks.ModelCheckpoint("{val_acc:.2f}.keras")
    with pytest.raises(KeyError, match=r"val_acc.*there are: epoch, val_loss"):
        play(save, [0.5])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"filepath": "a.txt"}, r"must end in \.keras, \.h5, \.lamella, got filepath="),
        (
            {"filepath": "a.keras", "save_weights_only": True},
            r"must end in \.weights\.h5",
        ),
        ({"filepath": "a.keras", "save_freq": "batch"}, "save_freq must be 'epoch' or"),
        ({"filepath": "a.keras", "save_freq": 1.5}, "got save_freq=1.5"),
    ],
)
def test_model_checkpoint_bad_arguments_raise(
    options: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=f"^ModelCheckpoint: .*{match}"):
        callbacks.ModelCheckpoint(**options)


def test_model_checkpoint_at_a_folder_raises(tmp_path: Path) -> None:
    (tmp_path / "a.keras").mkdir()
    with pytest.raises(IsADirectoryError, match="existing folder"):
        play(callbacks.ModelCheckpoint(tmp_path / "a.keras"), [0.5])


def test_model_checkpoint_missing_metric_warns_and_saves() -> None:
    save = callbacks.ModelCheckpoint("a.keras", save_best_only=True)
    with pytest.warns(UserWarning, match="'val_loss' is not in the logs"):
        model = play(save, [1.0], name="loss")
    assert len(model.saved) == 1


@hypothesis.given(
    values=st.lists(st.floats(0, 2).map(lambda v: round(v, 3)), max_size=8),
    best_only=st.booleans(),
    weights_only=st.booleans(),
    mode=st.sampled_from(["auto", "max"]),
    threshold=st.sampled_from([None, 0.7]),
)
def test_model_checkpoint_equals_keras_messages_too(
    keras_reference: Any,
    values: list[float],
    best_only: bool,
    weights_only: bool,
    mode: str,
    threshold: float | None,
) -> None:
    suffix = ".weights.h5" if weights_only else ".keras"
    outputs = []
    for module in (callbacks, keras_reference.callbacks):
        save = module.ModelCheckpoint(
            "e{epoch}" + suffix,
            verbose=1,
            save_best_only=best_only,
            save_weights_only=weights_only,
            mode=mode,
            initial_value_threshold=threshold,
        )
        out, sys.stdout = sys.stdout, io.StringIO()
        try:
            model = play(save, values)
            outputs.append((model.saved, save.best, sys.stdout.getvalue()))
        finally:
            sys.stdout = out
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("save_freq", [1, 3, 5, 7])
def test_model_checkpoint_every_n_batches_equals_keras(
    keras_reference: Any, save_freq: int
) -> None:
    saved = []
    for module in (callbacks, keras_reference.callbacks):
        save = module.ModelCheckpoint("{epoch}-{batch}.keras", save_freq=save_freq)
        model = FakeModel()
        save.set_model(model)
        for epoch in range(3):
            save.on_epoch_begin(epoch)
            for batch in range(4):
                save.on_train_batch_end(batch, {"loss": 1.0})
            save.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0})
        saved.append(model.saved)
    assert saved[0] == saved[1]
    assert saved[0]


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".lamella", ".weights.h5"])
def test_model_checkpoint_in_fit_best_file_holds_best_weights(
    in_tmp: Path, suffix: str
) -> None:
    x, y = small_data()
    model = small_model()
    weights_only = suffix == ".weights.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's advice against .h5
        history = model.fit(
            x,
            y,
            epochs=5,
            validation_split=0.25,
            verbose=0,
            callbacks=[
                callbacks.ModelCheckpoint(
                    f"best{suffix}",
                    save_best_only=True,
                    save_weights_only=weights_only,
                )
            ],
        )
        if weights_only:
            loaded = small_model()
            loaded.load_weights(f"best{suffix}")
        else:
            loaded = lamella.models.load_model(f"best{suffix}")
    loss = loaded.evaluate(x[48:], y[48:], verbose=0)[0]
    assert loss == pytest.approx(min(history.history["val_loss"]), rel=1e-6)
    assert [path.name for path in in_tmp.iterdir()] == [f"best{suffix}"]


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
        (
            type("Bad", (callbacks.Callback,), {"__init__": lambda self: None})(),
            r"Bad.__init__ does not call super\(\)",
        ),
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
