"""Layers around a layer: Wrapper, TimeDistributed, Bidirectional."""

from __future__ import annotations

import copy
from typing import Any

from lamella import _core
from lamella.layers.layer import Layer

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]


class Wrapper(Layer):
    """Base class of layers that hold another one as `layer`.

    Args:
        layer: the layer.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__}: expected a layer, got {layer!r}")
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        """Build the layer."""
        if not self.layer.built:
            self.layer._build_once(input_shape)
            self.layer.built = True

    def get_config(self) -> dict[str, Any]:
        """Return the layer's config with those of Layer."""
        from lamella.saving import serialization

        layer = serialization.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a wrapper as `get_config` described it."""
        from lamella.saving import serialization

        config = dict(config)
        layer = serialization.deserialize_keras_object(
            config.pop("layer"), custom_objects=custom_objects
        )
        return cls(layer, **config)


class TimeDistributed(Wrapper):
    """Applies a layer to every step: (batch, steps, ...) -> (batch, steps, ...).

    Args:
        layer: the layer.
        **kwargs: `name`, `dtype`, ...

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.TimeDistributed(keras.layers.Conv2D(4, 3))
        >>> layer(keras.ops.ones((2, 5, 8, 8, 1))).shape
        (2, 5, 6, 6, 4)
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _step_shape(self, input_shape: Any) -> tuple[Any, ...]:
        if not isinstance(input_shape, list | tuple) or len(input_shape) < 3:
            raise ValueError(
                f"{self._who()}: expected an input of rank at least 3 (batch, steps, "
                f"...), got shape {input_shape}"
            )
        return (input_shape[0], *input_shape[2:])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the layer's output shape with the steps behind the batch."""
        shape = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (shape[0], input_shape[1], *shape[1:])

    def build(self, input_shape: Any = None) -> None:
        """Build the layer for one step."""
        super().build(self._step_shape(input_shape))

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the layer's output for every step.

        Args:
            inputs: (batch, steps, ...).
            training: passed on to a layer that takes it.
            mask: booleans (batch, steps, ...), passed on likewise.
        """
        parameters = self.layer._call_parameters()
        batch, steps = inputs.dims[:2]
        kwargs: dict[str, Any] = {}
        if "training" in parameters:
            kwargs["training"] = training
        if mask is not None:
            sizes = zip(mask.shape, inputs.shape[:2], strict=False)
            if mask.ndim < 2 or any(
                a is not None and b is not None and a != b for a, b in sizes
            ):
                raise ValueError(
                    f"{self._who()}: the mask must begin with the input's (batch, "
                    f"steps), got shapes {tuple(mask.shape)} and {tuple(inputs.shape)}"
                )
            if "mask" in parameters and mask.ndim > 2:
                kwargs["mask"] = _core.reshape(mask, (batch * steps, *mask.dims[2:]))
        # Samples do not know of each other, so all steps are one large batch; a layer
        # whose statistics go over the batch, or whose mask has no other axis, is run
        # step by step.
        stepwise = _looks_at_batch(self.layer) or (
            mask is not None and "mask" in parameters and mask.ndim == 2
        )
        if not stepwise:
            x = _core.reshape(inputs, (batch * steps, *inputs.dims[2:]))
            y = self.layer.call(x, **kwargs)
            return _core.reshape(y, (batch, steps, *y.dims[1:]))
        if inputs.shape[1] is None:
            raise ValueError(
                f"{self._who()}: the number of steps must be known for "
                f"{type(self.layer).__name__}"
            )
        outputs = []
        for t in range(inputs.shape[1]):
            if mask is not None and "mask" in parameters:
                kwargs["mask"] = mask[:, t]
            outputs.append(self.layer.call(inputs[:, t], **kwargs))
        return _core.stack(outputs, 1)


def _looks_at_batch(layer: Layer) -> bool:
    """Return True if outputs may depend on how samples are put into batches."""
    for part in layer._flatten_layers():
        inside = type(part).__module__.partition(".")[0] == "lamella"
        if not inside or type(part).__name__ in ("BatchNormalization", "Lambda"):
            return True
        if part._seed_variables:  # as in Keras, every step draws its own numbers
            return True
    return False


_MERGE_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Layer):
    """Runs a recurrent layer forwards and a copy of it backwards.

    Args:
        layer: recurrent layer; it is copied, not used itself.
        merge_mode: how the outputs become one: "concat" (default), "sum", "ave", "mul",
            or None for a tuple of both.
        weights: initial weights, those of the forward layer first, or None.
        backward_layer: layer for the other direction; default: a copy of `layer` that
            goes the other way.
        **kwargs: `name`, `dtype`, ...

    Input shape: (batch, steps, features).
    Output shape: that of the layer, with twice the units for "concat".
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        for what, value in (("layer", layer), ("backward_layer", backward_layer)):
            if value is None and what == "backward_layer":
                continue
            if not isinstance(value, Layer) or not hasattr(value, "go_backwards"):
                raise ValueError(
                    f"Bidirectional: {what} must be a recurrent layer, got {value!r}"
                )
        if merge_mode not in _MERGE_MODES:
            raise ValueError(
                "Bidirectional: merge_mode must be one of "
                f"{', '.join(map(repr, _MERGE_MODES))}, got merge_mode={merge_mode!r}"
            )
        super().__init__(**kwargs)
        self.forward_layer = _copy_of(layer, "forward_", layer.go_backwards)
        if backward_layer is None:
            backward_layer = _copy_of(layer, "backward_", True)
        self.backward_layer = backward_layer
        if self.forward_layer.go_backwards == self.backward_layer.go_backwards:
            raise ValueError(
                "Bidirectional: the two layers must differ in go_backwards, got "
                f"{self.forward_layer.go_backwards} for both"
            )
        for key in ("stateful", "return_sequences", "return_state"):
            pair = [getattr(x, key) for x in (self.forward_layer, self.backward_layer)]
            if pair[0] != pair[1]:
                raise ValueError(
                    f"Bidirectional: the two layers must agree in {key}, got {pair[0]} "
                    f"and {pair[1]}"
                )
        for direction in (self.forward_layer, self.backward_layer):
            if hasattr(direction, "zero_output_for_mask"):
                direction.zero_output_for_mask = direction.return_sequences
        self.merge_mode = merge_mode
        self._initial_weights = list(weights) if weights else None
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None
    ) -> Any:
        """Return the shape of the output and, with return_state, of the states."""
        del initial_state_shape
        shape = self.forward_layer.compute_output_shape(sequences_shape)
        states: tuple[Any, ...] = ()
        if self.return_state:
            shape, states = shape[0], tuple(shape[1:]) * 2
        if self.merge_mode == "concat":
            shape = (*shape[:-1], shape[-1] * 2)
        shapes = (shape, shape) if self.merge_mode is None else (shape,)
        return (*shapes, *states) if len(shapes) + len(states) > 1 else shape

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the input's mask for sequences; None for the last output."""
        del inputs
        mask = previous_mask
        if isinstance(mask, list | tuple):
            mask = mask[0]
        if not self.return_sequences:
            mask = None
        if self.merge_mode is None:
            return (mask, mask)
        return (mask,) if self.return_state else mask

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Build both layers."""
        del initial_state_shape
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer._build_once(sequences_shape)
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None

    @property
    def states(self) -> Any:
        """The states of both layers, if stateful; else None."""
        pair = (self.forward_layer.states, self.backward_layer.states)
        return (*pair[0], *pair[1]) if pair[0] and pair[1] else None

    def reset_state(self) -> None:
        """Set the states of stateful layers to 0."""
        if not self.stateful:
            raise AttributeError(f"{self._who()}: the layers are not stateful")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        """Same as reset_state."""
        self.reset_state()

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Return the merged outputs and, with return_state, the states of both.

        Args:
            sequences: (batch, steps, features).
            initial_state: states of the forward layer, then of the backward one.
            mask: booleans (batch, steps).
            training: whether dropout acts.
        """
        starts: list[Any] = [None, None]
        if initial_state is not None:
            half = len(initial_state) // 2
            starts = [list(initial_state[:half]), list(initial_state[half:])]
        layers = (self.forward_layer, self.backward_layer)
        results = []
        for layer, start in zip(layers, starts, strict=True):
            kwargs: dict[str, Any] = {"initial_state": start}
            for key, value in (("training", training), ("mask", mask)):
                if key in layer._call_parameters():
                    kwargs[key] = value
            results.append(layer(sequences, **kwargs))
        states: list[Any] = []
        if self.return_state:
            states = [s for result in results for s in result[1:]]
            results = [result[0] for result in results]
        a, b = results
        if self.return_sequences:
            b = _core.flip(b, (1,))
        outputs: tuple[Any, ...]
        if self.merge_mode is None:
            outputs = (a, b)
        elif self.merge_mode == "concat":
            outputs = (_core.concat([a, b], -1),)
        elif self.merge_mode == "mul":
            outputs = (_core.mul(a, b),)
        else:
            total = _core.add(a, b)
            outputs = (total / 2.0 if self.merge_mode == "ave" else total,)
        if len(outputs) == 1 and not states:
            return outputs[0]
        return (*outputs, *states)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        from lamella.saving import serialization

        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialization.serialize_keras_object(self.forward_layer),
            "backward_layer": serialization.serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a layer as `get_config` described it."""
        from lamella.saving import serialization

        config = copy.deepcopy(config)
        for key in ("layer", "backward_layer"):
            if config.get(key) is not None:
                config[key] = serialization.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)


def _copy_of(layer: Any, prefix: str, go_backwards: bool) -> Any:
    """Return an equal layer with a prefix to its name and a direction."""
    from lamella.saving import serialization

    config = serialization.serialize_keras_object(layer)
    config["config"]["name"] = f"{prefix}{layer.name.removeprefix(prefix)}"
    config["config"]["go_backwards"] = go_backwards
    return serialization.deserialize_keras_object(config)
