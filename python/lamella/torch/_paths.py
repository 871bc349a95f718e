"""Paths that programs import from where there is no file of that name."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["importable", "namespace"]


def importable(path: str, module: ModuleType) -> None:
    """Lets `import lamella.torch.<path>` give the module."""
    sys.modules[f"{__package__}.{path}"] = module


def namespace(path: str, doc: str, **names: Any) -> ModuleType:
    """A module of the given names, to be imported as lamella.torch.<path>."""
    module = ModuleType(f"{__package__}.{path}", doc)
    module.__dict__.update(names)
    importable(path, module)
    return module
