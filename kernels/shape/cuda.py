"""Launches of shape.cu and scatter.cu: the same bits as the CPU's."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.source import Source
from .._cuda.walk import THREADS, blocks, steps, ways
from .._prepared import prepared

Array = Any

MOVES = Source(__file__, "shape.cu", T=("uint8", "uint16", "uint32", "uint64"))
SCATTER = Source(__file__, "scatter.cu", T=("float32", "float64", "int32", "int64", "uint8"))


def _unsigned(x: Array) -> np.dtype:
    return np.dtype(f"u{x.itemsize}")


@prepared
def copy(x: Array, y: Array) -> None:
    _assign(x, y)


def _assign(x: Array, y: Array) -> None:
    """y[...] = x, which broadcasts to y."""
    for way in ways(y.shape, steps(x, y.shape), steps(y, y.shape)):
        launch(MOVES, "shape_copy", blocks(way["n"]), (THREADS,), (x, y, way), T=_unsigned(x))


def _fill(y: Array, value: float) -> None:
    args = y, y.dtype.type(value).view(_unsigned(y)), np.int64(y.size)
    launch(MOVES, "shape_fill", blocks(y.size), (THREADS,), args, T=_unsigned(y))


@prepared
def broadcast_to(x: Array, y: Array, *, shape: tuple[int, ...]) -> None:
    _assign(x, y)


@prepared
def concat(*arrays: Array, axis: int) -> None:
    *xs, y = arrays
    start = 0
    for x in xs:
        stop = start + x.shape[axis]
        _assign(x, y[(*[slice(None)] * axis, slice(start, stop))])
        start = stop


@prepared
def pad(x: Array, y: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> None:
    _fill(y, value)
    _assign(x, y[tuple([slice(before, before + n) for n, (before, _) in zip(x.shape, widths)])])


@prepared
def getitem_grad(g: Array, y: Array, *, index: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    _fill(y, 0)
    _assign(g, y[index])


@prepared
def gather(x: Array, index: Array, y: Array, *, axis: int) -> None:
    counts = y.size, index.size, x.shape[axis], prod(x.shape[axis + 1 :])
    args = x, index, y, *map(np.int64, counts)
    launch(MOVES, "shape_gather", (-(-y.size // THREADS),), (THREADS,), args, T=_unsigned(x))


@prepared
def scatter_add(g: Array, index: Array, y: Array, *, axis: int, size: int) -> None:
    counts = y.size, index.size, size, prod(y.shape[axis + 1 :])
    args = g, index, y, *map(np.int64, counts)
    launch(SCATTER, "shape_scatter_add", (-(-y.size // THREADS),), (THREADS,), args, T=y.dtype)
