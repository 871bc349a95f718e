"""The optimizers: PyTorch's rules, computed by the core in one call per group."""

from __future__ import annotations

from typing import Any

from lamella import _core

from ..create import full
from ..tensor import dtype_of, new_tensor, shape_of
from .optimizer import FusedOptimizer, check_positive

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
]


def _check_betas(betas: Any) -> None:
    for i, b in enumerate(betas):
        if not 0 <= b < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {b}")


class SGD(FusedOptimizer):
    """Gradient descent: b <- momentum b + (1 - dampening) g, p <- p - lr b.

    Args:
        params: parameters, or dicts with "params" and settings.
        lr: learning rate.
        momentum, dampening, nesterov: of the moving direction.
        weight_decay: adds weight_decay * p to the gradient.
        maximize: climbs.
    """

    _kind = "sgd"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: Any = None,
        differentiable: bool = False,
        fused: Any = None,
    ) -> None:
        check_positive("learning rate", lr)
        check_positive("momentum value", momentum)
        check_positive("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _names(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _prepare(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        state: dict[str, Any] = self.state[p] if group["momentum"] else {}
        if group["momentum"]:
            state["momentum_buffer"] = self._start("momentum_buffer", p, group)
        return state

    def _update(self, group: dict[str, Any]) -> None:
        before = {id(p) for p in group["params"] if self.state.get(p)}
        if "_plans" not in self.__dict__ and before:
            # State that was loaded: its buffers go on, they do not start.
            super()._update({**group, "params": []})
            self._plans.clear()
            states = [
                (self.state[p]["momentum_buffer"],) if self.state.get(p) else ()
                for p in group["params"]
            ]
            counts = [1 if s else 0 for s in states]
            self._plans[id(group)] = (self.state, states, counts, len(group["params"]))
        super()._update(group)


class Adam(FusedOptimizer):
    """Adam, with PyTorch's place of epsilon: m / (sqrt(v / c2) + eps).

    Args:
        betas: decay of the moments.
        eps: outside the root.
        weight_decay: adds weight_decay * p to the gradient (AdamW: shrinks p instead).
        amsgrad: divides by the largest v so far.
    """

    _kind = "adam"
    _decoupled = False
    _decay: float = 0

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | None = None,
        amsgrad: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: Any = None,
        decoupled_weight_decay: bool | None = None,
    ) -> None:
        decay = self._decay if weight_decay is None else weight_decay
        check_positive("learning rate", lr)
        check_positive("epsilon value", eps)
        check_positive("weight_decay value", decay)
        _check_betas(betas)
        decoupled = (
            self._decoupled
            if decoupled_weight_decay is None
            else decoupled_weight_decay
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled,
            },
        )

    def _names(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return (
            "exp_avg",
            "exp_avg_sq",
            *(("max_exp_avg_sq",) if group["amsgrad"] else ()),
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (0.01): p shrinks by lr * weight_decay first."""

    _decoupled = True
    _decay = 1e-2


class RMSprop(FusedOptimizer):
    """g / (sqrt(v) + eps) with v the moving mean of squares.

    Args:
        alpha: decay of v.
        momentum: of the moving direction.
        centered: subtracts the square of the mean gradient from v.
    """

    _kind = "rmsprop"

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: Any = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        for name, value in (
            ("learning rate", lr),
            ("epsilon value", eps),
            ("alpha value", alpha),
            ("momentum value", momentum),
            ("weight_decay value", weight_decay),
        ):
            check_positive(name, value)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def _names(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return (
            "square_avg",
            "momentum_buffer" if group["momentum"] else None,
            "grad_avg" if group["centered"] else None,
        )


class Adagrad(FusedOptimizer):
    """g / (sqrt(sum of squares) + eps)."""

    _kind = "adagrad"
    _slots = ("sum",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: Any = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: Any = None,
    ) -> None:
        for name, value in (
            ("learning rate", lr),
            ("lr_decay value", lr_decay),
            ("weight_decay value", weight_decay),
            ("epsilon value", eps),
        ):
            check_positive(name, value)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _start(self, name: str, p: Any, group: dict[str, Any]) -> Any:
        start = float(group["initial_accumulator_value"])
        return full(tuple(shape_of(p)), start, dtype=dtype_of(p))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters; their state begins at once."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            self._prepare(p, group)


class Adadelta(FusedOptimizer):
    """sqrt(mean squared change) / sqrt(mean squared gradient) * g."""

    _kind = "adadelta"
    _slots = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: Any = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_positive("learning rate", lr)
        if not 0 <= rho <= 1:
            raise ValueError(f"Invalid rho value: {rho}")
        check_positive("epsilon value", eps)
        check_positive("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )


class _Moments(FusedOptimizer):
    """What Adamax, NAdam and RAdam share."""

    def __init__(
        self,
        params: Any,
        lr: Any,
        betas: Any,
        eps: float,
        weight_decay: float,
        **more: Any,
    ) -> None:
        check_positive("learning rate", lr)
        check_positive("epsilon value", eps)
        check_positive("weight_decay value", weight_decay)
        _check_betas(betas)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                **more,
            },
        )


class Adamax(_Moments):
    """Adam with the largest gradient instead of the root of squares."""

    _kind = "adamax"
    _slots = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: Any = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            foreach=foreach,
            maximize=maximize,
            differentiable=differentiable,
            capturable=capturable,
        )


class NAdam(_Moments):
    """Adam with Nesterov's momentum."""

    _kind = "nadam"
    _slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )

    def _apply(
        self,
        group: dict[str, Any],
        counts: list[int],
        params: list[Any],
        states: list[Any],
    ) -> None:
        products = [
            float(self.state[p].get("mu_product", 1.0)) if self.state.get(p) else 1.0
            for p in params
        ]
        _core.update(self._kind, group, counts, params, states, products)
        for p, product in zip(params, products, strict=True):
            if self.state.get(p):
                self.state[p]["mu_product"] = new_tensor(product, "float64")


class RAdam(_Moments):
    """Adam without its adaptive part while the variance is not yet known."""

    _kind = "radam"
    _slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )
