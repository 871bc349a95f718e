"""What a layer owns: weights, sub-layers, metrics, and the arrays they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lamella import config
from lamella.layers._context import current_path
from lamella.layers._shapes import weight_shape
from lamella.layers.operation import Operation
from lamella.variable import Variable, structure

__all__ = ["Weighted"]


class Weighted(Operation):
    """The part of Layer that finds and keeps weights; only Layer derives from it."""

    # Attributes that may hold layers without making them parts of this layer.
    _untracked: frozenset[str] = frozenset()
    _own_variables: list[Variable]
    _losses: list[Any]
    _trainable: bool
    _dtype: str

    def _check_initialized(self) -> None:
        if "_own_variables" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}: super().__init__() was not called. Call it "
                "first thing in __init__, before any other attribute is set."
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if "_own_variables" not in self.__dict__ and isinstance(
            value, Weighted | Variable
        ):
            self._check_initialized()
        if name == "trainable":
            pass
        elif isinstance(value, Variable):
            self._track_variable(value)
        if (
            name not in self._untracked
            and name not in _INTERNAL
            and (
                type(value) not in _PLAIN or type(self.__dict__.get(name)) not in _PLAIN
            )
        ):
            structure.version += 1
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        structure.version += 1
        super().__delattr__(name)

    def _track_variable(self, variable: Variable) -> None:
        if all(v is not variable for v in self._own_variables):
            self._own_variables.append(variable)
            structure.version += 1

    def _tracked_values(self) -> list[Any]:
        """Return the attributes in which layers and metrics are looked for."""
        skipped = self._untracked
        return [
            value
            for key, value in self.__dict__.items()
            if type(value) not in _PLAIN and key not in skipped and key not in _INTERNAL
        ]

    # -- its parts -----------------------------------------------------------

    @property
    def _layers(self) -> list[Any]:
        """Sub-layers, in the order in which they became attributes."""
        found: list[Any] = []
        seen: set[int] = {id(self)}

        def collect(value: Any, depth: int) -> None:
            if isinstance(value, Weighted):
                if id(value) not in seen:
                    seen.add(id(value))
                    found.append(value)
            elif isinstance(value, list | tuple) and depth < 4:
                for item in value:
                    collect(item, depth + 1)
            elif isinstance(value, dict) and depth < 4:
                for item in value.values():
                    collect(item, depth + 1)

        for value in self._tracked_values():
            collect(value, 0)
        return found

    def _flatten_layers(self, include_self: bool = True) -> Iterator[Any]:
        """Yield this layer and all below it, each once."""
        seen: set[int] = set()

        def walk(layer: Any) -> Iterator[Any]:
            for sub in layer._layers:
                if id(sub) not in seen:
                    seen.add(id(sub))
                    yield sub
                    yield from walk(sub)

        seen.add(id(self))
        if include_self:
            yield self
        yield from walk(self)

    @property
    def _metrics(self) -> list[Any]:
        """Metrics that were set as attributes."""
        from lamella.metrics import Metric

        found: list[Any] = []
        for value in self._tracked_values():
            items = value if isinstance(value, list | tuple) else [value]
            found.extend(m for m in items if isinstance(m, Metric))
        return found

    @property
    def metrics_variables(self) -> list[Any]:
        """Variables of all metrics."""
        return [v for metric in self.metrics for v in metric.variables]

    @property
    def metrics(self) -> list[Any]:
        """Metrics of this layer and of its sub-layers."""
        found = self._metrics
        for layer in self._layers:
            found.extend(layer.metrics)
        return found

    @property
    def _seed_variables(self) -> list[Any]:
        found = []
        for value in self._tracked_values():
            state = getattr(value, "state", None)
            if type(value).__name__ == "SeedGenerator" and state is not None:
                found.append(state)
        return found

    def _ordered_variables(self) -> list[Variable]:
        """Own weights, the ones made trainable first, as Keras orders them."""
        own = self._own_variables
        return [v for v in own if _made_trainable(v)] + [
            v for v in own if not _made_trainable(v)
        ]

    @property
    def weights(self) -> list[Variable]:
        """Weights of this layer, then of its sub-layers."""
        return _unique(self._walk_weights())

    def _walk_weights(self) -> Iterator[Variable]:
        yield from self._ordered_variables()
        for layer in self._layers:
            yield from layer.weights

    @property
    def variables(self) -> list[Variable]:
        """Weights and the states of random generators."""
        found = [*self._ordered_variables(), *self._seed_variables]
        for layer in self._layers:
            found.extend(layer.variables)
        return _unique(found)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes; empty when `trainable` is False."""
        if not self._trainable:
            return []
        return [v for v in self.weights if v.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves alone."""
        trainable = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """All other variables."""
        trainable = {id(v) for v in self.trainable_weights}
        return [v for v in self.variables if id(v) not in trainable]

    @property
    def trainable(self) -> bool:
        """Whether training may change the weights; setting it reaches sub-layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = bool(value)
        self._trainable = value
        structure.version += 1
        for variable in self._own_variables:
            if _made_trainable(variable):
                variable.trainable = value
        for layer in self._layers:
            layer.trainable = value

    # -- weights -------------------------------------------------------------

    def add_weight(
        self,
        shape: Sequence[int] | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Make a weight of this layer and return it.

        Args:
            shape: tuple of ints; default () (a scalar).
            initializer: name, Initializer or callable; default Glorot uniform for
                floats, zeros otherwise.
            dtype: default: the layer's.
            trainable: whether optimizers may change it. Default True.
            autocast: accepted for Keras's sake.
            regularizer: name, Regularizer or None: its value joins the loss.
            constraint: name, Constraint or None: applied after every update.
            aggregation: accepted for Keras's sake.
            overwrite_with_gradient: must be False.
            name: default "variable", ...
        """
        from lamella import constraints, initializers, regularizers

        self._check_initialized()
        if isinstance(shape, str):  # Keras 2: add_weight(name, shape=...)
            raise ValueError(
                f"{self._who()}: add_weight's first argument is the shape, got "
                f"{shape!r}. Write add_weight(shape=..., name={shape!r})."
            )
        if overwrite_with_gradient:
            raise ValueError(
                f"{self._who()}: add_weight(overwrite_with_gradient=True) is not "
                "supported"
            )
        shape = weight_shape(() if shape is None else shape, self._who(), name)
        dtype = config.standardize_dtype(dtype or self._dtype, self._who())
        if initializer is None:
            initializer = "glorot_uniform" if config.is_float_dtype(dtype) else "zeros"
        initializer = initializers.get(initializer)
        variable = Variable(
            initializer, shape=shape, dtype=dtype, trainable=trainable, name=name
        )
        variable._made_trainable = bool(trainable)  # type: ignore[attr-defined]
        scope = current_path()
        if not scope.endswith(self.name):
            scope = f"{scope}/{self.name}" if scope else self.name
        variable._path = f"{scope}/{variable.name}"
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        if trainable and not self._trainable:
            variable.trainable = False
        self._track_variable(variable)
        return variable

    def add_variable(self, shape: Any, initializer: Any, **kwargs: Any) -> Variable:
        """Make a weight; the old name of `add_weight`."""
        return self.add_weight(shape, initializer, **kwargs)

    def add_metric(self, *args: Any, **kwargs: Any) -> None:
        """Refused, as in Keras 3: make the metric in __init__ and update it in call."""
        raise NotImplementedError(
            f"{self._who()}: Layer has no add_metric. Make the metric in __init__ "
            "(self.metric = ...) and call self.metric.update_state(...) in call."
        )

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in the order of `weights`."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights from arrays in the order of `get_weights`.

        Raises:
            ValueError: if the number of arrays or a shape differs; nothing is
                changed then.
        """
        weights = list(weights)
        variables = self.weights
        if len(weights) != len(variables):
            shapes = ", ".join(f"{v.path} {v.shape}" for v in variables) or "none"
            hint = "" if self.built else " The layer is not built yet: call it first."
            raise ValueError(
                f"{self._who()}: set_weights expected {len(variables)} arrays, got "
                f"{len(weights)}. The weights are: {shapes}.{hint}"
            )
        arrays = []
        for variable, value in zip(variables, weights, strict=True):
            array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
            if array.shape != variable.shape:
                raise ValueError(
                    f"{self._who()}: set_weights expected shape {variable.shape} for "
                    f"{variable.path!r}, got {array.shape}"
                )
            arrays.append(array)
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    def count_params(self) -> int:
        """Return the number of scalars in all weights.

        Raises:
            ValueError: if the layer is not built.
        """
        if not self.built:
            raise ValueError(
                f"{self._who()}: count_params needs a built layer. Call it on data or "
                "use build(input_shape)."
            )
        return sum(math.prod(v.shape) for v in self.weights)

    def save_own_variables(self, store: Any) -> None:
        """Write this layer's own weights to `store["0"]`, `store["1"]`, ..."""
        for i, variable in enumerate(self._ordered_variables()):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote.

        Raises:
            ValueError: if the number of arrays or a shape differs.
        """
        variables = self._ordered_variables()
        if len(store.keys()) != len(variables):
            if variables == [] and not self.built:
                hint = "The layer is not built: build the model before loading."
            else:
                hint = "The file belongs to another architecture."
            raise ValueError(
                f"{self._who()}: the file holds {len(store.keys())} weights, expected "
                f"{len(variables)}. {hint}"
            )
        for i, variable in enumerate(variables):
            array = np.asarray(store[str(i)])
            if array.shape != variable.shape:
                raise ValueError(
                    f"{self._who()}: expected shape {variable.shape} for "
                    f"{variable.path!r}, the file has {array.shape}"
                )
            variable.assign(array)

    def _clear_losses(self) -> None:
        self._losses.clear()
        for layer in self._layers:
            layer._clear_losses()


_INTERNAL = frozenset(
    {
        "_own_variables",
        "_losses",
        "_init_arguments",
        "_build_shape",
        "_build_shapes",
        "_output_shape_seen",
        "_parts",
        "input_spec",
    }
)
# Values of these types hold no layers.
_PLAIN = frozenset({bool, int, float, str, type(None)})


def _made_trainable(variable: Variable) -> bool:
    return getattr(variable, "_made_trainable", variable.trainable)


def _unique(variables: Any) -> list[Any]:
    seen: set[int] = set()
    result = []
    for v in variables:
        if id(v) not in seen:
            seen.add(id(v))
            result.append(v)
    return result
