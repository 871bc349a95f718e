"""The short way of the `..._on_batch` methods, for arrays like the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamella import _core
from lamella.layers._parts import parts_of

if TYPE_CHECKING:
    from lamella.layers._parts import Parts
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
        self._call, self.takes = _core.array_call(step.runner, leaves, reset)
        self._order = [step.names.index(n) for n in order]
        self._parts = parts_of(model)
        self._optimizer = model.optimizer

    def is_current(self, model: Any, mode: str) -> bool:
        """Return True if the step is one of this mode, and nothing changed since."""
        return (
            mode == self._mode
            and model.optimizer is self._optimizer
            and not model.run_eagerly
            and self._parts.is_current()
        )

    def values(self, x: Any, y: Any) -> Any:
        """Run the step and return [loss, metrics...]; a number if it is only one.

        None for other arrays than the step takes.
        """
        values = self._call(x, y)
        if values is None:
            return None
        if len(self._order) == 1:
            return values[self._order[0]]
        return [values[i] for i in self._order]

    def logs(self, x: Any, y: Any) -> dict[str, float] | None:
        """Run the step and return its logs; None for arrays that it does not take."""
        values = self._call(x, y)
        return None if values is None else self._step.logs(values)


class FastPredict:
    """A traced prediction with one output and the kind of arrays that it takes.

    Args:
        runner: the Executor of the step.
        leaves: x as it was given.
        parts: what the model was made of.

    Attributes:
        batch: function from x to the outputs, or to None for another kind of x.
        takes: function that tells whether x is of that kind.
    """

    def __init__(self, runner: Any, leaves: list[np.ndarray], parts: Parts) -> None:
        self.batch, self.takes = _core.array_call(runner, leaves)
        self.parts = parts
        self._runner = runner

    def all_rows(self, x: np.ndarray, batch_size: int) -> Any:
        """Return the outputs for all rows of an x that is taken."""
        if len(x) > batch_size:
            return self._runner.map([x], batch_size)[0]
        return self._runner([x])[0]
