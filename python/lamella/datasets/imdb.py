"""IMDB: 50,000 film reviews as word numbers, good or bad."""

from __future__ import annotations

import numpy as np

from . import _words
from ._files import Pair, fetch

__all__ = ["get_word_index", "load_data"]

_NAME = "imdb.npz"
_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
_INDEX = "imdb_word_index.json"
_INDEX_MD5 = "bfafd718b763782e994055a2d397834f"


def load_data(
    path: str = _NAME,
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[Pair, Pair]:
    """Load film reviews (Maas et al., 2011) as lists of word numbers.

    The number of a word is its rank by frequency plus `index_from`. Read from
    ``$LAMELLA_DATA/imdb``, else from the cache, else downloaded.

    Args:
        path: name of the file, default ``"imdb.npz"``.
        num_words: numbers from it on become `oov_char`; None: keep all.
        skip_top: numbers below it become `oov_char`.
        maxlen: reviews of so many words and more are left out; None: none.
        seed: seed of the shuffling, default 113. The same order as in Keras.
        start_char: number that each review begins with; None: no such number.
        oov_char: number for words left out; None: they are dropped.
        index_from: added to each word's number.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: x are arrays of objects, a list of
        int for each review; y are 0 (bad) and 1 (good). 25,000 each without `maxlen`.

    Raises:
        ValueError: if no review is shorter than `maxlen`.
        OSError: if the data are not found and cannot be downloaded, or are damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    file = fetch("imdb", path, [_words.URL + _NAME], _SHA256)
    names = ("x_train", "y_train", "x_test", "y_test")
    arrays = _words.read_npz(file, names, "imdb.load_data")
    rng = np.random.RandomState(seed)  # its sequence is Keras's
    parts = []
    for part in ("train", "test"):
        x, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        order = np.arange(len(x))
        rng.shuffle(order)
        rows = _words.numbered(x[order], start_char, index_from)
        labels = labels[order]
        if maxlen:
            rows, kept = _words.shorter(rows, labels, maxlen)
            labels = np.array(kept, dtype=labels.dtype)
            if not rows:
                raise ValueError(
                    f"imdb.load_data: no review of the {part} part is shorter than "
                    f"maxlen={maxlen}; use a larger one"
                )
        parts.append((rows, labels))
    (train, y_train), (test, y_test) = parts
    rows = _words.limited(train + test, num_words, skip_top, oov_char)
    return (
        (_words.as_objects(rows[: len(train)]), y_train),
        (_words.as_objects(rows[len(train) :]), y_test),
    )


def get_word_index(path: str = _INDEX) -> dict[str, int]:
    """Return the number of each word, without `index_from`.

    Args:
        path: name of the file, default ``"imdb_word_index.json"``.
    """
    file = fetch("imdb", path, [_words.URL + _INDEX], _INDEX_MD5)
    return _words.read_index(file, "imdb.get_word_index")
