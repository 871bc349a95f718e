"""ops.image against plain numpy, against itself in a Graph, and against Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamella
from lamella import _core

image = lamella.ops.image
RNG = np.random.default_rng(0)
IMAGES = RNG.random((2, 5, 7, 3)).astype("float32")
BYTES = RNG.integers(0, 256, (2, 9, 6, 3)).astype("uint8")
WHOLE = RNG.integers(-50, 500, (6, 5, 3)).astype("int32")
FIRST = np.ascontiguousarray(np.moveaxis(IMAGES, -1, 1))
MAPS = np.array(
    [[0.9, 0.3, -2.5, -0.2, 1.1, 3.0, 0, 0], [1.2, -0.1, 6.0, 0.4, 0.8, -4.0, 0, 0]],
    dtype="float32",
)
CORNERS = np.array([[[0, 0], [6, 0], [0, 4], [6, 4]]] * 2, dtype="float32")
MOVED = (CORNERS + RNG.uniform(-1.5, 1.5, (2, 4, 2))).astype("float32")
PLACES = RNG.uniform(-12, 20, (2, 4, 5)).astype("float32")
MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
# numpy's names for the rules; "constant" is a pad with the fill value
_RULES = ("constant", "edge", "wrap", "reflect", "symmetric")
PADS = dict(zip(MODES, _RULES, strict=True))


def bilinear(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (h, w, c) resized, pixel by pixel."""
    result = np.zeros((*size, x.shape[2]))
    for i, j in np.ndindex(*size):
        y = max((i + 0.5) * x.shape[0] / size[0] - 0.5, 0)
        z = max((j + 0.5) * x.shape[1] / size[1] - 0.5, 0)
        a, b = int(y), int(z)
        c, d = min(a + 1, x.shape[0] - 1), min(b + 1, x.shape[1] - 1)
        u, v = y - a, z - b
        result[i, j] = (1 - u) * ((1 - v) * x[a, b] + v * x[a, d]) + u * (
            (1 - v) * x[c, b] + v * x[c, d]
        )
    return result


@pytest.mark.parametrize("size", [(3, 9), (10, 14), (5, 7), (1, 1), (13, 4)])
def test_resize_bilinear_equals_the_formula(size: tuple[int, int]) -> None:
    expected = np.stack([bilinear(x, size) for x in IMAGES])
    np.testing.assert_allclose(image.resize(IMAGES, size), expected, atol=1e-6)


def test_resize_nearest_takes_the_pixel_at_the_centre() -> None:
    x = np.arange(4, dtype="int32").reshape(1, 4, 1)
    assert image.resize(x, (1, 2), "nearest").numpy().ravel().tolist() == [1, 3]
    assert image.resize(x, (1, 3), "nearest").numpy().ravel().tolist() == [0, 2, 3]


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("antialias", [False, True])
def test_resize_keeps_constant_images_and_types(method: str, antialias: bool) -> None:
    for kind in ("float32", "float64", "uint8", "int32"):
        y = image.resize(np.full((6, 8, 2), 7, kind), (4, 11), method, antialias)
        assert y.dtype == kind
        np.testing.assert_allclose(y, 7, rtol=1e-5)


def test_resize_keeps_the_aspect_ratio_by_cropping_or_padding() -> None:
    x = np.arange(8, dtype="float32").reshape(2, 4, 1)
    cropped = image.resize(x, (2, 2), crop_to_aspect_ratio=True)
    assert cropped.numpy()[..., 0].tolist() == [[1, 2], [5, 6]]
    padded = image.resize(x, (4, 4), pad_to_aspect_ratio=True, fill_value=9.0)
    assert padded.numpy()[..., 0].tolist() == [[9] * 4, *x[..., 0].tolist(), [9] * 4]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [0, 1])
def test_map_coordinates_continues_grids_as_numpy_pads(mode: str, order: int) -> None:
    x = RNG.random((5, 4))
    border = 30
    extra = {"constant_values": 2.5} if mode == "constant" else {}
    wide: Any = np.pad(x, border, mode=PADS[mode], **extra)  # type: ignore[call-overload]
    at = RNG.uniform(-20, 20, (2, 40))
    if order == 0:
        y, z = np.round(at).astype(int) + border
        expected = wide[y, z]
    else:
        low = np.floor(at).astype(int)
        (u, v), (y, z) = at - low, low + border
        expected = (1 - u) * ((1 - v) * wide[y, z] + v * wide[y, z + 1]) + u * (
            (1 - v) * wide[y + 1, z] + v * wide[y + 1, z + 1]
        )
    got = image.map_coordinates(x, at, order, mode, 2.5)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_affine_transform_shifts_and_rotates() -> None:
    x = np.arange(9, dtype="float32").reshape(3, 3, 1)
    left = image.affine_transform(x, [1, 0, 1, 0, 1, 0, 0, 0], fill_value=-1)
    assert left.numpy()[..., 0].tolist() == [[1, 2, -1], [4, 5, -1], [7, 8, -1]]
    turned = image.affine_transform(x, [0, -1, 2, 1, 0, 0, 0, 0], "nearest")
    assert turned.numpy()[..., 0].tolist() == np.rot90(x[..., 0]).tolist()


def test_affine_transform_follows_the_projective_formula() -> None:
    x = RNG.random((6, 6, 1))
    t = np.array([1.1, 0.2, -0.5, 0.1, 0.9, 0.4, 0.05, -0.02])
    down, right = np.mgrid[0:6, 0:6].astype(float)
    k = t[6] * right + t[7] * down + 1
    at = [
        (t[3] * right + t[4] * down + t[5]) / k,
        (t[0] * right + t[1] * down + t[2]) / k,
    ]
    expected = image.map_coordinates(x[..., 0], np.stack(at), 1)
    got = image.affine_transform(x, t)
    np.testing.assert_allclose(got[..., 0], expected, atol=1e-12)


def test_perspective_transform_moves_the_corners() -> None:
    x = RNG.random((5, 7, 2))
    same = image.perspective_transform(x, CORNERS[0], CORNERS[0])
    np.testing.assert_allclose(same, x, atol=1e-12)
    flipped = image.perspective_transform(x, CORNERS[0], CORNERS[0][[1, 0, 3, 2]])
    np.testing.assert_allclose(flipped, x[:, ::-1], atol=1e-9)


@pytest.mark.parametrize("size", [2, (1, 3), (2, 3)])
@pytest.mark.parametrize("strides", [None, 1, (2, 1)])
def test_extract_patches_are_windows(size: Any, strides: Any) -> None:
    h, w = (size, size) if isinstance(size, int) else size
    s = (h, w) if strides is None else strides
    s = (s, s) if isinstance(s, int) else s
    view = np.lib.stride_tricks.sliding_window_view(IMAGES, (h, w), axis=(1, 2))
    view = view[:, :: s[0], :: s[1]].transpose(0, 1, 2, 4, 5, 3)
    expected = view.reshape(*view.shape[:3], -1)
    np.testing.assert_array_equal(
        image.extract_patches(IMAGES, size, strides), expected
    )
    first = image.extract_patches(FIRST, size, strides, data_format="channels_first")
    np.testing.assert_array_equal(np.moveaxis(first.numpy(), 1, -1), expected)


def test_gaussian_blur_of_a_point_is_its_kernel() -> None:
    x = np.zeros((7, 7, 1))
    x[3, 3] = 1
    y = image.gaussian_blur(x, (5, 3), (1.5, 0.7)).numpy()[..., 0]
    row = np.exp(-0.5 * (np.arange(-2, 3) / 1.5) ** 2)
    column = np.exp(-0.5 * (np.arange(-1, 2) / 0.7) ** 2)
    kernel = np.outer(column / column.sum(), row / row.sum())
    np.testing.assert_allclose(y[2:5, 1:6], kernel, atol=1e-12)
    assert y.sum() == pytest.approx(1)


def test_sobel_edges_of_a_slope() -> None:
    x = np.broadcast_to(np.arange(6.0)[:, None], (1, 6, 5))[..., None]
    edges = image.sobel_edges(x).numpy()[0, 1:-1, 1:-1, 0]
    assert np.all(edges[..., 0] == 8)
    assert np.all(edges[..., 1] == 0)


def test_hsv_goes_there_and_back() -> None:
    np.testing.assert_allclose(
        image.hsv_to_rgb(image.rgb_to_hsv(IMAGES)), IMAGES, atol=1e-6
    )
    red = image.rgb_to_hsv(np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 0.5]]]))
    expected = [[0, 1, 1], [1 / 3, 1, 1], [2 / 3, 1, 0.5]]
    np.testing.assert_allclose(red[0], expected, atol=1e-12)


def test_ssim_is_one_for_equal_images_only() -> None:
    x = RNG.random((2, 16, 14, 3))
    np.testing.assert_allclose(image.ssim(x, x), 1, atol=1e-12)
    assert np.all(image.ssim(x, x[::-1]).numpy() < 0.9)
    assert image.ssim(x[0], x[0]).shape == ()


def test_pad_and_crop_are_inverse() -> None:
    around = {"top": 1, "left": 2, "bottom": 3, "right": 0}
    padded = image.pad_images(IMAGES, **{f"{k}_padding": v for k, v in around.items()})
    assert padded.shape == (2, 9, 9, 3)
    back = image.crop_images(padded, **{f"{k}_cropping": v for k, v in around.items()})
    np.testing.assert_array_equal(back, IMAGES)
    target = image.pad_images(
        FIRST,
        top_padding=1,
        left_padding=0,
        target_height=8,
        target_width=9,
        data_format="channels_first",
    )
    assert target.shape == (2, 3, 8, 9)


def test_scale_and_translate_shifts_by_whole_pixels() -> None:
    x = np.arange(5.0)
    y = image.scale_and_translate(x, (5,), np.ones(1), np.ones(1), (0,), "linear")
    assert y.numpy().tolist() == [0, 0, 1, 2, 3]


def test_elastic_transform_of_strength_zero_is_the_image() -> None:
    same = image.elastic_transform(IMAGES, alpha=0.0, sigma=1.0, seed=1)
    np.testing.assert_allclose(same, IMAGES)
    pair = [image.elastic_transform(IMAGES, 5.0, 1.0, seed=1).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*pair)
    assert np.abs(pair[0] - IMAGES).max() > 0.05


# -- in a Graph ----------------------------------------------------------------

CALLS = {
    "resize": lambda x: image.resize(x, (4, 9)),
    "resize_bicubic": lambda x: image.resize(x, (4, 9), "bicubic"),
    "resize_antialias": lambda x: image.resize(x, (3, 4), antialias=True),
    "affine": lambda x: image.affine_transform(x, MAPS, fill_mode="reflect"),
    "affine_wrap": lambda x: image.affine_transform(x, MAPS, fill_mode="wrap"),
    "perspective": lambda x: image.perspective_transform(x, CORNERS, MOVED),
    "blur": lambda x: image.gaussian_blur(x, (3, 5), (0.8, 1.2)),
    "grayscale": image.rgb_to_grayscale,
    "hsv": image.rgb_to_hsv,
    "rgb": image.hsv_to_rgb,
    "sobel": image.sobel_edges,
}


@pytest.mark.parametrize("shape", [(None, 5, 7, 3), (None, None, None, 3)])
@pytest.mark.parametrize("name", CALLS)
def test_a_graph_computes_the_same(name: str, shape: Any) -> None:
    graph = _core.Graph()
    with graph:
        x = graph.input("x", shape, "float32")
        graph.output("y", CALLS[name](x))
    traced = _core.Executor(graph)([IMAGES])[0]
    np.testing.assert_allclose(traced, CALLS[name](IMAGES), atol=1e-6)


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("hsv", "rgb")])
def test_gradients_equal_differences(name: str) -> None:
    x = IMAGES.astype("float64")
    weights = RNG.random(CALLS[name](x).shape)
    leaf = _core.from_numpy(x.copy())
    leaf.requires_grad = True
    _core.sum(CALLS[name](leaf) * weights).backward()
    step = 1e-6 * RNG.standard_normal(x.shape)
    up, down = (np.sum(CALLS[name](v).numpy() * weights) for v in (x + step, x - step))
    assert np.sum(leaf.grad.numpy() * step) == pytest.approx((up - down) / 2, rel=1e-5)


@pytest.mark.parametrize("name", [n for n in CALLS if n != "sobel"])
def test_placeholders_become_operations(name: str) -> None:
    inputs = lamella.Input((5, 7, 3))
    outputs = CALLS[name](inputs)
    model = lamella.Model(inputs, outputs)
    expected = CALLS[name](IMAGES)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-6)


ERRORS = [
    (lambda: image.resize(IMAGES, (3,)), ValueError, "size must be two integers"),
    (lambda: image.resize(IMAGES, (0, 3)), ValueError, "size must be positive"),
    (lambda: image.resize(IMAGES, (3, 3), "area"), ValueError, "interpolation"),
    (lambda: image.resize(IMAGES[0, 0], (3, 3)), ValueError, "rank 3"),
    (
        lambda: image.resize(IMAGES, (3, 3), "nearest", False, True, True),
        ValueError,
        "only one",
    ),
    (lambda: image.affine_transform(IMAGES, [1.0]), ValueError, "transform"),
    (lambda: image.map_coordinates(IMAGES, PLACES, 1), ValueError, "one entry"),
    (lambda: image.map_coordinates(IMAGES[0, 0], PLACES, 2), ValueError, "order"),
    (lambda: image.rgb_to_hsv(BYTES), ValueError, "floats"),
    (lambda: image.rgb_to_grayscale(IMAGES[..., :2]), ValueError, "channels"),
    (lambda: image.pad_images(IMAGES, top_padding=1), ValueError, "exactly two"),
    (lambda: image.extract_patches(IMAGES, "a"), TypeError, "size"),
    (lambda: image.sobel_edges(IMAGES[0]), ValueError, "rank 4"),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_bad_arguments_are_named(call: Any, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


# -- against Keras ---------------------------------------------------------------

SAME = [
    *[
        ("resize", (x, size, method, antialias), {}, 2e-6 if x is IMAGES else 1.01)
        for x in (IMAGES, BYTES, WHOLE)
        for size in ((3, 9), (10, 14), (13, 4))
        for method in ("nearest", "bilinear", "bicubic")
        for antialias in (False, True)
    ],
    ("resize", (FIRST, (4, 9)), {"data_format": "channels_first"}, 2e-6),
    ("resize", (IMAGES, (4, 9)), {"crop_to_aspect_ratio": True}, 2e-6),
    ("resize", (IMAGES, (9, 4)), {"pad_to_aspect_ratio": True}, 2e-6),
    *[
        ("affine_transform", (x, MAPS, method, mode, 7), {}, 1e-5)
        for x in (IMAGES, BYTES)
        for method in ("nearest", "bilinear")
        for mode in MODES
    ],
    ("perspective_transform", (IMAGES, CORNERS, MOVED), {"fill_value": 2}, 2e-5),
    *[
        ("map_coordinates", (x, PLACES, order, mode, 2), {}, 1e-5)
        for x in (IMAGES[0, :, :, 0], WHOLE[..., 0])
        for order in (0, 1)
        for mode in MODES
    ],
    *[
        ("extract_patches", (IMAGES, size, strides, 1, padding), {}, 0)
        for size in (2, (1, 3), (2, 2, 2))
        for strides in (None, 1, 2)
        for padding in ("valid", "same")
        if size != (2, 2, 2)
    ],
    ("rgb_to_grayscale", (BYTES,), {}, 0),
    ("rgb_to_hsv", (IMAGES,), {}, 1e-6),
    ("hsv_to_rgb", (IMAGES,), {}, 1e-6),
    ("gaussian_blur", (IMAGES, (5, 5), (0.5, 2.0), "channels_last"), {}, 1e-6),
    ("sobel_edges", (IMAGES,), {}, 1e-6),
    ("ssim", (RNG.random((2, 16, 14, 3)), RNG.random((2, 16, 14, 3))), {}, 1e-6),
    *[
        ("scale_and_translate", (IMAGES, (2, 4, 9, 3), s, t, (1, 2), method), {}, 1e-5)
        for method in ("linear", "cubic", "lanczos3", "lanczos5")
        for s, t in [(np.float32([0.7, 1.3]), np.float32([0.2, -1.1]))]
    ],
]


@pytest.mark.parametrize("case", range(len(SAME)))
def test_equals_keras(keras_reference: Any, case: int) -> None:
    name, args, kwargs, tolerance = SAME[case]
    copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    theirs = getattr(keras_reference.ops.image, name)(*copies, **kwargs)
    expected = keras_reference.ops.convert_to_numpy(theirs)
    got = getattr(image, name)(*args, **kwargs)
    assert got.dtype == expected.dtype.name
    np.testing.assert_allclose(
        got.numpy().astype("float64"), expected.astype("float64"), atol=tolerance
    )
