"""Devices, as far as programs for one of them ask: lamella runs in one process."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = [
    "DataParallel",
    "DeviceMesh",
    "LayoutMap",
    "ModelParallel",
    "TensorLayout",
    "distribute_tensor",
    "distribution",
    "get_device_count",
    "initialize",
    "list_devices",
    "set_distribution",
]


def list_devices(device_type: str | None = None) -> list[str]:
    """Return the devices that lamella computes on: the processor.

    Args:
        device_type: "cpu", or another kind, of which there is none. Default: all.
    """
    if device_type is not None and device_type.lower() != "cpu":
        return []
    return ["cpu:0"]


def get_device_count(device_type: str | None = None) -> int:
    """Return the number of devices of a kind."""
    return len(list_devices(device_type))


def distribution() -> None:
    """Return the distribution that was set: always None."""
    return


def set_distribution(value: Any) -> None:
    """Accept None; anything else is an error."""
    if value is not None:
        _refuse("set_distribution")


def _refuse(what: str) -> NoReturn:
    raise NotImplementedError(
        f"distribution.{what}: lamella trains in one process on one device, whose "
        "cores it uses by itself; see lamella.set_num_threads"
    )


def initialize(*args: Any, **kwargs: Any) -> None:
    """Refused: there is one process."""
    _refuse("initialize")


def distribute_tensor(*args: Any, **kwargs: Any) -> Any:
    """Refused: there is one device."""
    _refuse("distribute_tensor")


class _Refused:
    """A class that would spread work over devices."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse(type(self).__name__)


class DataParallel(_Refused):
    """Refused: there is one device."""


class ModelParallel(_Refused):
    """Refused: there is one device."""


class DeviceMesh(_Refused):
    """Refused: there is one device."""


class LayoutMap(_Refused):
    """Refused: there is one device."""


class TensorLayout(_Refused):
    """Refused: there is one device."""
