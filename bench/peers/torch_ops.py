"""PyTorch's single ops, in the memory layout in which they are faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from peers import Unsupported
from peers.op_task import OpTask
from peers.torch_peer import fastest
from workloads.spec import OpWorkload

Op = Callable[[], torch.Tensor]
_LAYOUTS = {1: [False], 2: [False, True], 3: [False, True]}  # channels last, by rank


def prepare(workload: OpWorkload, compiles: bool) -> OpTask:
    """The op, ready to run."""
    tensors = [torch.from_numpy(a) for a in workload.arrays()]
    name, options = workload.op.removeprefix("tiny_"), workload.options
    if compiles and name != "chain":
        raise Unsupported("single ops are PyTorch's")
    if name.startswith("conv_"):
        make, spatial = globals()["_" + name], options["spatial"]
        variants = [make(last, *tensors, **options) for last in _LAYOUTS[spatial]]
        return fastest(variants, lambda task: task.run(1))
    if name.startswith(("batch_norm", "max_pool")):
        make = globals()["_" + name]
        variants = [make(last, *tensors, **options) for last in (False, True)]
        return fastest(variants, lambda task: task.run(1))
    op = globals()["_" + name](*tensors, **options)
    return OpTask(torch.compile(op) if compiles else op, _array)


def _array(result: torch.Tensor) -> list[np.ndarray]:
    return [result.detach().numpy()]


# ------------------------------------------------------------------------- layouts


def _image(x: torch.Tensor, last: bool) -> torch.Tensor:
    """(n, *sizes, c) as PyTorch's (n, c, *sizes) in one of two memory layouts."""
    x = x.movedim(-1, 1)
    return x if last else x.contiguous()


def _kernel(w: torch.Tensor, last: bool) -> torch.Tensor:
    """(*k, c, o) as PyTorch's (o, c, *k) in one of two memory layouts."""
    w = w.movedim((-1, -2), (0, 1)).contiguous()
    return w.movedim(1, -1).contiguous().movedim(-1, 1) if last else w


def _images(result: torch.Tensor) -> list[np.ndarray]:
    return [result.detach().movedim(1, -1).numpy()]


def _kernels(result: torch.Tensor) -> list[np.ndarray]:
    return [result.detach().movedim((0, 1), (-1, -2)).numpy()]


# -------------------------------------------------------------------- convolution


def _geometry(options: dict[str, Any]) -> tuple[list[int], list[int], list[int]]:
    n = options["spatial"]
    return tuple([options[key]] * n for key in ("stride", "pad", "dilation"))  # type: ignore[return-value]


def _conv_forward(last: bool, x: Any, w: Any, **options: Any) -> OpTask:
    x, w = _image(x, last), _kernel(w, last)
    stride, pad, dilation = _geometry(options)
    n, groups = options["spatial"], options["groups"]
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[n - 1]
    return OpTask(lambda: convolve(x, w, None, stride, pad, dilation, groups), _images)


def _backward(g: Any, x: Any, w: Any, options: dict[str, Any], data: bool) -> Op:
    stride, pad, dilation = _geometry(options)
    groups, zero = options["groups"], [0] * options["spatial"]
    mask = [data, not data, False]
    function = torch.ops.aten.convolution_backward
    return lambda: function(
        g, x, w, None, stride, pad, dilation, False, zero, groups, mask
    )[0 if data else 1]


def _conv_data(last: bool, w: Any, g: Any, **options: Any) -> OpTask:
    x = _image(torch.zeros(options["x_shape"]), last)
    op = _backward(_image(g, last), x, _kernel(w, last), options, data=True)
    return OpTask(op, _images)


def _conv_weights(last: bool, x: Any, g: Any, **options: Any) -> OpTask:
    w = _kernel(torch.zeros(options["w_shape"]), last)
    op = _backward(_image(g, last), _image(x, last), w, options, data=False)
    return OpTask(op, _kernels)


def _conv_transpose(last: bool, x: Any, w: Any, stride: int, spatial: int) -> OpTask:
    x, w = _image(x, last), _kernel(w, last)
    names = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    convolve = getattr(functional, names[spatial - 1])
    return OpTask(lambda: convolve(x, w, None, stride), _images)


# ------------------------------------------------------------- pooling and batch norm


def _batch_norm_input(x: Any, last: bool) -> torch.Tensor:
    """Rows as 4x4 images: in the first layout PyTorch has the channels before them."""
    rows, channels = x.shape
    return _image(x.reshape(rows // 16, 4, 4, channels), last)


def _rows(result: torch.Tensor) -> list[np.ndarray]:
    (array,) = _images(result)
    return [array.reshape(-1, array.shape[-1])]


def _batch_norm_call(x: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(x, None, None, _GAMMA, _BETA, training=True, eps=1e-3)


_GAMMA, _BETA = torch.ones(64), torch.zeros(64)


def _batch_norm(last: bool, x: Any) -> OpTask:
    x = _batch_norm_input(x, last)
    return OpTask(lambda: _batch_norm_call(x), _rows)


def _gradient(y: torch.Tensor, g: torch.Tensor, x: torch.Tensor) -> Op:
    def backward() -> torch.Tensor:
        x.grad = None
        y.backward(g, retain_graph=True)
        assert x.grad is not None
        return x.grad

    return backward


def _batch_norm_grad(last: bool, x: Any, g: Any) -> OpTask:
    x, g = _batch_norm_input(x, last), _batch_norm_input(g, last)
    x.requires_grad_()
    return OpTask(_gradient(_batch_norm_call(x), g, x), _rows)


def _max_pool(last: bool, x: Any) -> OpTask:
    x = _image(x, last)
    return OpTask(lambda: functional.max_pool2d(x, 2), _images)


def _max_pool_grad(last: bool, x: Any) -> OpTask:
    x = _image(x, last).requires_grad_()
    y = functional.max_pool2d(x, 2)
    return OpTask(_gradient(y, torch.ones_like(y), x), _images)


# ------------------------------------------------------------------------ the others


def _matmul(a: Any, b: Any) -> Op:
    return lambda: a @ b


def _matmul_grad_a(g: Any, b: Any) -> Op:
    return lambda: g @ b.t()


def _matmul_grad_b(a: Any, g: Any) -> Op:
    return lambda: a.t() @ g


def _relu(x: Any) -> Op:
    return lambda: torch.relu(x)


def _exp(x: Any) -> Op:
    return lambda: torch.exp(x)


def _sigmoid(x: Any) -> Op:
    return lambda: torch.sigmoid(x)


def _tanh(x: Any) -> Op:
    return lambda: torch.tanh(x)


def _softmax(x: Any) -> Op:
    return lambda: torch.softmax(x, dim=-1)


def _sum(x: Any) -> Op:
    return lambda: x.sum()


def _add(x: Any, y: Any) -> Op:
    return lambda: x + y


def _chain(x: Any, y: Any) -> Op:
    return lambda: x * y + x


def _dropout(x: Any, rate: float) -> Op:
    return lambda: functional.dropout(x, rate)


def _adam(p: Any, g: Any) -> Op:
    p = p.clone().requires_grad_()
    p.grad = g
    optimizer = torch.optim.Adam([p], lr=1e-3, eps=1e-7, fused=True)

    def update() -> torch.Tensor:
        optimizer.step()
        return p

    return update


def _reshape(x: Any) -> Op:
    return lambda: x.reshape(3, 2)


def _row(x: Any) -> Op:
    return lambda: x[1]
