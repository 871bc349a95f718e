"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["Trial", "strong_wolfe"]

_MOST = 1e10
_EVALUATIONS = 40


class Trial(NamedTuple):
    """A point on the line: its step, value, slope along the line, and gradient."""

    step: float
    value: float
    slope: float
    gradient: np.ndarray


def strong_wolfe(
    evaluate: Callable[[float], Trial],
    start: Trial,
    step: float,
    c1: float,
    c2: float,
) -> Trial | None:
    """Return a point with enough decrease and a flat enough slope, or None.

    value <= start + c1 step slope_0 and abs(slope) <= c2 abs(slope_0).

    Source: Nocedal and Wright 2006, algorithms 3.5 and 3.6; the trial points are the
    minima of cubics, kept away from the ends of the bracket.

    Args:
        evaluate: gives the point at a step.
        start: the point at step 0; its slope is negative.
        step: the first one to try.
        c1: decrease asked for, 0 < c1 < c2.
        c2: flatness asked for, c2 < 1.
    """
    before = start
    for _ in range(_EVALUATIONS):
        trial = evaluate(step)
        if not np.isfinite(trial.value):
            step = 0.5 * (before.step + step) if before is not start else 0.1 * step
            if step < 1e-20:
                return None
            continue
        if not _decreases(trial, start, c1) or (
            before is not start and trial.value >= before.value
        ):
            return _zoom(evaluate, start, before, trial, c1, c2)
        if abs(trial.slope) <= -c2 * start.slope:
            return trial
        if trial.slope >= 0:
            return _zoom(evaluate, start, trial, before, c1, c2)
        longest = min(10 * trial.step, _MOST)
        guess = _cubic(before, trial)
        step = longest if guess is None else min(max(guess, 2 * trial.step), longest)
        before = trial
    return None


def _decreases(trial: Trial, start: Trial, c1: float) -> bool:
    return trial.value <= start.value + c1 * trial.step * start.slope


def _zoom(
    evaluate: Callable[[float], Trial],
    start: Trial,
    low: Trial,
    high: Trial,
    c1: float,
    c2: float,
) -> Trial | None:
    """Narrow the bracket between the best point so far and another."""
    for _ in range(_EVALUATIONS):
        width = high.step - low.step
        if abs(width) <= 1e-16 * max(1.0, abs(low.step)):
            break
        step = _cubic(low, high)
        margin = 0.1 * abs(width)
        first, last = sorted((low.step, high.step))
        if step is None or not first + margin <= step <= last - margin:
            step = low.step + 0.5 * width
        trial = evaluate(step)
        if (
            not np.isfinite(trial.value)
            or not _decreases(trial, start, c1)
            or trial.value >= low.value
        ):
            high = trial
            continue
        if abs(trial.slope) <= -c2 * start.slope:
            return trial
        if trial.slope * width >= 0:
            high = low
        low = trial
    # Rounding hides further progress: a lower point will do.
    return low if low.step > 0 and low.value < start.value else None


def _cubic(a: Trial, b: Trial) -> float | None:
    """Return the minimum of the cubic through two points with their slopes."""
    width = b.step - a.step
    if width == 0 or not np.isfinite([a.slope, b.slope, b.value]).all():
        return None
    d1 = a.slope + b.slope - 3 * (b.value - a.value) / width
    inside = d1 * d1 - a.slope * b.slope
    if inside < 0:
        return None
    d2 = np.copysign(np.sqrt(inside), width)
    below = b.slope - a.slope + 2 * d2
    if below == 0:
        return None
    return float(b.step - width * (b.slope + d2 - d1) / below)
