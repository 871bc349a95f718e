"""Layers that run another framework inside Keras: lamella names them, and refuses."""

from __future__ import annotations

from typing import Any

from lamella.layers.layer import Layer

__all__ = ["FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"]


class _Foreign(Layer):
    """A layer whose work is done by another framework."""

    _framework = ""
    _instead = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"{type(self).__name__}: lamella does not run {self._framework}. "
            f"{self._instead}"
        )


class TorchModuleWrapper(_Foreign):
    """Refused: it would run a PyTorch module."""

    _framework = "PyTorch modules"
    _instead = (
        "Write the module with lamella.torch.nn, or as a Layer with lamella.ops, and "
        "copy its weights with set_weights."
    )


class JaxLayer(_Foreign):
    """Refused: it would run a JAX function."""

    _framework = "JAX functions"
    _instead = "Write the function as a Layer with lamella.ops."


class FlaxLayer(_Foreign):
    """Refused: it would run a Flax module."""

    _framework = "Flax modules"
    _instead = "Write the module as a Layer with lamella.ops."


class TFSMLayer(_Foreign):
    """Refused: it would run a TensorFlow SavedModel."""

    _framework = "TensorFlow SavedModels"
    _instead = "Save the model as .keras or .h5 with Keras and load that file."
