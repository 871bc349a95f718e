"""Many configurations of layers: the numbers, weights and configs of Keras."""

from __future__ import annotations

import inspect
import json
import warnings

import numpy as np
import pytest
from layer_cases import CASES

import lamella

RTOL, ATOL = 3e-5, 3e-6


def to_numpy(value):
    if isinstance(value, list | tuple):
        return [x for item in value for x in to_numpy(item)]
    if hasattr(value, "detach"):
        return [value.detach().numpy()]
    return [np.asarray(value)]


def plain(value):
    """Return a config as JSON has it."""
    return json.loads(json.dumps(value))


def data(shape):
    source = np.random.default_rng(7)

    def draw(s):
        if isinstance(s, list):
            return [draw(one) for one in s]
        if isinstance(s[0], tuple | list):
            return tuple(draw(one) for one in s)
        return source.normal(size=s).astype("float32")

    return draw(shape)


def assert_close(a, b, **kwargs):
    a, b = to_numpy(a), to_numpy(b)
    assert [x.shape for x in a] == [x.shape for x in b]
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(y, x, **{"rtol": RTOL, "atol": ATOL, **kwargs})


def make(lib, name, arguments, extra):
    if extra.get("stateful"):
        arguments = {**arguments, "stateful": True}
    return getattr(lib.layers, name)(**arguments)


def call(lib, layer, x, extra, **more):
    kwargs = {**extra.get("call", {}), **more}
    tensor = lib.ops.convert_to_tensor
    if "mask" in extra:
        kwargs["mask"] = tensor(np.array(extra["mask"], bool))
    if "states" in extra:
        kwargs["initial_state"] = [tensor(s) for s in data(extra["states"])]
    if isinstance(x, tuple):
        return layer(*x, **kwargs)
    return layer(x, **kwargs)


def trained(lib, layer, x, extra, weights):
    """Return losses and weights of two steps, and the predictions before them."""
    arrays = list(x) if isinstance(x, tuple | list) else [x]
    fixed = extra.get("stateful")
    inputs = [
        lib.Input(batch_shape=a.shape) if fixed else lib.Input(a.shape[1:])
        for a in arrays
    ]
    if isinstance(x, tuple):
        outputs = layer(*inputs, **extra.get("call", {}))
    else:
        outputs = layer(inputs if isinstance(x, list) else inputs[0])
    model = lib.Model(inputs, outputs)
    model.set_weights(weights)
    predicted = to_numpy(model.predict(arrays, verbose=0))
    source = np.random.default_rng(5)
    target = [source.normal(size=y.shape).astype("float32") for y in predicted]
    several = len(target) > 1
    model.compile(
        optimizer=lib.optimizers.SGD(0.05),
        loss=["mse"] * len(target) if several else "mse",
    )
    losses = [
        float(
            np.ravel(model.train_on_batch(arrays, target if several else target[0]))[0]
        )
        for _ in range(2)
    ]
    return predicted, losses, model.get_weights()


def identify(row) -> str:
    name, arguments, _, extra = row
    return f"{name}-{','.join(map(str, [*arguments.values(), *extra]))}"


@pytest.mark.parametrize("row", CASES, ids=identify)
def test_layer_is_that_of_keras(keras_reference, row):
    name, arguments, shape, extra = row
    x = data(shape)
    libs = (keras_reference, lamella)
    keras_reference.utils.clear_session(free_memory=False)
    lamella.config.clear_session()
    ours, theirs = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lib, results in zip(libs, (theirs, ours), strict=True):
            layer = make(lib, name, arguments, extra)
            call(lib, layer, x, extra)
            results.append(layer)
        theirs, ours = theirs[0], ours[0]
        describe = [
            [(v.path, tuple(v.shape), v.trainable) for v in layer.weights]
            for layer in (theirs, ours)
        ]
        assert describe[1] == describe[0]
        assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
        source = np.random.default_rng(3)
        weights = [
            np.abs(w + 0.5 * source.normal(size=w.shape)) + 0.1
            for w in theirs.get_weights()
        ]
        for layer in (theirs, ours):
            layer.set_weights(weights)
            if extra.get("stateful"):
                layer.reset_state()
        for training in (False, True):
            flags = (
                {"training": training}
                if "training" in inspect.signature(theirs.call).parameters
                else {}
            )
            expected = call(keras_reference, theirs, x, extra, **flags)
            assert_close(expected, call(lamella, ours, x, extra, **flags))
        assert_close(theirs.get_weights(), ours.get_weights())
        np.testing.assert_allclose(
            [float(v) for v in ours.losses],
            [float(v) for v in theirs.losses],
            rtol=1e-4,
        )
        config = plain(theirs.get_config())
        assert plain(ours.get_config()) == config
        assert list(ours.get_config()) == list(theirs.get_config())
        again = type(ours).from_config(ours.get_config())
        assert plain(again.get_config()) == config
        read = lamella.layers.deserialize(
            plain(keras_reference.layers.serialize(theirs))
        )
        assert plain(read.get_config()) == config
        assert plain(ours.get_build_config()) == plain(theirs.get_build_config())
        if {"mask", "states", "call", "stateful"} & set(extra) or name.endswith("Cell"):
            return
        results = []
        for lib in libs:
            layer = make(lib, name, arguments, extra)
            results.append(trained(lib, layer, x, extra, weights))
        assert_close(results[0][0], results[1][0])
        np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-4, atol=1e-5)
        assert_close(results[0][2], results[1][2], rtol=3e-4, atol=2e-5)
