"""Single ops, eager, on shapes taken from real networks."""

from __future__ import annotations

import numpy as np

from workloads.spec import Array, OpWorkload, convolve


def _random(*shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def _matmul(m: int, k: int, n: int) -> OpWorkload:
    return OpWorkload(
        f"matmul_{m}x{k}x{n}",
        f"matmul ({m}, {k}) @ ({k}, {n})",
        "matmul",
        lambda: _random((m, k), (k, n)),
        lambda a, b: [a.astype(np.float64) @ b],
        flops=2.0 * m * k * n,
    )


def _conv(batch: int, size: int, channels: int, filters: int, k: int) -> OpWorkload:
    out = size - k + 1

    def gradients(x: Array, w: Array, r: Array) -> list[Array]:
        """Of sum(conv(x, w) * r) with respect to x and w."""
        x, w, r = (a.astype(np.float64) for a in (x, w, r))
        padded = np.pad(r, [(0, 0), (k - 1, k - 1), (k - 1, k - 1), (0, 0)])
        dx = convolve(padded, w[::-1, ::-1].transpose(0, 1, 3, 2))
        dw = np.empty_like(w)
        for i in range(k):
            for j in range(k):
                window = x[:, i : i + out, j : j + out]
                dw[i, j] = np.tensordot(window, r, axes=[(0, 1, 2), (0, 1, 2)])
        return [convolve(x, w), dx, dw]

    return OpWorkload(
        f"conv_{batch}x{size}x{channels}_{k}x{k}x{filters}",
        f"conv2d forward + backward, ({batch}, {size}, {size}, {channels}), "
        f"{filters} filters of {k}x{k}",
        "conv",
        lambda: _random(
            (batch, size, size, channels),
            (k, k, channels, filters),
            (batch, out, out, filters),
        ),
        gradients,
        flops=3 * 2.0 * batch * out * out * k * k * channels * filters,
    )


def _elementwise(n: int) -> OpWorkload:
    return OpWorkload(
        f"elementwise_{n}",
        f"x * y + x, {n} elements",
        "elementwise",
        lambda: _random((n,), (n,)),
        lambda x, y: [x.astype(np.float64) * y + x],
        traffic=6 * 4.0 * n,
    )


OPS = (
    _matmul(32, 784, 100),
    _matmul(512, 512, 512),
    _conv(32, 28, 1, 8, 3),
    _conv(32, 14, 32, 64, 3),
    _conv(32, 14, 64, 64, 1),
    _elementwise(1000),
    _elementwise(1_000_000),
)
