"""Reuters: 11,228 news as word numbers, of 46 topics."""

from __future__ import annotations

import numpy as np

from . import _words
from ._files import Pair, fetch

__all__ = ["get_label_names", "get_word_index", "load_data"]

_NAME = "reuters.npz"
_SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
_INDEX = "reuters_word_index.json"
_INDEX_MD5 = "4d44cc38712099c9e383dc6e5f11a921"
_TOPICS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade "
    "reserves ship cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed "
    "alum oilseed gold tin strategic-metal livestock retail ipi iron-steel rubber heat "
    "jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead"
)


def load_data(
    path: str = _NAME,
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[Pair, Pair]:
    """Load Reuters news as lists of word numbers, with one of 46 topics each.

    The number of a word is its rank by frequency plus `index_from`. Read from
    ``$LAMELLA_DATA/reuters``, else from the cache, else downloaded.

    Args:
        path: name of the file, default ``"reuters.npz"``.
        num_words: numbers from it on become `oov_char`; None: keep all.
        skip_top: numbers below it become `oov_char`.
        maxlen: news of so many words and more are left out; None: none.
        test_split: share of the test part, default 0.2.
        seed: seed of the shuffling, default 113. The same order as in Keras.
        start_char: number that each text begins with; None: no such number.
        oov_char: number for words left out; None: they are dropped.
        index_from: added to each word's number.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: x are arrays of objects, a list of
        int for each text; y are the topics 0..45 (`get_label_names`).

    Raises:
        OSError: if the data are not found and cannot be downloaded, or are damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    file = fetch("reuters", path, [_words.URL + _NAME], _SHA256)
    arrays = _words.read_npz(file, ("x", "y"), "reuters.load_data")
    order = np.arange(len(arrays["x"]))
    np.random.RandomState(seed).shuffle(order)  # its sequence is Keras's
    rows = _words.numbered(arrays["x"][order], start_char, index_from)
    labels = arrays["y"][order]
    if maxlen:
        rows, kept = _words.shorter(rows, labels, maxlen)
        if not rows:
            raise ValueError(
                f"reuters.load_data: no text is shorter than maxlen={maxlen}; use a "
                "larger one"
            )
        labels = np.array(kept, dtype=labels.dtype)
    rows = _words.limited(rows, num_words, skip_top, oov_char)
    cut = int(len(rows) * (1 - test_split))
    return (
        (_words.as_objects(rows[:cut]), np.array(labels[:cut])),
        (_words.as_objects(rows[cut:]), np.array(labels[cut:])),
    )


def get_word_index(path: str = _INDEX) -> dict[str, int]:
    """Return the number of each word, without `index_from`.

    Args:
        path: name of the file, default ``"reuters_word_index.json"``.
    """
    file = fetch("reuters", path, [_words.URL + _INDEX], _INDEX_MD5)
    return _words.read_index(file, "reuters.get_word_index")


def get_label_names() -> tuple[str, ...]:
    """Return the names of the topics 0..45."""
    return tuple(_TOPICS.split())
