"""Flatten, Reshape, Permute, RepeatVector, padding, cropping and upsampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core, config
from lamella.layers._arguments import integers, positive
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer
from lamella.ops._resizing import RESIZE_METHODS, resize
from lamella.ops._sampling import check_choice

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Reshape",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


class Flatten(Layer):
    """Makes one axis of all axes but the first: (batch, h, w, c) -> (batch, h*w*c).

    Args:
        data_format: "channels_first" moves the channels to the end first.
        **kwargs: `name`, `input_shape`, ...
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format, "Flatten")
        self.input_spec = InputSpec(min_ndim=1)
        self.autocast = False

    def call(self, inputs: Any) -> Any:
        """Return the input with shape (batch, everything else)."""
        x = inputs
        if self.data_format == "channels_first" and x.ndim > 2:
            x = _core.transpose(x, (0, *range(2, x.ndim), 1))
        rest = x.shape[1:]
        size = -1 if any(s is None for s in rest) else math.prod(rest)
        return _core.reshape(x, (x.dims[0], size))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (batch, product of the other sizes)."""
        rest = input_shape[1:]
        size = None if any(s is None for s in rest) else math.prod(rest)
        return (input_shape[0], size)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Gives every sample a new shape of the same size.

    Args:
        target_shape: shape without the batch axis; one entry may be -1.
        **kwargs: `name`, `input_shape`, ...

    Raises:
        ValueError: if the sizes do not match.
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(target_shape, int | np.integer):
            target_shape = (target_shape,)
        shape = tuple(target_shape)
        if (
            any(
                isinstance(s, bool) or not isinstance(s, int | np.integer)
                for s in shape
            )
            or any(s < -1 for s in shape)
            or shape.count(-1) > 1
        ):
            raise ValueError(
                "Reshape: target_shape must be a tuple of integers without the batch "
                f"axis, at most one of them -1, got target_shape={target_shape!r}"
            )
        self.target_shape = tuple(int(s) for s in shape)
        self.autocast = False
        self.built = True

    def _resolve(self, rest: Any) -> tuple[int | None, ...]:
        if any(s is None for s in rest):
            return tuple(None if s == -1 else s for s in self.target_shape)
        size = math.prod(rest)
        known = math.prod(s for s in self.target_shape if s != -1)
        fits = size % known == 0 if -1 in self.target_shape and known else size == known
        if not fits:
            raise ValueError(
                f"{self._who()}: cannot reshape samples of shape {tuple(rest)} "
                f"({size} values) to {self.target_shape} ({known} values)"
            )
        return tuple(size // known if s == -1 else s for s in self.target_shape)

    def call(self, inputs: Any) -> Any:
        """Return the input with shape (batch, *target_shape)."""
        shape = self._resolve(inputs.shape[1:])
        return _core.reshape(
            inputs, (inputs.dims[0], *(-1 if s is None else s for s in shape))
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (batch, *target_shape)."""
        return (input_shape[0], *self._resolve(input_shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """Reorders the axes of every sample.

    Args:
        dims: order of the axes, counted from 1 (the batch axis stays first).
        **kwargs: `name`, `input_shape`, ...
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "Permute: dims must hold every number from 1 to the number of axes "
                f"once, got dims={dims!r}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self.autocast = False

    def call(self, inputs: Any) -> Any:
        """Return the transposed input."""
        return _core.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the reordered shape."""
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """Repeats every sample n times: (batch, features) -> (batch, n, features).

    Args:
        n: number of repetitions.
        **kwargs: `name`, `input_shape`, ...
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive(n, "n", "RepeatVector")
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        """Return the repeated input."""
        return _core.repeat(_core.expand_dims(inputs, 1), self.n, 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (batch, n, features)."""
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "n": self.n}


def _pairs(value: Any, count: int, name: str, who: str) -> tuple[tuple[int, int], ...]:
    """Return ((before, after), ...) from an int, one int per axis, or pairs."""
    try:
        if isinstance(value, int | np.integer):
            result = ((int(value), int(value)),) * count
        elif count == 1 and len(value) == 2:
            result = ((int(value[0]), int(value[1])),)
        else:
            result = tuple(
                (int(v), int(v))
                if isinstance(v, int | np.integer)
                else (int(v[0]), int(v[1]))
                for v in value
            )
        if len(result) != count or min(min(p) for p in result) < 0:
            raise ValueError
    except (TypeError, ValueError, IndexError):
        raise ValueError(
            f"{who}: {name} must be an integer, {count} integers or {count} pairs of "
            f"integers that are not negative, got {name}={value!r}"
        ) from None
    return result


class _Border(Layer):
    """Common part of padding and cropping."""

    _rank = 2
    _sign = 1
    _argument = "padding"

    def _set(self, value: Any, data_format: str | None) -> None:
        who = type(self).__name__
        self.data_format = config.standardize_data_format(data_format, who)
        self._amount = _pairs(value, self._rank, self._argument, who)
        self.input_spec = InputSpec(ndim=self._rank + 2)

    def _spread(self) -> list[tuple[int, int]]:
        none = (0, 0)
        if self.data_format == "channels_first":
            return [none, none, *self._amount]
        return [none, *self._amount, none]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        return tuple(
            None if s is None else s + self._sign * (a + b)
            for s, (a, b) in zip(input_shape, self._spread(), strict=True)
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        amount = self._amount[0] if self._rank == 1 else self._amount
        result = {**super().get_config(), self._argument: amount}
        if self._rank > 1 or self._argument == "padding":
            result["data_format"] = self.data_format
        return result


class ZeroPadding2D(_Border):
    """Adds rows and columns of zeros.

    Args:
        padding: an int, (rows, columns) or ((top, bottom), (left, right)).
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `input_shape`, ...
    """

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._set(padding, data_format)
        self.padding = self._amount if self._rank > 1 else self._amount[0]

    def call(self, inputs: Any) -> Any:
        """Return the padded input."""
        return _core.pad(inputs, self._spread())


class ZeroPadding1D(ZeroPadding2D):
    """Adds steps of zeros.

    Args:
        padding: an int or (before, after).
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `input_shape`, ...
    """

    _rank = 1

    def __init__(
        self, padding: Any = 1, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class Cropping2D(_Border):
    """Removes rows and columns at the border.

    Args:
        cropping: an int, (rows, columns) or ((top, bottom), (left, right)).
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `input_shape`, ...
    """

    _sign = -1
    _argument = "cropping"

    def __init__(
        self,
        cropping: Any = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set(cropping, data_format)
        self.cropping = self._amount if self._rank > 1 else self._amount[0]

    def call(self, inputs: Any) -> Any:
        """Return the cropped input."""
        index: list[Any] = []
        for size, (a, b) in zip(inputs.shape, self._spread(), strict=True):
            if size is not None and a + b >= size and a + b > 0:
                raise ValueError(
                    f"{self._who()}: cropping {self.cropping} leaves nothing of an "
                    f"input of shape {tuple(inputs.shape)}"
                )
            index.append(slice(a or None, -b or None))
        return inputs[tuple(index)]


class ZeroPadding3D(ZeroPadding2D):
    """Adds planes of zeros around volumes.

    Args:
        padding: an int, three ints or three pairs (before, after).
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `input_shape`, ...
    """

    _rank = 3

    def __init__(
        self,
        padding: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class Cropping3D(Cropping2D):
    """Removes planes at the border of volumes.

    Args:
        cropping: an int, three ints or three pairs (before, after).
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `input_shape`, ...
    """

    _rank = 3

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping1D(Cropping2D):
    """Removes steps at the ends.

    Args:
        cropping: an int or (before, after).
        **kwargs: `name`, `input_shape`, ...
    """

    _rank = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, None, **kwargs)


class UpSampling2D(Layer):
    """Makes images larger by whole factors.

    Args:
        size: factor, an int or (rows, columns). Default 2.
        data_format: "channels_last" (default) or "channels_first".
        interpolation: "nearest" (default; repeats rows and columns), "bilinear",
            "bicubic", "lanczos3" or "lanczos5"; see `ops.image.resize`.
        **kwargs: `name`, `input_shape`, ...
    """

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size = integers(size, 2, "size", "UpSampling2D")
        self.data_format = config.standardize_data_format(data_format, "UpSampling2D")
        self.interpolation = str(interpolation).lower()
        check_choice(
            self.interpolation, RESIZE_METHODS, "interpolation", "UpSampling2D"
        )
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        """Return the enlarged input."""
        first = 1 if self.data_format == "channels_last" else 2
        x = inputs
        if self.interpolation != "nearest":
            sizes = self.compute_output_shape(x.shape)[first : first + 2]
            if None in sizes:
                raise ValueError(
                    f"{self._who()}: interpolation={self.interpolation!r} needs images "
                    f"of known size, got the shape {tuple(x.shape)}"
                )
            return resize(x, sizes, self.interpolation, data_format=self.data_format)
        for axis, factor in enumerate(self.size, start=first):
            if factor > 1:
                x = _core.repeat(x, factor, axis)
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        first = 1 if self.data_format == "channels_last" else 2
        shape = list(input_shape)
        for axis, factor in enumerate(self.size, start=first):
            shape[axis] = None if shape[axis] is None else shape[axis] * factor
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }


class UpSampling3D(Layer):
    """Repeats the planes of volumes along all three axes.

    Args:
        size: factor, an int or three. Default 2.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `input_shape`, ...
    """

    def __init__(
        self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size = integers(size, 3, "size", "UpSampling3D")
        self.data_format = config.standardize_data_format(data_format, "UpSampling3D")
        self.input_spec = InputSpec(ndim=5)

    def _factors(self) -> list[tuple[int, int]]:
        first = 1 if self.data_format == "channels_last" else 2
        return list(enumerate(self.size, start=first))

    def call(self, inputs: Any) -> Any:
        """Return the enlarged input."""
        x = inputs
        for axis, factor in self._factors():
            x = _core.repeat(x, factor, axis) if factor > 1 else x
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        shape = list(input_shape)
        for axis, factor in self._factors():
            shape[axis] = None if shape[axis] is None else shape[axis] * factor
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "data_format": self.data_format,
        }


class UpSampling1D(Layer):
    """Repeats every step.

    Args:
        size: factor. Default 2.
        **kwargs: `name`, `input_shape`, ...
    """

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = positive(size, "size", "UpSampling1D")
        self.input_spec = InputSpec(ndim=3)

    def call(self, inputs: Any) -> Any:
        """Return the lengthened input."""
        return _core.repeat(inputs, self.size, 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        steps = input_shape[1]
        steps = None if steps is None else steps * self.size
        return (input_shape[0], steps, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "size": self.size}
