"""Images mixed with other images of their batch."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers.image.base import ImageLayer
from lamella.layers.image.draws import beta_weights, permutation
from lamella.layers.image.pixels import box_masks, box_sides
from lamella.ops.conversion import to_float

__all__ = ["CutMix", "MixUp"]


def _mixed_labels(labels: Any, transformation: Any) -> Any:
    labels = to_float(labels)
    weight = _core.reshape(transformation["mix_weight"], (-1, 1))
    others = _core.gather(labels, transformation["permutation_order"], 0)
    return weight * labels + (1.0 - weight) * others


class MixUp(ImageLayer):
    """Adds to every image another one of the batch, with random weights, in training.

    With {"images": ..., "labels": one-hot rows} the labels are mixed with the same
    weights.

    Args:
        alpha: the weights are drawn from beta(alpha, alpha). Default 0.2.
        data_format: "channels_last" (default) or "channels_first".
        seed: integer for a sequence of its own, or None.
        **kwargs: `name`, `dtype`, ...

    Source: Zhang et al., 2017 (arXiv:1710.09412).
    """

    _MASKS_AS_IMAGES = True

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.alpha = alpha
        self._seed(seed)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the order of the other images, and the weights of the first ones."""
        if not training:
            return None
        count, source = self._dims(data)[0], self._source(seed)
        return {
            "permutation_order": permutation(count, source),
            "mix_weight": beta_weights(count, float(self.alpha), self._dtype, source),
        }

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the mixed images."""
        if not training:
            return images
        images = self._cast(images)
        weight = _core.reshape(self._cast(transformation["mix_weight"]), (-1, 1, 1, 1))
        others = _core.gather(images, transformation["permutation_order"], 0)
        return weight * images + (1.0 - weight) * others

    def transform_labels(
        self, labels: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the mixed labels."""
        return _mixed_labels(labels, transformation) if training else labels

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha, "seed": self.seed}


class CutMix(ImageLayer):
    """Puts a rectangle of another image of the batch into every image, in training.

    With {"images": ..., "labels": one-hot rows} the labels are mixed by the areas. A
    single image stays as it is.

    Args:
        factor: the areas are drawn from beta(a, a) with a between 0 and this number, or
            between (lower, upper). Default 1.
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Source: Yun et al., 2019 (arXiv:1905.04899).
    """

    _MASKS_AS_IMAGES = True

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.factor = self._factor(factor)
        self._seed(seed)

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> Any:
        """Return the order of the other images, the rectangles and the weights."""
        if not training:
            return None
        count, height, width, _ = self._dims(data)
        source = self._source(seed)
        alpha = self._uniform((), self.factor[0], self.factor[1], source) + 1e-6
        ratio = _core.sqrt(1.0 - beta_weights(count, alpha, self._dtype, source))
        x = box_sides(self, width, ratio, source)
        y = box_sides(self, height, ratio, source)
        area = (x[1] - x[0]) * (y[1] - y[0])
        whole = self._length(width) * self._length(height)
        return {
            "permutation_order": permutation(count, source),
            "batch_masks": box_masks(self, data, x, y),
            "mix_weight": 1.0 - area / whole,
        }

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the images with parts of others in them."""
        images = self._cast(images)
        if not training or transformation is None:
            return images
        others = _core.gather(images, transformation["permutation_order"], 0)
        return _core.where(transformation["batch_masks"], others, images)

    def transform_labels(
        self, labels: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the mixed labels."""
        if not training or transformation is None:
            return labels
        return _mixed_labels(labels, transformation)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "factor": self.factor, "seed": self.seed}
