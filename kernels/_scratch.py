"""Working memory that kernels keep between calls.

A fresh buffer of some megabytes comes from the operating system page by page, at up to a millisecond for each: as long
as the kernel that wants it takes.  A slot is a buffer of one thread that grows to the largest size asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

Array = Any

KEPT = 1 << 26  # bytes: what is larger is allocated anew, and freed
ALIGN = 64  # bytes of a cache line: no vector of an aligned panel lies across two


class _Slots(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[tuple[str, np.dtype], Array] = {}


_slots = _Slots()


def _aligned(n: int, dtype: np.dtype) -> Array:
    raw = np.empty(n * dtype.itemsize + ALIGN, np.uint8)
    start = -raw.ctypes.data % ALIGN
    return raw[start : start + n * dtype.itemsize].view(dtype)


def scratch(slot: str, n: int, dtype: np.dtype) -> Array:
    """A flat array of n uninitialised entries, valid until the same slot and dtype are asked for again: by this thread,
    or within one `own_scratch`."""
    if n * dtype.itemsize > KEPT:
        return _aligned(n, dtype)
    buffer = _slots.buffers.get((slot, dtype))
    if buffer is None or buffer.size < n:
        buffer = _slots.buffers[slot, dtype] = _aligned(n, dtype)
    return buffer[:n]


@contextmanager
def own_scratch() -> Iterator[None]:
    """Inside, slots are new ones, which live as long as what uses them."""
    before, _slots.buffers = _slots.buffers, {}
    try:
        yield
    finally:
        _slots.buffers = before
