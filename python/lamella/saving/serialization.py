"""Keras 3's JSON for objects: module, class name, config, registered name.

Reading never runs code from a file: only lamella's own classes, and classes and
functions that the program itself has registered or passed, are looked up by name.
"""

from __future__ import annotations

import importlib
import inspect
import threading
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from lamella import _keras_names
from lamella.saving import object_registration as registration

__all__ = ["deserialize_keras_object", "serialize_keras_object"]

# modules whose functions may be meant by a bare name ("relu", "mse", ...)
_FUNCTION_FAMILIES = (
    "activations",
    "losses",
    "metrics",
    "initializers",
    "regularizers",
    "constraints",
)
_CLASS_FAMILIES = (
    "layers",
    "models",
    "initializers",
    "regularizers",
    "constraints",
    "optimizers",
    "schedules",
    "losses",
    "metrics",
)
_LAMBDA_ADVICE = (
    "lamella never runs code from a file, whatever safe_mode says. Write a named "
    "function or a Layer subclass, decorate it with "
    "@lamella.saving.register_keras_serializable(), rebuild the model with it and "
    "load the weights with model.load_weights()"
)

_local = threading.local()


# -- shared objects ---------------------------------------------------------------


@contextmanager
def object_sharing() -> Iterator[None]:
    """Keep identity: an object saved twice in this block is loaded as one."""
    before = getattr(_local, "saved", None), getattr(_local, "loaded", None)
    _local.saved, _local.loaded = {}, {}
    try:
        yield
    finally:
        _local.saved, _local.loaded = before


@contextmanager
def collect_custom() -> Iterator[dict[str, Any]]:
    """Collect the user's classes and functions that are serialized in this block."""
    before = getattr(_local, "custom", None)
    _local.custom = {}
    try:
        yield _local.custom
    finally:
        _local.custom = before


def _note_custom(name: str, thing: Any) -> None:
    """Remember one of the user's classes or functions for `collect_custom`."""
    custom = getattr(_local, "custom", None)
    if custom is not None:
        custom[name] = thing


def _note_saved(obj: Any, config: dict[str, Any]) -> None:
    """Mark `config` and the earlier one of the same object with a shared id."""
    seen = getattr(_local, "saved", None)
    if seen is None:
        return
    if id(obj) not in seen:
        # the object is kept alive, else its id could be given to another one
        seen[id(obj)] = (len(seen) + 1, config, obj)
        return
    number, first, _ = seen[id(obj)]
    first["shared_object_id"] = config["shared_object_id"] = number


# -- writing ----------------------------------------------------------------------


def serialize_keras_object(obj: Any) -> Any:
    """Turn a layer, optimizer, function, array, ... into JSON-ready Python values.

    Args:
        obj: None, a plain value, list, tuple, dict, bytes, slice, array, tensor,
            named function, or an object with `get_config()`.

    Returns:
        Plain values; objects become a dict with "module", "class_name", "config",
        "registered_name" (and "build_config", "compile_config" where they have one),
        with Keras's module paths for lamella's classes.

    Raises:
        ValueError: for a lambda.
        TypeError: for an object without `get_config()`.

    Example:
        >>> serialize_keras_object({"a": (1, 2.5, None)})
        {'a': (1, 2.5, None)}
    """
    if isinstance(obj, np.generic):
        return obj.item()
    if obj is None or isinstance(obj, str | int | float):
        return obj
    if isinstance(obj, list):
        return [serialize_keras_object(item) for item in obj]
    if isinstance(obj, tuple):
        return tuple(serialize_keras_object(item) for item in obj)
    if isinstance(obj, Mapping) and not hasattr(obj, "get_config"):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, slice):
        ends = {"start": obj.start, "stop": obj.stop, "step": obj.step}
        return {
            "class_name": "__slice__",
            "config": {k: serialize_keras_object(v) for k, v in ends.items()},
        }
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, np.ndarray):
        if obj.ndim == 0:
            return obj.item()
        return {
            "class_name": "__numpy__",
            "config": {"value": obj.tolist(), "dtype": obj.dtype.name},
        }
    if isinstance(obj, np.dtype):
        return obj.name
    history = getattr(obj, "_keras_history", None)
    if history is not None:
        layer, node, tensor = history
        return {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": list(obj.shape),
                "dtype": obj.dtype,
                "keras_history": [layer.name, node, tensor],
            },
        }
    if _is_tensor(obj):
        return {
            "class_name": "__tensor__",
            "config": {"value": np.asarray(obj).tolist(), "dtype": str(obj.dtype)},
        }
    if hasattr(obj, "get_config") and not inspect.isclass(obj):
        return _serialize_object(obj)
    if callable(obj) and hasattr(obj, "__name__"):
        return _serialize_function(obj)
    raise TypeError(
        f"serialize_keras_object: cannot save {obj!r} of type "
        f"{type(obj).__name__}: the class needs a get_config() method that returns "
        "a dict of plain values"
    )


def _is_tensor(obj: Any) -> bool:
    """Whether `obj` is lamella's tensor or variable (or another array-like)."""
    return all(hasattr(obj, name) for name in ("__array__", "dtype", "shape"))


def _serialize_function(function: Any) -> dict[str, Any]:
    """Return the config of a named function; its code is never written."""
    if function.__name__ == "<lambda>":
        raise ValueError(
            "serialize_keras_object: a lambda cannot be saved (its code is not "
            "written to files); define a named function and decorate it with "
            "@lamella.saving.register_keras_serializable()"
        )
    name = registration.get_registered_name(function)
    home = function.__module__ or ""
    module: str | None = home
    if name != function.__name__ or home.partition(".")[0] in ("lamella", "builtins"):
        module = "builtins"  # Keras finds built-in and registered functions by name
    elif home == "__main__":
        module = None
    if home.partition(".")[0] not in ("lamella", "builtins"):
        _note_custom(name, function)
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": "function" if module == "builtins" else name,
    }


def keras_path(cls: type) -> tuple[str, str] | None:
    """Return (module, class name) that Keras uses for one of lamella's classes."""
    parts = cls.__module__.split(".")
    if parts[0] != "lamella" or len(parts) < 2:
        return None
    family = "schedules" if "schedules" in parts else parts[1]
    if family not in _keras_names.MODULES:
        return None
    name = cls.__name__
    if name == "Functional":
        return "keras.src.models.functional", name
    if family == "models" or name in _keras_names.TOP_LEVEL:
        return "keras", name
    return _keras_names.MODULES[family], name


def _serialize_object(obj: Any) -> dict[str, Any]:
    """Return the config of an object with get_config()."""
    cls = type(obj)
    inner = obj.get_config()
    if not isinstance(inner, dict):
        raise TypeError(
            f"{cls.__name__}: get_config() must return a dict, "
            f"got {type(inner).__name__}"
        )
    place = keras_path(cls) if cls not in registration._names else None
    module: str | None
    if place is not None:
        module, class_name = place
        registered = "Functional" if class_name == "Functional" else None
    else:
        module = None if cls.__module__ == "__main__" else cls.__module__
        class_name = cls.__name__
        registered = registration.get_registered_name(cls)
        _note_custom(registered, cls)
    config: dict[str, Any] = {
        "module": module,
        "class_name": class_name,
        "config": serialize_keras_object(inner),
        "registered_name": registered,
    }
    for key in ("build_config", "compile_config"):
        method = getattr(obj, f"get_{key}", None)
        value = method() if method is not None else None
        if value is not None:
            config[key] = serialize_keras_object(value)
    _note_saved(obj, config)
    return config


# -- reading ----------------------------------------------------------------------


def deserialize_keras_object(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
    *,
    module_objects: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Make the object that `serialize_keras_object` described.

    Args:
        config: plain values, as read from JSON.
        custom_objects: names and the user's classes or functions.
        safe_mode: accepted for Keras's sake; code is refused in both modes.
        module_objects: names a plain string may stand for.
        kwargs: `printable_module_name` of Keras 2 is accepted and ignored.

    Raises:
        ValueError: unknown class or function, code in the file, wrong arguments.

    Example:
        >>> deserialize_keras_object({"class_name": "__ellipsis__", "config": {}})
        Ellipsis
    """
    kwargs.pop("printable_module_name", None)
    if kwargs:
        raise TypeError(
            "deserialize_keras_object: unexpected arguments " + ", ".join(kwargs)
        )
    del safe_mode
    custom_objects = dict(custom_objects or {})
    if isinstance(config, list | tuple):
        return [
            deserialize_keras_object(item, custom_objects, module_objects=None)
            for item in config
        ]
    if isinstance(config, str):
        return _from_string(config, custom_objects, module_objects)
    if config is None or isinstance(config, int | float):
        return config
    if not isinstance(config, Mapping):
        return config  # already an object
    if "class_name" not in config or "config" not in config:
        return {
            key: deserialize_keras_object(value, custom_objects)
            for key, value in config.items()
        }
    if str(config["class_name"]).startswith("__"):
        return _from_special(config, custom_objects)
    if config["class_name"] in ("DTypePolicy", "Policy", "FloatDTypePolicy"):
        return dtype_name(config)
    if config["class_name"] == "function":
        return _find_function(config, custom_objects, module_objects)
    return _from_class(config, custom_objects, module_objects)


def _from_string(
    name: str,
    custom_objects: Mapping[str, Any],
    module_objects: Mapping[str, Any] | None,
) -> Any:
    """Resolve a bare name; a string that names nothing stays a string."""
    found = registration.get_registered_object(name, custom_objects, module_objects)
    if found is None:
        return name
    if inspect.isclass(found) and module_objects and name in module_objects:
        return found()
    return found


def _from_special(config: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> Any:
    """Read the double-underscore kinds: arrays, tuples, bytes, slices."""
    kind, inner = config["class_name"], config["config"]
    if kind == "__lambda__":
        raise ValueError(
            "the file holds a Python lambda (compiled code), which is refused: "
            + _LAMBDA_ADVICE
        )
    if kind == "__keras_tensor__":
        return dict(config)  # resolved by the model that owns the graph
    if kind in ("__numpy__", "__tensor__"):
        array = np.array(inner["value"], dtype=dtype_name(inner["dtype"]))
        if kind == "__numpy__":
            return array
        from lamella import ops

        return ops.convert_to_tensor(array)
    if kind == "__bytes__":
        return inner["value"].encode("utf-8")
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__slice__":
        return slice(
            *(
                deserialize_keras_object(inner[key], custom_objects)
                for key in ("start", "stop", "step")
            )
        )
    if kind == "__tuple__":
        return tuple(deserialize_keras_object(list(inner), custom_objects))
    raise ValueError(f"unknown kind of value in a config: '{kind}'")


def dtype_name(value: Any) -> Any:
    """Return the plain dtype of a policy; mixed policies compute in float32 here.

    Raises:
        ValueError: a dtype that lamella does not have (float16, quantized, ...).
    """
    if isinstance(value, Mapping):
        inner = value.get("config") or {}
        name = inner.get("name", inner.get("dtype"))
        if isinstance(name, Mapping):
            return dtype_name(name)
        if value.get("class_name") not in ("DTypePolicy", "Policy", "FloatDTypePolicy"):
            raise ValueError(
                f"dtype policy {value.get('class_name')} is not supported: lamella "
                "has no quantized layers; save the model unquantized"
            )
    else:
        name = value
    if not isinstance(name, str):
        return value
    if name in ("mixed_float16", "mixed_bfloat16"):
        warnings.warn(
            f"the file's dtype policy is '{name}'; its weights are float32 and "
            "lamella computes in float32 too",
            stacklevel=2,
        )
        return "float32"
    if name in ("float16", "bfloat16") or "_from_" in name:
        raise ValueError(
            f"dtype '{name}' is not supported: lamella computes in float32 or float64; "
            "set the layer's dtype to 'float32' before saving"
        )
    return name


def _find_function(
    config: Mapping[str, Any],
    custom_objects: Mapping[str, Any],
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Look a function up: the user's first, then lamella's by name."""
    name = config["config"]
    if not isinstance(name, str):
        raise ValueError(
            f"a function in the file has no name: expected a string, got {name!r}"
        )
    found = registration.get_registered_object(name, custom_objects)
    if found is None:  # Keras <= 3.6 wrote registered functions without the package
        scope = {**registration._scope(), **registration._objects, **custom_objects}
        found = next((v for k, v in scope.items() if k.endswith(f">{name}")), None)
    if found is not None:
        return found
    module = config.get("module")
    if module == "builtins" or family_for(module) is not None:
        if module_objects and callable(module_objects.get(name)):
            return module_objects[name]
        family = family_for(module)
        families = (family,) if family in _FUNCTION_FAMILIES else _FUNCTION_FAMILIES
        for place in families:
            found = getattr(_module(place), name, None)
            if isinstance(found, types.FunctionType | types.BuiltinFunctionType):
                return found
    raise ValueError(
        f"unknown function '{name}' (module {module!r}): pass it with "
        f"custom_objects={{'{name}': ...}} or decorate it with "
        "@lamella.saving.register_keras_serializable() before loading"
    )


def family_for(module: Any) -> str | None:
    """Return the family of a module path, None for a foreign or missing one."""
    if not isinstance(module, str):
        return None
    return _keras_names.family_of_module(module)


def _module(family: str) -> Any:
    """Import lamella's module of a family; None while it does not exist."""
    try:
        return importlib.import_module(_keras_names.LAMELLA_MODULES[family])
    except ModuleNotFoundError:
        return None


def find_builtin(
    name: str, module: Any, families: tuple[str, ...] = _CLASS_FAMILIES
) -> type | None:
    """Find lamella's class for Keras's (module, class name); None if there is none."""
    if not isinstance(name, str) or name.startswith("_"):
        return None
    if module is not None:
        family = family_for(module)
        if family is None:
            return None
        if family:
            families = (family, "models") if family == "layers" else (family,)
            if family == "optimizers":
                families = ("optimizers", "schedules")
    for family in families:
        found = getattr(_module(family), name, None)
        if inspect.isclass(found) and hasattr(found, "from_config"):
            return found
    return None


def _from_class(
    config: Mapping[str, Any],
    custom_objects: Mapping[str, Any],
    module_objects: Mapping[str, Any] | None,
) -> Any:
    """Make an instance of a class from its config, and build and compile it."""
    shared = config.get("shared_object_id")
    loaded = getattr(_local, "loaded", None)
    if shared is not None and loaded is not None and shared in loaded:
        return loaded[shared]
    class_name = config["class_name"]
    inner = config["config"] if config["config"] is not None else {}
    cls = _find_class(config, custom_objects, module_objects)
    if isinstance(cls, types.FunctionType):
        return cls
    title = _title(class_name, inner)
    if class_name == "Lambda":
        _refuse_code(inner, title)
    if not isinstance(inner, Mapping):
        raise ValueError(
            f"{title}: 'config' must be an object, got {type(inner).__name__}"
        )
    inner = clean_config(cls, dict(inner), title)
    with registration.CustomObjectScope(custom_objects):
        try:
            instance = cls.from_config(inner)
        except TypeError as error:
            raise ValueError(
                f"{title}: cannot be made from its config: {error}. Objects that "
                "get_config() returns (layers, models) must be turned back in "
                "from_config() with deserialize_keras_object()"
            ) from error
        except ValueError as error:
            # name the layer, once, when it is one: models add nothing to the text
            if "layers" in inner or f"'{inner.get('name')}'" in str(error):
                raise
            raise ValueError(f"{title}: {error}") from error
        build = config.get("build_config")
        if build and hasattr(instance, "build_from_config"):
            build = _tuples(build)
            if not getattr(instance, "built", True):
                instance.build_from_config(build)
        compile_config = config.get("compile_config")
        if compile_config and hasattr(instance, "compile_from_config"):
            instance.compile_from_config(compile_config)
    if shared is not None and loaded is not None:
        loaded[shared] = instance
    return instance


def _title(class_name: Any, inner: Any) -> str:
    """Name a class and, when the config has one, its layer."""
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return f"{class_name} '{name}'" if isinstance(name, str) else f"{class_name}"


def _find_class(
    config: Mapping[str, Any],
    custom_objects: Mapping[str, Any],
    module_objects: Mapping[str, Any] | None,
) -> Any:
    """Look a class up: registered ones first, then lamella's, then custom_objects."""
    class_name, module = config["class_name"], config.get("module")
    found = registration.get_registered_object(
        config.get("registered_name"), custom_objects
    )
    if found is not None:
        return found
    if module_objects and inspect.isclass(module_objects.get(class_name)):
        return module_objects[class_name]
    if module is not None or "module" not in config:
        found = find_builtin(class_name, module)
        if found is not None:
            return found
    found = registration.get_registered_object(class_name, custom_objects)
    if found is not None:
        return found
    where = f" (module {module!r})" if module else ""
    known = sorted(
        {*registration._scope(), *registration._objects, *custom_objects}, key=str
    )
    advice = (
        "lamella has no such class"
        if family_for(module) is not None
        else "it is a custom class"
    )
    raise ValueError(
        f"unknown class {_title(class_name, config.get('config'))}{where}: {advice}. "
        f"Pass custom_objects={{'{class_name}': {class_name}}} or decorate the class "
        "with @lamella.saving.register_keras_serializable() before loading; known "
        f"custom objects: {', '.join(known) if known else 'none'}"
    )


def _refuse_code(inner: Any, title: str) -> None:
    """Refuse a Lambda layer whose function is code and not a name."""
    function = inner.get("function") if isinstance(inner, Mapping) else None
    named = isinstance(function, Mapping) and function.get("class_name") == "function"
    if named or (isinstance(function, str) and inner.get("function_type") != "lambda"):
        return
    raise ValueError(
        f"{title}: the file holds the layer's function as Python code, which is "
        "refused: " + _LAMBDA_ADVICE
    )


def _tuples(value: Any) -> Any:
    """Turn the lists of shapes into tuples."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if all(item is None or isinstance(item, int) for item in value):
            return tuple(value)
        return [_tuples(item) for item in value]
    return value


def _accepted(cls: type) -> set[str] | None:
    """Return the names that cls(...) takes; None when every name is taken.

    `**kwargs` are followed to the base classes; lamella's `Layer` checks the rest.
    """
    names: set[str] = set()
    for base in cls.__mro__:
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        if base is object:
            break
        try:
            parameters = inspect.signature(init).parameters.values()
        except (TypeError, ValueError):
            return None
        kinds = (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )
        names.update(p.name for p in parameters if p.kind in kinds)
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return names


def clean_config(cls: type, config: dict[str, Any], title: str) -> dict[str, Any]:
    """Fit a config of any Keras version to a class of lamella.

    dtype policies become plain names; shapes in old spelling become new; a key
    that the class does not take is dropped when its value changes nothing.

    Raises:
        ValueError: a key that the class does not take and that does change something.
    """
    own = cls.__module__.split(".")[0] == "lamella"
    if "dtype" in config:
        config["dtype"] = dtype_name(config["dtype"])
    if not own:
        return config
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        config["axis"] = int(config["axis"][0])
    if config.get("reduction") == "auto":
        config["reduction"] = "sum_over_batch_size"
    if "lr" in config and "learning_rate" not in config:
        config["learning_rate"] = config.pop("lr")
    if {"layers", "input_layers", "build_input_shape"} & set(config):
        return config  # a model; its from_config reads its own keys
    names = _accepted(cls)
    if names is None:
        return config
    if "batch_input_shape" in config and cls.__name__ == "InputLayer":
        config["batch_shape"] = config.pop("batch_input_shape")
    if "alpha" in config and "negative_slope" in names and "alpha" not in names:
        config["negative_slope"] = config.pop("alpha")
    for key in [key for key in config if key not in names]:
        if key in ("batch_input_shape", "input_shape", "batch_shape", "input_dim"):
            continue  # taken by Layer's **kwargs
        if key in _keras_names.CONFIG_DEFAULTS:
            harmless = _keras_names.CONFIG_DEFAULTS[key]
            if harmless is None or config[key] in harmless:
                del config[key]
                continue
        raise ValueError(
            f"{title}: the file sets {key}={config[key]!r}, which lamella's "
            f"{cls.__name__} does not have"
        )
    return config
