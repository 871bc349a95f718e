"""Data of the sizes and ranges of the real sets, made here: nothing is loaded."""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
from pathlib import Path

import numpy as np

from workloads.spec import Array

Data = tuple[Array, Array]


def _f32(*arrays: Array) -> Data:
    x, y = (a.astype(np.float32) for a in arrays)
    return x, y


@functools.cache
def table(rows: int, columns: int) -> Data:
    """A smooth function of some variables."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, columns))
    y = np.sin(x[:, :1]) + x[:, -1:] * x[:, :1] / 2
    return _f32(x, y)


@functools.cache
def two_classes(rows: int) -> Data:
    """Two overlapping clouds of points in the plane."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, (rows, 1))
    return _f32(rng.normal(size=(rows, 2)) + 1.5 * label, label)


@functools.cache
def xor() -> Data:
    """Four rows."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    return _f32(x, (x.sum(axis=1, keepdims=True) == 1))


@functools.cache
def images(rows: int) -> Data:
    """Ten classes of noisy 28x28 pictures with the range of MNIST."""
    rng = np.random.default_rng(2)
    prototypes = rng.uniform(size=(10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    label = rng.integers(0, 10, rows)
    x = prototypes[label].astype(np.float32)
    x += 0.3 * rng.standard_normal(x.shape, dtype=np.float32)
    return np.clip(x, 0, 1)[..., None], np.eye(10, dtype=np.float32)[label]


def flat_images(rows: int) -> Data:
    """The same pictures as rows of 784 numbers."""
    x, y = images(rows)
    return x.reshape(rows, -1), y


@functools.cache
def colour_images(rows: int) -> Data:
    """Ten classes of noisy 32x32 pictures with three channels."""
    rng = np.random.default_rng(4)
    prototypes = rng.uniform(-1, 1, (10, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    label = rng.integers(0, 10, rows)
    x = prototypes[label].astype(np.float32)
    x += 0.3 * rng.standard_normal(x.shape, dtype=np.float32)
    return x, np.eye(10, dtype=np.float32)[label]


@functools.cache
def sequences(rows: int, steps: int, features: int) -> Data:
    """The mean of a walk, to be told from the walk."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, steps, features)) / np.sqrt(steps)
    return _f32(x, x.cumsum(axis=1).mean(axis=(1, 2))[:, None])


@functools.cache
def bytes_(rows: int) -> Data:
    """The flat pictures as bytes."""
    x, y = flat_images(rows)
    return (x * 255).astype(np.uint8), y


@functools.cache
def mapped(rows: int) -> Data:
    """The flat pictures in a memory-mapped file."""
    x, y = flat_images(rows)
    handle, name = tempfile.mkstemp(prefix="lamella-bench-", suffix=".npy")
    os.close(handle)
    atexit.register(Path(name).unlink)
    np.save(name, x)
    return np.load(name, mmap_mode="r"), y
