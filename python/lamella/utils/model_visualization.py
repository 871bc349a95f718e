"""Pictures of models: `plot_model` and `model_to_dot`."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

from lamella.utils._diagram import Box, Diagram

__all__ = ["model_to_dot", "plot_model"]

_TRAINED = "#d7ead7"
_FROZEN = "#f3d9d9"
_DIRECTIONS = ("TB", "BT", "LR", "RL")


class _Style:
    """What the boxes say."""

    def __init__(self, **shown: bool) -> None:
        self.shapes = shown.get("show_shapes", False)
        self.dtype = shown.get("show_dtype", False)
        self.names = shown.get("show_layer_names", False)
        self.activations = shown.get("show_layer_activations", False)
        self.trainable = shown.get("show_trainable", False)

    def box(self, layer: Any, key: str, group: tuple[str, ...]) -> Box:
        """Return the box of a layer or operation."""
        kind = getattr(layer, "class_name", type(layer).__name__)
        wrapped = getattr(layer, "layer", None)
        if wrapped is not None:
            kind += f"({type(wrapped).__name__})"
        lines = [f"{layer.name} ({kind})" if self.names else kind]
        activation = getattr(layer, "activation", None)
        if self.activations and activation is not None:
            name = getattr(activation, "__name__", None) or type(activation).__name__
            lines.append(f"activation: {name}")
        if self.dtype:
            lines.append(f"dtype: {getattr(layer, 'dtype', '?')}")
        if self.shapes:
            lines += [f"input:  {_shape(layer, 'input')}"]
            lines += [f"output: {_shape(layer, 'output')}"]
        fill = "#ffffff"
        if self.trainable and getattr(layer, "weights", None):
            fill = _TRAINED if layer.trainable else _FROZEN
        return Box(key, lines, fill, group)


def _shape(layer: Any, side: str) -> str:
    from lamella.layers import _tree

    nodes = layer.__dict__.get("_inbound_nodes")
    if nodes:
        node = nodes[0]
        tensors = node.outputs if side == "output" else node.inputs or node.outputs
        shapes = _tree.map_structure(lambda t: tuple(t.shape), tensors)
    else:
        try:
            inputs = getattr(layer, "batch_shape", None)  # of an InputLayer
            shapes = inputs or getattr(layer, f"{side}_shape")
        except AttributeError:
            return "?"
    if isinstance(shapes, list) and len(shapes) == 1:
        shapes = shapes[0]
    return str(shapes)


class _Plan:
    """Boxes and arrows of a model."""

    def __init__(self, style: _Style, expand: bool) -> None:
        self.style = style
        self.expand = expand
        self.boxes: list[Box] = []
        self.arrows: list[tuple[str, str]] = []

    def add(
        self, model: Any, prefix: str, group: tuple[str, ...]
    ) -> tuple[list[str], list[str]]:
        """Add a model; return the keys of its first and last boxes."""
        from lamella.models import Functional, Sequential

        if isinstance(model, Functional):
            return self._add_functional(model, prefix, group)
        layers = model._layers if isinstance(model, Sequential) else model.layers
        first: list[str] = []
        before: list[str] = []
        for number, layer in enumerate(layers):
            heads, tails = self._part(layer, f"{prefix}{number}", group)
            if isinstance(model, Sequential):
                self._join(before, heads)
                before = tails
                first = first or heads
            else:  # what a subclass does with its layers is not known
                first += heads
                before += tails
        return first, before

    def _add_functional(
        self, model: Any, prefix: str, group: tuple[str, ...]
    ) -> tuple[list[str], list[str]]:
        keys: dict[int, tuple[list[str], list[str]]] = {}
        for number, layer in enumerate(model._operations):
            keys[id(layer)] = self._part(layer, f"{prefix}{number}", group)
        for node in model._nodes:
            for t in node.inputs:
                tails = keys[id(t._keras_history[0])][1]
                self._join(tails, keys[id(node.layer)][0])
        first = [k for t in model.inputs for k in keys[id(t._keras_history[0])][0]]
        last = [k for t in model.outputs for k in keys[id(t._keras_history[0])][1]]
        return first, last

    def _part(
        self, layer: Any, key: str, group: tuple[str, ...]
    ) -> tuple[list[str], list[str]]:
        if self.expand and getattr(layer, "layers", None):
            return self.add(layer, f"{key}.", (*group, layer.name))
        self.boxes.append(self.style.box(layer, key, group))
        return [key], [key]

    def _join(self, tails: list[str], heads: list[str]) -> None:
        for a in tails:
            for b in heads:
                if (a, b) not in self.arrows:
                    self.arrows.append((a, b))


def _plan(model: Any, rankdir: str, expand_nested: bool, **shown: bool) -> _Plan:
    if not getattr(model, "built", False):
        raise ValueError(
            f"plot_model: the model {getattr(model, 'name', model)!r} is not built: "
            "call it on data, call build(input_shape), or begin it with an Input"
        )
    if rankdir not in _DIRECTIONS:
        raise ValueError(
            f"plot_model: rankdir must be one of {_DIRECTIONS}, got rankdir={rankdir!r}"
        )
    plan = _Plan(_Style(**shown), expand_nested)
    plan.add(model, "n", ())
    return plan


def _import_pydot() -> Any:
    try:
        return importlib.import_module("pydot")
    except ImportError as error:
        raise ImportError(
            "model_to_dot needs the package pydot: pip install pydot (plot_model draws "
            "without it)"
        ) from error


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **kwargs: Any,
) -> Any:
    """Return a model as a `pydot.Dot` graph.

    Args:
        model: a built model.
        show_shapes: whether the boxes show input and output shapes.
        show_dtype: whether they show the type.
        show_layer_names: whether they show the layers' names. Default True.
        rankdir: "TB" (top to bottom), "BT", "LR" or "RL".
        expand_nested: whether inner models are drawn layer by layer.
        dpi: resolution of the picture.
        subgraph: whether a `pydot.Cluster` is returned.
        show_layer_activations: whether they show the activation.
        show_trainable: whether colors show which layers are trained.
        **kwargs: none.

    Raises:
        ImportError: if pydot is missing.
        ValueError: for a model that is not built.
    """
    if kwargs:
        raise ValueError(f"model_to_dot: unexpected arguments {', '.join(kwargs)}")
    pydot = _import_pydot()
    plan = _plan(
        model,
        rankdir,
        expand_nested,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
    )
    if subgraph:
        dot = pydot.Cluster(graph_name=model.name, style="dashed", label=model.name)
    else:
        dot = pydot.Dot(graph_name=model.name, rankdir=rankdir, dpi=dpi)
    dot.set_node_defaults(shape="box", fontname="monospace", style="filled")
    clusters: dict[tuple[str, ...], Any] = {(): dot}
    for box in plan.boxes:
        for depth in range(1, len(box.group) + 1):
            path = box.group[:depth]
            if path not in clusters:
                label = path[-1]
                name = "_".join(path)
                clusters[path] = pydot.Cluster(name, label=label, style="dashed")
                clusters[path[:-1]].add_subgraph(clusters[path])
        label = "\n".join(box.lines)
        clusters[box.group].add_node(
            pydot.Node(f'"{box.key}"', label=f'"{label}"', fillcolor=f'"{box.fill}"')
        )
    for a, b in plan.arrows:
        dot.add_edge(pydot.Edge(f'"{a}"', f'"{b}"'))
    return dot


def plot_model(
    model: Any,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **kwargs: Any,
) -> Any:
    """Write a picture of a model.

    Graphviz draws it when pydot and the program dot are there. Differs from Keras:
    without them lamella draws itself: `.svg` files without any package, `.png`, `.pdf`
    and others with matplotlib.

    Args:
        model: a built model.
        to_file: where; the ending says the format. Default "model.png".
        show_shapes: whether the boxes show input and output shapes.
        show_dtype: whether they show the type.
        show_layer_names: whether they show the layers' names.
        rankdir: "TB" (top to bottom), "BT", "LR" or "RL".
        expand_nested: whether inner models are drawn layer by layer.
        dpi: resolution of pictures. Default 200.
        show_layer_activations: whether they show the activation.
        show_trainable: whether colors show which layers are trained.
        **kwargs: none.

    Returns:
        The picture, in a notebook; else None.

    Raises:
        ImportError: if a format needs matplotlib and it is missing.
        ValueError: for a model that is not built, or a file name without an ending.
    """
    if kwargs:
        raise ValueError(f"plot_model: unexpected arguments {', '.join(kwargs)}")
    path = Path(to_file)
    kind = path.suffix[1:].lower()
    if not kind:
        raise ValueError(
            f"plot_model: to_file needs an ending such as .png or .svg, got '{path}'"
        )
    shown = {
        "show_shapes": show_shapes,
        "show_dtype": show_dtype,
        "show_layer_names": show_layer_names,
        "show_layer_activations": show_layer_activations,
        "show_trainable": show_trainable,
    }
    plan = _plan(model, rankdir, expand_nested, **shown)
    if shutil.which("dot") and _has_pydot():
        dot = model_to_dot(
            model, rankdir=rankdir, expand_nested=expand_nested, dpi=dpi, **shown
        )
        dot.write(os.fspath(path), format=kind)
    else:
        sideways, turned = rankdir in ("LR", "RL"), rankdir in ("BT", "RL")
        diagram = Diagram(plan.boxes, plan.arrows, sideways, turned)
        if kind == "svg":
            path.write_text(diagram.svg(), encoding="utf-8")
        else:
            diagram.picture(path, dpi)
    return _shown_in_notebook(path, kind)


def _has_pydot() -> bool:
    from importlib.util import find_spec

    return find_spec("pydot") is not None


def _shown_in_notebook(path: Path, kind: str) -> Any:
    """Return the picture as IPython shows it, or None outside a notebook."""
    import sys

    display = sys.modules.get("IPython.display")
    if display is None or kind not in ("png", "jpg", "jpeg", "svg"):
        return None
    if kind == "svg":
        return display.SVG(filename=os.fspath(path))
    return display.Image(filename=os.fspath(path))
