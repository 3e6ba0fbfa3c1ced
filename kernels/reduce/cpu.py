"""The reductions; their loops stand in `_lanes` and `_softmax`, away from names that hide the built-in ones."""

from __future__ import annotations

import math

import numpy as np

from .._rows import highest, lowest, total
from ._argmax import argmax
from ._lanes import entry, larger, plus, reduction, smaller
from ._softmax import log_softmax, logsumexp, softmax

__all__ = ["argmax", "log_softmax", "logsumexp", "max", "min", "softmax", "sum"]


def _wide(x, shift):
    return np.float64(x)


sum = reduction("sum", 0.0, plus, _wide, total, np.float64)
max = reduction("max", -math.inf, larger, entry, highest)
min = reduction("min", math.inf, smaller, entry, lowest)
