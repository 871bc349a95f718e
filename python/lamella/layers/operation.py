"""Operation: a function with a name that may be called on placeholders."""

from __future__ import annotations

import inspect
from typing import Any

from lamella import config
from lamella.layers import _tree
from lamella.ops.symbolic import holds_placeholder

__all__ = ["Operation", "plain_arguments"]


class Operation:
    """A function without weights, as a class: the base of Layer.

    A subclass computes in `call` with `lamella.ops`. Called on placeholders it becomes
    a node of a functional model; use a Layer where weights are needed.

    Args:
        name: default: class name in snake case with a counter.

    Example:
        >>> import lamella as keras
        >>> class Double(keras.Operation):
        ...     def call(self, x):
        ...         return x * 2
        >>> float(Double()(keras.ops.ones(())))
        2.0
        >>> Double()(keras.Input((3,))).shape
        (None, 3)
    """

    # What texts and summaries ask of every node.
    built = True
    trainable = False
    weights: Any = ()
    name: str
    _build_shape: Any = None
    _output_shape_seen: Any = None
    _init_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Remember the arguments, for the get_config of users' classes."""
        self = super().__new__(cls)
        object.__setattr__(self, "_init_arguments", (args, kwargs))
        return self

    def __init__(self, name: str | None = None) -> None:
        cls = type(self).__name__
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                f"{cls}: name must be a string without '/', got name={name!r}"
            )
        self.name = name or config.auto_name(cls)

    def _who(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output, or note the call when an argument is a placeholder."""
        if holds_placeholder(args) or holds_placeholder(kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass overrides it."""
        raise NotImplementedError(
            f"{type(self).__name__}: it needs a method call(self, inputs)"
        )

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Note a call on placeholders; return placeholders of the outputs."""
        from lamella.models.functional import note_call

        owner: Any = self
        outputs = note_call(owner, self.call, args, kwargs)
        self._output_shape_seen = _tree.map_structure(lambda t: t.shape, outputs)
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return placeholders with the shapes and types of the outputs.

        Args:
            *args: arguments of `call`, placeholders among them.
            **kwargs: arguments of `call`.
        """
        from lamella.models.functional import output_spec

        return output_spec(self._call_for_spec, args, kwargs)

    def _call_for_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def count_params(self) -> int:
        """Return the number of scalars in the weights."""
        return 0

    # -- what it was called with ---------------------------------------------

    @property
    def output(self) -> Any:
        """The placeholder of the output, for `Model(inputs, layer.output)`."""
        return self._first_node("output").outputs

    @property
    def input(self) -> Any:
        """The placeholder of the input."""
        inputs = self._first_node("input").inputs
        return inputs[0] if len(inputs) == 1 else inputs

    def _first_node(self, what: str) -> Any:
        nodes = self.__dict__.get("_inbound_nodes")
        owner = self.__dict__.get("_sequential")
        if not nodes and owner is not None and owner() is not None:
            owner()._make_nodes()
            nodes = self.__dict__.get("_inbound_nodes")
        if not nodes:
            raise AttributeError(
                f"{self._who()}: it has no symbolic {what}; call it on Input(...), or "
                "put it into a Sequential whose input shape is known"
            )
        return nodes[0]

    # -- configuration -------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make an equal object."""
        return {"name": self.name, **plain_arguments(self, ("name",))}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return an object as `get_config` described it."""
        return cls(**config)


def plain_arguments(owner: Any, left_out: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of a user's __init__ when they are plain values."""
    args, kwargs = owner._init_arguments
    cls = type(owner)
    signature = inspect.signature(cls.__init__)
    bound = signature.bind_partial(None, *args, **kwargs)
    values = dict(list(bound.arguments.items())[1:])
    for key, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values.update(values.pop(key, {}))
    for key in left_out:
        values.pop(key, None)
    for key, value in values.items():
        if not _tree.is_plain(value):
            raise NotImplementedError(
                f"{cls.__name__}: the argument {key} of __init__ is not a "
                "plain value, so the layer needs its own get_config(self)"
            )
    return values
