"""Windows for short-time Fourier transforms, by name."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["window_values"]

# Sums of cosines: a0 - a1 cos(t) + a2 cos(2t) - ...
_COSINES = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}


def _bartlett(n: int) -> np.ndarray:
    return np.bartlett(n)


def _cosine(n: int) -> np.ndarray:
    return np.sin(np.pi / n * (np.arange(n) + 0.5))


def _triangle(n: int) -> np.ndarray:
    half = np.arange(1, (n + 1) // 2 + 1)
    rise = 2 * half / (n + 1) if n % 2 else (2 * half - 1) / n
    return np.concatenate([rise, rise[::-1][n % 2 :]])


_SHAPES = {"bartlett": _bartlett, "cosine": _cosine, "triang": _triangle}


def window_values(
    window: Any, length: int, periodic: bool, who: str
) -> np.ndarray | None:
    """Return the `length` values of a window, or None for no window.

    Args:
        window: name, array of the values, or None.
        length: number of values.
        periodic: whether a name stands for the window of length + 1 without its end.
        who: name of the function or layer, for error texts.

    Raises:
        ValueError: an unknown name, or an array of another length.
    """
    if window is None:
        return None
    if not isinstance(window, str):
        values = np.asarray(window, dtype=np.float64)
        if values.shape != (length,):
            raise ValueError(
                f"{who}: window must have the shape ({length},), got {values.shape}"
            )
        return values
    if window not in _COSINES and window not in _SHAPES:
        known = ", ".join(sorted([*_COSINES, *_SHAPES]))
        raise ValueError(
            f"{who}: window must be the values of a window or one of {known}, got "
            f"window={window!r}"
        )
    n = length + 1 if periodic and length > 1 else length
    if n == 1:
        return np.ones(1)
    if window in _SHAPES:
        return _SHAPES[window](n)[:length]
    t = np.linspace(-np.pi, np.pi, n)
    terms = enumerate(_COSINES[window])
    values = np.sum([a * np.cos(k * t) for k, a in terms], axis=0)
    return np.asarray(values[:length])
