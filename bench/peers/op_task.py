"""A single op as a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class OpTask:
    """Calls an op of no arguments again and again.

    `arrays` turns what it returned into the list of results, in the workload's layout.
    """

    def __init__(
        self, op: Callable[[], Any], arrays: Callable[[Any], list[np.ndarray]]
    ) -> None:
        self.op = op
        self.arrays = arrays

    def run(self, count: int) -> int:
        """`count` calls."""
        op = self.op
        for _ in range(count):
            op()
        return count

    def results(self, rows: int) -> list[np.ndarray]:
        """What the op returns."""
        return self.arrays(self.op())
