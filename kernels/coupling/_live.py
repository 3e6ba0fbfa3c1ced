"""What a mask that keeps every second entry leaves of a dense coupling's weights, and back: one pass over them.

Such a coupling reads half of its input and moves the other half, so half of its first and of its last layer multiplies
zeros or is multiplied by them.  To gather the rest costs some microseconds, and saves three products as large each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._numba import inlined
from .._prepared import prepared
from .._units import units

Array = Any

ROWS = 16  # of a unit
SERIAL = 1 << 12  # entries, about 3 us: below, the other threads come too late
U = np.uint64  # unsigned indices spare Numba's wraparound test


def launch(body: Any, kept: int, whole: tuple[Array, ...], parts: tuple[Array, ...]) -> None:
    """Each unit has ROWS rows of w_out, and 2 ROWS of w_in."""
    rows = max(len(parts[1]), -(-len(whole[0]) // 2), 1)
    body(parts[1].size <= SERIAL, -(-rows // ROWS), kept, whole, parts)


@prepared
def live_weights(
    w_in: Array, w_out: Array, b_out: Array, scale: Array, first: Array, last: Array, bias: Array, gain: Array, *,
    kept: int,
) -> None:  # fmt: skip
    launch(_gather, kept, (w_in, w_out, b_out, scale), (first, last, bias, gain))


@prepared
def live_weights_grad(
    g_first: Array, g_last: Array, g_bias: Array, g_gain: Array,
    g_w_in: Array, g_w_out: Array, g_b_out: Array, g_scale: Array, *, kept: int,
) -> None:  # fmt: skip
    launch(_scatter, kept, (g_w_in, g_w_out, g_b_out, g_scale), (g_first, g_last, g_bias, g_gain))


@inlined
def take(row, start, part):
    """part = row[start::2]."""
    for i in range(part.size):
        part[U(i)] = row[U(start + 2 * i)]


@inlined
def put(part, start, row):
    """row[start::2] = part, and the others zero: each case is a loop that LLVM makes vectors of."""
    pairs = row.size // 2
    if start == 0:
        for i in range(pairs):
            row[U(2 * i)] = part[U(i)]
            row[U(2 * i + 1)] = 0
    else:
        for i in range(pairs):
            row[U(2 * i)] = 0
            row[U(2 * i + 1)] = part[U(i)]
    if row.size % 2:
        row[U(row.size - 1)] = part[U(pairs)] if start == 0 else 0


@units
def _gather(unit, kept, whole, parts):
    (w_in, w_out, b_out, scale), (first, last, bias, gain), moved = whole, parts, 1 - kept
    d, m = scale.size, gain.size
    for r in range(unit * ROWS, min((unit + 1) * ROWS, first.shape[0])):
        row, part = w_in[kept + 2 * r], first[r]
        for i in range(part.size):
            part[U(i)] = row[U(i)]
    for r in range(unit * ROWS, min((unit + 1) * ROWS, last.shape[0])):
        take(w_out[r, :d], moved, last[r, :m])
        take(w_out[r, d:], moved, last[r, m:])
    if unit == 0:
        take(b_out[:d], moved, bias[:m])
        take(b_out[d:], moved, bias[m:])
        take(scale, moved, gain)


@units
def _scatter(unit, kept, whole, parts):
    (w_in, w_out, b_out, scale), (first, last, bias, gain), moved = whole, parts, 1 - kept
    d, m = scale.size, gain.size
    for r in range(2 * unit * ROWS, min(2 * (unit + 1) * ROWS, d)):
        row = w_in[r]
        if r % 2 == kept:
            part = first[r // 2]
            for i in range(row.size):
                row[U(i)] = part[U(i)]
        else:
            for i in range(row.size):
                row[U(i)] = 0
    for r in range(unit * ROWS, min((unit + 1) * ROWS, last.shape[0])):
        put(last[r, :m], moved, w_out[r, :d])
        put(last[r, m:], moved, w_out[r, d:])
    if unit == 0:
        put(bias[:m], moved, b_out[:d])
        put(bias[m:], moved, b_out[d:])
        put(gain, moved, scale)
