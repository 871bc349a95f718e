"""Two classes, one of them rare: why accuracy deceives, and class weights.

Run: python examples/python/class_imbalance.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Input


def make_data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three in a hundred points are signal, in the middle of the background."""
    random = np.random.default_rng(seed)
    y = (random.uniform(size=n) < 0.03).astype("int64")
    x = random.normal(size=(n, 2)) * np.where(y[:, None] == 1, 0.5, 1.5)
    return (x + 0.8 * y[:, None]).astype("float32"), y


def main(folder: Path = Path()) -> dict[str, tuple[float, float]]:
    from matplotlib import pyplot as plt

    x, y = make_data(4000, seed=0)
    x_test, y_test = make_data(4000, seed=1)
    rare = y.mean()
    # The simplest classifier says "background" always - and is right 97 times of 100.
    print(f"always background: accuracy {1 - y_test.mean():.3f}, recall 0.000")
    weights = {
        "unweighted": None,
        "class weights": {0: 0.5 / (1 - rare), 1: 0.5 / rare},
    }
    figure, axes = plt.subplots(2, 2, figsize=(10, 8.5), layout="constrained")
    results = {}
    for row, (name, class_weight) in zip(axes, weights.items(), strict=True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([Input((2,)), Dense(16, "relu"), Dense(1, "sigmoid")])
        model.compile(
            "adam",
            "binary_crossentropy",
            metrics=["accuracy", "recall", keras.metrics.AUC(name="auc")],
        )
        model.fit(x, y, epochs=40, class_weight=class_weight, verbose=0)
        scores = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
        results[name] = (scores["accuracy"], scores["recall"])
        print(
            f"{name}: accuracy {scores['accuracy']:.3f}, recall "
            f"{scores['recall']:.3f}, area under the curve {scores['auc']:.3f}"
        )
        plots.decision_boundary(model, x_test, y_test, ax=row[0])
        row[0].set_title(name)
        plots.confusion_matrix(
            y_test,
            model.predict(x_test, verbose=0),
            labels=["background", "signal"],
            normalize=True,
            ax=row[1],
        )
    figure.savefig(folder / "class_imbalance.png", dpi=100)
    return results


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
