"""CategoryEncoding: integers as one-hot, multi-hot or count vectors."""

from __future__ import annotations

from typing import Any

from lamella.layers._arguments import positive
from lamella.layers.layer import Layer

from ._common import check_mode, check_sparse, encode, encoded_shape

__all__ = ["CategoryEncoding"]


class CategoryEncoding(Layer):
    """Integers 0 .. num_tokens - 1 as vectors of length num_tokens.

    Args:
        num_tokens: number of categories.
        output_mode: "multi_hot" (default): one vector for each sample, 1 for each
            category in it; "one_hot": one vector for each integer; "count": like
            "multi_hot", with the number of times.
        sparse: must be False.
        **kwargs: `name`, `dtype`, ...

    Input shape: (batch, n) or (batch,) of integers.
    Output shape: (batch, num_tokens); for "one_hot" the input's shape (without a last
        axis of length 1) and num_tokens.

    Raises:
        ValueError: if num_tokens is not positive, the mode is unknown, or
            count_weights are given in another mode than "count".

    Example:
        >>> import lamella as keras
        >>> keras.layers.CategoryEncoding(4)([[0, 1], [3, 3]]).numpy().tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    _keeps_integers = True

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_mode = check_mode(
            "CategoryEncoding", output_mode, ("multi_hot", "one_hot", "count")
        )
        if num_tokens is None:
            raise ValueError(
                "CategoryEncoding: num_tokens must be given; if the number of "
                "categories is not known, use IntegerLookup"
            )
        self.num_tokens = positive(num_tokens, "num_tokens", "CategoryEncoding")
        check_sparse("CategoryEncoding", sparse)
        self.sparse = False

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        """Return the vectors; `count_weights` has the shape of `inputs`."""
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                f"{self._who()}: count_weights are for output_mode='count' only, the "
                f"mode is {self.output_mode!r}"
            )
        return encode(
            inputs, self.output_mode, self.num_tokens, self.dtype, count_weights
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the vectors."""
        return encoded_shape(input_shape, self.output_mode, self.num_tokens)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "output_mode": self.output_mode,
        }
