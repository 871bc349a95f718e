"""Digits by fully connected networks: softmax alone, one hidden layer, two.

Run: python examples/python/digits_mlp.py [--data digits|mnist] [--out folder]

The 8 x 8 digits are part of the package. MNIST is read from LAMELLA_DATA, or loaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lamella as keras
from lamella import plots
from lamella.layers import Dense, Flatten, Input

NETS = {"softmax alone": [], "100": [100], "50, 50": [50, 50]}


def load(name: str):
    (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    top = x.max()  # pixels to [0, 1]
    return (x / top, y), (x_test / top, y_test)


def main(data: str = "digits", folder: Path = Path()) -> dict[str, float]:
    (x, y), (x_test, y_test) = load(data)
    print(f"{data}: {len(x)} pictures of {x.shape[1]} x {x.shape[2]}")
    histories, accuracy = {}, {}
    for name, hidden in NETS.items():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([Input(x.shape[1:]), Flatten()])
        for n in hidden:
            model.add(Dense(n, activation="relu"))
        model.add(Dense(10, activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories[name] = model.fit(
            x,
            y,
            epochs=60 if data == "digits" else 5,
            validation_data=(x_test, y_test),
            verbose=0,
        )
        accuracy[name] = model.evaluate(x_test, y_test, verbose=0)[1]
        print(f"{name}: {model.count_params()} weights, accuracy {accuracy[name]:.4f}")

    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    plots.learning_curves(histories, "accuracy", ax=axes[0])
    scores = model.predict(x_test, verbose=0)
    plots.confusion_matrix(y_test, scores, ax=axes[1])
    figure.savefig(folder / "digits_mlp.png", dpi=100)
    pictures = plots.images(x_test[:32], y_test[:32], predictions=scores[:32])
    pictures[0].figure.savefig(folder / "digits_mlp_pictures.png", dpi=100)
    example = plots.class_scores(scores[0], x_test[0])
    example[0].figure.savefig(folder / "digits_mlp_scores.png", dpi=100)
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    main(options.data, options.out)
