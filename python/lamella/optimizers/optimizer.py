"""Optimizer: Keras's face of the fused optimizers of the core."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lamella import _core, _support, config
from lamella.optimizers.schedules import LearningRateSchedule
from lamella.variable import Variable

__all__ = ["Optimizer"]


def _wrapped(core: Any, name: str, path: str) -> Variable:
    """A Variable that shows one of the core's own."""
    variable = Variable.__new__(Variable)
    variable._core = core
    variable.name = name
    variable._path = path
    variable.regularizer = None
    variable.constraint = None
    return variable


class Optimizer:
    """Base class of optimizers; use one of SGD, Adam, ...

    The update itself runs in C++, fused over all weights. The arguments of an
    optimizer are fixed when it is made; only the learning rate can change.

    Args:
        learning_rate: a number or a LearningRateSchedule.
        weight_decay: each step subtracts learning_rate * weight_decay * weight before
            the update; None for no decay.
        clipnorm: largest Euclidean norm of the gradient of each weight.
        clipvalue: largest absolute value of the gradients.
        global_clipnorm: largest Euclidean norm of all gradients together.
        use_ema: moving averages of the weights; not supported, must be False.
        ema_momentum: has a meaning with use_ema only.
        ema_overwrite_frequency: has a meaning with use_ema only.
        loss_scale_factor: not supported (float16 is not), must be None.
        gradient_accumulation_steps: not supported, must be None.
        name: name of the optimizer.

    Raises:
        ValueError: an argument is out of range or not supported, or more than one of
            the three ways to clip is given.
    """

    # Set by subclasses: the kind of the core, its hyper-parameters, the names of the
    # slots in Keras's order: groups that are interleaved per weight.
    _kind: str | None = None
    _hyper: tuple[str, ...] = ()
    _started = False

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **hyper: Any,
    ) -> None:
        owner = type(self).__name__
        if self._kind is None:
            raise ValueError(
                f"{owner}: an optimizer must be one of the built-in ones; update rules "
                "written in Python are not supported"
            )
        unknown = sorted(set(hyper) - set(self._hyper))
        if unknown:
            raise ValueError(
                f"{owner}: unknown argument {unknown[0]!r}. "
                f"{config.near_names(unknown[0], [*_SHARED, *self._hyper])}"
            )
        unsupported = {
            "use_ema": use_ema or None,
            "loss_scale_factor": loss_scale_factor,
            "gradient_accumulation_steps": gradient_accumulation_steps,
        }
        for argument, value in unsupported.items():
            if value is not None:
                raise ValueError(
                    f"{owner}: {argument} is not supported by lamella, got "
                    f"{argument}={value}; leave it out"
                )
        clips = {
            "clipnorm": clipnorm,
            "clipvalue": clipvalue,
            "global_clipnorm": global_clipnorm,
        }
        given = {key: value for key, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(
                f"{owner}: only one of clipnorm, clipvalue and global_clipnorm can be "
                f"set, got {', '.join(f'{k}={v}' for k, v in given.items())}"
            )
        for key, value in given.items():
            if not value > 0:
                raise ValueError(f"{owner}: {key} must be positive, got {key}={value}")
        if weight_decay is not None and not weight_decay >= 0:
            raise ValueError(
                f"{owner}: weight_decay must be >= 0, got weight_decay={weight_decay}"
            )
        self.name = name or config.auto_name(owner)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = False
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = None
        self.gradient_accumulation_steps = None
        for key in self._hyper:
            setattr(self, key, hyper[key])
        self.built = False
        self._trainable_variables: list[Variable] = []
        self._index: dict[int, int] = {}
        self._slots: list[Variable] = []
        self._excluded: tuple[set[int], Any] = (set(), None)
        self._core = _core.Optimizer(self._kind, **self._core_arguments())
        self._iterations = _wrapped(
            self._core.iterations, "iteration", f"{self.name}/iteration"
        )
        self._learning_rate = _wrapped(
            self._core.learning_rate, "learning_rate", f"{self.name}/learning_rate"
        )
        self._schedule: LearningRateSchedule | None = None
        if isinstance(learning_rate, LearningRateSchedule):
            self._schedule = learning_rate
        else:
            self._set_rate(learning_rate)
        self._started = True

    def _core_arguments(self) -> dict[str, Any]:
        given = {
            "weight_decay": self.weight_decay,
            "clip_norm": self.clipnorm,
            "clip_value": self.clipvalue,
            "global_clip_norm": self.global_clipnorm,
        }
        arguments = {k: float(v) for k, v in given.items() if v is not None}
        return {**arguments, **{key: getattr(self, key) for key in self._hyper}}

    def __setattr__(self, name: str, value: Any) -> None:
        if self._started and name in (*_FIXED, *self._hyper):
            raise AttributeError(
                f"{type(self).__name__}: {name} is fixed when the optimizer is made; "
                f"make a new one with {name}={value!r}"
            )
        super().__setattr__(name, value)

    # The learning rate.

    def _set_rate(self, value: Any) -> None:
        owner = type(self).__name__
        if callable(value) and not hasattr(value, "dtype"):
            raise ValueError(
                f"{owner}: learning_rate must be a number or a LearningRateSchedule, "
                f"got {value!r}; write a function of the step as a subclass of "
                "optimizers.schedules.LearningRateSchedule"
            )
        try:
            rate = float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"{owner}: learning_rate must be a number or a LearningRateSchedule, "
                f"got learning_rate={value!r}"
            ) from None
        if not rate >= 0:
            raise ValueError(
                f"{owner}: learning_rate must be >= 0, got learning_rate={rate}"
            )
        self._learning_rate.assign(np.float32(rate))

    @property
    def learning_rate(self) -> Any:
        """The rate of the next step: a Variable, or the tensor a schedule gives."""
        if self._schedule is not None:
            return self._schedule(self._iterations)
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule):
            self._schedule = value
        elif self._schedule is not None:
            raise TypeError(
                f"{type(self).__name__}: the learning rate follows a schedule, so it "
                "cannot be set to a number; make the optimizer with a number instead"
            )
        else:
            self._set_rate(value)

    @property
    def iterations(self) -> Variable:
        """Number of steps so far (int64)."""
        return self._iterations

    def _trace_learning_rate(self, graph: Any) -> None:
        """Make a schedule part of a traced training step."""
        if self._schedule is not None:
            from lamella.ops.conversion import cast

            rate = self._schedule(self._iterations)
            graph.set_learning_rate(cast(rate, "float32"))

    # Variables.

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the state for a list of weights; a second call changes nothing."""
        if self.built:
            return
        self._trainable_variables = list(variables)
        self._index = {id(v): i for i, v in enumerate(self._trainable_variables)}
        cores = [_core_of(v) for v in self._trainable_variables]
        self._core.build(cores)
        excluded = [
            core
            for core, v in zip(cores, self._trainable_variables, strict=True)
            if self._is_excluded(v)
        ]
        if excluded:
            self._core.exclude_from_weight_decay(excluded)
        self._slots = self._slots_in_order()
        self.built = True

    def _slots_in_order(self) -> list[Variable]:
        rows = list(self._core.slots)
        slots = []
        for group in self._slot_groups():
            for weight, row in zip(self._trainable_variables, rows, strict=True):
                path = getattr(weight, "path", weight.name).replace("/", "_")
                for name in group:
                    slot = f"{path}_{name}"
                    slots.append(_wrapped(row[name], slot, f"{self.name}/{slot}"))
        if self._kind == "nadam":
            name = "u_product"
            slots.append(_wrapped(self._core.u_product, name, f"{self.name}/{name}"))
        return slots

    def _slot_groups(self) -> list[tuple[str, ...]]:
        """Slot names: the groups follow each other, names in a group interleave."""
        return []

    @property
    def variables(self) -> list[Variable]:
        """iterations, learning rate (without a schedule), then the slots."""
        rate = [] if self._schedule is not None else [self._learning_rate]
        return [self._iterations, *rate, *self._slots]

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[Variable] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        """Leave weights out of the decay, by themselves or by a part of their name.

        Raises:
            ValueError: the optimizer is already built.
        """
        if self.built:
            raise ValueError(
                f"{type(self).__name__}: exclude_from_weight_decay() must be called "
                "before the optimizer is built"
            )
        ids = {id(v) for v in var_list or ()}
        pattern = re.compile("|".join(sorted(set(var_names)))) if var_names else None
        self._excluded = (ids, pattern)

    def _is_excluded(self, variable: Variable) -> bool:
        ids, pattern = self._excluded
        if id(variable) in ids:
            return True
        return pattern is not None and pattern.search(variable.name) is not None

    def _core_optimizer(self, variables: Sequence[Variable]) -> Any:
        """The core's optimizer, built for these weights."""
        self.build(variables)
        self._check_known(variables)
        return self._core

    def _check_known(self, variables: Iterable[Variable]) -> None:
        for v in variables:
            if id(v) not in self._index:
                raise ValueError(
                    f"{type(self).__name__}: unknown variable "
                    f"{getattr(v, 'path', v.name)!r}: the optimizer was built for "
                    f"{len(self._index)} others; make a new optimizer"
                )

    # Eager steps.

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """One step from pairs (gradient, weight); returns the step counter."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def apply(
        self,
        grads: Sequence[Any],
        trainable_variables: Sequence[Variable] | None = None,
    ) -> None:
        """One step.

        Args:
            grads: gradients; None leaves its weight alone.
            trainable_variables: their weights; default: those it was built with.

        Raises:
            ValueError: not built yet, a weight is unknown, or no gradient at all.
        """
        from lamella.ops.conversion import convert_to_tensor

        owner = type(self).__name__
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    f"{owner}: call build(weights) first, or give apply() the weights"
                )
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        if len(grads) != len(trainable_variables):
            raise ValueError(
                f"{owner}: expected one gradient per weight, got {len(grads)} "
                f"gradients for {len(trainable_variables)} weights"
            )
        self.build(trainable_variables)
        self._check_known(trainable_variables)
        ordered: list[Any] = [None] * len(self._trainable_variables)
        missing = []
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            if gradient is None:
                missing.append(getattr(variable, "path", variable.name))
            else:
                ordered[self._index[id(variable)]] = convert_to_tensor(
                    gradient, variable.dtype
                )
        if len(missing) == len(grads):
            raise ValueError(f"{owner}: no gradients provided for any variable")
        if missing:
            warnings.warn(
                f"{owner}: no gradients for {', '.join(missing)}; these weights stay",
                stacklevel=2,
            )
        if self._schedule is not None:
            self._learning_rate.assign(self._schedule(self._iterations))
        self._core.apply(ordered)
        for variable in trainable_variables:
            constraint = getattr(variable, "constraint", None)
            if constraint is not None:
                variable.assign(constraint(variable.value))

    # Saving.

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all variables, in the order of `variables`.

        Raises:
            ValueError: not built, or number or shapes do not fit.
        """
        owner = type(self).__name__
        if not self.built:
            raise ValueError(f"{owner}: call build(weights) before set_weights()")
        variables = self.variables
        if len(weights) != len(variables):
            raise ValueError(
                f"{owner}: expected {len(variables)} arrays, got {len(weights)}"
            )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)

    def save_own_variables(self, store: Any) -> None:
        """Put the variables into a dict-like store under "0", "1", ..."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read what `save_own_variables` wrote; warns if the number differs."""
        variables = self.variables
        if len(store.keys()) != len(variables):
            warnings.warn(
                f"optimizer {self.name!r}: its state was not loaded, because it has "
                f"{len(variables)} variables and the file {len(store.keys())}",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(variables):
            variable.assign(np.asarray(store[str(i)]))

    def __reduce__(self) -> Any:
        # A copy is not built: its state belongs to the variables of one model.
        return type(self).from_config, (self.get_config(),)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer."""
        if self._schedule is not None:
            rate = _support.serialize(self._schedule)
        else:
            rate = float(self._learning_rate.numpy())
        own = {
            "name": self.name,
            "learning_rate": rate,
            **{key: getattr(self, key) for key in _SHARED[1:]},
        }
        return {**own, **{key: getattr(self, key) for key in self._hyper}}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Optimizer:
        """An optimizer from `get_config()`."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            from lamella.optimizers import schedules

            config["learning_rate"] = schedules.deserialize(
                config["learning_rate"], custom_objects
            )
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _core_of(variable: Any) -> Any:
    return getattr(variable, "_core", variable)


_SHARED = (
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)
_FIXED = _SHARED[1:]
