"""Reductions in lanes.

A launcher sees x as (outer, reduced, inner): the axes before a block of reduced ones, the block, the axes after it.
Where `inner` is 1, a block is a contiguous row, for the vectors of `_rows`.  Else rows of `inner` entries are
accumulated entry by entry, so the loop over a row vectorises; where `inner` is short several rows are taken as one of
about LANES entries, and the accumulator is folded in halves at the end.  Long blocks are split into parts, whose
results are combined in order.  All of this follows from the shape alone, so the bits do not depend on the number of
threads.
"""

# ruff: noqa: F821 -- the names that `specialised` binds
# mypy: disable-error-code="name-defined"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._numba import CHUNK, inlined, jit, specialised
from .._prepared import effect, prepared
from .._units import units
from ._blocks import blocks

Array = Any
Formula = Callable[..., Any]
U = np.uint64  # unsigned indices spare Numba's wraparound test
LANES = 32  # entries a step: four vectors of eight float64, enough to hide the latency of an addition
WIDTH = 2048  # inner entries at a time: a float64 accumulator of 16 KB stays in L1
FAR = 512  # entries a step from which rows are read one by one: four streams of a page each take twice as long
PARTS = 64  # of a long block at most: bounds the memory for partial results


class Plan(NamedTuple):
    """How (outer, reduced, inner) is cut into outer x parts x columns units of work, done `group` at a time."""

    outer: int
    reduced: int
    inner: int
    taken: int  # rows of `inner` entries taken as one
    per_part: int  # rows of a part
    parts: int
    columns: int  # blocks of WIDTH inner entries
    group: int
    groups: int


@lru_cache(maxsize=4096)
def planned(outer: int, reduced: int, inner: int, *, split: bool = True) -> Plan:
    """The plan for a shape; `split`: a block may be cut into parts."""
    width, columns = max(1, min(inner, WIDTH)), -(-inner // WIDTH)
    taken = max(1, min(LANES // width, reduced))
    parts = min(reduced * width // CHUNK, PARTS // max(1, outer * columns)) if split else 1
    per_part = max(1, reduced)
    if parts > 1:
        per_part = -(-reduced // (parts * taken)) * taken
    parts = max(1, -(-reduced // per_part))
    units, group = outer * parts * columns, max(1, CHUNK // (per_part * width))
    return Plan(outer, reduced, inner, taken, per_part, parts, columns, group, -(-units // group))


# -- ways to combine, and to read -----------------------------------------------------------------------------------


def plus(a, b):
    return a + b


def larger(a, b):
    return a if a >= b or a != a else b  # a NaN stays


def smaller(a, b):
    return a if a <= b or a != a else b


def entry(x, shift):
    return x


# -- the loops --------------------------------------------------------------------------------------------------------


def _accumulate(x, p, rows, plan, width, shift, acc):
    """acc[j] = step(acc[j], lift(x[p + r * inner + j], shift[j])) over r < rows and j < width, `taken` rows as one."""
    wide, stride = plan.taken * width, plan.taken * plan.inner
    # counting, here and below: divisions would cost as much as a short row
    while wide < FAR and rows >= 4 * plan.taken:
        for j in range(wide):
            a, b = lift(x[U(p + j)], shift[U(j)]), lift(x[U(p + stride + j)], shift[U(j)])
            c, d = lift(x[U(p + 2 * stride + j)], shift[U(j)]), lift(x[U(p + 3 * stride + j)], shift[U(j)])
            acc[U(j)] = step(acc[U(j)], step(step(a, b), step(c, d)))
        p += 4 * stride
        rows -= 4 * plan.taken
    while rows > 0:
        for j in range(min(rows, plan.taken) * width):
            acc[U(j)] = step(acc[U(j)], lift(x[U(p + j)], shift[U(j)]))
        p += stride
        rows -= plan.taken


def _fold(acc, taken, width):
    """Combine the accumulators of `taken` rows into the first."""
    if width == 1 and taken >= 4:  # too short for vectors: four chains, to hide the latency of a step
        a, b, c, d = acc[0], acc[1], acc[2], acc[3]
        for j in range(4, taken - taken % 4, 4):
            a, b = step(a, acc[U(j)]), step(b, acc[U(j + 1)])
            c, d = step(c, acc[U(j + 2)]), step(d, acc[U(j + 3)])
        for j in range(taken - taken % 4, taken):
            a = step(a, acc[U(j)])
        acc[0] = step(step(a, b), step(c, d))
        return
    while taken > 1:
        half = (taken + 1) // 2
        for j in range((taken - half) * width):
            acc[U(j)] = step(acc[U(j)], acc[U(half * width + j)])
        taken = half


def _reduce_group(group, x, y, partial, plan, init, divisor):
    """The units of one group: results go to y, or to `partial` (outer, parts, inner) where there are several parts."""
    acc = np.empty(plan.taken * min(plan.inner, WIDTH), partial.dtype)
    unit = group * plan.group
    block, row = unit % plan.columns, unit // plan.columns
    part, o = row % plan.parts, row // plan.parts
    for _ in range(min(plan.group, plan.outer * plan.parts * plan.columns - unit)):
        column, first = block * WIDTH, part * plan.per_part
        width, rows = min(WIDTH, plan.inner - column), min(plan.per_part, plan.reduced - first)
        acc[:] = init
        accumulate(x, (o * plan.reduced + first) * plan.inner + column, rows, plan, width, acc, acc)
        fold(acc, plan.taken, width)
        to = (o * plan.parts + part) * plan.inner + column
        if plan.parts > 1:
            for j in range(width):
                partial[U(to + j)] = acc[U(j)]
        else:
            for j in range(width):
                y[U(to + j)] = acc[U(j)] / divisor
        block += 1
        if block == plan.columns:
            block, part = 0, part + 1
            if part == plan.parts:
                part, o = 0, o + 1


def _rows_group(group, x, y, partial, plan, divisor):
    """The same where inner is 1: each unit is a contiguous stretch of x."""
    unit = group * plan.group
    part, o = unit % plan.parts, unit // plan.parts
    for _ in range(min(plan.group, plan.outer * plan.parts - unit)):
        first = part * plan.per_part
        start, rows = o * plan.reduced + first, min(plan.per_part, plan.reduced - first)
        value = along(x[start : start + rows])
        if plan.parts > 1:
            partial[o * plan.parts + part] = value
        else:
            y[o] = value / divisor
        part += 1
        if part == plan.parts:
            part, o = 0, o + 1


def _combine(partial, y, plan, divisor):
    """y (outer, inner) of partial (outer, parts, inner), part by part."""
    for o in range(plan.outer):
        for i in range(plan.inner):
            at = o * plan.parts * plan.inner + i
            total = partial[at]
            for part in range(1, plan.parts):
                total = step(total, partial[at + part * plan.inner])
            y[o * plan.inner + i] = total / divisor


def loops(name: str, step: Formula, lift: Formula) -> tuple[Any, Any]:
    """Compiled `_accumulate` and `_fold` for one way to combine, `step(a, b)`, and to read, `lift(x, shift)`."""
    step, lift = inlined(step), inlined(lift)
    return inlined(specialised(_accumulate, name, step=step, lift=lift)), inlined(specialised(_fold, name, step=step))


def reduction(
    name: str, init: float, step: Formula, lift: Formula, along: Any, dtype: Any = None
) -> Callable[..., None]:
    """The kernel that combines lifted entries by `step`, from `init`, in accumulators of `dtype` (default: x's).

    `along` does the same to a contiguous row.
    """
    accumulate, fold = loops(name, step, lift)
    reduce_groups = units(specialised(_reduce_group, name, accumulate=accumulate, fold=fold))
    rows_groups = units(specialised(_rows_group, name, along=along))
    combine = jit(specialised(_combine, name, step=inlined(step)))

    @prepared
    def launch(x: Array, y: Array, *, axes: tuple[int, ...], keepdims: bool, divisor: int = 1) -> None:
        if not y.size:
            return
        passes = blocks(x.shape, axes)
        for i, block in enumerate(passes):
            plan, last = planned(*block), i == len(passes) - 1
            to = y.ravel() if last else np.empty(plan.outer * plan.inner, y.dtype)
            several = plan.outer * plan.parts * plan.inner if plan.parts > 1 else 0
            partial = np.empty(several, dtype or y.dtype)
            by = divisor if last else 1
            serial = x.size <= 4 * CHUNK  # less than waking a thread costs
            if plan.inner == 1:
                rows_groups(serial, plan.groups, x.ravel(), to, partial, plan, by)
            else:
                reduce_groups(serial, plan.groups, x.ravel(), to, partial, plan, init, by)
            if plan.parts > 1:
                effect(combine, partial, to, plan, by)
            x = to

    return launch
