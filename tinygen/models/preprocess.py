"""Between stored integers and what a model computes with; every change of volume is counted.

All images and tables of grey levels are integers g in 0..levels-1.
"""

from __future__ import annotations

import math

from .. import ops
from ..random import Key
from ..tensor import Tensor


def unit(g: Tensor, levels: int) -> Tensor:
    """g / (levels - 1), on [0, 1]."""
    return g * (1.0 / (levels - 1))


def binarize(g: Tensor, levels: int, *, key: Key | None) -> Tensor:
    """Zeros and ones: g itself when levels is 2, else a fresh Bernoulli draw with probability g / (levels - 1).

    Drawing anew at every look is "dynamic binarisation" (Salakhutdinov & Murray 2008; Burda et al. 2016).
    """
    return g if levels == 2 else ops.bernoulli(unit(g, levels), key=key)


def dequantize(g: Tensor, levels: int, *, key: Key) -> Tensor:
    """(g + u) / levels with u uniform on [0, 1): continuous on [0, 1).

    A density p there bounds the probability of the integers: log P(g) >= E_u[log p] - D log(levels)
    (Theis et al. 2016, section 3.1).  The caller subtracts `log_volume(levels, D)`.
    """
    return (g + ops.uniform(g.shape, key=key, dtype=g.dtype)) * (1.0 / levels)


def log_volume(levels: int, dims: int) -> float:
    """D log(levels), nats: what scaling D integers to the unit cube adds to a log density."""
    return dims * math.log(levels)


def to_logit(x: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """x on [0, 1] -> (logit(alpha + (1 - 2 alpha) x), log|det| per example (N,)).

    RealNVP (Dinh et al. 2017, section 4.1) with a margin at both ends, so that 1 stays finite too.
    """
    p = x * (1 - 2 * alpha) + alpha
    log_p, log_q = ops.log(p), ops.log(1 - p)
    axes = tuple(range(1, x.ndim))
    dims = math.prod(x.shape[1:])
    return log_p - log_q, ops.sum(-(log_p + log_q), axis=axes) + dims * math.log(1 - 2 * alpha)


def from_logit(y: Tensor, alpha: float) -> Tensor:
    """The inverse of to_logit."""
    return (ops.sigmoid(y) - alpha) * (1 / (1 - 2 * alpha))
