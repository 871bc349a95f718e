"""Models as ONNX files: the traced graph, node by node."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lamella.export.onnx_layers import CONVERTERS
from lamella.export.onnx_ops import Op, onnx_type
from lamella.export.onnx_writer import Writer
from lamella.saving import atomic

__all__ = ["export_onnx", "onnx_bytes"]

OPSET = 18
_SYMBOL = re.compile(r"1\*(s\d+)")


def export_onnx(
    model: Any, filepath: Any, input_signature: Any = None, opset_version: Any = None
) -> None:
    """Write a model as an ONNX file; see `Model.export`."""
    data = onnx_bytes(model, input_signature, opset_version)
    atomic.write_bytes(filepath, data, what="export")


def onnx_bytes(
    model: Any, input_signature: Any = None, opset_version: Any = None
) -> bytes:
    """Return the bytes of an ONNX file.

    Raises:
        ImportError: if the package onnx is missing.
        NotImplementedError: for what ONNX has no operators for; the layer is named.
        ValueError: if the model has no known input shape, or runs Python.
    """
    opset = OPSET if opset_version is None else int(opset_version)
    if opset < OPSET:
        raise ValueError(
            f"export: opset_version must be {OPSET} or more, got "
            f"opset_version={opset_version!r}"
        )
    writer = Writer(opset)
    graph, arrays = _read(_trace(model, input_signature), model)
    helper = writer.onnx.helper
    inputs = [_value(writer, item["name"], item["spec"]) for item in graph["inputs"]]
    for item in graph["inputs"]:
        for axis, dim in enumerate(item["spec"]["shape"]):
            match = _SYMBOL.fullmatch(dim) if isinstance(dim, str) else None
            if match:
                writer.symbols.setdefault(match[1], (item["name"], axis))
    values = _convert(writer, graph, arrays)
    outputs = []
    for item in graph["outputs"]:
        node, index = item["value"]
        spec = graph["nodes"][node]["out"][index]
        writer.add("Identity", [values[node][index]], [item["name"]])
        outputs.append(_value(writer, item["name"], spec))
    used = {name for node in writer.nodes for name in node.input}
    kept = [c for c in writer.initializers if c.name in used]
    made = helper.make_graph(writer.nodes, model.name, inputs, outputs, kept)
    version = helper.make_operatorsetid("", opset)
    proto = helper.make_model(made, opset_imports=[version], producer_name="lamella")
    proto.ir_version = min(proto.ir_version, 10)
    writer.onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def _trace(model: Any, input_signature: Any) -> Any:
    """Return the graph of a prediction."""
    from lamella.saving.lamella_format import predict_graph

    if input_signature is not None:
        graph = _trace_signature(model, input_signature)
    else:
        graph = predict_graph(model) if model.built else None
    if graph is None:
        raise ValueError(
            f"export: the model {model.name!r} has no known input shape, or its call "
            "looks at values. Call it on data first, or give input_signature"
        )
    return graph


def _trace_signature(model: Any, signature: Any) -> Any:
    """Trace the model on inputs of given shapes and types."""
    from lamella import _core
    from lamella.layers import _tree

    if isinstance(signature, list | tuple) and len(signature) == 1:
        signature = signature[0]
    number = iter(range(1 << 20))
    graph = _core.Graph()
    with graph:

        def make(spec: Any) -> Any:
            shape = getattr(spec, "shape", None)
            if shape is None:
                raise ValueError(
                    "export: input_signature must be InputSpec, placeholders or "
                    f"arrays with a shape, got {spec!r}"
                )
            name = getattr(spec, "name", None) or f"input_{next(number)}"
            dtype = str(getattr(spec, "dtype", None) or model.dtype)
            return graph.input(name, (None, *tuple(shape)[1:]), dtype)

        outputs = _tree.flatten(
            model(_tree.map_structure(make, signature), training=False)
        )
        names = getattr(model, "_output_keys", None) or []
        if len(names) != len(outputs):
            names = [f"output_{i}" for i in range(len(outputs))]
        for name, output in zip(names, outputs, strict=True):
            graph.output(name, output)
    model._clear_losses()
    return graph


def _read(graph: Any, model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the graph as the core writes it to files, and the values it reads."""
    from lamella import _core

    named = [(f"v{i}", v) for i, v in enumerate(graph.variables)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.fspath(Path(folder) / "graph.lamella")
        none: Any = None  # no optimizer
        _core.save_model(path, named, {"predict": graph}, none, [], {})
        arrays, metadata = _core.load_safetensors(path)
        arrays = {k: np.array(v) for k, v in arrays.items()}
    return json.loads(metadata["graph.predict"]), arrays


def _value(writer: Writer, name: str, spec: dict[str, Any]) -> Any:
    """Return what ONNX says about an input or output."""
    dims: list[Any] = []
    for axis, dim in enumerate(spec["shape"]):
        if isinstance(dim, int):
            dims.append(dim)
        else:
            match = _SYMBOL.fullmatch(dim)
            name_of = "batch" if axis == 0 else (match[1] if match else None)
            dims.append(name_of)
    kind = onnx_type(writer, spec["dtype"])
    return writer.onnx.helper.make_tensor_value_info(name, kind, dims)


def _convert(
    writer: Writer, graph: dict[str, Any], arrays: dict[str, np.ndarray]
) -> list[list[str]]:
    """Write all nodes; return the names of their outputs."""
    values: list[list[str]] = []
    names = {tuple(item["value"]): item["name"] for item in graph["inputs"]}
    for index, node in enumerate(graph["nodes"]):
        kind, attrs = node["op"], node.get("attrs", {})
        scope = node.get("scope", "")
        if kind == "input":
            values.append([names[(index, 0)]])
            continue
        if kind == "variable":
            key = graph["variables"][attrs["index"]]
            values.append([writer.constant(arrays[key])])
            continue
        refs = node["in"]
        o = Op(
            writer,
            kind,
            [values[n][i] for n, i in refs],
            [graph["nodes"][n]["out"][i] for n, i in refs],
            node["out"],
            attrs,
            scope,
        )
        if kind not in CONVERTERS:
            raise o.refuse(f"there is no ONNX form of the op {kind!r}")
        made = CONVERTERS[kind](o)
        values.append(made if isinstance(made, list) else [made])
    return values
