"""Figures and panels, and matplotlib imported when it is needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["figure_of", "grid", "hide", "one", "pyplot", "to_numpy"]


def pyplot(who: str) -> Any:
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{who} needs matplotlib, which is not installed; install it with: "
            "pip install 'lamella[plot]'"
        ) from error
    return plt


def one(ax: Any, who: str, size: tuple[float, float] = (5.0, 3.8)) -> Any:
    """The given Axes, or those of a new figure."""
    if ax is not None:
        return ax
    return pyplot(who).subplots(figsize=size, layout="constrained")[1]


def grid(
    n: int, who: str, ax: Any, columns: int, panel: tuple[float, float]
) -> np.ndarray:
    """n Axes in rows: those given, or those of a new figure."""
    if ax is not None:
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) < n:
            raise ValueError(f"{who}: {n} panels are needed, got {len(axes)} axes")
        return axes
    columns = max(1, min(columns, n))
    rows = math.ceil(n / columns)
    _, axes = pyplot(who).subplots(
        rows,
        columns,
        figsize=(panel[0] * columns, panel[1] * rows),
        squeeze=False,
        layout="constrained",
    )
    for unused in axes.ravel()[n:]:
        unused.set_axis_off()
    return np.asarray(axes.ravel()[:n])


def figure_of(axes: Any) -> Any:
    """The figure that panels belong to."""
    return np.asarray(axes, dtype=object).ravel()[0].figure


def hide(ax: Any) -> None:
    """Take the ticks away; a picture needs none."""
    ax.set_xticks([])
    ax.set_yticks([])


def to_numpy(value: Any) -> np.ndarray:
    """A NumPy array of arrays, tensors, frames and lists."""
    if hasattr(value, "detach"):
        value = value.detach()
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
