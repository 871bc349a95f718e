"""The network behind MLPClassifier and MLPRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core, activations, layers, optimizers
from lamella.models import Sequential
from lamella.models.compile_utils import make_loss
from lamella.sklearn import _losses

__all__ = ["ACTIVATIONS", "Network", "rows_of"]

# scikit-learn's names of activations -> Keras's
ACTIVATIONS = {
    "identity": "linear",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exponential",
}

_BYTES = 1 << 22  # of the rows that are gathered at a time


def rows_of(x: Any, index: Any, dtype: str | None = None) -> np.ndarray:
    """Return some rows, dense, in C order; `x` may be a sparse matrix."""
    rows = x[index]
    if not isinstance(rows, np.ndarray):
        rows = rows.toarray()
    return np.ascontiguousarray(rows, dtype=dtype)


class Network:
    """A plain Sequential model, the Program that trains it, and its optimizer.

    Args:
        units: sizes of all layers, input and output included.
        hidden: activation of each hidden layer: name or callable.
        out_activation: scikit-learn's name of the output's activation.
        dropout: rate after each hidden layer.
        batch_normalization: whether to normalize before the hidden activations.
        dtype: "float64" or "float32".
        seeds: of the Dropout layers.
    """

    def __init__(
        self,
        units: Sequence[int],
        hidden: Sequence[Any],
        out_activation: str,
        dropout: Sequence[float],
        batch_normalization: bool,
        dtype: str,
        seeds: Sequence[int],
    ) -> None:
        self._arguments = (
            list(units),
            list(hidden),
            out_activation,
            list(dropout),
            batch_normalization,
            dtype,
            list(seeds),
        )
        self.out_activation, self.dtype = out_activation, dtype
        stack: list[Any] = [layers.Input((units[0],), dtype=dtype)]
        for size, name, rate, seed in zip(
            units[1:-1], hidden, dropout, seeds, strict=True
        ):
            activation = ACTIVATIONS.get(name, name) if isinstance(name, str) else name
            if batch_normalization:
                stack.append(layers.Dense(size, dtype=dtype))
                stack.append(layers.BatchNormalization(dtype=dtype))
                stack.append(layers.Activation(activation, dtype=dtype))
            else:
                stack.append(layers.Dense(size, activation=activation, dtype=dtype))
            if rate:
                stack.append(layers.Dropout(rate, seed=int(seed), dtype=dtype))
        last = ACTIVATIONS[out_activation]
        stack.append(layers.Dense(units[-1], activation=last, dtype=dtype))
        self.model = Sequential(stack)
        self._dense = [x for x in self.model.layers if isinstance(x, layers.Dense)]
        self._rest = _core.Variable(np.ones((), dtype), trainable=False)
        self._predictor: Any = None
        self._trainer: Any = None
        self._trainer_key: Any = None

    # -- weights -----------------------------------------------------------------

    def read(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return copies: (coefs, intercepts)."""
        kernels = [layer.kernel.numpy() for layer in self._dense]
        return kernels, [layer.bias.numpy() for layer in self._dense]

    def write(self, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
        """Set the weight matrices and the biases."""
        for layer, coef, intercept in zip(self._dense, coefs, intercepts, strict=True):
            layer.kernel.assign(coef)
            layer.bias.assign(intercept)

    # -- use -----------------------------------------------------------------------

    def predict(self, x: Any) -> np.ndarray:
        """Return the outputs, shape (rows, outputs); sparse rows become dense."""
        if self._predictor is None:
            graph = _core.Graph()
            with graph:
                inputs = graph.input("x", (None, self._arguments[0][0]), self.dtype)
                graph.output("output", self.model(inputs, training=False))
            self._predictor = _core.Executor(graph)
        if isinstance(x, np.ndarray):
            rows = np.ascontiguousarray(x)
            if rows.dtype not in (np.float32, np.float64):
                rows = rows.astype(self.dtype)
            return self._predictor.map([rows], max(1, len(rows)))[0]
        size = self._rows_at_once(x, 1)
        parts = [
            self._predictor.map([rows_of(x, slice(i, i + size), self.dtype)], size)[0]
            for i in range(0, x.shape[0], size)
        ]
        return np.concatenate(parts)

    def value(self, loss: Any, x: Any, y: np.ndarray, w: Any) -> float:
        """Return the loss of data without penalty and dropout."""
        p = _core.tensor(self.predict(x))
        targets = _core.tensor(np.asarray(y, dtype=self.dtype))
        w = None if w is None else _core.tensor(np.asarray(w, dtype=self.dtype))
        with _core.no_grad():
            found = _losses.value_of(
                self.prepared(loss, targets, p), self.out_activation, targets, p, w
            )
        return float(found)

    def prepared(self, loss: Any, y: Any, p: Any) -> Any:
        """Return the name of a loss of scikit-learn's, or a Loss."""
        canonical = _losses.CANONICAL[self.out_activation][0]
        return loss if loss == canonical else make_loss(loss, y, p)

    # -- training ------------------------------------------------------------------

    def trace(
        self, loss: Any, alpha: float, weighted: bool, scaled: bool = False
    ) -> Any:
        """Return the Graph of a training step; its first output is the loss.

        It also adds loss * rows to `self.total`. `scaled` is for `set_rate`.
        """
        graph = _core.Graph()
        units = self._arguments[0]
        self.total = _core.Variable(np.zeros(()), trainable=False)
        with graph:
            x = graph.input("x", (None, units[0]), self.dtype)
            y = graph.input("y", (None, units[-1]), self.dtype)
            w = graph.input("w", (None,), self.dtype) if weighted else None
            h = x
            for layer in self.model.layers[:-1]:
                h = layer(h, training=True) if _changes(layer) else layer(h)
            last = self._dense[-1]
            z = _core.matmul(h, last.kernel.value) + last.bias.value
            p = last.activation(z)
            kernels = [layer.kernel.value for layer in self._dense]
            driven, value = _losses.objective_of(
                self.prepared(loss, y, p),
                self.out_activation,
                alpha,
                kernels,
                y,
                z,
                p,
                w,
            )
            value = _core.cast(value, "float64")
            rows = _core.cast(_losses.batch_size_of(x), "float64")
            self.total.assign(self.total.value() + value * rows)
            graph.output("loss", value)
            graph.set_loss(driven * self._rest.value() if scaled else driven)
        return graph

    @property
    def trained(self) -> list[Any]:
        """The trainable weights of the core."""
        return [v._core for v in self.model.trainable_variables]

    def start(self, optimizer: Any, loss: Any) -> None:
        """Compile the model with a fresh optimizer."""
        known = _losses.KERAS_NAMES[self.out_activation]
        canonical = loss == _losses.CANONICAL[self.out_activation][0]
        self.model.compile(optimizer=optimizer, loss=known if canonical else loss)
        self._rest.assign(np.ones((), self.dtype))
        self._trainer = self._trainer_key = None

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of plain gradient descent to its last digit.

        The core has it in float32. What is lost there scales the gradient instead.
        """
        self.model.optimizer.learning_rate = rate
        self._rest.assign(np.array(rate / float(np.float32(rate)), self.dtype))

    def epoch(
        self,
        arrays: Sequence[Any],
        order: np.ndarray | None,
        batch: int,
        loss: Any,
        alpha: float,
        hooks: Any = None,
    ) -> float:
        """Train on all rows once, in the given order; return the mean loss.

        Args:
            arrays: x (dense or sparse), y and, if there are weights, w.
            order: of the rows; None for their own.
            batch: rows in an update.
            loss: as the estimator has it.
            alpha: of the penalty.
            hooks: a CallbackList whose batch hooks are called, or None.
        """
        x, rest = arrays[0], list(arrays[1:])
        key = (loss, alpha, len(rest))
        if self._trainer is None or self._trainer_key != key:
            graph = self.trace(loss, alpha, len(rest) > 1, True)
            self._trainer = self._make_trainer(graph)
            self._trainer_key = key
        self.total.assign(np.zeros(()))
        rows = x.shape[0]
        dense = isinstance(x, np.ndarray)
        if order is None and dense:
            self._batches(arrays, batch, 0, hooks)
        else:
            size = self._rows_at_once(x, batch)
            for start in range(0, rows, size):
                index: Any = slice(start, start + size)
                if order is not None:
                    index = order[index]
                chunk = [rows_of(x, index), *(a[index] for a in rest)]
                self._batches(chunk, batch, start // batch, hooks)
        return float(self.total.numpy()) / rows

    def _make_trainer(self, graph: Any) -> Any:
        optimizer = self.model.optimizer
        variables = self.model.trainable_variables
        if not optimizer.built:
            optimizer.build(variables)
        return optimizer._trace(graph, variables)()

    def _batches(
        self, arrays: Sequence[np.ndarray], batch: int, first: int, hooks: Any
    ) -> None:
        if hooks is None:
            self._trainer.epoch(arrays, batch)
            return

        def begin(i: int) -> bool:
            hooks.on_train_batch_begin(first + i)
            return False

        def end(i: int, values: Sequence[float]) -> bool:
            hooks.on_train_batch_end(first + i, {"loss": values[0]})
            return False

        self._trainer.epoch(arrays, batch, on_batch_begin=begin, on_batch_end=end)

    def _rows_at_once(self, x: Any, batch: int) -> int:
        width = max(1, x.shape[1] * np.dtype(self.dtype).itemsize)
        return batch * max(1, _BYTES // (batch * width))

    # -- pickling --------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        optimizer = self.model.optimizer
        state: dict[str, Any] = {
            "arguments": self._arguments,
            "rest": self._rest.numpy(),
            "weights": self.model.get_weights(),
        }
        if optimizer is not None:
            state["optimizer"] = (type(optimizer).__name__, optimizer.get_config())
            state["loss"] = self.model.loss
            if optimizer.built:
                state["slots"] = [v.numpy() for v in optimizer.variables]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["arguments"])  # type: ignore[misc]
        self.model.set_weights(state["weights"])
        self._rest.assign(state["rest"])
        if "optimizer" not in state:
            return
        name, arguments = state["optimizer"]
        optimizer = optimizers.get({"class_name": name, "config": arguments})
        self.model.compile(optimizer=optimizer, loss=state["loss"])
        if "slots" in state:
            optimizer.build(self.model.trainable_variables)
            for variable, value in zip(
                optimizer.variables, state["slots"], strict=True
            ):
                variable.assign(value)


def _changes(layer: Any) -> bool:
    """Return whether a layer does something else in training."""
    return isinstance(layer, layers.Dropout | layers.BatchNormalization)


def check_activation(who: str, name: Any) -> None:
    """Raise ValueError for an activation that does not exist."""
    if isinstance(name, str) and name not in ACTIVATIONS:
        try:
            activations.get(name)
        except ValueError as error:
            raise ValueError(f"{who}: {error}") from None
