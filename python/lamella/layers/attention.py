"""Attention and AdditiveAttention: of one query, without projections."""

from __future__ import annotations

from typing import Any

from lamella import _core, ops
from lamella.layers._arguments import config_of
from lamella.layers._shapes import is_shape
from lamella.layers.layer import Layer

__all__ = ["AdditiveAttention", "Attention"]


def causal_mask(rows: Any, columns: Any) -> Any:
    """Return booleans (1, rows, columns): True up to the diagonal."""
    ones = _core.full((1, rows, columns), 1, "int32")
    return _core.greater_equal(_core.cumsum(ones, 1), _core.cumsum(ones, 2))


class Attention(Layer):
    """Dot-product attention (Luong): softmax(query @ key^T) @ value.

    Args:
        use_scale: whether the scores are multiplied by a trained number.
        score_mode: "dot", or "concat": a trained number times the sum of
            tanh(query + key).
        dropout: fraction of the scores that is dropped in training.
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...

    Input: a list [query, value] or [query, value, key] of shapes (batch, Tq, dim),
        (batch, Tv, dim), (batch, Tv, dim). Masks of query and value are used.
    Output shape: (batch, Tq, dim).
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"{type(self).__name__}: score_mode must be 'dot' or 'concat', got "
                f"score_mode={score_mode!r}"
            )
        self.use_scale = bool(use_scale)
        self.score_mode = score_mode
        self.dropout = float(dropout)
        self.seed = seed
        if self.dropout > 0:
            from lamella.random import SeedGenerator

            self.seed_generator = SeedGenerator(seed)
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def _check(self, values: Any) -> None:
        if (
            not isinstance(values, list | tuple)
            or len(values) not in (2, 3)
            or not all(hasattr(v, "shape") or is_shape(v) for v in values)
        ):
            raise ValueError(
                f"{self._who()}: expected a list [query, value] or [query, value, "
                f"key], got {values!r}"
            )

    def build(self, input_shape: Any) -> None:
        """Make the trained numbers, if any."""
        self._check(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(shape=(), name="scale", initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                shape=(), name="concat_score_weight", initializer="ones"
            )

    def _scores(self, query: Any, key: Any) -> Any:
        scale = None if self.scale is None else self.scale.value
        if self.score_mode == "dot":
            scores = _core.matmul(query, ops.swapaxes(key, -2, -1))
            return scores if scale is None else _core.mul(scores, scale)
        total = _core.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3))
        total = total if scale is None else _core.mul(total, scale)
        summed = _core.sum(_core.tanh(total), -1, False)
        return _core.mul(summed, self.concat_score_weight.value)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Return what the queries see of the values.

        Args:
            inputs: [query, value] or [query, value, key].
            mask: list of booleans [(batch, Tq) or None, (batch, Tv) or None].
            training: whether dropout acts.
            return_attention_scores: return (output, scores).
            use_causal_mask: whether a query sees only values up to its own place.
        """
        self._check(inputs)
        query, value = (self._as_float(x) for x in inputs[:2])
        key = self._as_float(inputs[2]) if len(inputs) > 2 else value
        masks = list(mask) if mask is not None else [None, None]
        scores = self._scores(query, key)
        seen = masks[1]
        if seen is not None:
            seen = _core.cast(ops.expand_dims(seen, -2), "bool")
        if use_causal_mask:
            causal = causal_mask(scores.dims[-2], scores.dims[-1])
            seen = causal if seen is None else _core.logical_and(seen, causal)
        if seen is not None:
            scores = _core.where(seen, scores, _core.sub(scores, 1e9))
        weights = _core.softmax(scores, -1)
        if training and self.dropout > 0:
            key_of_draw = self.seed_generator.next()
            weights = _core.dropout(weights, key_of_draw, self.dropout)
        y = _core.matmul(weights, value)
        if masks[0] is not None:
            y = _core.where(ops.expand_dims(masks[0], -1), y, 0.0)
        return (y, weights) if return_attention_scores else y

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the query."""
        del inputs
        return None if previous_mask is None else previous_mask[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the query's shape with the value's last axis."""
        self._check(input_shape)
        return (*input_shape[0][:-1], input_shape[1][-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        keys = ("use_scale", "score_mode", "dropout", "seed")
        return {**super().get_config(), **config_of(self, *keys)}


class AdditiveAttention(Attention):
    """Additive attention (Bahdanau): scores are sums of scale * tanh(query + key).

    Args:
        use_scale: whether the features are multiplied by trained numbers first.
        dropout: fraction of the scores that is dropped in training.
        **kwargs: `seed`, `name`, `dtype`, ...

    Input: a list [query, value] or [query, value, key], as of Attention.
    Output shape: (batch, Tq, dim).
    """

    def __init__(
        self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Make the scale (dim,)."""
        self._check(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(
                shape=(input_shape[0][-1],), name="scale", initializer="glorot_uniform"
            )

    def _scores(self, query: Any, key: Any) -> Any:
        total = _core.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3))
        total = _core.tanh(total)
        if self.scale is not None:
            total = _core.mul(total, self.scale.value)
        return _core.sum(total, -1, False)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        base = super().get_config()
        del base["score_mode"]
        return base
