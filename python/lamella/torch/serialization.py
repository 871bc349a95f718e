"""torch.save and torch.load without code in files: a safetensors container.

Dicts, lists, tuples, numbers, text and tensors are written: the tensors as the file's
tensors, the
structure around them as JSON in its metadata. Pickled files are refused.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lamella import _core

from ._dtype import Size, as_dtype, dtype
from .tensor import Parameter, Tensor, new_tensor, unwrap

__all__ = ["load", "save"]

_KEY = "lamella.torch"


def _pack(value: Any, tensors: dict[str, Any], path: str) -> Any:
    if isinstance(value, Tensor):
        name = path or "tensor"
        while name in tensors:
            name += "_"
        tensors[name] = unwrap(value.detach())
        kind = "parameter" if isinstance(value, Parameter) else "tensor"
        return {kind: name, "grad": value.requires_grad}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, np.generic):
        return _pack(value.item(), tensors, path)
    if isinstance(value, np.ndarray):
        return {"array": _pack(new_tensor(value), tensors, path)}
    if isinstance(value, dtype):
        return {"dtype": value.name}
    if isinstance(value, Mapping):
        kind = "ordered" if isinstance(value, OrderedDict) else "dict"
        items = []
        for key, v in value.items():
            where = f"{path}.{key}" if path else str(key)
            items.append([_pack(key, tensors, where), _pack(v, tensors, where)])
        return {kind: items}
    if isinstance(value, list | tuple | set):
        kind = "size" if isinstance(value, Size) else type(value).__name__
        if kind not in ("list", "tuple", "set", "size"):
            kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_pack(v, tensors, f"{path}.{i}") for i, v in enumerate(value)]}
    raise TypeError(
        f"save: cannot write a {type(value).__name__}: files hold tensors, numbers, "
        "text, lists, "
        "tuples and dicts, never code; save model.state_dict() instead of the model"
    )


def _unpack(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, list):
        raise ValueError("load: the file's structure is damaged")
    if not isinstance(value, dict):
        return value
    kind = next(iter(value))
    inside = value[kind]
    if kind in ("tensor", "parameter"):
        t = new_tensor(tensors[inside])
        if kind == "parameter":
            return Parameter(t, value["grad"])
        return t.requires_grad_() if value["grad"] else t
    if kind == "float":
        return float.fromhex(inside)
    if kind == "array":
        return _unpack(inside, tensors).numpy()
    if kind == "dtype":
        return as_dtype(inside)
    if kind in ("dict", "ordered"):
        pairs = [(_unpack(k, tensors), _unpack(v, tensors)) for k, v in inside]
        return OrderedDict(pairs) if kind == "ordered" else dict(pairs)
    makers: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "size": Size}
    if kind not in makers:
        raise ValueError(
            f"load: unknown kind {kind!r}; the file is of a newer version of lamella"
        )
    return makers[kind](_unpack(v, tensors) for v in inside)


def save(obj: Any, f: Any, **options: Any) -> None:
    """Writes tensors and what holds them to a file.

    Args:
        obj: a state_dict, a tensor, or any nest of dicts, lists, tuples, numbers and
            text.
        f: a path, or a file open for writing in binary mode.
        **options: accepted; they choose between formats of PyTorch.

    Raises:
        TypeError: for objects that would need code in the file, such as a whole model.
    """
    tensors: dict[str, Any] = {}
    structure = json.dumps(_pack(obj, tensors, ""))
    if hasattr(f, "write"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tensors"
            _core.save_safetensors(str(path), tensors, {_KEY: structure})
            f.write(path.read_bytes())
        return
    _core.save_safetensors(os.fspath(f), tensors, {_KEY: structure})


def _refuse_pickle(head: bytes, name: str) -> None:
    if head[:2] == b"PK" or head[:1] == b"\x80":
        raise RuntimeError(
            f"load: {name} is a pickled file of PyTorch; opening it could run code, so "
            "lamella "
            "does not. Write it from PyTorch as safetensors: "
            "safetensors.torch.save_file(model.state_dict(), path), and load that"
        )


def load(
    f: Any,
    map_location: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: Any = None,
    **options: Any,
) -> Any:
    """Reads what save() wrote, or any safetensors file (as a dict of tensors).

    Args:
        f: a path, or a file open for reading in binary mode.
        map_location: accepted; tensors are on the CPU.
        weights_only: accepted; files never hold code.
        mmap: accepted.
        **options: accepted.

    Raises:
        RuntimeError: for pickled files of PyTorch.
    """
    if hasattr(f, "read"):
        content = f.read()
        _refuse_pickle(content[:2], "the file")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tensors"
            path.write_bytes(content)
            return load(path)
    name = os.fspath(f)
    with Path(name).open("rb") as file:
        _refuse_pickle(file.read(2), name)
    tensors, metadata = _core.load_safetensors(name)
    if _KEY not in metadata:
        return OrderedDict((k, new_tensor(v)) for k, v in tensors.items())
    return _unpack(json.loads(metadata[_KEY]), tensors)
