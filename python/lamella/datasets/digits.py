"""The 1,797 handwritten digits of 8x8 pixels that come with lamella."""

from __future__ import annotations

import gzip
from importlib import resources

import numpy as np

from ._files import Pair, split

__all__ = ["load_data"]


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[Pair, Pair]:
    """Load the small handwritten digits; no network needed.

    The test part of UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and
    Kaynak, 1998), taken from scikit-learn's `load_digits` (BSD-3). The rows are
    shuffled, for in the file those of one writer follow each other.

    Args:
        test_split: Share of the rows that go into the test part, default 0.2.
        seed: Seed of the shuffling, default 113.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images (1437, 8, 8) and
        (360, 8, 8) with values 0..16, labels (1437,) and (360,).

    Raises:
        ValueError: If `test_split` is not in [0, 1).

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, y_test.shape
        ((1437, 8, 8), (360,))
    """
    file = resources.files(__package__) / "data" / "digits.csv.gz"
    text = gzip.decompress(file.read_bytes())
    table = np.array([row.split(b",") for row in text.split()]).astype(np.uint8)
    images = table[:, :64].reshape(-1, 8, 8)
    return split(images, table[:, 64], test_split, seed, "digits")
