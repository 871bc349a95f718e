"""NumPy: what the simplest program would get."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from peers import Task, Unsupported
from workloads.spec import ModelWorkload, OpWorkload


class Numpy:
    """Single ops that NumPy has."""

    versions: ClassVar[dict[str, str]] = {"numpy": np.__version__}

    def prepare(self, workload: ModelWorkload | OpWorkload) -> Task:
        """The op, ready to run."""
        if isinstance(workload, ModelWorkload) or workload.op == "conv":
            raise Unsupported("has neither models nor convolutions")
        return OpTask(workload)


def peer(name: str, threads: int) -> Numpy:
    """The one peer of this module."""
    return Numpy()


class OpTask:
    """An op on two arrays."""

    def __init__(self, workload: OpWorkload) -> None:
        self.x, self.y = workload.arrays()
        self.is_matmul = workload.op == "matmul"

    def run(self) -> np.ndarray:
        """The op."""
        if self.is_matmul:
            return self.x @ self.y
        return self.x * self.y + self.x

    def results(self) -> list[np.ndarray]:
        """What it returned."""
        return [self.run()]
