"""The only place with njit options, and the rule for splitting work.

Reductions are split into chunks whose number depends on the shape alone, never on the number of threads, and the
partial results are combined in order: the same bits on one thread and on sixteen.  A parallel loop writes only to
places owned by its own unit.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
from numba import types

from ._cache import KernelCache, cache_folder

__all__ = ["CHUNK", "cache_folder", "inlined", "jit", "part", "specialised"]

CHUNK = 1 << 14  # elements per unit of parallel work: long enough to hide a parallel call (0.5 us), short enough for L2


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = numba.njit(error_model="numpy", no_cfunc_wrapper=True, **options)(function)
    dispatcher._cache = KernelCache(function)
    template = dispatcher.get_call_template
    # a literal argument is a type of its own to Numba, and a helper would be compiled anew for each
    dispatcher.get_call_template = lambda args, named: template([*map(types.unliteral, args)], named)
    return dispatcher


def jit(function: Callable[..., Any]) -> Any:
    """Compile a serial function.  IEEE arithmetic as written: no fastmath."""
    return _compile(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a small function that is always inlined: a loop over it can vectorise, where a call would prevent it."""
    return _internal(function, forceinline=True)


def part(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled functions call."""
    return _internal(function)


def _internal(function: Callable[..., Any], **options: Any) -> Any:
    """Compiled without the wrapper that Python would call, a quarter of the time; TypeError where Python calls it."""
    dispatcher = _compile(function, no_cpython_wrapper=True, **options)

    def refuse(*args: Any, **named: Any) -> None:
        name = function.__name__
        raise TypeError(f"{name} is for compiled code alone. To try it in Python, call {name}.py_func.")

    # what is compiled is not told to the C side of the dispatcher, which then asks for more at every call
    dispatcher.add_overload = lambda made: dispatcher.overloads.__setitem__(tuple(made.signature.args), made)
    dispatcher._compile_for_args = refuse
    return dispatcher


def specialised(loop: Callable[..., Any], name: str, **bound: Any) -> Callable[..., Any]:
    """A copy of `loop`, named for `name`, with more globals: one loop written once, compiled for many formulas.

    A closure over a compiled function would miss Numba's cache in every process; a global one does not.
    """
    copy = FunctionType(loop.__code__, {**loop.__globals__, **bound}, f"{loop.__name__}_{name}")
    copy.__qualname__ = copy.__name__  # Numba's cache files are named by it
    return copy
