"""compile, fit, evaluate and predict: tracing a model and running it in C++.

`fit` traces the training step once (Python), and `_core.Trainer` runs all batches of
an epoch without Python. Python per batch happens only for callbacks with batch hooks,
weight constraints, data that come as batches, `run_eagerly=True`, and models that
override `train_step`.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lamella import _core, config
from lamella.layers import _tree
from lamella.layers._parts import parts_of
from lamella.layers.layer import Layer, batch_size_of
from lamella.models.compile_utils import CompiledLoss, CompiledMetrics
from lamella.models.data import (
    ArrayFeed,
    BatchFeed,
    Template,
    class_weights_of,
    integer_type,
    make_feed,
    split_validation,
    to_array,
    unpack_x_y_sample_weight,
)

__all__ = ["Training"]

_CHUNK_SECONDS = 0.25
_CACHE_SIZE = 16


class _Step:
    """A traced step: the Graph, what runs it, and what its outputs are called."""

    def __init__(self, graph: Any, runner: Any, names: list[str], outputs: Any) -> None:
        self.graph = graph
        self.runner = runner
        self.names = names
        self.outputs = outputs
        self.order = sorted(range(len(names)), key=lambda i: names[i])

    def logs(self, values: Sequence[float]) -> dict[str, float]:
        """Return the values by name, sorted as Keras sorts them."""
        return {self.names[i]: float(values[i]) for i in self.order}


class Training:
    """What a Model does with data."""

    # Set by compile; here so that an uncompiled model has them.
    optimizer: Any = None
    loss: Any = None
    compiled = False
    stop_training = False
    stop_evaluating = False
    stop_predicting = False
    run_eagerly = False
    history: Any = None
    _compile_loss: CompiledLoss | None = None
    _compile_metrics: CompiledMetrics | None = None
    _loss_tracker: Any = None
    _compile_arguments: dict[str, Any] | None = None

    # -- compile -------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose optimizer, loss and metrics for fit and evaluate.

        Args:
            optimizer: name or Optimizer. Default "rmsprop".
            loss: name, Loss or function of (y_true, y_pred); a list or dict for
                several outputs; None for models that call add_loss.
            loss_weights: factors of the losses of several outputs.
            metrics: list of names, Metrics or functions; "accuracy" picks the kind
                that fits the shapes. They ignore sample weights.
            weighted_metrics: the same, but these see sample weights.
            run_eagerly: run Python for every batch (for debugging, and for code that
                looks at values).
            steps_per_execution: accepted; epochs run in C++ as a whole anyway.
            jit_compile: accepted; models are always compiled.
            auto_scale_loss: accepted.

        Raises:
            ValueError: for unknown names, with the near ones.
        """
        from lamella import metrics as metrics_module
        from lamella import optimizers

        self._check_initialized()
        self.optimizer = None if optimizer is None else optimizers.get(optimizer)
        names = getattr(self, "output_names", None)
        self._compile_loss = None
        if loss is not None:
            self._compile_loss = CompiledLoss(loss, loss_weights, names)
        self.loss = loss
        self._compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            self._compile_metrics = CompiledMetrics(metrics, weighted_metrics, names)
        self._loss_tracker = metrics_module.Mean(name="loss")
        self.run_eagerly = bool(run_eagerly)
        self.steps_per_execution = steps_per_execution
        self.jit_compile = jit_compile
        self.stop_training = False
        self.compiled = True
        self._forget_steps()
        self._steps: dict[Any, _Step] = {}
        self._compile_trainable = self._trainable_state()
        self._compile_arguments = {
            "optimizer": self.optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": bool(run_eagerly),
            "steps_per_execution": steps_per_execution,
            "jit_compile": False,
        }

    def _trainable_state(self) -> dict[int, bool]:
        return {id(layer): layer.trainable for layer in self._flatten_layers()}

    def _warn_if_trainable_changed(self) -> None:
        changed = [
            layer.name
            for layer in self._flatten_layers()
            if self._compile_trainable.get(id(layer), layer.trainable)
            != layer.trainable
        ]
        if changed:
            self._compile_trainable = self._trainable_state()
            warnings.warn(
                f"{self._who()}: trainable of {', '.join(changed)} changed after "
                "compile(). Call compile() again so that the optimizer starts with the "
                "weights that are trained now.",
                stacklevel=3,
            )

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile` as Keras 3 JSON; {} when not compiled."""
        if self._compile_arguments is None:
            return {}
        return {k: _serialize(v) for k, v in self._compile_arguments.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with what `get_compile_config` returned."""
        from lamella.saving import serialization

        arguments = {
            k: serialization.deserialize_keras_object(v)
            if isinstance(v, dict | list)
            else v
            for k, v in config.items()
        }
        self.compile(**arguments)
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def _assert_compiled(self, method: str) -> None:
        self._check_initialized()
        if not self.compiled:
            raise ValueError(
                f"{self._who()}: call compile(optimizer=..., loss=...) before "
                f"{method}()"
            )

    # -- metrics -------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """Loss tracker, compiled metrics, losses of outputs, metrics of layers."""
        found: list[Any] = []
        if self.compiled:
            found.append(self._loss_tracker)
            if self._compile_metrics is not None:
                found.extend(self._compile_metrics.metrics)
            if self._compile_loss is not None:
                found.extend(m for m in self._compile_loss.metrics if m is not None)
        found.extend(parts_of(self).metrics)
        return found

    @property
    def metrics_names(self) -> list[str]:
        """Names of the metrics. Differs from Keras 3: one name for each metric."""
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Start all metrics from the beginning."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the values of all metrics by name."""
        own = {} if self._compile_metrics is None else self._compile_metrics.result()
        inner = {id(m) for m in getattr(self._compile_metrics, "metrics", [])}
        values: dict[str, Any] = {}
        placed = False
        for metric in self.metrics:
            if id(metric) in inner:
                if not placed:
                    values.update(own)
                    placed = True
                continue
            result = metric.result()
            if isinstance(result, dict):
                values.update(result)
            else:
                values[metric.name] = result
        return values

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the total loss: that of compile, add_loss and the regularizers.

        Args:
            x: inputs.
            y: targets.
            y_pred: outputs.
            sample_weight: weights or None.
            training: whether this is a training step.
        """
        del training
        rows = batch_size_of(_tree.flatten(x if y_pred is None else y_pred)[0])
        total = None
        if self._compile_loss is not None:
            total = self._compile_loss(y, y_pred, sample_weight, rows)
        for loss in self.losses:
            value = (
                loss
                if config.is_float_dtype(loss.dtype)
                else _core.cast(loss, config.floatx())
            )
            if value.ndim > 0:
                value = _core.sum(value, None, False)
            total = value if total is None else total + value
        if total is None:
            raise ValueError(
                f"{self._who()}: there is no loss. Give compile() a loss, or call "
                "add_loss() in a layer."
            )
        return total

    def _compute_loss(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool
    ) -> Any:
        """Call compute_loss, which older user code wrote without `training`."""
        if "training" in _parameters(type(self).compute_loss):
            return self.compute_loss(x, y, y_pred, sample_weight, training=training)
        return self.compute_loss(x, y, y_pred, sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the compiled metrics with a batch and return all values by name."""
        del x
        if self._compile_metrics is not None and y is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    # -- one step in Python (run_eagerly, or overridden by the user) ---------

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on one batch with the tape; override it for a step of your own."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self._compute_loss(x, y, y_pred, sample_weight, True)
        self._loss_tracker.update_state(loss.detach(), sample_weight=_rows_of(x))
        variables = self.trainable_variables
        if variables:
            _zero_grad(variables)
            loss.backward()
            with _core.no_grad():
                self.optimizer.apply([v.grad for v in variables], variables)
        with _core.no_grad():
            return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluate one batch; override it for a step of your own."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with _core.no_grad():
            y_pred = self(x, training=False)
            loss = self._compute_loss(x, y, y_pred, sample_weight, False)
            self._loss_tracker.update_state(loss, sample_weight=_rows_of(x))
            return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """Predict one batch; override it for a step of your own."""
        x, _, _ = unpack_x_y_sample_weight(data)
        with _core.no_grad():
            return self(x, training=False)

    def _runs_python(self, mode: str) -> bool:
        name = {"train": "train_step", "test": "test_step", "predict": "predict_step"}
        own = getattr(type(self), name[mode]) is not getattr(Training, name[mode])
        return bool(own or (self.run_eagerly and self.compiled))

    # -- tracing -------------------------------------------------------------

    def _input_type(self, array: np.ndarray, index: int) -> str:
        """Return the type in which an input array reaches the model."""
        del index
        if array.dtype.kind == "f" or not self._takes_integers():
            return self._input_dtype
        name = array.dtype.name
        return name if name in ("bool", "uint8") else integer_type(array)

    def _takes_integers(self) -> bool:
        """Return True if integer inputs reach the first layer as integers."""
        return True

    @property
    def _takes_several(self) -> bool:
        """Return True if a list of arrays means several inputs."""
        return True

    @property
    def _returns_several(self) -> bool:
        """Return True if a list of arrays means targets of several outputs."""
        return True

    def _feed(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        with_targets: bool = True,
    ) -> ArrayFeed | BatchFeed:
        try:
            return make_feed(
                x,
                y,
                sample_weight,
                self._input_type,
                (self._takes_several, self._returns_several),
                with_targets,
                class_weight,
            )
        except (ValueError, TypeError) as error:
            error.args = (f"{self._who()}: {error}", *error.args[1:])
            raise

    def _prepare(self, template: Template, leaves: list[np.ndarray]) -> None:
        """Build the model for data like these."""
        if self.built and parts_of(self).all_built():
            return
        x, _, _ = template.unflatten([(None, *a.shape[1:]) for a in leaves])
        self._build_for(x, iter(template.dtypes))

    def _build_for(self, shapes: Any, dtypes: Iterator[str]) -> None:
        """Run the model once on symbolic inputs, which builds all layers."""
        graph = _core.Graph()
        with graph:
            names = iter(range(1 << 20))

            def make(shape: Any) -> Any:
                return graph.input(f"x{next(names)}", shape, next(dtypes))

            inputs = _map_leaves(make, shapes)
            try:
                self(inputs, training=False)
            except _core.StateError as error:
                if not self.run_eagerly:
                    raise _not_traceable(self, error) from error
                traced = False
            else:
                traced = True
        if not traced:  # code that looks at values gets some
            with _core.no_grad():
                self(_tree.map_structure(zeros_like, inputs), training=False)
        self._clear_losses()

    def _make_step(self, mode: str, template: Template, leaves: Any) -> _Step:
        """Return the traced step for data like these, from the cache if possible."""
        key: Any = (mode, template.key, tuple([a.shape[1:] for a in leaves]))
        if mode == "train":
            key += (parts_of(self).trainable_ids, id(self.optimizer))
        cache = self._step_cache(mode)
        step = cache.get(key)
        if step is None:
            self._prepare(template, leaves)
            if mode == "train":  # building made new variables
                key = (*key[:3], parts_of(self).trainable_ids, key[4])
            step = self._trace(mode, template, leaves)
            while len(cache) >= _CACHE_SIZE:
                del cache[next(iter(cache))]
            cache[key] = step
        return step

    def _step_cache(self, mode: str) -> dict[Any, _Step]:
        name = "_predict_steps" if mode == "predict" else "_steps"
        return self.__dict__.setdefault(name, {})

    def _forget_steps(self) -> None:
        """Drop everything traced: the model has changed."""
        self.__dict__.pop("_predict_steps", None)
        self.__dict__.pop("_fast_predict", None)
        self.__dict__.pop("_orders", None)
        if "_steps" in self.__dict__:
            self._steps = {}

    def _trace(self, mode: str, template: Template, leaves: list[np.ndarray]) -> _Step:
        if mode != "predict":
            self._name_outputs()
        graph = _core.Graph()
        with graph:
            inputs = [
                graph.input(name, (None, *a.shape[1:]), dtype)
                for name, a, dtype in zip(
                    template.names(), leaves, template.dtypes, strict=True
                )
            ]
            x, y, sample_weight = template.unflatten(inputs)
            try:
                y_pred = self(x, training=mode == "train")
                if mode == "predict":
                    outputs = _tree.flatten(y_pred)
                    for i, output in enumerate(outputs):
                        graph.output(f"output{i}", output)
                    structure = _tree.map_structure(lambda _: None, y_pred)
                    self._clear_losses()
                    return _Step(graph, _core.Executor(graph), [], structure)
                names = self._trace_loss(graph, mode, x, y, y_pred, sample_weight)
            except _core.StateError as error:
                raise _not_traceable(self, error) from error
            finally:
                self._clear_losses()
        if mode == "test":
            return _Step(graph, _core.Trainer(graph), names, None)
        variables = self.trainable_variables
        if not variables:
            warnings.warn(
                f"{self._who()}: the model has no trainable weights; fit only "
                "evaluates it.",
                stacklevel=4,
            )
            return _Step(graph, _core.Trainer(graph), names, None)
        if self.optimizer is None:
            raise ValueError(
                f"{self._who()}: compile(optimizer=None) cannot train. Give compile() "
                "an optimizer."
            )
        self._warn_if_trainable_changed()
        if not self.optimizer.built:
            self.optimizer.build(variables)
        with graph:
            self.optimizer._trace_learning_rate(graph)
        core = self.optimizer._core_optimizer(variables)
        trainer = _core.Trainer(graph, core, [v._core for v in variables])
        return _Step(graph, trainer, names, None)

    def _trace_loss(
        self, graph: Any, mode: str, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> list[str]:
        loss = self._compute_loss(x, y, y_pred, sample_weight, mode == "train")
        if loss.ndim > 0:
            loss = _core.mean(loss, None, False)
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(
                _core.stop_gradient(loss), sample_weight=_rows_of(x)
            )
        values = self.compute_metrics(x, y, y_pred, sample_weight)
        names = []
        for name, value in values.items():
            value = _as_tensor(value)
            if value.ndim > 0:
                raise ValueError(
                    f"{self._who()}: the metric {name!r} returned an array of shape "
                    f"{tuple(value.shape)} for a result; logs hold single numbers, so "
                    "reduce it (for example with ops.mean)"
                )
            if value.dtype not in ("float32", "float64"):
                value = _core.cast(value, config.floatx())
            graph.output(name, value)
            names.append(name)
        graph.set_loss(loss)
        return names

    def _name_outputs(self) -> None:
        """Tell the compiled loss which layer makes the output, for its errors."""
        if self._compile_loss is not None and not self._compile_loss.where:
            layers = [layer for layer in self._layers if not _is_input(layer)]
            if layers:
                last = layers[-1]
                self._compile_loss.where = f"{type(last).__name__} {last.name!r}"

    # -- constraints ---------------------------------------------------------

    def _constraints(self) -> list[Any]:
        """Return the trainable weights with a constraint."""
        return [v for v in parts_of(self).trainable if v.constraint is not None]

    @staticmethod
    def _apply_constraints(variables: list[Any]) -> None:
        with _core.no_grad():
            for variable in variables:
                variable.assign(variable.constraint(variable.value))

    # -- fit -----------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        """Train for a number of epochs and return the History.

        Args:
            x: inputs: array, list or dict of arrays, or an iterable of batches (x, y)
                or (x, y, sample_weight).
            y: targets (not with an iterable).
            batch_size: samples in each update. Default 32.
            epochs: number of the last epoch (with initial_epoch 0: how many).
            verbose: 0 silent, 1 progress bar, 2 one line an epoch; "auto" is 1.
            callbacks: list of Callbacks.
            validation_split: fraction of the rows, taken from the end and before
                shuffling, that is only evaluated.
            validation_data: (x, y) or (x, y, sample_weight) or an iterable.
            shuffle: new order of the rows every epoch. Default True.
            class_weight: dict from class number to weight in the loss.
            sample_weight: weight of each sample in the loss.
            initial_epoch: number of the first epoch (to go on).
            steps_per_epoch: batches in an epoch; needed for endless generators.
            validation_steps: batches in a validation.
            validation_batch_size: default: batch_size.
            validation_freq: validate every so many epochs, or a list of epochs.

        Returns:
            History, with `history` (dict of lists), `epoch`, and `stopped_by`: None,
            "callback" or "interrupt" (Ctrl-C ends the training with the hooks of the
            callbacks, a second one raises).

        Raises:
            ValueError: not compiled, mismatched or empty data, wrong shapes.
        """
        self._assert_compiled("fit")
        self._check_fit_arguments(
            batch_size, epochs, initial_epoch, validation_split, steps_per_epoch
        )
        feed = self._feed(x, y, sample_weight, class_weight)
        if isinstance(feed, BatchFeed) and batch_size is not None:
            raise ValueError(
                f"{self._who()}: batch_size={batch_size} cannot be given when x yields "
                "batches"
            )
        validation: ArrayFeed | BatchFeed | None = None
        if validation_data is not None:
            validation = self._feed(*_validation_parts(validation_data))
        elif validation_split:
            if not isinstance(feed, ArrayFeed):
                raise ValueError(
                    f"{self._who()}: validation_split needs arrays; give "
                    "validation_data when x yields batches"
                )
            feed, validation = split_validation(feed, validation_split)
        _check_frequency(validation_freq)
        batch = batch_size or 32
        if isinstance(feed, ArrayFeed):
            template, leaves = feed.template, feed.leaves
        else:
            template, leaves = feed.first()
        self._prepare(template, leaves)
        self._check_targets(template, leaves)
        steps = steps_per_epoch or feed.num_batches(batch)
        verbose = _verbosity(verbose)
        hooks = self._callbacks(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )
        self.stop_training = False
        loop = _FitLoop(
            self,
            feed,
            validation,
            hooks,
            batch_size=batch,
            validation_batch_size=validation_batch_size or batch,
            shuffle=bool(shuffle) and shuffle != "batch",
            seed=int(_core.next_seed()),
            steps=steps_per_epoch,
            validation_steps=validation_steps,
            validation_freq=validation_freq,
            verbose=verbose,
        )
        return loop.run(int(initial_epoch), int(epochs))

    def _check_fit_arguments(
        self,
        batch_size: Any,
        epochs: Any,
        initial_epoch: Any,
        validation_split: Any,
        steps: Any,
    ) -> None:
        who = f"{self._who()}: fit:"
        for name, value, least in (
            ("epochs", epochs, 0),
            ("initial_epoch", initial_epoch, 0),
            ("batch_size", batch_size, 1),
            ("steps_per_epoch", steps, 1),
        ):
            if value is None and name in ("batch_size", "steps_per_epoch"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ValueError(
                    f"{who} {name} must be an integer, got {name}={value!r}"
                )
            if value < least:
                raise ValueError(
                    f"{who} {name} must be at least {least}, got {name}={value}"
                )
        split = validation_split
        if isinstance(split, bool) or not isinstance(split, int | float | np.number):
            raise ValueError(
                f"{who} validation_split must be a number in [0, 1), got "
                f"validation_split={split!r}"
            )
        if not 0 <= split < 1:
            raise ValueError(
                f"{who} validation_split is the fraction of the samples that is only "
                f"evaluated and must be in [0, 1), got validation_split={split!r}"
            )

    def _check_targets(self, template: Template, leaves: list[np.ndarray]) -> None:
        """Find class numbers that the output has no place for."""
        if self._compile_loss is None or template.y is None or template.counts[1] != 1:
            return
        name = self._compile_loss._user_loss
        name = name if isinstance(name, str) else getattr(name, "name", "")
        if name != "sparse_categorical_crossentropy":
            return
        try:
            classes = self.output_shape[-1]
        except (AttributeError, TypeError, IndexError, KeyError):
            return
        y = leaves[template.counts[0]]
        if not isinstance(classes, int) or y.size == 0 or classes < 1:
            return
        low, high = y.min(), y.max()
        if not (low >= 0 and high < classes) and not np.isnan(low):
            bad = low if low < 0 else high
            self._name_outputs()
            raise ValueError(
                f"{self._who()}: y holds the class {bad:g}, but the output of "
                f"{self._compile_loss.where or 'the model'} has {classes} classes "
                f"(0 to {classes - 1}). Give it "
                f"{int(high) + 1 if low >= 0 else 'more'} units, "
                "or number the classes from 0 (np.unique(y, return_inverse=True)[1])."
            )

    def _callbacks(self, callbacks: Any, **params: Any) -> Any:
        from lamella import callbacks as callbacks_module

        if isinstance(callbacks, callbacks_module.CallbackList):
            return callbacks
        return callbacks_module.CallbackList(callbacks, model=self, **params)

    # -- evaluate ------------------------------------------------------------

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss and the metrics on data.

        Args:
            x: inputs, as in fit.
            y: targets.
            batch_size: default 32.
            verbose: 0, 1, 2 or "auto".
            sample_weight: weight of each sample.
            steps: number of batches, or None for all.
            callbacks: list of Callbacks.
            return_dict: return a dict by name instead of a list.

        Returns:
            A number when there are no metrics, else a list [loss, metrics...], or a
            dict.
        """
        self._assert_compiled("evaluate")
        feed = self._feed(x, y, sample_weight)
        batch = batch_size or 32
        if isinstance(feed, ArrayFeed):
            self._prepare(feed.template, feed.leaves)
            self._check_targets(feed.template, feed.leaves)
        verbose = _verbosity(verbose)
        hooks = self._callbacks(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=1,
            steps=steps or feed.num_batches(batch),
        )
        logs = self._evaluate_feed(feed, batch, steps, hooks, verbose)
        return logs if return_dict else self._in_order(logs)

    def _evaluate_feed(
        self,
        feed: ArrayFeed | BatchFeed,
        batch: int,
        steps: int | None,
        hooks: Any,
        verbose: int = 0,
    ) -> dict[str, float]:
        self.stop_evaluating = False
        hooks.on_test_begin()
        self.reset_metrics()
        logs = self._run(
            "test",
            feed,
            batch,
            steps,
            begin=hooks.on_test_batch_begin,
            end=hooks.on_test_batch_end,
            stopped=lambda: self.stop_evaluating,
            per_batch=_needs(hooks, "test"),
            progress=_progress_of(hooks, "test") if verbose else None,
        )
        hooks.on_test_end(logs)
        return logs

    def _in_order(self, logs: dict[str, float]) -> Any:
        """Return [loss, metrics...] for evaluate; a number if there is only one."""
        orders = self.__dict__.setdefault("_orders", {})
        names = orders.get(tuple(logs))
        if names is None:
            first = dict.fromkeys(["loss", *self.get_metrics_result()])
            names = [n for n in first if n in logs]
            names += [n for n in sorted(logs) if n not in first]
            orders[tuple(logs)] = names
        values = [logs[n] for n in names]
        return values[0] if len(values) == 1 else values

    def _run(
        self,
        mode: str,
        feed: ArrayFeed | BatchFeed,
        batch: int,
        steps: int | None,
        begin: Callable[..., Any],
        end: Callable[..., Any],
        stopped: Callable[[], bool],
        per_batch: bool,
        progress: Callable[[int, dict[str, float]], Any] | None,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        constrained: Sequence[Any] = (),
    ) -> dict[str, float]:
        """Run one epoch and return the logs at its end."""
        python = self._runs_python(mode)
        if isinstance(feed, ArrayFeed) and not python:
            step = self._make_step(mode, feed.template, feed.leaves)
            on_begin = on_end = on_progress = None
            if per_batch or constrained:
                constrained = list(constrained)

                def on_begin(i: int) -> bool:
                    if per_batch:
                        begin(i)
                    return False

                def on_end(i: int, values: Sequence[float]) -> bool:
                    if constrained:
                        self._apply_constraints(constrained)
                    if per_batch:
                        end(i, step.logs(values))
                    return stopped()

            if progress is not None:

                def on_progress(i: int, values: Sequence[float]) -> None:
                    progress(i, step.logs(values))

            values = step.runner.epoch(
                feed.leaves,
                batch,
                shuffle=shuffle,
                seed=seed,
                epoch=epoch,
                on_batch_begin=on_begin,
                on_batch_end=on_end,
                progress=on_progress,
                progress_interval=0.1,
                steps=steps,
            )
            return step.logs(values)
        return self._run_batches(
            mode,
            self._ordered_batches(feed, batch, steps, shuffle, seed, epoch),
            python,
            begin if per_batch else None,
            end if per_batch else None,
            stopped,
            progress,
            list(constrained),
        )

    @staticmethod
    def _ordered_batches(
        feed: ArrayFeed | BatchFeed,
        batch: int,
        steps: int | None,
        shuffle: bool,
        seed: int,
        epoch: int,
    ) -> Iterator[tuple[Template, list[np.ndarray]]]:
        order = None
        if shuffle:
            if isinstance(feed, ArrayFeed):  # the order that the C++ loop takes
                order = np.asarray(_core.shuffled_order(feed.rows, seed, epoch))
            elif feed.is_sequence:
                order = np.asarray(_core.shuffled_order(len(feed.source), seed, epoch))
        if isinstance(feed, ArrayFeed):
            iterator = feed.batches(batch, order)
        else:
            iterator = feed.batches(order)
        done = 0
        while steps is None or done < steps:
            try:
                yield next(iterator)
            except StopIteration:
                if steps is not None and done and isinstance(feed, BatchFeed):
                    warnings.warn(
                        f"the data ended after {done} batches, before the {steps} that "
                        "were asked for",
                        stacklevel=2,
                    )
                return
            done += 1

    def _run_batches(
        self,
        mode: str,
        batches: Iterator[tuple[Template, list[np.ndarray]]],
        python: bool,
        begin: Callable[..., Any] | None,
        end: Callable[..., Any] | None,
        stopped: Callable[[], bool],
        progress: Callable[[int, dict[str, float]], Any] | None,
        constrained: list[Any],
    ) -> dict[str, float]:
        """Run batch by batch from Python."""
        logs: dict[str, float] = {}
        shown = 0.0
        index = -1
        for index, (template, leaves) in enumerate(batches):
            if begin is not None:
                begin(index)
            if python:
                self._prepare(template, leaves)
                if mode == "train" and self.optimizer and not self.optimizer.built:
                    self.optimizer.build(self.trainable_variables)
                parts = template.tensors(leaves)
                run = self.train_step if mode == "train" else self.test_step
                logs = _plain_logs(run(_pack_data(*parts)))
            else:
                step = self._make_step(mode, template, leaves)
                logs = step.logs(step.runner.step(leaves))
            if constrained:
                self._apply_constraints(constrained)
            if end is not None:
                end(index, logs)
            if progress is not None and time.perf_counter() - shown > 0.1:
                progress(index, logs)
                shown = time.perf_counter()
            if stopped():
                break
        if index < 0:
            raise ValueError(
                f"{self._who()}: the data are used up: the iterator has no batch left. "
                "Pass a generator with enough batches, or something that can be "
                "iterated again."
            )
        if progress is not None:
            progress(index, logs)
        return logs

    # -- predict -------------------------------------------------------------

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Return the model's outputs for data, as NumPy arrays.

        Args:
            x: inputs, as in fit.
            batch_size: default 32.
            verbose: 0, 1, 2 or "auto".
            steps: number of batches, or None for all.
            callbacks: list of Callbacks.
        """
        fast = self.__dict__.get("_fast_predict")
        if (
            fast is not None
            and verbose == 0
            and type(x) is np.ndarray
            and x.dtype == fast[1]
            and x.shape[1:] == fast[0]
            and not self.run_eagerly
            and callbacks is None
            and steps is None
            and len(x)
        ):  # the same kind of array as last time: straight into C++
            if len(x) <= (batch_size or 32):
                return fast[2]([x])[0]
            return fast[2].map([x], batch_size or 32)[0]
        self._check_initialized()
        verbose = _verbosity(verbose)
        feed = self._feed(x, with_targets=False)
        batch = batch_size or 32
        python = self._runs_python("predict")
        if isinstance(feed, ArrayFeed) and not python and steps is None:
            step = self._make_step("predict", feed.template, feed.leaves)
            if verbose == 0 and not callbacks:
                self._remember_predict(step, feed.leaves)
                outputs = step.runner.map(feed.leaves, batch)
                return _tree.pack(step.outputs, list(outputs))
        hooks = self._callbacks(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=1,
            steps=steps or feed.num_batches(batch),
        )
        self.stop_predicting = False
        hooks.on_predict_begin()
        if (
            isinstance(feed, ArrayFeed)
            and not python
            and steps is None
            and not _needs(hooks, "predict")
        ):
            total = feed.num_batches(batch)
            report = _progress_of(hooks, "predict")
            on_progress = None
            if report is not None:

                def on_progress(done: int, *_: Any) -> None:
                    report(min(done, total - 1), {})

            outputs = step.runner.map(feed.leaves, batch, on_progress)
            if report is not None:
                report(total - 1, {})
            hooks.on_predict_end()
            return _tree.pack(step.outputs, list(outputs))
        collected: list[list[np.ndarray]] = []
        structure: Any = None
        batches = self._ordered_batches(feed, batch, steps, False, 0, 0)
        for index, (template, leaves) in enumerate(batches):
            hooks.on_predict_batch_begin(index)
            result = self._predict_batch(template, leaves, python)
            structure = _tree.map_structure(lambda _: None, result)
            collected.append(_tree.flatten(result))
            hooks.on_predict_batch_end(index, {"outputs": result})
            if self.stop_predicting:
                break
        hooks.on_predict_end()
        if not collected:
            raise ValueError(f"{self._who()}: the data are used up: no batch was left")
        joined = [np.concatenate(parts) for parts in zip(*collected, strict=True)]
        return _tree.pack(structure, joined)

    def _predict_batch(
        self, template: Template, leaves: list[np.ndarray], python: bool
    ) -> Any:
        if python:
            self._prepare(template, leaves)
            x, _, _ = template.tensors(leaves)
            result = self.predict_step(x if not isinstance(x, tuple | list) else (x,))
            return _tree.map_structure(lambda t: np.array(t.numpy()), result)
        step = self._make_step("predict", template, leaves)
        self._remember_predict(step, leaves)
        return _tree.pack(step.outputs, list(step.runner(leaves)))

    def _remember_predict(self, step: _Step, leaves: list[np.ndarray]) -> None:
        """Let the next array like this one go straight into C++."""
        if step.outputs is None and len(leaves) == 1:
            array = leaves[0]
            self._fast_predict = (array.shape[1:], array.dtype, step.runner)

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for one batch, as NumPy arrays."""
        fast = self.__dict__.get("_fast_predict")
        if (
            fast is not None
            and type(x) is np.ndarray
            and x.dtype == fast[1]
            and x.shape[1:] == fast[0]
            and not self.run_eagerly
            and len(x)
        ):
            return fast[2]((x,))[0]
        self._check_initialized()
        feed = self._feed(x, with_targets=False)
        if not isinstance(feed, ArrayFeed):
            raise ValueError(f"{self._who()}: predict_on_batch expects arrays")
        return self._predict_batch(
            feed.template, feed.leaves, self._runs_python("predict")
        )

    # -- single batches ------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one update and return the loss and metrics of this batch.

        Args:
            x: inputs of the batch.
            y: targets.
            sample_weight: weights or None.
            class_weight: dict from class number to weight, instead of sample_weight.
            return_dict: return a dict by name.
        """
        self._assert_compiled("train_on_batch")
        logs = self._on_batch("train", x, y, sample_weight, class_weight)
        return logs if return_dict else self._in_order(logs)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss and metrics of one batch."""
        self._assert_compiled("test_on_batch")
        logs = self._on_batch("test", x, y, sample_weight, None)
        return logs if return_dict else self._in_order(logs)

    def _on_batch(
        self, mode: str, x: Any, y: Any, sample_weight: Any, class_weight: Any
    ) -> dict[str, float]:
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    f"{self._who()}: class_weight and sample_weight cannot be given "
                    "together"
                )
            sample_weight = class_weights_of(to_array(y, "y"), class_weight)
        feed = self._feed(x, y, sample_weight)
        if not isinstance(feed, ArrayFeed):
            raise ValueError(f"{self._who()}: {mode}_on_batch expects arrays")
        self._prepare(feed.template, feed.leaves)
        self._check_targets(feed.template, feed.leaves)
        self.reset_metrics()
        return self._run_batches(
            mode,
            iter([(feed.template, feed.leaves)]),
            self._runs_python(mode),
            None,
            None,
            lambda: False,
            None,
            self._constraints() if mode == "train" else [],
        )

    def _graphs_for_export(self) -> dict[str, Any]:
        """Return the graphs for a `.lamella` file: "predict", "train", "test"."""
        graphs = {}
        for mode in ("predict", "train", "test"):
            cache = self.__dict__.get(
                "_predict_steps" if mode == "predict" else "_steps", {}
            )
            for key, step in cache.items():
                if key[0] == mode:
                    graphs[mode] = step.graph
        if "predict" not in graphs and self.built:
            step = self._predict_step_for_export()
            if step is not None:
                graphs["predict"] = step.graph
        return graphs

    def _predict_step_for_export(self) -> _Step | None:
        """Trace the prediction without data, when the input shape is known."""
        shapes = self._build_shape
        if shapes is None:
            return None
        flat: list[np.ndarray] = []
        dtypes: list[str] = []

        def leaf(shape: Any) -> str:
            sizes = [0, *shape[1:]]
            if any(s is None for s in sizes):
                raise _Unknown
            empty = np.empty(sizes, self._symbolic_dtype())
            dtypes.append(self._input_type(empty, len(flat)))
            flat.append(empty)
            return "leaf"

        try:
            structure = _map_leaves(leaf, shapes)
        except _Unknown:
            return None
        return self._make_step("predict", Template(structure, dtypes=dtypes), flat)

    # -- Keras's hooks for custom loops --------------------------------------

    def make_train_function(self, force: bool = False) -> Any:
        """Forget the traced training steps if `force`; they are made when needed."""
        if force:
            self._forget_steps()

    make_test_function = make_predict_function = make_train_function


class _Unknown(Exception):
    """A size of the input is not known."""


class _FitLoop:
    """The epochs of one call of fit."""

    def __init__(
        self,
        model: Any,
        feed: ArrayFeed | BatchFeed,
        validation: ArrayFeed | BatchFeed | None,
        hooks: Any,
        *,
        batch_size: int,
        validation_batch_size: int,
        shuffle: bool,
        seed: int,
        steps: int | None,
        validation_steps: int | None,
        validation_freq: Any,
        verbose: int,
    ) -> None:
        self.model = model
        self.feed = feed
        self.validation = validation
        self.hooks = hooks
        self.batch_size = batch_size
        self.validation_batch_size = validation_batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.steps = steps
        self.validation_steps = validation_steps
        self.validation_freq = validation_freq
        self.verbose = verbose

    def run(self, first: int, last: int) -> Any:
        """Train epochs first .. last - 1 and return the History."""
        model, hooks = self.model, self.hooks
        logs: dict[str, float] = {}
        history = model.history
        history.stopped_by = None
        hooks.on_train_begin()
        self.epoch = first
        try:
            if self._can_run_at_once():
                logs = self._run_at_once(first, last, history)
            else:
                for epoch in range(first, last):
                    self.epoch = epoch
                    logs = self._run_epoch(epoch)
                    if model.stop_training:
                        history.stopped_by = "callback"
                        break
        except KeyboardInterrupt:
            history.stopped_by = "interrupt"
            model.stop_training = True
            start = "\n" if self.verbose == 1 else ""
            print(
                f"{start}fit: interrupted in epoch {self.epoch + 1} of {last}; the "
                "model keeps the weights of the last whole step",
                file=sys.stderr,
                flush=True,
            )
        hooks.on_train_end(logs)
        return history

    def _can_run_at_once(self) -> bool:
        """Return True if nothing but the History wants to know about an epoch."""
        from lamella.callbacks import History

        callbacks = getattr(self.hooks, "callbacks", None)
        return (
            isinstance(self.feed, ArrayFeed)
            and self.validation is None
            and self.verbose == 0
            and self.steps is None
            and callbacks is not None
            and all(type(c) is History for c in callbacks)
            and not self.model._runs_python("train")
            and not self.model._constraints()
        )

    def _run_at_once(self, first: int, last: int, history: Any) -> dict[str, float]:
        """Let C++ run many epochs in one call; the History is written afterwards."""
        model, feed = self.model, self.feed
        assert isinstance(feed, ArrayFeed)
        step = model._make_step("train", feed.template, feed.leaves)
        model.reset_metrics()
        states = [v for m in model.metrics for v in m.variables]
        if any(np.any(np.asarray(v.numpy())) for v in states):
            logs: dict[str, float] = {}  # a metric that does not start at zero
            for epoch in range(first, last):
                self.epoch = epoch
                logs = self._run_epoch(epoch)
            return logs
        reset = [v._core for v in states]
        epoch, count = first, 1
        logs = {}
        while epoch < last:
            count = min(count, last - epoch)
            began = time.perf_counter()
            rows = step.runner.fit(
                feed.leaves,
                self.batch_size,
                count,
                epoch,
                self.shuffle,
                self.seed,
                reset,
            )
            for row in rows:
                logs = step.logs(row)
                history.on_epoch_end(epoch, dict(logs))
                epoch += 1
            self.epoch = epoch
            # Few calls, and yet the History is complete up to the last quarter
            # second when Ctrl-C comes.
            if time.perf_counter() - began < _CHUNK_SECONDS / 2:
                count *= 2
        return logs

    def _run_epoch(self, epoch: int) -> dict[str, float]:
        model, hooks = self.model, self.hooks
        model.reset_metrics()
        hooks.on_epoch_begin(epoch)
        logs = model._run(
            "train",
            self.feed,
            self.batch_size,
            self.steps,
            begin=hooks.on_train_batch_begin,
            end=hooks.on_train_batch_end,
            stopped=lambda: model.stop_training,
            per_batch=_needs(hooks, "train"),
            progress=_progress_of(hooks, "train"),
            shuffle=self.shuffle,
            seed=self.seed,
            epoch=epoch,
            constrained=model._constraints(),
        )
        if self.validation is not None and _due(epoch, self.validation_freq):
            values = model._evaluate_feed(
                self.validation,
                self.validation_batch_size,
                self.validation_steps,
                hooks,
            )
            logs.update({f"val_{k}": v for k, v in values.items()})
        logs = dict(sorted(logs.items()))
        hooks.on_epoch_end(epoch, logs)
        return logs


# -- small things -----------------------------------------------------------


def _needs(hooks: Any, mode: str) -> bool:
    """Return whether some callback really overrides a batch hook of this mode."""
    infix = "" if mode == "train" else f"{mode}_"
    return bool(getattr(hooks, f"needs_{infix}batch_hooks", True))


def _progress_of(
    hooks: Any, mode: str
) -> Callable[[int, dict[str, float]], Any] | None:
    """Return what redraws the bar; None if batch hooks do, or there is none."""
    if not getattr(hooks, "needs_progress", False) or _needs(hooks, mode):
        return None
    return hooks.on_progress


def _verbosity(verbose: Any) -> int:
    if verbose == "auto":
        return 1
    if verbose in (True, False, 0, 1, 2):
        return int(verbose)
    raise ValueError(f"verbose must be 0, 1, 2 or 'auto', got verbose={verbose!r}")


def _check_frequency(frequency: Any) -> None:
    if isinstance(frequency, list | tuple | set):
        return
    if (
        isinstance(frequency, bool)
        or not isinstance(frequency, int | np.integer)
        or frequency < 1
    ):
        raise ValueError(
            "fit: validation_freq must be a positive integer or a list of epochs, got "
            f"validation_freq={frequency!r}"
        )


def _due(epoch: int, frequency: Any) -> bool:
    if isinstance(frequency, list | tuple | set):
        return epoch + 1 in frequency
    return (epoch + 1) % int(frequency) == 0


def _validation_parts(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, list | tuple):
        if len(data) not in (2, 3):
            raise ValueError(
                "fit: validation_data must be (x, y) or (x, y, sample_weight), got a "
                f"tuple of {len(data)} elements"
            )
        return unpack_x_y_sample_weight(data)
    return data, None, None


def _rows_of(x: Any) -> Any:
    return batch_size_of(next(v for v in _tree.flatten(x) if v is not None))


def _as_tensor(value: Any) -> Any:
    if isinstance(value, _core.Tensor):
        return value
    if hasattr(value, "value") and not callable(value.value):
        return value.value
    return _core.tensor(value)


def _plain_logs(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        raise ValueError(
            "train_step and test_step must return a dict from names to values, got "
            f"{type(values).__name__}"
        )
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update({k: float(v) for k, v in value.items()})
        else:
            flat[name] = float(value)
    return dict(sorted(flat.items()))


def _pack_data(x: Any, y: Any, sample_weight: Any) -> Any:
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,)


def _zero_grad(variables: list[Any]) -> None:
    for variable in variables:
        variable.zero_grad()


def _parameters(function: Any) -> Any:
    import inspect

    return inspect.signature(function).parameters


def _is_input(layer: Layer) -> bool:
    return type(layer).__name__ == "InputLayer"


def _map_leaves(function: Callable[[Any], Any], shapes: Any) -> Any:
    """Map over structures whose leaves are shape tuples starting with None."""
    if isinstance(shapes, dict):
        return {k: _map_leaves(function, shapes[k]) for k in sorted(shapes)}
    if isinstance(shapes, tuple) and shapes and shapes[0] is None:
        return function(shapes)
    return type(shapes)(_map_leaves(function, s) for s in shapes)


def zeros_like(tensor: Any) -> Any:
    """Return concrete zeros of a symbolic tensor's shape; unknown sizes become 2."""
    shape = tuple(2 if s is None else s for s in tensor.shape)
    return _core.full(shape, 0, tensor.dtype)


def _not_traceable(model: Any, error: Exception) -> Exception:
    if "run_eagerly" in str(error):
        return type(error)(f"{model._who()}: {error}")
    return type(error)(
        f"{model._who()}: {error}. The model, loss and metrics are run once on "
        "symbolic tensors; code that looks at values (if, float(), NumPy) needs "
        "compile(..., run_eagerly=True), or lamella.ops instead."
    )


def _serialize(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_serialize(v) for v in value]
    if isinstance(value, dict):
        return {k: _serialize(v) for k, v in value.items()}
    from lamella.saving import serialization

    return serialization.serialize_keras_object(value)
