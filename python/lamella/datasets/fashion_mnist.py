"""Fashion-MNIST: 70,000 images of clothes, 28x28."""

from __future__ import annotations

from ._files import Pair, load_idx_dataset

__all__ = ["class_names", "load_data"]

class_names = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_BASES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
_HASHES = {
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    ),
}


def load_data() -> tuple[Pair, Pair]:
    """Load Fashion-MNIST (Zalando Research): grey images of ten kinds of clothes.

    The four files are read from ``$LAMELLA_DATA/fashion_mnist``, else from the
    cache (``~/.lamella/datasets/fashion_mnist``), else they are downloaded there
    (30 MB). The labels 0..9 stand for `class_names`.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images
        (60000, 28, 28) and (10000, 28, 28) with values 0..255, labels (60000,)
        and (10000,).

    Raises:
        OSError: If the files are not found and cannot be downloaded, or are
            damaged.

    Source:
        https://github.com/zalandoresearch/fashion-mnist, MIT, (c) 2017 Zalando SE.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    return load_idx_dataset("fashion_mnist", _BASES, _HASHES)
