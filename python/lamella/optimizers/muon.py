"""Muon."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from lamella import ops
from lamella.optimizers.optimizer import Optimizer

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum made orthogonal for matrices, Adam for everything else.

    The momentum of a matrix is replaced by an approximation of the nearest matrix with
    equal singular values (ns_steps of a quintic Newton-Schulz iteration) and scaled by
    rms_rate sqrt(max(rows, columns)).

    Source: Jordan et al. 2024, Muon; the scale: Liu et al. 2025, section 2.2.

    Args:
        learning_rate: number or LearningRateSchedule.
        adam_beta_1, adam_beta_2, epsilon: of Adam.
        adam_weight_decay: weight decay of what Adam trains.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
        exclude_layers: patterns; weights whose path holds one are trained by Adam.
        exclude_embeddings: train embeddings by Adam.
        muon_a, muon_b, muon_c: coefficients of the iteration.
        adam_lr_ratio: Adam's rate as a multiple of learning_rate.
        momentum: of the matrices.
        ns_steps: number of iterations.
        nesterov: look ahead.
        rms_rate: scale of the matrices' steps; None for no scaling.
    """

    _hyper = (
        "adam_beta_1",
        "adam_beta_2",
        "adam_weight_decay",
        "epsilon",
        "exclude_layers",
        "exclude_embeddings",
        "muon_a",
        "muon_b",
        "muon_c",
        "adam_lr_ratio",
        "momentum",
        "ns_steps",
        "nesterov",
        "rms_rate",
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
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
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _should_use_adamw(self, variable: Any) -> bool:
        """Return whether a weight is trained by Adam."""
        if len(variable.shape) != 2:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(each, variable.path) for each in self.exclude_layers)

    def build(self, variables: Sequence[Any]) -> None:
        """Make the momenta, and mean squares for what Adam trains."""
        if self.built:
            return
        super().build(variables)
        self.momentums = []
        self.adam_velocities = []
        for variable in variables:
            make = self.add_variable_from_reference
            self.momentums.append(make(variable, "momentum"))
            adam = self._should_use_adamw(variable)
            self.adam_velocities.append(make(variable, "velocity") if adam else None)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight and its state."""
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        m, v = self.momentums[index], self.adam_velocities[index]
        if v is None:
            self._step_matrix(gradient, variable, rate, m)
        else:
            self._step_adam(gradient, variable, rate * self.adam_lr_ratio, m, v)

    def _step_matrix(self, gradient: Any, variable: Any, rate: Any, m: Any) -> None:
        self.assign(m, m * self.momentum + gradient)
        ahead = gradient + self.momentum * m if self.nesterov else m.value
        update = rate * self._orthogonal(ahead)
        if self.rms_rate is not None:
            update = update * (math.sqrt(max(variable.shape)) * self.rms_rate)
        self.assign_sub(variable, update)

    def _orthogonal(self, x: Any) -> Any:
        tall = x.shape[0] > x.shape[1]
        x = ops.transpose(x) if tall else x
        x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            square = ops.matmul(x, ops.transpose(x))
            mixed = self.muon_b * square + self.muon_c * ops.matmul(square, square)
            x = self.muon_a * x + ops.matmul(mixed, x)
        return ops.transpose(x) if tall else x

    def _step_adam(
        self, gradient: Any, variable: Any, rate: Any, m: Any, v: Any
    ) -> None:
        step = ops.cast(self.iterations + 1, variable.dtype)
        rate = rate * ops.sqrt(1 - ops.power(self.adam_beta_2, step))
        rate = rate / (1 - ops.power(self.adam_beta_1, step))
        self.assign_add(m, (gradient - m) * (1 - self.adam_beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.adam_beta_2))
        self.assign_sub(variable, m * rate / (ops.sqrt(v) + self.epsilon))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        for variable in variables:
            adam = self._should_use_adamw(variable)
            decay = self.adam_weight_decay if adam else self.weight_decay
            if decay is not None and self._use_weight_decay(variable):
                factor = ops.cast(self.learning_rate, variable.dtype) * decay
                variable.assign(variable.value - variable.value * factor)
