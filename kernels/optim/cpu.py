"""Optimizer updates through Numba: one vectorised loop over each chunk; bound by memory.

Scalars are worked out in float64 once per launch and rounded to the parameters' type once, as PyTorch does.  The loops
change their blocks in place; when a caller asks for new ones, the old are copied first.  Where more than four arrays
meet, the loop is split over the same chunk, because LLVM gives up on showing that so many do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._math import dot
from .._numba import CHUNK, chunks, pjit, prange

Array = Any


def advance(step: Array, next_step: Array) -> None:
    next_step[0] = step[0] + 1


def schedule(step: Array, lr: Array, *, function: Callable[[int], float]) -> None:
    lr[0] = function(int(step[0]))


def gather(*arrays: Array) -> None:
    *parts, flat = arrays
    start = 0
    for a in parts:
        flat[start : start + a.size] = a.reshape(-1)
        start += a.size


def sum_squares(g: Array, total: Array) -> None:
    partial = np.empty(-(-g.size // CHUNK))
    _sum_squares(g.reshape(-1), partial)
    total[0] = sum(partial.tolist())


@pjit
def _sum_squares(g, partial):
    for c in prange(chunks(g.size)):
        part = g[c * CHUNK : (c + 1) * CHUNK]
        partial[c] = dot(part, part)


def clip_scale(*arrays: Array, max_norm: float) -> None:
    *squares, scale, norm = arrays
    norm[0] = np.sqrt(sum(float(s[0]) for s in squares))
    scale[0] = min(1.0, max_norm / (norm[0] + 1e-6)) if np.isfinite(norm[0]) else np.nan


def scaled(x: Array, scale: Array, y: Array) -> None:
    _scaled(x.reshape(-1), scale[0], y.reshape(-1))


@pjit
def _scaled(x, scale, y):
    for c in prange(chunks(x.size)):
        a, b = x[c * CHUNK : (c + 1) * CHUNK], y[c * CHUNK : (c + 1) * CHUNK]
        k = x.dtype.type(scale)
        for i in range(a.size):
            b[i] = a[i] * k


def prepare(*pairs: tuple[Array, Array]) -> None:
    """Copy each old block into the new one, unless it is the same."""
    for old, new in pairs:
        if new is not old:
            new[...] = old


def sgd(
    p: Array, momentum_buffer: Array, g: Array, scale: Array, lr: Array, new_p: Array, new_momentum: Array,
    *, momentum: float, nesterov: bool, weight_decay: float,
) -> None:  # fmt: skip
    prepare((p, new_p), (momentum_buffer, new_momentum))
    if momentum:
        _momentum(new_p, new_momentum, g, scale[0], lr[0], momentum, nesterov, weight_decay)
    else:
        _descend(new_p, g, scale[0], lr[0], weight_decay)


@pjit
def _descend(p, g, scale, lr, weight_decay):
    for c in prange(chunks(p.size)):
        x, d = p[c * CHUNK : (c + 1) * CHUNK], g[c * CHUNK : (c + 1) * CHUNK]
        t = p.dtype.type
        k, rate, decay = t(scale), t(lr), t(weight_decay)
        for i in range(x.size):
            x[i] -= rate * (d[i] * k + decay * x[i])


@pjit
def _momentum(p, momentum_buffer, g, scale, lr, momentum, nesterov, weight_decay):
    for c in prange(chunks(p.size)):
        a, b = c * CHUNK, (c + 1) * CHUNK
        x, buffer, d = p[a:b], momentum_buffer[a:b], g[a:b]
        t = p.dtype.type
        k, rate, keep, decay = t(scale), t(lr), t(momentum), t(weight_decay)
        # the update is rate * (from_buffer * buffer + from_g * g)
        from_buffer, from_g = (keep, t(1)) if nesterov else (t(1), t(0))
        for i in range(x.size):
            v = d[i] * k + decay * x[i]
            w = keep * buffer[i] + v
            buffer[i] = w
            x[i] -= rate * (from_buffer * w + from_g * v)


def adam(
    p: Array, m: Array, v: Array, g: Array, scale: Array, lr: Array, step: Array,
    new_p: Array, new_m: Array, new_v: Array,
    *, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool,
) -> None:  # fmt: skip
    prepare((p, new_p), (m, new_m), (v, new_v))
    shrink, decay = (1 - lr[0] * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    count = int(step[0])
    size, root = lr[0] / (1 - beta1**count), (1 - beta2**count) ** 0.5
    _adam(new_p, new_m, new_v, g, scale[0], size, root, shrink, decay, beta1, beta2, eps)


@pjit
def _adam(p, m, v, g, scale, size, root, shrink, decay, beta1, beta2, eps):
    for c in prange(chunks(p.size)):
        a, b = c * CHUNK, (c + 1) * CHUNK
        x, first, second, d = p[a:b], m[a:b], v[a:b], g[a:b]
        t = p.dtype.type
        k, step_size, inverse_root, keep, l2, small = t(scale), t(size), t(1 / root), t(shrink), t(decay), t(eps)
        b1, b2, c1, c2 = t(beta1), t(beta2), t(1 - beta1), t(1 - beta2)
        for i in range(x.size):
            e = d[i] * k + l2 * x[i]
            f = b1 * first[i] + c1 * e
            s = b2 * second[i] + c2 * e * e
            first[i] = f
            second[i] = s
            x[i] = x[i] * keep - step_size * f / (np.sqrt(s) * inverse_root + small)


def adamax(
    p: Array, m: Array, u: Array, g: Array, scale: Array, lr: Array, step: Array,
    new_p: Array, new_m: Array, new_u: Array,
    *, beta1: float, beta2: float, eps: float, weight_decay: float,
) -> None:  # fmt: skip
    prepare((p, new_p), (m, new_m), (u, new_u))
    size = lr[0] / (1 - beta1 ** int(step[0]))
    _adamax(new_p, new_m, new_u, g, scale[0], size, weight_decay, beta1, beta2, eps)


@pjit
def _adamax(p, m, u, g, scale, size, decay, beta1, beta2, eps):
    for c in prange(chunks(p.size)):
        a, b = c * CHUNK, (c + 1) * CHUNK
        x, first, top, d = p[a:b], m[a:b], u[a:b], g[a:b]
        t = p.dtype.type
        k, step_size, l2, small = t(scale), t(size), t(decay), t(eps)
        b1, b2, c1 = t(beta1), t(beta2), t(1 - beta1)
        for i in range(x.size):
            e = d[i] * k + l2 * x[i]
            f = b1 * first[i] + c1 * e
            old, new = b2 * top[i], abs(e) + small
            h = old if old > new else new  # a NaN in the gradient stays
            first[i] = f
            top[i] = h
            x[i] -= step_size * f / h


def rmsprop(
    p: Array, square: Array, average: Array, momentum_buffer: Array, g: Array, scale: Array, lr: Array,
    new_p: Array, new_square: Array, new_average: Array, new_momentum: Array,
    *, alpha: float, eps: float, momentum: float, centered: bool, weight_decay: float,
) -> None:  # fmt: skip
    prepare((p, new_p), (square, new_square), (average, new_average), (momentum_buffer, new_momentum))
    _rmsprop(
        new_p, new_square, new_average, new_momentum, g, scale[0], lr[0], alpha, eps, momentum, centered, weight_decay
    )


@pjit
def _rmsprop(p, square, average, momentum_buffer, g, scale, lr, alpha, eps, momentum, centered, decay):
    for c in prange(chunks(p.size)):
        a, b = c * CHUNK, (c + 1) * CHUNK
        x, sq, av, buffer, d = p[a:b], square[a:b], average[a:b], momentum_buffer[a:b], g[a:b]
        t = p.dtype.type
        k, rate, l2, small = t(scale), t(lr), t(decay), t(eps)
        keep, take, carry = t(alpha), t(1 - alpha), t(momentum)
        move = np.empty(x.size, p.dtype)
        for i in range(x.size):
            e = d[i] * k + l2 * x[i]
            sq[i] = keep * sq[i] + take * e * e
            move[i] = e
        if centered:
            for i in range(x.size):
                av[i] = keep * av[i] + take * move[i]
                move[i] /= np.sqrt(sq[i] - av[i] * av[i]) + small
        else:
            for i in range(x.size):
                move[i] /= np.sqrt(sq[i]) + small
        if carry > 0:
            for i in range(x.size):
                buffer[i] = carry * buffer[i] + move[i]
                x[i] -= rate * buffer[i]
        else:
            for i in range(x.size):
                x[i] -= rate * move[i]


def adadelta(
    p: Array, square: Array, delta: Array, g: Array, scale: Array, lr: Array,
    new_p: Array, new_square: Array, new_delta: Array,
    *, rho: float, eps: float, weight_decay: float,
) -> None:  # fmt: skip
    prepare((p, new_p), (square, new_square), (delta, new_delta))
    _adadelta(new_p, new_square, new_delta, g, scale[0], lr[0], rho, eps, weight_decay)


@pjit
def _adadelta(p, square, delta, g, scale, lr, rho, eps, decay):
    for c in prange(chunks(p.size)):
        a, b = c * CHUNK, (c + 1) * CHUNK
        x, sq, de, d = p[a:b], square[a:b], delta[a:b], g[a:b]
        t = p.dtype.type
        k, rate, l2, small, keep, take = t(scale), t(lr), t(decay), t(eps), t(rho), t(1 - rho)
        for i in range(x.size):
            e = d[i] * k + l2 * x[i]
            s = keep * sq[i] + take * e * e
            move = np.sqrt(de[i] + small) / np.sqrt(s + small) * e
            sq[i] = s
            de[i] = keep * de[i] + take * move * move
            x[i] -= rate * move


def ema(average: Array, p: Array, new_average: Array, *, decay: float) -> None:
    prepare((average, new_average))
    _ema(new_average, p, decay)


@pjit
def _ema(average, p, decay):
    for c in prange(chunks(p.size)):
        a, x = average[c * CHUNK : (c + 1) * CHUNK], p[c * CHUNK : (c + 1) * CHUNK]
        take = p.dtype.type(1 - decay)
        for i in range(x.size):
            a[i] += take * (x[i] - a[i])
