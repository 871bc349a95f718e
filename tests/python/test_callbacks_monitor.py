"""Callbacks that follow a value: semantics number for number as in Keras 3."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from callback_models import FakeModel, play, small_data, small_model

import lamella
from lamella import callbacks

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


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
