"""Products, convolutions and sampling on the emulated device, in shapes that the registry's cases do not reach."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels, models
from tinygen.kernels._cuda import host_array
from tinygen.kernels._cuda.launcher import schedule
from tinygen.models.pixelcnn_sampling import network

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated device needs g++")

PAD = ((1, 1), (1, 1))


def drawn(seed: int, *shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape).astype(dtype)


def agree(kernel, *arrays: np.ndarray, **params) -> None:
    """The device's result has the specification's value, and the same bits under other schedules."""
    with kernels.backend("reference"):
        expected = kernel(*[a.astype(np.float64) for a in arrays], **params)
    moved, bits = [host_array.asarray(a) for a in arrays], []
    for order in (0, -1, 7):
        with schedule(order):
            got = kernel(*moved, **params)
        bits.append([y.get() for y in (got if isinstance(got, tuple) else (got,))])
    for i, y in enumerate(expected if isinstance(expected, tuple) else (expected,)):
        bound = 1e-12 if arrays[0].dtype == np.float64 else 2e-5
        np.testing.assert_allclose(bits[0][i], y, rtol=bound, atol=bound * max(1, np.abs(y).max(initial=0)))
        assert all(other[i].tobytes() == bits[0][i].tobytes() for other in bits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k", "n"), [(65, 17, 130), (128, 16, 64), (1, 700, 1), (3, 1000, 70), (64, 256, 1)])
def test_products_of_several_tiles_and_parts(m, k, n, dtype):
    for trans_a in (False, True):
        for trans_b in (False, True):
            a, b = (
                drawn(1, *((k, m) if trans_a else (m, k)), dtype=dtype),
                drawn(2, *((n, k) if trans_b else (k, n)), dtype=dtype),
            )
            agree(kernels.matmul.matmul, a, b, trans_a=trans_a, trans_b=trans_b)
    agree(kernels.matmul.linear_weight_grad, drawn(1, k, m, dtype=dtype), drawn(2, k, n, dtype=dtype))


def test_batches_of_more_axes_than_one_walk_takes():
    a, b = drawn(1, 2, 1, 2, 1, 1, 1, 2, 1, 2, 1, 3, 20), drawn(2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 20, 2)
    agree(kernels.matmul.matmul, a, b)


@pytest.mark.parametrize("activation", [None, "relu", "leaky_relu", "tanh"])
def test_dense_layers_over_parts(activation):
    x, w, b = drawn(1, 5, 2, 400), drawn(2, 400, 70), drawn(3, 70)
    agree(kernels.matmul.linear, x, w, b, activation=activation)


def test_a_dense_layer_without_inputs_is_its_bias():
    agree(kernels.matmul.linear, drawn(1, 3, 0), drawn(2, 0, 70), drawn(3, 70))
    agree(kernels.matmul.linear_weight_grad, drawn(1, 300, 0), drawn(2, 300, 70))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("c", "o", "how"),
    [
        (5, 70, dict(pad=PAD)),
        (33, 66, dict(pad=PAD, mask="B")),
        (33, 66, dict(pad=PAD, stride=(2, 1))),
        (12, 9, dict(pad=PAD, mask="A", colors=3)),
        (20, 18, dict(pad=((0, 1), (2, 0)), stride=(2, 3))),
        (17, 5, dict(pad=PAD, stride=(3, 1), dilation=(1, 2))),
        (16, 3, dict(stride=(4, 4))),  # some phases have no tap
    ],
)
def test_convolutions_of_several_tiles_and_parts(c, o, how, dtype):
    x, w = drawn(1, 2, 17, 12, c, dtype=dtype), drawn(2, 3, 3, c, o, dtype=dtype)
    agree(kernels.conv.conv2d, x, w, **how)
    shape = kernels.conv.conv2d.plan(
        x, w, **{"stride": (1, 1), "dilation": (1, 1), "mask": None, "colors": 1, **how}
    ).shape
    g = drawn(3, *shape, dtype=dtype)
    agree(kernels.conv.conv2d_bias_act, x, w, drawn(4, o, dtype=dtype), activation="relu", **how)
    agree(kernels.conv.conv2d_input_grad, g, w, x_hw=x.shape[1:3], **how)
    agree(kernels.conv.conv2d_weight_bias_grad, x, g, k=(3, 3), **how)


def test_what_a_mask_or_a_stride_cuts_is_never_read():
    """Not even NaN gets through."""
    x, w, how = drawn(1, 1, 4, 4, 3), drawn(2, 3, 3, 3, 6), dict(pad=PAD, mask="A", colors=3)
    dead = kernels.conv.conv2d_weight_grad(x * 0 + 1, np.ones((1, 4, 4, 6)), k=(3, 3), **how) == 0
    w[dead] = np.nan
    y = kernels.conv.conv2d(host_array.asarray(x), host_array.asarray(w), **how)
    assert np.isfinite(y.get()).all()
    w, g = drawn(2, 2, 2, 3, 6), drawn(3, 1, 2, 2, 6)
    w[0, 0] = np.nan  # seen by every other pixel
    got = kernels.conv.conv2d_input_grad(host_array.asarray(g), host_array.asarray(w), x_hw=(4, 4), stride=(2, 2)).get()
    assert np.isnan(got[:, ::2, ::2]).all()
    assert np.isnan(got).sum() == got.size // 4


def test_overlapping_windows_share_their_largest_entry():
    x, g = np.round(drawn(1, 2, 7, 9, 5)), drawn(2, 2, 5, 4, 5)
    x[0, 3, 4] = np.nan
    how = dict(size=(3, 3), stride=(1, 2))
    with kernels.backend("reference"):
        expected = kernels.conv.max_pool2d_grad(x, g, **how)
    got = kernels.conv.max_pool2d_grad(host_array.asarray(x), host_array.asarray(g), **how).get()
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-14)


VARIANTS = {
    "binary": dict(shape=(4, 5, 1), levels=2, channels=8, blocks=1),
    "greys": dict(shape=(3, 4, 1), levels=5, channels=6, blocks=1, head=20),
    "colours": dict(shape=(3, 3, 3), levels=4, channels=6, blocks=1),
    "binary colours": dict(shape=(3, 2, 2), levels=2, channels=8, blocks=1),
}


def run_network(x, weights, net, mean: float, colors: int):
    """The logits by the kernels of convolutions, of images x as they were drawn."""
    half = kernels.elementwise.add(kernels.elementwise.mul(x, filled(x, 1 / mean)), filled(x, -1))
    values, arrays = [half], iter(weights)
    for op in net:
        first, *second = [values[v] for v in op.inputs]
        if op.kind == "conv":
            w, b = next(arrays), next(arrays)
            pad = tuple((k // 2, k // 2) for k in w.shape[:2])
            values.append(kernels.conv.conv2d_bias_act(first, w, b, pad=pad, mask=op.mask, colors=colors))
        else:
            values.append(
                kernels.elementwise.relu(first) if op.kind == "relu" else kernels.elementwise.add(first, *second)
            )
    return values[-1]


def filled(x, value: float):
    return host_array.full((1,), value, x.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", VARIANTS)
def test_sampling_draws_by_the_logits_of_the_convolutions(name, dtype):
    """The kernel's logits have the bits of the device's own convolutions, its images are those of the CPU."""
    model = models.PixelCNN(**VARIANTS[name], key=tg.Key(0)).astype(dtype)
    net, layers = network(model)
    weights = [p.data for layer in layers for p in (layer.weight, layer.bias)]
    for i, w in enumerate(weights):
        w[...] = drawn(i, *w.shape) / np.sqrt(max(np.prod(w.shape[:-1]), 4))
    x, mean = np.full((3, *model.shape), -1, dtype), (model.levels - 1) / 2
    x[1, 0] = 1  # given
    u = kernels.random.uniforms(tg.Key(5).data, n=x[0].size, size=3, dtype=np.dtype(dtype))
    how = dict(net=net, scale=1 / mean, shift=-1.0, logits=True)
    expected, logits = kernels.causal.sample(x, u, *weights, **how)
    moved = [host_array.asarray(a) for a in (x, u, *weights)]
    for order in (0, -1, 3):
        with schedule(order):
            images, seen = kernels.causal.sample(*moved, **how)
        np.testing.assert_array_equal(images.get(), expected)
        np.testing.assert_allclose(seen.get(), logits, rtol=1e-4, atol=1e-4 if dtype == "float32" else 1e-12)
        whole = run_network(images, moved[2:], net, mean, model.shape[2])
        np.testing.assert_array_equal(seen.get(), whole.get())
