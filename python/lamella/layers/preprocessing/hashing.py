"""Hashing and HashedCrossing: categories to bins without a vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import config
from lamella.layers._arguments import positive

from ._common import (
    HostLayer,
    as_texts,
    check_mode,
    check_salt,
    check_sparse,
    encode,
    encoded_shape,
    to_numpy,
)
from ._hash import combine, fingerprints, keyed_hashes

__all__ = ["HashedCrossing", "Hashing", "buckets"]

_CROSS_KEY = 0xDECAFCAFFE


def _bytes(array: np.ndarray) -> list[bytes]:
    """Return texts in UTF-8, numbers in decimal."""
    flat = array.reshape(-1)
    if array.dtype.kind == "b":
        return [b"true" if v else b"false" for v in flat]
    if array.dtype.kind in "iu":
        return [b"%d" % v for v in flat.tolist()]
    return [v.encode("utf-8", "surrogateescape") for v in flat]


def buckets(array: np.ndarray, count: int, salt: list[int] | None) -> np.ndarray:
    """Return the bin of each text or integer, 0 .. count - 1."""
    texts = _bytes(array)
    hashes = fingerprints(texts) if salt is None else keyed_hashes(texts, salt)
    return (hashes % np.uint64(count)).astype("int64").reshape(array.shape)


def _values(inputs: Any, who: str) -> np.ndarray:
    array = to_numpy(inputs)
    return array if array.dtype.kind in "iubf" else as_texts(array, who)


class Hashing(HostLayer):
    """The bin of a hash: any text or integer to 0 .. num_bins - 1.

    The bins are those of Keras (FarmHash's fingerprint; with a salt, SipHash).

    Args:
        num_bins: number of bins, the one of `mask_value` included.
        mask_value: value that alone gets bin 0; None: no such value.
        salt: integer or pair of integers: the key of SipHash; None: FarmHash.
        output_mode: "int" (default), "one_hot", "multi_hot" or "count".
        sparse: must be False.
        **kwargs: `name`, `dtype` (default int64 for "int"), ...

    Input shape: any, of texts or integers.
    Output shape: the input's; for the other modes as in `CategoryEncoding`.

    Raises:
        ValueError: if num_bins is not positive, or the dtype is none of integers for
            "int".

    Example:
        >>> import lamella as keras
        >>> keras.layers.Hashing(num_bins=3)([["A"], ["B"]]).numpy().tolist()
        [[1], [0]]
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        output_mode = check_mode(
            "Hashing", output_mode, ("int", "one_hot", "multi_hot", "count")
        )
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = "int64" if output_mode == "int" else config.floatx()
        super().__init__(**kwargs)
        if output_mode == "int" and self.dtype not in ("int32", "int64"):
            raise ValueError(
                "Hashing: with output_mode='int' the dtype must be 'int32' or 'int64', "
                f"got dtype={self.dtype!r}"
            )
        check_sparse("Hashing", sparse)
        self.num_bins = positive(num_bins, "num_bins", "Hashing")
        self.mask_value = mask_value
        self.salt = check_salt("Hashing", salt)
        self.strong_hash = salt is not None
        self.output_mode = output_mode
        self.sparse = False
        self._output_dtype = self.dtype

    def call(self, inputs: Any) -> Any:
        """Return the bins, encoded."""
        self._refuse_symbolic(inputs)
        values = _values(inputs, self._who())
        if self.output_mode == "one_hot" and values.ndim and values.shape[-1] == 1:
            values = values[..., 0]
        count, mask = self.num_bins, None
        if self.mask_value is not None and count > 1:
            count, mask = count - 1, values == self.mask_value
        if values.dtype.kind == "f":
            values = values.astype("int64")
        bins = buckets(values, count, self.salt)
        if mask is not None:
            bins = np.where(mask, 0, bins + 1)
        return encode(bins, self.output_mode, self.num_bins, self.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the encoded bins."""
        return encoded_shape(input_shape, self.output_mode, self.num_bins)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "salt": self.salt,
            "mask_value": self.mask_value,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
        }


class HashedCrossing(HostLayer):
    """The bin of a hash of two or more features together, as in Keras.

    Args:
        num_bins: number of bins.
        output_mode: "int" (default) or "one_hot".
        sparse: must be False.
        name: name of the layer.
        dtype: default int64 for "int".

    Input shape: a list of features, all of shape (), (batch,) or (batch, 1), of texts
        or integers.
    Output shape: that of a feature; (batch, num_bins) for "one_hot".

    Raises:
        ValueError: for fewer than two features, or shapes that differ.

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.HashedCrossing(num_bins=5)
        >>> layer((["A", "B", "A"], [101, 101, 101])).numpy().tolist()
        [1, 4, 1]
    """

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("trainable", None)
        if output_mode == "int" and dtype is None:
            dtype = "int64"
        super().__init__(name=name, dtype=dtype, **kwargs)
        check_sparse("HashedCrossing", sparse)
        self.output_mode = check_mode("HashedCrossing", output_mode, ("int", "one_hot"))
        self.num_bins = positive(num_bins, "num_bins", "HashedCrossing")
        self.sparse = False
        self._output_dtype = self.dtype

    def call(self, inputs: Any) -> Any:
        """Return the bins, encoded."""
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            raise ValueError(
                f"{self._who()}: expected a list of at least two features, got "
                f"{inputs!r}"
            )
        self._refuse_symbolic(*inputs)
        features = [_values(x, self._who()) for x in inputs]
        shape = features[0].shape
        if len(shape) > 2 or (len(shape) == 2 and shape[-1] != 1):
            raise ValueError(
                f"{self._who()}: features must have shape (), (batch,) or (batch, 1), "
                f"got {shape}"
            )
        if any(f.shape != shape for f in features):
            raise ValueError(
                f"{self._who()}: all features must have the same shape, got "
                + ", ".join(str(f.shape) for f in features)
            )
        if any(f.dtype.kind in "fb" for f in features):
            raise ValueError(
                f"{self._who()}: features must be integers or texts, got "
                + ", ".join(str(f.dtype) for f in features)
            )
        hashes = np.full(features[0].size, _CROSS_KEY, "uint64")
        for feature in features:
            flat = feature.reshape(-1)
            words = (
                flat.astype("int64").view("uint64")
                if flat.dtype.kind in "iu"
                else fingerprints(_bytes(flat))
            )
            hashes = combine(hashes, words)
        bins = (hashes % np.uint64(self.num_bins)).astype("int64").reshape(shape)
        return encode(bins, self.output_mode, self.num_bins, self.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the encoded bins."""
        if len(input_shape) < 2 or not isinstance(input_shape[0], list | tuple):
            raise ValueError(
                f"{self._who()}: expected the shapes of at least two features, got "
                f"{input_shape!r}"
            )
        return encoded_shape(input_shape[0], self.output_mode, self.num_bins)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "num_bins": self.num_bins,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "name": self.name,
            "dtype": self.dtype,
        }
