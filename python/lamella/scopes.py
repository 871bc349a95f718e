"""Things to put behind `with`: name_scope, StatelessScope, device, RematScope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lamella.layers._context import call_context
from lamella.variable import Variable, stateless

__all__ = ["RematScope", "StatelessScope", "device", "name_scope", "remat"]


@contextmanager
def name_scope(name: str, **kwargs: Any) -> Iterator[None]:
    """Put a name before the paths of the weights that layers make inside.

    Args:
        name: text without "/".
        **kwargs: `caller` and `deduplicate` are accepted for Keras's sake.

    Example:
        >>> import lamella as keras
        >>> with keras.name_scope("tower"):
        ...     layer = keras.layers.Dense(2, name="dense")
        ...     layer.build((None, 3))
        >>> layer.kernel.path
        'tower/dense/kernel'
    """
    for key in kwargs:
        if key not in ("caller", "deduplicate", "override_parent"):
            raise ValueError(f"name_scope: unrecognized argument {key}={kwargs[key]!r}")
    if not isinstance(name, str) or "/" in name:
        raise ValueError(
            f"name_scope: name must be a string without '/', got name={name!r}"
        )
    call_context.path.append(name)
    try:
        yield
    finally:
        call_context.path.pop()


class StatelessScope:
    """Inside, reading a variable gives a value of ours and assigning changes nothing.

    Args:
        state_mapping: pairs of a Variable and the value it shall have inside.
        collect_losses: accepted for Keras's sake; see `Layer.stateless_call`.
        initialize_variables: accepted for Keras's sake.

    Raises:
        ValueError: if the mapping holds something else, or a shape differs.

    Example:
        >>> import lamella as keras
        >>> v = keras.Variable(1.0)
        >>> with keras.StatelessScope(state_mapping=[(v, keras.ops.ones(()) * 5)]) as s:
        ...     _ = v.assign(v * 2)
        >>> float(v), float(s.get_current_value(v))
        (1.0, 10.0)
    """

    def __init__(
        self,
        state_mapping: Iterable[tuple[Variable, Any]] | None = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        from lamella import ops

        del initialize_variables
        self.collect_losses = collect_losses
        self.losses: list[Any] = []
        self.state_mapping: dict[int, Any] = {}
        self._kept: list[Variable] = []  # so that an id stays that variable's
        self._outer: list[StatelessScope | None] = []
        for variable, value in state_mapping or ():
            if not isinstance(variable, Variable):
                raise ValueError(
                    "StatelessScope: state_mapping must hold pairs of a Variable and "
                    f"its value, got {variable!r}"
                )
            value = ops.convert_to_tensor(value, variable.dtype)
            if tuple(value.shape) != variable.shape:
                raise ValueError(
                    f"StatelessScope: the value of {variable.path!r} must have shape "
                    f"{variable.shape}, got {tuple(value.shape)}"
                )
            self.add_update((variable, value))

    def add_loss(self, loss: Any) -> None:
        """Remember a loss."""
        self.losses.append(loss)

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Give a variable a new value inside the scope."""
        variable, value = update
        if id(variable) not in self.state_mapping:
            self._kept.append(variable)
        self.state_mapping[id(variable)] = value

    def get_current_value(self, variable: Variable) -> Any:
        """Return the value of a variable in this scope, or None if it has none."""
        return self.state_mapping.get(id(variable))

    def __enter__(self) -> StatelessScope:
        self._outer.append(stateless.scope)
        stateless.scope = self
        return self

    def __exit__(self, *_: object) -> None:
        stateless.scope = self._outer.pop()


@contextmanager
def device(device_name: str) -> Iterator[None]:
    """Accept "cpu" and "cpu:0", which is where lamella computes.

    Raises:
        ValueError: for another device.
    """
    name = str(device_name).lower().removeprefix("/").removeprefix("device:")
    if name not in ("cpu", "cpu:0"):
        raise ValueError(
            f"device: lamella computes on 'cpu', got device_name={device_name!r}. "
            "Leave the scope out."
        )
    yield


_MODES = ("full", "activations", "larger_than", "list_of_layers", None)


class RematScope:
    """Accepted, and changes nothing: lamella keeps what the backward pass needs.

    In Keras values inside are computed again in the backward pass, to save memory;
    the results are the same.

    Args:
        mode: "full", "activations", "larger_than", "list_of_layers" or None.
        output_size_threshold: of "larger_than".
        layer_names: of "list_of_layers".

    Raises:
        ValueError: for another mode.
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: Sequence[str] | None = None,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(
                f"RematScope: mode must be one of {', '.join(map(repr, _MODES))}, got "
                f"mode={mode!r}"
            )
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self) -> RematScope:
        return self

    def __exit__(self, *_: object) -> None:
        return


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `f`: lamella computes nothing twice (see RematScope)."""
    return f
