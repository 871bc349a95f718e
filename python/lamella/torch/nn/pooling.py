"""Pooling, padding and resizing as modules."""

from __future__ import annotations

from inspect import Parameter as P
from typing import Any

from . import _convolution as F
from ._make import function_module
from .module import Module

LAYERS: dict[str, Any] = {}
_NEEDED = P.empty


def _pooling(name: str, function: Any, arguments: dict[str, Any], shown: Any) -> None:
    made = function_module(name, function, arguments, (), shown)
    first = made.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        first(self, *args, **options)
        if self.stride is None:
            self.stride = self.kernel_size

    made.__init__ = init
    LAYERS[name] = made


for _n in (1, 2, 3):
    _pooling(
        f"MaxPool{_n}d",
        getattr(F, f"max_pool{_n}d"),
        {
            "kernel_size": _NEEDED,
            "stride": None,
            "padding": 0,
            "dilation": 1,
            "return_indices": False,
            "ceil_mode": False,
        },
        ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    )
    _arguments = {
        "kernel_size": _NEEDED,
        "stride": None,
        "padding": 0,
        "ceil_mode": False,
        "count_include_pad": True,
    }
    if _n > 1:
        _arguments["divisor_override"] = None
    _pooling(
        f"AvgPool{_n}d",
        getattr(F, f"avg_pool{_n}d"),
        _arguments,
        ("kernel_size", "stride", "padding"),
    )
    for _kind in ("Avg", "Max"):
        _name = f"Adaptive{_kind}Pool{_n}d"
        LAYERS[_name] = function_module(
            _name,
            getattr(F, f"adaptive_{_kind.lower()}_pool{_n}d"),
            {"output_size": _NEEDED},
        )

LAYERS["AvgPool1d"].extra_repr = lambda self: ", ".join(
    f"{a}={F.tuple_of(getattr(self, a), 1)}"
    for a in ("kernel_size", "stride", "padding")
)


def _padding(n: int, kind: str, mode: str) -> None:
    class Pad(Module):
        def __init__(self, padding: Any, value: float = 0.0) -> None:
            super().__init__()
            self.padding = F.tuple_of(padding, 2 * n)
            self.value = value

        def forward(self, input: Any) -> Any:
            return F.pad(input, self.padding, mode, self.value)

        def extra_repr(self) -> str:
            text = f"{self.padding}"
            return f"padding={text}, value={self.value}" if kind == "Constant" else text

    Pad.__name__ = Pad.__qualname__ = f"{kind}Pad{n}d"
    Pad.__doc__ = f"{kind} padding of the last {n} axes."
    LAYERS[Pad.__name__] = Pad


for _n in (1, 2, 3):
    for _kind, _mode in (
        ("Constant", "constant"),
        ("Zero", "constant"),
        ("Reflection", "reflect"),
        ("Replication", "replicate"),
        ("Circular", "circular"),
    ):
        _padding(_n, _kind, _mode)


class Upsample(Module):
    """Resizes the axes behind the channels."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: Any = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.scale_factor = scale_factor

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners
        )

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        if self.scale_factor is not None:
            return f"scale_factor={float(self.scale_factor)}, mode={self.mode!r}"
        return f"size={self.size}, mode={self.mode!r}"


LAYERS["Upsample"] = Upsample
LAYERS["LocalResponseNorm"] = function_module(
    "LocalResponseNorm",
    F.local_response_norm,
    {"size": _NEEDED, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
)
