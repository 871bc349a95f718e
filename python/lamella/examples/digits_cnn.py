"""Teach a small convolutional network to read handwritten digits.

``python -m lamella.examples.digits_cnn`` trains the network of the lecture on the
1,797 digits of 8x8 pixels that come with lamella; ``--data mnist`` trains one with two
convolutions on MNIST (from the folder ``LAMELLA_DATA`` names, the cache, or the
network). Then it saves the model and a plot, loads the model again and classifies one
image. The exit status is 1 when the accuracy is below the target.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import lamella as keras
from lamella.callbacks import EarlyStopping, ModelCheckpoint
from lamella.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from lamella.plots import history as plot_history
from lamella.utils import set_random_seed, to_categorical

__all__ = ["main"]

Array = npt.NDArray[Any]


@dataclass
class Task:
    """What differs between the two data sets."""

    name: str
    target: float  # accuracy that must be reached
    target_on: str  # on which part: "validation" or "test"
    epochs: int
    patience: int
    batch_size: int
    validation_split: float
    rate: float
    full_scale: float  # largest value of a pixel
    shades: str  # characters from white to black, for the picture


TASKS = {
    "digits": Task(
        name="digits",
        target=0.97,
        target_on="validation",
        epochs=100,
        patience=20,
        batch_size=16,
        validation_split=0.2,
        rate=0.003,
        full_scale=16.0,
        shades=" .:-=+*#%@",
    ),
    "mnist": Task(
        name="mnist",
        target=0.985,
        target_on="test",
        epochs=5,
        patience=2,
        batch_size=128,
        validation_split=0.1,
        rate=0.001,
        full_scale=255.0,
        shades=" .:-=+*#%@",
    ),
}


def load(task: Task, seed: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return training and test images, shuffled, as floats from 0 to 1."""
    if task.name == "digits":
        # All rows but a tenth train the network and validate it.
        parts = keras.datasets.digits.load_data(test_split=0.1, seed=seed)
    else:
        parts = keras.datasets.mnist.load_data()
    (x_train, y_train), (x_test, y_test) = parts
    # validation_split takes the last rows: shuffle them, else one writer's digits
    # would be in the validation and another one's in the training.
    order = np.random.default_rng(seed).permutation(len(x_train))
    x_train, y_train = x_train[order], y_train[order]
    x_train = x_train[..., np.newaxis].astype("float32") / task.full_scale
    x_test = x_test[..., np.newaxis].astype("float32") / task.full_scale
    return (x_train, y_train), (x_test, y_test)


def build(task: Task, shape: tuple[int, ...]) -> Any:
    """Return the network, compiled."""
    model = keras.Sequential([keras.Input(shape)], name=f"{task.name}_cnn")
    if task.name == "digits":
        model.add(Conv2D(8, (3, 3), activation="relu"))
        model.add(MaxPooling2D((2, 2)))
        model.add(Flatten())
        model.add(Dense(16, activation="relu"))
    else:
        model.add(Conv2D(16, (3, 3), activation="relu"))
        model.add(MaxPooling2D((2, 2)))
        model.add(Conv2D(32, (3, 3), activation="relu"))
        model.add(MaxPooling2D((2, 2)))
        model.add(Flatten())
        model.add(Dropout(0.3))
        model.add(Dense(64, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=task.rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def save_curves(history: Any, path: Path) -> Path:
    """Write loss and accuracy as a picture, or as CSV where matplotlib is missing."""
    try:
        plot_history(history, path)
    except ImportError as error:
        path = path.with_suffix(".csv")
        print(f"No plot: {error}\nThe numbers are in {path} instead.")
        names = list(history.history)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *names])
            rows = zip(*history.history.values(), strict=True)
            writer.writerows([epoch, *row] for epoch, row in enumerate(rows, 1))
    return path


def show(image: Array, probabilities: Array, label: int, shades: str) -> None:
    """Print an image as characters and the probability of each digit beside bars."""
    levels = np.rint(image[..., 0] * (len(shades) - 1)).astype(int)
    for row in levels:
        print(("    " + "".join(shades[level] * 2 for level in row)).rstrip())
    print()
    guess = int(probabilities.argmax())
    for digit, probability in enumerate(probabilities):
        bar = "#" * round(40 * float(probability))
        mark = "  <-" if digit == guess else ""
        print(f"    {digit}: {probability:6.4f} {bar}{mark}".rstrip())
    print(f"\nThe network reads a {guess}; the label says {label}.")


def run(task: Task, epochs: int, out: Path, quiet: bool, seed: int) -> bool:
    """Do it all; return whether the accuracy reached the target."""
    set_random_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    (x_train, y_train), (x_test, y_test) = load(task, seed)
    model = build(task, x_train.shape[1:])
    if not quiet:
        model.summary()

    best_file = out / f"{task.name}_cnn_best.keras"
    start = time.perf_counter()
    history = model.fit(
        x_train,
        to_categorical(y_train, 10),
        batch_size=task.batch_size,
        epochs=epochs,
        validation_split=task.validation_split,
        callbacks=[
            EarlyStopping(
                monitor="val_accuracy",
                patience=task.patience,
                restore_best_weights=True,
                verbose=0 if quiet else 1,
            ),
            ModelCheckpoint(best_file, monitor="val_accuracy", save_best_only=True),
        ],
        verbose=0 if quiet else 1,
    )
    seconds = time.perf_counter() - start
    _, test_accuracy = model.evaluate(x_test, to_categorical(y_test, 10), verbose=0)
    validation_accuracy = max(history.history["val_accuracy"])
    print(
        f"{len(history.epoch)} epochs in {seconds:.1f} s: validation accuracy "
        f"{validation_accuracy:.4f}, test accuracy {test_accuracy:.4f}"
    )

    files = [out / f"{task.name}_cnn.keras", out / f"{task.name}_cnn.lamella"]
    for file in files:
        model.save(file)
    files.append(save_curves(history, out / f"{task.name}_cnn.png"))
    print("Saved " + ", ".join(str(file) for file in [*files, best_file]))

    # What was saved is what was trained: load it, and let it read one image.
    loaded = keras.models.load_model(files[0])
    probabilities = loaded.predict(x_test[:1], verbose=0)[0]
    if not np.array_equal(probabilities, model.predict(x_test[:1], verbose=0)[0]):
        print("The loaded model predicts something else than the saved one.")
        return False
    print()
    show(x_test[0], probabilities, int(y_test[0]), task.shades)

    accuracy = validation_accuracy if task.target_on == "validation" else test_accuracy
    reached = bool(accuracy >= task.target)
    if not reached:
        print(
            f"The {task.target_on} accuracy is {accuracy:.4f}, "
            f"expected at least {task.target}.",
            file=sys.stderr,
        )
    return reached


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m lamella.examples.digits_cnn",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument(
        "--data", choices=sorted(TASKS), default="digits", help="data set"
    )
    parser.add_argument("--epochs", type=int, help="number of epochs at most")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("digits_cnn_out"),
        help="folder for the model and the plot, default: %(default)s",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no summary and no progress bar"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of everything, the split of the rows included; a few seeds split "
        "them so that the digits' target is just missed; default: %(default)s",
    )
    options = parser.parse_args(arguments)
    task = TASKS[options.data]
    epochs = task.epochs if options.epochs is None else options.epochs
    if epochs < 1:
        parser.error(f"argument --epochs: must be at least 1, got {epochs}")
    try:
        reached = run(task, epochs, options.out, options.quiet, options.seed)
    except keras.datasets.DatasetError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
