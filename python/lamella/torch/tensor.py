"""The tensor: the core's value with PyTorch's names, views and assignment in place.

The core's tensors are values. Assignment in place gives the Python object another
value; what was
computed before keeps the elements it saw, so gradients stay right. A view (`x[0]`,
`x.view(-1)`,
`x.data`) remembers its base and how it was made: a change on either side is carried to
the other.
An array from `numpy()` or behind `from_numpy` shares memory for good.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lamella import _core

from . import _dtype as dt
from ._dtype import CPU, Size, device, dtype
from ._print import tensor_text

__all__ = ["Parameter", "Tensor", "new_tensor"]

wrap: Callable[[Any], Any] = _core.face_wrap
unwrap: Callable[[Any], Any] = _core.face_unwrap
shape_of: Callable[[Any], Any] = _core.face_shape
dtype_of: Callable[[Any], Any] = _core.face_dtype
_new: Callable[[Any, Any], Any] = _core.face_new
_core_grad: Any = _core.Tensor.__dict__["grad"]

#: How a value of the base becomes the view's, and how a changed view changes its
#: base. Filled by the modules that make views.
FORWARD: dict[str, Callable[[Any, Any], Any]] = {"same": lambda base, _: base.detach()}
BACKWARD: dict[str, Callable[[Any, Any, Any], Any]] = {
    "same": lambda base, _, value: value
}
FORWARD["detach"], BACKWARD["detach"] = FORWARD["same"], BACKWARD["same"]

_PRODUCERS = {
    "matmul": "MmBackward0",
    "add": "AddBackward0",
    "sub": "SubBackward0",
    "mul": "MulBackward0",
    "div": "DivBackward0",
    "square": "PowBackward0",
    "reshape": "ViewBackward0",
    "transpose": "PermuteBackward0",
    "concat": "CatBackward0",
    "stack": "StackBackward0",
    "clip": "ClampBackward1",
    "broadcast_to": "ExpandBackward0",
    "gather": "IndexBackward0",
    "max": "MaxBackward1",
    "min": "MinBackward1",
}


class GradientFunction:
    """What made a result: truthy, with a name; there is nothing to call."""

    __slots__ = ("_name",)

    def __init__(self, op: str) -> None:
        camel = "".join(p.capitalize() for p in op.split("_"))
        self._name = _PRODUCERS.get(op, f"{camel}Backward0")

    def name(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<{self._name} object at {id(self):#x}>"


def new_tensor(
    data: Any, d: Any = None, requires_grad: bool = False, share: bool = False
) -> Tensor:
    """A tensor from numbers, lists, arrays or tensors with PyTorch's types.

    Args:
        data: Python numbers give the default float type, int64 or bool; arrays keep
            their type.
        d: dtype, or None.
        requires_grad: whether the result is a leaf that wants a gradient.
        share: keep the memory of an array, or the tensor itself, where the type allows
            it.

    Raises:
        TypeError: for types that no tensor has.
    """
    if isinstance(data, _core.Tensor):
        value: Any = data if share else wrap(data.detach())
        if d is not None and dtype_of(value) is not dt.as_dtype(d):
            value = wrap(_core.cast(value, dt.as_dtype(d).name))
        elif share and isinstance(data, Tensor):
            return data
        else:
            value = wrap(_core.from_numpy(value.detach().numpy(), True))
        if requires_grad:
            value.requires_grad = True
        return value
    if isinstance(data, np.ndarray | np.generic):
        array = np.asarray(data)
    else:
        if isinstance(data, list | tuple) and data and _holds_tensors(data):
            data = _numbers(data)
        try:
            array = np.asarray(data)
        except ValueError as error:
            mixed = len({isinstance(x, list | tuple) for x in data}) > 1
            raise (TypeError if mixed else ValueError)(
                f"tensor: expected sequences of equal length ({error})"
            ) from None
        if (array.dtype.kind == "f" and not hasattr(data, "__array__")) or (
            array.size == 0 and array.dtype == np.float64
        ):
            array = array.astype(dt.get_default_dtype().name)
    if d is not None:
        array = array.astype(dt.as_dtype(d).name, copy=False)
        share = share and array is data
    if array.dtype.name not in dt.BY_NAME:
        array = _widened(array)
    if share and array is data and array.flags.writeable and array.flags.c_contiguous:
        value = wrap(_core.share_array(array))
    else:
        value = wrap(
            _core.from_numpy(np.ascontiguousarray(array).reshape(array.shape), True)
        )
    if requires_grad:
        value.requires_grad = True
    return value


def _holds_tensors(data: Any) -> bool:
    first = data[0]
    if isinstance(first, list | tuple):
        return bool(first) and _holds_tensors(first)
    return any(isinstance(x, _core.Tensor) for x in data)


def _numbers(data: Any) -> Any:
    if isinstance(data, _core.Tensor):
        return data.detach().numpy()
    return [_numbers(x) for x in data] if isinstance(data, list | tuple) else data


def _widened(array: Any) -> Any:
    """Types that the core has not, as a wider one that holds every value."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    name = array.dtype.name
    if kind == "i" and size < 4:
        return array.astype(np.int32)
    if kind == "f" and size == 2:
        return array.astype(np.float32)
    if array.dtype.byteorder not in "=|" and kind in "iufb":
        return array.astype(array.dtype.newbyteorder("="))
    raise TypeError(
        f"tensor: cannot convert an array of {name}; lamella.torch has "
        f"{', '.join(dt.BY_NAME)}"
    )


class Tensor(_core.Tensor):
    """A multi-dimensional array that records how it was computed.

    Example:
        >>> import lamella.torch as torch
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> w.grad
        tensor([2., 4.])
    """

    # Set on the object where they differ.
    _view: Any = None  # (base, kind, arguments): see FORWARD; base is weak for "grad"
    _views: Any = None  # weak references to what was made from this tensor as a view
    _grad: Any = None  # the object that `grad` handed out
    _retains: bool = False
    name: str | None = None
    is_cuda = False
    is_mps = False
    is_sparse = False
    is_quantized = False
    layout = "torch.strided"
    device: device = CPU
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """`Tensor(2, 3)`: zeros; `Tensor([1, 2])`: floats."""
        default = dt.get_default_dtype()
        if args and all(isinstance(a, int) and not isinstance(a, bool) for a in args):
            value: Any = _core.full(args, 0.0, default.name)
        elif not args:
            value = _core.full((0,), 0.0, default.name)
        elif isinstance(args[0], Size):
            value = _core.full(args[0], 0.0, default.name)
        else:
            value = new_tensor(args[0], default)
        return _new(cls, value)

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    # ------------------------------------------------------------ what it is

    shape = property(shape_of, doc="The sizes.")
    dtype = property(dtype_of, doc="The element type.")

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one size of it."""
        return shape_of(self) if dim is None else shape_of(self)[dim]

    def dim(self) -> int:
        """Number of axes."""
        return len(shape_of(self))

    ndimension = dim
    ndim = property(dim, doc="Number of axes.")

    def numel(self) -> int:
        """Number of elements."""
        return shape_of(self).numel()

    nelement = numel
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.dtype.itemsize * self.numel())

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the elements are floats."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """False: there are no complex tensors."""
        return False

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours as PyTorch's memory has them, in elements."""
        steps = _strides(self)
        return steps if dim is None else steps[dim]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether PyTorch's memory would be row-major: not so for a transposed view."""
        if self._view is None:
            return True
        pairs = zip(
            _strides(self), _row_major(shape_of(self)), shape_of(self), strict=True
        )
        return all(a == b or n == 1 for a, b, n in pairs)

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """The tensor itself, or a copy of a view that is not row-major."""
        return self if self.is_contiguous() else self.clone()

    def data_ptr(self) -> int:
        """Address of the first element."""
        return _core.memory_address(self)

    def get_device(self) -> int:
        """-1: the CPU."""
        return -1

    def __len__(self) -> int:
        shape = shape_of(self)
        if not shape:
            raise TypeError("len() of a 0-d tensor")
        return shape[0]

    def __bool__(self) -> bool:
        if self.numel() != 1:
            what = "more than one value" if self.numel() else "no values"
            raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
        return bool(_core.Tensor.__bool__(self))

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.numel() != 1:
            raise RuntimeError(
                f"a Tensor with {self.numel()} elements cannot be converted to Scalar"
            )
        return _core.Tensor.item(self)

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return _core.Tensor.numpy(self).tolist()

    def __iter__(self) -> Any:
        if not shape_of(self):
            raise TypeError("iteration over a 0-d tensor")
        return iter([self[i] for i in range(len(self))])

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.dim() == 0 else str(self)

    def __repr__(self) -> str:
        notes = []
        if self.grad_fn is not None:
            notes.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        d = self.dtype
        default = d in (dt.get_default_dtype(), dt.int64, dt.bool_)
        if not self.numel() and d is dt.int64:
            default = False
        return tensor_text(_core.Tensor.numpy(self), "tensor(", default, notes)

    __str__ = __repr__

    # ------------------------------------------------------------ numpy and other types

    def numpy(self, *, force: bool = False) -> Any:  # type: ignore[override]
        """An array over the same memory.

        Raises:
            RuntimeError: for a tensor that requires a gradient, unless `force`.
        """
        if self.requires_grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use "
                "tensor.detach().numpy() "
                "instead."
            )
        root = self
        while root._view is not None and root._view[1] in ("same", "detach"):
            root = root._view[0]
        if root is not self:  # a change through the array must reach the base
            array = _core.shared_array(root)
            if not _core.same_value(root, self):
                _core.rebind(self, root, True)
            return array
        return _core.shared_array(self)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use "
                "tensor.detach().numpy() "
                "instead."
            )
        array = self.numpy() if not copy else _core.Tensor.numpy(self, True)
        return array if dtype is None else array.astype(dtype, copy=False)

    def __array_ufunc__(  # type: ignore[override]
        self, ufunc: Any, method: str, *inputs: Any, **options: Any
    ) -> Any:
        arrays = [np.asarray(x) if isinstance(x, Tensor) else x for x in inputs]
        if "out" in options:
            options["out"] = tuple(
                x.numpy() if isinstance(x, Tensor) else x for x in options["out"]
            )
        result = getattr(ufunc, method)(*arrays, **options)
        return (
            new_tensor(result)
            if isinstance(result, np.ndarray | np.generic)
            else result
        )

    def to(self, *args: Any, **options: Any) -> Tensor:
        """The tensor with another dtype (a dtype, a device, or another tensor's)."""
        options.pop("non_blocking", None)
        options.pop("memory_format", None)
        copy = options.pop("copy", False)
        wanted = options.pop("dtype", None)
        if "device" in options:
            place = options.pop("device")
            if place is not None:
                device(place)
        for a in args:
            if isinstance(a, Tensor):
                wanted = a.dtype
            elif isinstance(a, dtype) or a in (float, int, bool):
                wanted = a
            elif a is not None and not isinstance(a, bool):
                device(a)
        if options:
            raise TypeError(f"to: unknown arguments {sorted(options)}")
        wanted = self.dtype if wanted is None else dt.as_dtype(wanted)
        if wanted is self.dtype:
            return self.clone() if copy else self
        return wrap(_core.cast(self, wanted.name))

    def type(self, d: Any = None) -> Any:
        """The name of the type, or the tensor with another one."""
        if d is None:
            names = {
                "float32": "Float",
                "float64": "Double",
                "int64": "Long",
                "int32": "Int",
            }
            kind = names.get(
                self.dtype.name, "Byte" if self.dtype is dt.uint8 else "Bool"
            )
            return f"torch.{kind}Tensor"
        return self.to(d)

    # ------------------------------------------------------------ gradients

    grad_fn = property(
        lambda self: GradientFunction(name) if (name := _core.producer(self)) else None,
        doc="What made this tensor; None for a leaf.",
    )
    is_leaf = property(_core.is_leaf, doc="Whether it was not computed from others.")
    retains_grad = property(lambda self: self._retains)

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        return _requires_grad(self)

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not on and not _core.is_leaf(self):
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you "
                "want to use a "
                "computed variable in a subgraph that doesn't require differentiation "
                "use "
                "var_no_grad = var.detach()."
            )
        if on and not self.dtype.is_floating_point:
            raise RuntimeError(
                "only Tensors of floating point dtype can require gradients"
            )
        if on != _requires_grad(self):
            if on and self._view is not None and self._view[1] == "detach":
                # A leaf of its own: the base must not see its place on the tape.
                _core.rebind(self, self.detach(), False)
            _core.Tensor.requires_grad.__set__(self, bool(on))  # type: ignore[attr-defined]

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets requires_grad."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Any:
        """The gradient that backward() accumulated, or None."""
        value = _core_grad.__get__(self)
        if value is None:
            return None
        known = self._grad
        if known is None:
            known = self._grad = wrap(value)
            known._view = (weakref.ref(self), "grad", None)
        elif not _core.same_value(known, value):
            _core.rebind(known, value, False)
        return known

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    "assigned grad expected to be a Tensor or None but got "
                    f"{type(value).__name__}"
                )
            if value.shape != self.shape:
                raise RuntimeError(
                    "assigned grad has data of a different size: expected "
                    f"{tuple(self.shape)}, "
                    f"got {tuple(value.shape)}"
                )
        _core_grad.__set__(self, value)
        if value is not None and value._view is None:
            value._view = (weakref.ref(self), "grad", None)
        self._grad = value

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Adds this tensor's gradient to `grad` of every leaf it came from.

        Args:
            gradient: upstream gradient; may be left out for one element.
            retain_graph: whether a second backward() through the same graph is
                possible.
            create_graph: whether the gradients can be differentiated again.
            inputs: the leaves to fill; None for all.

        Raises:
            RuntimeError: without a graph, or for several elements without `gradient`.
        """
        if not _requires_grad(self):
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        if gradient is None and self.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if inputs is not None:
            from .autograd import accumulate_into

            accumulate_into([self], inputs, [gradient], retain_graph, create_graph)
            return
        _core.torch_backward(self, gradient, bool(retain_graph), create_graph)

    def retain_grad(self) -> None:
        """Lets backward() fill `grad` of this result."""
        _core.retain_gradient(self)
        self._retains = not _core.is_leaf(self)

    def register_hook(self, hook: Callable[[Tensor], Any]) -> Any:
        """Calls hook(gradient) in each backward pass; it may return another one."""
        from .utils.hooks import RemovableHandle

        number = _core.add_hook(self, lambda g: hook(wrap(g)))
        return RemovableHandle(lambda: _core.remove_hook(self, number))

    def detach(self) -> Tensor:
        """The same elements without history."""
        return as_view(wrap(_core.Tensor.detach(self)), self, "detach", None)

    def detach_(self) -> Tensor:
        """Drops the history of this tensor."""
        _core.rebind(self, _core.Tensor.detach(self), False)
        return self

    @property
    def data(self) -> Tensor:
        """The same elements without history; changes reach this tensor unrecorded."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(value).__name__}")
        if not (value._view is not None and value._view[0] is self):
            for ref in self._views or ():  # they keep the memory of before
                if (view := ref()) is not None:
                    view._view = None
            self._views = None
            _core.rebind(self, _core.Tensor.detach(value), True)

    # ------------------------------------------------------------ assignment in place

    def _assign(self, value: Any) -> Tensor:
        """Gives this object the value, as an operation in place does."""
        recording = _core.is_grad_enabled()
        if recording and _requires_grad(self) and _core.is_leaf(self):
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place "
                "operation."
            )
        _core.rebind(self, value, not recording)
        if self._view is not None:
            write_back(self)
        if self._views is not None:
            push_views(self)
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        array = np.array(_core.Tensor.numpy(self))
        return _restore, (type(self), array, self.requires_grad)

    def __deepcopy__(self, memo: Any) -> Any:
        if not _core.is_leaf(self):
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support "
                "the deepcopy "
                "protocol at the moment."
            )
        array = np.array(_core.Tensor.numpy(self))
        copy = _restore(type(self), array, self.requires_grad)
        memo[id(self)] = copy
        if (g := self.grad) is not None:
            copy.grad = g.clone()
        copy.__dict__.update(
            {
                k: v
                for k, v in self.__dict__.items()
                if k not in ("_view", "_views", "_grad")
            }
        )
        return copy


_requires_grad: Callable[[Any], bool] = _core.Tensor.__dict__["requires_grad"].__get__


def _restore(cls: Any, array: Any, requires_grad: bool) -> Any:
    value = _new(cls, _core.from_numpy(array, True))
    if requires_grad:
        value.requires_grad = True
    return value


def _row_major(shape: Any) -> tuple[int, ...]:
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= max(n, 1)
    return tuple(reversed(steps))


def _strides(x: Any) -> tuple[int, ...]:
    """Strides that a view would have on the memory of its base."""
    if x._view is None or x._view[1] not in ("same", "detach", "transpose", "index"):
        return _row_major(shape_of(x))
    base, kind, arguments = x._view
    steps = _strides(base)
    if kind == "transpose":
        return tuple(steps[p] for p in arguments)
    if kind != "index":
        return steps
    key = arguments if isinstance(arguments, tuple) else (arguments,)
    used = sum(k is not None and k is not Ellipsis for k in key)
    left = list(steps)
    out: list[int] = []
    for k in key if any(k is Ellipsis for k in key) else (*key, Ellipsis):
        if k is None:
            sizes = shape_of(base)[len(steps) - len(left) :]
            out.append(sizes[0] * left[0] if left else 1)
        elif k is Ellipsis:
            for _ in range(len(steps) - used):
                out.append(left.pop(0))
        elif isinstance(k, slice):
            out.append(left.pop(0) * (k.step or 1))
        else:
            left.pop(0)
    return tuple(out)


def as_view(view: Any, base: Tensor, kind: str, arguments: Any) -> Any:
    """Remembers that `view` shows `base`; returns it."""
    view._view = (base, kind, arguments)
    known = base._views
    if known is None:
        base._views = [weakref.ref(view)]
    else:
        if len(known) > 16 and len(known) & (len(known) - 1) == 0:
            known = base._views = [r for r in known if r() is not None]
        known.append(weakref.ref(view))
    return view


def push_views(base: Tensor, but: Any = None) -> None:
    """Carries a changed base to its views."""
    alive = []
    for ref in base._views or ():
        view = ref()
        if view is None:
            continue
        alive.append(ref)
        if view is but:
            continue
        _, kind, arguments = view._view
        _core.rebind(view, FORWARD[kind](base, arguments), kind == "detach")
        if view._views is not None:
            push_views(view)
    base._views = alive or None


def write_back(view: Tensor) -> None:
    """Carries a changed view to its base, and from there to the base's other views."""
    base, kind, arguments = view._view
    if kind == "grad":
        if (leaf := base()) is not None:
            _core_grad.__set__(leaf, view)
        return
    recording = _core.is_grad_enabled() and kind != "detach"
    if recording and _requires_grad(base) and _core.is_leaf(base):
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place "
            "operation."
        )
    _core.rebind(base, BACKWARD[kind](base, arguments, view), not recording)
    if base._view is not None:
        write_back(base)
    push_views(base, but=view)


class Parameter(Tensor):
    """A tensor that a Module lists among its parameters.

    Args:
        data: its first value.
        requires_grad: True.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        """See the base class."""
        value = (
            _core.full((0,), 0.0, dt.get_default_dtype().name) if data is None else data
        )
        new = _new(cls, _core.Tensor.detach(value))
        if requires_grad:
            _core.Tensor.requires_grad.__set__(new, True)  # type: ignore[attr-defined]
        return new

    def __repr__(self) -> str:
        return "Parameter containing:\n" + Tensor.__repr__(self)

    __str__ = __repr__
