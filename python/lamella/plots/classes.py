"""Results of classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella.plots._canvas import grid, hide, one, to_numpy

__all__ = ["class_scores", "confusion_matrix"]


def _labels(y: Any) -> np.ndarray:
    y = to_numpy(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return np.asarray(y.argmax(1))
    y = y.ravel()
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        return (y > 0.5).astype("int64")  # probabilities of one class
    return y


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Sequence[Any] | None = None,
    normalize: bool = False,
    ax: Any = None,
) -> Any:
    """Draw how often each class was taken for each other.

    Args:
        y_true: labels, or one-hot rows.
        y_pred: labels, one-hot rows or rows of probabilities; probabilities of one
            class count from 0.5.
        labels: names of the classes, in the order of their numbers.
        normalize: shares of each true class instead of counts.
        ax: Axes to draw into; default: a new figure.

    Returns:
        The Axes; `ax.images[0].get_array()` holds the matrix, rows true.

    Raises:
        ValueError: the numbers of labels differ.
    """
    who = "plots.confusion_matrix"
    true, pred = _labels(y_true), _labels(y_pred)
    if true.shape != pred.shape:
        raise ValueError(f"{who}: {true.size} true and {pred.size} predicted labels")
    classes = np.unique(np.concatenate([true, pred]))
    if labels is not None and classes.dtype.kind in "iuf" and classes.size:
        classes = np.arange(max(len(labels), int(classes.max()) + 1))
    n = len(classes)
    matrix = np.zeros((n, n))
    at = np.searchsorted(classes, true), np.searchsorted(classes, pred)
    np.add.at(matrix, at, 1)
    if normalize:
        matrix /= np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(3.6, 0.5 * n + 1.6)
    ax = one(ax, who, (size + 0.6, size))
    ax.imshow(matrix, cmap="Blues", vmin=0)
    names = [str(c) for c in classes]
    for i, name in enumerate(labels or ()):
        names[i] = str(name)
    ax.set_xticks(range(n), names, rotation=45 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(range(n), names)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    dark = matrix.max() / 2
    for i in range(n):
        for j in range(n):
            value = matrix[i, j]
            text = f"{value:.2f}" if normalize else f"{value:.0f}"
            colour = "w" if value > dark else "0.2"
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    ax.set_title(f"accuracy {np.mean(true == pred):.4f}")
    return ax


def class_scores(
    scores: Any,
    image: Any = None,
    *,
    labels: Sequence[Any] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the outputs of a classifier for one example as stems, next to its picture.

    Args:
        scores: (classes,) or (1, classes).
        image: the example, (height, width[, channels]); default: none.
        labels: names of the classes.
        ax: Axes: one, or two with a picture; default: a new figure.

    Returns:
        Array of Axes.
    """
    values = to_numpy(scores).ravel()
    n = 1 if image is None else 2
    panels = grid(n, "plots.class_scores", ax, 2, (3.2, 2.8))
    if image is not None:
        panels[0].imshow(np.squeeze(to_numpy(image)), cmap="gray")
        hide(panels[0])
    stems = panels[n - 1]
    stems.stem(values)
    names = labels if labels is not None else range(len(values))
    stems.set_xticks(range(len(values)), [str(v) for v in names])
    stems.set_title(f"{names[int(values.argmax())]}: {values.max():.3f}")
    return panels
