"""The specification of the optimizer updates in NumPy.  Outputs may be the inputs themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any


def advance(step: Array, next_step: Array) -> None:
    next_step[:] = step + 1


def schedule(step: Array, lr: Array, *, function: Callable[[int], float]) -> None:
    lr[0] = function(int(step[0]))


def gather(*arrays: Array) -> None:
    *parts, flat = arrays
    flat[:] = np.concatenate([a.reshape(-1) for a in parts])


def sum_squares(g: Array, total: Array) -> None:
    total[0] = np.sum(g.astype(np.float64) ** 2)


def clip_scale(*arrays: Array, max_norm: float) -> None:
    *squares, scale, norm = arrays
    norm[0] = np.sqrt(sum(s[0] for s in squares))
    scale[0] = min(1.0, max_norm / (norm[0] + 1e-6)) if np.isfinite(norm[0]) else np.nan


def scaled(x: Array, scale: Array, y: Array) -> None:
    y[...] = x * x.dtype.type(scale[0])


def sgd(
    p: Array, momentum_buffer: Array, g: Array, scale: Array, lr: Array, new_p: Array, new_momentum: Array,
    *, momentum: float, nesterov: bool, weight_decay: float,
) -> None:  # fmt: skip
    g = g * scale[0] + weight_decay * p
    if momentum:
        new_momentum[:] = momentum * momentum_buffer + g
        g = g + momentum * new_momentum if nesterov else new_momentum
    new_p[:] = p - lr[0] * g


def adam(
    p: Array, m: Array, v: Array, g: Array, scale: Array, lr: Array, step: Array,
    new_p: Array, new_m: Array, new_v: Array,
    *, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool,
) -> None:  # fmt: skip
    g = g * scale[0]
    if decoupled:
        p = p * (1 - lr[0] * weight_decay)
    else:
        g = g + weight_decay * p
    new_m[:] = beta1 * m + (1 - beta1) * g
    new_v[:] = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = new_m / (1 - beta1 ** int(step[0])), new_v / (1 - beta2 ** int(step[0]))
    new_p[:] = p - lr[0] * m_hat / (np.sqrt(v_hat) + eps)


def adamax(
    p: Array, m: Array, u: Array, g: Array, scale: Array, lr: Array, step: Array,
    new_p: Array, new_m: Array, new_u: Array,
    *, beta1: float, beta2: float, eps: float, weight_decay: float,
) -> None:  # fmt: skip
    g = g * scale[0] + weight_decay * p
    new_m[:] = beta1 * m + (1 - beta1) * g
    new_u[:] = np.maximum(beta2 * u, np.abs(g) + eps)
    new_p[:] = p - lr[0] / (1 - beta1 ** int(step[0])) * new_m / new_u


def rmsprop(
    p: Array, square: Array, average: Array, momentum_buffer: Array, g: Array, scale: Array, lr: Array,
    new_p: Array, new_square: Array, new_average: Array, new_momentum: Array,
    *, alpha: float, eps: float, momentum: float, centered: bool, weight_decay: float,
) -> None:  # fmt: skip
    g = g * scale[0] + weight_decay * p
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


def adadelta(
    p: Array, square: Array, delta: Array, g: Array, scale: Array, lr: Array,
    new_p: Array, new_square: Array, new_delta: Array,
    *, rho: float, eps: float, weight_decay: float,
) -> None:  # fmt: skip
    g = g * scale[0] + weight_decay * p
    new_square[:] = rho * square + (1 - rho) * g**2
    d = np.sqrt(delta + eps) / np.sqrt(new_square + eps) * g
    new_delta[:] = rho * delta + (1 - rho) * d**2
    new_p[:] = p - lr[0] * d


def ema(average: Array, p: Array, new_average: Array, *, decay: float) -> None:
    new_average[:] = average + (1 - decay) * (p - average)
