"""Discretization: numbers to the index of their range."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamella import _core, config, ops
from lamella.layers.layer import Layer

from ._common import (
    batches_of,
    check_mode,
    check_sparse,
    encode,
    encoded_shape,
    is_symbolic,
    to_numpy,
)

__all__ = ["Discretization"]


class Discretization(Layer):
    """The index of the bin in which a number lies.

    Args:
        bin_boundaries: ascending boundaries; n of them make n + 1 bins, and a
            boundary belongs to the bin above it.
        num_bins: number of bins whose boundaries `adapt` finds, so that about as many
            samples lie in each.
        epsilon: relative error of the quantiles that `adapt` keeps. Default 0.01.
        output_mode: "int" (default, int32), "one_hot", "multi_hot" or "count".
        sparse: must be False.
        dtype: of the encoded output.
        name: name of the layer.

    Input shape: any, of numbers.
    Output shape: the input's; for the other modes as in `CategoryEncoding`.

    Raises:
        ValueError: unless exactly one of bin_boundaries and num_bins is given.

    Example:
        >>> import lamella as keras
        >>> layer = keras.layers.Discretization(bin_boundaries=[0.0, 1.0])
        >>> layer([-1.0, 0.0, 0.5, 3.0]).numpy().tolist()
        [0, 1, 1, 2]
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.output_mode = check_mode(
            "Discretization", output_mode, ("int", "one_hot", "multi_hot", "count")
        )
        check_sparse("Discretization", sparse)
        if num_bins is not None and num_bins < 0:
            raise ValueError(
                f"Discretization: num_bins must be at least 0, got num_bins={num_bins}"
            )
        if (num_bins is None) == (bin_boundaries is None):
            raise ValueError(
                "Discretization: give either num_bins or bin_boundaries, got "
                f"num_bins={num_bins!r}, bin_boundaries={bin_boundaries!r}"
            )
        if isinstance(bin_boundaries, np.ndarray):
            bin_boundaries = bin_boundaries.tolist()
        self.bin_boundaries: Any = bin_boundaries
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.sparse = False
        self.summary: Any = None
        if not bin_boundaries:
            self.reset_state()

    @property
    def _input_dtype(self) -> str:
        return config.floatx()

    @property
    def output_dtype(self) -> str:
        """The type of the output."""
        return "int32" if self.output_mode == "int" else self.compute_dtype

    # -- boundaries from data ------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Take the boundaries of `num_bins` bins from data.

        Args:
            data: array, tensor, or an iterable of batches.
            steps: number of batches to take; None: all.

        Raises:
            ValueError: if the layer was made with bin_boundaries.
        """
        if self.num_bins is None:
            raise ValueError(
                f"{self._who()}: adapt cannot be used when bin_boundaries are given; "
                "use num_bins instead"
            )
        self.reset_state()
        # here a list is an iterable of batches
        source = iter(data) if isinstance(data, list | tuple) else data
        for batch, _ in batches_of(source, steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Merge a batch into the summary of the data seen."""
        values = np.sort(to_numpy(data).astype("float32").reshape(-1))
        step = max(values.size / (1.0 / self.epsilon), 1)
        kept = values[int(step - 1) :: int(step)]
        fresh = np.stack([kept, np.ones_like(kept) * step])
        merged = np.concatenate((fresh, self.summary), axis=1)
        merged = np.take(merged, np.argsort(merged[0]), axis=1)
        self.summary = _compress(merged, self.epsilon)

    def finalize_state(self) -> None:
        """Set the boundaries from the summary."""
        if self.num_bins is not None:
            compressed = _compress(self.summary, 1.0 / self.num_bins)
            self.bin_boundaries = compressed[0, :-1].tolist()

    def reset_state(self) -> None:
        """Forget the data seen."""
        if self.num_bins is not None or self.summary is None:
            self.summary = np.array([[], []], dtype="float32")

    # -- use -----------------------------------------------------------------

    def call(self, inputs: Any) -> Any:
        """Return the indices of the bins, encoded."""
        if self.bin_boundaries is None:
            raise ValueError(
                f"{self._who()}: it has no boundaries yet; give bin_boundaries or call "
                "adapt(data) first"
            )
        edges = np.asarray(self.bin_boundaries, "float32")
        depth = len(edges) + 1
        indices: Any
        if is_symbolic(inputs):
            above = _core.greater(
                _core.from_numpy(edges),
                _core.expand_dims(ops.cast(inputs, config.floatx()), -1),
            )
            indices = _core.sum(ops.cast(_core.logical_not(above), "int32"), -1, False)
        else:
            indices = np.searchsorted(edges, to_numpy(inputs), side="right")
        return encode(indices, self.output_mode, depth, self.output_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the encoded indices."""
        depth = self.num_bins
        if self.bin_boundaries is not None:
            depth = len(self.bin_boundaries) + 1
        return encoded_shape(input_shape, self.output_mode, depth)

    # `load_own_variables` takes arrays that this layer does not have.
    _reads_own_state = True

    def load_own_variables(self, store: Any) -> None:
        """Read the summary that older versions of Keras wrote."""
        if len(store.keys()) == 1:
            self.summary = np.asarray(store["0"])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments and the boundaries found."""
        return {
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a layer as `get_config` described it."""
        config = dict(config)
        found = None
        if config.get("num_bins") is not None:
            found = config.pop("bin_boundaries", None)
        layer = cls(**config)
        if found is not None:
            layer.bin_boundaries = found
        return layer


def _compress(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """Return a summary with about 1 / epsilon entries (value, weight)."""
    if summary.shape[1] * epsilon < 1:
        return summary
    percents = epsilon + np.arange(0.0, 1.0, epsilon)
    sums = summary[1].cumsum()
    shares = sums / sums[-1]
    values = np.interp(percents, shares, summary[0])
    sums = np.interp(percents, shares, sums)
    weights = sums - np.concatenate((np.array([0]), sums[:-1]))
    return np.stack((values, weights)).astype("float32")
