"""New tensors: constants, ranges, random numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core

from . import _dtype as dt
from .pointwise import METHODS, by_numpy, cast, publish, store
from .shape import sizes
from .tensor import Tensor, dtype_of, new_tensor, shape_of, wrap

__all__ = ["Generator", "default_generator", "initial_seed", "manual_seed", "seed"]


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """A copy of data as a tensor: floats in the default type, integers in int64."""
    _place(device)
    return new_tensor(data, dtype, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """data as a tensor; arrays and tensors are shared where the type allows it."""
    _place(device)
    return new_tensor(data, dtype, share=True)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Any:
    """data as a tensor, shared unless copy."""
    _place(device)
    return new_tensor(obj, dtype, share=not copy)


def from_numpy(ndarray: Any) -> Any:
    """A tensor over the memory of an array."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if ndarray.dtype.name not in dt.BY_NAME:
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{ndarray.dtype.name}. The only "
            "supported "
            f"types are: {', '.join(dt.BY_NAME)}."
        )
    return new_tensor(ndarray, share=True)


def _place(device: Any) -> None:
    if device is not None:
        dt.device(device)


def _new(value: Any, requires_grad: bool) -> Any:
    t = wrap(value)
    if requires_grad:
        t.requires_grad = True
    return t


def _constant(name: str, value: float) -> None:
    def function(
        *size: Any,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
        size_: Any = None,
    ) -> Any:
        _place(device)
        d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
        shape = sizes(size)
        if any(n < 0 for n in shape):
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {min(shape)}: "
                f"{list(shape)}"
            )
        return store(_new(_core.full(shape, value, d.name), requires_grad), out)

    def like(
        input: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        layout: Any = None,
    ) -> Any:
        d = dtype_of(input) if dtype is None else dt.as_dtype(dtype)
        return function(
            shape_of(input), dtype=d, device=device, requires_grad=requires_grad
        )

    def new(self: Any, *size: Any, **options: Any) -> Any:
        options.setdefault("dtype", dtype_of(self))
        return function(*size, **options)

    for f, n, doc in (
        (function, name, f"A tensor of {name}."),
        (like, f"{name}_like", f"{name.capitalize()} in the shape of another tensor."),
    ):
        f.__name__, f.__doc__ = n, doc
        publish(n, method=False)(f)
    METHODS[f"new_{name}"] = new


_constant("zeros", 0.0)
_constant("ones", 1.0)
_constant("empty", 0.0)


@publish("full", method=False)
def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """A tensor filled with one value, whose kind gives the type."""
    _place(device)
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    value = new_tensor(fill_value, dtype)
    shape = sizes((size,)) if not isinstance(size, int) else (size,)
    return store(_new(_core.broadcast_to(value, shape), requires_grad), out)


@publish("full_like", method=False)
def full_like(input: Any, fill_value: Any, *, dtype: Any = None, **options: Any) -> Any:
    """One value in the shape of another tensor."""
    d = dtype_of(input) if dtype is None else dtype
    return full(shape_of(input), fill_value, dtype=d, **options)


METHODS["new_full"] = lambda self, size, value, **o: full(
    size, value, dtype=o.pop("dtype", dtype_of(self)), **o
)
METHODS["new_tensor"] = lambda self, data, **o: tensor(
    data, dtype=o.pop("dtype", dtype_of(self)), **o
)


@publish("eye", method=False)
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Any:
    """Ones on the diagonal."""
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    return new_tensor(np.eye(n, m, dtype=d.name), requires_grad=requires_grad)


@publish("arange", method=False)
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """start, start + step, ... below end; int64 when all three are integers."""
    if end is None:
        start, end = 0, start
    start, end, step = (
        v.item() if isinstance(v, Tensor) else v for v in (start, end, step)
    )
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = all(isinstance(v, int | np.integer) for v in (start, end, step))
    d = (
        dt.as_dtype(dtype)
        if dtype is not None
        else dt.int64
        if whole
        else dt.get_default_dtype()
    )
    n = math.ceil((end - start) / step)
    values = start + step * np.arange(n)
    return new_tensor(values.astype(d.name), requires_grad=requires_grad)


@publish("range", method=False)
def range_(start: Any = 0, end: Any = 0, step: Any = 1, *, dtype: Any = None) -> Any:
    """start, start + step, ... up to and with end, as floats."""
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    n = math.floor((end - start) / step) + 1
    return new_tensor((start + step * np.arange(n)).astype(d.name))


@publish("linspace", method=False)
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """`steps` values from start to end."""
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    if not d.is_floating_point or steps < 2:
        return new_tensor(np.linspace(start, end, steps).astype(d.name))
    # Counted from the nearer end, in the type itself.
    kind = np.dtype(d.name).type
    first, last = kind(start), kind(end)
    step = (last - first) / kind(steps - 1)
    i = np.arange(steps, dtype=d.name)
    values = np.where(i < steps // 2, first + step * i, last - step * (steps - 1 - i))
    return new_tensor(values.astype(d.name), requires_grad=requires_grad)


@publish("logspace", method=False)
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Any:
    """`steps` values from base**start to base**end."""
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    values = np.logspace(start, end, steps, base=base).astype(d.name)
    return new_tensor(values, requires_grad=requires_grad)


def _indices_of(triangle: Any) -> Any:
    def function(row: int, col: int, offset: int = 0, *, dtype: Any = dt.int64) -> Any:
        return new_tensor(np.stack(triangle(row, offset, col)), dtype)

    return function


publish("tril_indices", method=False)(_indices_of(np.tril_indices))
publish("triu_indices", method=False)(_indices_of(np.triu_indices))


@publish("complex", method=False)
def complex_(real: Any, imag: Any) -> Any:
    """Refused: there are no complex tensors."""
    raise TypeError("complex: lamella.torch has no complex tensors")


# ---------------------------------------------------------------- random numbers


class Generator:
    """A stream of random numbers of its own.

    The numbers differ from PyTorch's for the same seed.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self._seed = 0
        self._draws = 0
        self.device = dt.device(device)

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of this seed."""
        self._seed, self._draws = int(seed) & (2**63 - 1), 0
        return self

    def seed(self) -> int:
        """Starts a stream that is not predictable; returns its seed."""
        import secrets

        number = secrets.randbits(53)
        self.manual_seed(number)
        return number

    def initial_seed(self) -> int:
        """The seed of this stream."""
        return self._seed

    def get_state(self) -> Any:
        """The place in the stream as a tensor."""
        return new_tensor(np.array([self._seed, self._draws], np.int64))

    def set_state(self, state: Any) -> None:
        """Returns to a place in the stream."""
        self._seed, self._draws = state.tolist()

    def key(self) -> Any:
        """What the core's random functions take: a new one for each draw."""
        self._draws += 1
        return _core.from_numpy(np.array([self._seed, self._draws], np.int64), True)

    def numpy(self) -> Any:
        """A numpy generator for one draw."""
        self._draws += 1
        return np.random.default_rng([self._seed, self._draws])


default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Seeds all random functions of lamella.torch (and lamella's global generator)."""
    _core.set_random_seed(int(seed) & (2**63 - 1))
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds unpredictably; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed in use."""
    return default_generator.initial_seed()


def uniform(shape: Any, low: float, high: float, d: Any, generator: Any = None) -> Any:
    """Core tensor of uniform numbers in [low, high)."""
    key = (generator or default_generator).key()
    return _core.random_uniform(key, shape, low, high, d.name)


def gaussian(shape: Any, mean: float, std: float, d: Any, generator: Any = None) -> Any:
    """Core tensor of normal numbers."""
    key = (generator or default_generator).key()
    return _core.random_normal(key, shape, mean, std, d.name)


def _random(name: str, draw: Any) -> None:
    def function(
        *size: Any,
        generator: Any = None,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Any:
        _place(device)
        d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
        return store(
            _new(draw(sizes(size), 0.0, 1.0, d, generator), requires_grad), out
        )

    def like(
        input: Any, *, dtype: Any = None, requires_grad: bool = False, **options: Any
    ) -> Any:
        d = dtype_of(input) if dtype is None else dt.as_dtype(dtype)
        return function(
            shape_of(input), dtype=d, requires_grad=requires_grad, **options
        )

    publish(name, method=False)(function)
    publish(f"{name}_like", method=False)(like)


_random("rand", uniform)
_random("randn", gaussian)


@publish("normal", method=False)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
) -> Any:
    """Normal numbers; mean and std may be tensors."""
    if size is None:
        like = mean if isinstance(mean, Tensor) else std
        other = std if isinstance(std, Tensor) else like
        size = np.broadcast_shapes(tuple(shape_of(like)), tuple(shape_of(other)))
    z = wrap(gaussian(sizes((size,)), 0.0, 1.0, dt.get_default_dtype(), generator))
    return store(z * std + mean, out)


@publish("randint", method=False)
def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Integers in [low, high), or in [0, low)."""
    if size is None and not isinstance(high, int | None):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if high <= low:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got {low} >= {high}"
        )
    values = (
        (generator or default_generator).numpy().integers(low, high, sizes((size,)))
    )
    return store(new_tensor(values, dtype or dt.int64, requires_grad), out)


@publish("randint_like", method=False)
def randint_like(input: Any, low: int, high: Any = None, *, dtype: Any = None) -> Any:
    """Random integers in the shape of another tensor."""
    return randint(low, high, tuple(shape_of(input)), dtype=dtype or dtype_of(input))


@publish("randperm", method=False)
def randperm(
    n: int, *, generator: Any = None, dtype: Any = dt.int64, device: Any = None
) -> Any:
    """0 ... n - 1 in random order."""
    return new_tensor((generator or default_generator).numpy().permutation(n), dtype)


@publish("bernoulli")
def bernoulli(input: Any, p: float | None = None, *, generator: Any = None) -> Any:
    """1 with the probability each element says, else 0."""
    d = dtype_of(input)
    u = uniform(shape_of(input), 0.0, 1.0, d, generator)
    return wrap(_core.cast(_core.less(u, input.detach() if p is None else p), d.name))


@publish("multinomial")
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Any:
    """Indices drawn with probabilities in proportion to each row."""
    rng = (generator or default_generator).numpy()

    def draw(row: Any) -> Any:
        p = row.astype(np.float64)
        if not replacement and np.count_nonzero(p) < num_samples:
            raise RuntimeError(
                "multinomial: cannot sample more non-zero elements than there are, "
                "without "
                "replacement"
            )
        return rng.choice(len(p), num_samples, replacement, p / p.sum())

    a = _core.Tensor.numpy(input.detach())
    found = draw(a) if a.ndim == 1 else np.stack([draw(r) for r in a])
    return new_tensor(found.astype(np.int64))


@publish("poisson", method=False)
def poisson(input: Any, generator: Any = None) -> Any:
    """Poisson numbers with these means."""
    rng = (generator or default_generator).numpy()
    return by_numpy(lambda a: rng.poisson(a).astype(a.dtype), input)


def _fill(name: str, draw: Any) -> None:
    def method(self: Any, *args: Any, generator: Any = None, **options: Any) -> Any:
        return self._assign(draw(self, generator, *args, **options))

    METHODS[name] = method


def _typed(draw: Any) -> Any:
    def fill(x: Any, generator: Any, a: float = 0.0, b: float = 1.0, **o: float) -> Any:
        a = o.pop("from_", o.pop("mean", a))
        b = o.pop("to", o.pop("std", b))
        return draw(shape_of(x), float(a), float(b), dtype_of(x), generator)

    return fill


_fill("uniform_", _typed(uniform))
_fill("normal_", _typed(gaussian))


def _integers(x: Any, generator: Any, low: int = 0, high: int | None = None) -> Any:
    if high is None:
        low, high = (0, low) if low else (0, 2**24 if dtype_of(x).rank == 2 else 2**31)
    return cast(
        randint(low, high, tuple(shape_of(x)), generator=generator), dtype_of(x)
    )


def _bernoulli(x: Any, generator: Any, p: Any = 0.5) -> Any:
    u = uniform(shape_of(x), 0.0, 1.0, dt.float64, generator)
    return _core.cast(
        _core.less(u, cast(p, dt.float64) if isinstance(p, Tensor) else p),
        dtype_of(x).name,
    )


def _exponential(x: Any, generator: Any, lambd: float = 1.0) -> Any:
    u = uniform(shape_of(x), 0.0, 1.0, dtype_of(x), generator)
    return _core.div(_core.neg(_core.log1p(_core.neg(u))), lambd)


_fill("random_", _integers)
_fill("bernoulli_", _bernoulli)
_fill("exponential_", _exponential)
