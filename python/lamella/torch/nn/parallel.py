"""torch.nn.parallel: wrappers of modules for several devices, of which there is one."""

from __future__ import annotations

from typing import Any

from .module import Module

__all__ = ["DataParallel"]


class DataParallel(Module):
    """Calls `module`, as PyTorch does without GPUs; names in its state begin `module.`.

    Args:
        module: what to call.
        device_ids: None or empty; there are no devices to share the work among.
        output_device: None.
        dim: axis of the batch, not needed with one device.
    """

    def __init__(
        self,
        module: Any,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
    ) -> None:
        super().__init__()
        if device_ids:
            raise ValueError(
                f"DataParallel: device_ids={device_ids!r}, but there is only the CPU; "
                "leave device_ids out"
            )
        self.module = module
        self.device_ids: list[Any] = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Calls the module."""
        return self.module(*inputs, **kwargs)
