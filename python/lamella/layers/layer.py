"""Layer: weights, a `call` written with ops, and everything Keras says about them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._masking import any_masks, attach_masks, get_mask
from lamella._support import dtype_policy_name
from lamella.layers import _tree
from lamella.layers._building import Buildable, holds_tensors
from lamella.layers._context import call_context
from lamella.layers._inputs import convert_inputs
from lamella.layers._shapes import (
    shape_without_batch,
    take_input_shape,
)
from lamella.layers.input_spec import InputSpec, check_inputs
from lamella.layers.operation import plain_arguments
from lamella.ops.symbolic import holds_placeholder
from lamella.variable import Variable

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


class Layer(Buildable):
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

    # -- calling -------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every layer overrides it."""
        raise NotImplementedError(
            f"{type(self).__name__}: a layer needs a method call(self, inputs)"
        )

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
        tensors = {k: v for k, v in given.items() if holds_tensors(v)}
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


def batch_size_of(x: Any) -> Any:
    """Return the number of rows of `x` as a scalar of a float type."""
    dtype = x.dtype if config.is_float_dtype(x.dtype) else config.floatx()
    rows = x.dims[0]
    if isinstance(rows, int):
        return float(rows)
    return _core.sum(_core.full((rows,), 1.0, dtype))


def _overrides(cls: type) -> set[str]:
    """Return the names that classes below Layer define."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base is Layer:
            break
        names.update(base.__dict__)
    return names
