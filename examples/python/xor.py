"""XOR: the smallest problem that a network without hidden layer cannot solve.

Run: python examples/python/xor.py
"""

from __future__ import annotations

import numpy as np

import lamella as keras
from lamella.layers import Dense, Input


def main() -> float:
    keras.utils.set_random_seed(3)

    # The whole truth table is the data set: there is nothing to validate on.
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
    y = np.array([0, 1, 1, 0], dtype="float32")

    # Two hidden units would do, but they often get stuck; eight never do here.
    model = keras.Sequential(
        [Input((2,)), Dense(8, activation="tanh"), Dense(1, activation="sigmoid")]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.05),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )

    # With verbose=0 and no callback all epochs run in C++, without Python between.
    history = model.fit(x, y, batch_size=4, epochs=500, verbose=0)

    for point, probability in zip(x, model.predict(x, verbose=0)[:, 0], strict=True):
        print(f"{point[0]:.0f} xor {point[1]:.0f} -> {probability:.4f}")
    print(f"loss {history.history['loss'][0]:.4f} -> {history.history['loss'][-1]:.2e}")
    return history.history["accuracy"][-1]


if __name__ == "__main__":
    main()
