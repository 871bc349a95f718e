"""A log file of the epochs."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from .callback import Callback

__all__ = ["CSVLogger"]


def _cell(value: Any) -> Any:
    if isinstance(value, str) or np.ndim(value) == 0:
        return value
    if isinstance(value, Iterable):
        return f'"[{", ".join(map(str, value))}]"'
    return value


class CSVLogger(Callback):
    """Write loss and metrics of each epoch as a line of a CSV file.

    The file is flushed after each line. Columns are ``epoch`` and the metrics in
    alphabetic order; if validation has not run by the end of the first epoch,
    columns for it are made all the same.

    Args:
        filename: The file.
        separator: Separator of the columns, default ``","``.
        append: Whether to append to an existing file (for a resumed training)
            instead of replacing it.

    Example:
        >>> log = CSVLogger("training.csv")
        >>> model.fit(x, y, callbacks=[log])  # doctest: +SKIP
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        separator: str = ",",
        append: bool = False,
    ) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.append_header = True
        self.keys: list[str] | None = None
        self.writer: csv.DictWriter[str] | None = None
        self.csv_file: IO[str] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the file."""
        path = Path(self.filename)
        if self.append and path.exists():
            with path.open(encoding="utf-8") as file:
                self.append_header = not file.readline()
        self._close()
        mode = "a" if self.append else "w"
        self.csv_file = path.open(mode, newline="", encoding="utf-8")
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a line."""
        logs = logs or {}
        assert self.csv_file is not None
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]
        if self.writer is None:
            self.writer = csv.DictWriter(
                self.csv_file,
                fieldnames=["epoch", *self.keys],
                delimiter=self.sep,
            )
            if self.append_header:
                self.writer.writeheader()
        row = {key: _cell(logs.get(key, "NA")) for key in self.keys}
        self.writer.writerow({"epoch": epoch, **row})
        self.csv_file.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self.csv_file is not None and not self.csv_file.closed:
            self.csv_file.close()
        self.writer = None
