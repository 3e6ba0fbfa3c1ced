"""Cases of the log-probabilities."""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...errors import ArgumentError, DTypeError, ShapeError
from ..registry import case, error


def _layout(d):
    """A shape and how many of its last axes are the event."""
    shape = d.choice((2, 3), (), (4,), (3, 2, 2), (d.size(0, 3), d.size(0, 3)), (2, 70))
    return shape, {"event_ndim": d.size(0, len(shape))}


def _batch(shape, params):
    return shape[: len(shape) - params["event_ndim"]]


def _inputs(d, *kinds, gradient=False):
    """Arrays of one shape, each drawn by the named method; with `gradient`, first a cotangent of the batch's shape."""
    shape, params = _layout(d)
    arrays = [getattr(d, kind)(*shape) for kind in kinds]
    return ([d.normal(*_batch(shape, params)), *arrays] if gradient else arrays), params


def _events(terms, event_ndim):
    return terms.flatten(terms.ndim - event_ndim).sum(-1) if event_ndim else terms


def _lift(g, axes):
    return g.reshape((*g.shape, *[1] * axes))


def _refuse(*shapes, **params):
    return lambda d: (tuple(d.normal(*shape) for shape in shapes), params)


_BENCH = [((128, 784), 1), ((16, 28, 28, 1), 3)]


def _bench(arrays, gradient=False):
    return [((*[shape[:-n]] * gradient, *[shape] * arrays), {"event_ndim": n}) for shape, n in _BENCH]


# -- Bernoulli --------------------------------------------------------------------------------------------------------


def _torch_bernoulli(torch, x, logits, *, event_ndim):
    return _events(x * logits - torch.nn.functional.softplus(logits), event_ndim)


case(
    ops.bernoulli_log_prob,
    lambda d: _inputs(d, "binary", "normal"),
    torch=_torch_bernoulli,
    errors=[
        error(_refuse((2, 3), (3, 2)), ShapeError, "the shapes differ"),
        error(_refuse((2, 3), (2, 3), event_ndim=3), ArgumentError, "event_ndim is 3, there are 2 axes"),
        error(lambda d: ((d.integers(2, 3, high=2), d.normal(2, 3)), {}), DTypeError, "x is int64"),
    ],
    bench=_bench(2),
)
case(
    ops.bernoulli_log_prob,
    lambda d: _inputs(d, "uniform", "normal"),
    name="grey",
    torch=_torch_bernoulli,
)
case(
    ops.bernoulli_log_prob_grad,
    lambda d: _inputs(d, "uniform", "normal", gradient=True),
    torch=lambda torch, g_y, x, logits, *, event_ndim: _lift(g_y, event_ndim) * (x - torch.sigmoid(logits)),
    bench=_bench(2, gradient=True),
)


# -- categorical ------------------------------------------------------------------------------------------------------


_COLOURS = (16, 28, 28, 1), (16, 28, 28, 1, 256)  # labels and logits of a PixelCNN


def _labels_and_logits(d):
    shape, params = _layout(d)
    categories = d.choice(3, 1, 2, 17, 256)
    return [d.integers(*shape, high=categories), d.normal(*shape, categories)], params


def _categorical_gradient(d):
    (labels, logits), params = _labels_and_logits(d)
    g_y, g_lse = d.normal(*_batch(labels.shape, params)), d.normal(*labels.shape)
    return [g_y, g_lse, labels, logits, np.log(np.exp(logits).sum(-1))], params


def _torch_categorical(torch, labels, logits, *, event_ndim):
    chosen = torch.log_softmax(logits, -1).gather(-1, labels[..., None])[..., 0]
    return _events(chosen, event_ndim)


def _torch_categorical_grad(torch, g_y, g_lse, labels, logits, lse, *, event_ndim):
    onehot, p = torch.nn.functional.one_hot(labels, logits.shape[-1]), torch.exp(logits - lse[..., None])
    return _lift(g_y, event_ndim + 1) * (onehot - p) + g_lse[..., None] * p


case(
    ops.categorical_log_prob,
    _labels_and_logits,
    torch=_torch_categorical,
    errors=[
        error(lambda d: ((d.integers(2, 3, high=4), d.normal(2, 4)), {}), ShapeError, "a last axis of categories"),
        error(lambda d: ((d.integers(3, high=4) + 1, d.normal(3, 1)), {}), ArgumentError, r"must be in \[0, 1\)"),
        error(lambda d: ((d.integers(3, high=4) - 9, d.normal(3, 4)), {}), ArgumentError, "labels run from -"),
        error(lambda d: ((d.normal(3), d.normal(3, 4)), {}), DTypeError, "labels are float"),
        error(
            lambda d: ((d.integers(3, high=4), d.normal(3, 4)), {"event_ndim": 2}), ArgumentError, "there are 1 axes"
        ),
    ],
    bench=[(_COLOURS, {"event_ndim": 3})],
)
case(
    ops.categorical_head,
    _labels_and_logits,
    torch=lambda torch, labels, logits, **p: (
        _torch_categorical(torch, labels, logits, **p),
        torch.logsumexp(logits, -1),
    ),
    bench=[(_COLOURS, {"event_ndim": 3})],
)
case(
    ops.categorical_head_grad,
    _categorical_gradient,
    torch=_torch_categorical_grad,
    bench=[(((16,), _COLOURS[0], *_COLOURS, _COLOURS[0]), {"event_ndim": 3})],
)


# -- Gaussian ---------------------------------------------------------------------------------------------------------


def _torch_gaussian(torch, x, mu, log_var, *, event_ndim):
    return _events(-0.5 * (math.log(2 * math.pi) + log_var + (x - mu) ** 2 * torch.exp(-log_var)), event_ndim)


def _torch_gaussian_grad(torch, g_y, x, mu, log_var, *, event_ndim):
    g, d = _lift(g_y, event_ndim), (x - mu) * torch.exp(-log_var)
    return g * d, g * (d * (x - mu) - 1) / 2


case(
    ops.gaussian_log_prob,
    lambda d: _inputs(d, "normal", "normal", "normal"),
    torch=_torch_gaussian,
    errors=[
        error(_refuse((2, 3), (3,), (2, 3)), ShapeError, "the shapes differ"),
        error(_refuse((2,), (2,), (2,), event_ndim=-1), ArgumentError, "event_ndim is -1"),
    ],
    bench=_bench(3),
)
case(
    ops.gaussian_log_prob_grad,
    lambda d: _inputs(d, "normal", "normal", "normal", gradient=True),
    torch=_torch_gaussian_grad,
    bench=_bench(3, gradient=True),
)
case(
    ops.gaussian_kl,
    lambda d: _inputs(d, "normal", "normal"),
    torch=lambda torch, mu, log_var, *, event_ndim: _events((torch.exp(log_var) + mu**2 - 1 - log_var) / 2, event_ndim),
    errors=[
        error(_refuse((2, 3), (3,)), ShapeError, "the shapes differ"),
        error(_refuse((2,), (2,), event_ndim=2), ArgumentError, "event_ndim is 2"),
    ],
    bench=[(((128, 20), (128, 20)), {"event_ndim": 1})],
)
case(
    ops.gaussian_kl_grad,
    lambda d: _inputs(d, "normal", "normal", gradient=True),
    torch=lambda torch, g_y, mu, log_var, *, event_ndim: (
        _lift(g_y, event_ndim) * mu,
        _lift(g_y, event_ndim) * (torch.exp(log_var) - 1) / 2,
    ),
    bench=[(((128,), (128, 20), (128, 20)), {"event_ndim": 1})],
)
