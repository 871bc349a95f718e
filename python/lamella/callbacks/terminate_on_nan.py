"""Stopping when the loss is no number any more."""

from __future__ import annotations

import math
from typing import Any

from ..utils.io_utils import print_msg
from .callback import Callback

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Stop training after a batch whose loss is NaN or infinite.

    Args:
        raise_error: Whether to raise at once instead of ending training in order
            (with all end hooks). Default False.

    Raises:
        RuntimeError: With `raise_error`, at the first such loss.

    Example:
        >>> model.fit(x, y, callbacks=[TerminateOnNaN()])  # doctest: +SKIP
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"TerminateOnNaN: the loss is {loss} at batch {batch}; lower the "
                "learning rate, clip the gradients, or look for NaN in the data"
            )
        print_msg(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
