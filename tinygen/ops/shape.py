"""Reshaping, joining, cutting and indexing.

Reshapes, transposes, flips and slices are views of the same memory.  Three pairs are adjoint, and each other's
gradient: broadcast_to and sum_to, getitem and getitem_grad, gather and scatter_add.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..errors import ArgumentError, DTypeError, ShapeError, shape_text, shown
from ..kernels._devices import beside, to_numpy
from ..primitive import primitive
from ..tensor import Tensor
from ._axes import axis_number, axis_numbers

# -- the same entries, arranged otherwise -----------------------------------------------------------------------------


@primitive(view=True)
def reshape(x, *, shape):
    """The same entries, in C order, in another shape; one length may be -1 and is then worked out.

    A view where x is contiguous, else a copy.  Raises ShapeError if the numbers of entries differ.
    """
    sizes = _sizes("reshape", shape)
    known = math.prod([n for n in sizes if n != -1])
    if -1 in sizes:
        if sizes.count(-1) > 1 or not known or x.size % known:
            raise ShapeError(f"reshape: no length for -1 in {shape_text(sizes)} gives {x.size} entries.")
        sizes = tuple([x.size // known if n == -1 else n for n in sizes])
    elif known != x.size:
        raise ShapeError(f"reshape: {shown(('x', x))} has {x.size} entries, {shape_text(sizes)} has {known}.")
    return (x if x.flags.c_contiguous else kernels.shape.copy(x)).reshape(sizes)


@primitive(view=True)
def transpose(x, *, axes=None):
    """Axes in another order, reversed by default.  A view.  Raises ArgumentError unless axes is a permutation."""
    return x.transpose(_permutation(axes, x.ndim))


@primitive(view=True)
def flip(x, *, axis=None):
    """Entries in reverse along an axis, several, or all.  A view."""
    axes = axis_numbers("flip", axis, x.ndim)
    return x[tuple([slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim)])]


def _sizes(op, shape):
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if not all(isinstance(n, int | np.integer) and n >= -1 for n in sizes):
        raise ArgumentError(f"{op}: shape is {shape!r}. Pass a tuple of lengths.")
    return tuple([int(n) for n in sizes])


def _permutation(axes, ndim):
    if axes is None:
        return tuple(range(ndim))[::-1]
    numbers = tuple([axis_number("transpose", a, ndim) for a in axes])
    if sorted(numbers) != list(range(ndim)):
        raise ArgumentError(f"transpose: axes is {tuple(axes)}. Name each of the {ndim} axes once.")
    return numbers


def _inverse(axes, ndim):
    order = _permutation(axes, ndim)
    return tuple([order.index(i) for i in range(ndim)])


reshape.defvjp(x=lambda g, x_shape: reshape(g, shape=x_shape))
transpose.defvjp(x=lambda g, axes: transpose(g, axes=_inverse(axes, g.ndim)))
flip.defvjp(x=lambda g, axis: flip(g, axis=axis))


def expand_dims(x, *, axis):
    """A new axis of length 1, at place `axis` of the result."""
    place = axis_number("expand_dims", axis, x.ndim + 1)
    return reshape(x, shape=(*x.shape[:place], 1, *x.shape[place:]))


def squeeze(x, *, axis=None):
    """Without the axes of length 1, or without those named.  Raises ShapeError if one of those is longer."""
    if axis is None:
        return reshape(x, shape=tuple([n for n in x.shape if n != 1]))
    axes = axis_numbers("squeeze", axis, x.ndim)
    if any(x.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: {shown(('x', x))} is longer than 1 along axis {axis}.")
    return reshape(x, shape=tuple([n for i, n in enumerate(x.shape) if i not in axes]))


def space_to_depth(x, *, block):
    """Blocks of pixels become channels: (N, H, W, C) -> (N, H/b, W/b, b*b*C).

    Channel (i * b + j) * C + c of the result is channel c of the pixel in row i and column j of its block.
    """
    _check_image("space_to_depth", x, block)
    n, h, w, c = x.shape
    if h % block or w % block:
        raise ShapeError(
            f"space_to_depth: {shown(('x', x))} cannot be cut into {block} x {block} blocks. Pad it first."
        )
    blocks = reshape(x, shape=(n, h // block, block, w // block, block, c))
    return reshape(transpose(blocks, axes=(0, 1, 3, 2, 4, 5)), shape=(n, h // block, w // block, block * block * c))


def depth_to_space(x, *, block):
    """Undoes space_to_depth: (N, H, W, b*b*C) -> (N, H*b, W*b, C)."""
    _check_image("depth_to_space", x, block)
    n, h, w, c = x.shape
    if c % block**2:
        raise ShapeError(f"depth_to_space: {shown(('x', x))} has {c} channels, no multiple of {block**2}.")
    pixels = reshape(x, shape=(n, h, w, block, block, c // block**2))
    return reshape(transpose(pixels, axes=(0, 1, 3, 2, 4, 5)), shape=(n, h * block, w * block, c // block**2))


def _check_image(op, x, block):
    if x.ndim != 4:
        raise ShapeError(f"{op}: {shown(('x', x))} is not a batch of images. Pass (N, H, W, C).")
    if not isinstance(block, int | np.integer) or block < 1:
        raise ArgumentError(f"{op}: block is {block!r}. Pass an int >= 1.")


# -- repeating, and adding up the repeats -----------------------------------------------------------------------------


@primitive
def broadcast_to(x, *, shape):
    """x repeated along new leading axes and along axes of length 1.  Raises ShapeError if that cannot give shape."""
    sizes = _sizes("broadcast_to", shape)
    _summed_axes("broadcast_to", sizes, x.shape)
    return kernels.shape.broadcast_to(x, shape=sizes)


@primitive
def sum_to(x, *, shape):
    """x summed to a shape that broadcasts to x's: the adjoint of broadcast_to.  Raises ShapeError if it does not."""
    sizes = _sizes("sum_to", shape)
    return kernels.reduce.sum(x, axes=_summed_axes("sum_to", x.shape, sizes)).reshape(sizes)


def _summed_axes(op, large, small):
    """The axes of `large` along which an array of shape `small` is repeated."""
    extra = len(large) - len(small)
    if extra < 0 or any(n not in (1, large[extra + i]) for i, n in enumerate(small)):
        raise ShapeError(f"{op}: {shape_text(small)} does not broadcast to {shape_text(large)}.")
    return tuple([i for i, n in enumerate(large) if i < extra or (small[i - extra] == 1 and n != 1)])


broadcast_to.defvjp(x=lambda g, x_shape: sum_to(g, shape=x_shape))
sum_to.defvjp(x=lambda g, x_shape: broadcast_to(g, shape=x_shape))

# -- joining and cutting ----------------------------------------------------------------------------------------------


@primitive
def concat(*xs, axis=0):
    """Arrays joined along an axis.  Raises ShapeError where other lengths differ, DTypeError for different dtypes."""
    if not xs:
        raise ArgumentError("concat: there is nothing to join. Pass at least one array.")
    place = axis_number("concat", axis, xs[0].ndim)
    first = xs[0]
    for i, x in enumerate(xs):
        if x.dtype != first.dtype:
            raise DTypeError(f"concat: xs[0] is {first.dtype}, xs[{i}] is {x.dtype}. Cast one with .astype(...).")
        if x.ndim != first.ndim or any(x.shape[k] != n for k, n in enumerate(first.shape) if k != place):
            raise ShapeError(f"concat: {shown(('xs[0]', first), (f'xs[{i}]', x))} differ beyond axis {place}.")
    return kernels.shape.concat(*xs, axis=place)


@primitive
def pad(x, *, widths, value=0.0):
    """x surrounded with a constant.  widths: one (before, after) for each axis, or an int for all sides."""
    return kernels.shape.pad(x, widths=_widths(widths, x.ndim), value=value)


def _widths(widths, ndim):
    pairs = ((widths, widths),) * ndim if isinstance(widths, int) else tuple([tuple(pair) for pair in widths])
    if len(pairs) != ndim or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ArgumentError(f"pad: widths is {widths!r}. Pass {ndim} pairs (before, after) of lengths >= 0.")
    return pairs


def _part_of_concat(g, index, xs_shape, axis):
    place = axis % g.ndim
    start = sum([shape[place] for shape in xs_shape[:index]])
    return getitem(g, index=(*[slice(None)] * place, slice(start, start + xs_shape[index][place])))


def _inside_of_pad(g, x_shape, widths):
    pairs = _widths(widths, g.ndim)
    return getitem(g, index=tuple([slice(before, before + n) for n, (before, _) in zip(x_shape, pairs)]))


concat.defvjp(xs=_part_of_concat)
pad.defvjp(x=_inside_of_pad)


def stack(*xs, axis=0):
    """Arrays of one shape joined along a new axis."""
    return concat(*[expand_dims(x, axis=axis) for x in xs], axis=axis)


def split(x, *, sections, axis=0):
    """A list of views: `sections` equal ones, or ones of the lengths listed.  Raises ShapeError if they do not fit."""
    place = axis_number("split", axis, x.ndim)
    n = x.shape[place]
    if isinstance(sections, int):
        if sections < 1 or n % sections:
            raise ShapeError(f"split: axis {place} of {shown(('x', x))} cannot be cut into {sections} equal parts.")
        sections = [n // sections] * sections
    if sum(sections) != n or any(length < 0 for length in sections):
        raise ShapeError(f"split: sections is {list(sections)}, axis {place} of {shown(('x', x))} has length {n}.")
    stops = [sum(sections[: i + 1]) for i in range(len(sections))]
    before = [slice(None)] * place
    return [getitem(x, index=(*before, slice(stop - length, stop))) for stop, length in zip(stops, sections)]


# -- indexing ---------------------------------------------------------------------------------------------------------


@primitive(view=True)
def getitem(x, *, index):
    """x[index] for ints, slices, None and Ellipsis.  A view.  Raises ArgumentError for an index out of bounds."""
    try:
        return x[_open_ended(index)]
    except (IndexError, TypeError, ValueError) as error:
        raise ArgumentError(f"getitem: index {index!r} of {shown(('x', x))}: {error}.") from None


@primitive(outs=("g_x",))
def getitem_grad(g_y, *, index, shape):
    """Zeros of `shape` with g_y at [index]: the cotangent of x in getitem."""
    return kernels.shape.getitem_grad(g_y, index=_open_ended(index), shape=tuple(shape))


@primitive
def gather(x, index, *, axis=0):
    """Slices of x along an axis, at integer positions that may be negative and may repeat.

    x (..., A, ...), index any shape -> y (..., *index.shape, ...).  Raises ArgumentError for a position out of bounds,
    DTypeError for an index that is not of integers.
    """
    place = axis_number("gather", axis, x.ndim)
    return kernels.shape.gather(x, _positions("gather", index, x.shape[place]), axis=place)


@primitive(outs=("g_x",))
def scatter_add(g_y, index, *, axis=0, size):
    """Slices of g_y added into zeros of length `size` at integer positions along an axis: the adjoint of gather.

    Repeated positions add up in the order of index.  g_y (..., *index.shape, ...) -> (..., size, ...).
    Raises ShapeError if index does not match g_y, ArgumentError for a position out of bounds.
    """
    place = axis_number("scatter_add", axis, g_y.ndim - index.ndim + 1)
    if g_y.shape[place : place + index.ndim] != index.shape:
        raise ShapeError(f"scatter_add: {shown(('index', index), ('g_y', g_y))} do not match at axis {place}.")
    return kernels.shape.scatter_add(g_y, _positions("scatter_add", index, size), axis=place, size=int(size))


getitem.defvjp(x=lambda g, index, x_shape: getitem_grad(g, index=index, shape=x_shape))
getitem_grad.defvjp(g_y=lambda g, index: getitem(g, index=index))
gather.defvjp(
    x=lambda g, index, x_shape, axis: scatter_add(g, index, axis=axis % len(x_shape), size=x_shape[axis]), index=None
)
scatter_add.defvjp(g_y=lambda g, index, axis: gather(g, index, axis=axis), index=None)


def _open_ended(index):
    """With an Ellipsis, NumPy returns a view even where a single entry is meant."""
    index = index if isinstance(index, tuple) else (index,)
    return index if any(i is Ellipsis for i in index) else (*index, Ellipsis)


def _positions(op, index, size):
    """Checked int64 positions in [-size, size)."""
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{op}: index is {index.dtype}. Pass integers.")
    values = to_numpy(index)  # from a GPU they have to come here to be refused, which waits for it
    if index.size and not (-size <= values.min() and values.max() < size):
        raise ArgumentError(f"{op}: index has {values.min()} to {values.max()}, the axis has length {size}.")
    return index if index.dtype == np.int64 else kernels.elementwise.cast(index, dtype=np.dtype(np.int64))


def index(x, key):
    """x[key] for everything NumPy takes as a key: basic indices, integer arrays, bool arrays, and mixtures.

    Integer arrays broadcast together.  As in NumPy, their axes stay in place if they are neighbours, else come first.
    """
    keys = [k.data if isinstance(k, Tensor) else k for k in (key if isinstance(key, tuple) else (key,))]
    keys = [np.asarray(k) if isinstance(k, list | np.ndarray) else k for k in keys]
    keys = [int(k) if isinstance(k, np.ndarray) and k.ndim == 0 and k.dtype.kind in "iu" else k for k in keys]
    if not any(isinstance(k, np.ndarray) for k in keys):
        return getitem(x, index=tuple(keys))
    return _advanced(x, keys)


def _advanced(x, keys):
    """Slices first, as a view; then the axes of the integer arrays as one axis, read at the combined positions."""
    slices, arrays = _sorted_keys(x, keys)
    view, places = getitem(x, index=tuple(slices)), list(arrays)
    if places[-1] - places[0] >= len(places):  # not neighbours
        view = transpose(view, axes=(*places, *[i for i in range(view.ndim) if i not in arrays]))
        places = list(range(len(places)))
    first, behind = places[0], places[-1] + 1
    lengths = view.shape[first:behind]
    try:
        broadcast = np.broadcast_arrays(*arrays.values())
        positions = np.ravel_multi_index([np.where(a < 0, a + n, a) for a, n in zip(broadcast, lengths)], lengths)
    except (ValueError, TypeError, IndexError) as error:
        raise ArgumentError(f"index: integer arrays for axes of length {shape_text(lengths)}: {error}.") from None
    merged = reshape(view, shape=(*view.shape[:first], math.prod(lengths), *view.shape[behind:]))
    return gather(merged, Tensor(beside(merged.data).asarray(positions)), axis=first)


def _sorted_keys(x, keys):
    """(slices for every axis, {axis of the sliced view: integer array}); a mask stands for one array for each axis."""
    used = sum([k.ndim if _is_mask(k) else k is not None and k is not Ellipsis for k in keys])
    if used > x.ndim:
        raise ArgumentError(f"index: {used} indices for {shown(('x', x))}, which has {x.ndim} axes.")
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    slices, arrays = [], {}
    axis = 0  # of x
    for k in [*keys[:at], *[slice(None)] * (x.ndim - used), *keys[at + 1 :]]:
        if k is None or isinstance(k, slice):
            slices.append(k)
            axis += k is not None
            continue
        if _is_mask(k) and k.shape != x.shape[axis : axis + k.ndim]:
            raise ShapeError(f"index: a mask of {shape_text(k.shape)} does not match {shown(('x', x))} at axis {axis}.")
        for positions in np.nonzero(k) if _is_mask(k) else (np.asarray(k),):
            arrays[len(slices)] = positions
            slices.append(slice(None))
            axis += 1
    return slices, arrays


def _is_mask(key):
    return isinstance(key, np.ndarray) and key.dtype == bool
