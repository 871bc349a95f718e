"""Optimizers that see all the data at every step, in `fit` and for any function."""

from lamella.optimizers.whole_batch.base import Step, WholeBatchOptimizer
from lamella.optimizers.whole_batch.descent import (
    LBFGS,
    ConjugateGradient,
    GradientDescent,
)
from lamella.optimizers.whole_batch.least_squares import LevenbergMarquardt
from lamella.optimizers.whole_batch.minimize import OptimizeResult, minimize

__all__ = [
    "LBFGS",
    "ConjugateGradient",
    "GradientDescent",
    "LevenbergMarquardt",
    "OptimizeResult",
    "Step",
    "WholeBatchOptimizer",
    "minimize",
]
