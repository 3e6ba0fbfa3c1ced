"""Copies are NumPy's; reading and adding at indices is ours.

NumPy's assignment is itself a compiled strided loop: 0.08 ns a float32 where rows agree and 0.5 ns transposed, on one
core.  Tiles of 32 x 32 through Numba took 0.7 ns, so there is nothing to add.
"""

from __future__ import annotations

from math import prod

import numpy as np

from .._numba import CHUNK
from .._units import units
from .reference import broadcast_to, concat, copy, getitem_grad, pad

__all__ = ["broadcast_to", "concat", "copy", "gather", "getitem_grad", "pad", "scatter_add"]

BLOCK = 64  # entries of a row that one thread adds up: whole cache lines
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}  # gather moves entries: one compilation a width


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
