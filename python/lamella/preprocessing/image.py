"""Images: the functions of `lamella.utils` that load, convert and resize them."""

from __future__ import annotations

from typing import Any

_NAMES = ("array_to_img", "img_to_array", "load_img", "save_img", "smart_resize")


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        from lamella.utils import image_utils

        return getattr(image_utils, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)
