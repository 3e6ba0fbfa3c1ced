"""Colours of one pixel in order: what a mask cuts is never read, so that not even NaN gets through."""

import numpy as np
import pytest

from tinygen import kernels
from tinygen.kernels import conv
from tinygen.testing.cases.conv import live

COLORS = 3
HW = 4, 5
HOW = {"stride": (1, 1), "pad": ((1, 1), (1, 1)), "dilation": (1, 1), "colors": COLORS}
PIXEL = 2, 3  # the one whose later colours are poisoned

pytestmark = [
    pytest.mark.parametrize("backend", ["cpu", "reference"]),
    pytest.mark.parametrize("mask", ["A", "B"]),
    # narrow on both sides, narrow blocks in an ordinary convolution, uneven colours, ordinary blocks
    pytest.mark.parametrize(("c", "o"), [(3, 6), (6, 6), (10, 16), (24, 48), (48, 24)]),
]


def rank(channels):
    """(H, W, channels): the place of each entry in raster order, colour by colour."""
    color = np.arange(channels) * COLORS // channels
    return np.arange(HW[0] * HW[1]).reshape(*HW, 1) * COLORS + color


def normal(*shape):
    return np.random.Generator(np.random.Philox(sum(shape))).standard_normal(shape).astype(np.float32)


def poisoned(a, where):
    return np.where(where, np.float32(np.nan), a)


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("color", range(COLORS))
def test_outputs_do_not_read_later_colors(backend, mask, c, o, color, activation):
    x, w, b = normal(2, *HW, c), normal(3, 3, c, o), normal(o)
    here = rank(COLORS)[*PIXEL, color]
    blind = rank(o) <= here if mask == "A" else rank(o) < here
    with kernels.backend(backend):
        before, after = (
            conv.conv2d_bias_act(a, w, b, activation=activation, mask=mask, **HOW)
            for a in (x, poisoned(x, rank(c) >= here))
        )
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(after[:, blind], before[:, blind])
    assert np.isnan(after[:, ~blind]).any()


@pytest.mark.parametrize("color", range(COLORS))
def test_input_gradients_do_not_read_earlier_colors(backend, mask, c, o, color):
    g, w = normal(2, *HW, o), normal(3, 3, c, o)
    here = rank(COLORS)[*PIXEL, color]
    blind = rank(c) >= here if mask == "A" else rank(c) > here
    with kernels.backend(backend):
        before, after = (
            conv.conv2d_input_grad(a, w, x_hw=HW, mask=mask, **HOW) for a in (g, poisoned(g, rank(o) <= here))
        )
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(after[:, blind], before[:, blind])
    assert np.isnan(after[:, ~blind]).any()


def test_weight_gradients_are_zero_where_dead_and_do_not_mix_colors(backend, mask, c, o):
    x, g = normal(2, *HW, c), normal(2, *HW, o)
    dead = ~live((3, 3, c, o), mask, COLORS)
    last = np.arange(c) * COLORS // c == COLORS - 1
    with kernels.backend(backend):
        clean = conv.conv2d_weight_grad(x, g, k=(3, 3), mask=mask, **HOW)
        inputs = conv.conv2d_weight_grad(poisoned(x, last), g, k=(3, 3), mask=mask, **HOW)
        everything = conv.conv2d_weight_grad(poisoned(x, True), poisoned(g, True), k=(3, 3), mask=mask, **HOW)
    assert (clean[~dead] != 0).all()
    for g_w in (clean, inputs, everything):
        assert (g_w[dead] == 0).all()
    np.testing.assert_array_equal(inputs[:, :, ~last], clean[:, :, ~last])
    assert np.isnan(everything[~dead]).all()
