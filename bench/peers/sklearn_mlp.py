"""scikit-learn's MLPRegressor and MLPClassifier."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from peers import Task, Unsupported
from workloads.spec import Dense, ModelWorkload, OpWorkload


class SklearnMlp:
    """Dense networks only."""

    versions: ClassVar[dict[str, str]] = {"scikit-learn": sklearn.__version__}

    def prepare(self, workload: ModelWorkload | OpWorkload) -> Task:
        """The estimator, ready to run."""
        if isinstance(workload, OpWorkload):
            raise Unsupported("has no single ops")
        if not all(isinstance(layer, Dense) for layer in workload.layers):
            raise Unsupported("has dense layers only")
        return ModelTask(workload)


def peer(name: str, threads: int) -> SklearnMlp:
    """The one peer of this module."""
    return SklearnMlp()


class ModelTask:
    """An estimator that partial_fit trains."""

    def __init__(self, workload: ModelWorkload) -> None:
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.workload = workload
        self.x, y = workload.data()
        options = {
            "hidden_layer_sizes": [layer.units for layer in workload.layers[:-1]],
            "activation": workload.layers[0].activation,
            "solver": "adam",
            "alpha": 0.0,
            "batch_size": min(workload.batch_size, len(self.x)),
            "learning_rate_init": workload.learning_rate,
        }
        self.classifies = workload.loss == "categorical_crossentropy"
        if self.classifies:
            self.y = y.argmax(axis=1)
            self.model = MLPClassifier(**options)
            first = {"classes": np.arange(y.shape[1])}
        else:
            self.y = y[:, 0]
            self.model = MLPRegressor(**options)
            first = {}
        # The first call makes the arrays; then they get the common weights.
        size = options["batch_size"]
        self.model.partial_fit(self.x[:size], self.y[:size], **first)
        weights = workload.weights()
        for mine, common in zip(self.model.coefs_, weights[::2], strict=True):
            mine[...] = common
        for mine, common in zip(self.model.intercepts_, weights[1::2], strict=True):
            mine[...] = common

    def run(self) -> None:
        """One step, one epoch or one prediction."""
        size = self.workload.batch_size
        if self.workload.action == "predict":
            self.results()
        elif self.workload.action == "step":
            self.model.partial_fit(self.x[:size], self.y[:size])
        else:
            self.model.partial_fit(self.x, self.y)

    def results(self) -> list[np.ndarray]:
        """Predictions for all rows."""
        if self.classifies:
            return [self.model.predict_proba(self.x)]
        return [self.model.predict(self.x)[:, None]]
