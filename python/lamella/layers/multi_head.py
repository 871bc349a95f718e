"""MultiHeadAttention and GroupQueryAttention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lamella import _core, config, constraints, initializers, ops, regularizers
from lamella._masking import get_mask, set_mask
from lamella.layers._arguments import config_of, positive
from lamella.layers.activations import Softmax
from lamella.layers.attention import causal_mask
from lamella.layers.einsum_dense import EinsumDense
from lamella.layers.layer import Layer
from lamella.layers.regularization import Dropout

__all__ = ["GroupQueryAttention", "MultiHeadAttention"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _projection(free: int, bound: int, made: int) -> tuple[str, str]:
    """Return (equation, bias axes) of a projection of the last `bound` axes."""
    batch = _LETTERS[:free]
    x = _LETTERS[free : free + bound]
    y = _LETTERS[free + bound : free + bound + made]
    return f"{batch}{x},{x}{y}->{batch}{y}", y


class _HeadsAttention(Layer):
    """What attention of several heads shares: projections, masks and the call."""

    _head_size: int
    _axes: tuple[int, ...]

    def _set(
        self,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        seed: int | None,
        use_gate: bool,
        **of_projections: Any,
    ) -> None:
        who = type(self).__name__
        if flash_attention:
            raise ValueError(
                f"{who}: flash_attention=True is not supported; leave it out"
            )
        self.supports_masking = True
        self.dropout = float(dropout)
        self.use_bias = bool(use_bias)
        self.use_gate = bool(use_gate)
        self.sliding_window = (
            None
            if sliding_window is None
            else positive(sliding_window, "sliding_window", who)
        )
        self.seed = seed
        for key, value in of_projections.items():
            family: Any = constraints
            if key.endswith("_initializer"):
                family = initializers
            elif key.endswith("_regularizer"):
                family = regularizers
            setattr(self, key, family.get(value))

    @property
    def _sub_activity(self) -> Any:
        """The activity regularizer of the projections."""
        raise NotImplementedError

    def _dense(
        self, shape: Any, bound: int, made: tuple[int, ...], name: str, **kwargs: Any
    ) -> EinsumDense:
        """Return a built projection of the last `bound` axes of an input."""
        free = len(shape) - bound
        equation, bias_axes = _projection(free, bound, len(made))
        own: Any = self
        layer = EinsumDense(
            equation,
            output_shape=(*(None for _ in range(free - 1)), *made),
            bias_axes=bias_axes if self.use_bias else None,
            name=name,
            kernel_initializer=_renewed(own.kernel_initializer),
            bias_initializer=_renewed(own.bias_initializer),
            kernel_regularizer=own.kernel_regularizer,
            bias_regularizer=own.bias_regularizer,
            activity_regularizer=self._sub_activity,
            kernel_constraint=own.kernel_constraint,
            bias_constraint=own.bias_constraint,
            dtype=self.dtype,
            **kwargs,
        )
        layer.build(tuple(shape))
        return layer

    def _build(
        self,
        shapes: tuple[Any, Any, Any],
        of_query: tuple[int, int],
        of_key: tuple[int, int],
        of_value: tuple[int, int],
        axes: tuple[int, ...] | None,
        made: tuple[int, ...] | None,
    ) -> None:
        """Make the projections of query, key and value to (heads, features)."""
        query_shape, value_shape, key_shape = shapes
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                f"{self._who()}: value and key may differ in the last axis only, got "
                f"shapes {tuple(value_shape)} and {tuple(key_shape)}"
            )
        outer = (of_query[0], of_value[1])
        self._query_dense = self._dense(query_shape, 1, of_query, "query")
        self._key_dense = self._dense(key_shape, 1, of_key, "key")
        if self.use_gate:
            self._gate_dense = self._dense(
                query_shape, 1, outer, "gate", activation="sigmoid"
            )
        self._value_dense = self._dense(value_shape, 1, of_value, "value")
        rank = len(value_shape) + 1  # of the projected value
        if axes is None:
            axes = tuple(range(1, rank - 2))
        self._axes = tuple(a if a >= 0 else rank - 1 + a for a in axes)
        self._equations = _attention_equations(rank, self._axes)
        scores_rank = len(self._equations[0].rpartition("->")[2])
        over = tuple(range(scores_rank - len(self._axes), scores_rank))
        self._softmax = Softmax(axis=over, dtype=self.dtype)
        self._dropout_layer = Dropout(self.dropout, dtype=self.dtype, seed=self.seed)
        self._output_dense = self._dense(
            (*query_shape[:-1], *outer),
            2,
            made or (query_shape[-1],),
            "attention_output",
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

    def _mask_of_query(self, carried: Any, given: Any) -> Any:
        """Return the mask that counts: the one given, else the one carried."""
        return carried if given is None else given

    def _for_every_head(self, x: Any) -> Any:
        """Return projected keys or values with one head for each of the query."""
        return x

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
            parts.append(causal_mask(rows, columns))
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
            query_mask: booleans (batch, T); MultiHeadAttention, like Keras, uses the
                mask that the query carries instead.
            value_mask: booleans (batch, S).
            key_mask: booleans (batch, S).
            attention_mask: booleans (batch, T, S): which value a query may see.
            return_attention_scores: return (output, scores).
            training: whether dropout acts.
            use_causal_mask: whether a query sees only values up to its own place.
        """
        carried = get_mask(query)
        query_mask = self._mask_of_query(carried, query_mask)
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
        k, v = self._for_every_head(k), self._for_every_head(v)
        axes = self._axes
        if seen is not None:  # the axes of the heads, and of what lies beside
            for _ in range(q.ndim + len(axes) - 1 - seen.ndim):
                seen = ops.expand_dims(seen, -2 * len(axes) - 1)
        scale = 1.0 / math.sqrt(self._head_size)
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


class MultiHeadAttention(_HeadsAttention):
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
        self._set(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            seed,
            use_gate,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            _activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.num_heads = positive(num_heads, "num_heads", who)
        self.key_dim = self._head_size = positive(key_dim, "key_dim", who)
        self.value_dim = (
            self.key_dim if value_dim is None else positive(value_dim, "value_dim", who)
        )
        if isinstance(output_shape, int):
            output_shape = (output_shape,)
        self._given_output = None if output_shape is None else tuple(output_shape)
        if isinstance(attention_axes, int):
            attention_axes = (attention_axes,)
        self.attention_axes = None if attention_axes is None else tuple(attention_axes)

    @property
    def _sub_activity(self) -> Any:
        return self._activity_regularizer  # type: ignore[attr-defined]

    def _mask_of_query(self, carried: Any, given: Any) -> Any:
        """Return the mask that the query carries: Keras looks at no other here."""
        return carried

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Make the projections."""
        inner = (self.num_heads, self.key_dim)
        self._build(
            (query_shape, value_shape, key_shape),
            inner,
            inner,
            (self.num_heads, self.value_dim),
            self.attention_axes,
            self._given_output,
        )
        self.attention_axes = self._axes

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any = None, key_shape: Any = None
    ) -> Any:
        """Return the query's shape, its last axis replaced by output_shape."""
        del value_shape, key_shape
        if self._given_output is None:
            return tuple(query_shape)
        return (*query_shape[:-1], *self._given_output)

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


class GroupQueryAttention(_HeadsAttention):
    """Attention in which groups of query heads share their key and value head.

    Args:
        head_dim: size of each head.
        num_query_heads: number of heads of the query, a multiple of the next.
        num_key_value_heads: number of heads of key and value.
        dropout: fraction of the scores that is dropped in training.
        use_bias: whether the projections have biases.
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

    Source: Ainslie et al., 2023 (arXiv:2305.13245).

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.GroupQueryAttention(8, 4, 2)
        >>> x = keras.ops.ones((2, 5, 16))
        >>> layer(x, x).shape
        (2, 5, 16)
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
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
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Keras's class is called GroupedQueryAttention inside, and so are its weights.
        name = name or config.auto_name("GroupedQueryAttention")
        super().__init__(name=name, **kwargs)
        who = "GroupQueryAttention"
        self._set(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            seed,
            use_gate,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.head_dim = self._head_size = positive(head_dim, "head_dim", who)
        self.num_query_heads = positive(num_query_heads, "num_query_heads", who)
        self.num_key_value_heads = positive(
            num_key_value_heads, "num_key_value_heads", who
        )
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                f"{who}: num_query_heads must be a multiple of num_key_value_heads, "
                f"got num_query_heads={num_query_heads}, "
                f"num_key_value_heads={num_key_value_heads}"
            )

    @property
    def _sub_activity(self) -> Any:
        return self.activity_regularizer

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Make the projections."""
        shared = (self.num_key_value_heads, self.head_dim)
        self._build(
            (query_shape, value_shape, key_shape),
            (self.num_query_heads, self.head_dim),
            shared,
            shared,
            None,
            None,
        )

    def _for_every_head(self, x: Any) -> Any:
        repeats = self.num_query_heads // self.num_key_value_heads
        return x if repeats == 1 else ops.repeat(x, repeats, axis=2)

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> Any:
        """Return the query's shape; all features must agree."""
        key_shape = value_shape if key_shape is None else key_shape
        if query_shape[-1] != value_shape[-1]:
            raise ValueError(
                f"{self._who()}: query and value must agree in the last axis, got "
                f"shapes {tuple(query_shape)} and {tuple(value_shape)}"
            )
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                f"{self._who()}: value and key may differ in the last axis only, got "
                f"shapes {tuple(value_shape)} and {tuple(key_shape)}"
            )
        return tuple(query_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        keys = (
            *("head_dim", "num_query_heads", "num_key_value_heads", "use_bias"),
            *("use_gate", "sliding_window", "dropout", "kernel_initializer"),
            *("bias_initializer", "kernel_regularizer", "bias_regularizer"),
            *("activity_regularizer", "kernel_constraint", "bias_constraint", "seed"),
        )
        return {**super().get_config(), **config_of(self, *keys)}


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
