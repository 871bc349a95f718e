"""What MLPClassifier and MLPRegressor share."""

from __future__ import annotations

import warnings
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, compute_sample_weight, shuffle
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from lamella import activations, optimizers
from lamella.callbacks import CallbackList
from lamella.sklearn._network import Network
from lamella.sklearn._validation import (
    Validation,
    has_zero_batches,
    held_out,
    prepared_targets,
)

__all__ = ["BaseMLP"]

_STOCHASTIC = ("sgd", "adam")
_ACTIVATION_NAMES = set(activations.__all__) - {"get", "serialize", "deserialize"}


class BaseMLP(BaseEstimator):
    """Multi-layer perceptron with scikit-learn's arguments; use a subclass."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "activation": [
            StrOptions({"identity", "logistic", *_ACTIVATION_NAMES}),
            list,
            tuple,
            callable,
        ],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"}), optimizers.Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "batch_normalization": ["boolean"],
        "callbacks": [list, tuple, None, CallbackList],
    }

    # -- the parts that classifier and regressor do differently --------------------

    def _canonical_loss(self) -> tuple[str, str]:
        """Return (scikit-learn's loss, name of the output's activation)."""
        raise NotImplementedError

    def _validate_input(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray]:
        raise NotImplementedError

    def _encode(self, y: Any) -> np.ndarray:
        """Return targets of given validation data, shape (rows, outputs)."""
        raise NotImplementedError

    def _labels(self, y: np.ndarray) -> np.ndarray:
        """Return encoded targets as `predict` would give them."""
        raise NotImplementedError

    def _decide(self, output: np.ndarray) -> np.ndarray:
        """Return predictions from the outputs of the network."""
        raise NotImplementedError

    def _score_labels(self, y: np.ndarray, predicted: np.ndarray, weight: Any) -> float:
        raise NotImplementedError

    # -- state ---------------------------------------------------------------------

    @property
    def model_(self) -> Any:
        """The network as a lamella Sequential: summary(), save(), predict()."""
        self._network.write(self.coefs_, self.intercepts_)
        return self._network.model

    def _sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _per_layer(self, name: str, value: Any, count: int) -> list[Any]:
        """Return one value for each hidden layer."""
        if not isinstance(value, list | tuple | np.ndarray):
            return [value] * count
        if len(value) != count:
            raise ValueError(
                f"{type(self).__name__}: {name} has {len(value)} entries for {count} "
                f"hidden layers, got {name}={value!r}"
            )
        return list(value)

    def _initialize(self, y: np.ndarray, units: list[int], dtype: str) -> None:
        self.n_iter_ = 0
        self.t_ = 0
        self.n_outputs_ = y.shape[1]
        self.n_layers_ = len(units)
        self._loss, self.out_activation_ = self._canonical_loss()
        count = len(units) - 2
        names = self._per_layer("activation", self.activation, count)
        rates = self._per_layer("dropout", self.dropout, count)
        # Glorot's bounds, drawn in scikit-learn's order: weights, then bias.
        coefs, intercepts = [], []
        last = names[-1] if names else self.activation
        for i, (fan_in, fan_out) in enumerate(pairwise(units)):
            name = names[i] if i < count else last
            factor = 2.0 if name in ("logistic", "sigmoid") else 6.0
            bound = np.sqrt(factor / (fan_in + fan_out))
            draw = self._random_state.uniform
            coefs.append(draw(-bound, bound, (fan_in, fan_out)).astype(dtype))
            intercepts.append(draw(-bound, bound, fan_out).astype(dtype))
        seeds = [0] * count
        if any(rates):
            seeds = list(self._random_state.randint(0, 2**31 - 1, count))
        self._network = Network(
            units,
            names,
            self.out_activation_,
            [float(r) for r in rates],
            self.batch_normalization,
            dtype,
            seeds,
        )
        self.coefs_, self.intercepts_ = coefs, intercepts
        self.history_: dict[str, list[float]] = {}
        if self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            stops = self.early_stopping
            self.validation_scores_: list[float] | None = [] if stops else None
            self.best_validation_score_: Any = -np.inf if stops else None
            self.best_loss_: Any = None if stops else np.inf

    def _make_optimizer(self) -> Any:
        if isinstance(self.solver, optimizers.Optimizer):
            return type(self.solver).from_config(self.solver.get_config())
        if self.solver == "sgd":
            return optimizers.SGD(
                self.learning_rate_init, self.momentum, self.nesterovs_momentum
            )
        return optimizers.Adam(
            self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon
        )

    # -- fitting ---------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool,
        validation_data: Any = None,
    ) -> Any:
        self._validate_params()
        sizes = self._sizes()
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        labels = y
        X, y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        if getattr(self, "class_weight", None) is not None:
            if incremental and self.class_weight == "balanced":
                raise ValueError(
                    "class_weight 'balanced' is not supported for partial_fit. Use "
                    "compute_class_weight('balanced', classes=classes, y=y) and pass "
                    "the result as a dict"
                )
            by_class = compute_sample_weight(self.class_weight, labels)
            sample_weight = (
                by_class if sample_weight is None else sample_weight * by_class
            )
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        whole = self.solver == "lbfgs" or getattr(self.solver, "whole_batch", False)
        if first:
            dtype = "float64" if self.solver == "lbfgs" else X.dtype.name
            self._initialize(y, [X.shape[1], *sizes, self.n_outputs_], dtype)
        self._network.write(self.coefs_, self.intercepts_)
        if whole:
            self._fit_whole(X, y, sample_weight)
        else:
            self._fit_stochastic(X, y, sample_weight, incremental, validation_data)
        if not all(np.isfinite(w).all() for w in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _fit_whole(self, X: Any, y: np.ndarray, sample_weight: Any) -> None:
        from lamella.sklearn._whole import fit_lbfgs, fit_optimizer

        if self.solver == "lbfgs":
            fit_lbfgs(self, X, y, sample_weight)
        else:
            fit_optimizer(self, self._make_optimizer(), X, y, sample_weight)
        self.coefs_, self.intercepts_ = self._network.read()

    def _batch_rows(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going "
                "to be clipped",
                stacklevel=4,
            )
        return int(np.clip(self.batch_size, 1, rows))

    def _fit_stochastic(
        self,
        X: Any,
        y: np.ndarray,
        sample_weight: Any,
        incremental: bool,
        validation_data: Any,
    ) -> None:
        network = self._network
        if not incremental or network.model.optimizer is None:
            network.start(self._make_optimizer(), self._loss)
            if self.solver == "sgd":
                self._set_rate(self.learning_rate_init)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        validation: Validation | None = None
        if validation_data is not None:
            validation = prepared_targets(self, validation_data)
        elif self.early_stopping:
            X, y, sample_weight, validation = held_out(self, X, y, sample_weight)
        arrays = [X, np.ascontiguousarray(y)]
        if sample_weight is not None:
            arrays.append(np.ascontiguousarray(sample_weight))
        rows = X.shape[0]
        if isinstance(X, np.ndarray) and not self.shuffle:
            arrays[0] = np.ascontiguousarray(X)
        order = np.arange(rows, dtype=int)
        batch = self._batch_rows(rows)
        hooks = self._hooks(rows, batch)
        # As in scikit-learn, the best weights of an earlier fit do not come back.
        self._best_weights: Any = None if self.t_ else network.model.get_weights()
        try:
            self.n_iter_ = 0
            for epoch in range(self.max_iter):
                if self.shuffle:
                    order = shuffle(order, random_state=self._random_state)
                if len(arrays) == 3 and has_zero_batches(arrays[2][order], batch):
                    raise ZeroDivisionError("Weights sum to zero, can't be normalized")
                if hooks is not None:
                    hooks.on_epoch_begin(epoch)
                self.loss_ = network.epoch(
                    arrays,
                    order if self.shuffle else None,
                    batch,
                    self._loss,
                    self.alpha,
                    hooks if hooks is not None and hooks.needs_batch_hooks else None,
                )
                self.n_iter_ += 1
                self.t_ += rows
                self.loss_curve_.append(self.loss_)
                if self.verbose:
                    print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
                logs = self._after_epoch(validation)
                if hooks is not None:
                    hooks.on_epoch_end(epoch, dict(logs))
                    if network.model.stop_training:
                        break
                if self._should_stop() or incremental:
                    break
                if self.n_iter_ == self.max_iter:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) "
                        "reached and the optimization hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=4,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        if hooks is not None:
            hooks.on_train_end()
        if self.early_stopping and self._best_weights is not None:
            network.model.set_weights(self._best_weights)
        self.coefs_, self.intercepts_ = network.read()

    def _hooks(self, rows: int, batch: int) -> Any:
        if not self.callbacks:
            return None
        model = self._network.model
        model.stop_training = False
        hooks = CallbackList(
            list(self.callbacks),
            model=model,
            verbose=0,
            epochs=self.max_iter,
            steps=-(-rows // batch),
        )
        hooks.on_train_begin()
        return hooks

    def _after_epoch(self, validation: Validation | None) -> dict[str, float]:
        """Score the validation data, count epochs without improvement, keep logs."""
        network = self._network
        logs = {"loss": self.loss_}
        if validation is not None:
            score = validation.score(self)
            logs["val_score"] = score
            if validation.given or self.callbacks:
                logs["val_loss"] = network.value(self._loss, *validation.arrays)
            if self.validation_scores_ is None:
                self.validation_scores_ = []
            self.validation_scores_.append(score)
        for name, value in logs.items():
            self.history_.setdefault(name, []).append(value)
        if self.early_stopping:
            score = logs["val_score"]
            if self.verbose:
                print(f"Validation score: {score:f}")
            worse = score < self.best_validation_score_ + self.tol
            if score > self.best_validation_score_:
                self.best_validation_score_ = score
                self._best_weights = network.model.get_weights()
        else:
            worse = self.loss_ > self.best_loss_ - self.tol
            self.best_loss_ = min(self.best_loss_, self.loss_)
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        return logs

    def _should_stop(self) -> bool:
        """Let the learning rate follow its schedule; True when nothing improves."""
        sgd = self.solver == "sgd"
        if sgd and self.learning_rate == "invscaling":
            self._set_rate(self.learning_rate_init / (self.t_ + 1) ** self.power_t)
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        message = (
            f"{what} did not improve more than tol={self.tol:f} for "
            f"{self.n_iter_no_change} consecutive epochs."
        )
        ending = " Stopping."
        if sgd and self.learning_rate == "adaptive":
            if self._rate > 1e-6:
                self._set_rate(self._rate / 5.0)
                if self.verbose:
                    print(f"{message} Setting learning rate to {self._rate:f}")
                self._no_improvement_count = 0
                return False
            ending = " Learning rate too small. Stopping."
        if self.verbose:
            print(message + ending)
        return True

    def _set_rate(self, rate: float) -> None:
        self._rate = rate
        self._network.set_rate(rate)

    def _check_solver(self) -> bool:
        """Raise AttributeError if there is no partial_fit."""
        if self.solver == "lbfgs" or getattr(self.solver, "whole_batch", False):
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True

    # -- use -------------------------------------------------------------------------

    def _outputs(self, X: Any, check_input: bool = True) -> np.ndarray:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
            self._network.write(self.coefs_, self.intercepts_)
        if not isinstance(X, np.ndarray):
            X = X.tocsr()
        return self._network.predict(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
