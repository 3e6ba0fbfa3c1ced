"""How much arithmetic and traffic a kernel or an op cannot do without, from its arrays and parameters.

    of("conv2d", (x, w), (y,), {"pad": 1})   -> Work(flops=2 N H' W' K K C O less the border, bytes=of x, w and y)

Products count every multiply-add as two operations.  Dead taps and channels of masks do not count, nor do taps outside
the image: no kernel has to multiply their zeros, and a share of the limit must not pass 1.  Everything else counts one
operation for an entry read or written, which is too little for exp and irrelevant for add: their traffic takes longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygen.kernels.conv import blocks

from .suite import Work

Arrays = Sequence[np.ndarray]
Shape = tuple[int, ...]
Parameters = Mapping[str, Any]


def of(name: str, inputs: Arrays, outputs: Arrays, params: Parameters) -> Work:
    """The work of one call; `name` is the kernel's or the op's."""
    return Work(float(flops(name, inputs, outputs, params)), float(traffic([*inputs, *outputs])))


def with_gradient(name: str, inputs: Arrays, outputs: Arrays, params: Parameters) -> Work | None:
    """The work of a product and of the gradients of all its floating inputs: its operations once more for each operand.

    None for others: what a gradient cannot do without depends on its formula, and that of a sum is nothing at all.
    """
    if name not in PRODUCTS:
        return None
    floating = [a for a in inputs if a.dtype.kind == "f"]
    moved = 2 * traffic([*inputs, *outputs]) + traffic(floating)  # inputs and cotangents once more, and what is written
    return Work(3.0 * flops(name, inputs, outputs, params), float(moved))


def traffic(arrays: Arrays) -> int:
    """Bytes of the arrays, each once."""
    return sum(a.nbytes for a in arrays)


def flops(name: str, inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    """Floating-point operations of one call, counted as the head of this file says."""
    if name in PRODUCTS:
        return PRODUCTS[name](inputs, outputs, params)
    return max(a.size for a in [*inputs, *outputs])


def _matmul(inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    depth = inputs[0].shape[-2 if params.get("trans_a") else -1]
    return 2 * outputs[0].size * depth


def _linear(inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    return 2 * outputs[0].size * inputs[1].shape[0]


def _linear_weight_grad(inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    return 2 * inputs[0].size * inputs[1].shape[-1]


def _conv(inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    return _taps(inputs[0].shape, inputs[1].shape, outputs[0].shape, params)


def _conv_input_grad(inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    return _taps(outputs[0].shape, inputs[1].shape, inputs[0].shape, params)


def _conv_then(inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    return (_conv if params.get("x_hw") is None else _conv_input_grad)(inputs, outputs, params)


def _conv_weight_grad(inputs: Arrays, outputs: Arrays, params: Parameters) -> int:
    return _taps(inputs[0].shape, outputs[0].shape, inputs[1].shape, params)


def _taps(x: Shape, w: Shape, y: Shape, params: Parameters) -> int:
    """Operations of a convolution from x (N, H, W, C) by w (K, K', C, O) to y (N, H', W', O)."""
    stride, dilation, pad = (_pair(params.get(name, n)) for name, n in (("stride", 1), ("dilation", 1), ("pad", 0)))
    rows, columns = (
        [_inside(x[1 + axis], y[1 + axis], k * dilation[axis] - _pair(pad[axis])[0], stride[axis]) for k in range(size)]
        for axis, size in enumerate(w[:2])
    )
    total = 0
    for block in blocks((w[0], w[1], w[2], w[3]), params.get("mask"), params.get("colors", 1)):
        channels = len(range(*block.inputs.indices(w[2]))) * len(range(*block.outputs.indices(w[3])))
        total += channels * sum(rows[i] * columns[j] for i, j in block.taps)
    return 2 * x[0] * total


def _inside(n: int, windows: int, offset: int, stride: int) -> int:
    """How many of the windows' pixels i stride + offset lie in an axis of length n."""
    return sum(0 <= i * stride + offset < n for i in range(windows))


def _pair(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value, value)


PRODUCTS: dict[str, Callable[[Arrays, Arrays, Parameters], int]] = {
    "matmul": _matmul,
    "matmul_then": _matmul,
    "linear": _linear,
    "linear_weight_grad": _linear_weight_grad,
    "conv2d": _conv,
    "conv2d_bias_act": _conv,
    "conv2d_then": _conv_then,
    "conv2d_input_grad": _conv_input_grad,
    "conv2d_weight_grad": _conv_weight_grad,
    "conv2d_weight_bias_grad": _conv_weight_grad,
}
