"""The part that IntegerLookup, StringLookup and TextVectorization share: a table."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np

from lamella import _core, config, ops

from ._common import (
    HostLayer,
    as_integers,
    batches_of,
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

__all__ = ["IndexLookup", "refuse_file_name"]

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_NOWHERE = np.iinfo("int64").max  # index of the mask token in encodings: left out


class IndexLookup(HostLayer):
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

    # What the two kinds differ in.

    def _read(self, values: Any) -> np.ndarray:
        """Return tokens as an array."""
        raise NotImplementedError

    # -- places of the tokens -----------------------------------------------

    def _oov_start_index(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    def _token_start_index(self) -> int:
        return self._oov_start_index() + self.num_oov_indices

    def vocabulary_size(self) -> int:
        """Return the number of tokens, mask and out-of-vocabulary ones included."""
        return len(self._tokens) + self._token_start_index()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """Return the tokens in the order of their indices.

        Args:
            include_special_tokens: whether the list begins with the mask token and
                the out-of-vocabulary tokens. Default True.
        """
        if not include_special_tokens:
            return list(self._tokens)
        return self._special_tokens() + self._tokens

    def _special_tokens(self) -> list[Any]:
        mask = [self.mask_token] * self._oov_start_index()
        return mask + [self.oov_token] * self.num_oov_indices

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the tokens.

        Args:
            vocabulary: list or array of tokens, with or without the special ones at
                its start, or the path of a text file with one token a line.
            idf_weights: weights of the tokens, for "tf_idf".
        """
        who = self._who()
        if (idf_weights is not None) != (self.output_mode == "tf_idf"):
            raise ValueError(
                f"{who}: idf_weights belong to output_mode='tf_idf', got "
                f"idf_weights={idf_weights!r} with output_mode={self.output_mode!r}"
            )
        if isinstance(vocabulary, str):
            if self.output_mode == "tf_idf":
                raise ValueError(
                    f"{who}: output_mode='tf_idf' takes no vocabulary from a file"
                )
            self._set_tokens(_lines(vocabulary, self, who))
            return
        tokens = self._read(vocabulary).tolist()
        if not tokens:
            raise ValueError(f"{who}: the vocabulary is empty")
        whole = len(tokens)
        start = self._token_start_index()
        special = self._special_tokens()
        has_special = tokens[:start] == special
        if has_special:
            tokens = tokens[start:]
        for token, used in (
            (self.mask_token, True),
            (self.oov_token, self.invert),
        ):
            if used and token is not None and token in tokens:
                raise ValueError(
                    f"{who}: the special token {token!r} is in the vocabulary at index "
                    f"{tokens.index(token) + whole - len(tokens)}; leave out all "
                    f"special tokens, or begin with exactly {special}"
                )
        size = start + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"{who}: the vocabulary has {size} tokens, max_tokens is "
                f"{self.max_tokens}"
            )
        self._set_tokens(tokens)
        if idf_weights is not None:
            self._set_idf_weights(to_numpy(idf_weights), whole, has_special)

    def _set_idf_weights(
        self, weights: np.ndarray, expected: int, has_special: bool
    ) -> None:
        if weights.ndim != 1 or len(weights) != expected:
            raise ValueError(
                f"{self._who()}: idf_weights must have one weight for each of the "
                f"{expected} tokens, got shape {weights.shape}"
            )
        front = 0 if has_special else self._token_start_index()
        back = 0
        if self.pad_to_max_tokens and self.max_tokens is not None:
            back = self.max_tokens - front - len(weights)
        ends = (np.average(weights), 0)  # an integer, too, for weights of integers
        padded = np.pad(weights, (front, back), constant_values=ends)
        self.idf_weights = padded.astype(config.floatx())

    def _set_tokens(self, tokens: list[Any]) -> None:
        """Make the table; encodings must not change their length."""
        if len(set(tokens)) != len(tokens):
            counts = collections.Counter(tokens)
            twice = [token for token, n in counts.items() if n > 1]
            raise ValueError(
                f"{self._who()}: the vocabulary has repeated tokens: {twice[:20]}"
            )
        size = len(tokens) + self._token_start_index()
        fixed = self.output_mode != "int" and not self.pad_to_max_tokens
        if fixed and self._frozen_vocab_size not in (None, size):
            raise RuntimeError(
                f"{self._who()}: with output_mode={self.output_mode!r} the size of the "
                f"vocabulary cannot change from {self._frozen_vocab_size} to {size}; "
                "make a new layer, or use pad_to_max_tokens"
            )
        self._tokens = tokens
        start = self._token_start_index()
        self._table = {token: start + i for i, token in enumerate(tokens)}
        self._frozen_vocab_size = size

    # -- a vocabulary from data ----------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Take the vocabulary from data: the most frequent tokens first.

        Tokens that are equally frequent come in descending order, as in Keras.

        Args:
            data: list, array or tensor, or a dataset or generator of batches.
            steps: number of batches to take; None: all.

        Raises:
            ValueError: if the layer was made with a vocabulary.
        """
        self.reset_state()
        for batch, whole in batches_of(data, steps):
            tokens = self._read(batch)
            self.update_state(tokens[:, None] if whole and tokens.ndim == 1 else tokens)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Count the tokens of a batch (a vector is one document)."""
        tokens = self._read(data)
        if tokens.ndim < 2:
            tokens = tokens.reshape(1, -1)
        self._count(tokens.reshape(len(tokens), -1).tolist())

    def _count(self, documents: list[list[Any]]) -> None:
        if self._has_input_vocabulary:
            raise ValueError(
                f"{self._who()}: adapt cannot be used when a vocabulary is given"
            )
        self._num_documents += len(documents)
        for tokens in documents:
            self._counts.update(tokens)
            if self.output_mode == "tf_idf":
                self._document_counts.update(set(tokens))

    def finalize_state(self) -> None:
        """Make the vocabulary from the counts."""
        if self._has_input_vocabulary or not self._counts:
            self._set_tokens(self._tokens)
            return
        for special in (self.mask_token, self.oov_token):
            self._counts.pop(special, None)
        ranked = sorted(self._counts, key=lambda t: (self._counts[t], t), reverse=True)
        start = self._token_start_index()
        if self.max_tokens:
            ranked = ranked[: self.max_tokens - start]
        self._set_tokens(ranked)
        if self.output_mode == "tf_idf":
            documents = np.array([self._document_counts[t] for t in ranked])
            idf = np.log(1 + self._num_documents / (1 + documents))
            weights = idf.astype(config.floatx())
            front = np.full(start, weights.mean(), config.floatx())
            weights = np.concatenate((front, weights))
            if self.pad_to_max_tokens and self.max_tokens is not None:
                weights = np.pad(weights, (0, self.max_tokens - len(weights)))
            self.idf_weights = weights
        self.reset_state()

    def reset_state(self) -> None:
        """Forget the counts."""
        self._counts: collections.Counter[Any] = collections.Counter()
        self._document_counts: collections.Counter[Any] = collections.Counter()
        self._num_documents = 0

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

    # -- configuration and files ---------------------------------------------

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

    # `load_own_variables` takes arrays that this layer does not have yet.
    _reads_own_state = True

    def save_own_variables(self, store: Any) -> None:
        """Write the weights of "tf_idf"."""
        if self.output_mode == "tf_idf" and self.idf_weights is not None:
            store["idf_weights"] = self.idf_weights

    def load_own_variables(self, store: Any) -> None:
        """Read the weights of "tf_idf"."""
        if self.output_mode == "tf_idf":
            self.idf_weights = np.asarray(store["idf_weights"])

    def save_assets(self, dir_path: str) -> None:
        """Write the vocabulary, one token a line, to `vocabulary.txt`."""
        if self.input_vocabulary is None:
            lines = "\n".join(str(token) for token in self.get_vocabulary())
            Path(dir_path, "vocabulary.txt").write_bytes(
                lines.encode("utf-8", "surrogateescape")
            )

    def load_assets(self, dir_path: str) -> None:
        """Read `vocabulary.txt`."""
        if self.input_vocabulary is not None:
            return
        lines = _read_lines(Path(dir_path, "vocabulary.txt"))
        while lines and lines[-1] == "":
            lines.pop()
        start = self._token_start_index()
        if lines[:start] == [str(token) for token in self._special_tokens()]:
            lines = lines[start:]
        if self.vocabulary_dtype == "int64":
            self._set_tokens([int(line) for line in lines])
        else:
            self._set_tokens(list(lines))


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


def _read_lines(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n").split("\n")


def _lines(name: str, layer: Any, who: str) -> list[Any]:
    """Return the tokens of a vocabulary file."""
    path = Path(name).expanduser()
    if not path.is_file():
        raise ValueError(f"{who}: the vocabulary file {name!r} does not exist")
    lines = _read_lines(path)
    if lines[-1] == "":
        lines.pop()
    if layer.vocabulary_dtype == "string":
        return lines
    try:
        return [int(line) for line in lines]
    except ValueError:
        raise ValueError(
            f"{who}: the vocabulary file {name!r} has a line that is no integer"
        ) from None
