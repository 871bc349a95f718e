"""What a Keras user knows of every layer beyond calling it, and the scopes."""

from __future__ import annotations

import numpy as np
import pytest

import lamella as keras
from lamella import layers as L


@pytest.fixture(autouse=True)
def fresh_names():
    keras.config.clear_session()
    yield
    keras.config.clear_session()


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape).astype("float32")


# -- stateless calls -----------------------------------------------------------


def test_stateless_call_uses_the_given_values_and_changes_nothing():
    model = keras.Sequential([keras.Input((3,)), L.Dense(2), L.BatchNormalization()])
    x = data(8, 3)
    before = model.get_weights()
    doubled = [2 * v.numpy() for v in model.trainable_variables]
    state = [v.numpy() for v in model.non_trainable_variables]
    y, new = model.stateless_call(doubled, state, x, training=True)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    z = x @ doubled[0]
    mean, variance = z.mean(0), z.var(0)
    expected = 2 * (z - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new[0].numpy(), 0.01 * mean, rtol=1e-4, atol=1e-6)


def test_stateless_call_returns_losses_and_the_seed():
    layer = L.Dense(2, activity_regularizer="l2", kernel_regularizer="l1")
    x = data(4, 3)
    layer(x)
    values = [np.ones((3, 2)), np.zeros(2)]
    y, state, losses = layer.stateless_call(values, [], x, return_losses=True)
    assert state == []
    expected = [0.01 * (y.numpy() ** 2).sum() / 4, 0.06]
    np.testing.assert_allclose([float(v) for v in losses], expected, rtol=1e-5)
    dropout = L.Dropout(0.5, seed=1)
    first = [v.numpy() for v in dropout.non_trainable_variables]
    a, second = dropout.stateless_call([], first, x, training=True)
    b, _ = dropout.stateless_call([], first, x, training=True)
    c, _ = dropout.stateless_call([], second, x, training=True)
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not np.array_equal(a.numpy(), c.numpy())


def test_stateless_call_says_what_is_wrong():
    with pytest.raises(ValueError, match="needs a built layer"):
        L.Dense(2).stateless_call([], [], data(2, 3))
    layer = L.Dense(2)
    layer.build((None, 3))
    with pytest.raises(ValueError, match="expected 2 values as trainable_variables"):
        layer.stateless_call([], [], data(2, 3))
    with pytest.raises(ValueError, match="must have shape"):
        layer.stateless_call([np.ones(3), np.ones(2)], [], data(2, 3))


def test_stateless_scope_holds_values():
    v = keras.Variable(1.0)
    with keras.StatelessScope(state_mapping=[(v, 5.0)]) as scope:
        v.assign_add(2.0)
        assert float(v) == 7
        with keras.StatelessScope() as inner:
            assert float(v.value) == 1
            v.assign(3.0)
            assert float(inner.get_current_value(v)) == 3
        assert float(v) == 7
    assert float(v) == 1
    assert float(scope.get_current_value(v)) == 7
    assert scope.get_current_value(keras.Variable(0.0)) is None
    with pytest.raises(ValueError, match="pairs of a Variable"):
        keras.StatelessScope(state_mapping=[(1, 2)])


# -- types -----------------------------------------------------------------------


def test_policies_are_names_of_types():
    layer = L.Dense(2, dtype=keras.DTypePolicy("float64"))
    policy = layer.dtype_policy
    assert (policy.name, policy.compute_dtype, policy.variable_dtype) == (
        "float64",
    ) * 3
    assert policy == keras.dtype_policies.get("float64")
    written = keras.dtype_policies.serialize(policy)
    assert written == layer.get_config()["dtype"]
    assert keras.dtype_policies.deserialize(written) == policy
    assert keras.DTypePolicy.from_config(policy.get_config()) == policy
    layer.dtype_policy = "float32"
    assert layer.dtype == layer.input_dtype == "float32"
    assert layer(data(2, 3)).dtype == "float32"


def test_the_global_policy_counts_for_new_layers():
    keras.config.set_dtype_policy("float64")
    assert L.Dense(2).dtype == "float64"
    assert keras.mixed_precision.global_policy().name == "float64"
    keras.mixed_precision.set_global_policy("float32")
    assert keras.config.dtype_policy().name == "float32"
    keras.config.set_dtype_policy("float64")
    keras.config.clear_session()
    assert L.Dense(2).dtype == "float32"


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_half_precision_is_refused(name):
    for use in (
        lambda: keras.mixed_precision.set_global_policy(name),
        lambda: keras.DTypePolicy(name),
        lambda: L.Dense(2, dtype=name),
    ):
        with pytest.raises(ValueError, match="float32 and float64"):
            use()


def test_other_refusals_say_what_lamella_has():
    layer = L.Dense(2)
    with pytest.raises(NotImplementedError, match="does not quantize"):
        layer.quantize("int8")
    with pytest.raises(NotImplementedError, match="no add_metric"):
        layer.add_metric(1.0)
    with pytest.raises(TypeError, match="must be text"):
        keras.DTypePolicy(3)
    with pytest.raises(ValueError, match="computes on 'cpu'"), keras.device("gpu:0"):
        pass
    with pytest.raises(NotImplementedError, match="one process"):
        keras.distribution.DataParallel()
    with pytest.raises(ValueError, match="mode must be one of"):
        keras.RematScope(mode="some")
    for bad in ("a", None):
        with pytest.raises(ValueError, match="expected a tensor or an array"):
            L.Dense(2)(bad)
    with pytest.raises(TypeError, match="without an input"):
        L.Dense(2)()


# -- scopes ----------------------------------------------------------------------


def test_name_scope_goes_before_paths():
    with keras.name_scope("tower"), keras.name_scope("left"):
        layer = L.Dense(2, name="dense")
        layer.build((None, 3))
    assert layer.kernel.path == "tower/left/dense/kernel"
    with pytest.raises(ValueError, match="without '/'"), keras.name_scope("a/b"):
        pass


def test_device_and_remat_change_nothing():
    x = data(2, 3)
    layer = L.Dense(2)
    with keras.device("cpu:0"), keras.RematScope(mode="full"):
        y = layer(x).numpy()
    np.testing.assert_array_equal(layer(x).numpy(), y)
    np.testing.assert_array_equal(keras.remat(layer)(x).numpy(), y)
    assert keras.distribution.list_devices() == ["cpu:0"]
    assert keras.distribution.list_devices("gpu") == []
    assert keras.distribution.distribution() is None
    keras.distribution.set_distribution(None)


# -- operations ------------------------------------------------------------------


class Scaled(keras.Operation):
    def __init__(self, factor, name=None):
        super().__init__(name=name)
        self.factor = factor

    def call(self, a, b):
        return a * self.factor + b


def test_operation_runs_on_tensors_and_in_models():
    x = data(2, 3)
    operation = Scaled(3.0)
    np.testing.assert_allclose(operation(x, x), 4 * x, rtol=1e-6)
    inputs = keras.Input((3,))
    outputs = operation(inputs, inputs)
    assert outputs.shape == (None, 3)
    model = keras.Model(inputs, L.Dense(1)(outputs))
    assert model.predict(x, verbose=0).shape == (2, 1)
    assert "scaled" in "\n".join(x.name for x in model._operations)
    assert operation.get_config() == {"name": "scaled", "factor": 3.0}
    assert Scaled.from_config(operation.get_config()).factor == 3
    assert operation.compute_output_spec(inputs, inputs).shape == (None, 3)
    assert isinstance(L.Dense(2), keras.Operation)
    with pytest.raises(NotImplementedError, match="method call"):
        keras.Operation()(x)


def test_function_is_what_lies_between_placeholders():
    a, b = keras.Input((3,)), keras.Input((3,))
    function = keras.Function([a, b], {"sum": a + b, "product": a * b})
    x = data(2, 3)
    y = function([x, x])
    np.testing.assert_allclose(y["sum"].numpy(), 2 * x, rtol=1e-6)
    np.testing.assert_allclose(y["product"].numpy(), x * x, rtol=1e-6)
    assert [t.shape for t in function.outputs] == [(None, 3)] * 2
    assert keras.Function(a, a[:, :2]).compute_output_shape((5, 3)) == (5, 2)
    with pytest.raises(ValueError, match="not among the inputs"):
        keras.Function(a, a + b)


def test_output_spec_and_symbolic_call_of_layers():
    inputs = keras.Input((5, 3))
    layer = L.LSTM(2, return_state=True)
    spec = layer.compute_output_spec(inputs)
    assert [t.shape for t in spec] == [(None, 2)] * 3
    assert layer.built
    y = L.Dense(4).symbolic_call(inputs)
    assert keras.Model(inputs, y).output_shape == (None, 5, 4)


def test_names_of_old_stay_usable():
    layer = L.Layer()
    weight = layer.add_variable((2,), "ones", name="w", trainable=False)
    assert weight.numpy().tolist() == [1, 1]
    assert layer.non_trainable_variables == [weight]
    assert layer.quantization_mode is None
    assert layer.metrics_variables == []
