"""Distributions with log-probabilities in nats, samples from explicit keys, moments, entropies and KL divergences.

Parameters are Tensors; their shape is the batch.  `event_ndim` sums a result over that many last axes.
"""

from __future__ import annotations

from .bernoulli import Bernoulli
from .categorical import Categorical
from .divergence import kl
from .normal import Normal

__all__ = ["Bernoulli", "Categorical", "Normal", "kl"]
