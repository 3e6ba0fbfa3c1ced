"""Launches of reduce.cu.  Sums are taken in float64 in an order of their own, so they agree with the CPU's to rounding;
extremes and their places are the same."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.rows import Plan, planned
from .._cuda.scratch import room
from .._cuda.source import Source
from .._prepared import prepared
from ._blocks import blocks

Array = Any
Axes = tuple[int, ...]
Block = tuple[int, int, int]  # (outer, reduced, inner)

SOURCE = Source(__file__, "reduce.cu", T=("float32", "float64"))


def _run(name: str, plan: Plan, x: Array, y: Array, dtype: np.dtype, *more: Any) -> None:
    launch(SOURCE, f"reduce_{name}", plan.grid, plan.block, (x, y, plan.shape, *more), T=dtype)


def _passes(x: Array, y: Array, axes: Axes, one: Callable[[Array, Array, Block, bool], None]) -> None:
    """one(x, y, block, last) for each block of reduced axes, through arrays of y's dtype."""
    found = blocks(x.shape, axes)
    for i, block in enumerate(found if y.size else ()):
        last = i == len(found) - 1
        to = y if last else room(y, block[0] * block[2])
        one(x, to, block, last)
        x = to


def _in_parts(names: tuple[str, str, str], dtype: Any, x: Array, y: Array, block: Block, divisor: int) -> None:
    """Kernel names[0], or where the rows are cut names[1] into an array of `dtype`, and names[2] out of it."""
    plan, by = planned(*block, split=True), np.float64(divisor)
    if plan.parts == 1:
        _run(names[0], plan, x, y, y.dtype, by)
        return
    outer, _, inner = block
    partial = room(y, (outer, plan.parts, inner), dtype)
    _run(names[1], plan, x, partial, y.dtype, np.float64(1))
    _run(names[2], planned(outer, plan.parts, inner), partial, y, y.dtype, by)


@prepared
def sum(x: Array, y: Array, *, axes: Axes, keepdims: bool, divisor: int) -> None:
    names = "sum", "sum_parts", "sum_of_parts"
    _passes(x, y, axes, lambda x, y, b, last: _in_parts(names, np.float64, x, y, b, divisor if last else 1))


@prepared
def max(x: Array, y: Array, *, axes: Axes, keepdims: bool) -> None:
    _passes(x, y, axes, lambda x, y, b, last: _in_parts(("max",) * 3, y.dtype, x, y, b, 1))


@prepared
def min(x: Array, y: Array, *, axes: Axes, keepdims: bool) -> None:
    _passes(x, y, axes, lambda x, y, b, last: _in_parts(("min",) * 3, y.dtype, x, y, b, 1))


@prepared
def logsumexp(x: Array, y: Array, *, axes: Axes, keepdims: bool) -> None:
    _passes(x, y, axes, lambda x, y, block, last: _run("logsumexp", planned(*block), x, y, y.dtype))


def _along(x: Array, axis: int) -> Plan:
    return planned(prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :]))


@prepared
def argmax(x: Array, y: Array, *, axis: int) -> None:
    _run("argmax", _along(x, axis), x, y, x.dtype)


@prepared
def softmax(x: Array, y: Array, *, axis: int) -> None:
    _run("softmax", _along(x, axis), x, y, x.dtype)


@prepared
def log_softmax(x: Array, y: Array, *, axis: int) -> None:
    _run("log_softmax", _along(x, axis), x, y, x.dtype)
