"""Single ops, eager, on shapes taken from real networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from workloads import reference as ref
from workloads.spec import Array, OpWorkload, Shape, Target


def random(*shapes: Shape) -> list[Array]:
    """Normal numbers, the same in every process."""
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def _double(*arrays: Array) -> list[Array]:
    return [a.astype(np.float64) for a in arrays]


# ------------------------------------------------------------------------- matmul


def _matmul(m: int, k: int, n: int) -> list[OpWorkload]:
    """The product, and the two of its gradient."""
    size = f"{m}x{k}x{n}" if not m == k == n else str(m)

    def forward(a: Array, b: Array) -> list[Array]:
        return [a.astype(np.float64) @ b]

    def grad_a(g: Array, b: Array) -> list[Array]:
        return [g.astype(np.float64) @ b.T]

    def grad_b(a: Array, g: Array) -> list[Array]:
        return [a.T.astype(np.float64) @ g]

    rows: list[tuple[str, str, Shape, Shape, Callable[..., list[Array]]]] = [
        ("matmul", f"({m}, {k}) @ ({k}, {n})", (m, k), (k, n), forward),
        ("matmul_grad_a", f"({m}, {n}) @ ({k}, {n})^T", (m, n), (k, n), grad_a),
        ("matmul_grad_b", f"({m}, {k})^T @ ({m}, {n})", (m, k), (m, n), grad_b),
    ]
    return [
        OpWorkload(
            f"{op}_{size}", "matmul", text, op, lambda s=s, t=t: random(s, t), function,
            flops=2.0 * m * k * n, targets=(Target("torch", 1.0),),
        )
        for op, text, s, t, function in rows
    ]  # fmt: skip


MATMUL = [
    workload
    for shape in (
        (64, 64, 64),
        (128, 128, 128),
        (256, 256, 256),
        (512, 512, 512),
        (1024, 1024, 1024),
        (2048, 2048, 2048),
        (32, 784, 100),
        (32, 100, 10),
    )
    for workload in _matmul(*shape)
]

# -------------------------------------------------------------------- convolution


def _conv(
    name: str,
    x: Shape,
    w: Shape,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
    groups: int = 1,
    ratio: float = 1.0,
) -> list[OpWorkload]:
    """Forward and both gradients: x (n, *sizes, c), w (*k, c / groups, o)."""
    spatial = len(x) - 2
    strides = (stride,) * spatial
    pads = [(pad, pad)] * spatial
    more = {"strides": strides, "pad": pads, "dilation": dilation, "groups": groups}
    out = tuple(
        (n + 2 * pad - (k - 1) * dilation - 1) // stride + 1
        for n, k in zip(x[1:-1], w[:spatial], strict=True)
    )
    y = (x[0], *out, w[-1])
    options = {
        "stride": stride,
        "pad": pad,
        "dilation": dilation,
        "groups": groups,
        "spatial": spatial,
        "x_shape": x,
        "w_shape": w,
    }
    flops = 2.0 * math.prod(y) * math.prod(w[:-1])

    def forward(a: Array, b: Array) -> list[Array]:
        a, b = _double(a, b)
        return [ref.convolve(a, b, **more)]

    def data(b: Array, g: Array) -> list[Array]:
        b, g = _double(b, g)
        return [ref.convolve_gradients(np.zeros(x), b, g, **more)[0]]

    def weights(a: Array, g: Array) -> list[Array]:
        a, g = _double(a, g)
        return [ref.convolve_gradients(a, np.zeros(w), g, **more)[1]]

    by = "x".join(map(str, w[:spatial]))
    extra = "".join(
        f", {key} {options[key]}"
        for key, usual in (("stride", 1), ("pad", 0), ("dilation", 1), ("groups", 1))
        if options[key] != usual
    )
    text = f"{x} * {by}, {w[-1]} filters{extra}"
    parts: tuple[tuple[str, Shape, Shape, Callable[..., list[Array]]], ...] = (
        ("forward", x, w, forward),
        ("data", w, y, data),
        ("weights", x, y, weights),
    )
    return [
        OpWorkload(
            f"conv_{name}_{part}", "conv", f"{part}: {text}", f"conv_{part}",
            lambda s=s, t=t: random(s, t), function, options, flops=flops,
            targets=(Target("torch", ratio),),
        )
        for part, s, t, function in parts
    ]  # fmt: skip


def _conv_transpose(name: str, x: Shape, w: Shape, stride: int) -> list[OpWorkload]:
    """y = the gradient with respect to the data of a convolution; w (*k, out, in)."""
    n, sizes = x[0], x[1:-1]
    strides = (stride,) * len(sizes)
    out = tuple((s - 1) * stride + k for s, k in zip(sizes, w, strict=False))
    y = (n, *out, w[-2])

    def forward(a: Array, b: Array) -> list[Array]:
        a, b = _double(a, b)
        return [ref.convolve_gradients(np.zeros(y), b, a, strides)[0]]

    return [
        OpWorkload(
            f"conv_{name}_forward", "conv", f"transposed: {x}, {w[-2]} filters, stride "
            f"{stride}", "conv_transpose", lambda: random(x, w), forward,
            {"stride": stride, "spatial": len(sizes)},
            flops=2.0 * math.prod(x) * math.prod(w[:-1]),
            targets=(Target("torch", 1.0),),
        )
    ]  # fmt: skip


_WINOGRAD = 1.3  # 3x3, stride 1, 32 channels or more

CONV = [
    *_conv("1to8", (64, 28, 28, 1), (3, 3, 1, 8)),
    *_conv("1to32", (64, 28, 28, 1), (3, 3, 1, 32)),
    *_conv("3to64", (32, 32, 32, 3), (3, 3, 3, 64), pad=1),
    *_conv("64to3", (16, 32, 32, 64), (3, 3, 64, 3), pad=1),
    *_conv("3x3_16_32", (64, 32, 32, 16), (3, 3, 16, 16), pad=1),
    *_conv("3x3_32_56", (8, 56, 56, 32), (3, 3, 32, 32), pad=1, ratio=_WINOGRAD),
    *_conv("3x3_64_56", (4, 56, 56, 64), (3, 3, 64, 64), pad=1, ratio=_WINOGRAD),
    *_conv("3x3_128_28", (4, 28, 28, 128), (3, 3, 128, 128), pad=1, ratio=_WINOGRAD),
    *_conv("3x3_256_14", (4, 14, 14, 256), (3, 3, 256, 256), pad=1, ratio=_WINOGRAD),
    *_conv("3x3_512_7", (4, 7, 7, 512), (3, 3, 512, 512), pad=1, ratio=_WINOGRAD),
    *_conv("1x1_64to256_56", (4, 56, 56, 64), (1, 1, 64, 256)),
    *_conv("1x1_256to64_56", (4, 56, 56, 256), (1, 1, 256, 64)),
    *_conv("1x1_512_14", (8, 14, 14, 512), (1, 1, 512, 512)),
    *_conv("5x5_32_28", (16, 28, 28, 32), (5, 5, 32, 32), pad=2),
    *_conv("7x7s2_3to64", (2, 229, 229, 3), (7, 7, 3, 64), stride=2),
    *_conv("3x3s2_64to128", (8, 57, 57, 64), (3, 3, 64, 128), stride=2),
    *_conv("dilated_64", (8, 28, 28, 64), (3, 3, 64, 64), pad=2, dilation=2),
    *_conv("groups4_128", (8, 28, 28, 128), (3, 3, 32, 128), pad=1, groups=4),
    *_conv("depthwise_64", (8, 56, 56, 64), (3, 3, 1, 64), pad=1, groups=64),
    *_conv("1d_64", (32, 256, 64), (5, 64, 64), pad=2),
    *_conv("3d_16", (2, 16, 28, 28, 16), (3, 3, 3, 16, 32), pad=1),
    *_conv_transpose("transposed_64", (16, 14, 14, 64), (2, 2, 32, 64), 2),
]

# ---------------------------------------------------------------- bound by memory

_LEVELS = {"L1": 1 << 10, "L2": 1 << 15, "DRAM": 1 << 24}  # elements of one tensor
_MEMORY_TARGET = (Target("torch", 1.5, bandwidth=0.9),)
_COLUMNS = 64


def _memory(
    op: str,
    level: str,
    passes: float,
    function: Callable[..., list[Array]] | None,
    operands: int = 1,
    shape: Shape | None = None,
    **options: Any,
) -> OpWorkload:
    """`passes` counts tensors of the level's size that must be read or written."""
    n = _LEVELS[level]
    shapes = [shape or (n // _COLUMNS, _COLUMNS)] * operands
    return OpWorkload(
        f"{op}_{level}", "memory", f"{op} {shapes[0]} ({level})", op,
        lambda: random(*shapes), function, options,
        traffic=4.0 * passes * math.prod(shapes[0]), level=level,
        targets=_MEMORY_TARGET,
    )  # fmt: skip


def _batch_norm(x: Array) -> list[Array]:
    x = x.astype(np.float64)
    return [(x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3)]


def _batch_norm_grad(x: Array, g: Array) -> list[Array]:
    x, g = _double(x, g)
    scale = 1 / np.sqrt(x.var(axis=0) + 1e-3)
    normal = (x - x.mean(axis=0)) * scale
    return [scale * (g - g.mean(axis=0) - normal * (normal * g).mean(axis=0))]


def _blocks(x: Array) -> Array:
    n, h, w, c = x.shape
    split = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(n, h // 2, w // 2, 4, c)


def _max_pool(x: Array) -> list[Array]:
    return [_blocks(x).max(axis=3)]


def _max_pool_grad(x: Array) -> list[Array]:
    """Of the sum: one where the maximum is."""
    blocks = _blocks(x)
    n, h, w, _, c = blocks.shape
    dx = np.zeros(blocks.shape)
    np.put_along_axis(dx, blocks.argmax(axis=3)[:, :, :, None], 1, axis=3)
    dx = dx.reshape(n, h, w, 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return [dx.reshape(x.shape)]


def _image(level: str) -> Shape:
    """A batch of 32-channel images of about the level's size."""
    side = {"L1": 4, "L2": 16, "DRAM": 32}[level]
    return (max(1, _LEVELS[level] // (side * side * 32)), side, side, 32)


def _adam(p: Array, g: Array) -> list[Array]:
    """The first update: the learning rate against the sign of the gradient."""
    p, g = _double(p, g)
    return [p - 1e-3 * g / (np.abs(g) + 1e-7)]


MEMORY = [
    workload
    for level in _LEVELS
    for workload in (
        _memory("relu", level, 2, lambda x: [np.maximum(x, 0)]),
        _memory("exp", level, 2, lambda x: [np.exp(x.astype(np.float64))]),
        _memory("sigmoid", level, 2, lambda x: [ref.sigmoid(x.astype(np.float64))]),
        _memory("tanh", level, 2, lambda x: [np.tanh(x.astype(np.float64))]),
        _memory("softmax", level, 2, lambda x: [ref.softmax(x.astype(np.float64))]),
        _memory("sum", level, 1, lambda x: [np.array(x.sum(dtype=np.float64))]),
        _memory(
            "add", level, 3, lambda x, y: [x.astype(np.float64) + y], operands=2
        ),
        _memory(
            "chain", level, 3, lambda x, y: [x.astype(np.float64) * y + x], operands=2
        ),
        _memory("batch_norm", level, 3, _batch_norm),
        _memory("batch_norm_grad", level, 5, _batch_norm_grad, operands=2),
        _memory("max_pool", level, 1.25, _max_pool, shape=_image(level)),
        _memory("max_pool_grad", level, 2.5, _max_pool_grad, shape=_image(level)),
        _memory("dropout", level, 2, None, rate=0.5),
    )
] + [
    OpWorkload(
        "adam_10M", "memory", "Adam over 10 M parameters", "adam",
        lambda: random((10_000_000,), (10_000_000,)), _adam,
        traffic=7 * 4.0 * 10_000_000, level="DRAM", targets=_MEMORY_TARGET,
    )
]  # fmt: skip

# ------------------------------------------------------------------ tiny tensors

_TINY = (Target(limit=0.6e-6), Target("torch", 3))


def _tiny(op: str, text: str, function, *shapes: Shape) -> OpWorkload:
    return OpWorkload(
        f"tiny_{op}", "tiny", text, op, lambda: random(*shapes), function, targets=_TINY
    )


TINY = [
    _tiny("add", "x + y, 3 elements", lambda x, y: [x + y], (3,), (3,)),
    _tiny("relu", "relu(x), 3 elements", lambda x: [np.maximum(x, 0)], (3,)),
    _tiny("exp", "exp(x), 3 elements", lambda x: [np.exp(x)], (3,)),
    _tiny("sum", "sum(x), 3 elements", lambda x: [x.sum()], (3,)),
    _tiny("matmul", "(4, 4) @ (4, 4)", lambda a, b: [a @ b], (4, 4), (4, 4)),
    _tiny("reshape", "x.reshape(3, 2)", lambda x: [x.reshape(3, 2)], (2, 3)),
    _tiny("row", "x[1]", lambda x: [x[1]], (2, 3)),
]

OPS = (*MATMUL, *CONV, *MEMORY, *TINY)
