"""Models as ONNX files, run by ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("lamella")
pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

L = keras.layers


def chain(shape, *layers, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def attention():
    x = keras.Input((None, 4))
    y = L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    return keras.Model(x, L.LayerNormalization()(x + y))


def several():
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    x = L.concatenate([L.Dense(5)(a), L.Dense(5)(b)])
    return keras.Model([a, b], {"u": L.Dense(2, name="y")(x), "v": L.Softmax()(x)})


def operations():
    ops = keras.ops
    x = keras.Input((4, 6))
    y = ops.concatenate([x[:, 1:3], x[:, ::-1]], axis=1)
    y = ops.where(y > 0, y, ops.exp(y))
    y = ops.pad(y, [[0, 0], [1, 2], [0, 0]])
    results = [ops.sum(y, axis=1), ops.argmax(y, axis=-1), ops.cumsum(y, axis=1)]
    return keras.Model(x, [*results, ops.floor(y) % 2, ops.any(y > 1, axis=1)])


RNN = {"return_sequences": True, "go_backwards": True}
MODELS = {
    "mlp": lambda: chain(
        (6,), L.Dense(5, "gelu"), L.BatchNormalization(), L.Dense(3, "softmax")
    ),
    "conv": lambda: chain((9, 8, 3), L.Conv2D(4, 3, 2, "same"), L.MaxPooling2D()),
    "conv_groups": lambda: chain((9, 9, 4), L.Conv2D(4, 3, groups=2, dilation_rate=2)),
    "conv_unknown": lambda: chain(
        (None, None, 3), L.Conv2D(4, 3, padding="same"), L.GlobalAveragePooling2D()
    ),
    "causal": lambda: chain((9, 3), L.Conv1D(4, 3, padding="causal")),
    "depthwise": lambda: chain((9, 8, 3), L.SeparableConv2D(4, 3, 2, "same")),
    "transposed": lambda: chain((5, 4, 3), L.Conv2DTranspose(4, 3, 2, "same")),
    "transposed_valid": lambda: chain((5, 3), L.Conv1DTranspose(4, 2, strides=3)),
    "average": lambda: chain((9, 3), L.AveragePooling1D(3, 2, "same")),
    "shapes": lambda: chain(
        (4, 6), L.Reshape((3, 8)), L.Permute((2, 1)), L.ZeroPadding1D(1), L.Flatten()
    ),
    "lstm": lambda: chain((None, 3), L.LSTM(4, **RNN)),
    "gru": lambda: chain((5, 3), L.GRU(4, **RNN)),
    "gru_before": lambda: chain((5, 3), L.GRU(4, reset_after=False)),
    "rnn": lambda: chain((5, 3), L.SimpleRNN(4, activation="relu")),
    "bidirectional": lambda: chain((5, 3), L.Bidirectional(L.LSTM(4))),
    "embedding": lambda: chain((5,), L.Embedding(10, 4), dtype="int32"),
    "attention": attention,
    "several": several,
    "operations": operations,
}


def leaves(value):
    if isinstance(value, dict):
        return [value[k] for k in sorted(value)]
    return list(value) if isinstance(value, list | tuple) else [value]


@pytest.mark.parametrize("name", MODELS)
def test_onnx_runtime_computes_what_the_model_does(name, tmp_path):
    random = np.random.RandomState(0)
    model = MODELS[name]()
    model.set_weights(
        [random.rand(*w.shape) - 0.3 * (w.ndim > 1) for w in model.weights]
    )
    path = str(tmp_path / "model.onnx")
    model.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path)
    for rows in (3, 1):
        feed = {}
        for item in session.get_inputs():
            shape = [rows, *(d if isinstance(d, int) else 7 for d in item.shape[1:])]
            integers = "int32" in item.type
            values = random.randint(0, 9, shape) if integers else random.randn(*shape)
            feed[item.name] = values.astype("int32" if integers else "float32")
        x = list(feed.values()) if len(feed) > 1 else next(iter(feed.values()))
        want = leaves(model.predict(x, verbose=0))
        have = session.run(None, feed)
        for a, b in zip(have, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_names_and_unknown_sizes_are_those_of_the_model(tmp_path):
    path = str(tmp_path / "model.onnx")
    several().export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path)
    assert [i.name for i in session.get_inputs()] == ["a", "b"]
    assert session.get_inputs()[0].shape == ["batch", 3]


def test_subclass_takes_an_input_signature(tmp_path):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x):
            return self.dense(x)

    path = str(tmp_path / "model.onnx")
    signature = [keras.InputSpec(shape=(None, 3), dtype="float32")]
    Net().export(path, format="onnx", input_signature=signature, verbose=False)
    session = runtime.InferenceSession(path)
    assert session.run(None, {"input_0": np.ones((4, 3), "float32")})[0].shape == (4, 2)


def test_what_cannot_be_written_is_named(tmp_path):
    layers = (L.Embedding(9, 4, mask_zero=True), L.LSTM(3, name="masked"))
    model = chain((5,), *layers, dtype="int32")
    with pytest.raises(NotImplementedError, match=r"layer 'masked': .*mask"):
        model.export(tmp_path / "model.onnx", format="onnx")
    assert not (tmp_path / "model.onnx").exists()
    with pytest.raises(ValueError, match="TensorFlow's SavedModel"):
        model.export(tmp_path / "model")
    with pytest.raises(ValueError, match="unknown format='pdf'"):
        model.export(tmp_path / "model", format="pdf")
    with pytest.raises(ValueError, match="no known input shape"):
        keras.Sequential([L.Dense(2)]).export(tmp_path / "m.onnx", format="onnx")
