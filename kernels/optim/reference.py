"""The specification of the optimizer updates in NumPy.  Outputs may be the inputs themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import NotFinite

Array = Any


def advance(step: Array, next_step: Array) -> None:
    next_step[:] = step + 1


def schedule(step: Array, lr: Array, *, function: Callable[[int], float]) -> None:
    lr[0] = function(int(step[0]))


def gather(*arrays: Array) -> None:
    *parts, flat = arrays
    flat[:] = np.concatenate([a.reshape(-1) for a in parts])


def joined(gs: list[Array]) -> Array:
    """The entries of all gradients one after the other."""
    return np.concatenate([g.reshape(-1) for g in gs])


def sum_squares(*arrays: Array) -> None:
    *gs, total = arrays
    total[0] = np.sum(joined(gs).astype(np.float64) ** 2)


def clip_scale(*arrays: Array, max_norm: float) -> None:
    *squares, scale, norm = arrays
    norm[0] = np.sqrt(sum(s[0] for s in squares))
    scale[0] = min(1.0, max_norm / (norm[0] + 1e-6)) if np.isfinite(norm[0]) else np.nan


def scaled(x: Array, scale: Array, y: Array) -> None:
    y[...] = x * x.dtype.type(scale[0])


def sgd(*arrays: Array, momentum: float, nesterov: bool, weight_decay: float) -> None:
    p, momentum_buffer, scale, lr, *gs, new_p, new_momentum = arrays
    g = joined(gs) * scale[0] + weight_decay * p
    if momentum:
        new_momentum[:] = momentum * momentum_buffer + g
        g = g + momentum * new_momentum if nesterov else new_momentum
    new_p[:] = p - lr[0] * g


def adam(*arrays: Array, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool) -> None:
    p, m, v, scale, lr, step, *gs, new_p, new_m, new_v = arrays
    g = joined(gs) * scale[0]
    if decoupled:
        p = p * (1 - lr[0] * weight_decay)
    else:
        g = g + weight_decay * p
    new_m[:] = beta1 * m + (1 - beta1) * g
    new_v[:] = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = new_m / (1 - beta1 ** int(step[0])), new_v / (1 - beta2 ** int(step[0]))
    new_p[:] = p - lr[0] * m_hat / (np.sqrt(v_hat) + eps)


def adamax(*arrays: Array, beta1: float, beta2: float, eps: float, weight_decay: float) -> None:
    p, m, u, scale, lr, step, *gs, new_p, new_m, new_u = arrays
    g = joined(gs) * scale[0] + weight_decay * p
    new_m[:] = beta1 * m + (1 - beta1) * g
    new_u[:] = np.maximum(beta2 * u, np.abs(g) + eps)
    new_p[:] = p - lr[0] / (1 - beta1 ** int(step[0])) * new_m / new_u


def rmsprop(*arrays: Array, alpha: float, eps: float, momentum: float, centered: bool, weight_decay: float) -> None:
    p, square, average, momentum_buffer, scale, lr, *gs, new_p, new_square, new_average, new_momentum = arrays
    g = joined(gs) * scale[0] + weight_decay * p
    new_square[:] = alpha * square + (1 - alpha) * g**2
    spread = new_square
    if centered:
        new_average[:] = alpha * average + (1 - alpha) * g
        spread = new_square - new_average**2
    d = g / (np.sqrt(spread) + eps)
    if momentum:
        new_momentum[:] = momentum * momentum_buffer + d
        d = new_momentum
    new_p[:] = p - lr[0] * d


def adadelta(*arrays: Array, rho: float, eps: float, weight_decay: float) -> None:
    p, square, delta, scale, lr, *gs, new_p, new_square, new_delta = arrays
    g = joined(gs) * scale[0] + weight_decay * p
    new_square[:] = rho * square + (1 - rho) * g**2
    d = np.sqrt(delta + eps) / np.sqrt(new_square + eps) * g
    new_delta[:] = rho * delta + (1 - rho) * d**2
    new_p[:] = p - lr[0] * d


def ema(average: Array, p: Array, new_average: Array, *, decay: float) -> None:
    new_average[:] = average + (1 - decay) * (p - average)


def require_finite(loss: Array, norm: Array, *, of: str) -> None:
    if not np.isfinite(loss) or not np.isfinite(norm[0]):
        raise NotFinite(of, float(loss))
