"""softmax, log_softmax and logsumexp: the largest entry, then the sum of exponentials below it, both in lanes.

Contiguous rows have loops of their own, in `_softmax_rows`.
"""

# ruff: noqa: F821 -- the names that `specialised` binds
# mypy: disable-error-code="name-defined"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _math
from .._numba import CHUNK, inlined, specialised
from .._prepared import prepared
from .._units import units
from ._blocks import blocks
from ._lanes import WIDTH, U, entry, larger, loops, planned, plus
from ._softmax_rows import logsumexp_rows, softmax_rows

Array = Any


def _wide_exp(x, shift):
    return np.float64(_math.exp(x - shift))


def _wide(x, shift):
    return np.float64(x)


_peak, _fold_peak = loops("peak", larger, entry)
_mass, _fold_mass = loops("mass", plus, _wide_exp)
_total, _fold_total = loops("total", plus, _wide)


@inlined
def _shifts(x, p, plan, width, shift):
    """In each lane, what may be subtracted without making a NaN: the largest entry, or 0 where that is not finite."""
    shift[:] = -math.inf
    _peak(x, p, plan.reduced, plan, width, shift, shift)
    _fold_peak(shift, plan.taken, width)
    for j in range(width):
        m = shift[j]
        for taken in range(plan.taken):
            shift[taken * width + j] = m if math.isfinite(m) else 0


def _logsumexp_group(group, x, y, plan):
    """The units of one group.  y is (outer, inner)."""
    lanes = plan.taken * min(plan.inner, WIDTH)
    shift, mass = np.empty(lanes, x.dtype), np.empty(lanes, np.float64)
    for unit in range(group * plan.group, min((group + 1) * plan.group, plan.outer * plan.columns)):
        o, column = unit // plan.columns, unit % plan.columns * WIDTH
        width, p = min(WIDTH, plan.inner - column), o * plan.reduced * plan.inner + column
        _shifts(x, p, plan, width, shift)
        mass[:] = 0
        _mass(x, p, plan.reduced, plan, width, shift, mass)
        _fold_mass(mass, plan.taken, width)
        for j in range(width):
            y[o * plan.inner + column + j] = shift[j] + math.log(mass[j])


def _softmax_group(group, x, y, plan):
    """The units of one group.  y holds the exponentials first, so that each is computed once, at float32's rate."""
    lanes = plan.taken * min(plan.inner, WIDTH)
    shift, mass, scale = np.empty(lanes, x.dtype), np.empty(lanes, np.float64), np.empty(lanes, x.dtype)
    for unit in range(group * plan.group, min((group + 1) * plan.group, plan.outer * plan.columns)):
        column = unit % plan.columns * WIDTH
        width = min(WIDTH, plan.inner - column)
        p = unit // plan.columns * plan.reduced * plan.inner + column
        _shifts(x, p, plan, width, shift)
        for row in range(0, plan.reduced, plan.taken):
            q = p + row * plan.inner
            for j in range(min(plan.taken, plan.reduced - row) * width):
                y[U(q + j)] = _math.exp(x[U(q + j)] - shift[U(j)])
        mass[:] = 0
        _total(y, p, plan.reduced, plan, width, mass, mass)
        _fold_total(mass, plan.taken, width)
        for j in range(width):
            for taken in range(plan.taken):
                scale[taken * width + j] = scale_of(mass[j])
        for row in range(0, plan.reduced, plan.taken):
            q = p + row * plan.inner
            for j in range(min(plan.taken, plan.reduced - row) * width):
                y[U(q + j)] = result(x[U(q + j)], y[U(q + j)], shift[U(j)], scale[U(j)])


def _launcher(one_group: Callable[..., None]) -> Callable[..., None]:
    """(x, y, block) -> None: all groups, in parallel when there is more than a chunk."""
    groups = units(one_group)

    def launch(x: Array, y: Array, block: tuple[int, int, int]) -> None:
        plan = planned(*block, split=False)
        groups(x.size <= CHUNK, plan.groups, x.ravel(), y.ravel(), plan)

    return launch


_logsumexp = _launcher(_logsumexp_group)


@prepared
def logsumexp(x, y, *, axes, keepdims):
    passes = blocks(x.shape, axes)
    for i, block in enumerate(passes):  # logsumexp over all axes is logsumexp of logsumexps
        to = y if i == len(passes) - 1 else np.empty(block[0] * block[2], x.dtype)
        _, reduced, inner = block
        if inner == 1 and reduced:
            logsumexp_rows(x, to, reduced)
        else:
            _logsumexp(x, to, block)
        x = to


def _softmax_kernel(name: str, scale_of: Callable[..., Any], result: Callable[..., Any]) -> Callable[..., None]:
    along = _launcher(specialised(_softmax_group, name, scale_of=inlined(scale_of), result=inlined(result)))

    of_rows = softmax_rows(name, scale_of, result)

    @prepared
    def launch(x: Array, y: Array, *, axis: int) -> None:
        if not y.size:
            return
        block = blocks(x.shape, (axis,))[0] if x.shape[axis] != 1 else (x.size, 1, 1)
        if block[2] == 1:
            of_rows(x, y, block[1])
        else:
            along(x, y, block)

    return launch


def _inverse(mass):
    return 1 / mass


def _log(mass):
    return math.log(mass)


def _probability(x, e, shift, scale):
    return e * scale


def _log_probability(x, e, shift, scale):
    return x - shift - scale


softmax = _softmax_kernel("softmax", _inverse, _probability)
log_softmax = _softmax_kernel("log_softmax", _log, _log_probability)
