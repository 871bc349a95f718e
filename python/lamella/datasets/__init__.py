"""Data sets: `load_data()` gives ``(x_train, y_train), (x_test, y_test)``.

``digits`` and the toy problems (``xor``, ``circles``, ``moons``, ``spirals``,
``gaussians``) come with the package. The others are read from the folder that the
environment variable ``LAMELLA_DATA`` names, else from the cache
(``LAMELLA_HOME``, by default ``~/.lamella``), else they are downloaded into the
cache and checked by their SHA-256. A data set that cannot be had is an error; there
is never another one instead.
"""

from __future__ import annotations

from . import (
    boston_housing,
    california_housing,
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    imdb,
    mnist,
    reuters,
    toy,
)
from ._files import DatasetError
from .toy import circles, gaussians, moons, spirals, xor

__all__ = [
    "DatasetError",
    "boston_housing",
    "california_housing",
    "cifar10",
    "cifar100",
    "circles",
    "digits",
    "fashion_mnist",
    "gaussians",
    "imdb",
    "mnist",
    "moons",
    "reuters",
    "spirals",
    "toy",
    "xor",
]
