"""Programs to run: ``python -m lamella.examples.digits_cnn``."""

from __future__ import annotations

__all__: list[str] = []
