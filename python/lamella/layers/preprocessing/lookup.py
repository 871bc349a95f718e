"""IntegerLookup and StringLookup: categories to indices of a vocabulary, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core, ops

from ._common import as_integers, as_texts
from .index_lookup import IndexLookup

__all__ = ["IntegerLookup", "StringLookup", "check_encoding"]


class StringLookup(IndexLookup):
    """Texts to indices of a vocabulary, and back with `invert`.

    Index 0 is the mask token (if there is one, in mode "int"), then come the
    out-of-vocabulary indices, then the vocabulary. Works on lists and arrays of texts
    in Python; a compiled model cannot hold it: see `HostLayer`.

    Args:
        max_tokens: largest size of the vocabulary, special tokens included; None: any.
        num_oov_indices: number of indices for texts that are not in the vocabulary.
        mask_token: text that stands for "nothing". Default None.
        oov_token: what an unknown index becomes with `invert`. Default "[UNK]".
        vocabulary: list or array of texts, or the path of a text file with one a line;
            None: `adapt` finds it.
        idf_weights: for "tf_idf" with a vocabulary: the weight of each text.
        invert: whether to map indices to texts instead. Default False.
        output_mode: "int" (default), "one_hot", "multi_hot", "count" or "tf_idf".
        pad_to_max_tokens: whether encodings have length max_tokens always.
        sparse: must be False.
        encoding: must be "utf-8".
        name: name of the layer.
        salt: integer or pair of integers: key of the hash that chooses among several
            out-of-vocabulary indices.
        **kwargs: `trainable`, `dtype`: not used.

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.StringLookup()
        >>> layer.adapt(["dog", "cat", "cat"])
        >>> layer.get_vocabulary()
        ['[UNK]', 'cat', 'dog']
        >>> layer(["cat", "bird"]).numpy().tolist()
        [1, 0]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ) -> None:
        check_encoding("StringLookup", encoding)
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            "string",
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            sparse=sparse,
            pad_to_max_tokens=pad_to_max_tokens,
            name=name,
            salt=salt,
            **kwargs,
        )
        self.encoding = encoding

    def _read(self, values: Any) -> np.ndarray:
        return as_texts(values, self._who())

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = {**super().get_config(), "encoding": self.encoding}
        del config["vocabulary_dtype"]
        return config


class IntegerLookup(IndexLookup):
    """Integers to indices of a vocabulary, and back with `invert`.

    Index 0 is the mask token (if there is one, in mode "int"), then come the
    out-of-vocabulary indices, then the vocabulary. It may stand in a compiled model.

    Args:
        max_tokens: largest size of the vocabulary, special tokens included; None: any.
        num_oov_indices: number of indices for integers outside of the vocabulary.
        mask_token: integer that stands for "nothing". Default None.
        oov_token: what an unknown index becomes with `invert`. Default -1.
        vocabulary: list or array of integers, or the path of a text file with one a
            line; None: `adapt` finds it.
        vocabulary_dtype: must be "int64".
        idf_weights: for "tf_idf" with a vocabulary: the weight of each integer.
        invert: whether to map indices to integers instead. Default False.
        output_mode: "int" (default), "one_hot", "multi_hot", "count" or "tf_idf".
        sparse: must be False.
        pad_to_max_tokens: whether encodings have length max_tokens always.
        oov_method: how one of several out-of-vocabulary indices is chosen: "floormod"
            (default) or "farmhash".
        salt: integer or pair of integers: key of the hash, with "farmhash".
        name: name of the layer.
        **kwargs: `trainable`, `dtype`: not used.

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.IntegerLookup(vocabulary=[12, 1138, 42])
        >>> layer([[12, 7], [42, 1138]]).numpy().tolist()
        [[1, 0], [3, 2]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int | None = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if vocabulary_dtype != "int64":
            raise ValueError(
                "IntegerLookup: vocabulary_dtype must be 'int64', got "
                f"vocabulary_dtype={vocabulary_dtype!r}"
            )
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            vocabulary_dtype,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            sparse=sparse,
            pad_to_max_tokens=pad_to_max_tokens,
            oov_method=oov_method,
            salt=salt,
            name=name,
            **kwargs,
        )

    def _read(self, values: Any) -> np.ndarray:
        return as_integers(values, self._who())

    def _lookup_symbolic(self, inputs: Any) -> Any:
        """Return the indices (or integers) by comparing with the whole vocabulary."""
        x = ops.cast(inputs, "int64")
        start = self._token_start_index()
        keys = np.array(self._tokens, "int64")
        places = np.arange(start, start + len(keys), dtype="int64")
        default: Any = self._oov_start_index()
        if self.invert:
            keys, places = places, keys
            default = self.oov_token
        elif self.num_oov_indices == 0:
            raise ValueError(
                f"{self._who()}: num_oov_indices=0 needs a check of the values, which "
                "a compiled model cannot do; use num_oov_indices=1"
            )
        elif self.num_oov_indices > 1:
            if self.oov_method != "floormod":
                self._refuse_symbolic(inputs)
            default = ops.mod(x, np.int64(self.num_oov_indices)) + default
        hits = _core.equal(_core.expand_dims(x, -1), _core.from_numpy(keys))
        found = _core.mul(ops.cast(hits, "int64"), _core.from_numpy(places))
        result = _core.where(
            _core.any(hits, -1, False), _core.sum(found, -1, False), default
        )
        if self.mask_token is not None:
            masked = 0 if self.invert else self.mask_token
            nothing = self.mask_token if self.invert else 0
            if self.output_mode != "int":
                nothing = -1  # left out by the encoding
            result = _core.where(_core.equal(x, masked), nothing, result)
        return result


def check_encoding(who: str, encoding: str) -> None:
    """Refuse other encodings of bytes than UTF-8.

    Raises:
        ValueError: for another one.
    """
    if encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
        raise ValueError(
            f"{who}: encoding must be 'utf-8', got encoding={encoding!r}; decode the "
            "bytes before"
        )
