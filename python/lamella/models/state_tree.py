"""All variables of a model as nested dicts, by their paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["get_state_tree", "set_state_tree"]

_FORMATS = ("backend_tensor", "numpy_array")


def _families(model: Any) -> dict[str, list[Any]]:
    optimizer = model.optimizer
    return {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": [] if optimizer is None else list(optimizer.variables),
        "metrics_variables": [v for m in model.metrics for v in m.variables],
    }


def _path(variable: Any) -> str:
    return str(getattr(variable, "path", None) or variable.name)


def _nested(variables: Iterable[Any], value_format: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    seen: set[str] = set()
    for variable in variables:
        path = _path(variable)
        if path in seen:
            raise ValueError(
                f"get_state_tree: the path {path!r} occurs twice in the model; give "
                "the layers names of their own"
            )
        seen.add(path)
        *parts, last = path.split("/")
        place = tree
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = (
            variable.numpy() if value_format == "numpy_array" else variable.value
        )
    return tree


def get_state_tree(model: Any, value_format: str = "backend_tensor") -> dict[str, Any]:
    """Return the variables of a model, its optimizer and its metrics.

    Args:
        model: the model.
        value_format: "backend_tensor" or "numpy_array".
    """
    if value_format not in _FORMATS:
        raise ValueError(
            f"get_state_tree: value_format must be one of {_FORMATS}, got "
            f"value_format={value_format!r}"
        )
    return {k: _nested(v, value_format) for k, v in _families(model).items()}


def set_state_tree(model: Any, state_tree: Mapping[str, Any]) -> None:
    """Assign what `get_state_tree` returned; paths the model lacks are passed over."""
    families = _families(model)
    for family, tree in state_tree.items():
        if family not in families:
            raise ValueError(
                f"set_state_tree: unknown key {family!r}; the keys are "
                f"{', '.join(families)}"
            )
        known = {_path(v): v for v in families[family]}
        for path, value in _leaves(tree, ""):
            if path in known:
                known[path].assign(value)


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value
