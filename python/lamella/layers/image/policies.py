"""Several random changes, drawn from a list: RandAugment and AugMix."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers.image.base import ImageLayer
from lamella.layers.image.color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
)
from lamella.layers.image.draws import beta_weights, dirichlet_weights
from lamella.layers.image.geometry import RandomRotation, RandomTranslation
from lamella.layers.image.histogram import AutoContrast, Equalization
from lamella.layers.image.pixels import (
    RandomPosterization,
    RandomSharpness,
    Solarization,
)
from lamella.layers.image.warps import RandomShear
from lamella.ops.control import switch
from lamella.random import randint

__all__ = ["AugMix", "RandAugment"]


class _Policy(ImageLayer):
    """Common part: the layers that are drawn from."""

    _FACTOR_BOUNDS = (0, 1)
    value_range: Any
    interpolation: str

    def _make_layers(self, kwargs: dict[str, Any]) -> None:
        factor = self.factor
        common = {**kwargs, "data_format": self.data_format}
        moved = {**common, "seed": self.seed, "interpolation": self.interpolation}
        ranged = {**common, "value_range": self.value_range}
        seeded = {**ranged, "seed": self.seed}
        bits = max(1, int(8 * factor[1]))
        self.random_shear = RandomShear(factor, factor, **moved)
        self.random_translation = RandomTranslation(factor, factor, **moved)
        self.random_rotation = RandomRotation(factor, **moved)
        self.random_brightness = RandomBrightness(factor, **seeded)
        self.random_color_degeneration = RandomColorDegeneration(factor, **seeded)
        self.random_contrast = RandomContrast(factor, **seeded)
        self.random_sharpness = RandomSharpness(factor, **seeded)
        self.random_posterization = RandomPosterization(bits, **seeded)
        self.solarization = Solarization(factor, factor, **seeded)
        self.auto_contrast = AutoContrast(**ranged)
        self.equalization = Equalization(**ranged)

    def _apply_one(self, names: tuple[str, ...], which: Any, data: Any) -> Any:
        """Return images and masks changed by the layer with the number `which`."""

        def branch(name: str) -> Any:
            layer: ImageLayer = getattr(self, name)

            def run() -> Any:
                change = layer.get_random_transformation(data, seed=self.generator)
                return {
                    key: self._cast(
                        layer.transform_images(value, change)
                        if key == "images"
                        else layer.transform_segmentation_masks(value, change)
                    )
                    for key, value in data.items()
                }

            return run

        return switch(which, [branch(name) for name in names] + [lambda: data])

    def _change(self, data: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _call_dict(self, data: dict[str, Any], training: bool) -> dict[str, Any]:
        self._dims(data)
        result = dict(data)
        if not training:
            return {**result, "images": self._cast(data["images"])}
        pictures: dict[str, Any] = {
            key: self._cast(data[key])
            for key in ("images", "segmentation_masks")
            if key in data
        }
        single = data["images"].ndim == 3
        if single:
            pictures = {k: _core.expand_dims(v, 0) for k, v in pictures.items()}
        pictures = self._change(pictures)
        if single:
            pictures = {k: _core.squeeze(v, (0,)) for k, v in pictures.items()}
        return {**result, **pictures}

    def transform_images(
        self, images: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        """Return the changed images."""
        return self._call_dict({"images": images}, training)["images"]


class RandAugment(_Policy):
    """Applies `num_ops` of eleven random changes one after the other, in training.

    The changes are drawn once a call, their strengths for each image.

    Args:
        value_range: smallest and largest value of the images. Default (0, 255).
        num_ops: number of changes. Default 2.
        factor: strength of the changes, in [0, 1]: (0, f) or (lower, upper). Default
            0.5.
        interpolation: "bilinear" (default) or "nearest".
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Source: Cubuk et al., 2019 (arXiv:1909.13719).
    """

    _NAMES = (
        "random_shear",
        "random_translation",
        "random_rotation",
        "random_brightness",
        "random_color_degeneration",
        "random_contrast",
        "random_sharpness",
        "random_posterization",
        "solarization",
        "auto_contrast",
        "equalization",
    )

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_ops: int = 2,
        factor: Any = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.value_range = value_range
        self.num_ops = num_ops
        self.factor = self._factor(factor)
        self.interpolation = interpolation
        self._seed(seed)
        self._make_layers(kwargs)

    def _change(self, data: dict[str, Any]) -> dict[str, Any]:
        which = randint((self.num_ops,), 0, len(self._NAMES), seed=self.generator)
        for i in range(self.num_ops):
            data = self._apply_one(self._NAMES, which[i], data)
        return data

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "num_ops": self.num_ops,
            "factor": self.factor,
            "interpolation": self.interpolation,
            "seed": self.seed,
        }


class AugMix(_Policy):
    """Mixes images with several chains of random changes of them, in training.

    The changes and the weights of the chains are drawn once a call, the strengths of
    the changes for each image.

    Args:
        value_range: smallest and largest value of the images. Default (0, 255).
        num_chains: number of chains. Default 3.
        chain_depth: largest number of changes in a chain. Default 3.
        factor: strength of the changes, in [0, 1]: (0, f) or (lower, upper). Default
            0.3.
        alpha: parameter of the distributions of the weights. Default 1.
        all_ops: also change brightness, colours, contrast and sharpness. Default True.
        interpolation: "bilinear" (default) or "nearest".
        seed: integer for a sequence of its own, or None.
        data_format: "channels_last" (default) or "channels_first".
        **kwargs: `name`, `dtype`, ...

    Source: Hendrycks et al., 2019 (arXiv:1912.02781).
    """

    _NAMES = (
        "random_shear",
        "random_translation",
        "random_rotation",
        "random_posterization",
        "solarization",
        "auto_contrast",
        "equalization",
        "random_brightness",
        "random_color_degeneration",
        "random_contrast",
        "random_sharpness",
    )

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Any = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.value_range = value_range
        self.num_chains = num_chains
        self.chain_depth = chain_depth
        self.factor = self._factor(factor)
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation = interpolation
        self._seed(seed)
        self._make_layers(kwargs)

    def _change(self, data: dict[str, Any]) -> dict[str, Any]:
        names = self._NAMES if self.all_ops else self._NAMES[:7]
        source, alpha = self.generator, float(self.alpha)
        weights = dirichlet_weights(self.num_chains, alpha, self._dtype, source)
        share = beta_weights(1, alpha, self._dtype, source)
        # One number more than there are layers: it stands for no change.
        shape = (self.num_chains, self.chain_depth)
        which = randint(shape, 0, len(names) + 1, seed=source)
        total: Any = None
        for i in range(self.num_chains):
            chain = data
            for j in range(self.chain_depth):
                chain = self._apply_one(names, which[i, j], chain)
            part = {k: v * weights[i] for k, v in chain.items()}
            if total is not None:
                part = {k: total[k] + v for k, v in part.items()}
            total = part
        mixed = {k: share * v + (1.0 - share) * total[k] for k, v in data.items()}
        low, high = self.value_range
        return {**mixed, "images": _core.clip(mixed["images"], low, high)}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "num_chains": self.num_chains,
            "chain_depth": self.chain_depth,
            "factor": self.factor,
            "alpha": self.alpha,
            "all_ops": self.all_ops,
            "interpolation": self.interpolation,
            "seed": self.seed,
        }
