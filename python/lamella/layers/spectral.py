"""SpectralNormalization: a layer whose kernel is kept at spectral norm 1."""

from __future__ import annotations

from typing import Any

from lamella import _core, initializers, ops
from lamella.layers._arguments import positive
from lamella.layers.input_spec import InputSpec
from lamella.layers.wrappers import Wrapper

__all__ = ["SpectralNormalization"]


class SpectralNormalization(Wrapper):
    """Divides the kernel of a layer by its largest singular value in training.

    The kernel itself is replaced before each training step; a power iteration, whose
    vector is a weight of this layer, follows the singular value.

    Args:
        layer: a layer with `kernel` or `embeddings`.
        power_iterations: number of iterations in a step. Default 1.
        **kwargs: `name`, `dtype`, ...

    Raises:
        ValueError: if the layer has neither weight, or power_iterations is below 1.

    Source: Miyato et al., 2018 (arXiv:1802.05957), algorithm 1.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.power_iterations = positive(
            power_iterations, "power_iterations", "SpectralNormalization"
        )

    def build(self, input_shape: Any = None) -> None:
        """Build the layer and make the vector of the power iteration."""
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        kernel = getattr(self.layer, "kernel", None)
        if kernel is None:
            kernel = getattr(self.layer, "embeddings", None)
        if kernel is None:
            raise ValueError(
                f"{self._who()}: expected a layer with a kernel or embeddings, got "
                f"{self.layer!r}"
            )
        self.kernel = kernel
        self.vector_u = self.add_weight(
            shape=(1, kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
            name="vector_u",
            dtype=kernel.dtype,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the layer's output; in training its kernel is normalized first."""
        if training:
            vector, kernel = self.normalized_weights()
            self.vector_u.assign(vector)
            # The gradient passes the division by: it is that of the new kernel.
            old = self.kernel.value
            change = _core.stop_gradient(_core.sub(kernel, old))
            self.kernel.assign(_core.add(old, change))
        return self.layer(inputs)

    def normalized_weights(self) -> tuple[Any, Any]:
        """Return the next vector and the kernel divided by its singular value.

        A kernel of zeros has none and stays as it is, and so does the vector.
        """
        kernel = _core.stop_gradient(self.kernel.value)
        matrix = ops.reshape(kernel, (-1, self.kernel.shape[-1]))
        start = vector = self.vector_u.value
        for _ in range(self.power_iterations):
            other = _unit(_core.matmul(vector, ops.transpose(matrix)))
            vector = _unit(_core.matmul(other, matrix))
        norm = _core.matmul(_core.matmul(other, matrix), ops.transpose(vector))
        norm = ops.reshape(norm, ())
        empty = ops.all(ops.equal(kernel, 0.0))
        norm = _core.where(empty, ops.ones_like(norm), norm)
        return _core.where(empty, start, vector), _core.div(kernel, norm)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the layer's output shape."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _unit(x: Any) -> Any:
    """Return `x` divided by its length; zeros stay zeros."""
    square = _core.sum(_core.mul(x, x), None, False)
    return _core.mul(x, _core.rsqrt(_core.maximum(square, 1e-12)))
