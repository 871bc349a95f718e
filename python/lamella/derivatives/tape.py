"""GradientTape: derivatives in TensorFlow's idiom."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.derivatives._walk import (
    Recording,
    as_tensor,
    derivatives_of,
    find_gradients,
    matching,
    parts_of,
    tensor,
)
from lamella.layers._tree import flatten, map_structure, pack

__all__ = ["GradientTape"]


class GradientTape:
    """Records eager computations, in TensorFlow's idiom.

    lamella records every eager op that meets a trainable variable or a watched
    tensor, so a tape only says what to do with the record.

    Args:
        persistent: `gradient` may be called more than once.
        watch_accessed_variables: only True; trainable variables are always watched.

    Reference:
        tf.GradientTape.

    Example:
        >>> import lamella
        >>> x = lamella.ops.convert_to_tensor([3.0])
        >>> with lamella.GradientTape() as tape:
        ...     x = tape.watch(x)
        ...     y = x * x
        >>> tape.gradient(y, x).numpy().tolist()
        [6.0]
    """

    def __init__(
        self, persistent: bool = False, watch_accessed_variables: bool = True
    ) -> None:
        if not watch_accessed_variables:
            raise ValueError(
                "GradientTape: watch_accessed_variables=False is not available; set "
                "variable.trainable = False, or use stop_gradient"
            )
        self._persistent = persistent
        self._recording = Recording()
        self._spent = False

    def __enter__(self) -> GradientTape:
        self._recording.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._recording.__exit__(*exception)

    def watch(self, tensors: Any) -> Any:
        """Make gradients by a tensor (or a structure of tensors) available.

        A tensor is marked in place. What is not a tensor (a NumPy array, a list of
        numbers) cannot be: use the tensor that is returned.

        Returns:
            The tensor that gradients can be asked for.
        """

        def one(x: Any) -> Any:
            if hasattr(x, "assign"):
                return x
            t = tensor(x, "GradientTape.watch")
            if not t.is_symbolic and not t.requires_grad:
                t.requires_grad = True
            return t

        return map_structure(one, tensors)

    def gradient(self, target: Any, sources: Any, output_gradients: Any = None) -> Any:
        """Return the gradient of the sum of `target` for each of `sources`.

        Args:
            target: a tensor or a structure of tensors, of any shapes.
            sources: Variables or watched tensors, or a structure of them.
            output_gradients: weights of the target's elements; default: ones.

        Returns:
            A structure like `sources`; None where the target does not depend on it.

        Raises:
            RuntimeError: called again without `persistent=True`.
        """
        if self._spent and not self._persistent:
            raise RuntimeError(
                "GradientTape.gradient: a tape gives gradients once; make it with "
                "persistent=True to ask again"
            )
        self._spent = True
        roots = [as_tensor(t) for t in flatten(target)]
        if output_gradients is None:
            ends = [_core.full(r.dims, 1.0, r.dtype) for r in roots]
        else:
            ends = matching(output_gradients, roots, "GradientTape: output_gradients")
        found = find_gradients(
            roots, _values(sources), ends, retain=self._persistent or Recording.open > 0
        )
        return pack(sources, found)

    def jacobian(self, target: Any, sources: Any) -> Any:
        """Return all derivatives of a tensor, of shape (target..., source...)."""
        self._spent = True
        root = as_tensor(target)
        with Recording():
            parts = parts_of(root, False, "GradientTape.jacobian")
        found = derivatives_of(
            root, parts, _values(sources), False, "GradientTape.jacobian"
        )
        return pack(sources, found)


def _values(sources: Any) -> list[Any]:
    return [s.value if hasattr(s, "assign") else s for s in flatten(sources)]
