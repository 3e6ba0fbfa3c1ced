"""Work in units: one loop that runs a kernel's body for unit 0, 1, 2 and so on, one after another or in parallel.

    @units
    def scale(unit, x, y, chunk): ...         # one unit: it owns what it writes

    scale(serial, count, x, y, chunk)         # all of them; `chunked` ones take the size of y and see to the rest

Small work should be `serial`: a parallel launch costs 1 us within a replay, and threads that sleep take 20 us to wake
(see `_pool`).  Arguments are arrays, numbers and tuples of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._jobs import kept
from ._numba import CHUNK, jit, specialised
from ._parallel import run_or_keep
from ._pool import pool
from ._prepared import collecting, effect

unit: Callable[..., None]  # what each copy of the loop below binds to its body


def _each(place, serial, count, arguments):
    return run_or_keep(place, serial, count, unit, arguments)  # noqa: F821


def units(body: Callable[..., None]) -> Callable[..., None]:
    """Compile body(unit, *arguments) and its loop when first used; the result takes (serial, count, *arguments)."""
    loop = jit(specialised(_each, f"{body.__module__}.{body.__name__}", unit=jit(body)))

    def run(serial: bool, count: int, *arguments: Any) -> None:
        if collecting():
            effect(kept(loop, serial, count, arguments))
        else:
            if not serial:
                pool.start()
            loop(0, serial, count, arguments)

    return run


def chunked(body: Callable[..., None]) -> Callable[..., None]:
    """`units` that are the chunks of CHUNK entries of `size`, serial for a few; the result takes (size, *arguments)."""
    loop = units(body)

    def run(size: int, *arguments: Any) -> None:
        loop(size <= 2 * CHUNK, -(-size // CHUNK), *arguments)

    return run
