"""Probabilities that sum to one, densities that integrate to one, divergences that are what their samples say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...distributions import kl
from ...modes import no_grad
from ...random import Key
from ...tensor import Tensor
from .broken import LawBroken, float64
from .samples import ALARM, errors_allowed


def probabilities_sum_to_one(log_prob: Callable[[Any], Tensor], outcomes: Any, *, tolerance: float = 1e-9) -> None:
    """exp(log_prob) over all outcomes (N, ...) is one.  log_prob: outcomes -> (N,) in float64."""
    with no_grad():
        total = float(np.exp(float64(log_prob(outcomes))).sum())
    if not abs(total - 1) <= tolerance:
        raise LawBroken(f"normalisation: the probabilities of {len(outcomes)} outcomes sum to {total:.10g}.")


def density_integrates_to_one(
    log_prob: Callable[[Tensor], Tensor],
    *,
    dims: int = 2,
    low: float = -8.0,
    high: float = 8.0,
    points: int = 400,
    tolerance: float = 1e-3,
) -> None:
    """A density on the line or in the plane, summed over a grid on [low, high]^dims, is one.

    log_prob: (N, dims) -> (N,).  What lies outside the grid is missing from the sum: choose it wide enough.
    """
    axis = np.linspace(low, high, points)
    grid = np.stack(np.meshgrid(*[axis] * dims), -1).reshape(-1, dims)
    with no_grad():
        total = float(np.exp(float64(log_prob(Tensor(grid)))).sum()) * (axis[1] - axis[0]) ** dims
    if not abs(total - 1) <= tolerance:
        raise LawBroken(f"normalisation: the density integrates to {total:.6f}.")


def divergence_matches_samples(
    p: Any,
    q: Any,
    divergence: Callable[[Any, Any], Tensor] = kl,
    *,
    key: Key,
    draws: int = 100_000,
    alarm: float = ALARM,
) -> None:
    """KL(p, q) is not negative, zero between equals, and the mean of log p(x) - log q(x) over samples x of p.

    p and q: distributions with sample((n,), key=) and log_prob(x).  False alarms: `alarm`, over all entries together.
    """
    with no_grad():
        exact, none = float64(divergence(p, q)), float64(divergence(p, p))
        x = p.sample((draws,), key=key)
        ratios = float64(p.log_prob(x)) - float64(q.log_prob(x))
    if not np.abs(none).max(initial=0.0) <= 1e-6:
        raise LawBroken(f"divergence: KL(p, p) is {np.abs(none).max():.4g}, not 0.")
    if not (exact >= -1e-6).all():
        raise LawBroken(f"divergence: KL(p, q) is {exact.min():.4g}, less than 0.")
    error = ratios.std(0, ddof=1) / np.sqrt(draws)
    beyond = np.abs(ratios.mean(0) - exact) - errors_allowed(alarm, exact.size) * error
    if not (beyond <= 1e-6 * np.maximum(1, np.abs(exact))).all():
        at = int(np.argmax(beyond))
        raise LawBroken(
            f"divergence: KL(p, q) is {exact.ravel()[at]:.6g}, {draws} samples say {ratios.mean(0).ravel()[at]:.6g} "
            f"± {error.ravel()[at]:.1g} (false alarms {alarm:.0e})."
        )
