"""The Bernoulli distribution with independent entries."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..convert import as_tensor
from ..random import Key
from ..tensor import Tensor
from ._events import batch, common_shape, spread, sum_events


class Bernoulli:
    """1 with probability sigmoid(logits), else 0, entry by entry."""

    def __init__(self, logits: Any):
        self.logits = as_tensor(logits, op="Bernoulli")
        self.shape = self.logits.shape

    @property
    def mean(self) -> Tensor:
        return ops.sigmoid(self.logits)

    @property
    def variance(self) -> Tensor:
        return ops.sigmoid(self.logits) * ops.sigmoid(-self.logits)

    def log_prob(self, x: Any, *, event_ndim: int = 0) -> Tensor:
        """x * log p + (1 - x) * log(1 - p) in nats, for x in [0, 1] that broadcasts with the logits."""
        x = as_tensor(x, self.logits.dtype, "Bernoulli.log_prob")
        shape = common_shape("Bernoulli.log_prob", x.shape, self.shape)
        x, logits = (spread("Bernoulli.log_prob", a, shape) for a in (x, self.logits))
        return ops.bernoulli_log_prob(x, logits, event_ndim=event_ndim)

    def sample(self, shape: int | tuple[int, ...] = (), *, key: Key) -> Tensor:
        """Zeros and ones of shape (*shape, *self.shape), as floats of the logits' type; no gradient."""
        return ops.bernoulli(spread("Bernoulli.sample", self.mean.detach(), (*batch(shape), *self.shape)), key=key)

    def entropy(self, *, event_ndim: int = 0) -> Tensor:
        """softplus(logits) - logits * sigmoid(logits), in nats."""
        terms = ops.softplus(self.logits) - self.logits * ops.sigmoid(self.logits)
        return sum_events("Bernoulli.entropy", terms, event_ndim)
