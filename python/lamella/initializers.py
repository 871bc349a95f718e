"""First values of weights (`keras.initializers`)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import _core, _support
from lamella._core import Tensor
from lamella.ops.conversion import (
    cast,
    convert_to_tensor,
    is_tensor,
    standardize_dtype,
)

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFT",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

# Standard deviation of a normal distribution that is cut at two of its sigmas.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer:
    """Base class: a callable (shape, dtype) -> values."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Values of the given shape."""
        raise NotImplementedError(
            f"{type(self).__name__}: an Initializer must define __call__(shape, dtype)"
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """An initializer from `get_config()`."""
        return cls(**config)

    def clone(self) -> Initializer:
        """An initializer with the same arguments."""
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Zeros of the given shape."""
        return _core.full(tuple(shape), 0, standardize_dtype(dtype))


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Ones of the given shape."""
        return _core.full(tuple(shape), 1, standardize_dtype(dtype))


class Constant(Initializer):
    """All one value.

    Args:
        value: a number, or an array that broadcasts to the shape.
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """The value, broadcast to the given shape."""
        value = convert_to_tensor(self.value, standardize_dtype(dtype))
        return _core.broadcast_to(value, tuple(shape))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        if isinstance(self.value, int | float):
            return {"value": self.value}
        return {"value": _support.serialize(self.value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constant:
        """An initializer from `get_config()`."""
        value = config["value"]
        if isinstance(value, dict):
            from lamella.saving.serialization import deserialize_keras_object

            value = deserialize_keras_object(value)
        return cls(value)


class Identity(Initializer):
    """`gain` times the identity matrix.

    Args:
        gain: factor.

    Raises (when called):
        ValueError: the shape is not that of a matrix.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """The matrix of the given shape."""
        if len(shape) != 2:
            raise ValueError(f"Identity: shape must be that of a matrix, got {shape}")
        values = self.gain * np.eye(*shape)
        return convert_to_tensor(values.astype(standardize_dtype(dtype)))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {"gain": self.gain}


class STFT(Initializer):
    """Windowed cosines or sines: a convolution with them is a Fourier transform.

    The shape is (frame_length, 1, fft_length // 2 + 1).

    Args:
        side: "real" for cosines, "imag" for sines.
        window: "hann", "hamming", "blackman", "bartlett", "boxcar" (others with SciPy),
            an array of frame_length numbers, or None.
        scaling: "density", "spectrum" or None: what the window is divided by.
        periodic: whether the window is periodic rather than symmetric.

    Raises:
        ValueError: an argument is unknown, or the window does not fit the shape.
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ("real", "imag"):
            raise ValueError(f"STFT: side must be 'real' or 'imag', got side={side!r}")
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(
                "STFT: scaling must be 'density', 'spectrum' or None, got "
                f"scaling={scaling!r}"
            )
        if isinstance(window, str):
            _window(window, 2, periodic)
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """The kernel of the given shape."""
        length, _, bins = shape
        times = np.arange(length).reshape(length, 1, 1)
        angles = -2 * np.pi * times * np.arange(bins) / ((bins - 1) * 2)
        kernel = np.cos(angles) if self.side == "real" else np.sin(angles)
        if self.window is not None:
            window = self.window
            if isinstance(window, str):
                window = _window(window, length, self.periodic)
            window = np.asarray(window, "float64")
            if window.shape != (length,):
                raise ValueError(
                    f"STFT: window must have the shape ({length},), got {window.shape}"
                )
            kernel = kernel * window.reshape(length, 1, 1)
            if self.scaling == "density":
                kernel = kernel / np.sqrt(np.square(window).sum())
            elif self.scaling == "spectrum":
                kernel = kernel / np.abs(window).sum()
        return convert_to_tensor(kernel.astype(standardize_dtype(dtype)))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {
            "side": self.side,
            "window": self.window,
            "scaling": self.scaling,
            "periodic": self.periodic,
        }


def _window(name: str, length: int, periodic: bool) -> np.ndarray:
    """Return a window by its name in SciPy."""
    known: dict[str, Any] = {
        "bartlett": np.bartlett,
        "blackman": np.blackman,
        "boxcar": np.ones,
        "hamming": np.hamming,
        "hann": np.hanning,
    }
    if name in known:
        make = known[name]
        return np.asarray(make(length + 1)[:-1] if periodic else make(length))
    try:
        from scipy.signal import get_window  # type: ignore[import-untyped]
    except ImportError as error:
        raise ValueError(
            f"STFT: window={name!r} needs the package scipy; without it "
            f"there are {', '.join(known)}"
        ) from error
    return np.asarray(get_window(name, length, periodic))


class RandomInitializer(Initializer):
    """Base of the random initializers.

    Args:
        seed: an integer (every call gives the same values), a SeedGenerator (every
            call gives new values), or None: an integer from the global generator.
    """

    def __init__(self, seed: Any = None) -> None:
        from lamella import random

        self._init_seed = seed
        if seed is None:
            seed = random.make_default_seed()
        elif isinstance(seed, dict):
            from lamella.saving.serialization import deserialize_keras_object

            seed = deserialize_keras_object(seed)
        elif isinstance(seed, bool) or not isinstance(
            seed, int | np.integer | random.SeedGenerator
        ):
            raise ValueError(
                f"{type(self).__name__}: seed must be an integer, a SeedGenerator or "
                f"None, got seed={seed!r}"
            )
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        seed = self._init_seed
        if not (seed is None or isinstance(seed, int | dict)):
            seed = (
                int(seed) if isinstance(seed, np.integer) else _support.serialize(seed)
            )
        return {"seed": seed}

    def _key(self) -> Tensor:
        from lamella.random import draw_key

        return draw_key(self.seed)


class RandomNormal(RandomInitializer):
    """Normal distribution.

    Args:
        mean: mean.
        stddev: standard deviation.
        seed: see RandomInitializer.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None):
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Values of the given shape."""
        kind = standardize_dtype(dtype)
        return _core.random_normal(
            self._key(), tuple(shape), self.mean, self.stddev, kind
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Normal distribution without what is more than two stddev from the mean.

    Args:
        mean: mean.
        stddev: standard deviation before the cut.
        seed: see RandomInitializer.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None):
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Values of the given shape."""
        kind = standardize_dtype(dtype)
        return _core.random_truncated_normal(
            self._key(), tuple(shape), self.mean, self.stddev, kind
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class RandomUniform(RandomInitializer):
    """Uniform distribution in [minval, maxval).

    Args:
        minval: lower end.
        maxval: upper end.
        seed: see RandomInitializer.
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None):
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Values of the given shape."""
        kind = standardize_dtype(dtype)
        return _core.random_uniform(
            self._key(), tuple(shape), self.minval, self.maxval, kind
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


def compute_fans(
    shape: Any,
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """Number of inputs and outputs of a weight of this shape.

    A matrix is (in, out), a convolution kernel (spatial..., in, out); a vector counts
    for both. With both lists of axes given, the fans are the products of those sizes.
    """
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        fan_in = math.prod(shape[a] for a in input_axes)
        return fan_in, math.prod(shape[a] for a in output_axes)
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return int(shape[0]), int(shape[0])
    field = math.prod(shape[:-2])
    return int(shape[-2] * field), int(shape[-1] * field)


class VarianceScaling(RandomInitializer):
    """Random values whose variance is scale / fan.

    Args:
        scale: factor, positive.
        mode: which fan: "fan_in", "fan_out" or "fan_avg" (their mean).
        distribution: "truncated_normal" (its sigma corrected for the cut),
            "untruncated_normal" or "uniform" in +-sqrt(3 scale / fan).
        seed: see RandomInitializer.
        input_axes: axes that count as inputs (with output_axes).
        output_axes: axes that count as outputs (with input_axes).

    Raises:
        ValueError: an argument has none of these values.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        name = type(self).__name__
        if scale <= 0.0:
            raise ValueError(f"{name}: scale must be positive, got scale={scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(
                f"{name}: mode must be 'fan_in', 'fan_out' or 'fan_avg', got "
                f"mode={mode!r}"
            )
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                f"{name}: distribution must be 'truncated_normal', "
                "'untruncated_normal' or 'uniform', got "
                f"distribution={distribution!r}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Values of the given shape."""
        kind = standardize_dtype(dtype)
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2.0,
        }[self.mode]
        variance = self.scale / max(1.0, fan)
        shape, key = tuple(shape), self._key()
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return _core.random_uniform(key, shape, -limit, limit, kind)
        sigma = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return _core.random_normal(key, shape, 0.0, sigma, kind)
        return _core.random_truncated_normal(
            key, shape, 0.0, sigma / _TRUNCATED_STDDEV, kind
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _FixedScaling(VarianceScaling):
    """VarianceScaling with everything but the seed and the axes decided."""

    _scaling: tuple[float, str, str]

    def __init__(
        self,
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        scale, mode, distribution = self._scaling
        super().__init__(scale, mode, distribution, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {
            **RandomInitializer.get_config(self),
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class GlorotUniform(_FixedScaling):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)). Source: Glorot and Bengio 2010."""

    _scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_FixedScaling):
    """Truncated normal, sigma^2 = 2 / (fan_in + fan_out)."""

    _scaling = (1.0, "fan_avg", "truncated_normal")


class LecunNormal(_FixedScaling):
    """Truncated normal, sigma^2 = 1 / fan_in. Source: LeCun et al. 1998."""

    _scaling = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_FixedScaling):
    """Uniform in +-sqrt(3 / fan_in)."""

    _scaling = (1.0, "fan_in", "uniform")


class HeNormal(_FixedScaling):
    """Truncated normal, sigma^2 = 2 / fan_in. Source: He et al. 2015."""

    _scaling = (2.0, "fan_in", "truncated_normal")


class HeUniform(_FixedScaling):
    """Uniform in +-sqrt(6 / fan_in)."""

    _scaling = (2.0, "fan_in", "uniform")


class Orthogonal(RandomInitializer):
    """Random orthogonal matrix (rows or columns, whichever are fewer).

    The shape is read as (everything but the last axis, last axis). The factorisation
    is done in float64.

    Args:
        gain: factor.
        seed: see RandomInitializer.

    Raises (when called):
        ValueError: the shape has less than two axes.

    Source: Saxe et al. 2014; signs fixed by the diagonal of R (Mezzadri 2007).
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Values of the given shape."""
        from lamella.variable import evaluate_outside_trace

        if len(shape) < 2:
            raise ValueError(f"Orthogonal: shape must have two axes, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        flat = (max(rows, columns), min(rows, columns))
        a = evaluate_outside_trace(
            lambda: _core.random_normal(self._key(), flat, 0.0, 1.0, "float64")
        )
        q, r = np.linalg.qr(a)
        q = q * np.sign(np.diag(r))
        q = q.T if rows < columns else q
        values = (self.gain * q).reshape(tuple(shape))
        return convert_to_tensor(
            np.ascontiguousarray(values, dtype=standardize_dtype(dtype))
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal initializer."""
        return {**super().get_config(), "gain": self.gain}


constant = Constant
zeros = Zeros
ones = Ones
identity = IdentityInitializer = Identity
stft = STFTInitializer = STFT
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
he_normal = HeNormal
he_uniform = HeUniform
orthogonal = OrthogonalInitializer = Orthogonal

_TABLE = _support.lookup_table(
    [
        Constant,
        Identity,
        Ones,
        Zeros,
        GlorotNormal,
        GlorotUniform,
        HeNormal,
        HeUniform,
        LecunNormal,
        LecunUniform,
        Orthogonal,
        STFT,
        RandomNormal,
        RandomUniform,
        TruncatedNormal,
        VarianceScaling,
    ],
    extra={
        "IdentityInitializer": Identity,
        "OrthogonalInitializer": Orthogonal,
        "STFTInitializer": STFT,
        "stft": STFT,
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "one": Ones,
        "zero": Zeros,
    },
)


def serialize(initializer: Any) -> Any:
    """Keras 3 JSON form."""
    return _support.serialize(initializer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Inverse of `serialize`; names are allowed."""
    found = _support.deserialize(config, _TABLE, custom_objects)
    return found() if inspect.isclass(found) else found


def get(identifier: Any) -> Any:
    """An initializer from None, a name, a config, an array, a class or a callable.

    Raises:
        ValueError: the name is unknown; near names are listed.
    """
    if is_tensor(identifier) or isinstance(identifier, np.ndarray | np.generic):
        values = convert_to_tensor(identifier)

        def given(shape: Any, dtype: Any = None) -> Tensor:
            if tuple(shape) != tuple(values.shape):
                raise ValueError(
                    "an array used as initializer must have the shape of the weight, "
                    f"got array.shape={values.shape}, shape={tuple(shape)}"
                )
            return cast(values, dtype)

        return given
    return _support.get(identifier, _TABLE, "initializer")
