"""Cases of reshaping, joining, cutting and indexing."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...errors import ArgumentError, DTypeError, ShapeError
from ..registry import case, error

X = np.ones((2, 3))


def _refuse(*arrays, **params):
    return lambda d: (arrays, params)


def _normal(*shape, **params):
    """One array of this shape; params are options to choose from."""
    return lambda d: ((d.normal(*shape),), {name: d.choice(*options) for name, options in params.items()})


# -- the same entries, arranged otherwise -----------------------------------------------------------------------------

case(
    ops.reshape,
    _normal(2, 6, shape=((4, 3), (-1,), (2, -1, 2), 12)),
    torch=lambda torch, x, shape: x.reshape(shape),
    errors=[
        error(_refuse(X, shape=(4,)), ShapeError, r"x \(2,3\) has 6 entries, \(4,\) has 4"),
        error(_refuse(X, shape=(-1, -1)), ShapeError, "no length for -1"),
        error(_refuse(X, shape=(4, -1)), ShapeError, r"no length for -1 in \(4,-1\) gives 6 entries"),
        error(_refuse(X, shape=(2.0, 3)), ArgumentError, "Pass a tuple of lengths"),
    ],
)


def transposed_and_flattened(x):
    return ops.reshape(ops.transpose(x), shape=(-1,))


case(
    transposed_and_flattened,
    lambda d: ((d.normal(3, d.size(0, 4)),), {}),
    torch=lambda torch, x: x.T.reshape(-1),
)
case(
    ops.transpose,
    _normal(2, 3, 4, axes=(None, (1, 0, 2), (-1, 0, 1), (0, 1, 2))),
    torch=lambda torch, x, axes: x.permute(axes or (2, 1, 0)),
    errors=[
        error(_refuse(X, axes=(0, 0)), ArgumentError, r"axes is \(0, 0\). Name each of the 2 axes once"),
        error(_refuse(X, axes=(0, 2)), ArgumentError, "axis is 2, x has 2 axes"),
    ],
    bench=[(((64, 28, 28, 16),), {"axes": (0, 3, 1, 2)})],
)
case(
    ops.flip,
    _normal(2, 3, 4, axis=(0, (0, -1), None)),
    torch=lambda torch, x, axis: x.flip((0, 1, 2) if axis is None else axis),
    errors=[error(_refuse(X, axis=2), ArgumentError, "axis is 2, x has 2 axes")],
)
case(
    ops.expand_dims,
    _normal(2, 3, axis=(0, 1, 2, -1)),
    torch=lambda torch, x, axis: x.unsqueeze(axis),
    errors=[error(_refuse(X, axis=3), ArgumentError, "axis is 3")],
)
case(
    ops.squeeze,
    _normal(1, 3, 1, axis=(None, 0, -1, (0, 2))),
    torch=lambda torch, x, axis: x.squeeze() if axis is None else x.squeeze(axis),
    errors=[error(_refuse(X, axis=0), ShapeError, "longer than 1 along axis 0")],
)


def _torch_space_to_depth(torch, x, block):
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // block, block, w // block, block, c)
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(n, h // block, w // block, -1)


def _torch_depth_to_space(torch, x, block):
    n, h, w, c = x.shape
    pixels = x.reshape(n, h, w, block, block, c // block**2)
    return pixels.permute(0, 1, 3, 2, 4, 5).reshape(n, h * block, w * block, -1)


_NOT_IMAGES = error(_refuse(X, block=2), ShapeError, r"not a batch of images. Pass \(N, H, W, C\)")

case(
    ops.space_to_depth,
    _normal(2, 4, 8, 3, block=(2, 1, 4)),
    torch=_torch_space_to_depth,
    errors=[
        error(_refuse(np.ones((1, 4, 3, 1)), block=2), ShapeError, "cannot be cut into 2 x 2 blocks"),
        error(_refuse(np.ones((1, 4, 4, 1)), block=0), ArgumentError, "block is 0"),
        _NOT_IMAGES,
    ],
    bench=[(((64, 32, 32, 3),), {"block": 2})],
)
case(
    ops.depth_to_space,
    _normal(2, 2, 3, 16, block=(2, 1, 4)),
    torch=_torch_depth_to_space,
    errors=[error(_refuse(np.ones((1, 4, 4, 6)), block=2), ShapeError, "6 channels, no multiple of 4"), _NOT_IMAGES],
    bench=[(((64, 16, 16, 12),), {"block": 2})],
)

# -- repeating --------------------------------------------------------------------------------------------------------


def _broadcast_to(d):
    small, large = d.choice(
        ((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 3)), ((2, 3), (2, 3)), ((2, 1, 1), (4, 2, 3, 2)), ((1,), (0,))
    )
    return (d.normal(*small),), {"shape": large}


case(
    ops.broadcast_to,
    _broadcast_to,
    torch=lambda torch, x, shape: x.broadcast_to(shape),
    errors=[
        error(_refuse(X, shape=(3, 2)), ShapeError, r"\(2,3\) does not broadcast to \(3,2\)"),
        error(_refuse(X, shape=(3,)), ShapeError, r"\(2,3\) does not broadcast to \(3,\)"),
    ],
)

# -- joining and cutting ----------------------------------------------------------------------------------------------


def _concat(d):
    axis = d.choice(0, 1, -1)
    lengths = [d.size(0, 3) for _ in range(d.size(1, 3))]
    return tuple(d.normal(*[n if i == axis % 3 else 2 for i in range(3)]) for n in lengths), {"axis": axis}


case(
    ops.concat,
    _concat,
    torch=lambda torch, *xs, axis: torch.cat(xs, axis),
    errors=[
        error(_refuse(), ArgumentError, "nothing to join"),
        error(
            _refuse(X, np.ones((2, 4)), axis=0), ShapeError, r"xs\[0\] \(2,3\), xs\[1\] \(2,4\) differ beyond axis 0"
        ),
        error(_refuse(X, np.arange(3)), DTypeError, r"xs\[0\] is float64, xs\[1\] is int64"),
        error(_refuse(np.ones(())), ArgumentError, "A scalar has no axes"),
    ],
    bench=[(((16, 28, 28, 64), (16, 28, 28, 64)), {"axis": -1})],
)
case(
    ops.stack,
    lambda d: (tuple(d.normal(2, 3) for _ in range(d.size(1, 3))), {"axis": d.choice(0, 1, -1)}),
    torch=lambda torch, *xs, axis: torch.stack(xs, axis),
    errors=[error(_refuse(X, np.ones((2, 4))), ShapeError, "differ beyond axis 0")],
    bench=[(((128, 784), (128, 784)), {"axis": 0})],
)
case(
    ops.split,
    _normal(4, 6, sections=(2, [1, 3], [0, 4]), axis=(0,)),
    torch=lambda torch, x, sections, axis: x.split(sections, axis),
    errors=[
        error(_refuse(X, sections=2, axis=1), ShapeError, "cannot be cut into 2 equal parts"),
        error(
            _refuse(X, sections=[1, 1], axis=1), ShapeError, r"sections is \[1, 1\], axis 1 of x \(2,3\) has length 3"
        ),
    ],
    bench=[(((256, 128),), {"sections": [64, 64], "axis": 1})],
)


def _torch_pad(torch, x, widths, value=0.0):
    pairs = ((widths, widths),) * x.ndim if isinstance(widths, int) else widths
    return torch.nn.functional.pad(x, [n for pair in reversed(pairs) for n in pair], value=value)


case(
    ops.pad,
    lambda d: (
        (d.normal(2, d.size(0, 3)),),
        {"widths": d.choice(((1, 2), (0, 3)), 0, 2), "value": d.choice(0.0, -1.5)},
    ),
    torch=_torch_pad,
    errors=[
        error(_refuse(X, widths=((1, 1),)), ArgumentError, "Pass 2 pairs"),
        error(_refuse(X, widths=-1), ArgumentError, "widths is -1"),
    ],
    bench=[(((64, 28, 28, 16),), {"widths": ((0, 0), (2, 2), (2, 2), (0, 0))})],
)

# -- indexing ---------------------------------------------------------------------------------------------------------

_BASIC = (
    1, -1, (slice(1, None), 2), (Ellipsis, slice(None, None, 2)), (None, 0, slice(2, 0, -1)), (1, 2, 3), slice(0, 0),
    (), (slice(None), None, Ellipsis, -2),
)  # fmt: skip


def _torch_getitem(torch, x, index):
    """PyTorch has no negative steps."""
    index = index if isinstance(index, tuple) else (index,)
    flips = [k for k in index if isinstance(k, slice) and (k.step or 1) < 0]
    if not flips:
        return x[index]
    return x[torch.tensor(0)][torch.arange(2, 0, -1)][None]


case(
    ops.getitem,
    _normal(2, 3, 4, index=_BASIC),
    torch=_torch_getitem,
    errors=[
        error(_refuse(X, index=2), ArgumentError, r"index 2 of x \(2,3\): index 2 is out of bounds"),
        error(_refuse(X, index=(0, 0, 0)), ArgumentError, "too many indices"),
        error(_refuse(X, index="a"), ArgumentError, "index 'a'"),
    ],
    bench=[(((256, 128),), {"index": (slice(None), slice(0, 64))})],
)
case(
    ops.getitem_grad,
    lambda d: ((d.normal(2, 2),), {"index": (slice(None), 1, slice(0, 4, 2)), "shape": (2, 3, 4)}),
    torch=lambda torch, g, index, shape: torch.zeros(shape, dtype=g.dtype).index_put(
        (torch.tensor([[0], [1]]), torch.tensor(1), torch.tensor([[0, 2]])), g
    ),
)


def _positions(d, high):
    """Positions that repeat and count from both ends."""
    shape = d.choice((4,), (2, 3), (), (0,))
    return d.integers(*shape, high=2 * high) - high


def _gather(d):
    axis = d.choice(0, 1, -1)
    return (d.normal(3, 4, 5), _positions(d, (3, 4, 5)[axis])), {"axis": axis}


def _torch_gather(torch, x, index, axis=0):
    axis %= x.ndim
    return x[(*[slice(None)] * axis, index)]


_OUT = error(_refuse(X, np.array([0, 3]), axis=1), ArgumentError, "index has 0 to 3, the axis has length 3")

case(
    ops.gather,
    _gather,
    torch=_torch_gather,
    errors=[
        _OUT,
        error(_refuse(X, np.array([-3, 0])), ArgumentError, "index has -3 to 0, the axis has length 2"),
        error(_refuse(X, np.array([0.0])), DTypeError, "index is float64. Pass integers"),
    ],
    bench=[(((1000, 64), (5000,)), {})],
)
case(
    ops.gather,
    lambda d: ((d.integers(4, 2, high=9), d.integers(3, high=4).astype(np.int32)), {}),
    name="of integers, by int32",
    torch=_torch_gather,
    orders=0,
)


def _scatter_add(d):
    axis, index = d.choice(0, 1, -1), _positions(d, 4)
    before, after = ((), (2, 70)) if axis == 0 else ((2,), (3,)) if axis == 1 else ((2, 3), ())
    return (d.normal(*before, *index.shape, *after), index), {"axis": axis, "size": 4}


def _torch_scatter_add(torch, g, index, axis, size):
    axis %= g.ndim - index.ndim + 1
    g = g.reshape(*g.shape[:axis], index.numel(), *g.shape[axis + index.ndim :])
    zeros = torch.zeros(*g.shape[:axis], size, *g.shape[axis + 1 :], dtype=g.dtype)
    return zeros.index_add(axis, index.reshape(-1) % size, g)


case(
    ops.scatter_add,
    _scatter_add,
    torch=_torch_scatter_add,
    errors=[
        error(_refuse(X, np.array([0, 4]), size=4), ArgumentError, "index has 0 to 4, the axis has length 4"),
        error(_refuse(X, np.array([0, 1, 2]), size=4), ShapeError, r"index \(3,\), g_y \(2,3\) do not match at axis 0"),
        error(_refuse(X, np.array([0.0, 1.0]), size=4), DTypeError, "index is float64"),
    ],
)

_ROWS, _COLUMNS, _MASK = (
    np.array([0, 1, 1]),
    np.array([-1, 2, 0]),
    np.array([[True, False, True], [False, True, False]]),
)
_KEYS = (
    _ROWS, (_ROWS, _COLUMNS), (slice(None), _COLUMNS, slice(1, 3)), (_ROWS, slice(None), _COLUMNS),
    (Ellipsis, _COLUMNS), (_ROWS[:, None], _COLUMNS), _MASK, (_MASK, 1), (1, slice(None), _COLUMNS), (_ROWS, None, 1),
    [1, 0], (slice(None), _MASK[0]), _MASK & False, 1, (0, Ellipsis, slice(2)),
)  # fmt: skip


def _torch_index(torch, x, key):
    converted = lambda k: torch.tensor(k) if isinstance(k, np.ndarray | list) else k
    return x[tuple(map(converted, key)) if isinstance(key, tuple) else converted(key)]


case(
    ops.index,
    _normal(2, 3, 4, key=_KEYS),
    torch=_torch_index,
    errors=[
        error(_refuse(X, key=np.array([0, 2])), ArgumentError, r"integer arrays for axes of length \(2,\)"),
        error(_refuse(X, key=np.array([-3])), ArgumentError, "integer arrays for axes"),
        error(_refuse(X, key=(np.array([0, 1]), np.array([0, 1, 2]))), ArgumentError, "integer arrays for axes"),
        error(_refuse(X, key=np.array([True])), ShapeError, r"a mask of \(1,\) does not match x \(2,3\) at axis 0"),
        error(_refuse(X, key=(np.array([0]), 0, 0)), ArgumentError, "3 indices for x"),
        error(_refuse(X, key=np.array([0.5])), ArgumentError, "integer arrays for axes"),
    ],
)
