"""Weights, gradients and activations, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella.plots._canvas import one, to_numpy
from lamella.plots._outputs import outputs_of

__all__ = ["activations", "gradients", "weights"]


def _violins(
    values: dict[str, np.ndarray], who: str, title: str, log: bool, ax: Any
) -> Any:
    """One violin a layer; on a logarithmic axis of magnitudes if `log`."""
    if not values:
        raise ValueError(f"{who}: the model has no layer with weights")
    ax = one(ax, who, (max(5.0, 0.9 * len(values) + 1.5), 3.8))
    rows = []
    for x in values.values():
        x = x.ravel().astype("float64")
        x = x[np.isfinite(x)]
        if log:
            x = np.log10(np.abs(x[x != 0]))
        rows.append(x if x.size else np.array([np.nan]))
    places = [i for i, x in enumerate(rows) if np.unique(x).size > 1]
    if places:
        ax.violinplot([rows[i] for i in places], places, widths=0.85, showextrema=False)
    medians = [np.median(x) for x in rows]
    ax.plot(range(len(rows)), medians, "k.-", linewidth=0.8, label="median")
    ax.set_xticks(range(len(rows)), list(values), rotation=30, ha="right")
    if log:
        ax.yaxis.set_major_formatter(lambda v, _: f"$10^{{{v:g}}}$")
    ax.set_title(title)
    ax.grid(True, axis="y", alpha=0.3)
    ax.legend(fontsize="small")
    return ax


def _kernels(model: Any) -> dict[str, Any]:
    """The largest trainable weight of each layer, by the layer's name."""
    found = {}
    for layer in getattr(model, "layers", [model]):
        if layer.trainable_weights:
            found[layer.name] = max(
                layer.trainable_weights, key=lambda w: int(np.prod(w.shape))
            )
    return found


def weights(model: Any, *, ax: Any = None) -> Any:
    """Draw how the weights of each layer are distributed.

    Args:
        model: a built model.
        ax: Axes to draw into; default: a new figure.

    Returns:
        The Axes.
    """
    values = {name: w.numpy() for name, w in _kernels(model).items()}
    return _violins(values, "plots.weights", "weights", False, ax)


def gradients(model: Any, x: Any, y: Any, *, loss: Any = None, ax: Any = None) -> Any:
    """Draw the magnitude of the gradient in each layer, from input to output.

    Medians that fall towards the input show vanishing gradients, medians that rise
    show exploding ones.

    Args:
        model: a built model.
        x: inputs of one batch.
        y: targets of one batch.
        loss: name, Loss or function; default: the loss it was compiled with.
        ax: Axes to draw into; default: a new figure.

    Returns:
        The Axes; the values are log10 of the magnitudes.

    Raises:
        ValueError: the model is not compiled and no loss is given.
    """
    from lamella import losses, value_and_grad

    who = "plots.gradients"
    given = loss if loss is not None else getattr(model, "loss", None)
    if given is None:
        raise ValueError(f"{who}: compile the model first, or give loss=")
    function = losses.get(given)
    kernels = _kernels(model)
    target = to_numpy(y)

    def total() -> Any:
        from lamella import ops

        return ops.mean(function(target, model(x, training=True)))

    slopes = value_and_grad(total, variables=list(kernels.values()))()[1]
    values = {n: to_numpy(g) for n, g in zip(kernels, slopes, strict=True)}
    return _violins(values, who, "magnitude of the gradient", True, ax)


def activations(model: Any, x: Any, *, ax: Any = None) -> Any:
    """Draw how the outputs of each layer are distributed, from input to output.

    Saturated sigmoids gather at their ends; dead ReLUs at zero.

    Args:
        model: a functional or Sequential model.
        x: inputs.
        ax: Axes to draw into; default: a new figure.

    Returns:
        The Axes.
    """
    layers = [a for a in model.layers if not type(a).__name__.startswith("Input")]
    outputs = outputs_of(model, layers, to_numpy(x))
    values = {a.name: v for a, v in zip(layers, outputs, strict=True)}
    return _violins(values, "plots.activations", "outputs", False, ax)
