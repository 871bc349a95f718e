"""What a classifier does over a plane of two features."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella.plots._canvas import grid, hide, one, to_numpy

__all__ = ["decision_boundary", "neuron_maps"]


def _scores(classifier: Any, points: np.ndarray) -> tuple[np.ndarray, bool]:
    """Probabilities, scores or labels of any kind of classifier; whether labels."""
    for name in ("predict_proba", "decision_function"):
        if hasattr(classifier, name):
            return to_numpy(getattr(classifier, name)(points)), False
    if hasattr(classifier, "predict_on_batch"):
        return to_numpy(classifier.predict(points, verbose=0, batch_size=4096)), False
    if hasattr(classifier, "predict"):
        return to_numpy(classifier.predict(points)), True
    scores = to_numpy(classifier(points))
    return scores, scores.dtype.kind != "f"


def _plane(
    x: np.ndarray, features: tuple[int, int], resolution: int, margin: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two axes and the points of a mesh; other features at their mean."""
    ranges = []
    for f in features:
        low, high = x[:, f].min(), x[:, f].max()
        wide = margin * ((high - low) or 1.0)
        ranges.append(np.linspace(low - wide, high + wide, resolution))
    first, second = np.meshgrid(*ranges)
    points = np.tile(x.mean(0), (first.size, 1))
    points[:, features[0]] = first.ravel()
    points[:, features[1]] = second.ravel()
    dtype = x.dtype if x.dtype.kind == "f" else "float64"
    return first, second, points.astype(dtype)


def decision_boundary(
    classifier: Any,
    x: Any,
    y: Any = None,
    *,
    features: tuple[int, int] = (0, 1),
    resolution: int = 200,
    margin: float = 0.1,
    threshold: float | None = None,
    ax: Any = None,
) -> Any:
    """Draw what a classifier says over a plane, its boundaries, and the data.

    Args:
        classifier: a lamella model, an estimator of scikit-learn, XGBoost or the like
            (`predict_proba`, `decision_function` or `predict`), or a function of an
            array (n, features).
        x: data (n, features); they also set the limits.
        y: labels, or one-hot rows, that colour the data; default: no data drawn.
        features: the two columns of the plane; all others stay at their mean.
        resolution: points along each side.
        margin: beyond the data, as a share of their range.
        threshold: where a single output changes class; default: 0.5 for outputs in
            [0, 1], else 0.
        ax: Axes to draw into; default: a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: x has fewer than two columns.
    """
    who = "plots.decision_boundary"
    x = to_numpy(x)
    if x.ndim != 2 or x.shape[1] < 2:
        raise ValueError(
            f"{who}: x must have shape (n, features) with at least 2 features, got "
            f"{x.shape}"
        )
    ax = one(ax, who, (5.0, 4.4))
    first, second, points = _plane(x, features, resolution, margin)
    scores, labelled = _scores(classifier, points)
    if scores.ndim == 2 and scores.shape[1] == 2:
        scores = scores[:, 1] - scores[:, 0] if scores.min() < 0 else scores[:, 1]
    if scores.ndim == 2 and scores.shape[1] > 2:
        winner = scores.argmax(1).reshape(first.shape)
        n = scores.shape[1]
        levels = np.arange(n + 1) - 0.5
        ax.contourf(
            first, second, winner, levels, cmap="tab10", vmin=0, vmax=9, alpha=0.3
        )
        ax.contour(first, second, winner, levels, colors="0.3", linewidths=0.8)
        colours = {"cmap": "tab10", "vmin": 0, "vmax": 9}
    elif labelled:
        names, inverse = np.unique(scores.ravel(), return_inverse=True)
        regions = np.asarray(inverse).reshape(first.shape)
        bounds = np.arange(len(names) + 1) - 0.5
        ax.contourf(
            first, second, regions, bounds, cmap="tab10", vmin=0, vmax=9, alpha=0.3
        )
        colours = {"cmap": "tab10", "vmin": 0, "vmax": 9}
    else:
        surface = scores.reshape(first.shape)
        bounded = surface.min() >= 0 and surface.max() <= 1
        middle = threshold if threshold is not None else 0.5 if bounded else 0.0
        reach = max(abs(surface - middle).max(), 1e-12)
        low, high = (0.0, 1.0) if bounded else (middle - reach, middle + reach)
        filled = ax.contourf(
            first, second, surface, np.linspace(low, high, 21), cmap="RdBu_r", alpha=0.6
        )
        ax.figure.colorbar(filled, ax=ax, label="output")
        if surface.min() < middle < surface.max():
            ax.contour(first, second, surface, [middle], colors="k", linewidths=1.2)
        colours = {"cmap": "RdBu_r"}
    if y is not None:
        labels = to_numpy(y)
        if labels.ndim == 2 and labels.shape[1] > 1:
            labels = labels.argmax(1)
        classes = np.unique(labels.ravel(), return_inverse=True)[1]
        ax.scatter(
            x[:, features[0]],
            x[:, features[1]],
            c=classes,
            s=16,
            edgecolors="w",
            linewidths=0.5,
            **colours,
        )
    ax.set_xlabel(f"$x_{{{features[0] + 1}}}$")
    ax.set_ylabel(f"$x_{{{features[1] + 1}}}$")
    return ax


def neuron_maps(
    model: Any,
    x: Any,
    *,
    layer: int | str | None = None,
    resolution: int = 80,
    margin: float = 0.1,
    columns: int = 8,
    ax: Any = None,
) -> Any:
    """Draw what each neuron of a layer gives over the plane of two inputs.

    Args:
        model: a lamella model with two inputs.
        x: data (n, 2) that set the limits.
        layer: name or index; default: the first layer with weights.
        resolution: points along each side.
        margin: beyond the data, as a share of their range.
        columns: panels in a row.
        ax: Axes, one for each neuron; default: a new figure.

    Returns:
        Array of Axes.

    Raises:
        ValueError: the inputs are not two.
    """
    from lamella.plots._outputs import outputs_of, pick

    who = "plots.neuron_maps"
    x = to_numpy(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"{who}: x must have shape (n, 2), got {x.shape}")
    chosen = pick(model, layer, who)
    first, second, points = _plane(x, (0, 1), resolution, margin)
    values = outputs_of(model, [chosen], points)[0]
    values = values.reshape(len(points), -1)
    panels = grid(values.shape[1], who, ax, columns, (1.5, 1.6))
    for i, axes in enumerate(panels[: values.shape[1]]):
        axes.pcolormesh(
            first,
            second,
            values[:, i].reshape(first.shape),
            cmap="RdBu_r",
            shading="auto",
        )
        axes.set_title(f"{chosen.name} {i}", fontsize="small")
        hide(axes)
    return panels
