"""Kernel: one name, three implementations (reference, cpu, cuda), and the one door every launch goes through.

A family declares a kernel by a function that has its signature and returns the shape and type of each output:

    @kernel("y")                                  # the names of the outputs
    def leaky_relu(x, *, slope=0.01):
        '''y = x where x > 0, else slope * x.  x any shape -> y the same.'''
        return like(x)

Its implementations live beside it, in `reference.py`, `cpu.py` and `cuda.py` of the same folder, under the same
name.  They take the inputs, then the outputs to fill, then the parameters by keyword, and return nothing:

    def leaky_relu(x, y, *, slope): ...

The contract: every array an implementation sees is C-contiguous (unless declared `strided`); outputs are allocated,
uninitialised, and never alias an input unless the caller passed `out=` (optimizers update in place that way); bad
arguments were refused before.
The type of the arrays picks the implementation.  Because every computation passes here, a recorder, a tracer or a
profiler needs one hook (`observe`), and a recorded step is a flat list of (implementation, arrays, parameters).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from ._context import holding
from ._devices import DeviceError as DeviceError
from ._devices import beside, device_of
from ._prepared import prepare

Array = Any  # numpy.ndarray, or one of a GPU (see `_devices`)
Observer = Callable[["Kernel", tuple[Array, ...], tuple[Array, ...], dict[str, Any], bool], None]

registry: dict[str, Kernel] = {}  # "family.name" -> Kernel; completeness tests read it
_forced: ContextVar[str | None] = ContextVar("tinygen_backend", default=None)
_observers: ContextVar[tuple[Observer, ...]] = ContextVar("tinygen_observers", default=())


class Spec(NamedTuple):
    """Shape and dtype of one output."""

    shape: tuple[int, ...]
    dtype: np.dtype


def like(x: Array) -> Spec:
    """The spec of an output with x's shape and dtype."""
    return Spec(x.shape, x.dtype)


class Kernel:
    """A callable `kernel(*arrays, out=None, **params)`; returns the output, or a tuple when there are several."""

    def __init__(self, plan: Callable[..., Any], outs: tuple[str, ...], strided: bool):
        parameters = inspect.signature(plan).parameters.values()
        self.plan = plan  # (*inputs, **params) -> Spec or tuple of Specs
        self.outs = outs
        self.strided = strided  # the implementation takes any strides
        self.inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.params = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.family = plan.__module__.rsplit(".", 1)[-1]
        self.__name__ = plan.__name__
        self.__doc__ = plan.__doc__
        self._impls: dict[str, Callable[..., None]] = {}
        registry[f"{self.family}.{self.__name__}"] = self

    def implementation(self, backend: str) -> Callable[..., None]:
        """The function for "reference", "cpu" or "cuda"; imported when first asked for."""
        found = self._impls.get(backend)
        if found is None:
            module = f"{self.plan.__module__}.{backend}"
            try:
                found = getattr(importlib.import_module(module), self.__name__, None)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
            if found is None:
                raise DeviceError(
                    f"{self.family}.{self.__name__}: there is no {backend} kernel in this version. "
                    f"Move the arrays to the CPU (tensor.to('cpu'))."
                )
            self._impls[backend] = found
        return found

    def __call__(self, *arrays: Array, out: Any = None, **params: Any) -> Any:
        backend = _forced.get() or "cpu"
        empty = np.empty
        for a in arrays:
            if type(a) is not np.ndarray:
                backend, empty = self._device(arrays), beside(a).empty
                break
        if not self.strided:  # a strided view is copied here, by a kernel like any other, so that recorders see it
            copy = registry["shape.copy"]
            arrays = tuple([a if a.flags.c_contiguous else copy(a) for a in arrays])
        if out is None:
            plan = self.plan(*arrays, **params)
            outs = tuple([empty(*spec) for spec in ((plan,) if type(plan) is Spec else plan)])
        else:
            outs = out if type(out) is tuple else (out,)
        if self.params:
            params = {**self.params, **params}
        self.implementation(backend)(*arrays, *outs, **params)
        for observer in _observers.get():
            observer(self, arrays, outs, params, out is None)
        return outs[0] if len(outs) == 1 else outs

    def _device(self, arrays: tuple[Array, ...]) -> str:
        kinds = {type(a) for a in arrays}
        if len(kinds) == 1 and device_of(arrays[0]) == "cuda":
            return "cuda"
        named = ", ".join(sorted(f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in kinds))
        if any(device_of(a) == "cuda" for a in arrays):
            raise DeviceError(
                f"{self.family}.{self.__name__}: arrays of different devices ({named}). "
                f"Move them to one device with tensor.to(...)."
            )
        raise DeviceError(
            f"{self.family}.{self.__name__}: takes plain numpy.ndarray, not {named}"
        )  # a subclass, or a scalar

    def bind(self, arrays: tuple[Array, ...], params: dict[str, Any]) -> Callable[[], None]:
        """A launch on these arrays, inputs and outputs, again and again: what a recorded step is a list of."""
        backend = "cuda" if device_of(arrays[-1]) == "cuda" else _forced.get() or "cpu"
        return prepare(self.implementation(backend), arrays, params)

    def __repr__(self) -> str:
        return f"<kernel {self.family}.{self.__name__}({', '.join(self.inputs)}) -> {', '.join(self.outs)}>"


def forced_backend() -> str | None:
    """The implementation that `backend` forces here, if any."""
    return _forced.get()


def observers() -> tuple[Observer, ...]:
    """Those that are told of every launch here."""
    return _observers.get()


def kernel(*outs: str, strided: bool = False) -> Callable[[Callable[..., Any]], Kernel]:
    """Declare a kernel; `outs` names its outputs; a `strided` one is handed views as they are, not copied first."""
    return lambda plan: Kernel(plan, outs, strided)


def backend(name: str) -> AbstractContextManager[None]:
    """Force the implementation, e.g. `with backend("reference"):` to run a whole model on the specification."""
    if name not in ("reference", "cpu", "cuda"):
        raise DeviceError(f"backend: {name!r} is none of 'reference', 'cpu', 'cuda'")
    return holding(_forced, name)


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Call `observer(kernel, inputs, outputs, params, fresh)` after every launch inside the block.

    `fresh`: the door allocated the outputs; otherwise the caller passed them as `out=`.
    """
    with holding(_observers, (*_observers.get(), observer)):
        yield
