"""Ftrl: follow the regularised leader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamella import ops
from lamella.initializers import Constant
from lamella.optimizers.optimizer import Optimizer

__all__ = ["Ftrl"]


class Ftrl(Optimizer):
    """Follow the regularised leader, with L1, L2 and shrinkage terms.

    A sum of past gradients (less what the weight moved) and a sum of their squares
    decide each weight anew; L1 makes it exactly zero while the sum is small.

    Source: McMahan et al. 2013, algorithm 1; the shrinkage term adds
    2 l2_shrinkage weight to the gradient in the first sum only.

    Args:
        learning_rate: number or LearningRateSchedule.
        learning_rate_power: at most 0; -0.5 divides by the root of the squares.
        initial_accumulator_value: start of the sum of squares.
        l1_regularization_strength: weights below this pull are zero.
        l2_regularization_strength: pull to zero.
        l2_shrinkage_regularization_strength: pull that depends on the weight.
        beta: makes the L2 pull larger by beta / (2 learning_rate).
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.

    Raises:
        ValueError: learning_rate_power is positive or another one negative.
    """

    _hyper = (
        "learning_rate_power",
        "initial_accumulator_value",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "l2_shrinkage_regularization_strength",
        "beta",
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        if learning_rate_power > 0:
            raise ValueError(
                "Ftrl: learning_rate_power must be negative or zero, got "
                f"learning_rate_power={learning_rate_power}"
            )
        for argument, value in (
            ("initial_accumulator_value", initial_accumulator_value),
            ("l1_regularization_strength", l1_regularization_strength),
            ("l2_regularization_strength", l2_regularization_strength),
            (
                "l2_shrinkage_regularization_strength",
                l2_shrinkage_regularization_strength,
            ),
        ):
            if value < 0:
                raise ValueError(
                    f"Ftrl: {argument} must be positive or zero, got {argument}={value}"
                )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def build(self, variables: Sequence[Any]) -> None:
        """Make the two sums."""
        if self.built:
            return
        super().build(variables)
        self._accumulators, self._linears = self.add_optimizer_variables(
            variables,
            ["accumulator", "linear"],
            [Constant(self.initial_accumulator_value), "zeros"],
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decide one weight anew."""
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        squares, linear = self._accumulators[index], self._linears[index]
        power = -self.learning_rate_power
        shrinkage = 2 * self.l2_shrinkage_regularization_strength
        pull = self.l2_regularization_strength + self.beta / (2.0 * rate)
        summed = squares + ops.square(gradient)
        root, old_root = ops.power(summed, power), ops.power(squares, power)
        moved = (root - old_root) / rate * variable
        self.assign_add(linear, gradient + shrinkage * variable - moved)
        limit = self.l1_regularization_strength
        kept = ops.clip(linear, -limit, limit) - linear
        self.assign(variable, kept / (root / rate + 2 * pull))
        self.assign(squares, summed)
