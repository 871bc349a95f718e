"""Global settings: what keras.config and keras.backend name."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import lamella
from lamella import config

TYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    int,
    float,
    bool,
)


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (("int32", float), "float32"),
        (("int32", "float16"), "float16"),
        (("uint8", "int8"), "int16"),
        (("bool", int), "int32"),
        (("float16", "bfloat16"), "float32"),
        (("int64", "int64"), "int32"),  # never 64 bits, as in Keras
        ((), "float32"),
    ],
)
def test_result_type_is_where_the_types_meet(types: Any, wanted: str) -> None:
    assert lamella.backend.result_type(*types) == wanted


def test_result_type_unknown_type_raises() -> None:
    with pytest.raises(ValueError, match="unknown dtype 'text'"):
        config.result_type("text")


@pytest.mark.reference
def test_result_type_equals_keras(keras_reference: Any) -> None:
    theirs = keras_reference.backend.result_type
    for pair in itertools.product(TYPES, TYPES):
        assert config.result_type(*pair) == theirs(*pair), pair


@pytest.mark.reference
def test_names_of_keras_are_there(keras_reference: Any) -> None:
    policies = {"dtype_policy", "set_dtype_policy"}  # not settings of this module
    for part in ("config", "backend"):
        names = {n for n in dir(getattr(keras_reference, part)) if n[0] != "_"}
        missing = names - policies - set(dir(getattr(lamella, part)))
        assert not missing, part


def test_small_questions() -> None:
    first = config.get_uid("a name of its own")
    assert config.get_uid("a name of its own") == first + 1
    assert config.is_int_dtype("uint8")
    assert not config.is_int_dtype("float32")
    assert config.is_keras_tensor(lamella.Input((2,)))
    assert not config.is_keras_tensor(lamella.ops.ones((2,)))
    assert not config.is_nnx_enabled()


def test_switches_remember() -> None:
    assert config.is_flash_attention_enabled() is None
    config.enable_flash_attention()
    assert config.is_flash_attention_enabled() is True
    config.disable_flash_attention()
    assert config.is_flash_attention_enabled() is False
    config._settings["flash_attention"] = None
    config.set_backend("lamella")
    with pytest.raises(ValueError, match="has no backend 'jax'"):
        config.set_backend("jax")
