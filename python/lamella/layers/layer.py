"""Layer: weights, a `call` written with ops, and everything Keras says about them."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._masking import any_masks, attach_masks, get_mask
from lamella._support import dtype_policy_name
from lamella.layers import _tree
from lamella.layers._context import call_context, current_path
from lamella.layers._inputs import convert_inputs
from lamella.layers._shapes import (
    as_shape,
    map_shapes,
    shape_without_batch,
    shapes_of,
    take_input_shape,
    weight_shape,
)
from lamella.layers.input_spec import InputSpec, check_inputs
from lamella.layers.operation import Operation, plain_arguments
from lamella.ops.symbolic import holds_placeholder
from lamella.variable import Variable, structure

__all__ = ["InputSpec", "Layer", "dtype_policy_config"]

_BASE_KEYS = ("name", "trainable", "dtype")


def dtype_policy_config(dtype: str) -> dict[str, Any]:
    """Return how Keras 3 writes a type in a layer's config."""
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": dtype},
        "registered_name": None,
    }


class Layer(Operation):
    """A part of a model: weights and the function that uses them.

    A subclass makes its weights in `build` (or sub-layers in `__init__`) and
    computes in `call` with `lamella.ops`. `call` runs once, on symbolic tensors;
    what it did is then run in C++. Python that looks at values (an `if` on a
    tensor) needs `compile(run_eagerly=True)`.

    Args:
        activity_regularizer: regularizer of the output, name or None.
        trainable: whether the weights may be trained. Default True.
        dtype: "float32" or "float64". Default `config.floatx()`.
        autocast: whether float inputs are cast to `dtype`. Default True.
        name: default: class name in snake case with a counter.
        **kwargs: `input_shape`, `batch_input_shape`, `input_dim`, `input_length`
            and `batch_size`, which give the first layer of a Sequential its input.

    Raises:
        ValueError: for an unknown keyword.

    Example:
        >>> import lamella as keras
        >>> class Scale(keras.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.w = self.add_weight(shape=(input_shape[-1],), name="w",
        ...                                  initializer="ones")
        ...     def call(self, x):
        ...         return x * self.w
        >>> Scale()([[1.0, 2.0]]).shape
        (1, 2)
    """

    # Attributes that may hold layers without making them parts of this layer.
    _untracked: frozenset[str] = frozenset()
    # Integer inputs stay integers (Embedding); others compute in floats.
    _keeps_integers = False

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        cls = type(self).__name__
        super().__init__(name=name)
        self._dtype = (
            dtype_policy_name()
            if dtype is None
            else config.standardize_dtype(dtype, cls)
        )
        self.autocast = bool(autocast)
        self._trainable = bool(trainable)
        self.built = False
        self.input_spec: Any = None
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self._own_variables: list[Variable] = []
        self._losses: list[Any] = []
        self._build_shape: Any = None
        self._build_shapes: dict[str, Any] = {}
        self._output_shape_seen: Any = None
        self.activity_regularizer: Any = None
        if activity_regularizer is not None:
            from lamella import regularizers

            self.activity_regularizer = regularizers.get(activity_regularizer)
        self._input_shape_arg = take_input_shape(kwargs)
        if kwargs:
            known = [
                p
                for p in inspect.signature(type(self).__init__).parameters
                if p[0] != "_"
            ]
            known += ["activity_regularizer", "trainable", "dtype", "name"]
            known += ["input_shape", "input_dim", "batch_input_shape"]
            unknown = next(iter(kwargs))
            raise ValueError(
                f"{cls}: unrecognized argument {unknown}={kwargs[unknown]!r}. "
                + config.near_names(
                    unknown, [k for k in known if k not in ("self", "kwargs", "args")]
                )
            )

    # -- what it is ----------------------------------------------------------

    @property
    def dtype(self) -> str:
        """Type of the weights and of the computation."""
        return self._dtype

    @property
    def compute_dtype(self) -> str:
        """Type of the computation (the same as `dtype`)."""
        return self._dtype

    @property
    def variable_dtype(self) -> str:
        """Type of the weights (the same as `dtype`)."""
        return self._dtype

    @property
    def input_dtype(self) -> str:
        """Type that float inputs are cast to (the same as `dtype`)."""
        return self._dtype

    @property
    def dtype_policy(self) -> Any:
        """The type as a DTypePolicy; may be set before the weights are made."""
        from lamella.dtype_policies import DTypePolicy

        return DTypePolicy(self._dtype)

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        from lamella import dtype_policies

        self._dtype = dtype_policies.get(value).name

    @property
    def quantization_mode(self) -> None:
        """Always None: lamella does not quantize."""
        return

    def quantize(self, mode: Any = None, type_check: bool = True, **_: Any) -> None:
        """Refused: lamella computes in float32 and float64."""
        raise NotImplementedError(
            f"{self._who()}: lamella does not quantize, got quantize(mode={mode!r}). "
            "float32 is its smallest type."
        )

    @property
    def path(self) -> str:
        """Names from the outermost layer to this one, joined by '/'."""
        return self.__dict__.get("_path") or self.name

    def __repr__(self) -> str:
        state = "" if self.__dict__.get("built") else ", built=False"
        return f"<{type(self).__name__} name={self.__dict__.get('name')}{state}>"

    def _check_initialized(self) -> None:
        if "_own_variables" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}: super().__init__() was not called. Call it "
                "first thing in __init__, before any other attribute is set."
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if "_own_variables" not in self.__dict__ and isinstance(
            value, Layer | Variable
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
    def _layers(self) -> list[Layer]:
        """Sub-layers, in the order in which they became attributes."""
        found: list[Layer] = []
        seen: set[int] = {id(self)}

        def collect(value: Any, depth: int) -> None:
            if isinstance(value, Layer):
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

    def _flatten_layers(self, include_self: bool = True) -> Iterator[Layer]:
        """Yield this layer and all below it, each once."""
        seen: set[int] = set()

        def walk(layer: Layer) -> Iterator[Layer]:
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

    # -- building ------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for an input of this shape; subclasses override it."""
        if type(self).build is Layer.build and input_shape is not None:
            self._build_by_tracing(input_shape)
        self.built = True

    def _build_by_tracing(self, input_shape: Any) -> None:
        """Build sub-layers by running `call` once on symbolic inputs."""
        if not any(not layer.built for layer in self._layers):
            return
        try:
            self._trace_shape(input_shape)
        finally:
            self._clear_losses()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every `build` record its shape and run in its layer's name scope."""
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_") and "Args:" not in (cls.__doc__ or ""):
            _inherit_arguments(cls)
        if "build" in cls.__dict__:
            cls.build = _wrap_build(cls.__dict__["build"])  # type: ignore[method-assign]

    def _build_once(self, input_shape: Any) -> None:
        """Run `build`, whether or not it takes the input shape."""
        if inspect.signature(self.build).parameters:
            self.build(input_shape)
        else:
            self.build()

    def _build_for_call(self, first: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        """Build for these arguments of `call`.

        A `build` with several arguments gets the shape of the argument `query` of
        `call` as `query_shape`, and so on; others get the shape of the first.
        """
        names = list(inspect.signature(self.build).parameters)
        if len(names) > 1:
            given = dict(zip(self._call_parameters(), (self, *args), strict=False))
            given.update(kwargs)
            shapes = {
                f"{name}_shape": shapes_of(value)
                for name, value in given.items()
                if _holds_tensors(value)
            }
            shapes = {name: shapes[name] for name in names if name in shapes}
            if names[0] in shapes:
                self.build(**shapes)
                return
        self._build_once(shapes_of(first))

    def _trace_shape(self, input_shape: Any, training: bool = False) -> Any:
        """Return the shape(s) of `call`'s outputs, found by tracing it."""
        graph = _core.Graph()
        dtype = self._symbolic_dtype()
        with graph:
            names = iter(range(1 << 20))
            inputs = map_shapes(
                lambda s: graph.input(f"x{next(names)}", tuple(s), dtype), input_shape
            )
            kwargs: dict[str, Any] = {}
            if "training" in self._call_parameters():
                kwargs["training"] = training
            outputs = self.call(inputs, **kwargs)
        return _tree.map_structure(lambda t: tuple(t.shape), outputs)

    def _symbolic_dtype(self) -> str:
        return "int32" if self._keeps_integers else self._dtype

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output for an input of this shape."""
        if not self.built:
            self._build_once(as_shape(input_shape))
        try:
            return self._trace_shape(as_shape(input_shape))
        finally:
            self._clear_losses()

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the input shape that the layer was built with, or None."""
        if self._build_shape is None:
            return None
        if len(self._build_shapes) > 1:
            return {"shapes_dict": self._build_shapes}
        return {"input_shape": self._build_shape}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer as `get_build_config` described."""
        if not config or self.built:
            return
        if config.get("input_shape") is not None:
            self._build_once(as_shape(config["input_shape"]))
        elif config.get("shapes_dict") is not None:
            shapes = config["shapes_dict"]
            self.build(**{k: v and as_shape(v) for k, v in shapes.items()})

    # -- calling -------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every layer overrides it."""
        raise NotImplementedError(
            f"{type(self).__name__}: a layer needs a method call(self, inputs)"
        )

    @classmethod
    def _call_parameters(cls) -> Mapping[str, inspect.Parameter]:
        cached = cls.__dict__.get("_call_signature")
        if cached is None:
            cached = inspect.signature(cls.call).parameters
            cls._call_signature = cached  # type: ignore[attr-defined]
        return cached

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Build the layer if needed and compute its output.

        Args:
            *args: arguments of `call`; the first is the input: Tensor, array, list.
            **kwargs: arguments of `call`; `training` reaches inner layers.
        """
        self._check_initialized()
        if holds_placeholder(args) or (kwargs and holds_placeholder(kwargs)):
            return self.symbolic_call(*args, **kwargs)
        if not args and not kwargs:
            raise TypeError(f"{self._who()}: it was called without an input")
        context = call_context
        args = tuple(convert_inputs(self, a) for a in args)
        kwargs = {
            k: convert_inputs(self, v) if isinstance(v, np.ndarray) else v
            for k, v in kwargs.items()
        }
        first = args[0] if args else next(iter(kwargs.values()), None)
        outermost = context.depth == 0
        if outermost:
            self._clear_losses()
        if self.input_spec is not None:
            check_inputs(self.input_spec, first, self._who())
        parameters = self._call_parameters()
        saved_training = context.training
        context.depth += 1
        try:
            if not self.built:
                self._build_for_call(first, args, kwargs)
                if self.input_spec is not None:
                    check_inputs(self.input_spec, first, self._who())
            training = kwargs.get("training")
            if training is None:
                training = context.training
            if training is None and "training" in parameters:
                default = parameters["training"].default
                training = None if default is inspect.Parameter.empty else default
            if "training" in parameters and not (
                len(args) > 1 and list(parameters).index("training") <= len(args)
            ):
                kwargs["training"] = training
            elif "training" in kwargs and not any(
                p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
            ):
                del kwargs["training"]
            context.training = training
            mask = None
            if any_masks() or "mask" in kwargs:
                kwargs.update(self._masks_for(args, kwargs))
                mask = kwargs.get("mask")
                if mask is None:
                    mask = _tree.map_structure(get_mask, first)
            context.path.append(self.name)
            graph = _core.current_graph()
            try:
                if graph is None:
                    outputs = self._call_eagerly(args, kwargs)
                else:
                    with graph.scope(self.name):
                        outputs = self.call(*args, **kwargs)
                        self._add_activity_loss(outputs)
            finally:
                context.path.pop()
        finally:
            context.training = saved_training
            context.depth -= 1
        if outputs is None:
            raise ValueError(
                f"{self._who()}: call returned None. Does it end with a return?"
            )
        if self.supports_masking:
            self._mask_outputs(first, mask, outputs)
        elif mask is not None and any(m is not None for m in _tree.flatten(mask)):
            warnings.warn(
                f"{self._who()}: it got an input with a mask, but does not support "
                "masking, so the layers behind it see no mask.",
                stacklevel=2,
            )
        self._output_shape_seen = _tree.map_structure(shape_without_batch, outputs)
        return outputs

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Note a call on placeholders; return placeholders of the outputs."""
        from lamella.models.functional import symbolic_call

        return symbolic_call(self, args, kwargs)

    def _call_for_spec(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self(*args, **kwargs)
        finally:
            self._clear_losses()

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Call the layer with other values of its variables, and change none of them.

        Args:
            trainable_variables: values for `trainable_variables`, in order.
            non_trainable_variables: values for `non_trainable_variables`.
            *args: arguments of `call`.
            return_losses: whether the losses are returned too.
            **kwargs: arguments of `call`.

        Returns:
            (outputs, new values of the non-trainable variables), and with
            return_losses a list of the losses as third.

        Raises:
            ValueError: if the layer is not built, or the numbers of values differ.
        """
        from lamella.scopes import StatelessScope

        if not self.built:
            raise ValueError(
                f"{self._who()}: stateless_call needs a built layer. Call it on data "
                "or use build(input_shape)."
            )
        mapping: list[tuple[Variable, Any]] = []
        for what, own, values in (
            ("trainable_variables", self.trainable_variables, trainable_variables),
            (
                "non_trainable_variables",
                self.non_trainable_variables,
                non_trainable_variables,
            ),
        ):
            if len(own) != len(values):
                raise ValueError(
                    f"{self._who()}: stateless_call expected {len(own)} values as "
                    f"{what}, got {len(values)}"
                )
            mapping.extend(zip(own, values, strict=True))
        with StatelessScope(mapping, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = list(self.losses) if return_losses else []
        state = [scope.get_current_value(v) for v in self.non_trainable_variables]
        return (outputs, state, losses) if return_losses else (outputs, state)

    def _call_eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            outputs = self.call(*args, **kwargs)
            self._add_activity_loss(outputs)
        except (_core.ShapeError, _core.DTypeError) as error:
            if "_layer_named" not in error.__dict__:
                error.args = (f"{self._who()}: {error}", *error.args[1:])
                error.__dict__["_layer_named"] = True
            raise
        return outputs

    # -- masks ---------------------------------------------------------------

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the output; by default that of the input.

        Args:
            inputs: first argument of `call`.
            previous_mask: its mask, None, or a structure of these as of the inputs.
        """
        del inputs
        return previous_mask

    def _masks_for(self, args: tuple[Any, ...], kwargs: Any) -> dict[str, Any]:
        """Return the mask arguments that `call` takes and nobody has given.

        A call with one tensor argument gets its mask as `mask`; one with several,
        the mask of `value` as `value_mask`, and so on.
        """
        parameters = self._call_parameters()
        if not any(name.endswith("mask") for name in parameters):
            return {}
        given = dict(zip(list(parameters)[1:], args, strict=False))
        given.update(kwargs)
        tensors = {k: v for k, v in given.items() if _holds_tensors(v)}
        if len(tensors) == 1:
            mask_names = {"mask": next(iter(tensors))}
        else:
            mask_names = {f"{name}_mask": name for name in tensors}
        found = {}
        for name, source in mask_names.items():
            if name in parameters and given.get(name) is None:
                mask = _tree.map_structure(get_mask, tensors[source])
                if any(m is not None for m in _tree.flatten(mask)):
                    found[name] = mask
        return found

    def _mask_outputs(self, inputs: Any, mask: Any, outputs: Any) -> None:
        if mask is None and type(self).compute_mask is Layer.compute_mask:
            return
        if isinstance(outputs, list | tuple | dict) or get_mask(outputs) is None:
            attach_masks(outputs, self.compute_mask(inputs, mask))

    @property
    def _input_dtype(self) -> str:
        """The type that float inputs are cast to."""
        return self._dtype

    def _as_float(self, x: Any) -> Any:
        """Return `x` in the layer's float type (integers and bools are cast)."""
        return x if config.is_float_dtype(x.dtype) else _core.cast(x, self._dtype)

    # -- losses --------------------------------------------------------------

    def add_loss(self, loss: Any) -> None:
        """Add a scalar (or a list of them) to the loss; call it inside `call`."""
        for value in _tree.flatten(loss):
            if not isinstance(value, _core.Tensor):
                raise ValueError(
                    f"{self._who()}: add_loss expected a tensor made inside call(), "
                    f"got {value!r}"
                )
            self._losses.append(value)

    def _add_activity_loss(self, outputs: Any) -> None:
        if self.activity_regularizer is None:
            return
        for output in _tree.flatten(outputs):
            loss = self.activity_regularizer(output)
            if output.ndim > 0:
                loss = loss / batch_size_of(output)
            self.add_loss(loss)

    def _clear_losses(self) -> None:
        self._losses.clear()
        for layer in self._layers:
            layer._clear_losses()

    def _regularization_losses(self) -> list[Any]:
        return [
            v.regularizer(v.value)
            for v in self.trainable_weights
            if v.regularizer is not None
        ]

    @property
    def losses(self) -> list[Any]:
        """Losses of the last call (add_loss, activities), then of the weights."""
        found = list(self._losses)
        for layer in self._flatten_layers(include_self=False):
            found.extend(layer._losses)
        return found + self._regularization_losses()

    # -- configuration -------------------------------------------------------

    def __reduce__(self) -> Any:
        from lamella.saving.pickling import reduce_layer

        return reduce_layer(self)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make an equal, unbuilt layer."""
        base: dict[str, Any] = {
            "name": self.name,
            "trainable": self._trainable,
            "dtype": dtype_policy_config(self._dtype),
        }
        if self.activity_regularizer is not None:
            from lamella import regularizers

            base["activity_regularizer"] = regularizers.serialize(
                self.activity_regularizer
            )
        if "get_config" not in _overrides(type(self)):
            base.update(plain_arguments(self, _BASE_KEYS))
        return base

    # -- what it was called with ---------------------------------------------

    @property
    def input_shape(self) -> Any:
        """Shape that the layer was built for, the batch axis being None."""
        if self._build_shape is None:
            raise AttributeError(
                f"{self._who()}: it has no input shape yet; build or call it first"
            )
        return map_shapes(lambda s: (None, *s[1:]), self._build_shape)

    @property
    def output_shape(self) -> Any:
        """Shape of the output, the batch axis being None."""
        if self._output_shape_seen is None:
            raise AttributeError(
                f"{self._who()}: it has no output shape yet; call it first"
            )
        return self._output_shape_seen


def _inherit_arguments(cls: type) -> None:
    """Append the sections of a private base's docstring to a one-line docstring."""
    for base in cls.__mro__[1:]:
        if base is Layer:
            return
        if base.__name__.startswith("_") and "Args:" in (
            base.__dict__["__doc__"] or ""
        ):
            text = base.__dict__["__doc__"].partition("\n")[2]
            cls.__doc__ = f"{cls.__doc__ or ''}\n{text}"
            return


def _wrap_build(build: Any) -> Any:
    """Return `build` with the bookkeeping around it."""

    @functools.wraps(build)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        self._check_initialized()
        if self.__dict__.get("_building"):  # super().build(...) inside build
            build(self, *args, **kwargs)
            return
        shape = args[0] if args else next(iter(kwargs.values()), None)
        self._building = True
        self._path = "/".join([*call_context.path, self.name])
        call_context.path.append(self.name)
        try:
            build(self, *args, **kwargs)
        finally:
            call_context.path.pop()
            self._building = False
        if shape is not None:
            self._build_shape = as_shape(shape)
            self._build_shapes = {
                k: as_shape(v)
                for k, v in kwargs.items()
                if isinstance(v, list | tuple | dict)
            }
        self.built = True

    return wrapper


Layer.build = _wrap_build(Layer.build)  # type: ignore[method-assign]


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


def batch_size_of(x: Any) -> Any:
    """Return the number of rows of `x` as a scalar of a float type."""
    dtype = x.dtype if config.is_float_dtype(x.dtype) else config.floatx()
    rows = x.dims[0]
    if isinstance(rows, int):
        return float(rows)
    return _core.sum(_core.full((rows,), 1.0, dtype))


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


def _holds_tensors(value: Any) -> bool:
    """Return True for a tensor, a placeholder or a structure of them and None."""
    if isinstance(value, list | tuple | dict):
        leaves = _tree.flatten(value)
        return any(x is not None for x in leaves) and all(
            x is None or _holds_tensors(x) for x in leaves
        )
    return isinstance(value, _core.Tensor) or getattr(value, "_is_placeholder", False)


def _overrides(cls: type) -> set[str]:
    """Return the names that classes below Layer define."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base is Layer:
            break
        names.update(base.__dict__)
    return names
