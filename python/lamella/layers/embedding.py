"""Embedding and ReversibleEmbedding: tables of vectors."""

from __future__ import annotations

from typing import Any

from lamella import _core, config, constraints, initializers, ops, regularizers
from lamella._masking import set_mask
from lamella.layers._arguments import config_of, positive, reject
from lamella.layers.layer import Layer

__all__ = ["Embedding", "ReversibleEmbedding"]


class Embedding(Layer):
    """A table of vectors: index i gives row i.

    Args:
        input_dim: number of rows; indices are 0 .. input_dim - 1.
        output_dim: length of a row.
        embeddings_initializer: default "uniform" (-0.05 to 0.05).
        embeddings_regularizer: name, Regularizer or None.
        embeddings_constraint: name, Constraint or None.
        mask_zero: whether 0 stands for "no step": the layer then makes a mask for the
            layers behind it.
        weights: initial table of shape (input_dim, output_dim), or None.
        lora_rank: must be None.
        lora_alpha: must be None.
        quantization_config: must be None.
        **kwargs: `name`, `dtype`, `input_length`, ...

    Input shape: any, of integers.
    Output shape: the input's shape and output_dim behind it.
    """

    _keeps_integers = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        reject(
            "Embedding",
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            quantization_config=quantization_config,
        )
        self.input_dim = positive(input_dim, "input_dim", "Embedding")
        self.output_dim = positive(output_dim, "output_dim", "Embedding")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        self.autocast = False
        self.embeddings: Any = None
        if weights is not None:
            self._build_once(None)
            if isinstance(weights, list | tuple) and len(weights) == 1:
                weights = weights[0]
            self.set_weights([weights])

    def build(self, input_shape: Any = None) -> None:
        """Make the table."""
        if self.embeddings is None:
            self.embeddings = self.add_weight(
                shape=(self.input_dim, self.output_dim),
                initializer=self.embeddings_initializer,
                regularizer=self.embeddings_regularizer,
                constraint=self.embeddings_constraint,
                name="embeddings",
            )

    def call(self, inputs: Any) -> Any:
        """Return the rows of the table."""
        if inputs.dtype not in ("int32", "int64"):
            inputs = _core.cast(inputs, "int32")
        return _core.gather(self.embeddings.value, inputs, 0)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return where the input is not 0, if mask_zero; else None."""
        del previous_mask
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape and output_dim behind it."""
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "input_dim",
                "output_dim",
                "embeddings_initializer",
                "embeddings_regularizer",
            ),
            "activity_regularizer": None,
            **config_of(self, "embeddings_constraint", "mask_zero"),
            "quantization_config": None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a layer as `get_config` described it."""
        config = dict(config)
        config.pop("input_length", None)
        return cls(**config)


class ReversibleEmbedding(Embedding):
    """An Embedding that also turns vectors back into a score for each row.

    Args:
        input_dim: number of rows; indices are 0 .. input_dim - 1.
        output_dim: length of a row.
        tie_weights: whether the way back uses the same table. Default True; else it
            has a kernel of its own (output_dim, input_dim).
        embeddings_initializer: default "uniform" (-0.05 to 0.05).
        embeddings_regularizer: name, Regularizer or None.
        embeddings_constraint: name, Constraint or None.
        mask_zero: whether 0 stands for "no step".
        reverse_dtype: type in which the way back is computed; default: the layer's.
        logit_soft_cap: scores are capped smoothly at this size, or None.
        **kwargs: `name`, `dtype`, ...

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.ReversibleEmbedding(10, 4)
        >>> vectors = layer(keras.ops.zeros((2, 3), dtype="int32"))
        >>> layer(vectors, reverse=True).shape
        (2, 3, 10)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.tie_weights = bool(tie_weights)
        self.reverse_dtype = (
            None
            if reverse_dtype is None
            else config.standardize_dtype(reverse_dtype, "ReversibleEmbedding")
        )
        self.logit_soft_cap = logit_soft_cap
        self.reverse_embeddings: Any = None

    def build(self, input_shape: Any = None) -> None:
        """Make the table and, if not tied, the kernel of the way back."""
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
                name="reverse_embeddings",
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """Return the rows of the table, or with `reverse` the scores of the rows.

        Args:
            inputs: integers, or vectors (..., output_dim) with `reverse`.
            reverse: whether to go from vectors to scores (..., input_dim).
        """
        if not reverse:
            rows = super().call(inputs)
            mask = super().compute_mask(inputs)
            if mask is not None:
                set_mask(rows, mask)
            return rows
        kernel = self.reverse_embeddings
        if kernel is None:
            kernel = ops.transpose(self.embeddings.value)
        dtype = self.reverse_dtype or self.dtype
        scores = ops.matmul(_core.cast(inputs, dtype), ops.cast(kernel, dtype))
        if self.logit_soft_cap is not None:
            cap = float(self.logit_soft_cap)
            scores = _core.mul(_core.tanh(_core.div(scores, cap)), cap)
        return scores

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return None: `call` puts the mask on the rows."""

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        """Return the shape of the rows, or with `reverse` that of the scores."""
        if reverse:
            return (*input_shape[:-1], self.input_dim)
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        keys = ("tie_weights", "reverse_dtype", "logit_soft_cap")
        return {**super().get_config(), **config_of(self, *keys)}
