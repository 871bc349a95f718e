"""Files of Keras 2, and both ways with the real Keras 3."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from saving_models import (
    CLOSE,
    GOLDEN,
    MAKERS,
    assert_same,
    make_trained_mlp,
    predict,
    train,
)

lamella = pytest.importorskip("lamella")
h5py = pytest.importorskip("h5py")

from lamella import saving  # noqa: E402


@pytest.fixture(scope="module")
def mlp():
    return make_trained_mlp()


# -- files of Keras 2 ---------------------------------------------------------------


def _keras2_file(path, *, functional=False):
    """Write a .h5 file as Keras 2 did."""
    rng = np.random.default_rng(5)
    kernel, bias = rng.normal(size=(4, 3)).astype("f4"), rng.normal(size=3).astype("f4")
    gamma = np.full(3, 1.5, "f4")
    dense = {
        "name": "d",
        "trainable": True,
        "batch_input_shape": [None, 4],
        "dtype": "float32",
        "units": 3,
        "activation": "linear",
        "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    norm = {
        "name": "bn",
        "trainable": True,
        "dtype": "float32",
        "axis": [1],
        "momentum": 0.99,
        "epsilon": 0.001,
        "center": False,
        "scale": True,
    }
    if functional:
        del dense["batch_input_shape"]
        config = {
            "name": "model",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {
                        "batch_input_shape": [None, 4],
                        "dtype": "float32",
                        "sparse": False,
                        "ragged": False,
                        "name": "in",
                    },
                    "name": "in",
                    "inbound_nodes": [],
                },
                {
                    "class_name": "Dense",
                    "config": dense,
                    "name": "d",
                    "inbound_nodes": [[["in", 0, 0, {}]]],
                },
                {
                    "class_name": "BatchNormalization",
                    "config": norm,
                    "name": "bn",
                    "inbound_nodes": [[["d", 0, 0, {}]]],
                },
                {
                    "class_name": "Add",
                    "config": {"name": "sum", "trainable": True, "dtype": "float32"},
                    "name": "sum",
                    "inbound_nodes": [[["d", 0, 0, {}], ["bn", 0, 0, {}]]],
                },
            ],
            "input_layers": [["in", 0, 0]],
            "output_layers": [["sum", 0, 0]],
        }
        model = {"class_name": "Functional", "config": config}
    else:
        stack = [
            {"class_name": "Dense", "config": dense},
            {"class_name": "BatchNormalization", "config": norm},
        ]
        model = {
            "class_name": "Sequential",
            "config": {"name": "sequential", "layers": stack},
        }
    training = {
        "loss": {
            "class_name": "MeanSquaredError",
            "config": {"reduction": "auto", "name": "mean_squared_error", "fn": "mse"},
        },
        "metrics": [
            [
                {
                    "class_name": "MeanMetricWrapper",
                    "config": {"name": "mae", "dtype": "float32", "fn": "mae"},
                }
            ]
        ],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": {
            "class_name": "Adam",
            "config": {"name": "Adam", "lr": 0.002, "decay": 0.0, "beta_1": 0.9},
        },
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(model).encode()
        file.attrs["training_config"] = json.dumps(training).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"d", b"bn"])
        group.attrs["keras_version"] = b"2.4.0"
        layer = group.create_group("d")
        layer.attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
        layer["d/kernel:0"], layer["d/bias:0"] = kernel, bias
        layer = group.create_group("bn")
        layer.attrs["weight_names"] = np.array(
            [b"bn/gamma:0", b"bn/moving_mean:0", b"bn/moving_variance:0"]
        )
        layer["bn/gamma:0"] = gamma
        layer["bn/moving_mean:0"] = np.zeros(3, "f4")
        layer["bn/moving_variance:0"] = np.ones(3, "f4")
    return kernel, bias, gamma


@pytest.mark.parametrize("functional", [False, True])
def test_file_of_keras_2_is_read(functional, tmp_path):
    kernel, bias, gamma = _keras2_file(tmp_path / "k2.h5", functional=functional)
    model = saving.load_model(tmp_path / "k2.h5")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    dense = x @ kernel + bias
    expected = dense * gamma / np.sqrt(1.001, dtype="f4")
    if functional:
        expected = expected + dense
    np.testing.assert_allclose(predict(model, x), expected, **CLOSE)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.002)
    train(model, x, expected)


# -- both ways with the real Keras --------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("make", MAKERS)
def test_keras_opens_our_model(make, suffix, keras, tmp_path):
    model, x, y = make()
    train(model, x, y)
    path = tmp_path / f"m{suffix}"
    saving.save_model(model, path)
    theirs = keras.models.load_model(path)
    assert_same(theirs.get_weights(), model.get_weights())
    np.testing.assert_allclose(predict(theirs, x), predict(model, x), **CLOSE)
    if suffix == ".h5":
        # Keras 3.15 builds the optimizer of a .h5 file for no variables at all, so
        # that training on fails with its own files too
        return
    train(model, x, y, epochs=3)
    if keras.config.backend() == "jax":
        theirs.jit_compile = True  # lamella writes False, which is slow there
    train(theirs, x, y, epochs=3)
    # three optimizer steps magnify the last bits of the gradients
    assert_same(theirs.get_weights(), model.get_weights(), rtol=1e-4, atol=5e-6)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", MAKERS)
def test_keras_opens_our_weights(make, keras, tmp_path):
    model, x, y = make()
    train(model, x, y)
    saving.save_model(model, tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras")
    for suffix in (".weights.h5", ".h5"):
        train(model, x, y, epochs=1)
        saving.save_weights(model, tmp_path / f"w{suffix}")
        theirs.load_weights(tmp_path / f"w{suffix}")
        assert_same(theirs.get_weights(), model.get_weights())


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_keras_and_lamella_write_the_same_weights_file(keras, tmp_path):
    theirs = keras.models.load_model(GOLDEN / "cnn.keras")
    ours = saving.load_model(GOLDEN / "cnn.keras")
    theirs.save_weights(tmp_path / "k.weights.h5")
    saving.save_weights(ours, tmp_path / "l.weights.h5")

    def content(path):
        found = {}
        with h5py.File(path) as file:

            def visit(name, item):
                if "seed_generator" not in name:
                    value = item[()] if isinstance(item, h5py.Dataset) else None
                    found[name] = (dict(item.attrs).get("name"), value)

            file.visititems(visit)
        return found

    a, b = content(tmp_path / "k.weights.h5"), content(tmp_path / "l.weights.h5")
    assert set(a) == set(b)
    for name, (label, value) in a.items():
        assert b[name][0] == label
        if value is not None:
            np.testing.assert_array_equal(b[name][1], value)


# -- every class, both ways --------------------------------------------------

ARGUMENTS = {
    "Activation": ("relu",),
    "AdaptiveAveragePooling1D": (2,),
    "AdaptiveAveragePooling2D": (2,),
    "AdaptiveAveragePooling3D": (2,),
    "AdaptiveMaxPooling1D": (2,),
    "AdaptiveMaxPooling2D": (2,),
    "AdaptiveMaxPooling3D": (2,),
    "AlphaDropout": (0.5,),
    "AveragePooling1D": (2,),
    "AveragePooling2D": (2,),
    "AveragePooling3D": (2,),
    "Bidirectional": lambda k: (k.layers.LSTM(2),),
    "CategoryEncoding": (3,),
    "CenterCrop": (2, 2),
    "Constant": (1.0,),
    "Conv1D": (3, 2),
    "Conv1DTranspose": (3, 2),
    "Conv2D": (3, 2),
    "Conv2DTranspose": (3, 2),
    "Conv3D": (3, 2),
    "Conv3DTranspose": (3, 2),
    "ConvLSTM1D": (3, 2),
    "ConvLSTM2D": (3, 2),
    "ConvLSTM3D": (3, 2),
    "CosineDecay": (0.1, 3),
    "CosineDecayRestarts": (0.1, 3),
    "Dense": (3,),
    "DepthwiseConv1D": (2,),
    "DepthwiseConv2D": (2,),
    "Discretization": ([0.0, 1.0],),
    "Dot": (1,),
    "Dropout": (0.5,),
    "EinsumDense": ("ab,bc->ac", 4),
    "Embedding": (4, 3),
    "ExponentialDecay": (0.1, 3, 0.9),
    "GRU": (3,),
    "GRUCell": (3,),
    "GaussianDropout": (0.5,),
    "GaussianNoise": (0.5,),
    "GroupNormalization": (2,),
    "GroupQueryAttention": (4, 4, 2),
    "HashedCrossing": (3,),
    "Hashing": (3,),
    "InputLayer": ((3,),),
    "InverseTimeDecay": (0.1, 3, 0.9),
    "IoU": (3, [0]),
    "LSTM": (3,),
    "LSTMCell": (3,),
    "MaxNumBoundingBoxes": (3,),
    "MeanIoU": (3,),
    "MultiHeadAttention": (2, 3),
    "OneHotIoU": (3, [0]),
    "OneHotMeanIoU": (3,),
    "Permute": ((2, 1),),
    "PiecewiseConstantDecay": ([1, 2], [0.1, 0.2, 0.3]),
    "Pipeline": lambda k: ([k.layers.Rescaling(2.0)],),
    "PolynomialDecay": (0.1, 3),
    "PrecisionAtRecall": (0.5,),
    "RNN": lambda k: (k.layers.LSTMCell(2),),
    "RandomBrightness": (0.5,),
    "RandomColorDegeneration": (0.5,),
    "RandomContrast": (0.5,),
    "RandomCrop": (2, 2),
    "RandomHue": (0.5,),
    "RandomPosterization": (4,),
    "RandomRotation": (0.5,),
    "RandomSaturation": (0.5,),
    "RandomSharpness": (0.5,),
    "RandomTranslation": (0.5, 0.5),
    "RandomZoom": (0.5,),
    "RecallAtPrecision": (0.5,),
    "RepeatVector": (3,),
    "Rescaling": (2.0,),
    "Reshape": ((2, 3),),
    "Resizing": (2, 2),
    "ReversibleEmbedding": (4, 3),
    "SensitivityAtSpecificity": (0.5,),
    "SeparableConv1D": (3, 2),
    "SeparableConv2D": (3, 2),
    "SimpleRNN": (3,),
    "SimpleRNNCell": (3,),
    "SpatialDropout1D": (0.5,),
    "SpatialDropout2D": (0.5,),
    "SpatialDropout3D": (0.5,),
    "SpecificityAtSensitivity": (0.5,),
    "SpectralNormalization": lambda k: (k.layers.Dense(2),),
    "StackedRNNCells": lambda k: ([k.layers.LSTMCell(2)],),
    "TimeDistributed": lambda k: (k.layers.Dense(2),),
}
# bases, classes that take code, and one that lamella only names
NOT_PLAIN = {
    "CTC",
    "Constraint",
    "FlaxLayer",
    "Initializer",
    "InputSpec",
    "JaxLayer",
    "Lambda",
    "Layer",
    "LearningRateSchedule",
    "Loss",
    "LossScaleOptimizer",
    "MeanMetricWrapper",
    "Metric",
    "MultiOptimizer",
    "Optimizer",
    "OptimizerMap",
    "Regularizer",
    "TFSMLayer",
    "TorchModuleWrapper",
    "Wrapper",
}


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "family",
    [
        "layers",
        "losses",
        "metrics",
        "initializers",
        "regularizers",
        "constraints",
        "optimizers",
        "optimizers.schedules",
    ],
)
def test_every_class_is_read_from_keras_and_read_by_keras(family, keras):
    ours, theirs = lamella, keras
    for part in family.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    count = 0
    for name in ours.__all__:
        their_class = getattr(theirs, name, None)
        our_class = getattr(ours, name)
        if name in NOT_PLAIN or not isinstance(their_class, type):
            continue
        if our_class.__name__ != name:  # an alias of another class
            continue
        arguments = ARGUMENTS.get(name, ())
        if callable(arguments):
            arguments = arguments(keras)
        config = keras.saving.serialize_keras_object(their_class(*arguments))
        config = json.loads(json.dumps(config))
        made = saving.deserialize_keras_object(config)
        assert type(made) is our_class
        again = json.loads(json.dumps(saving.serialize_keras_object(made)))
        if "backend" not in config["module"]:  # Keras on torch has its own optimizers
            assert again["module"] == config["module"], name
        assert again["class_name"] == config["class_name"]
        back = keras.saving.deserialize_keras_object(again)
        assert isinstance(back, their_class)  # torch has subclasses of its own
        for key, value in again["config"].items():
            if key in config["config"] and key != "dtype":
                assert value == config["config"][key], (name, key)
        count += 1
    assert count >= 3


# -- several files, folders ----------------------------------------------------------


@pytest.mark.parametrize("ours_first", [True, False])
def test_sharded_weights_and_folders_go_both_ways(ours_first, keras, tmp_path):
    def build(k):
        layers = [k.Input((3,)), k.layers.Dense(20), k.layers.BatchNormalization()]
        model = k.Sequential([*layers, k.layers.Dropout(0.1), k.layers.Dense(2)])
        model.compile("adam", "mse")
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
        return model

    writer, reader = (lamella, keras) if ours_first else (keras, lamella)
    model, other = build(writer), build(reader)
    path = tmp_path / "m.weights.json"
    model.save_weights(path, max_shard_size=3e-7)
    assert len(list(tmp_path.glob("m_*.weights.h5"))) > 1
    other.load_weights(path)
    x = np.ones((2, 3), "float32")
    want = model.predict(x, verbose=0)
    np.testing.assert_allclose(other.predict(x, verbose=0), want, **CLOSE)
    model.save(tmp_path / "folder", zipped=False)
    again = reader.models.load_model(tmp_path / "folder")
    assert again.compiled
    np.testing.assert_allclose(again.predict(x, verbose=0), want, **CLOSE)
