"""Spectra, adaptive pooling and smooth upsampling."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import initializers, layers

RNG = np.random.default_rng(0)
SOUND = RNG.normal(size=(3, 1500)).astype("float32")
STEREO = RNG.normal(size=(2, 300, 2)).astype("float32")
IMAGES = RNG.random((2, 6, 8, 3)).astype("float32")


def frames(x: np.ndarray, length: int, step: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::step, :]


def test_mel_spectrogram_is_the_fourier_transform_in_bands() -> None:
    layer = layers.MelSpectrogram(
        fft_length=256, sequence_stride=100, sequence_length=200, num_mel_bins=20
    )
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 200), 28)
    padded = np.pad(SOUND, ((0, 0), (128, 128)), mode="reflect")
    power = np.abs(np.fft.rfft(frames(padded, 256, 100) * window)) ** 2
    hertz = np.linspace(0, 8000, 129)
    edges = 700 * (np.exp(np.linspace(*_mel([20, 8000]), 22) / 1127) - 1)
    bands = np.stack(
        [np.interp(_mel(hertz), _mel(edges[i : i + 3]), [0, 1, 0]) for i in range(20)]
    )
    bands[:, 0] = 0
    decibels = 10 * np.log10(np.maximum(power @ bands.T, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    got = layer(SOUND)
    assert got.shape == layer.compute_output_shape(SOUND.shape) == (3, 20, 16)
    np.testing.assert_allclose(got, decibels.transpose(0, 2, 1), atol=2e-3)
    one = layers.MelSpectrogram(fft_length=256, power_to_db=False)(SOUND[0])
    assert one.shape == (128, 3)


def _mel(hertz: Any) -> np.ndarray:
    return 1127 * np.log(1 + np.asarray(hertz) / 700)


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_stft_spectrogram_is_the_fourier_transform(expand: bool, first: bool) -> None:
    window = np.hanning(64)
    sound = STEREO.transpose(0, 2, 1)
    spectrum = np.fft.rfft(frames(sound, 64, 32) * window, 128)
    spectrum /= np.sqrt(np.sum(window**2))
    layout = "channels_first" if first else "channels_last"
    kwargs = {"frame_length": 64, "fft_length": 128, "expand_dims": expand}
    for mode, values in (
        ("magnitude", np.sqrt(np.maximum(np.abs(spectrum) ** 2, 1e-7))),
        ("real", spectrum.real),
        ("imag", spectrum.imag),
        ("log", np.log(np.maximum(np.abs(spectrum), 1e-3))),
    ):
        layer = layers.STFTSpectrogram(mode, data_format=layout, **kwargs)
        got = layer(sound if first else STEREO).numpy()
        if expand:
            values = values if first else values.transpose(0, 2, 3, 1)
        else:
            values = values.transpose(0, 1, 3, 2).reshape(2, 130, -1)
            values = values if first else values.transpose(0, 2, 1)
        atol = 0.05 if mode == "log" else 1e-4
        np.testing.assert_allclose(got, values, atol=atol)
        shape = sound.shape if first else STEREO.shape
        assert got.shape == layer.compute_output_shape(shape)


def test_stft_kernels_can_be_trained_and_saved(tmp_path: Any) -> None:
    model = lamella.Sequential(
        [
            lamella.Input((300, 2)),
            layers.STFTSpectrogram("magnitude", 32, expand_dims=True),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    before = model.layers[0].get_weights()
    model.fit(STEREO, np.ones((2, 1)), epochs=3, verbose=0)
    after = model.layers[0].get_weights()
    assert [w.shape for w in after] == [(32, 1, 17)] * 2
    assert np.abs(before[0] - after[0]).max() > 1e-4
    model.save(tmp_path / "m.keras")
    loaded = lamella.models.load_model(tmp_path / "m.keras")
    expected = model.predict(STEREO, verbose=0)
    np.testing.assert_array_equal(loaded.predict(STEREO, verbose=0), expected)


ERRORS = [
    (lambda: layers.STFTSpectrogram("x"), ValueError, "mode"),
    (lambda: layers.STFTSpectrogram(frame_step=300), ValueError, "frame_step"),
    (lambda: layers.STFTSpectrogram(fft_length=16), ValueError, "fft_length"),
    (lambda: layers.STFTSpectrogram(window="round"), ValueError, "window"),
    (
        lambda: layers.STFTSpectrogram()(np.zeros((1, 9, 1), "int32")),
        TypeError,
        "float",
    ),
    (lambda: layers.MelSpectrogram(64, sequence_length=65), ValueError, "fft_length"),
    (lambda: layers.MelSpectrogram()(SOUND[:, :99]), ValueError, "more than 1024"),
    (lambda: initializers.STFT("both"), ValueError, "side"),
    (lambda: initializers.STFT(window=[1.0])((2, 1, 2)), ValueError, "shape"),
    (lambda: layers.AdaptiveMaxPooling2D("a"), TypeError, "output_size"),
    (lambda: layers.UpSampling2D(2, None, "area"), ValueError, "interpolation"),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_bad_arguments_are_named(call: Any, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize("first", [False, True])
def test_adaptive_pooling_of_equal_blocks(first: bool) -> None:
    blocks = IMAGES.reshape(2, 3, 2, 2, 4, 3)
    layout = "channels_first" if first else "channels_last"
    x = np.ascontiguousarray(np.moveaxis(IMAGES, -1, 1)) if first else IMAGES
    for name, values in (
        ("AdaptiveAveragePooling2D", blocks.mean((2, 4))),
        ("AdaptiveMaxPooling2D", blocks.max((2, 4))),
    ):
        layer = getattr(layers, name)((3, 2), layout)
        got = layer(x).numpy()
        assert got.shape == layer.compute_output_shape(x.shape)
        got = np.moveaxis(got, 1, -1) if first else got
        np.testing.assert_allclose(got, values, atol=1e-6)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos3"])
def test_upsampling_is_a_resize(method: str) -> None:
    expected = lamella.ops.image.resize(IMAGES, (12, 24), method).numpy()
    layer = layers.UpSampling2D((2, 3), interpolation=method)
    np.testing.assert_allclose(layer(IMAGES), expected, atol=1e-6)
    inputs = lamella.Input((6, 8, 3))
    model = lamella.Model(inputs, layer(inputs))
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-6)


KERAS = [
    ("UpSampling2D", (2, None, "bilinear"), {}, IMAGES),
    ("UpSampling2D", ((3, 2), None, "bicubic"), {}, IMAGES),
    ("AdaptiveAveragePooling2D", (2,), {}, IMAGES),
    ("AdaptiveMaxPooling2D", ((3, 4),), {}, IMAGES),
    ("MelSpectrogram", (512, 100), {"window": "hamming", "top_db": 40.0}, SOUND),
    ("MelSpectrogram", (256,), {"mag_exp": 1.0, "power_to_db": False}, SOUND),
    *[
        ("STFTSpectrogram", (mode, 64), {"window": window, "padding": padding}, STEREO)
        for mode in ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
        for window, padding in (("hann", "valid"), ("blackman", "same"))
    ],
]


@pytest.mark.parametrize("case", KERAS, ids=lambda c: f"{c[0]}-{c[1]}")
def test_equals_keras(keras_reference: Any, case: Any) -> None:
    name, args, kwargs, x = case
    theirs = getattr(keras_reference.layers, name)(*args, **kwargs)
    ours = getattr(layers, name)(*args, **kwargs)
    expected = keras_reference.ops.convert_to_numpy(theirs(x))
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(ours(x), expected, atol=2e-4 * scale)

    def config(layer: Any) -> Any:
        return json.loads(json.dumps({**layer.get_config(), "name": None}))

    assert config(ours) == config(theirs)
