"""Kullback-Leibler divergences between two distributions of one kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..errors import ArgumentError
from ..tensor import Tensor
from ._events import sum_events
from .bernoulli import Bernoulli
from .categorical import Categorical
from .normal import Normal


def kl(p: Any, q: Any, *, event_ndim: int = 0) -> Tensor:
    """KL(p || q), the expectation under p of log p(x) - log q(x), in nats; never negative, and not symmetric.

    Two Normals, two Bernoullis or two Categoricals whose shapes broadcast.  Raises ArgumentError for other pairs.
    """
    formula = _FORMULAS.get(type(p)) if type(p) is type(q) else None
    if formula is None:
        kinds = ", ".join(kind.__name__ for kind in _FORMULAS)
        raise ArgumentError(
            f"kl: there is no formula for {type(p).__name__} and {type(q).__name__}. Pass two of one kind: {kinds}."
        )
    return sum_events("kl", formula(p, q), event_ndim)


def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = p.log_var - q.log_var  # expm1 keeps the digits of a small divergence
    return ((p.mu - q.mu) ** 2 * ops.exp(-q.log_var) + ops.expm1(ratio) - ratio) * 0.5


def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    a, b = p.logits, q.logits
    return ops.sigmoid(a) * (a - b) - ops.softplus(a) + ops.softplus(b)


def _categorical(p: Categorical, q: Categorical) -> Tensor:
    log_p, log_q = ops.log_softmax(p.logits, axis=-1), ops.log_softmax(q.logits, axis=-1)
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


_FORMULAS: dict[type, Callable[..., Tensor]] = {Normal: _normal, Bernoulli: _bernoulli, Categorical: _categorical}
