"""Your own layer, loss and metric, written with lamella.ops.

They are traced once and then run in C++ like the built-in ones.

Run: python examples/python/custom_layer.py
"""

from __future__ import annotations

from typing import Any

import lamella as keras
from lamella import ops
from lamella.layers import Dense, Input, Layer


@keras.saving.register_keras_serializable(package="examples")
class RadialBasis(Layer):
    """Gaussian bumps: exp(-s_j * |x - c_j|^2) with trained centres and widths."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, now that the number of inputs is known."""
        self.centres = self.add_weight(
            shape=(self.units, input_shape[-1]),
            initializer=keras.initializers.RandomUniform(-1.5, 1.5),
            name="centres",
        )
        self.sharpness = self.add_weight(
            shape=(self.units,), initializer="ones", name="sharpness"
        )

    def call(self, inputs: Any) -> Any:
        """Say what the layer computes; this is traced once."""
        # (batch, 1, features) - (units, features) -> (batch, units, features)
        distance = ops.expand_dims(inputs, 1) - self.centres
        squared = ops.sum(ops.square(distance), axis=-1)
        return ops.exp(-ops.softplus(self.sharpness) * squared)

    def get_config(self) -> dict[str, Any]:
        """Return what __init__ needs to make the layer again from a file."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="examples")
def focal_loss(y_true: Any, y_pred: Any) -> Any:
    """Cross-entropy that cares less about points that are classified well."""
    y_pred = ops.clip(y_pred, 1e-7, 1 - 1e-7)
    right = y_true * y_pred + (1 - y_true) * (1 - y_pred)
    return ops.mean(-ops.square(1 - right) * ops.log(right), axis=-1)


@keras.saving.register_keras_serializable(package="examples")
def sureness(y_true: Any, y_pred: Any) -> Any:
    """Mean distance of the prediction from one half, times two."""
    return ops.mean(2 * ops.abs(y_pred - 0.5), axis=-1)


def main(filename: str | None = None) -> float:
    keras.utils.set_random_seed(1)
    (x_train, y_train), (x_test, y_test) = keras.datasets.moons.load_data()

    model = keras.Sequential(
        [Input((2,)), RadialBasis(24), Dense(1, activation="sigmoid")]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.02),
        loss=focal_loss,
        metrics=["accuracy", sureness],
    )
    model.fit(x_train, y_train[:, None], epochs=60, verbose=0)
    results = model.evaluate(x_test, y_test[:, None], verbose=0, return_dict=True)
    print(", ".join(f"{name} {value:.4f}" for name, value in results.items()))

    if filename is not None:
        # Registered classes and functions are found again by their names.
        model.save(filename)
        loaded = keras.models.load_model(filename)
        again = loaded.evaluate(x_test, y_test[:, None], verbose=0, return_dict=True)
        assert again == results
    return results["accuracy"]


if __name__ == "__main__":
    main()
