"""Launches of coupling.cu and live.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.rows import THREADS, planned
from .._cuda.scratch import room
from .._cuda.source import Source
from .._prepared import prepared

Array = Any

FLOATS = "float32", "float64"
AFFINE = Source(__file__, "coupling.cu", T=FLOATS)
LIVE = Source(__file__, "live.cu", T=FLOATS)


def _length(x: Array) -> int:
    """Entries of x (N, ...) per example."""
    return x.size // max(1, len(x))


def _examples(name: str, x: Array, *arrays: Array, channels: int | None = None) -> None:
    """A row of threads for each example of x."""
    plan = planned(len(x), _length(x))
    counts = () if channels is None else (np.int64(channels),)
    launch(AFFINE, f"coupling_{name}", plan.grid, plan.block, (x, *arrays, plan.shape, *counts), T=x.dtype)


def _each(name: str, g: Array, *arrays: Array) -> None:
    """A thread for each entry."""
    args = g, *arrays, np.int64(g.size), np.int64(_length(g))
    launch(AFFINE, f"coupling_{name}", (-(-g.size // THREADS),), (THREADS,), args, T=g.dtype)


@prepared
def affine_coupling(x: Array, s: Array, t: Array, y: Array, log_det: Array) -> None:
    _examples("affine", x, s, t, y, log_det)


@prepared
def affine_coupling_grad(g_y: Array, g_log_det: Array, x: Array, s: Array, g_x: Array, g_s: Array) -> None:
    _each("affine_grad", g_y, g_log_det, x, s, g_x, g_s)


@prepared
def affine_coupling_inverse(y: Array, s: Array, t: Array, x: Array, log_det: Array) -> None:
    _examples("affine_inverse", y, s, t, x, log_det)


@prepared
def affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, s: Array, g_y: Array, g_s: Array, g_t: Array
) -> None:
    _each("affine_inverse_grad", g_x, g_log_det, x, s, g_y, g_s, g_t)


# -- with the network's output, scale and mask ------------------------------------------------------------------------


@prepared
def masked_affine_coupling(x: Array, h: Array, scale: Array, mask: Array, y: Array, log_det: Array) -> None:
    _examples("masked", x, h, scale, mask, y, log_det, channels=scale.size)


@prepared
def masked_affine_coupling_inverse(y: Array, h: Array, scale: Array, mask: Array, x: Array, log_det: Array) -> None:
    _examples("masked_inverse", y, h, scale, mask, x, log_det, channels=scale.size)


@prepared
def masked_affine_coupling_grad(
    g_y: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_x: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    _gradient("masked_grad", g_y, g_log_det, x, h, scale, mask, g_x, g_h, g_scale)


@prepared
def masked_affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_y: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    _gradient("masked_inverse_grad", g_x, g_log_det, x, h, scale, mask, g_y, g_h, g_scale)


def _gradient(name: str, *arrays: Array) -> None:
    """Both cotangents of the masked kernels, with parts of that of the scale, and these added."""
    *given, g_scale = arrays
    mask, channels = given[5], g_scale.size
    plan = planned(1, given[0].size // max(1, channels), channels, split=True)
    partial = room(g_scale, (plan.parts, channels), np.float64)
    args = *given, partial, plan.shape, np.int64(mask.size // max(1, channels))
    launch(AFFINE, f"coupling_{name}", plan.grid, plan.block, args, T=g_scale.dtype)
    total = planned(1, plan.parts, channels)
    args = partial, g_scale, total.shape
    launch(AFFINE, "coupling_add_parts", total.grid, total.block, args, T=g_scale.dtype)


# -- the live weights of a dense coupling -----------------------------------------------------------------------------


@prepared
def live_weights(
    w_in: Array, w_out: Array, b_out: Array, scale: Array, first: Array, last: Array, bias: Array, gain: Array, *,
    kept: int,
) -> None:  # fmt: skip
    arrays = w_in, w_out, b_out, scale, first, last, bias, gain
    _live("live_weights", *arrays, shape=(*w_in.shape, len(first)), kept=kept)


@prepared
def live_weights_grad(
    g_first: Array, g_last: Array, g_bias: Array, g_gain: Array,
    g_w_in: Array, g_w_out: Array, g_b_out: Array, g_scale: Array, *, kept: int,
) -> None:  # fmt: skip
    arrays = g_first, g_last, g_bias, g_gain, g_w_in, g_w_out, g_b_out, g_scale
    _live("live_weights_grad", *arrays, shape=(*g_w_in.shape, len(g_first)), kept=kept)


def _live(name: str, *arrays: Array, shape: tuple[int, ...], kept: int) -> None:
    """A thread for each entry of the outputs, the last four; shape: of w_in, and how many of its rows are kept."""
    grid = (-(-sum(a.size for a in arrays[4:]) // THREADS),)
    args = *arrays, *map(np.int64, (*shape, kept))
    launch(LIVE, f"coupling_{name}", grid, (THREADS,), args, T=arrays[0].dtype)
