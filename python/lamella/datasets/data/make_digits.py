"""Make digits.csv.gz from scikit-learn's package.

Run once, with the result committed: ``python make_digits.py``. Each line holds the
64 pixels (0..16) of one image and its label. The gzip header holds neither name nor
time, so that the file is the same each time.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_digits


def main() -> None:
    """Write the file and print what went into it."""
    digits = load_digits()
    table = np.column_stack([digits.data, digits.target]).astype(int)
    text = "".join(",".join(map(str, row)) + "\n" for row in table.tolist())
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as file:
        file.write(text.encode())
    path = Path(__file__).with_name("digits.csv.gz")
    path.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(f"{path}: {len(table)} rows from scikit-learn {sklearn.__version__}")
    print(f"sha256 of the text: {digest}")


if __name__ == "__main__":
    main()
