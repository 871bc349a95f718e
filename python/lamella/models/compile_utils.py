"""Losses and metrics of a compiled model: names, shapes, several outputs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from lamella import _core, config
from lamella import losses as losses_module
from lamella import metrics as metrics_module
from lamella.layers import _tree

__all__ = ["CompiledLoss", "CompiledMetrics", "object_name"]


def object_name(obj: Any) -> str:
    """Return the name of a metric or loss object, function or class."""
    if hasattr(obj, "name"):
        return obj.name
    if hasattr(obj, "__name__"):
        return config.to_snake_case(obj.__name__)
    return config.to_snake_case(type(obj).__name__)


def _kind(y_true: Any, y_pred: Any) -> str:
    """Return "binary", "sparse" or "categorical" from the shapes."""
    true, pred = y_true.shape, y_pred.shape
    if not pred:
        raise ValueError(
            "accuracy needs an output with an axis for the classes, got a scalar"
        )
    if pred[-1] == 1:
        return "binary"
    if len(true) < len(pred) or (true[-1] == 1 and pred[-1] > 1):
        return "sparse"
    return "categorical"


def make_loss(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """Return the Loss for a name, class, object or function; None stays None."""
    if identifier is None:
        return None
    if str(identifier).lower() in ("crossentropy", "ce"):
        loss = {
            "binary": losses_module.binary_crossentropy,
            "sparse": losses_module.sparse_categorical_crossentropy,
            "categorical": losses_module.categorical_crossentropy,
        }[_kind(y_true, y_pred)]
    else:
        loss = losses_module.get(identifier)
    if not isinstance(loss, losses_module.Loss):
        if not callable(loss):
            raise ValueError(
                "compile: loss must be a name, a Loss or a function of "
                f"(y_true, y_pred), got {identifier!r}"
            )
        name = identifier if isinstance(identifier, str) else object_name(loss)
        return losses_module.LossFunctionWrapper(loss, name=name)
    return loss


def make_metric(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """Return the Metric for a name, class, object or function."""
    if identifier is None:
        raise ValueError("compile: expected a metric, got None")
    if str(identifier).lower() in ("accuracy", "acc"):
        metric: Any = {
            "binary": metrics_module.BinaryAccuracy,
            "sparse": metrics_module.SparseCategoricalAccuracy,
            "categorical": metrics_module.CategoricalAccuracy,
        }[_kind(y_true, y_pred)](name=str(identifier))
    else:
        metric = metrics_module.get(identifier)
        if inspect.isclass(metric):
            metric = metric()
    name = identifier if isinstance(identifier, str) else object_name(metric)
    if not isinstance(metric, metrics_module.Metric):
        if not callable(metric):
            raise ValueError(
                "compile: a metric must be a name, a Metric or a function of "
                f"(y_true, y_pred), got {identifier!r}"
            )
        metric = metrics_module.MeanMetricWrapper(metric, name=name)
    metric.name = name
    return metric


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def is_nested(y_pred: Any) -> bool:
    """Return True for outputs in containers inside of containers."""
    parts = y_pred.values() if isinstance(y_pred, dict) else y_pred
    return _holds(y_pred) and any(_holds(part) for part in parts)


def _spread(spec: Any, structure: Any, what: str) -> list[Any]:
    """Return one entry of a nested `spec` for each leaf of a nested structure."""
    if not _holds(structure):
        return [spec]
    if spec is None or not _holds(spec):
        return [spec] * len(_tree.flatten(structure))
    if isinstance(structure, dict):
        if not isinstance(spec, dict) or spec.keys() - structure.keys():
            raise ValueError(
                f"compile: {what} must have the structure of the outputs, with keys "
                f"{', '.join(map(repr, sorted(structure)))}, got {spec!r}"
            )
        pairs = [(spec.get(key), structure[key]) for key in sorted(structure)]
    else:
        if len(spec) != len(structure):
            raise ValueError(
                f"compile: {what} must have the structure of the outputs, with "
                f"{len(structure)} entries, got {spec!r}"
            )
        pairs = list(zip(spec, structure, strict=True))
    return [entry for part in pairs for entry in _spread(*part, what)]


def _positions(spec: Any, structure: Any, first: int = 0) -> list[int]:
    """Return the numbers of the leaves of `structure` in the order of `spec`."""
    if not _holds(structure):
        return [first]
    dictionary = isinstance(structure, dict)
    keys = sorted(structure) if dictionary else list(range(len(structure)))
    starts = {}
    for key in keys:
        starts[key] = first
        first += len(_tree.flatten(structure[key]))
    entries: dict[Any, Any] = {}
    if isinstance(spec, dict) == dictionary and _holds(spec):
        entries = spec if dictionary else dict(enumerate(spec))
        keys = [*entries, *(key for key in keys if key not in entries)]
    parts = [_positions(entries.get(k), structure[k], starts[k]) for k in keys]
    return [number for part in parts for number in part]


def _loss_names(y_pred: Any, names: list[str], prefix: str = "") -> list[str]:
    """Return the names of the outputs' losses: nested ones with the way to them."""
    if not is_nested(y_pred):
        return [f"{prefix}{name}" for name in names]
    named: list[str] = []
    dictionary = isinstance(y_pred, dict)
    for key in sorted(y_pred) if dictionary else range(len(y_pred)):
        part, rest = y_pred[key], names[len(named) :]
        count = len(_tree.flatten(part))
        inside = f"{prefix}{key}/" if _holds(part) else prefix
        named += _loss_names(part, rest[:count], inside)
    return named


def _aligned(spec: Any, y_pred: Any, names: list[str], what: str) -> list[Any]:
    """Return one entry of `spec` for each output."""
    if is_nested(y_pred):
        return _spread(spec, y_pred, what)
    count = len(names)
    if isinstance(spec, dict):
        unknown = [k for k in spec if k not in names]
        if unknown:
            raise ValueError(
                f"compile: {what} has an entry for the output {unknown[0]!r}, but the "
                f"outputs are {', '.join(map(repr, names))}"
            )
        return [spec.get(name) for name in names]
    if isinstance(spec, list | tuple):
        if len(spec) != count:
            raise ValueError(
                f"compile: {what} has {len(spec)} entries, but the model has {count} "
                f"outputs ({', '.join(map(repr, names))})"
            )
        return list(spec)
    return [spec] * count


def output_names_of(y_pred: Any, declared: list[str] | None) -> list[str]:
    """Return a name for each output, in `_tree.flatten`'s order."""
    leaves = _tree.flatten(y_pred)
    if isinstance(y_pred, dict) and len(leaves) == len(y_pred):
        return sorted(y_pred)
    if declared is not None and len(declared) == len(leaves):
        return list(declared)
    return [f"output_{i}" for i in range(len(leaves))]


def targets_of(
    y: Any, y_pred: Any, names: list[str], losses: Sequence[Any] = ()
) -> list[Any]:
    """Return the targets in the order of the outputs.

    Args:
        y: targets: one for each output, or one for each output that has a loss.
        y_pred: outputs.
        names: names of the outputs.
        losses: what `compile` says about each output's loss; None for no loss.

    Raises:
        ValueError: if there are more or fewer targets than outputs.
    """
    if y is None:
        return [None] * len(names)
    if isinstance(y, dict) and not is_nested(y_pred):
        if not y.keys() - set(names):
            return [y.get(n) for n in names]
        if len(names) > 1:
            raise ValueError(
                f"y has an entry for {sorted(y.keys() - set(names))[0]!r}, but the "
                f"outputs are {', '.join(map(repr, names))}"
            )
    targets = _tree.flatten(y)
    if len(targets) == len(names):
        return targets
    with_loss = [i for i, loss in enumerate(losses) if loss is not None]
    if len(targets) != len(with_loss):
        raise ValueError(
            f"y has {len(targets)} arrays, but the model has {len(names)} outputs"
            + (f", {len(with_loss)} of them with a loss" if losses else "")
        )
    spread: list[Any] = [None] * len(names)
    for i, target in zip(with_loss, targets, strict=True):
        spread[i] = target
    return spread


class CompiledLoss:
    """The loss of `compile`: one Loss for each output, weighted and summed.

    Args:
        loss: name, Loss, function, or a list or dict of them for several outputs.
        loss_weights: factors, in the same form, or None.
        output_names: names of the outputs, or None.
        where: what to call the outputs in errors, for example the last layer.
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any = None,
        output_names: list[str] | None = None,
        where: str = "",
    ) -> None:
        self._user_loss = loss
        self._user_weights = loss_weights
        self._declared = output_names
        self.where = where
        self.built = False
        self.losses: list[Any] = []
        self.weights: list[float | None] = []
        self.names: list[str] = []
        self.trackers: list[Any] = []  # for each output a Mean, or None
        self.metrics: list[Any] = []  # those there are, as Keras orders them
        if not isinstance(loss, list | tuple | dict):
            make_loss_early(loss)

    def build(self, y: Any, y_pred: Any) -> None:
        """Resolve names by the shapes of targets and outputs."""
        outputs = _tree.flatten(y_pred)
        self.names = output_names_of(y_pred, self._declared)
        spec, weights = self._user_loss, self._user_weights
        if len(outputs) == 1:
            spec = _only(spec)
            weights = _only(weights)
        specs = _aligned(spec, y_pred, self.names, "loss")
        self.weights = _aligned(weights, y_pred, self.names, "loss_weights")
        targets = targets_of(y, y_pred, self.names, specs)
        for own, target, name in zip(specs, targets, self.names, strict=True):
            if own is not None and target is None and y is not None:
                raise ValueError(
                    f"y has no entry for the output {name!r}, which has a loss"
                )
        self.losses = [
            make_loss(s, t, p) if t is not None else None
            for s, t, p in zip(specs, targets, outputs, strict=True)
        ]
        if sum(loss is not None for loss in self.losses) > 1:
            self.trackers = [
                None if loss is None else metrics_module.Mean(name=f"{name}_loss")
                for name, loss in zip(
                    _loss_names(y_pred, self.names), self.losses, strict=True
                )
            ]
            found = [self.trackers[i] for i in _positions(spec, y_pred)]
            self.metrics = [tracker for tracker in found if tracker is not None]
        self.built = True

    def __call__(self, y: Any, y_pred: Any, sample_weight: Any, rows: Any) -> Any:
        """Return the total loss, or None when no output has a loss.

        Args:
            y: targets.
            y_pred: outputs.
            sample_weight: weights or None; one for all outputs or one for each.
            rows: number of samples (scalar).
        """
        if not self.built:
            self.build(y, y_pred)
        outputs = _tree.flatten(y_pred)
        targets = targets_of(y, y_pred, self.names, self.losses)
        weights = _weights_for(sample_weight, self.names)
        total = None
        trackers = self.trackers or [None] * len(outputs)
        for loss, factor, target, output, weight, tracker, name in zip(
            self.losses,
            self.weights,
            targets,
            outputs,
            weights,
            trackers,
            self.names,
            strict=True,
        ):
            if loss is None:
                continue
            try:
                value = loss(target, output, weight)
            except _core.ShapeError as error:
                where = f"output {name!r}" if len(outputs) > 1 else self.where
                if where:
                    error.args = (f"{error} (y_pred is the output of {where})",)
                raise
            if getattr(value, "ndim", 0) > 0:
                value = _core.mean(value, None, False)
            if tracker is not None:
                tracker.update_state(value, sample_weight=rows)
            if factor is not None:
                value = value * float(factor)
            total = value if total is None else total + value
        return total


def make_loss_early(identifier: Any) -> None:
    """Raise at compile time what `make_loss` would raise for an unknown name."""
    if isinstance(identifier, str) and identifier.lower() not in ("crossentropy", "ce"):
        losses_module.get(identifier)


def _only(spec: Any) -> Any:
    """Return the single entry of a spec that belongs to the only output."""
    if isinstance(spec, list | tuple) and len(spec) == 1:
        return spec[0]
    if isinstance(spec, dict) and len(spec) == 1:
        return next(iter(spec.values()))
    return spec


def _weights_for(sample_weight: Any, names: list[str]) -> list[Any]:
    if _holds(sample_weight) and is_nested(sample_weight):
        sample_weight = _tree.flatten(sample_weight)
    if isinstance(sample_weight, dict):
        return [sample_weight.get(n) for n in names]
    if isinstance(sample_weight, list | tuple):
        if len(sample_weight) != len(names):
            raise ValueError(
                f"sample_weight has {len(sample_weight)} arrays, but the model has "
                f"{len(names)} outputs"
            )
        return list(sample_weight)
    return [sample_weight] * len(names)


class CompiledMetrics:
    """The metrics of `compile`, plain and weighted, for each output.

    Args:
        metrics: list (or dict by output) of names, Metrics or functions, or None.
        weighted_metrics: the same, for those that see sample weights.
        output_names: names of the outputs, or None.
    """

    def __init__(
        self,
        metrics: Any,
        weighted_metrics: Any = None,
        output_names: list[str] | None = None,
    ) -> None:
        for name, value in (
            ("metrics", metrics),
            ("weighted_metrics", weighted_metrics),
        ):
            if value and not isinstance(value, list | tuple | dict):
                raise ValueError(
                    f"compile: {name} must be a list, tuple or dict, got "
                    f"{name}={value!r}. Write {name}=[{value!r}]."
                )
            for item in _tree.flatten(value) if value else []:
                if isinstance(item, str) and item.lower() not in ("accuracy", "acc"):
                    metrics_module.get(item)  # an unknown name is an error now
        self._user = (metrics, weighted_metrics)
        self._declared = output_names
        self.built = False
        self.names: list[str] = []
        # for plain and weighted: one list of metrics for each output
        self._groups: list[list[list[Any]]] = [[], []]

    @property
    def metrics(self) -> list[Any]:
        """All metric objects, the weighted ones last."""
        return [m for group in self._groups for output in group for m in output]

    def build(self, y: Any, y_pred: Any) -> None:
        """Resolve names by the shapes of targets and outputs."""
        outputs = _tree.flatten(y_pred)
        self.names = output_names_of(y_pred, self._declared)
        targets = targets_of(y, y_pred, self.names)
        for i, (spec, what) in enumerate(
            zip(self._user, ("metrics", "weighted_metrics"), strict=True)
        ):
            if not spec:
                self._groups[i] = [[] for _ in outputs]
                continue
            if len(outputs) == 1:
                per_output = [_tree.flatten(spec)]
            elif isinstance(spec, dict) or len(spec) in (len(outputs), len(y_pred)):
                per_output = [
                    [] if s is None else _tree.flatten(s)
                    for s in _aligned(spec, y_pred, self.names, what)
                ]
            else:
                raise ValueError(
                    f"compile: {what} must be a dict or a list with one entry for each "
                    f"of the {len(outputs)} outputs, got {spec!r}"
                )
            self._groups[i] = [
                [make_metric(m, t, p) for m in specs if t is not None]
                for specs, t, p in zip(per_output, targets, outputs, strict=True)
            ]
        self.built = True

    def update_state(self, y: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch to all metrics; the plain ones ignore the weights."""
        if not self.built:
            self.build(y, y_pred)
        outputs = _tree.flatten(y_pred)
        targets = targets_of(y, y_pred, self.names)
        weights = _weights_for(sample_weight, self.names)
        plain, weighted = self._groups
        for metrics, target, output in zip(plain, targets, outputs, strict=True):
            for metric in metrics:
                metric.update_state(target, output)
        for metrics, target, output, weight in zip(
            weighted, targets, outputs, weights, strict=True
        ):
            for metric in metrics:
                metric.update_state(target, output, sample_weight=weight)

    def result(self) -> dict[str, Any]:
        """Return the values by name; equal names are numbered."""
        values: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for group, weighted in zip(self._groups, (False, True), strict=True):
            for name, metrics in zip(self.names, group, strict=True):
                prefix = f"{name}_" if len(self.names) > 1 else ""
                for metric in metrics:
                    key = f"{prefix}{metric.name}"
                    if weighted and key in seen:
                        key = f"{prefix}weighted_{metric.name}"
                    if key in seen:
                        seen[key] += 1
                        key = f"{key}_{seen[key] - 1}"
                    else:
                        seen[key] = 1
                    values[key] = metric.result()
        return values

    def reset_state(self) -> None:
        """Start all metrics from the beginning."""
        for metric in self.metrics:
            metric.reset_state()
