"""Random tensors under Keras's names (`keras.random`).

Random numbers are counter based: the values are a function of a key (seed, counter) and
the position of the element, so they do not depend on the number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamella import _core
from lamella._core import Tensor

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


def make_default_seed() -> int:
    """A new seed from the global generator, which `set_random_seed` sets."""
    return int(_core.next_seed())


class SeedGenerator:
    """A source of keys that remembers how often it was asked.

    Args:
        seed: integer; None takes one from the global generator.
        name: name of the object.

    Raises:
        ValueError: seed is not an integer.
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        from lamella.config import auto_name
        from lamella.variable import Variable

        self.name = name or auto_name(type(self).__name__)
        self._initial_seed = seed
        if seed is None:
            seed = make_default_seed()
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
            raise ValueError(f"SeedGenerator: seed must be an integer, got seed={seed}")
        self.state = Variable(
            np.array([int(seed), 0], dtype=np.int64),
            dtype="int64",
            trainable=False,
            name="seed_generator_state",
        )
        self.state._path = f"{self.name}/seed_generator_state"

    def next(self, ordered: bool = True) -> Tensor:
        """The current key, an int64 tensor (seed, counter); the counter advances."""
        key = self.state.value
        self.state.assign(_core.add(key, np.array([0, 1], dtype=np.int64)))
        return key

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal generator."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """A generator from `get_config()`."""
        return cls(**config)


def draw_key(seed: int | SeedGenerator | None) -> Tensor:
    """The key of one call of a random function.

    An integer gives the same key each time, a SeedGenerator the next of its keys, None
    a new one from the global generator (in a traced Graph: a new one at every step).

    Raises:
        ValueError: seed is something else.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        if _core.current_graph() is not None:
            return SeedGenerator(make_default_seed(), name="traced").next()
        seed = make_default_seed()
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return _core.from_numpy(np.array([int(seed), 0], dtype=np.int64))
    raise ValueError(
        "seed must be an integer, a SeedGenerator or None, got "
        f"seed={seed!r} of type {type(seed).__name__}"
    )


def _float_dtype(name: str, dtype: Any) -> str:
    from lamella.ops.conversion import standardize_dtype

    kind = standardize_dtype(dtype)
    if not kind.startswith("float"):
        raise ValueError(f"{name}: dtype must be a float, got dtype={dtype!r}")
    return kind


def _shape(shape: Any) -> tuple[Any, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Normal distribution."""
    kind = _float_dtype("normal", dtype)
    return _core.random_normal(draw_key(seed), _shape(shape), mean, stddev, kind)


def truncated_normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Normal distribution without what is more than 2 stddev from the mean."""
    kind = _float_dtype("truncated_normal", dtype)
    return _core.random_truncated_normal(
        draw_key(seed), _shape(shape), mean, stddev, kind
    )


def uniform(
    shape: Any,
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Uniform distribution in [minval, maxval)."""
    kind = _float_dtype("uniform", dtype)
    return _core.random_uniform(draw_key(seed), _shape(shape), minval, maxval, kind)


def randint(
    shape: Any,
    minval: int,
    maxval: int,
    dtype: Any = "int32",
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Integers from minval to maxval - 1, all equally likely.

    Raises:
        ValueError: dtype is not an integer type, or the range is empty.
    """
    from lamella.ops.conversion import standardize_dtype

    kind = standardize_dtype(dtype)
    if "int" not in kind:
        raise ValueError(f"randint: dtype must be an integer type, got dtype={dtype!r}")
    low, high = int(minval), int(maxval)
    if low >= high:
        raise ValueError(
            f"randint: minval must be less than maxval, got {minval} and {maxval}"
        )
    # float64 has enough digits for ranges up to 2**53.
    u = _core.random_uniform(draw_key(seed), _shape(shape), 0.0, 1.0, "float64")
    steps = _core.minimum(_core.floor(u * float(high - low)), float(high - low - 1))
    return _core.cast(steps + float(low), kind)


def categorical(
    logits: Any,
    num_samples: int,
    dtype: Any = "int32",
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Class indices drawn with probability softmax(logits), per row.

    Args:
        logits: (batch, classes).
        num_samples: draws per row.
        dtype: dtype of the indices.
        seed: as everywhere in this module.

    Raises:
        ValueError: logits is not a matrix.

    Source: the Gumbel-max trick, argmax(logits - log(-log(u))).
    """
    from lamella.ops.conversion import cast, to_float

    logits = to_float(logits)
    if logits.ndim != 2:
        raise ValueError(
            "categorical: logits must have shape (batch, classes), got "
            f"logits.shape={logits.shape}"
        )
    rows, classes = logits.dims
    u = _core.random_uniform(
        draw_key(seed), (rows, num_samples, classes), 0.0, 1.0, logits.dtype
    )
    u = _core.clip(u, 1e-37, 1.0)
    gumbel = _core.neg(_core.log(_core.maximum(_core.neg(_core.log(u)), 1e-37)))
    return cast(_core.argmax(_core.expand_dims(logits, 1) + gumbel, -1), dtype)


def dropout(
    inputs: Any,
    rate: float,
    noise_shape: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Zeros with probability `rate`, the rest divided by 1 - rate."""
    from lamella.ops.conversion import to_tensor

    if rate == 1:
        return _core.mul(to_tensor(inputs), 0.0)
    shape = None if noise_shape is None else tuple(noise_shape)
    return _core.dropout(to_tensor(inputs), draw_key(seed), rate, shape)


def shuffle(x: Any, axis: int = 0, seed: int | SeedGenerator | None = None) -> Tensor:
    """x with its slices along an axis in random order."""
    from lamella.ops.conversion import to_tensor
    from lamella.ops.reduction import argsort

    x = to_tensor(x)
    n = x.shape[axis]
    if n is None:
        raise ValueError(f"shuffle: axis {axis} must have a known size, got {x.shape}")
    order = argsort(_core.random_uniform(draw_key(seed), (n,), 0.0, 1.0, "float64"))
    return _core.gather(x, order, axis % x.ndim)


def _numpy_generator(name: str, seed: Any) -> np.random.Generator:
    if _core.current_graph() is not None:
        raise ValueError(
            f"{name}: cannot be used inside a traced model; compile with "
            "run_eagerly=True or draw the values outside"
        )
    key = draw_key(seed).numpy()
    return np.random.Generator(np.random.Philox(key=key.astype(np.uint64)))


def _eager(values: np.ndarray, dtype: str) -> Tensor:
    return _core.from_numpy(np.ascontiguousarray(values, dtype=dtype))


_ROUNDS = 8  # all are refused with a probability below 1e-10


def _log_gamma(key: Tensor, shape: tuple[Any, ...], alpha: Tensor) -> Tensor:
    """Logarithms of draws from gamma distributions with scale 1.

    Source: Marsaglia and Tsang, "A simple method for generating gamma variables"
    (2000), a fixed number of rounds at once; below alpha = 1 with their section 6.
    """
    draws = _core.random_uniform(key, (3 * _ROUNDS + 1, *shape), 0.0, 1.0, alpha.dtype)
    draws = _core.maximum(draws, 1e-8)
    logs = _core.log(draws)
    small = _core.less(alpha, 1.0)
    d = _core.where(small, alpha + 1.0, alpha) - 1.0 / 3.0
    c = _core.rsqrt(d * 9.0)
    out = _core.broadcast_to(_core.log(d), shape)
    for i in range(_ROUNDS):
        x = _core.sqrt(logs[3 * i] * -2.0) * _core.cos(draws[3 * i + 1] * (2 * math.pi))
        root = 1.0 + c * x
        log_v = _core.log(_core.maximum(root, 1e-30)) * 3.0
        bound = 0.5 * x * x + d * (1.0 + log_v - _core.exp(log_v))
        good = _core.logical_and(
            _core.greater(root, 0.0), _core.less(logs[3 * i + 2], bound)
        )
        out = _core.where(good, _core.log(d) + log_v, out)
    boost = _core.where(small, logs[3 * _ROUNDS] / alpha, 0.0)
    return out + boost


def gamma(
    shape: Any, alpha: Any, dtype: Any = None, seed: int | SeedGenerator | None = None
) -> Tensor:
    """Gamma distribution with shape alpha (a number or a tensor) and scale 1."""
    from lamella.ops.conversion import cast

    kind = _float_dtype("gamma", dtype)
    return _core.exp(_log_gamma(draw_key(seed), _shape(shape), cast(alpha, kind)))


def beta(
    shape: Any,
    alpha: Any,
    beta: Any,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Beta distribution: x / (x + y) with x and y from gamma distributions."""
    from lamella.ops.conversion import cast

    kind, sizes = _float_dtype("beta", dtype), _shape(shape)
    both = [_core.broadcast_to(cast(v, kind), sizes) for v in (alpha, beta)]
    logs = _log_gamma(draw_key(seed), (2, *sizes), _core.stack(both, 0))
    return _core.sigmoid(logs[0] - logs[1])


def binomial(
    shape: Any,
    counts: Any,
    probabilities: Any,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Number of successes in `counts` trials (not in a traced model)."""
    from lamella.ops.conversion import standardize_dtype

    n = np.asarray(counts)
    if np.any(n != np.floor(n)):
        raise ValueError(f"binomial: counts must be whole numbers, got {counts}")
    drawn = _numpy_generator("binomial", seed).binomial(
        n.astype(np.int64), np.asarray(probabilities), size=_shape(shape)
    )
    return _eager(drawn, standardize_dtype(dtype))
