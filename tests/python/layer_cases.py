"""Configurations of layers that test_layer_parity.py compares with Keras.

A row: class name, arguments of the constructor, shapes of the inputs (one shape, or a
list of them for a layer that takes a list, or a tuple of arrays given as arguments of
their own), and what else to do.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CASES", "Row"]

Row = tuple[str, dict[str, Any], Any, dict[str, Any]]
CASES: list[Row] = []

STEPS = (3, 5, 4)
MASK = [[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]]
PAIR = (2, 3, 4), (2, 5, 4)


def rows(
    name: str, shape: Any, *several: dict[str, Any], **more: dict[str, Any]
) -> None:
    """Add one row for each dict of arguments; keys with "_" first say what to do."""
    for given in (*several, *more.values()):
        arguments = {k: v for k, v in given.items() if k[0] != "_"}
        extra = {k[1:]: v for k, v in given.items() if k[0] == "_"}
        CASES.append((name, arguments, shape, extra))


FIRST = {"data_format": "channels_first"}
REGULARIZED = {
    "kernel_regularizer": "l2",
    "bias_regularizer": "l2",
    "activity_regularizer": "l2",
}
CONSTRAINED = {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"}

for rank, size in ((1, (2, 9, 4)), (2, (2, 6, 5, 4)), (3, (2, 4, 5, 4, 4))):
    base: dict[str, Any] = {"filters": 4, "kernel_size": 3}
    rows(
        f"Conv{rank}D",
        size,
        {**base, **REGULARIZED},
        {**base, "strides": 2, "padding": "same", **CONSTRAINED},
        {**base, "kernel_size": 2, "padding": "same", "use_bias": False},
        {**base, "dilation_rate": 2, "padding": "same", "activation": "relu"},
        {**base, "groups": 2, "kernel_initializer": "he_normal"},
        {**base, **FIRST, "padding": "same", "activation": "softmax"},
    )
    rows(
        f"Conv{rank}DTranspose",
        (*(2, 4, 3, 4)[: rank + 1], 2),
        {**base, "strides": 2},
        {**base, "strides": 2, "padding": "same", **REGULARIZED},
        {**base, "kernel_size": 2, "strides": 3, "padding": "same"},
        {**base, "strides": 2, "output_padding": 1, "use_bias": False},
        {**base, "dilation_rate": 2},
        {**base, **FIRST, "strides": 2, "padding": "same"},
    )
    cell = {"filters": 2, "kernel_size": 2}
    steps = (*(2, 3, 4, 3, 4)[: rank + 2], 2)
    rows(
        f"ConvLSTM{rank}D",
        steps,
        {**cell, "return_sequences": True, "return_state": True},
        {**cell, "padding": "same", "strides": 2, "go_backwards": True},
        {**cell, "use_bias": False, "_mask": [[1, 1, 0], [0, 1, 1]]},
    )
rows(
    "ConvLSTM2D",
    (2, 3, 4, 5, 2),
    {"filters": 2, "kernel_size": (1, 2), "recurrent_activation": "hard_sigmoid"},
    {"filters": 2, "kernel_size": 2, "padding": "same", "dilation_rate": 2},
    {"filters": 2, "kernel_size": 2, "unit_forget_bias": False, **REGULARIZED},
)
rows("ConvLSTM2D", (2, 3, 2, 4, 5), {"filters": 3, "kernel_size": 2, **FIRST})
rows("Conv1D", (2, 9, 4), {"filters": 2, "kernel_size": 3, "padding": "causal"})
for rank, size in ((1, (2, 7, 4)), (2, (2, 6, 5, 4))):
    for name, base in (
        (f"DepthwiseConv{rank}D", {"kernel_size": 3}),
        (f"SeparableConv{rank}D", {"kernel_size": 3, "filters": 5}),
    ):
        rows(
            name,
            size,
            {**base, "strides": 2, "padding": "same"},
            {**base, "depth_multiplier": 2, "use_bias": False},
            {**base, "dilation_rate": 2, "padding": "same", "activation": "elu"},
            {**base, **FIRST, "padding": "same", "depthwise_regularizer": "l2"},
        )
rows(
    "Dense",
    (3, 5),
    *({"units": 4, "activation": a} for a in ("relu", "softmax", "gelu", "silu")),
    {"units": 4, **REGULARIZED, **CONSTRAINED},
    {"units": 4, "trainable": False},
    {"units": 4, "kernel_initializer": "orthogonal", "bias_initializer": "ones"},
)
rows("Dense", (2, 3, 2, 5), {"units": 3, "use_bias": False})
rows(
    "EinsumDense",
    (2, 3, 6),
    {"equation": "abc,cd->abd", "output_shape": (3, 4), "bias_axes": "d"},
    {"equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y"},
    {"equation": "abc,bcd->ad", "output_shape": 4, "activation": "relu"},
)
rows(
    "BatchNormalization",
    (4, 5, 3),
    {},
    {"axis": 1, "momentum": 0.5, "epsilon": 0.1},
    {"center": False, "scale": False},
    {"trainable": False},
    {"_mask": [[1, 1, 0, 0, 1], [1, 0, 0, 0, 0], [1] * 5, [0, 1, 1, 1, 1]]},
)
rows(
    "LayerNormalization",
    (4, 5, 3),
    {},
    {"axis": [1, 2], "scale": False},
    {"rms_scaling": True},
    {"epsilon": 0.1, "center": False, "gamma_regularizer": "l2"},
)
rows("RMSNormalization", (4, 5, 3), {}, {"axis": [1, 2], "epsilon": 0.1})
rows("UnitNormalization", (4, 5, 3), {}, {"axis": [1, 2]})
rows(
    "GroupNormalization",
    (3, 4, 5, 6),
    {"groups": 2},
    {"groups": -1, "scale": False},
    {"groups": 2, "axis": 1},
)
for name in ("Add", "Multiply", "Average", "Maximum", "Minimum"):
    rows(name, [(2, 3, 4), (2, 1, 4), (2, 3, 4)], {})
    rows(name, [(2, 3, 4), (2, 4)], {})
rows("Subtract", [(2, 3, 4), (2, 4)], {})
rows("Concatenate", [(2, 3, 4), (2, 5, 4)], {"axis": 1})
rows("Dot", [(2, 3, 4), (2, 5, 4)], {"axes": 2}, {"axes": -1, "normalize": True})
rows("Dot", [(2, 3, 4, 5), (2, 6, 5, 3)], {"axes": (1, 3)})
rows("Dot", [(2, 3, 4, 5), (2, 4, 5)], {"axes": (2, 1)})
rows("Dot", [(2, 3), (2, 3)], {"axes": 1})

for name in ("SimpleRNN", "LSTM", "GRU"):
    states = [(3, 3)] * (2 if name == "LSTM" else 1)
    base = {"units": 3}
    rows(
        name,
        STEPS,
        {**base, "return_sequences": True, "return_state": True},
        {**base, "go_backwards": True, "return_sequences": True},
        {**base, "activation": "relu", "use_bias": False, "kernel_regularizer": "l2"},
        {**base, "recurrent_constraint": "max_norm", "bias_initializer": "ones"},
        {**base, "return_sequences": True, "_mask": MASK},
        {**base, "zero_output_for_mask": True, "return_sequences": True, "_mask": MASK},
        {**base, "go_backwards": True, "_mask": MASK},
        {**base, "_states": states},
        {**base, "_stateful": True},
    )
    rows(f"{name}Cell", ((3, 4), states), base, {**base, "use_bias": False})
rows("GRU", STEPS, {"units": 3, "reset_after": False, "_mask": MASK})
rows("LSTM", STEPS, {"units": 3, "unit_forget_bias": False})

A, S = "attention_axes", "return_attention_scores"
rows(
    "MultiHeadAttention",
    PAIR,
    *(
        {"num_heads": 2, "key_dim": 3, **more}
        for more in (
            {},
            {"value_dim": 4, "output_shape": 6},
            {"use_bias": False, "sliding_window": 2},
            {"use_gate": True, "kernel_regularizer": "l2"},
            {"_call": {S: True, "use_causal_mask": True}},
        )
    ),
)
rows(
    "MultiHeadAttention",
    ((2, 3, 4, 5), (2, 3, 4, 5)),
    {"num_heads": 2, "key_dim": 3, A: 2},
)
rows(
    "GroupQueryAttention",
    PAIR,
    *(
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": heads, **more}
        for heads, more in (
            (4, {}),
            (2, {"use_gate": True, "activity_regularizer": "l2"}),
            (1, {"use_bias": False, "sliding_window": 2}),
            (2, {"_call": {S: True, "use_causal_mask": True}}),
        )
    ),
)
rows("Attention", list(PAIR), {"use_scale": True}, {"score_mode": "concat"})
rows("AdditiveAttention", list(PAIR), {}, {"use_scale": False})
rows("Dropout", (3, 4), {"rate": 0.0}, {"rate": 1.0})
