"""Fills `Way` of walk.h: how kernels walk arrays of any strides together."""

from __future__ import annotations

import itertools
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

AXES = 8  # as in walk.h
THREADS, EACH = 256, 4  # of a block, and entries of a thread

Array = Any
Steps = tuple[int, ...]


@lru_cache
def _layout(arrays: int) -> np.dtype:
    counts = [(name, "<i8") for name in ("n", "axes", "first")]
    return np.dtype([*counts, ("length", "<i8", AXES), ("start", "<i8", arrays), ("step", "<i8", (arrays, AXES))])


def steps(x: Array, shape: tuple[int, ...]) -> Steps:
    """How many entries x moves along each axis of a shape that it broadcasts to."""
    repeated = (0,) * (len(shape) - x.ndim)
    return *repeated, *[0 if n == 1 else stride // x.itemsize for n, stride in zip(x.shape, x.strides)]


@lru_cache(maxsize=4096)
def ways(shape: tuple[int, ...], *moves: Steps) -> tuple[np.ndarray, ...]:
    """The walks through `shape` for arrays with these steps: one, or none where it is empty.

    Neighbouring axes become one where all arrays allow it.  If more than AXES remain, there is a walk for each place on
    the outer ones.
    """
    axes: list[tuple[int, Steps]] = []  # (length, the step of each array)
    for n, here in zip(shape, zip(*moves)):
        if axes and all(outer == inner * n for outer, inner in zip(axes[-1][1], here)):
            axes[-1] = axes[-1][0] * n, here
        elif n != 1:
            axes.append((n, here))
    outer, axes = axes[:-AXES], axes[-AXES:]
    n = prod([length for length, _ in axes])
    made = []
    for i, place in enumerate(itertools.product(*[range(length) for length, _ in outer])):
        way = np.zeros((), _layout(len(moves)))
        way["n"], way["axes"], way["first"] = n, len(axes), i * n
        for k in range(len(moves)):
            way["start"][k] = sum(p * here[k] for p, (_, here) in zip(place, outer))
            way["step"][k, : len(axes)] = [here[k] for _, here in axes]
        way["length"][: len(axes)] = [length for length, _ in axes]
        made.append(way)
    return tuple(made) if n else ()


def blocks(n: Any) -> tuple[int]:
    """The grid in which n entries are walked, EACH by a thread."""
    return (-(-int(n) // (THREADS * EACH)),)
