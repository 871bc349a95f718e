"""FeatureSpace: the columns of a table, each prepared in its own way, as one array."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from lamella import config, layers, ops
from lamella.layers import _tree

from .dataset import Dataset

__all__ = ["Cross", "Feature", "FeatureSpace"]


class Feature:
    """How one column is prepared.

    Args:
        dtype: type of the column: "float32", "int32", "string", ...
        preprocessor: layer that is applied to it.
        output_mode: "float", "int" or "one_hot": what becomes of the layer's output.
    """

    def __init__(self, dtype: str, preprocessor: Any, output_mode: str) -> None:
        if output_mode not in ("int", "one_hot", "float"):
            raise ValueError(
                "Feature: output_mode must be 'int', 'one_hot' or 'float', got "
                f"output_mode={output_mode!r}"
            )
        if isinstance(preprocessor, dict):
            preprocessor = layers.deserialize(preprocessor)
        self.dtype = dtype
        self.preprocessor = preprocessor
        self.output_mode = output_mode

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "dtype": self.dtype,
            "preprocessor": layers.serialize(self.preprocessor),
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Feature:
        """Return a feature as `get_config` described it."""
        return cls(**config)


class Cross:
    """Columns whose values are hashed together.

    Args:
        feature_names: names of the columns.
        crossing_dim: number of bins.
        output_mode: "one_hot" (default) or "int".
    """

    def __init__(
        self, feature_names: Any, crossing_dim: int, output_mode: str = "one_hot"
    ) -> None:
        if output_mode not in ("int", "one_hot"):
            raise ValueError(
                "Cross: output_mode must be 'int' or 'one_hot', got "
                f"output_mode={output_mode!r}"
            )
        self.feature_names = tuple(feature_names)
        self.crossing_dim = crossing_dim
        self.output_mode = output_mode

    @property
    def name(self) -> str:
        """The names joined by "_X_"."""
        return "_X_".join(self.feature_names)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "feature_names": self.feature_names,
            "crossing_dim": self.crossing_dim,
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Cross:
        """Return a cross as `get_config` described it."""
        return cls(**config)


class FeatureSpace:
    """Prepares the columns of a table, given as a dict, for a model.

    Differs from Keras: it is no layer and cannot be saved by itself (`get_config` has
    the arguments); columns of texts cannot be inputs of a model (see `get_inputs`).

    Args:
        features: dict from the name of a column to "float", "float_normalized",
            "float_rescaled", "float_discretized", "integer_categorical",
            "string_categorical", "integer_hashed" or "string_hashed", or to what
            `FeatureSpace.float(...)` and so on return.
        output_mode: "concat" (default): one array (batch, width), columns in the order
            of their sorted names, then the crosses; "dict": a dict of arrays.
        crosses: list of tuples of names that are hashed together, or of
            `FeatureSpace.cross(...)`.
        crossing_dim: number of bins of a cross. Default 32.
        hashing_dim: number of bins of hashed columns. Default 32.
        num_discretization_bins: number of bins of "float_discretized". Default 32.
        name: name of the space.

    Raises:
        ValueError: for unknown features, or a call before `adapt`.

    Example:
        >>> space = FeatureSpace({"size": "float", "colour": "string_categorical"})
        >>> space.adapt({"size": [1.0, 2.0], "colour": ["red", "blue"]})
        >>> space({"size": 3.0, "colour": "red"}).numpy().tolist()
        [0.0, 1.0, 0.0, 3.0]
    """

    def __init__(
        self,
        features: dict[str, Any],
        output_mode: str = "concat",
        crosses: Any = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        if not features:
            raise ValueError("FeatureSpace: features must not be empty")
        if output_mode not in ("dict", "concat"):
            raise ValueError(
                "FeatureSpace: output_mode must be 'dict' or 'concat', got "
                f"output_mode={output_mode!r}"
            )
        self.name = name or config.auto_name("FeatureSpace")
        self.output_mode = output_mode
        self.crossing_dim = crossing_dim
        self.hashing_dim = hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {k: self._feature(k, v) for k, v in features.items()}
        self.crosses = [self._cross(c) for c in crosses or ()]
        self.preprocessors = {k: f.preprocessor for k, f in self.features.items()}
        self.crossers = {
            c.name: layers.HashedCrossing(c.crossing_dim, name=c.name)
            for c in self.crosses
        }
        self._adapted = not self._to_adapt()
        self._inputs: Any = None
        self._encoded: Any = None

    # -- kinds of columns ----------------------------------------------------

    @classmethod
    def cross(
        cls, feature_names: Any, crossing_dim: int, output_mode: str = "one_hot"
    ) -> Cross:
        """Return columns hashed together."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype: str, preprocessor: Any, output_mode: str) -> Feature:
        """Return a column with a layer of the user's."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """Return a column of numbers that stay as they are."""
        return Feature(
            "float32", layers.Identity(name=_layer_name("float", name)), "float"
        )

    @classmethod
    def float_rescaled(
        cls,
        scale: builtins.float = 1.0,
        offset: builtins.float = 0.0,
        name: str | None = None,
    ) -> Feature:
        """Return a column of numbers that becomes x * scale + offset."""
        name = _layer_name("float_rescaled", name)
        return Feature("float32", layers.Rescaling(scale, offset, name=name), "float")

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """Return a column of numbers that gets mean 0 and variance 1."""
        name = _layer_name("float_normalized", name)
        return Feature("float32", layers.Normalization(axis=-1, name=name), "float")

    @classmethod
    def float_discretized(
        cls,
        num_bins: int | None,
        bin_boundaries: Any = None,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Return a column of numbers that becomes the index of a bin."""
        layer = layers.Discretization(
            num_bins=num_bins,
            bin_boundaries=bin_boundaries,
            name=_layer_name("float_discretized", name),
        )
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Return a column of integers that becomes the index in a vocabulary."""
        layer = layers.IntegerLookup(
            name=_layer_name("integer_categorical", name),
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
        )
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Return a column of texts that becomes the index in a vocabulary."""
        layer = layers.StringLookup(
            name=_layer_name("string_categorical", name),
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
        )
        return Feature("string", layer, output_mode)

    @classmethod
    def string_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """Return a column of texts that becomes the bin of a hash."""
        name = _layer_name("string_hashed", name)
        return Feature("string", layers.Hashing(num_bins, name=name), output_mode)

    @classmethod
    def integer_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """Return a column of integers that becomes the bin of a hash."""
        name = _layer_name("integer_hashed", name)
        return Feature("int32", layers.Hashing(num_bins, name=name), output_mode)

    def _feature(self, name: str, value: Any) -> Feature:
        if isinstance(value, Feature):
            return value
        if isinstance(value, dict):
            return Feature.from_config(value.get("config", value))
        arguments: dict[str, tuple[Any, ...]] = {
            "float": (),
            "float_normalized": (),
            "float_rescaled": (),
            "float_discretized": (self.num_discretization_bins,),
            "integer_categorical": (),
            "string_categorical": (),
            "integer_hashed": (self.hashing_dim,),
            "string_hashed": (self.hashing_dim,),
        }
        if value not in arguments:
            raise ValueError(
                f"FeatureSpace: unknown kind of feature {value!r} for {name!r}. "
                + config.near_names(value, arguments)
            )
        made: Feature = getattr(self, value)(*arguments[value], name=name)
        return made

    def _cross(self, value: Any) -> Cross:
        if isinstance(value, dict):
            value = Cross.from_config(value.get("config", value))
        if not isinstance(value, Cross):
            if not self.crossing_dim:
                raise ValueError("FeatureSpace: crosses need crossing_dim")
            value = Cross(value, self.crossing_dim)
        unknown = [k for k in value.feature_names if k not in self.features]
        if unknown:
            raise ValueError(
                f"FeatureSpace: crosses name features that are not there: {unknown}"
            )
        return value

    # -- data ----------------------------------------------------------------

    def _to_adapt(self) -> list[str]:
        """Return the names of the columns whose layer learns from data."""
        found = []
        for name, layer in self.preprocessors.items():
            known = (
                getattr(layer, "input_mean", None) is not None
                or getattr(layer, "_has_input_vocabulary", False)
                or (isinstance(layer, layers.Discretization) and layer.num_bins is None)
            )
            if hasattr(layer, "adapt") and not known:
                found.append(name)
        return found

    def adapt(self, dataset: Any) -> None:
        """Let the layers learn vocabularies, means and bins.

        Args:
            dataset: dict of arrays or lists, or a `Dataset` of such dicts (single
                rows or batches).

        Raises:
            ValueError: for something else.
        """
        if isinstance(dataset, dict):
            dataset = Dataset.from_tensor_slices(dataset).batch(1024)
        if not isinstance(dataset, Dataset):
            raise ValueError(
                "FeatureSpace: adapt expects a dict of arrays or a Dataset of dicts, "
                f"got {type(dataset).__name__}"
            )
        for name in self._to_adapt():
            column = dataset.map(lambda row, name=name: row[name])
            rank = np.ndim(next(iter(column)))
            if rank == 0:
                column = column.batch(32)
            if rank < 2:
                column = column.map(lambda x: x[:, None])
            self.preprocessors[name].adapt(column)
        self._adapted = True

    def __call__(self, data: dict[str, Any]) -> Any:
        """Return the prepared columns of a dict of arrays, or of one row.

        Raises:
            ValueError: before `adapt`, or if `data` is no dict.
        """
        self._check_adapted()
        if not isinstance(data, dict):
            raise ValueError(
                "FeatureSpace: expected a dict from names to columns, got "
                f"{type(data).__name__}"
            )
        columns = {k: self._column(k, v) for k, v in data.items() if k in self.features}
        missing = [k for k in self.features if k not in columns]
        if missing:
            raise ValueError(f"FeatureSpace: the columns {missing} are missing")
        single = any(np.ndim(_host(data[k])) == 0 for k in columns)
        merged = self._merge(columns)
        if single:
            return _tree.map_structure(lambda x: ops.squeeze(x, 0), merged)
        return merged

    def _column(self, name: str, value: Any) -> Any:
        array = _host(value)
        dtype = self.features[name].dtype
        if dtype.startswith("float"):
            array = array.astype(dtype)
        if array.ndim < 2:
            array = array.reshape(-1, 1)
        return array

    def _check_adapted(self) -> None:
        if not self._adapted:
            raise ValueError(
                "FeatureSpace: call adapt(dataset) first; these columns learn from "
                f"data: {self._to_adapt()}"
            )

    def _merge(self, columns: dict[str, Any]) -> Any:
        """Apply all layers, and put their outputs together."""
        done = {k: self.preprocessors[k](x) for k, x in columns.items()}
        crossed = {
            c.name: self.crossers[c.name]([done[k] for k in c.feature_names])
            for c in self.crosses
        }
        modes = {k: f.output_mode for k, f in self.features.items()}
        modes.update((c.name, c.output_mode) for c in self.crosses)
        outputs = {}
        for name in [*sorted(done), *sorted(crossed)]:
            x = done[name] if name in done else crossed[name]
            if modes[name] == "one_hot":
                x = self._one_hot(name, x)
            if self.output_mode == "concat" and not _is_float(x):
                raise ValueError(
                    f"FeatureSpace: the feature {name!r} is of type {x.dtype} and "
                    "cannot be concatenated; use output_mode='dict', or 'one_hot' for "
                    "this feature"
                )
            outputs[name] = x
        if self.output_mode == "dict":
            return outputs
        return ops.concatenate(list(outputs.values()), axis=-1)

    def _one_hot(self, name: str, x: Any) -> Any:
        layer = self.preprocessors.get(name) or self.crossers[name]
        if not str(x.dtype).startswith("int"):
            raise ValueError(
                f"FeatureSpace: the feature {name!r} has output_mode='one_hot', so its "
                f"layer must return integers, got {x.dtype}"
            )
        for attribute in ("vocabulary_size", "num_tokens", "num_bins"):
            size = getattr(layer, attribute, None)
            if size is not None:
                break
        if isinstance(layer, layers.Discretization):
            size = len(layer.bin_boundaries) + 1
        if size is None:
            raise ValueError(
                f"FeatureSpace: the number of values of the feature {name!r} is not "
                "known, so it cannot be one-hot; use output_mode='int'"
            )
        return layers.CategoryEncoding(size() if callable(size) else size)(x)

    # -- models ----------------------------------------------------------------

    def get_inputs(self) -> dict[str, Any]:
        """Return an `Input` for each column, for a model of the raw columns.

        Raises:
            ValueError: before `adapt`, and with columns of texts: no compiled model
                takes these. Call the space on the data, and the model on the result.
        """
        self._check_adapted()
        texts = [k for k, f in self.features.items() if f.dtype == "string"]
        if texts:
            raise ValueError(
                f"FeatureSpace: the columns {texts} are texts, which a model cannot "
                "take; use model(feature_space(columns)) with a model of "
                "get_encoded_features()"
            )
        if self._inputs is None:
            self._inputs = {
                k: layers.Input((1,), dtype=f.dtype, name=k)
                for k, f in self.features.items()
            }
        return dict(self._inputs)

    def get_encoded_features(self) -> Any:
        """Return a placeholder of the prepared columns (a dict of them for "dict").

        With columns of texts these are inputs; else they come from `get_inputs`.
        """
        self._check_adapted()
        if self._encoded is None:
            if any(f.dtype == "string" for f in self.features.values()):
                row = {
                    k: [""] if f.dtype == "string" else [0]
                    for k, f in self.features.items()
                }
                self._encoded = _tree.map_structure(
                    lambda x: layers.Input(x.shape[1:], dtype=x.dtype), self(row)
                )
            else:
                self._encoded = self._merge(self.get_inputs())
        return self._encoded

    # -- configuration -----------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments (not what `adapt` has learnt)."""
        return {
            "features": {k: f.get_config() for k, f in self.features.items()},
            "output_mode": self.output_mode,
            "crosses": [c.get_config() for c in self.crosses],
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureSpace:
        """Return a space as `get_config` described it."""
        return cls(**config)


def _layer_name(kind: str, name: str | None) -> str:
    return f"{name or config.auto_name(kind)}_preprocessor"


def _host(value: Any) -> np.ndarray:
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def _is_float(x: Any) -> bool:
    return str(x.dtype).startswith("float")
