"""Learning rates that depend on the step (`keras.optimizers.schedules`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lamella import _core, _support
from lamella._core import Tensor
from lamella.ops.conversion import cast, convert_to_tensor, to_tensor
from lamella.ops.elementwise import where

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """Base class: a callable step -> learning rate, written over `lamella.ops`."""

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step (a scalar tensor; 0 is the first step)."""
        raise NotImplementedError(
            f"{type(self).__name__}: a schedule must define __call__(step)"
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        raise NotImplementedError(
            f"{type(self).__name__}: define get_config() to save this schedule"
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """A schedule from `get_config()`."""
        return cls(**config)


def _positive(owner: str, name: str, value: Any) -> None:
    if value <= 0:
        raise ValueError(f"{owner}: {name} must be positive, got {name}={value}")


def _step(step: Any) -> Tensor:
    return cast(to_tensor(step), "float32")


class ExponentialDecay(LearningRateSchedule):
    """initial_learning_rate * decay_rate ** (step / decay_steps).

    Args:
        initial_learning_rate: rate at step 0.
        decay_steps: steps per factor of decay_rate.
        decay_rate: the factor.
        staircase: round step / decay_steps down.
        name: name of the schedule.

    Raises:
        ValueError: decay_steps is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        _positive("ExponentialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """The learning rate at a step."""
        p = _step(step) / float(self.decay_steps)
        p = _core.floor(p) if self.staircase else p
        base = convert_to_tensor(float(self.decay_rate), "float32")
        return self.initial_learning_rate * _core.pow(base, p)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with step boundaries[0], then values[1], ...

    Args:
        boundaries: steps, strictly increasing.
        values: rates, one more than boundaries.
        name: name of the schedule.

    Raises:
        ValueError: the lengths do not fit.
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "PiecewiseConstantDecay: values must have one entry more than "
                f"boundaries, got {len(values)} and {len(boundaries)}"
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """The learning rate at a step."""
        step = to_tensor(step)
        rate = convert_to_tensor(float(self.values[-1]), "float32")
        pairs = list(zip(self.boundaries, self.values, strict=False))
        for boundary, value in reversed(pairs):
            rate = where(_core.less_equal(step, boundary), float(value), rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {
            "boundaries": self.boundaries,
            "values": self.values,
            "name": self.name,
        }


class PolynomialDecay(LearningRateSchedule):
    """(initial - end) * (1 - step / decay_steps) ** power + end, then end.

    Args:
        initial_learning_rate: rate at step 0.
        decay_steps: steps until the end rate is reached.
        end_learning_rate: the end rate.
        power: exponent.
        cycle: after the end start again with the next multiple of decay_steps.
        name: name of the schedule.

    Raises:
        ValueError: decay_steps is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        _positive("PolynomialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """The learning rate at a step."""
        step = _step(step)
        steps: Any = float(self.decay_steps)
        if self.cycle:
            cycles = _core.ceil(step / steps)
            steps = steps * _core.where(_core.equal(step, 0), 1.0, cycles)
        else:
            step = _core.minimum(step, steps)
        span = self.initial_learning_rate - self.end_learning_rate
        left = 1.0 - step / steps
        return span * _core.pow(left, float(self.power)) + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class InverseTimeDecay(LearningRateSchedule):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Args:
        initial_learning_rate: rate at step 0.
        decay_steps: unit of the steps.
        decay_rate: factor.
        staircase: round step / decay_steps down.
        name: name of the schedule.

    Raises:
        ValueError: decay_steps is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        _positive("InverseTimeDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """The learning rate at a step."""
        p = _step(step) / float(self.decay_steps)
        p = _core.floor(p) if self.staircase else p
        return self.initial_learning_rate / (1.0 + self.decay_rate * p)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate to alpha times it, after a linear warm-up.

    Args:
        initial_learning_rate: rate at step 0.
        decay_steps: steps of the decay.
        alpha: smallest rate as a fraction.
        name: name of the schedule.
        warmup_target: rate at the end of the warm-up; None for no warm-up.
        warmup_steps: steps of the warm-up.

    Raises:
        ValueError: decay_steps is not positive.

    Source: Loshchilov and Hutter 2016, SGDR, eq. 5 without restarts.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        _positive("CosineDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def _decayed(self, step: Tensor, start: float) -> Tensor:
        fraction = step / float(self.decay_steps)
        cosine = 0.5 * (1.0 + _core.cos(math.pi * fraction))
        return start * ((1.0 - self.alpha) * cosine + self.alpha)

    def __call__(self, step: Any) -> Tensor:
        """The learning rate at a step."""
        step = _step(step)
        if self.warmup_target is None:
            step = _core.minimum(step, float(self.decay_steps))
            return self._decayed(step, self.initial_learning_rate)
        warmup = float(self.warmup_steps)
        step = _core.minimum(step, float(self.decay_steps) + warmup)
        decayed = self._decayed(step - warmup, self.warmup_target)
        if not warmup:
            return decayed
        rise = self.warmup_target - self.initial_learning_rate
        warming = rise * (step / warmup) + self.initial_learning_rate
        return _core.where(_core.less(step, warmup), warming, decayed)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines, each t_mul times as long and m_mul times as high as the last.

    Args:
        initial_learning_rate: rate at step 0.
        first_decay_steps: steps of the first period.
        t_mul: growth of the periods.
        m_mul: factor of the rate after each restart.
        alpha: smallest rate as a fraction.
        name: name of the schedule.

    Raises:
        ValueError: first_decay_steps is not positive.

    Source: Loshchilov and Hutter 2016, SGDR, eq. 5.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        _positive("CosineDecayRestarts", "first_decay_steps", first_decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        """The learning rate at a step."""
        fraction = _step(step) / float(self.first_decay_steps)
        t, m = float(self._t_mul), float(self._m_mul)
        if t == 1.0:
            restart = _core.floor(fraction)
            fraction = fraction - restart
        else:
            restart = _core.floor(_core.log(1.0 - fraction * (1.0 - t)) / math.log(t))
            length = _core.pow(convert_to_tensor(t, "float32"), restart)
            fraction = (fraction - (1.0 - length) / (1.0 - t)) / length
        height = _core.pow(convert_to_tensor(m, "float32"), restart)
        cosine = 0.5 * height * (1.0 + _core.cos(math.pi * fraction))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul,
            "m_mul": self._m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


_TABLE = _support.lookup_table(
    [
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    ],
    snake=False,
)


def serialize(learning_rate_schedule: Any) -> Any:
    """Keras 3 JSON form."""
    return _support.serialize(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Inverse of `serialize`."""
    return _support.deserialize(config, _TABLE, custom_objects)
