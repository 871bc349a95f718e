"""The event files that TensorBoard reads, written without its packages.

A file is a sequence of records (length, masked checksum, an encoded Event, masked
checksum). Events are protocol buffers; the few fields that are needed are encoded here.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path
from typing import IO

import numpy as np

__all__ = ["EventFile"]


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of `data`, rotated and shifted as record files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _block(field: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


class EventFile:
    """One event file in a folder, which is made if need be.

    Args:
        folder: where TensorBoard looks for it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        now = time.time()
        host = socket.gethostname() or "localhost"
        name = f"events.out.tfevents.{now:.6f}.{host}.{os.getpid()}.v2"
        self._file: IO[bytes] = (path / name).open("ab")
        self._event(_block(3, "brain.Event:2"), None)

    def _event(self, content: bytes, step: int | None) -> None:
        event = _double(1, time.time())
        if step is not None:
            event += _integer(2, int(step))
        event += content
        length = struct.pack("<Q", len(event))
        self._file.write(length + struct.pack("<I", masked_crc(length)))
        self._file.write(event + struct.pack("<I", masked_crc(event)))

    def _summary(self, tag: str, value: bytes, step: int) -> None:
        self._event(_block(5, _block(1, _block(1, tag) + value)), step)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write a number."""
        number = _varint(2 << 3 | 5) + struct.pack("<f", float(value))
        self._summary(tag, number, step)

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Write how values are distributed, in 30 bins."""
        values = np.asarray(values, dtype="float64").ravel()
        values = values[np.isfinite(values)]
        if not values.size:
            return
        counts, edges = np.histogram(values, bins=30)
        histogram = (
            _double(1, values.min())
            + _double(2, values.max())
            + _double(3, float(values.size))
            + _double(4, values.sum())
            + _double(5, float(np.square(values).sum()))
            + _block(6, np.asarray(edges[1:], "<f8").tobytes())
            + _block(7, np.asarray(counts, "<f8").tobytes())
        )
        self._summary(tag, _block(5, histogram), step)

    def plugin_text(self, tag: str, plugin: str, text: str, step: int = 0) -> None:
        """Write a text for one of TensorBoard's plug-ins."""
        metadata = _block(1, _block(1, plugin) + _block(2, "1"))
        tensor = _integer(1, 7) + _block(2, b"") + _block(8, text)
        self._summary(tag, _block(9, metadata) + _block(8, tensor), step)

    def flush(self) -> None:
        """Make what was written visible to readers."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
