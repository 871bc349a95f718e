"""Optimizer: the base class, whose rules are written in Python over `lamella.ops`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lamella import _core, _support, config
from lamella.optimizers import _rule
from lamella.optimizers.schedules import LearningRateSchedule
from lamella.variable import Variable

__all__ = ["Optimizer"]


class Optimizer:
    """Base class of optimizers; use one of SGD, Adam, ... or write a rule of your own.

    A subclass overrides `build`, which makes its state with `add_variable` or
    `add_optimizer_variables`, and `update_step`, which changes one weight by its
    gradient with `lamella.ops`. `fit` traces the rule once and runs it in C++, as part
    of the training step. The rules that come with lamella have fused kernels besides,
    which are taken whenever their result is the same.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without
            arguments. Differs from Keras on PyTorch: `fit` calls that function while
            it traces the step, so it must return a Variable or Tensor to vary.
        weight_decay: each step subtracts learning_rate * weight_decay * weight before
            the update; None for no decay.
        clipnorm: largest Euclidean norm of the gradient of each weight.
        clipvalue: largest absolute value of the gradients.
        global_clipnorm: largest Euclidean norm of all gradients together.
        use_ema: keep moving averages of the weights, which replace them at the end
            of `fit`.
        ema_momentum: share of the old average, in [0, 1].
        ema_overwrite_frequency: replace the weights by their averages every so many
            steps, too.
        loss_scale_factor: the loss is multiplied by it, the gradients divided.
        gradient_accumulation_steps: update once in so many steps (at least 2), with
            the mean of their gradients.
        name: name of the optimizer.

    Raises:
        ValueError: an argument is out of range or unknown, or more than one of the
            three ways to clip is given.

    Example:
        >>> import lamella as keras
        >>> class Signs(keras.optimizers.Optimizer):
        ...     def update_step(self, gradient, variable, learning_rate):
        ...         step = learning_rate * keras.ops.sign(gradient)
        ...         self.assign_sub(variable, step)
        >>> w = keras.Variable([1.0, 2.0])
        >>> Signs(0.5).apply([[3.0, -4.0]], [w])
        >>> w.numpy().tolist()
        [0.5, 2.5]
    """

    _hyper: tuple[str, ...] = ()  # names of the rule's own arguments
    _core: Any = None  # the fused kernels, where a rule has them
    _variables: list[Variable]

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._variables = []
        owner = type(self).__name__
        if kwargs.pop("decay", None) is not None:
            warnings.warn(
                f"{owner}: decay has no meaning any more and is ignored; use a "
                "LearningRateSchedule",
                stacklevel=2,
            )
        if kwargs:
            unknown = next(iter(kwargs))
            raise ValueError(
                f"{owner}: unknown argument {unknown!r}. "
                f"{config.near_names(unknown, [*_rule.SHARED, *self._hyper])}"
            )
        self.name = name or config.auto_name(owner)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        _rule.check_shared(self)
        self.built = False
        self._trainable: list[Variable] = []
        self._index: dict[int, int] = {}
        self._excluded: tuple[set[int], Any] = (set(), None)
        self._iterations = self._make_variable(0, "iteration", "int64")
        if callable(learning_rate) and not hasattr(learning_rate, "dtype"):
            self._learning_rate = learning_rate
        else:
            rate = _rule.check_rate(owner, learning_rate)
            self._learning_rate = self._make_variable(rate, "learning_rate", "float32")

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_variables":
            if "_variables" not in vars(self):
                raise RuntimeError(
                    f"{type(self).__name__}: __init__ must call super().__init__() "
                    "before it sets anything"
                )
            for item in value if isinstance(value, list | tuple) else (value,):
                if isinstance(item, Variable):
                    self._track(item)
        super().__setattr__(name, value)

    # -- the learning rate ---------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The rate of the next step: a Variable, or what the schedule gives."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._iterations)
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate
        return self._learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        old = self._learning_rate
        if callable(value) and not hasattr(value, "dtype"):
            self._learning_rate = value
            if isinstance(old, Variable):
                self._variables = [v for v in self._variables if v is not old]
        elif isinstance(old, Variable):
            old.assign(np.float32(_rule.check_rate(type(self).__name__, value)))
        else:
            raise TypeError(
                f"{type(self).__name__}: the learning rate follows a schedule, so it "
                "cannot be set to a number; make the optimizer with a number instead"
            )

    @property
    def iterations(self) -> Any:
        """Number of updates so far; with gradient accumulation fewer than steps."""
        if self.gradient_accumulation_steps:
            return self._iterations // self.gradient_accumulation_steps
        return self._iterations

    # -- state -----------------------------------------------------------------

    @property
    def variables(self) -> list[Variable]:
        """iterations, learning rate (if a number), then the state in Keras's order."""
        return list(self._variables)

    def _track(self, variable: Variable) -> None:
        if not any(v is variable for v in self._variables):
            self._variables.append(variable)

    def _make_variable(
        self, value: Any, name: str, dtype: Any, shape: Any = None
    ) -> Variable:
        variable = Variable(value, shape, dtype, trainable=False, name=name)
        variable._path = f"{self.name}/{name}"
        self._track(variable)
        return variable

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a variable of the optimizer.

        Args:
            shape: its shape.
            initializer: name, Initializer or function of (shape, dtype).
            dtype: default: floatx.
            aggregation: accepted for Keras's sake.
            layout: accepted for Keras's sake.
            name: default: a numbered "variable".
        """
        del aggregation, layout
        from lamella import initializers

        return self._make_variable(
            initializers.get(initializer),
            name or config.auto_name("variable"),
            dtype,
            tuple(shape),
        )

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = None
    ) -> Variable:
        """Make a variable of a weight's shape and type, named after it."""
        path = getattr(reference_variable, "path", reference_variable.name)
        return self.add_variable(
            reference_variable.shape,
            "zeros" if initializer is None else initializer,
            reference_variable.dtype,
            name=f"{path.replace('/', '_')}_{name or 'var'}",
        )

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Any], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """Make one variable for each weight, or several for a list of names.

        Args:
            trainable_variables: the weights.
            name: a name, or a list of names.
            initializer: one initializer, or one for each name.

        Returns:
            A list of variables, or a tuple of such lists.
        """
        names = [name] if isinstance(name, str) else list(name)
        starts = initializer
        if not isinstance(initializer, list | tuple):
            starts = [initializer] * len(names)
        if len(starts) != len(names):
            raise ValueError(
                f"{type(self).__name__}: expected an initializer for each of the names "
                f"{names}, got {len(starts)}"
            )
        made: tuple[list[Variable], ...] = tuple([] for _ in names)
        for variable in trainable_variables:  # interleaved, as in Keras's files
            for group, own, start in zip(made, names, starts, strict=True):
                group.append(self.add_variable_from_reference(variable, own, start))
        return made[0] if isinstance(name, str) else made

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the state for a list of weights; a second call changes nothing."""
        if self.built:
            return
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated = self.add_optimizer_variables(
                variables, "gradient_accumulator"
            )
        super().__setattr__("_trainable", list(variables))
        self._index = {id(v): i for i, v in enumerate(variables)}
        self.built = True

    @property
    def _trainable_variables(self) -> list[Variable]:
        return self._trainable

    def _get_variable_index(self, variable: Any) -> int:
        return self._index[id(variable)]

    def _check_known(self, variables: Iterable[Variable]) -> None:
        for v in variables:
            if id(v) not in self._index:
                raise ValueError(
                    f"{type(self).__name__}: unknown variable "
                    f"{getattr(v, 'path', v.name)!r}: the optimizer was built for "
                    f"{len(self._index)} others; make a new optimizer"
                )

    # -- the rule --------------------------------------------------------------

    def assign(self, variable: Any, value: Any) -> None:
        """Give a weight or a variable of the optimizer a new value."""
        variable.assign(value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a weight or a variable of the optimizer."""
        variable.assign_add(value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a weight or a variable of the optimizer."""
        variable.assign_sub(value)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight and its state; subclasses override this."""
        raise NotImplementedError(
            f"{type(self).__name__}: override update_step(gradient, variable, "
            "learning_rate)"
        )

    def _update_all(self, grads: list[Any], variables: list[Any], rate: Any) -> None:
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, rate)

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        return _rule.clipped(self, grads)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                factor = _core.cast(
                    _rule.tensor(self.learning_rate) * self.weight_decay, variable.dtype
                )
                variable.assign(variable.value - variable.value * factor)

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[Variable] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        """Leave weights out of the decay, by themselves or by a part of their name.

        Raises:
            ValueError: the optimizer is already built.
        """
        if self.built:
            raise ValueError(
                f"{type(self).__name__}: exclude_from_weight_decay() must be called "
                "before the optimizer is built"
            )
        ids = {id(v) for v in var_list or ()}
        pattern = re.compile("|".join(sorted(set(var_names)))) if var_names else None
        self._excluded = (ids, pattern)

    def _use_weight_decay(self, variable: Any) -> bool:
        ids, pattern = self._excluded
        return id(variable) not in ids and (
            pattern is None or pattern.search(variable.name) is None
        )

    # -- steps -----------------------------------------------------------------

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """One step from pairs (gradient, weight); returns the step counter."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def apply(
        self,
        grads: Sequence[Any],
        trainable_variables: Sequence[Variable] | None = None,
    ) -> None:
        """One step.

        Args:
            grads: gradients; None leaves its weight alone.
            trainable_variables: their weights; default: those it was built with.

        Raises:
            ValueError: not built yet, a weight is unknown, or no gradient at all.
        """
        grads = list(grads)
        if not grads:
            return
        weights = _rule.weights_for(self, grads, trainable_variables)
        if not self.built:
            self.build(weights)
        self._check_known(weights)
        kept, trained = _rule.present(type(self).__name__, grads, weights)
        with _core.no_grad():
            if self._core is not None and _core.current_graph() is None:
                self._apply_kernel(kept, trained)
            else:
                if self.loss_scale_factor is not None:
                    kept = [g / self.loss_scale_factor for g in kept]
                _rule.run(self, kept, trained)
                self._iterations.assign_add(1)
            for variable in trained:
                constraint = getattr(variable, "constraint", None)
                if constraint is not None:
                    variable.assign(constraint(variable.value))

    def _apply_kernel(self, grads: list[Any], variables: list[Any]) -> None:
        raise NotImplementedError

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss times loss_scale_factor, if there is one."""
        factor = self.loss_scale_factor
        return loss if factor is None else loss * factor

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """One step from given values, without changing weights or state.

        Args:
            optimizer_variables: a value for each of `variables`.
            grads: gradients.
            trainable_variables: a value for each weight it was built with.

        Returns:
            (new values of the weights, new values of `variables`).

        Raises:
            ValueError: not built yet, or the numbers do not fit.
        """
        return _rule.stateless(self, optimizer_variables, grads, trainable_variables)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """With use_ema, give the weights their averages; `fit` does it at its end."""
        if self.use_ema:
            _rule.overwrite_with_averages(self, var_list)

    # -- tracing ---------------------------------------------------------------

    def _trace(self, graph: Any, variables: Sequence[Variable]) -> Callable[[], Any]:
        """Make the update part of a traced training step.

        Returns:
            What makes the Trainer of that step.
        """
        cores = [v._core for v in variables]
        known = graph.loss_depends_on(cores)
        pairs = list(zip(variables, known, strict=True))
        _rule.warn_missing(
            type(self).__name__, [v for v, depends in pairs if not depends]
        )
        trained = [v for v, depends in pairs if depends]
        update = _core.Graph()
        with update:
            grads = [
                update.input(f"gradient{i}", v.shape, v.dtype)
                for i, v in enumerate(trained)
            ]
            self.apply(grads, trained)
        graph.set_update(update, [v._core for v in trained])
        return lambda: _core.Trainer(graph)

    # -- saving ----------------------------------------------------------------

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all variables, in the order of `variables`.

        Raises:
            ValueError: not built, or number or shapes do not fit.
        """
        owner = type(self).__name__
        if not self.built:
            raise ValueError(f"{owner}: call build(weights) before set_weights()")
        variables = self.variables
        if len(weights) != len(variables):
            raise ValueError(
                f"{owner}: expected {len(variables)} arrays, got {len(weights)}"
            )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)

    def save_own_variables(self, store: Any) -> None:
        """Put the variables into a dict-like store under "0", "1", ..."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read what `save_own_variables` wrote; warns if the number differs."""
        variables = self.variables
        if len(store.keys()) != len(variables):
            warnings.warn(
                f"optimizer {self.name!r}: its state was not loaded, because it has "
                f"{len(variables)} variables and the file {len(store.keys())}",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(variables):
            variable.assign(np.asarray(store[str(i)]))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(rate.numpy())
        else:
            rate = _support.serialize(rate)
        keys = (*_rule.SHARED[1:], *self._hyper)
        own = {"name": self.name, "learning_rate": rate}
        return {**own, **{key: getattr(self, key) for key in keys}}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Optimizer:
        """An optimizer from `get_config()`."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            from lamella.optimizers import schedules

            config["learning_rate"] = schedules.deserialize(
                config["learning_rate"], custom_objects
            )
        return cls(**config)

    def __reduce__(self) -> Any:
        """Copy and pickle the arguments; the optimizer's state stays with its model."""
        return _support.revive, (type(self), self.get_config())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"
