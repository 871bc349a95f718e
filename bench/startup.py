"""One measurement in a fresh process: python startup.py PEER THREADS WHAT.

WHAT is "import" (the import statement), "xor" (imports, builds and trains the XOR net,
for the time of the whole process), or "first_step" (the convnet's first fit call to the
end of its first step, less a later step). Prints {"seconds": ...} as JSON; run.py takes
the time of the process for "xor". A peer without WHAT prints {"unsupported": ...}.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any

XOR_EPOCHS = 500


def import_peer(peer: str) -> Any:
    """The module that a program with this peer imports."""
    if peer == "lamella":
        import lamella

        return lamella
    if peer.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = peer.removeprefix("keras-")
        import keras

        return keras
    if peer == "torch":
        import torch

        return torch
    if peer == "scikit-learn":
        import sklearn.neural_network

        return sklearn.neural_network
    return None


def xor(peer: str, module: Any) -> None:
    """Trains a 2-8-1 network on the four rows until it knows them."""
    import numpy as np

    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    if peer == "torch":
        nn = module.nn
        module.manual_seed(1)
        net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = module.optim.Adam(net.parameters(), lr=0.05, fused=True)
        a, b = module.from_numpy(x), module.from_numpy(y)
        for _ in range(XOR_EPOCHS):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(net(a), b).backward()
            optimizer.step()
        predicted = net(a).detach().numpy() > 0
    elif peer == "scikit-learn":
        net = module.MLPClassifier(
            [8], activation="tanh", learning_rate_init=0.05, max_iter=XOR_EPOCHS,
            n_iter_no_change=XOR_EPOCHS, alpha=0, random_state=1,
        )  # fmt: skip
        predicted = net.fit(x, y[:, 0]).predict(x)[:, None]
    else:
        module.utils.set_random_seed(1)
        layers = module.layers
        net = module.Sequential(
            [
                module.Input((2,)),
                layers.Dense(8, activation="tanh"),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        net.compile(module.optimizers.Adam(0.05), "binary_crossentropy")
        net.fit(x, y, epochs=XOR_EPOCHS, batch_size=4, verbose=0)
        predicted = net.predict(x, verbose=0) > 0.5
    assert (predicted == y).all(), predicted


def first_step(keras: Any) -> float:
    """Seconds before the convnet's first step that later steps do not take."""
    import numpy as np

    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    net.compile("adam", "categorical_crossentropy")
    x = np.zeros((1280, 28, 28, 1), np.float32)
    y = np.eye(10, dtype=np.float32)[np.arange(1280) % 10]
    ends: list[float] = []

    class Clock(keras.callbacks.Callback):
        """Notes when each step ended."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            ends.append(time.perf_counter())

    begin = time.perf_counter()
    net.fit(x, y, batch_size=128, verbose=0, callbacks=[Clock()])
    steps = [b - a for a, b in itertools.pairwise(ends)]
    return ends[0] - begin - min(steps)


def main() -> None:
    peer, threads, what = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    # Libraries print what they like: the answer gets a descriptor of its own.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    begin = time.perf_counter()
    module = import_peer(peer)
    seconds = time.perf_counter() - begin
    answer: dict[str, Any] = {}
    if module is None:
        answer["unsupported"] = f"{peer} has no {what}"
    elif what == "xor":
        xor(peer, module)
    elif what == "first_step":
        if hasattr(module, "Sequential"):
            seconds = first_step(module)
        else:
            answer["unsupported"] = f"{peer} has no fit"
    print(json.dumps(answer or {"seconds": seconds}), file=replies, flush=True)
    replies.close()
    os._exit(0)  # a trained net is what is timed, not the tidying up


if __name__ == "__main__":
    main()
