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
    "applications",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "distribution",
    "dtype_policies",
    "export",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "plots",
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
    "DTypePolicy": ("lamella.dtype_policies", "DTypePolicy"),
    "FloatDTypePolicy": ("lamella.dtype_policies", "FloatDTypePolicy"),
    "Function": ("lamella.models.function", "Function"),
    "Operation": ("lamella.layers.operation", "Operation"),
    "RematScope": ("lamella.scopes", "RematScope"),
    "StatelessScope": ("lamella.scopes", "StatelessScope"),
    "backend": ("lamella.config", None),
    "device": ("lamella.scopes", "device"),
    "name_scope": ("lamella.scopes", "name_scope"),
    "remat": ("lamella.scopes", "remat"),
    "Functional": ("lamella.models", "Functional"),
    "GradientTape": ("lamella.derivatives", "GradientTape"),
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
    "grad": ("lamella.derivatives", "grad"),
    "hessian": ("lamella.derivatives", "hessian"),
    "jacobian": ("lamella.derivatives", "jacobian"),
    "jvp": ("lamella.derivatives", "jvp"),
    "set_random_seed": ("lamella.utils", "set_random_seed"),
    "value_and_grad": ("lamella.derivatives", "value_and_grad"),
    "vjp": ("lamella.derivatives", "vjp"),
}

# straight from the core
_CORE = (
    "Tensor",
    "build_info",
    "enable_grad",
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
        plots,
        preprocessing,
        random,
        regularizers,
        saving,
        tree,
        utils,
    )
    from lamella._core import (
        Tensor,
        build_info,
        enable_grad,
        get_num_threads,
        gradcheck,
        no_grad,
        set_num_threads,
    )
    from lamella.derivatives import (
        GradientTape,
        grad,
        hessian,
        jacobian,
        jvp,
        value_and_grad,
        vjp,
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
    "GradientTape",
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
    "enable_grad",
    "get_num_threads",
    "grad",
    "gradcheck",
    "hessian",
    "initializers",
    "jacobian",
    "jvp",
    "layers",
    "losses",
    "metrics",
    "models",
    "no_grad",
    "ops",
    "optimizers",
    "plots",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "set_num_threads",
    "tree",
    "utils",
    "value_and_grad",
    "version",
    "vjp",
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
