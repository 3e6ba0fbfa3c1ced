"""The categorical distribution over 0 ... K - 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..convert import as_tensor
from ..errors import DTypeError, ShapeError, check, shape_text
from ..kernels._devices import constant
from ..random import Key
from ..tensor import Tensor
from ._events import batch, common_shape, spread, sum_events


class Categorical:
    """Category k with probability softmax(logits)[k]; logits (*shape, K), finite."""

    def __init__(self, logits: Any):
        self.logits = as_tensor(logits, op="Categorical")
        if self.logits.ndim < 1 or self.logits.shape[-1] < 1:
            raise ShapeError(f"Categorical: logits {shape_text(self.logits.shape)} have no categories. Pass (..., K).")
        self.shape = self.logits.shape[:-1]
        self.categories = self.logits.shape[-1]

    @property
    def probs(self) -> Tensor:
        """Probabilities (*shape, K)."""
        return ops.softmax(self.logits, axis=-1)

    def _levels(self) -> Tensor:
        levels = np.arange(self.categories, dtype=self.logits.dtype)
        return Tensor(constant(self.logits.data, levels))

    @property
    def mean(self) -> Tensor:
        """Of the category's number: for pictures, the mean grey level."""
        return ops.sum(self.probs * self._levels(), axis=-1)

    @property
    def variance(self) -> Tensor:
        """Of the category's number."""
        deviation = self._levels() - ops.expand_dims(self.mean, axis=-1)
        return ops.sum(self.probs * deviation**2, axis=-1)

    def log_prob(self, labels: Any, *, event_ndim: int = 0) -> Tensor:
        """Log-probability of integer labels that broadcast with `shape`; in nats."""
        labels = as_tensor(labels, op="Categorical.log_prob")
        check(labels.dtype.kind in "iu", DTypeError, f"Categorical.log_prob: labels are {labels.dtype}, not integers.")
        shape = common_shape("Categorical.log_prob", labels.shape, self.shape)
        if labels.shape != shape:
            labels = ops.broadcast_to(labels, shape=shape)
        logits = spread("Categorical.log_prob", self.logits, (*shape, self.categories))
        return ops.categorical_log_prob(labels, logits, event_ndim=event_ndim)

    def sample(self, shape: int | tuple[int, ...] = (), *, key: Key) -> Tensor:
        """int64 labels of shape (*shape, *self.shape); no gradient."""
        full = (*batch(shape), *self.logits.shape)
        return ops.categorical(spread("Categorical.sample", self.logits.detach(), full), key=key)

    def entropy(self, *, event_ndim: int = 0) -> Tensor:
        """-(sum of p log p), in nats."""
        log_p = ops.log_softmax(self.logits, axis=-1)
        return sum_events("Categorical.entropy", -ops.sum(ops.exp(log_p) * log_p, axis=-1), event_ndim)
