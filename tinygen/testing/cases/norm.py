"""Cases of the normalisations."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...errors import ArgumentError, ShapeError
from ..registry import case, error


def _shape(d):
    return d.choice((4, 3), (5, 1), (2, 3, 3, 2), (3, 2, 17), (d.size(2, 6), d.size(1, 5)))


def _rows(x):
    return tuple(range(x.ndim - 1))


def _normalised(torch, x, gamma, beta, mean, var, eps):
    return (x - mean) / torch.sqrt(var + eps) * gamma + beta


def _wrong_channels(*vectors):
    return lambda d: ((d.normal(4, 3), *[d.normal(n) for n in vectors]), {})


# -- batch ------------------------------------------------------------------------------------------------------------


def _options(d):
    return {"eps": d.choice(1e-5, 0.1), "slope": d.choice(1.0, 0.0, 0.2)}


def _affine(d, x, mean, var, eps):
    """gamma and beta (C,) that keep the kink of an activation in the widest gap of each channel."""
    gamma = d.positive(x.shape[-1]) * (2 * d.binary(x.shape[-1]) - 1)
    x_hat = np.sort(((x - mean) / np.sqrt(var + eps)).reshape(-1, x.shape[-1]), axis=0)
    widest = np.diff(x_hat, axis=0).argmax(axis=0)[None]
    ends = np.take_along_axis(x_hat, widest, 0) + np.take_along_axis(x_hat, widest + 1, 0)
    return gamma, -gamma * ends[0] / 2


def _batch(d):
    x, options = d.distinct(*_shape(d)), _options(d)
    return (x, *_affine(d, x, x.mean(_rows(x)), x.var(_rows(x)), options["eps"])), options


def _batch_given(d):
    """With statistics of their own."""
    x, options = d.distinct(*_shape(d)), _options(d)
    mean, var = d.normal(x.shape[-1]), d.positive(x.shape[-1])
    return (x, *_affine(d, x, mean, var, options["eps"]), mean, var), options


def _bent(torch, y, slope):
    return torch.nn.functional.leaky_relu(y, slope)


def _torch_batch_norm(torch, x, gamma, beta, *, eps, slope):
    mean, var = x.mean(_rows(x)), x.var(_rows(x), correction=0)
    return _bent(torch, _normalised(torch, x, gamma, beta, mean, var, eps), slope), mean, var


def _batch_grad(d):
    (x, *vectors), options = _batch_given(d)
    return (d.normal(*x.shape), d.normal(x.shape[-1]), d.normal(x.shape[-1]), x, *vectors), options


def _torch_batch_norm_grad(torch, g_y, g_mean, g_var, x, gamma, beta, mean, var, *, eps, slope):
    count = x.numel() // x.shape[-1]
    x_hat = (x - mean) / torch.sqrt(var + eps)
    g_y = torch.where(x_hat * gamma + beta > 0, g_y, slope * g_y)
    g_beta, g_gamma = g_y.sum(_rows(x)), (g_y * x_hat).sum(_rows(x))
    g_x = gamma / torch.sqrt(var + eps) * (g_y - g_beta / count - x_hat * g_gamma / count)
    return g_x + (g_mean + 2 * g_var * (x - mean)) / count, g_gamma, g_beta


case(
    ops.batch_norm,
    _batch,
    torch=_torch_batch_norm,
    errors=[
        error(_wrong_channels(3, 4), ShapeError, "beta has shape"),
        error(lambda d: ((d.normal(0, 3), d.normal(3), d.normal(3)), {}), ShapeError, "is empty"),
        error(lambda d: ((d.normal(2, 3), d.normal(3), d.normal(3)), {"eps": -1.0}), ArgumentError, "eps is -1"),
        error(lambda d: ((d.normal(2, 3), d.normal(3), d.normal(3)), {"slope": -1.0}), ArgumentError, "slope is -1"),
    ],
    bench=[
        (((256, 64), (64,), (64,)), {}),
        (((64, 16, 16, 128), (128,), (128,)), {}),
        (((64, 16, 16, 128), (128,), (128,)), {"slope": 0.2}),
    ],
    tolerance=10.0,
)
case(
    ops.batch_norm_grad,
    _batch_grad,
    torch=_torch_batch_norm_grad,
    bench=[(((64, 16, 16, 128), (128,), (128,), (64, 16, 16, 128), *[(128,)] * 4), {})],
    tolerance=10.0,
)
case(
    ops.batch_norm_eval,
    _batch_given,
    torch=lambda torch, x, gamma, beta, mean, var, *, eps, slope: _bent(
        torch, _normalised(torch, x, gamma, beta, mean, var, eps=eps), slope
    ),
    errors=[error(_wrong_channels(3, 3, 2, 3), ShapeError, "mean has shape")],
    bench=[(((64, 16, 16, 128), *[(128,)] * 4), {})],
)


# -- layer ------------------------------------------------------------------------------------------------------------


def _layer(d):
    shape = d.choice((4, 3), (5,), (2, 3, 3, 2), (3, 2, 17), (d.size(0, 4), d.size(2, 5)))
    return (d.distinct(*shape), d.normal(shape[-1]), d.normal(shape[-1])), {"eps": d.choice(1e-5, 0.1)}


def _layer_grad(d):
    (x, gamma, _), params = _layer(d)
    return (d.normal(*x.shape), x, gamma), params


def _torch_layer_norm_grad(torch, g_y, x, gamma, *, eps):
    centred = x - x.mean(-1, keepdim=True)
    inverse = 1 / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)
    x_hat = centred * inverse
    d = g_y * gamma
    g_x = inverse * (d - d.mean(-1, keepdim=True) - x_hat * (d * x_hat).mean(-1, keepdim=True))
    over = (lambda a: a.sum(_rows(a))) if x.ndim > 1 else (lambda a: a)
    return g_x, over(g_y * x_hat), over(g_y)


case(
    ops.layer_norm,
    _layer,
    torch=lambda torch, x, gamma, beta, *, eps: torch.nn.functional.layer_norm(x, x.shape[-1:], gamma, beta, eps),
    errors=[error(_wrong_channels(3, 4), ShapeError, "beta has shape")],
    bench=[(((128, 512), (512,), (512,)), {})],
    tolerance=10.0,
)
case(
    ops.layer_norm_grad,
    _layer_grad,
    torch=_torch_layer_norm_grad,
    bench=[(((128, 512), (128, 512), (512,)), {})],
    tolerance=10.0,
)


# -- weight -----------------------------------------------------------------------------------------------------------


def _weight(d):
    shape = _shape(d)
    return (d.away(*shape), d.normal(shape[-1])), {}


def _weight_grad(d):
    (v, gain), _ = _weight(d)
    return (d.normal(*v.shape), v, gain), {}


def _torch_weight_norm_grad(torch, g_w, v, gain):
    norm = torch.sqrt((v * v).sum(_rows(v)))
    u = v / norm
    g_gain = (g_w * u).sum(_rows(v))
    return gain / norm * (g_w - u * g_gain), g_gain


case(
    ops.weight_norm,
    _weight,
    torch=lambda torch, v, gain: gain * v / torch.sqrt((v * v).sum(_rows(v))),
    errors=[error(_wrong_channels(4), ShapeError, "gain has shape")],
    bench=[(((3, 3, 64, 64), (64,)), {})],
)
case(
    ops.weight_norm_grad,
    _weight_grad,
    torch=_torch_weight_norm_grad,
    bench=[(((3, 3, 64, 64), (3, 3, 64, 64), (64,)), {})],
)
