"""Functions of ops against Keras's, expression by expression (ops_table.py)."""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import numpy as np
import ops_table
import pytest

import lamella

EXPRESSIONS = ops_table.expressions()
BLOCK = 100


def evaluate(library: Any, expression: str) -> Any:
    names: dict[str, Any] = {
        n: getattr(library.ops, n) for n in dir(library.ops) if not n.startswith("_")
    }
    if expression.startswith("get_item"):
        names["slice"] = builtins.slice
    names |= {k: v for k, v in vars(ops_table).items() if k[0].isupper()}
    names |= {"np": np, "act": library.activations, "random": library.random}
    return eval(expression, names)


def leaves(library: Any, x: Any) -> list[np.ndarray]:
    if isinstance(x, list | tuple):
        return [leaf for v in x for leaf in leaves(library, v)]
    if x is None or isinstance(x, bool | int | float | str | np.ndarray):
        return [np.asarray(x)]
    return [np.asarray(library.ops.convert_to_numpy(x))]


def narrow(dtype: np.dtype) -> str:
    """The name of a dtype with 32 bits for 64: Keras narrows in some functions."""
    return dtype.name.replace("64", "32")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", range(0, len(EXPRESSIONS), BLOCK))
def test_expressions_give_what_keras_gives(start: int, keras_reference: Any) -> None:
    wrong, compared = [], 0
    for expression in EXPRESSIONS[start : start + BLOCK]:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                want = leaves(keras_reference, evaluate(keras_reference, expression))
            except Exception:  # PyTorch's backend has gaps of its own
                continue
            try:
                got = leaves(lamella, evaluate(lamella, expression))
            except Exception as error:
                wrong.append(f"{expression}: {error!r}")
                continue
        compared += 1
        if len(got) != len(want):
            wrong.append(f"{expression}: {len(got)} results for {len(want)}")
            continue
        for a, b in zip(got, want, strict=True):
            if a.shape != b.shape or narrow(a.dtype) != narrow(b.dtype):
                wrong.append(f"{expression}: {a.dtype}{a.shape}, {b.dtype}{b.shape}")
            elif a.dtype.kind == "U":
                assert a == b, expression
            elif not np.allclose(
                a.astype("f8"), b.astype("f8"), rtol=1e-5, atol=1e-5, equal_nan=True
            ):
                wrong.append(f"{expression}: {a.ravel()[:4]}, {b.ravel()[:4]}")
    assert not wrong, "\n".join(wrong)
    assert compared > BLOCK // 4 or start + BLOCK > len(EXPRESSIONS)


def test_every_name_of_keras_is_there(keras_reference: Any) -> None:
    """All functions but those that need complex numbers."""
    missing = {"eig", "polar", "view_as_complex", "view_as_real", "image"}
    for place in ("ops", "ops.linalg", "ops.nn", "ops.numpy", "random", "activations"):
        theirs, ours = keras_reference, lamella
        for part in place.split("."):
            theirs, ours = getattr(theirs, part), getattr(ours, part)
        for name in dir(theirs):
            if not name.startswith("_") and name not in missing:
                assert hasattr(ours, name), f"{place}.{name}"
