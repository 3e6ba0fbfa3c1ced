"""Axis arguments: from what users write to sorted numbers >= 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ArgumentError


def axis_number(op: str, axis: int, ndim: int) -> int:
    """An axis as a number >= 0.  Raises ArgumentError if there is no such axis."""
    if not isinstance(axis, int | np.integer) or isinstance(axis, bool):
        raise ArgumentError(f"{op}: axis is {axis!r}. Pass an int.")
    if not -ndim <= axis < ndim:
        there = f"Axes run from {-ndim} to {ndim - 1}." if ndim else "A scalar has no axes."
        raise ArgumentError(f"{op}: axis is {axis}, x has {ndim} axes. {there}")
    return int(axis) % ndim


def axis_numbers(op: str, axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes (None: all) as sorted numbers >= 0.  Raises ArgumentError for a missing or repeated axis."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, tuple | list):
        return (axis_number(op, axis, ndim),)  # type: ignore[arg-type]
    numbers = sorted([axis_number(op, a, ndim) for a in axis])
    if len(set(numbers)) < len(numbers):
        raise ArgumentError(f"{op}: axis is {axis}, which names an axis twice.")
    return tuple(numbers)
