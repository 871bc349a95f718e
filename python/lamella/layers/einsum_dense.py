"""EinsumDense: a Dense layer whose product is written as an equation."""

from __future__ import annotations

import re
from typing import Any

from lamella import _core, activations, constraints, initializers, ops, regularizers
from lamella.layers._arguments import config_of
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer

__all__ = ["EinsumDense"]

_FORMS = (
    r"(?P<x>[a-zA-Z]+),(?P<w>[a-zA-Z]+)->(?P<y>[a-zA-Z]+)",
    r"(?P<left>\.\.\.)(?P<x>[a-zA-Z]+),(?P<w>[a-zA-Z]+)->\.\.\.(?P<y>[a-zA-Z]+)",
    r"(?P<x>[a-zA-Z]{2,})\.\.\.,(?P<w>[a-zA-Z]+)->(?P<y>[a-zA-Z]+)\.\.\.",
)


class EinsumDense(Layer):
    """output = activation(einsum(equation, input, kernel) + bias).

    Args:
        equation: "abc,cd->abd", "...x,xy->...y" or "ab...,bc->ac...": the input, the
            kernel, the output.
        output_shape: shape of the output without the batch axis (and without what an
            ellipsis stands for); None entries take the input's size.
        activation: name, function or None.
        bias_axes: letters of the output's axes that the bias has, or None: no bias.
        kernel_initializer: default "glorot_uniform".
        bias_initializer: default "zeros".
        kernel_regularizer: name, Regularizer or None.
        bias_regularizer: name, Regularizer or None.
        activity_regularizer: name, Regularizer or None.
        kernel_constraint: name, Constraint or None.
        bias_constraint: name, Constraint or None.
        lora_rank: must be None.
        lora_alpha: must be None.
        quantization_config: must be None.
        **kwargs: `name`, `dtype`, ...

    Raises:
        ValueError: for an equation of another form, or shapes that do not fit it.
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        for name, value in (
            ("lora_rank", lora_rank),
            ("lora_alpha", lora_alpha),
            ("quantization_config", quantization_config),
        ):
            if value is not None:
                raise ValueError(f"EinsumDense: {name}={value!r} is not supported")
        self.equation = equation
        shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.partial_output_shape = tuple(shape)
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Any = None
        self.bias: Any = None

    def _shapes(self, input_shape: Any) -> tuple[Any, Any, Any]:
        """Return the shapes of kernel, bias (or None) and output."""
        text = self.equation.replace(" ", "")
        match = next((m for f in _FORMS if (m := re.fullmatch(f, text))), None)
        if match is None:
            raise ValueError(
                f"{self._who()}: the equation must look like 'ab,bc->ac', "
                f"'...b,bc->...c' or 'ab...,bc->ac...', got {self.equation!r}"
            )
        x, w, y = match["x"], match["w"], match["y"]
        left = "left" in match.groupdict() and match["left"] is not None
        hidden = len(input_shape) - len(x)  # axes that the ellipsis stands for
        output = [input_shape[0], *self.partial_output_shape]
        if left:
            output[1:1] = input_shape[1:hidden]
        else:
            output += input_shape[len(x) :]
        first = hidden if left else 0
        sizes_x = {c: input_shape[i + first] for i, c in enumerate(x)}
        if len(output) < first + len(y):
            raise ValueError(
                f"{self._who()}: output_shape={self.partial_output_shape} has too few "
                f"entries for the equation {self.equation!r}"
            )
        sizes_y = {c: output[i + first] for i, c in enumerate(y)}
        for c in set(x) & set(y):
            if sizes_y[c] is not None and sizes_y[c] != sizes_x[c]:
                raise ValueError(
                    f"{self._who()}: the axis {c!r} has size {sizes_x[c]} in the input "
                    f"and {sizes_y[c]} in the output"
                )
        for where, letters in (("output", y), ("kernel", w)):
            for c in letters:
                if (where == "output" and c not in x and c not in w) or (
                    where == "kernel" and c not in x and c not in y
                ):
                    raise ValueError(
                        f"{self._who()}: the {where}'s axis {c!r} occurs nowhere else "
                        f"in {self.equation!r}"
                    )
        kernel = tuple(sizes_y[c] if c in y else sizes_x[c] for c in w)
        self._fans = (
            [i for i, c in enumerate(w) if c not in y],
            [i for i, c in enumerate(w) if c in y],
        )
        if self.bias_axes is None:
            return kernel, None, tuple(output)
        for c in self.bias_axes:
            if c not in y:
                raise ValueError(
                    f"{self._who()}: bias_axes={self.bias_axes!r} has the axis {c!r}, "
                    f"which the output of {self.equation!r} does not have"
                )
        start = min(y.index(c) for c in self.bias_axes)
        bias = [sizes_y[c] if c in self.bias_axes else 1 for c in y[start:]]
        bias += [] if left else [1] * hidden
        return kernel, tuple(bias), tuple(output)

    def build(self, input_shape: Any) -> None:
        """Make the kernel and the bias."""
        kernel, bias, _ = self._shapes(tuple(input_shape))
        initializer = self.kernel_initializer
        if hasattr(initializer, "input_axes"):
            config = initializer.get_config()
            if config.get("input_axes") is None or config.get("output_axes") is None:
                config.update(input_axes=self._fans[0], output_axes=self._fans[1])
                initializer = type(initializer).from_config(config)
        self.kernel = self.add_weight(
            shape=kernel,
            name="kernel",
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if bias is not None:
            self.bias = self.add_weight(
                shape=bias,
                name="bias",
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=len(input_shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        return self._shapes(tuple(input_shape))[2]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return activation(einsum(equation, inputs, kernel) + bias)."""
        del training
        y = ops.einsum(self.equation, self._as_float(inputs), self.kernel.value)
        if self.bias is not None:
            y = _core.add(y, self.bias.value)
        return y if self.activation is None else self.activation(y)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        base = super().get_config()
        activity = base.pop("activity_regularizer", None)
        return {
            **base,
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            **config_of(
                self,
                "activation",
                "bias_axes",
                "kernel_initializer",
                "bias_initializer",
                "kernel_regularizer",
                "bias_regularizer",
            ),
            "activity_regularizer": activity,
            **config_of(self, "kernel_constraint", "bias_constraint"),
            "quantization_config": None,
        }
