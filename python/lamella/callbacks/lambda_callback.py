"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .callback import Callback

__all__ = ["LambdaCallback"]

Hook = Callable[..., Any]


class LambdaCallback(Callback):
    """Make a callback from functions.

    Functions of epochs take ``(epoch, logs)``, those of batches ``(batch, logs)``,
    the others ``(logs)``.

    Args:
        on_epoch_begin: Called at the start of each epoch.
        on_epoch_end: Called at the end of each epoch.
        on_train_begin: Called when `fit` starts.
        on_train_end: Called when `fit` ends.
        on_train_batch_begin: Called before each batch.
        on_train_batch_end: Called after each batch.
        **kwargs: Any other hook of `Callback` by its name, or an attribute.

    Raises:
        ValueError: If `kwargs` holds a name ``on_...`` that is no hook.

    Example:
        >>> show = LambdaCallback(
        ...     on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"])
        ... )
    """

    def __init__(
        self,
        on_epoch_begin: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_begin: Hook | None = None,
        on_train_end: Hook | None = None,
        on_train_batch_begin: Hook | None = None,
        on_train_batch_end: Hook | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        for name in kwargs:
            if name.startswith("on_") and not hasattr(Callback, name):
                raise ValueError(f"LambdaCallback: there is no hook {name!r}")
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, hook in hooks.items():
            if hook is not None or not name.startswith("on_"):
                setattr(self, name, hook)
