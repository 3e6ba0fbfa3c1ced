"""Bounds on likelihoods."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...modes import no_grad
from ...random import Key
from .broken import LawBroken, float64


def elbo_is_a_bound(model: Any, x: Any, log_px: Any, *, draws: int = 200, key: Key) -> None:
    """The mean ELBO over draws stays below the exact log p(x) (N,), up to four standard errors (false alarm 3e-5)."""
    with no_grad():
        elbo = np.stack([model.elbo(x, key=key.fold_in(i)).data for i in range(draws)]).astype(np.float64)
    error = elbo.std(0, ddof=1) / np.sqrt(draws)
    excess = elbo.mean(0) - float64(log_px) - 4 * error
    if (excess > 0).any():
        raise LawBroken(f"bound: the ELBO exceeds log p(x) by {excess.max():.4g} nats beyond four standard errors.")


def iwae_rises_with_k(model: Any, x: Any, *, ks: tuple[int, ...] = (1, 5, 25), draws: int = 100, key: Key) -> None:
    """The mean importance-weighted bound does not fall as k grows, up to four standard errors of the difference."""
    with no_grad():
        bounds = [
            np.stack([model.iwae(x, k, key=key.fold_in(k).fold_in(i)).data for i in range(draws)]).mean(1) for k in ks
        ]
    for k, smaller, larger in zip(ks[1:], bounds, bounds[1:], strict=False):
        error = float(np.sqrt(smaller.var(ddof=1) / draws + larger.var(ddof=1) / draws))
        if larger.mean() < smaller.mean() - 4 * error:
            raise LawBroken(f"IWAE: the bound fell to {larger.mean():.4f} at k={k} from {smaller.mean():.4f}.")
