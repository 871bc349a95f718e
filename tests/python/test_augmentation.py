"""Layers that resize, crop and augment images: alone, in models, and against Keras."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import _core, layers

RNG = np.random.default_rng(1)
IMAGES = (RNG.random((3, 11, 10, 3)) * 255).astype("float32")
UNIT = IMAGES / 255
BYTES = RNG.integers(0, 256, (3, 12, 14, 3)).astype("uint8")
MOVES = [
    {"fill_mode": mode, "interpolation": method, "fill_value": 3.0}
    for mode in ("reflect", "wrap", "constant", "nearest")
    for method in ("bilinear", "nearest")
]
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Resizing", (5, 9), {"interpolation": "bicubic", "antialias": True}),
    ("Resizing", (5, 9), {"crop_to_aspect_ratio": True}),
    ("Resizing", (5, 9), {"pad_to_aspect_ratio": True, "fill_value": 2.0}),
    ("CenterCrop", (4, 5), {}),
    ("CenterCrop", (20, 5), {}),
    ("RandomCrop", (4, 5), {"seed": 3}),
    ("RandomCrop", (20, 5), {"seed": 3}),
    ("RandomFlip", (), {"seed": 3}),
    ("RandomFlip", ("horizontal",), {"seed": 2}),
    ("RandomFlip", ("vertical",), {"seed": 2}),
    *[("RandomRotation", ((-0.3, 0.1),), move) for move in MOVES],
    *[("RandomTranslation", (0.2, (-0.3, 0.1)), move) for move in MOVES],
    *[("RandomZoom", ((-0.4, 0.3),), move) for move in MOVES],
    ("RandomZoom", (0.3, 0.2), {"seed": 4}),
    *[("RandomShear", (0.4, (0.1, 0.5)), move) for move in MOVES],
    ("RandomPerspective", (), {}),
    ("RandomPerspective", (0.5, 0.3), {"interpolation": "nearest", "fill_value": 4.0}),
    ("RandomElasticTransform", (), {"scale": (0.2, 0.7), "fill_mode": "mirror"}),
    ("RandomBrightness", (0.3,), {}),
    ("RandomBrightness", ((-0.2, 0.8), (0, 1)), {"seed": 3}),
    ("RandomContrast", (0.3,), {}),
    ("RandomContrast", ((0.2, 0.8), (0, 1)), {"seed": 3}),
    ("RandomGrayscale", (0.4,), {"seed": 3}),
    ("RandomHue", (0.3,), {}),
    ("RandomHue", ((0.2, 0.8), (0, 1)), {}),
    ("RandomSaturation", ((0.2, 0.8), (0, 1)), {"seed": 3}),
    ("RandomColorDegeneration", (0.3,), {}),
    ("RandomColorJitter", ((0, 255), (0.2, 0.2), 0.3, (0.6, 0.6), 0.1), {"seed": 1}),
    ("RandomSharpness", ((0.2, 0.8), (0, 1)), {"seed": 3}),
    ("RandomPosterization", (4,), {}),
    ("RandomPosterization", ((3, 3), (0, 1)), {}),
    ("RandomInvert", (0.4, (0, 1)), {}),
    ("RandomGaussianBlur", (0.5, 5, (0.3, 0.9)), {"value_range": (0, 1)}),
    ("RandomErasing", (0.5, (0.1, 0.5)), {"fill_value": 7.0}),
    ("RandomErasing", (), {"fill_value": (1.0, 2.0, 3.0)}),
    ("RandomErasing", (), {}),
    ("Solarization", (0.3, (0.2, 0.6)), {"value_range": (0, 1)}),
    ("AutoContrast", (), {}),
    ("Equalization", (), {}),
    ("Equalization", ((0, 1), 64), {}),
    ("ContrastLimitedAdaptiveHistogramEqualization", ((0, 255), 0.0, (2, 5)), {}),
    ("MixUp", (0.5,), {"seed": 1}),
    ("CutMix", (0.3,), {"seed": 1}),
    ("RandAugment", (), {"seed": 1}),
    ("AugMix", ((0, 255), 2, 2, 0.2, 0.5, False), {"seed": 2}),
]
IDS = [f"{name}{i}" for i, (name, _, _) in enumerate(CASES)]
FIXED = ("Resizing", "CenterCrop", "AutoContrast", "Equalization")
SIZED = ("Resizing", "CenterCrop", "RandomCrop")
# They compute something at inference, too.
ALWAYS = (
    "Resizing",
    "CenterCrop",
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
)


def make(case: tuple[str, tuple[Any, ...], dict[str, Any]], **more: Any) -> Any:
    name, args, kwargs = case
    return getattr(layers, name)(*args, **{**kwargs, **more})


def pictures(case: tuple[str, tuple[Any, ...], dict[str, Any]]) -> np.ndarray:
    unit = (0, 1) in (*case[1], case[2].get("value_range"))
    return UNIT if unit or case[0] == "RandomSaturation" else IMAGES


def config(layer: Any) -> Any:
    return json.loads(json.dumps({**layer.get_config(), "name": None}))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_config_makes_an_equal_layer(case: Any) -> None:
    layer = make(case)
    assert config(type(layer).from_config(layer.get_config())) == config(layer)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_nothing_happens_at_inference(case: Any) -> None:
    x = pictures(case)
    y = make(case)(x, training=False)
    if case[0] not in ALWAYS:
        np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_same_seed_makes_the_same_pictures(case: Any) -> None:
    if case[0] not in (*FIXED, "ContrastLimitedAdaptiveHistogramEqualization"):
        case = (case[0], case[1], {**case[2], "seed": 5})
    x = pictures(case)
    first, second = (make(case) for _ in range(2))
    for _ in range(2):
        np.testing.assert_array_equal(first(x), second(x))
    assert first(x[0]).shape == first(x).shape[1:]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_graph_draws_anew_in_each_step(case: Any) -> None:
    layer, x = make(case), pictures(case)
    graph = _core.Graph()
    with graph:
        inputs = graph.input("x", (None, *x.shape[1:]), "float32")
        graph.output("y", layer(inputs, training=True))
    executor = _core.Executor(graph)
    steps = [executor([x])[0] for _ in range(12)]
    assert all(y.shape == layer.compute_output_shape(x.shape) for y in steps)
    fixed = case[0] in FIXED or case[0].startswith("ContrastLimited")
    always = fixed or (case[0] == "RandomCrop" and case[1] == (20, 5))
    always = always or case[1][:1] == ((3, 3),)  # as many bits for every image
    assert all(np.array_equal(steps[0], y) for y in steps) == always


@pytest.mark.parametrize("name", ["RandomFlip", "RandomRotation", "RandomZoom"])
def test_every_image_gets_its_own_draw(name: str) -> None:
    args = () if name == "RandomFlip" else (0.2,)
    x = np.repeat(IMAGES[:1], 16, axis=0)
    y = getattr(layers, name)(*args, seed=1)(x).numpy()
    different = len(np.unique(y.reshape(16, -1), axis=0))
    assert different == (2 if name == "RandomFlip" else 16)


def test_flip_is_a_flip_of_half_of_the_images() -> None:
    x = RNG.random((400, 2, 3, 1)).astype("float32")
    y = layers.RandomFlip("horizontal", seed=1)(x).numpy()
    flipped = np.all(y == x[:, :, ::-1], axis=(1, 2, 3))
    assert np.all(np.all(y == x, axis=(1, 2, 3)) ^ flipped)
    assert 150 < flipped.sum() < 250


def test_rotation_by_a_quarter_turns_counterclockwise() -> None:
    x = RNG.random((2, 5, 5, 1)).astype("float32")
    y = layers.RandomRotation((0.25, 0.25))(x)
    np.testing.assert_allclose(y, np.rot90(x, axes=(1, 2)), atol=1e-5)


def test_translation_and_zoom_by_fixed_factors() -> None:
    x = RNG.random((2, 4, 4, 1)).astype("float32")
    shift = layers.RandomTranslation((0.25, 0.25), (-0.5, -0.5), fill_mode="wrap")
    np.testing.assert_allclose(shift(x), np.roll(x, (1, -2), (1, 2)), atol=1e-6)
    y = layers.RandomZoom((1.0, 1.0), fill_mode="constant")(x).numpy()
    assert np.all(y[:, 0] == 0)  # twice as much is seen: a border of zeros
    np.testing.assert_allclose(y[:, 1, 1, 0], x[:, :2, :2, 0].mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("first", [False, True])
def test_factors_reach_their_range(first: bool) -> None:
    """Brightness and contrast in both layouts, by the formulas."""
    layout = {"data_format": "channels_first" if first else "channels_last"}
    x = np.ascontiguousarray(np.moveaxis(UNIT, -1, 1)) if first else UNIT
    bright = layers.RandomBrightness((0.25, 0.25), (0, 1), **layout)(x)
    np.testing.assert_allclose(bright, np.clip(x + 0.25, 0, 1), atol=1e-6)
    mean = x.mean((2, 3) if first else (1, 2), keepdims=True)
    y = layers.RandomContrast((0.5, 0.5), (0, 1), seed=1, **layout)(x).numpy()
    inner = (y > 0) & (y < 1)
    ratio = ((y - mean) / (x - mean))[inner & (np.abs(x - mean) > 0.01)]
    assert 0.5 - 1e-3 < ratio.min() < ratio.max() < 1.5 + 1e-3


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_integer_images_become_floats_or_stay(kind: str) -> None:
    x = BYTES.astype(kind)
    assert layers.Resizing(4, 4)(x).dtype == kind
    bright = layers.RandomBrightness((0.5, 0.5))(x)
    assert bright.dtype == kind
    np.testing.assert_array_equal(bright, np.minimum(x.astype(int) + 127, 255))
    assert layers.RandomFlip()(x).dtype == "float32"
    assert layers.RandomRotation(0.1)(x, training=False).dtype == "float32"
    assert layers.RandomInvert()(x, training=False).dtype == kind


def test_labels_and_masks_go_with_the_images() -> None:
    masks = (IMAGES[..., :1] > 100).astype("float32")
    data = {"images": IMAGES, "segmentation_masks": masks, "labels": np.eye(3)}
    out = layers.RandomFlip("horizontal", seed=1)(data)
    again = (out["images"].numpy()[..., :1] > 100).astype("float32")
    np.testing.assert_array_equal(out["segmentation_masks"], again)
    moved = layers.RandomRotation(0.2, seed=1)(data)["segmentation_masks"].numpy()
    assert set(np.unique(moved)) == {0, 1}
    for layer in (layers.MixUp(0.5, seed=3), layers.CutMix(seed=3)):
        mixed = layer(data)
        np.testing.assert_allclose(mixed["labels"].numpy().sum(1), 1, atol=1e-6)
        assert np.abs(mixed["labels"].numpy() - np.eye(3)).max() > 0.01
    assert np.all(layers.RandomBrightness(0.2)(data)["labels"].numpy() == np.eye(3))


def test_mixup_weights_images_and_labels_alike() -> None:
    x = np.eye(4, dtype="float32").reshape(4, 1, 1, 4)
    out = layers.MixUp(1.0, seed=2)({"images": x, "labels": np.eye(4)})
    np.testing.assert_allclose(
        out["images"].numpy().reshape(4, 4), out["labels"], atol=1e-6
    )


def test_beta_draws_have_the_right_moments() -> None:
    from lamella.layers.image.draws import beta_weights, permutation
    from lamella.random import SeedGenerator

    seed = SeedGenerator(1)
    for alpha in (0.2, 1.0, 3.0):
        x = beta_weights(20000, alpha, "float32", seed).numpy()
        assert x.mean() == pytest.approx(0.5, abs=0.01)
        assert x.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.04)
    orders = {tuple(permutation(3, seed).numpy().tolist()) for _ in range(60)}
    assert len(orders) == 6
    assert all(sorted(order) == [0, 1, 2] for order in orders)


@pytest.mark.parametrize("name", ["Resizing", "CenterCrop", "RandomFlip", "RandomZoom"])
def test_images_of_unknown_size(name: str) -> None:
    layer = getattr(layers, name)(
        *{"RandomFlip": (), "RandomZoom": (0.1,)}.get(name, (4, 5))
    )
    inputs = lamella.Input((None, None, 3))
    outputs = layer(inputs)
    assert outputs.shape == (
        (None, 4, 5, 3) if name in SIZED else (None, None, None, 3)
    )
    got = lamella.Model(inputs, outputs).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(got, layer(IMAGES, training=False), atol=1e-4)


def test_a_fixed_number_of_boxes() -> None:
    boxes = RNG.random((3, 4, 4)).astype("float32")
    data = {
        "images": IMAGES,
        "bounding_boxes": {"boxes": boxes, "labels": np.ones((3, 4), "int32")},
    }
    few = layers.MaxNumBoundingBoxes(2)(data)["bounding_boxes"]
    np.testing.assert_array_equal(few["boxes"], boxes[:, :2])
    many = layers.MaxNumBoundingBoxes(6)(data)["bounding_boxes"]
    np.testing.assert_array_equal(many["boxes"].numpy()[:, :4], boxes)
    assert np.all(many["boxes"].numpy()[:, 4:] == -1)
    assert many["labels"].numpy()[0].tolist() == [1, 1, 1, 1, -1, -1]


def test_masks_and_boxes_that_are_not_supported_are_refused() -> None:
    with pytest.raises(ValueError, match="bounding boxes are not supported"):
        layers.RandomFlip()({"images": IMAGES, "bounding_boxes": {}})
    with pytest.raises(ValueError, match="bounding boxes are not supported"):
        layers.RandomFlip(bounding_box_format="xyxy")


ERRORS = [
    (lambda: layers.RandomFlip("diagonal"), ValueError, "mode"),
    (lambda: layers.RandomRotation(0.1, fill_mode="a"), NotImplementedError, "fill"),
    (lambda: layers.RandomRotation("a"), ValueError, "factor must be a number"),
    (lambda: layers.RandomRotation((1, 2, 3)), ValueError, "factor must be a number"),
    (lambda: layers.RandomZoom(-1.0), ValueError, "above -1"),
    (lambda: layers.RandomTranslation(1.5, 0.1), ValueError, "height_factor"),
    (lambda: layers.RandomShear(1.5), ValueError, "x_factor"),
    (lambda: layers.RandomContrast(-0.5), ValueError, "factor"),
    (lambda: layers.RandomBrightness(0.5, 3), ValueError, "value_range"),
    (lambda: layers.RandomGaussianBlur(kernel_size=4), ValueError, "odd"),
    (lambda: layers.Resizing(3, 3, "area"), ValueError, "interpolation"),
    (lambda: layers.RandomGrayscale(2.0), ValueError, "factor"),
    (lambda: layers.RandomFlip()(np.zeros((3, 3))), ValueError, "rank"),
    (lambda: layers.RandomSaturation(0.5)(BYTES), ValueError, "floats"),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_bad_arguments_are_named(call: Any, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_augmentation_trains_saves_and_loads(tmp_path: Any) -> None:
    lamella.utils.set_random_seed(1)
    model = lamella.Sequential(
        [
            lamella.Input((11, 10, 3)),
            layers.Rescaling(1 / 255),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.RandomColorJitter((0, 1), 0.1, 0.1),
            layers.Resizing(8, 8),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    model.compile("adam", "mse")
    losses = model.fit(IMAGES, np.eye(3), epochs=40, verbose=0).history["loss"]
    assert np.mean(losses[-5:]) < losses[0] / 1.5
    assert len(set(losses[:5])) == 5
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(expected, model.predict(IMAGES, verbose=0))
    for name in ("model.keras", "model.lamella"):
        model.save(tmp_path / name)
        loaded = lamella.models.load_model(tmp_path / name)
        np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), expected)


# -- against Keras ---------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return what Keras drew as arrays (copies: Keras changes some in place)."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k != "input_shape"}
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    if hasattr(value, "detach"):
        return lamella.ops.convert_to_tensor(value.detach().numpy().copy())
    return value


@pytest.mark.filterwarnings("ignore:Tensor.T is deprecated:UserWarning")
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_equals_keras_with_the_same_draws(
    keras_reference: Any, case: Any, layout: str
) -> None:
    name, args, kwargs = case
    more: dict[str, Any] = {"data_format": layout}
    if name not in FIXED and not name.startswith("ContrastLimited"):
        more["seed"] = 7  # a test of the same numbers each time
    kwargs = {**kwargs, **more}
    theirs = getattr(keras_reference.layers, name)(*args, **kwargs)
    ours = make(case, **more)
    assert config(ours) == config(theirs)
    if name in ("RandomElasticTransform", "RandomColorJitter", "RandAugment", "AugMix"):
        return  # they draw within transform_images
    if layout == "channels_first" and isinstance(kwargs.get("fill_value"), tuple):
        return  # Keras broadcasts the three numbers over the columns
    x = pictures(case)
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    convert = keras_reference.ops.convert_to_tensor
    drawn = theirs.get_random_transformation(convert(x.copy()), training=True)
    copied = _plain(drawn)
    expected = theirs.transform_images(convert(x.copy()), drawn, training=True)
    got = ours.transform_images(lamella.ops.convert_to_tensor(x), copied, True)
    expected = keras_reference.ops.convert_to_numpy(expected)
    assert got.dtype == expected.dtype.name
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(got, expected, atol=3e-6 * scale)
