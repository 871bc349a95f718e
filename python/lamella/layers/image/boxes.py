"""A fixed number of bounding boxes for every image."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers.image.base import ImageLayer
from lamella.ops.conversion import to_tensor

__all__ = ["MaxNumBoundingBoxes"]


class MaxNumBoundingBoxes(ImageLayer):
    """Cuts or fills up the bounding boxes of images to a fixed number.

    It takes {"images": ..., "bounding_boxes": {"boxes": (n, boxes, 4), "labels":
    (n, boxes)}}; the images stay as they are.

    Args:
        max_number: number of boxes of the result.
        fill_value: coordinates and label of the boxes that are added. Default -1.
        **kwargs: `name`, `dtype`, ...
    """

    def __init__(self, max_number: int, fill_value: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_number = int(max_number)
        self.fill_value = int(fill_value)

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images."""
        return images

    def call(self, data: Any, training: bool = True) -> Any:
        """Return the data with as many boxes as wanted."""
        if not isinstance(data, dict) or "bounding_boxes" not in data:
            return super().call(data, training)
        rest = {k: v for k, v in data.items() if k != "bounding_boxes"}
        single = data["images"].ndim == 3
        boxes = {
            key: self._of_number(to_tensor(value), 0 if single else 1)
            for key, value in data["bounding_boxes"].items()
        }
        return {**super().call(rest, training), "bounding_boxes": boxes}

    def _of_number(self, x: Any, axis: int) -> Any:
        """Return `x` cut or filled up along the axis of the boxes."""
        index = (slice(None),) * axis + (slice(0, self.max_number),)
        x = x[index]
        missing = self.max_number - x.shape[axis]
        widths = [(0, missing if i == axis else 0) for i in range(x.ndim)]
        return _core.pad(x, widths, self.fill_value) if missing else x

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments (Keras leaves the fill value out)."""
        return {**super().get_config(), "max_number": self.max_number}
