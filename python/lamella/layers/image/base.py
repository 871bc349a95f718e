"""What the layers that change images share: draws, batches, labels and masks."""

from __future__ import annotations

from typing import Any

from lamella import _core, config
from lamella.layers.layer import Layer
from lamella.ops.conversion import cast, dim_value
from lamella.random import SeedGenerator, uniform

__all__ = ["ImageLayer", "factor_range", "is_channels_first", "sorted_range"]


def factor_range(
    factor: Any,
    bounds: tuple[float, float],
    name: str,
    who: str,
    symmetric: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return (lower, upper) of a factor given as a number or as two numbers.

    Args:
        factor: number f, for (max(-f, bounds[0]), f), or a pair.
        bounds: the range that is allowed.
        name: name of the argument.
        who: name of the layer.
        symmetric: a number stands for (-f, f) whatever the bounds.
        strict: both numbers of a pair must lie in the bounds, not only overlap them.

    Raises:
        ValueError: the factor is something else or out of bounds.
    """
    low, high = bounds
    text = (
        f"{who}: {name} must be a number, or two numbers, in the range [{low}, {high}],"
        f" got {name}={factor!r}"
    )
    if isinstance(factor, tuple | list):
        if len(factor) != 2:
            raise ValueError(text)
        first, second = factor
        if strict:
            wrong = min(factor) < low or max(factor) > high
        else:
            wrong = first > high or second < low
        if wrong:
            raise ValueError(text)
        return tuple(sorted(factor))
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise ValueError(text)
    if factor < low or factor > high:
        raise ValueError(text)
    factor = abs(factor)
    return (-factor, factor) if symmetric else (max(-factor, low), factor)


def sorted_range(value_range: Any, who: str) -> list[Any]:
    """Return the value range as a sorted list of two numbers."""
    if not isinstance(value_range, tuple | list) or len(value_range) != 2:
        raise ValueError(
            f"{who}: value_range must be two numbers, got value_range={value_range!r}"
        )
    return sorted(value_range)


def is_channels_first(layer: Any) -> bool:
    """Return whether the channels come before the height."""
    return bool(layer.data_format == "channels_first")


class ImageLayer(Layer):
    """A layer that changes images, one or a batch, and what belongs to them.

    It takes images, (h, w, c) or (n, h, w, c), or a dict with the images under
    "images" and, as far as they are there, "labels" and "segmentation_masks"; the
    dict that comes back holds the same keys. A subclass draws in
    `get_random_transformation` and acts in `transform_images`.
    """

    _FACTOR_BOUNDS: tuple[float, float] = (-1, 1)
    # Masks go the way of the images; otherwise they stay as they are.
    _MASKS_AS_IMAGES = False
    factor: Any

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        bounding_box_format = kwargs.pop("bounding_box_format", None)
        super().__init__(**kwargs)
        if bounding_box_format is not None:
            raise ValueError(
                f"{type(self).__name__}: bounding boxes are not supported, got "
                f"bounding_box_format={bounding_box_format!r}"
            )
        self.data_format = config.standardize_data_format(
            data_format, type(self).__name__
        )
        self.built = True

    def _seed(self, seed: int | None) -> None:
        self.seed = seed
        self.generator = SeedGenerator(seed)

    def _factor(self, factor: Any, name: str = "factor") -> tuple[Any, Any]:
        return factor_range(factor, self._FACTOR_BOUNDS, name, type(self).__name__)

    # -- what a subclass says ------------------------------------------------

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return what `transform_images` needs to know: the draws of this call."""
        return None

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the changed images."""
        raise NotImplementedError

    def transform_labels(
        self, labels: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the labels of the changed images: by default as they are."""
        return labels

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the masks of the changed images: by default as they are."""
        if self._MASKS_AS_IMAGES:
            return self.transform_images(segmentation_masks, transformation, training)
        return segmentation_masks

    # -- help for them -------------------------------------------------------

    def _dims(self, data: Any) -> tuple[Any, Any, Any, Any]:
        """Return (images, height, width, channels) of images or a dict of them."""
        images = data["images"] if isinstance(data, dict) else data
        dims = tuple(getattr(images, "dims", images.shape))
        if len(dims) not in (3, 4):
            raise ValueError(
                f"{self._who()}: images must have rank 3 (one image) or 4 (a batch), "
                f"got the shape {tuple(images.shape)}"
            )
        count = dims[0] if len(dims) == 4 else 1
        if is_channels_first(self):
            return count, dims[-2], dims[-1], dims[-3]
        return count, dims[-3], dims[-2], dims[-1]

    def _uniform(self, shape: Any, low: float, high: float, seed: Any) -> Any:
        return uniform(tuple(shape), low, high, self._dtype, self._source(seed))

    def _source(self, seed: Any) -> Any:
        return self.generator if seed is None else seed

    def _chosen(self, count: Any, seed: Any) -> Any:
        """Return a boolean for each image, True as often as `factor` says."""
        likely = self._uniform((count,), self.factor[0], self.factor[1], seed)
        return _core.less(self._uniform((count,), 0.0, 1.0, seed), likely)

    def _cast(self, images: Any) -> Any:
        return cast(images, self._dtype)

    def _length(self, size: Any) -> Any:
        """Return a size of the images as a number of the layer's type."""
        return size if isinstance(size, int) else dim_value(size, self._dtype)

    def _rescale(self, images: Any, source: Any, target: Any) -> Any:
        """Return images of one value range in another one."""
        if source[0] == target[0] and source[1] == target[1]:
            return images
        images = (self._cast(images) - source[0]) / (source[1] - source[0])
        return images * (target[1] - target[0]) + target[0]

    # -- the call ------------------------------------------------------------

    def call(self, data: Any, training: bool = True) -> Any:
        """Return the changed images, or the dict with them."""
        if not isinstance(data, dict):
            changed = self._call_dict({"images": data}, training)
            return changed["images"]
        if "bounding_boxes" in data:
            raise ValueError(
                f"{self._who()}: bounding boxes are not supported; transform images, "
                "labels and segmentation_masks, and the boxes by yourself"
            )
        return self._call_dict(data, training)

    def _call_dict(self, data: dict[str, Any], training: bool) -> dict[str, Any]:
        self._dims(data)  # the ranks are right
        single = data["images"].ndim == 3
        if single:
            data = {k: _core.expand_dims(v, 0) for k, v in data.items()}
        change = self.get_random_transformation(data, training=training)
        result = dict(data)
        result["images"] = self.transform_images(data["images"], change, training)
        if "labels" in data:
            result["labels"] = self.transform_labels(data["labels"], change, training)
        if "segmentation_masks" in data:
            result["segmentation_masks"] = self.transform_segmentation_masks(
                data["segmentation_masks"], change, training
            )
        if single:
            result = {k: _core.squeeze(v, (0,)) for k, v in result.items()}
        return result

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format}
