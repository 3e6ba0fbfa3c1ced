"""Launches of logprob.cu.  Sums are taken in float64 in an order of their own: the CPU's results to rounding."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.rows import THREADS, planned
from .._cuda.source import Source
from .._devices import beside
from .._prepared import prepared
from ..elementwise.cuda import cast
from ..reduce.cuda import sum as summed

Array = Any

SOURCE = Source(__file__, "logprob.cu", T=("float32", "float64"))
INDEX = np.dtype(np.int64)


def _summed(name: str) -> Callable[..., None]:
    """The kernel (*inputs, y): a sum over the event axes."""

    @prepared
    def run(*arrays: Array, event_ndim: int) -> None:
        *inputs, y = arrays
        shape = inputs[0].shape
        plan = planned(y.size, prod(shape[len(shape) - event_ndim :]))
        launch(SOURCE, f"logprob_{name}", plan.grid, plan.block, (*inputs, y, plan.shape), T=y.dtype)

    return run


def _entries(name: str, n: int, args: tuple[Any, ...], dtype: np.dtype) -> None:
    """A kernel with a thread for each of n entries."""
    launch(SOURCE, f"logprob_{name}", (-(-n // THREADS),), (THREADS,), args, T=dtype)


def _gradient(name: str) -> Callable[..., None]:
    """The kernel (g, *inputs, *cotangents): g of shape `batch`."""

    @prepared
    def run(g: Array, *arrays: Array, event_ndim: int) -> None:
        n, shape = arrays[0].size, arrays[0].shape
        event = prod(shape[len(shape) - event_ndim :])
        _entries(name, n, (g, *arrays, np.int64(n), np.int64(event)), g.dtype)

    return run


bernoulli_log_prob, gaussian_log_prob = _summed("bernoulli_log_prob"), _summed("gaussian_log_prob")
gaussian_kl = _summed("gaussian_kl")
bernoulli_log_prob_grad = _gradient("bernoulli_log_prob_grad")
gaussian_log_prob_grad, gaussian_kl_grad = _gradient("gaussian_log_prob_grad"), _gradient("gaussian_kl_grad")


def _places(labels: Array) -> Array:
    """Labels of any integers as int64."""
    if labels.dtype == INDEX:
        return labels
    made = beside(labels).empty(labels.shape, INDEX)
    cast(labels, made, dtype=INDEX)
    return made


@prepared
def categorical_head(labels: Array, logits: Array, y: Array, lse: Array, *, event_ndim: int) -> None:
    plan, chosen = planned(labels.size, logits.shape[-1]), beside(lse).empty(labels.shape, lse.dtype)
    args = _places(labels), logits, chosen, lse, plan.shape
    launch(SOURCE, "logprob_categorical_sites", plan.grid, plan.block, args, T=lse.dtype)
    events = tuple(range(labels.ndim - event_ndim, labels.ndim))
    summed(chosen, y, axes=events, keepdims=False, divisor=1)


@prepared
def categorical_head_grad(
    g_y: Array, g_lse: Array, labels: Array, logits: Array, lse: Array, g_logits: Array, *, event_ndim: int
) -> None:
    n, event = logits.size, prod(labels.shape[labels.ndim - event_ndim :])
    counts = map(np.int64, (n, logits.shape[-1], event))
    args = g_y, g_lse, _places(labels), logits, lse, g_logits, *counts
    _entries("categorical_head_grad", n, args, g_logits.dtype)
