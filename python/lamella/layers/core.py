"""Dense, Activation, Identity, Lambda, Masking."""

from __future__ import annotations

import inspect
from typing import Any

from lamella import (
    _core,
    activations,
    constraints,
    initializers,
    ops,
    regularizers,
)
from lamella._masking import set_mask
from lamella.layers._arguments import config_of, positive, reject
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer

__all__ = [
    "Activation",
    "Dense",
    "Identity",
    "Lambda",
    "Masking",
]


class Dense(Layer):
    """Fully connected layer: output = activation(input @ kernel + bias).

    Args:
        units: number of outputs.
        activation: name, function or None (linear).
        use_bias: whether to add a bias. Default True.
        kernel_initializer: default "glorot_uniform".
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None; acts on the output.
        kernel_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        lora_rank: must be None.
        lora_alpha: must be None.
        quantization_config: must be None.
        **kwargs: `name`, `dtype`, `trainable`, `input_shape`, `input_dim`.

    Input shape: (batch, ..., features).
    Output shape: (batch, ..., units).

    Raises:
        ValueError: if units is not a positive integer, or the input's last axis is
            not the one that the layer was built for.

    Example:
        >>> import lamella as keras
        >>> keras.layers.Dense(3)([[1.0, 2.0]]).shape
        (1, 3)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        reject(
            "Dense",
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            quantization_config=quantization_config,
        )
        self.units = positive(units, "units", "Dense")
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Any = None
        self.bias: Any = None
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the kernel (features, units) and the bias (units,)."""
        features = input_shape[-1]
        self.kernel = self.add_weight(
            shape=(features, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return activation(inputs @ kernel + bias)."""
        del training
        x = _core.matmul(self._as_float(inputs), self.kernel.value)
        if self.bias is not None:
            x = _core.add(x, self.bias.value)
        return x if self.activation is None else self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape with `units` as its last axis."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "units",
                "activation",
                "use_bias",
                "kernel_initializer",
                "bias_initializer",
                "kernel_regularizer",
                "bias_regularizer",
                "kernel_constraint",
                "bias_constraint",
            ),
            "quantization_config": None,
        }


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: name or function.
        **kwargs: `name`, `dtype`, ...

    Example:
        >>> import lamella as keras
        >>> keras.layers.Activation("relu")([-1.0, 2.0]).numpy().tolist()
        [0.0, 2.0]
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return activation(inputs)."""
        return self.activation(self._as_float(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **config_of(self, "activation")}


class Identity(Layer):
    """Returns its input."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


class Lambda(Layer):
    """Any function of tensors as a layer.

    The function is traced like a layer's `call`: write it with `lamella.ops`.
    A model with a Lambda cannot be read from a file (a file must not hold code).

    Args:
        function: called with the input (and `training` and `mask`, if it has these
            arguments).
        output_shape: accepted for Keras's sake; lamella finds the shape itself.
        mask: function (inputs, mask) that returns the mask of the output, or that mask,
            or None.
        arguments: dict of further keyword arguments.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(
        self,
        function: Any,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise ValueError(f"Lambda: function must be callable, got {function!r}")
        self.function = function
        self.mask = mask
        self.supports_masking = mask is not None
        self.arguments = dict(arguments or {})
        self._output_shape = output_shape
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):
            parameters = {}  # type: ignore[assignment]
        self._takes_training = "training" in parameters
        self._takes_mask = "mask" in parameters
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        """Return function(inputs, **arguments)."""
        kwargs = dict(self.arguments)
        if self._takes_mask:
            kwargs["mask"] = mask
        if self._takes_training:
            kwargs["training"] = training
        return self.function(inputs, **kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask that was given, or what its function returns."""
        if callable(self.mask):
            return self.mask(inputs, previous_mask)
        return self.mask

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; the function by its registered name.

        Raises:
            ValueError: for a Python lambda, which no file may hold.
        """
        if getattr(self.function, "__name__", "<lambda>") == "<lambda>":
            raise ValueError(
                f"{self._who()}: a Python lambda cannot be saved. Write a Layer, or a "
                "named function registered with "
                "keras.saving.register_keras_serializable()."
            )
        from lamella.saving import serialization

        return {
            **super().get_config(),
            "function": serialization.serialize_keras_object(self.function),
            "arguments": self.arguments,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None, safe_mode: Any = None
    ) -> Any:
        """Return a layer as `get_config` described it; never runs code of a file."""
        config = dict(config)
        function = config.get("function")
        if isinstance(function, dict):
            if function.get("class_name") == "__lambda__":
                raise ValueError(
                    "Lambda: the file holds Python byte code, which lamella never "
                    "runs. Replace the Lambda in the model by a Layer or a registered "
                    "function."
                )
            from lamella.saving import serialization

            config["function"] = serialization.deserialize_keras_object(
                function, custom_objects=custom_objects
            )
        return cls(**config)


class Masking(Layer):
    """Masks the steps in which all features equal `mask_value`, and sets them to 0.

    The layers behind it that support masking skip these steps.

    Args:
        mask_value: default 0.
        **kwargs: `name`, `dtype`, ...

    Input shape: (batch, steps, features).
    Output shape: that of the input.

    Example:
        >>> import lamella as keras
        >>> y = keras.layers.Masking()([[[1.0, 2.0], [0.0, 0.0]]])
        >>> y._keras_mask.numpy().tolist()
        [[True, False]]
    """

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self.built = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return where a feature differs from mask_value."""
        del previous_mask
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        """Return the input with zeros in the masked steps."""
        kept = _core.any(_core.not_equal(inputs, self.mask_value), -1, True)
        y = _core.where(kept, inputs, 0)
        set_mask(y, _core.squeeze(kept, (inputs.ndim - 1,)))
        return y

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "mask_value": self.mask_value}
