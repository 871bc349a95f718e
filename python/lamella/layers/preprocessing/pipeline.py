"""Pipeline: layers one after the other as one layer."""

from __future__ import annotations

from typing import Any

from lamella._masking import get_mask
from lamella.layers import _tree
from lamella.layers.layer import Layer
from lamella.ops.symbolic import holds_placeholder

__all__ = ["Pipeline"]


class Pipeline(Layer):
    """Applies layers in order; made for chains of preprocessing layers.

    Unlike a `Sequential` it is no model, and its layers get the inputs as they are:
    texts too.

    Args:
        layers: list of layers.
        name: name of the layer.

    Example:
        >>> import lamella as keras
        >>> pipeline = keras.layers.Pipeline([
        ...     keras.layers.StringLookup(vocabulary=["a", "b"]),
        ...     keras.layers.CategoryEncoding(3, output_mode="one_hot"),
        ... ])
        >>> pipeline(["b", "a"]).numpy().tolist()
        [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """

    def __init__(self, layers: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        if not isinstance(layers, list | tuple):
            raise ValueError(
                f"Pipeline: layers must be a list of layers, got layers={layers!r}"
            )
        self._pipeline_layers = layers
        self.built = True

    @property
    def layers(self) -> Any:
        """The layers."""
        return self._pipeline_layers

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Apply the layers; the first one gets the inputs as they are."""
        if holds_placeholder(inputs):
            return super().__call__(inputs, *args, **kwargs)
        return self.call(inputs, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = True, mask: Any = None) -> Any:
        """Return what the last layer makes."""
        outputs = inputs
        for layer in self._pipeline_layers:
            kwargs: dict[str, Any] = {}
            parameters = layer._call_parameters()
            if "mask" in parameters:
                kwargs["mask"] = mask
            if "training" in parameters and training is not None:
                kwargs["training"] = training
            outputs = layer(outputs, **kwargs)
            mask = _tree.map_structure(get_mask, outputs)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape that the last layer makes."""
        for layer in self._pipeline_layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the layers and the name."""
        from lamella.saving import serialize_keras_object

        return {
            "layers": serialize_keras_object(self._pipeline_layers),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a pipeline as `get_config` described it.

        Raises:
            ValueError: if `layers` is no list.
        """
        from lamella.saving import deserialize_keras_object

        layers = config.get("layers")
        if not isinstance(layers, list | tuple):
            raise ValueError(
                f"Pipeline: the config must have a list 'layers', got {layers!r}"
            )
        return cls(
            **{**config, "layers": [deserialize_keras_object(x) for x in layers]}
        )
