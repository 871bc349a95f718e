"""What EarlyStopping, ModelCheckpoint and ReduceLROnPlateau share."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from .callback import Callback

__all__ = ["MonitorCallback"]


def _metrics(model: Any) -> Iterator[Any]:
    """Yield the metrics of a model, also those inside of containers."""
    for metric in getattr(model, "metrics", None) or ():
        yield metric
        inner = getattr(metric, "metrics", None)
        if isinstance(inner, (list, tuple)):
            yield from inner


class MonitorCallback(Callback):
    """Follows one value of the logs and knows what an improvement is.

    Args:
        monitor: Name of the value, default ``"val_loss"``.
        mode: ``"min"``, ``"max"``, or ``"auto"``: as the metric itself says.
        baseline: Best value to begin with; None: the first one seen.
        min_delta: Least change that counts, default 0.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__}: mode {mode!r} is unknown, 'auto' is taken; "
                "expected 'auto', 'min' or 'max'",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self.monitor_op: Callable[[Any, Any], Any] | None = None

    def _set_monitor_op(self) -> None:
        """Find the direction; possible only when the model's metrics are built."""
        if self.mode == "min":
            self.monitor_op = operator.lt
        elif self.mode == "max":
            self.monitor_op = operator.gt
        else:
            name = self.monitor.removeprefix("val_")
            if name == "loss":
                self.monitor_op = operator.lt
            for metric in _metrics(self.model):
                direction = getattr(metric, "_direction", None)
                if metric.name == name and direction is not None:
                    better = operator.gt if direction == "up" else operator.lt
                    self.monitor_op = better
            if self.monitor_op is None:
                raise ValueError(
                    f"{type(self).__name__}: cannot tell whether "
                    f"monitor={self.monitor!r} should become large or small; "
                    "pass mode='max' or mode='min'"
                )
        if self.monitor_op is operator.lt:
            self.min_delta *= -1

    def _is_improvement(self, value: Any, reference: Any) -> bool:
        if reference is None:
            return True
        assert self.monitor_op is not None
        return bool(self.monitor_op(value - self.min_delta, reference))
