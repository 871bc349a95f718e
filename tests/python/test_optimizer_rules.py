"""Optimizers whose rules are written in Python: values, arguments, tracing."""

from __future__ import annotations

import numpy as np
import pytest

import lamella
from lamella import Variable, layers, ops, optimizers
from lamella.optimizers import schedules

SHAPES = [(3, 4), (4,), (2, 3, 2)]
OWN = [
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Adam", {"amsgrad": True}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Ftrl", {}),
    ("Ftrl", {"l1_regularization_strength": 0.01, "beta": 0.1, "learning_rate": 0.1}),
    ("Ftrl", {"l2_shrinkage_regularization_strength": 0.1}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.8, "beta_2": 0.7}),
    ("Adafactor", {}),
    ("Adafactor", {"clip_threshold": 0.5, "learning_rate": 0.5}),
    ("Lamb", {"learning_rate": 0.05}),
    ("Muon", {}),
    ("Muon", {"nesterov": False, "rms_rate": None, "exclude_layers": ["w2"]}),
    ("ScheduleFreeAdamW", {"warmup_steps": 3}),
]
SHARED = [
    {},
    {"weight_decay": 0.05},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.7},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 8.0},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "clipnorm": 1.0},
]


def start():
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype("float32") for s in SHAPES]


def gradients(steps=7):
    rng = np.random.default_rng(1)
    return [
        [rng.normal(size=s).astype("float32") for s in SHAPES] for _ in range(steps)
    ]


def variables(make=Variable):
    return [make(w, name=f"w{i}") for i, w in enumerate(start())]


def ftrl(w, g, s, t, rate=0.001):
    a, z = s.get("a", 0.1), s.get("z", 0.0)
    s["a"] = a + g**2
    s["z"] = z + g - (np.sqrt(s["a"]) - np.sqrt(a)) / rate * w
    return -s["z"] * rate / np.sqrt(s["a"])


def lion(w, g, s, t, rate=0.001):
    m = s.get("m", 0.0)
    s["m"] = 0.99 * m + 0.01 * g
    return w - rate * np.sign(0.9 * m + 0.1 * g)


def lamb(w, g, s, t, rate=0.001):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
    u = s["m"] / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-7)
    return w - rate * np.linalg.norm(w) / np.linalg.norm(u) * u


def schedule_free(w, g, s, t, rate=0.0025):
    """The paper's three sequences, x and z kept instead of being recovered."""
    x, z = s.get("x", w), s.get("z", w)
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
    s["z"] = z - rate * g / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)
    s["x"] = (1 - 1 / t) * x + s["z"] / t
    return 0.1 * s["z"] + 0.9 * s["x"]


def adafactor(w, g, s, t, rate=0.001):
    share = 1 - t**-0.8
    square = g**2 + 1e-30
    if w.ndim < 2:
        v = s["v"] = share * s.get("v", 0) + (1 - share) * square
    else:
        r = s["r"] = share * s.get("r", 0) + (1 - share) * square.mean(-1)
        c = s["c"] = share * s.get("c", 0) + (1 - share) * square.mean(-2)
        v = (r / r.mean(-1, keepdims=True))[..., None] * c[..., None, :]
    u = g / np.sqrt(v)
    u = u / max(1, np.sqrt((u**2).mean()))
    return w - max(1e-3, np.sqrt((w**2).mean())) * min(rate, t**-0.5) * u


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Ftrl", ftrl),
        ("Lion", lion),
        ("Lamb", lamb),
        ("ScheduleFreeAdamW", schedule_free),
        ("Adafactor", adafactor),
    ],
)
def test_rule_matches_formula(name, rule):
    optimizer, weights = getattr(optimizers, name)(), variables()
    wanted = [w.astype("float64") for w in start()]
    states = [{} for _ in wanted]
    for t, grads in enumerate(gradients(), 1):
        optimizer.apply_gradients(zip(grads, weights, strict=True))
        wanted = [
            rule(w, g.astype("float64"), s, t)
            for w, g, s in zip(wanted, grads, states, strict=True)
        ]
    for weight, expected in zip(weights, wanted, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, rtol=3e-5, atol=3e-6)


def test_muon_makes_the_step_of_a_matrix_orthogonal():
    optimizer = optimizers.Muon(1.0, weight_decay=None, rms_rate=None, ns_steps=12)
    weight = Variable(np.zeros((3, 5), "float32"), name="kernel")
    optimizer.apply([gradients()[0][0][:, [0, 1, 2, 3, 0]]], [weight])
    # the quintic iteration settles near, not at, one
    values = np.linalg.svd(weight.numpy(), compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.reference
@pytest.mark.parametrize("shared", SHARED, ids=lambda s: "-".join(s) or "plain")
def test_steps_state_and_config_match_keras(keras_reference, shared):
    keras = keras_reference
    for name, own in OWN:
        if name == "ScheduleFreeAdamW":
            continue  # on PyTorch Keras reads its iterate after changing it
        ours = getattr(optimizers, name)(**own, **shared)
        theirs = getattr(keras.optimizers, name)(**own, **shared)
        mine, reference = variables(), variables(keras.Variable)
        for grads in gradients():
            ours.apply_gradients(zip(grads, mine, strict=True))
            tensors = [keras.ops.array(g) for g in grads]
            theirs.apply_gradients(list(zip(tensors, reference, strict=True)))
        assert int(ours.iterations) == int(theirs.iterations)
        for _ in range(2):
            pairs = [*zip(mine, reference, strict=True)]
            pairs += zip(ours.variables, theirs.variables, strict=True)
            for a, b in pairs:
                assert tuple(a.shape) == tuple(b.shape)
                value = np.asarray(b.value.detach())
                np.testing.assert_allclose(
                    a.numpy(), value, rtol=3e-4, atol=1e-5, err_msg=name
                )
            ours.finalize_variable_values(mine)
            theirs.finalize_variable_values(reference)
        ignore = {"name"}
        config, wanted = ours.get_config(), theirs.get_config()
        assert config.keys() == wanted.keys()
        assert {k: v for k, v in config.items() if k not in ignore} == {
            k: v for k, v in wanted.items() if k not in ignore
        }


def small_model():
    lamella.utils.set_random_seed(3)
    return lamella.Sequential(
        [
            layers.Input((3,)),
            layers.Dense(4, activation="tanh", kernel_constraint="max_norm"),
            layers.Dense(1),
        ]
    )


def data():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(10, 3)).astype("float32")
    return x, np.sin(x.sum(1, keepdims=True))


@pytest.mark.parametrize("shared", SHARED, ids=lambda s: "-".join(s) or "plain")
def test_fit_equals_eager_steps(shared):
    x, y = data()
    for name, own in OWN[::2]:
        weights = []
        for eager in (False, True):
            model = small_model()
            optimizer = getattr(optimizers, name)(**own, **shared)
            model.compile(optimizer, "mse", run_eagerly=eager)
            model.fit(x, y, batch_size=4, epochs=2, verbose=0, shuffle=False)
            weights.append(model.get_weights())
        for a, b in zip(*weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6, err_msg=name)


class Halving(optimizers.Optimizer):
    """A user's rule: momentum that is halved each step."""

    def __init__(self, learning_rate=0.1, share=0.5, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.share = share

    def build(self, variables):
        super().build(variables)
        self.means = self.add_optimizer_variables(variables, "mean")
        self.count = Variable(0.0, name="count", trainable=False)

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        mean = self.means[self._get_variable_index(variable)]
        self.assign(mean, ops.add(mean * self.share, gradient))
        self.assign_sub(variable, ops.multiply(rate, mean))
        self.assign_add(self.count, 1.0)

    def get_config(self):
        return {**super().get_config(), "share": self.share}


@pytest.mark.parametrize("eager", [False, True])
def test_rule_of_a_user_trains(eager):
    x, y = data()
    model = small_model()
    optimizer = Halving(0.05, weight_decay=0.01)
    model.compile(optimizer, "mse", run_eagerly=eager)
    losses = model.fit(x, y, batch_size=5, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
    assert int(optimizer.iterations) == 40
    assert float(optimizer.count) == 40 * 4
    names = [v.name for v in optimizer.variables]
    assert names[:2] == ["iteration", "learning_rate"]
    assert names[-1] == "count"
    assert optimizer.variables[2].path.startswith("halving")
    again = Halving.from_config(optimizer.get_config())
    assert (again.share, again.weight_decay) == (0.5, 0.01)


def test_subclass_with_a_rule_of_its_own_leaves_the_kernel():
    class Signs(optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * ops.sign(gradient))

    weight = Variable([1.0, 2.0])
    Signs(0.5).apply([[3.0, -4.0]], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.5, 2.5])


def test_missing_super_init_is_named():
    class Forgot(optimizers.Optimizer):
        def __init__(self):
            self.rate = 1

    with pytest.raises(RuntimeError, match=r"Forgot: __init__ must call super"):
        Forgot()
    with pytest.raises(NotImplementedError, match="override update_step"):
        optimizers.Optimizer(0.1).apply([[1.0]], [Variable([1.0])])


def test_averages_replace_the_weights_at_the_end_of_fit():
    x, y = data()
    model = small_model()
    model.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    model.fit(x, y, batch_size=5, epochs=1, verbose=0, shuffle=False)
    averages = [v.numpy() for v in model.optimizer.variables if "average" in v.name]
    for weight, average in zip(model.get_weights(), averages, strict=True):
        np.testing.assert_array_equal(weight, average)


def test_loss_scale_leaves_out_steps_that_are_not_finite():
    weight = Variable([1.0])
    optimizer = optimizers.LossScaleOptimizer(
        optimizers.SGD(0.5), initial_scale=8.0, dynamic_growth_steps=2
    )
    for gradient in (8.0, np.inf, 8.0, 8.0):
        optimizer.apply([[gradient]], [weight])
    # 8 -> 4 (infinite) -> 8 (two good steps)
    np.testing.assert_allclose(weight.numpy(), [1 - 0.5 * (1 + 2 + 2)])
    assert float(optimizer.dynamic_scale) == 8.0
    assert float(optimizer.scale_loss(np.float32(2.0))) == 16.0
    assert int(optimizer.iterations) == 3
    again = optimizers.LossScaleOptimizer.from_config(optimizer.get_config())
    assert type(again.inner_optimizer) is optimizers.SGD
    with pytest.raises(ValueError, match="dynamic=False is not supported"):
        optimizers.LossScaleOptimizer(optimizers.SGD(), dynamic=False)


def test_loss_scale_changes_no_weight_in_float32():
    x, y = data()
    weights = []
    for wrap in (lambda o: o, optimizers.LossScaleOptimizer):
        model = small_model()
        model.compile(wrap(optimizers.Adam(0.01)), "mse")
        model.fit(x, y, batch_size=4, epochs=2, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_several_optimizers_share_a_model():
    x, y = data()
    model = small_model()
    still = optimizers.SGD(0.0)
    chosen = optimizers.OptimizerMap(optimizers.SGD(0.1), {".*/bias": still})
    model.compile(optimizers.MultiOptimizer(chosen), "mse")
    before = model.get_weights()
    model.fit(x, y, epochs=1, verbose=0)
    after = model.get_weights()
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert moved == [True, False, True, False]
    with pytest.raises(AttributeError, match="no single learning rate"):
        _ = model.optimizer.learning_rate
    with pytest.raises(ValueError, match="several patterns match"):
        optimizers.OptimizerMap(still, {"a.*": still, ".*b": still})["ab"]
    config = model.optimizer.get_config()
    assert len(optimizers.MultiOptimizer.from_config(config).optimizers) == 2


def test_rate_may_be_a_function():
    rate = Variable(0.5)
    optimizer, weight = optimizers.SGD(lambda: rate), Variable([1.0])
    optimizer.apply([[1.0]], [weight])
    rate.assign(0.25)
    optimizer.apply([[1.0]], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.25])
    with pytest.raises(TypeError, match="cannot be set"):
        optimizer.learning_rate = 0.1
    fixed = optimizers.SGD(0.1)
    fixed.learning_rate = schedules.ExponentialDecay(0.1, 10, 0.5)
    assert [v.name for v in fixed.variables] == ["iteration"]


def test_stateless_apply_changes_nothing_in_place():
    optimizer, weights = optimizers.Adam(0.1), variables()
    optimizer.build(weights)
    before = [v.numpy() for v in (*weights, *optimizer.variables)]
    new, state = optimizer.stateless_apply(
        [v.value for v in optimizer.variables], gradients()[0], start()
    )
    for variable, value in zip((*weights, *optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert int(state[0]) == 1
    optimizer.apply(gradients()[0])
    for weight, value in zip(weights, new, strict=True):
        np.testing.assert_allclose(weight.numpy(), value.numpy(), rtol=1e-6)


@pytest.mark.parametrize("ending", [".keras", ".lamella"])
@pytest.mark.parametrize(
    "make",
    [
        optimizers.Ftrl,
        optimizers.ScheduleFreeAdamW,
        lambda: optimizers.Adam(use_ema=True, gradient_accumulation_steps=2),
        lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
        lambda: optimizers.MultiOptimizer(
            optimizers.OptimizerMap(optimizers.SGD(), {".*bias": optimizers.Adam()})
        ),
    ],
)
def test_training_goes_on_after_loading(make, ending, tmp_path):
    x, y = data()
    model = small_model()
    model.compile(make(), "mse")
    plan = {"batch_size": 4, "epochs": 2, "verbose": 0, "shuffle": False}
    model.fit(x, y, **plan)
    model.save(tmp_path / f"model{ending}")
    loaded = lamella.models.load_model(tmp_path / f"model{ending}")
    losses = [m.fit(x, y, **plan).history["loss"] for m in (model, loaded)]
    assert losses[0] == losses[1]
