"""Reductions over axes, and the softmax pair over one axis.

`axes` are sorted, non-negative and without repetitions; the result has them as length 1 if `keepdims`, else not at all.
Each kernel reads every entry once (the softmax pair twice) and is bound by memory, or by one exp per entry.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .._kernel import Spec, kernel, like

Array = Any
Axes = tuple[int, ...]


@lru_cache(maxsize=4096)
def _reduced(shape: tuple[int, ...], axes: Axes, keepdims: bool) -> tuple[int, ...]:
    if keepdims:
        return tuple([1 if i in axes else n for i, n in enumerate(shape)])
    return tuple([n for i, n in enumerate(shape) if i not in axes])


@kernel("y")
def sum(x: Array, *, axes: Axes, keepdims: bool = False, divisor: int = 1) -> Spec:
    """The sum, accumulated in float64, divided by `divisor` (the number of entries, for a mean); 0 of no entries."""
    return Spec(_reduced(x.shape, axes, keepdims), x.dtype)


@kernel("y")
def max(x: Array, *, axes: Axes, keepdims: bool = False) -> Spec:
    """The largest entry; NaN if there is one."""
    return Spec(_reduced(x.shape, axes, keepdims), x.dtype)


@kernel("y")
def min(x: Array, *, axes: Axes, keepdims: bool = False) -> Spec:
    """The smallest entry; NaN if there is one."""
    return Spec(_reduced(x.shape, axes, keepdims), x.dtype)


@kernel("y")
def logsumexp(x: Array, *, axes: Axes, keepdims: bool = False) -> Spec:
    """log(sum(e**x)), shifted by the largest entry; -inf of no entries, or where every entry is -inf."""
    return Spec(_reduced(x.shape, axes, keepdims), x.dtype)


@kernel("y")
def argmax(x: Array, *, axis: int) -> Spec:
    """Index of the first largest entry along an axis >= 0, or of the first NaN.  -> int64, without the axis."""
    return Spec(_reduced(x.shape, (axis,), False), np.dtype(np.int64))


@kernel("y")
def softmax(x: Array, *, axis: int) -> Spec:
    """e**x / sum(e**x) along an axis >= 0.  x any shape -> y the same."""
    return like(x)


@kernel("y")
def log_softmax(x: Array, *, axis: int) -> Spec:
    """x - logsumexp(x) along an axis >= 0.  x any shape -> y the same."""
    return like(x)
