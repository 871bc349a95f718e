"""What is timed: models and single ops, described so that every peer can build them."""

from __future__ import annotations

from workloads.models import MODELS
from workloads.ops import OPS
from workloads.spec import ModelWorkload, OpWorkload

WORKLOADS: dict[str, ModelWorkload | OpWorkload] = {w.name: w for w in (*MODELS, *OPS)}
GROUPS = tuple(dict.fromkeys(w.group for w in WORKLOADS.values()))

__all__ = ["GROUPS", "WORKLOADS", "ModelWorkload", "OpWorkload"]
