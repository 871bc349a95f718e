"""What a layer expects of its input: rank, sizes of axes, type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamella.config import standardize_dtype
from lamella.layers import _tree

__all__ = ["InputSpec", "check_inputs"]


class InputSpec:
    """Rank, shape and type that a layer asks of one input.

    Args:
        dtype: type name, or None for any.
        shape: full shape with the batch axis; None entries fit any size.
        ndim: rank.
        max_ndim: largest rank.
        min_ndim: smallest rank.
        axes: dict from axis to the size it must have.
        allow_last_axis_squeeze: accept a missing or an extra last axis of size 1.
        name: key of this input in a dict of inputs.
        optional: whether the input may be None.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = None if dtype is None else standardize_dtype(dtype, "InputSpec")
        self.shape = None if shape is None else tuple(shape)
        self.ndim = ndim if shape is None else len(shape)
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = {int(k): v for k, v in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "dtype": self.dtype,
            "shape": self.shape,
            "ndim": self.ndim if self.shape is None else None,
            "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim,
            "axes": self.axes,
            "optional": self.optional,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """Return the spec that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        parts = [
            f"{k}={getattr(self, k)}"
            for k in ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes")
            if getattr(self, k)
        ]
        return f"InputSpec({', '.join(parts)})"


_RANK_HINTS = {
    (2, 3): "An input of rank 3 is (batch, steps, features).",
    (2, 4): "Give images their axes: x.reshape(-1, height, width, channels).",
    (3, 4): (
        "A grey image needs a channel axis: x[..., None] (or x.reshape(-1, height, "
        "width, 1)); a single image needs a batch axis: x[None]."
    ),
    (3, 2): "Put a Flatten layer in front.",
    (4, 2): "Put a Flatten layer in front.",
    (1, 2): (
        "A single sample needs a batch axis: x[None, :]; one feature per sample "
        "needs a column: x[:, None]."
    ),
}


def check_inputs(spec: Any, inputs: Any, who: str) -> None:
    """Raise ValueError when `inputs` do not fit `spec`.

    Args:
        spec: InputSpec, a structure of them, or None for no check.
        inputs: tensor or structure of tensors.
        who: how the layer is called in the message, such as "Dense 'dense_1'".
    """
    if spec is None:
        return
    specs = _tree.flatten(spec)
    values = _tree.flatten(inputs)
    if len(specs) != len(values):
        raise ValueError(
            f"{who}: expected {len(specs)} input(s), got {len(values)} tensors"
        )
    for one, x in zip(specs, values, strict=True):
        if one is not None and not (x is None and one.optional):
            if not hasattr(x, "shape"):
                raise ValueError(f"{who}: expected a tensor or an array, got {x!r}")
            _check_one(one, tuple(x.shape), x.dtype, who)


def _check_one(spec: InputSpec, shape: tuple[Any, ...], dtype: str, who: str) -> None:
    ndim = len(shape)
    shown = _show(shape)
    if spec.ndim is not None and not spec.allow_last_axis_squeeze and ndim != spec.ndim:
        hint = _RANK_HINTS.get((ndim, spec.ndim), "")
        raise ValueError(
            f"{who}: expected an input of rank {spec.ndim}, got rank {ndim} "
            f"(shape {shown}). {hint}".rstrip()
        )
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        raise ValueError(
            f"{who}: expected an input of rank at most {spec.max_ndim}, got rank "
            f"{ndim} (shape {shown})"
        )
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        hint = _RANK_HINTS.get((ndim, spec.min_ndim), "")
        raise ValueError(
            f"{who}: expected an input of rank at least {spec.min_ndim}, got rank "
            f"{ndim} (shape {shown}). {hint}".rstrip()
        )
    if spec.dtype is not None and dtype != spec.dtype:
        raise ValueError(f"{who}: expected an input of dtype {spec.dtype}, got {dtype}")
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] is not None and shape[axis] != size:
            where = "last axis" if axis in (-1, ndim - 1) else f"axis {axis}"
            raise ValueError(
                f"{who}: expected the {where} of the input to have size {size}, got "
                f"{shape[axis]} (shape {shown}). The layer was built for {size}; "
                "give it data of that size or build a new model."
            )
    if spec.shape is not None:
        want, have = spec.shape, shape
        if spec.allow_last_axis_squeeze:
            want = want[:-1] if want and want[-1] == 1 else want
            have = have[:-1] if have and have[-1] == 1 else have
        if len(want) != len(have) or any(
            w is not None and h is not None and w != h
            for w, h in zip(want, have, strict=False)
        ):
            raise ValueError(
                f"{who}: expected an input of shape {_show(spec.shape)}, got {shown}"
            )


def _show(shape: Sequence[Any]) -> str:
    return f"({', '.join(str(s) for s in shape)}{',' if len(shape) == 1 else ''})"
