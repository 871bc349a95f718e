"""Embeddings."""

from __future__ import annotations

import itertools
from typing import Any

from .. import _dtype as dt
from ..create import gaussian
from ..reduce import mean, sum
from ..tensor import Parameter, new_tensor, wrap
from . import _activations as F
from .module import Module

__all__ = ["Embedding", "EmbeddingBag"]


class Embedding(Module):
    """A table of vectors, looked up by number.

    Args:
        num_embeddings: rows.
        embedding_dim: size of a vector.
        padding_idx: a row that starts at zero and gets no gradient.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if max_norm is not None or scale_grad_by_freq:
            raise ValueError(
                "Embedding: lamella.torch has neither max_norm nor scale_grad_by_freq"
            )
        if padding_idx is not None and padding_idx < 0:
            padding_idx += num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        if _weight is None:
            d = dt.as_dtype(dtype) if dtype else dt.get_default_dtype()
            _weight = wrap(gaussian((num_embeddings, embedding_dim), 0.0, 1.0, d))
            if padding_idx is not None:
                _weight[padding_idx] = 0
        self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None
    ) -> Any:
        """An Embedding with these rows."""
        rows, size = embeddings.shape
        return cls(rows, size, padding_idx, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return (
            text
            if self.padding_idx is None
            else f"{text}, padding_idx={self.padding_idx}"
        )


class EmbeddingBag(Module):
    """Sum, mean or maximum of the vectors of each bag."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.mode = (
            num_embeddings,
            embedding_dim,
            mode,
        )
        d = dt.as_dtype(dtype) if dtype else dt.get_default_dtype()
        self.weight = Parameter(
            wrap(gaussian((num_embeddings, embedding_dim), 0.0, 1.0, d))
        )

    def forward(self, input: Any, offsets: Any = None) -> Any:
        """Applies the module."""
        reduce = {"sum": sum, "mean": mean, "max": lambda x, d: x.amax(d)}[self.mode]
        if offsets is None:
            return reduce(F.embedding(input, self.weight), 1)
        edges = [*offsets.tolist(), input.numel()]
        bags = []
        for a, z in itertools.pairwise(edges):
            if a == z:
                bags.append(new_tensor([0.0] * self.embedding_dim, self.weight.dtype))
            else:
                bags.append(reduce(F.embedding(input[a:z], self.weight), 0))
        from ..shape import stack

        return stack(bags)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
