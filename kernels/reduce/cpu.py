"""The reductions; their loops stand in `_lanes` and `_softmax`, away from names that hide the built-in ones."""

from __future__ import annotations

import math

import numpy as np

from .._numba import pjit, prange
from ._lanes import entry, larger, plus, reduction, smaller
from ._softmax import log_softmax, logsumexp, softmax

__all__ = ["argmax", "log_softmax", "logsumexp", "max", "min", "softmax", "sum"]


def _wide(x, shift):
    return np.float64(x)


sum = reduction("sum", 0.0, plus, _wide, np.float64)
max = reduction("max", -math.inf, larger, entry)
min = reduction("min", math.inf, smaller, entry)


@pjit
def _argmax(x, y):
    """x (outer, reduced, inner) -> y (outer, inner).  A NaN counts as larger than anything, the first one wins."""
    outer, reduced, inner = x.shape
    for o in prange(outer):
        for i in range(inner):
            best, at = x[o, 0, i], 0
            for r in range(1, reduced):
                if not x[o, r, i] <= best and best == best:
                    best, at = x[o, r, i], r
            y[o, i] = at


def argmax(x, y, *, axis):
    shape = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    _argmax(x.reshape(shape), y.reshape(shape[0], shape[2]))
