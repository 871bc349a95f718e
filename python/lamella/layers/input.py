"""Input: what a model is fed with, and the placeholder that stands for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamella import config
from lamella.layers.layer import Layer

__all__ = ["Input", "InputLayer", "KerasTensor"]


def _operator(name: str, swapped: bool = False) -> Any:
    """Return an operator of placeholders: a function of ops as a node."""

    def method(self: Any, other: Any) -> Any:
        from lamella.ops import symbolic

        pair = (other, self) if swapped else (self, other)
        return symbolic.apply(name, *pair)

    return method


def _operators(name: str) -> tuple[Any, Any]:
    return _operator(name), _operator(name, swapped=True)


def _unary(name: str) -> Any:
    def method(self: Any) -> Any:
        from lamella.ops import symbolic

        return symbolic.apply(name, self)

    return method


class KerasTensor:
    """A placeholder: shape and type of a value that a model will compute.

    Operators and functions of `lamella.ops` on placeholders become nodes of the
    model. `==` compares identities, as in Keras; use `ops.equal`.

    Args:
        shape: full shape; the batch axis is None.
        dtype: type name.
        name: shown in texts.
        history: (layer, node index, tensor index) that it comes from.
    """

    _is_placeholder = True
    __array_priority__ = 300.0
    __array_ufunc__ = None  # so that array + placeholder comes here
    _keras_mask: Any = None

    def __init__(
        self,
        shape: Sequence[int | None],
        dtype: Any = "float32",
        name: str | None = None,
        history: Any = None,
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = config.standardize_dtype(dtype)
        self.name = name or config.auto_name("keras_tensor")
        self._keras_history = history

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    __add__, __radd__ = _operators("add")
    __sub__, __rsub__ = _operators("subtract")
    __mul__, __rmul__ = _operators("multiply")
    __matmul__, __rmatmul__ = _operators("matmul")
    __truediv__, __rtruediv__ = _operators("true_divide")
    __floordiv__, __rfloordiv__ = _operators("floor_divide")
    __mod__, __rmod__ = _operators("mod")
    __pow__, __rpow__ = _operators("power")
    __and__, __rand__ = _operators("logical_and")
    __or__, __ror__ = _operators("logical_or")
    __xor__, __rxor__ = _operators("logical_xor")
    __lt__ = _operator("less")
    __le__ = _operator("less_equal")
    __gt__ = _operator("greater")
    __ge__ = _operator("greater_equal")
    __ne__ = _operator("not_equal")
    __getitem__ = _operator("get_item")
    __neg__ = _unary("negative")
    __abs__ = _unary("absolute")
    __invert__ = _unary("logical_not")
    __hash__ = object.__hash__

    def __round__(self, ndigits: int | None = None) -> KerasTensor:
        from lamella.ops import symbolic

        return symbolic.apply("round", self, ndigits or 0)

    def reshape(self, newshape: Any) -> KerasTensor:
        """Return ops.reshape(self, newshape)."""
        from lamella.ops import symbolic

        return symbolic.apply("reshape", self, newshape)

    def squeeze(self, axis: Any = None) -> KerasTensor:
        """Return ops.squeeze(self, axis)."""
        from lamella.ops import symbolic

        return symbolic.apply("squeeze", self, axis)

    def __iter__(self) -> Any:
        raise TypeError(
            f"{self!r} cannot be iterated over: it has no values yet; use ops.unstack"
        )

    def __float__(self) -> float:
        raise TypeError(f"{self!r} has no value: it only describes a model's input")

    __int__ = __float__

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def __bool__(self) -> bool:
        raise TypeError("a placeholder has no value; it only describes a model's input")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            f"{self!r} has no value: use it to build a model, not in NumPy functions"
        )


class InputLayer(Layer):
    """The first layer of a model: it says what is fed in and changes nothing.

    Args:
        shape: shape of one sample, without the batch axis.
        batch_size: fixed batch size or None.
        dtype: type of the input; default `floatx()`.
        sparse: must be False.
        ragged: must be False.
        batch_shape: full shape with the batch axis, instead of `shape`.
        input_tensor: must be None.
        optional: must be False.
        name: default "input_layer", ...
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        for key in ("input_shape", "batch_input_shape"):
            if key in kwargs:
                if key == "input_shape":
                    shape = kwargs.pop(key)
                else:
                    batch_shape = kwargs.pop(key)
        if kwargs:
            key = next(iter(kwargs))
            raise ValueError(f"Input: unrecognized argument {key}={kwargs[key]!r}")
        for key, value in (
            ("sparse", sparse),
            ("ragged", ragged),
            ("input_tensor", input_tensor),
            ("optional", optional),
        ):
            if value is not None and value is not False:
                raise ValueError(f"Input: {key}={value!r} is not supported")
        if shape is not None and batch_shape is not None:
            raise ValueError(
                "Input: give shape or batch_shape, not both, got "
                f"shape={shape!r}, batch_shape={batch_shape!r}"
            )
        if batch_size is not None and batch_shape is not None:
            raise ValueError(
                "Input: give batch_size or batch_shape, not both, got "
                f"batch_size={batch_size!r}, batch_shape={batch_shape!r}"
            )
        if shape is None and batch_shape is None:
            raise ValueError(
                "Input: shape is missing. It is the shape of one sample without the "
                "batch axis, for example Input(shape=(28, 28, 1))."
            )
        if batch_shape is None:
            batch_shape = (batch_size, *_tuple(shape))
        self._batch_shape = tuple(_size(s, batch_shape) for s in batch_shape)
        if dtype in ("string", str):
            raise ValueError(
                "Input: a model takes numbers, not texts, got dtype='string'. Apply "
                "TextVectorization or StringLookup to the data before the model."
            )
        self._dtype = config.standardize_dtype(dtype, "Input")
        self._output = KerasTensor(
            self._batch_shape, self._dtype, name=name, history=(self, 0, 0)
        )
        self._inbound_nodes: list[Any] = []
        self._output_shape_seen = self._batch_shape
        self.built = True

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """Full shape; unknown sizes are None."""
        return self._batch_shape

    @property
    def output(self) -> KerasTensor:
        """The placeholder."""
        return self._output

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the declared shape."""
        return self._batch_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "batch_shape": self._batch_shape,
            "dtype": self._dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": False,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> KerasTensor:
    """Return a placeholder for the input of a model.

    Args:
        shape: shape of one sample, without the batch axis: (28, 28, 1).
        batch_size: fixed batch size or None (any).
        dtype: type of the input; default `floatx()`.
        sparse: must be False.
        ragged: must be False.
        batch_shape: full shape instead of `shape`.
        name: default "input_layer", ...
        tensor: must be None.
        optional: must be False.

    Example:
        >>> import lamella as keras
        >>> model = keras.Sequential([keras.Input(shape=(4,)), keras.layers.Dense(2)])
        >>> model.count_params()
        10
    """
    return InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        name=name,
        input_tensor=tensor,
        optional=optional,
    ).output


def _tuple(shape: Any) -> tuple[Any, ...]:
    if isinstance(shape, int | np.integer):
        return (int(shape),)
    try:
        return tuple(shape)
    except TypeError:
        raise ValueError(f"Input: shape must be a tuple, got shape={shape!r}") from None


def _size(size: Any, shape: Any) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
        raise ValueError(
            f"Input: sizes must be positive integers or None, got {tuple(shape)}"
        )
    return int(size)
