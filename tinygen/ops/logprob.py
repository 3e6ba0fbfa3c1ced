"""Log-probabilities and a KL divergence, in nats, summed over event axes in the same pass.

`event_ndim` counts the last axes that belong to one event: the output keeps the axes before them.  With event_ndim=0
every entry is its own event; for images (N, H, W, C) event_ndim=3 gives one number per image.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import ArgumentError, DTypeError, ShapeError, check, shown
from ..kernels._devices import constant, to_numpy
from ..primitive import primitive
from ..tensor import Tensor
from .elementwise import cast, equal, exp, expm1, sigmoid, softplus
from .reduce import log_softmax, logsumexp
from .reduce import sum as sum_over
from .shape import expand_dims, reshape


def _check(op, event_ndim, **named):
    arrays = list(named.values())
    if any(a.shape != arrays[0].shape for a in arrays):
        raise ShapeError(f"{op}: the shapes differ ({shown(*named.items())}). Broadcast them to one shape first.")
    for name, a in named.items():
        check(a.dtype.kind == "f", DTypeError, f"{op}: {name} is {a.dtype}. Cast it with .astype('float32').")
    _check_event_ndim(op, event_ndim, arrays[0].ndim)


def _check_event_ndim(op, event_ndim, ndim):
    if not 0 <= event_ndim <= ndim:
        raise ArgumentError(f"{op}: event_ndim is {event_ndim}, there are {ndim} axes. Pass 0 to {ndim}.")


def _sum_events(terms, event_ndim):
    """Sum over the last event_ndim axes."""
    return sum_over(terms, axis=tuple(range(terms.ndim - event_ndim, terms.ndim))) if event_ndim else terms


def _per_site(g, axes):
    """(*batch,) with `axes` further axes of length 1."""
    return reshape(g, shape=(*g.shape, *[1] * axes))


# -- Bernoulli --------------------------------------------------------------------------------------------------------


@primitive
def bernoulli_log_prob(x, logits, *, event_ndim=0):
    """log p(x) = x log p + (1 - x) log(1 - p) with p = sigmoid(logits), summed over the event.

    x, logits (*batch, *event) of one floating type -> (*batch,) in nats.  x in [0, 1] is not rounded: for x strictly
    between, this is minus the cross-entropy.  Finite for every finite logit.
    """
    _check("bernoulli_log_prob", event_ndim, x=x, logits=logits)
    return kernels.logprob.bernoulli_log_prob(x, logits, event_ndim=event_ndim)


@bernoulli_log_prob.definition
def _(x, logits, *, event_ndim):
    return _sum_events(x * logits - softplus(logits), event_ndim)


@primitive
def bernoulli_log_prob_grad(g_y, x, logits, *, event_ndim=0):
    """Cotangent of the logits in bernoulli_log_prob: g_y * (x - sigmoid(logits)), g_y (*batch,)."""
    return kernels.logprob.bernoulli_log_prob_grad(g_y, x, logits, event_ndim=event_ndim)


@bernoulli_log_prob_grad.definition
def _(g_y, x, logits, *, event_ndim):
    return _per_site(g_y, event_ndim) * (x - sigmoid(logits))


bernoulli_log_prob.defvjp(
    x=lambda g, logits, event_ndim: _per_site(g, event_ndim) * logits,
    logits=lambda g, x, logits, p: bernoulli_log_prob_grad(g, x, logits, **p),
)


# -- categorical ------------------------------------------------------------------------------------------------------


@primitive(outs=("log_prob", "lse"))
def categorical_head(labels, logits, *, event_ndim=0):
    """categorical_log_prob, and lse = logsumexp(logits) of every site, from which its gradient takes one pass.

    labels (*batch, *event) integers in [0, K), logits (*batch, *event, K) -> (*batch,) in nats, (*batch, *event).
    """
    name = "categorical_log_prob"
    check(labels.dtype.kind in "iu", DTypeError, f"{name}: labels are {labels.dtype}. Pass integers.")
    if logits.ndim != labels.ndim + 1 or logits.shape[:-1] != labels.shape:
        raise ShapeError(
            f"{name}: logits need the shape of labels and a last axis of categories, "
            f"got {shown(('labels', labels), ('logits', logits))}."
        )
    _check_event_ndim(name, event_ndim, labels.ndim)
    values = to_numpy(labels)  # from a GPU they have to come here to be refused, which waits for it
    if labels.size and not 0 <= int(values.min()) <= int(values.max()) < logits.shape[-1]:
        raise ArgumentError(
            f"{name}: labels run from {values.min()} to {values.max()}, logits have {logits.shape[-1]} categories. "
            f"Labels must be in [0, {logits.shape[-1]})."
        )
    return kernels.logprob.categorical_head(labels, logits, event_ndim=event_ndim)


def _onehot(labels, logits):
    categories = constant(logits.data, np.arange(logits.shape[-1]))
    return cast(equal(expand_dims(labels, axis=-1), categories), dtype=str(logits.dtype))


@categorical_head.definition
def _(labels, logits, *, event_ndim):
    chosen = sum_over(_onehot(labels, logits) * log_softmax(logits, axis=-1), axis=-1)
    return _sum_events(chosen, event_ndim), logsumexp(logits, axis=-1)


@primitive
def categorical_head_grad(g_y, g_lse, labels, logits, lse, *, event_ndim=0):
    """Cotangent of the logits in categorical_head: g_y * (onehot(labels) - p) + g_lse * p with p = exp(logits - lse).

    g_y (*batch,), g_lse and lse (*batch, *event).  The probabilities p are never stored.
    """
    return kernels.logprob.categorical_head_grad(g_y, g_lse, labels, logits, lse, event_ndim=event_ndim)


@categorical_head_grad.definition
def _(g_y, g_lse, labels, logits, lse, *, event_ndim):
    by_y, p = _per_site(g_y, event_ndim + 1), exp(logits - expand_dims(lse, axis=-1))
    return by_y * (_onehot(labels, logits) - p) + expand_dims(g_lse, axis=-1) * p


categorical_head_grad.defvjp(labels=None)
categorical_head.defvjp(
    labels=None,
    logits=lambda g_log_prob, g_lse, labels, logits, lse, p: categorical_head_grad(
        g_log_prob, g_lse, labels, logits, lse, **p
    ),
)


def categorical_log_prob(labels: Tensor, logits: Tensor, *, event_ndim: int = 0) -> Tensor:
    """log p(label) = logits[label] - logsumexp(logits), summed over the event.

    labels (*batch, *event) integers in [0, K), logits (*batch, *event, K) -> (*batch,) in nats.  Probabilities are
    never stored.  Raises ShapeError, DTypeError for labels that are no integers, ArgumentError for one out of range.
    """
    return categorical_head(labels, logits, event_ndim=event_ndim)[0]


# -- Gaussian ---------------------------------------------------------------------------------------------------------


@primitive
def gaussian_log_prob(x, mu, log_var, *, event_ndim=0):
    """log N(x; mu, exp(log_var)) = -(log(2 pi) + log_var + (x - mu)**2 exp(-log_var)) / 2, summed over the event.

    x, mu, log_var (*batch, *event) -> (*batch,) in nats.  log_var is the logarithm of the variance, not of the
    standard deviation.
    """
    _check("gaussian_log_prob", event_ndim, x=x, mu=mu, log_var=log_var)
    return kernels.logprob.gaussian_log_prob(x, mu, log_var, event_ndim=event_ndim)


@gaussian_log_prob.definition
def _(x, mu, log_var, *, event_ndim):
    return _sum_events((math.log(2 * math.pi) + log_var + (x - mu) ** 2 * exp(-log_var)) * -0.5, event_ndim)


@primitive(outs=("g_mu", "g_log_var"))
def gaussian_log_prob_grad(g_y, x, mu, log_var, *, event_ndim=0):
    """Cotangents of mu and log_var in gaussian_log_prob, in one pass; that of x is minus that of mu.  g_y (*batch,)."""
    return kernels.logprob.gaussian_log_prob_grad(g_y, x, mu, log_var, event_ndim=event_ndim)


@gaussian_log_prob_grad.definition
def _(g_y, x, mu, log_var, *, event_ndim):
    g = _per_site(g_y, event_ndim)
    d = (x - mu) * exp(-log_var)
    return g * d, g * (d * (x - mu) - 1) * 0.5


gaussian_log_prob.share(both=lambda g, x, mu, log_var, p: gaussian_log_prob_grad(g, x, mu, log_var, **p))
gaussian_log_prob.defvjp(x=lambda both: -both[0], mu=lambda both: both[0], log_var=lambda both: both[1])


@primitive
def gaussian_kl(mu, log_var, *, event_ndim=0):
    """KL(N(mu, exp(log_var)) || N(0, 1)) = (exp(log_var) + mu**2 - 1 - log_var) / 2, summed over the event; >= 0.

    mu, log_var (*batch, *event) -> (*batch,) in nats.  Kingma and Welling 2014, appendix B (there with the sign of
    minus the divergence).
    """
    _check("gaussian_kl", event_ndim, mu=mu, log_var=log_var)
    return kernels.logprob.gaussian_kl(mu, log_var, event_ndim=event_ndim)


@gaussian_kl.definition
def _(mu, log_var, *, event_ndim):
    return _sum_events((expm1(log_var) - log_var + mu * mu) * 0.5, event_ndim)


@primitive(outs=("g_mu", "g_log_var"))
def gaussian_kl_grad(g_y, mu, log_var, *, event_ndim=0):
    """Cotangents of mu and log_var in gaussian_kl: g_y * mu and g_y * (exp(log_var) - 1) / 2, g_y (*batch,)."""
    return kernels.logprob.gaussian_kl_grad(g_y, mu, log_var, event_ndim=event_ndim)


@gaussian_kl_grad.definition
def _(g_y, mu, log_var, *, event_ndim):
    g = _per_site(g_y, event_ndim)
    return g * mu, g * expm1(log_var) * 0.5


gaussian_kl.share(both=lambda g, mu, log_var, p: gaussian_kl_grad(g, mu, log_var, **p))
gaussian_kl.defvjp(mu=lambda both: both[0], log_var=lambda both: both[1])
