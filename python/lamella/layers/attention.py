"""Attention, AdditiveAttention and MultiHeadAttention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lamella import _core, constraints, initializers, ops, regularizers
from lamella._masking import get_mask, set_mask
from lamella.layers._arguments import config_of, positive
from lamella.layers.activations import Softmax
from lamella.layers.einsum_dense import EinsumDense
from lamella.layers.layer import Layer
from lamella.layers.regularization import Dropout

__all__ = ["AdditiveAttention", "Attention", "MultiHeadAttention"]


def _causal_mask(rows: Any, columns: Any) -> Any:
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
        if not isinstance(values, list | tuple) or len(values) not in (2, 3):
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
            causal = _causal_mask(scores.dims[-2], scores.dims[-1])
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


_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _projection(free: int, bound: int, made: int) -> tuple[str, str]:
    """Return (equation, bias axes) of a projection of the last `bound` axes."""
    batch = _LETTERS[:free]
    x = _LETTERS[free : free + bound]
    y = _LETTERS[free + bound : free + bound + made]
    return f"{batch}{x},{x}{y}->{batch}{y}", y


class MultiHeadAttention(Layer):
    """Attention of several heads, each with projections of its own.

    Args:
        num_heads: number of heads.
        key_dim: size of each head for query and key.
        value_dim: size of each head for value. Default: key_dim.
        dropout: fraction of the scores that is dropped in training.
        use_bias: whether the projections have biases.
        output_shape: size (or shape) of the output's last axes. Default: that of the
            query.
        attention_axes: axes over which attention goes; default: all between the batch
            and the features.
        sliding_window: whether, and how near, places must be to see each other.
        flash_attention: must be None or False.
        kernel_initializer: default "glorot_uniform".
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None.
        kernel_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        use_gate: whether the heads are multiplied by a sigmoid of the query.
        seed: integer for the dropout, or None.
        **kwargs: `name`, `dtype`, ...

    Source: Vaswani et al., 2017 (arXiv:1706.03762).
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        who = "MultiHeadAttention"
        if flash_attention:
            raise ValueError(f"{who}: flash_attention=True is not supported")
        self.supports_masking = True
        self.num_heads = positive(num_heads, "num_heads", who)
        self.key_dim = positive(key_dim, "key_dim", who)
        self.value_dim = (
            self.key_dim if value_dim is None else positive(value_dim, "value_dim", who)
        )
        self.dropout = float(dropout)
        self.use_bias = bool(use_bias)
        self.use_gate = bool(use_gate)
        if isinstance(output_shape, int):
            output_shape = (output_shape,)
        self._given_output = None if output_shape is None else tuple(output_shape)
        if isinstance(attention_axes, int):
            attention_axes = (attention_axes,)
        self.attention_axes = None if attention_axes is None else tuple(attention_axes)
        self.sliding_window = (
            None
            if sliding_window is None
            else positive(sliding_window, "sliding_window", who)
        )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self._sub_activity = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.seed = seed

    def _dense(
        self, shape: Any, bound: int, made: tuple[int, ...], name: str, **kwargs: Any
    ) -> EinsumDense:
        """Return a built projection of the last `bound` axes of an input."""
        free = len(shape) - bound
        equation, bias_axes = _projection(free, bound, len(made))
        layer = EinsumDense(
            equation,
            output_shape=(*(None for _ in range(free - 1)), *made),
            bias_axes=bias_axes if self.use_bias else None,
            name=name,
            kernel_initializer=_renewed(self.kernel_initializer),
            bias_initializer=_renewed(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self._sub_activity,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype,
            **kwargs,
        )
        layer.build(tuple(shape))
        return layer

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Make the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                f"{self._who()}: value and key may differ in the last axis only, got "
                f"shapes {tuple(value_shape)} and {tuple(key_shape)}"
            )
        heads = self.num_heads
        inner = (heads, self.key_dim)
        outer = (heads, self.value_dim)
        self._query_dense = self._dense(query_shape, 1, inner, "query")
        self._key_dense = self._dense(key_shape, 1, inner, "key")
        if self.use_gate:
            self._gate_dense = self._dense(
                query_shape, 1, outer, "gate", activation="sigmoid"
            )
        self._value_dense = self._dense(value_shape, 1, outer, "value")
        rank = len(value_shape) + 1  # of the projected value
        axes = self.attention_axes
        if axes is None:
            axes = tuple(range(1, rank - 2))
        axes = tuple(a if a >= 0 else rank - 1 + a for a in axes)
        self.attention_axes = axes
        self._equations = _attention_equations(rank, axes)
        scores_rank = len(self._equations[0].rpartition("->")[2])
        over = tuple(range(scores_rank - len(axes), scores_rank))
        self._softmax = Softmax(axis=over, dtype=self.dtype)
        self._dropout_layer = Dropout(self.dropout, dtype=self.dtype, seed=self.seed)
        made = self._given_output or (query_shape[-1],)
        self._output_dense = self._dense(
            (*query_shape[:-1], *outer), 2, made, "attention_output"
        )

    @property
    def query_dense(self) -> EinsumDense:
        """The projection of the query."""
        return self._query_dense

    @property
    def key_dense(self) -> EinsumDense:
        """The projection of the key."""
        return self._key_dense

    @property
    def value_dense(self) -> EinsumDense:
        """The projection of the value."""
        return self._value_dense

    @property
    def output_dense(self) -> EinsumDense:
        """The projection of the heads to the output."""
        return self._output_dense

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any = None, key_shape: Any = None
    ) -> Any:
        """Return the query's shape, its last axis replaced by output_shape."""
        del value_shape, key_shape
        if self._given_output is None:
            return tuple(query_shape)
        return (*query_shape[:-1], *self._given_output)

    def _seen(
        self, query: Any, value: Any, masks: list[Any], given: Any, causal: bool
    ) -> Any:
        """Return which values each query sees, booleans (batch, T, S), or None."""
        parts = []
        if given is not None:
            parts.append(_core.cast(given, "bool"))
        for mask, axis in zip(masks, (-1, -2, -2), strict=True):
            if mask is not None:
                parts.append(ops.expand_dims(_core.cast(mask, "bool"), axis))
        rows, columns = query.dims[1], value.dims[1]
        if causal:
            parts.append(_causal_mask(rows, columns))
        if self.sliding_window is not None:
            ones = _core.full((1, rows, columns), 1, "int32")
            distance = _core.sub(_core.cumsum(ones, 1), _core.cumsum(ones, 2))
            parts.append(_core.less(_core.abs(distance), self.sliding_window))
        if not parts:
            return None
        result = parts[0]
        for part in parts[1:]:
            result = _core.logical_and(result, part)
        return result

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Return what the queries see of the values.

        Args:
            query: (batch, T, features).
            value: (batch, S, features).
            key: (batch, S, features); default: value.
            query_mask: booleans (batch, T).
            value_mask: booleans (batch, S).
            key_mask: booleans (batch, S).
            attention_mask: booleans (batch, T, S): which value a query may see.
            return_attention_scores: return (output, scores).
            training: whether dropout acts.
            use_causal_mask: whether a query sees only values up to its own place.
        """
        carried = get_mask(query)
        if query_mask is None:
            query_mask = carried
        query, value = self._as_float(query), self._as_float(value)
        key = value if key is None else self._as_float(key)
        masks = [query_mask, value_mask, key_mask]
        seen = self._seen(query, value, masks, attention_mask, use_causal_mask)
        gate = None
        with _without_masks(query, key, value):  # which the projections cannot pass on
            q, k, v = (
                self._query_dense(query),
                self._key_dense(key),
                self._value_dense(value),
            )
            if self.use_gate:
                gate = self._gate_dense(query)
        axes = self.attention_axes or ()
        if seen is not None:  # the axes of the heads, and of what lies beside
            for _ in range(q.ndim + len(axes) - 1 - seen.ndim):
                seen = ops.expand_dims(seen, -2 * len(axes) - 1)
        scale = 1.0 / math.sqrt(self.key_dim)
        weights = None
        if self.dropout == 0 and not return_attention_scores and q.ndim == 4:
            # A query that sees nothing gets the mean of all values here, as in Keras;
            # below it gets zeros.
            y = ops.dot_product_attention(q, k, v, mask=seen, scale=scale)
        else:
            scores = ops.einsum(self._equations[0], k, _core.mul(q, scale))
            weights = self._softmax(scores, mask=seen)
            kept = self._dropout_layer(weights, training=training)
            y = ops.einsum(self._equations[1], kept, v)
        if gate is not None:
            y = _core.mul(y, gate)
        y = self._output_dense(y)
        if carried is not None:
            set_mask(y, carried)
        return (y, weights) if return_attention_scores else y

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        activity = self._sub_activity
        return {
            **super().get_config(),
            **config_of(
                self, "num_heads", "key_dim", "value_dim", "dropout", "use_bias"
            ),
            "use_gate": self.use_gate,
            "output_shape": self._given_output,
            **config_of(
                self,
                "attention_axes",
                "sliding_window",
                "kernel_initializer",
                "bias_initializer",
                "kernel_regularizer",
                "bias_regularizer",
            ),
            "activity_regularizer": activity and regularizers.serialize(activity),
            **config_of(self, "kernel_constraint", "bias_constraint", "seed"),
        }


@contextmanager
def _without_masks(*tensors: Any) -> Iterator[None]:
    """Take the masks from tensors for a while."""
    masks = [(x, get_mask(x)) for x in tensors]
    for x in tensors:
        set_mask(x, None)
    try:
        yield
    finally:
        for x, mask in masks:
            if mask is not None:
                set_mask(x, mask)


def _renewed(initializer: Any) -> Any:
    """Return an equal initializer, so that projections do not start alike."""
    if not hasattr(initializer, "get_config"):
        return initializer
    return type(initializer).from_config(initializer.get_config())


def _attention_equations(rank: int, axes: tuple[int, ...]) -> tuple[str, str]:
    """Return the equations key, query -> scores and scores, value -> output.

    Args:
        rank: of the projected query, key and value (batch, ..., heads, features).
        axes: those over which attention goes.
    """
    target = _LETTERS[:rank]  # of the query
    batch = [i for i in range(rank) if i not in axes and i != rank - 1]
    fresh = iter(_LETTERS[rank:])
    source = "".join(
        c if i in batch or i == rank - 1 else next(fresh) for i, c in enumerate(target)
    )
    scores = "".join(target[i] for i in (*batch, *axes))
    scores += "".join(source[i] for i in axes)
    return f"{source},{target}->{scores}", f"{scores},{source}->{target}"
