"""Laws that models must obey, as checks that raise LawBroken with the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import grad, leaf
from ..errors import TinygenError
from ..modes import no_grad
from ..random import Key
from ..tensor import Tensor


class LawBroken(TinygenError, AssertionError):
    """A model does not obey a law."""


def _float64(x: Any) -> np.ndarray:
    return np.asarray(x.data if isinstance(x, Tensor) else x, np.float64)


def jacobian(f: Any, x: Any) -> np.ndarray:
    """The Jacobian of f: (N, ...) -> (N, D) at x, by one gradient per output: (N, D, D), exact for float64 models."""
    at = leaf(Tensor(_float64(x)))
    y = f(at)
    n, dims = y.shape
    rows = []
    for d in range(dims):
        g = np.zeros((n, dims))
        g[:, d] = 1
        rows.append(grad(y, at, g, retain_graph=True, allow_unused=True).data.reshape(n, -1))
    return np.stack(rows, axis=1)


def log_det_matches_jacobian(flow: Any, x: Any, *, tolerance: float = 1e-8) -> None:
    """The log_det that flow.forward(x) returns is log|det| of the Jacobian of z, example by example.

    flow: forward(x) -> (z (N, D), log_det (N,)), in float64.  That `inverse` undoes `forward` would not show it: both
    may be wrong by the same factor.
    """
    with no_grad():
        _, log_det = flow.forward(Tensor(_float64(x)))
    _, expected = np.linalg.slogdet(jacobian(lambda a: _flat(flow.forward(a)[0]), x))
    _compare("log_det against the Jacobian", log_det.data, expected, tolerance)


def inverse_undoes_forward(flow: Any, x: Any, *, tolerance: float = 1e-8) -> None:
    """inverse(forward(x)) is x, and the two log_dets cancel."""
    with no_grad():
        z, forward = flow.forward(Tensor(_float64(x)))
        back, inverse = flow.inverse(z)
    _compare("inverse(forward(x)) against x", back.data, _float64(x), tolerance)
    _compare("log_det of inverse against minus that of forward", inverse.data, -forward.data, tolerance)


def causal(logits: Any, x: Any, *, seed: int = 0, pixels: int = 6) -> None:
    """logits(x), x (N, H, W, C) -> (N, H, W, C, ...), at an entry ignores that entry and all later ones, bit for bit.

    The order is raster order, colour by colour.  Later entries are replaced by other values and by NaN.
    """
    x = x.data if isinstance(x, Tensor) else np.asarray(x)
    _, height, width, colors = x.shape
    generator = np.random.Generator(np.random.Philox(seed))
    with no_grad():
        before = logits(Tensor(x)).data
        flat = before.reshape(len(x), height * width * colors, -1)
        for position in generator.choice(height * width * colors, min(pixels, height * width * colors), replace=False):
            for poison in (generator.standard_normal(), np.nan):
                changed = x.copy().reshape(len(x), -1)
                changed[:, position:] = poison
                after = logits(Tensor(changed.reshape(x.shape))).data.reshape(flat.shape)
                if not np.array_equal(after[:, : position + 1], flat[:, : position + 1]):
                    i, j, c = np.unravel_index(position, (height, width, colors))
                    raise LawBroken(
                        f"causality: changing pixel ({i},{j}) colour {c} and later ones changed outputs before it."
                    )


def density_integrates_to_one(
    log_prob: Any, *, low: float = -8.0, high: float = 8.0, points: int = 400, tolerance: float = 1e-3
) -> None:
    """A density on the plane, summed over a grid on [low, high]^2, is one.  log_prob: (N, 2) -> (N,)."""
    axis = np.linspace(low, high, points)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    with no_grad():
        total = float(np.exp(log_prob(Tensor(grid)).data).sum()) * (axis[1] - axis[0]) ** 2
    if abs(total - 1) > tolerance:
        raise LawBroken(f"normalisation: the density integrates to {total:.6f}.")


def elbo_is_a_bound(model: Any, x: Any, log_px: Any, *, draws: int = 200, key: Key) -> None:
    """The mean ELBO over draws stays below the exact log p(x) (N,), up to four standard errors (false alarm 3e-5)."""
    with no_grad():
        elbo = np.stack([model.elbo(x, key=key.fold_in(i)).data for i in range(draws)]).astype(np.float64)
    error = elbo.std(0, ddof=1) / np.sqrt(draws)
    excess = elbo.mean(0) - _float64(log_px) - 4 * error
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


def _flat(z: Tensor) -> Any:
    return z.reshape(len(z), -1)


def _compare(law: str, got: Any, expected: Any, tolerance: float) -> None:
    worst = float(np.abs(got - expected).max(initial=0.0)) / max(1.0, float(np.abs(expected).max(initial=0.0)))
    if not worst <= tolerance:
        raise LawBroken(f"{law}: off by {worst:.3g} (relative), tolerance {tolerance:.1g}.")
