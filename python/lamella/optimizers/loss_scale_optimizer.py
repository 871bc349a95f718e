"""LossScaleOptimizer: keeps small gradients from vanishing in low precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamella import _core, _support
from lamella.initializers import Constant
from lamella.optimizers import _rule
from lamella.optimizers.optimizer import Optimizer

__all__ = ["LossScaleOptimizer"]


class LossScaleOptimizer(Optimizer):
    """Scales the loss up and the gradients down, by a factor that adapts itself.

    A step whose gradients are not all finite is left out and halves the scale; after
    dynamic_growth_steps good ones in a row it is doubled. With float32 the weights are
    those that inner_optimizer gives by itself, up to rounding.

    Args:
        inner_optimizer: what updates the weights.
        initial_scale: the first scale.
        dynamic_growth_steps: good steps until the scale is doubled.
        name: name of the optimizer.

    Raises:
        ValueError: dynamic=False, or another argument of Optimizer is given.
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer: dynamic=False is not supported; set "
                "loss_scale_factor of the inner optimizer instead"
            )
        if kwargs:
            raise ValueError(
                f"LossScaleOptimizer: unknown arguments {', '.join(kwargs)}; give them "
                "to the inner optimizer"
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps

    def build(self, variables: Sequence[Any]) -> None:
        """Make counter and scale, and the state of the inner optimizer."""
        if self.built:
            return
        self.step_counter = self.add_variable((), dtype="int32", name="step_counter")
        start = Constant(self.initial_scale)
        self.dynamic_scale = self.add_variable(
            (), start, "float32", name="dynamic_scale"
        )
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[Any]:
        """Own variables, then those of the inner optimizer."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def iterations(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss times the scale."""
        loss = _rule.tensor(loss)
        scale = self.dynamic_scale if self.built else self.initial_scale
        return loss * _core.cast(_rule.tensor(scale), loss.dtype)

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """One step from gradients of the scaled loss; see Optimizer."""
        grads = list(grads)
        weights = _rule.weights_for(self, grads, trainable_variables)
        if not self.built:
            self.build(weights)
        kept, trained = _rule.present(type(self).__name__, grads, weights)
        inner = self.inner_optimizer
        with _core.no_grad():
            finite = _core.all(_core.isfinite(kept[0]))
            for gradient in kept[1:]:
                finite = _core.logical_and(finite, _core.all(_core.isfinite(gradient)))
            scale = self.dynamic_scale.value
            plain = [g / _core.cast(scale, g.dtype) for g in kept]
            _rule.only_if(
                finite,
                lambda: inner.apply(plain, trained),
                [*trained, *inner.variables],
            )
            counter = self.step_counter.value
            grow = _core.equal(counter, self.dynamic_growth_steps - 1)
            larger = _core.where(grow, scale * 2.0, scale)
            self.dynamic_scale.assign(_core.where(finite, larger, scale * 0.5))
            again = _core.logical_or(grow, _core.logical_not(finite))
            self.step_counter.assign(_core.where(again, counter * 0, counter + 1))

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Let the inner optimizer do it."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer."""
        return {
            "name": self.name,
            "inner_optimizer": _support.serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Optimizer:
        """An optimizer from `get_config()`."""
        from lamella import optimizers

        config = dict(config)
        inner = config.pop("inner_optimizer")
        return cls(optimizers.deserialize(inner, custom_objects), **config)
