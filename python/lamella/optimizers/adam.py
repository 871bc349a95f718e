"""Adam and its relatives."""

from __future__ import annotations

from typing import Any

from lamella.optimizers.optimizer import Optimizer

__all__ = ["Adam", "AdamW", "Adamax", "Nadam"]


class Adam(Optimizer):
    """Running means of the gradient and of its square.

    step = a m / (sqrt(v) + epsilon), a = learning_rate sqrt(1 - beta_2^t) / (1 -
    beta_1^t): epsilon is added to the uncorrected root ("epsilon hat" of the paper).

    Source: Kingma and Ba 2014, section 2; amsgrad Reddi et al. 2018.

    Args:
        learning_rate: number or LearningRateSchedule.
        beta_1: share of the old mean.
        beta_2: share of the old mean square.
        epsilon: added to the root.
        amsgrad: divide by the largest root so far.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _kind = "adam"
    _hyper = ("beta_1", "beta_2", "epsilon", "amsgrad")

    amsgrad: bool

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
        )

    def _slot_groups(self) -> list[tuple[str, ...]]:
        groups: list[tuple[str, ...]] = [("momentum", "velocity")]
        return [*groups, ("velocity_hat",)] if self.amsgrad else groups


class AdamW(Adam):
    """Adam with decoupled weight decay.

    Each step first subtracts learning_rate * weight_decay * weight.

    Source: Loshchilov and Hutter 2019, algorithm 2.

    Args:
        learning_rate: number or LearningRateSchedule.
        weight_decay: a number, not None.
        beta_1, beta_2, epsilon, amsgrad: see Adam.
        clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.

    Raises:
        ValueError: weight_decay is None.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay must be a number, got None")
        super().__init__(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
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
        )


class Adamax(Optimizer):
    """Adam with the largest absolute gradient (fading) instead of the root.

    u = max(beta_2 u, |g|); step = learning_rate m / ((1 - beta_1^t) (u + epsilon)).

    Source: Kingma and Ba 2014, section 7.

    Args:
        learning_rate: number or LearningRateSchedule.
        beta_1: share of the old mean.
        beta_2: fading of the maximum.
        epsilon: added to the maximum.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _kind = "adamax"
    _hyper = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
        )

    def _slot_groups(self) -> list[tuple[str, ...]]:
        return [("momentum", "norm")]


class Nadam(Optimizer):
    """Adam with Nesterov momentum; the momentum grows as 1 - 0.5 * 0.96^t.

    epsilon is added to the corrected root.

    Source: Dozat 2015.

    Args:
        learning_rate: number or LearningRateSchedule.
        beta_1: share of the old mean.
        beta_2: share of the old mean square.
        epsilon: added to the root.
        weight_decay, clipnorm, clipvalue, global_clipnorm, name: see Optimizer.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps: see Optimizer.
    """

    _kind = "nadam"
    _hyper = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
        )

    def _slot_groups(self) -> list[tuple[str, ...]]:
        return [("momentum", "velocity")]
