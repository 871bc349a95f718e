"""Copies of models: the same layers, new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamella.layers import _tree
from lamella.layers.input import Input, InputLayer
from lamella.layers.layer import Layer
from lamella.models.functional import Functional, functional_arguments
from lamella.models.graph import is_placeholder
from lamella.models.sequential import Sequential
from lamella.ops.symbolic import Operation

__all__ = ["clone_model"]


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Any:
    """Return a model with the same layers and newly initialized weights.

    Args:
        model: a Sequential or functional model, or any model with `get_config`. A
            compiled one gives a compiled copy.
        input_tensors: placeholders in the structure of the model's inputs; default
            new ones.
        clone_function: called with each layer but Input, returns its copy. Default: a
            new layer with the same config.
        call_function: called with each copied layer and the arguments of its call,
            returns the output, so that layers can be put in between. Functional
            models only.
        recursive: whether inner models are cloned layer by layer too. Default False.
        **kwargs: none.

    Raises:
        ValueError: for arguments that this kind of model cannot take.

    Example:
        >>> import lamella as keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> keras.models.clone_model(model).count_params()
        3
    """
    if kwargs:
        raise ValueError(f"clone_model: unexpected arguments {', '.join(kwargs)}")
    return _clone(model, input_tensors, clone_function, call_function, recursive, {})


def _clone(
    model: Any,
    input_tensors: Any,
    clone_function: Callable[[Any], Any] | None,
    call_function: Callable[..., Any] | None,
    recursive: bool,
    known: dict[int, Any],
) -> Any:
    def copy(layer: Any) -> Any:
        if id(layer) not in known:
            known[id(layer)] = new(layer)
        return known[id(layer)]

    def new(layer: Any) -> Any:
        if recursive and isinstance(layer, Functional | Sequential):
            calls = call_function if isinstance(layer, Functional) else None
            return _clone(layer, None, clone_function, calls, True, known)
        return (clone_function or _copy)(layer)

    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "clone_model: call_function needs a functional model; the layers of "
                f"Sequential {model.name!r} are not called one by one"
            )
        clone = _clone_sequential(model, input_tensors, copy)
    elif isinstance(model, Functional):
        clone = _clone_functional(model, input_tensors, copy, call_function)
    elif clone_function or input_tensors is not None or call_function:
        raise ValueError(
            "clone_model: clone_function, input_tensors and call_function need a "
            f"Sequential or functional model, got {type(model).__name__}"
        )
    else:
        from lamella.saving import serialization

        config = serialization.serialize_keras_object(model)
        cls = type(model)
        return serialization.deserialize_keras_object(config, {cls.__name__: cls})
    if model.compiled:
        clone.compile_from_config(model.get_compile_config())
    return clone


def _copy(layer: Any) -> Any:
    """Return a new layer or operation with the same config."""
    return type(layer).from_config(layer.get_config())


def _new_input(layer: InputLayer) -> Any:
    return Input(batch_shape=layer.batch_shape, dtype=layer.dtype, name=layer.name)


def _clone_sequential(
    model: Sequential, input_tensors: Any, copy: Callable[[Any], Any]
) -> Sequential:
    layers = [copy(layer) for layer in model.layers]
    given = _tree.flatten(input_tensors)
    if input_tensors is not None:
        if len(given) != 1 or not is_placeholder(given[0]):
            raise ValueError(
                f"clone_model: input_tensors for Sequential {model.name!r} must be one "
                f"placeholder made by Input, got {input_tensors!r}"
            )
        layers.insert(0, given[0])
    elif model._input_layer is not None:
        layers.insert(0, _new_input(model._input_layer))
    return Sequential(layers, name=model.name, trainable=model.trainable)


def _clone_functional(
    model: Functional,
    input_tensors: Any,
    copy: Callable[[Any], Any],
    call_function: Callable[..., Any] | None,
) -> Any:
    old = model._inputs_struct
    if input_tensors is None:
        input_tensors = _tree.map_structure(
            lambda t: Input(batch_shape=t.shape, dtype=t.dtype, name=t.name), old
        )
    given = _tree.flatten(input_tensors)
    if not all(is_placeholder(t) for t in given):
        raise ValueError(
            "clone_model: input_tensors must be placeholders made by Input, got "
            f"{input_tensors!r}"
        )
    if _form(input_tensors) != _form(old):
        raise ValueError(
            f"clone_model: input_tensors must have the structure of the inputs of "
            f"{model.name!r}, {_form(old)}, got {_form(input_tensors)}"
        )
    values = {id(t): new for t, new in zip(model.inputs, given, strict=True)}

    def real(value: Any) -> Any:
        return values[id(value)] if is_placeholder(value) else value

    for node in model._nodes:
        if isinstance(node.layer, InputLayer):
            continue
        args = tuple(_tree.map_structure(real, a) for a in node.args)
        kwargs = {k: _tree.map_structure(real, v) for k, v in node.kwargs.items()}
        layer: Layer | Operation = copy(node.layer)
        if call_function is not None:
            outputs = call_function(layer, *args, **kwargs)
        else:
            outputs = layer(*args, **kwargs)
        flat = _tree.flatten(outputs)
        for t, new in zip(node.output_tensors, flat, strict=True):
            values[id(t)] = new
    outputs = _tree.map_structure(real, model._outputs_struct)
    made: Any = type(model) if functional_arguments(type(model)) else Functional
    return made(input_tensors, outputs, name=model.name)


def _form(structure: Any) -> Any:
    """Return the structure with its leaves left out."""
    return _tree.map_structure(lambda _: "*", structure)
