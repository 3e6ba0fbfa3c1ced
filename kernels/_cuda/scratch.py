"""Working memory of a launch, for what its kernels hand each other; nobody reads it when the launch has ended.

Launched at once, each gets memory of its own from CuPy's pool.  The launches of a recorded step run one after another,
so they share one piece, as large as the greediest of them needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from .._devices import beside, within

Array = Any

ALIGN = 256  # bytes


class _Shared(threading.local):
    """What the launches that this thread binds share; `memory` is None while it is only measured."""

    sharing = False
    memory: Array | None = None
    used = 0  # bytes, by the launch that is being bound
    most = 0  # by any


_shared = _Shared()


def room(y: Array, shape: int | tuple[int, ...], dtype: Any = None) -> Array:
    """An uninitialised array beside y, of its dtype unless said, valid until the launch that asks for it has ended."""
    shape, dtype = (shape,) if isinstance(shape, int) else shape, y.dtype if dtype is None else np.dtype(dtype)
    if not _shared.sharing:
        return beside(y).empty(shape, dtype)
    at, size = _shared.used, prod(shape) * dtype.itemsize
    _shared.used += -(-size // ALIGN) * ALIGN
    _shared.most = max(_shared.most, _shared.used)
    if _shared.memory is None:
        return beside(y).empty(shape, dtype)
    steps = [dtype.itemsize]
    for n in shape[:0:-1]:
        steps.append(steps[-1] * n)
    return within(_shared.memory, at, shape, dtype, tuple(steps[: len(shape)][::-1]))


def bound(binders: Iterable[Callable[[], Any]], module: Any) -> list[Any]:
    """What each binder of a launch returns, all on the same working memory; `module` makes arrays of their device.

    They are called twice: the first time finds how much it must be.
    """
    several = list(binders)
    _shared.sharing, _shared.memory, _shared.most = True, None, 0
    try:
        for memory_of in (lambda: None, lambda: module.empty(_shared.most, np.uint8)):
            _shared.memory = memory_of()
            made = []
            for binder in several:
                _shared.used = 0
                made.append(binder())
        return made
    finally:
        _shared.sharing, _shared.memory = False, None
