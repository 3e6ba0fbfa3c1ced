"""Optimizer updates through Numba: one vectorised loop over each chunk; bound by memory.

Scalars are worked out in float64, from arrays that a recorded step may change, and rounded once to the type of the
parameters, as PyTorch does.  The loops change their blocks in place; when a caller asks for new ones, the old are
copied first.  Where more than four arrays meet, the loop is split over the same chunk, because LLVM gives up on
showing that so many do not overlap.

Gradients come as a table of places in memory, for a tuple of arrays would be another type to Numba, and compile anew,
for every model.  A chunk that lies within one gradient is read there; one that meets several copies their parts, which
stays in the first- or second-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from .._math import dot
from .._numba import CHUNK, part
from .._prepared import prepared, unprepared
from .._units import chunked
from . import NotFinite

Array = Any

HEAD = object.__basicsize__  # an array object begins with its PyObject, and the pointer to its entries comes next


@intrinsic
def pointer(typing: Any, place: Any) -> Any:
    """An address as a pointer."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(place), emit


@part
def entries(gradients, i, n, dtype):
    """The n entries of gradient i."""
    where = carray(pointer(gradients[0, i] + HEAD), 1, np.int64)[0]
    return carray(pointer(where), n, dtype)


@part
def chunk_of(gradients, unit, dtype):
    """Entries [unit * CHUNK, (unit + 1) * CHUNK) of all gradients one after the other."""
    ends = gradients[1]
    start = unit * CHUNK
    stop = min(start + CHUNK, ends[-1])
    i = np.searchsorted(ends, start, side="right")
    first = ends[i - 1] if i else 0
    if stop <= ends[i]:
        return entries(gradients, i, ends[i] - first, dtype)[start - first : stop - first]
    copied, at = np.empty(stop - start, dtype), start
    while at < stop:
        part = entries(gradients, i, ends[i] - first, dtype)[at - first : stop - first]
        to = copied[at - start :]
        for j in range(part.size):
            to[j] = part[j]
        at += part.size
        first = ends[i]
        i += 1
    return copied


def table(gs: list[Array]) -> Array:
    """(2, n): where each array object is in memory, and how many entries end with it."""
    return np.array([*map(id, gs), *accumulate([g.size for g in gs])], np.int64).reshape(2, len(gs))


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


def sum_squares(*arrays: Array) -> None:
    *gs, total = arrays
    gradients = table(gs)
    size = int(gradients[1, -1])
    partial = np.empty(-(-size // CHUNK))
    _sum_squares(size, gs[0].reshape(-1), gradients, partial)
    total[0] = sum(partial.tolist())


@chunked
def _sum_squares(unit, typed, gradients, partial):
    part = chunk_of(gradients, unit, typed.dtype)
    partial[unit] = dot(part, part)


def clip_scale(*arrays: Array, max_norm: float) -> None:
    *squares, scale, norm = arrays
    norm[0] = np.sqrt(sum(float(s[0]) for s in squares))
    scale[0] = min(1.0, max_norm / (norm[0] + 1e-6)) if np.isfinite(norm[0]) else np.nan


def scaled(x: Array, scale: Array, y: Array) -> None:
    _scaled(x.size, x.reshape(-1), scale[0], y.reshape(-1))


@chunked
def _scaled(unit, x, scale, y):
    a, b = x[unit * CHUNK : (unit + 1) * CHUNK], y[unit * CHUNK : (unit + 1) * CHUNK]
    k = x.dtype.type(scale)
    for i in range(a.size):
        b[i] = a[i] * k


def prepare(*pairs: tuple[Array, Array]) -> None:
    """Copy each old block into the new one, unless it is the same."""
    for old, new in pairs:
        if new is not old:
            unprepared()
            new[...] = old


def update(rule: Callable[..., None], gs: list[Array], p: Array, *arguments: Any) -> None:
    """Apply the rule to every chunk of the block."""
    rule(p.size, p, table(gs), *arguments)


@prepared
def sgd(*arrays: Array, momentum: float, nesterov: bool, weight_decay: float) -> None:
    p, momentum_buffer, scale, lr, *gs, new_p, new_momentum = arrays
    prepare((p, new_p), (momentum_buffer, new_momentum))
    if momentum:
        update(_momentum, gs, new_p, new_momentum, scale, lr, momentum, nesterov, weight_decay)
    else:
        update(_descend, gs, new_p, scale, lr, weight_decay)


@chunked
def _descend(unit, p, gradients, scale, lr, weight_decay):
    x, d = p[unit * CHUNK : (unit + 1) * CHUNK], chunk_of(gradients, unit, p.dtype)
    t = p.dtype.type
    k, rate, decay = t(scale[0]), t(lr[0]), t(weight_decay)
    for i in range(x.size):
        x[i] -= rate * (d[i] * k + decay * x[i])


@chunked
def _momentum(unit, p, gradients, momentum_buffer, scale, lr, momentum, nesterov, weight_decay):
    a, b = unit * CHUNK, (unit + 1) * CHUNK
    x, buffer, d = p[a:b], momentum_buffer[a:b], chunk_of(gradients, unit, p.dtype)
    t = p.dtype.type
    k, rate, keep, decay = t(scale[0]), t(lr[0]), t(momentum), t(weight_decay)
    # the update is rate * (from_buffer * buffer + from_g * g)
    from_buffer, from_g = (keep, t(1)) if nesterov else (t(1), t(0))
    for i in range(x.size):
        v = d[i] * k + decay * x[i]
        w = keep * buffer[i] + v
        buffer[i] = w
        x[i] -= rate * (from_buffer * w + from_g * v)


@prepared
def adam(*arrays: Array, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool) -> None:
    p, m, v, scale, lr, step, *gs, new_p, new_m, new_v = arrays
    prepare((p, new_p), (m, new_m), (v, new_v))
    update(_adam, gs, new_p, new_m, new_v, scale, lr, step, weight_decay, decoupled, beta1, beta2, eps)


@chunked
def _adam(unit, p, gradients, m, v, scale, lr, step, weight_decay, decoupled, beta1, beta2, eps):
    shrink, decay = (1 - lr[0] * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    size, root = lr[0] / (1 - beta1 ** step[0]), np.sqrt(1 - beta2 ** step[0])
    a, b = unit * CHUNK, (unit + 1) * CHUNK
    x, first, second, d = p[a:b], m[a:b], v[a:b], chunk_of(gradients, unit, p.dtype)
    t = p.dtype.type
    k, step_size, inverse_root, keep, l2, small = t(scale[0]), t(size), t(1 / root), t(shrink), t(decay), t(eps)
    b1, b2, c1, c2 = t(beta1), t(beta2), t(1 - beta1), t(1 - beta2)
    for i in range(x.size):
        e = d[i] * k + l2 * x[i]
        f = b1 * first[i] + c1 * e
        s = b2 * second[i] + c2 * e * e
        first[i] = f
        second[i] = s
        x[i] = x[i] * keep - step_size * f / (np.sqrt(s) * inverse_root + small)


def adamax(*arrays: Array, beta1: float, beta2: float, eps: float, weight_decay: float) -> None:
    p, m, u, scale, lr, step, *gs, new_p, new_m, new_u = arrays
    prepare((p, new_p), (m, new_m), (u, new_u))
    size = lr[0] / (1 - beta1 ** int(step[0]))
    update(_adamax, gs, new_p, new_m, new_u, scale[0], size, weight_decay, beta1, beta2, eps)


@chunked
def _adamax(unit, p, gradients, m, u, scale, size, decay, beta1, beta2, eps):
    a, b = unit * CHUNK, (unit + 1) * CHUNK
    x, first, top, d = p[a:b], m[a:b], u[a:b], chunk_of(gradients, unit, p.dtype)
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


def rmsprop(*arrays: Array, alpha: float, eps: float, momentum: float, centered: bool, weight_decay: float) -> None:
    p, square, average, momentum_buffer, scale, lr, *gs, new_p, new_square, new_average, new_momentum = arrays
    prepare((p, new_p), (square, new_square), (average, new_average), (momentum_buffer, new_momentum))
    update(
        _rmsprop, gs, new_p, new_square, new_average, new_momentum,
        scale[0], lr[0], alpha, eps, momentum, centered, weight_decay,
    )  # fmt: skip


@chunked
def _rmsprop(unit, p, gradients, square, average, momentum_buffer, scale, lr, alpha, eps, momentum, centered, decay):
    a, b = unit * CHUNK, (unit + 1) * CHUNK
    x, sq, av, buffer, d = p[a:b], square[a:b], average[a:b], momentum_buffer[a:b], chunk_of(gradients, unit, p.dtype)
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


def adadelta(*arrays: Array, rho: float, eps: float, weight_decay: float) -> None:
    p, square, delta, scale, lr, *gs, new_p, new_square, new_delta = arrays
    prepare((p, new_p), (square, new_square), (delta, new_delta))
    update(_adadelta, gs, new_p, new_square, new_delta, scale[0], lr[0], rho, eps, weight_decay)


@chunked
def _adadelta(unit, p, gradients, square, delta, scale, lr, rho, eps, decay):
    a, b = unit * CHUNK, (unit + 1) * CHUNK
    x, sq, de, d = p[a:b], square[a:b], delta[a:b], chunk_of(gradients, unit, p.dtype)
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
    _ema(p.size, new_average, p, decay)


@chunked
def _ema(unit, average, p, decay):
    a, x = average[unit * CHUNK : (unit + 1) * CHUNK], p[unit * CHUNK : (unit + 1) * CHUNK]
    take = p.dtype.type(1 - decay)
    for i in range(x.size):
        a[i] += take * (x[i] - a[i])


def require_finite(loss: Array, norm: Array, *, of: str) -> None:
    if not np.isfinite(loss) or not np.isfinite(norm[0]):
        raise NotFinite(of, float(loss))
