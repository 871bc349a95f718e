"""Saving the model while it is trained."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.io_utils import print_msg
from .monitor import MonitorCallback

__all__ = ["ModelCheckpoint"]

_MODEL_SUFFIXES = (".keras", ".h5", ".lamella")


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, at epoch ends or every n batches.

    Files are replaced atomically: a crash while saving leaves the earlier one.

    Differs from Keras: a whole model may also go to a ``.lamella`` file.

    Args:
        filepath: Where to save; may hold placeholders for the epoch (counted from
            1), the batch and any logged value: ``"{epoch:02d}-{val_loss:.2f}.keras"``.
            Must end in ``.weights.h5`` for weights only, else in ``.keras``,
            ``.h5`` or ``.lamella``. Missing folders are made.
        monitor: The value that says which model is best, default ``"val_loss"``.
        verbose: 1: say when something is saved; default 0.
        save_best_only: Whether to save only when the value improved.
        save_weights_only: Whether to save weights only.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        save_freq: ``"epoch"``, or a number of batches.
        initial_value_threshold: Best value to begin with (of an earlier run).

    Raises:
        ValueError: If `save_freq` or the ending of `filepath` is not valid.
        KeyError: If a placeholder names a value that is not in the logs.
        OSError: If `filepath` is a folder or cannot be written.

    Example:
        >>> save = ModelCheckpoint("best.keras", save_best_only=True)
        >>> model.fit(x, y, validation_split=0.2,
        ...           callbacks=[save])  # doctest: +SKIP
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._batches_seen_since_last_saving = 0
        self._last_batch_seen: int | None = None
        self._current_epoch = 0
        if save_freq != "epoch" and (
            not isinstance(save_freq, int) or isinstance(save_freq, bool)
        ):
            raise ValueError(
                "ModelCheckpoint: save_freq must be 'epoch' or a number of batches, "
                f"got save_freq={save_freq!r}"
            )
        if save_weights_only:
            if not self.filepath.endswith(".weights.h5"):
                raise ValueError(
                    "ModelCheckpoint: with save_weights_only=True, filepath must end "
                    f"in .weights.h5, got filepath={self.filepath!r}"
                )
        elif not self.filepath.endswith(_MODEL_SUFFIXES):
            raise ValueError(
                f"ModelCheckpoint: filepath must end in {', '.join(_MODEL_SUFFIXES)}, "
                f"got filepath={self.filepath!r}"
            )

    @property
    def uses_batch_hooks(self) -> bool:
        """Whether the training loop has to call this object for each batch."""
        return self.save_freq != "epoch"

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save when enough batches have passed."""
        if self._should_save_on_batch(batch):
            self._save_model(self._current_epoch, batch, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the epoch, for the file name."""
        self._current_epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save when that is done by epochs."""
        if self.monitor_op is None:
            self._set_monitor_op()
        if self.save_freq == "epoch":
            self._save_model(epoch, None, logs)

    def _should_save_on_batch(self, batch: int) -> bool:
        if self.save_freq == "epoch":
            return False
        if self._last_batch_seen is None or batch <= self._last_batch_seen:
            passed = batch + 1  # a new epoch
        else:
            passed = batch - self._last_batch_seen
        self._batches_seen_since_last_saving += passed
        self._last_batch_seen = batch
        if self._batches_seen_since_last_saving < int(self.save_freq):
            return False
        self._batches_seen_since_last_saving = 0
        return True

    def _should_save_model(
        self, epoch: int, logs: dict[str, Any], filepath: str
    ) -> bool:
        if not self.save_best_only:
            if self.verbose > 0:
                print_msg(f"\nEpoch {epoch + 1}: saving model to {filepath}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"ModelCheckpoint: {self.monitor!r} is not in the logs, so that the "
                "best model is not known: saving this one; there are: "
                f"{', '.join(logs)}",
                stacklevel=2,
            )
            return True
        if np.ndim(current) > 0:
            warnings.warn(
                f"ModelCheckpoint: {self.monitor!r} is not a single number, so that "
                "the best model is not known: saving this one",
                stacklevel=2,
            )
            return True
        if self.monitor_op is None:  # save_freq in batches, within the first epoch
            self._set_monitor_op()
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(current, self.best):
            if self.verbose > 0:
                print_msg(
                    f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {best}"
                )
            return False
        if self.verbose > 0:
            print_msg(
                f"\nEpoch {epoch + 1}: {self.monitor} improved from {best} to "
                f"{current:.5f}, saving model to {filepath}"
            )
        self.best = current
        return True

    def _save_model(self, epoch: int, batch: int | None, logs: Any) -> None:
        logs = logs or {}
        filepath = self._get_file_path(epoch, batch, logs)
        if not self._should_save_model(epoch, logs, filepath):
            return
        path = Path(filepath)
        if path.is_dir():
            raise IsADirectoryError(
                "ModelCheckpoint: filepath must name a file, but it is an existing "
                f"folder: {filepath}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(filepath, overwrite=True)
        else:
            self.model.save(filepath, overwrite=True)
        if self.verbose > 0:
            print_msg(f"\nEpoch {epoch + 1}: finished saving model to {filepath}")

    def _get_file_path(self, epoch: int, batch: int | None, logs: Any) -> str:
        values = {"epoch": epoch + 1, **logs}
        if batch is not None:
            values.setdefault("batch", batch + 1)
        try:
            return self.filepath.format(**values)
        except KeyError as error:
            raise KeyError(
                f"ModelCheckpoint: filepath={self.filepath!r} asks for {error}, "
                f"which is not in the logs; there are: {', '.join(values)}"
            ) from error
