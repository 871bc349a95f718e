"""FusedOptimizer: rules for which the core has a kernel over all weights at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamella import _core
from lamella.optimizers import _rule
from lamella.optimizers.optimizer import Optimizer
from lamella.variable import Variable

__all__ = ["FusedOptimizer"]

# What a subclass may override, and what the kernel does by itself.
_DONE_BY_KERNEL = (
    "_apply_weight_decay",
    "_clip_gradients",
    "_update_all",
    "apply",
    "assign",
    "assign_add",
    "assign_sub",
    "update_step",
)
_FIXED = (*_rule.SHARED[1:], "built")


class FusedOptimizer(Optimizer):
    """An optimizer with a fused kernel; its Python rule says the same in `lamella.ops`.

    The kernel is used unless something is asked for that it does not do: moving
    averages, gradient accumulation, a loss scale, constraints, weights of several
    types, or a subclass with a rule of its own. Its arguments are fixed then.
    """

    _kind = ""  # the kernel

    def __init__(self, learning_rate: Any, **arguments: Any) -> None:
        own = {key: arguments.pop(key) for key in self._hyper}
        super().__init__(learning_rate, **arguments)
        for key, value in own.items():
            setattr(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._core is not None and name in (*_FIXED[:-1], *self._hyper):
            raise AttributeError(
                f"{type(self).__name__}: {name} is fixed when the optimizer is built; "
                f"make a new one with {name}={value!r}"
            )
        super().__setattr__(name, value)

    def _kernel_fits(self, variables: Sequence[Any]) -> bool:
        """Return whether the kernel does all that is asked for."""
        owner = next(c for c in type(self).__mro__ if "_kind" in vars(c))
        return (
            bool(variables)
            and not self.use_ema
            and not self.gradient_accumulation_steps
            and self.loss_scale_factor is None
            and len({v.dtype for v in variables}) == 1
            and all(getattr(v, "constraint", None) is None for v in variables)
            and all(
                getattr(type(self), name) is getattr(owner, name)
                for name in _DONE_BY_KERNEL
            )
        )

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the state for a list of weights; a second call changes nothing."""
        if self.built:
            return
        super().build(variables)
        if not self._kernel_fits(variables):
            return
        given = {
            "weight_decay": self.weight_decay,
            "clip_norm": self.clipnorm,
            "clip_value": self.clipvalue,
            "global_clip_norm": self.global_clipnorm,
        }
        arguments = {k: float(v) for k, v in given.items() if v is not None}
        arguments.update({key: getattr(self, key) for key in self._hyper})
        core = _core.Optimizer(self._kind, **arguments)
        cores = [v._core for v in variables]
        core.build(cores)
        core.exclude_from_weight_decay(
            [v._core for v in variables if not self._use_weight_decay(v)]
        )
        self._slots = {id(v): row for v, row in zip(variables, core.slots, strict=True)}
        _show(self._iterations, core.iterations)
        if isinstance(self._learning_rate, Variable):
            _show(self._learning_rate, core.learning_rate)
        self._core = core

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = None
    ) -> Variable:
        """Make a variable of a weight's shape and type: the kernel's, if it has one."""
        variable = super().add_variable_from_reference(
            reference_variable, name, initializer
        )
        if self._core is not None:
            slot = self._slots.get(id(reference_variable), {}).get(name)
            if slot is not None:
                variable._core = slot
        return variable

    def _apply_kernel(self, grads: list[Any], variables: list[Any]) -> None:
        ordered: list[Any] = [None] * len(self._trainable_variables)
        for gradient, variable in zip(grads, variables, strict=True):
            ordered[self._get_variable_index(variable)] = gradient
        if not isinstance(self._learning_rate, Variable):
            rate = _core.cast(_rule.tensor(self.learning_rate), "float32")
            self._core.learning_rate.assign(rate)
        self._core.apply(ordered)

    def _trace(self, graph: Any, variables: Sequence[Variable]) -> Callable[[], Any]:
        if self._core is None:
            return super()._trace(graph, variables)
        self._check_known(variables)
        if not isinstance(self._learning_rate, Variable):
            with graph:
                rate = _rule.tensor(self.learning_rate)
                graph.set_learning_rate(_core.cast(rate, "float32"))
        cores = [v._core for v in variables]
        return lambda: _core.Trainer(graph, self._core, cores)


def _show(variable: Variable, core: Any) -> None:
    """Let a Variable show one of the core's, which takes its value."""
    core.assign(_core.from_numpy(np.asarray(variable.numpy(), dtype=core.dtype)))
    variable._core = core
