"""Working memory that kernels keep between calls.

A fresh buffer of some megabytes comes from the operating system page by page, at up to a millisecond for each: as long
as the kernel that wants it takes.  A slot is a buffer of one thread that grows to the largest size asked for.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

Array = Any

KEPT = 1 << 26  # bytes: what is larger is allocated anew, and freed


class _Slots(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[tuple[str, np.dtype], Array] = {}


_slots = _Slots()


def scratch(slot: str, n: int, dtype: np.dtype) -> Array:
    """A flat array of n uninitialised entries, valid until this thread asks for the same slot and dtype again."""
    if n * dtype.itemsize > KEPT:
        return np.empty(n, dtype)
    buffer = _slots.buffers.get((slot, dtype))
    if buffer is None or buffer.size < n:
        buffer = _slots.buffers[slot, dtype] = np.empty(n, dtype)
    return buffer[:n]
