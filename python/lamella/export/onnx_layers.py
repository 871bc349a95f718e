"""How products, convolutions, pooling, norms and recurrence are written in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella.export.onnx_ops import CONVERTERS, Op

__all__ = ["CONVERTERS"]


def _no_activation(o: Op) -> None:
    if o.attrs.get("act", "none") != "none":
        raise o.refuse(f"a fused activation {o.attrs['act']!r}")


def matmul(o: Op) -> Any:
    """Write a matrix product, with transposed factors where asked for."""
    _no_activation(o)
    factors = []
    for x, spec, flip in zip(
        o.inputs, o.specs, (o.attrs["ta"], o.attrs["tb"]), strict=False
    ):
        rank = len(spec["shape"])
        if flip:
            perm = [*range(rank - 2), rank - 1, rank - 2]
            x = o.add("Transpose", x, perm=perm)
        factors.append(x)
    y = o.add("MatMul", *factors)
    return o.add("Add", y, o.inputs[2]) if len(o.inputs) > 2 else y


def _weights(o: Op, perm: list[int]) -> str:
    """Return a kernel in ONNX's order of axes; a constant stays one."""
    name = o.inputs[1]
    if name in o.w.arrays:
        return o.w.constant(o.w.arrays[name].transpose(perm))
    return str(o.add("Transpose", name, perm=perm))


def _window(o: Op, size: list[int], shape: list[Any]) -> tuple[dict[str, Any], bool]:
    """Return the attributes of a window, and whether ONNX must find the padding.

    Args:
        o: the op.
        size: sizes of the window.
        shape: sizes of what the window slides over.
    """
    strides, dilation = o.attrs["strides"], o.attrs["dilation"]
    attrs: dict[str, Any] = {"strides": strides, "dilations": dilation}
    padding = o.attrs["padding"]
    if padding == "same" and not all(isinstance(n, int) for n in shape):
        attrs["auto_pad"] = "SAME_UPPER"
        return attrs, True
    before, after = [], []
    for i, k in enumerate(size):
        reach = (k - 1) * dilation[i]
        if padding == "same":
            n = shape[i]
            total = max((-(-n // strides[i]) - 1) * strides[i] + reach + 1 - n, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        elif padding == "causal":
            before.append(reach)
            after.append(0)
        elif padding == "valid":
            before.append(0)
            after.append(0)
        else:
            before.append(o.attrs["before"][i])
            after.append(o.attrs["after"][i])
    attrs["pads"] = [*before, *after]
    return attrs, False


def conv(o: Op) -> Any:
    """Write a convolution."""
    _no_activation(o)
    shape = o.specs[0]["shape"]
    rank = len(shape)
    size = o.specs[1]["shape"][:-2]
    attrs, _ = _window(o, size, shape[1:-1])
    w = _weights(o, [rank - 1, rank - 2, *range(rank - 2)])
    bias = o.inputs[2:3]
    y = o.add(
        "Conv",
        o.move(o.inputs[0], rank, True),
        w,
        *bias,
        kernel_shape=size,
        group=o.attrs["groups"],
        **attrs,
    )
    return o.move(y, rank, False)


def conv_transpose(o: Op) -> Any:
    """Write a transposed convolution: the gradient of one with respect to its input."""
    _no_activation(o)
    shape, result = o.specs[0]["shape"], o.attrs["x_shape"]
    rank = len(shape)
    size = o.specs[1]["shape"][:-2]
    if not all(isinstance(n, int) for n in [*shape[1:-1], *result[1:-1]]):
        raise o.refuse("a transposed convolution of an unknown size")
    attrs, _ = _window(o, size, result[1:-1])
    pads = [max(p, 0) for p in attrs.pop("pads")]
    axes = rank - 2
    extra = []
    for i, k in enumerate(size):
        reach = (k - 1) * attrs["dilations"][i] + 1
        covered = (shape[1 + i] - 1) * attrs["strides"][i] + reach
        extra.append(result[1 + i] - covered + pads[i] + pads[axes + i])
    # ONNX only adds at the end; what is missing there is taken from the padding.
    for i, e in enumerate(extra):
        if e < 0:
            pads[axes + i] -= e
            extra[i] = 0
    groups = o.attrs["groups"]
    if groups != 1:
        raise o.refuse("a transposed convolution in groups")
    w = _weights(o, [rank - 1, rank - 2, *range(rank - 2)])
    y = o.add(
        "ConvTranspose",
        o.move(o.inputs[0], rank, True),
        w,
        *o.inputs[2:3],
        kernel_shape=size,
        pads=pads,
        output_padding=extra,
        **attrs,
    )
    return o.move(y, rank, False)


def pool(o: Op) -> Any:
    """Write max or average pooling."""
    shape = o.specs[0]["shape"]
    rank = len(shape)
    size = o.attrs["size"]
    attrs, _ = _window(o, size, shape[1:-1])
    x = o.move(o.inputs[0], rank, True)
    if o.attrs["average"]:
        if any(d != 1 for d in attrs.pop("dilations")):
            raise o.refuse("average pooling with dilation")
        y = o.add("AveragePool", x, kernel_shape=size, count_include_pad=0, **attrs)
    else:
        y = o.add("MaxPool", x, kernel_shape=size, **attrs)
    return o.move(y, rank, False)


def layer_norm(o: Op) -> Any:
    """Write a normalization over the last axis."""
    names = list(o.inputs[1:])
    features = o.specs[0]["shape"][-1]
    dtype = o.specs[0]["dtype"]
    scale = names.pop(0) if o.attrs["scale"] else o.w.constant(np.ones(features, dtype))
    bias = names[:1] if o.attrs["center"] else []
    epsilon = o.attrs["epsilon"]
    y = o.add("LayerNormalization", o.inputs[0], scale, *bias, axis=-1, epsilon=epsilon)
    mean = o.add("ReduceMean", o.inputs[0], o.w.ints(-1), keepdims=1)
    centered = o.add("Sub", o.inputs[0], mean)
    variance = o.add(
        "ReduceMean", o.add("Mul", centered, centered), o.w.ints(-1), keepdims=0
    )
    return [y, o.add("Squeeze", mean, o.w.ints(-1)), variance]


# cell -> (operator, number of gates, where lamella's gates are in ONNX's order)
_CELLS = {
    "simple_rnn": ("RNN", [0]),
    "lstm": ("LSTM", [0, 3, 1, 2]),
    "gru": ("GRU", [0, 1, 2]),
    "gru_reset_after": ("GRU", [0, 1, 2]),
}
_GATES = {
    "linear": ("Affine", 1.0, 0.0),
    "relu": ("Relu", 0.0, 0.0),
    "sigmoid": ("Sigmoid", 0.0, 0.0),
    "tanh": ("Tanh", 0.0, 0.0),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
}


def recurrent(o: Op) -> Any:
    """Write a recurrent layer; its inputs are projected already."""
    if o.attrs["masked"]:
        raise o.refuse("ONNX has no recurrent layers with a mask")
    kind, order = _CELLS[o.attrs["cell"]]
    lstm = kind == "LSTM"
    names = list(o.inputs)
    x, h0 = names[0], names[1]
    c0 = names[2] if lstm else ""
    kernel = names[3 if lstm else 2]
    units = o.specs[3 if lstm else 2]["shape"][0]
    dtype = o.specs[0]["dtype"]
    width = len(order) * units
    pick = np.concatenate([np.arange(g * units, (g + 1) * units) for g in order])
    # The input weights only put the gates in order.
    w = o.w.constant(np.eye(width, dtype=dtype)[pick][None])
    if kernel in o.w.arrays:
        r = o.w.constant(o.w.arrays[kernel].T[pick][None])
    else:
        turned = o.add("Transpose", kernel, perm=[1, 0])
        picked = o.add("Gather", turned, o.w.ints(*pick), axis=0)
        r = o.add("Unsqueeze", picked, o.w.ints(0))
    bias = ""
    if o.attrs["bias"]:
        zeros = o.w.constant(np.zeros(width + 2 * units, dtype))
        joined = o.add("Concat", zeros, names[3], axis=0)
        bias = o.add("Unsqueeze", joined, o.w.ints(0))
    act, gate = _GATES[o.attrs["act"]], _GATES[o.attrs["recurrent_act"]]
    used = {"RNN": [act], "GRU": [gate, act], "LSTM": [gate, act, act]}[kind]
    attrs: dict[str, Any] = {
        "hidden_size": units,
        "direction": "reverse" if o.attrs["backwards"] else "forward",
        "activations": [a[0] for a in used],
        "activation_alpha": [a[1] for a in used],
        "activation_beta": [a[2] for a in used],
    }
    if kind == "GRU":
        attrs["linear_before_reset"] = int(o.attrs["cell"] == "gru_reset_after")
    steps = o.add("Transpose", x, perm=[1, 0, 2])
    states = [o.add("Unsqueeze", s, o.w.ints(0)) for s in ([h0, c0] if lstm else [h0])]
    results = o.w.add(kind, [steps, w, r, bias, "", *states], 3 if lstm else 2, **attrs)
    flat = o.add("Squeeze", results[0], o.w.ints(1))
    sequence = o.add("Transpose", flat, perm=[1, 0, 2])
    if o.attrs["backwards"]:  # the last step comes first
        far = np.iinfo("int64").max
        ends = (o.w.ints(-1), o.w.ints(-far), o.w.ints(1), o.w.ints(-1))
        sequence = o.add("Slice", sequence, *ends)
    last = [o.add("Squeeze", s, o.w.ints(0)) for s in results[1:]]
    return ["", sequence, *last]


CONVERTERS.update(
    {
        "matmul": matmul,
        "conv": conv,
        "conv_backward_data": conv_transpose,
        "pool": pool,
        "layer_norm": layer_norm,
        "recurrent": recurrent,
    }
)
