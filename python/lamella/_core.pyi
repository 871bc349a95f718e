"""
The C++ core of lamella.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing

__all__: list[str] = [
    "DTypeError",
    "Dim",
    "Error",
    "Executor",
    "Graph",
    "IoError",
    "Optimizer",
    "Scope",
    "ShapeError",
    "StateError",
    "Tensor",
    "Trainer",
    "Variable",
    "abs",
    "acos",
    "add",
    "add_hook",
    "all",
    "all_same",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "array_call",
    "asin",
    "atan",
    "atan2",
    "avg_pool",
    "batch_norm",
    "bessel_i0",
    "binary_crossentropy",
    "bit_and",
    "bit_or",
    "bit_xor",
    "broadcast_to",
    "build_info",
    "cast",
    "categorical_crossentropy",
    "ceil",
    "cholesky",
    "clear_gradients",
    "clip",
    "concat",
    "conv",
    "conv_accuracy",
    "conv_transpose",
    "cos",
    "cosh",
    "cumprod",
    "cumsum",
    "current_graph",
    "depthwise_conv",
    "det",
    "div",
    "dropout",
    "elu",
    "enable_grad",
    "equal",
    "erf",
    "erfinv",
    "exp",
    "expand_dims",
    "expm1",
    "face_dtype",
    "face_new",
    "face_shape",
    "face_unwrap",
    "face_wrap",
    "fast_path",
    "flip",
    "floor",
    "floor_div",
    "from_dlpack",
    "from_numpy",
    "full",
    "gather",
    "gcd",
    "gelu",
    "get_num_threads",
    "grad_mode",
    "gradcheck",
    "gradients",
    "graph_to_json",
    "greater",
    "greater_equal",
    "gru",
    "hard_sigmoid",
    "hard_silu",
    "has_fast_path",
    "has_gradient",
    "inverse",
    "is_grad_enabled",
    "is_leaf",
    "isfinite",
    "isnan",
    "layer_norm",
    "leaky_relu",
    "less",
    "less_equal",
    "linear",
    "load_safetensors",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "lstm",
    "matmul",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "mean_all",
    "measure_peaks",
    "memory_address",
    "min",
    "minimum",
    "mod",
    "mul",
    "neg",
    "next_seed",
    "nextafter",
    "no_grad",
    "not_equal",
    "one_hot",
    "pad",
    "pow",
    "prod",
    "producer",
    "random_normal",
    "random_truncated_normal",
    "random_uniform",
    "rebind",
    "reciprocal",
    "record_custom",
    "relu",
    "remove_hook",
    "repeat",
    "reshape",
    "retain_gradient",
    "round",
    "rsqrt",
    "same_value",
    "save_model",
    "save_safetensors",
    "scatter_add",
    "seed_scope",
    "selu",
    "set_conv_accuracy",
    "set_num_threads",
    "set_random_seed",
    "share_array",
    "shared_array",
    "shift_left",
    "shift_right",
    "shuffled_order",
    "sigmoid",
    "sign",
    "silu",
    "simple_rnn",
    "sin",
    "sinh",
    "slice",
    "slogdet",
    "softmax",
    "softplus",
    "softsign",
    "solve",
    "sparse_categorical_crossentropy",
    "sqrt",
    "square",
    "squared_difference",
    "squeeze",
    "stack",
    "stop_gradient",
    "sub",
    "sum",
    "sum_all",
    "tan",
    "tanh",
    "tensor",
    "tile",
    "torch_backward",
    "torch_face",
    "torch_face_subclass",
    "transpose",
    "triangular_solve",
    "update",
    "var",
    "where",
    "writable_array",
]

class Error(ValueError, RuntimeError):
    pass

class ShapeError(ValueError, RuntimeError):
    pass

class DTypeError(TypeError, RuntimeError):
    pass

class StateError(RuntimeError):
    pass

class IoError(OSError):
    pass

class seed_scope:
    """
    Context in which this thread draws seeds from a generator of its own.
    """
    def __enter__(self) -> None: ...
    def __exit__(self, *args) -> None: ...
    def __init__(self, seed: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class Dim:
    """
    A size that is not known while a model is traced.
    """
    def __add__(self, arg0: Dim) -> Dim: ...
    def __eq__(self, arg0: Dim) -> bool: ...
    def __floordiv__(self, arg0: Dim) -> Dim: ...
    def __hash__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __mul__(self, arg0: Dim) -> Dim: ...
    def __radd__(self, arg0: Dim) -> Dim: ...
    def __repr__(self) -> str: ...
    def __rmul__(self, arg0: Dim) -> Dim: ...
    def __rsub__(self, arg0: Dim) -> Dim: ...
    def __sub__(self, arg0: Dim) -> Dim: ...

class Tensor:
    """
    A dense array, or a value of a Graph being traced.
    """

    __array_priority__: typing.ClassVar[int] = 1000
    __array_ufunc__ = None
    requires_grad: bool
    def __abs__(self) -> Tensor: ...
    def __add__(self, arg0: typing.Any) -> Tensor: ...
    def __and__(self, arg0: typing.Any) -> Tensor: ...
    def __array__(
        self, dtype: typing.Any = None, copy: typing.Any = None
    ) -> typing.Any: ...
    def __bool__(self) -> bool: ...
    def __dlpack__(self, **kwargs) -> typing.Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __eq__(self, arg0: typing.Any) -> Tensor: ...
    def __float__(self) -> float: ...
    def __floordiv__(self, arg0: typing.Any) -> Tensor: ...
    def __ge__(self, arg0: typing.Any) -> Tensor: ...
    def __getitem__(self, arg0: typing.Any) -> Tensor: ...
    def __gt__(self, arg0: typing.Any) -> Tensor: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __int__(self) -> int: ...
    def __invert__(self) -> Tensor: ...
    def __iter__(self) -> collections.abc.Iterator: ...
    def __le__(self, arg0: typing.Any) -> Tensor: ...
    def __len__(self) -> int: ...
    def __lt__(self, arg0: typing.Any) -> Tensor: ...
    def __matmul__(self, arg0: typing.Any) -> Tensor: ...
    def __mod__(self, arg0: typing.Any) -> Tensor: ...
    def __mul__(self, arg0: typing.Any) -> Tensor: ...
    def __ne__(self, arg0: typing.Any) -> Tensor: ...
    def __neg__(self) -> Tensor: ...
    def __or__(self, arg0: typing.Any) -> Tensor: ...
    def __pow__(self, arg0: typing.Any) -> Tensor: ...
    def __radd__(self, arg0: typing.Any) -> Tensor: ...
    def __rand__(self, arg0: typing.Any) -> Tensor: ...
    def __repr__(self) -> str: ...
    def __rfloordiv__(self, arg0: typing.Any) -> Tensor: ...
    def __rmatmul__(self, arg0: typing.Any) -> Tensor: ...
    def __rmod__(self, arg0: typing.Any) -> Tensor: ...
    def __rmul__(self, arg0: typing.Any) -> Tensor: ...
    def __ror__(self, arg0: typing.Any) -> Tensor: ...
    def __rpow__(self, arg0: typing.Any) -> Tensor: ...
    def __rsub__(self, arg0: typing.Any) -> Tensor: ...
    def __rtruediv__(self, arg0: typing.Any) -> Tensor: ...
    def __rxor__(self, arg0: typing.Any) -> Tensor: ...
    def __sub__(self, arg0: typing.Any) -> Tensor: ...
    def __truediv__(self, arg0: typing.Any) -> Tensor: ...
    def __xor__(self, arg0: typing.Any) -> Tensor: ...
    def astype(self, dtype: str) -> Tensor: ...
    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool = False
    ) -> None:
        """
        Adds the gradient of this value to the .grad of every leaf it was computed from.
        """
    def detach(self) -> Tensor:
        """
        The same elements without history.
        """
    def item(self) -> typing.Any:
        """
        The only element as a Python number.
        """
    def numpy(self, copy: bool = False) -> numpy.ndarray:
        """
        A read-only view of the elements, or a writable copy.
        """
    def reshape(self, *sizes):
        """
        The elements in another shape; one size may be -1.
        """
    @property
    def T(self) -> Tensor: ...
    @property
    def dims(self) -> tuple:
        """
        Sizes; Dim objects where not known while tracing.
        """
    @property
    def dtype(self) -> str: ...
    @property
    def grad(self) -> typing.Any: ...
    @grad.setter
    def grad(self, arg1: Tensor | None) -> None: ...
    @property
    def is_symbolic(self) -> bool: ...
    @property
    def ndim(self) -> int: ...
    @property
    def shape(self) -> tuple:
        """
        Sizes; None where not known while tracing.
        """
    @property
    def size(self) -> typing.Any: ...

class Variable:
    """
    A named, mutable array that a Graph may read and assign.
    """

    name: str
    trainable: bool
    def __init__(
        self, value: typing.Any, name: str = "", trainable: bool = True
    ) -> None: ...
    def __repr__(self) -> str: ...
    def assign(self, value: typing.Any) -> None: ...
    def numpy(self) -> numpy.ndarray:
        """
        A copy of the elements.
        """
    def value(self) -> Tensor:
        """
        A snapshot; while tracing the symbolic read, or what was assigned before.
        """
    @property
    def dtype(self) -> str: ...
    @property
    def grad(self) -> typing.Any: ...
    @grad.setter
    def grad(self, arg1: Tensor | None) -> None: ...
    @property
    def id(self) -> int: ...
    @property
    def shape(self) -> tuple: ...

class no_grad:
    """
    Context in which eager ops are not recorded.
    """
    def __enter__(self) -> None: ...
    def __exit__(self, *args) -> None: ...
    def __init__(self) -> None: ...

class enable_grad:
    """
    Context in which eager ops are recorded again.
    """
    def __enter__(self) -> None: ...
    def __exit__(self, *args) -> None: ...
    def __init__(self) -> None: ...

class Scope:
    def __enter__(self) -> None: ...
    def __exit__(self, *args) -> None: ...

class Graph:
    """
    A recorded computation; `with graph:` traces.
    """
    def __enter__(self) -> typing.Any: ...
    def __exit__(self, *args) -> None: ...
    def __init__(self) -> None: ...
    def __repr__(self) -> str: ...
    def __str__(self) -> str: ...
    def constant(self, value: Tensor) -> Tensor:
        """
        A concrete tensor as a traced one, so that what is computed from it is recorded.
        """
    def input(self, name: str, shape: typing.Any, dtype: str = "float32") -> Tensor:
        """
        A new input; None for unknown sizes (at axis 0 they are all one: the batch).
        """
    def loss_depends_on(
        self, variables: collections.abc.Sequence[Variable]
    ) -> list[bool]:
        """
        For each variable, whether the loss can have a gradient with respect to it.
        """
    def output(self, name: str, value: typing.Any) -> None: ...
    def scope(self, name: str) -> Scope:
        """
        Names the nodes recorded inside the `with` block.
        """
    def set_learning_rate(self, value: typing.Any) -> None: ...
    def set_loss(self, loss: typing.Any) -> None: ...
    def set_update(
        self, update: Graph, trained: collections.abc.Sequence[Variable]
    ) -> None:
        """
        Makes a traced optimizer rule part of each step: input i of `update` is the gradient
        with respect to trained[i].
        """
    @property
    def has_loss(self) -> bool: ...
    @property
    def input_specs(self) -> list: ...
    @property
    def inputs(self) -> list[str]: ...
    @property
    def outputs(self) -> list[str]: ...
    @property
    def variables(self) -> list[Variable]: ...

class Optimizer:
    """
    An update rule with its state.
    """
    def __init__(self, kind: str, **kwargs) -> None: ...
    def apply(self, gradients: collections.abc.Sequence[Tensor | None]) -> None:
        """
        One update from eager gradients (None: leave as it is).
        """
    def build(self, variables: collections.abc.Sequence[Variable]) -> None: ...
    def exclude_from_weight_decay(
        self, variables: collections.abc.Sequence[Variable]
    ) -> None: ...
    @property
    def built(self) -> bool: ...
    @property
    def iterations(self) -> Variable: ...
    @property
    def kind(self) -> str: ...
    @property
    def learning_rate(self) -> Variable: ...
    @property
    def slots(self) -> list: ...
    @property
    def u_product(self) -> typing.Any: ...
    @property
    def variables(self) -> list[Variable]: ...

class Executor:
    """
    Runs a Graph on arrays. Safe to use from many threads.
    """
    def __call__(self, arrays: typing.Any) -> list:
        """
        One batch: a list of arrays in, a list of arrays out.
        """
    def __init__(self, graph: Graph) -> None: ...
    def map(
        self,
        arrays: typing.Any,
        batch_size: typing.SupportsInt | typing.SupportsIndex,
        progress: typing.Any = None,
    ) -> list:
        """
        All rows in batches; outputs are concatenated.
        """
    def profile(
        self,
        arrays: typing.Any,
        repeats: typing.SupportsInt | typing.SupportsIndex = 10,
    ) -> list:
        """
        Time, FLOPs and bytes of every kernel call of one batch.
        """

class Trainer:
    """
    Trains a Graph, or evaluates it without an optimizer.
    """
    def __init__(
        self,
        graph: Graph,
        optimizer: Optimizer = None,
        variables: collections.abc.Sequence[Variable] = [],
    ) -> None: ...
    def epoch(
        self,
        arrays: typing.Any,
        batch_size: typing.SupportsInt | typing.SupportsIndex,
        shuffle: bool = False,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        epoch: typing.SupportsInt | typing.SupportsIndex = 0,
        on_batch_begin: typing.Any = None,
        on_batch_end: typing.Any = None,
        progress: typing.Any = None,
        progress_interval: typing.SupportsFloat | typing.SupportsIndex = 0.1,
        steps: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> list[float]:
        """
        All batches of one epoch; the graph's outputs after the last one.
        """
    def fit(
        self,
        arrays: typing.Any,
        batch_size: typing.SupportsInt | typing.SupportsIndex,
        epochs: typing.SupportsInt | typing.SupportsIndex,
        first_epoch: typing.SupportsInt | typing.SupportsIndex = 0,
        shuffle: bool = False,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        reset: collections.abc.Sequence[Variable] = [],
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Many epochs without returning to Python; an array (epochs, outputs).
        """
    def profile(
        self,
        arrays: typing.Any,
        repeats: typing.SupportsInt | typing.SupportsIndex = 10,
    ) -> list:
        """
        Time, FLOPs and bytes of every kernel call of a step. The steps are really taken.
        """
    def step(
        self, arrays: typing.Any, reset: collections.abc.Sequence[Variable] = []
    ) -> list[float]:
        """
        One batch, with the variables of `reset` set to zero first; the graph's outputs after it.
        """

class grad_mode:
    """
    Context in which recording of eager ops is on or off.
    """
    def __enter__(self) -> None: ...
    def __exit__(self, *args) -> None: ...
    def __init__(self, enabled: bool) -> None: ...

def abs(x: typing.Any) -> Tensor: ...
def acos(x: typing.Any) -> Tensor: ...
def add(x: typing.Any, y: typing.Any) -> Tensor: ...
def add_hook(x: Tensor, hook: typing.Any) -> int:
    """
    Calls hook(gradient) in each backward pass.
    """

def all(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def all_same(watched: tuple) -> bool:
    """
    True if lists and dicts hold the very objects that they held: pairs (container, tuple of its values or their number).
    """

def any(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def arange(
    start: typing.SupportsFloat | typing.SupportsIndex,
    stop: typing.SupportsFloat | typing.SupportsIndex,
    step: typing.SupportsFloat | typing.SupportsIndex,
    dtype: str,
) -> Tensor: ...
def argmax(
    x: typing.Any, axis: typing.Any = None, keepdims: bool = False
) -> Tensor: ...
def argmin(
    x: typing.Any, axis: typing.Any = None, keepdims: bool = False
) -> Tensor: ...
def argsort(
    x: typing.Any,
    axis: typing.SupportsInt | typing.SupportsIndex = -1,
    descending: bool = False,
) -> Tensor: ...
def array_call(
    runner: typing.Any,
    like: collections.abc.Sequence,
    reset: collections.abc.Sequence[Variable] = [],
) -> tuple:
    """
    (call, takes) of an Executor with one output or a Trainer for arrays like these, given one by one. call returns the output or the list of logs, after setting the variables of `reset` to zero; None for other arrays. takes tells them apart.
    """

def asin(x: typing.Any) -> Tensor: ...
def atan(x: typing.Any) -> Tensor: ...
def atan2(x: typing.Any, y: typing.Any) -> Tensor: ...
def avg_pool(
    x: typing.Any,
    pool_size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    padding: str = "valid",
) -> Tensor: ...
def batch_norm(
    x: typing.Any,
    gamma: typing.Any,
    beta: typing.Any,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[Tensor, Tensor, Tensor]: ...
def bessel_i0(x: typing.Any) -> Tensor: ...
def binary_crossentropy(
    target: typing.Any, output: typing.Any, from_logits: bool = False
) -> Tensor: ...
def bit_and(x: typing.Any, y: typing.Any) -> Tensor: ...
def bit_or(x: typing.Any, y: typing.Any) -> Tensor: ...
def bit_xor(x: typing.Any, y: typing.Any) -> Tensor: ...
def broadcast_to(x: typing.Any, shape: typing.Any) -> Tensor: ...
def build_info() -> dict:
    """
    Version, instruction set in use, those available, compiler, threads, OpenMP.
    """

def cast(x: typing.Any, dtype: str) -> Tensor: ...
def categorical_crossentropy(
    target: typing.Any,
    output: typing.Any,
    from_logits: bool = False,
    axis: typing.SupportsInt | typing.SupportsIndex = -1,
) -> Tensor: ...
def ceil(x: typing.Any) -> Tensor: ...
def cholesky(x: typing.Any) -> Tensor: ...
def clear_gradients(tensors: list) -> None:
    """
    Forgets the gradients of all of them.
    """

def clip(
    x: typing.Any,
    low: typing.SupportsFloat | typing.SupportsIndex,
    high: typing.SupportsFloat | typing.SupportsIndex,
) -> Tensor: ...
def concat(
    parts: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex
) -> Tensor: ...
def conv(
    x: typing.Any,
    w: typing.Any,
    strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    padding: str = "valid",
    dilation: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    groups: typing.SupportsInt | typing.SupportsIndex = 1,
) -> Tensor: ...
def conv_accuracy() -> str:
    """
    How float32 convolutions may be computed: "default" or "exact".
    """

def conv_transpose(
    x: typing.Any,
    w: typing.Any,
    strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    padding: str = "valid",
    output_padding: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    | None = None,
    dilation: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
) -> Tensor: ...
def cos(x: typing.Any) -> Tensor: ...
def cosh(x: typing.Any) -> Tensor: ...
def cumprod(
    x: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex
) -> Tensor: ...
def cumsum(
    x: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex
) -> Tensor: ...
def current_graph() -> typing.Any:
    """
    The graph that this thread traces, or None.
    """

def depthwise_conv(
    x: typing.Any,
    w: typing.Any,
    strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    padding: str = "valid",
    dilation: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
) -> Tensor: ...
def det(x: typing.Any) -> Tensor: ...
def div(x: typing.Any, y: typing.Any) -> Tensor: ...
def dropout(
    x: typing.Any,
    key: typing.Any,
    rate: typing.SupportsFloat | typing.SupportsIndex,
    noise_shape: typing.Any = None,
) -> Tensor: ...
def elu(
    x: typing.Any, alpha: typing.SupportsFloat | typing.SupportsIndex
) -> Tensor: ...
def equal(x: typing.Any, y: typing.Any) -> Tensor: ...
def erf(x: typing.Any) -> Tensor: ...
def erfinv(x: typing.Any) -> Tensor: ...
def exp(x: typing.Any) -> Tensor: ...
def expand_dims(
    x: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex
) -> Tensor: ...
def expm1(x: typing.Any) -> Tensor: ...
def face_dtype(*args, **kwargs):
    """
    The dtype as lamella.torch has it.
    """

def face_new(*args, **kwargs):
    """
    The same value as an object of a subclass.
    """

def face_shape(*args, **kwargs):
    """
    The shape as lamella.torch has it.
    """

def face_unwrap(*args, **kwargs):
    """
    The same value as a tensor of the core.
    """

def face_wrap(*args, **kwargs):
    """
    The same value as a tensor of lamella.torch.
    """

def fast_path(function: typing.Any, signature: typing.Any) -> typing.Any:
    """
    The function with a direct path for plain tensors before it.
    """

def flip(x: typing.Any, axes: typing.Any = None) -> Tensor: ...
def floor(x: typing.Any) -> Tensor: ...
def floor_div(x: typing.Any, y: typing.Any) -> Tensor: ...
def from_dlpack(x: typing.Any) -> Tensor:
    """
    A tensor that shares the memory of a DLPack object on the CPU.
    """

def from_numpy(a: numpy.ndarray, copy: typing.Any = None) -> Tensor:
    """
    A tensor over a numpy array: shared when possible (copy=None), copied (True), or an error when it cannot be shared (False).
    """

def full(
    shape: typing.Any, value: typing.SupportsFloat | typing.SupportsIndex, dtype: str
) -> Tensor: ...
def gather(
    x: typing.Any, index: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex
) -> Tensor: ...
def gcd(x: typing.Any, y: typing.Any) -> Tensor: ...
def gelu(x: typing.Any, approximate: bool) -> Tensor: ...
def get_num_threads() -> int:
    """
    Upper bound on threads of one computation.
    """

def gradcheck(
    function: collections.abc.Callable,
    *args,
    step: typing.SupportsFloat | typing.SupportsIndex = 1e-06,
    rtol: typing.SupportsFloat | typing.SupportsIndex = 1e-05,
    atol: typing.SupportsFloat | typing.SupportsIndex = 1e-07,
    seed: typing.SupportsInt | typing.SupportsIndex = 0,
) -> float:
    """
    Compares gradients with central differences in float64.

    Args:
        function: takes float64 tensors, returns a tensor or a tuple of tensors.
        *inputs: float64 tensors or arrays.
        step: of the difference, scaled by max(1, abs(x)).
        rtol, atol: allowed error, rtol * abs(numeric) + atol.
        seed: of the random cotangent.

    Returns:
        The largest error as a fraction of the allowed one (<= 1).

    Raises:
        ValueError: with the input, the element and both values when they differ.
    """

def gradients(
    roots: collections.abc.Sequence[Tensor],
    inputs: collections.abc.Sequence[Tensor],
    root_gradients: collections.abc.Sequence[Tensor] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> list:
    """
    Gradients of the roots with respect to the inputs, without touching .grad.

    Args:
        roots: tensors, eager or traced (then the gradients are recorded behind them).
        inputs: tensors; eager ones must require gradients.
        root_gradients: one tensor a root; default: 1 for roots with one element.
        retain_graph: keeps the tape for another walk.
        create_graph: records the walk, so that the results can be differentiated again.

    Returns:
        A tensor an input; None where the roots do not depend on it.
    """

def graph_to_json(graph: Graph) -> str: ...
def greater(x: typing.Any, y: typing.Any) -> Tensor: ...
def greater_equal(x: typing.Any, y: typing.Any) -> Tensor: ...
def gru(
    x: typing.Any,
    h0: typing.Any,
    kernel: typing.Any,
    recurrent_kernel: typing.Any,
    bias: typing.Any = None,
    mask: typing.Any = None,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    reset_after: bool = True,
    go_backwards: bool = False,
) -> tuple[Tensor, Tensor]: ...
def hard_sigmoid(x: typing.Any) -> Tensor: ...
def hard_silu(x: typing.Any) -> Tensor: ...
def has_fast_path(name: str) -> bool:
    """
    Whether fast_path knows a function of this name.
    """

def has_gradient(x: Tensor) -> bool: ...
def inverse(x: typing.Any) -> Tensor: ...
def is_grad_enabled() -> bool: ...
def is_leaf(x: Tensor) -> bool: ...
def isfinite(x: typing.Any) -> Tensor: ...
def isnan(x: typing.Any) -> Tensor: ...
def layer_norm(
    x: typing.Any,
    gamma: typing.Any,
    beta: typing.Any,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
) -> Tensor: ...
def leaky_relu(
    x: typing.Any, slope: typing.SupportsFloat | typing.SupportsIndex
) -> Tensor: ...
def less(x: typing.Any, y: typing.Any) -> Tensor: ...
def less_equal(x: typing.Any, y: typing.Any) -> Tensor: ...
def linear(x: Tensor, w: Tensor, b: typing.Any) -> Tensor:
    """
    x w^T + b.
    """

def load_safetensors(path: str) -> tuple[dict, dict[str, str]]:
    """
    (tensors by name, metadata by key) of a safetensors file.
    """

def log(x: typing.Any) -> Tensor: ...
def log1p(x: typing.Any) -> Tensor: ...
def log_softmax(
    x: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex = -1
) -> Tensor: ...
def logical_and(x: typing.Any, y: typing.Any) -> Tensor: ...
def logical_not(x: typing.Any) -> Tensor: ...
def logical_or(x: typing.Any, y: typing.Any) -> Tensor: ...
def logical_xor(x: typing.Any, y: typing.Any) -> Tensor: ...
def logsumexp(
    x: typing.Any, axis: typing.Any = None, keepdims: bool = False
) -> Tensor: ...
def lstm(
    x: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    kernel: typing.Any,
    recurrent_kernel: typing.Any,
    bias: typing.Any = None,
    mask: typing.Any = None,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    go_backwards: bool = False,
) -> tuple[Tensor, Tensor, Tensor]: ...
def matmul(a: typing.Any, b: typing.Any) -> Tensor: ...
def max(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def max_pool(
    x: typing.Any,
    pool_size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    padding: str = "valid",
) -> Tensor: ...
def maximum(x: typing.Any, y: typing.Any) -> Tensor: ...
def mean(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def mean_all(x: Tensor) -> Tensor: ...
def measure_peaks() -> dict:
    """
    What this machine reaches: multiply-adds per second, and bytes per second of a copy within so many bytes of memory.
    """

def memory_address(x: Tensor) -> int: ...
def min(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def minimum(x: typing.Any, y: typing.Any) -> Tensor: ...
def mod(x: typing.Any, y: typing.Any) -> Tensor: ...
def mul(x: typing.Any, y: typing.Any) -> Tensor: ...
def neg(x: typing.Any) -> Tensor: ...
def next_seed() -> int:
    """
    The next seed (an int >= 0) from the global generator.
    """

def nextafter(x: typing.Any, y: typing.Any) -> Tensor: ...
def not_equal(x: typing.Any, y: typing.Any) -> Tensor: ...
def one_hot(
    index: typing.Any, classes: typing.SupportsInt | typing.SupportsIndex, dtype: str
) -> Tensor: ...
def pad(
    x: typing.Any,
    widths: collections.abc.Sequence[
        tuple[
            typing.SupportsInt | typing.SupportsIndex,
            typing.SupportsInt | typing.SupportsIndex,
        ]
    ],
    value: typing.SupportsFloat | typing.SupportsIndex = 0.0,
) -> Tensor: ...
def pow(x: typing.Any, y: typing.Any) -> Tensor: ...
def prod(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def producer(x: Tensor) -> str:
    """
    The op that made x; empty for a leaf.
    """

def random_normal(
    key: typing.Any,
    shape: typing.Any,
    mean: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    stddev: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    dtype: str = "float32",
) -> Tensor: ...
def random_truncated_normal(
    key: typing.Any,
    shape: typing.Any,
    mean: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    stddev: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    dtype: str = "float32",
) -> Tensor: ...
def random_uniform(
    key: typing.Any,
    shape: typing.Any,
    low: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    high: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    dtype: str = "float32",
) -> Tensor: ...
def rebind(x: Tensor, value: Tensor, keep_history: bool) -> None:
    """
    Makes x name the elements of value, as an assignment in place does.
    """

def reciprocal(x: typing.Any) -> Tensor: ...
def record_custom(
    name: str,
    inputs: collections.abc.Sequence[Tensor],
    outputs: collections.abc.Sequence[Tensor],
    vjp: typing.Any,
) -> list[Tensor]:
    """
    Outputs on the tape as computed from the inputs; vjp turns a list of gradients of the outputs into those of the inputs.
    """

def relu(x: typing.Any) -> Tensor: ...
def remove_hook(x: Tensor, id: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def repeat(
    x: typing.Any,
    n: typing.SupportsInt | typing.SupportsIndex,
    axis: typing.SupportsInt | typing.SupportsIndex,
) -> Tensor: ...
def reshape(x: typing.Any, shape: typing.Any) -> Tensor: ...
def retain_gradient(x: Tensor) -> None:
    """
    Lets backward() keep the gradient of a result.
    """

def round(x: typing.Any) -> Tensor: ...
def rsqrt(x: typing.Any) -> Tensor: ...
def same_value(a: Tensor, b: Tensor) -> bool:
    """
    Whether two tensors are one value.
    """

def save_model(
    path: str,
    variables: collections.abc.Sequence[tuple[str, Variable]],
    graphs: collections.abc.Mapping[str, Graph],
    optimizer: Optimizer = None,
    metric_state: collections.abc.Sequence[Variable] = [],
    metadata: collections.abc.Mapping[str, str] = {},
) -> None:
    """
    Writes a .lamella file atomically.

    Args:
        path: of the file.
        variables: (name, Variable) pairs; each is stored under its name.
        graphs: "predict", and "train" and "test" for a compiled model.
        optimizer: built; its state goes to optimizer/iteration, optimizer/learning_rate,
            optimizer/u_product and optimizer/<index of variable>/<slot>.
        metric_state: Variables that are zeroed at the start of an epoch.
        metadata: further text by key.
    """

def save_safetensors(
    path: str, tensors: dict, metadata: collections.abc.Mapping[str, str] = {}
) -> None:
    """
    Writes a safetensors file atomically.
    """

def scatter_add(
    x: typing.Any,
    index: typing.Any,
    size: typing.SupportsInt | typing.SupportsIndex,
    axis: typing.SupportsInt | typing.SupportsIndex,
) -> Tensor: ...
def selu(x: typing.Any) -> Tensor: ...
def set_conv_accuracy(accuracy: str) -> None:
    """
    How float32 convolutions recorded from now on may be computed: "default" or "exact".
    """

def set_num_threads(n: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Sets the upper bound on threads of one computation (>= 1).
    """

def set_random_seed(seed: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Seeds the generator that draws the seeds of layers, initializers and shuffling.
    """

def share_array(a: numpy.ndarray) -> Tensor:
    """
    A tensor over the memory of a dense, writable array.
    """

def shared_array(x: Tensor) -> numpy.ndarray:
    """
    A writable array over the memory of x; later assignments in place write there.
    """

def shift_left(x: typing.Any, y: typing.Any) -> Tensor: ...
def shift_right(x: typing.Any, y: typing.Any) -> Tensor: ...
def shuffled_order(
    n: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    epoch: typing.SupportsInt | typing.SupportsIndex,
) -> list[int]:
    """
    The order in which a shuffled epoch visits the rows.
    """

def sigmoid(x: typing.Any) -> Tensor: ...
def sign(x: typing.Any) -> Tensor: ...
def silu(x: typing.Any) -> Tensor: ...
def simple_rnn(
    x: typing.Any,
    h0: typing.Any,
    kernel: typing.Any,
    recurrent_kernel: typing.Any,
    bias: typing.Any = None,
    mask: typing.Any = None,
    activation: str = "tanh",
    go_backwards: bool = False,
) -> tuple[Tensor, Tensor]: ...
def sin(x: typing.Any) -> Tensor: ...
def sinh(x: typing.Any) -> Tensor: ...
def slice(
    x: typing.Any,
    starts: typing.Any,
    stops: typing.Any,
    steps: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
) -> Tensor: ...
def slogdet(x: typing.Any) -> tuple[Tensor, Tensor]: ...
def softmax(
    x: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex = -1
) -> Tensor: ...
def softplus(x: typing.Any) -> Tensor: ...
def softsign(x: typing.Any) -> Tensor: ...
def solve(a: typing.Any, b: typing.Any) -> Tensor: ...
def sparse_categorical_crossentropy(
    target: typing.Any,
    output: typing.Any,
    from_logits: bool = False,
    axis: typing.SupportsInt | typing.SupportsIndex = -1,
) -> Tensor: ...
def sqrt(x: typing.Any) -> Tensor: ...
def square(x: typing.Any) -> Tensor: ...
def squared_difference(x: typing.Any, y: typing.Any) -> Tensor: ...
def squeeze(x: typing.Any, axes: typing.Any = None) -> Tensor: ...
def stack(
    parts: typing.Any, axis: typing.SupportsInt | typing.SupportsIndex
) -> Tensor: ...
def stop_gradient(x: typing.Any) -> Tensor: ...
def sub(x: typing.Any, y: typing.Any) -> Tensor: ...
def sum(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def sum_all(x: Tensor) -> Tensor: ...
def tan(x: typing.Any) -> Tensor: ...
def tanh(x: typing.Any) -> Tensor: ...
def tensor(obj: typing.Any, dtype: str | None = None) -> Tensor:
    """
    A tensor from numbers, nested lists, arrays, tensors or variables.
    """

def tile(
    x: typing.Any,
    reps: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
) -> Tensor: ...
def torch_backward(
    x: Tensor, gradient: typing.Any, retain_graph: bool, create_graph: bool
) -> None:
    """
    Adds the gradient of x to the .grad of every leaf it was computed from.
    """

def torch_face(tensor: type, size: type, dtypes: tuple, operators: dict) -> None:
    """
    Registers the classes of lamella.torch.
    """

def torch_face_subclass(type: type) -> None:
    """
    Gives a subclass of lamella.torch's tensor its fast operators.
    """

def transpose(x: typing.Any, perm: typing.Any = None) -> Tensor: ...
def triangular_solve(
    a: typing.Any, b: typing.Any, lower: bool = True, transposed: bool = False
) -> Tensor: ...
def update(
    kind: str,
    group: dict,
    steps: list,
    parameters: list,
    states: list,
    mu_products: typing.Any = None,
) -> None:
    """
    One update of each parameter by the gradient it has, in place. states: one tuple of up to three tensors (or None) per parameter, in PyTorch's order.
    """

def var(x: typing.Any, axis: typing.Any = None, keepdims: bool = False) -> Tensor: ...
def where(condition: typing.Any, x: typing.Any, y: typing.Any) -> Tensor: ...
def writable_array(x: Tensor) -> numpy.ndarray:
    """
    A writable array over the elements of x, for one assignment; x has a copy of its own when others share them.
    """

__version__: str = "0.1.0"
