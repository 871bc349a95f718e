"""One call that fixes every random generator."""

from __future__ import annotations

import random

import numpy as np

__all__ = ["get_random_seed", "set_random_seed"]

_seed: int | None = None


def set_random_seed(seed: int) -> None:
    """Seed Python's `random`, numpy's global generator and lamella.

    After this call a program gives the same bits in each run, with any number of
    threads. (Same build and instruction set: see "Numerics" in the README.)

    Args:
        seed: An integer from 0 to 2**32 - 1 (numpy's limit).

    Raises:
        ValueError: If `seed` is no integer or out of range.

    Example:
        >>> set_random_seed(42)
    """
    global _seed
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise ValueError(
            "set_random_seed: seed must be an integer, "
            f"got seed={seed!r} of type {type(seed).__name__}"
        )
    seed = int(seed)
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"set_random_seed: seed must lie in [0, 2**32 - 1], got seed={seed}"
        )
    from .. import _core

    _seed = seed
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the user's code may use it, as in Keras
    _core.set_random_seed(seed)


def get_random_seed() -> int | None:
    """Return the seed of the last `set_random_seed`, or None."""
    return _seed
