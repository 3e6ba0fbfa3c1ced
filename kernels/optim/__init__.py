"""Optimizer updates, in place over flat blocks of parameters, in one launch and one pass over memory each.

A kernel takes the block it changes first and again in `out=`; its buffers start at zero.  The gradients `gs` are any
number of arrays, one for each parameter in the order of the block: they are read where they lie.  g below is all of
them one after the other, multiplied by `scale` (1,) on the way, which is how clipping costs no pass of its own.  The
learning rate `lr` (float64) and the number of this update `step` (int64, from 1) are arrays of shape (1,): a recorded
step reads what they hold at the time.  Formulas and defaults are PyTorch's; `weight_decay` adds weight_decay * p to g.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._kernel import Spec, kernel, like

Array = Any

_ONE = Spec((1,), np.dtype(np.float64))


def _like_block(name: str, p: Array, *buffers: Array, gs: tuple[Array, ...]) -> tuple[Spec, ...]:
    """What an update returns.  Raises ValueError where entries would be read or written that are not there."""
    shapes = [p.shape, *[b.shape for b in buffers if b.size]]
    if p.ndim != 1 or set(shapes) != {p.shape} or sum(g.size for g in gs) != p.size:
        raise ValueError(
            f"optim.{name}: a flat block, buffers of its shape or empty, and gradients of as many entries are wanted; "
            f"the block and its buffers are {shapes}, the gradients {[g.shape for g in gs]}."
        )
    return like(p), *map(like, buffers)


@kernel("next_step")
def advance(step: Array) -> Spec:
    """step + 1."""
    return like(step)


@kernel("lr")
def schedule(step: Array, *, function: Callable[[int], float]) -> Spec:
    """function(step), called on the host at every launch."""
    return _ONE


@kernel("flat")
def gather(*arrays: Array) -> Spec:
    """The entries of all arrays one after the other."""
    return Spec((sum(a.size for a in arrays),), arrays[0].dtype)


@kernel("total")
def sum_squares(*gs: Array) -> Spec:
    """Sum of g**2 in float64, over fixed chunks in order.  Arrays of any shapes and one type -> (1,)."""
    return _ONE


@kernel("scale", "norm")
def clip_scale(*squares: Array, max_norm: float) -> tuple[Spec, Spec]:
    """norm = square root of the sum of `squares` (each (1,)), scale = min(1, max_norm / (norm + 1e-6)).

    A norm that is not finite gives the scale NaN: an update with it shows at once instead of vanishing.
    """
    return _ONE, _ONE


@kernel("y")
def scaled(x: Array, scale: Array) -> Spec:
    """x * scale, scale (1,)."""
    return like(x)


@kernel("new_p", "new_momentum")
def sgd(
    p: Array, momentum_buffer: Array, scale: Array, lr: Array, *gs: Array,
    momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0,
) -> tuple[Spec, ...]:  # fmt: skip
    """buffer = momentum * buffer + g; p -= lr * (buffer, or g + momentum * buffer if nesterov).

    Without momentum the buffer is not touched and may be empty.
    """
    return _like_block("sgd", p, momentum_buffer, gs=gs)


@kernel("new_p", "new_m", "new_v")
def adam(
    p: Array, m: Array, v: Array, scale: Array, lr: Array, step: Array, *gs: Array,
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
) -> tuple[Spec, ...]:  # fmt: skip
    """Adam (Kingma and Ba 2015, algorithm 1); `decoupled`: p *= 1 - lr * weight_decay, AdamW.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g**2;
    p -= lr / (1 - beta1**step) * m / (sqrt(v / (1 - beta2**step)) + eps).  28 bytes a parameter in float32.
    """
    return _like_block("adam", p, m, v, gs=gs)


@kernel("new_p", "new_m", "new_u")
def adamax(
    p: Array, m: Array, u: Array, scale: Array, lr: Array, step: Array, *gs: Array,
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0,
) -> tuple[Spec, ...]:  # fmt: skip
    """Adamax (Kingma and Ba 2015, algorithm 2): u = max(beta2 u, |g| + eps); p -= lr / (1 - beta1**step) * m / u."""
    return _like_block("adamax", p, m, u, gs=gs)


@kernel("new_p", "new_square", "new_average", "new_momentum")
def rmsprop(
    p: Array, square: Array, average: Array, momentum_buffer: Array, scale: Array, lr: Array, *gs: Array,
    alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, centered: bool = False, weight_decay: float = 0.0,
) -> tuple[Spec, ...]:  # fmt: skip
    """RMSprop (Hinton 2012, lecture 6e; centered: Graves 2013, equations 38 to 40).

    square = alpha square + (1 - alpha) g**2; d = g / (sqrt(square) + eps), or if centered
    g / (sqrt(square - average**2) + eps) with the running average of g; buffer = momentum buffer + d; p -= lr * buffer.
    Without momentum the buffer, and unless centered the average, is not touched and may be empty.
    """
    return _like_block("rmsprop", p, square, average, momentum_buffer, gs=gs)


@kernel("new_p", "new_square", "new_delta")
def adadelta(
    p: Array, square: Array, delta: Array, scale: Array, lr: Array, *gs: Array,
    rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0,
) -> tuple[Spec, ...]:  # fmt: skip
    """Adadelta (Zeiler 2012, algorithm 1): d = g sqrt(delta + eps) / sqrt(square + eps); p -= lr * d.

    `square` and `delta` are the running averages, with weight rho, of g**2 and d**2.
    """
    return _like_block("adadelta", p, square, delta, gs=gs)


@kernel("new_average")
def ema(average: Array, p: Array, *, decay: float) -> Spec:
    """average + (1 - decay) * (p - average)."""
    return _like_block("ema", average, p, gs=(p,))[0]


class NotFinite(FloatingPointError):
    """A loss or a norm that is NaN or infinite: `NotFinite(of, loss)`."""


@kernel()
def require_finite(loss: Array, norm: Array, *, of: str) -> tuple[Spec, ...]:
    """Raise NotFinite(of, loss) unless both are finite: a stop between a gradient and its update.  loss (), norm (1,).

    It reads both on the host, as an update that must not happen has to be decided there.
    """
    return ()
