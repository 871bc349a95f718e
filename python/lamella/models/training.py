"""compile, fit, evaluate and predict: what a Model does with data.

`fit` traces the training step once (Python), and `_core.Trainer` runs all batches of
an epoch without Python. Python per batch happens only for callbacks with batch hooks,
data that come as batches, `run_eagerly=True`, and models that override `train_step`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._traceback import filter_traceback
from lamella.layers import _tree
from lamella.layers._parts import parts_of
from lamella.models.batches import BatchStream, batch_size_for, limited_steps
from lamella.models.compile_utils import CompiledLoss, CompiledMetrics
from lamella.models.data import (
    ArrayFeed,
    BatchFeed,
    Template,
    class_weights_of,
    split_validation,
    to_array,
    unpack_x_y_sample_weight,
)
from lamella.models.fast_batch import (
    FastBatch,
    FastPredict,
    takes_classes,
    zeros_of_metrics,
)
from lamella.models.fit_loop import (
    FitLoop,
    check_frequency,
    needs,
    progress_of,
    run_batches,
    run_epoch,
    validation_parts,
    verbosity,
)
from lamella.models.tracing import Step, Tracing, rows_of

__all__ = ["Training"]


class Training(Tracing):
    """What a Model does with data."""

    _whole_batch: Any = None  # a running fit with an optimizer of whole batches

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
        names = getattr(self, "_output_keys", None)
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
        self._steps = {}
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
        if self.optimizer is not None and self.built and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _assert_compiled(self, method: str) -> None:
        self._check_initialized()
        if not self.compiled:
            raise ValueError(
                f"{self._who()}: call compile(optimizer=..., loss=...) before "
                f"{method}()"
            )

    # -- one step in Python (run_eagerly, or overridden by the user) ---------

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on one batch with the tape; override it for a step of your own."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self._compute_loss(x, y, y_pred, sample_weight, True)
        self._loss_tracker.update_state(loss.detach(), sample_weight=rows_of(x))
        variables = self.trainable_variables
        if variables and self.optimizer is not None:
            self.zero_grad()
            self.optimizer.scale_loss(loss).backward()
            self.optimizer.apply([v.grad for v in variables], variables)
        with _core.no_grad():
            return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluate one batch; override it for a step of your own."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with _core.no_grad():
            y_pred = self(x, training=False)
            loss = self._compute_loss(x, y, y_pred, sample_weight, False)
            self._loss_tracker.update_state(loss, sample_weight=rows_of(x))
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

    def zero_grad(self) -> None:
        """Forget the gradients of all weights, before `loss.backward()`."""
        for variable in self.trainable_variables:
            variable.zero_grad()

    # -- fit -----------------------------------------------------------------

    @filter_traceback
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
        shuffle: Any = True,
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
            batch_size: samples in each update. Default 32, or what makes
                steps_per_epoch batches of the arrays.
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
            "callback", "convergence" (of a whole-batch optimizer) or "interrupt"
            (Ctrl-C ends the training with the hooks of the callbacks, a second one
            raises).

        Raises:
            ValueError: not compiled, mismatched or empty data, wrong shapes.
        """
        self._assert_compiled("fit")
        self._check_fit_arguments(
            batch_size, epochs, initial_epoch, validation_split, steps_per_epoch
        )
        feed = self._feed(x, y, sample_weight, class_weight)
        limit = config.max_epochs()
        if limit and limit < epochs:
            warnings.warn(f"fit: limiting epochs to {limit}", stacklevel=2)
            epochs = limit
        if isinstance(feed, BatchFeed) and batch_size is not None:
            warnings.warn(
                f"{self._who()}: batch_size={batch_size} is not used, because x yields "
                "batches",
                stacklevel=2,
            )
        validation: ArrayFeed | BatchFeed | None = None
        if validation_data is not None:
            validation = self._feed(*validation_parts(validation_data))
        elif validation_split:
            if not isinstance(feed, ArrayFeed):
                raise ValueError(
                    f"{self._who()}: validation_split needs arrays; give "
                    "validation_data when x yields batches"
                )
            feed, validation = split_validation(feed, validation_split)
        check_frequency(validation_freq)
        steps_per_epoch = limited_steps(steps_per_epoch)
        batch = batch_size_for(feed, batch_size, steps_per_epoch)
        if isinstance(feed, ArrayFeed):
            template, leaves = feed.template, feed.leaves
        else:
            template, leaves = feed.first()
        self._prepare(template, leaves)
        self._check_targets(template, leaves)
        steps = steps_per_epoch or feed.num_batches(batch)
        verbose = verbosity(verbose)
        self._whole_batch = None
        if getattr(self.optimizer, "whole_batch", False):
            from lamella.optimizers.whole_batch.fitting import WholeBatchRun

            self._whole_batch, steps = WholeBatchRun(self, feed, batch_size), 1
        hooks = self._callbacks(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )
        self.stop_training = False
        if self._whole_batch is not None:
            hooks.append(self._whole_batch)
        loop = FitLoop(
            self,
            feed,
            validation,
            hooks,
            batch_size=batch,
            validation_batch_size=validation_batch_size or batch_size,
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
        if not takes_classes(self._compile_loss):
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

    @filter_traceback
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
        steps = limited_steps(steps)
        batch = batch_size_for(feed, batch_size, steps)
        if isinstance(feed, ArrayFeed):
            self._prepare(feed.template, feed.leaves)
            self._check_targets(feed.template, feed.leaves)
        verbose = verbosity(verbose)
        hooks = self._callbacks(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=1,
            steps=steps or feed.num_batches(batch),
        )
        stream = BatchStream(feed, batch, steps)
        logs = self._evaluate_stream(stream, hooks, verbose)
        return logs if return_dict else self._in_order(logs)

    def _evaluate_stream(
        self, stream: BatchStream, hooks: Any, verbose: int = 0
    ) -> dict[str, float]:
        self.stop_evaluating = False
        hooks.on_test_begin()
        self.reset_metrics()
        logs = run_epoch(
            self,
            "test",
            stream,
            begin=hooks.on_test_batch_begin,
            end=hooks.on_test_batch_end,
            stopped=lambda: self.stop_evaluating,
            per_batch=needs(hooks, "test"),
            progress=progress_of(hooks, "test") if verbose else None,
        )
        hooks.on_test_end(logs)
        return logs

    def _in_order(self, logs: dict[str, float]) -> Any:
        """Return [loss, metrics...] as Keras orders them; a number if it is only one.

        First by the names of the metrics, which are those of the logs if there is one
        output; a name that several metrics have counts once for each. Then the others.
        """
        orders = self.__dict__.setdefault("_orders", {})
        names = orders.get(tuple(logs))
        if names is None:
            names = orders[tuple(logs)] = self._names_in_order(logs)
        values = [logs[n] for n in names]
        return values[0] if len(values) == 1 else values

    def _names_in_order(self, logs: dict[str, float]) -> list[str]:
        known = [m.name for m in self.metrics]
        return [n for n in known if n in logs] + sorted(set(logs) - set(known))

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
            and fast.takes(x)
            and fast.parts.is_current()
            and not self.run_eagerly
            and callbacks is None
            and steps is None
        ):  # the same kind of array as last time: straight into C++
            return fast.all_rows(x, batch_size or 32)
        self._check_initialized()
        verbose = verbosity(verbose)
        feed = self._feed(x, with_targets=False)
        steps = limited_steps(steps)
        batch = batch_size_for(feed, batch_size, steps)
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
            and not needs(hooks, "predict")
        ):
            total = feed.num_batches(batch)
            report = progress_of(hooks, "predict")
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
        stream = BatchStream(feed, batch, steps)
        for index, (template, leaves) in enumerate(stream.epoch()):
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

    def _remember_predict(self, step: Step, leaves: list[np.ndarray]) -> None:
        """Let the next array like this one go straight into C++."""
        if step.outputs is None and len(leaves) == 1:
            self._fast_predict = FastPredict(step.runner, leaves, parts_of(self))

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for one batch, as NumPy arrays."""
        fast = self.__dict__.get("_fast_predict")
        if fast is not None and fast.parts.is_current() and not self.run_eagerly:
            outputs = fast.batch(x)
            if outputs is not None:
                return outputs
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
        if sample_weight is None and class_weight is None:
            fast = self._fast(x, y, "train", return_dict)
            if fast is not None:
                return fast
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
        if sample_weight is None:
            fast = self._fast(x, y, "test", return_dict)
            if fast is not None:
                return fast
        self._assert_compiled("test_on_batch")
        logs = self._on_batch("test", x, y, sample_weight, None)
        return logs if return_dict else self._in_order(logs)

    def _fast(self, x: Any, y: Any, mode: str, return_dict: bool) -> Any:
        """Run the last batch's step again; None if this batch is of another kind."""
        fast: FastBatch | None = self.__dict__.get("_fast_batch")
        if fast is None or not fast.is_current(self, mode):
            return None
        if fast.classes:
            if not fast.takes(x, y):
                return None
            self._check_targets(fast.template, [x, y])
        return fast.logs(x, y) if return_dict else fast.values(x, y)

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
        python = self._runs_python(mode)
        reset = None if python else zeros_of_metrics(self)
        logs = run_batches(
            self,
            mode,
            iter([(feed.template, feed.leaves)]),
            python,
            None,
            None,
            lambda: False,
            None,
        )
        if reset is not None and sample_weight is None:
            step = self._make_step(mode, feed.template, feed.leaves)
            order = self._names_in_order(logs)
            self._fast_batch = FastBatch(self, mode, step, feed.leaves, reset, order)
        return logs

    # -- Keras's hooks for custom loops --------------------------------------

    def make_train_function(self, force: bool = False) -> Any:
        """Forget the traced training steps if `force`; they are made when needed."""
        if force:
            self._forget_steps()

    make_test_function = make_predict_function = make_train_function


# -- small things -----------------------------------------------------------


def _serialize(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_serialize(v) for v in value]
    if isinstance(value, dict):
        return {k: _serialize(v) for k, v in value.items()}
    from lamella.saving import serialization

    return serialization.serialize_keras_object(value)
