"""Layers, losses, optimizers, schedules and whole trainings, for either library."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from torch_cases import Case, array, gradients

LAYERS: dict[str, Case] = {}


def fill(torch: Any, module: Any, scale: float = 0.5) -> Any:
    """Parameters that do not depend on the library's random numbers."""
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(torch.tensor(array(*p.shape, seed=50 + i) * scale))
    return module


def layer(
    make: Callable[..., Any], *shapes: tuple[int, ...], ints: int | None = None
) -> Case:
    """Text, names, output, gradients of inputs and parameters, buffers, evaluation."""

    def run(torch: Any) -> Any:
        module = fill(torch, make(torch))
        if ints is not None:
            x = [torch.tensor(np.random.default_rng(0).integers(0, ints, shapes[0]))]
        else:
            x = [
                torch.tensor(array(*s, seed=i)).requires_grad_()
                for i, s in enumerate(shapes)
            ]
        y = module(*x)
        flat = [v for v in _flat(y)]
        loss = sum((v * torch.tensor(array(*v.shape, seed=9))).sum() for v in flat)
        if loss.requires_grad:
            loss.backward()
        state = module.state_dict()
        module.eval()
        return [
            repr(module),
            list(state),
            [v.clone() for v in state.values()],
            [v.detach() for v in flat],
            [v.grad for v in x],
            [p.grad for p in module.parameters()],
            [v.detach() for v in _flat(module(*x))],
        ]

    return run


def _flat(y: Any) -> list[Any]:
    if isinstance(y, tuple | list):
        return [v for part in y for v in _flat(part)]
    return [] if y is None else [y]


def _acts(**arguments: Any) -> None:
    for name, args in arguments.items():
        LAYERS[f"{name}{args or ''}"] = layer(
            lambda t, name=name, args=args: getattr(t.nn, name)(*args), (3, 4)
        )


_acts(
    ReLU=(),
    ReLU6=(),
    LeakyReLU=(0.2,),
    ELU=(1.5,),
    SELU=(),
    CELU=(2.0,),
    GELU=("tanh",),
    SiLU=(),
    Mish=(),
    Softplus=(2, 3),
    Softsign=(),
    Hardtanh=(-0.5, 1),
    Hardsigmoid=(),
    Hardswish=(),
    Tanh=(),
    Sigmoid=(),
    LogSigmoid=(),
    Tanhshrink=(),
    Softshrink=(0.3,),
    Hardshrink=(0.3,),
    Threshold=(0.1, 5),
    GLU=(),
    Softmax=(1,),
    Softmin=(0,),
    LogSoftmax=(-1,),
    PReLU=(),
    Identity=(),
    Flatten=(0,),
)
LAYERS["GELU_exact"] = layer(lambda t: t.nn.GELU(), (3, 4))
LAYERS["DataParallel"] = layer(
    lambda t: t.nn.parallel.DataParallel(t.nn.Linear(4, 2)), (3, 4)
)
LAYERS["scatter_number"] = lambda t: t.zeros(4).scatter_(0, t.tensor(2), value=1.0)
LAYERS["ReLU_inplace"] = layer(
    lambda t: t.nn.Sequential(t.nn.Linear(4, 4), t.nn.ReLU(True)), (3, 4)
)
LAYERS.update(
    linear=layer(lambda t: t.nn.Linear(4, 3), (5, 4)),
    linear_3d=layer(lambda t: t.nn.Linear(4, 3, bias=False), (2, 5, 4)),
    linear_1d=layer(lambda t: t.nn.Linear(4, 3), (4,)),
    linear_64=lambda t: t.nn.Linear(2, 2, dtype=t.float64).weight.dtype == t.float64,
    bilinear=layer(lambda t: t.nn.Bilinear(3, 4, 2), (5, 3), (5, 4)),
    conv2d=layer(lambda t: t.nn.Conv2d(3, 4, 3), (2, 3, 7, 6)),
    conv2d_options=layer(
        lambda t: t.nn.Conv2d(
            4, 6, (3, 2), stride=2, padding=(1, 2), dilation=2, groups=2
        ),
        (2, 4, 9, 8),
    ),
    conv2d_same=layer(lambda t: t.nn.Conv2d(2, 3, 4, padding="same"), (2, 2, 6, 7)),
    conv2d_reflect=layer(
        lambda t: t.nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", bias=False),
        (1, 2, 5, 5),
    ),
    conv2d_circular=layer(
        lambda t: t.nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular"),
        (1, 2, 5, 5),
    ),
    conv2d_depthwise=layer(lambda t: t.nn.Conv2d(3, 6, 3, groups=3), (2, 3, 5, 5)),
    conv2d_single=layer(lambda t: t.nn.Conv2d(2, 3, 2), (2, 4, 4)),
    conv1d=layer(lambda t: t.nn.Conv1d(2, 3, 3, padding=1, stride=2), (2, 2, 8)),
    conv3d=layer(lambda t: t.nn.Conv3d(1, 2, 2), (2, 1, 4, 3, 3)),
    convt2d=layer(lambda t: t.nn.ConvTranspose2d(3, 2, 3), (2, 3, 4, 5)),
    convt2d_options=layer(
        lambda t: t.nn.ConvTranspose2d(
            4, 6, 3, stride=2, padding=1, output_padding=1, groups=2
        ),
        (2, 4, 4, 3),
    ),
    convt2d_wide=layer(lambda t: t.nn.ConvTranspose2d(2, 3, 2, stride=3), (1, 2, 3, 3)),
    convt2d_dilated=layer(
        lambda t: t.nn.ConvTranspose2d(2, 3, 3, dilation=2, padding=2), (1, 2, 4, 4)
    ),
    convt1d=layer(
        lambda t: t.nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1), (2, 2, 5)
    ),
    convt3d=layer(lambda t: t.nn.ConvTranspose3d(1, 2, 2, stride=2), (1, 1, 2, 3, 2)),
    maxpool2d=layer(lambda t: t.nn.MaxPool2d(2), (2, 3, 6, 7)),
    maxpool2d_options=layer(
        lambda t: t.nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (2, 3, 6, 7)
    ),
    maxpool1d=layer(lambda t: t.nn.MaxPool1d(3, 2), (2, 3, 9)),
    maxpool3d=layer(lambda t: t.nn.MaxPool3d(2), (1, 2, 4, 4, 4)),
    avgpool2d=layer(lambda t: t.nn.AvgPool2d(2), (2, 3, 6, 7)),
    avgpool2d_options=layer(
        lambda t: t.nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        (2, 3, 6, 7),
    ),
    avgpool2d_padded=layer(
        lambda t: t.nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 3, 6, 7)
    ),
    avgpool1d=layer(lambda t: t.nn.AvgPool1d(2), (2, 3, 6)),
    adaptive_avg=layer(lambda t: t.nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 7, 5)),
    adaptive_one=layer(lambda t: t.nn.AdaptiveAvgPool2d(1), (2, 3, 7, 5)),
    adaptive_none=layer(lambda t: t.nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 7, 5)),
    adaptive_max=layer(lambda t: t.nn.AdaptiveMaxPool2d((3, 2)), (2, 3, 7, 5)),
    adaptive_avg1d=layer(lambda t: t.nn.AdaptiveAvgPool1d(4), (2, 3, 7)),
    zeropad=layer(lambda t: t.nn.ZeroPad2d((1, 2, 0, 1)), (1, 2, 3, 3)),
    constantpad=layer(lambda t: t.nn.ConstantPad1d(2, 3.5), (1, 2, 3)),
    reflectpad=layer(lambda t: t.nn.ReflectionPad2d(2), (1, 2, 4, 4)),
    replicatepad=layer(lambda t: t.nn.ReplicationPad2d((1, 2, 3, 0)), (1, 2, 4, 4)),
    upsample=layer(lambda t: t.nn.Upsample(scale_factor=2), (1, 2, 3, 4)),
    upsample_bilinear=layer(
        lambda t: t.nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4)
    ),
    upsample_corners=layer(
        lambda t: t.nn.Upsample(size=(5, 7), mode="bilinear", align_corners=True),
        (1, 2, 3, 4),
    ),
    pixelshuffle=layer(lambda t: t.nn.PixelShuffle(2), (1, 8, 3, 2)),
    unfold=layer(lambda t: t.nn.Unfold(3, padding=1, stride=2), (1, 2, 5, 5)),
    batchnorm1d=layer(lambda t: t.nn.BatchNorm1d(4), (6, 4)),
    batchnorm1d_3=layer(lambda t: t.nn.BatchNorm1d(3), (4, 3, 5)),
    batchnorm2d=layer(lambda t: t.nn.BatchNorm2d(3), (2, 3, 4, 5)),
    batchnorm2d_options=layer(
        lambda t: t.nn.BatchNorm2d(3, eps=1e-3, momentum=None, affine=False),
        (2, 3, 4, 5),
    ),
    batchnorm_untracked=layer(
        lambda t: t.nn.BatchNorm1d(4, track_running_stats=False), (6, 4)
    ),
    layernorm=layer(lambda t: t.nn.LayerNorm(4), (3, 5, 4)),
    layernorm_2=layer(lambda t: t.nn.LayerNorm((5, 4), bias=False), (3, 5, 4)),
    layernorm_plain=layer(
        lambda t: t.nn.LayerNorm(4, elementwise_affine=False), (3, 4)
    ),
    groupnorm=layer(lambda t: t.nn.GroupNorm(2, 6), (2, 6, 3, 3)),
    instancenorm=layer(lambda t: t.nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    instancenorm_tracked=layer(
        lambda t: t.nn.InstanceNorm1d(3, track_running_stats=True), (2, 3, 4)
    ),
    rmsnorm=layer(lambda t: t.nn.RMSNorm(4), (3, 4)),
    embedding=layer(lambda t: t.nn.Embedding(7, 3), (2, 5), ints=7),
    embedding_padding=layer(
        lambda t: t.nn.Embedding(7, 3, padding_idx=2), (2, 5), ints=7
    ),
    embeddingbag=layer(lambda t: t.nn.EmbeddingBag(7, 3, mode="sum"), (2, 5), ints=7),
    dropout_eval=layer(lambda t: t.nn.Dropout(0.0), (3, 4)),
    rnn=layer(lambda t: t.nn.RNN(3, 4), (5, 2, 3)),
    rnn_relu=layer(
        lambda t: t.nn.RNN(3, 4, 2, nonlinearity="relu", batch_first=True), (2, 5, 3)
    ),
    rnn_single=layer(lambda t: t.nn.RNN(3, 4), (5, 3)),
    lstm=layer(lambda t: t.nn.LSTM(3, 4, batch_first=True), (2, 5, 3)),
    lstm_deep=layer(lambda t: t.nn.LSTM(3, 4, 2, bidirectional=True), (5, 2, 3)),
    lstm_unbiased=layer(lambda t: t.nn.LSTM(3, 4, bias=False), (5, 2, 3)),
    gru=layer(lambda t: t.nn.GRU(3, 4, batch_first=True), (2, 5, 3)),
    gru_deep=layer(lambda t: t.nn.GRU(3, 4, 2, bidirectional=True), (5, 2, 3)),
    gru_unbiased=layer(lambda t: t.nn.GRU(3, 4, bias=False), (5, 2, 3)),
    rnn_state=layer(lambda t: t.nn.RNN(3, 4), (5, 2, 3), (1, 2, 4)),
    rnncell=layer(lambda t: t.nn.RNNCell(3, 4), (2, 3), (2, 4)),
    lstmcell=layer(lambda t: t.nn.LSTMCell(3, 4), (2, 3)),
    grucell=layer(lambda t: t.nn.GRUCell(3, 4), (2, 3), (2, 4)),
    attention=layer(
        lambda t: t.nn.MultiheadAttention(4, 2, batch_first=True),
        (2, 3, 4),
        (2, 5, 4),
        (2, 5, 4),
    ),
    attention_time=layer(
        lambda t: t.nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
        (3, 2, 4),
        (5, 2, 3),
        (5, 2, 5),
    ),
    encoder=layer(
        lambda t: t.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
        (2, 3, 4),
    ),
    encoder_first=layer(
        lambda t: t.nn.TransformerEncoder(
            t.nn.TransformerEncoderLayer(4, 2, 8, 0.0, "gelu", norm_first=True),
            2,
            enable_nested_tensor=False,
        ),
        (3, 2, 4),
    ),
    decoder=layer(
        lambda t: t.nn.TransformerDecoderLayer(4, 2, 8, dropout=0.0),
        (3, 2, 4),
        (5, 2, 4),
    ),
    sequential=layer(
        lambda t: t.nn.Sequential(
            t.nn.Conv2d(1, 2, 3),
            t.nn.BatchNorm2d(2),
            t.nn.ReLU(),
            t.nn.MaxPool2d(2),
            t.nn.Flatten(),
            t.nn.Linear(8, 3),
        ),
        (2, 1, 6, 6),
    ),
)


# ---------------------------------------------------------------- losses

LOSSES: dict[str, Case] = {}


def loss(
    name: str, *targets: Any, shape: tuple[int, ...] = (5, 4), **options: Any
) -> None:
    """Value and gradient for all three reductions."""

    def run(torch: Any) -> Any:
        out = []
        for reduction in ("mean", "sum", "none"):
            x = torch.tensor(array(*shape)).requires_grad_()
            made = {
                k: torch.tensor(v) if isinstance(v, np.ndarray) else v
                for k, v in options.items()
            }
            rest = [
                torch.tensor(t) if isinstance(t, np.ndarray) else t for t in targets
            ]
            prepared = made.pop("prepare", None)
            given = prepared(torch, x) if prepared else x
            f = getattr(torch.nn, name)(reduction=reduction, **made)
            y = f(given, *rest)
            (y * torch.tensor(array(*y.shape, seed=7))).sum().backward()
            out += [y.detach(), x.grad, repr(f)]
        return out

    LOSSES[f"{name}-{len(LOSSES)}"] = run


_classes = np.array([0, 3, 1, 1, 2])
_soft = np.abs(array(5, 4, seed=3))
_soft /= _soft.sum(1, keepdims=True)
_binary = (array(5, 4, seed=4) > 0).astype(np.float32)
_signs = np.sign(array(5, seed=4))
_other = array(5, 4, seed=5)


def _sig(torch: Any, x: Any) -> Any:
    return torch.sigmoid(x)


def _logs(torch: Any, x: Any) -> Any:
    return torch.log_softmax(x, 1)


for _name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"):
    loss(_name, _other)
loss("SmoothL1Loss", _other, beta=0.5)
loss("HuberLoss", _other, delta=0.7)
loss("CrossEntropyLoss", _classes)
loss("CrossEntropyLoss", _classes, weight=np.array([1, 2, 0.5, 3], np.float32))
loss("CrossEntropyLoss", _classes, ignore_index=1)
loss("CrossEntropyLoss", _classes, label_smoothing=0.2)
loss(
    "CrossEntropyLoss",
    _classes,
    label_smoothing=0.2,
    ignore_index=1,
    weight=np.array([1, 2, 0.5, 3], np.float32),
)
loss("CrossEntropyLoss", _soft)
loss(
    "CrossEntropyLoss",
    _soft,
    label_smoothing=0.1,
    weight=np.array([1, 2, 0.5, 3], np.float32),
)
loss("CrossEntropyLoss", np.array([[0, 1, 2], [3, 3, 0]]), shape=(2, 4, 3))
loss("CrossEntropyLoss", np.array(2), shape=(4,))
loss("NLLLoss", _classes, prepare=_logs)
loss("NLLLoss", _classes, prepare=_logs, weight=np.array([1, 2, 0.5, 3], np.float32))
loss("BCELoss", _binary, prepare=_sig)
loss("BCELoss", _soft, prepare=_sig, weight=np.array([1, 2, 0.5, 3], np.float32))
loss("BCEWithLogitsLoss", _binary)
loss("BCEWithLogitsLoss", _binary, pos_weight=np.array([1, 2, 0.5, 3], np.float32))
loss("KLDivLoss", _soft, prepare=_logs)
loss("KLDivLoss", np.log(_soft), prepare=_logs, log_target=True)
loss("PoissonNLLLoss", np.abs(_other).round())
loss("PoissonNLLLoss", np.abs(_other).round() * 2, full=True)
loss("GaussianNLLLoss", _other, np.abs(array(5, 4, seed=6)), full=True)
loss("HingeEmbeddingLoss", np.sign(_other))
loss("SoftMarginLoss", np.sign(_other))
loss("MarginRankingLoss", _other, np.sign(array(5, 4, seed=8)), margin=0.3)
loss("MultiMarginLoss", _classes)
loss("MultiMarginLoss", _classes, p=2, margin=0.5)
loss("MultiLabelSoftMarginLoss", _binary)
loss("CosineEmbeddingLoss", _other, _signs, margin=0.1)
loss("TripletMarginLoss", _other, array(5, 4, seed=8), margin=0.5)
loss("TripletMarginLoss", _other, array(5, 4, seed=8), swap=True, p=1)
LOSSES["batchmean"] = gradients(
    lambda t, x: t.nn.functional.kl_div(
        t.log_softmax(x, 1), t.softmax(x.detach() * 2, 1), reduction="batchmean"
    ),
    (3, 4),
)
LOSSES["cosine_similarity"] = gradients(
    lambda t, x, y: t.nn.functional.cosine_similarity(x, y), (3, 4), (3, 4)
)
LOSSES["pairwise"] = gradients(
    lambda t, x, y: t.nn.PairwiseDistance(2)(x, y), (3, 4), (3, 4)
)
LOSSES["normalize"] = gradients(
    lambda t, x: t.nn.functional.normalize(x, dim=1), (3, 4)
)
LOSSES["attention"] = gradients(
    lambda t, q, k: t.nn.functional.scaled_dot_product_attention(
        q, k, k, is_causal=True
    ),
    (2, 3, 4),
    (2, 3, 4),
)
LOSSES["bce_edge"] = lambda t: t.nn.BCELoss(reduction="none")(
    t.tensor([0.0, 1.0, 0.0, 1.0]), t.tensor([0.0, 1.0, 1.0, 0.0])
)


# ---------------------------------------------------------------- optimizers

OPTIMIZERS: dict[str, Case] = {}


def optimizer(name: str, steps: int = 20, **options: Any) -> None:
    """Weights and state after some steps; halfway through a copy takes over."""

    def run(torch: Any) -> Any:
        out = []
        model = fill(
            torch,
            torch.nn.Sequential(
                torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)
            ),
        )
        model.append(torch.nn.Linear(1, 1))  # never used: no gradient
        x, y = torch.tensor(array(6, 3)), torch.tensor(array(6, 2, seed=1))
        if name == "LBFGS":  # float32 rounding changes its path
            model, x, y = model.double(), x.double(), y.double()
        opt = getattr(torch.optim, name)(model.parameters(), **options)

        def closure() -> Any:
            opt.zero_grad()
            value = ((model[2](model[1](model[0](x))) - y) ** 2).mean()
            value.backward()
            return value

        for i in range(steps):
            if i == steps // 2:
                saved = copy.deepcopy(opt.state_dict())
                opt = getattr(torch.optim, name)(model.parameters(), **options)
                opt.load_state_dict(saved)
            if name == "LBFGS":
                out.append(float(opt.step(closure)))
                continue
            closure()
            opt.step()
        out += [p.detach() for p in model[0].parameters()]
        out += [p.detach() for p in model[2].parameters()]
        if name != "LBFGS":
            state = opt.state_dict()["state"]
            out.append([sorted(s) for s in state.values() if s])
        return out

    OPTIMIZERS[f"{name}{options or ''}"] = run


optimizer("SGD", lr=0.1)
optimizer("SGD", lr=0.1, momentum=0.9)
optimizer("SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
optimizer("SGD", 6, lr=0.1, momentum=0.5, dampening=0.3, maximize=True)
optimizer("Adam", lr=0.05)
optimizer("Adam", lr=0.05, weight_decay=0.1, amsgrad=True, betas=(0.8, 0.99), eps=1e-3)
optimizer("AdamW", lr=0.05)
optimizer("AdamW", lr=0.05, weight_decay=0.2, amsgrad=True, maximize=True)
optimizer("RMSprop", lr=0.01)
optimizer("RMSprop", lr=0.01, momentum=0.9, centered=True, weight_decay=0.1, alpha=0.9)
optimizer("RMSprop", lr=0.01, centered=True)
optimizer("Adagrad", lr=0.1)
optimizer(
    "Adagrad", lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5
)
optimizer("Adadelta", lr=1.0)
optimizer("Adadelta", lr=0.5, rho=0.8, weight_decay=0.1)
optimizer("Adamax", lr=0.05)
optimizer("Adamax", lr=0.05, weight_decay=0.1)
optimizer("NAdam", lr=0.05)
optimizer("NAdam", lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)
optimizer("RAdam", lr=0.05)
optimizer("RAdam", lr=0.05, weight_decay=0.1)
optimizer("LBFGS", 4, lr=0.1, max_iter=4)
optimizer("LBFGS", 4, line_search_fn="strong_wolfe", history_size=5)


def _groups(torch: Any) -> Any:
    a, b, c = (torch.nn.Parameter(torch.tensor(array(3, seed=i))) for i in range(3))
    opt = torch.optim.SGD(
        [{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1, momentum=0.9
    )
    opt.add_param_group({"params": [c], "weight_decay": 0.3})
    for _ in range(3):
        opt.zero_grad()
        (a * b * c).sum().backward()
        opt.step()
    opt.zero_grad(set_to_none=False)
    return [
        a.detach(),
        b.detach(),
        c.detach(),
        a.grad,
        len(opt.param_groups),
        [g["lr"] for g in opt.param_groups],
        opt.state_dict()["param_groups"][1]["params"],
    ]


OPTIMIZERS["groups"] = _groups


def _printed(torch: Any) -> Any:
    texts = []
    for name in ("SGD", "Adam"):
        a, b = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
        groups = [{"params": [a]}, {"params": [b], "lr": 0.5}]
        texts.append(repr(getattr(torch.optim, name)(groups, lr=0.1)))
    return texts


OPTIMIZERS["printed"] = _printed


def _chained(torch: Any) -> Any:
    rates = []
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    s = torch.optim.lr_scheduler
    chain = s.ChainedScheduler([s.ConstantLR(opt, 0.1, 4), s.ExponentialLR(opt, 0.9)])
    saved = chain.state_dict()
    for i in range(9):
        if i == 5:
            saved = copy.deepcopy(chain.state_dict())
        opt.step()
        chain.step()
        rates += chain.get_last_lr()
    chain.load_state_dict(saved)
    chain.step()
    return rates + chain.get_last_lr()


OPTIMIZERS["ChainedScheduler"] = _chained


def schedule(
    name: str, *args: Any, steps: int = 12, opt: str = "SGD", **options: Any
) -> None:
    def run(torch: Any) -> Any:
        p = torch.nn.Parameter(torch.zeros(1))
        more = {"momentum": 0.9} if opt == "SGD" else {}
        optimizer = getattr(torch.optim, opt)([p], lr=0.1, **more)
        s = getattr(torch.optim.lr_scheduler, name)(optimizer, *args, **options)
        rates = []
        for i in range(steps):
            optimizer.step()
            group = optimizer.param_groups[0]
            rates += [group["lr"], group.get("momentum", group.get("betas", [0])[0])]
            s.step(*([1.0 / (1 + i // 3)] if name == "ReduceLROnPlateau" else []))
        return [*rates, s.get_last_lr()[0]]

    OPTIMIZERS[f"{name}{args}{options}"] = run


schedule("StepLR", 3, 0.5)
schedule("MultiStepLR", [2, 5, 5], gamma=0.3)
schedule("ExponentialLR", 0.9)
schedule("CosineAnnealingLR", 5, eta_min=0.01)
schedule("CosineAnnealingWarmRestarts", 3, 2)
schedule("LambdaLR", lambda e: 0.9**e)
schedule("MultiplicativeLR", lambda e: 0.9)
schedule("LinearLR", 0.2, total_iters=4)
schedule("ConstantLR", 0.5, 3)
schedule("PolynomialLR", 6, 2.0)
schedule("OneCycleLR", 1.0, total_steps=13)
schedule(
    "OneCycleLR",
    1.0,
    total_steps=13,
    three_phase=True,
    anneal_strategy="linear",
    opt="Adam",
)
schedule("CyclicLR", 0.01, 0.1, 3, mode="triangular2")
schedule("CyclicLR", 0.01, 0.1, 3, mode="exp_range", gamma=0.9, cycle_momentum=False)
schedule("ReduceLROnPlateau", patience=1, factor=0.5)


def _sequential_schedule(torch: Any) -> Any:
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    s = torch.optim.lr_scheduler
    both = s.SequentialLR(
        opt, [s.LinearLR(opt, 0.1, total_iters=3), s.ExponentialLR(opt, 0.5)], [4]
    )
    rates = []
    for _ in range(9):
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        both.step()
    return rates


OPTIMIZERS["SequentialLR"] = _sequential_schedule


# ---------------------------------------------------------------- whole programs

PROGRAMS: dict[str, Case] = {}


def program(f: Case) -> Case:
    PROGRAMS[f.__name__] = f
    return f


@program
def two_layer_net(torch: Any) -> Any:
    """The lecture's network, with softmax before CrossEntropyLoss."""

    class TwoLayerNet(torch.nn.Module):
        def __init__(self, d_in: int, hidden: int, d_out: int) -> None:
            super(TwoLayerNet, self).__init__()  # noqa: UP008
            self.linear1 = torch.nn.Linear(d_in, hidden)
            self.linear2 = torch.nn.Linear(hidden, d_out)

        def forward(self, x: Any) -> Any:
            x = x.view(-1, 12)
            h = torch.nn.functional.sigmoid(self.linear1(x))
            return torch.nn.functional.softmax(self.linear2(h), dim=1)

    model = fill(torch, TwoLayerNet(12, 5, 4))
    x, y = torch.tensor(array(6, 2, 2, 3)), torch.tensor([0, 1, 2, 3, 0, 1])
    loss_fn = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        y_pred = model(x)
        value = loss_fn(y_pred, y)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    with torch.no_grad():
        accuracy = (model(x).argmax(dim=1) == y).float().mean().item()
    return [losses, accuracy, str(model), sum(p.numel() for p in model.parameters())]


@program
def by_hand(torch: Any) -> Any:
    """Gradient descent without nn."""
    x = torch.linspace(-1, 1, 20).reshape(-1, 1)
    y = 3 * x + 0.5
    w = torch.zeros(1, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for _ in range(50):
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= 0.3 * w.grad
            b -= 0.3 * b.grad
            w.grad.zero_()
            b.grad = None
    return [w.detach(), b.detach(), float(loss), w.item()]


@program
def loader_loop(torch: Any) -> Any:
    """Data loaders, a convolutional net, evaluation, saving the best state."""
    data = torch.utils.data
    x, y = torch.tensor(array(24, 1, 8, 8)), torch.tensor(np.arange(24) % 3)
    train = data.DataLoader(data.TensorDataset(x, y), batch_size=10)
    nn = torch.nn
    model = fill(
        torch,
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 16),
            nn.ReLU(),
            nn.Dropout(0.0),
            nn.Linear(16, 3),
        ),
        0.3,
    )
    opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    sched = torch.optim.lr_scheduler.StepLR(opt, 2, 0.5)
    history, best, kept = [], math.inf, None
    for _ in range(4):
        model.train()
        running = 0.0
        for inputs, labels in train:
            opt.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            running += loss.item() * inputs.size(0)
        sched.step()
        model.eval()
        correct = total = 0
        with torch.no_grad():
            for inputs, labels in train:
                _, predicted = torch.max(model(inputs).data, 1)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
        history += [running / len(train.dataset), correct / total]
        if running < best:
            best, kept = running, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return [history, [v.clone() for v in model.state_dict().values()], len(train)]


@program
def module_rules(torch: Any) -> Any:
    """Registration, listing, state, modes, hooks."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 3)
            self.scale = nn.Parameter(torch.ones(3))
            self.register_buffer("count", torch.zeros(1))
            self.register_buffer("hidden", torch.zeros(1), persistent=False)
            self.items = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
            self.named = nn.ModuleDict({"act": nn.ReLU(), "out": nn.Linear(3, 1)})
            self.shared = self.a
            self.plist = nn.ParameterList([nn.Parameter(torch.zeros(2))])
            self.note = "text"

        def forward(self, x: Any) -> Any:
            x = self.a(x) * self.scale
            for m in self.items:
                x = x + m(x)
            self.count += 1
            return self.named["out"](self.named["act"](x))

    m = fill(torch, Block())
    out: list[Any] = [
        [n for n, _ in m.named_parameters()],
        [n for n, _ in m.named_modules()],
        [n for n, _ in m.named_children()],
        [n for n, _ in m.named_buffers()],
        list(m.state_dict()),
        len(list(m.parameters())),
        len(list(m.modules())),
        repr(m),
        m.training,
    ]
    seen = []
    h1 = m.a.register_forward_hook(lambda mod, i, o: seen.append(("f", o.shape)))
    h2 = m.register_forward_pre_hook(lambda mod, i: seen.append(("p", i[0].shape)))
    h3 = m.a.register_full_backward_hook(
        lambda mod, gi, go: seen.append(("b", go[0].sum().detach()))
    )
    y = m(torch.tensor(array(4, 2)).requires_grad_())
    y.sum().backward()
    for h in (h1, h2, h3):
        h.remove()
    out += [[list(s[1]) if s[0] != "b" else s[1] for s in seen], y.detach(), m.count]
    m.zero_grad()
    out += [m.a.weight.grad is None, m.eval().training, m.items[0].training]
    other = Block()
    out.append(str(other.load_state_dict(m.state_dict())))
    out.append(torch.equal(other.a.weight, m.a.weight))
    state = m.state_dict()
    del state["scale"]
    state["extra"] = torch.zeros(1)
    result = other.load_state_dict(state, strict=False)
    out += [result.missing_keys, result.unexpected_keys]
    try:
        other.load_state_dict(state)
    except RuntimeError as error:
        out.append(str(error))
    for p in m.a.parameters():
        p.requires_grad = False
    out.append([p.requires_grad for p in m.parameters()])
    m.double()
    out += [str(m.a.weight.dtype), str(m.to(torch.float32).a.weight.dtype)]
    twin = copy.deepcopy(m)
    with torch.no_grad():
        twin.a.weight.zero_()
    out += [m.a.weight.abs().sum().item() > 0, twin.shared is twin.a]
    m.apply(
        lambda mod: (
            nn.init.constant_(mod.weight, 0.5) if isinstance(mod, nn.Linear) else None
        )
    )
    out += [m.a.weight.detach(), hasattr(m, "nothing"), m.note]
    seq = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    seq.add_module("last", nn.Linear(2, 1))
    out += [len(seq), repr(seq[:2]), [type(k).__name__ for k in seq], repr(seq[-1])]
    return out


@program
def parameter_vectors(torch: Any) -> Any:
    nn = torch.nn
    m = fill(torch, nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
    v = nn.utils.parameters_to_vector(m.parameters())
    nn.utils.vector_to_parameters(v * 2, m.parameters())
    m(torch.ones(1, 2)).sum().backward()
    total = nn.utils.clip_grad_norm_(m.parameters(), 0.5)
    first = [p.grad.clone() for p in m.parameters()]
    nn.utils.clip_grad_value_(m.parameters(), 0.01)
    return [
        v.detach(),
        m[0].weight.detach(),
        total,
        first,
        [p.grad for p in m.parameters()],
    ]


@program
def sequences(torch: Any) -> Any:
    rnn = torch.nn.utils.rnn
    parts = [torch.tensor(array(n, 3, seed=n)) for n in (5, 3, 2)]
    padded = rnn.pad_sequence(parts, batch_first=True)
    lstm = fill(torch, torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True))
    packed = rnn.pack_padded_sequence(padded, [5, 3, 2], batch_first=True)
    y, (h, c) = lstm(packed)
    back, lengths = rnn.pad_packed_sequence(y, batch_first=True)
    return [
        padded,
        packed.batch_sizes,
        packed.data,
        back.detach(),
        lengths,
        h.detach(),
        c.detach(),
    ]


@program
def attention_masks(torch: Any) -> Any:
    m = fill(torch, torch.nn.MultiheadAttention(4, 2, batch_first=True))
    x = torch.tensor(array(2, 3, 4))
    causal = torch.triu(torch.ones(3, 3), 1).bool()
    padding = torch.tensor([[False, False, True], [False, False, False]])
    a, w = m(x, x, x, attn_mask=causal)
    b, _ = m(x, x, x, key_padding_mask=padding, need_weights=False)
    c, heads = m(x, x, x, average_attn_weights=False)
    d, _ = m(x[0], x[0], x[0])
    return [v.detach() for v in (a, w, b, c, heads, d)]


@program
def datasets(torch: Any) -> Any:
    data = torch.utils.data

    class Squares(data.Dataset):
        def __len__(self) -> int:
            return 7

        def __getitem__(self, i: int) -> Any:
            return {
                "x": float(i),
                "n": i,
                "name": f"s{i}",
                "a": np.ones(2, np.float32) * i,
            }

    out: list[Any] = [list(data.DataLoader(Squares(), batch_size=3))]
    out.append(len(data.DataLoader(Squares(), batch_size=3, drop_last=True)))
    both = data.ConcatDataset([Squares(), Squares()])
    out += [len(both), both[9]["n"], len(data.Subset(both, [1, 2])), both[-1]["n"]]
    parts = data.random_split(range(10), [0.5, 0.3, 0.2])
    out += [[len(p) for p in parts], sorted(i for p in parts for i in p)]
    t = data.TensorDataset(torch.arange(6), torch.arange(6) * 2)
    out.append(sorted(x.item() for x, _ in data.DataLoader(t, shuffle=True)))
    out.append([b for b in data.DataLoader(t, batch_sampler=[[0, 1], [5]])])
    out.append(
        [b for b in data.DataLoader(t, batch_size=4, collate_fn=lambda s: len(s))]
    )
    out.append(list(data.DataLoader(t, batch_size=None))[3])
    out.append(list(data.BatchSampler(data.SequentialSampler(range(5)), 2, False)))
    out.append(len(list(data.WeightedRandomSampler([0.0, 1.0], 4))))

    class Stream(data.IterableDataset):
        def __iter__(self) -> Any:
            return iter(range(5))

    out.append(list(data.DataLoader(Stream(), batch_size=2)))
    return out


@program
def inits(torch: Any) -> Any:
    """Bounds, deviations and constants of torch.nn.init."""
    init = torch.nn.init
    w = torch.empty(200, 300)
    out: list[Any] = []
    for f, args in (
        (init.xavier_uniform_, ()),
        (init.kaiming_uniform_, (math.sqrt(5),)),
        (init.uniform_, (-3, 2)),
    ):
        f(w, *args)
        out.append(round(w.abs().max().item(), 2))
    for f, args in (
        (init.xavier_normal_, (2.0,)),
        (init.kaiming_normal_, ()),
        (init.normal_, (0, 0.3)),
        (init.trunc_normal_, ()),
    ):
        f(w, *args)
        out.append(round(w.std().item(), 2))
    out += [
        init.constant_(torch.empty(2), 3),
        init.eye_(torch.empty(2, 3)),
        init.dirac_(torch.empty(2, 2, 3)),
        init.calculate_gain("leaky_relu", 0.2),
        init.calculate_gain("tanh"),
        init.zeros_(torch.empty(1)),
        init.ones_(torch.empty(1)),
    ]
    q = init.orthogonal_(torch.empty(3, 5))
    out.append((q @ q.T).round(decimals=3) + 0.0)
    c = torch.nn.Conv2d(3, 8, 3)
    out.append(c.weight.abs().max().item() <= 1 / math.sqrt(27))
    return out


@program
def physics(torch: Any) -> Any:
    """A network that solves u' = -u with u(0) = 1: derivatives by inputs."""
    nn = torch.nn
    net = fill(torch, nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)))
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    t = torch.linspace(0, 1, 11).unsqueeze(1).requires_grad_(True)
    for _ in range(20):
        opt.zero_grad()
        u = net(t)
        (du,) = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)
        loss = ((du + u) ** 2).mean() + (net(torch.zeros(1, 1)) - 1).pow(2).mean()
        loss.backward()
        opt.step()
    return [loss.item(), u.detach()]


@program
def autoencoder(torch: Any) -> Any:
    nn = torch.nn
    model = fill(
        torch,
        nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1, output_padding=1),
            nn.Sigmoid(),
        ),
    )
    x = torch.sigmoid(torch.tensor(array(3, 1, 6, 6)))
    opt = torch.optim.RMSprop(model.parameters(), lr=0.01)
    for _ in range(10):
        opt.zero_grad()
        loss = nn.functional.binary_cross_entropy(model(x), x)
        loss.backward()
        opt.step()
    return [loss.item(), model(x).detach()]


@program
def saved(torch: Any) -> Any:
    import io

    file = io.BytesIO()
    opt = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    torch.save(
        {"epoch": 3, "x": torch.arange(3), "opt": opt.state_dict(), "f": 0.1}, file
    )
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.load(file)
    return [
        found["epoch"],
        found["x"],
        found["f"],
        found["opt"]["param_groups"][0]["betas"],
    ]
