"""Estimators for scikit-learn: its MLPs on lamella's core, and wrappers for models.

`MLPClassifier` and `MLPRegressor` take scikit-learn's arguments and give its numbers;
`LamellaClassifier`, `LamellaRegressor` and `LamellaTransformer` make an estimator of
any model. They need scikit-learn (`pip install lamella[sklearn]`).
"""

from __future__ import annotations

try:
    import sklearn as _sklearn
except ImportError as error:
    raise ImportError(
        "lamella.sklearn needs scikit-learn 1.6 or newer: pip install "
        "'lamella[sklearn]', or pip install scikit-learn"
    ) from error

if tuple(int(p) for p in _sklearn.__version__.split(".")[:2]) < (1, 6):
    raise ImportError(
        "lamella.sklearn needs scikit-learn 1.6 or newer, found "
        f"{_sklearn.__version__}: pip install --upgrade scikit-learn"
    )


from lamella.sklearn.mlp import MLPClassifier, MLPRegressor
from lamella.sklearn.wrappers import (
    LamellaClassifier,
    LamellaRegressor,
    LamellaTransformer,
)

__all__ = [
    "LamellaClassifier",
    "LamellaRegressor",
    "LamellaTransformer",
    "MLPClassifier",
    "MLPRegressor",
]
