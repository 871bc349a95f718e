"""A vocabulary: found in data, set, written to and read from files."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np

from lamella import config

from ._common import HostLayer, batches_of, to_numpy

__all__ = ["Vocabulary"]


class Vocabulary(HostLayer):
    """The part of a lookup that has the tokens, and the table from token to index."""

    mask_token: Any
    oov_token: Any
    max_tokens: int | None
    num_oov_indices: int
    output_mode: str
    pad_to_max_tokens: bool
    invert: bool
    vocabulary_dtype: str
    input_vocabulary: Any
    idf_weights: np.ndarray | None
    _has_input_vocabulary: bool
    _frozen_vocab_size: int | None
    _tokens: list[Any]
    _table: dict[Any, int]

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

    # -- files ---------------------------------------------------------------

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
