"""What all estimators around a model share."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from lamella import _core, callbacks, losses, optimizers
from lamella.config import near_names
from lamella.models import Model
from lamella.sklearn._routing import DESTINATIONS, accepted, made, routed

__all__ = ["LamellaEstimator", "seeded"]


@contextmanager
def seeded(random_state: Any) -> Iterator[None]:
    """Draw lamella's random numbers from `random_state`; None leaves them alone."""
    if random_state is None:
        yield
        return
    seed = check_random_state(random_state).randint(0, 2**31 - 1)
    with _core.seed_scope(int(seed)):  # of this thread: others may fit as well
        yield


class LamellaEstimator(BaseEstimator):
    """Base class of LamellaClassifier, LamellaRegressor and LamellaTransformer."""

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
        **kwargs: Any,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.callbacks = callbacks
        self.validation_split = validation_split
        self.shuffle = shuffle
        self.verbose = verbose
        self.warm_start = warm_start
        self.random_state = random_state
        for name, value in kwargs.items():
            setattr(self, name, value)

    # -- parameters ----------------------------------------------------------------

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Return the arguments that are spelled out, of this class and its bases."""
        names: set[str] = set()
        for base in cls.__mro__:
            if "__init__" in vars(base) and issubclass(base, LamellaEstimator):
                names |= accepted(vars(base)["__init__"])[0] - {"self"}
        return sorted(names)

    def _further(self) -> dict[str, Any]:
        """Return the parameters given by **kwargs."""
        known = set(self._get_param_names())
        return {
            k: v
            for k, v in vars(self).items()
            if k not in known and not k.startswith("_") and not k.endswith("_")
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all parameters, those with a destination included.

        Args:
            deep: accepted; there are no estimators inside.
        """
        del deep
        own = {name: getattr(self, name) for name in self._get_param_names()}
        return {**own, **self._further()}

    def set_params(self, **params: Any) -> LamellaEstimator:
        """Set parameters by name, also model__..., optimizer__..., fit__...

        Raises:
            ValueError: a name that is neither an argument nor has a destination.
        """
        known = set(self.get_params())
        if callable(self.model) and not isinstance(self.model, Model):
            known |= accepted(self.model)[0] - {"X", "y", "meta", "compile_kwargs"}
        for name, value in params.items():
            start = name.partition("__")
            routable = start[0] in DESTINATIONS and start[1] and start[2]
            if name not in known and not routable:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. Valid "
                    f"parameters are: {sorted(known)!r}."
                )
            setattr(self, name, value)
        return self

    # -- the model -----------------------------------------------------------------

    def _meta(self) -> dict[str, Any]:
        """Return what was learned about the data: n_features_in_, n_classes_, ..."""
        return {
            k: v
            for k, v in vars(self).items()
            if k.endswith("_") and k not in ("model_", "history_")
        }

    def _build(self, X: np.ndarray, y: Any) -> Any:
        """Return a compiled model of the user's function, or a copy of his model."""
        who = type(self).__name__
        if self.model is None:
            raise ValueError(
                f"{who}: model is None; give it a lamella Model, or a function that "
                "returns one"
            )
        params = self.get_params()
        compile_kwargs = self._compile_arguments(params)
        arguments = routed(params, "model")
        further = {k: v for k, v in self._further().items() if "__" not in k}
        if isinstance(self.model, Model):
            if arguments or further:
                raise ValueError(
                    f"{who}: {', '.join([*arguments, *further])}: only a function that "
                    "makes a model takes arguments, and model is a model already"
                )
            model = copy.deepcopy(self.model)
        elif callable(self.model):
            names, anything = accepted(self.model)
            unknown = [k for k in (*arguments, *further) if k not in names]
            if unknown and not anything:
                raise ValueError(
                    f"{who}: unknown parameter {unknown[0]!r}: the function "
                    f"{getattr(self.model, '__name__', 'model')} does not take it. "
                    f"{near_names(unknown[0], {*names, *self._get_param_names()})}"
                )
            given = {"X": X, "y": y, "meta": self._meta()}
            given["compile_kwargs"] = compile_kwargs
            own = {k: v for k, v in params.items() if k in names}
            offered = {k: v for k, v in given.items() if k in names}
            model = self.model(**{**own, **offered, **further, **arguments})
        else:
            raise ValueError(
                f"{who}: model must be a lamella Model or a function that returns one, "
                f"got {self.model!r}"
            )
        if not isinstance(model, Model):
            raise ValueError(
                f"{who}: the model function must return a lamella Model, got "
                f"{type(model).__name__}"
            )
        one = model.predict(X[:1], verbose=0)
        if not isinstance(one, np.ndarray):
            raise ValueError(
                f"{who}: the model has several outputs; scikit-learn's estimators have "
                "one"
            )
        self._width = int(one.shape[-1])
        if not model.compiled:
            if compile_kwargs["loss"] is None:
                compile_kwargs["loss"] = self._default_loss()
            model.compile(**compile_kwargs)
        return model

    def _compile_arguments(self, params: Mapping[str, Any]) -> dict[str, Any]:
        optimizer = made(self.optimizer, routed(params, "optimizer"), optimizers.get)
        loss = self.loss
        options = routed(params, "loss")
        if options:
            loss = made(loss, options, _loss_class)
        metrics = self.metrics
        if metrics is not None:
            metrics = [
                made(m, {}, None) if hasattr(m, "get_config") else m for m in metrics
            ]
        return {
            "optimizer": optimizer,
            "loss": loss,
            "metrics": metrics,
            **routed(params, "compile"),
        }

    def _default_loss(self) -> Any:
        """Return the loss of an uncompiled model when none was chosen."""
        return "mse"

    def _make_callbacks(self, params: Mapping[str, Any]) -> list[Any]:
        given = self.callbacks
        options = routed(params, "callbacks")
        if given is None:
            return []
        if isinstance(given, Mapping):
            return [
                made(c, routed(options, name), None) if isinstance(c, type) else c
                for name, c in given.items()
            ]
        several = given if isinstance(given, list | tuple) else [given]
        return [
            c(**options)
            if isinstance(c, type)
            else copy.deepcopy(c)
            if isinstance(c, callbacks.Callback)
            else c
            for c in several
        ]

    # -- fitting -------------------------------------------------------------------

    def _check_X(self, X: Any, reset: bool, y: Any = "no_validation") -> Any:
        options: dict[str, Any] = {"accept_sparse": ["csr"], "allow_nd": True}
        if not isinstance(y, str):
            options.update(multi_output=True, y_numeric=self._y_numeric)
        found = validate_data(self, X, y, reset=reset, **options)
        data, target = found if isinstance(found, tuple) else (found, None)
        if not isinstance(data, np.ndarray):
            data = data.toarray()
        if reset:
            self.X_shape_ = tuple(data.shape)
        elif tuple(data.shape[1:]) != self.X_shape_[1:]:
            raise ValueError(
                f"{type(self).__name__}: X has samples of shape {data.shape[1:]}, but "
                f"was fitted with {self.X_shape_[1:]}"
            )
        return data if target is None else (data, target)

    _y_numeric = False

    def _fit_model(
        self, X: np.ndarray, y: Any, sample_weight: Any, fit: Mapping[str, Any]
    ) -> None:
        """Train `model_`, after making it unless there is one to go on with."""
        params = self.get_params()
        arguments = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "verbose": self.verbose,
            "validation_split": self.validation_split,
            "shuffle": self.shuffle,
            "callbacks": self._make_callbacks(params),
            **routed(params, "fit"),
            **fit,
        }
        if arguments.get("validation_data") is not None:
            arguments["validation_data"] = self._given(arguments["validation_data"])
        names = accepted(Model.fit)[0] - {"self", "x", "y"}
        unknown = [k for k in arguments if k not in names]
        if unknown:
            raise TypeError(
                f"{type(self).__name__}: fit has no argument {unknown[0]!r}. "
                f"{near_names(unknown[0], names)}"
            )
        if sample_weight is not None:
            arguments["sample_weight"] = sample_weight
        history = self.model_.fit(X, y, **arguments)
        for name, values in history.history.items():
            self.history_.setdefault(name, []).extend(values)

    def _given(self, validation_data: Any) -> Any:
        """Return the user's validation data as the model wants them."""
        return validation_data

    def _weights(self, X: Any, sample_weight: Any) -> Any:
        if sample_weight is None:
            return None
        return _check_sample_weight(sample_weight, X)

    def _start(self, X: np.ndarray, y: Any, go_on: bool) -> None:
        """Make the model, unless the last one is to be trained on."""
        if not (go_on and hasattr(self, "model_")):
            self.model_ = self._build(X, y)
            self.history_: dict[str, list[float]] = {}

    def _run(self, X: Any) -> np.ndarray:
        """Return the outputs of the model for new data."""
        check_is_fitted(self, "model_")
        X = self._check_X(X, reset=False)
        arguments = {
            "batch_size": self.batch_size or 256,
            "verbose": 0,
            **routed(self.get_params(), "predict"),
        }
        found: np.ndarray = self.model_.predict(X, **arguments)
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        tags.non_deterministic = self.random_state is None
        return tags


def _loss_class(name: str) -> Any:
    """Return the class of a loss by any of its names."""
    found = losses.get(name)
    if isinstance(found, losses.Loss):
        return type(found)
    pascal = "".join(part.capitalize() for part in str(name).split("_"))
    cls = getattr(losses, pascal, None)
    if cls is None or not inspect.isclass(cls):
        raise ValueError(
            f"loss={name!r} takes no arguments by name; give the class, for example "
            "losses.CategoricalCrossentropy"
        )
    return cls
