"""How far the figures of two sides lie apart: each rule takes {name: array} of both, ours first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .harness import BenchmarkError

Figures = Mapping[str, np.ndarray]
Rule = Callable[[Figures, Figures], float]


def relative(ours: Figures, theirs: Figures) -> float:
    """The largest relative difference of two entries."""
    return _worst(np.abs(b / a - 1).max(initial=0.0) for a, b in _pairs(ours, theirs))


def of_the_largest(ours: Figures, theirs: Figures) -> float:
    """The largest difference of two entries, relative to the largest entry of their array.

    A scalar stands for an array full of it, as a gradient that is zero everywhere.
    """
    return _worst(np.abs(a - b).max(initial=0.0) / np.abs(b).max(initial=1e-30) for a, b in _pairs(ours, theirs))


def mean_absolute(ours: Figures, theirs: Figures) -> float:
    """The mean absolute difference, of the array where it is largest."""
    return _worst(np.abs(a - b).mean() for a, b in _pairs(ours, theirs))


def share_that_differs(ours: Figures, theirs: Figures) -> float:
    """The part of the entries that are not equal, in the array where it is largest."""
    return _worst((a != b).mean() for a, b in _pairs(ours, theirs))


def _worst(differences: Iterable[Any]) -> float:
    """The largest; NaN where one is."""
    return float(np.max(list(differences)))


def _pairs(ours: Figures, theirs: Figures) -> list[tuple[np.ndarray, np.ndarray]]:
    """Arrays of the same name, in float64.  Raises BenchmarkError where names or shapes differ."""
    if set(ours) != set(theirs):
        raise BenchmarkError(f"the sides show {sorted(ours)} and {sorted(theirs)}. Not timed.")
    for name, a in ours.items():
        if a.shape != theirs[name].shape and a.ndim and theirs[name].ndim:
            raise BenchmarkError(f"{name} has the shapes {a.shape} and {theirs[name].shape}. Not timed.")
    return [(np.asarray(a, np.float64), np.asarray(theirs[name], np.float64)) for name, a in ours.items()]
