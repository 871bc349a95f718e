"""Toy problems in the plane: xor, circles, moons, spirals, gaussians."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ._files import Pair

__all__ = ["ToyDataset", "circles", "gaussians", "moons", "spirals", "xor"]

Points = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
Generator = np.random.RandomState


class ToyDataset:
    """A problem with two features and a class for each point.

    Args:
        name: Its name.
        make: Function of a random generator, the number of points, the noise and
            the number of classes that gives points and classes.
        noise: Default standard deviation of the noise.
        classes: Default number of classes.
        fixed: Whether the number of classes cannot be chosen.
        doc: What it looks like.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Generator, int, float, int], Points],
        noise: float,
        classes: int,
        fixed: bool,
        doc: str,
    ) -> None:
        self.name = name
        self.noise = noise
        self.classes = classes
        self._make = make
        self._fixed = fixed
        self.__doc__ = doc

    def __repr__(self) -> str:
        return f"<lamella.datasets.{self.name}>"

    def load_data(
        self,
        n_samples: int = 1000,
        noise: float | None = None,
        test_split: float = 0.2,
        seed: int = 113,
        classes: int | None = None,
    ) -> tuple[Pair, Pair]:
        """Make the points; the same ones for the same arguments, for ever.

        Args:
            n_samples: Number of points, of training and test together.
            noise: Standard deviation of the noise; None: the problem's default.
            test_split: Share of the points for the test part, default 0.2.
            seed: Seed, default 113.
            classes: Number of classes (spirals and gaussians only).

        Returns:
            ``(x_train, y_train), (x_test, y_test)``: points (n, 2) float32, classes
            (n,) uint8.

        Raises:
            ValueError: If an argument is out of range.

        Example:
            >>> (x_train, y_train), (x_test, y_test) = moons.load_data()
            >>> x_train.shape, x_test.shape
            ((800, 2), (200, 2))
        """
        who = f"{self.name}.load_data"
        noise = self.noise if noise is None else noise
        count = self.classes if classes is None else classes
        if self._fixed and count != self.classes:
            raise ValueError(f"{who}: classes is always {self.classes}, got {classes}")
        if not 2 <= count <= 255:
            raise ValueError(f"{who}: classes must lie in [2, 255], got {classes}")
        if n_samples < count:
            raise ValueError(
                f"{who}: n_samples must be at least the number of classes, {count}, "
                f"got n_samples={n_samples}"
            )
        if noise < 0:
            raise ValueError(f"{who}: noise must not be negative, got noise={noise}")
        if not 0 <= test_split < 1:
            raise ValueError(
                f"{who}: test_split must lie in [0, 1), got test_split={test_split}"
            )
        # RandomState: its sequence is promised never to change.
        random = np.random.RandomState(seed)
        points, labels = self._make(random, n_samples, noise, count)
        order = random.permutation(n_samples)
        x = points[order].astype(np.float32)
        y = labels[order].astype(np.uint8)
        cut = int(n_samples * (1 - test_split))
        return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def _labels(n: int, classes: int) -> npt.NDArray[np.int64]:
    """Return classes in turn, so that all are equally frequent."""
    return np.arange(n) % classes


def _xor(random: Generator, n: int, noise: float, classes: int) -> Points:
    del classes
    corner = np.arange(n) % 4
    bits = np.stack([corner % 2, corner // 2], axis=1)
    return bits + noise * random.standard_normal((n, 2)), bits[:, 0] ^ bits[:, 1]


def _circles(random: Generator, n: int, noise: float, classes: int) -> Points:
    labels = _labels(n, classes)
    angle = random.uniform(0, 2 * np.pi, n)
    radius = np.where(labels == 1, 0.5, 1.0)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = radius[:, None] * circle + noise * random.standard_normal((n, 2))
    return points, labels


def _moons(random: Generator, n: int, noise: float, classes: int) -> Points:
    labels = _labels(n, classes)
    angle = random.uniform(0, np.pi, n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    points = np.where((labels == 0)[:, None], upper, lower)
    return points + noise * random.standard_normal((n, 2)), labels


def _spirals(random: Generator, n: int, noise: float, classes: int) -> Points:
    labels = _labels(n, classes)
    # sqrt: as many points on an outer piece as on an inner one of equal length
    turn = np.sqrt(random.uniform(0.01, 1, n))
    angle = 1.75 * 2 * np.pi * turn + 2 * np.pi * labels / classes
    arm = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return turn[:, None] * arm + noise * random.standard_normal((n, 2)), labels


def _gaussians(random: Generator, n: int, noise: float, classes: int) -> Points:
    labels = _labels(n, classes)
    angle = 2 * np.pi * labels / classes
    centre = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centre + noise * random.standard_normal((n, 2)), labels


xor = ToyDataset(
    "xor",
    _xor,
    0.1,
    2,
    True,
    "Exclusive or: clouds at the corners (0, 0), (1, 0), (0, 1), (1, 1); class 1 "
    "where the coordinates differ. `noise=0` gives the truth table.",
)
circles = ToyDataset(
    "circles",
    _circles,
    0.05,
    2,
    True,
    "Two circles: class 0 with radius 1, class 1 with radius 0.5.",
)
moons = ToyDataset(
    "moons", _moons, 0.1, 2, True, "Two half circles that reach into each other."
)
spirals = ToyDataset(
    "spirals",
    _spirals,
    0.02,
    2,
    False,
    "Two or more spirals of 1.75 turns inside the unit circle.",
)
gaussians = ToyDataset(
    "gaussians",
    _gaussians,
    0.3,
    3,
    False,
    "Clouds around points on the unit circle, by default three.",
)
