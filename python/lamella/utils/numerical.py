"""Small numerical helpers: one-hot encoding and normalising of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["normalize", "to_categorical"]


def _is_tensor(x: Any) -> bool:
    if isinstance(x, (np.ndarray, np.generic, list, tuple, int, float)):
        return False
    from .. import ops

    return bool(ops.is_tensor(x))


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Turn class numbers into rows with a single one.

    Args:
        x: Class numbers, integers from 0 to `num_classes` - 1, of any shape. A
            last axis of length 1 is dropped first.
        num_classes: Number of classes; None: the largest number plus one.

    Returns:
        A float64 array of the shape of `x` with the class axis added last, as in
        Keras; for a Tensor, a float32 Tensor.

    Raises:
        ValueError: If a class number is negative or not below `num_classes`, or
            `x` is empty and `num_classes` is not given.

    Example:
        >>> to_categorical([0, 2], num_classes=3)
        array([[1., 0., 0.],
               [0., 0., 1.]])
    """
    if _is_tensor(x):
        from .. import ops

        if num_classes is None:
            raise ValueError(
                "to_categorical: num_classes must be given when x is a Tensor"
            )
        if len(x.shape) > 1 and x.shape[-1] == 1:
            x = ops.squeeze(x, axis=-1)
        return ops.one_hot(x, num_classes)
    labels = np.asarray(x)
    if labels.dtype.kind == "f" and not np.all(np.isfinite(labels)):
        raise ValueError(
            "to_categorical: x must hold class numbers, got NaN or infinity"
        )
    labels = labels.astype(np.int64)
    shape = labels.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    labels = labels.reshape(-1)
    if not num_classes:
        if labels.size == 0:
            raise ValueError(
                "to_categorical: num_classes must be given when x is empty, "
                f"got x of shape {shape}"
            )
        num_classes = int(labels.max()) + 1
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            "to_categorical: class numbers must lie in "
            f"[0, {num_classes - 1}], got values from {labels.min()} to "
            f"{labels.max()} with num_classes={num_classes}"
        )
    encoded = np.zeros((labels.size, num_classes))
    encoded[np.arange(labels.size), labels] = 1
    return encoded.reshape((*shape, num_classes))


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """Divide vectors along an axis by their norm; zero vectors stay zero.

    Args:
        x: A numpy array or a Tensor.
        axis: The axis along which the norm is taken, default -1.
        order: Order of the norm, default 2 (Euclidean).

    Returns:
        The normalised copy, of the kind that was given.

    Example:
        >>> normalize(np.array([[3.0, 4.0]]))
        array([[0.6, 0.8]])
    """
    if _is_tensor(x):
        from .. import ops

        return ops.normalize(x, axis=axis, order=order)
    x = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)
