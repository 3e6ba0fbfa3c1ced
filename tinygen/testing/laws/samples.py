"""Draws against the distribution they are said to come from, with a stated rate of false alarms.

With fixed keys these checks never flicker: the rate is the probability that a right sampler would have been refused
for the key that somebody happened to choose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .broken import LawBroken, float64

ALARM = 1e-6


def errors_allowed(alarm: float, numbers: int) -> float:
    """How many standard errors the worst of several normal numbers may be off (Bonferroni's bound): 4.9 for one."""
    from scipy import stats

    return float(stats.norm.isf(alarm / 2 / max(numbers, 1)))


def moments(samples: Any, mean: Any, variance: Any, *, alarm: float = ALARM) -> None:
    """Samples (N, ...) have that mean and variance (...), each within what N independent draws allow."""
    x, mean, variance = float64(samples), float64(mean), float64(variance)
    squares = (x - mean) ** 2
    for name, drawn, exact in (("mean", x, mean), ("variance", squares, variance)):
        error = drawn.std(0, ddof=1) / np.sqrt(len(x))
        off = np.abs(drawn.mean(0) - exact) - errors_allowed(alarm / 2, exact.size) * error
        if not (off <= 1e-9 * (1 + np.abs(exact))).all():
            at = int(np.argmax(off))
            raise LawBroken(
                f"moments: the {name} of {len(x)} samples is {drawn.mean(0).ravel()[at]:.6g} "
                f"± {np.ravel(error)[at]:.1g}, not {np.broadcast_to(exact, off.shape).ravel()[at]:.6g} "
                f"(entry {at}; false alarms {alarm:.0e})."
            )


def follows(samples: Any, cdf: Callable[[np.ndarray], np.ndarray], *, alarm: float = ALARM) -> None:
    """Real samples (any shape, independent) follow a continuous distribution (Kolmogorov-Smirnov)."""
    from scipy import stats

    found = stats.kstest(float64(samples).ravel(), cdf)
    if not found.pvalue > alarm:
        raise LawBroken(
            f"distribution: the samples' cdf is off by {found.statistic:.3g} at {found.statistic_location:.4g}; "
            f"by chance with probability {found.pvalue:.1g} (false alarms {alarm:.0e})."
        )


def frequencies(counts: Any, probabilities: Any, *, alarm: float = ALARM) -> None:
    """How often each outcome was drawn fits the probabilities (chi-square); the impossible was never drawn.

    counts and probabilities: one entry for each outcome.  Outcomes expected fewer than five times are joined.
    """
    from scipy import stats

    counts, expected = float64(counts).ravel(), float64(probabilities).ravel() * float64(counts).sum()
    if counts[expected == 0].any():
        raise LawBroken(f"frequencies: outcome {int(np.argmax(counts * (expected == 0)))} is impossible and was drawn.")
    rare = expected < 5
    seen, mean = (np.append(a[~rare], a[rare].sum()) if rare.any() else a for a in (counts, expected))
    seen, mean = seen[mean > 0], mean[mean > 0]
    if not np.isclose(mean.sum(), seen.sum(), rtol=1e-6):
        raise LawBroken(f"frequencies: the probabilities sum to {mean.sum() / seen.sum():.6g}.")
    statistic = float(((seen - mean) ** 2 / mean).sum())
    chance = float(stats.chi2.sf(statistic, len(seen) - 1)) if len(seen) > 1 else 1.0
    if not chance > alarm:
        worst = int(np.argmax(np.abs(counts - expected) / np.sqrt(np.maximum(expected, 1))))
        raise LawBroken(
            f"frequencies: outcome {worst} was drawn {counts[worst]:.0f} times, expected {expected[worst]:.1f}; "
            f"by chance with probability {chance:.1g} (false alarms {alarm:.0e})."
        )


def uncorrelated(a: Any, b: Any, *, alarm: float = ALARM) -> None:
    """Two sequences of independent draws, and their squares, are uncorrelated."""
    from scipy import stats

    a, b = float64(a).ravel(), float64(b).ravel()
    for name, one, two in (("values", a, b), ("squares", a * a, b * b)):
        found = stats.pearsonr(one, two)
        if not found.pvalue > alarm / 2:
            raise LawBroken(f"correlation: that of the {name} is {found.statistic:.4g} (false alarms {alarm:.0e}).")
