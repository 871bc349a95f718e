"""SGD and the optimizers that scale by past squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamella import ops
from lamella.initializers import Constant
from lamella.optimizers.fused import FusedOptimizer

__all__ = ["SGD", "Adadelta", "Adagrad", "RMSprop"]


class SGD(FusedOptimizer):
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
        **kwargs: Any,
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
            **kwargs,
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Make the velocities, if there is a momentum."""
        if self.built:
            return
        super().build(variables)
        self.momentums = []
        if self.momentum:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight and its velocity."""
        step = gradient * ops.cast(learning_rate, variable.dtype)
        if not self.momentum:
            self.assign_sub(variable, step)
            return
        m = self.momentums[self._get_variable_index(variable)]
        self.assign(m, m * self.momentum - step)
        move = m * self.momentum - step if self.nesterov else m.value
        self.assign_add(variable, move)


class RMSprop(FusedOptimizer):
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

    rho: float
    momentum: float
    epsilon: float
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
            rho=rho,
            momentum=momentum,
            epsilon=epsilon,
            centered=centered,
            **kwargs,
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Make the running means."""
        if self.built:
            return
        super().build(variables)
        make = self.add_optimizer_variables
        self._velocities = make(variables, "velocity")
        self._momentums = make(variables, "momentum") if self.momentum > 0 else []
        self._average_gradients = []
        if self.centered:
            self._average_gradients = make(variables, "average_gradient")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight and its running means."""
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        v = self._velocities[index]
        self.assign(v, self.rho * v + (1 - self.rho) * ops.square(gradient))
        mean_square = v + self.epsilon
        if self.centered:
            a = self._average_gradients[index]
            self.assign(a, self.rho * a + (1 - self.rho) * gradient)
            mean_square = v - ops.square(a) + self.epsilon
        step = rate * gradient / ops.sqrt(mean_square)
        if self.momentum > 0:
            m = self._momentums[index]
            self.assign(m, self.momentum * m + step)
            step = m.value
        self.assign_sub(variable, step)


class Adagrad(FusedOptimizer):
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

    initial_accumulator_value: float
    epsilon: float

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
            initial_accumulator_value=initial_accumulator_value,
            epsilon=epsilon,
            **kwargs,
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Make the sums of squares."""
        if self.built:
            return
        super().build(variables)
        start = Constant(self.initial_accumulator_value)
        self._accumulators = self.add_optimizer_variables(
            variables, "accumulator", start
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight and its sum."""
        rate = ops.cast(learning_rate, variable.dtype)
        a = self._accumulators[self._get_variable_index(variable)]
        self.assign_add(a, ops.square(gradient))
        self.assign_sub(variable, rate * gradient / ops.sqrt(a + self.epsilon))


class Adadelta(FusedOptimizer):
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

    rho: float
    epsilon: float

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
            rho=rho,
            epsilon=epsilon,
            **kwargs,
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Make the running mean squares."""
        if self.built:
            return
        super().build(variables)
        self._accumulated_grads, self._accumulated_delta_vars = (
            self.add_optimizer_variables(
                variables, ["accumulated_grad", "accumulated_delta_var"]
            )
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight and its mean squares."""
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        squares = self._accumulated_grads[index]
        steps = self._accumulated_delta_vars[index]
        rho = self.rho
        self.assign(squares, rho * squares + (1 - rho) * ops.square(gradient))
        step = (
            -ops.sqrt(steps + self.epsilon)
            * gradient
            / ops.sqrt(squares + self.epsilon)
        )
        self.assign(steps, rho * steps + (1 - rho) * ops.square(step))
        self.assign_add(variable, rate * step)
