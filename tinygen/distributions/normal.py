"""The normal distribution with independent entries."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..convert import as_tensor
from ..random import Key
from ..tensor import Tensor
from ._events import batch, common_shape, spread, sum_events


class Normal:
    """N(mu, exp(log_var)), entry by entry: log_var is the logarithm of the variance.

    mu and log_var broadcast to one shape.  Raises ShapeError where they do not.
    """

    def __init__(self, mu: Any, log_var: Any):
        mu = as_tensor(mu, getattr(log_var, "dtype", None), "Normal")
        log_var = as_tensor(log_var, mu.dtype, "Normal")
        self.shape = common_shape("Normal", mu.shape, log_var.shape)
        self.mu = spread("Normal", mu, self.shape)
        self.log_var = spread("Normal", log_var, self.shape)

    @property
    def mean(self) -> Tensor:
        return self.mu

    @property
    def variance(self) -> Tensor:
        return ops.exp(self.log_var)

    def log_prob(self, x: Any, *, event_ndim: int = 0) -> Tensor:
        """Log-density at x, which broadcasts with the parameters; in nats."""
        x = as_tensor(x, self.mu.dtype, "Normal.log_prob")
        shape = common_shape("Normal.log_prob", x.shape, self.shape)
        x, mu, log_var = (spread("Normal.log_prob", a, shape) for a in (x, self.mu, self.log_var))
        return ops.gaussian_log_prob(x, mu, log_var, event_ndim=event_ndim)

    def rsample(self, shape: int | tuple[int, ...] = (), *, key: Key) -> Tensor:
        """Samples (*shape, *self.shape) = mu + exp(log_var / 2) * eps, through which gradients flow."""
        full = (*batch(shape), *self.shape)
        return ops.reparameterize(
            spread("Normal.rsample", self.mu, full), spread("Normal.rsample", self.log_var, full), key=key
        )

    def sample(self, shape: int | tuple[int, ...] = (), *, key: Key) -> Tensor:
        """The numbers of rsample as constants."""
        return self.rsample(shape, key=key).detach()

    def entropy(self, *, event_ndim: int = 0) -> Tensor:
        """(log(2 pi e) + log_var) / 2, in nats."""
        return sum_events("Normal.entropy", (self.log_var + math.log(2 * math.pi * math.e)) * 0.5, event_ndim)
