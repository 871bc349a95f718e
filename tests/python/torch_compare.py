"""Compares what a case gives with the two libraries."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Tensors as arrays (with their type's name), nests as lists."""
    if hasattr(value, "detach"):
        a = np.array(value.detach().numpy())
        return ("tensor", str(value.dtype), a)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def differences(
    ours: Any, theirs: Any, rtol: float, atol: float, at: str = ""
) -> list[str]:
    """What is not the same, by place."""
    if isinstance(theirs, tuple) and theirs and theirs[0] == "tensor":
        if not isinstance(ours, tuple) or ours[0] != "tensor":
            return [f"{at}: {ours!r} is no tensor"]
        if ours[1] != theirs[1]:
            return [f"{at}: {ours[1]}, expected {theirs[1]}"]
        if ours[2].shape != theirs[2].shape:
            return [f"{at}: shape {ours[2].shape}, expected {theirs[2].shape}"]
        if not np.allclose(ours[2], theirs[2], rtol, atol, equal_nan=True):
            return [f"{at}: {ours[2]!r}, expected {theirs[2]!r}"]
        return []
    if isinstance(theirs, dict):
        if list(ours) != list(theirs):
            return [f"{at}: keys {list(ours)}, expected {list(theirs)}"]
        return [
            d
            for k in theirs
            for d in differences(ours[k], theirs[k], rtol, atol, f"{at}.{k}")
        ]
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return [f"{at}: {ours!r}, expected {theirs!r}"]
        return [
            d
            for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
            for d in differences(a, b, rtol, atol, f"{at}[{i}]")
        ]
    if isinstance(theirs, np.ndarray):
        same = np.allclose(np.asarray(ours), theirs, rtol, atol)
        return [] if same else [f"{at}: {ours!r}, expected {theirs!r}"]
    if isinstance(theirs, float):
        return (
            []
            if np.isclose(ours, theirs, rtol, atol)
            else [f"{at}: {ours}, expected {theirs}"]
        )
    return [] if ours == theirs else [f"{at}: {ours!r}, expected {theirs!r}"]
