"""One row for each op: what it computes, by a float64 numpy formula, and on what inputs.

The rows drive test_ops.py. References are written from the formula, not from lamella's code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lamella import _core as c

erf = np.vectorize(math.erf)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 3.0, size=shape)


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    """Strictly inside (-1, 1)."""
    return np.random.default_rng(seed).uniform(-0.9, 0.9, size=shape)


def apart(*shape: int, seed: int = 0) -> np.ndarray:
    """Distinct values at least 0.05 apart and away from 0: no ties, no kinks nearby."""
    n = int(np.prod(shape))
    values = (np.arange(n) - n / 2 + 0.31) * 0.1
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def probabilities(*shape: int, seed: int = 0) -> np.ndarray:
    p = np.exp(normal(*shape, seed=seed))
    return p / p.sum(-1, keepdims=True)


@dataclass
class Case:
    """An op to check.

    Args:
        name: of the row.
        op: takes tensors.
        reference: the same on float64 arrays.
        inputs: float64 arrays.
        grad: whether the op is differentiable (every float input then is).
        rtol: of float32 against float64; what is looser than 1e-6 says why in a comment.
    """

    name: str
    op: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: list[np.ndarray]
    grad: bool = True
    rtol: float = 1e-6
    atol: float = 1e-6
    extra: dict[str, Any] = field(default_factory=dict)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def same_padding(n: int, k: int, s: int, d: int) -> tuple[int, int]:
    out = -(-n // s)
    total = max((out - 1) * s + (k - 1) * d + 1 - n, 0)
    return total // 2, total - total // 2


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    strides: tuple[int, int] = (1, 1),
    padding: str = "valid",
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """A convolution written out as sums over taps."""
    if padding == "same":
        pads = [
            same_padding(x.shape[1 + i], w.shape[i], strides[i], dilation[i])
            for i in range(2)
        ]
        x = np.pad(x, [(0, 0), *pads, (0, 0)])
    kh, kw, cg, o = w.shape
    oh = (x.shape[1] - (kh - 1) * dilation[0] - 1) // strides[0] + 1
    ow = (x.shape[2] - (kw - 1) * dilation[1] - 1) // strides[1] + 1
    y = np.zeros((x.shape[0], oh, ow, o))
    og = o // groups
    for g in range(groups):
        for i in range(kh):
            for j in range(kw):
                top, left = i * dilation[0], j * dilation[1]
                patch = x[
                    :,
                    top : top + (oh - 1) * strides[0] + 1 : strides[0],
                    left : left + (ow - 1) * strides[1] + 1 : strides[1],
                    g * cg : (g + 1) * cg,
                ]
                y[..., g * og : (g + 1) * og] += (
                    patch @ w[i, j, :, g * og : (g + 1) * og]
                )
    return y


def conv2d_transpose(
    x: np.ndarray, w: np.ndarray, strides: tuple[int, int], padding: str
) -> np.ndarray:
    """Every input pixel spreads its kernel over the output; then the borders go."""
    n, h, wd, _ = x.shape
    kh, kw, co, _ = w.shape
    full = np.zeros(
        (
            n,
            (h - 1) * strides[0] + max(kh, strides[0]),
            (wd - 1) * strides[1] + max(kw, strides[1]),
            co,
        )
    )
    for i in range(h):
        for j in range(wd):
            full[
                :,
                i * strides[0] : i * strides[0] + kh,
                j * strides[1] : j * strides[1] + kw,
            ] += np.einsum("nc,hwoc->nhwo", x[:, i, j], w)
    if padding == "valid":
        return full
    sizes = (h * strides[0], wd * strides[1])
    tops = [max(k - s, 0) // 2 for k, s in zip((kh, kw), strides, strict=True)]
    return full[:, tops[0] : tops[0] + sizes[0], tops[1] : tops[1] + sizes[1]]


def pool2d(
    x: np.ndarray,
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
    how: str,
) -> np.ndarray:
    pads = [(0, 0), (0, 0)]
    if padding == "same":
        pads = [same_padding(x.shape[1 + i], size[i], strides[i], 1) for i in range(2)]
    filled = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=np.nan)
    oh = (filled.shape[1] - size[0]) // strides[0] + 1
    ow = (filled.shape[2] - size[1]) // strides[1] + 1
    y = np.zeros((x.shape[0], oh, ow, x.shape[3]))
    for i in range(oh):
        for j in range(ow):
            top, left = i * strides[0], j * strides[1]
            window = filled[:, top : top + size[0], left : left + size[1]]
            f = np.nanmax if how == "max" else np.nanmean
            y[:, i, j] = f(window, axis=(1, 2))
    return y


def batch_norm(x: np.ndarray, g: np.ndarray, b: np.ndarray) -> np.ndarray:
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3) * g + b


def layer_norm(x: np.ndarray, g: np.ndarray, b: np.ndarray) -> np.ndarray:
    m = x.mean(-1, keepdims=True)
    return (x - m) / np.sqrt(x.var(-1, keepdims=True) + 1e-3) * g + b


GATE_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
}


def recurrent(
    cell: str,
    x: np.ndarray,
    states: list[np.ndarray],
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    go_backwards: bool = False,
) -> np.ndarray:
    """A cell step by step; the sequence and the last states in one flat array."""
    act, gate = GATE_FUNCTIONS[activation], GATE_FUNCTIONS[recurrent_activation]
    units = recurrent_kernel.shape[0]
    input_bias, state_bias = bias if cell == "gru" and bias is not None else (bias, 0)
    times = range(x.shape[1])
    output = np.zeros_like(states[0])
    sequence = []
    for t in reversed(times) if go_backwards else times:
        h = states[0]
        xs = x[:, t] @ kernel + (0 if input_bias is None else input_bias)
        xs = np.split(xs, xs.shape[1] // units, axis=1)
        hs = h @ recurrent_kernel + state_bias
        hs = np.split(hs, hs.shape[1] // units, axis=1)
        if cell == "simple_rnn":
            new = [act(xs[0] + hs[0])]
        elif cell == "lstm":
            i, f, o = (gate(xs[k] + hs[k]) for k in (0, 1, 3))
            c = f * states[1] + i * act(xs[2] + hs[2])
            new = [o * act(c), c]
        else:
            z, r = gate(xs[0] + hs[0]), gate(xs[1] + hs[1])
            if cell == "gru":
                inner = r * hs[2]
            else:
                inner = (r * h) @ recurrent_kernel[:, 2 * units :]
            new = [z * h + (1 - z) * act(xs[2] + inner)]
        keep = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        output = np.where(keep, new[0], output)
        states = [np.where(keep, n, s) for n, s in zip(new, states, strict=True)]
        sequence.append(output)
    return flat(np.stack(sequence, 1), *states)


def flat(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([p.ravel() for p in parts])


def recurrent_case(
    cell: str,
    name: str,
    units: int = 3,
    bias: bool = True,
    masked: bool = False,
    scale: float = 1.0,
    **options: Any,
) -> Case:
    batch, time, features = 4, 5, 2
    gates = {"simple_rnn": 1, "lstm": 4}.get(cell, 3)
    n_states = 2 if cell == "lstm" else 1
    columns = gates * units
    mask = None
    if masked:  # rows that start masked, have gaps, end masked, and have nothing
        mask = np.array(
            [[0, 1, 1, 0, 1], [1, 0, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool
        )
    op = {"simple_rnn": c.simple_rnn, "lstm": c.lstm}.get(cell, c.gru)
    extra = {"reset_after": cell == "gru"} if gates == 3 else {}

    def run(x: Any, *rest: Any) -> Any:
        parts = op(x, *rest, mask=mask, **options, **extra)
        return c.concat([c.reshape(p, (-1,)) for p in parts], 0)

    inputs = [
        normal(batch, time, features),
        *[normal(batch, units, seed=1 + k) for k in range(n_states)],
        normal(features, columns, seed=3),
        0.5 * normal(units, columns, seed=4),
    ]
    if bias:
        inputs.append(normal(*([2] if cell == "gru" else []), columns, seed=5))
    return Case(
        f"{cell}_{name}",
        run,
        lambda x, *rest: recurrent(
            cell,
            x,
            list(rest[:n_states]),
            *rest[n_states:],
            mask=mask,
            **options,
        ),
        [scale * i for i in inputs],
        # Steps feed on each other.
        rtol=1e-5,
        atol=1e-5,
    )


X = normal(3, 5)
SELU_A, SELU_S = 1.6732632423543772, 1.0507009873554805

# Elementwise, one operand. sin/cos/... go through the C library or Eigen: a few ulp.
UNARY = [
    Case("neg", c.neg, lambda x: -x, [X]),
    Case("abs", c.abs, np.abs, [apart(3, 5)]),
    Case("sign", c.sign, np.sign, [apart(3, 5)]),
    Case("square", c.square, np.square, [X]),
    Case("exp", c.exp, np.exp, [X]),
    Case("expm1", c.expm1, np.expm1, [X]),
    Case("log", c.log, np.log, [positive(3, 5)]),
    Case("log1p", c.log1p, np.log1p, [positive(3, 5)]),
    Case("sqrt", c.sqrt, np.sqrt, [positive(3, 5)]),
    Case("rsqrt", c.rsqrt, lambda x: 1 / np.sqrt(x), [positive(3, 5)]),
    Case("reciprocal", c.reciprocal, lambda x: 1 / x, [positive(3, 5)]),
    Case("sin", c.sin, np.sin, [X]),
    Case("cos", c.cos, np.cos, [X]),
    Case("tan", c.tan, np.tan, [unit(3, 5)]),
    Case("asin", c.asin, np.arcsin, [unit(3, 5)]),
    Case("acos", c.acos, np.arccos, [unit(3, 5)]),
    Case("atan", c.atan, np.arctan, [X]),
    Case("sinh", c.sinh, np.sinh, [X]),
    Case("cosh", c.cosh, np.cosh, [X]),
    Case("tanh", c.tanh, np.tanh, [X]),
    Case("erf", c.erf, erf, [X]),
    Case("floor", c.floor, np.floor, [apart(3, 5)]),
    Case("ceil", c.ceil, np.ceil, [apart(3, 5)]),
    Case("round", c.round, np.round, [apart(3, 5)]),
    Case("sigmoid", c.sigmoid, sigmoid, [X]),
    Case("softplus", c.softplus, lambda x: np.log1p(np.exp(x)), [X]),
    Case("relu", c.relu, lambda x: np.maximum(x, 0), [apart(3, 5)]),
    Case(
        "leaky_relu",
        lambda x: c.leaky_relu(x, 0.3),
        lambda x: np.where(x < 0, 0.3 * x, x),
        [apart(3, 5)],
    ),
    Case(
        "leaky_relu_negative",
        lambda x: c.leaky_relu(x, -0.3),
        lambda x: np.where(x < 0, -0.3 * x, x),
        [apart(3, 5)],
    ),
    Case(
        "elu",
        lambda x: c.elu(x, 0.7),
        lambda x: np.where(x < 0, 0.7 * np.expm1(x), x),
        [apart(3, 5)],
    ),
    Case(
        "selu",
        c.selu,
        lambda x: SELU_S * np.where(x < 0, SELU_A * np.expm1(x), x),
        [apart(3, 5)],
    ),
    Case(
        "gelu",
        lambda x: c.gelu(x, False),
        lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
        [X],
    ),
    Case(
        "gelu_tanh",
        lambda x: c.gelu(x, True),
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        [X],
    ),
    Case("silu", c.silu, lambda x: x * sigmoid(x), [X]),
    Case("softsign", c.softsign, lambda x: x / (1 + np.abs(x)), [X]),
    Case("hard_sigmoid", c.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1), [4 * X]),
    Case("hard_silu", c.hard_silu, lambda x: x * np.clip(x / 6 + 0.5, 0, 1), [4 * X]),
    Case(
        "clip",
        lambda x: c.clip(x, -0.5, 0.6),
        lambda x: np.clip(x, -0.5, 0.6),
        [apart(3, 5)],
    ),
    Case("isnan", c.isnan, np.isnan, [np.array([1.0, np.nan, np.inf])], grad=False),
    Case(
        "isfinite",
        c.isfinite,
        np.isfinite,
        [np.array([1.0, np.nan, np.inf])],
        grad=False,
    ),
]

A, B = normal(3, 1, 5, seed=1), normal(4, 5, seed=2)
BINARY = [
    Case("add", c.add, np.add, [A, B]),
    Case("sub", c.sub, np.subtract, [A, B]),
    Case("mul", c.mul, np.multiply, [A, B]),
    Case("div", c.div, np.divide, [A, positive(4, 5)]),
    Case(
        "maximum", c.maximum, np.maximum, [apart(3, 1, 5), 0.017 + apart(4, 5, seed=2)]
    ),
    Case(
        "minimum", c.minimum, np.minimum, [apart(3, 1, 5), 0.017 + apart(4, 5, seed=2)]
    ),
    # pow goes through exp and log: the error grows with the exponent.
    Case("pow", c.pow, np.power, [positive(3, 1, 5), B], rtol=1e-5),
    Case("mod", c.mod, np.mod, [apart(3, 1, 5), positive(4, 5)], rtol=1e-5),
    Case("floor_div", c.floor_div, np.floor_divide, [apart(3, 1, 5), positive(4, 5)]),
    Case("squared_difference", c.squared_difference, lambda x, y: (x - y) ** 2, [A, B]),
    Case("atan2", c.atan2, np.arctan2, [A, B]),
    Case("add_same", c.add, np.add, [normal(7, 3), normal(7, 3, seed=1)]),
    Case("add_scalar", c.add, np.add, [normal(7, 3), np.array(0.3)]),
    Case("mul_column", c.mul, np.multiply, [normal(7, 3), normal(7, 1, seed=1)]),
    Case("sub_row", c.sub, np.subtract, [normal(3, seed=1), normal(7, 3)]),
    *[
        Case(n, getattr(c, n), f, [np.round(A), np.round(B)], grad=False)
        for n, f in [
            ("equal", np.equal),
            ("not_equal", np.not_equal),
            ("less", np.less),
            ("less_equal", np.less_equal),
            ("greater", np.greater),
            ("greater_equal", np.greater_equal),
            ("logical_and", lambda x, y: (x != 0) & (y != 0)),
            ("logical_or", lambda x, y: (x != 0) | (y != 0)),
            ("logical_xor", lambda x, y: (x != 0) ^ (y != 0)),
        ]
    ],
    Case(
        "where",
        lambda x, y: c.where(B > 0, x, y),
        lambda x, y: np.where(B > 0, x, y),
        [A, normal(4, 5, seed=3)],
    ),
]

V = normal(2, 3, 4, seed=4)
SHAPE = [
    Case("reshape", lambda x: c.reshape(x, (4, -1)), lambda x: x.reshape(4, -1), [V]),
    Case(
        "transpose",
        lambda x: c.transpose(x, (1, 2, 0)),
        lambda x: x.transpose(1, 2, 0),
        [V],
    ),
    Case(
        "concat",
        lambda x, y: c.concat([x, y], 1),
        lambda x, y: np.concatenate([x, y], 1),
        [V, normal(2, 5, 4)],
    ),
    Case(
        "stack",
        lambda x, y: c.stack([x, y], -1),
        lambda x, y: np.stack([x, y], -1),
        [V, normal(2, 3, 4)],
    ),
    Case(
        "slice",
        lambda x: c.slice(x, (0, 1, 0), (2, 3, 4), (1, 1, 2)),
        lambda x: x[0:2, 1:3, 0:4:2],
        [V],
    ),
    Case("index", lambda x: x[1, ..., ::-1], lambda x: x[1, ..., ::-1], [V]),
    Case("index_none", lambda x: x[:, None, 1:, -1], lambda x: x[:, None, 1:, -1], [V]),
    Case(
        "pad",
        lambda x: c.pad(x, [(0, 1), (2, 0), (1, 1)], 0.5),
        lambda x: np.pad(x, [(0, 1), (2, 0), (1, 1)], constant_values=0.5),
        [V],
    ),
    Case(
        "broadcast_to",
        lambda x: c.broadcast_to(x, (5, 3, 4)),
        lambda x: np.broadcast_to(x, (5, 3, 4)),
        [normal(3, 1)],
    ),
    Case(
        "gather",
        lambda x: c.gather(x, [[2, 0], [2, -1]], 1),
        lambda x: x[:, [[2, 0], [2, -1]]],
        [V],
    ),
    Case("flip", lambda x: c.flip(x, (0, 2)), lambda x: x[::-1, :, ::-1], [V]),
    Case("expand_dims", lambda x: c.expand_dims(x, 1), lambda x: x[:, None], [V]),
    Case("squeeze", c.squeeze, np.squeeze, [normal(1, 3, 1)]),
    Case("repeat", lambda x: c.repeat(x, 3, 1), lambda x: np.repeat(x, 3, 1), [V]),
    Case("tile", lambda x: c.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3)), [V]),
    Case(
        "one_hot",
        lambda x: c.one_hot(c.cast(x, "int32"), 4, "float32"),
        lambda x: np.eye(4)[x.astype(int)],
        [np.array([0.0, 3, 1])],
        grad=False,
    ),
]

REDUCE = [
    Case(
        f"{name}_{axis}_{keep}",
        lambda x, op=op, axis=axis, keep=keep: op(x, axis, keep),
        lambda x, f=f, axis=axis, keep=keep: f(x, axis=axis, keepdims=keep),
        [apart(2, 3, 4)],
    )
    for name, op, f in [
        ("sum", c.sum, np.sum),
        ("mean", c.mean, np.mean),
        ("max", c.max, np.max),
        ("min", c.min, np.min),
        ("prod", c.prod, np.prod),
        ("var", c.var, np.var),
        (
            "logsumexp",
            c.logsumexp,
            lambda x, axis, keepdims: np.log(
                np.exp(x).sum(axis=axis, keepdims=keepdims)
            ),
        ),
    ]
    for axis in (None, 1, -1, (0, 2))
    for keep in (False, True)
] + [
    Case("argmax", lambda x: c.argmax(x, 1), lambda x: x.argmax(1), [V], grad=False),
    Case("argmin_all", c.argmin, lambda x: x.argmin(), [V], grad=False),
    Case("any", lambda x: c.any(x > 1, 1), lambda x: (x > 1).any(1), [V], grad=False),
    Case("all", lambda x: c.all(x > -1, 1), lambda x: (x > -1).all(1), [V], grad=False),
    Case("cumsum", lambda x: c.cumsum(x, 1), lambda x: x.cumsum(1), [V]),
    Case("cumprod", lambda x: c.cumprod(x, 1), lambda x: x.cumprod(1), [V]),
    Case(
        "prod_with_zero",
        lambda x: c.prod(x, 0),
        lambda x: x.prod(0),
        [np.array([0.0, 2.0, 3.0])],
    ),
]

NN = [
    # A float32 dot product of k terms is off by about sqrt(k) eps of the terms' size.
    Case(
        "matmul", c.matmul, np.matmul, [normal(4, 7), normal(7, 5, seed=1)], rtol=1e-5
    ),
    Case(
        "matmul_batched",
        c.matmul,
        np.matmul,
        [normal(2, 4, 7), normal(2, 7, 5, seed=1)],
        rtol=1e-5,
    ),
    Case(
        "matmul_shared_b",
        c.matmul,
        np.matmul,
        [normal(2, 4, 7), normal(7, 5, seed=1)],
        rtol=1e-5,
    ),
    Case(
        "matmul_shared_a",
        c.matmul,
        np.matmul,
        [normal(4, 7), normal(2, 7, 5, seed=1)],
        rtol=1e-5,
    ),
    Case(
        "matmul_broadcast",
        c.matmul,
        np.matmul,
        [normal(2, 1, 4, 7), normal(3, 7, 5, seed=1)],
        rtol=1e-5,
    ),
    Case(
        "matmul_vector",
        c.matmul,
        np.matmul,
        [normal(7), normal(7, 5, seed=1)],
        rtol=1e-5,
    ),
    Case("matmul_dot", c.matmul, np.matmul, [normal(7), normal(7, seed=1)], rtol=1e-5),
    Case("softmax", c.softmax, softmax, [V]),
    Case("softmax_axis", lambda x: c.softmax(x, 1), lambda x: softmax(x, 1), [V]),
    Case("log_softmax", c.log_softmax, lambda x: np.log(softmax(x)), [V]),
    Case(
        "batch_norm",
        lambda x, g, b: c.batch_norm(x, g, b, 1e-3)[0],
        batch_norm,
        [normal(5, 2, 3), normal(3, seed=1), normal(3, seed=2)],
        rtol=1e-5,
    ),
    Case(
        "batch_norm_mean",
        lambda x: c.batch_norm(x, None, None, 1e-3)[1],
        lambda x: x.mean(0),
        [normal(5, 3)],
    ),
    Case(
        "batch_norm_var",
        lambda x: c.batch_norm(x, None, None, 1e-3)[2],
        lambda x: x.var(0),
        [normal(5, 3)],
    ),
    Case(
        "layer_norm",
        lambda x, g, b: c.layer_norm(x, g, b, 1e-3),
        layer_norm,
        [normal(5, 2, 3), normal(3, seed=1), normal(3, seed=2)],
        rtol=1e-5,
    ),
    *[
        Case(
            f"conv2d_s{s[0]}{s[1]}_{p}_d{d[0]}{d[1]}_g{g}_k{k[0]}{k[1]}",
            lambda x, w, s=s, p=p, d=d, g=g: c.conv(x, w, s, p, d, g),
            lambda x, w, s=s, p=p, d=d, g=g: conv2d(x, w, s, p, d, g),
            [normal(2, 7, 6, 4), normal(k[0], k[1], 4 // g, 6 if g < 4 else 8, seed=1)],
            rtol=1e-5,
            atol=1e-5,
        )
        for s in ((1, 1), (2, 1), (3, 2))
        for p in ("valid", "same")
        for d in ((1, 1), (2, 2))
        for g in (1, 2, 4)
        for k in ((3, 3), (2, 1))
        if s == (1, 1) or d == (1, 1)
    ],
    Case(
        "conv2d_one_channel",
        lambda x, w: c.conv(x, w),
        conv2d,
        [normal(2, 6, 6, 1), normal(3, 3, 1, 8, seed=1)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "conv1d_causal",
        lambda x, w: c.conv(x, w, (1,), "causal", (2,)),
        lambda x, w: conv2d(
            np.pad(x, [(0, 0), (4, 0), (0, 0)])[:, None], w[None], dilation=(1, 2)
        )[:, 0],
        [normal(2, 9, 3), normal(3, 3, 4, seed=1)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "depthwise_conv",
        lambda x, w: c.depthwise_conv(x, w, (1, 1), "same"),
        lambda x, w: conv2d(x, w.reshape(3, 3, 1, 6), padding="same", groups=3),
        [normal(2, 5, 4, 3), normal(3, 3, 3, 2, seed=1)],
        rtol=1e-5,
        atol=1e-5,
    ),
    *[
        Case(
            f"conv2d_transpose_s{s}_{p}_k{k}",
            lambda x, w, s=s, p=p: c.conv_transpose(x, w, (s, s), p),
            lambda x, w, s=s, p=p: conv2d_transpose(x, w, (s, s), p),
            [normal(2, 3, 4, 2), normal(k, k, 3, 2, seed=1)],
            rtol=1e-5,
            atol=1e-5,
        )
        for s in (1, 2, 3)
        for p in ("valid", "same")
        for k in (1, 2, 3, 4)
    ],
    *[
        Case(
            f"{how}_pool_{size}_s{s}_{p}",
            lambda x, how=how, size=size, s=s, p=p: getattr(c, f"{how}_pool")(
                x, size, s, p
            ),
            lambda x, how=how, size=size, s=s, p=p: pool2d(x, size, s, p, how),
            [apart(2, 6, 5, 3)],
        )
        for how in ("max", "avg")
        for size, s in (((2, 2), (2, 2)), ((3, 2), (1, 2)), ((3, 3), (2, 1)))
        for p in ("valid", "same")
    ],
]

T = np.eye(4)[[0, 2, 3]]
LOSSES = [
    Case(
        "categorical_crossentropy",
        lambda p: c.categorical_crossentropy(T, p, False, -1),
        lambda p: -(T * np.log(p / p.sum(-1, keepdims=True))).sum(-1),
        [probabilities(3, 4) * 1.5],
    ),
    Case(
        "categorical_crossentropy_logits",
        lambda t, z: c.categorical_crossentropy(t, z, True, -1),
        lambda t, z: -(t * np.log(softmax(z))).sum(-1),
        [probabilities(3, 4) * 2, normal(3, 4)],
    ),
    Case(
        "categorical_crossentropy_of_softmax",
        lambda z: c.categorical_crossentropy(T, c.softmax(z), False, -1),
        lambda z: -(T * np.log(softmax(z))).sum(-1),
        [normal(3, 4)],
    ),
    Case(
        "categorical_crossentropy_axis",
        lambda z: c.categorical_crossentropy(T.T, z, True, 0),
        lambda z: -(T.T * np.log(softmax(z, 0))).sum(0),
        [normal(4, 3)],
    ),
    Case(
        "sparse_categorical_crossentropy",
        lambda z: c.sparse_categorical_crossentropy(np.array([0, 2, 3]), z, True, -1),
        lambda z: -np.log(softmax(z))[[0, 1, 2], [0, 2, 3]],
        [normal(3, 4)],
    ),
    Case(
        "sparse_categorical_crossentropy_probabilities",
        lambda p: c.sparse_categorical_crossentropy(
            np.array([[0], [2], [3]]), p, False, -1
        ),
        lambda p: -np.log(p / p.sum(-1, keepdims=True))[[0, 1, 2], [0, 2, 3]],
        [probabilities(3, 4) * 1.5],
    ),
    Case(
        "binary_crossentropy",
        lambda p: c.binary_crossentropy(T, p, False),
        lambda p: -(T * np.log(p) + (1 - T) * np.log(1 - p)),
        [probabilities(3, 4)],
    ),
    Case(
        "binary_crossentropy_logits",
        lambda z: c.binary_crossentropy(T, z, True),
        lambda z: -(T * np.log(sigmoid(z)) + (1 - T) * np.log(1 - sigmoid(z))),
        [normal(3, 4)],
    ),
]

RECURRENT = [
    recurrent_case(cell, name, **options)
    for cell in ("simple_rnn", "lstm", "gru", "gru_reset_before")
    for name, options in [
        ("plain", {}),
        ("one_unit", {"units": 1}),
        ("many_units", {"units": 19}),
        ("without_bias", {"bias": False}),
        ("backwards", {"go_backwards": True}),
        ("masked", {"masked": True}),
        ("masked_backwards", {"masked": True, "go_backwards": True}),
    ]
] + [
    recurrent_case(
        cell,
        f"{act}_{gate}",
        scale=0.4,  # a linear gate soon makes large numbers of large ones
        activation=act,
        **({} if cell == "simple_rnn" else {"recurrent_activation": gate}),
    )
    for cell in ("simple_rnn", "lstm", "gru", "gru_reset_before")
    for act, gate in [
        ("relu", "hard_sigmoid"),
        ("linear", "sigmoid"),
        ("sigmoid", "tanh"),
        ("hard_sigmoid", "linear"),
        ("tanh", "relu"),
    ]
]

CASES = UNARY + BINARY + SHAPE + REDUCE + NN + RECURRENT + LOSSES
