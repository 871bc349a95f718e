"""Wrappers of models for scikit-learn (`keras.wrappers`)."""

from lamella.sklearn.keras_wrappers import (
    SKLearnClassifier,
    SKLearnRegressor,
    SKLearnTransformer,
)

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]
