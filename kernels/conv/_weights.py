"""Weights on their way: into the panels that a kernel streams, and back from the sums of their gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._pool import get_num_threads
from .._prepared import effect
from .._scratch import scratch
from .._simd import get, plus, put, width
from .._units import units
from ..matmul.cpu import SERIAL, U, pack

Array = Any

PARTS = 8  # ranges of pixels whose weight gradients are summed apart, then added in order
PART_PIXELS = 512  # at least, in each
PART_ENTRIES = 1 << 22  # at most, in all these sums together
BLOCK_PIXELS = 1024  # at most, in a pass over all taps; each pass reads and writes the sums once
BLOCK_ENTRIES = 1 << 15  # of g at most in a pass: 128 KB in float32, read again and again


@units
def pack_weights(unit, w, w_at, w_row, w_column, packed, c, o):
    """One panel of output channels: the matrix of every tap."""
    nr, taps = width(w), w_at.size
    for t in range(taps):
        at, p = w_at[t] + unit * nr * w_column, (unit * taps + t) * c * nr
        pack(w, at, w_row, w_column, c, min(nr, o - unit * nr), packed, p)


@units
def _add_parts(row, sums, w_at, w_row, w_column, g_w, rows, columns, parts):
    """g_w[w_at[t] + i * w_row + j * w_column] = sum over parts, in order, of sums[part, t, i, j]: one row (t, i)."""
    nr, one_row = width(sums), (0,)
    to, size = w_at[row // rows] + row % rows * w_row, w_at.size * rows * columns
    for j in range(0, columns, nr):
        at = row * columns + j
        total = get(sums, one_row, at, columns - j)
        for part in range(1, parts):
            total = plus(total, get(sums, one_row, part * size + at, columns - j))
        if w_column == 1:
            put(total, g_w, one_row, to + j, columns - j)
        else:
            put(total, sums, one_row, at, columns - j)
            for k in range(j, min(j + nr, columns)):
                g_w[U(to + k * w_column)] = sums[U(row * columns + k)]


class Sums:
    """Room for the weight gradients (taps, rows, columns) of ranges of pixels, and for the sums of their bias."""

    def __init__(self, pixels: int, taps: int, rows: int, columns: int, strips: int, g_b: Array | None, dtype: Any):
        self.shape, self.g_b = (taps, rows, columns), g_b
        size = taps * rows * columns
        self.serial = pixels * size <= SERIAL
        self.parts = max(1, min(PARTS, pixels // PART_PIXELS, PART_ENTRIES // max(size, 1)))
        # any number of groups gives the same bits
        self.groups = 1 if self.serial else max(1, min(-(-get_num_threads() // self.parts), strips))
        self.block = max(8, min(BLOCK_ENTRIES // max(columns, 1), BLOCK_PIXELS))  # pixels
        self.sums = scratch("sums", self.parts * size, dtype)
        self.totals = scratch("totals", self.parts * columns * (g_b is not None), dtype)

    def add(self, w_at: Array, w_row: int, w_column: int, g_w: Array) -> None:
        """g_w and g_b = the sums of all ranges."""
        taps, rows, columns = self.shape
        _add_parts(self.serial, taps * rows, self.sums, w_at, w_row, w_column, g_w, rows, columns, self.parts)
        if self.g_b is not None:
            effect(np.add.reduce, self.totals.reshape(self.parts, columns), 0, None, self.g_b)
