"""Gradients in the form that programs for TensorFlow write."""

from __future__ import annotations

from typing import Any

from lamella import _core
from lamella.layers import _tree
from lamella.variable import Variable

__all__ = ["GradientTape"]


class GradientTape:
    """Gradients of what is computed with it, with respect to variables and tensors.

    lamella records every eager computation with variables by itself: the tape only
    asks for the gradients. Tensors that are no variables are recorded from `watch` on.
    A tape inside of another one can be differentiated again.

    Args:
        persistent: whether `gradient` may be called more than once.
        watch_accessed_variables: must be True.

    Raises:
        ValueError: watch_accessed_variables=False.

    Example:
        >>> import lamella as keras
        >>> x = keras.Variable([1.0, 2.0])
        >>> with keras.GradientTape() as tape:
        ...     y = keras.ops.sum(x * x)
        >>> tape.gradient(y, x).numpy().tolist()
        [2.0, 4.0]
    """

    _open = 0  # tapes that are recording

    def __init__(
        self, persistent: bool = False, watch_accessed_variables: bool = True
    ) -> None:
        if not watch_accessed_variables:
            raise ValueError(
                "GradientTape: watch_accessed_variables=False is not supported; use "
                "ops.stop_gradient for what shall not be differentiated"
            )
        self._persistent = persistent
        self._used = False

    def __enter__(self) -> GradientTape:
        GradientTape._open += 1
        return self

    def __exit__(self, *error: Any) -> None:
        GradientTape._open -= 1

    def watch(self, tensor: Any) -> None:
        """Record what is computed from a tensor, or a nested list of them."""
        for each in _tree.flatten(tensor):
            if isinstance(each, _core.Tensor):
                each.requires_grad = True

    def gradient(self, target: Any, sources: Any, output_gradients: Any = None) -> Any:
        """Return the gradients of the sum of the targets, in the structure of sources.

        Args:
            target: tensor, or a nested list of them.
            sources: variables and watched tensors, in any nested structure.
            output_gradients: gradients of something else with respect to the targets.

        Returns:
            Tensors; None where the targets do not depend on a source.

        Raises:
            RuntimeError: called again on a tape that is not persistent.
        """
        if self._used and not self._persistent:
            raise RuntimeError(
                "GradientTape: gradient() was called before; make the tape with "
                "persistent=True to call it more than once"
            )
        self._used = True
        roots = [t for t in _tree.flatten(target) if t.requires_grad]
        starts = None
        if output_gradients is not None:
            starts = list(_tree.flatten(output_gradients))
        else:
            roots = [_core.sum(t) if t.ndim else t for t in roots]
        leaves = [
            s.value if isinstance(s, Variable) else s for s in _tree.flatten(sources)
        ]
        asked = [leaf for leaf in leaves if leaf.requires_grad]
        found: list[Any] = [None] * len(asked)
        if roots and asked:
            found = _core.gradients(
                roots, asked, starts, self._persistent, GradientTape._open > 0
            )
        given = iter(found)
        return _tree.pack(
            _tree.map_structure(lambda _: None, sources),
            [next(given) if leaf.requires_grad else None for leaf in leaves],
        )
