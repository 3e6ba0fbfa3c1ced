"""From a scalar formula to a compiled loop over the broadcast shape.

    @unary
    def leaky_relu(x, slope):                # the kernel's name; arguments: the entry, then the parameters
        return x if x > 0 else slope * x

The loops below are written once, against a global name (`formula`) that this file never defines.  `specialised` copies
such a loop with globals that do: Numba then inlines the formula, vectorises the loop and caches the result under the
op's name.

Operands are flat.  The broadcast shape is collapsed to three outer axes and one inner axis, along which an operand
either moves with step 1 or stands still, so one compilation per dtype serves every combination of shapes.  A unit of
work is a chunk of y; entries are independent, so the split cannot change a bit of the result.
"""

# ruff: noqa: F821 -- the name that `specialised` binds
# mypy: disable-error-code="name-defined"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .._numba import CHUNK, inlined, specialised
from .._prepared import prepared, unprepared
from .._units import chunked

Array = Any
Formula = Callable[..., Any]
U = np.uint64  # unsigned indices spare Numba's wraparound test


def _compiled(loop: Callable[..., None], formula: Formula) -> Callable[..., None]:
    """The loop with its formula; takes (size of y, *flat operands, y, ...)."""
    return chunked(specialised(loop, formula.__name__, formula=inlined(formula)))


# -- one operand ------------------------------------------------------------------------------------------------------


def _span1(unit, x, y, params):
    at = unit * CHUNK
    for i in range(min(CHUNK, y.size - at)):
        y[U(at + i)] = formula(x[U(at + i)], *params)


def unary(formula: Formula) -> Callable[..., None]:
    """The kernel (x, y, **params) of formula(x, *params)."""
    loop = _compiled(_span1, formula)

    @prepared
    def launch(x: Array, y: Array, **params: Any) -> None:
        loop(y.size, x.ravel(), y.ravel(), tuple(params.values()))

    return launch


def _mended1(unit, x, y, single):
    at, n = unit * CHUNK, min(CHUNK, y.size - unit * CHUNK)
    left = 0 if single else n
    if single:
        for i in range(n):
            y[U(at + i)] = formula(np.float32(x[U(at + i)]))
            left += outside(x[U(at + i)])
    if left:
        for i in range(n):
            if not single or outside(x[U(at + i)]):
                y[U(at + i)] = exactly(x[U(at + i)])


def mended(formula: Formula, outside: Any, exactly: Formula) -> Callable[..., None]:
    """The kernel (x, y): formula(x) in vectors for float32, and exactly(x) for what is `outside`, and for float64."""
    bound = {"formula": inlined(formula), "outside": outside, "exactly": inlined(exactly)}
    loop = chunked(specialised(_mended1, formula.__name__, **bound))

    @prepared
    def launch(x: Array, y: Array) -> None:
        loop(y.size, x.ravel(), y.ravel(), y.itemsize == 4)

    return launch


# -- several operands, broadcast --------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _way(*shapes: tuple[int, ...]) -> np.ndarray | None:
    """How to walk: the lengths of the first shape collapsed to four axes, then a row of steps for each other shape.

    Neighbouring axes become one where every operand either has them both or stands still along both.  None if more
    than four remain: (A,1,C,1,E) with (1,B,1,D,1), say.
    """
    whole, *operands = shapes
    padded = [(1,) * (len(whole) - len(s)) + s for s in operands]
    axes: list[tuple[int, tuple[bool, ...]]] = []  # (length, which operands move)
    for i, n in enumerate(whole):
        moves = tuple([s[i] != 1 for s in padded])
        if axes and axes[-1][1] == moves:
            axes[-1] = (axes[-1][0] * n, moves)
        elif n != 1:
            axes.append((n, moves))
    if len(axes) > 4:
        return None
    axes = [(1, (True,) * len(operands))] * (4 - len(axes)) + axes
    way = np.zeros((1 + len(operands), 4), np.int64)
    way[0] = [n for n, _ in axes]
    for k in range(len(operands)):
        for i in range(4):
            if axes[i][1][k]:
                way[1 + k, i] = prod([n for n, moves in axes[i + 1 :] if moves[k]])
    return way


def _copied_out(shape: tuple[int, ...], *operands: Array) -> tuple[Array, ...]:
    """Where four axes do not suffice: operands repeated to the shape of y, and the way of equal shapes."""
    unprepared()
    whole = [np.ascontiguousarray(np.broadcast_to(x, shape)).ravel() for x in operands]
    return *whole, _way(shape, *[shape] * len(operands))


@inlined
def _rows(at, stop, way):
    """At entry `at` of y: the place on axes 0 to 3, and the block of rows and columns that can be walked in one go."""
    i3 = at % way[0, 3]
    row = at // way[0, 3]
    i2 = row % way[0, 2]
    row //= way[0, 2]
    rows = min((stop - at) // way[0, 3], way[0, 2] - i2)
    if i3 > 0 or rows == 0:  # the chunk begins or ends within a row
        return row // way[0, 1], row % way[0, 1], i2, i3, 1, min(stop - at, way[0, 3] - i3)
    return row // way[0, 1], row % way[0, 1], i2, 0, rows, way[0, 3]


@inlined
def _start(steps, i0, i1, i2, i3):
    return i0 * steps[0] + i1 * steps[1] + i2 * steps[2] + i3 * steps[3]


def _walk2(unit, a, b, y, way, params):
    """Each inner loop is one that LLVM vectorises."""
    at = unit * CHUNK
    stop = min(at + CHUNK, y.size)
    while at < stop:
        i0, i1, i2, i3, rows, columns = _rows(at, stop, way)
        ia, ib = _start(way[1], i0, i1, i2, i3), _start(way[2], i0, i1, i2, i3)
        for _ in range(rows):
            if way[1, 3] and way[2, 3]:
                for i in range(columns):
                    y[U(at + i)] = formula(a[U(ia + i)], b[U(ib + i)], *params)
            elif way[1, 3]:
                right = b[U(ib)]
                for i in range(columns):
                    y[U(at + i)] = formula(a[U(ia + i)], right, *params)
            else:
                left = a[U(ia)]
                for i in range(columns):
                    y[U(at + i)] = formula(left, b[U(ib + i)], *params)
            at += columns
            ia += way[1, 2]
            ib += way[2, 2]


def binary(formula: Formula) -> Callable[..., None]:
    """The kernel (a, b, y, **params) of formula(a, b, *params), a and b broadcast to y."""
    loop = _compiled(_walk2, formula)

    @prepared
    def launch(a: Array, b: Array, y: Array, **params: Any) -> None:
        way = _way(y.shape, a.shape, b.shape)
        if way is None:
            a, b, way = _copied_out(y.shape, a, b)
        loop(y.size, a.ravel(), b.ravel(), y.ravel(), way, tuple(params.values()))

    return launch


def _walk3(unit, a, b, c, y, way):
    at = unit * CHUNK
    stop = min(at + CHUNK, y.size)
    while at < stop:
        i0, i1, i2, i3, rows, columns = _rows(at, stop, way)
        ia, ib, ic = _start(way[1], i0, i1, i2, i3), _start(way[2], i0, i1, i2, i3), _start(way[3], i0, i1, i2, i3)
        for _ in range(rows):
            if way[1, 3] and way[2, 3] and way[3, 3]:
                for i in range(columns):
                    y[U(at + i)] = formula(a[U(ia + i)], b[U(ib + i)], c[U(ic + i)])
            elif way[1, 3] and way[2, 3]:
                last = c[U(ic)]
                for i in range(columns):
                    y[U(at + i)] = formula(a[U(ia + i)], b[U(ib + i)], last)
            else:
                for i in range(columns):
                    ja, jb, jc = ia + i * way[1, 3], ib + i * way[2, 3], ic + i * way[3, 3]
                    y[U(at + i)] = formula(a[U(ja)], b[U(jb)], c[U(jc)])
            at += columns
            ia += way[1, 2]
            ib += way[2, 2]
            ic += way[3, 2]


def ternary(formula: Formula) -> Callable[..., None]:
    """The kernel (a, b, c, y) of formula(a, b, c), broadcast to y."""
    loop = _compiled(_walk3, formula)

    @prepared
    def launch(a: Array, b: Array, c: Array, y: Array) -> None:
        way = _way(y.shape, a.shape, b.shape, c.shape)
        if way is None:
            a, b, c, way = _copied_out(y.shape, a, b, c)
        loop(y.size, a.ravel(), b.ravel(), c.ravel(), y.ravel(), way)

    return launch
