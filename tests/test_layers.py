"""Every layer against its PyTorch twin, in float64: value, gradient and second gradient, over drawn layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sides import Layout, Sides

import tinygen as tg
from tinygen import nn
from tinygen.errors import ArgumentError
from tinygen.ops.matmul import ACTIVATIONS
from tinygen.testing import Draw, strategies
from tinygen.testing.twins import layers as twins

KEY = tg.Key(0)

# A row draws a layer and an input for it.  Kernels and odd sizes have cases of their own: here it is the layers' turn.
Row = Callable[[Draw], tuple[nn.Module, np.ndarray]]
ROWS: dict[type[nn.Module], Row] = {}


def row(layer: type[nn.Module]) -> Callable[[Row], Row]:
    return lambda sample: ROWS.setdefault(layer, sample)


def shape(d: Draw, channels: int) -> tuple[int, ...]:
    """Of rows or images, enough of them for statistics."""
    return d.choice((d.size(4, 7), channels), (2, d.size(2, 4), 3, channels))


def activation(d: Draw) -> str | None:
    return d.choice(None, *ACTIVATIONS)


# -- activations ------------------------------------------------------------------------------------------------------


def entrywise(make: Callable[[Draw], nn.Module]) -> Row:
    return lambda d: (make(d), d.away(*shape(d, d.size(1, 4))))


ROWS[nn.ReLU] = entrywise(lambda d: nn.ReLU())
ROWS[nn.LeakyReLU] = entrywise(lambda d: nn.LeakyReLU(d.choice(0.01, 0.2)))
ROWS[nn.ELU] = entrywise(lambda d: nn.ELU(d.choice(1.0, 0.5)))
ROWS[nn.GELU] = entrywise(lambda d: nn.GELU())
ROWS[nn.Tanh] = entrywise(lambda d: nn.Tanh())
ROWS[nn.Sigmoid] = entrywise(lambda d: nn.Sigmoid())
ROWS[nn.Softplus] = entrywise(lambda d: nn.Softplus())

# -- layers with weights ----------------------------------------------------------------------------------------------


@row(nn.Linear)
def linear(d: Draw) -> tuple[nn.Module, np.ndarray]:
    i, o = d.size(1, 5), d.size(1, 5)
    layer = nn.Linear(i, o, bias=d.choice(True, False), activation=activation(d), key=KEY)
    return layer, d.normal(*d.choice((), (2,)), d.size(1, 5), i)


@row(nn.WeightNormLinear)
def weight_norm_linear(d: Draw) -> tuple[nn.Module, np.ndarray]:
    i = d.size(2, 5)
    return nn.WeightNormLinear(i, d.size(1, 5), key=KEY), d.normal(d.size(1, 5), i)


@row(nn.Conv2d)
def conv2d(d: Draw) -> tuple[nn.Module, np.ndarray]:
    kernel, spread = d.choice((3, 3), (1, 1), (2, 3), (4, 4)), d.choice((1, 1), (2, 1))
    padding = d.choice(1, 0, (1, 0), "same" if all(k % 2 for k in kernel) else 2)
    c, o = d.size(1, 4), d.size(1, 4)
    layer = nn.Conv2d(
        c, o, d.choice(kernel, kernel[0] if kernel[0] == kernel[1] else kernel),
        stride=1 if padding == "same" else d.choice(1, 2, (1, 2)), padding=padding, dilation=spread,
        bias=d.choice(True, False), activation=activation(d), key=KEY,
    )  # fmt: skip
    least = [1 + s * (k - 1) for k, s in zip(kernel, spread, strict=True)]
    return layer, d.normal(2, *[n + d.size(0, 2) for n in least], c)


@row(nn.MaskedConv2d)
def masked_conv2d(d: Draw) -> tuple[nn.Module, np.ndarray]:
    colors = d.choice(1, 3)
    c, o = d.choice((3, 9), (4, 5), (6, 3)) if colors > 1 else (d.size(1, 4), d.size(1, 4))
    layer = nn.MaskedConv2d(
        d.choice("A", "B"), c, o, d.choice(3, 1, (3, 5)), colors=colors,
        bias=d.choice(True, False), activation=activation(d), key=KEY,
    )  # fmt: skip
    return layer, d.normal(2, d.size(1, 5), d.size(1, 5), c)


@row(nn.ConvTranspose2d)
def conv_transpose2d(d: Draw) -> tuple[nn.Module, np.ndarray]:
    stride = d.choice((1, 1), (2, 2), (2, 3))
    c = d.size(1, 4)
    layer = nn.ConvTranspose2d(
        c, d.size(1, 4), d.choice(3, 4, (2, 3)), stride=stride, padding=d.choice(0, 1, (0, 1)),
        output_padding=d.choice((0, 0), tuple(s - 1 for s in stride)), dilation=d.choice(1, 2),
        bias=d.choice(True, False), key=KEY,
    )  # fmt: skip
    return layer, d.normal(2, d.size(2, 4), d.size(2, 4), c)


# -- normalisation ----------------------------------------------------------------------------------------------------


@row(nn.BatchNorm)
def batch_norm(d: Draw) -> tuple[nn.Module, np.ndarray]:
    c, bend, slope = d.size(1, 4), d.choice(None, "relu", "leaky_relu"), d.choice(0.01, 0.2)
    layer = nn.BatchNorm(c, eps=d.choice(1e-5, 0.1), momentum=d.choice(0.1, 0.3), activation=bend, slope=slope)
    layer.running_mean.data[...] = d.normal(c)
    layer.running_var.data[...] = d.positive(c)
    return layer.train(d.choice(True, False)), d.distinct(*shape(d, c))


@row(nn.LayerNorm)
def layer_norm(d: Draw) -> tuple[nn.Module, np.ndarray]:
    c = d.size(3, 6)
    return nn.LayerNorm(c, eps=d.choice(1e-5, 0.1)), d.distinct(*shape(d, c))


# -- layers that move entries -----------------------------------------------------------------------------------------


def windows(d: Draw) -> tuple[tuple[int, int | None], np.ndarray]:
    """(kernel size, stride), and images without ties."""
    kernel = d.size(1, 3)
    return (kernel, d.choice(None, 1, 2)), d.distinct(2, kernel + d.size(0, 4), kernel + d.size(0, 4), d.size(1, 3))


@row(nn.MaxPool2d)
def max_pool2d(d: Draw) -> tuple[nn.Module, np.ndarray]:
    window, x = windows(d)
    return nn.MaxPool2d(*window), x


@row(nn.AvgPool2d)
def avg_pool2d(d: Draw) -> tuple[nn.Module, np.ndarray]:
    window, x = windows(d)
    return nn.AvgPool2d(*window), x


@row(nn.Upsample)
def upsample(d: Draw) -> tuple[nn.Module, np.ndarray]:
    return nn.Upsample(d.size(1, 3)), d.normal(2, d.size(1, 4), d.size(1, 4), d.size(1, 3))


@row(nn.Reshape)
def reshape(d: Draw) -> tuple[nn.Module, np.ndarray]:
    return nn.Reshape(*d.choice((2, 3, 4), (24,), (6, 4))), d.normal(d.size(1, 4), 24)


@row(nn.Flatten)
def flatten(d: Draw) -> tuple[nn.Module, np.ndarray]:
    return nn.Flatten(), d.normal(*shape(d, d.size(1, 4)))


# -- containers, and the layer that draws -----------------------------------------------------------------------------


@row(nn.Dropout)
def dropout(d: Draw) -> tuple[nn.Module, np.ndarray]:
    return nn.Dropout(d.choice(0.5, 0.0, 0.2)).train(d.choice(True, False)), d.normal(*shape(d, 4))


@row(nn.Sequential)
def sequential(d: Draw) -> tuple[nn.Module, np.ndarray]:
    """Images, to rows, to images."""
    c, side, o = d.size(1, 3), d.size(3, 5), d.size(1, 3)
    inner = nn.Sequential(nn.BatchNorm(o, activation="leaky_relu", slope=0.2), nn.Tanh())
    net = nn.Sequential(
        nn.Conv2d(c, o, 3, padding=1, bias=False, key=KEY), inner, nn.Flatten(),
        nn.Linear(side * side * o, 8, activation="elu", key=KEY.fold_in(1)), nn.Reshape(2, 2, 2), nn.Upsample(2),
    )  # fmt: skip
    return net.train(d.choice(True, False)), d.normal(3, side, side, c)


# -- the comparison ---------------------------------------------------------------------------------------------------


def other_side(layer: nn.Module, x: np.ndarray) -> Any:
    """The twin with the layer's state.  What dropout keeps is ours to draw: PyTorch's own draws are others."""
    import torch

    class Kept(torch.nn.Module):
        def forward(self, z: Any) -> Any:
            return z * twins.data(layer(tg.Tensor(np.ones_like(x)), key=KEY))

    net = twins.convert(layer, {nn.Dropout: lambda ours: Kept()}).double().train(layer.training)
    twins.load(net, layer.state_dict())
    return net


def agree(draw: Row, d: Draw) -> None:
    import torch

    images = Layout(twins.data, lambda t: (t.movedim(1, -1) if t.ndim == 4 else t).numpy(force=True))
    weights = Layout(lambda a: torch.from_numpy(twins.to_torch(a)), twins.from_torch)

    layer, x = draw(d)
    for p in layer.astype(np.float64).parameters():  # a fresh layer has weights of one and biases of zero
        p.data[...] = d.normal(*p.shape)
    net = other_side(layer, x)
    here, there = tg.tensor(x, requires_grad=True), twins.data(x).requires_grad_()
    names, own = dict(layer.named_parameters()), dict(net.named_parameters())
    assert sorted(names) == sorted(own)

    y, z = layer(here, key=KEY) if layer.takes_key else layer(here), net(there)
    np.testing.assert_allclose(y.data, images.back(z), rtol=1e-9, atol=1e-10)
    layouts = [images, *[weights] * len(names)]
    sides = Sides([here, *names.values()], [there, *[own[name] for name in names]], layouts, d.generator)
    gradients = sides.gradients([y], [z], [images])
    sides.assert_equal(*gradients, tolerance=10)
    sides.assert_equal(*sides.second_gradients(*gradients), tolerance=100)

    state = twins.tensors(net)
    for name, buffer in layer.named_buffers():  # moved by the call
        np.testing.assert_allclose(buffer.data, twins.from_torch(state[name]), rtol=1e-12, atol=1e-14)


LAYERS = pytest.mark.parametrize("draw", [pytest.param(draw, id=layer.__name__) for layer, draw in ROWS.items()])


@pytest.mark.parity
@LAYERS
def test_value_gradient_and_second_gradient_agree_with_pytorch(draw: Row, tinygen_seed: int) -> None:
    """To inputs and to every parameter, along random cotangents; running statistics as well."""
    for seed in range(tinygen_seed, tinygen_seed + 8):
        agree(draw, Draw(seed))


@pytest.mark.parity
@pytest.mark.exhaustive
@LAYERS
@given(data=st.data(), seed=strategies.seeds())
def test_any_drawn_layer(draw: Row, data: Any, seed: int) -> None:
    agree(draw, Draw(seed, lambda low, high: data.draw(st.integers(low, high))))


@pytest.mark.parity
def test_what_has_no_twin_says_so() -> None:
    with pytest.raises(ArgumentError, match="Dropout has no PyTorch counterpart"):
        twins.convert(nn.Sequential(nn.Dropout()))
    with pytest.raises(ArgumentError, match="pads both sides alike"):
        twins.convert(nn.Conv2d(1, 1, 2, padding="same", key=KEY))


def test_every_layer_has_a_row() -> None:
    layers = {c for c in vars(nn).values() if isinstance(c, type) and issubclass(c, nn.Module)} - {nn.Module}
    assert {c.__name__ for c in layers ^ ROWS.keys()} == set()
