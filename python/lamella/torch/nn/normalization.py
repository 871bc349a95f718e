"""Normalisation as modules."""

from __future__ import annotations

from typing import Any

from .. import _dtype as dt
from ..create import full
from ..tensor import Parameter, new_tensor
from . import _normalize as F
from .module import Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
]


def _filled(shape: Any, value: float, dtype: Any) -> Any:
    return full(tuple(shape), value, dtype=dtype or dt.get_default_dtype())


class _Statistics(Module):
    """Running mean and variance, weight and bias per channel."""

    _ranks: tuple[int, ...] = ()
    running_mean: Any
    momentum: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape = (num_features,)
        for name, value in (("weight", 1.0), ("bias", 0.0)):
            make = affine and (bias or name == "weight")
            p = Parameter(_filled(shape, value, dtype)) if make else None
            self.register_parameter(name, p)
        for name, value in (("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(
                name, _filled(shape, value, dtype) if track_running_stats else None
            )
        self.register_buffer(
            "num_batches_tracked", new_tensor(0) if track_running_stats else None
        )

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def _check(self, input: Any) -> None:
        if input.dim() not in self._ranks:
            text = " or ".join(f"{r}D" for r in self._ranks)
            raise ValueError(f"expected {text} input (got {input.dim()}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Statistics):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, dtype, bias
        )

    def forward(self, input: Any) -> Any:
        self._check(input)
        own, state = self._parameters, self._buffers
        centre, spread = state["running_mean"], state["running_var"]
        momentum = self.momentum
        training = self.training or centre is None
        if self.training and centre is not None:
            counter = state["num_batches_tracked"]
            counter += 1
            if momentum is None:
                momentum = 1 / counter.item()
        update = self.training
        return F.batch_norm(
            input,
            centre if update or not training else None,
            spread if update or not training else None,
            own["weight"],
            own["bias"],
            training,
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W)."""

    _ranks = (5,)


class _InstanceNorm(_Statistics):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, dtype, bias
        )

    def forward(self, input: Any) -> Any:
        self._check(input)
        single = input.dim() == self._ranks[0]
        x = input.unsqueeze(0) if single else input
        y = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum,
            self.eps,
        )
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """Each channel of (N, C, L) or (C, L) on its own."""

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of (N, C, H, W) or (C, H, W) on its own."""

    _ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Each channel of (N, C, D, H, W) or (C, D, H, W) on its own."""

    _ranks = (4, 5)


def _shape(normalized_shape: Any) -> tuple[int, ...]:
    return (
        (normalized_shape,)
        if isinstance(normalized_shape, int)
        else tuple(normalized_shape)
    )


class LayerNorm(Module):
    """The last axes with mean 0 and variance 1."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        for name, value, on in (("weight", 1.0, True), ("bias", 0.0, bias)):
            make = elementwise_affine and on
            p = (
                Parameter(_filled(self.normalized_shape, value, dtype))
                if make
                else None
            )
            self.register_parameter(name, p)

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return F.layer_norm(
            input, self.normalized_shape, self.weight, self.bias, self.eps
        )

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        text = f"{self.normalized_shape}, eps={self.eps}"
        text += f", elementwise_affine={self.elementwise_affine}"
        return f"{text}, bias={self.bias is not None}"


class RMSNorm(Module):
    """The last axes divided by their root mean square."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        p = (
            Parameter(_filled(self.normalized_shape, 1.0, dtype))
            if elementwise_affine
            else None
        )
        self.register_parameter("weight", p)

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Groups of channels with mean 0 and variance 1."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups "
                f"({num_groups})"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        for name, value in (("weight", 1.0), ("bias", 0.0)):
            make = affine and (bias or name == "weight")
            p = Parameter(_filled((num_channels,), value, dtype)) if make else None
            self.register_parameter(name, p)

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, "
            f"affine={self.affine}, bias={self.bias is not None}"
        )
