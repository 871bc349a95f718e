"""NumPy: what the simplest program would get."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from peers import Task, Unsupported
from peers.op_task import OpTask
from workloads.spec import OpWorkload

_OPS: dict[str, Any] = {
    "matmul": lambda a, b: lambda: a @ b,
    "matmul_grad_a": lambda g, b: lambda: g @ b.T,
    "matmul_grad_b": lambda a, g: lambda: a.T @ g,
    "relu": lambda x: lambda: np.maximum(x, 0),
    "exp": lambda x: lambda: np.exp(x),
    "tanh": lambda x: lambda: np.tanh(x),
    "sum": lambda x: lambda: x.sum(),
    "add": lambda x, y: lambda: x + y,
    "chain": lambda x, y: lambda: x * y + x,
    "reshape": lambda x: lambda: x.reshape(3, 2),
    "row": lambda x: lambda: x[1],
}


class Numpy:
    """Single ops that NumPy has."""

    versions: ClassVar[dict[str, str]] = {"numpy": np.__version__}
    symmetric_padding = False

    def prepare(self, workload: OpWorkload) -> Task:
        """The op, ready to run."""
        name = workload.op.removeprefix("tiny_")
        if name not in _OPS:
            raise Unsupported(f"has no {name}")
        return OpTask(_OPS[name](*workload.arrays()), lambda y: [np.asarray(y)])


def peer(name: str, threads: int) -> Numpy:
    """The one peer of this module."""
    return Numpy()
