"""lamella with PyTorch's idiom: `import lamella.torch as torch`.

Tensors that record how they were computed, `nn`, `optim`, `utils.data`: lectures
written for
PyTorch run unchanged. docs/torch.md says what is there and what is not.

Example:
    >>> import lamella.torch as torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(),
    torch.nn.Linear(3, 1))
    >>> model(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
"""

from __future__ import annotations

import builtins as _builtins
import math as _math
from typing import Any

from lamella import _core

from . import _dtype, autograd, methods, nn, optim, utils
from ._dtype import (
    Size,
    bool_,
    device,
    dtype,
    finfo,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from ._paths import importable, namespace
from ._print import set_printoptions
from .autograd import (
    enable_grad,
    func_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .create import (
    Generator,
    as_tensor,
    asarray,
    default_generator,
    from_numpy,
    initial_seed,
    manual_seed,
    seed,
    tensor,
)
from .matrices import LINALG
from .nn import functional as _F
from .pointwise import FUNCTIONS, METHODS, result_type
from .serialization import load, save
from .tensor import Tensor

__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "as_tensor",
    "asarray",
    "autograd",
    "default_generator",
    "device",
    "dtype",
    "enable_grad",
    "finfo",
    "float32",
    "float64",
    "from_numpy",
    "get_default_dtype",
    "iinfo",
    "inference_mode",
    "initial_seed",
    "int32",
    "int64",
    "is_grad_enabled",
    "load",
    "manual_seed",
    "methods",
    "nn",
    "no_grad",
    "optim",
    "promote_types",
    "result_type",
    "save",
    "seed",
    "set_default_dtype",
    "set_grad_enabled",
    "set_printoptions",
    "tensor",
    "uint8",
    "utils",
]

__version__ = "2.13.0+lamella"

bool = bool_
float = float32
double = float64
long = int64
int = int32
strided = "torch.strided"
pi, e, inf, nan = _math.pi, _math.e, _math.inf, _math.nan
newaxis = None

_NN_FUNCTIONS = (
    "relu",
    "relu_",
    "softmax",
    "log_softmax",
    "selu",
    "celu",
    "prelu",
    "rrelu",
    "dropout",
    "alpha_dropout",
    "embedding",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "adaptive_avg_pool1d",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "bilinear",
    "cosine_similarity",
    "pairwise_distance",
    "threshold",
    "pixel_shuffle",
    "hardshrink",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "kl_div",
    "margin_ranking_loss",
    "poisson_nll_loss",
    "triplet_margin_loss",
)
for _name in _NN_FUNCTIONS:
    FUNCTIONS[_name] = getattr(_F, _name)
for _name in ("relu", "softmax", "log_softmax", "relu_", "hardshrink"):
    setattr(Tensor, _name, FUNCTIONS[_name])
    METHODS[_name] = FUNCTIONS[_name]

for _name, _function in FUNCTIONS.items():
    globals()[_name] = _function
    __all__.append(_name)

linalg = namespace("linalg", "torch.linalg", **LINALG)
special = namespace(
    "special",
    "torch.special",
    **{
        k: FUNCTIONS[k]
        for k in ("expm1", "erf", "erfc", "log1p", "logit", "exp2", "xlogy")
    },
    expit=FUNCTIONS["sigmoid"],
    softmax=_F.softmax,
    log_softmax=_F.log_softmax,
    logsumexp=FUNCTIONS["logsumexp"],
)
func = namespace("func", "torch.func", grad=func_grad)


def is_tensor(obj: Any) -> Any:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Any) -> Any:
    """Whether the elements are floats."""
    return input.is_floating_point()


def is_complex(input: Any) -> Any:
    """False: there are no complex tensors."""
    return False


def numel(input: Any) -> Any:
    """Number of elements."""
    return input.numel()


def set_num_threads(n: Any) -> None:
    """The most threads of one computation."""
    _core.set_num_threads(n)


def get_num_threads() -> Any:
    """The most threads of one computation."""
    return _core.get_num_threads()


def use_deterministic_algorithms(mode: Any, *, warn_only: Any = False) -> None:
    """Accepted: results never depend on the number of threads."""


def are_deterministic_algorithms_enabled() -> Any:
    """True."""
    return True


def set_default_device(device_: Any) -> None:
    """Accepts the CPU."""
    device(device_)


def get_default_device() -> device:
    """The CPU."""
    return _dtype.CPU


def detach(input: Any) -> Any:
    """The same elements without history."""
    return input.detach()


def compile(model: Any = None, **options: Any) -> Any:
    """The model itself: steps are not traced."""
    if model is None:
        return lambda f: f
    return model


def _legacy(d: dtype) -> Any:
    """FloatTensor and its like."""

    def make(*args: Any) -> Any:
        made = Tensor(*args) if args and isinstance(args[0], _builtins.int) else None
        if made is not None or not args:
            return (Tensor() if made is None else made).to(d)
        return tensor(args[0], dtype=d)

    return make


FloatTensor, DoubleTensor = _legacy(float32), _legacy(float64)
LongTensor, IntTensor = _legacy(int64), _legacy(int32)
BoolTensor, ByteTensor = _legacy(bool_), _legacy(uint8)


def _nothing(*args: Any, **options: Any) -> None:
    """Nothing to do."""


cuda = namespace(
    "cuda",
    "torch.cuda: no such device",
    is_available=lambda: False,
    device_count=lambda: 0,
    empty_cache=_nothing,
    synchronize=_nothing,
    manual_seed=_nothing,
    manual_seed_all=_nothing,
)
backends = namespace(
    "backends",
    "torch.backends",
    cudnn=namespace(
        "backends.cudnn",
        "torch.backends.cudnn",
        deterministic=True,
        benchmark=False,
        enabled=False,
        is_available=lambda: False,
    ),
    mps=namespace(
        "backends.mps",
        "torch.backends.mps",
        is_available=lambda: False,
        is_built=lambda: False,
    ),
)
mps = namespace("mps", "torch.mps", is_available=lambda: False)
random = namespace(
    "random",
    "torch.random",
    manual_seed=manual_seed,
    seed=seed,
    initial_seed=initial_seed,
)
importable("nn.modules", nn)
importable("nn.utils.rnn", nn.utils.rnn)
for _name in ("sampler", "dataset", "dataloader"):
    importable(f"utils.data.{_name}", utils.data)


def get_rng_state() -> Any:
    """The place in the stream of random numbers."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Returns to a place in the stream of random numbers."""
    default_generator.set_state(new_state)


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"lamella.torch does not have {name!r}; docs/torch.md lists what there is"
    )
