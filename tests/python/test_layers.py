"""Layers: formulas in NumPy, and parity with Keras where it is installed."""

from __future__ import annotations

import os

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# -- references from the formulas -------------------------------------------


def same_pads(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    out = -(-size // stride)
    total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def conv2d(x, w, strides, padding, dilation, groups):
    """Convolution by its definition, in float64."""
    kh, kw, cin, cout = w.shape
    if padding == "same":
        pads = [
            same_pads(x.shape[i + 1], w.shape[i], strides[i], dilation[i])
            for i in range(2)
        ]
        x = np.pad(x, [(0, 0), *pads, (0, 0)])
    n, h, wd, _ = x.shape
    oh = (h - (kh - 1) * dilation[0] - 1) // strides[0] + 1
    ow = (wd - (kw - 1) * dilation[1] - 1) // strides[1] + 1
    y = np.zeros((n, oh, ow, cout))
    per = cout // groups
    for i in range(oh):
        for j in range(ow):
            for a in range(kh):
                for b in range(kw):
                    pixel = x[
                        :,
                        i * strides[0] + a * dilation[0],
                        j * strides[1] + b * dilation[1],
                    ]
                    for g in range(groups):
                        part = pixel[:, g * cin : (g + 1) * cin]
                        out = slice(g * per, (g + 1) * per)
                        y[:, i, j, out] += part @ w[a, b, :, out]
    return y


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [(7, 8), (6, 5)])
def test_conv2d_matches_the_definition(strides, padding, groups, size):
    x = rng().normal(size=(2, *size, 4))
    layer = L.Conv2D(6, (3, 2), strides, padding, groups=groups, dtype="float64")
    y = layer(x).numpy()
    w, b = (v.numpy() for v in layer.weights)
    expected = conv2d(x, w, strides, padding, (1, 1), groups) + b
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert layer.compute_output_shape((2, *size, 4)) == y.shape


def test_conv2d_dilation_matches_the_definition():
    x = rng().normal(size=(2, 9, 8, 3))
    for padding in ("valid", "same"):
        layer = L.Conv2D(2, 3, padding=padding, dilation_rate=2, dtype="float64")
        y = layer(x).numpy()
        w = layer.weights[0].numpy()
        expected = conv2d(x, w, (1, 1), padding, (2, 2), 1)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_dense_is_an_affine_map_on_the_last_axis():
    x = rng().normal(size=(2, 3, 5))
    layer = L.Dense(4, activation="tanh", bias_initializer="ones", dtype="float64")
    y = layer(x).numpy()
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(y, np.tanh(x @ kernel + bias), rtol=1e-12)
    assert kernel.shape == (5, 4)
    assert bias.shape == (4,)


def test_pooling_with_same_leaves_the_padding_out_of_the_mean():
    x = rng().normal(size=(1, 3, 3, 1))
    y = L.AveragePooling2D(2, padding="same", dtype="float64")(x).numpy()
    expected = np.array(
        [
            [x[0, :2, :2].mean(), x[0, :2, 2].mean()],
            [x[0, 2, :2].mean(), x[0, 2, 2].mean()],
        ]
    )
    np.testing.assert_allclose(y[0, ..., 0], expected, rtol=1e-12)
    z = L.MaxPooling2D(2, padding="same", dtype="float64")(-np.abs(x)).numpy()
    assert z[0, 1, 1, 0] == -abs(x[0, 2, 2, 0])


def test_batch_normalization_training_moves_the_averages():
    x = rng().normal(2.0, 3.0, size=(16, 5))
    layer = L.BatchNormalization(momentum=0.9, epsilon=1e-3, dtype="float64")
    y = layer(x, training=True).numpy()
    mean, var = x.mean(0), x.var(0)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-3), rtol=1e-10)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-12)
    moved = 0.9 + 0.1 * var
    np.testing.assert_allclose(layer.moving_variance.numpy(), moved, rtol=1e-12)
    z = layer(x).numpy()
    expected = (x - 0.1 * mean) / np.sqrt(moved + 1e-3)
    np.testing.assert_allclose(z, expected, rtol=1e-10)


def test_batch_normalization_frozen_uses_the_moving_averages():
    x = rng().normal(2.0, 3.0, size=(16, 5))
    layer = L.BatchNormalization()
    layer(x)
    layer.trainable = False
    y = layer(x, training=True).numpy()
    np.testing.assert_allclose(y, x / np.sqrt(1.001), rtol=1e-5)
    assert not layer.moving_mean.numpy().any()
    assert layer.trainable_weights == []


def test_batch_normalization_axis_1_is_the_transpose_of_axis_last():
    x = rng().normal(size=(8, 3, 4, 5)).astype("float32")
    a = L.BatchNormalization(axis=1)(x, training=True).numpy()
    b = L.BatchNormalization()(np.moveaxis(x, 1, -1), training=True).numpy()
    np.testing.assert_allclose(a, np.moveaxis(b, -1, 1), rtol=1e-5, atol=1e-6)


def test_dropout_keeps_the_expectation_and_is_off_at_inference():
    x = np.ones((200, 100), "float32")
    layer = L.Dropout(0.3, seed=1)
    y = layer(x, training=True).numpy()
    assert set(np.unique(y.round(5))) == {0.0, np.float32(1 / 0.7).round(5)}
    assert abs(y.mean() - 1) < 0.02
    assert not np.array_equal(y, layer(x, training=True).numpy())
    again = L.Dropout(0.3, seed=1)(x, training=True).numpy()
    np.testing.assert_array_equal(y, again)
    np.testing.assert_array_equal(layer(x).numpy(), x)
    mask = L.Dropout(0.5, noise_shape=(None, 1), seed=2)(x, training=True).numpy()
    assert (mask == mask[:, :1]).all()


def test_spatial_dropout_drops_whole_channels():
    x = np.ones((4, 5, 6, 8), "float32")
    y = L.SpatialDropout2D(0.5, seed=3)(x, training=True).numpy()
    assert (y == y[:, :1, :1]).all()
    assert (y == 0).any()
    assert (y == 2).any()


def test_noise_layers_have_the_stated_moments():
    x = np.ones((300, 300), "float32")
    y = L.GaussianNoise(0.5, seed=1)(x, training=True).numpy()
    assert abs(y.mean() - 1) < 0.01
    assert abs(y.std() - 0.5) < 0.01
    z = L.GaussianDropout(0.2, seed=1)(x, training=True).numpy()
    assert abs(z.mean() - 1) < 0.01
    assert abs(z.std() - 0.5) < 0.01
    for layer in (L.GaussianNoise(0.5), L.GaussianDropout(0.2), L.AlphaDropout(0.2)):
        np.testing.assert_array_equal(layer(x).numpy(), x)


def test_embedding_looks_rows_up():
    layer = L.Embedding(5, 3)
    y = layer(np.array([[0, 4], [2, 2]])).numpy()
    table = layer.get_weights()[0]
    np.testing.assert_array_equal(y, table[[[0, 4], [2, 2]]])


def test_normalization_adapts():
    x = rng().normal(3.0, 2.0, size=(100, 4)).astype("float32")
    layer = L.Normalization()
    layer.adapt(x)
    y = layer(x).numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1, atol=1e-4)
    back = L.Normalization(mean=3.0, variance=4.0, invert=True)(y).numpy()
    np.testing.assert_allclose(back, y * 2 + 3, rtol=1e-5)


# -- names, weights, sub-layers ---------------------------------------------


def test_names_count_globally_and_restart():
    names = [L.Dense(1).name, L.Dense(1).name, L.Conv2D(1, 1).name, L.Dense(1).name]
    assert names == ["dense", "dense_1", "conv2d", "dense_2"]
    assert [L.ReLU().name, L.LeakyReLU().name, L.ELU().name] == [
        "re_lu",
        "leaky_re_lu",
        "elu",
    ]
    keras.utils.clear_session()
    assert L.Dense(1).name == "dense"
    assert L.Dense(1, name="mine").name == "mine"


def test_weights_are_ordered_as_keras_writes_them():
    layer = L.BatchNormalization()
    layer.build((None, 3))
    assert [v.name for v in layer.weights] == [
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
    ]
    assert [v.name for v in layer.trainable_weights] == ["gamma", "beta"]
    layer = L.SeparableConv2D(4, 3, depth_multiplier=2)
    layer.build((None, 8, 8, 3))
    assert [(v.name, v.shape) for v in layer.weights] == [
        ("depthwise_kernel", (3, 3, 3, 2)),
        ("pointwise_kernel", (1, 1, 6, 4)),
        ("bias", (4,)),
    ]
    layer = L.Conv2DTranspose(4, 3)
    layer.build((None, 8, 8, 2))
    assert [v.shape for v in layer.weights] == [(3, 3, 4, 2), (4,)]


def test_get_and_set_weights_round_trip():
    a, b = L.Dense(3), L.Dense(3)
    x = rng().normal(size=(4, 2)).astype("float32")
    a(x), b(x)
    b.set_weights(a.get_weights())
    np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())
    a.get_weights()[0][:] = 9  # a copy
    np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())
    assert a.count_params() == 9


def test_trainable_reaches_sublayers_and_comes_back():
    class Block(L.Layer):
        def __init__(self):
            super().__init__()
            self.parts = [L.Dense(2), L.Dense(2)]
            self.norm = L.BatchNormalization()

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return self.norm(x)

    block = Block()
    block(np.ones((2, 2), "float32"))
    assert len(block.weights) == 8
    assert len(block.trainable_weights) == 6
    block.trainable = False
    assert block.trainable_weights == []
    assert len(block.non_trainable_weights) == 8
    block.trainable = True
    assert len(block.trainable_weights) == 6
    assert [v.path for v in block.weights][:2] == [
        "block/dense/kernel",
        "block/dense/bias",
    ]


def test_activity_regularizer_is_divided_by_the_batch():
    x = rng().normal(size=(4, 3)).astype("float32")
    layer = L.Dense(2, activity_regularizer="l2", kernel_regularizer="l1")
    y = layer(x).numpy()
    kernel = layer.get_weights()[0]
    values = [float(v) for v in layer.losses]
    expected = [0.01 * (y**2).sum() / 4, 0.01 * np.abs(kernel).sum()]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (lambda: L.Reshape((-1, 2)), (3, 8), (3, 4, 2)),
        (lambda: L.Flatten(), (3, 2, 4), (3, 8)),
        (lambda: L.Flatten(), (3,), (3, 1)),
        (lambda: L.Permute((2, 1)), (3, 2, 4), (3, 4, 2)),
        (lambda: L.RepeatVector(3), (2, 4), (2, 3, 4)),
        (lambda: L.ZeroPadding2D(((1, 2), (0, 3))), (2, 3, 3, 1), (2, 6, 6, 1)),
        (lambda: L.Cropping2D(((1, 0), (0, 1))), (2, 4, 4, 1), (2, 3, 3, 1)),
        (lambda: L.UpSampling2D((2, 3)), (2, 3, 3, 1), (2, 6, 9, 1)),
        (lambda: L.UpSampling1D(2), (2, 3, 1), (2, 6, 1)),
    ],
)
def test_reshaping_gives_the_stated_shape(layer, shape, expected):
    layer = layer()
    x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    assert layer(x).shape == expected
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *expected[1:])


def test_compute_output_shape_needs_no_weights():
    layer = L.Dense(4)
    assert layer.compute_output_shape((None, 7)) == (None, 4)
    assert not layer.built


# -- parity with Keras ------------------------------------------------------

# name, arguments, shape of the input
PARITY = [
    ("Dense", {"units": 4, "activation": "relu"}, (3, 5)),
    ("Dense", {"units": 4, "use_bias": False}, (3, 2, 5)),
    ("Activation", {"activation": "softmax"}, (3, 5)),
    ("Conv1D", {"filters": 3, "kernel_size": 3, "padding": "causal"}, (2, 9, 4)),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "strides": 2, "groups": 2}, (2, 9, 4)),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "activation": "elu"}, (2, 8, 7, 2)),
    (
        "Conv2D",
        {"filters": 3, "kernel_size": (2, 3), "strides": (2, 1), "padding": "same"},
        (2, 8, 7, 2),
    ),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "dilation_rate": 2}, (2, 8, 7, 2)),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}, (2, 4, 5, 2)),
    (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
        (2, 4, 5, 2),
    ),
    (
        "Conv2DTranspose",
        {"filters": 2, "kernel_size": 2, "strides": 3, "padding": "same"},
        (2, 4, 5, 2),
    ),
    (
        "Conv2DTranspose",
        {
            "filters": 3,
            "kernel_size": 3,
            "strides": 2,
            "padding": "same",
            "output_padding": 1,
        },
        (2, 4, 5, 2),
    ),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 4, "strides": 2}, (2, 5, 2)),
    (
        "DepthwiseConv2D",
        {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
        (2, 6, 6, 3),
    ),
    ("SeparableConv2D", {"filters": 4, "kernel_size": 3, "strides": 2}, (2, 7, 7, 3)),
    (
        "SeparableConv1D",
        {"filters": 4, "kernel_size": 3, "depth_multiplier": 2},
        (2, 7, 3),
    ),
    ("MaxPooling2D", {}, (2, 7, 6, 3)),
    ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, (2, 7, 6, 3)),
    ("MaxPooling1D", {"pool_size": 3}, (2, 7, 3)),
    ("AveragePooling2D", {"pool_size": 2}, (2, 7, 6, 3)),
    (
        "AveragePooling2D",
        {"pool_size": 3, "strides": 2, "padding": "same"},
        (2, 7, 6, 3),
    ),
    ("AveragePooling1D", {"pool_size": 2}, (2, 7, 3)),
    ("GlobalAveragePooling2D", {}, (2, 4, 5, 3)),
    ("GlobalMaxPooling2D", {"keepdims": True}, (2, 4, 5, 3)),
    ("GlobalAveragePooling1D", {}, (2, 4, 3)),
    ("GlobalMaxPooling1D", {}, (2, 4, 3)),
    ("BatchNormalization", {}, (8, 3)),
    ("BatchNormalization", {"axis": 1, "scale": False}, (8, 3, 4)),
    ("LayerNormalization", {}, (8, 5)),
    ("LayerNormalization", {"axis": [1, 2], "center": False}, (8, 3, 4)),
    ("GroupNormalization", {"groups": 2}, (3, 4, 5, 6)),
    ("RMSNormalization", {}, (3, 4)),
    ("UnitNormalization", {}, (3, 4)),
    ("Flatten", {}, (2, 3, 4)),
    ("Reshape", {"target_shape": (4, 3)}, (2, 12)),
    ("Permute", {"dims": (2, 1)}, (2, 3, 4)),
    ("RepeatVector", {"n": 3}, (2, 4)),
    ("ZeroPadding2D", {"padding": (1, 2)}, (2, 3, 3, 1)),
    ("ZeroPadding1D", {"padding": (1, 2)}, (2, 3, 1)),
    ("Cropping2D", {"cropping": 1}, (2, 5, 4, 1)),
    ("Cropping1D", {"cropping": (1, 2)}, (2, 5, 1)),
    ("UpSampling2D", {"size": (2, 3)}, (2, 3, 2, 1)),
    ("UpSampling1D", {"size": 2}, (2, 3, 2)),
    ("GlobalAveragePooling3D", {}, (2, 3, 4, 2, 3)),
    ("GlobalMaxPooling3D", {"keepdims": True}, (2, 3, 4, 2, 3)),
    ("ZeroPadding3D", {"padding": (1, 2, 0)}, (2, 3, 3, 2, 1)),
    ("Cropping3D", {"cropping": ((1, 0), (0, 1), (1, 1))}, (2, 4, 4, 4, 1)),
    ("UpSampling3D", {"size": (2, 3, 1)}, (2, 3, 2, 2, 1)),
    ("Masking", {"mask_value": 1.0}, (3, 4, 5)),
    ("ReLU", {}, (3, 4)),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.3}, (3, 40)),
    ("LeakyReLU", {}, (3, 4)),
    ("ELU", {"alpha": 0.5}, (3, 4)),
    ("PReLU", {"alpha_initializer": "ones"}, (3, 4)),
    ("PReLU", {"shared_axes": [1], "alpha_initializer": "ones"}, (3, 4, 5)),
    ("Softmax", {}, (3, 4)),
    ("Softmax", {"axis": [1, 2]}, (3, 4, 5)),
    ("Rescaling", {"scale": 0.5, "offset": 1.0}, (3, 4)),
    ("Dropout", {"rate": 0.5}, (3, 4)),
    ("GaussianNoise", {"stddev": 0.5}, (3, 4)),
    ("GaussianDropout", {"rate": 0.5}, (3, 4)),
    ("AlphaDropout", {"rate": 0.5}, (3, 4)),
    ("SpatialDropout1D", {"rate": 0.5}, (3, 4, 2)),
    ("SpatialDropout2D", {"rate": 0.5}, (3, 4, 2, 2)),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (3, 4)),
    ("Identity", {}, (3, 4)),
    ("Embedding", {"input_dim": 9, "output_dim": 3}, (3, 4)),
]


@pytest.fixture(scope="module")
def reference():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    PARITY,
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_layer_agrees_with_keras(reference, name, arguments, shape):
    reference.utils.clear_session()
    same_mean = name == "AveragePooling2D" and arguments.get("padding") == "same"
    if same_mean and reference.backend.backend() == "torch":
        pytest.skip("Keras's torch backend pads otherwise than its others")
    ours = getattr(L, name)(**arguments)
    theirs = getattr(reference.layers, name)(**arguments)
    assert _plain(ours.get_config()) == _plain(theirs.get_config())
    assert list(ours.get_config()) == list(theirs.get_config())
    if name == "Embedding":
        x = rng().integers(0, 9, size=shape)
    else:
        x = rng().normal(size=shape).astype("float32")
    assert ours.built == theirs.built
    a, b = ours(x), theirs(x)
    assert (ours.get_build_config() is None) == (theirs.get_build_config() is None)
    assert [(v.name, v.shape) for v in ours.weights] == [
        (v.name, tuple(v.shape)) for v in theirs.weights
    ]
    ours.set_weights([rng().normal(size=v.shape) ** 2 for v in ours.weights])
    theirs.set_weights(ours.get_weights())
    a, b = ours(x).numpy(), reference.ops.convert_to_numpy(theirs(x))
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    full = (None, *shape[1:])
    assert ours.compute_output_shape(full) == tuple(theirs.compute_output_shape(full))
    again = type(ours).from_config(ours.get_config())
    assert _plain(again.get_config()) == _plain(ours.get_config())
    if name == "BatchNormalization":
        a = ours(x, training=True).numpy()
        b = reference.ops.convert_to_numpy(theirs(x, training=True))
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
        for v, w in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(
                v.numpy(), reference.ops.convert_to_numpy(w), rtol=2e-5, atol=1e-6
            )


def _plain(value):
    """Tuples as lists: what JSON makes of a config."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


@pytest.mark.reference
@pytest.mark.parametrize(
    "name",
    ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"],
)
def test_merging_agrees_with_keras(reference, name):
    x = [rng().normal(size=(3, 4)).astype("float32") for _ in range(2)]
    a = getattr(L, name)()(x).numpy()
    b = reference.ops.convert_to_numpy(getattr(reference.layers, name)()(x))
    np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("axes", "a", "b"),
    [
        (1, (3, 4), (3, 4)),
        (2, (3, 4, 5), (3, 6, 5)),
        ((2, 1), (3, 4, 5), (3, 5, 2)),
        (1, (3, 4, 5), (3, 4, 2)),
        ((1, 2), (3, 4), (3, 6, 4)),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_dot_agrees_with_keras(reference, axes, a, b, normalize):
    x = [rng().normal(size=s).astype("float32") for s in (a, b)]
    ours = L.Dot(axes, normalize=normalize)(x).numpy()
    theirs = reference.ops.convert_to_numpy(
        reference.layers.Dot(axes, normalize=normalize)(x)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "Conv2D",
        "MaxPooling2D",
        "AveragePooling2D",
        "GlobalAveragePooling2D",
        "DepthwiseConv2D",
        "Conv2DTranspose",
        "Flatten",
        "UpSampling2D",
        "ZeroPadding2D",
    ],
)
def test_channels_first_is_the_transpose(name):
    arguments = {
        "Conv2D": (3, 2),
        "MaxPooling2D": (2,),
        "AveragePooling2D": (2,),
        "DepthwiseConv2D": (2,),
        "Conv2DTranspose": (3, 2),
    }.get(name, ())
    first = getattr(L, name)(*arguments, data_format="channels_first")
    last = getattr(L, name)(*arguments, data_format="channels_last")
    x = rng().normal(size=(2, 6, 5, 3)).astype("float32")
    y = last(x).numpy()
    z = np.moveaxis(x, -1, 1)
    first(z)
    first.set_weights(last.get_weights())
    a = first(z).numpy()
    if a.ndim == 4:
        assert first.compute_output_shape((None, 3, 6, 5)) == (None, *a.shape[1:])
        a = np.moveaxis(a, 1, -1)
    np.testing.assert_allclose(a, y, rtol=1e-5, atol=1e-6)
