"""The part that IntegerLookup, StringLookup and TextVectorization share: a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core, config, ops

from ._common import (
    as_integers,
    check_mode,
    check_salt,
    check_sparse,
    encode,
    encoded_shape,
    is_symbolic,
    tensor,
    to_numpy,
)
from .hashing import buckets
from .vocabulary import Vocabulary

__all__ = ["IndexLookup", "refuse_file_name"]

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_NOWHERE = np.iinfo("int64").max  # index of the mask token in encodings: left out


class IndexLookup(Vocabulary):
    """A vocabulary, found in data or given, and the table made of it.

    Args:
        max_tokens: largest size of the vocabulary, special tokens included; None: any.
        num_oov_indices: number of indices for what is not in the vocabulary; with
            several, a hash (for integers: the remainder) chooses among them; with 0
            it is an error. Default 1.
        mask_token: token that stands for "nothing": index 0 in mode "int", left out in
            the other modes. None: no such token.
        oov_token: what an index outside of the vocabulary becomes with `invert`.
        vocabulary: list or array of tokens, or the path of a text file with one a
            line; None: `adapt` finds it.
        idf_weights: for "tf_idf" with a vocabulary: the weight of each token.
        invert: whether to map indices to tokens instead. Default False.
        output_mode: "int" (default), "one_hot", "multi_hot", "count" or "tf_idf" (the
            count times the inverse document frequency).
        pad_to_max_tokens: whether encodings have length max_tokens always.
        sparse: must be False.
        name: name of the layer.
        salt: integer or pair: choose among several out-of-vocabulary indices by
            SipHash.
        vocabulary_size: size of a vocabulary that will be loaded; files hold it.
        has_input_vocabulary: whether `adapt` is refused; default: with a vocabulary.
        **kwargs: `trainable`, `dtype`: not used.

    Input shape: any. Output shape: the input's; for encodings as in
        `CategoryEncoding`.

    Raises:
        ValueError: for arguments that do not fit together, repeated tokens, and
            tokens outside of the vocabulary when num_oov_indices is 0.
        RuntimeError: for an encoding without a vocabulary.
    """

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary_dtype: str,
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        name: str | None = None,
        salt: Any = None,
        *,
        vocabulary_size: int | None = None,
        has_input_vocabulary: bool | None = None,
        **kwargs: Any,
    ) -> None:
        who = type(self).__name__
        for unused in ("trainable", "dtype"):
            kwargs.pop(unused, None)
        super().__init__(name=name, **kwargs)
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(
                f"{who}: max_tokens must be greater than 1, got max_tokens={max_tokens}"
            )
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"{who}: pad_to_max_tokens needs max_tokens")
        if num_oov_indices < 0:
            raise ValueError(
                f"{who}: num_oov_indices must not be negative, got {num_oov_indices}"
            )
        if oov_method not in ("floormod", "farmhash"):
            raise ValueError(
                f"{who}: oov_method must be 'floormod' or 'farmhash', got "
                f"oov_method={oov_method!r}"
            )
        if (
            salt is not None
            and vocabulary_dtype == "int64"
            and oov_method != "farmhash"
        ):
            raise ValueError(
                f"{who}: salt needs oov_method='farmhash', got {oov_method!r}"
            )
        self.output_mode = check_mode(who, output_mode, _MODES)
        if invert and self.output_mode != "int":
            raise ValueError(
                f"{who}: invert needs output_mode='int', got {output_mode!r}"
            )
        check_sparse(who, sparse)
        if idf_weights is not None and self.output_mode != "tf_idf":
            raise ValueError(
                f"{who}: idf_weights need output_mode='tf_idf', got {output_mode!r}"
            )
        weighted = self.output_mode == "tf_idf"
        if weighted and vocabulary is not None and idf_weights is None:
            raise ValueError(
                f"{who}: a vocabulary with output_mode='tf_idf' needs idf_weights"
            )
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.vocabulary_dtype = vocabulary_dtype
        self.invert = bool(invert)
        self.sparse = False
        self.pad_to_max_tokens = pad_to_max_tokens
        self.oov_method = oov_method
        self.salt = check_salt(who, salt)
        self.input_vocabulary = None if isinstance(vocabulary, str) else vocabulary
        self.input_idf_weights = idf_weights
        if has_input_vocabulary is None:
            has_input_vocabulary = vocabulary is not None
        self._has_input_vocabulary = has_input_vocabulary
        self._frozen_vocab_size = vocabulary_size
        self._output_dtype = "int64" if self.output_mode == "int" else config.floatx()
        self.idf_weights: np.ndarray | None = None
        self._tokens: list[Any] = []
        self._table: dict[Any, int] = {}
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # -- use -----------------------------------------------------------------

    def call(self, inputs: Any) -> Any:
        """Return the indices, encoded; with `invert` the tokens."""
        self.check_vocabulary()
        if is_symbolic(inputs):
            return self._encoded(self._lookup_symbolic(inputs))
        if self.invert:
            return self._tokens_of(as_integers(inputs, self._who()))
        return self._encoded(self.lookup(self._read(inputs)))

    def check_vocabulary(self) -> None:
        """Check that there is a vocabulary.

        Raises:
            RuntimeError: if none was given or found.
        """
        if not self._tokens:
            raise RuntimeError(
                f"{self._who()}: it needs a vocabulary first: give one, or call "
                "adapt(data)"
            )

    def lookup(self, tokens: np.ndarray) -> np.ndarray:
        """Return the index of each token as int64."""
        flat = tokens.reshape(-1).tolist()
        default = self._oov_start_index() if self.num_oov_indices == 1 else -1
        get = self._table.get
        indices = np.array([get(token, default) for token in flat], "int64")
        masked = None
        if self.mask_token is not None:
            masked = np.array([token == self.mask_token for token in flat], bool)
            nothing = 0 if self.output_mode == "int" else _NOWHERE
            indices = np.where(masked, nothing, indices)
        unknown = np.flatnonzero(indices == -1)
        if len(unknown) and self.num_oov_indices == 0:
            shown = sorted({flat[i] for i in unknown})[:20]
            raise ValueError(
                f"{self._who()}: with num_oov_indices=0 every input must be in the "
                f"vocabulary, got {shown}; use num_oov_indices=1"
            )
        if len(unknown):
            found = tokens.reshape(-1)[unknown]
            if found.dtype.kind == "i" and self.oov_method == "floormod":
                places = found % self.num_oov_indices
            else:
                places = buckets(found, self.num_oov_indices, self.salt)
            indices[unknown] = places + self._oov_start_index()
        return indices.reshape(tokens.shape)

    def _tokens_of(self, indices: np.ndarray) -> Any:
        """Return the token of each index."""
        special = self._special_tokens()
        known: list[Any] = special[:1] if self._oov_start_index() else []
        known += [self.oov_token] * self.num_oov_indices + self._tokens
        known.append(self.oov_token)  # for every index outside
        outside = (indices < 0) | (indices >= len(known))
        places = np.where(outside, len(known) - 1, indices)
        table = np.array(known, dtype=self._read(self._tokens).dtype)
        found = table[places]
        if found.dtype == object:
            from lamella.utils.dataset import HostArray

            return np.asarray(found, dtype=object).view(HostArray)
        return tensor(found)

    def _lookup_symbolic(self, inputs: Any) -> Any:
        self._refuse_symbolic(inputs)
        return inputs

    def _encoded(self, indices: Any) -> Any:
        if self.output_mode == "int":
            return encode(indices, "int", 0, "int64")
        depth: Any = self._frozen_vocab_size
        if self.pad_to_max_tokens:
            depth = self.max_tokens
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        counts = encode(indices, mode, depth, "int64")
        if self.output_mode != "tf_idf":
            symbolic = is_symbolic(indices)
            return ops.cast(counts, config.floatx()) if symbolic else counts
        if self.idf_weights is None:
            raise RuntimeError(
                f"{self._who()}: output_mode='tf_idf' needs idf_weights: give them "
                "with a vocabulary, or call adapt(data)"
            )
        weights = _core.from_numpy(self.idf_weights)
        return _core.mul(ops.cast(counts, str(self.idf_weights.dtype)), weights)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the encoded indices."""
        if self.output_mode == "int":
            return input_shape
        depth = self.max_tokens if self.pad_to_max_tokens else self._frozen_vocab_size
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        return encoded_shape(input_shape, mode, depth)

    @property
    def dtype(self) -> str:
        """Type of the tokens: "string" or "int64"."""
        return self.vocabulary_dtype

    compute_dtype = variable_dtype = dtype

    # -- configuration -------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "invert": self.invert,
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token,
            "mask_token": self.mask_token,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "vocabulary_dtype": self.vocabulary_dtype,
            "idf_weights": _listed(self.input_idf_weights),
            "vocabulary": _listed(self.input_vocabulary),
            "vocabulary_size": self._frozen_vocab_size,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a layer as `get_config` described it.

        Raises:
            ValueError: if the vocabulary is the name of a file.
        """
        refuse_file_name(cls.__name__, config)
        return cls(**config)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return an empty dict: there is nothing to build."""
        return {}


def refuse_file_name(who: str, config: dict[str, Any]) -> None:
    """Refuse a config that names a vocabulary file.

    Raises:
        ValueError: a model's file must not make the program read other files.
    """
    if isinstance(config.get("vocabulary"), str):
        raise ValueError(
            f"{who}: the config names a vocabulary file, {config['vocabulary']!r}, "
            "which is not read; put the tokens into the config, or call "
            "set_vocabulary(path)"
        )


def _listed(value: Any) -> Any:
    if value is None or isinstance(value, list | tuple):
        return value
    return to_numpy(value).tolist()
