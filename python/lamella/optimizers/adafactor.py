"""Adafactor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamella import ops
from lamella.optimizers.optimizer import Optimizer

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Gradients divided by a root mean square that is kept as a row and a column.

    A matrix of squares is approximated by the product of its running row and column
    means over the last two axes; weights of fewer axes keep all squares. Steps are
    scaled by the size of the weight.

    Source: Shazeer and Stern 2018, algorithms 4 and 5.

    Args:
        learning_rate: number or LearningRateSchedule.
        beta_2_decay: the share of the old means is 1 - step ** beta_2_decay.
        epsilon_1: added to the squares.
        epsilon_2: least size of a weight.
        clip_threshold: largest root mean square of a step before scaling.
        relative_step: the rate is at most 1 / sqrt(step).
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _hyper = (
        "beta_2_decay",
        "epsilon_1",
        "epsilon_2",
        "clip_threshold",
        "relative_step",
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables: Sequence[Any]) -> None:
        """Make rows, columns and squares."""
        if self.built:
            return
        super().build(variables)
        rows, columns, squares = [], [], []
        for variable in variables:
            shape = tuple(variable.shape)
            if len(shape) < 2:  # places that nothing uses, as in Keras's files
                rows.append(self.add_variable((), name=variable.name))
                columns.append(self.add_variable((), name=variable.name))
            else:
                for group, part in (
                    (rows, shape[:-1]),
                    (columns, (*shape[:-2], shape[-1])),
                ):
                    group.append(
                        self.add_variable(
                            part, dtype=variable.dtype, name=variable.name
                        )
                    )
            squares.append(self.add_variable_from_reference(variable, "velocity"))
        self._r, self._c, self._v = rows, columns, squares

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight and its mean squares."""
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        bound = 1 / ops.sqrt(step)
        rate = ops.minimum(rate, bound)
        size = ops.maximum(_rms(variable), self.epsilon_2)
        square = ops.square(gradient) + self.epsilon_1
        share = 1 - ops.power(step, self.beta_2_decay)
        v = self._v[index]
        if len(variable.shape) >= 2:
            r, c = self._r[index], self._c[index]
            self.assign(r, share * r + (1 - share) * ops.mean(square, axis=-1))
            self.assign(c, share * c + (1 - share) * ops.mean(square, axis=-2))
            row = r / ops.mean(r, axis=-1, keepdims=True)
            self.assign(v, ops.expand_dims(row, -1) * ops.expand_dims(c, -2))
        else:
            self.assign(v, share * v + (1 - share) * square)
        update = gradient / ops.sqrt(v)
        update = update / ops.maximum(_rms(update) / self.clip_threshold, 1.0)
        self.assign_sub(variable, size * rate * update)


def _rms(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))
