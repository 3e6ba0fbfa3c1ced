"""Which pixel every tap of a window reads: the integer tables that the convolution kernels walk.

A table is a list, tap by tap, of one pixel index per output pixel, -1 where the tap falls outside the image (or, in
the adjoint, between strides).  Tables depend on shapes only, so they are made once and kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .._simd import ROWS
from . import Pads, Pair, live, out_hw


class Window(NamedTuple):
    """A convolution seen from its images: batch, sizes and taps, but no channels."""

    n: int
    x_hw: Pair
    k: Pair
    stride: Pair
    pad: Pads
    dilation: Pair
    taps: tuple[Pair, ...]  # the live ones


class Tiles(NamedTuple):
    """A table cut into tiles of ROWS output pixels, and for each tile only the taps that reach a pixel from there.

    Tile t uses entries first[t] to first[t + 1]: tap[e] is the number of the tap, row[e * ROWS :] the pixels it reads.
    out[t * ROWS :] are the pixels the tile writes.
    """

    first: np.ndarray
    tap: np.ndarray
    row: np.ndarray
    out: np.ndarray


@lru_cache(maxsize=256)
def live_taps(k: Pair, mask: str | None, colors: int) -> tuple[Pair, ...]:
    """The taps that connect anything; with several colours the centre always does, at least in part."""
    keep = live((*k, colors, colors), mask, colors).any(axis=(2, 3))
    return tuple([(int(i), int(j)) for i, j in np.argwhere(keep)])


@lru_cache(maxsize=64)
def table(window: Window, adjoint: bool) -> np.ndarray:
    """int32 (taps, output pixels): the input pixel that each tap reads; with `adjoint`, images change their roles."""
    n, x_hw, k, stride, pad, dilation, taps = window
    y_hw = out_hw(x_hw, k, stride, pad, dilation)
    axes = []
    for axis in range(2):
        shift = np.arange(k[axis])[:, None] * dilation[axis] - pad[axis][0]
        if adjoint:
            at, between = np.divmod(np.arange(x_hw[axis]) - shift, stride[axis])
            outside = (between != 0) | (at < 0) | (at >= y_hw[axis])
        else:
            at = np.arange(y_hw[axis]) * stride[axis] + shift
            outside = (at < 0) | (at >= x_hw[axis])
        axes.append(np.where(outside, -1, at).astype(np.int32))
    from_hw = y_hw if adjoint else x_hw
    i, j = (list(t) for t in zip(*taps)) if taps else ([], [])
    rows, columns = axes[0][i][:, None, :, None], axes[1][j][:, None, None, :]
    image = np.arange(n, dtype=np.int32)[:, None, None] * (from_hw[0] * from_hw[1])
    near = np.where((rows < 0) | (columns < 0), -1, image + rows * from_hw[1] + columns)
    return near.reshape(len(taps), n * axes[0].shape[1] * axes[1].shape[1])


@lru_cache(maxsize=64)
def tiles(window: Window, adjoint: bool) -> Tiles:
    """The table in tiles.  Pixels with the same live taps come together (inside, borders, phases of a stride)."""
    near = table(window, adjoint)
    pixels = near.shape[1]
    kinds = np.unique(near[:, : pixels // max(window.n, 1)] >= 0, axis=1, return_inverse=True)[1].ravel()
    order = np.argsort(np.tile(kinds, window.n), kind="stable")
    order = np.concatenate([order, order[-1:].repeat(-pixels % ROWS)])  # a ragged tile repeats its last row
    cut = near[:, order].reshape(len(near), len(order) // ROWS, ROWS).transpose(1, 0, 2)
    used = (cut >= 0).any(axis=2)
    first = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return Tiles(first, np.nonzero(used)[1].copy(), cut[used].ravel(), order.astype(np.int32))


class Layout(NamedTuple):
    """How to copy an image into a frame of zeros so that every window lies inside, and where its taps are then.

    Pixel (i, j) goes to frame[place[0]][i], frame[place[1]][j] (`keep` says which pixels have a place).  The window of
    output pixel (i, j) begins at (i, j) * step, and neighbouring taps of a row form one run: element offsets from
    there, and lengths.
    """

    hw: Pair
    keep: tuple[slice, slice]
    place: tuple[slice, slice]
    step: Pair
    offsets: np.ndarray
    lengths: np.ndarray


@lru_cache(maxsize=64)
def layout(window: Window, adjoint: bool, c: int) -> Layout:
    """The frame for images of c channels.  With `adjoint` it spreads g by the stride, and taps come in reverse."""
    _, x_hw, k, stride, pad, dilation, taps = window
    if adjoint:
        reach = [(size - 1) * d for size, d in zip(k, dilation)]
        hw = tuple([n + r for n, r in zip(x_hw, reach)])
        at, spread, step = [r - p[0] for r, p in zip(reach, pad)], stride, (1, 1)
        shifts = [(r - i * dilation[0], q - j * dilation[1]) for r, q in [reach] for i, j in reversed(taps)]
        sizes = out_hw(x_hw, k, stride, pad, dilation)
    else:
        hw = tuple([n + sum(p) for n, p in zip(x_hw, pad)])
        at, spread, step = [p[0] for p in pad], (1, 1), stride
        shifts = [(i * dilation[0], j * dilation[1]) for i, j in taps]
        sizes = x_hw
    skipped = [-(min(a, 0) // s) for a, s in zip(at, spread)]  # first pixel with a place in the frame
    counts = [min(n, -(-(size - a) // s)) for n, size, a, s in zip(sizes, hw, at, spread)]
    keep = tuple([slice(b, max(n, b)) for b, n in zip(skipped, counts)])
    place = tuple([slice(a + b * s, a + b * s + (k.stop - b) * s, s) for a, b, s, k in zip(at, skipped, spread, keep)])
    offsets, lengths = [], []
    for y, x in shifts:
        offset = (y * hw[1] + x) * c
        if offsets and offset == offsets[-1] + lengths[-1]:
            lengths[-1] += c
        else:
            offsets.append(offset)
            lengths.append(c)
    return Layout(hw, keep, place, step, np.array(offsets, np.int64), np.array(lengths, np.int64))
