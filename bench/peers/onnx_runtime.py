"""ONNX Runtime: prediction only, from a model made here of the common weights."""

from __future__ import annotations

from importlib.metadata import version
from typing import ClassVar

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from peers import Task, Unsupported
from workloads.spec import (
    Array,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    ModelWorkload,
    Shape,
    output_shape,
)

_ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softmax": "Softmax",
}


class OnnxRuntime:
    """An InferenceSession on the CPU."""

    versions: ClassVar[dict[str, str]] = {"onnxruntime": version("onnxruntime")}
    symmetric_padding = False

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, workload: ModelWorkload) -> Task:
        """The session, ready to run."""
        return ModelTask(workload, self.threads)


def peer(name: str, threads: int) -> OnnxRuntime:
    """The one peer of this module."""
    return OnnxRuntime(threads)


class Builder:
    """Writes the nodes of a model, layer by layer; images are (n, c, h, w)."""

    def __init__(self, workload: ModelWorkload, row: Shape) -> None:
        self.nodes: list = []
        self.tensors: list = []
        self.last = "x"
        self.weights = iter(workload.weights())
        self.image: Shape | None = None  # what the flattened axis was
        shape = row
        for layer in workload.layers:
            self.add(layer, shape)
            shape = output_shape(layer, shape)
        inputs = [*row[-1:], *row[:-1]]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *inputs])
        y = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, ["n", *shape])
        graph = helper.make_graph(self.nodes, workload.name, [x], [y], self.tensors)
        opset = helper.make_opsetid("", 17)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        self.model: bytes = model.SerializeToString()

    def node(self, kind: str, *arrays: Array, **attributes: object) -> None:
        """A node that takes the last value and some constants."""
        names = []
        for array in arrays:
            names.append(f"c{len(self.tensors)}")
            constant = np.ascontiguousarray(array)
            self.tensors.append(numpy_helper.from_array(constant, names[-1]))
        name = f"v{len(self.nodes)}"
        inputs = [self.last, *names]
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.last = name

    def add(self, layer: object, shape: Shape) -> None:
        """A layer whose input has this shape."""
        if isinstance(layer, Dense):
            kernel, bias = next(self.weights)
            if self.image is not None:
                kernel = kernel.reshape(*self.image, -1).transpose(2, 0, 1, 3)
                kernel = kernel.reshape(-1, layer.units)
                self.image = None
            self.node("Gemm", kernel, bias)
        elif isinstance(layer, Conv) and layer.padding == "valid":
            kernel, *bias = next(self.weights)
            strides = [layer.stride] * 2
            self.node("Conv", kernel.transpose(3, 2, 0, 1), *bias, strides=strides)
        elif isinstance(layer, MaxPool):
            square = [layer.size] * 2
            self.node("MaxPool", kernel_shape=square, strides=square)
        elif isinstance(layer, Flatten):
            self.image = shape
            self.node("Flatten")
        elif not isinstance(layer, Dropout):
            raise Unsupported(f"{layer} is not written here")
        activation = getattr(layer, "activation", None)
        if activation:
            self.node(_ACTIVATIONS[activation])


class ModelTask:
    """A session and its input."""

    def __init__(self, workload: ModelWorkload, threads: int) -> None:
        x = workload.data()[0]
        model = Builder(workload, x.shape[1:]).model
        self.workload = workload
        self.x = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def run(self, count: int) -> int:
        """Predictions, batch by batch."""
        size, run = self.workload.batch_size, self.session.run
        if len(self.x) == size:
            for _ in range(count):
                run(None, {"x": self.x})
            return count
        calls = max(1, round(count / self.workload.batches))
        for _ in range(calls):
            for begin in range(0, len(self.x), size):
                run(None, {"x": self.x[begin : begin + size]})
        return calls * self.workload.batches

    def results(self, rows: int) -> list[np.ndarray]:
        """Predictions for the first rows."""
        return [np.asarray(self.session.run(None, {"x": self.x[:rows]})[0])]
