"""The geometry of rows.h: how rows are shared out among blocks of threads, from their shape alone."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

THREADS = 256  # of a block, at most
WARP = 32  # neighbouring entries that are read at once
DEEP = 16  # entries of a thread, at least, where a row is cut into parts
FULL = 512  # blocks that fill a GPU: with fewer, long rows are cut

SHAPE = np.dtype([(name, "<i8") for name in ("outer", "reduced", "inner", "parts", "per_part", "columns")])


class Plan(NamedTuple):
    """How x (outer, reduced, inner) is shared out; results are (outer, parts, inner)."""

    grid: tuple[int]
    block: tuple[int, int, int]
    shape: np.ndarray
    parts: int


def _power(n: int) -> int:
    """The smallest power of two >= n."""
    return 1 << max(0, n - 1).bit_length()


@lru_cache(maxsize=4096)
def planned(outer: int, reduced: int, inner: int = 1, *, split: bool = False) -> Plan:
    """The plan for a shape; `split`: rows may be cut into parts."""
    y = min(_power(reduced), THREADS // min(_power(inner), WARP))
    x = min(_power(inner), THREADS // y)
    z = min(_power(outer), THREADS // (x * y), 64)
    columns = -(-inner // x)
    units = columns * -(-outer // z)
    parts = min(FULL // max(1, units), reduced // (y * DEEP)) if split else 1
    per_part = -(-reduced // max(1, parts))
    parts = max(1, -(-reduced // max(1, per_part)))
    return Plan((units * parts,), (x, y, z), np.array((outer, reduced, inner, parts, per_part, columns), SHAPE), parts)
