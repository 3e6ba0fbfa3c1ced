"""Matrix products on the register tile of `_simd.py`.

The columns of b are packed into panels as wide as a tile, so that its rows stream; a is read where it lies, since a
tile's rows may start anywhere and step anyhow: all four transposes are two strides.  Every element of y is summed over
k in order, within blocks of K_BLOCK that are added in order: the bits depend on neither the tiling nor the threads.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba import get_num_threads

from .._numba import jit
from .._simd import BYTES, ROWS, VECTORS, add, at_least, fill, put, rank1, span, width
from .._units import units
from ..elementwise import cpu as elementwise
from . import ACTIVATIONS

Array = Any

LINE = 16  # elements of a row taken at once where b is transposed: a cache line is then read in one go
U = np.uint64  # unsigned indices spare Numba's wraparound test
ORIGIN = np.zeros(1, np.int64)
SERIAL = 1 << 18  # multiply-adds, 5 us: below, waking the other threads costs more than they give
K_BLOCK = 1024  # rows of a packed panel: 128 KB, half of a small L2 cache


@jit
def pack(b, at, row_step, column_step, rows, columns, panel, p):
    """panel[p + r * width + j] = b[at + r * row_step + j * column_step]; the columns up to a tile's width are zero."""
    nr, one_row = width(b), (0,)
    if column_step == 1 and columns == nr:
        for r in range(rows):
            put(fill(b, at + r * row_step, one_row), panel, one_row, p + r * nr, nr)
    else:
        whole = rows // LINE * LINE
        for s in range(0, whole, LINE):
            for j in range(columns):
                for r in range(LINE):
                    panel[U(p + (s + r) * nr + j)] = b[U(at + (s + r) * row_step + j * column_step)]
        for r in range(whole, rows):
            for j in range(columns):
                panel[U(p + r * nr + j)] = b[U(at + r * row_step + j * column_step)]
        for r in range(rows):
            for j in range(columns, nr):
                panel[U(p + r * nr + j)] = 0


@units
def _product(unit, a, a_at, a_row, a_k, b, b_at, b_k, b_column, bias, floor, y, m, n, k, groups):
    """y[z] = max(a[z] b[z] (+ bias), floor): one panel of b against one of `groups` ranges of rows of a, for one z.

    Arrays are flat, steps count elements, a[z] begins at a_at[z]; floor is -inf if k exceeds K_BLOCK.
    """
    nr = width(a)
    panels, tiles = (n + nr - 1) // nr, (m + ROWS - 1) // ROWS
    per = (tiles + groups - 1) // groups
    z, column, first = unit // (panels * groups), unit // groups % panels * nr, unit % groups * per
    columns = min(nr, n - column)
    panel = np.empty((min(k, K_BLOCK) + 1) * nr, a.dtype)
    for start in range(0, max(k, 1), K_BLOCK):
        depth = min(k - start, K_BLOCK)
        for j in range(nr):  # the row that tiles start from
            panel[j] = bias[column + j] if start == 0 and column + j < bias.size else 0
        pack(b, b_at[z] + start * b_k + column * b_column, b_k, b_column, depth, columns, panel, nr)
        for t in range(first, min(first + per, tiles)):
            rows = span(t * ROWS, 0, m - 1, a_row)
            i, p = a_at[z] + start * a_k, 0
            acc = fill(panel, p, rows)
            for _ in range(depth):
                p += nr
                acc = rank1(acc, a, rows, i, panel, p)
                i += a_k
            out = span(t * ROWS, 0, m - 1, n)
            if start == 0:
                put(at_least(acc, floor), y, out, z * m * n + column, columns)
            else:
                add(acc, y, out, z * m * n + column, columns)


def flat(a: Array) -> Array:
    """a as a line; copied if read-only or misaligned, for those are other types to Numba and would compile anew."""
    return a.ravel() if a.flags.behaved else a.flatten()


def places(shape: tuple[int, ...], batch: tuple[int, ...]) -> Array:
    """Where each matrix of a batch begins in an array of this shape that broadcasts to it."""
    if not batch:
        return ORIGIN
    which = np.arange(prod(shape[:-2])).reshape(shape[:-2])
    return np.broadcast_to(which, batch).ravel() * (shape[-2] * shape[-1])


def product(
    a: Array, b: Array, y: Array, *,
    trans_a: bool = False, trans_b: bool = False, bias: Array | None = None, floor: float = -np.inf,
):  # fmt: skip
    """y = max(a b (+ bias), floor), as `matmul` declares it; a floor needs no more than K_BLOCK terms in each sum."""
    (k, m) = a.shape[-2:] if trans_a else a.shape[:-3:-1]
    n, batch = y.shape[-1], y.shape[:-2]
    if batch and b.ndim == 2 and not trans_a:  # one matrix for all: the batch is but more rows
        m, batch = y.size // n if n else 0, ()
    a_at, b_at = places(a.shape, batch), places(b.shape, batch)
    panels = a_at.size * -(-n // (VECTORS * BYTES // a.itemsize))
    serial = a_at.size * m * n * k <= SERIAL
    tiles, threads = -(-m // ROWS), 1 if serial else get_num_threads()
    # ranges of rows: enough for all threads, few enough that a panel, packed anew for each, serves eight tiles
    groups = max(1, min(tiles, max(-(-threads // max(panels, 1)), min(4 * threads // max(panels, 1), tiles // 8))))
    _product(
        serial, panels * groups,
        flat(a), a_at, *((1, m) if trans_a else (k, 1)), flat(b), b_at, *((1, k) if trans_b else (n, 1)),
        flat(b)[:0] if bias is None else flat(bias), y.dtype.type(floor), flat(y), m, n, k, groups,
    )  # fmt: skip


def matmul(a: Array, b: Array, y: Array, *, trans_a: bool, trans_b: bool) -> None:
    product(a, b, y, trans_a=trans_a, trans_b=trans_b)


def linear(x: Array, w: Array, b: Array, y: Array, *, activation: str | None) -> None:
    rows = x.size // w.shape[0] if w.shape[0] else y.size // max(w.shape[1], 1)
    fused = activation == "relu" and len(w) <= K_BLOCK  # longer sums are complete only after another pass
    product(x.reshape(rows, w.shape[0]), w, y.reshape(rows, w.shape[1]), bias=b, floor=0.0 if fused else -np.inf)
    if activation is not None and not fused:
        getattr(elementwise, activation)(y, y, **ACTIVATIONS[activation])
