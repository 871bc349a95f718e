"""Pictures of data, models and training, drawn with matplotlib.

Every function takes `ax` (or makes a figure of its own), returns matplotlib objects to
go on with, and shows nothing by itself: call `plt.show()`, or save the figure.
"""

from __future__ import annotations

from lamella.plots.boundaries import decision_boundary, neuron_maps
from lamella.plots.classes import class_scores, confusion_matrix
from lamella.plots.curves import (
    activation_functions,
    fitted_curve,
    history,
    learning_curves,
    predictions,
)
from lamella.plots.images import feature_maps, filters, images
from lamella.plots.layers import activations, gradients, weights
from lamella.plots.surfaces import animate_paths, loss_surface

__all__ = [
    "activation_functions",
    "activations",
    "animate_paths",
    "class_scores",
    "confusion_matrix",
    "decision_boundary",
    "feature_maps",
    "filters",
    "fitted_curve",
    "gradients",
    "history",
    "images",
    "learning_curves",
    "loss_surface",
    "neuron_maps",
    "predictions",
    "weights",
]
