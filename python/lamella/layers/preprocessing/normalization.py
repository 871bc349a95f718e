"""Rescaling and Normalization: shift and scale numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from lamella import _core, config
from lamella.layers.layer import Layer
from lamella.variable import Variable

from ._common import to_numpy

__all__ = ["Normalization", "Rescaling"]


class Rescaling(Layer):
    """output = input * scale + offset, for example Rescaling(1 / 255).

    Args:
        scale: factor, a number or a list.
        offset: added afterwards. Default 0.
        **kwargs: `name`, `dtype`, ...

    Example:
        >>> import lamella as keras
        >>> keras.layers.Rescaling(2.0, offset=1.0)([1.0, 2.0]).numpy().tolist()
        [3.0, 5.0]
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return inputs * scale + offset."""
        x = inputs if inputs.dtype == self.dtype else _core.cast(inputs, self.dtype)
        scale = np.asarray(self.scale)
        if scale.ndim and config.image_data_format() == "channels_first":
            scale = scale.reshape(scale.shape + (1,) * (3 - scale.ndim))
        scaled = _core.mul(x, _constant(scale, self.dtype))
        return _core.add(scaled, _constant(self.offset, self.dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        from lamella.saving import serialize_keras_object

        return {
            **super().get_config(),
            "scale": serialize_keras_object(self.scale),
            "offset": serialize_keras_object(self.offset),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a layer as `get_config` described it."""
        from lamella.saving import deserialize_keras_object

        config = dict(config)
        for key in ("scale", "offset"):
            config[key] = deserialize_keras_object(config.get(key, 0.0))
        return cls(**config)


class Normalization(Layer):
    """Shifts and scales features to mean 0 and variance 1.

    Give `mean` and `variance`, or call `adapt(data)` before training.

    Args:
        axis: axis or axes that keep a mean and a variance of their own; None: one
            for all. Default -1.
        mean: known mean or None.
        variance: known variance or None.
        invert: whether to undo the normalization instead.
        **kwargs: `name`, `dtype`, ...

    Raises:
        ValueError: if only one of mean and variance is given, or they do not fit the
            axes.

    Example:
        >>> import lamella as keras, numpy as np
        >>> layer = keras.layers.Normalization(axis=None)
        >>> layer.adapt(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        >>> layer([3.0]).numpy().tolist()
        [0.0]
    """

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if axis is None:
            axis = ()
        self.axis: tuple[int, ...] = (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError(
                f"Normalization: give mean and variance together, got mean={mean!r}, "
                f"variance={variance!r}"
            )
        if np.shape(mean) != np.shape(variance):
            raise ValueError(
                "Normalization: mean and variance must have the same shape, got "
                f"{np.shape(mean)} and {np.shape(variance)}"
            )
        if len(np.shape(mean)) > len(self.axis):
            raise ValueError(
                f"Normalization: mean must have at most {len(self.axis)} axes, as "
                f"axis={axis!r} says, got shape {np.shape(mean)}"
            )
        self.input_mean = mean
        self.input_variance = variance
        self.supports_masking = True
        self.invert = bool(invert)
        self.adapt_mean: Any = None
        self.adapt_variance: Any = None
        self.count: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the statistics, of the size of the kept axes."""
        rank = len(input_shape)
        if any(not -rank <= a < rank for a in self.axis):
            raise ValueError(
                f"{self._who()}: axis={self.axis} is not in [-{rank}, {rank}), the "
                f"input has shape {tuple(input_shape)}"
            )
        self._keep = tuple(sorted(a % rank for a in self.axis))
        shape = tuple(input_shape[a] for a in self._keep)
        if None in shape:
            raise ValueError(
                f"{self._who()}: the kept axes {self.axis} must have a known size, the "
                f"input has shape {tuple(input_shape)}"
            )
        self._broadcast = tuple(
            input_shape[a] if a in self._keep else 1 for a in range(rank)
        )
        self._reduce = tuple(a for a in range(rank) if a not in self._keep)
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(
                shape=shape, initializer="zeros", trainable=False, name="mean"
            )
            self.adapt_variance = self.add_weight(
                shape=shape, initializer="ones", trainable=False, name="variance"
            )
            self.count = self.add_weight(
                shape=(),
                initializer="zeros",
                dtype="int32",
                trainable=False,
                name="count",
            )

    # -- statistics of data ---------------------------------------------------

    def adapt(self, data: Any) -> None:
        """Take mean and variance from data.

        Args:
            data: an array of samples; or an iterable (a dataset, a generator, a list
                of arrays) of batches x or (x, y, ...), whose statistics are merged.

        Raises:
            ValueError: if mean and variance are given, there are no data, or their
                shape is another than the layer was built for.
            TypeError: for something else.
        """
        if self.input_mean is not None:
            raise ValueError(
                f"{self._who()}: adapt cannot be used when mean and variance are given"
            )
        if isinstance(data, np.ndarray | _core.Tensor | Variable) or hasattr(
            data, "__array__"
        ):
            array = to_numpy(data)
            self._fit_shape(array.shape)
            self._set(
                np.mean(array, axis=self._reduce), np.var(array, axis=self._reduce)
            )
            return
        if not hasattr(data, "__iter__"):
            raise TypeError(
                f"{self._who()}: adapt expects an array or an iterable of batches, got "
                f"{type(data).__name__}"
            )
        batches = self._batches(data)
        first = next(batches, None)
        if first is None:
            raise ValueError(f"{self._who()}: adapt got no data: there is no batch")
        self._fit_shape(first.shape)
        mean = np.zeros(self.adapt_mean.shape, self.dtype)
        variance, count = mean, 0
        for batch in itertools.chain([first], batches):
            self._fit_shape(batch.shape)
            rows = int(np.prod([batch.shape[a] for a in self._reduce], dtype=int))
            count += rows
            new = rows / count
            old = 1.0 - new
            batch_mean = batch.mean(axis=self._reduce)
            merged = mean * old + batch_mean * new
            variance = (variance + (mean - merged) ** 2) * old + (
                batch.var(axis=self._reduce) + (batch_mean - merged) ** 2
            ) * new
            mean = merged
        self._set(mean, variance)

    def _batches(self, data: Any) -> Iterator[np.ndarray]:
        """Yield the inputs of batches; single samples of a dataset are stacked."""
        from lamella.utils.dataset import Dataset

        if isinstance(data, Dataset):
            first: Any = next(iter(data), None)
            if np.ndim(first[0] if isinstance(first, tuple) else first) == 1:
                data = data.batch(128)
        for batch in data:
            x = batch[0] if isinstance(batch, tuple) else batch
            if not hasattr(x, "shape"):
                raise TypeError(
                    f"{self._who()}: adapt expects batches that are arrays, got one of "
                    f"type {type(x).__name__}"
                )
            yield to_numpy(x).astype(self.dtype)

    def _fit_shape(self, shape: tuple[int, ...]) -> None:
        """Build for data of this shape, or compare it with what was built."""
        if not self.built:
            self._build_once(tuple(shape))
        rank = len(self._broadcast)
        if len(shape) != rank or any(
            shape[a] != self._broadcast[a] for a in self._keep
        ):
            raise ValueError(
                f"{self._who()}: it was built for input of shape {self._build_shape}, "
                f"adapt got data of shape {tuple(shape)}"
            )

    def _set(self, mean: Any, variance: Any) -> None:
        self.adapt_mean.assign(np.asarray(mean, self.dtype))
        self.adapt_variance.assign(np.asarray(variance, self.dtype))

    # -- use -------------------------------------------------------------------

    def _spread(self, value: Any) -> Any:
        """Return a given mean or variance in the shape of the input."""
        array = np.asarray(value, self.dtype)
        if array.ndim:
            shape = [1] * len(self._broadcast)
            for i in range(1, array.ndim + 1):
                shape[self._keep[-i]] = array.shape[-i]
            array = array.reshape(shape)
        return np.broadcast_to(array, self._broadcast)

    @property
    def mean(self) -> Any:
        """The mean in the shape of the input (1 along the other axes), or None."""
        return self._statistic(self.input_mean, self.adapt_mean)

    @property
    def variance(self) -> Any:
        """The variance in the shape of the input, or None before `build`."""
        return self._statistic(self.input_variance, self.adapt_variance)

    def _statistic(self, given: Any, weight: Any) -> Any:
        if not self.built:
            return None
        if given is not None:
            return _core.from_numpy(np.ascontiguousarray(self._spread(given)))
        return _core.reshape(weight.value, self._broadcast)

    def call(self, inputs: Any) -> Any:
        """Return (inputs - mean) / sqrt(variance)."""
        x = inputs if inputs.dtype == self.dtype else _core.cast(inputs, self.dtype)
        mean = self.mean
        scale = _core.maximum(_core.sqrt(self.variance), config.epsilon())
        if self.invert:
            return _core.add(mean, _core.mul(x, scale))
        return _core.div(_core.sub(x, mean), scale)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": np.array(self.input_mean).tolist(),
            "variance": np.array(self.input_variance).tolist(),
        }


def _constant(value: Any, dtype: str) -> Any:
    array = np.asarray(value, dtype=dtype)
    return float(array) if array.ndim == 0 else _core.from_numpy(array)
