"""Spectra of sound: MelSpectrogram and STFTSpectrogram."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from lamella import _core, config
from lamella._windows import window_values
from lamella.layers.convolution import window_output
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer
from lamella.ops.conversion import cast

__all__ = ["MelSpectrogram", "STFTSpectrogram"]


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hertz, np.float64) / 700.0)


class MelSpectrogram(Layer):
    """Power of sound in bands of the mel scale.

    Args:
        fft_length: length of the Fourier transforms. Default 2048.
        sequence_stride: samples between two windows. Default 512.
        sequence_length: samples in a window; default: fft_length.
        window: "hann" (default), "hamming", an array with the values, or None.
        sampling_rate: samples per second. Default 16000.
        num_mel_bins: number of bands. Default 128.
        min_freq: lowest frequency in hertz. Default 20.
        max_freq: highest frequency in hertz; default: half the sampling rate.
        power_to_db: whether the result is in decibels. Default True.
        top_db: decibels below the largest value at which the result is cut. Default 80.
        mag_exp: exponent of the magnitude: 1 for amplitudes, 2 for powers (default).
        min_power: smallest value before the logarithm. Default 1e-10.
        ref_power: value of 0 decibels. Default 1.
        **kwargs: `name`, `dtype`, ...

    Input shape: (samples,) or (batch, samples).
    Output shape: (num_mel_bins, windows) or (batch, num_mel_bins, windows).

    Raises:
        ValueError: sequence_length is larger than fft_length.
    """

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fft_length = fft_length
        self.sequence_stride = sequence_stride
        self.sequence_length = sequence_length or fft_length
        if self.fft_length < self.sequence_length:
            raise ValueError(
                "MelSpectrogram: fft_length must not be smaller than sequence_length, "
                f"got fft_length={fft_length}, sequence_length={self.sequence_length}"
            )
        self.window = window
        self.sampling_rate = sampling_rate
        self.num_mel_bins = num_mel_bins
        self.min_freq = min_freq
        self.max_freq = max_freq or int(sampling_rate / 2)
        self.power_to_db = power_to_db
        self.top_db = top_db
        self.mag_exp = mag_exp
        self.min_power = min_power
        self.ref_power = ref_power
        self.built = True

    def _fourier_kernel(self, dtype: str) -> Any:
        """Return the windowed cosines and sines, (fft_length, 1, 2 * bins)."""
        n = self.fft_length
        values = window_values(
            self.window, self.sequence_length, True, "MelSpectrogram"
        )
        values = np.ones(self.sequence_length) if values is None else values
        before = (n - self.sequence_length) // 2
        values = np.pad(values, (before, n - self.sequence_length - before))
        phase = np.outer(np.arange(n), np.arange(n // 2 + 1)) % n * (2 * np.pi / n)
        waves = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1)
        kernel = (values[:, None] * waves).astype(dtype)
        return _core.from_numpy(np.ascontiguousarray(kernel[:, None, :]))

    def _mel_weights(self, dtype: str) -> Any:
        """Return the weights of the frequencies in the bands, (bins, num_mel_bins)."""
        bins = self.fft_length // 2 + 1
        frequencies = _mel(np.linspace(0.0, self.sampling_rate / 2.0, bins)[1:, None])
        low, high = _mel(self.min_freq), _mel(self.max_freq)
        edges = np.linspace(low, high, self.num_mel_bins + 2)
        left, middle, right = edges[:-2], edges[1:-1], edges[2:]
        rise = (frequencies - left) / (middle - left)
        fall = (right - frequencies) / (right - middle)
        weights = np.maximum(0.0, np.minimum(rise, fall))
        return _core.from_numpy(np.pad(weights, ((1, 0), (0, 0))).astype(dtype))

    def call(self, inputs: Any) -> Any:
        """Return the spectrogram."""
        x = self._as_float(inputs)
        lead = x.dims[:-1]
        x = _core.reshape(x, (-1, x.dims[-1], 1))
        border = self.fft_length // 2
        if x.shape[1] is not None and x.shape[1] <= border:
            raise ValueError(
                f"{self._who()}: the sound must have more than {border} samples "
                f"(fft_length // 2), got the shape {tuple(inputs.shape)}"
            )
        start = _core.flip(x[:, 1 : border + 1], (1,))
        end = _core.flip(x[:, -border - 1 : -1], (1,))
        x = _core.concat([start, x, end], 1)
        waves = _core.conv(
            x, self._fourier_kernel(x.dtype), (self.sequence_stride,), "valid"
        )
        bins = self.fft_length // 2 + 1
        power = _core.square(waves[..., :bins]) + _core.square(waves[..., bins:])
        if self.mag_exp != 2:
            power = _core.pow(power, self.mag_exp / 2.0)
        y = _core.matmul(power, self._mel_weights(x.dtype))
        if self.power_to_db:
            y = self._decibels(y)
        y = _core.transpose(y, (0, 2, 1))
        return _core.reshape(y, (*lead, *y.dims[1:]))

    def _decibels(self, x: Any) -> Any:
        factor = 10.0 / math.log(10.0)
        x = factor * _core.log(_core.maximum(x, self.min_power))
        x = x - 10.0 * math.log10(max(abs(self.ref_power), self.min_power))
        return _core.maximum(x, _core.max(x) - self.top_db)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        samples = input_shape[-1]
        windows = None
        if samples is not None:
            odd = self.fft_length % 2
            windows = 1 + (samples - odd) // self.sequence_stride
        return (*input_shape[:-1], self.num_mel_bins, windows)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "fft_length": self.fft_length,
            "sequence_stride": self.sequence_stride,
            "sequence_length": self.sequence_length,
            "window": self.window,
            "sampling_rate": self.sampling_rate,
            "num_mel_bins": self.num_mel_bins,
            "min_freq": self.min_freq,
            "max_freq": self.max_freq,
            "power_to_db": self.power_to_db,
            "top_db": self.top_db,
            "mag_exp": self.mag_exp,
            "min_power": self.min_power,
            "ref_power": self.ref_power,
        }


_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """Short-time Fourier transform as a convolution whose kernels can be trained.

    Args:
        mode: "log" (default), "magnitude", "psd", "real", "imag", "angle" or "stft"
            (real, then imaginary part).
        frame_length: samples in a window. Default 256.
        frame_step: samples between two windows; default: half of frame_length.
        fft_length: length of the transforms; default: the power of two that is not
            below frame_length.
        window: "hann" (default), "hamming", ..., an array with the values, or None.
        periodic: whether a named window is periodic. Default False.
        scaling: "density" (default), "spectrum" or None: norm of the window.
        padding: "valid" (default) or "same".
        expand_dims: whether frequencies get an axis of their own. Default False.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Input shape: (batch, samples, channels).
    Output shape: (batch, windows, channels * frequencies); with expand_dims
        (batch, windows, frequencies, channels).

    Raises:
        ValueError: an argument is out of its range.
        TypeError: the input is not of a float type.
    """

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        who = "STFTSpectrogram"
        if frame_step is not None and not 1 <= frame_step <= frame_length:
            raise ValueError(
                f"{who}: frame_step must lie between 1 and frame_length="
                f"{frame_length}, got frame_step={frame_step}"
            )
        if fft_length is not None and fft_length < frame_length:
            raise ValueError(
                f"{who}: fft_length must not be below frame_length={frame_length}, got "
                f"fft_length={fft_length}"
            )
        if fft_length is not None and fft_length & (fft_length - 1):
            warnings.warn(
                f"{who}: fft_length should be a power of two, got {fft_length}",
                stacklevel=2,
            )
        for name, value, known in (
            ("mode", mode, _MODES),
            ("scaling", scaling, ("density", "spectrum", None)),
            ("padding", padding, ("valid", "same")),
        ):
            if value not in known:
                raise ValueError(
                    f"{who}: {name} must be one of {', '.join(map(repr, known))}, got "
                    f"{name}={value!r}"
                )
        if isinstance(window, str):
            window_values(window, 1, periodic, who)  # the name is known
        super().__init__(**kwargs)
        self.mode = mode
        self.frame_length = frame_length
        self.frame_step = frame_step
        self._step = frame_step or frame_length // 2
        self.fft_length = fft_length
        self._points = fft_length or 2 ** math.ceil(math.log2(frame_length))
        self.window = window
        self.periodic = periodic
        self.scaling = scaling
        self.padding = padding
        self.expand_dims = expand_dims
        self.data_format = config.standardize_data_format(data_format, who)
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape: Any) -> None:
        """Make the kernels (frame_length, 1, frequencies)."""
        from lamella.initializers import STFT

        shape = (self.frame_length, 1, self._points // 2 + 1)
        for side in ("real", "imag"):
            if self.mode in ("real", "imag") and side != self.mode:
                continue
            kernel = self.add_weight(
                shape=shape,
                initializer=STFT(side, self.window, self.scaling, self.periodic),
                name=f"{side}_kernel",
            )
            setattr(self, f"{side}_kernel", kernel)

    def _transform(self, inputs: Any, kernel: Any) -> Any:
        """Return one part of the transforms, (batch, channels, windows, bins)."""
        x = inputs
        if self.data_format == "channels_last":
            x = _core.transpose(x, (0, 2, 1))
        batch, channels, samples = x.dims
        x = _core.reshape(x, (-1, samples, 1))
        y = _core.conv(x, cast(kernel, x.dtype), (self._step,), self.padding)
        return _core.reshape(y, (batch, channels, *y.dims[1:]))

    def _arranged(self, x: Any) -> Any:
        batch, channels, windows, bins = x.dims
        last = self.data_format == "channels_last"
        if self.expand_dims:
            return _core.transpose(x, (0, 2, 3, 1)) if last else x
        if last:
            x = _core.transpose(x, (0, 2, 1, 3))
            return _core.reshape(x, (batch, windows, channels * bins))
        x = _core.transpose(x, (0, 1, 3, 2))
        return _core.reshape(x, (batch, channels * bins, windows))

    def call(self, inputs: Any) -> Any:
        """Return the spectrogram."""
        if not config.is_float_dtype(inputs.dtype):
            raise TypeError(
                f"{self._who()}: the input must be float32 or float64, got "
                f"{inputs.dtype}"
            )
        parts = [
            self._transform(inputs, getattr(self, f"{side}_kernel").value)
            for side in ("real", "imag")
            if self.mode not in ("real", "imag") or side == self.mode
        ]
        if len(parts) == 1:
            return self._arranged(parts[0])
        real, imag = parts
        if self.mode == "angle":
            return self._arranged(_core.atan2(imag, real))
        if self.mode == "stft":
            return self._arranged(_core.concat(parts, 3))
        power = _core.square(real) + _core.square(imag)
        if self.mode == "psd":
            inner = [(0, 0), (0, 0), (0, 0), (1, 1)]
            return self._arranged(power + _core.pad(power[..., 1:-1], inner))
        smallest = config.epsilon()
        size = self._arranged(_core.sqrt(_core.maximum(power, smallest)))
        if self.mode == "magnitude":
            return size
        return _core.log(_core.maximum(size, smallest))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        last = self.data_format == "channels_last"
        batch = input_shape[0]
        samples, channels = input_shape[1:] if last else input_shape[:0:-1]
        windows = window_output(samples, self.frame_length, self._step, self.padding)
        bins = self._points // 2 + 1
        bins = 2 * bins if self.mode == "stft" else bins
        if self.expand_dims:
            shape = (windows, bins, channels) if last else (channels, windows, bins)
            return (batch, *shape)
        merged = None if channels is None else channels * bins
        return (batch, windows, merged) if last else (batch, merged, windows)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "mode": self.mode,
            "frame_length": self.frame_length,
            "frame_step": self.frame_step,
            "fft_length": self.fft_length,
            "window": self.window,
            "periodic": self.periodic,
            "scaling": self.scaling,
            "padding": self.padding,
            "data_format": self.data_format,
            "expand_dims": self.expand_dims,
        }
