"""MLPClassifier and MLPRegressor, as scikit-learn has them and with more."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from lamella import losses
from lamella.sklearn._mlp_base import BaseMLP

__all__ = ["MLPClassifier", "MLPRegressor"]

_FLOATS = (np.float64, np.float32)
_LOSS_NAMES = {name for name in losses.__all__ if name.islower()} - {
    "get",
    "serialize",
    "deserialize",
}


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier, trained by lamella's compiled loop.

    The arguments up to max_fun, the attributes and the numbers are those of
    `sklearn.neural_network.MLPClassifier` 1.9: with the same random_state the same
    weights at the start, the same order of the samples and the same stopping.

    Args:
        hidden_layer_sizes: units of each hidden layer; an integer means one layer.
        activation: "identity", "logistic", "tanh", "relu", or any of
            lamella.activations; a list gives one for each hidden layer.
        solver: "adam", "sgd", "lbfgs" (SciPy's), or an optimizer of
            lamella.optimizers, a copy of which is used.
        alpha: of the penalty 0.5 alpha sum(weight^2) / (number of samples).
        batch_size: samples in an update; "auto" is min(200, all).
        learning_rate: "constant", "invscaling" or "adaptive", with solver "sgd".
        learning_rate_init: the rate at the start, with "sgd" and "adam".
        power_t: exponent of "invscaling".
        max_iter: most epochs; iterations with "lbfgs".
        shuffle: whether each epoch takes the samples in a new order.
        random_state: integer, RandomState or None.
        tol: least improvement that counts; bound of the gradient with "lbfgs".
        verbose: whether to print the loss of each epoch.
        warm_start: whether fit goes on from the last weights.
        momentum: with "sgd".
        nesterovs_momentum: with "sgd".
        early_stopping: stop when the score of held-out samples does not improve, and
            take the best weights.
        validation_fraction: of the samples held out for early_stopping.
        beta_1: with "adam".
        beta_2: with "adam".
        epsilon: with "adam".
        n_iter_no_change: epochs without improvement before stopping.
        max_fun: most evaluations with "lbfgs".
        dropout: rate after the hidden layers: one number or a list.
        batch_normalization: normalize before the hidden activations.
        loss: "log_loss", or a loss of lamella.losses of one-hot targets and
            probabilities: name, object or function.
        class_weight: dict from class to weight, "balanced" or None.
        callbacks: list of lamella.callbacks, or None; they see loss, val_score and
            val_loss, and the network as `model`.

    Attributes:
        classes_: class labels.
        coefs_: weight matrices.
        intercepts_: biases.
        loss_: loss of the last epoch.
        best_loss_: least loss of all epochs; None with early_stopping.
        loss_curve_: loss of each epoch.
        validation_scores_: accuracy on the validation data after each epoch, or None.
        best_validation_score_: best of them with early_stopping, or None.
        history_: dict of lists: loss, and val_score and val_loss if there are any.
        n_iter_: epochs run.
        t_: samples seen.
        n_features_in_: features.
        feature_names_in_: their names, if X had names.
        n_layers_: layers, input and output included.
        n_outputs_: outputs.
        out_activation_: "softmax" or "logistic".
        model_: the network as a lamella Sequential.

    Example:
        >>> from lamella.sklearn import MLPClassifier
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> net = MLPClassifier(4, "tanh", solver="lbfgs", random_state=1).fit(X, y)
        >>> net.predict(X).tolist()
        [0, 1, 1, 0]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"log_loss", *_LOSS_NAMES}), callable],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_normalization: bool = False,
        loss: Any = "log_loss",
        class_weight: Any = None,
        callbacks: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_normalization = batch_normalization
        self.loss = loss
        self.class_weight = class_weight
        self.callbacks = callbacks

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> MLPClassifier:
        """Train the network and return the estimator.

        Args:
            X: array or sparse matrix of shape (samples, features).
            y: labels of shape (samples,), or an indicator matrix (several labels).
            sample_weight: weights of the samples, or None.
            validation_data: (X, y) or (X, y, sample_weight) to score after each epoch,
                instead of held-out samples.

        Raises:
            ValueError: arguments out of range, wrong shapes, weights that become
                infinite.
        """
        return self._fit(X, y, sample_weight, False, validation_data)

    @available_if(lambda self: self._check_solver())
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train for one epoch and return the estimator.

        Args:
            X: as in fit.
            y: as in fit; not every class needs to be there.
            sample_weight: weights of the samples, or None.
            classes: all classes; needed in the first call.
        """
        if _check_partial_fit_first_call(self, classes):
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if several else classes)
        return self._fit(X, y, sample_weight, True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted labels of the samples."""
        check_is_fitted(self)
        return self._decide(self._outputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, in the order of classes_."""
        check_is_fitted(self)
        found = self._outputs(X)
        if self.n_outputs_ == 1:
            found = found.ravel()
            return np.vstack([1 - found, found]).T
        return found

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`."""
        return np.log(self.predict_proba(X))

    def _canonical_loss(self) -> tuple[str, str]:
        many = self._label_binarizer.y_type_ == "multiclass"
        return self.loss, "softmax" if many else "logistic"

    def _validate_input(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=_FLOATS,
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            classes = unique_labels(y)
            if self.warm_start:
                if set(classes) != set(self.classes_):
                    raise ValueError(
                        "warm_start can only be used where `y` has the same classes as "
                        "in the previous call to fit. Previously got "
                        f"{self.classes_}, `y` has {classes}"
                    )
            else:
                self._check_labels(y, classes)
        return X.tocsr() if not isinstance(X, np.ndarray) else X, self._binarize(y)

    def _check_labels(self, y: Any, classes: np.ndarray) -> None:
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. `self.classes_` has "
                f"{self.classes_}. 'y' has {classes}."
            )

    def _binarize(self, y: Any) -> np.ndarray:
        return self._label_binarizer.transform(y).astype(bool)

    def _encode(self, y: Any) -> np.ndarray:
        self._check_labels(y, unique_labels(y))
        return self._binarize(y)

    def _labels(self, y: np.ndarray) -> np.ndarray:
        return self._label_binarizer.inverse_transform(y)

    def _decide(self, output: np.ndarray) -> np.ndarray:
        if self.n_outputs_ == 1:
            output = output.ravel()
        return self._label_binarizer.inverse_transform(output)

    def _score_labels(self, y: np.ndarray, predicted: np.ndarray, weight: Any) -> float:
        return float(accuracy_score(y, predicted, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron regressor, trained by lamella's compiled loop.

    The arguments up to max_fun, the attributes and the numbers are those of
    `sklearn.neural_network.MLPRegressor` 1.9.

    Args:
        loss: "squared_error" (half of it), "poisson" (half the deviance; the output
            is an exponential, y must be >= 0), or a loss of lamella.losses: name,
            object or function.
        hidden_layer_sizes: see MLPClassifier, as all the others.
        activation: see MLPClassifier.
        solver: see MLPClassifier.
        alpha: see MLPClassifier.
        batch_size: see MLPClassifier.
        learning_rate: see MLPClassifier.
        learning_rate_init: see MLPClassifier.
        power_t: see MLPClassifier.
        max_iter: see MLPClassifier.
        shuffle: see MLPClassifier.
        random_state: see MLPClassifier.
        tol: see MLPClassifier.
        verbose: see MLPClassifier.
        warm_start: see MLPClassifier.
        momentum: see MLPClassifier.
        nesterovs_momentum: see MLPClassifier.
        early_stopping: see MLPClassifier; the score is R squared.
        validation_fraction: see MLPClassifier.
        beta_1: see MLPClassifier.
        beta_2: see MLPClassifier.
        epsilon: see MLPClassifier.
        n_iter_no_change: see MLPClassifier.
        max_fun: see MLPClassifier.
        dropout: see MLPClassifier.
        batch_normalization: see MLPClassifier.
        callbacks: see MLPClassifier.

    The attributes are those of MLPClassifier without classes_.

    Example:
        >>> import numpy as np
        >>> from lamella.sklearn import MLPRegressor
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> net = MLPRegressor(hidden_layer_sizes=20, solver="lbfgs", random_state=0)
        >>> bool(net.fit(X, np.abs(X[:, 0])).score(X, np.abs(X[:, 0])) > 0.99)
        True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson", *_LOSS_NAMES}), callable],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_normalization: bool = False,
        callbacks: Any = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_normalization = batch_normalization
        self.callbacks = callbacks

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> MLPRegressor:
        """Train the network and return the estimator.

        Args:
            X: array or sparse matrix of shape (samples, features).
            y: targets of shape (samples,) or (samples, outputs).
            sample_weight: weights of the samples, or None.
            validation_data: (X, y) or (X, y, sample_weight) to score after each epoch,
                instead of held-out samples.

        Raises:
            ValueError: arguments out of range, wrong shapes, weights that become
                infinite.
        """
        return self._fit(X, y, sample_weight, False, validation_data)

    @available_if(lambda self: self._check_solver())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one epoch and return the estimator.

        Args:
            X: as in fit.
            y: as in fit.
            sample_weight: weights of the samples, or None.
        """
        return self._fit(X, y, sample_weight, True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted values, shape (samples,) or (samples, outputs)."""
        check_is_fitted(self)
        return self._decide(self._outputs(X))

    def _canonical_loss(self) -> tuple[str, str]:
        return self.loss, "exp" if self.loss == "poisson" else "identity"

    def _validate_input(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray]:
        del incremental
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=_FLOATS,
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X.tocsr() if not isinstance(X, np.ndarray) else X, y.astype(float)

    def _encode(self, y: Any) -> np.ndarray:
        y = np.asarray(y, dtype=float)
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _labels(self, y: np.ndarray) -> np.ndarray:
        return y

    def _decide(self, output: np.ndarray) -> np.ndarray:
        return output.ravel() if output.shape[1] == 1 else output

    def _score_labels(self, y: np.ndarray, predicted: np.ndarray, weight: Any) -> float:
        return float(r2_score(y, predicted, sample_weight=weight))
