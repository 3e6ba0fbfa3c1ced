"""Launches of optim.cu; and what asks Python each time, `schedule` and `require_finite`.

A list of gradients is a table of addresses on the device, made when the launches are: a recorded step makes it once.
As on the CPU, blocks change in place; when a caller asks for new ones, the old are copied first.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.rows import THREADS, planned
from .._cuda.scratch import room
from .._cuda.source import Source
from .._devices import address, beside
from .._prepared import prepared
from ..reduce.cuda import sum as summed
from . import NotFinite

Array = Any

SOURCE = Source(__file__, "optim.cu", T=("float32", "float64"))
EACH = 4  # entries of a thread, as in optim.cu
FLOAT64 = np.dtype(np.float64)


def _table(arrays: list[Array]) -> tuple[Array, np.int64]:
    """Where each array lies and how many entries end with it (2, count), on the device, and the count."""
    made = np.array([*map(address, arrays), *accumulate([a.size for a in arrays])], np.int64)
    return beside(arrays[0]).asarray(made), np.int64(len(arrays))


def _entries(name: str, n: int, each: int, args: tuple[Any, ...], dtype: np.dtype) -> None:
    """A kernel whose threads have `each` of n entries."""
    launch(SOURCE, f"optim_{name}", (-(-n // (THREADS * each)),), (THREADS,), args, T=dtype)


@prepared
def advance(step: Array, next_step: Array) -> None:
    launch(SOURCE, "optim_advance", (1,), (1,), (step, next_step), T=FLOAT64)


@prepared
def gather(*arrays: Array) -> None:
    *parts, flat = arrays
    _entries("gather", flat.size, EACH, (flat, *_table(parts), np.int64(flat.size)), flat.dtype)


@prepared
def sum_squares(*arrays: Array) -> None:
    *gs, total = arrays
    plan = planned(1, sum(g.size for g in gs), split=True)
    partial = room(total, (1, plan.parts), np.float64)
    args = partial, *_table(gs), plan.shape
    launch(SOURCE, "optim_sum_squares", plan.grid, plan.block, args, T=gs[0].dtype)
    summed(partial, total, axes=(1,), keepdims=False, divisor=1)


@prepared
def clip_scale(*arrays: Array, max_norm: float) -> None:
    *squares, scale, norm = arrays
    args = *_table(squares), scale, norm, np.float64(max_norm)
    launch(SOURCE, "optim_clip_scale", (1,), (1,), args, T=FLOAT64)


@prepared
def scaled(x: Array, scale: Array, y: Array) -> None:
    _entries("scaled", x.size, 1, (x, scale, y, np.int64(x.size)), x.dtype)


# -- the updates ------------------------------------------------------------------------------------------------------


def _renew(*pairs: tuple[Array, Array]) -> None:
    """Copy each old block into the new one, unless it lies there already."""
    for old, new in pairs:
        if address(new) != address(old):
            gather(old, new)


def _update(
    rule: str, blocks: tuple[Array, ...], gs: list[Array], scale: Array, weight_decay: float,
    arrays: tuple[Array, ...], *numbers: float,
) -> None:  # fmt: skip
    """Launch a rule on the parameters and their buffers, with the arrays and numbers of its own."""
    p = blocks[0]
    given = *_table(gs), np.int64(p.size), scale, np.float64(weight_decay)
    _entries(rule, p.size, EACH, (*blocks, *arrays, *map(np.float64, numbers), *given), p.dtype)


@prepared
def sgd(*arrays: Array, momentum: float, nesterov: bool, weight_decay: float) -> None:
    p, momentum_buffer, scale, lr, *gs, new_p, new_momentum = arrays
    _renew((p, new_p), (momentum_buffer, new_momentum))
    if momentum:
        shares = (momentum, 1.0) if nesterov else (1.0, 0.0)
        _update("momentum", (new_p, new_momentum), gs, scale, weight_decay, (lr,), momentum, *shares)
    else:
        _update("sgd", (new_p,), gs, scale, weight_decay, (lr,))


@prepared
def adam(*arrays: Array, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool) -> None:
    p, m, v, scale, lr, step, *gs, new_p, new_m, new_v = arrays
    _renew((p, new_p), (m, new_m), (v, new_v))
    added, shrinking = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    _update("adam", (new_p, new_m, new_v), gs, scale, added, (lr, step), beta1, beta2, eps, shrinking)


@prepared
def adamax(*arrays: Array, beta1: float, beta2: float, eps: float, weight_decay: float) -> None:
    p, m, u, scale, lr, step, *gs, new_p, new_m, new_u = arrays
    _renew((p, new_p), (m, new_m), (u, new_u))
    _update("adamax", (new_p, new_m, new_u), gs, scale, weight_decay, (lr, step), beta1, beta2, eps)


@prepared
def rmsprop(*arrays: Array, alpha: float, eps: float, momentum: float, centered: bool, weight_decay: float) -> None:
    p, square, average, momentum_buffer, scale, lr, *gs, new_p, new_square, new_average, new_momentum = arrays
    _renew((p, new_p), (square, new_square), (average, new_average), (momentum_buffer, new_momentum))
    blocks = new_p, new_square, new_average, new_momentum
    _update("rmsprop", blocks, gs, scale, weight_decay, (lr,), alpha, eps, momentum, centered)


@prepared
def adadelta(*arrays: Array, rho: float, eps: float, weight_decay: float) -> None:
    p, square, delta, scale, lr, *gs, new_p, new_square, new_delta = arrays
    _renew((p, new_p), (square, new_square), (delta, new_delta))
    _update("adadelta", (new_p, new_square, new_delta), gs, scale, weight_decay, (lr,), rho, eps)


@prepared
def ema(average: Array, p: Array, new_average: Array, *, decay: float) -> None:
    _renew((average, new_average))
    _entries("ema", p.size, 1, (new_average, p, np.int64(p.size), np.float64(decay)), p.dtype)


# -- asked of Python at every launch, so never prepared: a replay calls them in their place of the list ---------------


def schedule(step: Array, lr: Array, *, function: Callable[[int], float]) -> None:
    lr.fill(function(int(step.item())))  # waits for what was launched before, and for no more than 8 bytes


def require_finite(loss: Array, norm: Array, *, of: str) -> None:
    if not np.isfinite(loss.item()) or not np.isfinite(norm.item()):
        raise NotFinite(of, float(loss.item()))
