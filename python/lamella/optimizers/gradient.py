"""SGD and the optimizers that scale by past squares."""

from __future__ import annotations

from typing import Any

from lamella.optimizers.optimizer import Optimizer

__all__ = ["SGD", "Adadelta", "Adagrad", "RMSprop"]


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

    velocity = momentum * velocity - learning_rate * gradient; weight += velocity. The
    velocity contains the learning rate, as in Keras. With nesterov the weight moves by
    momentum * velocity - learning_rate * gradient.

    Args:
        learning_rate: number or LearningRateSchedule.
        momentum: in [0, 1].
        nesterov: look ahead (Sutskever et al. 2013).
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _kind = "sgd"
    _hyper = ("momentum", "nesterov")

    momentum: float
    nesterov: bool

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"SGD: momentum must be in [0, 1], got {momentum}")
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
            momentum=momentum,
            nesterov=nesterov,
        )

    def _slot_groups(self) -> list[tuple[str, ...]]:
        return [("momentum",)] if self.momentum else []


class RMSprop(Optimizer):
    """Gradients divided by the root of their running mean square.

    v = rho v + (1 - rho) g^2; step = learning_rate g / sqrt(v + epsilon). epsilon is
    inside the root. centered subtracts the squared running mean of g from v.

    Args:
        learning_rate: number or LearningRateSchedule.
        rho: share of the old mean square.
        momentum: momentum of the steps.
        epsilon: added inside the root.
        centered: use the variance instead of the mean square.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _kind = "rmsprop"
    _hyper = ("rho", "momentum", "epsilon", "centered")

    momentum: float
    centered: bool

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
            rho=rho,
            momentum=momentum,
            epsilon=epsilon,
            centered=centered,
        )

    def _slot_groups(self) -> list[tuple[str, ...]]:
        groups: list[tuple[str, ...]] = [("velocity",)]
        if self.momentum > 0:
            groups.append(("momentum",))
        if self.centered:
            groups.append(("average_gradient",))
        return groups


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of their squares.

    a += g^2; step = learning_rate g / sqrt(a + epsilon). epsilon is inside the root.

    Args:
        learning_rate: number or LearningRateSchedule.
        initial_accumulator_value: start of the sum.
        epsilon: added inside the root.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _kind = "adagrad"
    _hyper = ("initial_accumulator_value", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
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
            initial_accumulator_value=initial_accumulator_value,
            epsilon=epsilon,
        )

    def _slot_groups(self) -> list[tuple[str, ...]]:
        return [("accumulator",)]


class Adadelta(Optimizer):
    """Steps scaled by the ratio of running mean squares of steps and gradients.

    d = g sqrt(D + epsilon) / sqrt(G + epsilon); step = learning_rate d. epsilon is
    inside both roots.

    Source: Zeiler 2012.

    Args:
        learning_rate: number or LearningRateSchedule.
        rho: share of the old mean squares.
        epsilon: added inside the roots.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _kind = "adadelta"
    _hyper = ("rho", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
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
            rho=rho,
            epsilon=epsilon,
        )

    def _slot_groups(self) -> list[tuple[str, ...]]:
        return [("accumulated_grad", "accumulated_delta_var")]
