"""Which pixel every tap of a window reads: the integer tables that the convolution kernels walk.

A table is a list, tap by tap, of one pixel index per output pixel, -1 where the tap falls outside the image (or, in
the adjoint, between strides).  Tables depend on shapes only, so they are made once and kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .._simd import ROWS
from . import Pads, Pair, blocks, out_hw


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


def windows(
    x_shape: tuple[int, ...], w_shape: tuple[int, int, int, int], stride: Pair, pad: Pads, dilation: Pair,
    mask: str | None, colors: int,
) -> list[tuple[Window, slice, slice]]:  # fmt: skip
    """A convolution from x (N, H, W, C) with w as a sum of dense ones: window, input channels, output channels."""
    n, height, width = x_shape[:3]
    return [
        (Window(n, (height, width), w_shape[:2], stride, pad, dilation, taps), inputs, outputs)
        for taps, inputs, outputs in blocks(w_shape, mask, colors)
    ]


@lru_cache(maxsize=256)
def places(window: Window, size: int, turned: bool = False) -> np.ndarray:
    """Where each live tap's matrix of `size` entries begins in the weights; `turned`: in reverse order."""
    taps = reversed(window.taps) if turned else window.taps
    return np.array([(i * window.k[1] + j) * size for i, j in taps], np.int64)


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


@lru_cache(maxsize=64)
def hole(c: int, dtype: np.dtype) -> np.ndarray:
    """The pixel that a tap outside the image reads."""
    return np.zeros(c, dtype)


class Layout(NamedTuple):
    """How to copy an image into a frame of zeros so that every window lies inside, and where its taps are then.

    Pixel (i, j) goes to frame[place[0]][i], frame[place[1]][j] (`keep` says which pixels have a place).  The window of
    output pixel (i, j) begins at (i, j) * step, and `reach` is how many elements from there its entries lie.
    """

    hw: Pair
    keep: tuple[slice, slice]
    place: tuple[slice, slice]
    step: Pair
    reach: np.ndarray


def _placed(n: int, size: int, at: int, step: int) -> tuple[slice, slice]:
    """Which of n entries fall into a line of `size` when entry i goes to at + i * step, and where those go."""
    first = -(min(at, 0) // step)
    stop = max(first, min(n, -((at - size) // step)))
    return slice(first, stop), slice(at + first * step, at + stop * step, step)


@lru_cache(maxsize=64)
def layout(window: Window, adjoint: bool, c: int) -> Layout:
    """The frame for images of c channels.  With `adjoint` it spreads g by the stride, and taps come in reverse."""
    _, (h, w), k, stride, ((top, bottom), (left, right)), (dy, dx), taps = window
    if adjoint:
        down, across = (k[0] - 1) * dy, (k[1] - 1) * dx
        hw, at, spread, step = (h + down, w + across), (down - top, across - left), stride, (1, 1)
        shifts = [(down - i * dy, across - j * dx) for i, j in reversed(taps)]
        h, w = out_hw((h, w), k, stride, window.pad, window.dilation)
    else:
        hw, at, spread, step = (h + top + bottom, w + left + right), (top, left), (1, 1), stride
        shifts = [(i * dy, j * dx) for i, j in taps]
    rows, columns = _placed(h, hw[0], at[0], spread[0]), _placed(w, hw[1], at[1], spread[1])
    reach = np.add.outer([(y * hw[1] + x) * c for y, x in shifts], np.arange(c)).ravel().astype(np.int64)
    return Layout(hw, (rows[0], columns[0]), (rows[1], columns[1]), step, reach)


@lru_cache(maxsize=64)
def sights(window: Window, adjoint: bool, c: int, n: int, hw: Pair) -> tuple[np.ndarray, np.ndarray]:
    """int32: where the windows of n images of hw output pixels start in the frames, and where their entries are then.

    Entries come tap by tap, as `layout` orders them.  Both lists repeat their last number up to a multiple of ROWS.
    """
    how = layout(window, adjoint, c)
    line, image = how.hw[1] * c, how.hw[0] * how.hw[1] * c
    starts = np.add.outer(np.arange(n) * image, np.arange(hw[0]) * (how.step[0] * line))
    starts = np.add.outer(starts, np.arange(hw[1]) * (how.step[1] * c)).ravel()
    whole, some = (np.concatenate([a, a[-1:].repeat(-len(a) % ROWS)]).astype(np.int32) for a in (starts, how.reach))
    return whole, some


class Homes(NamedTuple):
    """Where the pixels of an image lie in a frame: runs of `length` elements, from image[at] to frame[place]."""

    at: np.ndarray
    place: np.ndarray
    length: int


@lru_cache(maxsize=64)
def homes(window: Window, adjoint: bool, c: int, width: int) -> Homes:
    """The runs of one image, whose rows have `width` pixels of c channels, in the frame of `layout`."""
    how = layout(window, adjoint, c)
    (rows, columns), (down, across) = how.keep, how.place
    at = np.arange(rows.start, rows.stop) * width + columns.start
    place = np.arange(down.start, down.stop, down.step) * how.hw[1] + across.start
    if across.step == 1:
        return Homes(at * c, place * c, (columns.stop - columns.start) * c)
    steps = np.arange(columns.stop - columns.start)
    at, place = at[:, None] + steps, place[:, None] + steps * across.step
    return Homes(at.ravel() * c, place.ravel() * c, c)
