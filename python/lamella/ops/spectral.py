"""Fourier transforms, windows and frames of signals.

A transform is a product with the matrix of the discrete Fourier transform, split by
the factors of its length (Cooley and Tukey), so that it has gradients and runs in a
traced model. Complex numbers are pairs (real, imaginary part), as in Keras.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    dims_product,
    is_float,
    standardize_dtype,
    to_float,
    to_tensor,
)
from lamella.ops.shaping import swapaxes

__all__ = [
    "bartlett",
    "blackman",
    "extract_sequences",
    "fft",
    "fft2",
    "hamming",
    "hanning",
    "ifft2",
    "irfft",
    "istft",
    "kaiser",
    "rfft",
    "stft",
]

Complex = tuple[Tensor, Tensor]

_DENSE = 32  # up to this length one matrix is used


def _pair(name: str, x: Any) -> Complex:
    if not isinstance(x, list | tuple) or len(x) != 2:
        raise ValueError(
            f"{name}: x must be a tuple of two tensors, real and imaginary part, got "
            f"{type(x).__name__}"
        )
    real, imag = to_tensor(x[0]), to_tensor(x[1])
    if real.shape != imag.shape or not is_float(real) or not is_float(imag):
        raise ValueError(
            f"{name}: real and imaginary part must be floats of one shape, got "
            f"{real.dtype} {real.shape} and {imag.dtype} {imag.shape}"
        )
    return real, cast(imag, real.dtype)


def _known(name: str, x: Tensor, axis: int = -1) -> int:
    n = x.shape[axis] if x.ndim >= -axis else None
    if not n:
        raise ValueError(
            f"{name}: axis {axis} must have a known size of at least 1, got "
            f"x.shape={x.shape}"
        )
    return int(n)


def _rotated(x: Complex, angle: np.ndarray) -> Complex:
    """x times exp(i angle), elementwise."""
    re, im = x
    c = convert_to_tensor(np.cos(angle).astype(re.dtype))
    s = convert_to_tensor(np.sin(angle).astype(re.dtype))
    return re * c - im * s, re * s + im * c


def _turns(rows: int, columns: int, n: int, sign: int) -> np.ndarray:
    """Angles of the matrix exp(sign 2 pi i j k / n); the product j k is exact."""
    product = np.outer(np.arange(rows), np.arange(columns)) % n
    return product * (sign * 2.0 * math.pi / n)


def _transform(x: Complex, sign: int) -> Complex:
    """Sums over the last axis with the weights exp(sign 2 pi i j k / n)."""
    re, im = x
    n = int(re.shape[-1] or 0)
    outer = next((f for f in range(_DENSE, 1, -1) if n % f == 0), n)
    if n <= _DENSE or outer == n:
        angle = _turns(n, n, n, sign)
        c = convert_to_tensor(np.cos(angle).astype(re.dtype))
        s = convert_to_tensor(np.sin(angle).astype(re.dtype))
        return (
            _core.matmul(re, c) - _core.matmul(im, s),
            _core.matmul(re, s) + _core.matmul(im, c),
        )
    inner = n // outer
    lead = tuple(re.dims[:-1])

    def columns(v: Tensor) -> Tensor:
        return swapaxes(_core.reshape(v, (*lead, outer, inner)), -1, -2)

    first = _transform((columns(re), columns(im)), sign)  # (..., inner, outer)
    first = _rotated(first, _turns(inner, outer, n, sign))
    second = _transform((swapaxes(first[0], -1, -2), swapaxes(first[1], -1, -2)), sign)
    a, b = (_core.reshape(swapaxes(v, -1, -2), (*lead, n)) for v in second)
    return a, b


def fft(x: Any) -> Complex:
    """Discrete Fourier transform along the last axis.

    Args:
        x: (real, imaginary part), floats of one shape.

    Returns:
        (real, imaginary part) of sum_j x_j exp(-2 pi i j k / n).
    """
    re, im = _pair("fft", x)
    _known("fft", re)
    return _transform((re, im), -1)


def _fft2(name: str, x: Any, sign: int) -> Complex:
    re, im = _pair(name, x)
    _known(name, re), _known(name, re, -2)
    a, b = _transform((re, im), sign)
    a, b = _transform((swapaxes(a, -1, -2), swapaxes(b, -1, -2)), sign)
    return swapaxes(a, -1, -2), swapaxes(b, -1, -2)


def fft2(x: Any) -> Complex:
    """`fft` along the last two axes."""
    return _fft2("fft2", x, -1)


def ifft2(x: Any) -> Complex:
    """Inverse of `fft2`."""
    re, im = _fft2("ifft2", x, 1)
    scale = 1.0 / (int(re.shape[-1] or 1) * int(re.shape[-2] or 1))
    return re * scale, im * scale


def _fit(x: Tensor, n: int) -> Tensor:
    """The first n elements of the last axis, zeros where it is shorter."""
    size = int(x.shape[-1] or 0)
    if size < n:
        return _core.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, n - size)], 0)
    return x[..., :n] if size > n else x


def rfft(x: Any, fft_length: int | None = None) -> Complex:
    """The first half of the Fourier transform of a real signal (last axis).

    Args:
        x: real tensor; integers compute in floats.
        fft_length: length to which x is cut or filled with zeros.

    Returns:
        (real, imaginary part), fft_length // 2 + 1 values along the last axis.
    """
    x = to_float(x)
    n = _known("rfft", x) if fft_length is None else int(fft_length)
    x = _fit(x, n)
    re, im = _transform((x, _core.mul(x, 0.0)), -1)
    return re[..., : n // 2 + 1], im[..., : n // 2 + 1]


def irfft(x: Any, fft_length: int | None = None) -> Tensor:
    """Inverse of `rfft`: a real signal from the first half of its transform.

    Args:
        x: (real, imaginary part).
        fft_length: length of the result, default 2 (size - 1).
    """
    re, im = _pair("irfft", x)
    n = 2 * (_known("irfft", re) - 1) if fft_length is None else int(fft_length)
    if n < 1:
        raise ValueError(f"irfft: fft_length must be at least 1, got {n}")
    re, im = _fit(re, n // 2 + 1), _fit(im, n // 2 + 1)
    # The imaginary parts at 0 and at n / 2 mirror onto themselves: they must be 0.
    real_only = np.arange(n // 2 + 1) * 2 % n == 0
    im = _core.where(convert_to_tensor(real_only), 0.0, im)
    last = (n + 1) // 2
    if last > 1:
        re = _core.concat([re, _core.flip(re[..., 1:last], (-1,))], -1)
        im = _core.concat([im, _core.neg(_core.flip(im[..., 1:last], (-1,)))], -1)
    return _transform((re, im), 1)[0] * (1.0 / n)


def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Tensor:
    """Frames of the last axis: (..., samples) to (..., frames, sequence_length)."""
    x = to_tensor(x)
    n = _known("extract_sequences", x)
    if sequence_length < 1 or sequence_stride < 1 or sequence_length > n:
        raise ValueError(
            "extract_sequences: sequence_length must be between 1 and the size of the "
            f"last axis, sequence_stride positive, got {sequence_length}, "
            f"{sequence_stride}, x.shape={x.shape}"
        )
    starts = np.arange(0, n - sequence_length + 1, sequence_stride)
    index = starts[:, None] + np.arange(sequence_length)
    return _core.gather(x, convert_to_tensor(index.astype(np.int32)), x.ndim - 1)


def _window(name: str, window: Any, length: int, dtype: str) -> Tensor:
    if window is None:
        window = np.ones(length)
    elif isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(
                f"{name}: window must be 'hann', 'hamming', a vector or None, got "
                f"window={window!r}"
            )
        make = np.hanning if window == "hann" else np.hamming
        window = make(length + 1)[:-1]  # periodic
    out = convert_to_tensor(window, dtype)
    if out.shape != (length,):
        raise ValueError(
            f"{name}: window must have shape ({length},), got shape {out.shape}"
        )
    return out


def _centred(window: Tensor, n: int) -> Tensor:
    left = (n - int(window.shape[0] or 0)) // 2
    return _core.pad(window, [(left, n - int(window.shape[0] or 0) - left)], 0)


def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Complex:
    """Short-time Fourier transform: `rfft` of windowed frames.

    Args:
        x: real signal (..., samples), floats.
        sequence_length: length of a frame.
        sequence_stride: distance of frames.
        fft_length: length of the transform, at least sequence_length.
        window: "hann", "hamming", a vector of sequence_length values, or None.
        center: mirror the signal at both ends so that frames are centred.

    Returns:
        (real, imaginary part), (..., frames, fft_length // 2 + 1).

    Raises:
        TypeError: x does not hold floats.
        ValueError: lengths or window do not fit.
    """
    from lamella.ops.shaping import pad

    x = to_tensor(x)
    if not is_float(x):
        raise TypeError(f"stft: x must be float32 or float64, got dtype={x.dtype}")
    if fft_length < sequence_length:
        raise ValueError(
            "stft: fft_length must be at least sequence_length, got "
            f"{fft_length} and {sequence_length}"
        )
    factor = _centred(_window("stft", window, sequence_length, x.dtype), fft_length)
    if center:
        half = fft_length // 2
        x = pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)], mode="reflect")
    return rfft(extract_sequences(x, fft_length, sequence_stride) * factor, fft_length)


def _overlap_add(frames: Tensor, stride: int) -> Tensor:
    """Frames (..., count, size) added at their places: (..., samples)."""
    count, size = _known("istft", frames, -2), _known("istft", frames)
    parts = -(-size // stride)
    frames = _fit(frames, parts * stride)
    lead = tuple(frames.dims[:-2])
    pieces = _core.reshape(frames, (*lead, count, parts, stride))
    places = (np.arange(count)[:, None] + np.arange(parts)).reshape(-1)
    flat = _core.reshape(pieces, (dims_product(lead), count * parts, stride))
    out = _core.scatter_add(
        flat, convert_to_tensor(places.astype(np.int32)), count + parts - 1, 1
    )
    total = (count + parts - 1) * stride
    return _core.reshape(out, (*lead, total))[..., : stride * (count - 1) + size]


def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Tensor:
    """Inverse of `stft`.

    The frames are windowed again, added up, and divided by the sum of the squared
    windows.

    Args:
        x: (real, imaginary part), (..., frames, fft_length // 2 + 1).
        sequence_length: as for `stft`.
        sequence_stride: as for `stft`.
        fft_length: as for `stft`.
        length: number of samples of the result.
        window: as for `stft`; None adds the frames up as they are.
        center: as for `stft`.
    """
    re, im = _pair("istft", x)
    frames = irfft((re, im), fft_length)
    count = _known("istft", frames, -2)
    if window is not None:
        w = _window("istft", window, sequence_length, re.dtype)
        w = _centred(w, fft_length)
        frames = frames * w
    out = _overlap_add(frames, sequence_stride)
    if window is not None:
        squares = np.zeros(int(out.shape[-1] or 0))
        for i in range(count):
            start = i * sequence_stride
            squares[start : start + fft_length] += w.numpy().astype("float64") ** 2
        # Where no frame has weight the signal is not known: left as it is.
        squares[squares < 1e-11] = 1.0
        out = out * convert_to_tensor((1.0 / squares).astype(re.dtype))
    start = fft_length // 2 if center else 0
    if length is not None:
        return _fit(out[..., start:], length)
    return out[..., start : int(out.shape[-1] or 0) - start]


# Windows.


def _sampled(values: np.ndarray) -> Tensor:
    return convert_to_tensor(values.astype(standardize_dtype(None)))


def bartlett(x: int) -> Tensor:
    """Triangle of x values from 0 over 1 to 0."""
    return _sampled(np.bartlett(int(x)))


def blackman(x: int) -> Tensor:
    """Blackman's window of x values."""
    return _sampled(np.blackman(int(x)))


def hamming(x: int) -> Tensor:
    """Hamming's window of x values."""
    return _sampled(np.hamming(int(x)))


def hanning(x: int) -> Tensor:
    """Hann's window of x values."""
    return _sampled(np.hanning(int(x)))


def kaiser(x: int, beta: float) -> Tensor:
    """Kaiser's window of x values; beta narrows it."""
    return _sampled(np.kaiser(int(x), float(beta)))
