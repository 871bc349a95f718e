"""The progress bar of `fit`, `evaluate`, `predict` and of downloads."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import io_utils

__all__ = ["Progbar"]

_BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}"
_BOLD, _GREEN, _WHITE, _END = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


def format_duration(seconds: float) -> str:
    """Format a remaining time as Keras does: ``5s``, ``1:05``, ``1:01:05``."""
    whole = int(seconds)
    if seconds > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    if seconds > 60:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole}s"


class Progbar:
    """A progress bar with metrics, as Keras shows it.

    In a terminal or notebook the line is redrawn in place; on any other stream
    only the final state is printed, as one plain line without control
    characters. Where the stream's encoding cannot show the bar, ``=`` and ``.``
    are used.

    Differs from Keras: a stream that is not a terminal gets one line per epoch
    (Keras writes backspaces into log files), and the display is redrawn at most
    ten times a second (Keras: twenty).

    Args:
        target: Number of steps expected; None if unknown.
        width: Width of the bar in characters, default 20.
        verbose: 0 silent, 1 bar, 2 one line at the end.
        interval: Least time between two redraws in seconds, default 0.1.
        stateful_metrics: Names of metrics shown as they are; all others are
            averaged over the steps. Not together with `stateless_metrics`.
        stateless_metrics: Names of metrics that are averaged over the steps;
            all others are shown as they are.
        unit_name: What a step is called, default ``"step"``.

    Raises:
        ValueError: If both kinds of metric names are given.

    Example:
        >>> bar = Progbar(target=3, verbose=2)
        >>> for step in range(3):
        ...     bar.update(step + 1, [("loss", 1.0 / (step + 1))])
        3/3 - 0s - ...s/step - loss: 0.3333
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.1,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Progbar: give stateful_metrics or stateless_metrics, not both"
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = set(stateful_metrics or ())
        self.stateless_metrics = (
            None if stateless_metrics is None else set(stateless_metrics)
        )
        self._dynamic_display = io_utils.is_dynamic(sys.stdout)
        self._seen_so_far = 0
        self._values: dict[str, list[Any]] = {}  # name -> [sum, count], in order
        self._start = time.time()
        self._last_update = 0.0
        self._time_after_first_step: float | None = None
        self._prev_total_width = 0

    @property
    def shows_progress(self) -> bool:
        """Whether updates before the last one are visible at all."""
        return self.verbose == 1 and self._dynamic_display

    def update(
        self,
        current: int,
        values: Sequence[tuple[str, Any]] | None = None,
        finalize: bool | None = None,
    ) -> None:
        """Take in the state after step `current` and redraw when it is time.

        Args:
            current: Number of steps done.
            values: Pairs of metric name and value.
            finalize: Whether this is the last update; None: when `current`
                reaches the target.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._record(current, values or (), finalize)
        self._seen_so_far = current
        now = time.time()
        per_unit = self._estimate_step_duration(current, now)
        if self.verbose == 1 and self._dynamic_display:
            if not finalize and now - self._last_update < self.interval:
                return
            self._draw(current, now, per_unit, finalize)
        elif self.verbose in (1, 2) and finalize:
            io_utils.print_msg(self._plain_line(current, now, per_unit))
        self._last_update = now

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """Advance by `n` steps."""
        self.update(self._seen_so_far + n, values)

    def _record(
        self, current: int, values: Sequence[tuple[str, Any]], finalize: bool
    ) -> None:
        for name, value in values:
            if self.stateless_metrics is None:
                averaged = name not in self.stateful_metrics
            else:
                averaged = name in self.stateless_metrics
            if not averaged or finalize:  # the last values are those of the whole
                self._values[name] = [value, 1]
            else:
                steps = max(current - self._seen_so_far, 1)
                entry = self._values.setdefault(name, [0.0, 0])
                entry[0] = entry[0] + value * steps
                entry[1] += steps

    def _metrics(self) -> str:
        text = ""
        for name, (total, count) in self._values.items():
            try:
                average = float(np.mean(total)) / max(1, count)
            except (TypeError, ValueError):
                text += f" - {name}: {total}"
                continue
            style = ".4f" if abs(average) > 1e-3 else ".4e"
            text += f" - {name}: {average:{style}}"
        return text

    def _plain_line(self, current: int, now: float, per_unit: float) -> str:
        if self.target:
            digits = int(math.log10(self.target)) + 1
            count = f"{current:{digits}d}/{self.target}"
        else:
            count = f"{current}/Unknown"
        return (
            f"{count} - {now - self._start:.0f}s "
            f"-{self._format_time(per_unit, self.unit_name)}{self._metrics()}"
        )

    def _draw(self, current: int, now: float, per_unit: float, finalize: bool) -> None:
        full, empty = _BAR, _BAR
        if not io_utils.can_encode(_BAR, sys.stdout):
            full, empty = "=", "."
        if self.target:
            digits = int(math.log10(self.target)) + 1
            count = f"{current:{digits}d}/{self.target}"
            done = min(int(self.width * current / self.target), self.width)
            head = f"{_BOLD}{count}{_END} "
            if done > 0:
                head += f"{_GREEN}{full * done}{_END}"
            head += f"{_WHITE}{empty * (self.width - done)}{_END}"
            visible = len(count) + 1 + self.width
        else:
            head = f"{current:7d}/Unknown"
            visible = len(head)
        if self.target and not finalize:
            clock = format_duration(per_unit * (self.target - current))
        else:
            clock = f"{now - self._start:.0f}s"
        tail = self._format_time(per_unit, self.unit_name) + self._metrics()
        visible += 1 + len(clock) + len(tail)
        message = "\b" * self._prev_total_width + "\r"
        message += f"{head} {_BOLD}{clock}{_END}{tail}"
        message += " " * max(self._prev_total_width - visible, 0)
        self._prev_total_width = visible
        if finalize:
            message += "\n"
        io_utils.print_msg(message, line_break=False)

    def _format_time(self, time_per_unit: float, unit_name: str) -> str:
        if time_per_unit >= 1 or time_per_unit == 0:
            return f" {time_per_unit:.0f}s/{unit_name}"
        if time_per_unit >= 1e-3:
            return f" {time_per_unit * 1e3:.0f}ms/{unit_name}"
        return f" {time_per_unit * 1e6:.0f}us/{unit_name}"

    def _estimate_step_duration(self, current: int, now: float) -> float:
        """Return the time of a step; the first, slower one counts only alone."""
        if not current:
            return 0.0
        if self._time_after_first_step is not None and current > 1:
            estimate = (now - self._time_after_first_step) / (current - 1)
        else:
            estimate = (now - self._start) / current
        if self._time_after_first_step is None and current == 1:
            self._time_after_first_step = now
        return estimate
