"""Functions of ops with a direct path: the same as the Python functions behind them."""

from __future__ import annotations

import inspect
import pickle
import sys
import weakref
from itertools import pairwise

import numpy as np
import pytest

import lamella
from lamella import _core, ops

A = np.arange(6, dtype="float32").reshape(2, 3) - 2
T = ops.convert_to_tensor(A)
U = ops.convert_to_tensor(A[::-1] * 2)
SQUARE = ops.convert_to_tensor(np.arange(9, dtype="float32").reshape(3, 3))
NAMES = [n for n in ops.__all__ if _core.has_fast_path(n)]

INSIDE = T / 10  # of the domains of inverse functions
POSITIVE = ops.convert_to_tensor(A + 2.5)
INDEX = ops.convert_to_tensor(np.array([1, 0, 1], "int32"))
UNARY = """
    abs ceil cos cosh erf exp expm1 floor hard_sigmoid hard_silu isfinite isnan negative
    relu selu sigmoid sign silu sin sinh softplus softsign square tan tanh
"""
COMPARISONS = "equal greater greater_equal less less_equal not_equal"

CALLS = {
    **{n: [((T,), {}), ((), {"x": T})] for n in UNARY.split()},
    **{n: [((INSIDE,), {})] for n in ("arccos", "arcsin", "arctan")},
    **{n: [((POSITIVE,), {})] for n in ("log", "log1p", "reciprocal", "rsqrt", "sqrt")},
    **{n: [((T, U), {}), ((T, 1), {}), ((0.5, T), {})] for n in COMPARISONS.split()},
    "power": [((POSITIVE, U), {}), ((T, 2), {}), ((2.0, T), {})],
    "clip": [((T, -1, 1.5), {}), ((T, None, 1), {}), ((T, -1), {"x_max": A})],
    "dot": [((T, SQUARE), {}), ((T[0], T[1]), {}), ((T, T[0]), {}), ((T[0, 0], T), {})],
    "outer": [((T, U), {}), ((T[0], T[1]), {}), ((T, A), {})],
    "norm": [((T,), {}), ((T, 1), {}), ((T,), {"axis": 1}), ((T, None, 0), {})],
    "argmax": [((T,), {}), ((T, 1), {}), ((T, -2, True), {}), ((), {"x": T})],
    "argmin": [((T,), {}), ((T,), {"axis": 0}), ((T, None, True), {})],
    "cumsum": [((T,), {}), ((T, 0), {}), ((T, -1), {"dtype": "float64"})],
    "flip": [((T,), {}), ((T, 1), {}), ((T, (0, 1)), {}), ((T, [0]), {})],
    "take": [
        ((T, 1), {}),
        ((T, -1), {"axis": 0}),
        ((T, 2), {"axis": -1}),
        ((T[0], -3), {}),
        ((T, INDEX, 0), {}),
        ((T, INDEX, 1), {}),
        ((T[1], INDEX), {}),
        ((T, INDEX - 1, 0), {}),
    ],
    "broadcast_to": [((T, (4, 2, 3)), {}), ((T, [2, 3]), {})],
    "squeeze": [((T[None],), {}), ((T[None], 0), {}), ((T[:, None], [1]), {})],
    "swapaxes": [((T, 0, 1), {}), ((T[None], -1, 0), {}), ((T, 0), {"axis2": -1})],
    "cast": [((T, "float64"), {}), ((T, "int32"), {}), ((T,), {"dtype": "float32"})],
    "zeros_like": [((T,), {}), ((T, "int32"), {}), ((T,), {"dtype": None})],
    "ones_like": [((T,), {}), ((T,), {"dtype": "float64"})],
    "zeros": [(((2, 3),), {}), ((4,), {}), (((2,), "float64"), {}), (((),), {})],
    "ones": [(((2, 3),), {}), (([4],), {}), (((2,),), {"dtype": "int32"})],
    "sum": [((T,), {}), ((T, 1), {}), ((T,), {"axis": (0, 1), "keepdims": True})],
    "mean": [((T, -1), {}), ((T,), {"axis": [0]}), ((), {"x": T, "axis": 0})],
    "max": [((T,), {}), ((T, 0, True), {}), ((T,), {"initial": 9.0})],
    "min": [((T,), {}), ((T,), {"axis": 1, "initial": -9.0}), ((T, None, False), {})],
    "prod": [((T,), {}), ((T, 1), {"dtype": "float64"})],
    "var": [((T,), {}), ((T, ()), {}), ((T, 0), {"keepdims": True})],
    "logsumexp": [((T,), {}), ((T, 1), {})],
    "softmax": [((T,), {}), ((T, 0), {}), ((T,), {"axis": None})],
    "log_softmax": [((T,), {}), ((T,), {"axis": 0})],
    "expand_dims": [((T, 0), {}), ((T, -1), {}), ((T, (0, 2)), {})],
    "matmul": [((T, SQUARE), {}), ((T,), {"x2": SQUARE}), ((A, SQUARE), {})],
    "add": [((T, U), {}), ((T, 2), {}), ((T, A), {})],
    "subtract": [((T, U), {}), ((2.0, T), {})],
    "multiply": [((T, U), {}), ((T, A.astype("int32")), {})],
    "divide": [((T, U + 9), {}), ((T,), {"x2": 3})],
    "maximum": [((T, U), {}), ((T, 0), {})],
    "minimum": [((T, U), {}), ((0, T), {})],
    "reshape": [((T, (3, 2)), {}), ((T, (-1,)), {}), ((T, [6]), {}), ((T, 6), {})],
    "transpose": [((T,), {}), ((T, (1, 0)), {}), ((T,), {"axes": None})],
    "where": [((T > 0, T, U), {}), ((T > 0, T, 0.0), {}), ((T > 0,), {})],
    "concatenate": [(([T, U],), {}), (((T, U), 1), {}), (([T, A],), {"axis": None})],
    "stack": [(([T, U],), {}), (([T, U],), {"axis": -1}), ((T,), {})],
}


def arrays(result):
    results = result if isinstance(result, tuple | list) else [result]
    return [np.asarray(r) for r in results]


def test_the_table_is_complete():
    assert sorted(CALLS) == sorted(NAMES)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_direct_and_general_agree(name):
    function = getattr(ops, name)
    for args, kwargs in CALLS[name]:
        # Variables and arrays always go the general way.
        slow = [a.numpy() if type(a) is type(T) else a for a in args]
        named = {k: v.numpy() if type(v) is type(T) else v for k, v in kwargs.items()}
        for got, want in zip(
            arrays(function(*args, **kwargs)),
            arrays(function(*slow, **named)),
            strict=True,
        ):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_looks_like_a_function_of_ops(name):
    function = getattr(ops, name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert function.__name__ == name
    parameters = list(inspect.signature(function).parameters.values())
    assert parameters
    assert len(function.__doc__) > 5
    with pytest.raises(TypeError):
        function()
    with pytest.raises(TypeError):
        function(*[T] * (len(parameters) + 1))
    with pytest.raises(TypeError):
        function(T, nonsense=1)


def test_the_method_reshape():
    for sizes in (
        (3, 2),
        (-1,),
        (6,),
        (2, -1, 1),
        ((3, 2),),
        ([3, 2],),
        (np.int64(6),),
    ):
        want = A.reshape(*sizes)
        np.testing.assert_array_equal(T.reshape(*sizes).numpy(), want)
    np.testing.assert_array_equal(T[1, 1].reshape().numpy(), A[1, 1])
    with pytest.raises(ValueError, match=r"reshape: .*\(2, 3\)"):
        T.reshape(4, 2)
    with pytest.raises(ValueError, match="only one size"):
        T.reshape(-1, -1)
    with pytest.raises(TypeError):
        T.reshape("a")


def test_operators_and_indices():
    for call in (
        lambda x, y: x**2,
        lambda x, y: 2.0**x,
        lambda x, y: x**y,
        lambda x, y: x > y,
        lambda x, y: 0 < x,  # noqa: SIM300
        lambda x, y: x <= 1.5,
        lambda x, y: x == y,
        lambda x, y: x != 0,
        lambda x, y: x >= y,
        lambda x, y: x[1],
        lambda x, y: x[-1, 2],
        lambda x, y: x[:1],
        lambda x, y: x[1:, ::-1],
        lambda x, y: x[..., 0],
        lambda x, y: x[:, None, 1:],
        lambda x, y: x[None, ..., 1:3, None],
        lambda x, y: x[5:],
        lambda x, y: x[:, -1:0:-2],
        lambda x, y: x[...],
        lambda x, y: x[:, np.array([2, 0])],
        lambda x, y: x[()],
        lambda x, y: x[np.int64(1)],
    ):
        got = call(T, U)
        assert type(got) is type(T)
        np.testing.assert_allclose(got.numpy(), call(A, A[::-1] * 2), rtol=1e-6)
    with pytest.raises(IndexError, match="out of range"):
        T[2]
    with pytest.raises(IndexError, match="axis 1 of size 3"):
        T[0, 3]
    with pytest.raises(IndexError, match="too many indices"):
        T[0, 0, 0]
    with pytest.raises(ValueError, match="zero"):
        T[::0]
    assert hash(T) == hash(T)
    with pytest.raises(TypeError):
        T < "a"  # noqa: B015


def test_an_index_keeps_gradients_and_old_values():
    x = ops.convert_to_tensor(A.copy())
    x.requires_grad = True
    (ops.sum(x[1:] * 2 + x[0, 1]) + ops.sum(x[:, 2]) * 5).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 3, 5], [2, 2, 7]])
    variable = lamella.Variable(A)
    rows = ops.convert_to_tensor(variable)[1:]
    variable.assign(A * 7)
    np.testing.assert_array_equal(rows.numpy(), A[1:])


def test_integers_and_other_types_go_the_general_way():
    whole = ops.convert_to_tensor(np.array([1, 2, 4], "int32"))
    assert ops.mean(whole).dtype == "float32"
    assert ops.sum(whole > 1).dtype == "int32"
    assert ops.matmul(whole, whole).dtype == "int32"
    assert ops.max(ops.convert_to_tensor(np.array([3, 9], "uint8"))).dtype == "uint8"
    assert ops.add(T, ops.cast(U, "float64")).dtype == "float64"
    assert ops.stack([whole, whole]).dtype == "int32"


def test_errors_are_those_of_the_python_functions():
    for call in (
        lambda: ops.sum(T, axis=2),
        lambda: ops.sum(T, axis=(0, 3)),
        lambda: ops.reshape(T, (4, 2)),
        lambda: ops.reshape(T, (-1, -1)),
        lambda: ops.matmul(T, T),
        lambda: ops.concatenate([T, SQUARE], axis=1),
        lambda: ops.expand_dims(T, 7),
        lambda: ops.softmax(T, 5),
    ):
        with pytest.raises(ValueError, match=r"\w+: "):
            call()
    with pytest.raises(ValueError, match="x1 and x2 must both be given"):
        ops.where(T > 0, T)


@pytest.mark.parametrize("axis", [2**32, -(2**32) + 1, 2**70])
def test_an_axis_beyond_an_int_is_not_cut_off(axis):
    for call in (
        lambda: ops.sum(T, axis),
        lambda: ops.mean(T, axis=(axis,)),
        lambda: ops.softmax(T, axis),
        lambda: ops.stack([T, U], axis),
        lambda: ops.expand_dims(T, axis),
    ):
        with pytest.raises((ValueError, TypeError, OverflowError, RuntimeError)):
            call()


def test_gradients_and_traces_pass_through():
    def f(x):
        y = ops.concatenate([ops.softmax(x), ops.transpose(ops.reshape(x, (3, 2)))])
        return ops.sum(ops.where(y > 0, y, ops.square(y))) + ops.mean(
            ops.max(y, axis=1)
        )

    slope = lamella.grad(f)(T).numpy()
    for i, j in ((0, 0), (1, 2)):
        step = np.zeros_like(A, dtype="float64")
        step[i, j] = 1e-6
        up, down = (float(f(ops.convert_to_tensor(A + s))) for s in (step, -step))
        assert slope[i, j] == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-4)
    inputs = lamella.Input((3,))
    model = lamella.Model(inputs, ops.sum(ops.softmax(inputs, axis=-1), axis=-1))
    np.testing.assert_allclose(model.predict(A, verbose=0), np.ones(2), rtol=1e-6)


def test_results_do_not_share_memory_with_what_may_change():
    x = ops.convert_to_tensor(np.ones((2, 3), "float32"))
    results = [ops.reshape(x, (3, 2)), ops.transpose(x), ops.sum(x, axis=())]
    total = [float(np.asarray(r).sum()) for r in results]
    assert all(a == b for a, b in pairwise(total))


def test_objects_are_freed_with_and_without_weak_references():
    kind = type(T)
    before = sys.getrefcount(kind)
    for _ in range(100):
        value = T + U
        value[1] > 0  # noqa: B015
        ops.relu(value)
    seen = []
    reference = weakref.ref(value, lambda _: seen.append(True))
    assert reference() is value
    del value
    assert reference() is None
    assert seen == [True]
    assert sys.getrefcount(kind) == before


PAIRS = """
    ij,jk->ik ij,kj->ik ji,jk->ki ij,ij->ij ij,ij-> ij,ij->i i,j->ji i,i-> ijk,ikl->ijl
    abc,cd->abd bij,bkj->bki abcd,cdef->abef bhqd,bkhd->bhqk ab,abc->bc a,ab->b ij,j->i
    ij,jk ij,jk->i ij,jk->k ...ij,jk->...ik ii,ij->j
"""
SIZES = dict(zip("abcdefhijklq", (2, 3, 4, 5, 2, 3, 2, 4, 3, 5, 2, 6), strict=True))


@pytest.mark.parametrize("subscripts", PAIRS.split())
def test_einsum_of_two_operands(subscripts):
    left, _, output = subscripts.partition("->")
    terms = left.replace("...", "ab").split(",")
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=[SIZES[c] for c in t]).astype("float32") for t in terms)
    want = np.einsum(subscripts, a, b)
    for _ in range(2):
        got = ops.einsum(subscripts, a, b)
        assert got.shape == want.shape
        np.testing.assert_allclose(got.numpy(), want, rtol=2e-5, atol=1e-5)
    if set(terms[0]) <= set(terms[1]) | set(output) and len(set(terms[0])) > 1:
        x, y = ops.convert_to_tensor(a), ops.convert_to_tensor(b)
        x.requires_grad = True
        ops.sum(ops.einsum(subscripts, x, y)).backward()
        inverse = f"{terms[1]},{output.replace('...', 'ab')}->{terms[0]}"
        gradient = np.einsum(inverse, b, np.ones_like(want))
        np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=2e-5, atol=1e-5)


def test_einsum_broadcasts_and_complains():
    a, b = np.ones((3, 1), "float32"), np.ones((4, 2), "float32")
    np.testing.assert_array_equal(
        ops.einsum("ij,jk->ik", a, b).numpy(), np.full((3, 2), 4.0)
    )
    whole = ops.einsum("ij,jk->ik", np.eye(2, dtype="int32"), np.ones((2, 2), "int32"))
    assert whole.dtype == "int32"
    with pytest.raises(ValueError, match="must name each"):
        ops.einsum("ij,jk->ik", np.ones(3, "float32"), b)
    with pytest.raises(ValueError, match="'j' names axes of different sizes: 5"):
        ops.einsum("ij,jk->ik", np.ones((3, 5), "float32"), b)
