"""Callbacks that write files or talk to servers, and moving averages."""

from __future__ import annotations

import json
import struct
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from callback_models import small_data, small_model

import lamella
from lamella import callbacks
from lamella.utils import event_file

# TensorBoard


def records(path: Path) -> list[bytes]:
    """Return the records of an event file after checking its checksums."""
    data, out = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        (check,) = struct.unpack("<I", data[8:12])
        assert check == event_file.masked_crc(data[:8])
        record, data = data[12 : 12 + length], data[12 + length :]
        (check,) = struct.unpack("<I", data[:4])
        assert check == event_file.masked_crc(record)
        out.append(record)
        data = data[4:]
    return out


def test_checksum_is_the_published_one() -> None:
    # CRC-32C of "123456789" is E3069283 (RFC 3720, B.4), rotated right by 15
    crc = 0xE3069283
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    wanted = (rotated + 0xA282EAD8) & 0xFFFFFFFF
    assert event_file.masked_crc(b"123456789") == wanted


def board_run(tmp_path: Path, **arguments: Any) -> None:
    x, y = small_data(32)
    board = callbacks.TensorBoard(tmp_path, **arguments)
    small_model().fit(
        x, y, 8, epochs=2, validation_split=0.5, verbose=0, callbacks=[board]
    )


def test_tensorboard_writes_values_and_weights(tmp_path: Path) -> None:
    board_run(tmp_path, histogram_freq=1, update_freq="batch")
    (train,) = (tmp_path / "train").iterdir()
    text = b"".join(records(train))
    for tag in (b"epoch_loss", b"epoch_accuracy", b"epoch_learning_rate"):
        assert text.count(tag) == 2
    assert text.count(b"batch_loss") == 4
    assert text.count(b"/histogram") == 8
    assert b"graph_keras_model" in text
    (validation,) = (tmp_path / "validation").iterdir()
    text = b"".join(records(validation))
    assert text.count(b"epoch_loss") == 2
    assert text.count(b"evaluation_loss_vs_iterations") == 2


def test_tensorboard_is_read_by_tensorboard(tmp_path: Path) -> None:
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    board_run(tmp_path, histogram_freq=1)
    events = reading.EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    assert [e.step for e in events.Scalars("epoch_loss")] == [0, 1]
    assert events.Scalars("epoch_learning_rate")[0].value == pytest.approx(0.1)
    name = next(n for n in events.Tags()["histograms"] if "kernel" in n)
    assert sum(events.Histograms(name)[0].histogram_value.bucket) == 15


def test_tensorboard_at_epochs_leaves_the_loop_in_cpp(tmp_path: Path) -> None:
    listed = callbacks.CallbackList([callbacks.TensorBoard(tmp_path)])
    assert not listed.needs_batch_hooks
    with pytest.raises(ValueError, match="TensorBoard: profile_batch is not"):
        callbacks.TensorBoard(profile_batch=2)


# BackupAndRestore


class Boom(callbacks.Callback):
    """Fails at the end of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise RuntimeError("boom")


def noisy_model() -> Any:
    lamella.utils.set_random_seed(5)
    model = lamella.Sequential(
        [
            lamella.Input((3,)),
            lamella.layers.Dense(6, activation="tanh"),
            lamella.layers.Dropout(0.3),
            lamella.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    return model


def test_backup_resumes_with_the_weights_of_one_run(tmp_path: Path) -> None:
    x, y = small_data(40)
    whole = noisy_model()
    history = whole.fit(x, y, 8, epochs=5, verbose=0).history
    folder = tmp_path / "backup"
    cut = noisy_model()
    with pytest.raises(RuntimeError, match="boom"):
        cut.fit(
            x,
            y,
            8,
            epochs=5,
            verbose=0,
            callbacks=[callbacks.BackupAndRestore(folder), Boom(2)],
        )
    assert json.loads((folder / "training_metadata.json").read_text())["epoch"] == 3
    again = noisy_model()
    lamella.utils.set_random_seed(99)
    rest = again.fit(
        x, y, 8, epochs=5, verbose=0, callbacks=[callbacks.BackupAndRestore(folder)]
    )
    assert rest.epoch == [3, 4]
    assert rest.history["loss"] == history["loss"][3:]
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not folder.exists()
    again.fit(x, y, 8, epochs=1, verbose=0)
    assert again.history.epoch == [0]


def test_backup_before_the_last_one_replaces_a_damaged_one(tmp_path: Path) -> None:
    x, y = small_data(16)
    backup = callbacks.BackupAndRestore(
        tmp_path, double_checkpoint=True, delete_checkpoint=False
    )
    noisy_model().fit(x, y, epochs=3, verbose=0, callbacks=[backup])
    (tmp_path / "latest.weights.h5").write_bytes(b"nonsense")
    history = noisy_model().fit(x, y, epochs=4, verbose=0, callbacks=[backup])
    assert history.epoch == [2, 3]


def test_backup_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backup_dir must not be empty"):
        callbacks.BackupAndRestore("")
    with pytest.raises(ValueError, match="save_freq must be 'epoch'"):
        callbacks.BackupAndRestore(tmp_path, save_freq="batch")
    assert callbacks.CallbackList(
        [callbacks.BackupAndRestore(tmp_path, save_freq=3)]
    ).needs_batch_hooks


# SwapEMAWeights


@pytest.mark.parametrize("on_epoch", [False, True])
def test_swapped_averages_are_what_is_validated(on_epoch: bool) -> None:
    x, y = small_data(32)
    model = small_model()
    optimizer = lamella.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, "binary_crossentropy")
    seen = []

    class Look(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            averages = [v for v in optimizer.variables if "average" in v.name]
            seen.append((model.get_weights()[0], averages[0].numpy()))

    swap = callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
    history = model.fit(
        x, y, 8, epochs=3, validation_data=(x, y), verbose=0, callbacks=[swap, Look()]
    )
    # the averages remain in the model at the end, and were what was evaluated last
    final = model.evaluate(x, y, batch_size=8, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(final, rel=1e-5)
    weights, averages = seen[0]
    assert not np.array_equal(weights, averages)


def test_swap_without_averages_raises() -> None:
    x, y = small_data(8)
    with pytest.raises(ValueError, match="keeps no averages"):
        small_model().evaluate(x, y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])


# RemoteMonitor


def test_remote_monitor_posts_each_epoch() -> None:
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.path, self.headers["X-Key"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    try:
        for as_json in (True, False):
            monitor = callbacks.RemoteMonitor(
                root, "/here", headers={"X-Key": "k"}, send_as_json=as_json
            )
            monitor.on_epoch_end(3, {"loss": np.float32(0.5)})
    finally:
        server.shutdown()
        server.server_close()
    assert [r[:2] for r in received] == [("/here", "k")] * 2
    assert json.loads(received[0][2]) == {"epoch": 3, "loss": 0.5}
    form = urllib.parse.parse_qs(received[1][2])
    assert json.loads(form["data"][0]) == {"epoch": 3, "loss": 0.5}
    with pytest.warns(UserWarning, match="could not reach"):
        callbacks.RemoteMonitor(root).on_epoch_end(0, {})


def test_orbax_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="no OrbaxCheckpoint"):
        _ = callbacks.OrbaxCheckpoint
