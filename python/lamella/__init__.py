"""lamella: a small, fast neural-network library that speaks Keras.

`import lamella as keras` runs programs written for Keras 3: layers, models, losses,
metrics, optimizers and callbacks under Keras's names, on a C++ core. Sub-modules are
loaded when they are first used.

Example:
    >>> import lamella as keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.count_params()
    3
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lamella import _core

__version__: str = getattr(_core, "__version__", "0.1.0")

_MODULES = (
    "activations",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "sklearn",
    "torch",
    "tree",
    "utils",
    "wrappers",
)

# name -> (module, attribute); loaded on first use
_NAMES = {
    "backend": ("lamella.config", None),
    "Functional": ("lamella.models", "Functional"),
    "Initializer": ("lamella.initializers", "Initializer"),
    "Input": ("lamella.layers", "Input"),
    "InputSpec": ("lamella.layers", "InputSpec"),
    "KerasTensor": ("lamella.layers.input", "KerasTensor"),
    "Layer": ("lamella.layers", "Layer"),
    "Loss": ("lamella.losses", "Loss"),
    "Metric": ("lamella.metrics", "Metric"),
    "Model": ("lamella.models", "Model"),
    "Optimizer": ("lamella.optimizers", "Optimizer"),
    "Regularizer": ("lamella.regularizers", "Regularizer"),
    "Sequential": ("lamella.models", "Sequential"),
    "Variable": ("lamella.variable", "Variable"),
    "set_random_seed": ("lamella.utils", "set_random_seed"),
}

# straight from the core
_CORE = (
    "Tensor",
    "build_info",
    "get_num_threads",
    "gradcheck",
    "no_grad",
    "set_num_threads",
)

if TYPE_CHECKING:
    from lamella import (
        activations,
        callbacks,
        config,
        constraints,
        datasets,
        initializers,
        layers,
        losses,
        metrics,
        models,
        ops,
        optimizers,
        random,
        regularizers,
        saving,
        utils,
    )
    from lamella._core import (
        Tensor,
        build_info,
        get_num_threads,
        gradcheck,
        no_grad,
        set_num_threads,
    )
    from lamella.initializers import Initializer
    from lamella.layers import Input, InputSpec, Layer
    from lamella.losses import Loss
    from lamella.metrics import Metric
    from lamella.models import Functional, Model, Sequential
    from lamella.optimizers import Optimizer
    from lamella.regularizers import Regularizer
    from lamella.variable import Variable

__all__ = [
    "Functional",
    "Initializer",
    "Input",
    "InputSpec",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Tensor",
    "Variable",
    "__version__",
    "activations",
    "build_info",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "get_num_threads",
    "gradcheck",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "no_grad",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "saving",
    "set_num_threads",
    "utils",
    "version",
]


def version() -> str:
    """Return the version of lamella."""
    return __version__


def __getattr__(name: str) -> Any:
    if name in _CORE:
        value: Any = getattr(_core, name)
    elif name in _NAMES:
        module, attribute = _NAMES[name]
        value = importlib.import_module(module)
        if attribute is not None:
            value = getattr(value, attribute)
    elif name in _MODULES:
        try:
            value = importlib.import_module(f"lamella.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"lamella.{name}":
                raise
            raise AttributeError(
                f"module 'lamella' has no attribute {name!r}"
            ) from None
    else:
        if name.startswith("_"):
            raise AttributeError(f"module 'lamella' has no attribute {name!r}")
        from lamella.config import near_names

        known = [*_CORE, *_NAMES, *_MODULES]
        raise AttributeError(
            f"module 'lamella' has no attribute {name!r}. {near_names(name, known)}"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
