"""softmax, log_softmax and logsumexp of contiguous rows, some rows at a time.

What lies below the largest entry of each row is gathered for as many rows as fit the nearest cache, so that the
exponentials are one long loop of vectors even where a row has ten entries.
"""

# ruff: noqa: F821 -- the names that `specialised` binds
# mypy: disable-error-code="name-defined"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _math
from .._numba import CHUNK, inlined, specialised
from .._units import units
from ._lanes import U

Array = Any
BLOCK = 1 << 11  # entries at a time: what lies below the largest ones stays in the nearest cache


@inlined
def _exponentials(x, p, to, q, reduced, rows, shifts):
    """to[q:] = e**(x[p:] - shift) for some rows; shifts (rows,) take what is subtracted without making a NaN."""
    for k in range(rows):
        top = _math.highest(x[p + k * reduced : p + (k + 1) * reduced])
        shift = top if math.isfinite(top) else type(top)(0)
        shifts[k] = shift
        for i in range(k * reduced, (k + 1) * reduced):
            to[U(q + i)] = x[U(p + i)] - shift
    for i in range(rows * reduced):
        to[U(q + i)] = _math.exp(to[U(q + i)])


def _softmax_rows(group, x, y, reduced, rows):
    """The rows of one group, at most BLOCK entries at a time, or one row."""
    some = max(1, BLOCK // reduced)
    shifts = np.empty(some, x.dtype)
    row, last = group * rows, min((group + 1) * rows, x.size // reduced)
    while row < last:
        taken, p = min(some, last - row), row * reduced
        _exponentials(x, p, y, p, reduced, taken, shifts)
        for k in range(taken):
            shift, at = shifts[k], p + k * reduced
            scale = type(shift)(scale_of(_math.total(y[at : at + reduced])))
            for i in range(at, at + reduced):
                y[U(i)] = result(x[U(i)], y[U(i)], shift, scale)
        row += taken


@units
def _logsumexp_rows(group, x, y, reduced, rows):
    """The same for logsumexp.  A long row is taken in pieces of BLOCK entries."""
    some = max(1, BLOCK // reduced)
    shifts, to = np.empty(some, x.dtype), np.empty(BLOCK, x.dtype)
    row, last = group * rows, min((group + 1) * rows, y.size)
    while row < last:
        taken, p = min(some, last - row), row * reduced
        if reduced <= BLOCK:
            _exponentials(x, p, to, 0, reduced, taken, shifts)
            for k in range(taken):
                y[row + k] = shifts[k] + math.log(_math.total(to[k * reduced : (k + 1) * reduced]))
        else:
            top = _math.highest(x[p : p + reduced])
            shift, mass = top if math.isfinite(top) else type(top)(0), 0.0
            for piece in range(p, p + reduced, BLOCK):
                n = min(BLOCK, p + reduced - piece)
                for i in range(n):
                    to[U(i)] = _math.exp(x[U(piece + i)] - shift)
                mass += _math.total(to[:n])
            y[row] = shift + math.log(mass)
        row += taken


def _groups(size: int, reduced: int) -> tuple[bool, int, int]:
    """(serial, groups, rows of a group) of rows of `reduced` entries."""
    rows = max(1, CHUNK // reduced)
    return size <= CHUNK, -(-(size // reduced) // rows), rows


def softmax_rows(name: str, scale_of: Callable[..., Any], result: Callable[..., Any]) -> Callable[..., None]:
    """(x, y, reduced) -> None: result(x, e, shift, scale_of(the sum of a row's e)), e = exp(x - shift)."""
    loop = units(specialised(_softmax_rows, name, scale_of=inlined(scale_of), result=inlined(result)))

    def launch(x: Array, y: Array, reduced: int) -> None:
        serial, groups, rows = _groups(x.size, reduced)
        loop(serial, groups, x.ravel(), y.ravel(), reduced, rows)

    return launch


def logsumexp_rows(x: Array, y: Array, reduced: int) -> None:
    """y (outer,) = logsumexp of x (outer, reduced)."""
    serial, groups, rows = _groups(x.size, reduced)
    _logsumexp_rows(serial, groups, x.ravel(), y.ravel(), reduced, rows)
