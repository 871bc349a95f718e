"""Pooling: the maximum or the mean of windows, or of whole images."""

from __future__ import annotations

from typing import Any

from lamella import _core, config
from lamella.layers._arguments import integers
from lamella.layers.convolution import (
    check_padding,
    to_channels_first,
    to_channels_last,
    window_output,
)
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer
from lamella.ops.neural import adaptive_average_pool, adaptive_max_pool

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


class _Pooling(Layer):
    """One value for each window.

    Args:
        pool_size: size of the window, an int or one for each axis.
        strides: step of the window; None: pool_size.
        padding: "valid" (incomplete windows are left out) or "same".
        data_format: "channels_last" (default) or "channels_first".
        name: name of the layer.
        **kwargs: `dtype`, `input_shape`, ...

    Input shape: (batch, sizes..., channels).
    Output shape: (batch, sizes..., channels); with "same" a size is
        ceil(size / stride), with "valid" (size - pool_size) // stride + 1.
    """

    _rank = 2

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        who, rank = type(self).__name__, self._rank
        self.pool_size = integers(pool_size, rank, "pool_size", who)
        self.strides = (
            self.pool_size
            if strides is None
            else integers(strides, rank, "strides", who)
        )
        self.padding = check_padding(padding, who, ("valid", "same"))
        self.data_format = config.standardize_data_format(data_format, who)
        self.input_spec = InputSpec(ndim=rank + 2)
        self.built = True

    def _pool(self, x: Any) -> Any:
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        """Return the pooled input."""
        x = self._as_float(inputs)
        if self.data_format == "channels_first":
            x = to_channels_last(x)
        self._check_size(x.shape)
        x = self._pool(x)
        return to_channels_first(x) if self.data_format == "channels_first" else x

    def _check_size(self, shape: Any) -> None:
        if self.padding != "valid":
            return
        for i, window in enumerate(self.pool_size):
            if shape[i + 1] is not None and shape[i + 1] < window:
                raise ValueError(
                    f"{self._who()}: the window {self.pool_size} is larger than the "
                    f"input, whose size is {tuple(shape[1:-1])}. Use fewer pooling "
                    "layers or padding='same'."
                )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        first = self.data_format == "channels_first"
        spatial = input_shape[2:] if first else input_shape[1:-1]
        self._check_size((input_shape[0], *spatial, None))
        sizes = tuple(
            window_output(s, p, t, self.padding)
            for s, p, t in zip(spatial, self.pool_size, self.strides, strict=True)
        )
        if first:
            return (*input_shape[:2], *sizes)
        return (input_shape[0], *sizes, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }


class _MaxPooling(_Pooling):
    def _pool(self, x: Any) -> Any:
        return _core.max_pool(x, self.pool_size, self.strides, self.padding)


class _AveragePooling(_Pooling):
    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def _pool(self, x: Any) -> Any:
        return _core.avg_pool(x, self.pool_size, self.strides, self.padding)


class MaxPooling1D(_MaxPooling):
    """Maximum over windows of (batch, steps, channels)."""

    _rank = 1


class MaxPooling2D(_MaxPooling):
    """Maximum over windows of (batch, h, w, channels)."""


class MaxPooling3D(_MaxPooling):
    """Maximum over windows of volumes."""

    _rank = 3


class AveragePooling1D(_AveragePooling):
    """Mean over windows of (batch, steps, channels)."""

    _rank = 1


class AveragePooling2D(_AveragePooling):
    """Mean over windows of (batch, h, w, channels)."""


class AveragePooling3D(_AveragePooling):
    """Mean over windows of volumes."""

    _rank = 3


class _GlobalPooling(Layer):
    """One value for each channel.

    Args:
        data_format: "channels_last" (default) or "channels_first".
        keepdims: keep the pooled axes with size 1. Default False.
        **kwargs: `name`, `dtype`, ...
    """

    _rank = 2

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(
            data_format, type(self).__name__
        )
        self.keepdims = bool(keepdims)
        self.input_spec = InputSpec(ndim=self._rank + 2)
        self.built = True

    def _reduce(self, x: Any, axes: tuple[int, ...]) -> Any:
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        """Return the pooled input."""
        start = 1 if self.data_format == "channels_last" else 2
        axes = tuple(range(start, start + self._rank))
        return self._reduce(self._as_float(inputs), axes)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        last = self.data_format == "channels_last"
        channels = input_shape[-1] if last else input_shape[1]
        ones = (1,) * self._rank if self.keepdims else ()
        if last:
            return (input_shape[0], *ones, channels)
        return (input_shape[0], channels, *ones)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }


class _GlobalMax(_GlobalPooling):
    def _reduce(self, x: Any, axes: tuple[int, ...]) -> Any:
        return _core.max(x, axes, self.keepdims)


class _GlobalAverage(_GlobalPooling):
    def _reduce(self, x: Any, axes: tuple[int, ...]) -> Any:
        return _core.mean(x, axes, self.keepdims)


class GlobalMaxPooling1D(_GlobalMax):
    """Maximum over the steps."""

    _rank = 1


class GlobalMaxPooling2D(_GlobalMax):
    """Maximum over each image."""


class GlobalAveragePooling1D(_GlobalAverage):
    """Mean over the steps; steps whose mask is False are left out."""

    _rank = 1

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mean of the steps whose mask is True."""
        if mask is None:
            return super().call(inputs)
        x = self._as_float(inputs)
        steps, channels = (1, 2) if self.data_format == "channels_last" else (2, 1)
        kept = _core.cast(_core.expand_dims(mask, channels), "bool")
        total = _core.sum(_core.where(kept, x, 0.0), steps, self.keepdims)
        return total / _core.sum(_core.cast(kept, x.dtype), steps, self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return None: no steps are left."""
        return None


class GlobalAveragePooling2D(_GlobalAverage):
    """Mean over each image."""


class GlobalMaxPooling3D(_GlobalMax):
    """Maximum over each volume."""

    _rank = 3


class GlobalAveragePooling3D(_GlobalAverage):
    """Mean over each volume."""

    _rank = 3


class _AdaptivePooling(Layer):
    """Pools images of any size to a given size.

    Window i of n reaches from floor(i size / n) to ceil((i + 1) size / n).

    Args:
        output_size: size of the result, an int or one for each axis.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Raises:
        TypeError: output_size is of another kind.
        ValueError: output_size has the wrong number of entries.
    """

    _rank = 2

    def __init__(
        self, output_size: Any, data_format: str | None = None, **kwargs: Any
    ) -> None:
        who, rank = type(self).__name__, self._rank
        if isinstance(output_size, int):
            output_size = (output_size,) * rank
        if not isinstance(output_size, tuple | list) or (
            len(output_size) != rank and rank > 1
        ):
            raise TypeError(
                f"{who}: output_size must be an integer or a tuple of {rank} integers, "
                f"got output_size={output_size!r}"
            )
        super().__init__(**kwargs)
        self.output_size = integers(output_size, rank, "output_size", who)
        self.data_format = config.standardize_data_format(data_format, who)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        if self.data_format == "channels_first":
            return (*input_shape[:2], *self.output_size)
        return (input_shape[0], *self.output_size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "data_format": self.data_format,
        }


class _AdaptiveAverage(_AdaptivePooling):
    def call(self, inputs: Any) -> Any:
        """Return the means of the windows."""
        x = self._as_float(inputs)
        return adaptive_average_pool(x, self.output_size, self.data_format)


class _AdaptiveMax(_AdaptivePooling):
    def call(self, inputs: Any) -> Any:
        """Return the largest values in the windows."""
        x = self._as_float(inputs)
        return adaptive_max_pool(x, self.output_size, self.data_format)


class AdaptiveAveragePooling1D(_AdaptiveAverage):
    """Means over as many windows of the steps as wanted."""

    _rank = 1


class AdaptiveAveragePooling2D(_AdaptiveAverage):
    """Means over as many windows of each image as wanted."""


class AdaptiveAveragePooling3D(_AdaptiveAverage):
    """Means over as many windows of each volume as wanted."""

    _rank = 3


class AdaptiveMaxPooling1D(_AdaptiveMax):
    """Maxima over as many windows of the steps as wanted."""

    _rank = 1


class AdaptiveMaxPooling2D(_AdaptiveMax):
    """Maxima over as many windows of each image as wanted."""


class AdaptiveMaxPooling3D(_AdaptiveMax):
    """Maxima over as many windows of each volume as wanted."""

    _rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D = AveragePooling1D, AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalMaxPool3D, GlobalAvgPool3D = GlobalMaxPooling3D, GlobalAveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
