"""Optimizers (`keras.optimizers`)."""

from __future__ import annotations

from typing import Any

from lamella import _support
from lamella.config import near_names
from lamella.optimizers import schedules
from lamella.optimizers.adafactor import Adafactor
from lamella.optimizers.adam import Adam, Adamax, AdamW, Nadam
from lamella.optimizers.ftrl import Ftrl
from lamella.optimizers.gradient import SGD, Adadelta, Adagrad, RMSprop
from lamella.optimizers.lamb import Lamb
from lamella.optimizers.lion import Lion
from lamella.optimizers.loss_scale_optimizer import LossScaleOptimizer
from lamella.optimizers.multi_optimizer import MultiOptimizer, OptimizerMap
from lamella.optimizers.muon import Muon
from lamella.optimizers.optimizer import Optimizer
from lamella.optimizers.schedule_free_adamw import ScheduleFreeAdamW
from lamella.optimizers.whole_batch import (
    LBFGS,
    ConjugateGradient,
    GradientDescent,
    LevenbergMarquardt,
    minimize,
)

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ConjugateGradient",
    "GradientDescent",
    "LBFGS",
    "LevenbergMarquardt",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "minimize",
    "schedules",
    "serialize",
]

_TABLE: dict[str, Any] = {
    cls.__name__.lower(): cls
    for cls in (
        SGD,
        RMSprop,
        Adagrad,
        Adadelta,
        Adam,
        AdamW,
        Adamax,
        Nadam,
        Adafactor,
        Ftrl,
        Lion,
        Muon,
        LossScaleOptimizer,
        MultiOptimizer,
        ScheduleFreeAdamW,
    )
}
for _cls, _short in (
    (LBFGS, "lbfgs"),
    (ConjugateGradient, "cg"),
    (GradientDescent, "gd"),
    (LevenbergMarquardt, "lm"),
):
    _TABLE[_cls.__name__.lower()] = _TABLE[_short] = _cls


def serialize(optimizer: Any) -> Any:
    """Keras 3 JSON form."""
    return _support.serialize(optimizer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Inverse of `serialize`; the class may be named in any case."""
    name = str(config.get("class_name"))
    if name.lower() in _TABLE and set(config) <= {"class_name", "config"}:
        config = {**config, "class_name": name.lower()}
    return _support.deserialize(config, _TABLE, custom_objects)


def get(identifier: Any) -> Any:
    """An optimizer from None, a name in any case, a config, a class or an optimizer.

    Raises:
        ValueError: the name is unknown (near names are listed), or it is no optimizer.
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        cls = _TABLE.get(identifier.lower()) or _support._custom(identifier, None)
        if cls is None:
            names = [c.__name__ for c in _TABLE.values()]
            raise ValueError(
                f"unknown optimizer {identifier!r}. {near_names(identifier, names)}"
            )
        return cls()
    if isinstance(identifier, dict):
        found = deserialize(identifier)
        if isinstance(found, Optimizer):
            return found
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        made: Any = identifier
        return made()
    raise ValueError(
        "an optimizer must be a string, a config dict or an Optimizer, got "
        f"{identifier!r}"
    )
