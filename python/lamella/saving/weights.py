"""The weights of a model in HDF5, in the layout of Keras 3's `model.weights.h5`.

Each layer has a group `<path>/vars` with data sets "0", "1", ... and the attribute
`name`. The path follows the attributes of the Python objects: `layers/<snake-case
class>[_<number>]` for the layers of a model, then for example `cell` or
`forward_layer` for parts; `optimizer/vars` for the optimizer. lamella also keeps the
random counters of dropout layers in `<path>/<attribute>/vars`, which Keras ignores.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lamella.saving import hdf5

if TYPE_CHECKING:
    import h5py

__all__ = [
    "assign",
    "is_optimizer",
    "is_seed",
    "load_weights_from",
    "own_arrays",
    "walk",
    "weights_to_bytes",
]


# -- which objects have state, and under which path ---------------------------------


def snake_case(name: str) -> str:
    """Return Keras's key for a class name: MaxPooling2D -> max_pooling2d.

    Example:
        >>> snake_case("MaxPooling2D"), snake_case("LSTM"), snake_case("LeakyReLU")
        ('max_pooling2d', 'lstm', 'leaky_re_lu')
    """
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _kinds() -> tuple[type, type, type]:
    """Return the classes of layers, optimizers and random states."""
    from lamella.layers import Layer
    from lamella.optimizers import Optimizer
    from lamella.random import SeedGenerator

    return Layer, Optimizer, SeedGenerator


_base_attributes: set[str] = set()


def _skipped() -> set[str]:
    """Return the attributes every layer has; Keras does not look into them."""
    if not _base_attributes:
        from lamella.layers import Layer

        _base_attributes.update(dir(Layer(name="saving")))
        _base_attributes.update(("operations", "_operations", "_functional"))
    return _base_attributes


def _has_graph(model: Any) -> bool:
    """Whether the model lists its layers itself (Sequential, Functional)."""
    return bool(
        {"Sequential", "Functional"} & {c.__name__ for c in type(model).__mro__}
    )


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a layer in Keras's order: by name, private ones last."""
    skipped = _skipped()
    if _has_graph(obj):
        yield "layers", obj.layers
        skipped = skipped | {"_input_layer", "_stack", "_ordered_layers"}
    names = [n for n in dir(obj) if not n.startswith("__") and n not in skipped]
    for name in sorted(names, key=lambda n: f"~{n}" if n.startswith("_") else n):
        try:
            yield name, getattr(obj, name)
        except Exception:  # a property that is not ready has no state
            continue


def walk(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path, object) for the model, its layers, optimizer and random states."""
    layer_class, optimizer_class, seed_class = _kinds()
    seen: set[int] = set()

    def visit(path: str, obj: Any) -> Iterator[tuple[str, Any]]:
        if id(obj) in seen:
            return
        seen.add(id(obj))
        yield path, obj
        if not isinstance(obj, layer_class):
            return
        prefix = f"{path}/" if path else ""
        for name, part in _attributes(obj):
            if isinstance(part, layer_class | optimizer_class | seed_class):
                yield from visit(prefix + name, part)
            elif isinstance(part, list | tuple | dict):
                yield from visit_all(prefix + name, part)

    def visit_all(path: str, parts: Any) -> Iterator[tuple[str, Any]]:
        if id(parts) in seen:
            return
        seen.add(id(parts))
        used: dict[str, int] = {}

        def key(name: str) -> str:
            used[name] = used.get(name, -1) + 1
            return f"{path}/{name}_{used[name]}" if used[name] else f"{path}/{name}"

        for part in parts.values() if isinstance(parts, dict) else parts:
            if isinstance(part, layer_class | optimizer_class | seed_class):
                yield from visit(key(snake_case(type(part).__name__)), part)
            elif isinstance(part, list | tuple | dict):
                yield from visit_all(key("container"), part)

    yield from visit("", model)


def is_optimizer(obj: Any) -> bool:
    """Return True for an optimizer."""
    return isinstance(obj, _kinds()[1])


def is_seed(obj: Any) -> bool:
    """Return True for the state of a random generator."""
    return isinstance(obj, _kinds()[2])


def own_arrays(obj: Any) -> dict[str, np.ndarray]:
    """Return the arrays of one object by the keys "0", "1", ... that it uses."""
    if is_optimizer(obj):
        return {str(i): np.asarray(v.numpy()) for i, v in enumerate(obj.variables)}
    if is_seed(obj):
        return {"0": np.asarray(obj.state.numpy())}
    store: dict[str, Any] = {}
    obj.save_own_variables(store)
    return {key: np.asarray(value) for key, value in store.items()}


# -- weights in HDF5 ----------------------------------------------------------------


def weights_to_bytes(model: Any, include_optimizer: bool = True) -> bytes:
    """Return the bytes of `model.weights.h5`."""
    with hdf5.memory_file() as (file, result):
        for path, obj in walk(model):
            if is_optimizer(obj) and not include_optimizer:
                continue
            arrays = own_arrays(obj)
            group = file.create_group(f"{path}/vars" if path else "vars")
            name = getattr(obj, "name", None)
            if isinstance(name, str) and not is_seed(obj):
                group.attrs["name"] = name
            hdf5.write_arrays(group, arrays)
    return result[0]


class _Plan:
    """What will be assigned, checked before the first assignment."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.steps: list[tuple[Any, dict[str, np.ndarray]]] = []
        self.used: set[str] = set()

    def run(self) -> None:
        """Assign everything."""
        for obj, arrays in self.steps:
            if is_optimizer(obj):
                for i, variable in enumerate(obj.variables):
                    assign(variable, arrays[str(i)])
            elif is_seed(obj):
                assign(obj.state, arrays["0"])
            else:
                try:
                    obj.load_own_variables(arrays)
                except (ValueError, KeyError) as error:  # a user's own loader
                    who = f"{type(obj).__name__} '{obj.name}'"
                    raise ValueError(f"{self.title}: {who}: {error}") from error


def assign(variable: Any, value: np.ndarray) -> None:
    """Assign an array in the variable's own dtype."""
    variable.assign(np.asarray(value, dtype=str(variable.dtype), order="C"))


def _vars(file: h5py.File, path: str, title: str) -> h5py.Group | None:
    """Return the `vars` group of a path, None when the file has none."""
    found = hdf5.find(file, f"{path}/vars", title)
    if found is None and path.startswith("layers"):  # written by Keras 2.13
        old = path.replace("layers", "_layer_checkpoint_dependencies")
        found = hdf5.find(file, f"{old}/vars", title)
    return found


def _describe(obj: Any, path: str) -> str:
    """Name a layer in error texts."""
    name = getattr(obj, "name", None)
    return f"layer '{name}' ({type(obj).__name__}, group '{path or '/'}')"


def load_weights_from(
    file: h5py.File,
    model: Any,
    title: str,
    *,
    skip_mismatch: bool = False,
    optimizer: str = "if it fits",
) -> None:
    """Load all weights; nothing is assigned unless everything fits.

    Args:
        file: the open HDF5 file.
        model: a built model.
        title: the file's name for error texts.
        skip_mismatch: leave layers that do not fit as they are, with a warning.
        optimizer: "must fit" (a compiled model was saved), "if it fits", or "skip".

    Raises:
        ValueError: a group is missing or too many, a number or shape is different.
    """
    plan = _Plan(title)
    problems: list[str] = []
    for path, obj in walk(model):
        group = _vars(file, path, title)
        if group is not None:
            plan.used.add(group.name)
        if is_optimizer(obj):
            if optimizer != "skip":
                _plan_optimizer(plan, obj, group, title, optimizer == "must fit")
            continue
        if is_seed(obj):
            found = {} if group is None else _read_all(group, title)
            if "0" in found and found["0"].shape == tuple(obj.state.shape):
                plan.steps.append((obj, found))
            continue
        problem = _plan_layer(plan, obj, path, group, title)
        if problem:
            problems.append(problem)
    extra = _unused(file, plan.used, title)
    if extra and not problems:
        problems += [f"the file has weights for '{name}'" for name in extra]
        problems[-1] += ", which the model does not have"
    if problems:
        message = f"{title}: the weights do not fit the model: " + "; ".join(
            problems[:8]
        )
        if len(problems) > 8:
            message += f"; and {len(problems) - 8} more"
        if not skip_mismatch:
            raise ValueError(message + ". Nothing was loaded")
        warnings.warn(message + ". These were skipped", stacklevel=3)
    plan.run()


def _read_all(group: h5py.Group, title: str) -> dict[str, np.ndarray]:
    """Read the data sets of a `vars` group."""
    return {key: hdf5.dataset(group, key, title) for key in hdf5.keys(group, title)}


def _plan_layer(
    plan: _Plan, obj: Any, path: str, group: h5py.Group | None, title: str
) -> str | None:
    """Compare a layer with its group; return what is wrong, or None."""
    expected = own_arrays(obj)
    found = {} if group is None else _read_all(group, title)
    sizes_unknown = getattr(obj, "_reads_own_state", False)
    own_loader = sizes_unknown or "load_own_variables" in {
        name
        for cls in type(obj).__mro__
        if not cls.__module__.startswith("lamella.")
        for name in vars(cls)
    }
    if sizes_unknown and not expected and not found:
        return None
    if own_loader:  # the user's layer reads its own state as it likes
        if group is not None and (found or expected):
            plan.steps.append((obj, found))
            return None
    elif not expected and not found:
        return None
    who = _describe(obj, path)
    if group is None or (expected and not found):
        return f"{who} has {len(expected)} arrays, the file has none for it"
    if len(found) != len(expected):
        hint = "; the layer is not built yet" if not getattr(obj, "built", True) else ""
        return f"{who} has {len(expected)} arrays, the file has {len(found)}{hint}"
    for key in expected:
        if key not in found:
            return f"{who}: array '{key}' is missing in the file"
        if found[key].shape != expected[key].shape:
            return (
                f"{who}, array {key}: shape {expected[key].shape} in the model, "
                f"{found[key].shape} in the file"
            )
    plan.steps.append((obj, found))
    return None


def _plan_optimizer(
    plan: _Plan, obj: Any, group: h5py.Group | None, title: str, must: bool
) -> None:
    """Plan the optimizer's state, or leave the optimizer fresh."""
    if group is None:
        return
    found = _read_all(group, title)
    expected = own_arrays(obj)
    if len(found) < len(expected) and len(found) <= 2:
        return  # saved before its first step: nothing but the counter and the rate
    fits = set(found) == set(expected) and all(
        found[key].shape == expected[key].shape for key in found
    )
    if fits:
        plan.steps.append((obj, found))
        return
    text = (
        f"{title}: the state of optimizer '{getattr(obj, 'name', '')}' does not fit: "
        f"{len(expected)} arrays in the model, {len(found)} in the file"
    )
    if len(found) == len(expected):
        key = next(k for k in found if found[k].shape != expected[k].shape)
        text = (
            f"{title}: optimizer array {key} has shape {expected[key].shape} in the "
            f"model, {found[key].shape} in the file"
        )
    if must:
        raise ValueError(
            text + ". Load with compile=False and compile again for a fresh optimizer"
        )
    if len(expected) > 2:  # one that was built on purpose; a fresh one stays fresh
        warnings.warn(text + "; it starts fresh", stacklevel=4)


def _unused(file: h5py.File, used: set[str], title: str) -> list[str]:
    """List the `vars` groups with data that no object of the model asked for."""
    import h5py

    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        path, _, last = name.rpartition("/")
        if not isinstance(item, h5py.Group) or last != "vars":
            return
        if len(item) and item.name not in used and not path.startswith("optimizer"):
            parent = path.rsplit("/", 1)[-1]
            if "seed_generator" not in parent:
                names.append(path or "/")

    with hdf5.damage(title):
        file.visititems(visit)
    return names
