"""California housing: 20,640 districts of the census of 1990."""

from __future__ import annotations

import zipfile

import numpy as np

from ._files import DatasetError, Pair, fetch, split

__all__ = ["load_data"]

_NAME = "california_housing.npz"
_URL = f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{_NAME}"
_SHA256 = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(
    version: str = "large",
    path: str = _NAME,
    test_split: float = 0.2,
    seed: int = 113,
) -> tuple[Pair, Pair]:
    """Load the California housing data (Pace and Barry, 1997).

    Read from ``$LAMELLA_DATA/california_housing``, else from the cache, else
    downloaded.

    Args:
        version: "large" (default, 20,640 rows) or "small" (the first 600).
        path: name of the file, default ``"california_housing.npz"``.
        test_split: share of the rows that go into the test part, default 0.2.
        seed: seed of the shuffling, default 113. The same rows as in Keras.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: 8 numbers of each district
        (longitude, latitude, median age of the houses, rooms, bedrooms, people,
        households, median income in 10,000 dollars) and the median price of a house
        in dollars.

    Raises:
        ValueError: if `version` is unknown, or `test_split` is not in [0, 1).
        OSError: if the data are not found and cannot be downloaded, or are damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    if version not in ("large", "small"):
        raise ValueError(
            "california_housing.load_data: version must be 'large' or 'small', got "
            f"version={version!r}"
        )
    file = fetch("california_housing", path, [_URL], _SHA256)
    try:
        # numpy itself would leave a damaged file open
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"california_housing.load_data: cannot read {file}: {error}"
        ) from error
    if version == "small":
        x, y = x[:600], y[:600]
    return split(x, y, test_split, seed, "california_housing")
