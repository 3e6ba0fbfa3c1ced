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

from .._epilogue import After, after, finish, flat, no_steps
from .._numba import jit
from .._simd import BYTES, ROWS, VECTORS, fill, get, plus, put, rank1, span, width, zeros
from .._then import Step
from .._units import units
from ..elementwise import cpu as elementwise
from . import ACTIVATIONS, steps

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
def _product(unit, a, a_at, a_row, a_k, b, b_at, b_k, b_column, y, m, n, k, groups, after):
    """y[z] = a[z] b[z], then `finish`: one panel of b against one of `groups` ranges of rows of a, for one z.

    Arrays are flat, steps count elements, a[z] begins at a_at[z].
    """
    nr = width(a)
    panels, tiles = (n + nr - 1) // nr, (m + ROWS - 1) // ROWS
    per = (tiles + groups - 1) // groups
    z, column, first = unit // (panels * groups), unit // groups % panels * nr, unit % groups * per
    columns = min(nr, n - column)
    panel = np.empty(min(k, K_BLOCK) * nr, a.dtype)
    for start in range(0, max(k, 1), K_BLOCK):
        depth = min(k - start, K_BLOCK)
        pack(b, b_at[z] + start * b_k + column * b_column, b_k, b_column, depth, columns, panel, 0)
        for t in range(first, min(first + per, tiles)):
            rows, to = span(t * ROWS, 0, m - 1, a_row), span(z * m + t * ROWS, z * m, z * m + m - 1, n)
            i, p = a_at[z] + start * a_k, 0
            acc = zeros(a, rows)
            for _ in range(depth):
                acc = rank1(acc, a, rows, i, panel, p)
                i += a_k
                p += nr
            if start > 0:
                acc = plus(get(y, to, column, columns), acc)
            if start + depth < k:
                put(acc, y, to, column, columns)
            else:
                finish(acc, y, to, column, columns, after)


def places(shape: tuple[int, ...], batch: tuple[int, ...]) -> Array:
    """Where each matrix of a batch begins in an array of this shape that broadcasts to it."""
    if not batch:
        return ORIGIN
    which = np.arange(prod(shape[:-2])).reshape(shape[:-2])
    return np.broadcast_to(which, batch).ravel() * (shape[-2] * shape[-1])


def product(
    a: Array, b: Array, y: Array, then: After | None = None, *, trans_a: bool = False, trans_b: bool = False
) -> None:
    """y = a b, as `matmul` declares it, then the steps."""
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
        flat(y), m, n, k, groups, then or no_steps(y.dtype),
    )  # fmt: skip


def matmul(a: Array, b: Array, y: Array, *, trans_a: bool, trans_b: bool) -> None:
    product(a, b, y, trans_a=trans_a, trans_b=trans_b)


def matmul_then(a: Array, b: Array, *rest: Array, then: tuple[Step, ...], trans_a: bool, trans_b: bool) -> None:
    y, arguments = after(then, rest)
    product(a, b, y, arguments, trans_a=trans_a, trans_b=trans_b)


def linear(x: Array, w: Array, b: Array, y: Array, *, activation: str | None) -> None:
    rows = x.size // w.shape[0] if w.shape[0] else y.size // max(w.shape[1], 1)
    then = steps(activation)
    product(x.reshape(rows, w.shape[0]), w, y.reshape(rows, w.shape[1]), after(then, (b, y))[1])
    if activation is not None and len(then) == 1:
        getattr(elementwise, activation)(y, y, **ACTIVATIONS[activation])
