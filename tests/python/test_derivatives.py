"""Derivatives as functions: values against formulas, differences and JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import layers, ops

RNG = np.random.default_rng(11)
W = RNG.normal(size=(3, 4))
X3 = RNG.normal(size=3)


def assert_close(a: Any, b: Any, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=1e-13)


def net(*, units: int = 1) -> lamella.Sequential:
    lamella.set_random_seed(5)
    return lamella.Sequential(
        [
            lamella.Input((2,), dtype="float64"),
            layers.Dense(6, "tanh", dtype="float64"),
            layers.Dense(units, dtype="float64"),
        ]
    )


# ---------------------------------------------------------------- grad


def test_grad_of_numbers_is_in_float64() -> None:
    slope = lamella.grad(lambda x: x**3)(2.0)
    assert slope.dtype == "float64"
    assert slope.shape == ()
    assert float(slope) == 12.0
    assert (
        float(lamella.grad(lambda x: x * x)(3)) == 6.0
    )  # an integer counts as a number


def test_grad_keeps_the_dtype_of_arrays() -> None:
    x = np.ones(3, "float32")
    assert lamella.grad(lambda x: ops.sum(x * x))(x).dtype == "float32"


def test_grad_nests_to_any_order() -> None:
    f = lamella.grad(lamella.grad(lamella.grad(ops.sin)))
    assert_close(f(0.3), -np.cos(0.3))


def test_grad_inner_function_of_outer_argument_is_not_confused() -> None:
    # d/dx [x * d/dy (x y)] = d/dx [x * x]; counting x twice inside would give 3x
    f = lamella.grad(lambda x: x * lamella.grad(lambda y: x * y)(x))
    assert_close(f(3.0), 6.0)


def test_grad_of_structures_and_several_arguments() -> None:
    def f(p: dict[str, Any], s: Any) -> Any:
        return ops.sum(ops.matmul(p["w"], p["b"][0])) * s

    p = {"w": W.T, "b": [X3]}
    by_p, by_s = lamella.grad(f, (0, 1))(p, 2.0)
    assert_close(by_p["w"], 2 * np.tile(X3, (4, 1)))
    assert_close(by_p["b"][0], 2 * W.sum(1))
    assert_close(by_s, (W.T @ X3).sum())
    assert_close(lamella.grad(f, 1)(p, 2.0), (W.T @ X3).sum())


def test_grad_of_what_is_not_used_is_zero() -> None:
    a, b = lamella.grad(lambda x, y: ops.sum(x), (0, 1))(X3, X3)
    assert_close(a, np.ones(3))
    assert_close(b, np.zeros(3))
    assert_close(lamella.grad(lambda x: 5.0)(X3), np.zeros(3))


def test_value_and_grad_with_auxiliary() -> None:
    (value, aux), slope = lamella.value_and_grad(
        lambda x: (x * x, {"twice": 2 * x}), has_aux=True
    )(3.0)
    assert [float(v) for v in (value, aux["twice"], slope)] == [9, 6, 6]
    slope, aux = lamella.grad(lambda x: (x * x, "text"), has_aux=True)(3.0)
    assert float(slope) == 6
    assert aux == "text"


def test_grad_by_the_weights_of_a_model() -> None:
    model = net()
    x = RNG.normal(size=(5, 2))
    value, slopes = lamella.value_and_grad(
        lambda: ops.mean(model(x) ** 2), variables=model
    )()
    assert [g.shape for g in slopes] == [v.shape for v in model.trainable_variables]
    bias = model.layers[-1].bias
    assert_close(slopes[-1], [2 * model(x).numpy().mean()], 1e-10)
    by_x, (by_bias,) = lamella.grad(lambda x: ops.sum(model(x)), 0, variables=[bias])(x)
    assert_close(by_bias, [5.0])
    assert by_x.shape == x.shape
    assert float(value) > 0


def test_grad_works_inside_no_grad() -> None:
    with lamella.no_grad():
        assert float(lamella.grad(lambda x: x * x)(3.0)) == 6.0


def test_grad_results_carry_no_tape() -> None:
    value, slope = lamella.value_and_grad(lambda x: x * x)(3.0)
    assert not value.requires_grad
    assert not slope.requires_grad


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: lamella.grad(lambda x: x)(X3),
            ValueError,
            "one number.*shape \\(3,\\)",
        ),
        (lambda: lamella.grad(lambda x: x, 1)(X3), ValueError, "argnums=1"),
        (lambda: lamella.grad(lambda x: x)("text"), TypeError, "argument 0"),
        (
            lambda: lamella.grad(lambda x: x, has_aux=True)(1.0),
            ValueError,
            "has_aux",
        ),
        (
            lambda: lamella.vjp(lambda x: x, X3)[1](np.ones(2)),
            ValueError,
            "expected shape \\(3,\\), got \\(2,\\)",
        ),
        (
            lambda: lamella.jvp(lambda x: x, (X3,), (X3, X3)),
            ValueError,
            "expected 1 array",
        ),
        (lambda: lamella.jvp(lambda x: x, X3, X3), TypeError, "tuples"),
        (
            lambda: lamella.jacobian(lambda x: x, variables=net(), batched=True),
            ValueError,
            "no meaning for variables",
        ),
        (
            lambda: lamella.jacobian(lambda x: ops.sum(x, 0), batched=True)(W),
            ValueError,
            "as many rows",
        ),
    ],
)
def test_bad_calls_say_what_is_wrong(
    call: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call()


def test_grad_by_a_frozen_variable_is_an_error() -> None:
    model = net()
    model.layers[0].trainable = False
    kernel = model.layers[0].kernel
    with pytest.raises(ValueError, match="not trainable"):
        lamella.grad(lambda: ops.sum(kernel.value), variables=[kernel])()


# ---------------------------------------------------------------- vjp, jvp, jacobian


def test_vjp_pulls_back_as_often_as_asked() -> None:
    value, pullback = lamella.vjp(lambda x, y: (x @ y, ops.sum(y)), W.T, X3)
    assert_close(value[0], W.T @ X3)
    for scale in (1.0, 2.0):
        by_w, by_x = pullback((scale * np.ones(4), scale))
        assert_close(by_w, scale * np.tile(X3, (4, 1)))
        assert_close(by_x, scale * (W.sum(1) + 1))


def test_jvp_equals_the_difference_along_the_tangent() -> None:
    f = lambda x: ops.tanh(ops.matmul(x, W))  # noqa: E731
    v = RNG.normal(size=3)
    value, slope = lamella.jvp(f, (X3,), (v,))
    assert_close(value, np.tanh(X3 @ W))
    assert_close(slope, (1 - np.tanh(X3 @ W) ** 2) * (v @ W))


def test_jvp_and_vjp_are_adjoint_on_every_smooth_layer() -> None:
    model = lamella.Sequential(
        [
            lamella.Input((6, 6, 2), dtype="float64"),
            layers.Conv2D(3, 3, activation="gelu", dtype="float64"),
            layers.LayerNormalization(dtype="float64"),
            layers.AveragePooling2D(2, dtype="float64"),
            layers.MaxPooling2D(2, dtype="float64"),
            layers.Flatten(dtype="float64"),
            layers.Dense(4, "softmax", dtype="float64"),
        ]
    )
    x, v = RNG.normal(size=(2, 2, 6, 6, 2))
    u = RNG.normal(size=(2, 4))
    _, along = lamella.jvp(model, (x,), (v,))
    _, pullback = lamella.vjp(model, x)
    assert_close(np.sum(along.numpy() * u), np.sum(pullback(u)[0].numpy() * v), 1e-9)


def test_jacobian_of_every_shape() -> None:
    assert_close(lamella.jacobian(lambda x: x @ W)(X3), W.T)
    assert_close(lamella.jacobian(lambda x: ops.sin(x))(0.5), np.cos(0.5))
    by_x, by_y = lamella.jacobian(lambda x, y: ops.outer(x, y), (0, 1))(X3, X3)
    assert_close(by_x, np.einsum("ik,j->ijk", np.eye(3), X3))
    assert_close(by_y, np.einsum("i,jk->ijk", X3, np.eye(3)))
    nested = lamella.jacobian(lambda x: {"a": x * x, "b": ops.sum(x)})(X3)
    assert_close(nested["a"], np.diag(2 * X3))
    assert_close(nested["b"], np.ones(3))


def test_jacobian_batched_equals_the_blocks_of_the_whole() -> None:
    model = net(units=3)
    x = RNG.normal(size=(4, 2))
    whole = lamella.jacobian(model)(x).numpy()
    assert whole.shape == (4, 3, 4, 2)
    rows = lamella.jacobian(model, batched=True)(x).numpy()
    assert_close(rows, np.einsum("iaib->iab", whole))


def test_jacobian_by_weights() -> None:
    model = net(units=2)
    x = RNG.normal(size=(4, 2))
    blocks = lamella.jacobian(lambda: model(x), variables=model)()
    assert [b.shape for b in blocks] == [
        (4, 2, *v.shape) for v in model.trainable_variables
    ]
    assert_close(blocks[-1], np.tile(np.eye(2), (4, 1, 1)))


def test_hessian_of_functions_and_models() -> None:
    assert_close(lamella.hessian(lambda x: ops.sum(x**3))(X3), np.diag(6 * X3))
    model = net()
    x = RNG.normal(size=(4, 2))
    h = lamella.hessian(model, batched=True)(x).numpy()
    step = 1e-5
    gradient = lamella.jacobian(model, batched=True)
    for j in range(2):
        d = np.zeros(2)
        d[j] = step
        up, down = (gradient(x + s * d).numpy()[:, 0] for s in (1, -1))
        assert_close(h[:, :, j], (up - down) / (2 * step), 1e-6)
    blocks = lamella.hessian(lambda: ops.mean(model(x) ** 2), variables=model)()
    assert blocks[0][1].shape == (2, 6, 6)
    assert_close(
        blocks[0][2].numpy(), np.moveaxis(blocks[2][0].numpy(), (0, 1), (2, 3)), 1e-9
    )


def test_hessian_through_a_recurrent_layer_needs_its_steps_as_ops() -> None:
    x = RNG.normal(size=(2, 3, 2))
    fused = layers.LSTM(2, dtype="float64")
    fused(x)
    with pytest.raises(ValueError, match=r"no second derivatives.*RNN\(cell\)"):
        lamella.hessian(lambda x: ops.sum(fused(x)))(x)
    stepped = layers.RNN(layers.LSTMCell(2, dtype="float64"), dtype="float64")
    stepped.build(x.shape)
    stepped.set_weights(fused.get_weights())
    gradient = lamella.grad(lambda x: ops.sum(stepped(x)))
    assert_close(gradient(x), lamella.grad(lambda x: ops.sum(fused(x)))(x), 1e-10)
    h = lamella.hessian(lambda x: ops.sum(stepped(x)))(x).numpy()
    step = np.zeros_like(x)
    step[1, 0, 1] = 1e-5
    slope = (gradient(x + step).numpy() - gradient(x - step).numpy()) / 2e-5
    assert_close(h[..., 1, 0, 1], slope, 1e-6)


def _rosenbrock(x: Any) -> Any:
    return ops.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_derivatives_equal_jax() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    x = RNG.normal(size=5)

    def theirs(x: Any) -> Any:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    assert_close(lamella.grad(_rosenbrock)(x), jax.grad(theirs)(x), 1e-11)
    assert_close(lamella.hessian(_rosenbrock)(x), jax.hessian(theirs)(x), 1e-11)


# ---------------------------------------------------------------- traced


class Oscillator(lamella.Model):
    """u'' = -u by a network: the second derivative is part of the compiled step."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(16, "tanh", dtype="float64")
        self.out = layers.Dense(1, dtype="float64")

    def u(self, t: Any) -> Any:
        return self.out(self.hidden(t))

    def call(self, t: Any) -> Any:
        def slope(t: Any) -> Any:
            return lamella.grad(lambda t: ops.sum(self.u(t)))(t)

        curvature = lamella.grad(lambda t: ops.sum(slope(t)))(t)
        return self.u(t) + curvature


def test_second_derivatives_in_a_loss_train_compiled_as_eager() -> None:
    t = np.linspace(0, 2, 32)[:, None]
    losses = []
    for eagerly in (False, True):
        lamella.set_random_seed(1)
        model = Oscillator()
        model(t)
        assert_close(model.predict(t, verbose=0), model(t).numpy(), 1e-9)
        model.compile("adam", "mse", run_eagerly=eagerly)
        history = model.fit(t, np.zeros_like(t), batch_size=32, epochs=3, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_derivatives_at_constants_inside_a_trace() -> None:
    points = np.linspace(0.1, 1, 4)[:, None]

    class Penalty(layers.Layer):
        def __init__(self) -> None:
            super().__init__(dtype="float64")
            self.inner = layers.Dense(3, "tanh", dtype="float64")

        def call(self, x: Any) -> Any:
            slope = lamella.jacobian(self.inner, batched=True)(points)
            return x * ops.sum(slope**2)

    layer = Penalty()
    x = np.ones((2, 1))
    eager = layer(x).numpy()
    model = lamella.Sequential([lamella.Input((1,), dtype="float64"), layer])
    assert_close(model.predict(x, verbose=0), eager, 1e-9)


# ---------------------------------------------------------------- GradientTape


def test_tape_by_variables_and_watched_tensors() -> None:
    v = lamella.Variable([1.0, 2.0])
    x = ops.convert_to_tensor([3.0, 4.0])
    with lamella.GradientTape() as tape:
        tape.watch(x)
        y = v * v * x
    by_v, by_x = tape.gradient(y, [v, x])
    assert_close(by_v, [6, 16])
    assert_close(by_x, [1, 4])
    with pytest.raises(RuntimeError, match="persistent"):
        tape.gradient(y, v)


def test_tape_persistent_nested_and_unconnected() -> None:
    v = lamella.Variable([1.0, 2.0])
    other = lamella.Variable([1.0])
    with lamella.GradientTape(persistent=True) as outer:
        with lamella.GradientTape() as inner:
            y = v * v * v
        slope = inner.gradient(y, v)
    assert_close(outer.gradient(slope, v), [6, 12])
    assert_close(outer.gradient(y, {"v": v})["v"], [3, 12])
    assert outer.gradient(y, other) is None
    assert_close(outer.jacobian(slope, v), [[6, 0], [0, 12]])


def test_tape_training_loop_lowers_the_loss() -> None:
    model = net()
    x = RNG.normal(size=(16, 2))
    y = x[:, :1] - x[:, 1:]
    optimizer = lamella.optimizers.SGD(0.1)
    losses = []
    for _ in range(20):
        with lamella.GradientTape() as tape:
            loss = ops.mean((model(x) - y) ** 2)
        slopes = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(slopes, model.trainable_variables, strict=True))
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]
