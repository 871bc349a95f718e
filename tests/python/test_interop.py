"""numpy, the buffer protocol and DLPack: who shares, who copies, who lives how long."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from lamella import _core as c

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]


def example(dtype: str = "float32", shape: tuple[int, ...] = (2, 3)) -> np.ndarray:
    n = int(np.prod(shape))
    return (
        (np.arange(n) % 2 if dtype == "bool" else np.arange(n))
        .astype(dtype)
        .reshape(shape)
    )


# ------------------------------------------------------------------ numpy in


@pytest.mark.parametrize("dtype", DTYPES)
def test_from_numpy_shares_and_sees_later_changes(dtype: str) -> None:
    a = example(dtype)
    t = c.from_numpy(a)
    assert (t.dtype, t.shape) == (dtype, (2, 3))
    assert np.shares_memory(t.numpy(), a)
    a[0, 0] = 1
    assert t.numpy()[0, 0] == 1
    assert t[0, 0].item() == 1


def test_from_numpy_copy_true_is_independent() -> None:
    a = example()
    t = c.from_numpy(a, copy=True)
    a[:] = -1
    np.testing.assert_array_equal(t.numpy(), example())


def test_from_numpy_copy_false_shares_or_raises() -> None:
    a = example()
    assert np.shares_memory(c.from_numpy(a, copy=False).numpy(), a)
    for bad in (a.T, a[:, ::2], a[::-1]):
        with pytest.raises(ValueError, match=r"copy=False.*C-contiguous"):
            c.from_numpy(bad, copy=False)


LAYOUTS = {
    "fortran": np.asfortranarray(example()),
    "transposed": example().T,
    "strided": example(shape=(4, 6))[::2, 1::2],
    "negative strides": example()[::-1, ::-1],
    "zero stride": np.broadcast_to(np.float32(3), (2, 3)),
    "scalar": np.array(2.5, "float32"),
    "empty": np.zeros((0, 3), "float32"),
    "unaligned": np.frombuffer(b"\0" + example().tobytes(), "uint8")[1:].view(
        "float32"
    ),
    "read-only": np.frombuffer(example().tobytes(), "float32"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_numpy_of_any_layout_has_the_same_values(layout: str) -> None:
    a = LAYOUTS[layout]
    for copy in (None, True):
        t = c.from_numpy(a, copy=copy)
        assert t.shape == a.shape
        np.testing.assert_array_equal(t.numpy(), a)
        np.testing.assert_array_equal((t + t).numpy(), a + a)


def test_tensor_copies_so_that_the_array_may_change() -> None:
    a = example()
    t = c.tensor(a)
    y = t * c.tensor(a)
    a[:] = 100
    np.testing.assert_array_equal(t.numpy(), example())
    np.testing.assert_array_equal(y.numpy(), example() ** 2)


EXOTIC = [
    np.zeros(2, "float16"),
    np.zeros(2, "complex64"),
    np.zeros(2, "int16"),
    np.zeros(2, "uint64"),
    np.zeros(2, "longdouble"),
    np.zeros(2, ">f4"),
    np.zeros(2, "datetime64[s]"),
    np.array(["a", "b"]),
    np.array([None, 1]),
    np.zeros(2, [("a", "f4")]),
]


@pytest.mark.parametrize("a", EXOTIC, ids=lambda a: str(a.dtype))
def test_from_numpy_of_another_dtype_raises_with_its_name(a: np.ndarray) -> None:
    with pytest.raises(c.DTypeError) as info:
        c.from_numpy(a)
    assert str(a.dtype) in str(info.value)
    assert "float32" in str(info.value)
    with pytest.raises(TypeError):
        c.tensor(a)


def test_tensor_of_python_values_has_narrow_types() -> None:
    assert c.tensor(1.5).dtype == "float32"
    assert c.tensor(3).dtype == "int32"
    assert c.tensor(True).dtype == "bool"
    assert c.tensor([[1, 2], [3, 4]]).dtype == "int32"
    assert c.tensor([1.0, 2]).dtype == "float32"
    assert c.tensor(np.float64(1.5)).dtype == "float32"
    assert c.tensor(np.array(1.5)).dtype == "float64"
    assert c.tensor([], "float32").shape == (0,)


def test_tensor_of_large_integers_keeps_them() -> None:
    big = 2**53 + 1
    assert c.tensor(big).dtype == "int64"
    assert c.tensor(big).item() == big
    assert int(c.tensor(big)) == big
    assert range(2**60)[c.tensor(big)] == big
    many = c.tensor([1, big])
    assert many.dtype == "int64"
    assert many.numpy().tolist() == [1, big]


@pytest.mark.parametrize("value", [2**70, -(2**70), 10**400])
def test_tensor_of_integers_beyond_64_bits_raises(value: int) -> None:
    with pytest.raises((OverflowError, TypeError)):
        c.tensor(value)
    with pytest.raises((OverflowError, TypeError)):
        c.tensor([value])


def test_operator_with_an_integer_beyond_float_range_raises() -> None:
    with pytest.raises(OverflowError):
        c.tensor(1.5) + 10**400
    assert (c.tensor(1.5) + 10**20).item() == pytest.approx(1e20, rel=1e-6)


def test_int_of_a_float_that_does_not_fit_raises() -> None:
    with pytest.raises(ValueError, match="NaN"):
        int(c.tensor(float("nan")))
    for bad in (float("inf"), 1e30):
        with pytest.raises(OverflowError):
            int(c.tensor(bad))
    assert int(c.tensor(-2.9)) == -2


def test_tensor_of_nonsense_raises_type_error() -> None:
    for bad in (object(), "text", {"a": 1}, None):
        with pytest.raises(TypeError):
            c.tensor(bad)
    with pytest.raises(ValueError, match=r"shape|inhomogeneous"):
        c.tensor([[1, 2], [3]])


# ------------------------------------------------------------------ numpy out


def test_numpy_view_is_read_only_and_a_copy_is_not() -> None:
    t = c.tensor([1.0, 2.0])
    view = t.numpy()
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    copy = t.numpy(copy=True)
    copy[0] = 5
    assert t.numpy().tolist() == [1, 2]


def test_asarray_gives_a_view_and_other_dtypes_a_copy() -> None:
    t = c.tensor([1.0, 2.0])
    assert np.shares_memory(np.asarray(t), t.numpy())
    wide = np.asarray(t, "float64")
    assert wide.dtype == np.float64
    own = np.array(t)
    own[0] = 9
    assert t.numpy().tolist() == [1, 2]


def test_numpy_functions_and_operators_take_tensors() -> None:
    t = c.tensor([1.0, 2.0])
    assert np.sum(np.asarray(t)) == 3
    left = np.array([1.0, 1.0], "float32") + t
    assert isinstance(left, c.Tensor)
    np.testing.assert_array_equal(left.numpy(), [2, 3])
    np.testing.assert_array_equal((np.float32(2) * t).numpy(), [2, 4])


@pytest.mark.parametrize("first", ["array", "tensor", "view"])
def test_either_owner_may_go_first(first: str) -> None:
    a = example().copy()
    watch = weakref.ref(a)
    t = c.from_numpy(a)
    y = c.reshape(t, (3, 2))
    view = t.numpy()
    if first == "array":
        del a
        gc.collect()
        np.testing.assert_array_equal(t.numpy(), example())
        np.testing.assert_array_equal(view, example())
        del t, y
        gc.collect()
        np.testing.assert_array_equal(view, example())
        del view
    elif first == "tensor":
        del t, y
        gc.collect()
        np.testing.assert_array_equal(view, a)
        del view, a
    else:
        del view
        gc.collect()
        np.testing.assert_array_equal(y.numpy().ravel(), a.ravel())
        del t, y, a
    gc.collect()
    assert watch() is None


def test_view_outlives_a_tensor_made_by_an_op() -> None:
    view = (c.tensor(example()) * 2.0).numpy()
    gc.collect()
    junk = [c.tensor(np.full((2, 3), 7.0, "float32")) * 1.0 for _ in range(50)]
    np.testing.assert_array_equal(view, 2 * example())
    assert len(junk) == 50


def test_variable_view_does_not_follow_assign() -> None:
    v = c.Variable(np.array([1.0, 2.0], "float32"))
    view, buffer = v.value().numpy(), memoryview(v.value())
    copy = v.numpy()
    v.assign([3.0, 4.0])
    assert view.tolist() == [1, 2]
    assert list(buffer) == [1, 2]
    copy[:] = 9
    assert v.numpy().tolist() == [3, 4]


def test_variable_does_not_share_the_array_it_was_made_from() -> None:
    a = np.ones(2, "float32")
    v = c.Variable(a)
    a[:] = 5
    assert v.numpy().tolist() == [1, 1]


def test_variable_view_outlives_the_variable() -> None:
    v = c.Variable(np.array([1.0, 2.0], "float32"))
    view = v.value().numpy()
    del v
    gc.collect()
    assert view.tolist() == [1, 2]


# ------------------------------------------------------------------ buffers and DLPack


@pytest.mark.parametrize("dtype", DTYPES)
def test_memoryview_is_read_only_with_shape_and_format(dtype: str) -> None:
    a = example(dtype)
    m = memoryview(c.tensor(a))
    assert m.readonly
    assert m.c_contiguous
    assert m.shape == (2, 3)
    assert m.itemsize == a.itemsize
    assert m.tolist() == a.tolist()
    with pytest.raises(TypeError, match="read-only"):
        m[0, 0] = 1


def test_memoryview_outlives_its_tensor() -> None:
    m = memoryview(c.tensor(example()))
    gc.collect()
    assert m.tolist() == example().tolist()
    assert bytes(m) == example().tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (3, 0, 2)])
def test_memoryview_of_scalars_and_empty_tensors(shape: tuple[int, ...]) -> None:
    a = np.zeros(shape, "float64")
    m = memoryview(c.tensor(a))
    assert (m.shape, m.nbytes) == (shape, a.nbytes)


def test_tensor_from_a_buffer_through_numpy() -> None:
    t = c.from_numpy(np.frombuffer(bytearray(b"\1\2\3"), "uint8"))
    assert t.numpy().tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_from_dlpack_shares_the_elements(dtype: str) -> None:
    t = c.tensor(example(dtype))
    a = np.from_dlpack(t)
    assert a.dtype == dtype
    np.testing.assert_array_equal(a, example(dtype))
    assert np.shares_memory(a, t.numpy())
    del t
    gc.collect()
    np.testing.assert_array_equal(a, example(dtype))


def test_from_dlpack_of_numpy_shares_the_elements() -> None:
    a = example()
    t = c.from_dlpack(a)
    a[0, 0] = 42
    assert t.numpy()[0, 0] == 42
    del a
    gc.collect()
    assert t.numpy()[0, 0] == 42


def test_dlpack_device_is_the_cpu() -> None:
    assert c.tensor([1.0]).__dlpack_device__() == (1, 0)


@pytest.mark.reference
def test_torch_from_dlpack_and_back() -> None:
    torch = pytest.importorskip("torch")
    t = c.tensor(example())
    there = torch.from_dlpack(t.numpy(copy=True))
    np.testing.assert_array_equal(there.numpy(), example())
    source = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    back = c.from_dlpack(source)
    source[0, 0] = 8
    assert back.numpy()[0, 0] == 8
    del source
    gc.collect()
    assert back.numpy().ravel().tolist() == [8, 1, 2, 3, 4, 5]
    turned = c.from_dlpack(torch.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(turned.numpy(), np.arange(6).reshape(2, 3).T)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore:.*not writable:UserWarning")
def test_torch_from_dlpack_of_a_tensor_has_its_values() -> None:
    torch = pytest.importorskip("torch")
    t = c.tensor(example())
    there = torch.from_dlpack(t)
    del t
    gc.collect()
    np.testing.assert_array_equal(there.numpy(), example())
