"""The base of optimizers: groups of parameters and their state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from lamella import _core

from ..autograd import enable_grad
from ..create import full
from ..tensor import Tensor, dtype_of, new_tensor, push_views, shape_of

__all__ = ["Optimizer"]


class Optimizer:
    """Parameters in groups, each with its settings.

    A subclass has `defaults`, and updates one group in `_update`.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of "
                "Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: Any = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with settings of their own."""
        group = dict(param_group)
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        if params and isinstance(params[0], tuple):  # named_parameters()
            params = [p for _, p in params]
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(p) in known:
                raise ValueError(
                    "some parameters appear in more than one parameter group"
                )
        group["params"] = params
        for key, value in self.defaults.items():
            group.setdefault(key, value)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients, or fills them with zeros."""
        for group in self.param_groups:
            if set_to_none:
                _core.clear_gradients(group["params"])
                for p in group["params"]:
                    if p._grad is not None:
                        p._grad = None
                continue
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = p.grad.detach() * 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update. closure, if given, computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
            for p in group["params"]:
                if p._views is not None:
                    push_views(p)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Settings and state, parameters as numbers."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(p)]: dict(s) for p, s in self.state.items() if s}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes settings and state from what state_dict() gave."""
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups"
            )
        params: list[Any] = []
        for own, saved in zip(self.param_groups, groups, strict=True):
            if len(own["params"]) != len(saved["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match "
                    "the size of "
                    "optimizer's group"
                )
            params += own["params"]
            own.update({k: v for k, v in saved.items() if k != "params"})
        numbers = [n for g in groups for n in g["params"]]
        self.state = defaultdict(dict)
        for number, p in zip(numbers, params, strict=True):
            found = state_dict["state"].get(
                number, state_dict["state"].get(str(number))
            )
            if found:
                self.state[p] = {
                    k: v.clone() if isinstance(v, Tensor) else v
                    for k, v in found.items()
                }

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * (i > 0) + [f"Parameter Group {i}"]
            for key in sorted(group):
                if key != "params":
                    lines.append(f"    {key}: {group[key]}")
        return "\n".join(lines) + "\n)"


def check_positive(name: str, value: Any) -> None:
    """Refuses a negative setting."""
    if isinstance(value, int | float) and not value >= 0:
        raise ValueError(f"Invalid {name}: {value}")


class FusedOptimizer(Optimizer):
    """An optimizer whose rule the core has: one call for all parameters of a group."""

    _kind = ""
    _slots: tuple[str | None, ...] = ()
    _plans: dict[int, Any]

    def _names(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        """State tensors of a group in the core's order; None where there is none."""
        return self._slots

    def _start(self, name: str, p: Any, group: dict[str, Any]) -> Any:
        return full(tuple(shape_of(p)), 0.0, dtype=dtype_of(p))

    def _prepare(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        state: dict[str, Any] = self.state[p]
        state["step"] = new_tensor(0.0)
        for name in self._names(group):
            if name is not None:
                state[name] = self._start(name, p, group)
        return state

    def _update(self, group: dict[str, Any]) -> None:
        # Built once; later steps find tensors and counts in a list.
        plans = self.__dict__.setdefault("_plans", {})
        plan = plans.get(id(group))
        params = group["params"]
        if plan is None or plan[0] is not self.state or plan[3] != len(params):
            states, counts = [], []
            for p in params:
                state = self.state.get(p)
                counts.append(int(state["step"]) if state and "step" in state else 0)
                names = self._names(group)
                states.append(
                    tuple(None if n is None else state[n] for n in names)
                    if state
                    else ()
                )
            plan = plans[id(group)] = (self.state, states, counts, len(params))
        _, states, counts, _ = plan
        for i, p in enumerate(params):
            if _core.has_gradient(p):
                if not states[i]:
                    state = self._prepare(p, group)
                    states[i] = tuple(
                        None if n is None else state[n] for n in self._names(group)
                    ) or (None,)
                counts[i] += 1
        self._apply(group, counts, params, states)

    def _apply(
        self,
        group: dict[str, Any],
        counts: list[int],
        params: list[Any],
        states: list[Any],
    ) -> None:
        _core.update(self._kind, group, counts, params, states)

    def state_dict(self) -> dict[str, Any]:
        for group in self.param_groups:
            plan = self.__dict__.get("_plans", {}).get(id(group))
            if plan is None:
                continue
            for p, count in zip(group["params"], plan[2], strict=True):
                if "step" in self.state.get(p, ()):
                    self.state[p]["step"] = new_tensor(float(count))
        return super().state_dict()
