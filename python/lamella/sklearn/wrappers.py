"""LamellaClassifier, LamellaRegressor, LamellaTransformer: any model as estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
)
from sklearn.utils.validation import check_is_fitted

from lamella.models import Model
from lamella.sklearn._wrapper_base import LamellaEstimator, seeded

__all__ = ["LamellaClassifier", "LamellaRegressor", "LamellaTransformer"]


class LamellaClassifier(ClassifierMixin, LamellaEstimator):
    """A lamella model as a scikit-learn classifier.

    Args:
        model: a Model, of which every fit takes a copy with its weights, or a function
            that returns one, compiled or not. The function gets those of its arguments
            that it names: X, y, `meta` (dict with n_features_in_, n_classes_,
            target_type_, X_shape_), `compile_kwargs`, and any parameter of the
            estimator.
        epochs: passes over the data in a fit.
        batch_size: samples in an update; None is 32.
        optimizer: name, class or Optimizer, for a model that is not compiled.
        loss: name, class, Loss or function; None takes the cross-entropy that fits
            labels and output.
        metrics: list, as in compile.
        callbacks: a Callback (copied in each fit), a class, or a list or dict of them.
        validation_split: fraction of the samples, the last ones, only evaluated.
        shuffle: whether each epoch takes the samples in a new order.
        verbose: 0, 1 or 2.
        warm_start: whether fit trains the last model on.
        random_state: integer, RandomState or None, for weights, order and dropout.
        class_weight: dict from label to weight, "balanced" or None.
        **kwargs: parameters with a destination: model__units, optimizer__learning_rate,
            loss__from_logits, callbacks__patience, compile__..., fit__..., predict__...
            and arguments of the model function by their own names.

    Attributes:
        model_: the trained model.
        history_: dict of lists by epoch.
        X_shape_: shape of the data of the first fit, samples included.
        classes_: labels.
        n_classes_: how many.
        target_type_: "binary", "multiclass" or "multilabel-indicator".

    Example:
        >>> import lamella as keras
        >>> from lamella.sklearn import LamellaClassifier
        >>> def net(meta, units):
        ...     return keras.Sequential([
        ...         keras.Input((meta["n_features_in_"],)),
        ...         keras.layers.Dense(units, activation="relu"),
        ...         keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ...     ])
        >>> estimator = LamellaClassifier(net, model__units=8, epochs=5, random_state=0)
        >>> X, y = [[0.0, 0.0], [1.0, 1.0], [0.0, 0.1], [1.0, 0.9]], list("abab")
        >>> estimator.fit(X, y).predict_proba(X).shape
        (4, 2)
    """

    def __init__(
        self,
        model: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        callbacks: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        verbose: Any = 0,
        warm_start: bool = False,
        random_state: Any = None,
        class_weight: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            callbacks=callbacks,
            validation_split=validation_split,
            shuffle=shuffle,
            verbose=verbose,
            warm_start=warm_start,
            random_state=random_state,
            **kwargs,
        )
        self.class_weight = class_weight

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **fit: Any
    ) -> LamellaClassifier:
        """Train the model and return the estimator.

        Args:
            X: array of shape (samples, ...) or sparse matrix.
            y: labels of shape (samples,), or an indicator matrix.
            sample_weight: weights of the samples, or None.
            **fit: further arguments of Model.fit, for this time.
        """
        return self._train(X, y, sample_weight, self.warm_start, fit)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> LamellaClassifier:
        """Train the model for one more epoch and return the estimator.

        Args:
            X: as in fit.
            y: as in fit.
            classes: all labels; needed in the first call.
            sample_weight: weights of the samples, or None.
        """
        if _check_partial_fit_first_call(self, classes):
            self.target_type_ = "multiclass" if len(classes) > 2 else "binary"
            self.n_classes_ = len(self.classes_)
        return self._train(X, y, sample_weight, True, {"epochs": 1}, known=True)

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        go_on: bool,
        fit: dict[str, Any],
        known: bool = False,
    ) -> LamellaClassifier:
        go_on = go_on and (hasattr(self, "model_") or known)
        X, y = self._check_X(X, not (go_on and hasattr(self, "model_")), y)
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not go_on:
            self.target_type_ = type_of_target(y)
            if self.target_type_ == "multiclass-multioutput":
                raise ValueError(
                    "LamellaClassifier: y has several columns of classes; give labels "
                    "of shape (samples,) or an indicator matrix of zeros and ones"
                )
            many = self.target_type_ == "multilabel-indicator"
            self.classes_ = np.arange(y.shape[1]) if many else np.unique(y)
            self.n_classes_ = len(self.classes_)
        weight = self._weights(X, sample_weight)
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            weight = by_class if weight is None else weight * by_class
        with seeded(self.random_state):
            numbers = self._numbers(y)
            self._start(X, numbers, go_on)
            self._fit_model(X, self._targets(numbers), weight, fit)
        return self

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        """Return labels as numbers of classes; an indicator matrix stays."""
        if self.target_type_ == "multilabel-indicator":
            return np.asarray(y, dtype="float32")
        place = np.searchsorted(self.classes_, y)
        place = np.minimum(place, len(self.classes_) - 1)
        unknown = self.classes_[place] != y
        if unknown.any():
            raise ValueError(
                f"LamellaClassifier: y has labels that are not in classes_: "
                f"{np.unique(y[unknown])}; classes_ are {self.classes_}"
            )
        return place.astype("int32")

    def _targets(self, numbers: np.ndarray) -> np.ndarray:
        """Return what the loss wants: numbers, or one-hot rows."""
        if self.target_type_ == "multilabel-indicator" or self._is_sparse():
            return numbers
        if self._width == 1:
            return numbers.astype("float32").reshape(-1, 1)
        return np.eye(self._width, dtype="float32")[numbers]

    def _given(self, validation_data: Any) -> Any:
        x, y, *weight = validation_data
        return x, self._targets(self._numbers(np.asarray(y))), *weight

    def _is_sparse(self) -> bool:
        return "sparse" in _name_of(self.model_.loss)

    def _default_loss(self) -> Any:
        if self.target_type_ == "multilabel-indicator" or self._width == 1:
            return "binary_crossentropy"
        return "sparse_categorical_crossentropy"

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, shape (samples, classes)."""
        found = self._run(X)
        many = self.target_type_ == "multilabel-indicator"
        if getattr(self.model_.loss, "from_logits", False) or (
            getattr(self.model_.loss, "_fn_kwargs", {}).get("from_logits", False)
        ):
            found = _probabilities(found, many or found.shape[-1] == 1)
        found = found.reshape(len(found), -1)
        if found.shape[1] == 1 and not many:
            return np.hstack([1 - found, found])
        return found

    def predict(self, X: Any) -> np.ndarray:
        """Return labels, or an indicator matrix."""
        found = self.predict_proba(X)
        if self.target_type_ == "multilabel-indicator":
            return (found > 0.5).astype(int)
        return self.classes_[np.minimum(found.argmax(axis=1), self.n_classes_ - 1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class LamellaRegressor(RegressorMixin, LamellaEstimator):
    """A lamella model as a scikit-learn regressor.

    Args:
        model: see LamellaClassifier; `meta` has n_outputs_ instead of the classes.
        epochs: see LamellaClassifier, as all the others.
        batch_size: see LamellaClassifier.
        optimizer: see LamellaClassifier.
        loss: see LamellaClassifier; None is "mse".
        metrics: see LamellaClassifier.
        callbacks: see LamellaClassifier.
        validation_split: see LamellaClassifier.
        shuffle: see LamellaClassifier.
        verbose: see LamellaClassifier.
        warm_start: see LamellaClassifier.
        random_state: see LamellaClassifier.
        **kwargs: see LamellaClassifier.

    Attributes:
        model_: the trained model.
        history_: dict of lists by epoch.
        n_outputs_: columns of y.
    """

    _y_numeric = True

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **fit: Any
    ) -> LamellaRegressor:
        """Train the model and return the estimator.

        Args:
            X: array of shape (samples, ...) or sparse matrix.
            y: targets of shape (samples,) or (samples, outputs).
            sample_weight: weights of the samples, or None.
            **fit: further arguments of Model.fit, for this time.
        """
        return self._train(X, y, sample_weight, self.warm_start, fit)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train the model for one more epoch and return the estimator.

        Args:
            X: as in fit.
            y: as in fit.
            sample_weight: weights of the samples, or None.
        """
        return self._train(X, y, sample_weight, True, {"epochs": 1})

    def _train(
        self, X: Any, y: Any, sample_weight: Any, go_on: bool, fit: dict[str, Any]
    ) -> LamellaRegressor:
        go_on = go_on and hasattr(self, "model_")
        X, y = self._check_X(X, not go_on, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._flat = y.ndim == 1
        self.n_outputs_ = 1 if self._flat else y.shape[1]
        weight = self._weights(X, sample_weight)
        with seeded(self.random_state):
            self._start(X, y, go_on)
            targets = y.reshape(-1, 1) if self._flat else y
            self._fit_model(X, np.asarray(targets, dtype=float), weight, fit)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted values, in the shape of y."""
        found = self._run(X)
        return found.reshape(len(found)) if self._flat else found


class LamellaTransformer(TransformerMixin, LamellaEstimator):
    """The outputs of a lamella model, or of one of its layers, as new features.

    Without y the model is trained to give its input back, as autoencoders are.

    Args:
        model: see LamellaClassifier.
        epochs: see LamellaClassifier, as all the others.
        batch_size: see LamellaClassifier.
        optimizer: see LamellaClassifier.
        loss: see LamellaClassifier; None is "mse".
        metrics: see LamellaClassifier.
        callbacks: see LamellaClassifier.
        validation_split: see LamellaClassifier.
        shuffle: see LamellaClassifier.
        verbose: see LamellaClassifier.
        warm_start: see LamellaClassifier.
        random_state: see LamellaClassifier.
        layer: name or number of the layer whose output `transform` gives; None is the
            model's own output.
        **kwargs: see LamellaClassifier.

    Attributes:
        model_: the trained model.
        history_: dict of lists by epoch.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        callbacks: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        verbose: Any = 0,
        warm_start: bool = False,
        random_state: Any = None,
        layer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            callbacks=callbacks,
            validation_split=validation_split,
            shuffle=shuffle,
            verbose=verbose,
            warm_start=warm_start,
            random_state=random_state,
            **kwargs,
        )
        self.layer = layer

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, **fit: Any
    ) -> LamellaTransformer:
        """Train the model and return the estimator.

        Args:
            X: array of shape (samples, ...) or sparse matrix.
            y: targets, or None for X itself.
            sample_weight: weights of the samples, or None.
            **fit: further arguments of Model.fit, for this time.
        """
        go_on = self.warm_start and hasattr(self, "model_")
        X = self._check_X(X, not go_on)
        targets = X
        if y is not None:
            type_of_target(y, input_name="y", raise_unknown=True)
            targets = np.asarray(y)
            targets = targets.reshape(-1, 1) if targets.ndim == 1 else targets
        weight = self._weights(X, sample_weight)
        with seeded(self.random_state):
            self._start(X, targets, go_on)
            self._fit_model(X, targets, weight, fit)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the new features, shape (samples, features)."""
        check_is_fitted(self, "model_")
        if self.layer is None:
            found = self._run(X)
        else:
            by_name = isinstance(self.layer, str)
            layer = self.model_.get_layer(
                **{"name" if by_name else "index": self.layer}
            )
            part = Model(self.model_.inputs, layer.output)
            found = part.predict(self._check_X(X, reset=False), verbose=0)
        return np.asarray(found).reshape(len(found), -1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _name_of(loss: Any) -> str:
    if isinstance(loss, str):
        return loss.lower()
    return str(getattr(loss, "name", getattr(loss, "__name__", ""))).lower()


def _probabilities(logits: np.ndarray, independent: bool) -> np.ndarray:
    """Return sigmoid or softmax of logits."""
    if independent:
        return 0.5 * (1.0 + np.tanh(0.5 * logits))
    found = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return found / found.sum(axis=-1, keepdims=True)
