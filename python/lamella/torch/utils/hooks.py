"""What registering a hook gives back."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """Removes its hook by remove(), or at the end of a `with`."""

    def __init__(self, remove: Callable[[], object]) -> None:
        self._remove: Callable[[], object] | None = remove

    def remove(self) -> None:
        """Takes the hook away; later calls do nothing."""
        remove, self._remove = self._remove, None
        if remove is not None:
            remove()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
