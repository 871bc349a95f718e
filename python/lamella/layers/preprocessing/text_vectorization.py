"""TextVectorization: texts to indices of words, or to counts of them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import config

from ._common import HostLayer, as_texts, batches_of, check_mode, check_sparse
from .index_lookup import refuse_file_name
from .lookup import StringLookup, check_encoding

__all__ = ["TextVectorization"]

_LOWER: dict[int, int | None] = {
    ord(a): ord(b)
    for a, b in zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)
}  # other letters stay, as in Keras
_STRIP: dict[int, int | None] = dict.fromkeys(map(ord, string.punctuation))
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
_TABLES: dict[str, dict[int, int | None]] = {
    "lower": _LOWER,
    "strip_punctuation": _STRIP,
    "lower_and_strip_punctuation": {**_LOWER, **_STRIP},
}


class TextVectorization(HostLayer):
    """Texts to rows of word indices, or to one vector of word counts each.

    A text is standardized, split into words, and made into n-grams; each of these is
    looked up in the vocabulary that `adapt` found. In mode "int" 0 is padding and 1 an
    unknown word. Works on lists and arrays of texts in Python, before the model:
    `dataset.map(lambda x, y: (layer(x), y))`.

    Args:
        max_tokens: largest size of the vocabulary; None: any.
        standardize: "lower_and_strip_punctuation" (default), "lower",
            "strip_punctuation", None, or a function of an array of texts. Lower case
            concerns A-Z only, as in Keras.
        split: "whitespace" (default), "character", None (a text is one token), or a
            function from an array of texts to a list of lists of tokens.
        ngrams: n for all of 1 .. n words, or a tuple of lengths; None: words.
        output_mode: "int" (default), "multi_hot", "count" or "tf_idf".
        output_sequence_length: length of the rows in mode "int"; None: the longest.
        pad_to_max_tokens: whether vectors have length max_tokens always.
        vocabulary: list of tokens, or the path of a text file with one a line.
        idf_weights: for "tf_idf" with a vocabulary: the weight of each token.
        sparse: must be False.
        ragged: must be False.
        encoding: must be "utf-8".
        name: name of the layer.
        vocabulary_size: size of a vocabulary that will be loaded; files hold it.
        has_input_vocabulary: whether `adapt` is refused; default: with a vocabulary.
        **kwargs: `dtype`, `trainable`: not used.

    Input shape: (batch,) or (batch, 1) of texts.
    Output shape: (batch, length), int64; for the other modes (batch, vocabulary).

    Raises:
        ValueError: for arguments that do not fit together.

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.TextVectorization(output_sequence_length=4)
        >>> layer.adapt(["foo bar", "bar baz", "baz bada boom"])
        >>> layer(["Foo, bar!", "unknown bar"]).numpy().tolist()
        [[4, 3, 0, 0], [1, 3, 0, 0]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        *,
        vocabulary_size: int | None = None,
        has_input_vocabulary: bool | None = None,
        **kwargs: Any,
    ) -> None:
        who = "TextVectorization"
        super().__init__(name=name, **kwargs)
        check_sparse(who, sparse)
        if ragged:
            raise ValueError(
                f"{who}: lamella has dense tensors only, got ragged={ragged}"
            )
        _check_choice("standardize", standardize, tuple(_TABLES))
        _check_choice("split", split, ("whitespace", "character"))
        output_mode = check_mode(
            who, output_mode, ("int", "one_hot", "multi_hot", "count", "tf_idf")
        )
        if not (
            ngrams is None
            or isinstance(ngrams, int)
            or (isinstance(ngrams, tuple) and all(isinstance(n, int) for n in ngrams))
        ):
            raise ValueError(
                f"{who}: ngrams must be None, an integer or a tuple of integers, got "
                f"ngrams={ngrams!r}"
            )
        length = output_sequence_length
        if output_mode == "int" and not (length is None or isinstance(length, int)):
            raise ValueError(
                f"{who}: output_sequence_length must be None or an integer, got "
                f"output_sequence_length={length!r}"
            )
        if output_mode != "int" and length is not None:
            raise ValueError(
                f"{who}: output_sequence_length is for output_mode='int' only, got "
                f"output_sequence_length={length!r}"
            )
        check_encoding(who, encoding)
        self._standardize = standardize
        self._split = split
        self._ngrams_arg = ngrams
        self._ngrams = (
            tuple(range(1, ngrams + 1)) if isinstance(ngrams, int) else ngrams
        )
        self._output_mode = output_mode
        self._output_sequence_length = length
        self._encoding = encoding
        self._output_dtype = "int64" if output_mode == "int" else config.floatx()
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            pad_to_max_tokens=pad_to_max_tokens,
            mask_token="",
            output_mode=output_mode,
            has_input_vocabulary=has_input_vocabulary,
            encoding=encoding,
            vocabulary_size=vocabulary_size,
        )

    # -- the vocabulary ------------------------------------------------------

    def adapt(
        self, data: Any, batch_size: int | None = None, steps: int | None = None
    ) -> None:
        """Take the vocabulary from texts: the most frequent words first.

        Args:
            data: list or array of texts, or a dataset or generator of batches.
            batch_size: not used.
            steps: number of batches to take; None: all.

        Raises:
            ValueError: if the layer was made with a vocabulary.
        """
        del batch_size
        self.reset_state()
        for batch, whole in batches_of(data, steps):
            texts = as_texts(batch, self._who())
            self.update_state(texts[:, None] if whole and texts.ndim == 1 else texts)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Count the words of a batch of texts."""
        self._lookup_layer._count(self._preprocess(data)[0])

    def finalize_state(self) -> None:
        """Make the vocabulary from the counts."""
        self._lookup_layer.finalize_state()

    def reset_state(self) -> None:
        """Forget the counts."""
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """Return the words in the order of their indices."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """Return the number of words, the special ones included."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the words (see `StringLookup.set_vocabulary`)."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights=idf_weights)

    # -- use -----------------------------------------------------------------

    def _preprocess(self, inputs: Any) -> tuple[list[list[str]], tuple[int, ...]]:
        """Return a list of tokens for each text, and the shape of the texts."""
        texts = as_texts(inputs, self._who())
        if callable(self._standardize):
            texts = as_texts(
                self._standardize(texts.astype(str) if texts.size else texts),
                f"{self._who()}: standardize",
            )
        elif self._standardize is not None:
            table = _TABLES[self._standardize]
            texts = _each(texts, lambda text: text.translate(table))
        if self._split is None:  # the last axis holds the tokens
            texts = np.atleast_1d(texts)
            shape = texts.shape[:-1]
            rows = texts.reshape(-1, texts.shape[-1]).tolist()
        else:
            if texts.ndim > 1:
                if texts.shape[-1] != 1:
                    raise ValueError(
                        f"{self._who()}: expected texts of shape (batch,) or "
                        f"(batch, 1), got {texts.shape}"
                    )
                texts = texts[..., 0]
            shape = texts.shape
            rows = self._rows(texts)
        if self._ngrams is not None:
            rows = [_ngrams(row, self._ngrams) for row in rows]
        return rows, shape

    def _rows(self, texts: np.ndarray) -> list[list[str]]:
        flat = texts.reshape(-1).tolist()
        if self._split == "whitespace":
            return [_WORD.findall(text) for text in flat]
        if self._split == "character":
            return [list(text) for text in flat]
        rows = self._split(np.array(flat, dtype=str))
        rows = [as_texts(row, f"{self._who()}: split").reshape(-1) for row in rows]
        if len(rows) != len(flat):
            raise ValueError(
                f"{self._who()}: split must return one list of tokens for each of the "
                f"{len(flat)} texts, got {len(rows)}"
            )
        return [row.tolist() for row in rows]

    def call(self, inputs: Any) -> Any:
        """Return the indices of the words, or a vector for each text."""
        self._refuse_symbolic(inputs)
        self._lookup_layer.check_vocabulary()
        rows, shape = self._preprocess(inputs)
        if self._output_mode == "one_hot" and self._split is not None:
            raise ValueError(
                f"{self._who()}: output_mode='one_hot' needs texts that are one token "
                "each: split=None"
            )
        counts = np.array([len(row) for row in rows], dtype=int)
        width = int(counts.max(initial=0))
        # 0 is the padding of indices; -1 is left out by the other encodings
        fill = 0 if self._output_mode == "int" else -1
        indices = np.full((len(rows), width), fill, "int64")
        flat = np.array([token for row in rows for token in row], dtype=object)
        indices[np.arange(width) < counts[:, None]] = self._lookup_layer.lookup(flat)
        wanted = self._output_sequence_length
        if wanted is not None:
            missing = max(wanted - width, 0)
            indices = np.pad(indices[:, :wanted], ((0, 0), (0, missing)))
        indices = indices.reshape(*shape, indices.shape[1])
        return self._lookup_layer._encoded(indices)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (batch, length), or the shape of the vectors."""
        if self._output_mode == "int":
            return (input_shape[0], self._output_sequence_length)
        if self._split is not None:
            input_shape = (*input_shape, None)
        elif len(input_shape) <= 1:
            input_shape = (*input_shape, 1)
        return self._lookup_layer.compute_output_shape(input_shape)

    @property
    def dtype(self) -> str:
        """Type of the input: "string"."""
        return "string"

    compute_dtype = variable_dtype = dtype

    # -- configuration and files ---------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        table = self._lookup_layer.get_config()
        return {
            **super().get_config(),
            "max_tokens": self._lookup_layer.max_tokens,
            "standardize": self._standardize,
            "split": self._split,
            "ngrams": self._ngrams_arg,
            "output_mode": self._output_mode,
            "output_sequence_length": self._output_sequence_length,
            "pad_to_max_tokens": self._lookup_layer.pad_to_max_tokens,
            "sparse": False,
            "ragged": False,
            "vocabulary": table["vocabulary"],
            "idf_weights": table["idf_weights"],
            "encoding": self._encoding,
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a layer as `get_config` described it."""
        from lamella.saving import deserialize_keras_object

        refuse_file_name(cls.__name__, config)
        config = dict(config)
        for key in ("standardize", "split"):
            if isinstance(config.get(key), dict):
                config[key] = deserialize_keras_object(config[key])
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return cls(**config)

    _reads_own_state = True

    def save_own_variables(self, store: Any) -> None:
        """Write the weights of "tf_idf"."""
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """Read the weights of "tf_idf"."""
        self._lookup_layer.load_own_variables(store)

    def save_assets(self, dir_path: str) -> None:
        """Write the words to `vocabulary.txt`."""
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path: str) -> None:
        """Read `vocabulary.txt`."""
        self._lookup_layer.load_assets(dir_path)


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value is not None and not callable(value) and value not in allowed:
        raise ValueError(
            f"TextVectorization: {name} must be one of {', '.join(map(repr, allowed))},"
            f" None or a function, got {name}={value!r}"
        )


def _each(texts: np.ndarray, function: Callable[[str], str]) -> np.ndarray:
    result = np.empty(texts.size, dtype=object)
    result[:] = [function(text) for text in texts.reshape(-1)]
    return result.reshape(texts.shape)


def _ngrams(row: list[str], widths: tuple[int, ...]) -> list[str]:
    """Return the n-grams of a row, one width after the other."""
    return [" ".join(row[i : i + n]) for n in widths for i in range(len(row) - n + 1)]
