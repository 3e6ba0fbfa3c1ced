"""Judging samples without a likelihood: modes found, and the distance of two clouds of points."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, NonFiniteError, ShapeError, check, shape_text

BLOCK = 1024  # rows of the distance matrix held at a time


class ModeCoverage(NamedTuple):
    """What `mode_coverage` found."""

    covered: int  # modes with at least one good sample
    good: float  # share of the samples that are good
    counts: np.ndarray  # (m,) good samples of each mode


def mode_coverage(samples: Any, modes: Any, std: float) -> ModeCoverage:
    """Modes that samples (n, d) reach, of known centres (m, d) with standard deviation std.

    A sample is good within 3 std of its nearest mode, and a mode is covered by one good sample (Srivastava et al.,
    "VEEGAN", 2017, section 4.1).  True samples in the plane are good with probability 1 - exp(-9/2) = 0.989.
    Raises ShapeError for other shapes and no samples, ArgumentError for std <= 0, NonFiniteError for NaN and infinity.
    """
    samples, modes = _pair("mode_coverage", samples, modes)
    check(std > 0, ArgumentError, f"mode_coverage: std is {std}; it must be positive.")
    distance = np.sqrt(_squared(samples, modes))
    nearest = distance.argmin(axis=1)
    good = distance[np.arange(len(samples)), nearest] <= 3 * std
    counts = np.bincount(nearest[good], minlength=len(modes))
    return ModeCoverage(int((counts > 0).sum()), float(good.mean()), counts)


def mmd(x: Any, y: Any, *, bandwidth: float) -> float:
    """Squared maximum mean discrepancy of x (n, d) and y (m, d), kernel exp(-|a - b|^2 / (2 bandwidth^2)).

    The unbiased estimate (Gretton et al., "A Kernel Two-Sample Test", 2012, equation 3): zero on average for equal
    distributions, so it may be slightly negative.
    Raises ShapeError for other shapes and fewer than 2 rows, ArgumentError for bandwidth <= 0, NonFiniteError for NaN.
    """
    x, y = _pair("mmd", x, y)
    check(min(len(x), len(y)) >= 2, ShapeError, f"mmd: x has {len(x)} rows and y {len(y)}; each needs at least 2.")
    check(bandwidth > 0, ArgumentError, f"mmd: bandwidth is {bandwidth}; it must be positive.")
    within = sum((_kernel_sum(a, a, bandwidth) - len(a)) / (len(a) * (len(a) - 1)) for a in (x, y))
    return float(within - 2 * _kernel_sum(x, y, bandwidth) / (len(x) * len(y)))


def _kernel_sum(a: np.ndarray, b: np.ndarray, bandwidth: float) -> float:
    blocks = (a[i : i + BLOCK] for i in range(0, len(a), BLOCK))
    return sum(float(np.exp(_squared(rows, b) / (-2 * bandwidth**2)).sum()) for rows in blocks)


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared distances; differences first, since |a|^2 - 2ab + |b|^2 cancels for close points."""
    total = np.zeros((len(a), len(b)))
    for i in range(a.shape[1]):
        total += (a[:, i, None] - b[None, :, i]) ** 2
    return total


def _pair(what: str, a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise ShapeError(
            f"{what}: {shape_text(a.shape)} and {shape_text(b.shape)} are not (n,d) and (m,d), n and m > 0."
        )
    for array in (a, b):
        if not np.isfinite(array).all():
            raise NonFiniteError(f"{what}: {int((~np.isfinite(array)).any(axis=1).sum())} rows are not finite.")
    return a, b
