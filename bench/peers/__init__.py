"""Who is timed. A peer's module is imported in its own process only."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

# name -> (module here, factory in it, packages that must be installed)
_PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "lamella": ("keras_like", "lamella_peer", ("lamella",)),
    "torch": ("torch_peer", "eager", ("torch",)),
    "torch-compile": ("torch_peer", "compiled", ("torch",)),
    "keras-tensorflow": ("keras_like", "keras_peer", ("keras", "tensorflow")),
    "keras-jax": ("keras_like", "keras_peer", ("keras", "jax")),
    "keras-torch": ("keras_like", "keras_peer", ("keras", "torch")),
    "scikit-learn": ("sklearn_mlp", "peer", ("sklearn",)),
    "onnxruntime": ("onnx_runtime", "peer", ("onnxruntime", "onnx")),
    "numpy": ("numpy_ops", "peer", ("numpy",)),
}
NAMES = tuple(_PEERS)


class Unsupported(Exception):
    """This peer has no such workload; the text says why."""


class Task(Protocol):
    """A model or an op that is ready to run."""

    def run(self, count: int) -> Any:
        """What is timed: `count` units at least; returns the number that were done."""

    def results(self, rows: int) -> list[np.ndarray]:
        """A model's predictions for the first rows, or an op's results."""


class TrainingTask(Task, Protocol):
    """A model that is trained."""

    def loss(self) -> float:
        """One step on the first batch: its loss before the update."""


class Peer(Protocol):
    """A library under test."""

    versions: dict[str, str]
    symmetric_padding: bool  # of "same" convolutions with an odd row to spare

    def prepare(self, workload: Any) -> Task:
        """Builds the workload with its weights; raises Unsupported."""


def missing(name: str) -> list[str]:
    """The packages that this peer lacks."""
    return [p for p in _PEERS[name][2] if importlib.util.find_spec(p) is None]


def load(name: str, threads: int) -> Peer:
    """Imports a peer."""
    module, factory, _ = _PEERS[name]
    make: Callable[[str, int], Peer] = getattr(
        importlib.import_module(f"peers.{module}"), factory
    )
    return make(name, threads)
