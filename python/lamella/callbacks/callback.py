"""The base class of callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Callback"]


class Callback:
    """Something that is called at fixed points of `fit`, `evaluate`, `predict`.

    Subclass it and override the hooks you need. Within `fit` the order is::

        on_train_begin
          on_epoch_begin
            on_train_batch_begin, on_train_batch_end      for each batch
            on_test_begin ... on_test_end                 validation
          on_epoch_end
        on_train_end

    A hook for batches is called only if some callback overrides it: else the
    whole epoch runs in C++ without coming back to Python.

    Attributes:
        model: The model that is trained.
        params: Dict with ``"verbose"``, ``"epochs"`` and ``"steps"``.

    Example:
        >>> class Stop(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         if logs["loss"] < 0.01:
        ...             self.model.stop_training = True
    """

    # Here, not only in __init__, for callbacks that do not call super().__init__().
    params: dict[str, Any] | None = None
    _model: Any = None

    def __init__(self) -> None:
        self.params = None
        self._model = None

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle everything but the model."""
        return {**vars(self), "_model": None}

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of the run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model."""
        self._model = model

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def on_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the start of an epoch (counted from 0) of `fit`."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of an epoch.

        Args:
            epoch: The epoch, counted from 0.
            logs: Loss and metrics, those of the validation as ``val_...``. What a
                callback adds here, later callbacks and the history see.
        """

    def on_train_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called before a batch of `fit`."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called after a batch of `fit`.

        Args:
            batch: The batch within the epoch, counted from 0.
            logs: Loss and metrics of the epoch up to this batch.
        """
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called before a batch of `evaluate` or of the validation in `fit`."""

    def on_test_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called after a batch of `evaluate` or of the validation in `fit`."""

    def on_predict_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called before a batch of `predict`."""

    def on_predict_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Called after a batch of `predict`."""

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Called when `fit` starts."""

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Called when `fit` ends; `logs` are those of the last epoch."""

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Called when an evaluation starts."""

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Called when an evaluation ends."""

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Called when `predict` starts."""

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Called when `predict` ends."""
