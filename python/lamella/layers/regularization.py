"""Layers that only act in training: dropout and noise; and ActivityRegularization."""

from __future__ import annotations

import math
from typing import Any

from lamella import _core, config
from lamella.layers._arguments import check_rate
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class _Random(Layer):
    """A layer with a generator of its own, if it draws at all."""

    def _set_seed(self, seed: int | None, draws: bool) -> None:
        from lamella.random import SeedGenerator

        self.seed = seed
        if draws:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


class Dropout(_Random):
    """Sets a fraction of the inputs to 0 in training and scales up the rest.

    The kept inputs are divided by 1 - rate, so that sums keep their expectation.
    Nothing happens at inference.

    Args:
        rate: fraction that is dropped, in [0, 1]; with 1 nothing is left.
        noise_shape: shape of the mask, broadcast over the input; None entries take
            the input's size. Default: the input's shape.
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...

    Raises:
        ValueError: if rate is not in [0, 1].

    Example:
        >>> import lamella as keras
        >>> keras.layers.Dropout(0.5)([1.0, 2.0]).numpy().tolist()
        [1.0, 2.0]
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate(rate, type(self).__name__, top=True)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self._set_seed(seed, self.rate > 0)

    def _mask_shape(self, x: Any) -> Any:
        if self.noise_shape is None:
            return None
        if len(self.noise_shape) != x.ndim:
            raise ValueError(
                f"{self._who()}: noise_shape must have one entry for each axis of the "
                f"input, got noise_shape={self.noise_shape} and an input of rank "
                f"{x.ndim}"
            )
        pairs = zip(self.noise_shape, x.dims, strict=True)
        return tuple(d if n is None else n for n, d in pairs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input with elements dropped, in training."""
        if not training or self.rate == 0:
            return inputs
        x = self._as_float(inputs)
        if self.rate == 1:
            return _core.mul(x, 0.0)
        key = self.seed_generator.next()
        shape = self._mask_shape(x)
        if shape is None:
            return _core.dropout(x, key, self.rate)
        return _core.dropout(x, key, self.rate, shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


class _SpatialDropout(Dropout):
    """Drops whole channels.

    Args:
        rate: fraction of the channels that is dropped, in [0, 1].
        data_format: "channels_last" (default) or "channels_first" (not for 1D).
        seed: integer for a sequence of its own, or None.
        name: name of the layer.
        dtype: "float32" or "float64".
    """

    _rank = 2

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype, **kwargs)
        self.data_format = config.standardize_data_format(
            data_format, type(self).__name__
        )
        self.input_spec = InputSpec(ndim=self._rank + 2)

    def _mask_shape(self, x: Any) -> Any:
        ones = (1,) * self._rank
        if self.data_format == "channels_first":
            return (x.dims[0], x.dims[1], *ones)
        return (x.dims[0], *ones, x.dims[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "rate": self.rate,
            "seed": self.seed,
            "name": self.name,
            "dtype": self.dtype,
            "data_format": self.data_format,
        }


class SpatialDropout1D(_SpatialDropout):
    """Dropout of channels, (batch, steps, channels)."""

    _rank = 1

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, "channels_last", seed, name, dtype, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        base = super().get_config()
        base.pop("data_format")
        return base


class SpatialDropout2D(_SpatialDropout):
    """Dropout of channels of images."""


class SpatialDropout3D(_SpatialDropout):
    """Dropout of channels of volumes."""

    _rank = 3


class GaussianNoise(_Random):
    """Adds normal noise in training.

    Args:
        stddev: standard deviation of the noise, in [0, 1].
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= stddev <= 1:
            raise ValueError(
                f"GaussianNoise: stddev must be in [0, 1], got stddev={stddev!r}. "
                "Scale the data so that the noise is smaller than the data."
            )
        self.stddev = float(stddev)
        self._set_seed(seed, self.stddev > 0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input with noise, in training."""
        if not training or self.stddev == 0:
            return inputs
        x = self._as_float(inputs)
        key = self.seed_generator.next()
        noise = _core.random_normal(key, tuple(x.dims), 0.0, self.stddev, x.dtype)
        return _core.add(x, noise)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(_Random):
    """Multiplies by normal noise of mean 1 and variance rate / (1 - rate) in training.

    Args:
        rate: as of Dropout, in [0, 1).
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate(rate, "GaussianDropout")
        self._set_seed(seed, self.rate > 0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input times noise, in training."""
        if not training or self.rate == 0:
            return inputs
        x = self._as_float(inputs)
        key = self.seed_generator.next()
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        noise = _core.random_normal(key, tuple(x.dims), 1.0, stddev, x.dtype)
        return _core.mul(x, noise)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class AlphaDropout(_Random):
    """Dropout that keeps mean and variance, for SELU networks.

    Args:
        rate: fraction that is dropped, in [0, 1).
        noise_shape: shape of the mask, broadcast over the input, or None.
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...

    Source: Klambauer et al., 2017 (arXiv:1706.02515).
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate(rate, "AlphaDropout")
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self._set_seed(seed, self.rate > 0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input with elements replaced, in training."""
        if not training or self.rate == 0:
            return inputs
        x = self._as_float(inputs)
        shape = tuple(x.dims)
        if self.noise_shape is not None:
            pairs = zip(self.noise_shape, shape, strict=True)
            shape = tuple(d if n is None else n for n, d in pairs)
        low = -1.7580993408473766  # -alpha * scale of SELU
        scale = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5
        key = self.seed_generator.next()
        draw = _core.random_uniform(key, shape, 0.0, 1.0, x.dtype)
        kept = _core.cast(_core.greater_equal(draw, self.rate), x.dtype)
        x = x * kept + (1.0 - kept) * low
        return x * scale - scale * low * self.rate

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


class ActivityRegularization(Layer):
    """Adds l1 * sum|x| + l2 * sum(x^2), divided by the batch size, to the loss.

    Args:
        l1: factor of the absolute values. Default 0.
        l2: factor of the squares. Default 0.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        from lamella import regularizers

        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1 = l1
        self.l2 = l2
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        base = super().get_config()
        base.pop("activity_regularizer", None)
        return {**base, "l1": self.l1, "l2": self.l2}
