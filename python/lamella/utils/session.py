"""Forgetting global state between experiments."""

from __future__ import annotations

import gc

__all__ = ["clear_session"]


def clear_session(free_memory: bool = True) -> None:
    """Start the counters of automatic names (``dense``, ``dense_1``) again.

    lamella has no global graph: a model frees its memory when the last reference
    to it goes. There is nothing else to clear.

    Args:
        free_memory: Also collect reference cycles now, default True.
    """
    from .. import _support, config

    config.clear_session()
    _support.reset_uids()
    if free_memory:
        gc.collect()
