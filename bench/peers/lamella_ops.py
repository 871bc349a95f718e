"""lamella's single ops, eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import lamella
from lamella import _core, ops
from peers.op_task import OpTask
from workloads.spec import OpWorkload

Op = Callable[[], Any]


def prepare(workload: OpWorkload) -> OpTask:
    """The op, ready to run."""
    tensors = [ops.convert_to_tensor(a) for a in workload.arrays()]
    make = globals()["_" + workload.op.removeprefix("tiny_")]
    return OpTask(make(*tensors, **workload.options), _arrays)


def _arrays(result: Any) -> list[np.ndarray]:
    return [np.array(result)]


def _gradient(y: Any, g: Any, of: Any) -> Op:
    """Backward only: the recorded y is gone through again and again."""

    def backward() -> Any:
        of.grad = None
        y.backward(g, retain_graph=True)
        return of.grad

    return backward


def _leaf(shape_or_tensor: Any) -> Any:
    t = shape_or_tensor
    t = ops.zeros(t) if isinstance(t, tuple) else t.detach()
    t.requires_grad = True
    return t


def _matmul(a: Any, b: Any) -> Op:
    return lambda: ops.matmul(a, b)


def _matmul_grad_a(g: Any, b: Any) -> Op:
    a = _leaf((g.shape[0], b.shape[0]))
    return _gradient(ops.matmul(a, b), g, a)


def _matmul_grad_b(a: Any, g: Any) -> Op:
    b = _leaf((a.shape[1], g.shape[1]))
    return _gradient(ops.matmul(a, b), g, b)


def _convolve(x: Any, w: Any, options: dict[str, Any]) -> Any:
    n = options["spatial"]
    return _core.conv(
        x,
        w,
        (options["stride"],) * n,
        "same" if options["pad"] else "valid",
        (options["dilation"],) * n,
        options["groups"],
    )


def _conv_forward(x: Any, w: Any, **options: Any) -> Op:
    return lambda: _convolve(x, w, options)


def _conv_data(w: Any, g: Any, **options: Any) -> Op:
    x = _leaf(options["x_shape"])
    return _gradient(_convolve(x, w, options), g, x)


def _conv_weights(x: Any, g: Any, **options: Any) -> Op:
    w = _leaf(options["w_shape"])
    return _gradient(_convolve(x, w, options), g, w)


def _conv_transpose(x: Any, w: Any, stride: int, spatial: int) -> Op:
    return lambda: _core.conv_transpose(x, w, (stride,) * spatial, "valid")


def _relu(x: Any) -> Op:
    return lambda: ops.relu(x)


def _exp(x: Any) -> Op:
    return lambda: ops.exp(x)


def _sigmoid(x: Any) -> Op:
    return lambda: ops.sigmoid(x)


def _tanh(x: Any) -> Op:
    return lambda: ops.tanh(x)


def _softmax(x: Any) -> Op:
    return lambda: ops.softmax(x)


def _sum(x: Any) -> Op:
    return lambda: ops.sum(x)


def _add(x: Any, y: Any) -> Op:
    return lambda: x + y


def _chain(x: Any, y: Any) -> Op:
    return lambda: x * y + x


def _batch_norm(x: Any) -> Op:
    gamma, beta = ops.ones(x.shape[-1:]), ops.zeros(x.shape[-1:])
    return lambda: _core.batch_norm(x, gamma, beta, 1e-3)[0]


def _batch_norm_grad(x: Any, g: Any) -> Op:
    x = _leaf(x)
    gamma, beta = ops.ones(x.shape[-1:]), ops.zeros(x.shape[-1:])
    return _gradient(_core.batch_norm(x, gamma, beta, 1e-3)[0], g, x)


def _max_pool(x: Any) -> Op:
    return lambda: _core.max_pool(x, (2, 2), (2, 2), "valid")


def _max_pool_grad(x: Any) -> Op:
    x = _leaf(x)
    y = _core.max_pool(x, (2, 2), (2, 2), "valid")
    return _gradient(y, ops.ones(y.shape), x)


def _dropout(x: Any, rate: float) -> Op:
    key = _core.tensor(np.array([1, 2], np.int64))
    y = np.array(_core.dropout(x, key, rate))
    kept = y != 0
    assert abs(kept.mean() - (1 - rate)) < 0.1, kept.mean()
    np.testing.assert_allclose(y[kept], np.array(x)[kept] / (1 - rate), rtol=1e-6)
    return lambda: _core.dropout(x, key, rate)


def _adam(p: Any, g: Any) -> Op:
    variable = lamella.Variable(np.array(p))
    optimizer = lamella.optimizers.Adam(1e-3)
    optimizer.build([variable])

    def update() -> Any:
        optimizer.apply([g], [variable])
        return variable

    return update


def _reshape(x: Any) -> Op:
    return lambda: x.reshape(3, 2)


def _row(x: Any) -> Op:
    return lambda: x[1]
