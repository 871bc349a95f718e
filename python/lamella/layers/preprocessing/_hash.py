"""Hashes of texts: FarmHash's 64-bit fingerprint and SipHash-2-4, for whole arrays.

Source: G. Pike, "FarmHash" (the portable 64-bit variant `na`); J.-P. Aumasson and
D. J. Bernstein, "SipHash: a fast short-input PRF", 2012. Both are run on all texts of
one length at a time: then every step is one operation on vectors of uint64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["combine", "fingerprints", "keyed_hashes"]

Words = np.ndarray  # of uint64; sums and products wrap

_K0 = np.uint64(0xC3A5C85C97CB3127)
_K1 = np.uint64(0xB492B66FBE98F273)
_K2 = np.uint64(0x9AE16A3B2F90404F)
_COMBINE = np.uint64(0xC6A4A7935BD1E995)


def _u(value: int) -> np.uint64:
    return np.uint64(value)


def _rotate(x: Words, bits: int) -> Words:
    """Rotate to the right."""
    return (x >> _u(bits)) | (x << _u(64 - bits))


def _mix(x: Words) -> Words:
    return x ^ (x >> _u(47))


def _fold(u: Words, v: Words, factor: np.uint64 | Words) -> Words:
    a = _mix((u ^ v) * factor)
    return _mix((v ^ a) * factor) * factor


class _Texts:
    """Texts of one length as rows of bytes."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def word(self, at: int) -> Words:
        """The 8 bytes from `at` on, little-endian."""
        return np.ascontiguousarray(self.rows[:, at : at + 8]).view("<u8")[:, 0]

    def half(self, at: int) -> Words:
        """The 4 bytes from `at` on."""
        part = np.ascontiguousarray(self.rows[:, at : at + 4]).view("<u4")[:, 0]
        return part.astype("uint64")


def _short(s: _Texts, n: int) -> Words:
    """Fingerprint of at most 16 bytes."""
    factor = _K2 + _u(2 * n)
    if n >= 8:
        a, b = s.word(0) + _K2, s.word(n - 8)
        c = _rotate(b, 37) * factor + a
        return _fold(c, (_rotate(a, 25) + b) * factor, factor)
    if n >= 4:
        return _fold(_u(n) + (s.half(0) << _u(3)), s.half(n - 4), factor)
    if n == 0:
        return np.full(len(s.rows), _K2)
    a, b, c = (s.rows[:, i].astype("uint64") for i in (0, n >> 1, n - 1))
    y, z = a + (b << _u(8)), _u(n) + (c << _u(2))
    return _mix(y * _K2 ^ z * _K0) * _K2


def _pair(a: Words, b: Words, c: Words, d: Words) -> tuple[Words, Words]:
    return _rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _K2, 18) + c


def _medium(s: _Texts, n: int) -> Words:
    """Fingerprint of 17 to 64 bytes."""
    factor = _K2 + _u(2 * n)
    first = _K1 if n <= 32 else _K2
    a = s.word(0) * first
    c, d = s.word(n - 8) * factor, s.word(n - 16) * _K2
    y, rest = _pair(a, s.word(8), c, d)
    z = _fold(y, rest, factor)
    if n <= 32:
        return z
    e, f = s.word(16) * factor, s.word(24)
    g, h = (y + s.word(n - 32)) * factor, (z + s.word(n - 24)) * factor
    return _fold(
        _rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, factor
    )


def _weak(s: _Texts, at: int, a: Words, b: Words) -> tuple[Words, Words]:
    w, x, y, z = (s.word(at + 8 * i) for i in range(4))
    a = a + w
    b = _rotate(b + a + z, 21)
    total = a + x + y
    return total + z, b + _rotate(total, 44) + a


def _long(s: _Texts, n: int) -> Words:
    """Fingerprint of more than 64 bytes."""
    zero = np.zeros(len(s.rows), "uint64")
    x = zero + _u(81)
    y = x * _K1 + _u(113)
    z = _mix(y * _K2 + _u(113)) * _K2
    v, w = (zero, zero), (zero, zero)
    x = x * _K2 + s.word(0)

    def round_(
        at: int, x: Words, y: Words, z: Words, v: tuple[Words, Words], last: bool
    ) -> tuple[Words, Words, Words, tuple[Words, Words], tuple[Words, Words]]:
        factor = _K1 + ((z & _u(255)) << _u(1)) if last else _K1
        nine = _u(9 if last else 1)
        x = _rotate(x + y + v[0] + s.word(at + 8), 37) * factor
        y = _rotate(y + v[1] + s.word(at + 48), 42) * factor
        x = x ^ (w[1] * nine)
        y = y + v[0] * nine + s.word(at + 40)
        z = _rotate(z + w[0], 33) * factor
        v = _weak(s, at, v[1] * factor, x + w[0])
        pair = _weak(s, at + 32, z + w[1], y + s.word(at + 16))
        return z, y, x, v, pair

    for at in range(0, (n - 1) // 64 * 64, 64):
        x, y, z, v, w = round_(at, x, y, z, v, last=False)
    factor = _K1 + ((z & _u(255)) << _u(1))
    grown = w[0] + _u((n - 1) & 63)
    v = (v[0] + grown, v[1])
    w = (grown + v[0], w[1])
    x, y, z, v, w = round_(n - 64, x, y, z, v, last=True)
    return _fold(
        _fold(v[0], w[0], factor) + _mix(y) * _K0 + z,
        _fold(v[1], w[1], factor) + x,
        factor,
    )


def _by_length(
    texts: Sequence[bytes], function: Callable[[_Texts, int], Words]
) -> Words:
    """Apply `function` to the texts of each length."""
    result = np.empty(len(texts), "uint64")
    places: dict[int, list[int]] = {}
    for i, text in enumerate(texts):
        places.setdefault(len(text), []).append(i)
    for n, found in places.items():
        joined = np.frombuffer(b"".join(texts[i] for i in found), "uint8")
        with np.errstate(over="ignore"):
            result[found] = function(_Texts(joined.reshape(len(found), n)), n)
    return result


def fingerprints(texts: Sequence[bytes]) -> Words:
    """Return FarmHash's Fingerprint64 of each text."""

    def function(s: _Texts, n: int) -> Words:
        return _short(s, n) if n <= 16 else _medium(s, n) if n <= 64 else _long(s, n)

    return _by_length(texts, function)


def _sip_rounds(state: list[Words], count: int) -> None:
    a, b, c, d = state
    for _ in range(count):
        a, c = a + b, c + d
        b, d = _rotate(b, 51) ^ a, _rotate(d, 48) ^ c
        a = _rotate(a, 32)
        c, a = c + b, a + d
        b, d = _rotate(b, 47) ^ c, _rotate(d, 43) ^ a
        c = _rotate(c, 32)
    state[:] = a, b, c, d


def keyed_hashes(texts: Sequence[bytes], key: Sequence[int]) -> Words:
    """Return SipHash-2-4 of each text under a key of two 64-bit numbers."""
    k0, k1 = (_u(int(k) % 2**64) for k in key)

    def function(s: _Texts, n: int) -> Words:
        zero = np.zeros(len(s.rows), "uint64")
        state = [
            zero + (k0 ^ _u(0x736F6D6570736575)),
            zero + (k1 ^ _u(0x646F72616E646F6D)),
            zero + (k0 ^ _u(0x6C7967656E657261)),
            zero + (k1 ^ _u(0x7465646279746573)),
        ]
        tail = np.zeros((len(s.rows), 8), "uint8")
        whole = n // 8 * 8
        tail[:, : n - whole] = s.rows[:, whole:]
        tail[:, 7] = n % 256
        words = [s.word(at) for at in range(0, whole, 8)] + [_Texts(tail).word(0)]
        for word in words:
            state[3] = state[3] ^ word
            _sip_rounds(state, 2)
            state[0] = state[0] ^ word
        state[2] = state[2] ^ _u(0xFF)
        _sip_rounds(state, 4)
        return state[0] ^ state[1] ^ state[2] ^ state[3]

    return _by_length(texts, function)


def combine(first: Words, second: Words) -> Words:
    """Return the fingerprint of two fingerprints."""
    with np.errstate(over="ignore"):
        result = first ^ _COMBINE
        result = (result ^ (_mix(second * _COMBINE) * _COMBINE)) * _COMBINE
        return _mix(_mix(result) * _COMBINE)
