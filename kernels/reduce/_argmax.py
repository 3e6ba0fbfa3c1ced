"""argmax: of contiguous rows at the rate of vectors, of others entry by entry."""

from __future__ import annotations

import math

from .._numba import CHUNK
from .._prepared import prepared
from .._rows import highest
from .._units import units


@units
def _argmax(o, x, y):
    """x (outer, reduced, inner) -> y (outer, inner).  A NaN counts as larger than anything, the first one wins."""
    _, reduced, inner = x.shape
    for i in range(inner):
        best, at = x[o, 0, i], 0
        for r in range(1, reduced):
            if not x[o, r, i] <= best and best == best:
                best, at = x[o, r, i], r
        y[o, i] = at


@units
def _argmax_of_rows(group, x, y, rows):
    """x (outer, reduced) -> y (outer,): the largest entry at the rate of vectors, then where it stands first."""
    for o in range(group * rows, min((group + 1) * rows, y.size)):
        row = x[o]
        best, at = highest(row), 0
        while row[at] != best and row[at] == row[at]:
            at += 1
        y[o] = at


@prepared
def argmax(x, y, *, axis):
    outer, reduced, inner = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    serial = x.size <= CHUNK
    if inner == 1:
        rows = max(1, CHUNK // max(1, reduced))
        _argmax_of_rows(serial, -(-outer // rows), x.reshape(outer, reduced), y.reshape(outer), rows)
    else:
        _argmax(serial, outer, x.reshape(outer, reduced, inner), y.reshape(outer, inner))
