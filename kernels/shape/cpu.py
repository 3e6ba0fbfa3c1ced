"""Copies are NumPy's, short rows apart; reading and adding at indices is ours.

NumPy's assignment is itself a compiled strided loop: 0.08 ns a float32 where rows agree and 0.5 ns transposed, on one
core.  Tiles of 32 x 32 through Numba took 0.7 ns, so there is nothing to add.  But it begins its inner loop anew for
every row: for rows of three entries, half the channels of a small image, 1.8 ns an entry.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .._numba import CHUNK
from .._units import units
from .reference import broadcast_to, concat, pad

__all__ = ["broadcast_to", "concat", "copy", "gather", "getitem_grad", "pad", "scatter_add"]

SHORT = 8  # entries of a row that is copied by ours
BLOCK = 64  # entries of a row that one thread adds up: whole cache lines
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}  # gather moves entries: one compilation a width


def copy(x, y):
    _assign(x, y)


def getitem_grad(g, y, *, index, shape):
    y.fill(0)
    _assign(g, y[index])


def _assign(x, y):
    """y[...] = x."""
    source, to = _rows(x), _rows(y)
    if source is None or to is None or x.shape != y.shape or y.size < CHUNK:
        y[...] = x
    else:
        per = CHUNK // y.shape[-1]
        _copy_rows(y.size <= 4 * CHUNK, -(-len(to) // per), per, source, to)


def _rows(x):
    """x (..., W) as a view (R, W), where rows are short, of neighbouring entries, and equally far apart; else None."""
    if x.ndim < 2 or not 0 < x.shape[-1] <= SHORT or x.strides[-1] != x.itemsize:
        return None
    lengths = zip(x.shape[1:-1], x.strides[:-2], x.strides[1:-1])
    if any(outer != n * inner for n, outer, inner in lengths):
        return None
    shape, strides = (prod(x.shape[:-1]), x.shape[-1]), x.strides[-2:]
    return as_strided(x, shape, strides).view(UNSIGNED[x.itemsize])


@units
def _copy_rows(unit, per, x, y):
    """`per` rows."""
    width = y.shape[1]
    for i in range(unit * per, min((unit + 1) * per, y.shape[0])):
        for j in range(width):
            y[i, j] = x[i, j]


def _around(x, axis: int, count: int):
    """x with `count` axes from `axis` on as one, the axes before them as one, those after as one."""
    middle, after = prod(x.shape[axis : axis + count]), prod(x.shape[axis + count :])
    return x.reshape(prod(x.shape[:axis]), middle, after)


@units
def _gather(row, x, index, y):
    """One row of `after` entries."""
    _, count, after = y.shape
    i, k = row // count, row % count
    at = index[k] if index[k] >= 0 else index[k] + x.shape[1]
    to, source = y[i, k], x[i, at]
    for j in range(after):
        to[j] = source[j]


def gather(x, index, y, *, axis):
    if y.size:
        unsigned = UNSIGNED[x.itemsize]
        source, to = _around(x, axis, 1).view(unsigned), _around(y, axis, index.ndim).view(unsigned)
        _gather(y.size <= 4 * CHUNK, to.shape[0] * to.shape[1], source, index.ravel(), to)


@units
def _scatter_add(unit, g, index, y):
    """A unit is a block of the last axis of one y[i], so repeated indices add up in order."""
    _, count, after = g.shape
    blocks = (after + BLOCK - 1) // BLOCK
    i, start = unit // blocks, unit % blocks * BLOCK
    stop = min(start + BLOCK, after)
    y[i, :, start:stop] = 0
    for k in range(count):
        at = index[k] if index[k] >= 0 else index[k] + y.shape[1]
        to, more = y[i, at, start:stop], g[i, k, start:stop]
        for j in range(to.size):
            to[j] += more[j]


def scatter_add(g, index, y, *, axis, size):
    if y.size:
        terms, sums = _around(g, axis, index.ndim), _around(y, axis, 1)
        count = terms.shape[0] * -(-terms.shape[2] // BLOCK)
        _scatter_add(g.size + y.size <= 4 * CHUNK, count, terms, index.ravel(), sums)
