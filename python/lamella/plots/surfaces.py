"""Functions of two parameters and the ways of optimizers over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lamella.plots._canvas import one, pyplot, to_numpy

__all__ = ["animate_paths", "loss_surface"]

Limits = tuple[float, float]

# seen on every colour of the map beneath
_BRIGHT = ("white", "tab:red", "tab:orange", "magenta", "cyan", "black")


def _values(
    function: Callable[[Any, Any], Any], first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """The function on a mesh: at once if it can, else point by point."""
    try:
        values = to_numpy(function(first, second))
        if values.shape == first.shape:
            return values
    except (TypeError, ValueError):  # written for numbers
        pass
    points = zip(first.ravel(), second.ravel(), strict=True)
    return np.array([float(function(a, b)) for a, b in points]).reshape(first.shape)


def _as_paths(paths: Any) -> dict[str, np.ndarray]:
    if paths is None:
        return {}
    if not isinstance(paths, Mapping):
        paths = {"": paths}
    result = {}
    for name, path in paths.items():
        points = to_numpy(getattr(path, "path", path)).astype("float64")
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(
                f"plots.loss_surface: path {name!r} must have shape (steps, 2), got "
                f"{points.shape}"
            )
        result[name] = points
    return result


def loss_surface(
    function: Callable[[Any, Any], Any],
    x: Limits = (-2.0, 2.0),
    y: Limits = (-2.0, 2.0),
    *,
    paths: Any = None,
    log: bool = False,
    kind: str = "contour",
    resolution: int = 120,
    ax: Any = None,
) -> Any:
    """Draw a function of two parameters, and the steps that optimizers took on it.

    Args:
        function: of two numbers, or of two arrays element by element.
        x: limits of the first parameter.
        y: limits of the second parameter.
        paths: steps (n, 2), the result of `optimizers.minimize`, or a dict of them
            by name.
        log: logarithmic levels (log10 of what lies above the minimum).
        kind: "contour", or "3d".
        resolution: points along each side.
        ax: Axes to draw into (3-D ones for "3d"); default: a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: the kind is unknown, or a path is not a list of points.
    """
    who = "plots.loss_surface"
    if kind not in ("contour", "3d"):
        raise ValueError(f"{who}: kind must be 'contour' or '3d', got {kind!r}")
    first, second = np.meshgrid(
        np.linspace(*x, resolution), np.linspace(*y, resolution)
    )
    values = _values(function, first, second)
    floor = values.min()

    def height(v: Any) -> Any:
        above = np.maximum(v - floor, 0.0)  # a path may go below the mesh
        return np.log10(above + 1e-3 * (values.max() - floor)) if log else v

    if kind == "3d":
        if ax is None:
            figure = pyplot(who).figure(figsize=(6, 5), layout="constrained")
            ax = figure.add_subplot(projection="3d")
        ax.plot_surface(first, second, height(values), cmap="viridis", alpha=0.7)
    else:
        ax = one(ax, who, (5.4, 4.4))
        filled = ax.contourf(first, second, height(values), 30, cmap="viridis")
        label = "log10 above the minimum" if log else "loss"
        ax.figure.colorbar(filled, ax=ax, label=label)
        ax.set_xlim(*x)
        ax.set_ylim(*y)
    for i, (name, path) in enumerate(_as_paths(paths).items()):
        style: dict[str, Any] = {"color": _BRIGHT[i % len(_BRIGHT)], "label": name}
        if kind == "3d":
            z = height(np.array([float(function(a, b)) for a, b in path]))
            ax.plot(path[:, 0], path[:, 1], z, ".-", zorder=5, **style)
        else:
            ax.plot(path[:, 0], path[:, 1], ".-", markersize=4, **style)
            ax.plot(*path[-1], "*", color=style["color"], markersize=12)
    if paths is not None and any(_as_paths(paths)):
        ax.legend(facecolor="0.3", labelcolor="white")
    return ax


def animate_paths(
    function: Callable[[Any, Any], Any],
    paths: Any,
    x: Limits = (-2.0, 2.0),
    y: Limits = (-2.0, 2.0),
    *,
    log: bool = False,
    interval: int = 50,
    ax: Any = None,
) -> Any:
    """Animate the steps of optimizers on the contours of a function.

    Args:
        function: as of `loss_surface`.
        paths: as of `loss_surface`; the others wait for the longest.
        x: limits of the first parameter.
        y: limits of the second parameter.
        log: logarithmic levels.
        interval: milliseconds between steps.
        ax: Axes to draw into; default: a new figure.

    Returns:
        matplotlib.animation.FuncAnimation; keep it, and `save` it or show it.
    """
    ax = loss_surface(function, x, y, log=log, ax=ax)
    from matplotlib.animation import FuncAnimation

    ways = _as_paths(paths)
    lines = {
        name: ax.plot([], [], ".-", color=_BRIGHT[i % len(_BRIGHT)], label=name)[0]
        for i, name in enumerate(ways)
    }
    if any(ways):
        ax.legend(facecolor="0.3", labelcolor="white")

    def draw(step: int) -> list[Any]:
        for name, path in ways.items():
            lines[name].set_data(path[: step + 1, 0], path[: step + 1, 1])
        return list(lines.values())

    frames = max(len(path) for path in ways.values())
    return FuncAnimation(ax.figure, draw, frames=frames, interval=interval, blit=True)
