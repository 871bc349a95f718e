"""Random orders and weights whose number a traced Graph need not know."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core
from lamella.random import draw_key

__all__ = ["beta_weights", "dirichlet_weights", "log_gamma", "permutation"]

# Candidates per number: all of them are refused once in about 1e10 draws.
_CANDIDATES = 8


def permutation(count: Any, seed: Any) -> Any:
    """Return the numbers 0 ... count - 1 in random order, int32.

    The ranks of independent draws are a permutation, all orders being equally likely.
    """
    draw = _core.random_uniform(draw_key(seed), (count,), 0.0, 1.0, "float64")
    before = _core.less(_core.expand_dims(draw, 0), _core.expand_dims(draw, 1))
    return _core.sum(_core.cast(before, "int32"), 1, False)


def log_gamma(shape: tuple[Any, ...], alpha: Any, dtype: str, seed: Any) -> Any:
    """Return logarithms of draws from the gamma distribution of shape alpha.

    Logarithms, since for a small alpha most draws are too small for a float.

    Source: Marsaglia and Tsang, A Simple Method for Generating Gamma Variables, 2000,
        for alpha + 1, times u^(1 / alpha).
    """
    several = (*shape, _CANDIDATES)
    d = alpha + 1.0 - 1.0 / 3.0
    c = 1.0 / (3.0 * d**0.5)
    x = _core.random_normal(draw_key(seed), several, 0.0, 1.0, dtype)
    u = _core.random_uniform(draw_key(seed), several, 0.0, 1.0, dtype)
    smallest = float(np.finfo(dtype).tiny)
    root = 1.0 + c * x
    log_v = 3.0 * _core.log(_core.maximum(root, smallest))
    bound = 0.5 * x * x + d - d * _core.exp(log_v) + d * log_v
    fits = _core.less(_core.log(_core.maximum(u, smallest)), bound)
    fits = _core.logical_and(fits, _core.greater(root, 0.0))
    first = _core.argmax(_core.cast(fits, "int32"), -1)
    place = _core.from_numpy(np.arange(_CANDIDATES, dtype=np.int32))
    hit = _core.equal(_core.expand_dims(first, -1), place)
    log_v = _core.sum(_core.where(hit, log_v, 0.0), -1, False)
    boost = _core.random_uniform(draw_key(seed), shape, 0.0, 1.0, dtype)
    boost = _core.log(_core.maximum(boost, smallest)) / alpha
    log_d = _core.log(d) if isinstance(d, _core.Tensor) else float(np.log(d))
    return log_v + boost + log_d


def beta_weights(count: Any, alpha: Any, dtype: str, seed: Any) -> Any:
    """Return draws from the distribution beta(alpha, alpha), (count,)."""
    x = log_gamma((count,), alpha, dtype, seed)
    return _core.sigmoid(x - log_gamma((count,), alpha, dtype, seed))


def dirichlet_weights(count: int, alpha: float, dtype: str, seed: Any) -> Any:
    """Return positive random weights with the sum 1, (count,)."""
    return _core.softmax(log_gamma((count,), alpha, dtype, seed), -1)
