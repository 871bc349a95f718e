"""Going on after training was cut off."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from .callback import Callback

__all__ = ["BackupAndRestore"]


class BackupAndRestore(Callback):
    """Keep a backup while training, and go on from it in the next `fit`.

    The backup holds the weights, the optimizer's state, the random counters of layers
    and the seed of the shuffling: a run that was cut off between epochs and started
    again ends with the weights of one that was not.

    Args:
        backup_dir: Folder for the backup; it must not be used for anything else.
        save_freq: ``"epoch"``, or a number of batches. Training goes on with the epoch
            that was not finished, from its first batch.
        double_checkpoint: Whether to keep the backup before the last one, too, which
            is read when the last one is damaged.
        delete_checkpoint: Whether to delete the folder when training ends.

    Raises:
        ValueError: If `backup_dir` is empty, `save_freq` not valid, or the model is
            not built when `fit` begins.

    Example:
        >>> backup = BackupAndRestore("backup")
        >>> model.fit(x, y, epochs=100, callbacks=[backup])  # doctest: +SKIP
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError("BackupAndRestore: backup_dir must not be empty")
        if save_freq != "epoch" and (
            not isinstance(save_freq, int) or isinstance(save_freq, bool)
        ):
            raise ValueError(
                "BackupAndRestore: save_freq must be 'epoch' or a number of batches, "
                f"got save_freq={save_freq!r}"
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        folder = Path(self.backup_dir)
        self._paths = (folder / "latest.weights.h5", folder / "training_metadata.json")
        self._batches_since = 0
        self._last_batch = 0
        self._current_epoch = 0

    @property
    def uses_batch_hooks(self) -> bool:
        """Whether the training loop has to call this object for each batch."""
        return self.save_freq != "epoch"

    def on_train_begin(self, logs: Any = None) -> None:
        """Read the backup, if there is one."""
        self._current_epoch = 0
        try:
            self._restore()
        except OSError:
            if not _earlier(self._paths[0]).exists():
                raise
            for path in self._paths:
                if _earlier(path).exists():
                    shutil.copy(_earlier(path), path)
            self._restore()

    def _restore(self) -> None:
        model = self.model
        if not model.built:
            raise ValueError(
                f"BackupAndRestore: build the model before fit(): {model.name!r} has "
                "no weights yet"
            )
        weights, metadata = self._paths
        if weights.exists():
            if model.optimizer is not None and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            model.load_weights(str(weights))
        if metadata.exists():
            found = json.loads(metadata.read_text(encoding="utf-8"))
            model._initial_epoch = self._current_epoch = int(found["epoch"])
            model._shuffle_seed = found.get("seed")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save when enough batches have passed."""
        if self.save_freq == "epoch":
            return
        new_epoch = batch <= self._last_batch
        self._batches_since += batch + 1 if new_epoch else batch - self._last_batch
        self._last_batch = batch
        if self._batches_since >= int(self.save_freq):
            self._batches_since = 0
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save when that is done by epochs."""
        self._current_epoch = epoch + 1
        self._last_batch = 0
        if self.save_freq == "epoch":
            self._save()

    def _save(self) -> None:
        weights, metadata = self._paths
        weights.parent.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint:
            for path in self._paths:
                if path.exists():
                    shutil.copy(path, _earlier(path))
        self.model.save_weights(str(weights), overwrite=True)
        state = {
            "epoch": self._current_epoch,
            "batch": self._last_batch,
            "seed": self.model._shuffle_seed,
        }
        temporary = metadata.with_suffix(".tmp")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.replace(metadata)

    def on_train_end(self, logs: Any = None) -> None:
        """Delete the backup; it stays after Ctrl-C, to go on from it."""
        interrupted = getattr(self.model.history, "stopped_by", None) == "interrupt"
        if self.delete_checkpoint and not interrupted:
            shutil.rmtree(self.backup_dir, ignore_errors=True)


def _earlier(path: Path) -> Path:
    return path.with_name(f"{path.name}.bkp")
