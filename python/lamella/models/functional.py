"""Functional models: layers called on placeholders make a graph of layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from lamella import _core
from lamella._masking import attach_masks, copy_mask, get_mask, set_mask
from lamella.layers import _tree
from lamella.layers._context import call_context, shapes_only
from lamella.layers.input import InputLayer, KerasTensor
from lamella.layers.layer import Layer
from lamella.layers.operation import plain_arguments
from lamella.models.graph import Node, cut, is_placeholder, nodes_of, order
from lamella.models.model import Model
from lamella.ops.symbolic import Operation

__all__ = ["Functional", "Node", "note_call", "output_spec", "symbolic_call"]


def symbolic_call(layer: Layer, args: Any, kwargs: Any) -> Any:
    """Call a layer on placeholders: build it, find the shapes, note the call."""
    masks = layer._masks_for(args, kwargs)
    noted = kwargs
    # Keras notes the mask and the training flag as arguments of the call in the plain
    # case only; in the others what a tensor carries at run time does the same.
    plain = not kwargs and len(args) == 1 and is_placeholder(args[0])
    if plain and args[0].dtype == layer._input_dtype:
        noted = {**_noted_flags(layer), **masks}
    first = args[0] if args else next(iter(kwargs.values()))
    mask = kwargs.get("mask", masks.get("mask"))
    if mask is None:
        mask = _tree.map_structure(get_mask, first)
    outputs = note_call(layer, layer, args, kwargs, noted)
    layer._clear_losses()
    if layer.supports_masking:
        attach_masks(outputs, layer.compute_mask(first, mask))
    return outputs


def _noted_flags(layer: Layer) -> dict[str, Any]:
    """Return the arguments `training` and `mask` of a call that names neither."""
    parameters = layer._call_parameters()
    flags: dict[str, Any] = {}
    if "training" in parameters:
        training = call_context.training
        if training is None:
            default = parameters["training"].default
            training = None if default is inspect.Parameter.empty else default
        if training is not None:
            flags["training"] = training
    if "mask" in parameters:
        flags["mask"] = None
    return flags


def note_call(
    owner: Layer | Operation,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    noted: Any = None,
) -> Any:
    """Run `function` on symbolic tensors; return placeholders of what it returns.

    Args:
        owner: the layer or operation whose node this is.
        function: called with tensors instead of the placeholders.
        args: positional arguments.
        kwargs: keyword arguments.
        noted: the keyword arguments that the node remembers; default `kwargs`.
    """
    outputs = _trace(function, args, kwargs)
    index = len(nodes_of(owner))
    flat = [
        KerasTensor(t.shape, t.dtype, history=(owner, index, place))
        for place, t in enumerate(_tree.flatten(outputs))
    ]
    result = _tree.pack(outputs, flat)
    node = Node(owner, args, kwargs if noted is None else noted, result)
    nodes_of(owner).append(node)
    return result


def output_spec(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Return placeholders, of no node, of what `function` returns for placeholders."""
    outputs = _trace(function, args, kwargs)
    return _tree.map_structure(lambda t: KerasTensor(t.shape, t.dtype), outputs)


def _trace(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run `function` on symbolic tensors in place of the placeholders."""
    graph = _core.Graph()
    made: dict[int, Any] = {}

    def concrete(value: Any) -> Any:
        if not is_placeholder(value):
            return value
        if id(value) not in made:
            x = graph.input(f"x{len(made)}", value.shape, value.dtype)
            made[id(value)] = x
            if value._keras_mask is not None:
                set_mask(x, concrete(value._keras_mask))
        return made[id(value)]

    with graph:
        real_args = tuple(_tree.map_structure(concrete, a) for a in args)
        real_kwargs = {k: _tree.map_structure(concrete, v) for k, v in kwargs.items()}
        with shapes_only():
            return function(*real_args, **real_kwargs)


class Functional(Model):
    """A model given by its input and output placeholders.

    Args:
        inputs: what `Input` returned, or a list or dict of it.
        outputs: what layers returned, or a list or dict of it.
        name: default "functional", ...
        **kwargs: `trainable`, `dtype`.

    Raises:
        ValueError: if an output does not depend on the inputs only.

    Example:
        >>> import lamella as keras
        >>> x = keras.Input(shape=(3,))
        >>> y = keras.layers.Dense(2)(x)
        >>> keras.Model(x, y).count_params()
        8
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any
    ) -> None:
        trainable = kwargs.pop("trainable", None)
        super().__init__(name=name, **kwargs)
        for what, value in (("inputs", inputs), ("outputs", outputs)):
            for tensor in _tree.flatten(value):
                if not is_placeholder(tensor):
                    raise ValueError(
                        f"Model: {what} must be made by Input and by layers called on "
                        f"it, got {tensor!r}"
                    )
        inputs, outputs = cut(inputs, outputs, self.name)
        self._inputs_struct = inputs
        self._outputs_struct = outputs
        self._nodes, self._operations = order(inputs, outputs, self.name)
        self._ordered_layers = [x for x in self._operations if isinstance(x, Layer)]
        self.built = True
        leaf = _tree.map_structure(lambda t: t.shape, inputs)
        self._build_shape = leaf
        self._output_shape_seen = _tree.map_structure(lambda t: t.shape, outputs)
        if trainable is not None:
            self._trainable = bool(trainable)  # the layers keep theirs

    @property
    def _layers(self) -> list[Layer]:
        return list(self.__dict__.get("_ordered_layers", ()))

    @property
    def inputs(self) -> list[KerasTensor]:
        """The input placeholders as a list."""
        return _tree.flatten(self._inputs_struct)

    @property
    def outputs(self) -> list[KerasTensor]:
        """The output placeholders as a list."""
        return _tree.flatten(self._outputs_struct)

    @property
    def input(self) -> Any:
        """The input placeholders in their structure."""
        return self._inputs_struct

    @property
    def output(self) -> Any:
        """The output placeholders in their structure."""
        return self._outputs_struct

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return [t._keras_history[0].name for t in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that make the outputs."""
        return [t._keras_history[0].name for t in self.outputs]

    @property
    def _output_keys(self) -> list[str]:
        """A name of its own for each output: that of its layer, with a number."""
        names: list[str] = []
        seen: dict[str, int] = {}
        for name in self.output_names:
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name}_{seen[name] - 1}")
        return names

    @property
    def input_shape(self) -> Any:
        """Shape of the input, or a list of shapes."""
        return _single([t.shape for t in self.inputs])

    @property
    def output_shape(self) -> Any:
        """Shape of the output, or a list of shapes."""
        return _single([t.shape for t in self.outputs])

    @property
    def _takes_several(self) -> bool:
        return len(self.inputs) > 1 or isinstance(self._inputs_struct, dict)

    @property
    def _returns_several(self) -> bool:
        return len(self.outputs) > 1 or isinstance(self._outputs_struct, dict)

    @property
    def _input_dtype(self) -> str:
        floats = [t.dtype for t in self.inputs if t.dtype in ("float32", "float64")]
        return floats[0] if floats else self._dtype

    def _input_type(self, array: Any, index: int) -> str:
        inputs = self.inputs
        if index < len(inputs):
            return inputs[index].dtype
        return super()._input_type(array, index)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the layers in order."""
        values: dict[int, Any] = {}
        for tensor, value in zip(self.inputs, self._match(inputs), strict=True):
            values[id(tensor)] = copy_mask(value, self._fit_input(tensor, value))
        if mask is not None:
            for tensor, given in zip(self.inputs, _tree.flatten(mask), strict=True):
                if given is not None:
                    set_mask(values[id(tensor)], given)

        def real(value: Any) -> Any:
            return values[id(value)] if is_placeholder(value) else value

        for node in self._nodes:
            if isinstance(node.layer, InputLayer):
                continue
            if all(id(t) in values for t in node.output_tensors):
                continue
            args = tuple(_tree.map_structure(real, a) for a in node.args)
            kwargs = {k: _tree.map_structure(real, v) for k, v in node.kwargs.items()}
            # As in Keras, the flag of the whole model wins over that of one call.
            if (
                training is not None
                and isinstance(node.layer, Layer)
                and "training" in node.layer._call_parameters()
            ):
                kwargs["training"] = training
            outputs = _tree.flatten(node.layer(*args, **kwargs))
            for tensor, value in zip(node.output_tensors, outputs, strict=True):
                values[id(tensor)] = value
        return _single(_tree.map_structure(real, _sorted(self._outputs_struct)))

    def _match(self, inputs: Any) -> list[Any]:
        """Return the values in the order of `inputs`."""
        names = self.input_names
        if isinstance(inputs, dict):
            if isinstance(self._inputs_struct, dict):
                keys = sorted(self._inputs_struct)
            else:
                keys = names
            missing = [k for k in keys if k not in inputs]
            if missing:
                raise ValueError(
                    f"{self._who()}: the input {missing[0]!r} is missing, got "
                    f"{', '.join(map(repr, inputs))}"
                )
            return [inputs[k] for k in keys]
        values = _tree.flatten(inputs)
        if len(values) != len(names):
            raise ValueError(
                f"{self._who()}: expected {len(names)} inputs "
                f"({', '.join(map(repr, names))}), got {len(values)}"
            )
        return values

    def _fit_input(self, tensor: KerasTensor, x: Any) -> Any:
        want = tensor.shape
        if x.ndim == len(want) - 1 and want[-1] == 1:
            x = _core.expand_dims(x, -1)
        elif x.ndim == len(want) + 1 and x.shape[-1] == 1:
            x = _core.squeeze(x, (x.ndim - 1,))
        have = tuple(x.shape)
        if len(have) != len(want) or any(
            a is not None and b is not None and a != b
            for a, b in zip(have[1:], want[1:], strict=False)
        ):
            raise ValueError(
                f"{self._who()}: the input {tensor._keras_history[0].name!r} must have "
                f"shape {want}, got {have}"
            )
        return x if x.dtype == tensor.dtype else _core.cast(x, tensor.dtype)

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the layers were built when they were called."""

    def _prepare(self, template: Any, leaves: Any) -> None:
        """Do nothing: the layers were built when they were called."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output for inputs of this shape."""
        return self._trace_shape(input_shape)

    # -- summary -------------------------------------------------------------

    @property
    def _summary_layers(self) -> list[Any]:
        return self._operations

    def _summary_connections(self) -> Callable[[Layer], str] | None:
        """Return what to write into the column "Connected to"; None for a chain."""
        own = {id(node) for node in self._nodes}
        chain = all(len(node.inputs) <= 1 for node in self._nodes)
        parents = [id(p) for node in self._nodes for p in node.parents]
        chain = chain and len(parents) == len(set(parents))
        for layer in self._operations:
            if sum(id(node) in own for node in nodes_of(layer)) > 1:
                chain = False
        if chain and len(self.inputs) == 1:
            return None

        def connections(layer: Layer) -> str:
            parts = []
            for node in nodes_of(layer):
                if id(node) in own:
                    for t in node.inputs:
                        origin, index, place = t._keras_history
                        parts.append(f"{origin.name}[{index}][{place}]")
            return ", ".join(parts) or "-"

        return connections

    # -- configuration -------------------------------------------------------

    def get_build_config(self) -> dict[str, Any]:
        """Return no shape: building needs nothing but the layers."""
        return {"input_shape": None}

    def get_config(self) -> dict[str, Any]:
        """Return name, layers with their calls, inputs and outputs, as Keras 3 JSON.

        A subclass with a constructor of its own gives the arguments of that.
        """
        if not functional_arguments(type(self)):
            left_out = ("name", "trainable", "dtype")
            return {**super().get_config(), **plain_arguments(self, left_out)}
        from lamella.models.functional_config import functional_config

        return functional_config(self)


def functional_arguments(cls: type) -> bool:
    """Return True if a class is made like Functional: of inputs and outputs."""
    spec = inspect.getfullargspec(cls.__init__)  # type: ignore[misc]
    if spec.args[1:] == ["inputs", "outputs", "name"]:
        return True
    return spec.varargs is not None and spec.varkw is not None


def _single(structure: Any) -> Any:
    """Return the only entry of a list or tuple, else the structure."""
    if isinstance(structure, list | tuple) and len(structure) == 1:
        return structure[0]
    return structure


def _sorted(structure: Any) -> Any:
    """Return the structure with its dicts sorted by key, as Keras returns them."""
    if isinstance(structure, dict):
        return {k: _sorted(structure[k]) for k in sorted(structure)}
    if isinstance(structure, list | tuple):
        items = [_sorted(v) for v in structure]
        if hasattr(structure, "_fields"):
            return type(structure)(*items)
        return type(structure)(items)
    return structure
