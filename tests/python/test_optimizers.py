"""Optimizers against Keras's update rules in float64, and against Keras."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lamella import Variable, _core, losses, ops, optimizers
from lamella.optimizers import schedules

SHAPES = [(3, 4), (4,), (2, 2, 2)]
STEPS = 20


def start(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype("float32") for s in SHAPES]


def gradients(steps=STEPS, seed=1):
    rng = np.random.default_rng(seed)
    out = [[rng.normal(size=s).astype("float32") for s in SHAPES] for _ in range(steps)]
    out[3][1][:] = 0.0
    return out


# One step of each rule, in float64: (w, g, state, t, rate, arguments) -> w


def sgd(w, g, s, t, lr, momentum=0.0, nesterov=False):
    if not momentum:
        return w - lr * g
    s["m"] = momentum * s.get("m", 0) - lr * g
    return w + (momentum * s["m"] - lr * g if nesterov else s["m"])


def rmsprop(w, g, s, t, lr, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g**2
    root = s["v"] + epsilon
    if centered:
        s["a"] = rho * s.get("a", 0) + (1 - rho) * g
        root = root - s["a"] ** 2
    step = lr * g / np.sqrt(root)
    if momentum:
        step = s["m"] = momentum * s.get("m", 0) + step
    return w - step


def adagrad(w, g, s, t, lr, initial_accumulator_value=0.1, epsilon=1e-7):
    s["a"] = s.get("a", initial_accumulator_value) + g**2
    return w - lr * g / np.sqrt(s["a"] + epsilon)


def adadelta(w, g, s, t, lr, rho=0.95, epsilon=1e-7):
    s["g"] = rho * s.get("g", 0) + (1 - rho) * g**2
    step = g * np.sqrt(s.get("d", 0) + epsilon) / np.sqrt(s["g"] + epsilon)
    s["d"] = rho * s.get("d", 0) + (1 - rho) * step**2
    return w - lr * step


def adam(w, g, s, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    rate = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    v = s["v"]
    if amsgrad:
        v = s["h"] = np.maximum(s.get("h", 0), v)
    return w - rate * s["m"] / (np.sqrt(v) + epsilon)


def adamax(w, g, s, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["u"] = np.maximum(beta_2 * s.get("u", 0), np.abs(g))
    return w - lr * s["m"] / ((1 - beta_1**t) * (s["u"] + epsilon))


def nadam(w, g, s, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    def u(k):
        return beta_1 * (1 - 0.5 * 0.96**k)

    s["p"] = s.get("p", 1.0) * u(t)
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    m = u(t + 1) * s["m"] / (1 - s["p"] * u(t + 1)) + (1 - u(t)) * g / (1 - s["p"])
    return w - lr * m / (np.sqrt(s["v"] / (1 - beta_2**t)) + epsilon)


CASES = [
    ("SGD", {}, sgd, 0.01),
    ("SGD", {"momentum": 0.9}, sgd, 0.01),
    ("SGD", {"momentum": 0.9, "nesterov": True}, sgd, 0.01),
    ("RMSprop", {}, rmsprop, 0.001),
    ("RMSprop", {"rho": 0.8, "momentum": 0.5}, rmsprop, 0.001),
    ("RMSprop", {"centered": True, "epsilon": 1e-3}, rmsprop, 0.001),
    ("Adagrad", {}, adagrad, 0.001),
    ("Adagrad", {"initial_accumulator_value": 0.5, "epsilon": 1e-4}, adagrad, 0.001),
    ("Adadelta", {}, adadelta, 0.001),
    ("Adadelta", {"rho": 0.8, "epsilon": 1e-3}, adadelta, 0.001),
    ("Adam", {}, adam, 0.001),
    ("Adam", {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.9}, adam, 0.001),
    ("Adam", {"epsilon": 1e-2}, adam, 0.001),
    ("AdamW", {"weight_decay": 0.1}, adam, 0.001),
    ("Adamax", {}, adamax, 0.001),
    ("Nadam", {}, nadam, 0.001),
    ("Nadam", {"beta_1": 0.8, "epsilon": 1e-3}, nadam, 0.001),
]
IDS = [f"{c[0]}-{i}" for i, c in enumerate(CASES)]
SHARED = [
    {},
    {"weight_decay": 0.05},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.7},
]


def clip(grads, clipnorm=None, clipvalue=None, global_clipnorm=None):
    if clipnorm:
        return [g * min(1, clipnorm / max(np.linalg.norm(g), 1e-30)) for g in grads]
    if clipvalue:
        return [np.clip(g, -clipvalue, clipvalue) for g in grads]
    if global_clipnorm:
        norm = np.sqrt(sum((g**2).sum() for g in grads))
        return [g * min(1, global_clipnorm / norm) for g in grads]
    return grads


def simulate(rule, kwargs, shared, rate, all_grads):
    weights = [w.astype("float64") for w in start()]
    states = [{} for _ in weights]
    decay = {**kwargs, **shared}.get("weight_decay") or 0.0
    own = {k: v for k, v in kwargs.items() if k != "weight_decay"}
    clips = {k: v for k, v in shared.items() if "clip" in k}
    for t, grads in enumerate(all_grads, 1):
        grads = clip([g.astype("float64") for g in grads], **clips)
        for i, g in enumerate(grads):
            w = weights[i] * (1 - rate * decay)
            weights[i] = rule(w, g, states[i], t, rate, **own)
    return weights


def variables():
    return [Variable(w, name=f"w{i}") for i, w in enumerate(start())]


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.mark.parametrize("shared", SHARED, ids=lambda s: next(iter(s), "plain"))
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_twenty_steps_match_formula(case, shared):
    name, kwargs, rule, rate = case
    ours = getattr(optimizers, name)(**{**kwargs, **shared})
    weights = variables()
    for grads in gradients():
        ours.apply_gradients(zip(grads, weights, strict=True))
    want = simulate(rule, kwargs, shared, rate, gradients())
    for w, expected in zip(weights, want, strict=True):
        np.testing.assert_allclose(w.numpy(), expected, rtol=2e-5, atol=2e-6)
    assert int(ours.iterations) == STEPS


def test_defaults_and_settable_rate():
    for name, rate in (("sgd", 0.01), ("adam", 0.001), ("RMSprop", 0.001)):
        assert float(optimizers.get(name).learning_rate) == pytest.approx(rate)
    opt = optimizers.SGD(1)
    weight = Variable(np.zeros(2, "float32"))
    opt.apply([np.ones(2, "float32")], [weight])
    opt.learning_rate = 0.5
    opt.apply([np.ones(2, "float32")])
    np.testing.assert_allclose(weight.numpy(), -1.5)
    opt.learning_rate.assign(0.25)
    opt.apply([np.ones(2, "float32")])
    np.testing.assert_allclose(weight.numpy(), -1.75)


def test_schedule_decides_the_rate():
    plan = schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.5, 0.25])
    opt = optimizers.SGD(plan)
    weight = Variable(np.zeros(1, "float32"))
    rates = []
    for _ in range(4):
        rates.append(float(opt.learning_rate))
        opt.apply([np.ones(1, "float32")], [weight])
    assert rates == [1.0, 0.5, 0.25, 0.25]
    np.testing.assert_allclose(weight.numpy(), [-2.0])
    assert len(opt.variables) == 1
    with pytest.raises(TypeError, match="schedule"):
        opt.learning_rate = 0.1


def test_missing_gradient_leaves_weight_and_state_alone():
    opt, (a, b) = optimizers.Adam(), variables()[:2]
    opt.build([a, b])
    before = b.numpy()
    with pytest.warns(UserWarning, match="no gradients for w1"):
        opt.apply([np.ones(a.shape, "float32"), None], [a, b])
    np.testing.assert_array_equal(b.numpy(), before)
    with pytest.raises(ValueError, match="no gradients provided"):
        opt.apply([None, None], [a, b])


def test_constraint_is_applied_after_the_step():
    from lamella import constraints

    weight = Variable(np.array([0.1, 1.0], "float32"))
    weight.constraint = constraints.NonNeg()
    optimizers.SGD(1.0).apply([np.array([0.5, 0.5], "float32")], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.0, 0.5])


def test_exclusion_from_weight_decay():
    opt = optimizers.SGD(0.1, weight_decay=0.5)
    a, b, c = variables()
    opt.exclude_from_weight_decay(var_list=[a], var_names=["w2"])
    before = [v.numpy() for v in (a, b, c)]
    opt.apply([np.zeros(v.shape, "float32") for v in (a, b, c)], [a, b, c])
    np.testing.assert_array_equal(a.numpy(), before[0])
    np.testing.assert_allclose(b.numpy(), before[1] * 0.95, rtol=1e-6)
    np.testing.assert_array_equal(c.numpy(), before[2])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        opt.exclude_from_weight_decay(var_names=["w"])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optimizers.Adam(use_ema=True, ema_momentum=2), "ema_momentum must be"),
        (lambda: optimizers.SGD(gradient_accumulation_steps=1), "SGD: gradient_acc"),
        (lambda: optimizers.Ftrl(learning_rate_power=1.0), "must be negative or zero"),
        (lambda: optimizers.Lion(beta_1=0.0), "beta_1 must be in"),
        (
            lambda: optimizers.SGD(momentun=0.9),
            "unknown argument 'momentun'.*'momentum'",
        ),
        (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), "only one of"),
        (lambda: optimizers.SGD(clipnorm=-1.0), "clipnorm must be positive"),
        (lambda: optimizers.SGD("fast"), "learning_rate must be a number"),
        (lambda: optimizers.SGD(-1.0), "learning_rate must be >= 0"),
        (lambda: optimizers.SGD(momentum=2.0), "momentum must be in"),
        (lambda: optimizers.AdamW(weight_decay=None), "weight_decay must be a number"),
        (lambda: optimizers.get("adan"), r"unknown optimizer 'adan'.*'Adam'"),
        (lambda: optimizers.get(3), "an optimizer must be"),
    ],
)
def test_bad_arguments_raise(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_arguments_are_fixed_and_unknown_weights_refused():
    opt = optimizers.Adam()
    opt.beta_1 = 0.5
    a, b, _ = variables()
    opt.build([a])
    with pytest.raises(AttributeError, match="beta_1 is fixed"):
        opt.beta_1 = 0.6
    with pytest.raises(ValueError, match="unknown variable 'w1'"):
        opt.apply([np.zeros(b.shape, "float32")], [b])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_state_restored_gives_the_same_steps(case):
    name, kwargs, _, _ = case
    first, weights = getattr(optimizers, name)(**kwargs), variables()
    plan = gradients(6)
    for grads in plan[:3]:
        first.apply(grads, weights)
    second = type(first).from_config(first.get_config())
    copies = [Variable(w.numpy(), name=w.name) for w in weights]
    second.build(copies)
    store: dict[str, np.ndarray] = {}
    first.save_own_variables(store)
    second.load_own_variables(store)
    for grads in plan[3:]:
        first.apply(grads, weights)
        second.apply(grads, copies)
    for a, b in zip(weights, copies, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.warns(UserWarning, match="not loaded"):
        second.load_own_variables({"0": 1})


@pytest.mark.reference
@pytest.mark.parametrize("shared", SHARED, ids=lambda s: next(iter(s), "plain"))
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_steps_state_and_config_match_keras(keras, case, shared):
    name, kwargs, _, _ = case
    arguments = {**kwargs, **shared}
    ours = getattr(optimizers, name)(**arguments)
    theirs = getattr(keras.optimizers, name)(**arguments)
    mine = variables()
    reference = [keras.Variable(w, name=f"w{i}") for i, w in enumerate(start())]
    for grads in gradients():
        ours.apply_gradients(zip(grads, mine, strict=True))
        theirs.apply_gradients(
            [(keras.ops.array(g), w) for g, w in zip(grads, reference, strict=True)]
        )
    for a, b in zip(mine, reference, strict=True):
        np.testing.assert_allclose(
            a.numpy(), np.asarray(b.value.detach()), rtol=3e-5, atol=3e-6
        )
    assert len(ours.variables) == len(theirs.variables)
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(
            a.numpy(), np.asarray(b.value.detach()), rtol=1e-4, atol=1e-6
        )
    theirs_config = theirs.get_config()
    ours_config = ours.get_config()
    assert ours_config.keys() == theirs_config.keys()
    for key, setting in theirs_config.items():
        if key != "name":
            assert ours_config[key] == setting


SCHEDULES = [
    ("ExponentialDecay", (0.1, 10, 0.9), {}),
    ("ExponentialDecay", (0.1, 10, 0.9), {"staircase": True}),
    ("PiecewiseConstantDecay", ([5, 12], [0.1, 0.05, 0.01]), {}),
    ("PolynomialDecay", (0.1, 20), {"power": 2.0, "end_learning_rate": 0.001}),
    ("PolynomialDecay", (0.1, 7), {"cycle": True}),
    ("InverseTimeDecay", (0.1, 5, 0.5), {}),
    ("InverseTimeDecay", (0.1, 5, 0.5), {"staircase": True}),
    ("CosineDecay", (0.1, 20), {"alpha": 0.1}),
    ("CosineDecay", (0.01, 20), {"warmup_target": 0.2, "warmup_steps": 6}),
    ("CosineDecayRestarts", (0.1, 5), {"m_mul": 0.9, "alpha": 0.05}),
    ("CosineDecayRestarts", (0.1, 5), {"t_mul": 1.0}),
]


@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c[0])
def test_schedule_config_round_trip(case):
    name, args, kwargs = case
    first = getattr(schedules, name)(*args, **kwargs)
    again = type(first).from_config(first.get_config())
    assert again.get_config() == first.get_config()
    assert float(first(3)) == float(again(3))
    opt = optimizers.SGD(first)
    restored = optimizers.SGD.from_config(opt.get_config())
    assert float(restored.learning_rate) == float(opt.learning_rate)


def test_schedule_arguments_are_checked():
    with pytest.raises(ValueError, match="decay_steps must be positive"):
        schedules.ExponentialDecay(0.1, 0, 0.9)
    with pytest.raises(ValueError, match="one entry more"):
        schedules.PiecewiseConstantDecay([1], [0.1])


@pytest.mark.reference
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c[0])
def test_schedule_matches_keras(keras, case):
    name, args, kwargs = case
    ours = getattr(schedules, name)(*args, **kwargs)
    theirs = getattr(keras.optimizers.schedules, name)(*args, **kwargs)
    for step in (0, 1, 4, 5, 6, 7, 12, 13, 20, 26, 40):
        np.testing.assert_allclose(
            float(ours(step)), float(theirs(step)), rtol=2e-5, atol=1e-8
        )
    assert ours.get_config() == theirs.get_config()


@pytest.mark.reference
def test_same_names_are_known_as_in_keras(keras):
    for name in (
        "sgd",
        "SGD",
        "adam",
        "Adam",
        "ADAM",
        "adamw",
        "AdamW",
        "rmsprop",
        "adagrad",
        "adadelta",
        "adamax",
        "nadam",
        "RMSProp",
    ):
        wanted = type(keras.optimizers.get(name)).__name__
        assert type(optimizers.get(name)).__name__ == wanted


@pytest.mark.parametrize("shared", SHARED, ids=lambda s: next(iter(s), "plain"))
@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("scheduled", [False, True])
def test_traced_training_equals_eager_steps(case, shared, scheduled):
    name, kwargs, _, rate = case
    rng = np.random.default_rng(5)
    x = rng.normal(size=(8, 3)).astype("float32")
    y = rng.normal(size=(8, 4)).astype("float32")
    if scheduled:
        rate = schedules.ExponentialDecay(rate, 2, 0.5)
    traced, eager = (
        getattr(optimizers, name)(learning_rate=rate, **{**kwargs, **shared})
        for _ in range(2)
    )

    def loss(inputs, targets, k, b):
        return losses.MeanSquaredError()(targets, ops.tanh(ops.matmul(inputs, k) + b))

    weights, copies = variables()[:2], variables()[:2]
    graph = _core.Graph()
    with graph:
        inputs = graph.input("x", (None, 3), "float32")
        targets = graph.input("y", (None, 4), "float32")
        value = loss(inputs, targets, *weights)
        graph.set_loss(value)
        graph.output("loss", value)
    traced.build(weights)
    trainer = traced._trace(graph, weights)()
    for _ in range(5):
        trainer.step([x, y])
        leaves = [_core.from_numpy(w.numpy()) for w in copies]
        for leaf in leaves:
            leaf.requires_grad = True
        loss(x, y, *leaves).backward()
        eager.apply([leaf.grad for leaf in leaves], copies)
    for a, b in zip(
        [*weights, *traced.variables], [*copies, *eager.variables], strict=True
    ):
        if a.name != "learning_rate":
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)
