"""BatchNormalization and its relatives."""

from __future__ import annotations

from typing import Any

from lamella import _core, constraints, initializers, ops, regularizers
from lamella.layers._arguments import config_of, positive
from lamella.layers.input_spec import InputSpec
from lamella.layers.layer import Layer

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]


def _axis_argument(axis: Any, who: str) -> Any:
    """Return an axis as an int, or several as a list of ints."""
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    if not all(isinstance(a, int) and not isinstance(a, bool) for a in axes):
        raise TypeError(
            f"{who}: axis must be an integer or a list of integers, got axis={axis!r}"
        )
    return axes if isinstance(axis, list | tuple) else axis


def _broadcast_shape(x: Any, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which weights of these axes meet `x`."""
    return tuple(x.shape[a] if a in axes else 1 for a in range(x.ndim))


class _Affine(Layer):
    """A normalization with an optional scale gamma and offset beta."""

    def _set_affine(
        self,
        axis: Any,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
    ) -> None:
        if epsilon < 0:
            raise ValueError(
                f"{type(self).__name__}: epsilon must not be negative, got {epsilon}"
            )
        self.axis = axis
        self.epsilon = float(epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Any = None
        self.beta: Any = None
        self.supports_masking = True

    def _add_affine(self, shape: tuple[int, ...], rms_scaling: bool = False) -> None:
        if self.scale or rms_scaling:
            self.gamma = self.add_weight(
                shape=shape,
                name="gamma",
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center and not rms_scaling:
            self.beta = self.add_weight(
                shape=shape,
                name="beta",
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def _values(self) -> tuple[Any, Any]:
        return (
            None if self.gamma is None else self.gamma.value,
            None if self.beta is None else self.beta.value,
        )

    def _affine(self, x: Any, shape: tuple[int, ...] | None = None) -> Any:
        """Return x * gamma + beta, both reshaped for broadcasting."""
        for op, value in zip((_core.mul, _core.add), self._values(), strict=True):
            if value is not None:
                x = op(x, value if shape is None else _core.reshape(value, shape))
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


class BatchNormalization(_Affine):
    """Normalizes each channel over the batch, then scales and shifts it.

    Training uses the batch's mean and (biased) variance and updates
    moving = moving * momentum + batch * (1 - momentum); inference, and a layer with
    trainable = False, uses the moving values:
    output = gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    Args:
        axis: the channel axis. Default -1.
        momentum: share of the old moving value. Default 0.99.
        epsilon: added to the variance. Default 1e-3.
        center: whether to add beta.
        scale: whether to multiply by gamma.
        beta_initializer: default "zeros".
        gamma_initializer: default "ones".
        moving_mean_initializer: default "zeros".
        moving_variance_initializer: default "ones".
        beta_regularizer: name, Regularizer or None.
        gamma_regularizer: name, Regularizer or None.
        beta_constraint: name, Constraint or None.
        gamma_constraint: name, Constraint or None.
        renorm: must be False.
        renorm_clipping: must be None.
        renorm_momentum: accepted for Keras's sake.
        synchronized: must be False.
        **kwargs: `name`, `dtype`, ...

    Source: Ioffe and Szegedy, 2015, algorithm 1 (arXiv:1502.03167).
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if renorm or synchronized:
            raise ValueError(
                "BatchNormalization: renorm and synchronized are not supported, got "
                f"renorm={renorm!r}, synchronized={synchronized!r}"
            )
        if not 0 <= momentum <= 1:
            raise ValueError(
                "BatchNormalization: momentum is the share of the old value and must "
                f"be in [0, 1], got momentum={momentum!r}"
            )
        if isinstance(axis, list | tuple) and len(axis) == 1:
            axis = axis[0]
        self._set_affine(
            int(axis),
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )
        self.momentum = float(momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.renorm = False
        self.renorm_clipping = renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = False
        self.moving_mean: Any = None
        self.moving_variance: Any = None

    def build(self, input_shape: Any) -> None:
        """Make gamma, beta, moving_mean and moving_variance."""
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"{self._who()}: axis={self.axis} is out of range for an input of rank "
                f"{rank}"
            )
        channels = input_shape[self.axis]
        if channels is None:
            raise ValueError(
                f"{self._who()}: the size of axis {self.axis} must be known, got an "
                f"input of shape {tuple(input_shape)}"
            )
        self._add_affine((channels,))
        self.moving_mean = self.add_weight(
            shape=(channels,),
            name="moving_mean",
            initializer=self.moving_mean_initializer,
            trainable=False,
        )
        self.moving_variance = self.add_weight(
            shape=(channels,),
            name="moving_variance",
            initializer=self.moving_variance_initializer,
            trainable=False,
        )
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: channels})

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalized input.

        Args:
            inputs: the input.
            training: whether the batch's own statistics are used.
            mask: booleans of the input's shape without its last axis: what is False
                has no part in the statistics. None: everything counts.
        """
        x = self._as_float(inputs)
        if mask is not None and mask.ndim != x.ndim - 1:
            raise ValueError(
                f"{self._who()}: the mask must have one axis less than the input, got "
                f"shapes {tuple(mask.shape)} and {tuple(x.shape)}"
            )
        last = x.ndim - 1
        axis = self.axis % x.ndim
        order = (*(a for a in range(x.ndim) if a != axis), axis)
        if axis != last:
            x = _core.transpose(x, order)
        gamma, beta = self._values()
        if training and self.trainable:
            if mask is None:
                x, mean, variance = _core.batch_norm(x, gamma, beta, self.epsilon)
            else:
                kept = _core.cast(_core.expand_dims(mask, mask.ndim), "bool")
                if axis != last:
                    kept = _core.transpose(kept, order)
                mean, variance = _masked_moments(x, kept)
                x = self._normalized(x, mean, variance)
            keep, new = self.momentum, 1.0 - self.momentum
            mean, variance = _core.stop_gradient(mean), _core.stop_gradient(variance)
            self.moving_mean.assign(self.moving_mean.value * keep + mean * new)
            self.moving_variance.assign(
                self.moving_variance.value * keep + variance * new
            )
        else:
            x = self._normalized(x, self.moving_mean.value, self.moving_variance.value)
        if axis != last:
            back = sorted(range(len(order)), key=lambda a: order[a])
            x = _core.transpose(x, tuple(back))
        return x

    def _normalized(self, x: Any, mean: Any, variance: Any) -> Any:
        gamma, beta = self._values()
        factor = _core.rsqrt(_core.add(variance, self.epsilon))
        if gamma is not None:
            factor = _core.mul(factor, gamma)
        offset = _core.neg(_core.mul(mean, factor))
        if beta is not None:
            offset = _core.add(offset, beta)
        return _core.add(_core.mul(x, factor), offset)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "axis",
                "momentum",
                "epsilon",
                "center",
                "scale",
                "beta_initializer",
                "gamma_initializer",
                "moving_mean_initializer",
                "moving_variance_initializer",
                "beta_regularizer",
                "gamma_regularizer",
                "beta_constraint",
                "gamma_constraint",
                "synchronized",
                "renorm",
                "renorm_clipping",
                "renorm_momentum",
            ),
        }


def _masked_moments(x: Any, kept: Any) -> tuple[Any, Any]:
    """Return mean and variance of each channel (last axis) over what is kept."""
    axes = tuple(range(x.ndim - 1))
    kept = _core.broadcast_to(kept, x.dims)
    count = _core.add(_core.sum(_core.cast(kept, x.dtype), axes, False), 1e-7)
    mean = _core.div(_core.sum(_core.where(kept, x, 0.0), axes, False), count)
    squares = _core.where(kept, _core.square(_core.sub(x, mean)), 0.0)
    return mean, _core.div(_core.sum(squares, axes, False), count)


class LayerNormalization(_Affine):
    """Normalizes each sample over its last axis (or `axis`), then scales and shifts.

    output = gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    Args:
        axis: axis or axes to normalize over. Default -1.
        epsilon: added to the (biased) variance. Default 1e-3.
        center: whether to add beta.
        scale: whether to multiply by gamma.
        beta_initializer: default "zeros".
        gamma_initializer: default "ones".
        beta_regularizer: name, Regularizer or None.
        gamma_regularizer: name, Regularizer or None.
        beta_constraint: name, Constraint or None.
        gamma_constraint: name, Constraint or None.
        rms_scaling: old: True divides without subtracting the mean and has no beta.
        **kwargs: `name`, `dtype`, ...

    Source: Ba, Kiros and Hinton, 2016 (arXiv:1607.06450).
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        rms_scaling: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rms_scaling = bool(rms_scaling)
        self._set_affine(
            _axis_argument(axis, "LayerNormalization"),
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )

    def _axes(self, rank: int) -> tuple[int, ...]:
        axes = self.axis if isinstance(self.axis, list) else [self.axis]
        for axis in axes:
            if not -rank <= axis < rank:
                raise ValueError(
                    f"{self._who()}: axis={axis} is out of range for an input of rank "
                    f"{rank}"
                )
        return tuple(sorted(a % rank for a in axes))

    def build(self, input_shape: Any) -> None:
        """Make gamma and beta, of the size of the normalized axes."""
        axes = self._axes(len(input_shape))
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        self._add_affine(tuple(input_shape[a] for a in axes), self.rms_scaling)

    def call(self, inputs: Any) -> Any:
        """Return the normalized input."""
        x = self._as_float(inputs)
        axes = self._axes(x.ndim)
        if self.rms_scaling:
            variance = ops.var(x, axis=axes, keepdims=True)
            x = _core.mul(x, _core.rsqrt(_core.add(variance, self.epsilon)))
            return self._affine(x, _broadcast_shape(x, axes))
        if axes == (x.ndim - 1,):
            return _core.layer_norm(x, *self._values(), self.epsilon)
        centered = _core.sub(x, _core.mean(x, axes, True))
        variance = _core.mean(_core.square(centered), axes, True)
        x = _core.mul(centered, _core.rsqrt(_core.add(variance, self.epsilon)))
        return self._affine(x, _broadcast_shape(x, axes))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "axis",
                "epsilon",
                "center",
                "scale",
                "rms_scaling",
                "beta_initializer",
                "gamma_initializer",
                "beta_regularizer",
                "gamma_regularizer",
                "beta_constraint",
                "gamma_constraint",
            ),
        }


class GroupNormalization(_Affine):
    """Normalizes groups of channels of each sample.

    Args:
        groups: number of groups; -1: one channel each. Default 32.
        axis: the channel axis. Default -1.
        epsilon: added to the variance. Default 1e-3.
        center: whether to add beta.
        scale: whether to multiply by gamma.
        beta_initializer: default "zeros".
        gamma_initializer: default "ones".
        beta_regularizer: name, Regularizer or None.
        gamma_regularizer: name, Regularizer or None.
        beta_constraint: name, Constraint or None.
        gamma_constraint: name, Constraint or None.
        **kwargs: `name`, `dtype`, ...

    Source: Wu and He, 2018 (arXiv:1803.08494).
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if groups != -1:
            groups = positive(groups, "groups", "GroupNormalization")
        self.groups = groups
        self._set_affine(
            int(axis),
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )

    def build(self, input_shape: Any) -> None:
        """Make gamma and beta."""
        channels = input_shape[self.axis]
        if channels is None:
            raise ValueError(
                f"{self._who()}: the size of axis {self.axis} must be known, got an "
                f"input of shape {tuple(input_shape)}"
            )
        if self.groups == -1:
            self.groups = channels
        if channels % self.groups:
            raise ValueError(
                f"{self._who()}: the number of channels must be a multiple of groups, "
                f"got {channels} channels and groups={self.groups}"
            )
        self._add_affine((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})

    def call(self, inputs: Any) -> Any:
        """Return the normalized input."""
        x = self._as_float(inputs)
        rank = x.ndim
        axis = self.axis % rank
        dims = tuple(x.dims)
        split = (
            *dims[:axis],
            self.groups,
            x.shape[axis] // self.groups,
            *dims[axis + 1 :],
        )
        grouped = _core.reshape(x, split)
        axes = tuple(a for a in range(1, rank + 1) if a != axis)
        centered = _core.sub(grouped, _core.mean(grouped, axes, True))
        variance = _core.mean(_core.square(centered), axes, True)
        grouped = _core.mul(centered, _core.rsqrt(_core.add(variance, self.epsilon)))
        shape = tuple(x.shape[axis] if a == axis else 1 for a in range(rank))
        return self._affine(_core.reshape(grouped, dims), shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "groups",
                "axis",
                "epsilon",
                "center",
                "scale",
                "beta_initializer",
                "gamma_initializer",
                "beta_regularizer",
                "gamma_regularizer",
                "beta_constraint",
                "gamma_constraint",
            ),
        }


class RMSNormalization(Layer):
    """output = scale * x / sqrt(mean(x^2) + epsilon) over the last axis (or `axis`).

    Args:
        axis: axis or axes to normalize over. Default -1.
        epsilon: added to the mean square. Default 1e-6.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = _axis_argument(axis, "RMSNormalization")
        self.epsilon = float(epsilon)
        self.scale: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the scale."""
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        shape = tuple(input_shape[a] for a in self.axis)
        self.scale = self.add_weight(shape=shape, initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        """Return the normalized input."""
        x = self._as_float(inputs)
        axes = tuple(sorted(a % x.ndim for a in self.axis))
        power = _core.add(_core.mean(_core.square(x), axes, True), self.epsilon)
        scale = _core.reshape(self.scale.value, _broadcast_shape(x, axes))
        return _core.mul(_core.mul(x, _core.rsqrt(power)), scale)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
        }


class UnitNormalization(Layer):
    """Scales each sample to length 1 along `axis`.

    Args:
        axis: axis or axes. Default -1.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = _axis_argument(axis, "UnitNormalization")
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return the normalized input."""
        x = self._as_float(inputs)
        axes = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        power = _core.maximum(_core.sum(_core.square(x), axes, True), 1e-12)
        return _core.mul(x, _core.rsqrt(power))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}
