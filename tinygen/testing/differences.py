"""Derivatives from values alone, with an estimate of their own error: what a gradient is held against.

Central differences at steps h, h/2, h/4, ... are extrapolated to h = 0 (Ridders, "Accurate computation of F'(x) and
F'(x)F''(x)", Advances in Engineering Software 4, 1982): the table's neighbours tell the error of truncation, the size
of the values that of rounding.  One-sided differences from the same values tell a kink, where both sides have a slope
and the slopes differ.  Where a function takes complex arrays and is analytic, Im f(x + ihu) / h has no cancellation
and is exact to rounding (Squire & Trapp, SIAM Review 40, 1998).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .functions import Function

LADDERS = (2.0**-8, 2.0**-14, 2.0**-20)  # first steps; a kink or the edge of the domain nearby asks for shorter ones
RUNGS = 6  # halvings at most
ENOUGH = 1e-9  # relative error at which no further step is taken
TRUST = 1e-5  # relative error beyond which a difference proves nothing
EPS = float(np.finfo(np.float64).eps)


class Slope(NamedTuple):
    """d/dh at h = 0 of each entry, and the estimated error; `smooth` is False at a kink or where nothing converged."""

    value: np.ndarray
    error: np.ndarray
    smooth: bool


class Line:
    """h -> f(x + h u), weighed by the cotangents vs: entries () with vs, all outputs joined (M,) without.

    directions: input number -> u; the other inputs stay.  Values are kept, so both kinds of difference share them.
    """

    def __init__(
        self,
        f: Function,
        arrays: Sequence[np.ndarray],
        directions: dict[int, np.ndarray],
        vs: Sequence[np.ndarray] | None,
    ):
        self.f, self.arrays, self.directions, self.vs = f, arrays, directions, vs
        self._values: dict[float, np.ndarray] = {}
        at = self.at(0.0)
        # what rounding errors are relative to
        self.size = np.abs(at) if vs is None else np.asarray(np.abs(at * joined(vs)).sum())

    def _moved(self, step: complex) -> list[np.ndarray]:
        return [
            np.asarray(a + step * self.directions[i]) if i in self.directions else a for i, a in enumerate(self.arrays)
        ]

    def at(self, h: float) -> np.ndarray:
        """All outputs at x + h u, joined."""
        if h not in self._values:
            with np.errstate(all="ignore"):  # outside the domain: seen as not finite, and a shorter step is taken
                self._values[h] = joined(self.f.value(self._moved(h)))
        return self._values[h]

    def difference(self, a: float, b: float) -> np.ndarray:
        """(f(b) - f(a)) / (b - a): differences first, weights after, so that less cancels."""
        with np.errstate(all="ignore"):
            slope = (self.at(b) - self.at(a)) / (b - a)
            return np.asarray(slope @ joined(self.vs)) if self.vs is not None else slope

    def complex_slope(self) -> np.ndarray | None:
        """Im f(x + ihu) / h; None where the function does not take complex arrays."""
        h = 1e-30
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("error")  # NumPy warns where an imaginary part is dropped
                slope = joined(self.f.value(self._moved(1j * h))).imag / h
        except Exception:  # whatever a function raises that was not written for complex numbers
            return None
        return np.asarray(slope @ joined(self.vs)) if self.vs is not None else slope


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All entries in one vector."""
    return np.concatenate([np.ravel(a) for a in arrays]) if arrays else np.zeros(0)


def slope(line: Line) -> Slope:
    """The derivative along a line: by central differences, or exactly where the function is analytic in NumPy."""
    for start in LADDERS:
        value, error, rungs = _extrapolated(lambda h: line.difference(-h, h), start, 4.0, line.size)
        scale = np.maximum(np.abs(value), np.abs(value).max(initial=0.0))
        known = TRUST * scale + 1e-8 + 100 * EPS * line.size / start  # a slope that vanishes is known to the latter two
        if not (np.isfinite(value).all() and (error <= known).all()):
            continue
        jump, jump_error = _jump(line, start, rungs)
        if not (jump <= known).all() and rungs < RUNGS:  # one-sided differences converge more slowly
            jump, jump_error = _jump(line, start, RUNGS)
        if (jump <= known).all():
            # a kink too small to tell from rounding is half its size wrong
            return _by_complex_step(line, Slope(value, error + jump / 2, True), known)
        if (jump > 8 * jump_error + known).any():
            break  # both sides have slopes, and not the same ones
    return Slope(np.zeros_like(line.size), np.full_like(line.size, np.inf), False)


def _jump(line: Line, start: float, rungs: int) -> tuple[np.ndarray, np.ndarray]:
    """By how much the slopes to the left and to the right differ, and the error of that; infinite if not finite."""
    right, right_error, _ = _extrapolated(lambda h: line.difference(0.0, h), start, 2.0, line.size, rungs)
    left, left_error, _ = _extrapolated(lambda h: line.difference(0.0, -h), start, 2.0, line.size, rungs)
    jump = np.abs(right - left)
    return np.where(np.isfinite(jump), jump, np.inf), right_error + left_error


def _by_complex_step(line: Line, found: Slope, known: np.ndarray) -> Slope:
    """The exact slope where the function takes complex arrays and agrees with the differences; else what was found."""
    exact = line.complex_slope() if line.f.library.complex_step else None
    if exact is None or not (np.abs(exact - found.value) <= 4 * found.error + known).all():
        return found
    return Slope(exact, 64 * EPS * (np.abs(exact) + line.size), True)


def _extrapolated(
    difference: Callable[[float], np.ndarray], start: float, power: float, size: np.ndarray, rungs: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """Ridders' table of difference(h), whose error is a series in h (power 2) or h^2 (power 4): value, error, rungs."""
    table: list[list[np.ndarray]] = []
    best, best_error = np.zeros_like(size), np.full_like(size, np.inf)
    for i in range(rungs or RUNGS):
        h = start / 2**i
        row = [difference(h)]
        rounding = 2 * EPS * size / h
        for j in range(i):
            factor = power ** (j + 1)
            row.append((factor * row[j] - table[-1][j]) / (factor - 1))
            error = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - table[-1][j])) + rounding
            better = error <= best_error
            best, best_error = np.where(better, row[-1], best), np.where(better, error, best_error)
        table.append(row)
        if i and not rungs and (best_error <= ENOUGH * np.abs(best).max(initial=0.0) + 4 * rounding).all():
            break
    return best, best_error, len(table)
