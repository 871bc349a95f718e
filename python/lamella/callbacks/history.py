"""The record of a training run."""

from __future__ import annotations

from typing import Any

from .callback import Callback

__all__ = ["History"]


class History(Callback):
    """Collects loss and metrics of each epoch; `fit` returns it.

    Attributes:
        history: Dict of metric name to list of values, one for each epoch.
        epoch: The epochs, counted from 0.
        params: Dict with ``"verbose"``, ``"epochs"`` and ``"steps"``.

    Example:
        >>> history = model.fit(x, y, epochs=3)  # doctest: +SKIP
        >>> history.history["loss"]  # doctest: +SKIP
        [0.61, 0.34, 0.28]
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the list of epochs; values of an earlier `fit` are kept, as in Keras.

        (`fit` makes a new History, so that this matters only for one passed in.)
        """
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append the values of the epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self

    def _extend(self, first: int, columns: dict[str, list[float]]) -> None:
        """Append the values of many epochs, by name."""
        count = len(next(iter(columns.values())))
        self.epoch.extend(range(first, first + count))
        for name, values in columns.items():
            self.history.setdefault(name, []).extend(values)
        self.model.history = self

    def plot(self, path: Any = None, **options: Any) -> Any:
        """Draw loss and metrics over the epochs; see `lamella.plots.history`.

        Args:
            path: file to write; default: none.
            **options: `metrics`, `title`, `log`, `ax`.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is no epoch yet, or a metric is unknown.
        """
        from lamella import plots

        return plots.history(self, path, **options)
