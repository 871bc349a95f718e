"""Rows that share an id, reduced together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import cast, convert_to_tensor, is_concrete, to_tensor

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]


def _ids(name: str, segment_ids: Any, num_segments: int | None) -> tuple[Tensor, int]:
    ids = cast(segment_ids, "int32")
    if ids.ndim != 1:
        raise ValueError(
            f"{name}: segment_ids must be a vector, got segment_ids.shape={ids.shape}"
        )
    if num_segments is None:
        if not is_concrete(ids):
            raise ValueError(
                f"{name}: num_segments must be given inside a traced model"
            )
        num_segments = int(ids.numpy().max()) + 1 if ids.size else 0
    return ids, num_segments


def segment_sum(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """Sum of the rows of data that share an id; other ids are left out.

    Args:
        data: (n, ...).
        segment_ids: n integers.
        num_segments: number of results, default the largest id + 1.
        sorted: accepted; sorted ids need no other treatment.
    """
    x = to_tensor(data)
    ids, n = _ids("segment_sum", segment_ids, num_segments)
    known = _core.logical_and(_core.greater_equal(ids, 0), _core.less(ids, n))
    wide = cast(x, "int32") if x.dtype in ("bool", "uint8") else x
    out = _core.scatter_add(wide, _core.where(known, ids, n), n + 1, 0)
    return cast(out[:n], x.dtype)


def _masked(
    name: str, data: Any, segment_ids: Any, num_segments: int | None, fill: Any
) -> tuple[Tensor, Tensor]:
    """data (1, n, ...) with the rows of other segments (segments, n, ...) filled."""
    x = to_tensor(data)
    ids, n = _ids(name, segment_ids, num_segments)
    names = convert_to_tensor(np.arange(n, dtype="int32"))
    hits = _core.equal(_core.expand_dims(ids, 0), _core.expand_dims(names, 1))
    for _ in range(x.ndim - 1):
        hits = _core.expand_dims(hits, -1)
    return x, _core.where(hits, x, fill)


def _lowest(dtype: str) -> Any:
    if dtype.startswith("float"):
        return -math.inf
    return 0 if dtype == "bool" else int(np.iinfo(dtype).min)


def _highest(dtype: str) -> Any:
    if dtype.startswith("float"):
        return math.inf
    return 1 if dtype == "bool" else int(np.iinfo(dtype).max)


def segment_max(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """Largest row entries per id; the lowest value of the dtype for an id without."""
    x = to_tensor(data)
    fill = convert_to_tensor(_lowest(x.dtype), x.dtype)
    x, rows = _masked("segment_max", x, segment_ids, num_segments, fill)
    return cast(_core.max(rows, 1, False), x.dtype)


def segment_min(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """Smallest row entries per id; the highest value of the dtype for an id without."""
    x = to_tensor(data)
    fill = convert_to_tensor(_highest(x.dtype), x.dtype)
    x, rows = _masked("segment_min", x, segment_ids, num_segments, fill)
    return cast(_core.min(rows, 1, False), x.dtype)


def segment_prod(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    """Product of the rows of data that share an id; 1 for an id without."""
    x = to_tensor(data)
    one = convert_to_tensor(1, x.dtype)
    x, rows = _masked("segment_prod", x, segment_ids, num_segments, one)
    wide = cast(rows, "int32") if rows.dtype in ("bool", "uint8") else rows
    return cast(_core.prod(wide, 1, False), x.dtype)
