"""Single layers at the models' shapes: forward, and the gradients of the input and every parameter.

Ours is recorded by `tinygen.step`, as it is in training.  The peers are PyTorch's layer eager, channels-last, compiled,
and, where it is masked, cropped to its live rows in channels-last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import tinygen
from tinygen import nn
from tinygen.random import Key
from tinygen.testing.twins.layers import convert, data, from_torch, to_torch

from . import peers
from .harness import BenchmarkError
from .peers.cropped import crop
from .suite import Row, Settings, benchmark, compare_sides

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
    if form == "cropped":
        crop(net, pad=True)
    order = torch.channels_last if form in ("channels-last", "cropped") else torch.contiguous_format
    net.to(memory_format=order)
    leaf = data(x).contiguous(memory_format=order).requires_grad_()
    cotangent = data(g).contiguous(memory_format=order)
    own = dict(net[0].named_parameters())
    wanted = [leaf, *(own[name] for name, _ in layer.named_parameters())]
    call = torch.compile(net, dynamic=False) if form == "compile" else net

    def step() -> tuple[Any, ...]:
        y = call(leaf)
        return (y, *torch.autograd.grad(y, wanted, cotangent))

    return step


def check(name: str, form: str, mine: Any, peer: Any) -> float:
    """The largest difference relative to the largest entry of an array; BenchmarkError where it is over TOLERANCE."""
    worst = 0.0
    for i, (a, b) in enumerate(zip(mine, peer, strict=True)):
        b = b.detach()
        b = (b.permute(0, 2, 3, 1) if b.ndim == 4 else b).numpy() if i < 2 else from_torch(b)
        whole = np.zeros_like(a.data)  # a cropped kernel has fewer rows, and where they lack our gradient is zero
        whole[: len(b)] = b
        worst = max(worst, float(np.abs(a.data - whole).max() / np.abs(b).max()))
    if not worst <= TOLERANCE:
        raise BenchmarkError(f"layer_{name}: {form} differs from ours by {worst:.2g} of the largest. Not timed.")
    return worst


def measure(name: str, settings: Settings) -> Row:
    """The row of one layer."""
    import torch

    torch.set_num_threads(settings.threads)
    build, shape = LAYERS[name]
    layer, generator = build(), np.random.Generator(np.random.Philox(0))
    x = generator.standard_normal(shape, np.float32)
    g = generator.standard_normal(layer(tinygen.tensor(x)).shape, np.float32)
    step = ours(layer, x, g)
    step()
    sides, compile_s, left_out, worst = {}, {}, {}, 0.0
    for form in forms(layer, x):
        if missing := peers.reason_missing("torch compile" if form == "compile" else "torch"):
            left_out[form] = missing
            continue
        side = theirs(form, layer, x, g)
        start = perf_counter()
        made = side()
        compile_s[form] = perf_counter() - start
        worst = max(worst, check(name, form, step(), made))
        sides[form] = side
    return compare_sides(
        f"layer_{name}", what(name), step, sides,
        Settings(settings.threads, settings.rounds, min(SECONDS, settings.seconds), settings.quick),
        parity=f"output and gradients, difference {worst:.1g} of the largest entry, allowed {TOLERANCE:g}",
        compile_s=compile_s, left_out=left_out,
    )  # fmt: skip


def forms(layer: nn.Module, x: np.ndarray) -> tuple[str, ...]:
    """The forms that make sense for a layer."""
    images = ("channels-last",) if x.ndim == 4 else ()
    return "torch", "compile", *images, *(("cropped",) if isinstance(layer, nn.MaskedConv2d) else ())


def what(name: str) -> str:
    """In one line."""
    return f"{name} on {'x'.join(map(str, LAYERS[name][1]))}, with gradients"


for _name in LAYERS:
    benchmark(f"layer_{_name}", group="op", what=what(_name))(partial(measure, _name))
