"""Pictures as pictures: data, feature maps, filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella.plots._canvas import grid, hide, to_numpy
from lamella.plots._outputs import outputs_of, pick

__all__ = ["feature_maps", "filters", "images"]


def _show(ax: Any, picture: np.ndarray, cmap: str = "gray", **options: Any) -> None:
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    if picture.ndim == 3 and picture.dtype.kind == "f":
        high = 255.0 if picture.max() > 1.0 else 1.0
        picture = np.clip(picture / high, 0, 1)
    ax.imshow(picture, cmap=cmap, **options)
    hide(ax)


def images(
    images: Any,
    labels: Sequence[Any] | None = None,
    *,
    predictions: Any = None,
    class_names: Sequence[str] | None = None,
    columns: int = 8,
    ax: Any = None,
) -> Any:
    """Draw pictures in a grid, with their labels.

    Args:
        images: (n, height, width), or (n, height, width, 1 or 3), integers or floats
            in [0, 1] or [0, 255].
        labels: above each picture; integers are looked up in `class_names`.
        predictions: labels, or rows of probabilities; what is wrong is written red.
        class_names: names of the classes.
        columns: pictures in a row.
        ax: Axes, one for each picture; default: a new figure.

    Returns:
        Array of Axes.
    """
    pictures = to_numpy(images)
    if pictures.ndim not in (3, 4):
        raise ValueError(
            "plots.images: expected shape (n, height, width) or (n, height, width, "
            f"channels), got {pictures.shape}"
        )

    def name(label: Any) -> str:
        return str(label if class_names is None else class_names[int(label)])

    guesses = None if predictions is None else to_numpy(predictions)
    if guesses is not None and guesses.ndim == 2:
        guesses = guesses.argmax(1)
    panels = grid(len(pictures), "plots.images", ax, columns, (1.3, 1.5))
    for i, (axes, picture) in enumerate(zip(panels, pictures, strict=False)):
        _show(axes, picture)
        label = None if labels is None else to_numpy(labels).ravel()[i]
        if guesses is None:
            text, wrong = ("" if label is None else name(label)), False
        else:
            wrong = label is not None and guesses[i] != label
            text = name(guesses[i]) + (f" ({name(label)})" if wrong else "")
        axes.set_title(text, fontsize="small", color="tab:red" if wrong else "0.1")
    return panels


def feature_maps(
    model: Any,
    image: Any,
    *,
    layer: int | str | None = None,
    columns: int = 8,
    ax: Any = None,
) -> Any:
    """Draw what a convolution or pooling layer makes of one picture, map by map.

    Args:
        model: a lamella model of pictures.
        image: one picture, with or without the batch axis.
        layer: name or index; default: the first layer with weights.
        columns: maps in a row.
        ax: Axes, one for each map; default: a new figure.

    Returns:
        Array of Axes.

    Raises:
        ValueError: the layer's output is not a stack of maps.
    """
    who = "plots.feature_maps"
    x = to_numpy(image)
    expected = len(model.input_shape)
    if x.ndim == expected - 2:
        x = x[..., None]
    if x.ndim == expected - 1:
        x = x[None]
    chosen = pick(model, layer, who)
    maps = outputs_of(model, [chosen], x[:1])[0][0]
    if maps.ndim != 3:
        raise ValueError(
            f"{who}: layer {chosen.name!r} gives shape {(None, *maps.shape)}, expected "
            "(batch, height, width, maps); choose a convolution or pooling layer"
        )
    panels = grid(maps.shape[-1], who, ax, columns, (1.3, 1.4))
    for i, axes in enumerate(panels[: maps.shape[-1]]):
        _show(axes, maps[..., i], "viridis")
        axes.set_title(f"{chosen.name} {i}", fontsize="x-small")
    return panels


def filters(
    layer: Any,
    *,
    index: int | str | None = None,
    channel: int | None = None,
    columns: int = 8,
    ax: Any = None,
) -> Any:
    """Draw the kernels of a 2-D convolution, or the weights of a dense layer as images.

    Args:
        layer: a layer, or a model (then `index` says which of its layers; default: the
            first with weights).
        index: name or index of the layer in a model.
        channel: input channel; default: colours for three channels, else the mean.
        columns: filters in a row.
        ax: Axes, one for each filter; default: a new figure.

    Returns:
        Array of Axes.

    Raises:
        ValueError: the layer's kernel is not two-dimensional.
    """
    who = "plots.filters"
    if hasattr(layer, "layers"):
        layer = pick(layer, index, who)
    kernel = to_numpy(layer.get_weights()[0])
    if kernel.ndim == 2:  # dense: each unit's weights as a square, where they are one
        side = int(np.sqrt(kernel.shape[0]))
        if side * side != kernel.shape[0]:
            raise ValueError(
                f"{who}: layer {layer.name!r} has {kernel.shape[0]} inputs, which do "
                "not make a square picture"
            )
        kernel = kernel.reshape(side, side, 1, -1)
    if kernel.ndim != 4:
        raise ValueError(
            f"{who}: layer {layer.name!r} has a kernel of shape {kernel.shape}, "
            "expected (height, width, channels, filters)"
        )
    panels = grid(kernel.shape[-1], who, ax, columns, (1.2, 1.3))
    reach = np.abs(kernel).max() or 1.0
    for i, axes in enumerate(panels[: kernel.shape[-1]]):
        picture = kernel[..., i]
        if channel is not None:
            picture = picture[..., channel]
        elif picture.shape[-1] == 3:
            _show(axes, 0.5 + picture / (2 * reach))
            continue
        else:
            picture = picture.mean(-1)
        _show(axes, picture, "RdBu_r", vmin=-reach, vmax=reach)
    return panels
