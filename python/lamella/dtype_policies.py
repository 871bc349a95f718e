"""Types of layers as Keras's policy objects: float32 and float64, nothing mixed."""

from __future__ import annotations

from typing import Any

from lamella import config
from lamella._support import dtype_policy_name, set_dtype_policy_name

__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "deserialize",
    "dtype_policy",
    "get",
    "serialize",
    "set_dtype_policy",
]

_MIXED = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


class DTypePolicy:
    """The type in which a layer keeps its weights and computes: one and the same.

    Args:
        name: "float32", "float64" or another type of lamella. Default: the global
            policy, which is `config.floatx()` unless set.

    Raises:
        TypeError: if name is not text.
        ValueError: for mixed or half precision, which lamella does not have, and for
            unknown names.

    Example:
        >>> import lamella as keras
        >>> keras.DTypePolicy("float64").compute_dtype
        'float64'
    """

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise TypeError(
                "DTypePolicy: name must be text such as 'float32', got "
                f"name={name!r} of type {type(name).__name__}"
            )
        if name in _MIXED:
            raise ValueError(
                f"DTypePolicy: lamella computes in float32 and float64 and has no "
                f"half or mixed precision, got name={name!r}. Use 'float32'."
            )
        self._name = config.standardize_dtype(name, "DTypePolicy")

    @property
    def name(self) -> str:
        """The name of the policy."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """Type of the computation."""
        return self._name

    @property
    def variable_dtype(self) -> str:
        """Type of the weights."""
        return self._name

    @property
    def quantization_mode(self) -> None:
        """Always None: nothing is quantized."""
        return

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's argument."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """Return a policy as `get_config` described it."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other._name == self._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self._name}">'


FloatDTypePolicy = DTypePolicy


def dtype_policy() -> DTypePolicy:
    """Return the policy of layers that are given no dtype."""
    return DTypePolicy(dtype_policy_name())


def set_dtype_policy(policy: Any) -> None:
    """Set the policy of layers that are given no dtype, a name or a DTypePolicy."""
    set_dtype_policy_name(get(policy).name)


def get(identifier: Any) -> DTypePolicy:
    """Return a policy for None (the global one), a name, a policy or its config.

    Raises:
        ValueError: for anything else.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    if isinstance(identifier, dict):
        return deserialize(identifier)
    try:
        return DTypePolicy(config.standardize_dtype(identifier, "dtype_policies.get"))
    except ValueError:
        raise ValueError(
            "dtype_policies.get: expected a name such as 'float32', a DTypePolicy or "
            f"its config, got {identifier!r}"
        ) from None


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """Return a policy as Keras 3 JSON."""
    from lamella.layers.layer import dtype_policy_config

    return dtype_policy_config(dtype_policy.name)


def deserialize(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> DTypePolicy:
    """Return the policy that `serialize` (or Keras) described."""
    del custom_objects
    if config.get("class_name") not in ("DTypePolicy", "FloatDTypePolicy", "Policy"):
        raise ValueError(
            "dtype_policies.deserialize: lamella has DTypePolicy only, got "
            f"{config.get('class_name')!r}"
        )
    return DTypePolicy(**config["config"])
