"""Code that runs with either library: each case takes the `torch` module.

A case returns tensors, numbers, text or nests of them. Random numbers come from numpy,
because the two libraries' streams differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Case = Callable[[Any], Any]


def array(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Any:
    """Random float32 numbers."""
    values = np.random.default_rng(seed).uniform(low, high, shape)
    return values.astype(np.float32)


def tensors(torch: Any, *shapes: tuple[int, ...], grad: bool = False) -> Any:
    made = [torch.tensor(array(*s, seed=i)) for i, s in enumerate(shapes)]
    if grad:
        made = [t.requires_grad_() for t in made]
    return made[0] if len(made) == 1 else made


def gradients(
    f: Callable[..., Any], *shapes: tuple[int, ...], positive: bool = False
) -> Case:
    """The value of f and the gradients of a weighted sum of it."""

    def run(torch: Any) -> Any:
        low = 0.1 if positive else -2.0
        x = [
            torch.tensor(array(*s, seed=i, low=low)).requires_grad_()
            for i, s in enumerate(shapes)
        ]
        y = f(torch, *x)
        w = torch.tensor(array(*y.shape, seed=99))
        (y * w).sum().backward()
        return [y.detach(), *[t.grad for t in x]]

    return run


OPS: dict[str, Case] = {}
A, B = (3, 4), (3, 4)

for _name in (
    "exp",
    "expm1",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "sigmoid",
    "abs",
    "neg",
    "square",
    "erf",
    "atan",
    "relu",
    "floor",
    "ceil",
    "round",
    "trunc",
    "sign",
    "frac",
    "erfc",
    "asinh",
    "exp2",
    "sinc",
):
    OPS[_name] = gradients(lambda t, x, n=_name: getattr(t, n)(x), A)
for _name in ("log", "log1p", "sqrt", "rsqrt", "reciprocal", "log2", "log10"):
    OPS[_name] = gradients(lambda t, x, n=_name: getattr(t, n)(x), A, positive=True)
for _name in ("asin", "acos", "atanh", "logit"):
    OPS[_name] = gradients(lambda t, x, n=_name: getattr(t, n)(t.sigmoid(x)), A)
for _name in (
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "atan2",
    "hypot",
    "logaddexp",
):
    OPS[_name] = gradients(lambda t, x, y, n=_name: getattr(t, n)(x, y), A, (4,))
OPS.update(
    acosh=gradients(lambda t, x: t.acosh(x * x + 1.5), A),
    pow2=gradients(lambda t, x: x**2, A),
    pow3=gradients(lambda t, x: x**3, A),
    pow_half=gradients(lambda t, x: x**0.5, A, positive=True),
    rpow=gradients(lambda t, x: 2**x, A),
    pow_tensor=gradients(lambda t, x, y: x**y, A, B, positive=True),
    reflected=gradients(lambda t, x: 1 - 2 / (3 + x * x) * 4 - x, A),
    clamp=gradients(lambda t, x: x.clamp(-1, 1), A),
    clamp_low=gradients(lambda t, x: t.clamp(x, min=0.5), A),
    clamp_tensor=gradients(lambda t, x, y: t.clamp(x, max=y), A, B),
    where=gradients(lambda t, x, y: t.where(x > 0, x, y), A, B),
    where_scalar=gradients(lambda t, x: t.where(x > 0, x, 0.0), A),
    lerp=gradients(lambda t, x, y: t.lerp(x, y, 0.3), A, B),
    addcmul=gradients(lambda t, x, y, z: t.addcmul(x, y, z, value=2), A, B, A),
    addcdiv=gradients(
        lambda t, x, y, z: t.addcdiv(x, y, z, value=2), A, B, A, positive=True
    ),
    sum=gradients(lambda t, x: x.sum(), A),
    sum_dim=gradients(lambda t, x: x.sum(1), A),
    sum_dims=gradients(lambda t, x: x.sum((0, -1), keepdim=True), (2, 3, 4)),
    mean_dim=gradients(lambda t, x: x.mean(dim=0, keepdim=True), A),
    prod=gradients(lambda t, x: x.prod(1), A),
    var=gradients(lambda t, x: x.var(1), A),
    var_biased=gradients(lambda t, x: x.var(0, unbiased=False), A),
    std=gradients(lambda t, x: x.std(), A),
    std_correction=gradients(lambda t, x: t.std(x, dim=1, correction=2), A),
    max_dim=gradients(lambda t, x: x.max(1).values, A),
    min_dim=gradients(lambda t, x: x.min(dim=0, keepdim=True)[0], A),
    max_all=gradients(lambda t, x: x.max() + x.min(), A),
    amax=gradients(lambda t, x: x.amax((0, 1)), (2, 3, 4)),
    logsumexp=gradients(lambda t, x: x.logsumexp(1), A),
    cumsum=gradients(lambda t, x: x.cumsum(1), A),
    cumprod=gradients(lambda t, x: x.cumprod(0), A, positive=True),
    sort=gradients(lambda t, x: x.sort(1, descending=True)[0], A),
    topk=gradients(lambda t, x: t.topk(x, 2, 0, largest=False).values, A),
    median=gradients(lambda t, x: x.median(1).values, A),
    norm=gradients(lambda t, x: x.norm(), A),
    norm1=gradients(lambda t, x: x.norm(p=1, dim=1), A),
    norm3=gradients(lambda t, x: t.norm(x, 3, dim=0), A),
    norm_inf=gradients(lambda t, x: t.linalg.norm(x, math.inf, dim=0), A),
    softmax=gradients(lambda t, x: x.softmax(1), A),
    log_softmax=gradients(lambda t, x: t.log_softmax(x, dim=0), A),
    matmul=gradients(lambda t, x, y: x @ y, A, (4, 2)),
    matmul_batch=gradients(lambda t, x, y: t.matmul(x, y), (5, 3, 4), (4, 2)),
    matmul_broadcast=gradients(lambda t, x, y: x @ y, (2, 1, 3, 4), (5, 4, 2)),
    matvec=gradients(lambda t, x, y: t.mv(x, y), A, (4,)),
    dot=gradients(lambda t, x, y: t.dot(x, y), (4,), (4,)),
    bmm=gradients(lambda t, x, y: t.bmm(x, y), (2, 3, 4), (2, 4, 5)),
    outer=gradients(lambda t, x, y: t.outer(x, y), (3,), (4,)),
    addmm=gradients(
        lambda t, x, y, z: t.addmm(x, y, z, beta=2, alpha=0.5), (2,), A, (4, 2)
    ),
    einsum=gradients(
        lambda t, x, y: t.einsum("bij,bjk->bik", x, y), (2, 3, 4), (2, 4, 5)
    ),
    einsum_trace=gradients(lambda t, x: t.einsum("ii->i", x), (3, 3)),
    einsum_dots=gradients(
        lambda t, x, y: t.einsum("...i,ji->...j", x, y), (2, 3, 4), (5, 4)
    ),
    einsum_sum=gradients(lambda t, x, y: t.einsum("ij,ij", x, y), A, B),
    einsum_three=gradients(
        lambda t, x, y, z: t.einsum("ij,jk,kl->il", x, y, z), A, (4, 2), (2, 5)
    ),
    tensordot=gradients(lambda t, x, y: t.tensordot(x, y, dims=([1], [0])), A, (4, 2)),
    trace=gradients(lambda t, x: t.trace(x), (3, 3)),
    inverse=gradients(lambda t, x: t.linalg.inv(x + 5 * t.eye(3)), (3, 3)),
    kron=gradients(lambda t, x, y: t.kron(x, y), (2, 3), (3, 2)),
    cross=gradients(lambda t, x, y: t.linalg.cross(x, y), (2, 3), (2, 3)),
    view=gradients(lambda t, x: x.view(2, -1), A),
    reshape=gradients(lambda t, x: x.reshape(-1), A),
    permute=gradients(lambda t, x: x.permute(2, 0, 1), (2, 3, 4)),
    transpose=gradients(lambda t, x: x.transpose(0, 2), (2, 3, 4)),
    T=gradients(lambda t, x: x.T @ x, A),
    squeeze=gradients(lambda t, x: x.unsqueeze(1).squeeze(), A),
    flatten=gradients(lambda t, x: t.flatten(x, 1), (2, 3, 4)),
    unflatten=gradients(lambda t, x: x.unflatten(1, (2, -1)), A),
    expand=gradients(lambda t, x: x.expand(5, 3, -1), (3, 1)),
    repeat=gradients(lambda t, x: x.repeat(2, 1, 3), A),
    repeat_interleave=gradients(lambda t, x: x.repeat_interleave(2, dim=1), A),
    cat=gradients(lambda t, x, y: t.cat([x, y], dim=1), A, (3, 2)),
    stack=gradients(lambda t, x, y: t.stack((x, y), -1), A, B),
    hstack=gradients(lambda t, x, y: t.hstack((x, y)), (3,), (4,)),
    vstack=gradients(lambda t, x, y: t.vstack((x, y)), (4,), (2, 4)),
    split=gradients(lambda t, x: t.split(x, 3, 1)[1] * 2, (2, 7)),
    chunk=gradients(lambda t, x: x.chunk(3)[2], (7, 2)),
    unbind=gradients(lambda t, x: t.unbind(x, 1)[2], A),
    flip=gradients(lambda t, x: x.flip(0, 1), A),
    roll=gradients(lambda t, x: t.roll(x, 2, 1), A),
    rot90=gradients(lambda t, x: t.rot90(x, 1, (0, 1)), A),
    index_int=gradients(lambda t, x: x[1], A),
    index_slice=gradients(lambda t, x: x[:, 1:4:2], (3, 5)),
    index_none=gradients(lambda t, x: x[None, ..., 0, None], A),
    index_negative=gradients(lambda t, x: x[-1, -2:], A),
    index_list=gradients(lambda t, x: x[[2, 0, 2]], A),
    index_tensor=gradients(lambda t, x: x[t.tensor([2, 0, -1])], A),
    index_pair=gradients(lambda t, x: x[t.arange(3), t.tensor([0, 3, 1])], A),
    index_mask=gradients(lambda t, x: x[x > 0], A),
    index_row_mask=gradients(lambda t, x: x[t.tensor([True, False, True])], A),
    index_mixed=gradients(lambda t, x: x[:, t.tensor([1, 1, 0])], A),
    index_mixed3=gradients(lambda t, x: x[0, :, [1, 2]], (2, 3, 4)),
    gather=gradients(lambda t, x: x.gather(1, t.tensor([[0, 1], [3, 3], [2, 0]])), A),
    index_select=gradients(lambda t, x: t.index_select(x, 0, t.tensor([2, 2, 0])), A),
    masked_fill=gradients(lambda t, x: x.masked_fill(x < 0, 7.0), A),
    masked_select=gradients(lambda t, x: t.masked_select(x, x > 0), A),
    scatter=gradients(
        lambda t, x, y: x.scatter(1, t.tensor([[0, 2], [1, 3], [2, 0]]), y), A, (3, 2)
    ),
    scatter_add=gradients(
        lambda t, x, y: x.scatter_add(1, t.tensor([[0, 0], [1, 3], [2, 2]]), y),
        A,
        (3, 2),
    ),
    index_add=gradients(lambda t, x, y: x.index_add(0, t.tensor([2, 2]), y), A, (2, 4)),
    tril=gradients(lambda t, x: t.tril(x, 1), A),
    triu=gradients(lambda t, x: t.triu(x), A),
    diag=gradients(lambda t, x: t.diag(x), (3, 3)),
    diag_embed=gradients(lambda t, x: t.diag(x, 1), (3,)),
    diagonal=gradients(lambda t, x: t.diagonal(x, 1), A),
    clone=gradients(lambda t, x: x.clone() * 2, A),
    diff=gradients(lambda t, x: t.diff(x), A),
    nansum=gradients(lambda t, x: t.nansum(x, 1), A),
    cdist=gradients(lambda t, x, y: t.cdist(x, y), A, (2, 4)),
    kept_type=lambda t: t.tensor([1, 2]) + t.tensor([1.5], dtype=t.float64),
)


def _values(torch: Any) -> Any:
    i, f = torch.tensor([-7, 7, 3]), torch.tensor([-7.0, 7.0, 2.5])
    two = torch.tensor([2, -2, 2])
    return [
        i // two,
        i % two,
        i / two,
        i + 1,
        i + 1.5,
        i * True,
        f // 2,
        f % -2,
        i**2,
        2 - i,
        i - f,
        torch.fmod(i, two),
        torch.remainder(f, 2),
        torch.div(i, two, rounding_mode="trunc"),
        torch.div(f, 2, rounding_mode="floor"),
        torch.true_divide(i, 2),
        -i,
        abs(i),
        ~(i > 0),
        (i > 0) & (f > 0),
        (i > 0) | (f > 0),
        (i > 0) ^ (f > 0),
        i & 3,
        i | 8,
        i ^ 5,
        torch.tensor(True) + torch.tensor(True),
        torch.tensor(3) / 2,
        torch.tensor([1, 2]).sum(),
        torch.tensor([True, True]).sum(),
        torch.arange(3) * 0.5,
        torch.tensor([1.0]) * 2,
        torch.tensor(2.0, dtype=torch.float64) * torch.tensor([1.0]),
        i == 7,
        i != f,
        i < 0,
        f >= 2.5,
        torch.tensor([1, 2]).prod(),
        torch.sign(i),
        i.float().mean(),
        i.max(),
        i.argmin(),
        i.sort(),
        i.unique(),
        torch.tensor([3, 1, 3, 2]).unique(return_counts=True),
        i.abs().bincount(),
        torch.eq(i, two).any(),
        (i == i).all(),
        i.any(),
        torch.equal(i, i),
        i.cumsum(0),
        torch.allclose(f, f + 1e-9),
        torch.isclose(f, f + 1),
        torch.isnan(f / 0 * 0),
        torch.isinf(f / 0),
        torch.nan_to_num(f / 0),
        torch.logical_and(i, two),
        i.tolist(),
        i.nonzero(),
        torch.nonzero(i > 0, as_tuple=True),
        torch.count_nonzero(i > 0),
        torch.searchsorted(torch.tensor([1, 3, 5]), torch.tensor([0, 3, 9])),
        torch.bitwise_not(i),
        i.numel(),
        list(i.shape),
        i.dim(),
        i.dtype == torch.int64,
        torch.argsort(f),
        torch.topk(f, 2),
        f.median(),
        f.mode(),
        f.kthvalue(2),
        f.std(),
        f.var(),
        torch.var_mean(f),
        f.norm(),
        f.quantile(0.25),
        f.argmax(),
        i.to(torch.float64),
        i.bool(),
        f.long(),
        f.int(),
        i.type(torch.float32),
        torch.histc(f, 4, -8, 8),
        torch.bucketize(f, torch.tensor([0.0, 3.0])),
        torch.heaviside(f, torch.tensor(0.5)),
        torch.cummax(f, 0),
        torch.result_type(i, 1.5) == torch.float32,
    ]


def _creation(torch: Any) -> Any:
    return [
        torch.tensor(3),
        torch.tensor(3.5),
        torch.tensor([True]),
        torch.tensor([[1, 2], [3, 4]]),
        torch.tensor([1, 2.5]),
        torch.tensor(np.arange(3)),
        torch.tensor(np.ones(2)),
        torch.zeros(2, 3),
        torch.ones((2,)),
        torch.full((2, 2), 7),
        torch.full((2,), 1.5),
        torch.eye(3),
        torch.eye(2, 3),
        torch.arange(5),
        torch.arange(1, 2, 0.25),
        torch.arange(5, 0, -2),
        torch.linspace(0, 1, 5),
        torch.logspace(0, 2, 3),
        torch.zeros_like(torch.ones(2)),
        torch.ones_like(torch.arange(2)),
        torch.full_like(torch.ones(2), 4),
        torch.from_numpy(np.arange(4.0)),
        torch.as_tensor([1, 2]),
        torch.tensor([]),
        torch.Tensor([1, 2]),
        torch.empty(0).shape[0],
        torch.ones(2).new_zeros(3),
        torch.ones(2).new_tensor([1, 2]),
        torch.tensor([1, 2], dtype=torch.float32),
        torch.tril_indices(3, 3),
        torch.FloatTensor([1]),
        torch.LongTensor([1, 2]),
        torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij"),
        torch.meshgrid(torch.arange(2), torch.arange(3), indexing="xy"),
        torch.cartesian_prod(torch.arange(2), torch.arange(3)),
        torch.stack([torch.tensor(1)] * 2),
        torch.tensor([torch.tensor(1.0), torch.tensor(2.0)]),
        torch.complex is not None,
        torch.ones(2, 3).size(),
        torch.ones(2, 3).size(1),
        torch.range(1, 3),
        torch.nn.functional.one_hot(torch.tensor([0, 2]), 3),
    ]


def _text(torch: Any) -> Any:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    return [
        repr(x)
        for x in (
            torch.tensor(3),
            torch.tensor(3.5),
            torch.tensor([1.0, 2.5]),
            torch.tensor([1e-9, 1.0]),
            torch.tensor([1e9, 1.0]),
            torch.tensor([[1, 2], [3, 40]]),
            torch.zeros(2, 2, 2),
            w,
            torch.tensor([True, False]),
            torch.tensor([1.0], dtype=torch.float64),
            torch.tensor([1], dtype=torch.int32),
            torch.arange(2000),
            torch.zeros(20, 100),
            torch.tensor([float("nan"), 1.0]),
            torch.tensor([float("inf"), -1.5]),
            torch.tensor([]),
            torch.zeros(0, 3),
            torch.linspace(0, 1, 15),
            torch.float32,
            torch.tensor([0.1, 100.0]),
            torch.Size([2, 3]),
            torch.device("cpu"),
            torch.tensor([1.0, 2.0]) * 1000.5,
            torch.tensor(1e-5),
            torch.tensor([[0.00001, 2.0]]),
            torch.nn.Parameter(torch.ones(2)),
            torch.tensor([1.0, float("inf")]),
            torch.tensor([-1.0, 2.0]),
            torch.tensor([123456.0, 1.5]),
            torch.max(torch.eye(2), 1),
        )
    ] + [f"{torch.tensor(1.23456):.2f}", str(w.sum().item()), f"{torch.tensor(2.5)}"]


def _in_place(torch: Any) -> Any:
    out = []
    a = torch.zeros(3, 4)
    a[0] = 1
    a[:, 1] = torch.tensor([5.0, 6, 7])
    a[a == 0] = -1
    a[[0, 2], 3] = 9
    a[1:, 2:] += 10
    out.append(a.clone())
    b = a.view(-1)
    b[0] = 100
    a[2].zero_()
    c = a.t()
    c[0, 1] = 55
    a.add_(1).mul_(2).sub_(3).div_(2)
    row = a[1]
    row += 1
    d = a.detach()
    d.clamp_(max=20)
    out += [a, b, c, row, d]
    n = a.numpy()
    a.add_(1)
    out.append(n.copy())
    out[-4] = c.clone()  # other than reshapes, views do not see what numpy writes
    n[0, 0] = -5
    out += [a, b]
    s = np.ones(3, np.float32)
    t = torch.from_numpy(s)
    s[1] = 4
    t.mul_(2)
    out += [t, s]
    w = torch.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    g = w.grad
    (w * w).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w[0] = 7
    out += [w.detach(), w.grad, g, w.is_leaf, w.requires_grad]
    w.grad.zero_()
    (w * 2).sum().backward()
    w.data -= w.grad.data
    w.data[1] = -3
    out += [w.detach().clone(), w.grad]
    w.data = torch.zeros(2)
    w.grad = None
    out += [w.detach().clone(), w.grad is None]
    h = torch.zeros(4)
    h[1] = w.sum() * 2 + 3
    h[2:] = w * 5
    (h * torch.arange(4.0)).sum().backward()
    out += [h.detach(), w.grad]
    x = torch.ones(2, 2)
    x.fill_(3).exp_().sqrt_().neg_().copy_(torch.eye(2))
    x.masked_fill_(x == 0, 2).fill_diagonal_(4).transpose_(0, 1).pow_(2)
    y = x.unsqueeze(0)
    x.index_fill_(0, torch.tensor([1]), 8.0)
    out += [x, y]
    i = torch.arange(4)
    i += 2
    i //= 2
    i[i > 1] = 0
    out.append(i)
    return out


def _memory(torch: Any) -> Any:
    """Strides, and which operations copy."""
    x = torch.arange(24.0).view(2, 3, 4)
    out: list[Any] = []
    for v in (
        x,
        x.transpose(0, 2),
        x[:, 1],
        x[1],
        x[..., ::2],
        x[None, 0],
        x.permute(1, 0, 2),
    ):
        out += [list(v.stride()), v.is_contiguous(), v.contiguous().is_contiguous()]
    flat = x.transpose(0, 2).reshape(-1)
    flat[0] = 100
    kept = x.transpose(0, 2).contiguous()
    kept[1] = 50
    shared = x.reshape(6, 4)
    shared[5, 3] = -1
    return [*out, x, flat, kept]


def _autograd(torch: Any) -> Any:
    out = []
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x**3).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    out += [g.detach(), h]
    y = x * x
    y.retain_grad()
    z = y.sum()
    z.backward(retain_graph=True)
    z.backward()
    out += [x.grad.clone(), y.grad, y.is_leaf, z.grad_fn is not None, x.grad_fn is None]
    x.grad = None
    (x * 2).backward(torch.tensor([1.0, 10.0, 100.0]))
    out.append(x.grad.clone())
    with torch.no_grad():
        out.append((x * 2).requires_grad)
    with torch.set_grad_enabled(False):
        out.append((x * 2).requires_grad)

    @torch.no_grad()
    def f(v: Any) -> Any:
        return (v * 2).requires_grad

    out += [
        f(x),
        (x * 2).requires_grad,
        (x.detach() * 2).requires_grad,
        torch.is_grad_enabled(),
    ]
    x.grad = None
    seen = []
    handle = x.register_hook(lambda g: g * 2)
    w = x * 3
    w.register_hook(lambda g: seen.append(g.clone()))
    (w * w).sum().backward()
    handle.remove()
    out += [x.grad.clone(), seen]
    out.append(
        torch.autograd.functional.jacobian(lambda v: v**2, torch.tensor([1.0, 2.0]))
    )
    out.append(
        torch.autograd.functional.hessian(
            lambda v: (v**3).sum(), torch.tensor([1.0, 2.0])
        )
    )
    out.append(torch.func.grad(lambda v: torch.sin(v))(torch.tensor(1.0)))
    out.append(torch.func.grad(torch.func.grad(lambda v: v**3))(torch.tensor(2.0)))

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, v: Any) -> Any:
            ctx.save_for_backward(v)
            return v**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (v,) = ctx.saved_tensors
            return g * 3 * v**2

    x.grad = None
    Cube.apply(x).sum().backward()
    out.append(x.grad.clone())
    a = torch.tensor(2.0, requires_grad=True)
    b = a.detach() * a
    b.backward()
    out.append(a.grad)
    return out


def _errors(torch: Any) -> Any:
    w = torch.ones(2, requires_grad=True)
    attempts: list[Case] = [
        lambda t: t.ones(2, 3) @ t.ones(2, 3),
        lambda t: t.ones(3) + t.ones(2),
        lambda t: w.add_(1),
        lambda t: w.numpy(),
        lambda t: (w * 2).backward(),
        lambda t: t.ones(2).sum().backward(),
        lambda t: t.ones(2).view(3),
        lambda t: t.ones(2)[5],
        lambda t: bool(t.ones(2)),
        lambda t: t.ones(2).item(),
        lambda t: t.arange(3).mean(),
        lambda t: t.tensor([1, 2], requires_grad=True),
        lambda t: t.cat([t.ones(2, 3), t.ones(2, 4)]),
        lambda t: t.ones(2, 3).sum(5),
        lambda t: t.nn.Linear(3, 2)(t.ones(4, 5)),
        lambda t: t.nn.CrossEntropyLoss()(t.ones(4, 5), t.tensor([0, 1, 2, 9])),
        lambda t: t.tensor([1, 2]).add_(1.5),
        lambda t: t.no_such_name,
        lambda t: len(t.tensor(1)),
        lambda t: t.stack([t.ones(2), t.ones(3)]),
        lambda t: t.tensor("text"),
        lambda t: t.nn.Module()(1),
        lambda t: t.optim.SGD([], lr=0.1),
        lambda t: t.optim.Adam([w], lr=-1.0),
    ]
    found = []
    for attempt in attempts:
        try:
            attempt(torch)
        except Exception as error:
            found.append(
                next(
                    k.__name__
                    for k in (
                        IndexError,
                        AttributeError,
                        NotImplementedError,
                        RuntimeError,
                        TypeError,
                        ValueError,
                    )
                    if isinstance(error, k)
                )
            )
        else:
            found.append("no error")
    return found


OPS.update(
    values=_values,
    creation=_creation,
    text=_text,
    in_place=_in_place,
    memory=_memory,
    autograd=_autograd,
    errors=_errors,
)
