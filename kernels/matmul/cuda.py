"""Launches of matmul.cu: the CPU's sums in another order, equal to rounding, and the same on every device."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .._cuda.epilogue import After, after, nothing
from .._cuda.launcher import launch
from .._cuda.scratch import room
from .._cuda.source import Source
from .._cuda.tile import ENTRIES, THREADS, entries, kind, parts, tiles
from .._cuda.walk import steps as strides
from .._cuda.walk import ways
from .._prepared import prepared
from .._then import Step
from ..elementwise import cuda as elementwise
from . import ACTIVATIONS, geometry, steps

Array = Any

SOURCE = Source(__file__, "matmul.cu", T=("float32", "float64", "tf32"))
FIELDS = "m", "n", "k", "a_row", "a_k", "b_k", "b_column", "size", "parts", "each"


@lru_cache(maxsize=1024)
def _struct(*values: int) -> np.ndarray:
    """`Product` of matmul.cu."""
    return np.array(values, [(name, "<i8") for name in FIELDS])


def combine(sums: Array, y: Array, count: int, then: After) -> None:
    """y = the sum of `count` parts, in order, then the steps."""
    args = sums, y, *map(np.int64, (y.size, y.shape[-1], count)), *then
    launch(SOURCE, "matmul_combine", entries(y.size), (ENTRIES,), args, T=y.dtype)


def product(
    a: Array, b: Array, y: Array, then: After, *,
    trans_a: bool = False, trans_b: bool = False, totals: Array | None = None,
) -> None:  # fmt: skip
    """y = a b, as `matmul` declares it, then the steps.  totals: the sums of b's columns, where b is a matrix."""
    (m, n, k), batch, of_a, of_b = geometry(a, b, y, trans_a, trans_b)
    each_z = tiles(n) * (tiles(m) if totals is None else max(tiles(m), 1))
    count, each = parts(prod(batch) * each_z, k)
    sums = y if count == 1 else room(y, count * y.size)
    columns = room(y, count * n) if totals is not None and count > 1 else totals
    struct = _struct(m, n, k, *of_a, *of_b, y.size, count, each)
    places = [strides(x[..., :1, :1], (*batch, 1, 1)) if batch else (0, 0) for x in (a, b)]
    for way in ways((*batch, 1, 1), *places):
        args = a, b, sums, columns, struct, way, *then
        launch(SOURCE, "matmul_tile", (int(way["n"]) * each_z * count,), (THREADS,), args, T=kind(y))
    if count > 1:
        combine(sums, y, count, then)
        if totals is not None:
            combine(columns, totals, count, nothing(totals))


@prepared
def matmul(a: Array, b: Array, y: Array, *, trans_a: bool, trans_b: bool) -> None:
    product(a, b, y, nothing(y), trans_a=trans_a, trans_b=trans_b)


@prepared
def matmul_then(a: Array, b: Array, *rest: Array, then: tuple[Step, ...], trans_a: bool, trans_b: bool) -> None:
    y, arguments = after(then, rest)
    product(a, b, y, arguments, trans_a=trans_a, trans_b=trans_b)


def activate(y: Array, activation: str | None, then: tuple[Step, ...]) -> None:
    """The activation, in place, where it is none of the steps."""
    if activation is not None and len(then) == 1:
        getattr(elementwise, activation)(y, y, **ACTIVATIONS[activation])


@prepared
def linear(x: Array, w: Array, b: Array, y: Array, *, activation: str | None) -> None:
    then = steps(activation)
    rows = x.size // w.shape[0] if w.shape[0] else y.size // max(w.shape[1], 1)
    product(x.reshape(rows, w.shape[0]), w, y.reshape(rows, w.shape[1]), after(then, (b, y))[1])
    activate(y, activation, then)


@prepared
def linear_weight_grad(x: Array, g: Array, g_w: Array, g_b: Array) -> None:
    product(x, g, g_w, nothing(g_w), trans_a=True, totals=g_b)
