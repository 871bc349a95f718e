"""Sequences: see `lamella.utils.pad_sequences`."""

from __future__ import annotations

from lamella.utils.sequence_utils import pad_sequences

__all__ = ["pad_sequences"]
