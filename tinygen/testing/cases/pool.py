"""Cases of pooling."""

from __future__ import annotations

from ... import ops
from ...errors import ArgumentError, DTypeError, ShapeError
from ...kernels.conv import out_hw
from ..registry import case, error
from .conv import first, last


def _windows(d):
    """(N, H, W, C), y_hw, parameters."""
    size, stride = d.choice((2, 2), (2, 3), (1, 1), (3, 2)), d.choice(None, (2, 2), (1, 1), (3, 2))
    x_hw = size[0] + d.size(0, 5), size[1] + d.size(0, 5)
    y_hw = out_hw(x_hw, size, stride or size, ((0, 0), (0, 0)))
    return (d.size(0, 3), *x_hw, d.choice(3, 1, 17)), y_hw, {"size": size, "stride": stride}


def _image(d):
    shape, _, how = _windows(d)
    return (d.distinct(*shape),), how


def _torch_pool(torch, x, *, size, stride, factor=1.0):
    return last(torch.nn.functional.avg_pool2d(first(x), size, stride)) * (factor * size[0] * size[1])


def _torch_pool_grad(torch, g, *, x_hw, size, stride, factor):
    one = torch.full((g.shape[3], 1, *size), factor, dtype=g.dtype)
    y = torch.nn.functional.conv_transpose2d(first(g), one, stride=stride or size, groups=g.shape[3])
    return last(torch.nn.functional.pad(y, (0, x_hw[1] - y.shape[3], 0, x_hw[0] - y.shape[2])))


def _pool(d):
    (x,), how = _image(d)
    return (x,), {**how, "factor": d.choice(1.0, 0.25)}


def _pool_grad(d):
    shape, y_hw, how = _windows(d)
    return (d.normal(shape[0], *y_hw, shape[3]),), {"x_hw": shape[1:3], **how, "factor": d.choice(1.0, 0.25)}


case(
    ops.pool2d,
    _pool,
    torch=_torch_pool,
    errors=[
        error(lambda d: ((d.normal(1, 4, 4, 3),), {"size": 5}), ShapeError, "no window of 5x5"),
        error(lambda d: ((d.normal(4, 4, 3),), {"size": 2}), ShapeError, "x has shape"),
        error(lambda d: ((d.normal(1, 4, 4, 3),), {"size": 0}), ArgumentError, "size is 0"),
    ],
)
case(
    ops.pool2d_grad,
    _pool_grad,
    torch=_torch_pool_grad,
    errors=[error(lambda d: ((d.normal(1, 2, 2, 3),), {"x_hw": 6, "size": 2}), ShapeError, "outputs of 3x3")],
)
case(
    ops.avg_pool2d,
    _image,
    torch=lambda torch, x, *, size, stride: last(torch.nn.functional.avg_pool2d(first(x), size, stride)),
    errors=[error(lambda d: ((d.normal(1, 4, 4, 3),), {"size": (2, 2, 2)}), ArgumentError, "avg_pool2d: size is")],
    bench=[(((64, 28, 28, 16),), {"size": 2})],
)
case(
    ops.upsample_nearest,
    lambda d: (
        (d.normal(d.size(0, 3), d.size(1, 4), d.size(1, 4), d.choice(3, 1, 17)),),
        {"scale": d.choice(2, (1, 3))},
    ),
    torch=lambda torch, x, *, scale: last(
        torch.nn.functional.interpolate(first(x), scale_factor=scale if isinstance(scale, tuple) else (scale, scale))
    ),
    errors=[
        error(lambda d: ((d.normal(4, 4, 3),), {"scale": 2}), ShapeError, "upsample_nearest: x has shape"),
        error(lambda d: ((d.normal(1, 4, 4, 3),), {"scale": 0.5}), ArgumentError, "scale is 0.5"),
    ],
    bench=[(((64, 14, 14, 16),), {"scale": 2})],
)


def _torch_max(torch, x, *, size, stride):
    return last(torch.nn.functional.max_pool2d(first(x), size, stride))


def _places(torch, x, size, stride):
    """(N, C, H' W'): where the maxima stand in H W."""
    return torch.nn.functional.max_pool2d(first(x), size, stride, return_indices=True)[1].flatten(2)


def _torch_max_at(torch, x, v, *, size, stride):
    hw = out_hw(tuple(x.shape[1:3]), size, stride or size, ((0, 0), (0, 0)))
    taken = first(v).flatten(2).gather(2, _places(torch, x, size, stride))
    return last(taken.reshape(len(x), x.shape[3], *hw))


def _torch_max_grad(torch, x, g, *, size, stride):
    zeros = torch.zeros_like(first(x).flatten(2))
    given = zeros.scatter_add(2, _places(torch, x, size, stride), first(g).flatten(2))
    return last(given.reshape(first(x).shape))


def _two_images(d):
    (x,), how = _image(d)
    return (x, d.normal(*x.shape)), how


def _image_and_g(d):
    shape, y_hw, how = _windows(d)
    return (d.distinct(*shape), d.normal(shape[0], *y_hw, shape[3])), how


case(
    ops.max_pool2d,
    _image,
    torch=_torch_max,
    errors=[
        error(lambda d: ((d.normal(1, 4, 4, 3),), {"size": (2, 5)}), ShapeError, "no window of 2x5"),
        error(lambda d: ((d.integers(1, 4, 4, 3, high=9),), {"size": 2}), DTypeError, "x is int64"),
        error(lambda d: ((d.normal(1, 4, 4, 3),), {"size": 2, "stride": 0}), ArgumentError, "stride is 0"),
    ],
    bench=[(((64, 28, 28, 16),), {"size": 2})],
)
case(
    ops.max_pool2d_at,
    _two_images,
    torch=_torch_max_at,
    errors=[error(lambda d: ((d.normal(1, 4, 4, 3), d.normal(1, 4, 4, 2)), {"size": 2}), ShapeError, "differ")],
)
case(
    ops.max_pool2d_grad,
    _image_and_g,
    torch=_torch_max_grad,
    errors=[
        error(lambda d: ((d.normal(1, 4, 4, 3), d.normal(1, 2, 2, 2)), {"size": 2}), ShapeError, "differ in images"),
        error(lambda d: ((d.normal(1, 4, 4, 3), d.normal(1, 3, 2, 3)), {"size": 2}), ShapeError, "outputs of 2x2"),
    ],
)
