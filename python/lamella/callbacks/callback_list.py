"""All callbacks of a run behind one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .callback import Callback
from .history import History
from .progbar_logger import ProgbarLogger

__all__ = ["CallbackList"]

_TRAIN = (
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_batch_begin",
    "on_batch_end",
)
_TEST = ("on_test_batch_begin", "on_test_batch_end")
_PREDICT = ("on_predict_batch_begin", "on_predict_batch_end")


def pythonify_logs(logs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the logs as Python numbers, sorted by name, nested dicts flattened."""
    result: dict[str, Any] = {}
    for key, value in sorted((logs or {}).items()):
        if isinstance(value, Mapping):
            result.update(pythonify_logs(value))
            continue
        try:
            result[key] = float(value)
        except (TypeError, ValueError):
            result[key] = value
    return result


def _flatten(callbacks: Any) -> list[Any]:
    """Return the callbacks of nested lists, tuples and dicts as one list."""
    if callbacks is None:
        return []
    if isinstance(callbacks, Mapping):
        callbacks = list(callbacks.values())
    if not isinstance(callbacks, (list, tuple)):
        iterable = isinstance(callbacks, Iterable) and not isinstance(callbacks, str)
        if iterable and not hasattr(callbacks, "on_train_begin"):
            return _flatten(list(callbacks))
        return [callbacks]
    return [each for item in callbacks for each in _flatten(item)]


def overrides(callback: Any, name: str) -> bool:
    """Whether `callback` has a hook `name` that does something."""
    method = getattr(callback, name, None)
    function = getattr(method, "__func__", method)
    if function is None or function is getattr(Callback, name, None):
        return False
    # Keras marks the hooks of its own base class that do nothing.
    return not getattr(function, "_is_default", False)


def _needs(callback: Any, names: tuple[str, ...]) -> bool:
    if isinstance(callback, ProgbarLogger):
        return False  # it is served by on_progress, at most ten times a second
    if names is _TRAIN and not getattr(callback, "uses_batch_hooks", True):
        return False
    return any(overrides(callback, name) for name in names)


class CallbackList(Callback):
    """Calls a list of callbacks in order.

    Args:
        callbacks: One callback or a (nested) list of them.
        add_history: Whether to add a `History` if none is there.
        add_progbar: Whether to add a `ProgbarLogger` if none is there.
        model: The model, told to each callback.
        **params: What each callback gets by `set_params`: ``verbose``,
            ``epochs``, ``steps``.

    Raises:
        ValueError: If something in the list has none of the methods of a callback.

    Example:
        >>> callbacks = CallbackList([Callback()], add_history=True)
        >>> callbacks.needs_batch_hooks
        False
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Any] = _flatten(callbacks)
        for callback in self.callbacks:
            self._check(callback)
        self._history: History | None = None
        self._progbar: ProgbarLogger | None = None
        for callback in self.callbacks:
            if isinstance(callback, ProgbarLogger):
                self._progbar = callback
            elif isinstance(callback, History):
                self._history = callback
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        if self._progbar is None and add_progbar:
            self._progbar = ProgbarLogger()
            self.callbacks.append(self._progbar)
        self.set_model(model)
        self.set_params(params)

    @staticmethod
    def _check(callback: Any) -> None:
        if isinstance(callback, type):
            raise ValueError(
                f"callbacks: got the class {callback.__name__} where an object is "
                f"expected; write {callback.__name__}()"
            )
        if not isinstance(callback, Callback) and not (
            hasattr(callback, "set_model") and hasattr(callback, "on_epoch_end")
        ):
            raise ValueError(
                "callbacks: expected objects derived from lamella.callbacks.Callback, "
                f"got {callback!r}"
            )

    def append(self, callback: Any) -> None:
        """Add a callback at the end."""
        self._check(callback)
        self.callbacks.append(callback)
        if isinstance(callback, ProgbarLogger):
            self._progbar = callback
        elif isinstance(callback, History):
            self._history = callback
        if self._model is not None:
            callback.set_model(self._model)
        if self.params:
            callback.set_params(self.params)

    def set_params(self, params: dict[str, Any]) -> None:
        """Tell all callbacks the parameters of the run."""
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Tell all callbacks the model."""
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    # What the C++ loop has to call.

    @property
    def needs_batch_hooks(self) -> bool:
        """Whether a callback overrides a batch hook of training."""
        return any(_needs(callback, _TRAIN) for callback in self.callbacks)

    @property
    def needs_test_batch_hooks(self) -> bool:
        """Whether a callback overrides a batch hook of evaluation."""
        return any(_needs(callback, _TEST) for callback in self.callbacks)

    @property
    def needs_predict_batch_hooks(self) -> bool:
        """Whether a callback overrides a batch hook of prediction."""
        return any(_needs(callback, _PREDICT) for callback in self.callbacks)

    @property
    def needs_progress(self) -> bool:
        """Whether `on_progress` would show anything."""
        return self._progbar is not None and self._progbar.shows_progress

    def on_progress(self, step: int, logs: Mapping[str, Any] | None = None) -> None:
        """Redraw the progress bar after batch `step` (counted from 0).

        The loop calls this at most ten times a second when batch hooks are not
        needed; with batch hooks, the progress bar is served by them.
        """
        if self._progbar is not None:
            self._progbar.on_progress(step, pythonify_logs(logs))

    # Hooks, in Keras's order: each callback in turn.

    def _call(self, hook: str, *args: Any) -> None:
        *first, logs = args
        logs = pythonify_logs(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(*first, logs)

    def on_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_batch_begin", batch, logs)

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_batch_end", batch, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call all callbacks with one dict, so that each sees what others added."""
        self._call("on_epoch_end", epoch, logs)

    def on_train_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Call all callbacks."""
        self._call("on_train_batch_begin", batch, logs)

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Call all callbacks."""
        self._call("on_train_batch_end", batch, logs)

    def on_test_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Call all callbacks."""
        self._call("on_test_batch_begin", batch, logs)

    def on_test_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Call all callbacks."""
        self._call("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Call all callbacks."""
        self._call("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Call all callbacks."""
        self._call("on_predict_batch_end", batch, logs)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_train_begin", logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_train_end", logs)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_test_begin", logs)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_test_end", logs)

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_predict_begin", logs)

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Call all callbacks."""
        self._call("on_predict_end", logs)
