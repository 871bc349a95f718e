"""Plot of the training history."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_history"]


def plot_history(
    history: Any,
    path: str | os.PathLike[str] | Any = None,
    *,
    metrics: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the loss and each metric over the epochs.

    A metric and its ``val_`` twin share one panel.

    Args:
        history: What `fit` returned, or a dict of name to list of values.
        path: Where to write the picture (the ending says the format: ``.png``,
            ``.pdf``, ``.svg``); or one matplotlib Axes, or a list of Axes with one
            for each panel, to draw into; None: only return the figure.
        metrics: Names of the panels in order, default ``"loss"``, then all others.
        title: Title above the panels.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the history is empty, a metric is not in it, or the number
            of Axes does not fit.

    Example:
        >>> plot_history(model.fit(x, y), "history.png")  # doctest: +SKIP
    """
    curves: Mapping[str, Sequence[float]] = getattr(history, "history", history)
    if not isinstance(curves, Mapping) or not curves:
        raise ValueError(
            "plot_history: history must be what fit() returned or a dict of lists "
            f"with at least one epoch, got {history!r}"
        )
    names = metrics
    if names is None:
        seen = dict.fromkeys(name.removeprefix("val_") for name in curves)
        names = sorted(seen, key=lambda name: name != "loss")
    for name in names:
        if name not in curves and f"val_{name}" not in curves:
            raise ValueError(
                f"plot_history: no metric {name!r} in the history, "
                f"it has {', '.join(curves)}"
            )
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot_history needs matplotlib, which is not installed; install it "
            "with: pip install 'lamella[plot]'"
        ) from error

    to_file = isinstance(path, (str, os.PathLike))
    if path is None or to_file:
        figure = Figure(figsize=(5.0 * len(names), 3.6), layout="constrained")
        FigureCanvasAgg(figure)  # no window, no pyplot state
        panels = list(figure.subplots(1, len(names), squeeze=False)[0])
    else:
        if isinstance(path, (list, tuple)):
            panels = list(path)
        else:
            panels = list(path.flat) if hasattr(path, "flat") else [path]
        if len(panels) == 1 and len(names) > 1:
            panels = panels * len(names)  # all curves into the one given
        if len(panels) != len(names):
            raise ValueError(
                f"plot_history: {len(names)} panels are needed "
                f"({', '.join(names)}), got {len(panels)} axes"
            )
        figure = panels[0].figure
    for axes, name in zip(panels, names, strict=True):
        for key, style in ((name, "-"), (f"val_{name}", "--")):
            values = curves.get(key)
            if values is None:
                continue
            epochs = range(1, len(values) + 1)
            label = key if key == name else f"{name} (validation)"
            marker = "o" if len(values) == 1 else ""
            axes.plot(epochs, values, style, marker=marker, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.grid(True, alpha=0.3)
        axes.legend()
    if title:
        figure.suptitle(title)
    if to_file:
        from ..saving.atomic import atomic_write

        target = Path(path)
        with atomic_write(target, what="plot_history") as temporary:
            figure.savefig(
                temporary, format=target.suffix.removeprefix(".") or "png", dpi=120
            )
    return figure
