"""MNIST: 70,000 handwritten digits, 28x28."""

from __future__ import annotations

from ._files import Pair, load_idx_dataset

__all__ = ["load_data"]

_BASES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_HASHES = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}


def load_data(path: str = "mnist.npz") -> tuple[Pair, Pair]:
    """Load MNIST (LeCun, Cortes, Burges): grey images of the ten digits.

    The four files are read from ``$LAMELLA_DATA/mnist``, else from the cache
    (``~/.lamella/datasets/mnist``), else they are downloaded there (11 MB).

    Differs from Keras: the original IDX files are used, `path` has no effect.

    Args:
        path: Accepted so that calls written for Keras work.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images
        (60000, 28, 28) and (10000, 28, 28) with values 0..255, labels (60000,)
        and (10000,).

    Raises:
        OSError: If the files are not found and cannot be downloaded, or are
            damaged.

    Source:
        http://yann.lecun.com/exdb/mnist/, CC BY-SA 3.0.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    del path
    return load_idx_dataset("mnist", _BASES, _HASHES)
