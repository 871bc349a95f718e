"""Model: a Layer that can be trained, saved and summarized."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lamella.config import near_names
from lamella.layers.layer import Layer
from lamella.models.training import Training

__all__ = ["Model", "model_from_json"]


class Model(Training):
    """A network with compile, fit, evaluate and predict.

    Either a subclass with layers as attributes and a `call`, or a functional model
    `Model(inputs, outputs)` of placeholders made by `Input`.

    Args:
        inputs: placeholder, or list or dict of them (functional models).
        outputs: placeholder, or list or dict of them (functional models).
        trainable: whether the weights may be trained. Default True.
        dtype: "float32" or "float64".
        name: default: class name in snake case with a counter.

    Example:
        >>> import lamella as keras
        >>> class Net(keras.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = keras.layers.Dense(8, activation="relu")
        ...         self.out = keras.layers.Dense(1)
        ...     def call(self, x):
        ...         return self.out(self.hidden(x))
        >>> Net()([[1.0, 2.0]]).shape
        (1, 1)
    """

    _untracked = frozenset(
        {
            "optimizer",
            "loss",
            "history",
            "_compile_loss",
            "_compile_metrics",
            "_loss_tracker",
            "_compile_arguments",
            "_steps",
            "_predict_steps",
            "_fast_predict",
            "_orders",
            "_compile_trainable",
            "_whole_batch",
        }
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a functional model of Model(inputs, outputs)."""
        if cls is Model and (
            "inputs" in kwargs or "outputs" in kwargs or len(args) in (2, 3)
        ):
            from lamella.models.functional import Functional

            return super().__new__(Functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or "inputs" in kwargs or "outputs" in kwargs:
            from lamella.models.functional import Functional

            if not isinstance(self, Functional):
                raise ValueError(
                    f"{type(self).__name__}: a subclass with a call() takes no inputs "
                    "and outputs; give super().__init__() only name, dtype, trainable"
                )
        super().__init__(**kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; subclasses override it."""
        raise NotImplementedError(
            f"{type(self).__name__}: a Model needs a method call(self, inputs)"
        )

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a model as `get_config` described it."""
        if cls is Model and {"layers", "input_layers", "output_layers"} <= set(config):
            from lamella.models.functional import Functional

            return Functional.from_config(config, custom_objects)
        return super().from_config(config)

    # -- parts ---------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers directly below this model."""
        return list(self._layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its number.

        Raises:
            ValueError: if there is none, with the near names.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError(f"{self._who()}: get_layer expects a name or an index")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"{self._who()}: get_layer: index {index} is out of range, the "
                    f"model has {len(layers)} layers"
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        hint = near_names(name, [layer.name for layer in layers])
        raise ValueError(f"{self._who()}: there is no layer {name!r}. {hint}")

    def build(self, input_shape: Any = None) -> None:
        """Make all weights for an input of this shape (with the batch axis)."""
        if input_shape is not None:
            self._build_by_tracing(input_shape)

    # -- texts and files -----------------------------------------------------

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers, their output shapes and parameters.

        Args:
            line_length: width of the table.
            positions: where the columns end, as fractions of the width.
            print_fn: called with the text; default print.
            expand_nested: also show the layers of nested models.
            show_trainable: add a column that says which layers are trained.
            layer_range: (first, last) names or patterns of layers to show.
        """
        from lamella.models.summary import print_summary

        self._check_initialized()
        print_summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    def save(
        self,
        filepath: Any,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the model to a file: `.keras`, `.h5` or `.lamella`.

        Args:
            filepath: where; the ending says the format.
            overwrite: whether an existing file is replaced. Default True.
            zipped: must be None or True.
            **kwargs: `include_optimizer`.
        """
        from lamella import saving

        if zipped is False:
            raise ValueError(f"{self._who()}: save: zipped=False is not supported")
        saving.save_model(self, filepath, overwrite=overwrite, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a `.weights.h5` file (or `.lamella`)."""
        from lamella import saving

        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Read weights from a `.weights.h5`, `.h5`, `.keras` or `.lamella` file."""
        from lamella import saving

        saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def to_json(self, **kwargs: Any) -> str:
        """Return the architecture (no weights) as Keras 3 JSON."""
        from lamella.saving import serialization

        return json.dumps(serialization.serialize_keras_object(self), **kwargs)


def model_from_json(json_string: str, custom_objects: Any = None) -> Model:
    """Return the (unbuilt or built) model that `to_json` described."""
    from lamella.saving import serialization

    return serialization.deserialize_keras_object(
        json.loads(json_string), custom_objects=custom_objects
    )
