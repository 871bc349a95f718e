"""Hyper-parameters: cross-validation, grid search and random search by scikit-learn.

Run: python examples/python/hyperparameters.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Dropout, Input
from lamella.sklearn import LamellaClassifier, MLPClassifier


def network(units: int = 16, layers: int = 1, dropout: float = 0.0) -> keras.Model:
    """A model-building function: what can be searched are its arguments."""
    model = keras.Sequential([Input((2,))])
    for _ in range(layers):
        model.add(Dense(units, activation="tanh"))
        model.add(Dropout(dropout))
    model.add(Dense(1, activation="sigmoid"))
    return model


def main(folder: Path = Path()) -> dict[str, float]:
    from matplotlib import pyplot as plt

    (x, y), (x_test, y_test) = keras.datasets.moons.load_data(400, noise=0.25)

    tree = DecisionTreeClassifier(max_depth=4, random_state=0)
    found = {"tree": cross_val_score(tree, x, y, cv=4).mean()}

    grid = GridSearchCV(
        make_pipeline(StandardScaler(), MLPClassifier(max_iter=1500, random_state=0)),
        {
            "mlpclassifier__hidden_layer_sizes": [(4,), (32,), (32, 32)],
            "mlpclassifier__alpha": [1e-4, 1e-1],
        },
        cv=4,
    ).fit(x, y)
    found["grid search"] = grid.best_score_
    print("grid search:", grid.best_params_)

    model = LamellaClassifier(
        network,
        loss="binary_crossentropy",
        optimizer="adam",
        epochs=60,
        batch_size=32,
        verbose=0,
        random_state=0,
    )
    search = RandomizedSearchCV(
        model,
        {
            "model__units": [4, 16, 64],
            "model__layers": [1, 2],
            "model__dropout": [0.0, 0.2],
            "optimizer__learning_rate": [0.001, 0.01, 0.1],
        },
        n_iter=8,
        cv=4,
        random_state=0,
    ).fit(x, y)
    found["random search"] = search.best_score_
    print("random search:", search.best_params_)
    for name, score in found.items():
        print(f"{name}: accuracy {score:.3f} in cross-validation")

    figure, axes = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    fitted = {"tree": tree.fit(x, y), "grid search": grid, "random search": search}
    for ax, (name, estimator) in zip(axes, fitted.items(), strict=True):
        plots.decision_boundary(estimator, x, y, ax=ax)
        ax.set_title(f"{name}: {estimator.score(x_test, y_test):.3f} on the test set")
    figure.savefig(folder / "hyperparameters.png", dpi=100)
    return found


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
