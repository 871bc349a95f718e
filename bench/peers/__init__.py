"""Who is timed. A peer's module is imported in its own process only."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Entry:
    """Where a peer is made, what must be installed, and what it can do at all."""

    module: str
    factory: str
    packages: tuple[str, ...]
    kinds: frozenset[str]  # of "train", "predict", "op"


_MODELS = frozenset({"train", "predict"})
_ALL = _MODELS | {"op"}
_OPS = frozenset({"op"})
_PEERS = {
    "lamella": Entry("keras_like", "lamella_peer", ("lamella",), _ALL),
    "torch": Entry("torch_peer", "eager", ("torch",), _ALL),
    "torch-compile": Entry("torch_peer", "compiled", ("torch",), _ALL),
    "keras-tensorflow": Entry(
        "keras_like", "keras_peer", ("keras", "tensorflow"), _MODELS
    ),
    "keras-jax": Entry("keras_like", "keras_peer", ("keras", "jax"), _MODELS),
    "keras-torch": Entry("keras_like", "keras_peer", ("keras", "torch"), _MODELS),
    "scikit-learn": Entry("sklearn_mlp", "peer", ("sklearn",), _MODELS),
    "onnxruntime": Entry(
        "onnx_runtime", "peer", ("onnxruntime", "onnx"), frozenset({"predict"})
    ),
    "numpy": Entry("numpy_ops", "peer", ("numpy",), _OPS),
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
    wanted = _PEERS[name].packages
    return [p for p in wanted if importlib.util.find_spec(p) is None]


def able(name: str, workload: Any) -> bool:
    """Whether the peer can have such a workload; only trying it says that it has."""
    action = getattr(workload, "action", "op")
    kind = "predict" if action.startswith("predict") else action
    kind = "train" if kind in ("fit", "step") else kind
    return kind in _PEERS[name].kinds and (not workload.only or name in workload.only)


def load(name: str, threads: int) -> Peer:
    """Imports a peer."""
    entry = _PEERS[name]
    module = importlib.import_module(f"peers.{entry.module}")
    make: Callable[[str, int], Peer] = getattr(module, entry.factory)
    return make(name, threads)
