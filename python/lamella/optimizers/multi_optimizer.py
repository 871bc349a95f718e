"""MultiOptimizer: different optimizers for different weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

from lamella import _support
from lamella.optimizers import _rule
from lamella.optimizers.loss_scale_optimizer import LossScaleOptimizer
from lamella.optimizers.optimizer import Optimizer

__all__ = ["MultiOptimizer", "OptimizerMap"]


class OptimizerMap(MutableMapping[str, Any]):
    """Which optimizer belongs to which weight, by paths or patterns for whole paths.

    Args:
        default_optimizer: for weights that no key matches.
        optimizer_map: dict from path or pattern to Optimizer.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a key is there twice, or several patterns match one path.

    Example:
        >>> import lamella as keras
        >>> both = OptimizerMap(keras.optimizers.SGD())
        >>> both["encoder/.*"] = keras.optimizers.Adam()
        >>> type(both["encoder/dense/kernel"]).__name__
        'Adam'
    """

    def __init__(
        self, default_optimizer: Any, optimizer_map: dict[str, Any] | None = None
    ) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                "OptimizerMap: default_optimizer must be an Optimizer, got "
                f"{default_optimizer!r}"
            )
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(
                f"OptimizerMap: optimizer_map must be a dict, got {optimizer_map!r}"
            )
        self._default_optimizer = default_optimizer
        self._optimizer_map: dict[str, Any] = optimizer_map or {}

    @property
    def default_optimizer(self) -> Any:
        """The optimizer for weights that no key matches."""
        return self._default_optimizer

    def __getitem__(self, key: str) -> Any:
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        found = [p for p in self._optimizer_map if re.fullmatch(p, key)]
        if len(found) > 1:
            raise ValueError(
                f"OptimizerMap: several patterns match {key!r}: {', '.join(found)}"
            )
        return self._optimizer_map[found[0]] if found else self.default_optimizer

    def __setitem__(self, key: str, optimizer: Any) -> None:
        if key in self._optimizer_map:
            raise ValueError(f"OptimizerMap: the key {key!r} is already there")
        if not isinstance(key, str):
            raise ValueError(f"OptimizerMap: a key must be a string, got {key!r}")
        _check_inner(optimizer, key)
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __call__(self, variable: Any) -> Any:
        """Return the optimizer of a weight."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal map."""
        return {
            "default_optimizer": _support.serialize(self._default_optimizer),
            "optimizer_map": {
                key: _support.serialize(value)
                for key, value in self._optimizer_map.items()
            },
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> OptimizerMap:
        """A map from `get_config()`."""
        from lamella.optimizers import deserialize

        def optimizer(value: Any) -> Any:
            return value if isinstance(value, Optimizer) else deserialize(value)

        return cls(
            optimizer(config["default_optimizer"]),
            {k: optimizer(v) for k, v in config["optimizer_map"].items()},
        )


def _check_inner(optimizer: Any, place: Any) -> None:
    if not isinstance(optimizer, Optimizer) or isinstance(
        optimizer, LossScaleOptimizer | MultiOptimizer
    ):
        raise ValueError(
            f"MultiOptimizer: {place!r} needs an Optimizer that is neither a "
            f"LossScaleOptimizer nor a MultiOptimizer, got {optimizer!r}"
        )


class MultiOptimizer(Optimizer):
    """Passes the gradients of each weight on to the optimizer that is meant for it.

    It has no learning rate of its own: see those of `optimizers`.

    Args:
        optimizer_map: OptimizerMap, or a function from a weight to its Optimizer.
        loss_scale_factor: replaces that of the inner optimizers.
        name: name of the optimizer.
    """

    def __init__(
        self,
        optimizer_map: Callable[[Any], Any],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name
        )
        self._optimizer_map = optimizer_map
        self._inner: list[Any] = []
        self._places: dict[int, int] = {}
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._place(optimizer)

    @property
    def optimizers(self) -> list[Any]:
        """The inner optimizers."""
        return self._inner

    def _place(self, optimizer: Any) -> int:
        for i, known in enumerate(self._inner):
            if known is optimizer:
                return i
        optimizer.loss_scale_factor = self.loss_scale_factor
        self._inner.append(optimizer)
        return len(self._inner) - 1

    def _groups(self, variables: Sequence[Any]) -> list[list[int]]:
        """Return the positions of each inner optimizer's weights."""
        groups: list[list[int]] = [[] for _ in self._inner]
        for i, variable in enumerate(variables):
            groups[self._places[id(variable)]].append(i)
        return groups

    def build(self, variables: Sequence[Any]) -> None:
        """Ask for the optimizer of each weight and build them."""
        if self.built:
            return
        for variable in variables:
            optimizer = self._optimizer_map(variable)
            _check_inner(optimizer, variable.path)
            self._places[id(variable)] = self._place(optimizer)
        groups = self._groups(variables)
        for optimizer, group in zip(self._inner, groups, strict=True):
            if group and not optimizer.built:
                optimizer.build([variables[i] for i in group])
        super().build(variables)

    @property
    def variables(self) -> list[Any]:
        """Own variables, then those of the inner optimizers."""
        return [*self._variables, *(v for o in self._inner for v in o.variables)]

    @property
    def learning_rate(self) -> Any:
        """An error: there are several."""
        raise AttributeError(
            "MultiOptimizer: there is no single learning rate; see those of .optimizers"
        )

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        del value
        raise AttributeError(
            "MultiOptimizer: there is no single learning rate; set those of .optimizers"
        )

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """One step of every inner optimizer that has weights; see Optimizer."""
        grads = list(grads)
        weights = _rule.weights_for(self, grads, trainable_variables)
        if not self.built:
            self.build(weights)
        self._check_known(weights)
        for optimizer, group in zip(self._inner, self._groups(weights), strict=True):
            if group:
                optimizer.apply([grads[i] for i in group], [weights[i] for i in group])
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Let the inner optimizers do it."""
        for optimizer, group in zip(self._inner, self._groups(var_list), strict=True):
            if group:
                optimizer.finalize_variable_values([var_list[i] for i in group])

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer."""
        return {
            "optimizer_map": _support.serialize(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Optimizer:
        """An optimizer from `get_config()`."""
        from lamella.saving.serialization import deserialize_keras_object

        config = dict(config)
        chosen = config["optimizer_map"]
        if isinstance(chosen, dict):
            if chosen.get("class_name") == "OptimizerMap":
                chosen = OptimizerMap.from_config(chosen["config"])
            else:
                chosen = deserialize_keras_object(chosen, custom_objects)
        return cls(**{**config, "optimizer_map": chosen})
