"""Functional models: layers called on placeholders make a graph of layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from lamella import _core
from lamella._masking import attach_masks, copy_mask, get_mask, set_mask
from lamella.layers import _tree
from lamella.layers.input import InputLayer, KerasTensor
from lamella.layers.layer import Layer
from lamella.models.model import Model
from lamella.ops.symbolic import Operation

__all__ = ["Functional", "Node", "note_call", "output_spec", "symbolic_call"]


class Node:
    """One call of a layer or of a function of ops on placeholders.

    Args:
        layer: the layer or Operation that was called.
        args: its positional arguments.
        kwargs: its keyword arguments.
        outputs: the placeholders that it returned.
    """

    def __init__(
        self, layer: Layer | Operation, args: Any, kwargs: Any, outputs: Any
    ) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.outputs = outputs
        self.inputs = [t for t in _leaves((args, kwargs)) if _is_placeholder(t)]
        self.output_tensors = _tree.flatten(outputs)

    @property
    def parents(self) -> list[Node]:
        """The nodes that made the inputs."""
        return [node_of(t) for t in self.inputs]


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, KerasTensor)


def _leaves(structure: Any) -> list[Any]:
    """Flatten dicts in their own order, so that names may be of any type."""
    if isinstance(structure, dict):
        return [x for v in structure.values() for x in _leaves(v)]
    if isinstance(structure, list | tuple):
        return [x for v in structure for x in _leaves(v)]
    return [structure]


def nodes_of(layer: Layer | Operation) -> list[Node]:
    """Return the calls of a layer or operation on placeholders."""
    nodes = layer.__dict__.setdefault("_inbound_nodes", [])
    if isinstance(layer, InputLayer) and not nodes:
        nodes.append(Node(layer, (), {}, layer.output))
    return nodes


def node_of(tensor: KerasTensor) -> Node:
    """Return the node that made a placeholder."""
    history = tensor._keras_history
    if history is None:
        raise ValueError(f"{tensor!r} does not come from Input or from a layer")
    return nodes_of(history[0])[history[1]]


def symbolic_call(layer: Layer, args: Any, kwargs: Any) -> Any:
    """Call a layer on placeholders: build it, find the shapes, note the call."""
    masks = layer._masks_for(args, kwargs)
    # Keras notes a mask as an argument of the call in the plain case only; in the
    # others the mask that a tensor carries at run time does the same.
    plain = not kwargs and len(args) == 1 and _is_placeholder(args[0])
    noted = masks if plain and args[0].dtype == layer._input_dtype else kwargs
    first = args[0] if args else next(iter(kwargs.values()))
    mask = kwargs.get("mask", masks.get("mask"))
    if mask is None:
        mask = _tree.map_structure(get_mask, first)
    outputs = note_call(layer, layer, args, kwargs, noted)
    layer._clear_losses()
    if layer.supports_masking:
        attach_masks(outputs, layer.compute_mask(first, mask))
    return outputs


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
        if not _is_placeholder(value):
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
        super().__init__(name=name, **kwargs)
        for what, value in (("inputs", inputs), ("outputs", outputs)):
            for tensor in _tree.flatten(value):
                if not _is_placeholder(tensor):
                    raise ValueError(
                        f"Model: {what} must be made by Input and by layers called on "
                        f"it, got {tensor!r}"
                    )
        self._inputs_struct = inputs
        self._outputs_struct = outputs
        self._nodes, self._operations = _order(inputs, outputs, self.name)
        self._ordered_layers = [x for x in self._operations if isinstance(x, Layer)]
        self._tensor_names = [t._keras_history[0].name for t in self.outputs]
        self.built = True
        leaf = _tree.map_structure(lambda t: t.shape, inputs)
        self._build_shape = leaf
        self._output_shape_seen = _tree.map_structure(lambda t: t.shape, outputs)

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
        """Names of the layers that make the outputs (keys, for a dict of outputs)."""
        if isinstance(self._outputs_struct, dict):
            return sorted(self._outputs_struct)
        names: list[str] = []
        seen: dict[str, int] = {}
        for name in self._tensor_names:
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name}_{seen[name] - 1}")
        return names

    @property
    def input_shape(self) -> Any:
        """Shape of the input, in the structure of the inputs."""
        return _tree.map_structure(lambda t: t.shape, _single(self._inputs_struct))

    @property
    def output_shape(self) -> Any:
        """Shape of the output, in the structure of the outputs."""
        return _tree.map_structure(lambda t: t.shape, self._outputs_struct)

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
            return values[id(value)] if _is_placeholder(value) else value

        for node in self._nodes:
            if isinstance(node.layer, InputLayer):
                continue
            if all(id(t) in values for t in node.output_tensors):
                continue
            args = tuple(_tree.map_structure(real, a) for a in node.args)
            kwargs = {k: _tree.map_structure(real, v) for k, v in node.kwargs.items()}
            if (
                training is not None
                and isinstance(node.layer, Layer)
                and "training" in node.layer._call_parameters()
                and "training" not in kwargs
            ):
                kwargs["training"] = training
            outputs = _tree.flatten(node.layer(*args, **kwargs))
            for tensor, value in zip(node.output_tensors, outputs, strict=True):
                values[id(tensor)] = value
        return _tree.map_structure(real, self._outputs_struct)

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

    def get_build_config(self) -> None:
        """Return None: building needs nothing but the layers."""
        return

    def get_config(self) -> dict[str, Any]:
        """Return name, layers with their calls, inputs and outputs, as Keras 3 JSON."""
        own_reader: Any = type(self).from_config
        reader: Any = Functional.from_config
        if own_reader.__func__ is not reader.__func__:
            return super().get_config()
        from lamella.saving import serialization

        own = {id(node) for node in self._nodes}
        renumbered: dict[tuple[int, int], int] = {}
        for layer in self._operations:
            kept = 1 if isinstance(layer, Functional) else 0
            for i, node in enumerate(nodes_of(layer)):
                if id(node) in own:
                    renumbered[(id(layer), i)] = kept
                    kept += 1

        def history(t: KerasTensor) -> list[Any]:
            layer, index, place = t._keras_history
            return [layer.name, renumbered[(id(layer), index)], place]

        def written(value: Any) -> Any:
            if _is_placeholder(value):
                return {
                    "class_name": "__keras_tensor__",
                    "config": {
                        "shape": value.shape,
                        "dtype": value.dtype,
                        "keras_history": history(value),
                    },
                }
            if isinstance(value, dict):
                return {k: written(v) for k, v in value.items()}
            if isinstance(value, list):
                return [written(v) for v in value]
            if isinstance(value, tuple):
                return tuple(written(v) for v in value)
            return serialization.serialize_keras_object(value)

        layers = []
        for layer in self._operations:
            if isinstance(layer, Operation):
                config = layer.serialize()
            else:
                config = serialization.serialize_keras_object(layer)
            config["name"] = layer.name
            config["inbound_nodes"] = [
                {"args": [written(a) for a in n.args], "kwargs": written(n.kwargs)}
                for n in nodes_of(layer)
                if id(n) in own and n.inputs
            ]
            layers.append(config)
        return copy.deepcopy(
            {
                "name": self.name,
                "trainable": self._trainable,
                "layers": layers,
                "input_layers": _tree.map_structure(history, self._inputs_struct),
                "output_layers": _tree.map_structure(history, self._outputs_struct),
            }
        )

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a model as `get_config` (or Keras's files) described it."""
        from lamella.saving import serialization

        layers: dict[str, Layer | Operation] = {}
        waiting: list[tuple[Layer | Operation, list[Any]]] = []
        for entry in config["layers"]:
            layer: Any
            if Operation.is_serialized(entry):
                layer = Operation.deserialize(entry)
            else:
                keys = [k for k in entry if k not in ("name", "inbound_nodes")]
                layer = serialization.deserialize_keras_object(
                    {k: entry[k] for k in keys}, custom_objects=custom_objects
                )
            name = entry.get("name", layer.name)
            layers[name] = layer
            waiting.append((layer, list(entry.get("inbound_nodes") or [])))

        def tensor(history: Any) -> KerasTensor | None:
            name, index, place = history[:3]
            if name not in layers:
                raise ValueError(f"Model: the config has no layer {name!r}")
            layer = layers[name]
            if isinstance(layer, Functional):
                index -= 1
            nodes = nodes_of(layer)
            return nodes[index].output_tensors[place] if index < len(nodes) else None

        def read(value: Any) -> Any:
            if isinstance(value, dict):
                if value.get("class_name") == "__keras_tensor__":
                    found = tensor(value["config"]["keras_history"])
                    if found is None:
                        raise _NotYet
                    return found
                if "class_name" in value:
                    return serialization.deserialize_keras_object(
                        value, custom_objects=custom_objects
                    )
                return {k: read(v) for k, v in value.items()}
            if isinstance(value, list | tuple):
                return type(value)(read(v) for v in value)
            return value

        while any(calls for _, calls in waiting):
            progress = False
            for layer, calls in waiting:
                while calls:
                    try:
                        args, kwargs = _call_of(calls[0], read, tensor)
                    except _NotYet:
                        break
                    layer(*args, **kwargs)
                    calls.pop(0)
                    progress = True
            if not progress:
                raise ValueError(
                    "Model: the config has a loop or a call whose input is missing"
                )

        def resolve(value: Any) -> Any:
            if isinstance(value, list | tuple) and value and isinstance(value[0], str):
                return tensor(value)
            if isinstance(value, dict):
                return {k: resolve(v) for k, v in value.items()}
            return [resolve(v) for v in value]

        model = cls(
            inputs=_single(resolve(config["input_layers"])),
            outputs=_single(resolve(config["output_layers"])),
            name=config.get("name"),
        )
        if config.get("trainable") is False:
            model.trainable = False
        return model


class _NotYet(Exception):
    """An input of a call does not exist yet."""


def _call_of(data: Any, read: Any, tensor: Any) -> tuple[Any, dict[str, Any]]:
    """Return (args, kwargs) of a call in a config, of Keras 3 or Keras 2."""
    if isinstance(data, dict):
        return tuple(read(data["args"])), read(data["kwargs"])
    tensors, kwargs = [], {}
    for entry in data:
        found = tensor(entry)
        if found is None:
            raise _NotYet
        tensors.append(found)
        if len(entry) > 3:
            kwargs = dict(entry[3])
    return (tensors[0] if len(tensors) == 1 else tensors,), kwargs


def _single(structure: Any) -> Any:
    if isinstance(structure, list | tuple) and len(structure) == 1:
        return structure[0]
    return structure


def _order(
    inputs: Any, outputs: Any, name: str
) -> tuple[list[Node], list[Layer | Operation]]:
    """Return nodes, and layers with operations, in Keras's order."""
    stop = {id(t) for t in _tree.flatten(inputs)}
    finished: list[Node] = []
    done: set[int] = set()
    seen_at: dict[int, int] = {}

    # Iterative, so that deep models do not meet Python's recursion limit.
    for output in _tree.flatten(outputs):
        stack: list[tuple[KerasTensor, bool]] = [(output, False)]
        while stack:
            tensor, leave = stack.pop()
            node = node_of(tensor)
            if leave:
                if id(node) not in done:
                    done.add(id(node))
                    finished.append(node)
                continue
            if id(node) in done:
                continue
            seen_at.setdefault(id(node.layer), len(seen_at))
            stack.append((tensor, True))
            if id(tensor) in stop:
                continue
            if isinstance(node.layer, InputLayer):
                raise ValueError(
                    f"Model {name!r}: an output depends on the input "
                    f"{node.layer.name!r}, which is not among the inputs"
                )
            stack.extend((t, False) for t in reversed(node.inputs))
    depth: dict[int, int] = {}
    layer_depth: dict[int, int] = {}
    layers: dict[int, Layer | Operation] = {}
    for node in reversed(finished):
        key = id(node.layer)
        layers[key] = node.layer
        value = max(depth.get(id(node), 0), layer_depth.get(key, 0))
        depth[id(node)] = layer_depth[key] = value
        for parent in node.parents:
            depth[id(parent)] = max(value + 1, depth.get(id(parent), 0))
    for tensor in _tree.flatten(inputs):
        layer = tensor._keras_history[0]
        if id(layer) not in layers:
            layers[id(layer)] = layer
            layer_depth[id(layer)] = 0
            seen_at[id(layer)] = -1
            finished.append(node_of(tensor))
            depth[id(finished[-1])] = 0
    ordered = sorted(
        layers.values(), key=lambda x: (-layer_depth[id(x)], seen_at[id(x)])
    )
    nodes = sorted(finished, key=lambda n: (-depth[id(n)], seen_at[id(n.layer)]))
    names: set[str] = set()
    for layer in ordered:
        if layer.name in names:
            raise ValueError(
                f"Model {name!r}: the layer name {layer.name!r} occurs twice; give the "
                "layers names of their own"
            )
        names.add(layer.name)
    return nodes, ordered
