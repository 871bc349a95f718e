"""Rows for functions of lamella.ops that are more than one op of the core.

The same table as in cases.py; references are numpy's, from the definition.
"""

from __future__ import annotations

import math

import numpy as np
from cases import Case, apart, normal, positive, unit

from lamella import ops


def definite(*shape: int, seed: int = 0) -> np.ndarray:
    """Symmetric, with eigenvalues of at least 1."""
    x = normal(*shape, seed=seed)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


def triangular(*shape: int, seed: int = 0) -> np.ndarray:
    return np.tril(normal(*shape, seed=seed)) + 2 * np.eye(shape[-1])


def bessel_i0(x: np.ndarray) -> np.ndarray:
    """The mean of exp(x cos t) over a period (a sum is exact to rounding)."""
    t = np.arange(64) * (2 * math.pi / 64)
    return np.exp(x[..., None] * np.cos(t)).mean(-1)


def frames(x: np.ndarray, size: int, step: int) -> np.ndarray:
    starts = range(0, x.shape[-1] - size + 1, step)
    return np.stack([x[..., s : s + size] for s in starts], -2)


def stft(x: np.ndarray, size: int, step: int, n: int) -> np.ndarray:
    x = np.pad(x, [(0, 0), (n // 2, n // 2)], mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size)
    left = (n - size) // 2
    window = np.pad(window, (left, n - size - left))
    spectrum = np.fft.rfft(frames(x, n, step) * window)
    return np.concatenate([spectrum.real, spectrum.imag], -1)


def unfold(x: np.ndarray, k: int, d: int, p: int, s: int) -> np.ndarray:
    x = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    count = [(n - d * (k - 1) - 1) // s + 1 for n in x.shape[2:]]
    out = np.zeros((*x.shape[:2], k * k, count[0] * count[1]))
    for i in range(k):
        for j in range(k):
            rows = slice(i * d, i * d + (count[0] - 1) * s + 1, s)
            columns = slice(j * d, j * d + (count[1] - 1) * s + 1, s)
            block = x[:, :, rows, columns]
            out[:, :, i * k + j] = block.reshape(*x.shape[:2], -1)
    return out.reshape(x.shape[0], -1, count[0] * count[1])


def parts(pair: tuple) -> object:
    return ops.concatenate(list(pair), axis=-1)


def both(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z.real, z.imag], -1)


def ctc(logits: np.ndarray, labels: list[int], blank: int = 0) -> float:
    """-log of the sum over all paths that merge to the labels, by enumeration."""
    import itertools

    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=logits.shape[0]):
        merged = [k for i, k in enumerate(path) if i == 0 or k != path[i - 1]]
        if [k for k in merged if k != blank] == labels:
            total += math.prod(p[t, k] for t, k in enumerate(path))
    return -math.log(total)


def _erfinv(x: np.ndarray) -> np.ndarray:
    """Bisection on erf."""
    low, high = np.full(x.shape, -6.0), np.full(x.shape, 6.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = np.vectorize(math.erf)(middle) < x
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


LABELS = np.array([[1, 2], [2, 2]])

MORE = [
    Case("erfinv", ops.erfinv, _erfinv, [unit(3, 4)], rtol=1e-5),
    Case("i0", ops.i0, bessel_i0, [normal(3, 4) * 3], rtol=1e-5),
    # Elimination and back substitution add up rounding errors.
    Case(
        "cholesky",
        lambda x: ops.cholesky(x @ ops.swapaxes(x, -1, -2) + np.eye(4)),
        lambda x: np.linalg.cholesky(x @ x.swapaxes(-1, -2) + np.eye(4)),
        [normal(2, 4, 4)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "cholesky upper",
        lambda x: ops.cholesky((x + ops.transpose(x)) / 2, upper=True),
        lambda x: np.linalg.cholesky((x + x.T) / 2).T,
        [definite(5, 5)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "cholesky_inverse",
        ops.cholesky_inverse,
        lambda x: np.linalg.inv(np.tril(x) @ np.tril(x).T),
        [triangular(4, 4)],
        rtol=1e-4,
        atol=1e-4,
    ),
    Case(
        "solve",
        ops.solve,
        np.linalg.solve,
        [normal(2, 4, 4), normal(2, 4, 3, seed=1)],
        rtol=1e-4,
        atol=1e-4,
    ),
    Case(
        "solve one matrix, many right sides",
        ops.solve,
        lambda a, b: np.linalg.inv(a) @ b,
        [definite(3, 3), normal(2, 3, 2, seed=1)],
        rtol=1e-4,
        atol=1e-4,
    ),
    Case(
        "solve vector",
        ops.solve,
        np.linalg.solve,
        [normal(4, 4), normal(4, seed=1)],
        rtol=1e-4,
        atol=1e-4,
    ),
    Case(
        "solve_triangular upper",
        ops.solve_triangular,
        lambda a, b: np.linalg.solve(np.triu(a), b),
        [triangular(2, 4, 4).transpose(0, 2, 1), normal(2, 4, 3, seed=1)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "solve_triangular lower",
        lambda a, b: ops.solve_triangular(a, b, lower=True),
        lambda a, b: np.linalg.solve(np.tril(a), b),
        [triangular(4, 4) + np.triu(np.ones((4, 4)), 1), normal(4, seed=1)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case("inv", ops.inv, np.linalg.inv, [normal(2, 4, 4)], rtol=1e-4, atol=1e-4),
    Case("det", ops.det, np.linalg.det, [normal(2, 4, 4)], rtol=1e-5, atol=1e-5),
    Case(
        "slogdet",
        lambda x: ops.slogdet(x)[1],
        lambda x: np.linalg.slogdet(x)[1],
        [normal(2, 4, 4)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "logdet",
        ops.logdet,
        lambda x: np.linalg.slogdet(x)[1],
        [definite(4, 4)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "quantile",
        lambda x: ops.quantile(x, [0.1, 0.62], axis=(0, 2)),
        lambda x: np.quantile(x, [0.1, 0.62], axis=(0, 2)),
        [apart(2, 3, 5)],
    ),
    Case(
        "percentile higher",
        lambda x: ops.percentile(x, 30, axis=-1, method="higher", keepdims=True),
        lambda x: np.percentile(x, 30, axis=-1, method="higher", keepdims=True),
        [apart(3, 5)],
    ),
    Case("median", ops.median, np.median, [apart(3, 4)]),
    Case(
        "nanmedian",
        lambda x: ops.nanmedian(x, axis=0),
        lambda x: np.nanmedian(x, axis=0),
        [apart(4, 5)],
    ),
    Case(
        "sort",
        lambda x: ops.sort(x, axis=0),
        lambda x: np.sort(x, axis=0),
        [apart(4, 5)],
    ),
    Case(
        "top_k",
        lambda x: ops.top_k(x, 2)[0],
        lambda x: np.sort(x)[..., ::-1][..., :2],
        [apart(3, 5)],
    ),
    Case(
        "fft of 6",
        lambda a, b: parts(ops.fft((a, b))),
        lambda a, b: both(np.fft.fft(a + 1j * b)),
        [normal(2, 6), normal(2, 6, seed=1)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "fft of 120",
        lambda a, b: parts(ops.fft((a, b))),
        lambda a, b: both(np.fft.fft(a + 1j * b)),
        [normal(120), normal(120, seed=1)],
        rtol=1e-4,
        atol=1e-4,
    ),
    Case(
        "fft2",
        lambda a, b: parts(ops.fft2((a, b))),
        lambda a, b: both(np.fft.fft2(a + 1j * b)),
        [normal(2, 4, 6), normal(2, 4, 6, seed=1)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "ifft2",
        lambda a, b: parts(ops.ifft2((a, b))),
        lambda a, b: both(np.fft.ifft2(a + 1j * b)),
        [normal(3, 5), normal(3, 5, seed=1)],
    ),
    Case(
        "rfft",
        lambda x: parts(ops.rfft(x, 7)),
        lambda x: both(np.fft.rfft(x, 7)),
        [normal(2, 9)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "irfft",
        lambda a, b: ops.irfft((a, b), 9),
        lambda a, b: np.fft.irfft(a + 1j * b, 9),
        [normal(2, 5), normal(2, 5, seed=1)],
    ),
    Case(
        "stft",
        lambda x: parts(ops.stft(x, 4, 2, 6)),
        lambda x: stft(x, 4, 2, 6),
        [normal(2, 12)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "istft undoes stft",
        lambda x: ops.istft(ops.stft(x, 6, 2, 6), 6, 2, 6),
        lambda x: x,
        [normal(2, 12)],
        rtol=1e-5,
        atol=1e-5,
    ),
    Case(
        "extract_sequences",
        lambda x: ops.extract_sequences(x, 3, 2),
        lambda x: frames(x, 3, 2),
        [normal(2, 8)],
    ),
    Case(
        "unfold",
        lambda x: ops.unfold(x, 2, dilation=2, padding=1, stride=2),
        lambda x: unfold(x, 2, 2, 1, 2),
        [normal(2, 3, 5, 5)],
    ),
    Case(
        "fold of unfold counts the blocks",
        lambda x: ops.fold(ops.unfold(x, 2), (3, 3), 2),
        lambda x: x * np.outer([1, 2, 1], [1, 2, 1]),
        [normal(2, 2, 3, 3)],
    ),
    Case(
        "rearrange",
        lambda x: ops.rearrange(x, "a (b c) d -> d b (c a)", b=2),
        lambda x: x.reshape(3, 2, 2, 5).transpose(3, 1, 2, 0).reshape(5, 2, 6),
        [normal(3, 4, 5)],
    ),
    Case(
        "segment_sum",
        lambda x: ops.segment_sum(x, [0, 2, 0, -1, 7], num_segments=3),
        lambda x: np.stack([x[0] + x[2], 0 * x[0], x[1]]),
        [normal(5, 2)],
    ),
    Case(
        "segment_prod",
        lambda x: ops.segment_prod(x, [0, 1, 0], num_segments=3),
        lambda x: np.stack([x[0] * x[2], x[1], np.ones(2)]),
        [positive(3, 2)],
    ),
    Case(
        "correlate",
        lambda a, b: ops.correlate(a, b, mode="full"),
        lambda a, b: np.correlate(a, b, mode="full"),
        [normal(6), normal(3, seed=1)],
    ),
    Case(
        "associative_scan",
        lambda x: ops.associative_scan(ops.multiply, x, axis=1),
        lambda x: np.cumprod(x, axis=1),
        [positive(2, 7)],
        rtol=1e-5,
    ),
    Case(
        "softmax over two axes",
        lambda x: ops.softmax(x, axis=(0, 2)),
        lambda x: np.exp(x) / np.exp(x).sum((0, 2), keepdims=True),
        [normal(2, 3, 4)],
        rtol=1e-5,
    ),
    Case(
        "adaptive_average_pool",
        lambda x: ops.adaptive_average_pool(x, 3),
        lambda x: np.stack(
            [x[:, 0:2].mean(1), x[:, 1:4].mean(1), x[:, 3:5].mean(1)], 1
        ),
        [normal(2, 5, 2)],
    ),
    Case(
        "adaptive_max_pool",
        lambda x: ops.adaptive_max_pool(x, 3),
        lambda x: np.stack([x[:, 0:2].max(1), x[:, 1:4].max(1), x[:, 3:5].max(1)], 1),
        [apart(2, 5, 2)],
    ),
    Case(
        "einsum with a diagonal",
        lambda x, y: ops.einsum("bii,ij->bj", x, y),
        lambda x, y: np.einsum("bii,ij->bj", x, y),
        [normal(2, 3, 3), normal(3, 4, seed=1)],
        rtol=1e-5,
    ),
    Case(
        "ctc_loss",
        lambda x: ops.ctc_loss(LABELS, x, [2, 1], [4, 3]),
        lambda x: np.array([ctc(x[0], [1, 2]), ctc(x[1, :3], [2])]),
        [normal(2, 4, 3)],
        rtol=1e-5,
    ),
    Case(
        "arcsinh",
        ops.arcsinh,
        np.arcsinh,
        [normal(3, 4) * np.array([1e-3, 1.0, 1e3, 1e9])],
        grad=False,
    ),
]

# Those whose gradient is not constant, for the check of gradients of gradients.
_CURVED = [
    "erfinv",
    "i0",
    "cholesky",
    "cholesky_inverse",
    "solve",
    "inv",
    "det",
    "slogdet",
    "logdet",
    "segment_prod",
    "associative_scan",
    "softmax",
    "ctc_loss",
]
SMOOTH = [case for case in MORE if case.name.split()[0] in _CURVED]
