"""Convolutions on CUDA read nothing that a mask cuts; sampling has the bits of the network."""

from __future__ import annotations

import numpy as np
import pytest
from cudadevice import on_cuda, on_device

import tinygen as tg
from tinygen import kernels, models
from tinygen.models.pixelcnn_sampling import network

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]

PAD = ((1, 1), (1, 1))


def drawn(seed: int, *shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape).astype(dtype)


def test_what_a_mask_or_a_stride_cuts_is_never_read():
    """Not even NaN gets through."""
    x, w, how = drawn(1, 1, 4, 4, 3), drawn(2, 3, 3, 3, 6), dict(pad=PAD, mask="A", colors=3)
    dead = kernels.conv.conv2d_weight_grad(x * 0 + 1, np.ones((1, 4, 4, 6)), k=(3, 3), **how) == 0
    w[dead] = np.nan
    y = kernels.conv.conv2d(on_device(x), on_device(w), **how)
    assert np.isfinite(y.get()).all()
    w, g = drawn(2, 2, 2, 3, 6), drawn(3, 1, 2, 2, 6)
    w[0, 0] = np.nan  # seen by every other pixel
    got = kernels.conv.conv2d_input_grad(on_device(g), on_device(w), x_hw=(4, 4), stride=(2, 2)).get()
    assert np.isnan(got[:, ::2, ::2]).all()
    assert np.isnan(got).sum() == got.size // 4


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
    return on_device(np.full((1,), value, x.dtype))


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
    moved = [on_device(a) for a in (x, u, *weights)]
    for order in (0, -1, 3):
        with on_cuda(order):
            images, seen = kernels.causal.sample(*moved, **how)
        np.testing.assert_array_equal(images.get(), expected)
        np.testing.assert_allclose(seen.get(), logits, rtol=1e-4, atol=1e-4 if dtype == "float32" else 1e-12)
        whole = run_network(images, moved[2:], net, mean, model.shape[2])
        np.testing.assert_array_equal(seen.get(), whole.get())
