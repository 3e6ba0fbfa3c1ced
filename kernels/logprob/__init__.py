"""Log-probabilities and a KL divergence, in nats, each in one pass with its sum over the event axes.

An input has shape (*batch, *event) with `event_ndim` event axes, and the output shape `batch`; categorical logits have
one more axis, the K categories.  Gradient kernels give the cotangents of several inputs at once.
"""

from __future__ import annotations

from typing import Any

from .._kernel import Spec, kernel, like

Array = Any


def _batch(x: Array, event_ndim: int) -> tuple[int, ...]:
    return x.shape[: x.ndim - event_ndim]


@kernel("y")
def bernoulli_log_prob(x: Array, logits: Array, *, event_ndim: int = 0) -> Spec:
    """Sum of x * logits - softplus(logits).  x any number in [0, 1], not only 0 and 1."""
    return Spec(_batch(x, event_ndim), x.dtype)


@kernel("g_logits")
def bernoulli_log_prob_grad(g: Array, x: Array, logits: Array, *, event_ndim: int = 0) -> Spec:
    """g * (x - sigmoid(logits)), g of shape `batch`."""
    return like(x)


@kernel("y", "lse")
def categorical_head(labels: Array, logits: Array, *, event_ndim: int = 0) -> tuple[Spec, Spec]:
    """y = sum of logits[label] - lse and lse = logsumexp(logits): all that the gradient needs of a row of logits.

    labels (*batch, *event) integers, logits (*batch, *event, K) -> y of shape `batch`, lse like labels.
    """
    return Spec(_batch(labels, event_ndim), logits.dtype), Spec(labels.shape, logits.dtype)


@kernel("g_logits")
def categorical_head_grad(
    g_y: Array, g_lse: Array, labels: Array, logits: Array, lse: Array, *, event_ndim: int = 0
) -> Spec:
    """g_y * onehot(label) + (g_lse - g_y) * exp(logits - lse): one pass, 8 bytes an element in float32."""
    return like(logits)


@kernel("y")
def gaussian_log_prob(x: Array, mu: Array, log_var: Array, *, event_ndim: int = 0) -> Spec:
    """Sum of -(log(2 pi) + log_var + (x - mu)**2 exp(-log_var)) / 2."""
    return Spec(_batch(x, event_ndim), x.dtype)


@kernel("g_mu", "g_log_var")
def gaussian_log_prob_grad(g: Array, x: Array, mu: Array, log_var: Array, *, event_ndim: int = 0) -> tuple[Spec, Spec]:
    """With d = (x - mu) exp(-log_var): g_mu = g * d, g_log_var = g * (d * (x - mu) - 1) / 2.  (g_x = -g_mu.)"""
    return like(x), like(x)


@kernel("y")
def gaussian_kl(mu: Array, log_var: Array, *, event_ndim: int = 0) -> Spec:
    """KL(N(mu, exp(log_var)) || N(0, 1)) = sum of (exp(log_var) + mu**2 - 1 - log_var) / 2."""
    return Spec(_batch(mu, event_ndim), mu.dtype)


@kernel("g_mu", "g_log_var")
def gaussian_kl_grad(g: Array, mu: Array, log_var: Array, *, event_ndim: int = 0) -> tuple[Spec, Spec]:
    """g_mu = g * mu, g_log_var = g * (exp(log_var) - 1) / 2."""
    return like(mu), like(mu)
