"""Image files, folders of them, and arrays."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import utils
from lamella.utils.image_utils import smart_resize

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of small pictures, with other files and deeper folders."""
    top = tmp_path_factory.mktemp("pictures")
    for name, count in (("cats", 5), ("birds", 3), ("dogs", 4)):
        (top / name / "more").mkdir(parents=True)
        for i in range(count):
            pixels = RNG.integers(0, 256, (6 + i, 9, 3)).astype("uint8")
            ending = ("png", "PNG", "bmp", "gif")[i % 4]
            where = top / name / "more" if i % 3 == 2 else top / name
            Image.fromarray(pixels).save(where / f"{i}.{ending}")
        (top / name / "notes.txt").write_text("not a picture")
    (top / ".hidden").mkdir()
    return top


def paths(folder: Path) -> tuple[list[str], list[int]]:
    """Return the files in Keras's order, and their classes."""
    found: list[str] = []
    classes = []
    for number, name in enumerate(("birds", "cats", "dogs")):
        here = [p for p in sorted((folder / name).iterdir()) if p.is_file()]
        here += sorted((folder / name / "more").iterdir())
        here = [p for p in here if p.suffix != ".txt"]
        found += [str(p) for p in here]
        classes += [number] * len(here)
    return found, classes


def read(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def load(folder: Path, **kwargs: Any) -> Any:
    kwargs = {"image_size": (8, 7), "shuffle": False, "verbose": False, **kwargs}
    return utils.image_dataset_from_directory(folder, **kwargs)


def test_files_come_in_order_with_their_classes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load(folder, batch_size=5, verbose=True)
    assert capsys.readouterr().out == "Found 12 files belonging to 3 classes.\n"
    files, classes = paths(folder)
    assert dataset.class_names == ["birds", "cats", "dogs"]
    assert dataset.file_paths == files
    assert len(dataset) == 3
    images, labels = read(dataset)
    assert (images.shape, images.dtype.name) == ((12, 8, 7, 3), "float32")
    assert (labels.tolist(), labels.dtype.name) == (classes, "int32")
    first = np.asarray(Image.open(files[0]).convert("RGB"), dtype="float32")
    np.testing.assert_allclose(
        images[0], lamella.ops.image.resize(first, (8, 7)), atol=1e-3
    )


@pytest.mark.parametrize(
    ("mode", "shape", "kind"),
    [("categorical", (12, 3), "float32"), ("int", (12,), "int32")],
)
def test_label_modes(folder: Path, mode: str, shape: Any, kind: str) -> None:
    labels = read(load(folder, label_mode=mode))[1]
    assert (labels.shape, labels.dtype.name) == (shape, kind)


def test_labels_given_left_out_or_of_two_classes(folder: Path) -> None:
    labels = read(load(folder, labels=list(range(12))))[1]
    assert labels.tolist() == list(range(12))
    (images,) = load(folder, labels=None).as_numpy_iterator()
    assert images.shape == (12, 8, 7, 3)
    single = next(iter(load(folder, label_mode=None, batch_size=None)))
    assert single.shape == (8, 7, 3)
    two = load(folder, class_names=["dogs", "birds"], label_mode="binary")
    assert two.class_names == ["dogs", "birds"]
    assert read(two)[1].ravel().tolist() == [0.0] * 4 + [1.0] * 3


def test_split_is_that_of_numpys_shuffle(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, _ = paths(folder)
    np.random.RandomState(3).shuffle(files)
    split = {"validation_split": 0.3, "seed": 3, "shuffle": True}
    train, valid = load(folder, subset="both", verbose=True, **split)
    assert train.file_paths == files[:-3]
    assert valid.file_paths == files[-3:]
    assert "Using 9 files for training.\n" in capsys.readouterr().out
    alone = load(folder, subset="validation", **split)
    assert alone.file_paths == files[-3:]
    once, again = (np.sort(read(train)[0].ravel()) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize(
    "method", ["nearest", "bilinear", "bicubic", "area", "gaussian", "mitchellcubic"]
)
def test_interpolations_keep_a_grey_picture(tmp_path: Path, method: str) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((9, 6, 3), 90, "uint8")).save(tmp_path / "a" / "x.png")
    for ratio in ("crop_to_aspect_ratio", None):
        kwargs = {ratio: True} if ratio else {}
        images = read(load(tmp_path, interpolation=method, **kwargs))[0]
        assert images.dtype == ("uint8" if method == "nearest" else "float32")
        np.testing.assert_allclose(images, 90, rtol=1e-5)
    padded = read(load(tmp_path, interpolation=method, pad_to_aspect_ratio=True))[0][0]
    # 9 x 6 becomes 8 x 5.33 in 8 x 7, rounded down as TensorFlow does
    np.testing.assert_allclose(padded[:, :5], 90, rtol=1e-5)
    assert np.all(padded[:, 5:] == 0)


def test_area_is_the_mean_of_blocks(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    x = RNG.integers(0, 256, (8, 12, 3)).astype("uint8")
    Image.fromarray(x).save(tmp_path / "a" / "x.png")
    got = read(load(tmp_path, interpolation="area", image_size=(2, 4)))[0][0]
    blocks = x.reshape(2, 4, 4, 3, 3).mean((1, 3))
    np.testing.assert_allclose(got, blocks, rtol=1e-5)


def test_colours_and_layout(folder: Path) -> None:
    for mode, channels in (("grayscale", 1), ("rgba", 4)):
        assert read(load(folder, color_mode=mode))[0].shape == (12, 8, 7, channels)
    first = read(load(folder, data_format="channels_first"))[0]
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), read(load(folder))[0])


BAD = [
    ({"validation_split": 0.2}, "together"),
    ({"validation_split": 0.2, "subset": "both", "shuffle": True}, "seed"),
    ({"labels": [1, 2]}, "12 files"),
    ({"class_names": ["mice"]}, "class_names"),
    ({"label_mode": "binary"}, "two classes"),
    ({"color_mode": "cmyk"}, "color_mode"),
    ({"image_size": (1, 2, 3)}, "image_size"),
    ({"interpolation": "fancy"}, "interpolation"),
    ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "only one"),
]


@pytest.mark.parametrize(("kwargs", "text"), BAD)
def test_bad_arguments_are_named(folder: Path, kwargs: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        load(folder, **kwargs)


def test_a_model_trains_on_a_folder(folder: Path) -> None:
    lamella.utils.set_random_seed(1)
    dataset = load(folder, batch_size=4, shuffle=True, seed=1)
    model = lamella.Sequential(
        [
            lamella.layers.RandomFlip("horizontal"),
            lamella.layers.Rescaling(1 / 255),
            lamella.layers.Flatten(),
            lamella.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    losses = model.fit(dataset, epochs=80, verbose=0).history["loss"]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])


# -- single images ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("size", [None, (4, 5)])
def test_load_img_is_pillows(folder: Path, mode: str, size: Any) -> None:
    path = Path(paths(folder)[0][0])
    expected = Image.open(path).convert({"rgb": "RGB", "rgba": "RGBA"}.get(mode, "L"))
    if size is not None:
        expected = expected.resize((5, 4), Image.Resampling.BICUBIC)
    for source in (path, str(path), io.BytesIO(path.read_bytes())):
        img = utils.load_img(source, mode, size, "bicubic")
        np.testing.assert_array_equal(np.asarray(img), np.asarray(expected))


def test_load_img_keeps_the_aspect_ratio(folder: Path) -> None:
    path = paths(folder)[0][0]
    x = utils.img_to_array(utils.load_img(path))  # 6 x 9
    img = utils.load_img(path, target_size=(6, 6), keep_aspect_ratio=True)
    np.testing.assert_array_equal(utils.img_to_array(img), x[:, 1:7])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_arrays_become_images_and_back(channels: int, layout: str) -> None:
    x = RNG.integers(0, 256, (5, 6, channels)).astype("float32")
    x = np.moveaxis(x, -1, 0) if layout == "channels_first" else x
    img = utils.array_to_img(x, layout, scale=False)
    assert img.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    back = utils.img_to_array(img, layout)
    assert back.dtype == "float32"
    np.testing.assert_array_equal(back, x)
    scaled = utils.img_to_array(utils.array_to_img(x * 3 - 7, layout), layout)
    assert (scaled.min(), scaled.max()) == (0, 255)


def test_save_img_writes_what_load_img_reads(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (5, 6, 3)).astype("float32")
    utils.save_img(tmp_path / "x.png", x, scale=False)
    np.testing.assert_array_equal(
        utils.img_to_array(utils.load_img(tmp_path / "x.png")), x
    )
    with pytest.warns(UserWarning, match="no transparency"):
        utils.save_img(tmp_path / "x.jpg", np.zeros((4, 4, 4)))
    assert utils.load_img(tmp_path / "x.jpg").mode == "RGB"


def test_smart_resize_crops_then_resizes() -> None:
    x = RNG.random((6, 9, 3)).astype("float32")
    y = smart_resize(x, (4, 4))
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y, lamella.ops.image.resize(x[:, 1:7], (4, 4)))


def test_bad_images_are_named(tmp_path: Path) -> None:
    for call, kind, text in (
        (lambda: utils.array_to_img(np.zeros((2, 2))), ValueError, "rank 3"),
        (lambda: utils.array_to_img(np.zeros((2, 2, 2))), ValueError, "channels"),
        (lambda: utils.img_to_array(np.zeros(3)), ValueError, "rank 2 or 3"),
        (lambda: utils.load_img(3), TypeError, "path"),
        (lambda: smart_resize(np.zeros((2, 2, 2)), (2,)), ValueError, "size"),
    ):
        with pytest.raises(kind, match=text):
            call()


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"lamella\[image\]"):
        utils.load_img("x.png")
