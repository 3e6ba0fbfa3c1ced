"""Likelihoods in the units of papers: nats, bits, bits per dimension, importance-weighted bounds.

All take numbers, arrays or Tensors and compute in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, NonFiniteError, ShapeError, check, shape_text

LN2 = math.log(2)


def nats_to_bits(nats: Any) -> Any:
    """bits = nats / ln 2.  Raises NonFiniteError for NaN and infinity."""
    return _plain(_finite("nats_to_bits", nats) / LN2)


def bits_to_nats(bits: Any) -> Any:
    """nats = bits ln 2.  Raises NonFiniteError for NaN and infinity."""
    return _plain(_finite("bits_to_nats", bits) * LN2)


def bits_per_dim(nll_nats: Any, dims: int, *, bin_width: float = 1.0) -> Any:
    """Bits per dimension of negative log-likelihoods in nats per example (any shape; the result has it too).

    bin_width is the width of one grey level in the units that the density was taken in: 1 for a probability of grey
    levels, 1/256 for the density of 8-bit data scaled to [0, 1], 2/256 for [-1, 1].  A density p over bins of width w
    gives a level the probability p w, hence bits = nll / (dims ln 2) - log2 w (Theis, van den Oord, Bethge, "A note on
    the evaluation of generative models", 2016, section 3.1).
    Raises NonFiniteError for NaN and infinity, ArgumentError for dims < 1 or bin_width <= 0.
    """
    check(dims >= 1, ArgumentError, f"bits_per_dim: dims is {dims}; it is the number of entries of one example.")
    check(bin_width > 0, ArgumentError, f"bits_per_dim: bin_width is {bin_width}; it must be positive.")
    return _plain(_finite("bits_per_dim", nll_nats) / (dims * LN2) - math.log2(bin_width))


def iwae_from_log_weights(log_w: Any) -> np.ndarray:
    """log (1/k) sum_i w_i, in nats, of log weights (N, k) -> (N,): the bound of Burda et al., 2016, equation 8.

    log w_i = log p(x, z_i) - log q(z_i | x).  A weight of zero (-inf) is a weight; a row of nothing else gives -inf.
    Raises ShapeError for other shapes and k = 0, NonFiniteError for NaN and +inf.
    """
    log_w = np.asarray(log_w, np.float64)
    if log_w.ndim != 2 or log_w.shape[1] == 0:
        raise ShapeError(f"iwae_from_log_weights: log_w {shape_text(log_w.shape)} is not (N,k) with k at least 1.")
    bad = ~(log_w < np.inf)
    if bad.any():
        raise NonFiniteError(f"iwae_from_log_weights: {int(bad.sum())} of {log_w.size} log weights are NaN or +inf.")
    top = log_w.max(axis=1)
    shift = np.where(np.isneginf(top), 0.0, top)
    mean = np.exp(log_w - shift[:, None]).mean(axis=1)
    return shift + np.log(mean, out=np.full_like(mean, -np.inf), where=mean > 0)


def _finite(what: str, value: Any) -> np.ndarray:
    array = np.asarray(value, np.float64)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise NonFiniteError(f"{what}: {count} of {array.size} values are not finite. Find out why before averaging.")
    return array


def _plain(array: np.ndarray) -> Any:
    """A float for a single number, the array otherwise."""
    return float(array) if np.ndim(array) == 0 else array
