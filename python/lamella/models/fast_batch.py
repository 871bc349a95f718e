"""The short way of `train_on_batch` and `test_on_batch`, for arrays like the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamella.layers._parts import parts_of

if TYPE_CHECKING:
    from lamella.models.tracing import Step, Tracing


def zeros_of_metrics(model: Tracing) -> list[Any] | None:
    """Return the variables that resetting the metrics sets to zero.

    To be called after `reset_metrics`; None if a metric starts with something else, if
    the model or a metric has a way of its own to reset, or if some are not there yet.
    """
    from lamella.metrics import Metric
    from lamella.models.tracing import Tracing

    kind = type(model)
    if (
        kind.reset_metrics is not Tracing.reset_metrics
        or kind.metrics is not Tracing.metrics
        or not all(
            part is None or part.built
            for part in (model._compile_loss, model._compile_metrics)
        )
    ):
        return None
    metrics = model.metrics
    if any(type(m).reset_state is not Metric.reset_state for m in metrics):
        return None
    states = [v for m in metrics for v in m.variables]
    if any(np.any(np.asarray(v.numpy())) for v in states):
        return None
    return [v._core for v in states]


def takes_classes(loss: Any) -> bool:
    """Return True if the targets of a compiled loss are numbers of classes."""
    user_loss = None if loss is None else loss._user_loss
    if not isinstance(user_loss, str):
        user_loss = getattr(user_loss, "name", "")
    return user_loss == "sparse_categorical_crossentropy"


class FastBatch:
    """A traced step and the kind of arrays that it takes.

    Args:
        model: a compiled model, with no step of its own.
        mode: "train" or "test".
        step: the traced step that ran.
        leaves: x and y of the batch that ran.
        reset: variables of the metrics, set to zero before each batch.
        order: names of the logs as the methods return them.
    """

    def __init__(
        self,
        model: Tracing,
        mode: str,
        step: Step,
        leaves: list[np.ndarray],
        reset: list[Any],
        order: list[str],
    ) -> None:
        self._mode = mode
        self._step = step
        assert step.template is not None  # every traced step has one
        self.template = step.template
        self.classes = takes_classes(model._compile_loss)
        self._kinds = [(a.shape[1:], a.dtype) for a in leaves]
        self._order = [step.names.index(n) for n in order]
        self._reset = reset
        self._parts = parts_of(model)
        self._optimizer = model.optimizer

    def takes(self, model: Any, mode: str, x: Any, y: Any) -> bool:
        """Return True if these are arrays like those that ran, and nothing changed."""
        return (
            mode == self._mode
            and len(self._kinds) == 2
            and type(x) is np.ndarray
            and type(y) is np.ndarray
            and (x.shape[1:], x.dtype) == self._kinds[0]
            and (y.shape[1:], y.dtype) == self._kinds[1]
            and len(x) == len(y) > 0
            and x.flags.c_contiguous
            and y.flags.c_contiguous
            and model.optimizer is self._optimizer
            and not model.run_eagerly
            and self._parts.is_current()
        )

    def values(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Run the step and return [loss, metrics...]; a number if it is only one."""
        values = self._step.runner.step((x, y), self._reset)
        if len(self._order) == 1:
            return values[self._order[0]]
        return [values[i] for i in self._order]

    def run(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Run the step and return its logs."""
        return self._step.logs(self._step.runner.step((x, y), self._reset))
