"""Evaluating with the moving averages of the weights."""

from __future__ import annotations

from typing import Any

from .callback import Callback

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Give the model the optimizer's moving averages while it is evaluated.

    Args:
        swap_on_epoch: Whether the model keeps them from the end of an epoch to the
            beginning of the next one, so that `ModelCheckpoint` saves them.

    Raises:
        ValueError: If the optimizer keeps no averages (``use_ema=True``).

    Example:
        >>> model.compile(Adam(use_ema=True), "mse")  # doctest: +SKIP
        >>> model.fit(x, y, callbacks=[SwapEMAWeights()])  # doctest: +SKIP
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def _optimizers(self) -> list[Any]:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        found = [o for o in getattr(optimizer, "optimizers", [optimizer]) if o.use_ema]
        if not found or not all(o.built for o in found):
            raise ValueError(
                "SwapEMAWeights: the optimizer keeps no averages; make it with "
                "use_ema=True and train before evaluating"
            )
        return found

    def _swap(self, on: bool) -> None:
        if self._swapped == on:
            return
        for optimizer in self._optimizers():
            for weight, average in zip(
                optimizer._trainable_variables, optimizer._averages, strict=True
            ):
                value = weight.numpy()
                weight.assign(average.numpy())
                average.assign(value)
        self._swapped = on

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Train on with the weights themselves."""
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the averages to what comes after the epoch."""
        if not self.swap_on_epoch:
            return
        swapped = not self._swapped
        self._swap(True)
        if swapped and epoch == (self.params or {}).get("epochs", 0) - 1:
            # fit ends by giving the weights their averages: these are there already
            for optimizer in self._optimizers():
                for weight, average in zip(
                    optimizer._trainable_variables, optimizer._averages, strict=True
                ):
                    average.assign(weight.numpy())

    def on_test_begin(self, logs: Any = None) -> None:
        """Evaluate the averages."""
        self._swap(True)

    def on_test_end(self, logs: Any = None) -> None:
        """Put the weights back."""
        self._swap(False)

    def on_predict_begin(self, logs: Any = None) -> None:
        """Predict with the averages."""
        self._swap(True)

    def on_predict_end(self, logs: Any = None) -> None:
        """Put the weights back. Differs from Keras, which leaves the averages there."""
        self._swap(False)
