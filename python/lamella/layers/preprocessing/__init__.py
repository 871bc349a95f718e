"""Layers that prepare data: categories, numbers and texts."""

from __future__ import annotations

from .category_encoding import CategoryEncoding
from .discretization import Discretization
from .hashing import HashedCrossing, Hashing
from .lookup import IntegerLookup, StringLookup
from .normalization import Normalization, Rescaling
from .pipeline import Pipeline
from .text_vectorization import TextVectorization

__all__ = [
    "CategoryEncoding",
    "Discretization",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "Normalization",
    "Pipeline",
    "Rescaling",
    "StringLookup",
    "TextVectorization",
]
