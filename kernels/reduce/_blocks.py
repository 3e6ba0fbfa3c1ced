"""Reduced axes as blocks of neighbours."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any


@lru_cache(maxsize=4096)
def blocks(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """(outer, reduced, inner) of each block of neighbouring reduced axes, the last block first."""
    merged: list[list[Any]] = []  # [length, reduced or kept], alternating
    for i, n in enumerate(shape):
        if merged and merged[-1][1] == (i in axes):
            merged[-1][0] *= n
        elif n != 1:
            merged.append([n, i in axes])
    found, inner = [], 1
    while merged:
        n, reduced = merged.pop()
        if reduced:
            found.append((prod([m for m, _ in merged]), n, inner))
        else:
            inner *= n
    return found or [(1, 1, inner)]
