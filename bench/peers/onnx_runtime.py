"""ONNX Runtime: prediction only, from a model made here of the common weights."""

from __future__ import annotations

from importlib.metadata import version
from typing import ClassVar

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from peers import Task, Unsupported
from workloads.spec import Dense, ModelWorkload, OpWorkload


class OnnxRuntime:
    """An InferenceSession on the CPU."""

    versions: ClassVar[dict[str, str]] = {"onnxruntime": version("onnxruntime")}

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, workload: ModelWorkload | OpWorkload) -> Task:
        """The session, ready to run."""
        if isinstance(workload, OpWorkload) or workload.action != "predict":
            raise Unsupported("predicts only")
        if not all(isinstance(layer, Dense) for layer in workload.layers):
            raise Unsupported("only dense models are written here")
        return ModelTask(workload, self.threads)


def peer(name: str, threads: int) -> OnnxRuntime:
    """The one peer of this module."""
    return OnnxRuntime(threads)


def build(workload: ModelWorkload, features: int) -> bytes:
    """The dense model as an ONNX file."""
    weights = workload.weights()
    nodes, tensors = [], []
    last = "x"
    for i, layer in enumerate(workload.layers):
        tensors.append(numpy_helper.from_array(weights[2 * i], f"w{i}"))
        tensors.append(numpy_helper.from_array(weights[2 * i + 1], f"b{i}"))
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"z{i}"]))
        last = f"z{i}"
        if layer.activation:
            kind = {"relu": "Relu", "softmax": "Softmax"}[layer.activation]
            nodes.append(helper.make_node(kind, [last], [f"a{i}"]))
            last = f"a{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", features])
    units = workload.layers[-1].units
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", units])
    graph = helper.make_graph(nodes, workload.name, [x], [y], tensors)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return model.SerializeToString()


class ModelTask:
    """A session and its input."""

    def __init__(self, workload: ModelWorkload, threads: int) -> None:
        self.x = workload.data()[0]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            build(workload, self.x.shape[1]),
            options,
            providers=["CPUExecutionProvider"],
        )

    def run(self) -> None:
        """One prediction."""
        self.session.run(None, {"x": self.x})

    def results(self) -> list[np.ndarray]:
        """Predictions for all rows."""
        return self.session.run(None, {"x": self.x})
