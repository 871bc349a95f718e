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
            "_fast_batch",
            "_fast_predict",
            "_orders",
            "_compile_trainable",
            "_noted",
            "_whole_batch",
        }
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a functional model of Model(inputs, outputs)."""
        if cls is Model and _of_graph(args, kwargs):
            from lamella.models.functional import Functional

            return super().__new__(Functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from lamella.models.functional import Functional

        if _of_graph(args, kwargs):
            # A subclass that calls super().__init__(inputs, outputs): its class becomes
            # one of Functional's, as in Keras.
            _make_functional(type(self), Functional)
            Functional.__init__(self, *args, **kwargs)  # type: ignore[arg-type]
            return
        if args or "inputs" in kwargs or "outputs" in kwargs:
            raise ValueError(
                f"{type(self).__name__}: super().__init__() takes inputs and outputs "
                "(a functional model), or only name, dtype, trainable (a model with a "
                f"call of its own); got {len(args)} arguments"
                + "".join(f", {k}" for k in kwargs)
            )
        super().__init__(**kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; subclasses override it."""
        raise NotImplementedError(
            f"{type(self).__name__}: a Model needs a method call(self, inputs)"
        )

    def _has_call(self) -> bool:
        return type(self).call is not Model.call

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a model as `get_config` described it."""
        from lamella.models import functional_config

        if functional_config.is_functional_config(cls, config):
            made: Any = cls
            return functional_config.functional_from_config(
                made, config, custom_objects
            )
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
            zipped: False writes the parts of a `.keras` file into a folder.
            **kwargs: `include_optimizer`.
        """
        from lamella import saving

        saving.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(
        self,
        filepath: Any,
        overwrite: bool = True,
        max_shard_size: float | None = None,
    ) -> None:
        """Write the weights to a `.weights.h5` file (or `.lamella`).

        Args:
            filepath: where; with `max_shard_size` it ends in `.weights.json`.
            overwrite: whether an existing file is replaced. Default True.
            max_shard_size: largest size of one file in GiB; default one file.
        """
        from lamella import saving

        saving.save_weights(self, filepath, overwrite, max_shard_size)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Read weights from a `.weights.h5`, `.h5`, `.keras` or `.lamella` file."""
        from lamella import saving

        saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Write the model for inference elsewhere.

        Differs from Keras: the formats are "onnx" and "lamella" (for C++); the others
        belong to other frameworks and raise.

        Args:
            filepath: where.
            format: "onnx" (needs the package onnx) or "lamella".
            verbose: whether a line says so. Default True.
            input_signature: `InputSpec`, placeholder or array, or a structure of them,
                when the model was never called. Default: the model's own inputs.
            **kwargs: `opset_version` of ONNX, 18 or more.

        Raises:
            NotImplementedError: for what ONNX has no operators for; the layer is named.
            ValueError: for other formats, or a model without a known input shape.
        """
        from lamella.export import export_model

        export_model(self, filepath, format, verbose, input_signature, **kwargs)

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, Any]:
        """Return all variables as nested dicts, by their paths.

        Args:
            value_format: "backend_tensor" or "numpy_array".
        """
        from lamella.models import state_tree

        return state_tree.get_state_tree(self, value_format)

    def set_state_tree(self, state_tree: Any) -> None:
        """Assign variables from what `get_state_tree` returned."""
        from lamella.models import state_tree as module

        module.set_state_tree(self, state_tree)

    def to_json(self, **kwargs: Any) -> str:
        """Return the architecture (no weights) as Keras 3 JSON."""
        from lamella.saving import serialization

        return json.dumps(serialization.serialize_keras_object(self), **kwargs)


def _of_graph(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return True for the arguments of a functional model."""
    if len(args) in (2, 3):
        return True
    return "outputs" in kwargs and (len(args) == 1 or "inputs" in kwargs)


def _make_functional(cls: type, functional: type) -> type:
    """Put Functional into the place of Model among the bases of a class."""
    if cls is Model or issubclass(cls, functional):
        return functional if cls is Model else cls
    if cls is object or not issubclass(cls, Model):
        return cls
    cls.__bases__ = tuple(_make_functional(base, functional) for base in cls.__bases__)
    return cls


def model_from_json(json_string: str, custom_objects: Any = None) -> Model:
    """Return the (unbuilt or built) model that `to_json` described."""
    from lamella.saving import serialization

    return serialization.deserialize_keras_object(
        json.loads(json_string), custom_objects=custom_objects
    )
