"""Boston housing: 506 house prices of 1970. Disputed; see `load_data`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import DatasetError, Pair, find_local, missing, split

__all__ = ["feature_names", "load_data"]

feature_names = (
    "CRIM",
    "ZN",
    "INDUS",
    "CHAS",
    "NOX",
    "RM",
    "AGE",
    "DIS",
    "RAD",
    "TAX",
    "PTRATIO",
    "B",
    "LSTAT",
)

_CSV = "boston_housing.csv"
_NPZ = "boston_housing.npz"
_NPZ_URL = f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{_NPZ}"
_NPZ_SHA256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"
_SKLEARN = "boston_house_prices.csv"
_SKLEARN_URL = (
    "https://raw.githubusercontent.com/scikit-learn/scikit-learn/1.1.3/"
    f"sklearn/datasets/data/{_SKLEARN}"
)
_SKLEARN_SHA256 = "d98212636026544fc9b9c0f372e5f819872e6fa6fa757ab025efdda22180f2d6"


def load_data(
    path: str = _NPZ, test_split: float = 0.2, seed: int = 113
) -> tuple[Pair, Pair]:
    """Load the Boston housing data (Harrison and Rubinfeld, 1978).

    **Warning: this data set is disputed.** Its column ``B`` is a function of the
    share of Black residents of a town, built on the assumption that segregation by
    race has a good influence on house prices. scikit-learn removed the data set for
    this reason. Use it to repeat old results or to talk about ethics in data
    science, not as an example of how to predict prices;
    ``sklearn.datasets.fetch_california_housing`` is a better one.

    Read from ``$LAMELLA_DATA/boston_housing`` (``boston_housing.csv`` or
    ``.npz``), else from the cache, else downloaded.

    Args:
        path: Name of Keras's file in the cache, default ``"boston_housing.npz"``.
        test_split: Share of the rows that go into the test part, default 0.2.
        seed: Seed of the shuffling, default 113. The same rows as in Keras.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``, all float64: 13 attributes
        (`feature_names`), (404, 13) and (102, 13), and the median price of a home
        in 1000 dollars, (404,) and (102,).

    Raises:
        ValueError: If `test_split` is not in [0, 1).
        OSError: If the data are not found and cannot be downloaded, or are damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    if not 0 <= test_split < 1:
        raise ValueError(
            "boston_housing.load_data: test_split must lie in [0, 1), "
            f"got test_split={test_split}"
        )
    file = find_local("boston_housing", [_CSV, _NPZ, _SKLEARN])
    if file is None:
        file = _download(path)
    x, y = _read(file)
    return split(x, y, test_split, seed, "boston_housing")


def _download(name: str) -> Path:
    from ..utils import file_utils

    sources = ((name, _NPZ_URL, _NPZ_SHA256), (_SKLEARN, _SKLEARN_URL, _SKLEARN_SHA256))
    failures: list[str] = []
    for file, url, sha256 in sources:
        try:
            return Path(
                file_utils.get_file(
                    file,
                    url,
                    file_hash=sha256,
                    cache_subdir="datasets/boston_housing",
                )
            )
        except (OSError, ValueError) as error:
            failures.append(str(error))
    raise missing("boston_housing", [_CSV, _NPZ], OSError("\n".join(failures)))


def _read(path: Path) -> Pair:
    try:
        if path.suffix == ".csv":
            table = _read_csv(path)
            x, y = table[:, :13], table[:, 13]
        else:
            # numpy itself would leave a damaged file open
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                x, y = file["x"], file["y"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"boston_housing.load_data: cannot read {path}: {error}"
        ) from error
    if x.shape != (506, 13) or y.shape != (506,):
        raise DatasetError(
            f"boston_housing.load_data: {path} holds arrays of shape {x.shape} and "
            f"{y.shape}, expected (506, 13) and (506,)"
        )
    return x, y


def _read_csv(path: Path) -> npt.NDArray[Any]:
    lines = path.read_text(encoding="utf-8").split()
    while lines and not lines[0].replace('"', "").upper().startswith("CRIM"):
        lines.pop(0)  # scikit-learn's copy begins with the number of rows
    if not lines:
        raise ValueError("there is no header line CRIM,ZN,...")
    rows = [line.split(",") for line in lines[1:]]
    if any(len(row) != 14 for row in rows):
        raise ValueError("not every line has 14 columns")
    return np.array(rows, dtype=np.float64)
