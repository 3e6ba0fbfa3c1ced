"""The tiles of tile.h: how many there are, and into how many parts their sums are cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._precision import precision

Array = Any

TILE, DEPTH, THREADS = 64, 16, 128  # as in tile.h
ENTRIES = 256  # of a block that goes over entries one by one: of a pass over sums

BLOCKS = 256  # wanted in a launch: two for each multiprocessor of a large GPU
PART = 128  # terms at least in a part of a sum: 8 turns of a block, which its start and end should not outweigh


def tiles(n: int) -> int:
    """How many cover n lines."""
    return -(-n // TILE)


def entries(n: int) -> tuple[int]:
    """The grid for a thread an entry, in blocks of ENTRIES."""
    return (-(-n // ENTRIES),)


def parts(blocks: int, terms: int) -> tuple[int, int]:
    """(count, terms of each but the last): how sums are cut that so few blocks would make, by shapes alone.

    Parts are made by blocks of their own, and added in order.
    """
    count = max(1, min(BLOCKS // max(blocks, 1), terms // PART))
    each = -(-terms // (count * DEPTH)) * DEPTH
    return max(1, -(-terms // max(each, 1))), each


def kind(y: Array) -> Any:
    """The T of a product that makes y: its type, or "tf32" where float32 is to be multiplied so."""
    return "tf32" if precision() == "tf32" and y.dtype == np.float32 else y.dtype
