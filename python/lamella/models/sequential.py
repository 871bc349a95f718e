"""Sequential: a stack of layers."""

from __future__ import annotations

import copy
import inspect
import math
import weakref
from collections.abc import Iterable
from typing import Any

from lamella import _core, config
from lamella._masking import copy_mask, set_mask
from lamella.layers import _tree
from lamella.layers._context import shapes_only
from lamella.layers._shapes import as_shape
from lamella.layers.input import InputLayer
from lamella.layers.layer import Layer
from lamella.models.model import Model
from lamella.models.tracing import zeros_like

__all__ = ["Sequential"]


class Sequential(Model):
    """Layers one behind the other, each with one input and one output.

    The weights are made as soon as the input's shape is known: from `Input` as the
    first entry, from `input_shape` or `input_dim` of the first layer, or from the first
    data that the model sees.

    Args:
        layers: list of layers.
        trainable: whether the weights may be trained. Default True.
        name: default "sequential", "sequential_1", ...

    Raises:
        ValueError: for something that is not a layer, or a name that occurs twice.

    Example:
        >>> import lamella as keras
        >>> model = keras.Sequential()
        >>> model.add(keras.layers.Dense(4, activation="tanh", input_dim=2))
        >>> model.add(keras.layers.Dense(1))
        >>> model.count_params()
        17
    """

    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(trainable=trainable, name=name)
        self._stack: list[Layer] = []
        self._tail: Any = None  # (shape, dtype) of the output, once it is known
        if layers is not None:
            if isinstance(layers, Layer) or not isinstance(layers, Iterable):
                raise ValueError(
                    f"Sequential: layers must be a list of layers, got {layers!r}"
                )
            for layer in layers:
                self.add(layer, rebuild=False)
            self._maybe_rebuild()

    # -- the stack -----------------------------------------------------------

    @property
    def _layers(self) -> list[Layer]:
        return list(self.__dict__.get("_stack", ()))

    @property
    def layers(self) -> list[Layer]:
        """The layers without the Input."""
        stack = self._stack
        return stack[1:] if stack and isinstance(stack[0], InputLayer) else stack[:]

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer on top.

        Args:
            layer: a Layer or what `Input` returned.
            rebuild: whether to build now if the input shape is known. Default True.
        """
        self._check_initialized()
        history = getattr(layer, "_keras_history", None)
        if history is not None and isinstance(history[0], InputLayer):
            layer = history[0]
        if not isinstance(layer, Layer):
            if isinstance(layer, type) and issubclass(layer, Layer):
                hint = f" Write {layer.__name__}(...) with its arguments."
            else:
                hint = ""
            raise ValueError(
                f"Sequential {self.name!r}: only layers can be added, got {layer!r} of "
                f"type {type(layer).__name__}.{hint}"
            )
        layer._check_initialized()
        if not self._stack and layer._input_shape_arg is not None:
            self._append(
                InputLayer(
                    batch_shape=layer._input_shape_arg, dtype=layer._symbolic_dtype()
                )
            )
        self._append(layer)
        if not rebuild:
            self.built = False
            self._tail = None
        elif self._tail is not None and self.built:
            self._extend(layer)
            self._count_functional()
        else:
            self._maybe_rebuild()

    def _append(self, layer: Layer) -> None:
        for other in self._stack:
            if other is not layer and other.name == layer.name:
                raise ValueError(
                    f"Sequential {self.name!r}: the name {layer.name!r} occurs twice; "
                    "every layer needs a name of its own (argument name=...)"
                )
        if isinstance(layer, InputLayer) and self._stack:
            raise ValueError(
                f"Sequential {self.name!r}: Input must be the first entry"
                + (
                    f"; the input shape is {self._stack[0]._batch_shape} already"
                    if isinstance(self._stack[0], InputLayer)
                    else ""
                )
            )
        self._stack.append(layer)
        self._forget_steps()

    def pop(self, rebuild: bool = True) -> Layer:
        """Remove the last layer and return it."""
        if not self.layers:
            raise ValueError(f"Sequential {self.name!r}: pop: there are no layers")
        layer = self._stack.pop()
        self.built = False
        self._tail = None
        self._forget_steps()
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _maybe_rebuild(self) -> None:
        self.built = False
        self._tail = None
        if not self._stack or len(self._stack) < 2:
            if self._stack and isinstance(self._stack[0], Sequential):
                inner = self._stack[0]
                if inner.built and inner._input_layer is not None:
                    self.build(inner._input_layer._batch_shape)
            return
        first = self._stack[0]
        if isinstance(first, InputLayer):
            self.build(first._batch_shape)
        elif isinstance(first, Model) and first.built:
            try:
                self.build(first.input_shape)
            except AttributeError:
                return

    # -- building ------------------------------------------------------------

    @property
    def _input_layer(self) -> InputLayer | None:
        first = self._stack[0] if self._stack else None
        return first if isinstance(first, InputLayer) else None

    def build(self, input_shape: Any = None) -> None:
        """Make all weights for an input of this shape (with the batch axis)."""
        if not self.layers:
            raise ValueError(
                f"Sequential {self.name!r}: it has no layers. Use add(layer)."
            )
        declared = self._input_layer
        if input_shape is None and declared is None:
            raise ValueError(
                f"Sequential {self.name!r}: build needs an input shape, for example "
                "build((None, 4))"
            )
        if declared is None:
            shape = as_shape(input_shape)
            first = self._stack[0]
            declared = InputLayer(batch_shape=shape, dtype=first._symbolic_dtype())
            self._stack.insert(0, declared)
        elif input_shape is not None:
            shape = as_shape(input_shape)
            if len(shape) != len(declared._batch_shape) or any(
                a is not None and b is not None and a != b
                for a, b in zip(shape, declared._batch_shape, strict=True)
            ):
                raise ValueError(
                    f"Sequential {self.name!r}: its input shape is "
                    f"{declared._batch_shape} already, it cannot be built for {shape}"
                )
        self._tail = (declared._batch_shape, declared._dtype)
        self._build_shape = declared._batch_shape
        for layer in self.layers:
            self._extend(layer)
        self._count_functional()

    def _count_functional(self) -> None:
        """Use up a name, as Keras does: it keeps a functional model inside."""
        config.auto_name("Functional")

    def _extend(self, layer: Layer) -> None:
        """Run one more layer on symbolic inputs, which builds it."""
        shape, dtype = self._tail
        _check_single_input(layer)
        graph = _core.Graph()
        shapes = iter(_leaves(shape))
        with _Scope(self):
            try:
                with graph, shapes_only():
                    inputs = _tree.map_structure(
                        lambda t: graph.input("x", next(shapes), t), dtype
                    )
                    output = layer(inputs)
            except _core.StateError:
                # It looks at values, which only eager mode can give it.
                with _core.no_grad():
                    output = layer(_tree.map_structure(zeros_like, inputs))
                sizes = _tree.map_structure(lambda t: (None, *t.shape[1:]), output)
            else:
                sizes = _tree.map_structure(lambda t: tuple(t.shape), output)
            finally:
                self._clear_losses()
        if not layer.__dict__.get("_inbound_nodes"):
            layer._sequential = weakref.ref(self)
        layer._graph_shape = sizes
        self._tail = (
            sizes,
            _tree.map_structure(lambda t: t.dtype, output),
        )
        self._output_shape_seen = self._tail[0]
        self.built = True

    # -- calling -------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the layers one behind the other."""
        x = copy_mask(inputs, self._fit_input(inputs))
        if mask is not None:
            set_mask(x, mask)
        for layer in self.layers:
            if training is not None and "training" in layer._call_parameters():
                x = layer(x, training=training)
            else:
                x = layer(x)
        return x

    def _fit_input(self, x: Any) -> Any:
        declared = self._input_layer
        if declared is None or not hasattr(x, "shape"):
            return x
        want, have = declared._batch_shape, tuple(x.shape)
        if len(have) == len(want) - 1 and want[-1] == 1:
            x = _core.expand_dims(x, -1)
        elif len(have) == len(want) + 1 and have[-1] == 1:
            x = _core.squeeze(x, (len(have) - 1,))
        have = tuple(x.shape)
        if len(have) != len(want) or any(
            a is not None and b is not None and a != b
            for a, b in zip(have[1:], want[1:], strict=False)
        ):
            raise ValueError(
                f"{self._who()}: expected an input of shape {want}, got {have}."
                + _shape_hint(want, have)
            )
        if x.dtype != declared._dtype and not self._takes_integers():
            x = _core.cast(x, declared._dtype)
        return x

    def _symbolic_dtype(self) -> str:
        if self._input_layer is not None:
            return self._input_layer._dtype
        return self._stack[0]._symbolic_dtype() if self._stack else self._dtype

    def _takes_integers(self) -> bool:
        return self._symbolic_dtype() not in ("float32", "float64")

    @property
    def _takes_several(self) -> bool:
        return False

    @property
    def _returns_several(self) -> bool:
        return self._tail is not None and isinstance(self._tail[1], list | tuple | dict)

    @property
    def _input_dtype(self) -> str:
        dtype = self._symbolic_dtype()
        return dtype if dtype in ("float32", "float64") else self._dtype

    def _build_for(self, shapes: Any, dtypes: Any) -> None:
        if _is_leaf(shapes):
            declared = self._input_layer
            if declared is None:
                self._build_once(shapes)
                return
            if not self.built:
                self._build_once(declared._batch_shape)
                return
        super()._build_for(shapes, dtypes)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output for an input of this shape."""
        shape = as_shape(input_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    @property
    def input_shape(self) -> Any:
        """Shape of the input with the batch axis."""
        if self._input_layer is None:
            raise AttributeError(
                f"Sequential {self.name!r}: it has no input shape yet; use Input, "
                "build(shape) or call it on data"
            )
        return self._input_layer._batch_shape

    @property
    def output_shape(self) -> Any:
        """Shape of the output with the batch axis."""
        if self._tail is None:
            raise AttributeError(
                f"Sequential {self.name!r}: it has no output shape yet; use Input, "
                "build(shape) or call it on data"
            )
        return self._tail[0]

    @property
    def inputs(self) -> list[Any]:
        """The placeholder of the input, in a list."""
        if self._input_layer is None:
            raise AttributeError(f"Sequential {self.name!r}: it has no inputs yet")
        return [self._input_layer.output]

    @property
    def outputs(self) -> list[Any]:
        """The placeholder of the output, in a list."""
        if not self.built:
            raise AttributeError(f"Sequential {self.name!r}: it has no outputs yet")
        return _tree.flatten(self.layers[-1].output)

    @property
    def input(self) -> Any:
        """The placeholder of the input: of the first call, else of the model."""
        called = self.__dict__.get("_inbound_nodes")
        return super().input if called else self.inputs[0]

    @property
    def output(self) -> Any:
        """The placeholder of the output: of the first call, else of the model."""
        if self.__dict__.get("_inbound_nodes"):
            return super().output
        return self.layers[-1].output if self.outputs else None

    def _make_nodes(self) -> None:
        """Call the layers on placeholders, so that parts can become Models."""
        if not self.built or self._input_layer is None:
            return
        x: Any = self._input_layer.output
        noted = self.__dict__.setdefault("_noted", {})
        for layer in self.layers:
            key = (id(layer), *(id(t) for t in _tree.flatten(x)))
            if key not in noted:
                noted[key] = layer(x)
            x = noted[key]

    # -- configuration -------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return name, dtype and the layers as Keras 3 JSON."""
        from lamella.saving import serialization

        base = super().get_config()
        config = {k: base[k] for k in ("name", "trainable", "dtype")}
        config["layers"] = [
            copy.deepcopy(serialization.serialize_keras_object(layer))
            for layer in self._stack
        ]
        if self.built and self._input_layer is not None:
            config["build_input_shape"] = self._input_layer._batch_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a model as `get_config` described it."""
        from lamella.saving import serialization

        if "name" not in config or "layers" not in config:
            raise ValueError(
                "Sequential: from_config expects the keys 'name' and 'layers', got "
                f"{sorted(config)}"
            )
        model = cls(name=config["name"])
        for layer_config in config["layers"]:
            model.add(
                serialization.deserialize_keras_object(
                    layer_config, custom_objects=custom_objects
                ),
                rebuild=False,
            )
        shape = config.get("build_input_shape")
        if shape is not None and not (model._stack and model._input_layer):
            model.build(as_shape(shape))
        elif model._stack:
            model._maybe_rebuild()
        return model


class _Scope:
    """Puts a model's name on the path while its layers are built."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.pushed = False

    def __enter__(self) -> None:
        from lamella.layers._context import call_context

        path = call_context.path
        call_context.depth += 1
        if not path or path[-1] != self.model.name:
            path.append(self.model.name)
            self.pushed = True

    def __exit__(self, *_: Any) -> None:
        from lamella.layers._context import call_context

        call_context.depth -= 1
        if self.pushed:
            call_context.path.pop()


def _check_single_input(layer: Layer) -> None:
    """Raise ValueError if `layer.call` needs more than one argument."""
    positional = [
        p
        for p in list(type(layer)._call_parameters().values())[1:]
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    needed = [
        p.name
        for p in positional
        if p.default is inspect.Parameter.empty and p.kind is not p.VAR_POSITIONAL
    ]
    if len(needed) > 1:
        raise ValueError(
            f"{layer._who()}: a layer of a Sequential has one input, but its call() "
            f"needs {', '.join(needed)}"
        )


def _is_leaf(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(
        s is None or isinstance(s, int) for s in shape
    )


def _leaves(shapes: Any) -> list[Any]:
    if _is_leaf(shapes):
        return [shapes]
    if isinstance(shapes, dict):
        return [s for k in sorted(shapes) for s in _leaves(shapes[k])]
    return [s for v in shapes for s in _leaves(v)]


def _shape_hint(want: tuple[Any, ...], have: tuple[Any, ...]) -> str:
    if len(have) == len(want) - 1 and have[-1] != want[-1]:
        if have == want[1:]:
            return " A single sample needs a batch axis: x[None]."
        return " Is an axis missing? x[..., None] adds one at the end."
    if len(have) == len(want) - 1:
        return " A single sample needs a batch axis: x[None]."
    known = [s for s in want[1:] if s is not None]
    size = [s for s in have[1:] if s is not None]
    if len(known) == len(want) - 1 and math.prod(known) == math.prod(size):
        return f" Use x.reshape({', '.join(map(str, (-1, *known)))})."
    return ""
