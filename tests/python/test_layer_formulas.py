"""Convolutional LSTM, shared heads, reversible tables and others by their formulas."""

from __future__ import annotations

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape)


def fill(layer) -> list[np.ndarray]:
    source = np.random.default_rng(6)
    layer.set_weights([0.5 * source.normal(size=v.shape) for v in layer.weights])
    return layer.get_weights()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolve(x, kernel, pad):
    """1-D convolution of (batch, width, channels) at stride 1, by its definition."""
    x = np.pad(x, [(0, 0), pad, (0, 0)])
    size = kernel.shape[0]
    windows = [x[:, i : i + size] for i in range(x.shape[1] - size + 1)]
    return np.stack([np.einsum("bkc,kcf->bf", w, kernel) for w in windows], 1)


def conv_lstm(x, kernel, recurrent, bias):
    h = c = None
    outputs = []
    for t in range(x.shape[1]):
        z = convolve(x[:, t], kernel, (0, 0)) + bias
        if h is None:
            h = c = np.zeros((*z.shape[:-1], z.shape[-1] // 4))
        i, f, g, o = np.split(z + convolve(h, recurrent, (0, 1)), 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, 1), h, c


def test_conv_lstm_follows_its_formula():
    x = data(2, 3, 6, 2)
    layer = L.ConvLSTM1D(
        3, 2, return_sequences=True, return_state=True, dtype="float64"
    )
    layer(x)
    expected = conv_lstm(x, *fill(layer))
    for y, z in zip(layer(x), expected, strict=True):
        np.testing.assert_allclose(y.numpy(), z, rtol=1e-10, atol=1e-12)
    assert layer.compute_output_shape((None, 3, 6, 2)) == (
        (None, 3, 5, 3),
        (None, 5, 3),
        (None, 5, 3),
    )


def test_conv_lstm_starts_with_an_open_forget_gate_and_learns():
    model = keras.Sequential([keras.Input((3, 4, 4, 1)), L.ConvLSTM2D(2, 3)])
    np.testing.assert_array_equal(model.get_weights()[2], [0, 0, 1, 1, 0, 0, 0, 0])
    model.compile("adam", "mse")
    x = data(8, 3, 4, 4, 1).astype("float32")
    first = model.train_on_batch(x, np.ones((8, 2, 2, 2)))
    for _ in range(20):
        last = model.train_on_batch(x, np.ones((8, 2, 2, 2)))
    assert last < first


def test_conv_lstm_masks_hold_the_state():
    x = data(2, 3, 5, 1)
    layer = L.ConvLSTM1D(2, 2, dtype="float64")
    layer(x)
    fill(layer)
    mask = np.array([[True, True, False], [True, False, False]])
    y = layer(x, mask=keras.ops.convert_to_tensor(mask)).numpy()
    np.testing.assert_allclose(y[0], layer(x[:1, :2]).numpy()[0], rtol=1e-12)
    np.testing.assert_allclose(y[1], layer(x[1:, :1]).numpy()[0], rtol=1e-12)


def test_conv_lstm_drops_in_training_only():
    x = data(2, 3, 6, 2)
    layer = L.ConvLSTM1D(3, 2, dropout=0.5, recurrent_dropout=0.5, seed=1)
    still = layer(x).numpy()
    np.testing.assert_array_equal(layer(x).numpy(), still)
    a, b = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert not np.array_equal(a, still)
    assert not np.array_equal(a, b)


def test_conv_3d_transpose_is_the_adjoint_of_conv_3d():
    forward = L.Conv3D(3, 3, strides=2, use_bias=False, dtype="float64")
    backward = L.Conv3DTranspose(2, 3, strides=2, use_bias=False, dtype="float64")
    x, y = data(1, 7, 5, 9, 2), data(1, 3, 2, 4, 3)
    forward(x)
    backward(y)
    backward.set_weights(fill(forward))
    left = (forward(x).numpy() * y).sum()
    right = (x * backward(y).numpy()).sum()
    np.testing.assert_allclose(left, right, rtol=1e-12)
    assert L.Convolution3DTranspose is L.Conv3DTranspose


def test_group_query_attention_with_as_many_heads_is_multi_head_attention():
    q, v = data(2, 3, 4), data(2, 5, 4)
    many = L.MultiHeadAttention(2, 3, dtype="float64")
    group = L.GroupQueryAttention(3, 2, 2, dtype="float64")
    many(q, v)
    group(q, v)
    group.set_weights(fill(many))
    np.testing.assert_allclose(group(q, v).numpy(), many(q, v).numpy(), rtol=1e-12)


def test_group_query_attention_repeats_key_and_value_heads():
    q, v = data(2, 3, 4), data(2, 5, 4)
    group = L.GroupQueryAttention(3, 4, 2, dtype="float64")
    group(q, v)
    weights = fill(group)
    many = L.MultiHeadAttention(4, 3, dtype="float64")
    many(q, v)
    for i in (2, 3, 4, 5):  # key and value: kernel, bias
        weights[i] = np.repeat(weights[i], 2, axis=-2)
    many.set_weights(weights)
    y, scores = group(q, v, return_attention_scores=True, use_causal_mask=True)
    z, expected = many(q, v, return_attention_scores=True, use_causal_mask=True)
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-12)
    np.testing.assert_allclose(scores.numpy(), expected.numpy(), rtol=1e-12)
    with pytest.raises(ValueError, match="num_query_heads must be a multiple"):
        L.GroupQueryAttention(3, 4, 3)


@pytest.mark.parametrize("tied", [True, False])
def test_reversible_embedding_scores_rows(tied):
    layer = L.ReversibleEmbedding(5, 3, tie_weights=tied, logit_soft_cap=1.5)
    rows = layer(np.array([[0, 4], [2, 2]]))
    weights = fill(layer)
    x = data(2, 4, 3)
    kernel = weights[0].T if tied else weights[1]
    expected = np.tanh(x @ kernel / 1.5) * 1.5
    np.testing.assert_allclose(layer(x, reverse=True).numpy(), expected, rtol=1e-5)
    assert rows.shape == (2, 2, 3)
    assert layer.compute_output_shape((None, 4, 3), reverse=True) == (None, 4, 5)


def test_spectral_normalization_drives_the_norm_to_1():
    layer = L.SpectralNormalization(L.Dense(3), power_iterations=30)
    x = data(2, 4)
    layer(x)
    layer.layer.kernel.assign(data(4, 3))
    before = layer(x).numpy()
    after = layer(x, training=True).numpy()
    assert np.linalg.svd(layer.layer.kernel.numpy())[1][0] == pytest.approx(1, rel=1e-4)
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(layer(x).numpy(), after)  # the kernel itself changed
    zero = L.SpectralNormalization(L.Dense(2, kernel_initializer="zeros"))
    assert not zero(x, training=True).numpy().any()
    with pytest.raises(ValueError, match="kernel or embeddings"):
        L.SpectralNormalization(L.Flatten())(x)


def test_spectral_normalization_trains_the_normalized_kernel():
    inner = L.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), L.SpectralNormalization(inner)])
    inner.kernel.assign([[3.0], [4.0]])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.train_on_batch(np.array([[1.0, 0.0]]), np.array([[0.0]]))
    # [3, 4] / 5 first, then the step: 0.6 - 0.5 * 2 * 0.6 in the first row
    np.testing.assert_allclose(inner.kernel.numpy(), [[0.0], [0.8]], atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "equation"),
    [(2, "bij,bkj->bik"), ((1, 2), "bji,bkj->bik"), (-1, "bij,bkj->bik")],
)
def test_dot_sums_along_its_axes(axes, equation):
    a, b = data(2, 4, 4), data(2, 4, 4)
    y = L.Dot(axes, dtype="float64")([a, b]).numpy()
    np.testing.assert_allclose(y, np.einsum(equation, a, b), rtol=1e-12)
    x, z = data(2, 3, 4, 5), data(2, 6, 5, 3)
    y = L.Dot((1, 3), dtype="float64")([x, z]).numpy()
    np.testing.assert_allclose(y, np.einsum("bkij,blmk->bijlm", x, z), rtol=1e-12)


def test_merges_take_inputs_of_lower_rank_and_integers():
    a, b = data(2, 3, 4), data(2, 4)
    y = L.Add(dtype="float64")([a, b]).numpy()
    np.testing.assert_allclose(y, a + b[:, None], rtol=1e-12)
    n = np.arange(6).reshape(2, 3)
    for layer, expected in ((L.Multiply(), n * n), (L.Maximum(), n), (L.Add(), n + n)):
        y = layer([n, n]).numpy()
        np.testing.assert_array_equal(y, expected)
        assert y.dtype == np.int64
    np.testing.assert_array_equal(L.Average()([n, n + 1]).numpy(), n + 0.5)


def test_dropping_everything_leaves_zeros():
    x = data(3, 4, 2).astype("float32")
    assert not L.Dropout(1.0)(x, training=True).numpy().any()
    layer = L.LSTM(2, dropout=1.0)
    y = layer(x, training=True).numpy()
    np.testing.assert_allclose(y, layer(0 * x).numpy(), rtol=1e-6)
    assert [v.path for v in L.Dropout(0.0).variables] == []
    with pytest.raises(ValueError, match=r"stddev must be in \[0, 1\]"):
        L.GaussianNoise(2.0)


@pytest.mark.parametrize("name", ["FlaxLayer", "JaxLayer", "TFSMLayer"])
def test_layers_of_other_frameworks_are_refused(name):
    with pytest.raises(NotImplementedError, match=f"{name}: lamella does not run"):
        getattr(L, name)(None)
    with pytest.raises(NotImplementedError, match="PyTorch"):
        L.TorchModuleWrapper(None)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.ConvLSTM2D(2, 2, padding="same"),
        lambda: L.SpectralNormalization(L.Conv3D(2, 2)),
        lambda: L.SpectralNormalization(L.Conv3DTranspose(2, 2)),
    ],
)
def test_new_layers_are_saved_and_loaded(layer, tmp_path):
    model = keras.Sequential([keras.Input((3, 4, 4, 2)), layer()])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = data(2, 3, 4, 4, 2).astype("float32")
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )
