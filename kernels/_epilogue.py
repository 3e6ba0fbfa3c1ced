"""The steps of `_then.py` on a tile that is still in registers, or on a whole array where no tile holds final sums.

Which steps there are is known at run time only: a branch per tile and step, always taken the same way, is cheaper
than a compilation for each combination.  It is one operation in LLVM IR like those of `_simd.py`, for between loops
Numba would count references to the arrays it hands on, and every count would send the tile to memory and back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._numba import CHUNK
from ._prepared import unprepared
from ._simd import INDEX, LINE, ROWS, Emit, get, span, width
from ._then import ACTIVATION, ADD, ALSO, BIAS, GATE, Step, coded
from ._units import units

Array = Any
After = tuple[Array, ...]

STRETCH = 32  # tiles in a unit of a pass over a whole array


@lru_cache(maxsize=1024)
def _codes(then: tuple[Step, ...], dtype: np.dtype) -> tuple[tuple[int, ...], Array, Array]:
    """`coded` in arrays."""
    taking, codes, slopes = coded(then)
    return taking, np.array(codes, np.int64), np.array(slopes, dtype)


@lru_cache(maxsize=8)
def no_steps(dtype: np.dtype) -> After:
    """The argument of `finish` where nothing follows."""
    return (*[np.empty(0, dtype)] * 4, *_codes((), dtype)[1:])


def without_bias(then: After) -> tuple[Array, After]:
    """The bias, empty if there is none, and the argument of `finish` for all but it."""
    bias, gate, other, also, codes, slopes = then
    rest = codes.copy()
    rest[BIAS] = 0
    return bias, (bias[:0], gate, other, also, rest, slopes)


def flat(a: Array) -> Array:
    """a as a line; copied if read-only or misaligned, for those are other types to Numba and would compile anew."""
    if a.flags.behaved:
        return a.ravel()
    unprepared()
    return a.flatten()


def after(then: tuple[Step, ...], rest: tuple[Array, ...]) -> tuple[Array, After]:
    """The first output, and the argument of `finish`; rest: the extra arrays, then the outputs."""
    dtype = rest[-1].dtype
    taking, codes, slopes = _codes(then, dtype)
    bias, gate, other, also = no_steps(dtype)[:4]
    for stage, a in zip(taking, rest):
        if stage == BIAS:
            bias = flat(a)
        elif stage == GATE:
            gate = flat(a)
        else:
            other = flat(a)
    y, *second = rest[len(taking) :]
    if second:
        also = flat(second[0])
    return y, (bias, gate, other, also, codes, slopes)


@intrinsic
def foresee(typing: Any, y: Any, to: Any, column: Any, after: Any) -> Any:
    """Have everything that `finish` will touch for these rows brought near: ask a tile before, or as it is begun.

    What is only read goes no nearer than the second cache: the first one is full of operands, and would lose it.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, to, column, after = arguments
        kind, b = signature.args[0], builder
        e, rows = Emit(context, b, kind.dtype), cgutils.unpack_tuple(b, to)
        _, gate, other, also, codes, _ = cgutils.unpack_tuple(b, after)
        ends = [b.add(column, INDEX(at)) for at in range(0, e.columns, LINE * 8 // kind.dtype.bitwidth)]
        e.prefetch(kind, y, rows, ends, writes=True)
        for stage, array in ((GATE, gate), (ADD, other), (ALSO, also)):
            with b.if_then(b.icmp_signed(">", b.load(e.at(signature.args[3][4], codes, INDEX(stage))), INDEX(0))):
                e.prefetch(kind, array, rows, ends, writes=stage == ALSO, nearest=False)
        return context.get_dummy_value()

    return types.void(y, to, types.intp, after), emit


@intrinsic
def finish(typing: Any, acc: Any, y: Any, to: Any, column: Any, columns: Any, after: Any) -> Any:
    """y[to[r] + column : + columns] = the steps on acc[r]: the tile has one place in all arrays of y's shape."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        acc, y, to, column, columns, after = arguments
        kind = signature.args[1]
        e, b, rows = Emit(context, builder, kind.dtype), builder, cgutils.unpack_tuple(builder, to)
        bias, gate, other, also, codes, slopes = cgutils.unpack_tuple(builder, after)
        zero = ir.Constant(e.vector, None)

        def code(stage: int) -> Any:
            return b.load(e.at(signature.args[5][4], codes, INDEX(stage)))

        def given(stage: int) -> Any:
            return b.icmp_signed(">", code(stage), INDEX(0))

        def scaled(values: list[Any], stage: int) -> list[Any]:
            slope = e.splat(b.load(e.at(kind, slopes, INDEX(stage))))
            return [b.fmul(v, slope) for v in values]

        def chosen(signs: list[Any], high: list[Any], low: list[Any]) -> list[Any]:
            return [b.select(b.fcmp_ordered(">", s, zero), h, v) for s, h, v in zip(signs, high, low)]

        def sum_of(values: list[Any], others: list[Any]) -> list[Any]:
            return [b.fadd(v, o) for v, o in zip(values, others)]

        def relu(values: list[Any]) -> list[Any]:  # NaN stays
            return [b.select(b.fcmp_ordered("<", v, zero), zero, v) for v in values]

        def activated(values: list[Any], stage: int) -> list[Any]:
            values = e.when(b.icmp_signed("==", code(stage), INDEX(1)), values, relu)
            sloped = b.icmp_signed("==", code(stage), INDEX(2))
            return e.when(sloped, values, lambda values: chosen(values, values, scaled(values, stage)))

        def gated(values: list[Any]) -> list[Any]:
            sloped = b.icmp_signed("==", code(GATE), INDEX(2))  # not times a slope of 0: infinities
            low = e.when(sloped, [zero] * len(values), lambda _: scaled(values, GATE))
            return chosen(e.get(kind, gate, rows, column, columns), values, low)

        row = [INDEX(0)]
        values = cgutils.unpack_tuple(b, acc)
        values = e.when(given(BIAS), values, lambda v: sum_of(v, e.get(kind, bias, row, column, columns) * len(rows)))
        values = activated(values, ACTIVATION)
        values = e.when(given(GATE), values, gated)
        values = e.when(given(ADD), values, lambda v: sum_of(v, e.get(kind, other, rows, column, columns)))
        e.put(values, kind, y, rows, column, columns)
        with b.if_then(given(ALSO)):
            e.put(activated(values, ALSO), kind, also, rows, column, columns)
        return context.get_dummy_value()

    return types.void(acc, y, to, types.intp, types.intp, after), emit


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
