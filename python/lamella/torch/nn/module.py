"""Module: parameters, buffers and submodules by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lamella import _core

from .. import _dtype as dt
from ..autograd import no_grad
from ..tensor import Parameter, Tensor, shape_of
from ..utils.hooks import RemovableHandle

__all__ = ["Module"]


class _IncompatibleKeys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def _indented(text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line for line in rest)])


class Module:
    """Base of all networks and layers.

    Assign parameters and modules as attributes in __init__, write forward.

    Example:
        >>> from lamella.torch import nn
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = nn.Linear(2, 3)
        ...     def forward(self, x):
        ...         return self.hidden(x).relu()
        >>> Net()
        Net(
          (hidden): Linear(in_features=2, out_features=3, bias=True)
        )
    """

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        put = super().__setattr__
        put("training", True)
        put("_parameters", {})
        put("_buffers", {})
        put("_modules", {})
        put("_non_persistent", set())
        put("_hooks", None)

    def forward(self, *args: Any, **options: Any) -> Any:
        """What the module computes; a subclass writes it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See the base class."""
        if self._hooks is None:
            return self.forward(*args, **options)
        return self._hooked_call(args, options)

    # ------------------------------------------------------------ attributes

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for table in ("_parameters", "_modules", "_buffers"):
            found = own.get(table)
            if found is not None and name in found:
                return found[name]
        if "_parameters" not in own:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before using the "
                "module"
            )
        raise AttributeError(
            f"'{type(self).__name__}' object has no attribute '{name}'"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        kind = isinstance(value, Parameter | Module)
        if "_parameters" not in own:
            if kind:
                what = "parameters" if isinstance(value, Parameter) else "module"
                raise AttributeError(
                    f"cannot assign {what} before Module.__init__() call"
                )
            super().__setattr__(name, value)
            return
        if kind:
            table = "_parameters" if isinstance(value, Parameter) else "_modules"
            own.pop(name, None)
            for other in ("_parameters", "_buffers", "_modules"):
                if other != table:
                    own[other].pop(name, None)
            own[table][name] = value
            return
        for table, what in (("_parameters", "parameter"), ("_modules", "child module")):
            if name in own[table]:
                if value is not None:
                    wanted = (
                        "torch.nn.Parameter"
                        if what == "parameter"
                        else "torch.nn.Module"
                    )
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {what} '{name}' "
                        f"({wanted} or "
                        "None expected)"
                    )
                own[table][name] = None
                return
        if name in own["_buffers"] and (value is None or isinstance(value, Tensor)):
            own["_buffers"][name] = value
            return
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted(
            {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        )

    def register_parameter(self, name: str, param: Any) -> None:
        """Adds a parameter (or None) under a name."""
        self._check_name(name, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Adds a tensor that is no parameter; persistent: in the state_dict."""
        self._check_name(name, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(torch Tensor "
                "or None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def add_module(self, name: str, module: Any) -> None:
        """Adds a submodule under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, "module")
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, name: str, what: str) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(
                f"{what} name should be a string. Got {type(name).__name__}"
            )
        if "." in name or not name:
            raise KeyError(f'{what} name can\'t be empty or contain ".", got: {name!r}')
        own = {
            "parameter": self._parameters,
            "buffer": self._buffers,
            "module": self._modules,
        }
        if hasattr(self, name) and name not in own[what]:
            raise KeyError(f"attribute '{name}' already exists")

    # ------------------------------------------------------------ listing

    def named_modules(
        self,
        memo: set[Any] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Module]]:
        """(name, module) of this module and all below."""
        memo = set() if memo is None else memo
        if remove_duplicate and self in memo:
            return
        memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, below, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly below."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below."""
        return (m for _, m in self.named_children())

    def _named(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        places = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for place, module in places:
            for name, value in getattr(module, table).items():
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{place}.{name}" if place else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """(name, parameter) of this module and all below."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The parameters of this module and all below."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """(name, buffer) of this module and all below."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """The buffers of this module and all below."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name."""
        module: Any = self
        for name in target.split(".") if target else []:
            if name not in module._modules:
                raise AttributeError(
                    f"{type(module).__name__} has no attribute `{name}`"
                )
            module = module._modules[name]
        return module

    def get_parameter(self, target: str) -> Any:
        """The parameter with a dotted name."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters
        if name not in found:
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found[name]

    # ------------------------------------------------------------ state

    def state_dict(self, *args: Any, prefix: str = "", keep_vars: bool = False) -> Any:
        """Parameters and persistent buffers by dotted name; they share memory."""
        state: OrderedDict[str, Any] = OrderedDict()
        for place, module in self.named_modules(
            prefix=prefix.rstrip("."), remove_duplicate=False
        ):
            for table in (module._parameters, module._buffers):
                for name, value in table.items():
                    if value is None or name in module._non_persistent:
                        continue
                    key = f"{place}.{name}" if place else name
                    state[key] = value if keep_vars else value.detach()
        return state

    def load_state_dict(
        self, state_dict: Any, strict: bool = True, assign: bool = False
    ) -> Any:
        """Copies values by dotted name into this module.

        Args:
            state_dict: what state_dict() gave, of a module of the same build.
            strict: whether missing or unknown names are an error.
            assign: accepted; values are copied.

        Returns:
            missing_keys and unexpected_keys.

        Raises:
            RuntimeError: naming what is missing, unknown or of another shape.
        """
        own = self.state_dict(keep_vars=True)
        missing = [k for k in own if k not in state_dict]
        unknown = [k for k in state_dict if k not in own]
        errors = []
        if strict and missing:
            names = ", ".join(f'"{k}"' for k in missing)
            errors.append(f"Missing key(s) in state_dict: {names}. ")
        if strict and unknown:
            names = ", ".join(f'"{k}"' for k in unknown)
            errors.append(f"Unexpected key(s) in state_dict: {names}. ")
        with no_grad():
            for key, target in own.items():
                if key not in state_dict:
                    continue
                value = state_dict[key]
                if shape_of(value) != shape_of(target):
                    errors.append(
                        f"size mismatch for {key}: copying a param with shape "
                        f"{value.shape} from "
                        f"checkpoint, the shape in current model is {target.shape}."
                    )
                    continue
                target.copy_(value)
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(errors)
            )
        return _IncompatibleKeys(missing, unknown)

    def train(self, mode: bool = True) -> Any:
        """Training mode (dropout drops, batch norm uses the batch), or not."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.__dict__["training"] = mode
        return self

    def eval(self) -> Any:
        """Evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Whether the parameters want gradients."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or fills them with zeros."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad = p.grad.detach() * 0

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Calls fn on every module below and on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _convert(self, d: Any) -> Any:
        for table in ("_parameters", "_buffers"):
            for _, x in self._named(table, "", True, True):
                if x.dtype.is_floating_point and x.dtype is not d:
                    g = x.grad
                    x.data = x.detach().to(d)
                    if g is not None:
                        x.grad = g.to(d)
        return self

    def to(self, *args: Any, **options: Any) -> Any:
        """Float parameters and buffers in another dtype; the device is the CPU."""
        probe = Tensor(0).to(*args, **options)
        wanted = options.get("dtype")
        for a in args:
            if isinstance(a, dt.dtype | Tensor):
                wanted = a if isinstance(a, dt.dtype) else a.dtype
        return self if wanted is None else self._convert(probe.dtype)

    def type(self, dst_type: Any) -> Any:
        """As to(dtype)."""
        return self._convert(dt.as_dtype(dst_type))

    def float(self) -> Any:
        """In float32."""
        return self._convert(dt.float32)

    def double(self) -> Any:
        """In float64."""
        return self._convert(dt.float64)

    def cpu(self) -> Any:
        """The module itself."""
        return self

    def cuda(self, device: Any = None) -> Any:
        """Refused: lamella.torch computes on the CPU."""
        raise RuntimeError(
            "cuda: lamella.torch computes on the CPU; use torch.cuda.is_available() to "
            "choose"
        )

    # ------------------------------------------------------------ hooks

    def _add_hook(self, kind: str, hook: Any) -> RemovableHandle:
        if self._hooks is None:
            self.__dict__["_hooks"] = {"pre": [], "forward": [], "backward": []}
        entry = [hook]
        self._hooks[kind].append(entry)

        def remove() -> None:
            self._hooks[kind].remove(entry)
            if not any(self._hooks.values()):
                self.__dict__["_hooks"] = None

        return RemovableHandle(remove)

    def register_forward_pre_hook(self, hook: Any, **options: Any) -> RemovableHandle:
        """hook(module, inputs) runs before forward and may return other inputs."""
        return self._add_hook("pre", hook)

    def register_forward_hook(self, hook: Any, **options: Any) -> RemovableHandle:
        """hook(module, inputs, output) runs after forward; it may replace output."""
        return self._add_hook("forward", hook)

    def register_full_backward_hook(self, hook: Any, **options: Any) -> RemovableHandle:
        """hook(module, grad_input, grad_output) runs in each backward pass."""
        return self._add_hook("backward", hook)

    def _hooked_call(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        hooks = self._hooks
        for (hook,) in list(hooks["pre"]):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        watch = bool(hooks["backward"]) and _core.is_grad_enabled()
        seen: dict[str, Any] = {}
        if watch:
            args = self._watch_inputs(args, seen)
        result = self.forward(*args, **options)
        for (hook,) in list(hooks["forward"]):
            changed = hook(self, args, result)
            if changed is not None:
                result = changed
        if watch and isinstance(result, Tensor) and result.requires_grad:
            result.register_hook(lambda g: seen.__setitem__("out", g))
            if not seen.get(
                "inputs"
            ):  # no input wants a gradient: report with the output's
                result.register_hook(lambda g: self._report((None,) * len(args), g))
        return result

    def _watch_inputs(
        self, args: tuple[Any, ...], seen: dict[str, Any]
    ) -> tuple[Any, ...]:
        wanted = [
            i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad
        ]
        seen["inputs"] = wanted
        grads: list[Any] = [None] * len(args)
        watched = list(args)

        def received(i: int, g: Any) -> Any:
            grads[i] = g
            if i != wanted[0]:
                return None
            changed = self._report(tuple(grads), seen.get("out"))
            return changed[0] if changed is not None else None

        for i in reversed(wanted):
            watched[i] = args[i] * 1
            watched[i].register_hook(lambda g, i=i: received(i, g))
        return tuple(watched)

    def _report(self, inputs: tuple[Any, ...], output: Any) -> Any:
        changed = None
        for (hook,) in list((self._hooks or {"backward": []})["backward"]):
            found = hook(self, inputs, (output,))
            changed = changed if found is None else found
        return changed

    # ------------------------------------------------------------ text

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): {_indented(repr(m))}" for name, m in self._modules.items()
        ]
        head = self._get_name() + "("
        if not children and len(lines) <= 1:
            return head + extra + ")"
        return head + "\n  " + "\n  ".join(lines + children) + "\n)"
