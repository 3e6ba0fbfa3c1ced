"""The steps of `_then.py` on a tile that is still in registers, or on a whole array where no tile holds final sums.

Which steps there are is known at run time only: a branch per tile and step, always taken the same way, is cheaper
than a compilation for each combination.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ._numba import CHUNK, inlined
from ._simd import ROWS, at_least, choose, get, plus, put, span, times, width, zeros
from ._then import ACTIVATIONS, GATES, Step, parsed
from ._units import units

Array = Any
After = tuple[Array, ...]

STRETCH = 32  # tiles in a unit of a pass over a whole array


@lru_cache(maxsize=1024)
def _codes(then: tuple[Step, ...], dtype: np.dtype) -> tuple[tuple[int, ...], Array, Array]:
    """Where the extra arrays and the second output go, and (activation, gate, also): 0 none, 1 relu, 2 leaky; slopes.

    Places: 0 the bias, 1 the gate, 2 what is added.
    """
    places, kinds, slopes = [], np.zeros(3, np.int64), np.zeros(3, dtype)
    for name, parameter in map(parsed, then):
        at = next((i for i, names in enumerate((ACTIVATIONS, GATES, ("also",))) if name in names), None)
        if at != 0 and name != "also":
            places.append(1 if at == 1 else 0 if name == "bias" else 2)
        if at is not None:
            slope = parameter[1] if name == "also" else parameter
            kinds[at], slopes[at] = (1, 0) if slope is None else (2, slope)
    return tuple(places), kinds, slopes


@lru_cache(maxsize=8)
def no_steps(dtype: np.dtype) -> After:
    """The argument of `finish` where nothing follows; an array without entries is one that is left out."""
    return (*[np.empty(0, dtype)] * 4, *_codes((), dtype)[1:])


def flat(a: Array) -> Array:
    """a as a line; copied if read-only or misaligned, for those are other types to Numba and would compile anew."""
    return a.ravel() if a.flags.behaved else a.flatten()


def after(then: tuple[Step, ...], rest: tuple[Array, ...]) -> tuple[Array, After]:
    """The first output, and the argument of `finish`; rest: the extra arrays, then the outputs."""
    dtype = rest[-1].dtype
    places, kinds, slopes = _codes(then, dtype)
    found = list(no_steps(dtype)[:4])
    for place, a in zip(places, rest):
        found[place] = flat(a)
    y, *second = rest[len(places) :]
    if second:
        found[3] = flat(second[0])
    return y, (*found, kinds, slopes)


@inlined
def _activated(acc, kind, slope):
    """relu (kind 1) or leaky relu (kind 2); NaN stays."""
    if kind == 1:
        return at_least(acc, slope)
    if kind == 2:
        return choose(acc, acc, times(acc, slope))
    return acc


@inlined
def finish(acc, y, to, column, columns, after):
    """y[to[r] + column : + columns] = the steps on acc[r]: the tile's place in every array of y's shape is the same."""
    bias, gate, residual, also, kinds, slopes = after
    if bias.size > 0:
        acc = plus(acc, get(bias, span(0, 0, 0, 0), column, columns))
    acc = _activated(acc, kinds[0], slopes[0])
    if kinds[1] > 0:
        low = times(acc, slopes[1]) if kinds[1] == 2 else zeros(y, to)  # not times 0: infinities
        acc = choose(get(gate, to, column, columns), acc, low)
    if residual.size > 0:
        acc = plus(acc, get(residual, to, column, columns))
    put(acc, y, to, column, columns)
    if kinds[2] > 0:
        put(_activated(acc, kinds[2], slopes[2]), also, to, column, columns)


@units
def _finish_rows(unit, y, after, m, n):
    """The steps on y (m, n) in place.  One unit: STRETCH tiles of rows."""
    for t in range(unit * STRETCH, min((unit + 1) * STRETCH, (m + ROWS - 1) // ROWS)):
        to = span(t * ROWS, 0, m - 1, n)
        for column in range(0, n, width(y)):
            finish(get(y, to, column, n - column), y, to, column, n - column, after)


def finish_rows(y: Array, after: After) -> None:
    """The steps on all of y (..., O), in place: for sums that no tile has in full."""
    m, n = y.size // max(y.shape[-1], 1), y.shape[-1]
    _finish_rows(y.size <= CHUNK, -(-m // (ROWS * STRETCH)), flat(y), after, m, n)
