"""How a layer comes to its weights: from shapes, by tracing, from a file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from lamella import _core
from lamella.layers import _tree
from lamella.layers._context import call_context
from lamella.layers._shapes import as_shape, map_shapes, shapes_of
from lamella.layers._weights import Weighted

__all__ = ["Buildable", "holds_tensors"]


class Buildable(Weighted):
    """The part of Layer that builds it and knows its shapes; Layer derives from it."""

    # Integer inputs stay integers (Embedding); others compute in floats.
    _keeps_integers = False
    _build_shapes: dict[str, Any]

    # -- building ------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for an input of this shape; subclasses override it."""
        if type(self).build is Buildable.build and input_shape is not None:
            self._build_by_tracing(input_shape)
        self.built = True

    def _build_by_tracing(self, input_shape: Any) -> None:
        """Build sub-layers by running `call` once on symbolic inputs."""
        if not any(not layer.built for layer in self._layers):
            return
        try:
            self._trace_shape(input_shape)
        finally:
            self._clear_losses()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every `build` record its shape and run in its layer's name scope."""
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_") and "Args:" not in (cls.__doc__ or ""):
            _inherit_arguments(cls)
        if "build" in cls.__dict__:
            cls.build = _wrap_build(cls.__dict__["build"])  # type: ignore[method-assign]

    def _build_once(self, input_shape: Any) -> None:
        """Run `build`, whether or not it takes the input shape."""
        if inspect.signature(self.build).parameters:
            self.build(input_shape)
        else:
            self.build()

    def _build_for_call(self, first: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        """Build for these arguments of `call`.

        A `build` with several arguments gets the shape of the argument `query` of
        `call` as `query_shape`, and so on; others get the shape of the first.
        """
        names = list(inspect.signature(self.build).parameters)
        if len(names) > 1:
            given = dict(zip(self._call_parameters(), (self, *args), strict=False))
            given.update(kwargs)
            shapes = {
                f"{name}_shape": shapes_of(value)
                for name, value in given.items()
                if holds_tensors(value)
            }
            shapes = {name: shapes[name] for name in names if name in shapes}
            if names[0] in shapes:
                self.build(**shapes)
                return
        self._build_once(shapes_of(first))

    def _trace_shape(self, input_shape: Any, training: bool = False) -> Any:
        """Return the shape(s) of `call`'s outputs, found by tracing it."""
        graph = _core.Graph()
        dtype = self._symbolic_dtype()
        with graph:
            names = iter(range(1 << 20))
            inputs = map_shapes(
                lambda s: graph.input(f"x{next(names)}", tuple(s), dtype), input_shape
            )
            kwargs: dict[str, Any] = {}
            if "training" in self._call_parameters():
                kwargs["training"] = training
            outputs = self.call(inputs, **kwargs)
        return _tree.map_structure(lambda t: tuple(t.shape), outputs)

    def _symbolic_dtype(self) -> str:
        return "int32" if self._keeps_integers else self._dtype

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output for an input of this shape."""
        if not self.built:
            self._build_once(as_shape(input_shape))
        try:
            return self._trace_shape(as_shape(input_shape))
        finally:
            self._clear_losses()

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the input shape that the layer was built with, or None."""
        if self._build_shape is None:
            return None
        if len(self._build_shapes) > 1:
            return {"shapes_dict": self._build_shapes}
        return {"input_shape": self._build_shape}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer as `get_build_config` described."""
        if not config or self.built:
            return
        if config.get("input_shape") is not None:
            self._build_once(as_shape(config["input_shape"]))
        elif config.get("shapes_dict") is not None:
            shapes = config["shapes_dict"]
            self.build(**{k: v and as_shape(v) for k, v in shapes.items()})

    @classmethod
    def _call_parameters(cls) -> Mapping[str, inspect.Parameter]:
        cached = cls.__dict__.get("_call_signature")
        if cached is None:
            cached = inspect.signature(cls.call).parameters
            cls._call_signature = cached  # type: ignore[attr-defined]
        return cached

    # -- what it was called with ---------------------------------------------

    @property
    def input_shape(self) -> Any:
        """Shape that the layer was built for, the batch axis being None."""
        if self._build_shape is None:
            raise AttributeError(
                f"{self._who()}: it has no input shape yet; build or call it first"
            )
        return map_shapes(lambda s: (None, *s[1:]), self._build_shape)

    @property
    def output_shape(self) -> Any:
        """Shape of the output, the batch axis being None."""
        if self._output_shape_seen is None:
            raise AttributeError(
                f"{self._who()}: it has no output shape yet; call it first"
            )
        return self._output_shape_seen


def _inherit_arguments(cls: type) -> None:
    """Append the sections of a private base's docstring to a one-line docstring."""
    for base in cls.__mro__[1:]:
        if base is Buildable:
            return
        if base.__name__.startswith("_") and "Args:" in (
            base.__dict__["__doc__"] or ""
        ):
            text = base.__dict__["__doc__"].partition("\n")[2]
            cls.__doc__ = f"{cls.__doc__ or ''}\n{text}"
            return


def _wrap_build(build: Any) -> Any:
    """Return `build` with the bookkeeping around it."""

    @functools.wraps(build)
    def wrapper(self: Buildable, *args: Any, **kwargs: Any) -> None:
        self._check_initialized()
        if self.__dict__.get("_building"):  # super().build(...) inside build
            build(self, *args, **kwargs)
            return
        shape = args[0] if args else next(iter(kwargs.values()), None)
        self._building = True
        self._path = "/".join([*call_context.path, self.name])
        call_context.path.append(self.name)
        try:
            build(self, *args, **kwargs)
        finally:
            call_context.path.pop()
            self._building = False
        if shape is not None:
            self._build_shape = as_shape(shape)
            self._build_shapes = {
                k: as_shape(v)
                for k, v in kwargs.items()
                if isinstance(v, list | tuple | dict)
            }
        self.built = True

    return wrapper


Buildable.build = _wrap_build(Buildable.build)  # type: ignore[method-assign]


def holds_tensors(value: Any) -> bool:
    """Return True for a tensor, a placeholder or a structure of them and None."""
    if isinstance(value, list | tuple | dict):
        leaves = _tree.flatten(value)
        return any(x is not None for x in leaves) and all(
            x is None or holds_tensors(x) for x in leaves
        )
    return isinstance(value, _core.Tensor) or getattr(value, "_is_placeholder", False)
