"""The specification of the log-probabilities in NumPy, summed in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def sum_events(terms: Array, event_ndim: int) -> Array:
    """Sum over the last event_ndim axes."""
    return terms.sum(axis=tuple(range(terms.ndim - event_ndim, terms.ndim)), dtype=np.float64)


def per_site(g: Array, event_ndim: int) -> Array:
    """(*batch,) with an axis of length 1 for every event axis."""
    return g.reshape((*g.shape, *[1] * event_ndim))


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def bernoulli_log_prob(x: Array, logits: Array, y: Array, *, event_ndim: int) -> None:
    y[...] = sum_events(x * logits - np.logaddexp(0, logits), event_ndim)


def bernoulli_log_prob_grad(g: Array, x: Array, logits: Array, g_logits: Array, *, event_ndim: int) -> None:
    g_logits[...] = per_site(g, event_ndim) * (x - sigmoid(logits))


def categorical_head(labels: Array, logits: Array, y: Array, lse: Array, *, event_ndim: int) -> None:
    highest = logits.max(axis=-1)
    lse[...] = highest + np.log(np.exp(logits - highest[..., None]).sum(axis=-1))
    chosen = np.take_along_axis(logits, labels.astype(np.int64)[..., None], axis=-1)[..., 0]
    y[...] = sum_events(chosen - lse, event_ndim)


def categorical_head_grad(
    g_y: Array, g_lse: Array, labels: Array, logits: Array, lse: Array, g_logits: Array, *, event_ndim: int
) -> None:
    onehot = labels[..., None] == np.arange(logits.shape[-1])
    by_y, by_lse = per_site(g_y, event_ndim + 1), g_lse[..., None]
    g_logits[...] = by_y * onehot + (by_lse - by_y) * np.exp(logits - lse[..., None])


def gaussian_log_prob(x: Array, mu: Array, log_var: Array, y: Array, *, event_ndim: int) -> None:
    terms = -0.5 * (np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var))
    y[...] = sum_events(terms, event_ndim)


def gaussian_log_prob_grad(
    g: Array, x: Array, mu: Array, log_var: Array, g_mu: Array, g_log_var: Array, *, event_ndim: int
) -> None:
    d = (x - mu) * np.exp(-log_var)
    g_mu[...] = per_site(g, event_ndim) * d
    g_log_var[...] = per_site(g, event_ndim) * (d * (x - mu) - 1) / 2


def gaussian_kl(mu: Array, log_var: Array, y: Array, *, event_ndim: int) -> None:
    y[...] = sum_events(0.5 * (np.exp(log_var) + mu**2 - 1 - log_var), event_ndim)


def gaussian_kl_grad(g: Array, mu: Array, log_var: Array, g_mu: Array, g_log_var: Array, *, event_ndim: int) -> None:
    g_mu[...] = per_site(g, event_ndim) * mu
    g_log_var[...] = per_site(g, event_ndim) * np.expm1(log_var) / 2
