"""Function: the computation between placeholders, without a model around it."""

from __future__ import annotations

from typing import Any

from lamella.layers.operation import Operation
from lamella.models.functional import Functional

__all__ = ["Function"]


class Function(Operation):
    """What leads from input placeholders to output placeholders, callable on values.

    Args:
        inputs: a placeholder, or a list or dict of them.
        outputs: what layers and operations made of them.
        name: default "function", ...

    Raises:
        ValueError: if an output does not depend on the inputs only.

    Example:
        >>> import lamella as keras
        >>> x = keras.Input((2,))
        >>> double = keras.Function(x, x * 2)
        >>> double(keras.ops.ones((1, 2))).numpy().tolist()
        [[2.0, 2.0]]
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._model = Functional(inputs, outputs, name=self.name)

    @property
    def inputs(self) -> list[Any]:
        """The input placeholders as a list."""
        return self._model.inputs

    @property
    def outputs(self) -> list[Any]:
        """The output placeholders as a list."""
        return self._model.outputs

    @property
    def input(self) -> Any:
        """The input placeholders in their structure."""
        return self._model.input

    @property
    def output(self) -> Any:
        """The output placeholders in their structure."""
        return self._model.output

    @property
    def operations(self) -> list[Any]:
        """The layers and operations in the order in which they run."""
        return list(self._model._operations)

    def call(self, inputs: Any) -> Any:
        """Return the outputs for these inputs."""
        return self._model(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shapes of the outputs for inputs of these shapes."""
        return self._model.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Refused: save a Model instead."""
        raise NotImplementedError(
            f"{self._who()}: a Function cannot be saved; save Model(inputs, outputs)"
        )
