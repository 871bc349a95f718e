"""Write the golden files of this folder with the real Keras.

Run: KERAS_BACKEND=jax python make_golden.py   (Keras 3.15.1; see README.md)

For each model: NAME.keras, NAME.h5, NAME.weights.h5 after a few training steps, and
NAME.npz with x, y, prediction, weight_0, ... (model.get_weights()) and, where the
model has no dropout, after_0, ...: the weights after three further epochs of one
batch each, shuffle=False. To keep the folder small, some archives are packed again
with deflate and some formats are left out (see FILES).
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

HERE = Path(__file__).parent
SEED = 1234
FILES = {
    "mlp": (".keras", ".h5", ".weights.h5"),
    "cnn": (".keras", ".h5", ".weights.h5"),
    "functional": (".keras", ".h5"),
    "recurrent": (".keras",),
}
PACKED = ("functional", "recurrent")  # .keras with deflate, as other tools re-zip it


def mlp() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """Dense classifier, Adam, string loss and metric."""
    rng = np.random.default_rng(SEED)
    model = keras.Sequential(
        [
            keras.layers.Input((5,)),
            keras.layers.Dense(8, activation="relu", name="hidden"),
            keras.layers.Dense(6, activation="tanh", kernel_regularizer="l2"),
            keras.layers.Dense(3, activation="softmax", name="class"),
        ],
        name="mlp",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    x = rng.normal(size=(32, 5)).astype("float32")
    return model, x, rng.integers(0, 3, size=32).astype("int32")


def cnn() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """The lecture's convolutional net with BatchNormalization and Dropout."""
    rng = np.random.default_rng(SEED + 1)
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(4, (3, 3), activation="relu", padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D((2, 2)),
            keras.layers.Dropout(0.25, seed=7),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="cnn",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=[keras.metrics.CategoricalAccuracy()],
    )
    x = rng.random(size=(8, 8, 8, 1)).astype("float32")
    y = np.eye(10, dtype="float32")[rng.integers(0, 10, size=8)]
    return model, x, y


def functional() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """Functional graph with a skip, a concatenation and momentum SGD."""
    rng = np.random.default_rng(SEED + 2)
    inputs = keras.Input((6,), name="features")
    a = keras.layers.Dense(6, activation="relu", name="a")(inputs)
    a = keras.layers.BatchNormalization(name="norm")(a)
    skip = keras.layers.Add(name="skip")([a, inputs])
    b = keras.layers.Dense(4, activation="elu", name="b")(inputs)
    both = keras.layers.Concatenate(name="both")([skip, b])
    out = keras.layers.Dense(1, name="out")(both)
    model = keras.Model(inputs, out, name="functional")
    model.compile(
        optimizer=keras.optimizers.SGD(
            learning_rate=keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.9),
            momentum=0.9,
            nesterov=True,
        ),
        loss="mse",
        metrics=["mae"],
    )
    x = rng.normal(size=(24, 6)).astype("float32")
    return model, x, rng.normal(size=(24, 1)).astype("float32")


def recurrent() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """Embedding, Bidirectional LSTM and GRU: variables below inner cells."""
    rng = np.random.default_rng(SEED + 3)
    model = keras.Sequential(
        [
            keras.layers.Input((7,), dtype="int32"),
            keras.layers.Embedding(11, 4),
            keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)),
            keras.layers.GRU(4),
            keras.layers.Dense(1, activation="sigmoid"),
        ],
        name="recurrent",
    )
    model.compile(optimizer="rmsprop", loss="binary_crossentropy")
    x = rng.integers(0, 11, size=(16, 7)).astype("int32")
    return model, x, rng.integers(0, 2, size=(16, 1)).astype("float32")


def write(name: str, model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Train a little, save in all formats, then train on and keep the weights."""
    options = {"batch_size": len(x), "shuffle": False, "verbose": 0}
    model.fit(x, y, epochs=4, **options)
    for suffix in FILES[name]:
        save = model.save_weights if "weights" in suffix else model.save
        save(HERE / (name + suffix))
    if name in PACKED:
        pack(HERE / f"{name}.keras")
    arrays = {"x": x, "y": y, "prediction": np.asarray(model.predict(x, verbose=0))}
    for i, value in enumerate(model.get_weights()):
        arrays[f"weight_{i}"] = value
    if not any(isinstance(layer, keras.layers.Dropout) for layer in model.layers):
        model.fit(x, y, epochs=3, **options)
        for i, value in enumerate(model.get_weights()):
            arrays[f"after_{i}"] = value
    np.savez_compressed(HERE / (name + ".npz"), **arrays)


def pack(path: Path) -> None:
    """Write a zip archive again, compressed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def main() -> None:
    """Write all golden files."""
    for make in (mlp, cnn, functional, recurrent):
        keras.backend.clear_session()
        keras.utils.set_random_seed(SEED)
        write(make.__name__, *make())


if __name__ == "__main__":
    main()
