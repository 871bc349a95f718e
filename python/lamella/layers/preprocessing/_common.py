"""What the preprocessing layers share: texts, encodings, data for `adapt`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from lamella import _core, ops
from lamella.layers import _tree
from lamella.layers.layer import Layer
from lamella.ops.symbolic import holds_placeholder
from lamella.variable import Variable

__all__ = [
    "HostLayer",
    "as_integers",
    "as_texts",
    "batches_of",
    "check_mode",
    "check_salt",
    "check_sparse",
    "encode",
    "encoded_shape",
    "is_symbolic",
    "tensor",
    "to_numpy",
]


def check_mode(who: str, output_mode: Any, allowed: tuple[str, ...]) -> str:
    """Return the output mode under its present name.

    Raises:
        ValueError: for an unknown one.
    """
    old = {"binary": "multi_hot", "tf-idf": "tf_idf"}
    mode = old.get(output_mode, output_mode) if isinstance(output_mode, str) else None
    if mode not in allowed:
        raise ValueError(
            f"{who}: output_mode must be one of {', '.join(map(repr, allowed))}, got "
            f"output_mode={output_mode!r}"
        )
    return mode


def check_sparse(who: str, sparse: Any) -> None:
    """Refuse sparse outputs.

    Raises:
        ValueError: if sparse is true.
    """
    if sparse:
        raise ValueError(f"{who}: lamella has dense tensors only, got sparse={sparse}")


def check_salt(who: str, salt: Any) -> list[int] | None:
    """Return the two numbers of a salt, or None.

    Raises:
        ValueError: if it is neither an integer nor a pair of integers.
    """
    if salt is None:
        return None
    if isinstance(salt, list | tuple) and len(salt) == 2:
        return list(salt)
    if isinstance(salt, int) and not isinstance(salt, bool):
        return [salt, salt]
    raise ValueError(
        f"{who}: salt must be an integer or a pair of integers, got salt={salt!r}"
    )


def is_symbolic(value: Any) -> bool:
    """Return True for a tensor of a model that is being traced."""
    return isinstance(value, _core.Tensor) and value.is_symbolic


def to_numpy(value: Any) -> np.ndarray:
    """Return a tensor, array, list or single value as a numpy array.

    Raises:
        ValueError: for rows of different lengths.
    """
    if isinstance(value, _core.Tensor | Variable):
        return np.asarray(value.numpy())
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"preprocessing: cannot make an array of the input: {error}. Every row "
            "must have the same length."
        ) from None


def tensor(array: np.ndarray) -> Any:
    """Return an array as a tensor."""
    return _core.from_numpy(np.ascontiguousarray(array).reshape(array.shape))


def as_texts(value: Any, who: str) -> np.ndarray:
    """Return texts as an array of str objects; bytes are read as UTF-8.

    Raises:
        TypeError: if there is anything but texts in it.
    """
    array = to_numpy(value)
    if array.dtype.kind == "U":
        return array.astype(object)
    flat = array.reshape(-1).astype(object)
    if array.size:
        for i, text in enumerate(flat):
            if isinstance(text, bytes):
                flat[i] = text.decode("utf-8", "surrogateescape")
            elif not isinstance(text, str):
                raise TypeError(
                    f"{who}: expected texts, got {text!r} of type {type(text).__name__}"
                )
    return flat.reshape(array.shape)


def as_integers(value: Any, who: str) -> np.ndarray:
    """Return numbers as int64; fractions are cut off.

    Raises:
        TypeError: for texts and other things.
    """
    array = to_numpy(value)
    if array.dtype.kind not in "iubf":
        raise TypeError(f"{who}: expected integers, got an array of {array.dtype}")
    return array.astype("int64")


def batches_of(data: Any, steps: int | None) -> Iterator[tuple[Any, bool]]:
    """Yield (batch, whether it is all of the data) for `adapt`.

    Lists, tuples, arrays and tensors are one batch; from datasets and generators
    come at most `steps`.
    """
    one = isinstance(data, list | tuple | str | np.ndarray | _core.Tensor | Variable)
    if one or hasattr(data, "__array__") or not hasattr(data, "__iter__"):
        yield data, True
    else:
        for batch in itertools.islice(data, steps):
            yield batch, False


# -- encodings of indices -------------------------------------------------------


def encode(
    indices: Any, mode: str, depth: int, dtype: str, count_weights: Any = None
) -> Any:
    """Return indices themselves, one-hot, multi-hot or counted, as a tensor.

    Args:
        indices: array, or tensor of a model.
        mode: "int", "one_hot", "multi_hot" or "count".
        depth: number of indices; others are left out.
        dtype: of the result.
        count_weights: weight of each index, for "count".
    """
    if is_symbolic(indices) or is_symbolic(count_weights):
        return _encode_symbolic(indices, mode, depth, dtype, count_weights)
    indices = to_numpy(indices)
    if mode == "int":
        return tensor(indices.astype(dtype))
    indices = np.atleast_1d(indices).astype("int64")
    if mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = indices[..., 0]
        hot = np.zeros((indices.size, depth), dtype)
        known = np.flatnonzero((indices >= 0) & (indices < depth))
        hot[known, indices.reshape(-1)[known]] = 1
        return tensor(hot.reshape(*indices.shape, depth))
    # axis 1 is the one that is summed over; a vector is one sample
    rows = indices[None] if indices.ndim == 1 else indices
    rows = np.moveaxis(rows, 1, -1)
    result = np.zeros((*rows.shape[:-1], depth), dtype)
    where = np.nonzero((rows >= 0) & (rows < depth))
    place = (*where[:-1], rows[where])
    if mode == "multi_hot":
        result[place] = 1
    elif count_weights is None:
        np.add.at(result, place, 1)
    else:
        weights = np.broadcast_to(to_numpy(count_weights), indices.shape)
        weights = weights[None] if indices.ndim == 1 else weights
        np.add.at(result, place, np.moveaxis(weights, 1, -1)[where].astype(dtype))
    return tensor(result[0] if indices.ndim == 1 else result)


def _encode_symbolic(
    indices: Any, mode: str, depth: int, dtype: str, count_weights: Any
) -> Any:
    if mode == "int":
        return ops.cast(indices, dtype)
    if indices.dtype not in ("int32", "int64"):
        indices = ops.cast(indices, "int64")
    if indices.ndim == 0:
        indices = _core.expand_dims(indices, -1)
    if mode == "one_hot" and indices.ndim > 1 and indices.shape[-1] == 1:
        indices = _core.squeeze(indices, (indices.ndim - 1,))
    hot = ops.one_hot(indices, depth, dtype="float32" if dtype == "bool" else dtype)
    axis = 1 if indices.ndim > 1 else 0
    if mode == "multi_hot":
        hot = _core.max(hot, axis, False)
    elif mode == "count":
        if count_weights is not None:
            weights = ops.cast(count_weights, dtype)
            hot = _core.mul(hot, _core.expand_dims(weights, -1))
        hot = _core.sum(hot, axis, False)
    return hot if hot.dtype == dtype else ops.cast(hot, dtype)


def encoded_shape(shape: Any, mode: str, depth: int | None) -> tuple[int | None, ...]:
    """Return the shape of `encode`'s result."""
    shape = tuple(shape)
    if mode == "int":
        return shape
    if mode == "one_hot":
        return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
    return (depth,) if len(shape) < 2 else (shape[0], *shape[2:], depth)


# -- layers that cannot be a part of a compiled model -----------------------------


class HostLayer(Layer):
    """A layer that works on numpy arrays, lists and texts, in Python.

    It may stand in a functional model of numbers; such a model runs it with
    `run_eagerly=True` only.
    """

    _output_dtype = "int64"

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; on placeholders, note the call."""
        self._check_initialized()
        if holds_placeholder(inputs):
            from lamella.models.functional import note_call

            if not self.built:
                self._build_once(_tree.map_structure(lambda x: x.shape, inputs))
            output = note_call(self, self._stand_in, (inputs,), kwargs)
            self._output_shape_seen = output.shape
            return output
        if is_symbolic(inputs):
            return super().__call__(inputs, *args, **kwargs)
        self.built = True
        return self.call(inputs, *args, **kwargs)

    def _stand_in(self, inputs: Any) -> Any:
        """Return a tensor of the output's shape for one of the input's."""
        first = inputs[0] if isinstance(inputs, list | tuple) else inputs
        shapes: Any = tuple(first.shape)
        if isinstance(inputs, list | tuple):
            shapes = [tuple(x.shape) for x in inputs]
        shape = self.compute_output_shape(shapes)
        dims = [first.dims[i] if n is None else n for i, n in enumerate(shape)]
        return _core.full(dims, 0, self._output_dtype)

    def _refuse_symbolic(self, *inputs: Any) -> None:
        """Refuse a tensor without values.

        Raises:
            StateError: in a model that is being compiled.
        """
        if any(is_symbolic(x) for x in inputs):
            raise _core.StateError(
                f"{self._who()}: it works on values in Python and cannot be a part of "
                "a compiled model. Apply it to the data before the model "
                "(dataset.map(layer)), or use compile(run_eagerly=True)."
            )

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: there are no weights."""

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Mark the layer as built."""
        self.built = True
