"""torch.nn.functional: the layers and losses as functions."""

from __future__ import annotations

from typing import Any

from . import _activations, _convolution, _losses, _normalize, attention

__all__: list[str] = []

_HELPERS = {"tuple_of", "channels_last", "channels_first"}
for _module in (_activations, _convolution, _losses, _normalize):
    for _name, _function in vars(_module).items():
        own = getattr(_function, "__module__", "") == _module.__name__
        if (
            callable(_function)
            and own
            and not _name.startswith("_")
            and _name not in _HELPERS
        ):
            globals()[_name] = _function
            __all__.append(_name)
scaled_dot_product_attention = attention.scaled_dot_product_attention
__all__.append("scaled_dot_product_attention")


def __getattr__(name: str) -> Any:
    raise AttributeError(f"lamella.torch.nn.functional does not have {name!r}")
