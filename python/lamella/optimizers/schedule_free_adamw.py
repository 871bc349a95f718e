"""ScheduleFreeAdamW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamella import ops
from lamella.optimizers.optimizer import Optimizer

__all__ = ["ScheduleFreeAdamW"]


class ScheduleFreeAdamW(Optimizer):
    """Adam without a schedule: weights lie between a fast iterate and its average.

    The weights that are trained are y = (1 - beta_1) z + beta_1 x; z makes Adam's steps
    without momentum, x is the mean of all z so far.

    Source: Defazio et al. 2024, The Road Less Scheduled.

    Args:
        learning_rate: number or LearningRateSchedule.
        beta_1: how near the weights are to the average.
        beta_2: share of the old mean square.
        epsilon: added to the corrected root.
        warmup_steps: steps in which the rate rises linearly.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _hyper = (
        "beta_1",
        "beta_2",
        "epsilon",
        "warmup_steps",
    )

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
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
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
            **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables: Sequence[Any]) -> None:
        """Make the iterates, which begin at the weights, and the mean squares."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        for iterate, variable in zip(self._momentums, variables, strict=True):
            iterate.assign(variable.numpy())

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight, its iterate and its mean square."""
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        if self.warmup_steps > 0:
            rate = rate * ops.minimum(step / self.warmup_steps, 1.0)
        index = self._get_variable_index(variable)
        iterate, v = self._momentums[index], self._velocities[index]
        near = self.beta_1
        average = (variable - (1 - near) * iterate) / near
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        square = v / (1 - ops.power(self.beta_2, step))
        self.assign_sub(iterate, rate * gradient / (ops.sqrt(square) + self.epsilon))
        average = (1 - 1 / step) * average + 1 / step * iterate
        self.assign(variable, (1 - near) * iterate + near * average)
