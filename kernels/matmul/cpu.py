"""Matrix products on the register tile of `_simd.py`.

The columns of b are packed into panels as wide as a tile, so that its rows stream; a is read where it lies, since a
tile's rows may start anywhere and step anyhow: all four transposes are two strides.  Every element of y is summed over
k in order, within blocks of K_BLOCK that are added in order: the bits depend on neither the tiling nor the threads.
A product of one row, or of one column, which is one row of the transposed product, reads its matrix once: no tile.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .._epilogue import After, after, finish, flat, no_steps, without_bias
from .._numba import part
from .._pool import get_num_threads
from .._prepared import prepared, unprepared
from .._simd import BYTES, LINE, ROWS, VECTORS, fill, get, line, plus, prefetch, put, rank1, span, turn, width, zeros
from .._then import Step
from .._units import units
from ..elementwise import cpu as elementwise
from ..reduce.cpu import sum
from . import ACTIVATIONS, geometry, steps

Array = Any

AHEAD = 32  # rows: how long before its use a row is brought near, where the machine does not see it coming
U = np.uint64  # unsigned indices spare Numba's wraparound test
ORIGIN = np.zeros(1, np.int64)
SERIAL = 1 << 18  # multiply-adds, 5 us: below, waking the other threads costs more than they give
K_BLOCK = 1024  # rows of a packed panel: 128 KB, half of a small L2 cache


@part
def pack_rows(b, at, row_step, rows, columns, panel, p):
    """`pack` where the columns of b are neighbours."""
    nr, one_row = width(b), (0,)
    for r in range(rows):
        prefetch(b, one_row, at + (r + AHEAD) * row_step)
        prefetch(b, one_row, at + (r + AHEAD) * row_step + nr // 2)
        put(get(b, one_row, at + r * row_step, columns), panel, one_row, p + r * nr, nr)


@part
def pack(b, at, row_step, column_step, rows, columns, panel, p):
    """panel[p + r * width + j] = b[at + r * row_step + j * column_step]; the columns up to a tile's width are zero."""
    if column_step == 1:
        pack_rows(b, at, row_step, rows, columns, panel, p)
        return
    nr = width(b)
    square = nr // VECTORS
    turned, across = rows // square * square if row_step == 1 else 0, columns // square * square
    for r in range(0, turned, square):
        for j in range(0, across, square):
            turn(b, at + r + j * column_step, column_step, panel, p + r * nr + j, nr)
    for r in range(rows):
        for j in range(across if r < turned else 0, columns):
            panel[U(p + r * nr + j)] = b[U(at + r * row_step + j * column_step)]
        for j in range(columns, nr):
            panel[U(p + r * nr + j)] = 0


@part
def aligned(n, x):
    """n uninitialised elements of the dtype of x that begin at a cache line."""
    raw = np.empty(n + line(x), x.dtype)
    start = -raw.ctypes.data % LINE // x.itemsize
    return raw[start : start + n]


@part
def add_columns(panel, p, rows, totals, at, columns, first):
    """totals[at + j] = (0 if `first`, else what it was) + the sum of column j of a packed panel."""
    nr, one_row = width(panel), (0,)
    total = zeros(panel, one_row)
    for r in range(rows):
        total = plus(total, fill(panel, p + r * nr, one_row))
    if not first:
        total = plus(get(totals, one_row, at, columns), total)
    put(total, totals, one_row, at, columns)


@units
def _product(unit, a, a_at, a_row, a_k, b, b_at, b_k, b_column, y, m, n, k, groups, totals, after):
    """y[z] = a[z] b[z], then `finish`: one panel of b against one of `groups` ranges of rows of a, for one z.

    Arrays are flat, steps count elements, a[z] begins at a_at[z].  totals: empty, or the sums of b's columns, whose
    step is 1.  The first tile packs the panel row by row as it goes, between multiply-adds that hide it, where rows
    of b lie as the panel wants them.
    """
    nr, one_row = width(a), (0,)
    panels, tiles = (n + nr - 1) // nr, (m + ROWS - 1) // ROWS
    per = (tiles + groups - 1) // groups
    z, column, first = unit // (panels * groups), unit // groups % panels * nr, unit % groups * per
    columns = min(nr, n - column)
    panel = aligned(min(k, K_BLOCK) * nr, a)
    for start in range(0, max(k, 1), K_BLOCK):
        depth, q = min(k - start, K_BLOCK), b_at[z] + start * b_k + column * b_column
        if b_column != 1:
            pack(b, q, b_k, b_column, depth, columns, panel, 0)
        for t in range(first, min(first + per, tiles)):
            rows, to = span(t * ROWS, 0, m - 1, a_row), span(z * m + t * ROWS, z * m, z * m + m - 1, n)
            i, p = a_at[z] + start * a_k, 0
            acc = zeros(a, rows)
            if t > first or b_column != 1:
                for _ in range(depth):
                    acc = rank1(acc, a, rows, i, panel, p)
                    i += a_k
                    p += nr
            else:
                total = zeros(a, one_row)
                for _ in range(depth):
                    prefetch(b, one_row, q + AHEAD * b_k)
                    prefetch(b, one_row, q + AHEAD * b_k + nr // 2)
                    row = get(b, one_row, q, columns)
                    total = plus(total, row)
                    put(row, panel, one_row, p, nr)
                    acc = rank1(acc, a, rows, i, panel, p)
                    i += a_k
                    p += nr
                    q += b_k
                if t == 0 and totals.size > 0:
                    if start > 0:
                        total = plus(get(totals, one_row, column, columns), total)
                    put(total, totals, one_row, column, columns)
            if start > 0:
                acc = plus(get(y, to, column, columns), acc)
            if start + depth < k:
                put(acc, y, to, column, columns)
            else:
                finish(acc, y, to, column, columns, after)


@lru_cache(maxsize=8)
def ones(n: int, dtype: np.dtype) -> Array:
    """n ones, to be read only."""
    return np.ones(n, dtype)


@units
def _one_row(unit, v, v_at, v_k, b, b_at, b_k, b_column, y, n, k, shift, total, one, after):
    """y[z] = v[z] b[z] + shift, then `finish`, for one row v[z]: one panel of b, for one z.

    shift: empty, or one number; total: empty, or the place for the sum of v; one: a row of a tile, for what times 1
    is a sum.
    """
    nr, row = width(b), (0,)
    panels = (n + nr - 1) // nr
    z, column = unit // panels, unit % panels * nr
    columns = min(nr, n - column)
    streams = b_column == 1 and columns == nr  # rows of b are rows of a panel
    panel = aligned(0 if streams else min(k, K_BLOCK) * nr, b)
    i, acc, count = v_at[z], zeros(b, row), zeros(b, row)
    for start in range(0, k, K_BLOCK):
        depth, q, block = min(k - start, K_BLOCK), b_at[z] + start * b_k + column * b_column, zeros(b, row)
        if streams:
            for _ in range(depth):
                block = rank1(block, v, row, i, b, q)
                count = rank1(count, v, row, i, one, 0)
                i += v_k
                q += b_k
        else:
            pack(b, q, b_k, b_column, depth, columns, panel, 0)
            for p in range(0, depth * nr, nr):
                block = rank1(block, v, row, i, panel, p)
                count = rank1(count, v, row, i, one, 0)
                i += v_k
        acc = plus(acc, block) if start > 0 else block
    if unit == 0 and total.size > 0:
        put(count, total, row, 0, 1)
    if shift.size > 0:
        acc = rank1(acc, shift, row, 0, one, 0)
    finish(acc, y, (z * n,), column, columns, after)


def places(shape: tuple[int, ...], batch: tuple[int, ...]) -> Array:
    """Where each matrix of a batch begins in an array of this shape that broadcasts to it."""
    if not batch:
        return ORIGIN
    which = np.arange(prod(shape[:-2])).reshape(shape[:-2])
    return np.broadcast_to(which, batch).ravel() * (shape[-2] * shape[-1])


def product(
    a: Array, b: Array, y: Array, then: After | None = None, *,
    trans_a: bool = False, trans_b: bool = False, totals: Array | None = None,
) -> None:  # fmt: skip
    """y = a b, as `matmul` declares it, then the steps.  totals: the sums of b's columns, where b is a matrix."""
    (m, n, k), batch, (a_row, a_k), (b_k, b_column) = geometry(a, b, y, trans_a, trans_b)
    a_at, b_at = places(a.shape, batch), places(b.shape, batch)
    nr, threads, z = VECTORS * BYTES // a.itemsize, get_num_threads(), a_at.size
    serial = threads == 1 or z * m * n * k <= SERIAL
    line_a, line_b, line_y, none = flat(a), flat(b), flat(y), no_steps(y.dtype)
    then, totals = then or none, none[0] if totals is None else totals
    if n == 1:
        bias, then = without_bias(then)
        row, matrix = (line_b, b_at, b_k), (line_a, a_at, a_k, a_row)
        _one_row(serial, z * -(-m // nr), *row, *matrix, line_y, m, k, bias, totals, ones(nr, y.dtype), then)
    elif m == 1 and totals.size == 0:
        row, matrix = (line_a, a_at, a_k), (line_b, b_at, b_k, b_column)
        _one_row(serial, z * -(-n // nr), *row, *matrix, line_y, n, k, none[0], none[0], ones(nr, y.dtype), then)
    else:
        panels, tiles = z * -(-n // nr), -(-m // ROWS)
        # ranges of rows: enough for all threads, few enough that a panel, packed anew for each, serves eight tiles
        few, many = (1, 1) if serial else (-(-threads // max(panels, 1)), 4 * threads // max(panels, 1))
        groups = max(1, min(tiles, max(few, min(many, tiles // 8))))
        left, right = (line_a, a_at, a_row, a_k), (line_b, b_at, b_k, b_column)
        _product(serial, panels * groups, *left, *right, line_y, m, n, k, groups, totals, then)


@prepared
def matmul(a: Array, b: Array, y: Array, *, trans_a: bool, trans_b: bool) -> None:
    product(a, b, y, trans_a=trans_a, trans_b=trans_b)


@prepared
def matmul_then(a: Array, b: Array, *rest: Array, then: tuple[Step, ...], trans_a: bool, trans_b: bool) -> None:
    y, arguments = after(then, rest)
    product(a, b, y, arguments, trans_a=trans_a, trans_b=trans_b)


@prepared
def linear(x: Array, w: Array, b: Array, y: Array, *, activation: str | None) -> None:
    rows = x.size // w.shape[0] if w.shape[0] else y.size // max(w.shape[1], 1)
    then = steps(activation)
    product(x.reshape(rows, w.shape[0]), w, y.reshape(rows, w.shape[1]), after(then, (b, y))[1])
    if activation is not None and len(then) == 1:
        unprepared()
        getattr(elementwise, activation)(y, y, **ACTIVATIONS[activation])


@prepared
def linear_weight_grad(x: Array, g: Array, g_w: Array, g_b: Array) -> None:
    product(x, g, g_w, trans_a=True, totals=g_b)
    if not g_w.size:  # no tile, hence no panel
        unprepared()
        sum(g, g_b, axes=(0,), keepdims=False, divisor=1)
