"""What a compiled model computes, and the graphs that are traced from it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lamella import _core, config
from lamella.layers import _tree
from lamella.layers._context import shapes_only
from lamella.layers._parts import Parts, parts_of
from lamella.layers.layer import Layer, batch_size_of
from lamella.models.compile_utils import CompiledLoss, CompiledMetrics
from lamella.models.data import (
    ArrayFeed,
    BatchFeed,
    Template,
    integer_type,
    make_feed,
)

__all__ = ["Step", "Tracing", "rows_of", "zeros_like"]

_CACHE_SIZE = 16


class Step:
    """A traced step: the Graph, what runs it, and what its outputs are called."""

    def __init__(self, graph: Any, runner: Any, names: list[str], outputs: Any) -> None:
        self.graph = graph
        self.runner = runner
        self.names = names
        self.outputs = outputs
        self.parts: Parts | None = None  # keeps the ids of the key from being reused
        self.template: Template | None = None
        self.leaves: list[np.ndarray] = []  # no rows, but the data's shapes and types
        self.order = sorted(range(len(names)), key=lambda i: names[i])

    def logs(self, values: Sequence[float]) -> dict[str, float]:
        """Return the values by name, sorted as Keras sorts them."""
        return {self.names[i]: float(values[i]) for i in self.order}

    def columns(self, rows: np.ndarray) -> dict[str, list[float]]:
        """Return the values of many epochs, one row each, by name."""
        columns = rows.T.tolist()
        return {self.names[i]: columns[i] for i in self.order}


class Tracing(Layer):
    """Losses, metrics and graphs of a Model."""

    # Set by compile; here so that an uncompiled model has them.
    optimizer: Any = None
    loss: Any = None
    compiled = False
    stop_training = False
    stop_evaluating = False
    stop_predicting = False
    _initial_epoch: int | None = None  # set by BackupAndRestore
    _shuffle_seed: int | None = None
    run_eagerly = False
    history: Any = None
    _compile_loss: CompiledLoss | None = None
    _compile_metrics: CompiledMetrics | None = None
    _loss_tracker: Any = None
    _compile_arguments: dict[str, Any] | None = None
    _compile_trainable: dict[int, bool]
    _steps: dict[Any, Step]

    # -- compile ---------------------------------------------------------------

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

    # -- metrics and losses ----------------------------------------------------

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

    # -- data ------------------------------------------------------------------

    def _input_type(self, array: np.ndarray, index: int) -> str:
        """Return the type in which an input array reaches the model."""
        del index
        if array.dtype.kind == "f" or not self._takes_integers():
            return self._input_dtype
        if array.dtype == "bool" or array.dtype == "uint8":
            return array.dtype.name
        return integer_type(array)

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

    # -- tracing ---------------------------------------------------------------

    def _has_call(self) -> bool:
        """Return False for a model that has only steps, as GANs often are."""
        return True

    def _prepare(self, template: Template, leaves: list[np.ndarray]) -> None:
        """Build the model for data like these."""
        if self.built and parts_of(self).all_built():
            return
        if not self._has_call():
            return  # a step of the user's own calls the layers that it wants
        x, _, _ = template.unflatten([(None, *a.shape[1:]) for a in leaves])
        self._build_for(x, iter(template.dtypes))

    def _build_compiled(self, x: Any, y: Any) -> None:
        """Find the metrics and losses that names stand for, by an output.

        A train_step of the user's own updates `metrics`, so they must be there.
        """
        parts = (self._compile_loss, self._compile_metrics)
        waiting = [p for p in parts if p is not None and not p.built]
        if not waiting or y is None or not self._has_call():
            return
        with _core.no_grad():
            y_pred = self(x, training=False)
        for part in waiting:
            part.build(y, y_pred)
        self._clear_losses()

    def _build_for(self, shapes: Any, dtypes: Iterator[str]) -> None:
        """Run the model once on symbolic inputs, which builds all layers."""
        graph = _core.Graph()
        with graph:
            names = iter(range(1 << 20))

            def make(shape: Any) -> Any:
                return graph.input(f"x{next(names)}", shape, next(dtypes))

            inputs = _map_leaves(make, shapes)
            try:
                with shapes_only():
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

    def _make_step(self, mode: str, template: Template, leaves: Any) -> Step:
        """Return the traced step for data like these, from the cache if possible."""
        key = self._step_key(mode, template, leaves)
        cache = self._step_cache(mode)
        step = cache.get(key)
        if step is None:
            self._prepare(template, leaves)
            key = self._step_key(mode, template, leaves)  # building made variables
            step = self._trace(mode, template, leaves)
            step.parts = parts_of(self)
            step.template = template
            step.leaves = [np.empty((0, *a.shape[1:]), a.dtype) for a in leaves]
            while len(cache) >= _CACHE_SIZE:
                del cache[next(iter(cache))]
            cache[key] = step
        return step

    def _step_key(self, mode: str, template: Template, leaves: Any) -> Any:
        """Return what a traced step depends on; its first entry is the mode."""
        parts = parts_of(self)
        shapes = tuple([a.shape[1:] for a in leaves])
        if mode != "train":
            return mode, template.key, shapes, parts.layer_ids
        trained = (parts.trainable_ids, id(self.optimizer))
        return mode, template.key, shapes, parts.layer_ids, trained

    def _step_cache(self, mode: str) -> dict[Any, Step]:
        name = "_predict_steps" if mode == "predict" else "_steps"
        return self.__dict__.setdefault(name, {})

    def _forget_steps(self) -> None:
        """Drop everything traced: the model has changed."""
        self.__dict__.pop("_predict_steps", None)
        self.__dict__.pop("_fast_predict", None)
        self.__dict__.pop("_fast_batch", None)
        self.__dict__.pop("_orders", None)
        if "_steps" in self.__dict__:
            self._steps = {}

    def _trace(self, mode: str, template: Template, leaves: list[np.ndarray]) -> Step:
        if mode != "predict":
            self._name_outputs()
        optimizer = self.optimizer if mode == "train" else None
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.trainable_variables)
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
                    return Step(graph, _core.Executor(graph), [], structure)
                names = self._trace_loss(graph, mode, x, y, y_pred, sample_weight)
            except _core.StateError as error:
                raise _not_traceable(self, error) from error
            finally:
                self._clear_losses()
        if mode == "test":
            return Step(graph, _core.Trainer(graph), names, None)
        variables = self.trainable_variables
        if not variables:
            warnings.warn(
                f"{self._who()}: the model has no trainable weights; fit only "
                "evaluates it.",
                stacklevel=4,
            )
            return Step(graph, _core.Trainer(graph), names, None)
        if self.optimizer is None:
            raise ValueError(
                f"{self._who()}: compile(optimizer=None) cannot train. Give compile() "
                "an optimizer."
            )
        self._warn_if_trainable_changed()
        return Step(graph, self.optimizer._trace(graph, variables)(), names, None)

    def _trace_loss(
        self, graph: Any, mode: str, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> list[str]:
        loss = self._compute_loss(x, y, y_pred, sample_weight, mode == "train")
        if loss.ndim > 0:
            loss = _core.mean(loss, None, False)
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(
                _core.stop_gradient(loss), sample_weight=rows_of(x)
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
        if mode == "train" and self.optimizer is not None:
            loss = self.optimizer.scale_loss(loss)
        graph.set_loss(loss)
        return names

    def _name_outputs(self) -> None:
        """Tell the compiled loss which layer makes the output, for its errors."""
        if self._compile_loss is not None and not self._compile_loss.where:
            layers = [layer for layer in self._layers if not _is_input(layer)]
            if layers:
                last = layers[-1]
                self._compile_loss.where = f"{type(last).__name__} {last.name!r}"

    # -- export ----------------------------------------------------------------

    def _loss_graphs(self) -> dict[str, Any]:
        """Return the traced "train" and "test" graphs, for a `.lamella` file."""
        steps: dict[str, Step] = {}
        for key, step in self._step_cache("train").items():
            # A step without sample weights is what fit(x, y) needs elsewhere.
            weighted = step.template is not None and step.template.counts[2] > 0
            if not (weighted and key[0] in steps):
                steps[key[0]] = step
        if "train" in steps and "test" not in steps:
            train = steps["train"]
            assert train.template is not None
            steps["test"] = self._make_step("test", train.template, train.leaves)
        return {mode: step.graph for mode, step in steps.items()}


def _as_tensor(value: Any) -> Any:
    if isinstance(value, _core.Tensor):
        return value
    if hasattr(value, "value") and not callable(value.value):
        return value.value
    return _core.tensor(value)


def rows_of(x: Any) -> Any:
    """Return the number of rows of the first input as a scalar."""
    return batch_size_of(next(v for v in _tree.flatten(x) if v is not None))


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
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
