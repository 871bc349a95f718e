"""How each op of a traced graph is written in ONNX's operators."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from lamella.export.onnx_writer import Writer

__all__ = ["CONVERTERS", "Op"]

_FAR = np.iinfo("int64").max

# lamella's name -> ONNX's operator with the same meaning
_UNARY = {
    "copy": "Identity",
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "tanh": "Tanh",
    "erf": "Erf",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "relu": "Relu",
    "selu": "Selu",
    "softsign": "Softsign",
    "isnan": "IsNaN",
    "logical_not": "Not",
}
_BINARY = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "pow": "Pow",
    "equal": "Equal",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
}
_REDUCE = {
    "sum": "ReduceSum",
    "prod": "ReduceProd",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "mean": "ReduceMean",
    "sum_squares": "ReduceSumSquare",
    "logsumexp": "ReduceLogSumExp",
}


class Op:
    """One node of lamella's graph, with the names of its inputs in ONNX.

    Args:
        writer: what it is written with.
        kind: name of the op.
        inputs: names of its inputs.
        specs: dtype and shape of each input.
        out: dtype and shape of each output.
        attrs: its attributes.
        scope: name of the layer, for errors.
    """

    def __init__(
        self,
        writer: Writer,
        kind: str,
        inputs: list[str],
        specs: list[dict[str, Any]],
        out: list[dict[str, Any]],
        attrs: dict[str, Any],
        scope: str,
    ) -> None:
        self.w = writer
        self.kind = kind
        self.inputs = inputs
        self.specs = specs
        self.out = out
        self.attrs = attrs
        self.scope = scope

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attrs: Any) -> Any:
        """Add an ONNX node."""
        return self.w.add(kind, list(inputs), outputs, **attrs)

    def number(self, value: float, index: int = 0) -> str:
        """Return a scalar constant in the type of an input."""
        return self.w.constant(np.array(value, dtype=self.specs[index]["dtype"]))

    def cast(self, x: str, dtype: str) -> str:
        """Return `x` in another type."""
        return self.add("Cast", x, to=onnx_type(self.w, dtype))

    def refuse(self, what: str) -> NotImplementedError:
        """Return the error for what ONNX cannot express."""
        where = f"layer {self.scope!r}: " if self.scope else ""
        return NotImplementedError(f"export to ONNX: {where}{what}")

    def move(self, x: str, rank: int, forward: bool) -> str:
        """Return `x` with its channels moved to axis 1, or back to the end."""
        spatial = list(range(1, rank - 1))
        perm = [0, rank - 1, *spatial] if forward else [0, *range(2, rank), 1]
        return self.add("Transpose", x, perm=perm)


def onnx_type(writer: Writer, dtype: str) -> int:
    """Return ONNX's number of a dtype."""
    return int(writer.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


# -- elementwise --------------------------------------------------------------


def _gelu(o: Op, x: str) -> str:
    inner = o.add("Erf", o.add("Mul", x, o.number(0.5**0.5)))
    return o.add(
        "Mul", o.add("Mul", x, o.number(0.5)), o.add("Add", inner, o.number(1))
    )


def _gelu_tanh(o: Op, x: str) -> str:
    cube = o.add("Mul", o.add("Mul", x, x), x)
    inner = o.add("Add", x, o.add("Mul", cube, o.number(0.044715)))
    bend = o.add("Tanh", o.add("Mul", inner, o.number((2 / np.pi) ** 0.5)))
    return o.add("Mul", o.add("Mul", x, o.number(0.5)), o.add("Add", bend, o.number(1)))


def _hard_sigmoid(o: Op, x: str) -> str:
    return o.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _softplus(o: Op, x: str) -> str:  # stable for large x
    tail = o.add("Exp", o.add("Neg", o.add("Abs", x)))
    tail = o.add("Log", o.add("Add", tail, o.number(1)))
    return o.add("Add", o.add("Max", x, o.number(0)), tail)


_UNARY_PARTS: dict[str, Callable[[Op, str], Any]] = {
    "square": lambda o, x: o.add("Mul", x, x),
    "softplus": _softplus,
    "expm1": lambda o, x: o.add("Sub", o.add("Exp", x), o.number(1)),
    "log1p": lambda o, x: o.add("Log", o.add("Add", x, o.number(1))),
    "rsqrt": lambda o, x: o.add("Reciprocal", o.add("Sqrt", x)),
    "leaky_relu": lambda o, x: o.add("LeakyRelu", x, alpha=o.attrs["a"]),
    "elu": lambda o, x: o.add("Elu", x, alpha=o.attrs["a"]),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda o, x: o.add("Mul", x, o.add("Sigmoid", x)),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda o, x: o.add("Mul", x, _hard_sigmoid(o, x)),
    "isfinite": lambda o, x: o.add(
        "Not", o.add("Or", o.add("IsNaN", x), o.add("IsInf", x))
    ),
}


def _clip(o: Op, x: str) -> str:
    low, high = float(o.attrs["a"]), float(o.attrs["b"])
    if np.isfinite(low):
        x = o.add("Max", x, o.number(low))
    return o.add("Min", x, o.number(high)) if np.isfinite(high) else x


def unary(o: Op) -> Any:
    """Write a function of one value."""
    kind, x = o.attrs["op"], o.inputs[0]
    if kind == "clip":
        return _clip(o, x)
    if kind in _UNARY_PARTS:
        return _UNARY_PARTS[kind](o, x)
    return o.add(_UNARY[kind], x)


def binary(o: Op) -> Any:
    """Write a function of two values."""
    kind = o.attrs["op"]
    x, y = o.inputs
    if o.specs[0]["dtype"] == "bool" and kind in ("equal", "not_equal"):
        x, y = o.cast(x, "int32"), o.cast(y, "int32")
    if kind in _BINARY:
        return o.add(_BINARY[kind], x, y)
    if kind == "not_equal":
        return o.add("Not", o.add("Equal", x, y))
    if kind == "squared_difference":
        difference = o.add("Sub", x, y)
        return o.add("Mul", difference, difference)
    floats = o.specs[0]["dtype"].startswith("float")
    if kind == "mod":
        if not floats:
            return o.add("Mod", x, y)
        return o.add("Sub", x, o.add("Mul", o.add("Floor", o.add("Div", x, y)), y))
    if kind == "floor_div":
        if floats:
            return o.add("Floor", o.add("Div", x, y))
        return o.add("Div", o.add("Sub", x, o.add("Mod", x, y)), y)
    raise o.refuse(f"ONNX has no {kind}")


def where(o: Op) -> Any:
    """Write a choice between two values."""
    return o.add("Where", *o.inputs)


def cast(o: Op) -> Any:
    """Write a change of type."""
    return o.cast(o.inputs[0], o.attrs["to"])


def identity(o: Op) -> Any:
    """Write what changes nothing at inference."""
    return o.add("Identity", o.inputs[0])


# -- creation -----------------------------------------------------------------


def constant(o: Op) -> Any:
    """Write a constant of the graph."""
    value = o.attrs["value"]
    data = np.frombuffer(base64.b64decode(value["data"]), dtype=value["dtype"])
    return o.w.constant(data.reshape(value["shape"]))


def full(o: Op) -> Any:
    """Write a tensor of one value."""
    value = o.w.constant(np.array(float(o.attrs["value"])).astype(o.attrs["to"]))
    return o.add("Expand", value, o.w.shape(o.attrs["shape"]))


def one_hot(o: Op) -> Any:
    """Write zeros with a one at each index; zeros only where it is out of range."""
    index = o.add("Unsqueeze", o.inputs[0], o.w.ints(-1))
    classes = o.w.constant(np.arange(o.attrs["classes"], dtype=o.specs[0]["dtype"]))
    return o.cast(o.add("Equal", index, classes), o.attrs["to"])


# -- shapes -------------------------------------------------------------------


def reshape(o: Op) -> Any:
    """Write a change of shape."""
    dims = o.attrs["shape"]
    unknown = [i for i, d in enumerate(dims) if not isinstance(d, int)]
    if len(unknown) == 1 and 0 not in dims:
        dims = [-1 if i == unknown[0] else d for i, d in enumerate(dims)]
    return o.add("Reshape", o.inputs[0], o.w.shape(dims))


def transpose(o: Op) -> Any:
    """Write a permutation of axes."""
    return o.add("Transpose", o.inputs[0], perm=o.attrs["perm"])


def concat(o: Op) -> Any:
    """Write the joining of tensors."""
    return o.add("Concat", *o.inputs, axis=o.attrs["axis"])


def broadcast_to(o: Op) -> Any:
    """Write a repetition along axes of size 1."""
    return o.add("Expand", o.inputs[0], o.w.shape(o.attrs["shape"]))


def slice_(o: Op) -> Any:
    """Write a part of a tensor."""
    axes: list[int] = []
    starts: list[str] = []
    ends: list[str] = []
    steps: list[int] = []
    whole = o.specs[0]["shape"]
    parts = zip(
        o.attrs["starts"], o.attrs["sizes"], o.attrs["steps"], whole, strict=True
    )
    for axis, (start, size, step, n) in enumerate(parts):
        if start == 0 and step == 1 and size == n:
            continue
        if step < 0 and size == n:  # the whole axis, backwards
            first, last = o.w.ints(-1), o.w.ints(-_FAR)
        else:
            first = o.w.size(start)
            length = o.add("Mul", o.w.size(size), o.w.ints(step))
            last = o.add("Add", first, length)
            if step < 0:  # an end before the first element has no number
                below = o.add("Less", last, o.w.ints(0))
                last = o.add("Where", below, o.w.ints(-_FAR), last)
        axes.append(axis)
        starts.append(first)
        ends.append(last)
        steps.append(step)
    if not axes:
        return o.add("Identity", o.inputs[0])
    return o.add(
        "Slice",
        o.inputs[0],
        o.add("Concat", *starts, axis=0),
        o.add("Concat", *ends, axis=0),
        o.w.ints(*axes),
        o.w.ints(*steps),
    )


def place(o: Op) -> Any:
    """Write padding with a value."""
    if any(step != 1 for step in o.attrs["steps"]):
        raise o.refuse("padding between elements")
    before: list[str] = []
    after: list[str] = []
    parts = zip(o.attrs["starts"], o.attrs["whole"], o.specs[0]["shape"], strict=True)
    for start, whole, size in parts:
        if whole == size:
            before.append(o.w.ints(0))
            after.append(o.w.ints(0))
            continue
        before.append(o.w.size(start))
        used = o.add("Add", before[-1], o.w.size(size))
        after.append(o.add("Sub", o.w.size(whole), used))
    pads = o.add("Concat", *before, *after, axis=0)
    return o.add("Pad", o.inputs[0], pads, o.number(float(o.attrs["value"])))


def gather(o: Op) -> Any:
    """Write rows picked by an index."""
    return o.add("Gather", *o.inputs, axis=o.attrs["axis"])


# -- reductions ---------------------------------------------------------------


def reduce(o: Op) -> Any:
    """Write a reduction over axes."""
    kind, axes = o.attrs["op"], o.attrs["axes"]
    keep = int(o.attrs["keepdims"])
    x = o.inputs[0]
    if kind in ("argmax", "argmin"):
        rank = len(o.specs[0]["shape"])
        if len(axes) != 1:
            if len(axes) != rank or keep:
                raise o.refuse(f"{kind} over {len(axes)} of {rank} axes")
            x, axes = o.add("Reshape", x, o.w.ints(-1)), [0]
        name = "ArgMax" if kind == "argmax" else "ArgMin"
        index = o.add(name, x, axis=axes[0], keepdims=keep)
        return o.cast(index, o.out[0]["dtype"])
    if kind in ("any", "all"):
        name = "ReduceMax" if kind == "any" else "ReduceMin"
        number = o.cast(x, "int32")
        return o.cast(o.add(name, number, o.w.ints(*axes), keepdims=keep), "bool")
    if not axes:
        return o.add("Identity", x)
    return o.add(_REDUCE[kind], x, o.w.ints(*axes), keepdims=keep)


def scan(o: Op) -> Any:
    """Write a cumulative sum."""
    if o.attrs["op"] != "cumsum":
        raise o.refuse("ONNX has no cumulative product")
    axis = o.w.constant(np.array(o.attrs["axis"], dtype="int64"))
    return o.add("CumSum", o.inputs[0], axis)


def softmax(o: Op) -> Any:
    """Write a softmax or its logarithm over the last axis."""
    return o.add("LogSoftmax" if o.attrs["log"] else "Softmax", o.inputs[0], axis=-1)


CONVERTERS: dict[str, Callable[[Op], Any]] = {
    "unary": unary,
    "binary": binary,
    "where": where,
    "cast": cast,
    "stop_gradient": identity,
    "constant": constant,
    "full": full,
    "one_hot": one_hot,
    "reshape": reshape,
    "transpose": transpose,
    "concat": concat,
    "broadcast_to": broadcast_to,
    "slice": slice_,
    "place": place,
    "gather": gather,
    "reduce": reduce,
    "scan": scan,
    "softmax": softmax,
}
