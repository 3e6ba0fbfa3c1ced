"""Normalisation by batch, layer and weight statistics.  Variances are biased, and given as variances."""

from __future__ import annotations

from .. import kernels
from ..errors import ArgumentError, InPlaceError, ShapeError, check, shape_text, shown
from ..primitive import primitive
from ..step import replayed
from ..tensor import Tensor
from .elementwise import leaky_relu, leaky_relu_grad, sqrt
from .reduce import mean as mean_over
from .reduce import sum as sum_over
from .reduce import var as var_over


def _check_channels(op, x, **vectors):
    """x (..., C) with vectors (C,)."""
    for name, v in vectors.items():
        if v.ndim != 1 or x.ndim < 1 or v.shape[0] != x.shape[-1]:
            channels = x.shape[-1] if x.ndim else "no"
            raise ShapeError(f"{op}: {name} has shape {shape_text(v.shape)}, x {shape_text(x.shape)} has {channels} "
                             f"channels. Pass {name} of shape (C,), C being x's last axis.")  # fmt: skip


def _check_rows(op, x):
    if x.size == 0:
        raise ShapeError(f"{op}: x {shape_text(x.shape)} is empty and has no statistics.")


def _check_not_negative(op, **params):
    for name, value in params.items():
        check(value >= 0, ArgumentError, f"{op}: {name} is {value}. Pass a number >= 0.")


def _rows(x):
    """The axes that are not the last."""
    return tuple(range(x.ndim - 1))


def _mean_rows(x):
    return mean_over(x, axis=_rows(x)) if x.ndim > 1 else x


def _sum_rows(x):
    return sum_over(x, axis=_rows(x)) if x.ndim > 1 else x


# -- batch ------------------------------------------------------------------------------------------------------------


@primitive(outs=("y", "mean", "var"))
def batch_norm(x, gamma, beta, *, eps=1e-5, slope=1.0):
    """y = leaky_relu((x - mean) / sqrt(var + eps) * gamma + beta), statistics of x over all axes but the last.

    x (..., C), gamma, beta (C,) -> y (..., C), mean (C,), var (C,), the biased variance that y uses.  All three
    outputs are differentiable.  A slope of 1 leaves y as it is, 0 makes it relu; the activation costs no pass over
    memory.  Ioffe and Szegedy 2015, algorithm 1.  Raises ShapeError, also for an empty x; ArgumentError.
    """
    _check_channels("batch_norm", x, gamma=gamma, beta=beta)
    _check_rows("batch_norm", x)
    _check_not_negative("batch_norm", eps=eps, slope=slope)
    return kernels.norm.batch_norm(x, gamma, beta, eps=eps, slope=slope)


@batch_norm.definition
def _(x, gamma, beta, *, eps, slope):
    mean = _mean_rows(x)
    var = _mean_rows((x - mean) ** 2)
    return leaky_relu((x - mean) / sqrt(var + eps) * gamma + beta, slope=slope), mean, var


@primitive(outs=("g_x", "g_gamma", "g_beta"))
def batch_norm_grad(g_y, g_mean, g_var, x, gamma, beta, mean, var, *, eps=1e-5, slope=1.0):
    """Cotangents of x, gamma and beta in batch_norm, from those of its outputs; mean and var are its outputs."""
    return kernels.norm.batch_norm_grad(g_y, g_mean, g_var, x, gamma, beta, mean, var, eps=eps, slope=slope)


@batch_norm_grad.definition
def _(g_y, g_mean, g_var, x, gamma, beta, mean, var, *, eps, slope):
    count = x.size // x.shape[-1]
    centred, deviation = x - mean, sqrt(var + eps)
    x_hat = centred / deviation
    g_y = leaky_relu_grad(g_y, (x_hat * gamma + beta).detach(), slope=slope)
    g_beta, g_gamma = _sum_rows(g_y), _sum_rows(g_y * x_hat)
    g_x = gamma / deviation * (g_y - g_beta / count - x_hat * g_gamma / count)
    return g_x + (g_mean + 2.0 * g_var * centred) / count, g_gamma, g_beta


batch_norm.share(
    all=lambda g_y, g_mean, g_var, x, gamma, beta, mean, var, p: batch_norm_grad(
        g_y, g_mean, g_var, x, gamma, beta, mean, var, **p
    )
)
batch_norm.defvjp(x=lambda all: all[0], gamma=lambda all: all[1], beta=lambda all: all[2])


@primitive
def batch_norm_eval(x, gamma, beta, mean, var, *, eps=1e-5, slope=1.0):
    """batch_norm's y with statistics given, biased or not.  x (..., C), the others (C,) -> (..., C)."""
    _check_channels("batch_norm_eval", x, gamma=gamma, beta=beta, mean=mean, var=var)
    _check_not_negative("batch_norm_eval", eps=eps, slope=slope)
    return kernels.norm.batch_norm_eval(x, gamma, beta, mean, var, eps=eps, slope=slope)


@batch_norm_eval.definition
def _(x, gamma, beta, mean, var, *, eps, slope):
    return leaky_relu((x - mean) / sqrt(var + eps) * gamma + beta, slope=slope)


def update_running_statistics(
    running_mean: Tensor, running_var: Tensor, mean: Tensor, var: Tensor, *, momentum: float, rows: int
) -> None:
    """In place: running = (1 - momentum) * running + momentum * new, all of shape (C,), as in PyTorch.

    `rows` is the number of entries per channel that mean and var (biased) were taken over; the running variance is
    the unbiased one.  Raises ArgumentError for fewer than two rows, InPlaceError if a running statistic is recorded.
    """
    check(rows > 1, ArgumentError, f"update_running_statistics: {rows} row has no unbiased variance. Use 2 or more.")
    check(0 <= momentum <= 1, ArgumentError, f"update_running_statistics: momentum is {momentum}. Pass it in [0, 1].")
    running = running_mean, running_var
    if any(r.requires_grad for r in running):
        raise InPlaceError("update_running_statistics: a running statistic requires gradients. Detach it.")
    if not running_mean.shape == running_var.shape == mean.shape == var.shape:
        named = ("running_mean", running_mean), ("running_var", running_var), ("mean", mean), ("var", var)
        raise ShapeError(f"update_running_statistics: the shapes differ ({shown(*named)}).")
    arrays = running_mean.data, running_var.data
    kernels.norm.running_statistics(*arrays, mean.data, var.data, momentum=momentum, rows=rows, out=arrays)
    for r in running:
        replayed(r.bump)


# -- layer ------------------------------------------------------------------------------------------------------------


@primitive
def layer_norm(x, gamma, beta, *, eps=1e-5):
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, statistics of x over its last axis.

    x (..., C), gamma, beta (C,) -> (..., C).  Ba, Kiros and Hinton 2016.  Raises ShapeError.
    """
    _check_channels("layer_norm", x, gamma=gamma, beta=beta)
    return kernels.norm.layer_norm(x, gamma, beta, eps=eps)


@layer_norm.definition
def _(x, gamma, beta, *, eps):
    mean, var = mean_over(x, axis=-1, keepdims=True), var_over(x, axis=-1, keepdims=True)
    return (x - mean) / sqrt(var + eps) * gamma + beta


@primitive(outs=("g_x", "g_gamma", "g_beta"))
def layer_norm_grad(g_y, x, gamma, *, eps=1e-5):
    """Cotangents of x, gamma and beta in layer_norm.  g_y, x (..., C), gamma (C,) -> (..., C), (C,), (C,)."""
    return kernels.norm.layer_norm_grad(g_y, x, gamma, eps=eps)


@layer_norm_grad.definition
def _(g_y, x, gamma, *, eps):
    inverse = 1 / sqrt(var_over(x, axis=-1, keepdims=True) + eps)
    x_hat = (x - mean_over(x, axis=-1, keepdims=True)) * inverse
    d = g_y * gamma
    slope = mean_over(d * x_hat, axis=-1, keepdims=True)
    g_x = inverse * (d - mean_over(d, axis=-1, keepdims=True) - x_hat * slope)
    return g_x, _sum_rows(g_y * x_hat), _sum_rows(g_y)


layer_norm.share(all=lambda g, x, gamma, p: layer_norm_grad(g, x, gamma, **p))
layer_norm.defvjp(x=lambda all: all[0], gamma=lambda all: all[1], beta=lambda all: all[2])


# -- weight -----------------------------------------------------------------------------------------------------------


@primitive
def weight_norm(v, gain):
    """w = gain * v / |v|, the Euclidean norm taken over all axes but the last: one norm for each output.

    v (..., O), gain (O,) -> w (..., O).  Salimans and Kingma 2016, equation 2.  A column of zeros has no direction and
    gives NaN.  Raises ShapeError.
    """
    _check_channels("weight_norm", v, gain=gain)
    return kernels.norm.weight_norm(v, gain)


@weight_norm.definition
def _(v, gain):
    return gain * v / sqrt(_sum_rows(v * v))


@primitive(outs=("g_v", "g_gain"))
def weight_norm_grad(g_w, v, gain):
    """Cotangents of v and gain in weight_norm.  g_w, v (..., O), gain (O,) -> (..., O), (O,)."""
    return kernels.norm.weight_norm_grad(g_w, v, gain)


@weight_norm_grad.definition
def _(g_w, v, gain):
    norm = sqrt(_sum_rows(v * v))
    u = v / norm
    g_gain = _sum_rows(g_w * u)
    return gain / norm * (g_w - u * g_gain), g_gain


weight_norm.share(both=lambda g, v, gain: weight_norm_grad(g, v, gain))
weight_norm.defvjp(v=lambda both: both[0], gain=lambda both: both[1])
