"""Module: parameters, buffers and sub-modules under names, by plain attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..autograd import leaf
from ..errors import CheckpointError, shape_text
from ..kernels._devices import beside, to_numpy
from ..tensor import Array, Tensor


class Parameter(Tensor):
    """A Tensor that is learned: a leaf of every graph."""

    __slots__ = ()

    def __init__(self, data: Array | Tensor):
        super().__init__(data.data if isinstance(data, Tensor) else data)
        leaf(self)


class Buffer(Tensor):
    """A Tensor that belongs to the state but is not learned, such as a running mean."""

    __slots__ = ()

    def __init__(self, data: Array | Tensor):
        super().__init__(data.data if isinstance(data, Tensor) else data)


class Module:
    """Base of layers and models.

    Whatever is assigned to an attribute is found again in the order of assignment: Parameters, Buffers, Modules, and
    lists of Modules.  Subclasses define `forward`; a call runs it.  A layer that draws random numbers sets
    `takes_key` and gets a keyword-only `key`.
    """

    takes_key: ClassVar[bool] = False
    training: bool = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no forward.")

    # -- what it holds ------------------------------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """Sub-modules by name; those of a list `blocks` are `blocks.0`, `blocks.1`, ..."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if isinstance(item, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (under the name `prefix`) and all below it."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def _named(self, kind: type[Tensor]) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()  # a shared parameter counts once
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter), names as in "encoder.0.weight"."""
        return self._named(Parameter)

    def parameters(self) -> list[Parameter]:
        """All parameters, in the order of their names' first assignment."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """(name, buffer), likewise."""
        return self._named(Buffer)

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(p.size for p in self.parameters())

    # -- modes and state ----------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Any:
        """Training mode, here and below: batch statistics, dropout.  Returns self."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        """Evaluation mode: running statistics, no dropout.  Returns self."""
        return self.train(False)

    def to(self, device: str) -> Any:
        """Move parameters and buffers to a device; returns self.  Move an optimizer with `Optimizer.to` instead."""
        from ..device import to_device

        for t in (*self._named(Parameter), *self._named(Buffer)):
            t[1].data = to_device(t[1], device).data
        return self

    def astype(self, dtype: Any) -> Any:
        """Cast parameters and floating buffers in place to float32 or float64; returns self."""
        for _, t in (*self._named(Parameter), *self._named(Buffer)):
            if t.dtype.kind == "f" and t.dtype != dtype:
                t.data = kernels.elementwise.cast(t.data, dtype=np.dtype(dtype))
                if t.node is not None:
                    leaf(t)
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by name."""
        return {name: to_numpy(t.data).copy() for name, t in (*self.named_parameters(), *self.named_buffers())}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Copy a state in.  Raises CheckpointError, changing nothing, unless names, shapes and dtypes all agree."""
        own = dict((*self.named_parameters(), *self.named_buffers()))
        missing, unknown = sorted(set(own) - set(state)), sorted(set(state) - set(own))
        if missing or unknown:
            raise CheckpointError(f"{type(self).__name__}: the state lacks {missing} and has unknown {unknown}.")
        for name, t in own.items():
            new = state[name]
            if new.shape != t.shape or new.dtype != t.dtype:
                raise CheckpointError(
                    f"{type(self).__name__}: {name} is {shape_text(t.shape)} {t.dtype}, "
                    f"the state has {shape_text(new.shape)} {new.dtype}."
                )
        for name, t in own.items():
            t.data[...] = beside(t.data).asarray(state[name])
            t.bump()

    def __repr__(self) -> str:
        children = list(self.children())
        own = ", ".join(f"{n} {shape_text(t.shape)}" for n, t in vars(self).items() if isinstance(t, Parameter))
        if not children:
            return f"{type(self).__name__}({own})"
        lines = [f"  {name}: {str(child).replace(chr(10), chr(10) + '  ')}" for name, child in children]
        return "\n".join([f"{type(self).__name__}({own}", *lines, ")"])
