"""Attention layers and EinsumDense: parity with Keras."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L

B, T, S, F = 2, 4, 5, 6
QUERY_KEPT = np.array([[True, True, False, True], [True] * 4])
VALUE_KEPT = np.array([[True, False, True, True, False], [True] * 5])


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()


def data(*shapes):
    rng = np.random.default_rng(4)
    return [rng.normal(size=s).astype("float32") for s in shapes]


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def to_numpy(x):
    return x.detach().numpy() if hasattr(x, "detach") else np.asarray(x)


def pair(reference, name, arguments, *inputs, **kwargs):
    """Return both layers, called once, with the same weights."""
    reference.utils.clear_session()
    keras.utils.clear_session()
    ours = getattr(L, name)(**arguments)
    theirs = getattr(reference.layers, name)(**arguments)
    ours(*inputs, **kwargs)
    theirs(*inputs, **kwargs)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert list(ours.get_config()) == list(theirs.get_config())
    assert [(v.path, v.shape) for v in ours.weights] == [
        (v.path, tuple(v.shape)) for v in theirs.weights
    ]
    rng = np.random.default_rng(9)
    ours.set_weights([0.4 * rng.normal(size=v.shape) for v in ours.weights])
    theirs.set_weights(ours.get_weights())
    again = type(ours).from_config(json.loads(json.dumps(ours.get_config())))
    assert plain(again.get_config()) == plain(ours.get_config())
    return ours, theirs


ATTENTION = [
    ("Attention", {}),
    ("Attention", {"use_scale": True}),
    ("Attention", {"score_mode": "concat", "use_scale": True}),
    ("Attention", {"score_mode": "concat"}),
    ("AdditiveAttention", {}),
    ("AdditiveAttention", {"use_scale": False}),
]


@pytest.mark.reference
@pytest.mark.parametrize(("name", "arguments"), ATTENTION)
@pytest.mark.parametrize("with_key", [False, True])
def test_attention_agrees_with_keras(keras_reference, name, arguments, with_key):
    inputs = data((B, T, F), (B, S, F), (B, S, F))[: 3 if with_key else 2]
    ours, theirs = pair(keras_reference, name, arguments, inputs)
    masks = [QUERY_KEPT, VALUE_KEPT]
    for kwargs in (
        {},
        {"use_causal_mask": True},
        {"mask": masks},
        {"mask": [None, VALUE_KEPT], "use_causal_mask": True},
    ):
        calls = []
        for library, layer in ((keras, ours), (keras_reference, theirs)):
            own = dict(kwargs)
            if "mask" in own:
                own["mask"] = [
                    None if m is None else library.ops.array(m) for m in own["mask"]
                ]
            calls.append(layer(inputs, return_attention_scores=True, **own))
        for a, b in zip(*calls, strict=True):
            np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-5, atol=1e-6)
    shapes = [x.shape for x in inputs]
    assert ours.compute_output_shape(shapes) == tuple(
        theirs.compute_output_shape(shapes)
    )


HEADS = [
    {},
    {"value_dim": 5},
    {"use_bias": False, "output_shape": 7},
    {"dropout": 0.3, "seed": 1, "use_gate": True},
    {"sliding_window": 2},
    {"kernel_regularizer": "l2"},
]


@pytest.mark.reference
@pytest.mark.parametrize("arguments", HEADS)
def test_multi_head_attention_agrees_with_keras(keras_reference, arguments):
    query, value, key = data((B, T, F), (B, S, F), (B, S, F))
    arguments = {"num_heads": 2, "key_dim": 3, **arguments}
    ours, theirs = pair(
        keras_reference, "MultiHeadAttention", arguments, query, value, key
    )
    assert plain(ours.get_build_config()) == plain(theirs.get_build_config())
    seen = np.random.default_rng(3).random((B, T, S)) < 0.7
    seen[:, :, 0] = True
    for kwargs in (
        {},
        {"use_causal_mask": True},
        {"attention_mask": seen},
        {"value_mask": VALUE_KEPT, "key": key},
        {"return_attention_scores": True},
    ):
        calls = []
        for library, layer in ((keras, ours), (keras_reference, theirs)):
            own = {
                k: library.ops.array(v) if isinstance(v, np.ndarray) else v
                for k, v in kwargs.items()
            }
            y = layer(library.ops.array(query), library.ops.array(value), **own)
            calls.append(y if isinstance(y, tuple) else (y,))
        for a, b in zip(*calls, strict=True):
            np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=2e-5, atol=2e-6)


@pytest.mark.reference
def test_attention_over_two_axes_agrees_with_keras(keras_reference):
    x, y = data((B, 3, 4, F), (B, 3, 2, F))
    for arguments, inputs in (
        ({"attention_axes": (1, 2)}, (x, x)),
        ({"attention_axes": 2}, (x, y)),
    ):
        arguments = {"num_heads": 2, "key_dim": 3, **arguments}
        ours, theirs = pair(keras_reference, "MultiHeadAttention", arguments, *inputs)
        a, b = ours(*inputs), theirs(*inputs)
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=2e-5, atol=2e-6)


EINSUM = [
    ({"equation": "ab,bc->ac", "output_shape": 5, "bias_axes": "c"}, (2, 3)),
    ({"equation": "abc,cd->abd", "output_shape": (None, 5)}, (2, 3, 4)),
    (
        {"equation": "...x,xy->...y", "output_shape": 5, "bias_axes": "y"},
        (2, 3, 4, 6),
    ),
    (
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de"},
        (2, 3, 4),
    ),
    ({"equation": "abcd,cde->abe", "output_shape": (None, 5)}, (2, 3, 4, 6)),
    (
        {"equation": "ab...,bc->ac...", "output_shape": 5, "bias_axes": "c"},
        (2, 3, 4),
    ),
    (
        {
            "equation": "abc,bd->adc",
            "output_shape": (5, 4),
            "bias_axes": "d",
            "activation": "relu",
        },
        (2, 3, 4),
    ),
]


@pytest.mark.reference
@pytest.mark.parametrize(("arguments", "shape"), EINSUM)
def test_einsum_dense_agrees_with_keras(keras_reference, arguments, shape):
    (x,) = data(shape)
    ours, theirs = pair(keras_reference, "EinsumDense", arguments, x)
    np.testing.assert_allclose(to_numpy(ours(x)), to_numpy(theirs(x)), 1e-5, 1e-6)
    full = (None, *shape[1:])
    sizes = zip(ours.compute_output_shape(shape), to_numpy(ours(x)).shape, strict=True)
    assert all(a in (None, b) for a, b in sizes)
    if "..." not in arguments["equation"]:  # there Keras swaps the hidden axes
        theirs_shape = tuple(theirs.compute_output_shape(full))
        assert ours.compute_output_shape(full) == theirs_shape


def transformer(library):
    """A block of an encoder, with masks from the embedding."""
    x = library.Input((5,), dtype="int32")
    h = library.layers.Embedding(9, 6, mask_zero=True)(x)
    a = library.layers.MultiHeadAttention(2, 3)(h, h)
    h = library.layers.LayerNormalization()(library.layers.Add()([h, a]))
    f = library.layers.Dense(6)(library.layers.Dense(8, activation="relu")(h))
    h = library.layers.LayerNormalization()(h + f)
    y = library.layers.Dense(2)(library.layers.GlobalAveragePooling1D()(h))
    return library.Model(x, y)


@pytest.mark.reference
def test_transformer_trains_and_is_saved_as_in_keras(keras_reference, tmp_path):
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8], [2, 0, 0, 0, 0]], "int32")
    (y,) = data((3, 2))
    models = []
    for library in (keras, keras_reference):
        library.utils.clear_session()
        models.append(transformer(library))
    ours, theirs = models
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]
    theirs.set_weights(ours.get_weights())
    losses = []
    for model, library in zip(models, (keras, keras_reference), strict=True):
        model.compile(library.optimizers.SGD(0.1), "mse")
        # Without padding: Keras's torch backend has another gradient than its jax
        # backend (and lamella) where a query sees nothing.
        whole = np.maximum(ids, 1)
        history = model.fit(whole, y, epochs=4, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    for write, read, model in (
        (keras, keras_reference, ours),
        (keras_reference, keras, theirs),
    ):
        path = tmp_path / f"{write.__name__}.keras"
        model.save(path)
        again = read.models.load_model(path)
        a, b = to_numpy(model(ids)), to_numpy(again(ids))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="num_heads must be positive"):
        L.MultiHeadAttention(0, 2)
    with pytest.raises(ValueError, match="score_mode"):
        L.Attention(score_mode="cosine")
    with pytest.raises(ValueError, match="query, value"):
        L.Attention()(np.ones((2, 3, 4), "float32"))
    with pytest.raises(ValueError, match="equation must look like"):
        L.EinsumDense("ab->ab", 3)(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="has size 3 in the input"):
        L.EinsumDense("abc,cd->abd", (4, 5))(np.ones((2, 3, 4), "float32"))


@pytest.mark.parametrize("affine", [True, False])
def test_compiled_layer_normalization_equals_eager(affine):
    x, y = data((3, 5, 4), (3, 5, 6))
    results = []
    weights = None
    for eager in (False, True):
        norm = L.LayerNormalization(center=affine, scale=affine)
        layers = [keras.Input((5, 4)), L.Dense(6), norm, L.Dense(6)]
        model = keras.Sequential(layers)
        weights = weights or model.get_weights()
        model.set_weights(weights)
        model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=eager)
        model.fit(x, y, epochs=1, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
