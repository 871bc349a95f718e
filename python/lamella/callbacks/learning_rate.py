"""Changing the learning rate while training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..utils.io_utils import print_msg
from .callback import Callback
from .monitor import MonitorCallback

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


def _as_float(value: Any) -> float:
    """Return a Tensor, Variable or number as a float."""
    return float(np.asarray(value))


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch.

    The rate is put into the logs as ``"learning_rate"``.

    Args:
        schedule: Function of the epoch (counted from 0) and the present rate that
            returns the new rate, a float. One that takes the epoch only is fine.
        verbose: 1: say the rate; default 0.

    Raises:
        ValueError: If `schedule` returns something else than a float.

    Example:
        >>> decay = LearningRateScheduler(lambda epoch, rate: rate * 0.9)
        >>> model.fit(x, y, callbacks=[decay])  # doctest: +SKIP
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of this epoch."""
        optimizer = self.model.optimizer
        if not hasattr(optimizer, "learning_rate"):
            raise ValueError(
                "LearningRateScheduler: the optimizer has no learning_rate: "
                f"{optimizer!r}"
            )
        try:
            rate = self.schedule(epoch, _as_float(optimizer.learning_rate))
        except TypeError:  # the older form takes the epoch only
            rate = self.schedule(epoch)
        if not isinstance(rate, (float, np.float32, np.float64)):
            raise ValueError(
                "LearningRateScheduler: schedule must return a float, "
                f"got {rate!r} of type {type(rate).__name__}"
            )
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print_msg(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate "
                f"to {rate}."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the rate into the logs."""
        if logs is not None:
            logs["learning_rate"] = _as_float(self.model.optimizer.learning_rate)


class ReduceLROnPlateau(MonitorCallback):
    """Reduce the learning rate when a value has stopped improving.

    The rate during the epoch is put into the logs as ``"learning_rate"``.

    Args:
        monitor: Name of the value, default ``"val_loss"``.
        factor: New rate / old rate, below 1; default 0.1.
        patience: Epochs without improvement before reducing, default 10.
        verbose: 1: say when the rate is reduced; default 0.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        min_delta: Least change that counts as improvement, default 1e-4.
        cooldown: Epochs to wait after a reduction before watching again.
        min_lr: Lowest rate, default 0.

    Raises:
        ValueError: If `factor` is 1 or more.

    Example:
        >>> reduce = ReduceLROnPlateau(factor=0.5, patience=3, min_lr=1e-5)
        >>> model.fit(x, y, validation_split=0.2,
        ...           callbacks=[reduce])  # doctest: +SKIP
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(
                f"ReduceLROnPlateau: factor must be below 1, got factor={factor}"
            )
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Start afresh."""
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare, and reduce the rate if patience is exhausted."""
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        logs["learning_rate"] = _as_float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"ReduceLROnPlateau: the metric {self.monitor!r} is not available; "
                f"there are: {', '.join(logs)}",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch: int) -> bool:
        optimizer = self.model.optimizer
        old = _as_float(optimizer.learning_rate)
        if old <= np.float32(self.min_lr):
            return False
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose > 0:
            print_msg(
                f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate "
                f"to {new}."
            )
        return True

    def in_cooldown(self) -> bool:
        """Whether the pause after a reduction lasts."""
        return self.cooldown_counter > 0
