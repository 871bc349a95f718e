"""The progress bar as a callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..utils.io_utils import print_msg
from ..utils.progbar import Progbar
from .callback import Callback

__all__ = ["ProgbarLogger"]


class ProgbarLogger(Callback):
    """Show progress and metrics on stdout.

    `fit`, `evaluate` and `predict` add it unless ``verbose=0``. In a terminal or
    notebook it is a bar that is redrawn at most ten times a second; on any other
    stream, and with ``verbose=2``, a line at the end of each epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.progbar: Progbar | None = None
        self.target: int | None = None
        self.verbose: int = 1
        self.epochs: int = 1
        self._called_in_fit = False
        self._in_validation = False

    def set_params(self, params: dict[str, Any]) -> None:
        """Take verbosity, number of epochs and number of steps."""
        self.params = params
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs = params.get("epochs", 1)
        self.target = params.get("steps")

    @property
    def shows_progress(self) -> bool:
        """Whether `on_progress` has a bar to redraw, or unknown steps to count."""
        if self.target is None:
            return bool(self.verbose)
        if self.progbar is not None:
            return self.progbar.shows_progress
        return Progbar(self.target, verbose=self.verbose).shows_progress

    def on_progress(self, step: int, logs: Mapping[str, Any] | None = None) -> None:
        """Redraw the bar after batch `step` (counted from 0)."""
        if not self._in_validation:
            self._update_progbar(step, logs)

    def on_train_begin(self, logs: Any = None) -> None:
        """From now on, evaluations are validations and stay silent."""
        self._called_in_fit = True

    def on_train_end(self, logs: Any = None) -> None:
        """A logger passed to `evaluate` after `fit` shows its bar again."""
        self._called_in_fit = False

    def on_test_begin(self, logs: Any = None) -> None:
        """Start a bar, unless this is the validation of a `fit`."""
        self._in_validation = self._called_in_fit
        if not self._called_in_fit:
            self._new_progbar()

    def on_predict_begin(self, logs: Any = None) -> None:
        """Start a bar."""
        self._new_progbar()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start a bar, below the number of the epoch."""
        self._new_progbar()
        if self.verbose and self.epochs > 1:
            print_msg(f"Epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Redraw the bar."""
        self._update_progbar(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Redraw the bar."""
        if not self._called_in_fit:
            self._update_progbar(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Redraw the bar."""
        self._update_progbar(batch, None)  # logs are the predictions

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Finish the bar."""
        self._finalize_progbar(logs)

    def on_test_end(self, logs: Any = None) -> None:
        """Finish the bar."""
        self._in_validation = False
        if not self._called_in_fit:
            self._finalize_progbar(logs)

    def on_predict_end(self, logs: Any = None) -> None:
        """Finish the bar."""
        self._finalize_progbar(None)

    def _new_progbar(self) -> Progbar:
        self.seen = 0
        # The values in the logs are running means already: none is averaged again.
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())
        return self.progbar

    def _update_progbar(self, batch: int, logs: Mapping[str, Any] | None) -> None:
        progbar = self.progbar or self._new_progbar()
        self.seen = batch + 1
        if self.verbose == 1:
            progbar.update(self.seen, list((logs or {}).items()), finalize=False)

    def _finalize_progbar(self, logs: Mapping[str, Any] | None) -> None:
        progbar = self.progbar or self._new_progbar()
        if self.target is None:
            self.target = self.seen
            progbar.target = self.target
        progbar.update(self.target, list((logs or {}).items()), finalize=True)
