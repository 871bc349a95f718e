"""Masks of tensors: which steps of a sequence count.

As in Keras, a layer that knows which steps are padding attaches a boolean mask to its
output, `tensor._keras_mask`, and the layers behind it, the loss and the metrics look
there. Tensors have no attributes of their own, so the masks lie in a table beside
them, from which an entry goes when its tensor does.
"""

from __future__ import annotations

import weakref
from typing import Any

from lamella._core import Tensor

__all__ = ["any_masks", "attach_masks", "copy_mask", "get_mask", "set_mask"]

_masks: dict[int, tuple[weakref.ref[Any], Any]] = {}


def any_masks() -> bool:
    """Return False if no tensor at all has a mask: the usual case, told fast."""
    return bool(_masks)


def get_mask(x: Any) -> Any:
    """Return the mask of a tensor or placeholder, None if it has none."""
    if type(x) is Tensor:
        entry = _masks.get(id(x))
        return None if entry is None else entry[1]
    return getattr(x, "_keras_mask", None)


def set_mask(x: Any, mask: Any) -> None:
    """Attach a mask to a tensor or placeholder; None takes it away."""
    if type(x) is not Tensor:
        x._keras_mask = mask
        return
    key = id(x)
    if mask is None:
        _masks.pop(key, None)
        return

    def forget(_: Any) -> None:
        _masks.pop(key, None)

    _masks[key] = (weakref.ref(x, forget), mask)


def copy_mask(source: Any, target: Any) -> Any:
    """Give `target` the mask of `source`, if it has one, and return it."""
    if _masks and target is not source:
        mask = get_mask(source)
        if mask is not None:
            set_mask(target, mask)
    return target


def attach_masks(outputs: Any, masks: Any) -> None:
    """Give outputs the masks that compute_mask returned, where they have none."""
    if masks is None:
        return
    from lamella.layers import _tree

    for x, mask in zip(_tree.flatten(outputs), _tree.flatten(masks), strict=False):
        if mask is not None and get_mask(x) is None:
            set_mask(x, mask)


# The name that Keras's users write: tensor._keras_mask.
Tensor._keras_mask = property(get_mask, set_mask)  # type: ignore[attr-defined]
