"""scikit-learn's MLPRegressor and MLPClassifier."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from peers import Task, Unsupported
from workloads.spec import Dense, ModelWorkload

_ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh", None: "identity"}


class SklearnMlp:
    """Dense networks only."""

    versions: ClassVar[dict[str, str]] = {"scikit-learn": sklearn.__version__}
    symmetric_padding = False

    def prepare(self, workload: ModelWorkload) -> Task:
        """The estimator, ready to run."""
        if not all(isinstance(layer, Dense) for layer in workload.layers):
            raise Unsupported("has dense layers only")
        return ModelTask(workload)


def peer(name: str, threads: int) -> SklearnMlp:
    """The one peer of this module."""
    return SklearnMlp()


class ModelTask:
    """An estimator that goes on from its weights with each call of fit."""

    def __init__(self, workload: ModelWorkload) -> None:
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.workload = workload
        self.x, y = workload.data()
        hidden = [layer for layer in workload.layers[:-1] if isinstance(layer, Dense)]
        self.size = min(workload.batch_size, len(self.x))
        options = {
            "hidden_layer_sizes": [layer.units for layer in hidden],
            "activation": _ACTIVATIONS[hidden[0].activation if hidden else None],
            "solver": workload.optimizer,
            "alpha": 0.0,
            "batch_size": self.size,
            "learning_rate_init": workload.learning_rate,
            "momentum": 0.0,
            "tol": 0.0,
            "warm_start": True,
        }
        self.classifies = workload.loss != "mse"
        self.first = {}
        if self.classifies:
            self.y = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0].astype(np.int64)
            self.model = MLPClassifier(**options)
            self.first = {"classes": np.arange(max(2, y.shape[1]))}
        else:
            self.y = y[:, 0]
            self.model = MLPRegressor(**options)
        # The first call makes the arrays; then they get the common weights.
        self.model.partial_fit(self.x[: self.size], self.y[: self.size], **self.first)
        for i, (kernel, bias) in enumerate(workload.weights()):
            self.model.coefs_[i][...] = kernel
            self.model.intercepts_[i][...] = bias

    def run(self, count: int) -> int:
        """Steps, or predictions."""
        workload = self.workload
        if workload.action == "fit":
            epochs = min(max(1, round(count / workload.batches)), workload.epochs)
            fits = max(1, round(count / (epochs * workload.batches)))
            self.model.max_iter = epochs
            self.model.n_iter_no_change = epochs + 1
            for _ in range(fits):
                self.model.fit(self.x, self.y)
            return fits * epochs * workload.batches
        if workload.action == "step":
            for _ in range(count):
                self.model.partial_fit(self.x[: self.size], self.y[: self.size])
            return count
        for _ in range(count):
            self._predict(self.x)
        return count * (workload.batches if workload.action == "predict" else 1)

    def loss(self) -> float:
        """One step on the first batch: its loss before the update."""
        self.model.partial_fit(self.x[: self.size], self.y[: self.size], **self.first)
        return float(self.model.loss_)

    def _predict(self, x: np.ndarray) -> np.ndarray:
        if not self.classifies:
            return self.model.predict(x)[:, None]
        p = self.model.predict_proba(x)
        return p if self.workload.data()[1].shape[1] > 1 else p[:, 1:]

    def results(self, rows: int) -> list[np.ndarray]:
        """Predictions for the first rows."""
        return [self._predict(self.x[:rows])]
