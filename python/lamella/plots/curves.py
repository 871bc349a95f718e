"""Curves: training histories, activation functions, fits."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lamella.plots._canvas import figure_of, grid, one, to_numpy

__all__ = [
    "activation_functions",
    "fitted_curve",
    "history",
    "learning_curves",
    "predictions",
]


def _curves_of(run: Any, who: str) -> Mapping[str, Sequence[float]]:
    curves = getattr(run, "history", run)
    if hasattr(run, "loss_curve_"):  # an estimator of scikit-learn
        curves = {"loss": run.loss_curve_}
        if getattr(run, "validation_scores_", None) is not None:
            curves["validation score"] = run.validation_scores_
    if isinstance(curves, Sequence | np.ndarray) and not isinstance(curves, str):
        curves = {"loss": curves}
    if not isinstance(curves, Mapping) or not curves:
        raise ValueError(
            f"{who}: expected what fit() returned, or a dict of lists, with at least "
            f"one epoch, got {run!r}"
        )
    return curves


def _draw(ax: Any, values: Sequence[float], style: str, **options: Any) -> Any:
    marker = "o" if len(values) == 1 else ""
    epochs = range(1, len(values) + 1)
    return ax.plot(epochs, values, style, marker=marker, **options)[0]


def history(
    history: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    title: str | None = None,
    log: bool = False,
    ax: Any = None,
) -> Any:
    """Draw the loss and each metric over the epochs.

    A metric and its ``val_`` twin share one panel.

    Args:
        history: what `fit` returned, or a dict of name to list of values.
        path: file to write (the ending says the format); default: none.
        metrics: names of the panels in order; default: loss, then all others.
        title: above the panels.
        log: logarithmic values.
        ax: one Axes for everything, or one for each panel.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the history is empty, a metric is not in it, or the number of
            Axes does not fit.

    Example:
        >>> lamella.plots.history(model.fit(x, y), "fit.png")  # doctest: +SKIP
    """
    who = "plots.history"
    curves = _curves_of(history, who)
    names = metrics
    if names is None:
        seen = dict.fromkeys(name.removeprefix("val_") for name in curves)
        names = sorted(seen, key=lambda name: name != "loss")
    for name in names:
        if name not in curves and f"val_{name}" not in curves:
            raise ValueError(
                f"{who}: no metric {name!r} in the history, it has {', '.join(curves)}"
            )
    if ax is not None and np.asarray(ax, dtype=object).size == 1:
        panels = [np.asarray(ax, dtype=object).ravel()[0]] * len(names)
    else:
        panels = list(grid(len(names), who, ax, len(names), (5.0, 3.6)))
    for axes, name in zip(panels, names, strict=False):
        for key, style in ((name, "-"), (f"val_{name}", "--")):
            if key in curves:
                label = key if key == name else f"{name} (validation)"
                _draw(axes, curves[key], style, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        if log:
            axes.set_yscale("log")
        axes.grid(True, alpha=0.3)
        axes.legend()
    figure = figure_of(panels)
    if title:
        figure.suptitle(title)
    if path is not None:
        from lamella.saving.atomic import atomic_write

        target = Path(path)
        with atomic_write(target, what=who) as temporary:
            figure.savefig(
                temporary, format=target.suffix.removeprefix(".") or "png", dpi=120
            )
    return figure


def learning_curves(
    runs: Mapping[str, Any],
    metric: str = "loss",
    *,
    validation: bool = True,
    log: bool = False,
    ax: Any = None,
) -> Any:
    """Compare one metric of several runs over the epochs.

    Args:
        runs: name to what `fit` returned (also a dict of lists, a list of losses, or
            a fitted estimator with `loss_curve_`).
        metric: which curve.
        validation: also ``val_`` + metric, dashed, where a run has it.
        log: logarithmic values.
        ax: Axes to draw into; default: a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: a run has no such metric.
    """
    who = "plots.learning_curves"
    ax = one(ax, who, (6.4, 4.0))
    for name, run in runs.items():
        curves = _curves_of(run, who)
        if metric not in curves:
            raise ValueError(
                f"{who}: run {name!r} has no {metric!r}, it has {', '.join(curves)}"
            )
        line = _draw(ax, curves[metric], "-", label=name)
        twin = curves.get(f"val_{metric}")
        if validation and twin is not None:
            _draw(ax, twin, "--", color=line.get_color(), alpha=0.8)
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric)
    if log:
        ax.set_yscale("log")
    ax.grid(True, alpha=0.3)
    ax.legend()
    return ax


def activation_functions(
    functions: Sequence[str | Callable[[Any], Any]] = (
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "elu",
        "silu",
    ),
    *,
    derivative: bool = True,
    limits: tuple[float, float] = (-5.0, 5.0),
    ax: Any = None,
) -> Any:
    """Draw activation functions and, dashed, their derivatives.

    Args:
        functions: names of `lamella.activations`, or functions of a tensor.
        derivative: draw it, too (by automatic differentiation).
        limits: of the argument.
        ax: one Axes for all, or one for each; default: a new figure with panels.

    Returns:
        Array of Axes.
    """
    from lamella import activations, grad, ops

    who = "plots.activation_functions"
    single = ax is not None and np.asarray(ax, dtype=object).size == 1
    if single:
        panels = [np.asarray(ax, dtype=object).ravel()[0]] * len(functions)
    else:
        panels = list(grid(len(functions), who, ax, 3, (3.4, 2.6)))
    x = np.linspace(*limits, 401)
    for axes, given in zip(panels, functions, strict=False):
        function = activations.get(given)
        name = given if isinstance(given, str) else getattr(given, "__name__", "")

        def total(x: Any, function: Any = function) -> Any:
            return ops.sum(function(x))

        y = to_numpy(function(ops.convert_to_tensor(x)))
        line = axes.plot(x, y, label=name if single else "value")[0]
        if derivative:
            axes.plot(
                x,
                to_numpy(grad(total)(x)),
                "--",
                color=line.get_color() if single else None,
                label=f"{name}'" if single else "derivative",
            )
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.axvline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.legend(fontsize="small")
        if not single:
            axes.set_title(name, fontsize="medium")
    return np.array(panels, dtype=object)


def _predict(model: Any, x: np.ndarray) -> np.ndarray:
    if hasattr(model, "predict"):
        try:
            return to_numpy(model.predict(x, verbose=0))
        except TypeError:  # an estimator's predict takes nothing but x
            return to_numpy(model.predict(x))
    return to_numpy(model(x))


def fitted_curve(
    model: Any,
    x: Any,
    y: Any,
    *,
    margin: float = 0.05,
    label: str = "model",
    ax: Any = None,
) -> Any:
    """Draw data points over one feature and the curve that a model makes of it.

    Args:
        model: anything with `predict`, or a function of an array (n, 1).
        x: (n,) or (n, 1).
        y: (n,) or (n, 1).
        margin: how far beyond the data, as a share of their range.
        label: of the curve.
        ax: Axes to draw into; default: a new figure.

    Returns:
        The Axes.
    """
    ax = one(ax, "plots.fitted_curve")
    x, y = to_numpy(x).ravel(), to_numpy(y).ravel()
    wide = margin * (x.max() - x.min())
    at = np.linspace(x.min() - wide, x.max() + wide, 500, dtype="float32")
    ax.plot(x, y, "o", markersize=4, alpha=0.6, label="data")
    ax.plot(at, _predict(model, at[:, None]).ravel(), "r", label=label)
    ax.grid(True, alpha=0.3)
    ax.legend()
    return ax


def predictions(y_true: Any, y_pred: Any, *, ax: Any = None) -> Any:
    """Draw predicted against true values of a regression, and the line of equality.

    Returns:
        The Axes; the title gives the root mean square error.

    Raises:
        ValueError: the numbers of values differ.
    """
    true, pred = to_numpy(y_true).ravel(), to_numpy(y_pred).ravel()
    if true.shape != pred.shape:
        raise ValueError(
            f"plots.predictions: {true.size} true and {pred.size} predicted values"
        )
    ax = one(ax, "plots.predictions", (4.6, 4.4))
    ax.plot(true, pred, "o", markersize=3, alpha=0.5)
    ends = [min(true.min(), pred.min()), max(true.max(), pred.max())]
    ax.plot(ends, ends, color="0.4", linewidth=1)
    ax.set_xlabel("true")
    ax.set_ylabel("predicted")
    ax.set_title(f"RMSE {np.sqrt(np.mean((true - pred) ** 2)):.4g}")
    ax.set_aspect("equal", adjustable="box")
    ax.grid(True, alpha=0.3)
    return ax
