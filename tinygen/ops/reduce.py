"""Sums, means, extremes and the softmax family, over any axes.

`axis` is an int, several, or None for all; `keepdims` leaves reduced axes as length 1.  Sums are accumulated in float64
in an order that depends on the shape alone.  A NaN in gives a NaN out.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import ArgumentError, DTypeError, shown
from ..primitive import primitive
from ._axes import axis_number, axis_numbers
from .elementwise import cast, clip, equal, exp, sqrt
from .shape import broadcast_to, reshape
from .shape import sum_to as sum_to  # a reduction; it stands beside its adjoint, broadcast_to


def _checked(op, x, axis):
    """The axes as sorted numbers, after checking that x is of a floating type."""
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: x is {x.dtype}. Cast it with .astype('float32').")
    return axis_numbers(op, axis, x.ndim)


def _count(op, x, axes):
    """How many entries are reduced to one.  Raises ArgumentError for none."""
    n = math.prod([x.shape[i] for i in axes])
    if not n:
        raise ArgumentError(f"{op}: {shown(('x', x))} has no entries along axes {axes}.")
    return n


def _terms(axis, x_shape):
    return math.prod([x_shape[i] for i in axis_numbers("mean", axis, len(x_shape))])


def _kept(y, axis, x_shape):
    """A reduced array with the reduced axes back, as length 1."""
    axes = axis_numbers("reduce", axis, len(x_shape))
    return reshape(y, shape=tuple([1 if i in axes else n for i, n in enumerate(x_shape)]))


def _spread(g, axis, x_shape):
    """The cotangent of a sum, for each of its terms."""
    return broadcast_to(_kept(g, axis, x_shape), shape=x_shape)


@primitive
def sum(x, *, axis=None, keepdims=False):
    """The sum; 0 of no entries."""
    return kernels.reduce.sum(x, axes=_checked("sum", x, axis), keepdims=keepdims)


@primitive
def mean(x, *, axis=None, keepdims=False):
    """The arithmetic mean.  Raises ArgumentError for no entries."""
    axes = _checked("mean", x, axis)
    return kernels.reduce.sum(x, axes=axes, keepdims=keepdims, divisor=_count("mean", x, axes))


@primitive
def max(x, *, axis=None, keepdims=False):
    """The largest entry.  Equal ones share the gradient, as in torch.amax.  Raises ArgumentError for no entries."""
    axes = _checked("max", x, axis)
    _count("max", x, axes)
    return kernels.reduce.max(x, axes=axes, keepdims=keepdims)


@primitive
def min(x, *, axis=None, keepdims=False):
    """The smallest entry.  Equal ones share the gradient, as in torch.amin.  Raises ArgumentError for no entries."""
    axes = _checked("min", x, axis)
    _count("min", x, axes)
    return kernels.reduce.min(x, axes=axes, keepdims=keepdims)


@primitive(piecewise_constant=True)
def argmax(x, *, axis=None):
    """int64 index of the first largest entry, or of the first NaN, along an axis; None: in the flattened array.

    Raises ArgumentError for no entries.
    """
    axes = _checked("argmax", x, axis)
    _count("argmax", x, axes)
    if axis is None:
        x = (x if x.flags.c_contiguous else kernels.shape.copy(x)).reshape(-1)
    return kernels.reduce.argmax(x, axis=0 if axis is None else axis_number("argmax", axis, x.ndim))


@primitive
def logsumexp(x, *, axis=None, keepdims=False):
    """log(sum(e**x)) without overflow; -inf, with gradient 0, where every entry is -inf, and -inf of no entries."""
    return kernels.reduce.logsumexp(x, axes=_checked("logsumexp", x, axis), keepdims=keepdims)


@primitive
def softmax(x, *, axis=-1):
    """e**x / sum(e**x) along one axis."""
    (place,) = _checked("softmax", x, axis_number("softmax", axis, x.ndim))
    return kernels.reduce.softmax(x, axis=place)


@primitive
def log_softmax(x, *, axis=-1):
    """log(softmax(x)) = x - logsumexp(x) along one axis, accurate where the softmax underflows."""
    (place,) = _checked("log_softmax", x, axis_number("log_softmax", axis, x.ndim))
    return kernels.reduce.log_softmax(x, axis=place)


def _to_extremes(g, x, y, axis):
    """The cotangent of max and min: equal shares for the entries that attain it."""
    attained = cast(equal(x, _kept(y, axis, x.shape)), dtype=x.dtype)
    return attained * (_kept(g, axis, x.shape) / sum(attained, axis=axis, keepdims=True))


def _through_logsumexp(g, x, y, axis):
    shift = clip(_kept(y, axis, x.shape), low=float(np.finfo(x.dtype).min))  # -inf - -inf would be NaN
    return _kept(g, axis, x.shape) * exp(x - shift)


sum.defvjp(x=lambda g, x_shape, axis: _spread(g, axis, x_shape))
mean.defvjp(x=lambda g, x_shape, axis: _spread(g * (1 / _terms(axis, x_shape)), axis, x_shape))
max.defvjp(x=_to_extremes)
min.defvjp(x=_to_extremes)
logsumexp.defvjp(x=_through_logsumexp)
softmax.defvjp(x=lambda g, y, axis: y * (g - sum(g * y, axis=axis, keepdims=True)))
log_softmax.defvjp(x=lambda g, y, axis: g - exp(y) * sum(g, axis=axis, keepdims=True))


def var(x, *, axis=None, keepdims=False, correction=0):
    """The variance: mean squared distance from the mean, times n / (n - correction).

    correction=0 is biased, as in NumPy; 1 is PyTorch's default.  Raises ArgumentError unless n > correction.
    """
    axes = axis_numbers("var", axis, x.ndim)
    n = _count("var", x, axes)
    if n <= correction:
        raise ArgumentError(f"var: {n} entries are too few for correction={correction}.")
    distance = x - mean(x, axis=axes, keepdims=True)
    return sum(distance * distance, axis=axes, keepdims=keepdims) * (1 / (n - correction))


def std(x, *, axis=None, keepdims=False, correction=0):
    """The standard deviation: the root of `var`."""
    return sqrt(var(x, axis=axis, keepdims=keepdims, correction=correction))
