"""Stopping when there is no more improvement."""

from __future__ import annotations

import warnings
from typing import Any

from ..utils.io_utils import print_msg
from .monitor import MonitorCallback

__all__ = ["EarlyStopping"]


class EarlyStopping(MonitorCallback):
    """Stop training when a value has not improved for some epochs.

    Args:
        monitor: Name of the value, default ``"val_loss"``.
        min_delta: Least change that counts as improvement, default 0.
        patience: Epochs without improvement before stopping, default 0.
        verbose: 1: say what is done; default 0.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        baseline: Value that must be beaten, else training stops after `patience`.
        restore_best_weights: Whether the model gets the weights of the best epoch
            at the end, also when training ends by itself. Default False.
        start_from_epoch: Epochs to wait before watching, default 0.

    Raises:
        ValueError: In ``"auto"`` mode, when the direction of the metric is not known.

    Example:
        >>> stop = EarlyStopping(monitor="val_loss", patience=3)
        >>> model.fit(x, y, validation_split=0.2,
        ...           callbacks=[stop])  # doctest: +SKIP
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Start afresh, so that one object serves several calls of `fit`."""
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare, remember the best weights, and stop if patience is exhausted."""
        if self.monitor_op is None:
            self._set_monitor_op()
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            # Patience begins anew only when the baseline is beaten, too.
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Give the model its best weights back."""
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_msg(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print_msg(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs: dict[str, Any] | None) -> Any:
        """Return the watched value; warn when it is not in the logs."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"EarlyStopping: the metric {self.monitor!r} is not available; "
                f"there are: {', '.join(logs)}",
                stacklevel=2,
            )
        return value
