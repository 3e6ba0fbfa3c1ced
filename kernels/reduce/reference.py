"""What the kernels of this family compute, in plain NumPy."""

from __future__ import annotations

import numpy as np


def sum(x, y, *, axes, keepdims, divisor):
    y[...] = x.sum(axes, dtype=np.float64, keepdims=keepdims) / divisor


def max(x, y, *, axes, keepdims):
    y[...] = x.max(axes, keepdims=keepdims)


def min(x, y, *, axes, keepdims):
    y[...] = x.min(axes, keepdims=keepdims)


def _shift(x, axes):
    """The largest entries, or 0 where they are infinite (or none): what may be subtracted without making a NaN."""
    m = x.max(axes, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(m), m, 0)


def logsumexp(x, y, *, axes, keepdims):
    m = _shift(x, axes)
    with np.errstate(divide="ignore"):  # log 0 = -inf is the answer
        total = np.log(np.exp(x - m).sum(axes, dtype=np.float64, keepdims=True)) + m
    y[...] = total.reshape(y.shape)


def argmax(x, y, *, axis):
    y[...] = x.argmax(axis)


def softmax(x, y, *, axis):
    e = np.exp(x - _shift(x, axis))
    y[...] = e / e.sum(axis, dtype=np.float64, keepdims=True)


def log_softmax(x, y, *, axis):
    m = _shift(x, axis)
    if y.size:  # along an empty axis the logarithm would be of zero, for nobody
        y[...] = x - m - np.log(np.exp(x - m).sum(axis, dtype=np.float64, keepdims=True))
