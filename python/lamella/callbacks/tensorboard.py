"""Writing event files for TensorBoard."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.event_file import EventFile
from .callback import Callback

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Write losses, metrics and weights to files that TensorBoard shows.

    The files are written without TensorFlow. Training values go to the folder
    "train", those of the validation to "validation"; start TensorBoard with
    ``tensorboard --logdir=logs``.

    Args:
        log_dir: Folder, default ``"logs"``.
        histogram_freq: Epochs between histograms of the weights; 0: none.
        write_graph: Whether to write the layers of the model.
        write_images: Must be False.
        write_steps_per_second: Whether to write how fast training is.
        update_freq: ``"epoch"``, ``"batch"``, or a number of batches after which the
            values of the running epoch are written, too.
        profile_batch: Must be 0; see `lamella.utils.profile`.
        embeddings_freq: Must be 0.
        embeddings_metadata: Must be None.

    Raises:
        ValueError: If something is asked for that is not supported.

    Example:
        >>> board = TensorBoard("logs/first")
        >>> model.fit(x, y, callbacks=[board])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("write_images", write_images),
            ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq),
            ("embeddings_metadata", embeddings_metadata),
        ):
            if value:
                raise ValueError(
                    f"TensorBoard: {name} is not supported, got {name}={value!r}"
                )
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = False
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._files: dict[str, EventFile] = {}
        self._global_train_batch = 0
        self._epoch_start = (0.0, 0)

    @property
    def uses_batch_hooks(self) -> bool:
        """Whether the training loop has to call this object for each batch."""
        return self.update_freq != "epoch" or self.write_steps_per_second

    def _file(self, part: str) -> EventFile:
        if part not in self._files:
            self._files[part] = EventFile(Path(self.log_dir) / part)
        return self._files[part]

    def set_model(self, model: Any) -> None:
        """Take the model and write its layers."""
        super().set_model(model)
        self._close()
        if self.write_graph and type(model).__name__ in ("Functional", "Sequential"):
            file = self._file("train")
            file.plugin_text("keras", "graph_keras_model", model.to_json())

    def on_train_begin(self, logs: Any = None) -> None:
        """Count batches from 0."""
        self._global_train_batch = 0

    def on_train_end(self, logs: Any = None) -> None:
        """Close the files."""
        self._close()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Count, and look at the clock."""
        self._global_train_batch += 1
        self._batch_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write the values up to this batch when that is due."""
        step, file = self._global_train_batch, self._file("train")
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._batch_start, 1e-9)
            file.scalar("batch_steps_per_second", 1.0 / seconds, step)
        if self.update_freq != "epoch" and step % int(self.update_freq) == 0:
            for name, value in (logs or {}).items():
                file.scalar(f"batch_{name}", value, step)

    def on_test_end(self, logs: Any = None) -> None:
        """Write the values of an evaluation over the optimizer's steps."""
        optimizer = self.model.optimizer
        if optimizer is None:
            return
        file, step = self._file("validation"), int(optimizer.iterations)
        for name, value in (logs or {}).items():
            file.scalar(f"evaluation_{name}_vs_iterations", value, step)
        file.flush()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Look at the clock."""
        if self.write_steps_per_second:
            self._epoch_start = (
                time.perf_counter(),
                int(self.model.optimizer.iterations),
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the values of the epoch, and the weights when that is due."""
        if logs:
            values = {**logs, **self._learning_rates()}
            if self.write_steps_per_second:
                began, steps = self._epoch_start
                steps = int(self.model.optimizer.iterations) - steps
                values["steps_per_second"] = steps / (time.perf_counter() - began)
            for name, value in values.items():
                part = "validation" if name.startswith("val_") else "train"
                tag = f"epoch_{name.removeprefix('val_')}"
                self._file(part).scalar(tag, value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for layer in self.model.layers:
                for weight in layer.weights:
                    tag = f"{weight.path.replace(':', '_')}/histogram"
                    self._file("train").histogram(tag, weight.numpy(), epoch)
        for file in self._files.values():
            file.flush()

    def _learning_rates(self) -> dict[str, float]:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if optimizer is None:
            return {}
        if hasattr(optimizer, "optimizers"):
            return {
                f"learning_rate_{o.name}": float(np.asarray(o.learning_rate))
                for o in optimizer.optimizers
            }
        return {"learning_rate": float(np.asarray(optimizer.learning_rate))}

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}
