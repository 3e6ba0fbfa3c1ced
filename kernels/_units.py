"""Work in units: the loops that run a kernel's body for unit 0, 1, 2 and so on, one after another or in parallel.

    @units
    def scale(unit, x, y, chunk): ...         # one unit: it owns what it writes

    scale(serial, count, x, y, chunk)         # all of them

Small work should be `serial`: waking the other threads costs 1.6 us at best, and milliseconds on a busy machine, where
a thread that waits at the barrier spins away its share of the processor.  Arguments are arrays and numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from ._numba import jit, pjit, prange

unit: Callable[..., None]  # what each copy of the loops below binds to its body


def _in_order(count, arguments):
    for u in range(count):
        unit(u, *arguments)  # noqa: F821


def _in_parallel(count, arguments):
    for u in prange(count):
        unit(u, *arguments)  # noqa: F821


def units(body: Callable[..., None]) -> Callable[..., None]:
    """Compile body(unit, *arguments) and its loops, each when first used; the result takes (serial, count, ...)."""
    compiled = jit(body)

    def bound(loop: Callable[..., None]) -> FunctionType:
        # a copy whose globals bind `unit`: a closure over a compiled function would miss Numba's cache
        name = f"{body.__module__}.{body.__name__}{loop.__name__}".replace(".", "_")
        copy = FunctionType(loop.__code__, {**globals(), "unit": compiled}, name)
        copy.__qualname__ = name  # the cache's files are named by it
        return copy

    in_order, in_parallel = jit(bound(_in_order)), pjit(bound(_in_parallel))

    def run(serial: bool, count: int, *arguments: Any) -> None:
        (in_order if serial else in_parallel)(count, arguments)

    return run
