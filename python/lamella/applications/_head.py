"""What all networks have: checks of the arguments, and the last layer."""

from __future__ import annotations

from typing import Any

from lamella import layers

__all__ = ["classify", "image_input"]


def image_input(input_shape: Any, least: int, what: str) -> Any:
    """Return the placeholder of images.

    Args:
        input_shape: (height, width, channels).
        least: the smallest height and width.
        what: name of the network, for errors.

    Raises:
        ValueError: for another rank, or images that are too small.
    """
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"{what}: input_shape must be (height, width, channels), got "
            f"input_shape={input_shape!r}"
        )
    if any(size is not None and size < least for size in shape[:2]):
        raise ValueError(
            f"{what}: images must be at least {least} x {least}, got "
            f"input_shape={input_shape!r}"
        )
    return layers.Input(shape, name="images")


def classify(x: Any, classes: int, activation: Any, what: str) -> Any:
    """Return the probabilities (or scores, with activation None) of the classes."""
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"{what}: classes must be positive, got classes={classes!r}")
    return layers.Dense(classes, activation=activation, name="predictions")(x)
