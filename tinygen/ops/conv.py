"""Convolutions and pooling on channels-last images (N, H, W, C); weights are (K, K', C, O).

The three directions of a convolution are one closed family: each is linear in both arguments, and the rule of each is
another one of them.  `conv2d_input_grad` is the transposed convolution.
"""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..errors import ArgumentError, DTypeError, ShapeError, shape_text, shown
from ..kernels._devices import beside
from ..kernels.conv import out_hw
from ..primitive import primitive
from ..tensor import Tensor
from .matmul import _activate, _before_activation, _check_activation

# -- parameters -------------------------------------------------------------------------------------------------------


def _pair(op, name, value, least=1):
    """An int or a pair of ints as a pair."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, int | np.integer) and v >= least for v in pair):
        raise ArgumentError(f"{op}: {name} is {value!r}. Pass an int >= {least}, or a pair of them (rows, columns).")
    return int(pair[0]), int(pair[1])


def _pads(op, pad):
    """An int, a pair, or a pair of pairs as ((top, bottom), (left, right))."""
    axes = tuple(pad) if isinstance(pad, tuple | list) else (pad, pad)
    if len(axes) != 2:
        raise ArgumentError(f"{op}: pad is {pad!r}. Pass an int, (rows, columns) or ((top, bottom), (left, right)).")
    return _pair(op, "pad", axes[0], 0), _pair(op, "pad", axes[1], 0)


def _canonical(op, stride, pad, dilation, mask, colors):
    """The parameters of a convolution as its kernels take them."""
    if mask not in (None, "A", "B"):
        raise ArgumentError(f"{op}: mask is {mask!r}. Pass None, 'A' (before the centre) or 'B' (centre included).")
    if not isinstance(colors, int) or colors < 1 or (colors > 1 and mask is None):
        raise ArgumentError(f"{op}: colors is {colors!r} with mask {mask!r}. Pass an int >= 1; 1 without a mask.")
    pairs = _pair(op, "stride", stride), _pads(op, pad), _pair(op, "dilation", dilation)
    return dict(zip(("stride", "pad", "dilation"), pairs), mask=mask, colors=colors)


def _check_four(op, **arrays):
    """Every array is a floating one with four axes, all but the first not empty."""
    for name, a in arrays.items():
        if a.dtype.kind != "f":
            raise DTypeError(f"{op}: {name} is {a.dtype}. Cast it with .astype('float32').")
        if a.ndim != 4 or 0 in a.shape[0 if name == "w" else 1 :]:
            axes = "(K, K', C, O)" if name == "w" else "(N, H, W, C)"
            raise ShapeError(f"{op}: {name} has shape {shape_text(a.shape)}. Pass four axes, {axes}, none but N empty.")


def _check_colors(op, colors, c, o):
    if colors > min(c, o):
        raise ArgumentError(f"{op}: colors is {colors} for {c} input and {o} output channels. Pass as many as fit.")


def _windows(op, x_hw, k, how):
    """Size of the output, where at least one window fits."""
    hw = out_hw(x_hw, k, how["stride"], how["pad"], how["dilation"])
    if min(hw) < 1:
        raise ShapeError(f"{op}: no window of {k[0]}x{k[1]} taps with dilation {how['dilation']} fits into an image of "
                         f"{x_hw[0]}x{x_hw[1]} with pad {how['pad']}. Pad more, or use a smaller kernel.")  # fmt: skip
    return hw


def _check_out(op, g_y, hw):
    if g_y.shape[1:3] != hw:
        raise ShapeError(f"{op}: the convolution has outputs of {hw[0]}x{hw[1]}, g_y has {g_y.shape[1]}x{g_y.shape[2]} "
                         f"(g_y {shape_text(g_y.shape)}). Pass the convolution's own parameters.")  # fmt: skip


def _check_forward(op, x, w, stride, pad, dilation, mask, colors):
    """Refuse what does not fit; returns the canonical parameters."""
    _check_four(op, x=x, w=w)
    how = _canonical(op, stride, pad, dilation, mask, colors)
    if x.shape[3] != w.shape[2]:
        raise ShapeError(f"{op}: w has {w.shape[2]} input channels, x has {x.shape[3]} "
                         f"({shown(('x', x), ('w', w))}). Pass w with {x.shape[3]} input channels.")  # fmt: skip
    _check_colors(op, colors, *w.shape[2:])
    _windows(op, x.shape[1:3], w.shape[:2], how)
    return how


def _check_bias(op, w, b):
    if b.shape != w.shape[3:]:
        raise ShapeError(f"{op}: b has shape {shape_text(b.shape)}, w has {w.shape[3]} output channels. "
                         f"Pass b ({w.shape[3]},).")  # fmt: skip


# -- the family -------------------------------------------------------------------------------------------------------


@primitive
def conv2d(x, w, *, stride=1, pad=0, dilation=1, mask=None, colors=1):
    """Cross-correlation.  x (N, H, W, C), w (K, K', C, O) -> y (N, H', W', O).

    H' = (H + top + bottom - dilation (K - 1) - 1) // stride + 1, and W' likewise.
    stride and dilation: int or (rows, columns); pad: also ((top, bottom), (left, right)), zeros.
    mask "A" or "B": causal in raster order, without or with the centre (van den Oord et al. 2016, PixelCNN).  With
    colors > 1, channel c of C is of colour c * colors // C, and at the centre "A" lets a colour see strictly earlier
    ones, "B" its own too.  Dead taps are left out.  Raises ShapeError, ArgumentError, DTypeError.
    """
    return kernels.conv.conv2d(x, w, **_check_forward("conv2d", x, w, stride, pad, dilation, mask, colors))


@primitive
def conv2d_bias_act(x, w, b, *, activation=None, stride=1, pad=0, dilation=1, mask=None, colors=1):
    """activation(conv2d(x, w) + b), one kernel.  x (N, H, W, C), w (K, K', C, O), b (O,) -> y (N, H', W', O).

    activation as in `linear`, the rest as in `conv2d`.  Raises ShapeError, ArgumentError, DTypeError.
    """
    op = "conv2d_bias_act"
    how = _check_forward(op, x, w, stride, pad, dilation, mask, colors)
    _check_activation(op, activation)
    _check_bias(op, w, b)
    return kernels.conv.conv2d_bias_act(x, w, b, activation=activation, **how)


@conv2d_bias_act.definition
def _(x, w, b, *, activation, **how):
    return _activate(conv2d(x, w, **how) + b, activation)


@primitive
def conv2d_bias(x, w, b, *, stride=1, pad=0, dilation=1, mask=None, colors=1):
    """`conv2d_bias_act` without an activation: the gradient then needs no output, and none is kept for it."""
    how = _check_forward("conv2d_bias", x, w, stride, pad, dilation, mask, colors)
    _check_bias("conv2d_bias", w, b)
    return kernels.conv.conv2d_bias_act(x, w, b, activation=None, **how)


@conv2d_bias.definition
def _(x, w, b, **how):
    return conv2d(x, w, **how) + b


@primitive
def conv2d_input_grad(g_y, w, *, x_hw, stride=1, pad=0, dilation=1, mask=None, colors=1):
    """The adjoint of `conv2d` in x: the transposed convolution.  g_y (N, H', W', O), w (K, K', C, O) -> (N, *x_hw, C).

    x_hw: (H, W) of the convolution's input; with a stride, several sizes give the same H', W'.
    Raises ShapeError, ArgumentError, DTypeError.
    """
    op = "conv2d_input_grad"
    _check_four(op, g_y=g_y, w=w)
    how = _canonical(op, stride, pad, dilation, mask, colors)
    if g_y.shape[3] != w.shape[3]:
        raise ShapeError(f"{op}: w has {w.shape[3]} output channels, g_y has {g_y.shape[3]} "
                         f"({shown(('g_y', g_y), ('w', w))}). Pass w with {g_y.shape[3]} output channels.")  # fmt: skip
    _check_colors(op, colors, *w.shape[2:])
    x_hw = _pair(op, "x_hw", x_hw)
    _check_out(op, g_y, _windows(op, x_hw, w.shape[:2], how))
    return kernels.conv.conv2d_input_grad(g_y, w, x_hw=x_hw, **how)


@primitive
def conv2d_weight_grad(x, g_y, *, k, stride=1, pad=0, dilation=1, mask=None, colors=1):
    """The adjoint of `conv2d` in w; exactly zero where masked.  x (N, H, W, C), g_y (N, H', W', O) -> (*k, C, O).

    k: int or (K, K').  Raises ShapeError, ArgumentError, DTypeError.
    """
    how = _check_weight_grad("conv2d_weight_grad", x, g_y, k, stride, pad, dilation, mask, colors)
    return kernels.conv.conv2d_weight_grad(x, g_y, **how)


@primitive(outs=("g_w", "g_b"))
def conv2d_weight_bias_grad(x, g_y, *, k, stride=1, pad=0, dilation=1, mask=None, colors=1):
    """`conv2d_weight_grad`, and the sum of g_y over all pixels, in one kernel: the gradients of weights and bias.

    x (N, H, W, C), g_y (N, H', W', O) -> (*k, C, O), (O,).  Raises ShapeError, ArgumentError, DTypeError.
    """
    how = _check_weight_grad("conv2d_weight_bias_grad", x, g_y, k, stride, pad, dilation, mask, colors)
    return kernels.conv.conv2d_weight_bias_grad(x, g_y, **how)


def _check_weight_grad(op, x, g_y, k, stride, pad, dilation, mask, colors):
    """Refuse what does not fit; returns the canonical parameters."""
    _check_four(op, x=x, g_y=g_y)
    how = _canonical(op, stride, pad, dilation, mask, colors)
    if len(x) != len(g_y):
        raise ShapeError(f"{op}: x has {len(x)} images, g_y has {len(g_y)} ({shown(('x', x), ('g_y', g_y))}).")
    _check_colors(op, colors, x.shape[3], g_y.shape[3])
    k = _pair(op, "k", k)
    _check_out(op, g_y, _windows(op, x.shape[1:3], k, how))
    return {"k": k, **how}


def _how(p):
    """The parameters that the whole family shares."""
    return {name: p[name] for name in ("stride", "pad", "dilation", "mask", "colors")}


conv2d.defvjp(
    x=lambda g, w, x_shape, p: conv2d_input_grad(g, w, x_hw=x_shape[1:3], **p),
    w=lambda g, x, w_shape, p: conv2d_weight_grad(x, g, k=w_shape[:2], **p),
)
conv2d_bias_act.share(g_z=_before_activation)
conv2d_bias_act.share(g_wb=lambda g_z, x, w_shape, p: conv2d_weight_bias_grad(x, g_z, k=w_shape[:2], **_how(p)))
conv2d_bias_act.defvjp(
    x=lambda g_z, w, x_shape, p: conv2d_input_grad(g_z, w, x_hw=x_shape[1:3], **_how(p)),
    w=lambda g_wb: g_wb[0],
    b=lambda g_wb: g_wb[1],
)
conv2d_bias.share(g_wb=lambda g, x, w_shape, p: conv2d_weight_bias_grad(x, g, k=w_shape[:2], **p))
conv2d_bias.defvjp(
    x=lambda g, w, x_shape, p: conv2d_input_grad(g, w, x_hw=x_shape[1:3], **p),
    w=lambda g_wb: g_wb[0],
    b=lambda g_wb: g_wb[1],
)
conv2d_input_grad.defvjp(
    g_y=lambda g, w, p: conv2d(g, w, **_how(p)),
    w=lambda g, g_y, w_shape, p: conv2d_weight_grad(g, g_y, k=w_shape[:2], **_how(p)),
)
conv2d_weight_grad.defvjp(
    x=lambda g, g_y, x_shape, p: conv2d_input_grad(g_y, g, x_hw=x_shape[1:3], **_how(p)),
    g_y=lambda g, x, p: conv2d(x, g, **_how(p)),
)
conv2d_weight_bias_grad.defvjp(
    x=lambda g_g_w, g_y, x_shape, p: conv2d_input_grad(g_y, g_g_w, x_hw=x_shape[1:3], **_how(p)),
    g_y=lambda g_g_w, g_g_b, x, p: conv2d_bias(x, g_g_w, g_g_b, **_how(p)),
)


# -- sums over windows ------------------------------------------------------------------------------------------------


def _window(op, size, stride):
    size = _pair(op, "size", size)
    return size, size if stride is None else _pair(op, "stride", stride)


def _pooled(op, x, size, stride):
    """Size of the output of pooling x."""
    return _windows(op, x.shape[1:3], size, dict(stride=stride, pad=kernels.conv.NO_PAD, dilation=(1, 1)))


@primitive
def pool2d(x, *, size, stride=None, factor=1.0):
    """factor times the sum over each window.  x (N, H, W, C) -> (N, H', W', C).  stride: default size.

    Windows that do not fit are dropped.  Raises ShapeError, ArgumentError, DTypeError.
    """
    _check_four("pool2d", x=x)
    size, stride = _window("pool2d", size, stride)
    _pooled("pool2d", x, size, stride)
    return kernels.conv.pool2d(x, size=size, stride=stride, factor=float(factor))


@primitive
def pool2d_grad(g_y, *, x_hw, size, stride=None, factor=1.0):
    """The adjoint of `pool2d`: each entry, times factor, added to its window.  g_y (N, H', W', C) -> (N, *x_hw, C)."""
    op = "pool2d_grad"
    _check_four(op, g_y=g_y)
    size, stride = _window(op, size, stride)
    x_hw = _pair(op, "x_hw", x_hw)
    _check_out(op, g_y, out_hw(x_hw, size, stride, kernels.conv.NO_PAD))
    return kernels.conv.pool2d_grad(g_y, x_hw=x_hw, size=size, stride=stride, factor=float(factor))


pool2d.defvjp(x=lambda g, x_shape, p: pool2d_grad(g, x_hw=x_shape[1:3], **p))
pool2d_grad.defvjp(g_y=lambda g, size, stride, factor: pool2d(g, size=size, stride=stride, factor=factor))


def avg_pool2d(x, *, size, stride=None):
    """The mean of each window.  x (N, H, W, C) -> (N, H', W', C).  stride: default size; see `pool2d`."""
    rows, columns = _pair("avg_pool2d", "size", size)
    return pool2d(x, size=(rows, columns), stride=stride, factor=1 / (rows * columns))


def upsample_nearest(x, *, scale):
    """Every pixel as a block of scale (int or pair) equal ones.  x (N, H, W, C) -> (N, H scale, W scale, C)."""
    rows, columns = _pair("upsample_nearest", "scale", scale)
    if len(x.shape) != 4:
        raise ShapeError(f"upsample_nearest: x has shape {shape_text(x.shape)}. Pass four axes, (N, H, W, C).")
    return pool2d_grad(x, x_hw=(x.shape[1] * rows, x.shape[2] * columns), size=(rows, columns))


# -- maxima over windows ----------------------------------------------------------------------------------------------


@primitive
def max_pool2d(x, *, size, stride=None):
    """The largest entry of each window, NaN if there is one.  x (N, H, W, C) -> (N, H', W', C).  stride: default size.

    The gradient goes to the first largest in raster order, as in PyTorch.  Windows that do not fit are dropped.
    Raises ShapeError, ArgumentError, DTypeError.
    """
    _check_four("max_pool2d", x=x)
    size, stride = _window("max_pool2d", size, stride)
    _pooled("max_pool2d", x, size, stride)
    return kernels.conv.max_pool2d(x, x, size=size, stride=stride)


@primitive
def max_pool2d_at(x, v, *, size, stride=None):
    """v at the place of x's maximum in each window: linear in v.  x, v (N, H, W, C) -> (N, H', W', C)."""
    op = "max_pool2d_at"
    _check_four(op, x=x, v=v)
    size, stride = _window(op, size, stride)
    if x.shape != v.shape:
        raise ShapeError(f"{op}: {shown(('x', x), ('v', v))} differ. Pass equal shapes.")
    _pooled(op, x, size, stride)
    return kernels.conv.max_pool2d(x, v, size=size, stride=stride)


@primitive
def max_pool2d_grad(x, g_y, *, size, stride=None):
    """The adjoint of `max_pool2d_at` in v, hence the gradient of `max_pool2d`.  x, g_y (N, H', W', C) -> like x."""
    op = "max_pool2d_grad"
    _check_four(op, x=x, g_y=g_y)
    size, stride = _window(op, size, stride)
    _check_out(op, g_y, _pooled(op, x, size, stride))
    if (len(x), x.shape[3]) != (len(g_y), g_y.shape[3]):
        raise ShapeError(f"{op}: {shown(('x', x), ('g_y', g_y))} differ in images or channels.")
    return kernels.conv.max_pool2d_grad(x, g_y, size=size, stride=stride)


def _still(x):
    """The cotangent of an input that only chooses: the choice does not change, except at ties."""
    return Tensor(beside(x.data).zeros(x.shape, x.dtype))


max_pool2d.defvjp(x=lambda g, x, p: max_pool2d_grad(x.detach(), g, **p))
max_pool2d_at.defvjp(x=_still, v=lambda g, x, p: max_pool2d_grad(x.detach(), g, **p))
max_pool2d_grad.defvjp(x=_still, g_y=lambda g, x, p: max_pool2d_at(x.detach(), g, **p))
