"""The whole-batch optimizers inside fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamella import _core
from lamella.callbacks import Callback
from lamella.layers import _tree
from lamella.models.data import ArrayFeed
from lamella.optimizers.whole_batch.base import WholeBatchOptimizer
from lamella.optimizers.whole_batch.objective import Collector, Objective

__all__ = ["WholeBatchRun"]


class WholeBatchRun(Callback):
    """One call of `fit` with a WholeBatchOptimizer: an iteration for each epoch.

    It is a callback too, to know when the fit ends.

    Args:
        model: compiled and built.
        feed: all the data, as arrays.
        batch_size: what the user asked for; None or all rows.

    Raises:
        ValueError: data in batches, a smaller batch, a model that runs in Python, or a
            loss that is random or not a sum of squares where it must be one.
    """

    def __init__(self, model: Any, feed: Any, batch_size: int | None) -> None:
        super().__init__()
        self._model, self.optimizer = model, model.optimizer
        assert isinstance(self.optimizer, WholeBatchOptimizer)
        who = f"{model._who()}: fit: {type(self.optimizer).__name__}"
        if not isinstance(feed, ArrayFeed):
            raise ValueError(f"{who} needs arrays, not data that come as batches")
        if batch_size is not None and batch_size < feed.rows:
            raise ValueError(
                f"{who} works on all {feed.rows} samples at once, got batch_size="
                f"{batch_size}; leave batch_size out"
            )
        if model._runs_python("train"):
            raise ValueError(
                f"{who} needs a traced loss: neither run_eagerly nor a train_step of "
                "your own"
            )
        variables = model.trainable_variables
        if not variables:
            raise ValueError(f"{who}: the model has no trainable weights")
        self.feed = feed
        self.cores = [v._core for v in variables]
        self.optimizer.build(variables)
        if self.optimizer.least_squares:
            _check_squares(model, who)
            self.objective: Any = _ModelResiduals(model, feed, self.cores)
            self.scale = 2.0 / self.objective.count
        else:
            self.objective = _model_objective(model, feed, self.cores)
            self.scale = 1.0
            x = self.objective.collect.read()
            if self.objective(x)[0] != self.objective(x)[0]:
                raise ValueError(
                    f"{who} needs the same loss for the same weights, but this model's "
                    "is random. Leave out Dropout and noise layers, or use SGD or Adam"
                )

    def run_epoch(
        self,
        begin: Callable[..., Any],
        end: Callable[..., Any],
        progress: Callable[[int, dict[str, float]], Any] | None,
    ) -> dict[str, float]:
        """Make one iteration, as one batch, and return the logs."""
        begin(0)
        logs = self._iterate()
        end(0, logs)
        if progress is not None:
            progress(0, logs)
        return logs

    def on_train_end(self, logs: Any = None) -> None:
        """Let go of the data, and say in the History why the fit ended."""
        del logs
        history = self.model.history
        if history.stopped_by == "callback" and self.optimizer.finished:
            history.stopped_by = "convergence"
        self.model._whole_batch = None

    def _iterate(self) -> dict[str, float]:
        """Make one iteration and return the logs for the weights it found."""
        optimizer, collect = self.optimizer, self.objective.collect
        here = collect.read()
        same = optimizer.nit > 0 and np.array_equal(
            optimizer.x.astype(collect.dtype), here.astype(collect.dtype)
        )
        if not same or optimizer._objective is not self.objective:
            optimizer.start(self.objective, here)
        try:
            optimizer.step()
        finally:
            collect.write(optimizer.x)  # not the point that was tried last
        with _core.no_grad():
            for variable in self.model.trainable_variables:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable.value))
        if optimizer.finished:
            self.model.stop_training = True
        logs = {"loss": self.scale * optimizer.fun}
        if self.model._compile_metrics is not None:
            logs = {**self._metrics(), **logs}
        return logs

    def _metrics(self) -> dict[str, float]:
        """Return the values of the compiled metrics, as evaluate() gives them."""
        feed = self.feed
        step = self.model._make_step("test", feed.template, feed.leaves)
        self.model.reset_metrics()
        return step.logs(step.runner.epoch(feed.leaves, feed.rows))


def _model_objective(model: Any, feed: ArrayFeed, cores: list[Any]) -> Any:
    graph = _core.Graph()
    with graph:
        x, y, weight = _inputs(graph, feed)
        try:
            loss = model._compute_loss(x, y, model(x, training=True), weight, True)
        finally:
            model._clear_losses()
        loss = _core.mean(loss, None, False) if loss.ndim else loss
        graph.output("loss", loss)
        graph.set_loss(loss)
    collect = Collector(graph, cores)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        collect.write(x)
        values, gradient = collect(feed.leaves)
        return values[0], gradient

    objective: Any = Objective(function)
    objective.collect = collect
    return objective


def _inputs(graph: Any, feed: ArrayFeed) -> tuple[Any, Any, Any]:
    template = feed.template
    declared = [
        graph.input(name, (None, *a.shape[1:]), dtype)
        for name, a, dtype in zip(
            template.names(), feed.leaves, template.dtypes, strict=True
        )
    ]
    return template.unflatten(declared)


class _ModelResiduals:
    """sqrt(weight) (y_pred - y) of a model, one for each sample and output."""

    def __init__(self, model: Any, feed: ArrayFeed, cores: list[Any]) -> None:
        self.nfev = self.njev = 0
        graph, chosen = _core.Graph(), _core.Graph()
        with graph:
            residuals = self._trace(model, graph, feed)
            graph.output("residuals", residuals)
        outputs = residuals.shape[1]
        with chosen:
            residuals = self._trace(model, chosen, feed)
            pick = chosen.input("pick", (None, outputs), residuals.dtype)
            loss = _core.sum(pick * residuals)
            chosen.output("value", loss)
            chosen.set_loss(loss)
        self.collect = Collector(chosen, cores)
        self._values = _core.Executor(graph)
        self._leaves, rows = feed.leaves, feed.rows
        self._picks = [
            np.tile(np.eye(1, outputs, k, dtype=residuals.dtype), (rows, 1))
            for k in range(outputs)
        ]
        self.count = rows * outputs

    @staticmethod
    def _trace(model: Any, graph: Any, feed: ArrayFeed) -> Any:
        x, y, weight = _inputs(graph, feed)
        found = model(x, training=False)
        model._clear_losses()
        if len(_tree.flatten(found)) != 1:
            raise ValueError(
                f"{model._who()}: fit: LevenbergMarquardt needs a model with one output"
            )
        found = _rows(found)
        residuals = found - _rows(_core.cast(y, found.dtype))
        if weight is not None:
            residuals = residuals * _core.sqrt(_core.reshape(weight, (-1, 1)))
        return residuals

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.nfev += 1
        self.collect.write(x)
        found = self._values(self._leaves)[0]
        return np.asarray(found, dtype="float64").T.ravel()

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        self.njev += 1
        self.collect.write(x)
        return np.concatenate(
            [self.collect.rows([*self._leaves, pick]) for pick in self._picks]
        )


def _rows(value: Any) -> Any:
    """Return (rows, numbers in a row)."""
    size = int(np.prod(value.shape[1:], dtype="int64"))
    return _core.reshape(value, (value.dims[0], size))


def _check_squares(model: Any, who: str) -> None:
    loss = model._compile_loss
    found = None if loss is None else loss._user_loss
    name = found if isinstance(found, str) else getattr(found, "name", "")
    name = name or getattr(found, "__name__", "")
    if name.lower() not in ("mse", "mean_squared_error", "meansquarederror"):
        raise ValueError(
            f"{who} minimizes sums of squares: compile the model with loss='mse', got "
            f"loss={found!r}"
        )
    if any(v.regularizer is not None for v in model.trainable_variables):
        raise ValueError(
            f"{who} does not know regularizers; leave them out or use LBFGS"
        )
