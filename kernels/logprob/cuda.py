"""Launches of logprob.cu and categorical.cu.  Sums have an order of their own: the CPU's results to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.rows import THREADS, WARP, planned
from .._cuda.scratch import room
from .._cuda.source import Source
from .._prepared import prepared
from ..reduce.cuda import sum as summed

Array = Any

FLOATS = "float32", "float64"
EVENTS = Source(__file__, "logprob.cu", T=FLOATS)
CATEGORICAL = Source(__file__, "categorical.cu", T=FLOATS, L=("uint8", "int32", "int64"))


def _length(x: Array, batch: Array) -> int:
    """Elements of x per entry of the batch."""
    return x.size // max(1, batch.size)


def _sum(name: str) -> Callable[..., None]:
    """The kernel (*inputs, y): a sum over each event."""

    @prepared
    def run(*arrays: Array, event_ndim: int) -> None:
        y = arrays[-1]
        plan = planned(y.size, _length(arrays[0], y))
        launch(EVENTS, f"logprob_{name}", plan.grid, plan.block, (*arrays, plan.shape), T=y.dtype)

    return run


def _gradient(name: str) -> Callable[..., None]:
    """The kernel (g, *inputs, *cotangents): a thread for each entry, g of shape `batch`."""

    @prepared
    def run(g: Array, *arrays: Array, event_ndim: int) -> None:
        n = arrays[0].size
        args = g, *arrays, np.int64(n), np.int64(_length(arrays[0], g))
        launch(EVENTS, f"logprob_{name}", (-(-n // THREADS),), (THREADS,), args, T=g.dtype)

    return run


bernoulli_log_prob, bernoulli_log_prob_grad = _sum("bernoulli_log_prob"), _gradient("bernoulli_log_prob_grad")
gaussian_log_prob, gaussian_log_prob_grad = _sum("gaussian_log_prob"), _gradient("gaussian_log_prob_grad")
gaussian_kl, gaussian_kl_grad = _sum("gaussian_kl"), _gradient("gaussian_kl_grad")


def _sites(name: str, labels: Array, logits: Array, *args: Any) -> None:
    """A team of threads for each site."""
    categories = logits.shape[-1]
    team = min(WARP, 1 << max(0, -(-categories // 4) - 1).bit_length())  # a power of two
    grid, block = (-(-labels.size // (THREADS // team)),), (team, THREADS // team)
    launch(CATEGORICAL, f"logprob_{name}", grid, block, args, T=logits.dtype, L=labels.dtype)


@prepared
def categorical_head(labels: Array, logits: Array, y: Array, lse: Array, *, event_ndim: int) -> None:
    terms = room(y, labels.shape)
    counts = np.int64(labels.size), np.int64(logits.shape[-1])
    _sites("categorical_head", labels, logits, labels, logits, terms, lse, *counts)
    summed(terms, y, axes=tuple(range(y.ndim, labels.ndim)), keepdims=False, divisor=1)


@prepared
def categorical_head_grad(
    g_y: Array, g_lse: Array, labels: Array, logits: Array, lse: Array, g_logits: Array, *, event_ndim: int
) -> None:
    counts = map(np.int64, (labels.size, logits.shape[-1], _length(labels, g_y)))
    _sites("categorical_head_grad", labels, logits, g_y, g_lse, labels, logits, lse, g_logits, *counts)
