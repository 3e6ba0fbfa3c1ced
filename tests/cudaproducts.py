"""Products, convolutions, pooling and sampling for `cudacases.extras`: several tiles, parts, walks and phases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygen.kernels.causal import Op
from tinygen.kernels.conv import out_hw

Launch = tuple[str, tuple[np.ndarray, ...], dict[str, Any]]  # a kernel's name with a remark, its arrays, its parameters

PAD = ((1, 1), (1, 1))
CONVOLUTIONS = {  # (channels read, channels written), parameters
    "tiles": ((5, 70), dict(pad=PAD)),
    "parts": ((33, 66), dict(pad=PAD, stride=(2, 1))),
    "masked": ((33, 66), dict(pad=PAD, mask="B")),
    "colours": ((12, 9), dict(pad=PAD, mask="A", colors=3)),
    "phases": ((20, 18), dict(pad=((0, 1), (2, 0)), stride=(2, 3))),
    "phases with holes": ((17, 5), dict(pad=PAD, stride=(3, 1), dilation=(1, 2))),
    "phases without taps": ((16, 3), dict(stride=(4, 4))),
}


def rounded(x: np.ndarray) -> np.ndarray:
    """Finite float32 numbers rounded to TF32: 10 bits of mantissa, half away from zero; float64 as it is."""
    if x.dtype == np.float64:
        return x
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def products(dtype: np.dtype) -> Iterator[Launch]:
    random = np.random.Generator(np.random.Philox(2))

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(dtype)

    for m, k, n in ((65, 17, 130), (128, 16, 64), (1, 700, 1), (3, 1000, 70), (64, 256, 1)):
        yield f"matmul.matmul {m} {k} {n}", (normal(m, k), normal(k, n)), {}
        yield f"matmul.matmul {m} {k} {n} transposed", (normal(k, m), normal(n, k)), {"trans_a": True, "trans_b": True}
        yield f"matmul.linear_weight_grad {k} {m} {n}", (normal(k, m), normal(k, n)), {}
    batches = normal(2, 1, 2, 1, 2, 1, 2, 1, 2, 2, 5), normal(1, 2, 1, 2, 1, 2, 1, 2, 1, 5, 2)
    yield "matmul.matmul of nine leading axes", batches, {}
    for activation in (None, "leaky_relu", "tanh"):
        yield (
            f"matmul.linear {activation}",
            (normal(5, 2, 400), normal(400, 70) / 20, normal(70)),
            {"activation": activation},
        )
    yield "matmul.linear of nothing", (normal(3, 0), normal(0, 70), normal(70)), {}
    yield "matmul.linear_weight_grad of nothing", (normal(300, 0), normal(300, 70)), {}

    for name, ((c, o), how) in CONVOLUTIONS.items():
        x, w, b = normal(2, 17, 12, c), normal(3, 3, c, o), normal(o)
        hw = out_hw(
            (17, 12), (3, 3), how.get("stride", (1, 1)), how.get("pad", ((0, 0), (0, 0))), how.get("dilation", (1, 1))
        )
        g = normal(2, *hw, o)
        yield f"conv.conv2d_bias_act {name}", (x, w, b), {"activation": "relu", **how}
        yield f"conv.conv2d_input_grad {name}", (g, w), {"x_hw": (17, 12), **how}
        yield f"conv.conv2d_weight_bias_grad {name}", (x, g), {"k": (3, 3), **how}

    x = normal(2, 5, 4, 3)
    x[0, 4, 3:] = np.nan  # what a mask cuts is not multiplied by zero
    yield "conv.conv2d_bias_act of NaN", (x, normal(3, 3, 3, 6), normal(6)), {"pad": PAD, "mask": "B"}

    x, g = np.round(normal(2, 7, 9, 5)), normal(2, 5, 4, 5)
    x[0, 3, 4:6] = np.nan  # the first takes the gradient
    yield "conv.max_pool2d_grad overlapping", (x, g), {"size": (3, 3), "stride": (1, 2)}
    yield (
        "conv.max_pool2d of a long line",
        (normal(1, 3, 40, 9), normal(1, 3, 40, 9)),
        {"size": (2, 3), "stride": (1, 3)},
    )

    net = Op("conv", (0,), "A"), Op("relu", (1,)), Op("conv", (2,), "B"), Op("add", (2, 3)), Op("conv", (4,), "B")
    for colors, levels in ((1, 1), (1, 3), (3, 1), (3, 2)):
        weights = [a for c, o in ((colors, 6), (6, 6)) for a in (normal(3, 3, c, o) / 4, normal(o))]
        weights += [normal(1, 1, 6, colors * levels), normal(colors * levels)]
        x, u = np.full((3, 3, 4, colors), -1, dtype), random.random((12 * colors, 3)).astype(dtype)
        x[1, 0] = 0  # given
        how = {"net": net, "scale": 2.0, "shift": -1.0, "logits": (colors, levels) != (3, 1)}
        yield f"causal.sample of {colors} colours and {levels} logits", (x, u, *weights), how
        if levels == 3:
            weights[-1] += np.array([0, 1000, -1000], dtype)  # exponentials overflow, unless the highest is taken off
            yield "causal.sample of steep logits", (x, u, *weights), how
