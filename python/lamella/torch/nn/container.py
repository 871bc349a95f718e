"""Modules that hold others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from ..tensor import Parameter, Tensor
from .module import Module

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


def _place(i: int, n: int, what: str) -> str:
    if not -n <= i < n:
        raise IndexError(
            f"index {i} is out of range" if what == "list" else "index out of range"
        )
    return str(i % n)


class Sequential(Module):
    """Modules one after the other: given in order, or by name in an OrderedDict."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        """Applies the module."""
        for module in self._modules.values():
            input = module(input)
        return input

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _name(self, i: int) -> str:
        return list(self._modules)[int(_place(i, len(self), "sequential"))]

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(OrderedDict(list(self._modules.items())[i]))
        return self._modules[self._name(i)]

    def __setitem__(self, i: int, module: Any) -> None:
        self._modules[self._name(i)] = module

    def __delitem__(self, i: Any) -> None:
        names = list(self._modules)[i] if isinstance(i, slice) else [self._name(i)]
        for name in names:
            del self._modules[name]
        kept = list(self._modules.values())
        self.__dict__["_modules"] = {str(n): m for n, m in enumerate(kept)}

    def append(self, module: Any) -> Sequential:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Any) -> Sequential:
        """Adds modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Any) -> Sequential:
        """Adds a module at a place."""
        kept = list(self._modules.values())
        kept.insert(index, module)
        self.__dict__["_modules"] = {str(n): m for n, m in enumerate(kept)}
        return self

    def pop(self, i: int) -> Any:
        """Takes a module out."""
        module = self[i]
        del self[i]
        return module


class ModuleList(Module):
    """Modules by number."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(list(self._modules.values())[i])
        return self._modules[_place(i, len(self), "list")]

    def __setitem__(self, i: int, module: Any) -> None:
        self._modules[_place(i, len(self), "list")] = module

    def _renumber(self, modules: list[Any]) -> None:
        self.__dict__["_modules"] = {str(n): m for n, m in enumerate(modules)}

    def __delitem__(self, i: Any) -> None:
        kept = list(self)
        del kept[i]
        self._renumber(kept)

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self)

    def append(self, module: Any) -> ModuleList:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Any) -> ModuleList:
        """Adds modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Any) -> None:
        """Adds a module at a place."""
        kept = list(self)
        kept.insert(index, module)
        self._renumber(kept)

    def pop(self, i: int) -> Any:
        """Takes a module out."""
        module = self[i]
        del self[i]
        return module

    def __repr__(self) -> str:
        """Neighbours that print alike share a line."""
        if not len(self):
            return "ModuleList()"
        runs: list[list[Any]] = []
        for i, text in enumerate(repr(m) for m in self):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = []
        for first, last, text in runs:
            mark = (
                f"({first})"
                if first == last
                else f"({first}-{last}): {last - first + 1} x"
            )
            gap = ": " if first == last else " "
            lines.append(f"{mark}{gap}{text}".replace("\n", "\n  "))
        return "ModuleList(\n  " + "\n  ".join(lines) + "\n)"


class _Named:
    """A dictionary over one of a Module's tables."""

    _table = "_modules"

    def _items(self) -> dict[str, Any]:
        return getattr(self, self._table)

    def __getitem__(self, key: str) -> Any:
        return self._items()[key]

    def __delitem__(self, key: str) -> None:
        del self._items()[key]

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __contains__(self, key: object) -> bool:
        return key in self._items()

    def keys(self) -> Any:
        """The names."""
        return self._items().keys()

    def values(self) -> Any:
        """What they name."""
        return self._items().values()

    def items(self) -> Any:
        """(name, value) pairs."""
        return self._items().items()

    def clear(self) -> None:
        """Takes everything out."""
        self._items().clear()

    def pop(self, key: str) -> Any:
        """Takes one out."""
        return self._items().pop(key)

    def update(self, entries: Any) -> None:
        """Adds all of a dictionary or of pairs."""
        for key, value in entries.items() if hasattr(entries, "items") else entries:
            self[key] = value  # type: ignore[index]


class ModuleDict(_Named, Module):
    """Modules by name."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __setitem__(self, key: str, module: Any) -> None:
        self.add_module(key, module)


def _parameter(value: Any) -> Any:
    return (
        Parameter(value)
        if isinstance(value, Tensor) and not isinstance(value, Parameter)
        else value
    )


class ParameterList(Module):
    """Parameters by number."""

    def __init__(self, values: Any = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self._parameters[_place(i, len(self), "list")]

    def __setitem__(self, i: int, value: Any) -> None:
        self._parameters[_place(i, len(self), "list")] = _parameter(value)

    def append(self, value: Any) -> ParameterList:
        """Adds a parameter at the end; a tensor becomes one."""
        self.register_parameter(str(len(self)), _parameter(value))
        return self

    def extend(self, values: Any) -> ParameterList:
        """Adds parameters at the end."""
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """The settings shown in the repr."""
        return "\n".join(
            f"  ({i}): Parameter containing: [{p.dtype} of size "
            f"{'x'.join(map(str, p.shape))}]"
            for i, p in enumerate(self)
        )


class ParameterDict(_Named, Module):
    """Parameters by name."""

    _table = "_parameters"

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def __setitem__(self, key: str, value: Any) -> None:
        self._parameters[key] = _parameter(value)
