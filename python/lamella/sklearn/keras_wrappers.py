"""`keras.wrappers`: SKLearnClassifier, SKLearnRegressor and SKLearnTransformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.base import TransformerMixin as _TransformerMixin
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from lamella.models import Model, clone_model

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


class SKLBase(BaseEstimator):
    """Base class of the wrappers."""

    def __init__(
        self,
        model: Any,
        warm_start: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        fit_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    @property
    def epoch_(self) -> int:
        """How many epochs the last fit trained."""
        return len(self.history_.epoch) if hasattr(self, "history_") else 0

    def set_fit_request(self, **kwargs: Any) -> SKLBase:
        """Ask scikit-learn's metadata routing for arguments of fit.

        Args:
            **kwargs: name=True, False, None or an alias.

        Raises:
            RuntimeError: metadata routing is switched off.
        """
        if not sklearn.get_config().get("enable_metadata_routing", False):
            raise RuntimeError(
                "This method is only available when metadata routing is enabled. Call "
                "sklearn.set_config(enable_metadata_routing=True) first."
            )
        self._metadata_request = MetadataRequest(owner=type(self).__name__)
        for name, alias in kwargs.items():
            self._metadata_request.fit.add_request(param=name, alias=alias)
        return self

    def _get_model(self, X: np.ndarray, y: np.ndarray) -> Any:
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if not isinstance(self.model, Model):
            return self.model(X=X, y=y, **(self.model_kwargs or {}))
        if self.warm_start:
            return self.model
        model = clone_model(self.model)
        if self.model.compiled and not model.compiled:
            model.compile_from_config(self.model.get_compile_config())
        return model

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train a model and return the estimator.

        Args:
            X: array of shape (samples, features).
            y: targets of shape (samples,) or (samples, outputs).
            **kwargs: arguments of Model.fit.

        Raises:
            RuntimeError: the model is not compiled with a loss and an optimizer.
        """
        X, y = validate_data(self, X, y)
        y = self._process_target(y)
        model = self._get_model(X, y)
        if not model.compiled or not model.loss or model.optimizer is None:
            raise RuntimeError(
                "Given model needs to be compiled, and have a loss and an optimizer."
            )
        self.history_ = model.fit(X, y, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions of the trained model."""
        return self._reverse_process_target(self._outputs(X))

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        found: np.ndarray = self.model_.predict(validate_data(self, X, reset=False))
        return found

    def _process_target(self, y: np.ndarray) -> np.ndarray:
        """Return what the model is trained with."""
        type_of_target(y, raise_unknown=True)
        self._flat = y.ndim == 1
        return y.reshape(-1, 1) if self._flat else y

    def _reverse_process_target(self, y: np.ndarray) -> np.ndarray:
        return np.squeeze(y, axis=1) if self._flat and y.ndim == 2 else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags


class SKLearnClassifier(ClassifierMixin, SKLBase):
    """A Keras model as a scikit-learn classifier; targets become one-hot.

    Args:
        model: a compiled Model, of which every fit takes a copy with new weights (with
            warm_start the model itself), or a function of X, y and model_kwargs that
            returns one.
        warm_start: whether fit trains the last model on. Default False.
        model_kwargs: dict of further arguments of the function, or None.
        fit_kwargs: dict of arguments of Model.fit, or None; those given to fit go
            before them.

    Attributes:
        model_: the trained model.
        history_: the History of the fit.
        classes_: labels.
    """

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the outputs of the model."""
        return self._outputs(X)

    def _process_target(self, y: np.ndarray) -> np.ndarray:
        kind = type_of_target(y, raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                "Only binary and multiclass target types are supported. Target type: "
                f"{kind}"
            )
        self._flat = y.ndim == 1
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError("Classifier can't train when only one class is present.")
        return np.eye(len(self.classes_))[numbers.ravel()]

    def _reverse_process_target(self, y: np.ndarray) -> np.ndarray:
        labels = self.classes_[y.argmax(axis=1)]
        return labels if self._flat else labels.reshape(-1, 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class SKLearnRegressor(RegressorMixin, SKLBase):
    """A Keras model as a scikit-learn regressor.

    Args:
        model: a compiled Model, of which every fit takes a copy with new weights (with
            warm_start the model itself), or a function of X, y and model_kwargs that
            returns one.
        warm_start: whether fit trains the last model on. Default False.
        model_kwargs: dict of further arguments of the function, or None.
        fit_kwargs: dict of arguments of Model.fit, or None; those given to fit go
            before them.

    Attributes:
        model_: the trained model.
        history_: the History of the fit.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnTransformer(_TransformerMixin, SKLBase):
    """The outputs of a Keras model as new features.

    Args:
        model: a compiled Model, of which every fit takes a copy with new weights (with
            warm_start the model itself), or a function of X, y and model_kwargs that
            returns one.
        warm_start: whether fit trains the last model on. Default False.
        model_kwargs: dict of further arguments of the function, or None.
        fit_kwargs: dict of arguments of Model.fit, or None; those given to fit go
            before them.

    Attributes:
        model_: the trained model.
        history_: the History of the fit.
    """

    def transform(self, X: Any) -> np.ndarray:
        """Return the outputs of the model, shape (samples, features)."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
