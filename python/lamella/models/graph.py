"""The graph of calls behind functional models: nodes, their order, parts of it."""

from __future__ import annotations

from typing import Any

from lamella.layers import _tree
from lamella.layers.input import InputLayer, KerasTensor
from lamella.layers.layer import Layer
from lamella.ops.symbolic import Operation

__all__ = ["Node", "cut", "is_placeholder", "node_of", "nodes_of", "order"]


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
        self.inputs = [t for t in _leaves((args, kwargs)) if is_placeholder(t)]
        self.output_tensors = _tree.flatten(outputs)

    @property
    def parents(self) -> list[Node]:
        """The nodes that made the inputs."""
        return [node_of(t) for t in self.inputs]


def is_placeholder(value: Any) -> bool:
    """Return True for what Input, or a layer called on it, returned."""
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


def cut(inputs: Any, outputs: Any, name: str) -> tuple[Any, Any]:
    """Return inputs and outputs of a graph that begins with Input layers.

    An input that a layer made gets an Input of its own, and what lies between it and
    the outputs is noted once more, so that the layers before it are not in the model.

    Args:
        inputs: placeholders.
        outputs: placeholders that depend on them.
        name: name of the model, for errors.
    """
    flat = _tree.flatten(inputs)
    if all(isinstance(t._keras_history[0], InputLayer) for t in flat):
        return inputs, outputs
    nodes, _ = order(inputs, outputs, name)
    made: dict[int, KerasTensor] = {}
    for t in flat:
        if isinstance(t._keras_history[0], InputLayer):
            made[id(t)] = t
        else:
            layer = InputLayer(
                batch_shape=t.shape, dtype=t.dtype, name=f"{t.name}CLONE"
            )
            made[id(t)] = layer.output

    def swap(value: Any) -> Any:
        return made.get(id(value), value)

    for node in nodes:
        if all(id(t) in made for t in node.output_tensors):
            continue
        args = tuple(_tree.map_structure(swap, a) for a in node.args)
        kwargs = {k: _tree.map_structure(swap, v) for k, v in node.kwargs.items()}
        index = len(nodes_of(node.layer))
        for place, t in enumerate(node.output_tensors):
            if id(t) not in made:
                history = (node.layer, index, place)
                made[id(t)] = KerasTensor(t.shape, t.dtype, f"{t.name}_clone", history)
                made[id(t)]._keras_mask = swap(t._keras_mask)
        results = _tree.map_structure(swap, node.outputs)
        nodes_of(node.layer).append(Node(node.layer, args, kwargs, results))
    return _tree.map_structure(swap, inputs), _tree.map_structure(swap, outputs)


def order(
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
