"""Single layers at the models' shapes: forward, and the gradients of the input and every parameter.

Ours is recorded by `tinygen.step`, as it is in training.  The peers are PyTorch's layer eager, channels-last, compiled,
and, where it is masked, cropped to its live rows in channels-last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import tinygen
from tinygen import nn
from tinygen.random import Key
from tinygen.testing.twins.layers import convert, data, from_torch, to_torch

from . import parity, peers
from .peers.cropped import crop
from .sides import OURS, Comparison, Made, compare, register
from .suite import Row, Settings, benchmark

KEY = Key(0)
TOLERANCE = 1e-4  # difference allowed in float32, relative to the largest entry
SECONDS = 0.1  # of a turn, at most

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear_relu": (lambda: nn.Linear(784, 500, activation="relu", key=KEY), (128, 784)),
    "linear_small": (lambda: nn.Linear(64, 128, activation="relu", key=KEY), (256, 64)),
    "conv2d_relu": (lambda: nn.Conv2d(32, 32, 3, padding=1, activation="relu", key=KEY), (16, 32, 32, 32)),
    "conv2d_stride": (lambda: nn.Conv2d(64, 128, 4, stride=2, padding=1, key=KEY), (64, 16, 16, 64)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1, key=KEY), (64, 8, 8, 128)),
    "masked_conv2d": (lambda: nn.MaskedConv2d("B", 64, 64, 3, activation="relu", key=KEY), (16, 28, 28, 64)),
    "batch_norm": (lambda: nn.BatchNorm(128), (64, 8, 8, 128)),
}


def ours(layer: nn.Module, x: np.ndarray, g: np.ndarray) -> Callable[[], Any]:
    """A function that gives the output and the gradients of x and every parameter for the cotangent g."""
    leaf, cotangent = nn.Parameter(x.copy()), tinygen.tensor(g)
    wanted = [leaf, *layer.parameters()]

    @tinygen.step
    def step() -> tuple[Any, ...]:
        y = layer(leaf)
        return (y, *tinygen.grad([y], wanted, [cotangent]))

    return step


def theirs(form: str, layer: nn.Module, x: np.ndarray, g: np.ndarray) -> Callable[[], Any]:
    """The same in PyTorch, from our weights."""
    import torch

    net = torch.nn.Sequential(convert(layer))
    with torch.no_grad():
        for name, p in net[0].named_parameters():
            p.copy_(torch.from_numpy(to_torch(dict(layer.named_parameters())[name].data)))
    how = peers.TORCH[form]
    if how.cropped:
        crop(net, pad=True)
    order = torch.channels_last if how.channels_last else torch.contiguous_format
    net.to(memory_format=order)
    leaf = data(x).contiguous(memory_format=order).requires_grad_()
    cotangent = data(g).contiguous(memory_format=order)
    own = dict(net[0].named_parameters())
    wanted = [leaf, *(own[name] for name, _ in layer.named_parameters())]
    call = torch.compile(net, dynamic=False) if how.compiled else net

    def step() -> tuple[Any, ...]:
        y = call(leaf)
        return (y, *torch.autograd.grad(y, wanted, cotangent))

    return step


def figures(arrays: Any) -> dict[str, np.ndarray]:
    """PyTorch's output and gradients, laid out as ours are; the rows that a cropped kernel lacks are zeros."""
    made = {}
    for i, a in enumerate(arrays):
        a = a.detach()
        a = (a.permute(0, 2, 3, 1) if a.ndim == 4 else a).numpy() if i < 2 else from_torch(a)
        if i > 1 and a.ndim == 4:  # kernels are square
            a = np.pad(a, ((0, a.shape[1] - a.shape[0]), (0, 0), (0, 0), (0, 0)))
        made[f"array {i}"] = a
    return made


def make(name: str, side: str, settings: Settings) -> Made:
    """One side: shows the output and every gradient."""
    build, shape = LAYERS[name]
    layer, generator = build(), np.random.Generator(np.random.Philox(0))
    x = generator.standard_normal(shape, np.float32)
    g = generator.standard_normal(layer(tinygen.tensor(x)).shape, np.float32)
    if side == OURS:
        step = ours(layer, x, g)
        return Made(lambda: {f"array {i}": a.data for i, a in enumerate(step())}, {"layer": step})
    import torch

    torch.set_num_threads(settings.threads)
    step = theirs(side, layer, x, g)
    return Made(lambda: figures(step()), {"layer": step})


def forms(name: str) -> tuple[str, ...]:
    """The forms that make sense for a layer."""
    images = ("torch channels-last",) if len(LAYERS[name][1]) == 4 else ()
    return "torch", "torch compile", *images, *(("torch cropped channels-last",) if name.startswith("masked") else ())


def measure(compared: Comparison, settings: Settings) -> Row:
    """The row of one layer."""
    return compare(compared, replace(settings, seconds=min(SECONDS, settings.seconds))).rows["layer"]


for _name, (_, _shape) in LAYERS.items():
    _layer = register(
        Comparison(
            f"layer_{_name}", forms(_name), partial(make, _name), parity.of_the_largest, TOLERANCE,
            "output and gradients",
        )
    )  # fmt: skip
    _what = f"{_name} on {'x'.join(map(str, _shape))}, with gradients"
    benchmark(_layer.name, group="op", what=_what)(partial(measure, _layer))
