"""Config: a dict whose entries are attributes, written as JSON."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from typing import Any

__all__ = ["Config"]


class Config(MutableMapping[str, Any]):
    """Settings of a program: a dict that also reads and sets entries as attributes.

    Args:
        **kwargs: the entries.

    Example:
        >>> config = Config(units=8)
        >>> config.rate = 0.1
        >>> config["rate"], config.units
        (0.1, 8)
    """

    _config: dict[str, Any]
    _frozen: bool

    def __init__(self, **kwargs: Any) -> None:
        object.__setattr__(self, "_config", {})
        object.__setattr__(self, "_frozen", False)
        for key, value in kwargs.items():
            self[key] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if self._frozen:
            raise ValueError(f"Config: cannot set {name!r}: the config is frozen")
        self._config[name] = value

    def __getitem__(self, name: str) -> Any:
        return self._config[name]

    def __delitem__(self, name: str) -> None:
        if self._frozen:
            raise ValueError(f"Config: cannot delete {name!r}: the config is frozen")
        del self._config[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._config))

    def __len__(self) -> int:
        return len(self._config)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __getattr__(self, name: str) -> Any:
        config = self.__dict__.get("_config", {})
        if name in config:
            return config[name]
        import difflib

        near = difflib.get_close_matches(name, list(config), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"Config: there is no entry {name!r}.{hint}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._config]

    def __repr__(self) -> str:
        return f"<Config {self._config}>"

    def keys(self) -> KeysView[str]:
        """Return the names in the order in which they were set."""
        return self._config.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values in the order in which they were set."""
        return self._config.values()

    def items(self) -> ItemsView[str, Any]:
        """Return names and values in the order in which they were set."""
        return self._config.items()

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""
        return self._frozen

    def freeze(self) -> None:
        """Refuse changes from now on."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self) -> None:
        """Allow changes again."""
        object.__setattr__(self, "_frozen", False)

    def as_dict(self) -> dict[str, Any]:
        """Return a copy of the entries."""
        return dict(self._config)

    def to_json(self) -> str:
        """Return the entries as JSON."""
        import json

        return json.dumps(self._config)
