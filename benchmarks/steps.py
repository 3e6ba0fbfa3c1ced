"""Whole training steps (loss, every gradient, Adam) of the models, against every form that PyTorch and JAX offer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import tinygen
from tinygen import models, optim
from tinygen.autograd import grad
from tinygen.random import Key
from tinygen.step import Step
from tinygen.testing.twins import Twin

from . import parity, peers, work
from .launches import launches
from .sides import OURS, Comparison, Made, compare, register
from .suite import Row, Settings, benchmark

KEY = Key(0)
PARITY_STEPS = 3  # losses from equal weights, data and noise are compared over so many


@dataclass(frozen=True)
class Case:
    """A model, the batch it is timed on, and the forms that its peers come in."""

    what: str
    model: Callable[..., models.Model]  # with key and `width`, the number of hidden units or channels
    width: Any
    batch: tuple[int, ...]  # (N, *shape)
    levels: int | None = None  # of the data: 2 (one pixel in five is on), 256, or real numbers
    forms: tuple[str, ...] = peers.DENSE
    rate: float = 1e-3  # Adam's
    tolerance: float = 1e-5  # relative difference of the float32 losses

    def build(self, width: Any = None) -> models.Model:
        """The model, its weights moved off their start, where couplings are the identity and test nothing."""
        model = self.model(self.width if width is None else width)
        noise = _generator(2)
        for p in model.parameters():
            p.data[...] += 0.01 * noise.standard_normal(p.shape)
        return model

    def data(self, n: int | None = None) -> np.ndarray:
        """The batch, or n examples like it: float32, as a loader hands them over."""
        shape, random = (n or self.batch[0], *self.batch[1:]), _generator(1)
        if self.levels is None:
            return random.standard_normal(shape, np.float32)
        if self.levels == 2:
            return (random.random(shape) < 0.2).astype(np.float32)
        return random.integers(0, self.levels, shape).astype(np.float32)


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


CASES = {
    "vae_mlp": Case(
        "VAE 784-500-20, Bernoulli, batch 128",
        lambda width: models.VAE((28, 28, 1), levels=2, hidden=width, latent=20, key=KEY),
        500, (128, 28, 28, 1), 2,
    ),
    "vae_conv": Case(
        "convolutional VAE, 32x32x3, channels 32-64-128, latent 64, Gaussian, batch 64",
        lambda width: models.VAE(
            (32, 32, 3), levels=256, decoder="gaussian", architecture="conv", hidden=width, latent=64, key=KEY
        ),
        (32, 64, 128), (64, 32, 32, 3), 256, peers.IMAGES,
    ),
    "pixelcnn_binary": Case(
        "PixelCNN, h = 64, 7 blocks, 28x28, Bernoulli, batch 16",
        lambda width: models.PixelCNN((28, 28, 1), levels=2, channels=width, blocks=7, key=KEY),
        64, (16, 28, 28, 1), 2, peers.MASKED,
    ),
    "pixelcnn_256": Case(
        "PixelCNN, h = 64, 7 blocks, 28x28, softmax over 256 levels, batch 16",
        lambda width: models.PixelCNN((28, 28, 1), levels=256, channels=width, blocks=7, key=KEY),
        64, (16, 28, 28, 1), 256, peers.MASKED,
    ),
    "realnvp_tabular": Case(
        "RealNVP, D = 64, hidden 128, 10 couplings, batch 256",
        lambda width: models.RealNVP((64,), hidden=width, couplings=10, key=KEY),
        128, (256, 64), forms=peers.HALVED,
    ),
    "realnvp_image": Case(
        "RealNVP, 32x32x3, 3 scales, 2 blocks of width 32, batch 16",
        lambda width: models.RealNVP((32, 32, 3), levels=256, hidden=width, scales=3, blocks=2, key=KEY),
        32, (16, 32, 32, 3), 256, peers.IMAGES,
    ),
    "gan_mlp": Case(
        "GAN, 784 entries, hidden 256, latent 64, batch 128, discriminator and generator",
        lambda width: models.GAN((28, 28, 1), levels=256, hidden=width, latent=64, key=KEY),
        256, (128, 28, 28, 1), 256,
    ),
    "dcgan": Case(
        "DCGAN, 32x32x3, 64 filters, latent 64, batch 64, discriminator and generator",
        lambda width: models.GAN(
            (32, 32, 3), levels=256, architecture="conv", hidden=width, latent=64, key=KEY
        ),
        # Adam's first steps are as long for a gradient of rounding's size as for any, and the adversary finds them
        64, (64, 32, 32, 3), 256, peers.IMAGES, rate=1e-4, tolerance=2e-3,
    ),
}  # fmt: skip


def our_step(model: models.Model, rate: float = 1e-3) -> Step:
    """One training step of the batch x: every objective's loss, gradients and Adam of this rate; returns the losses."""
    objectives = model.objectives()
    adams = {name: optim.Adam(o.parameters, lr=rate) for name, o in objectives.items()}

    @tinygen.step
    def step(x: Any, *, key: Key) -> tuple[Any, ...]:
        done = []
        for name, (parameters, loss) in objectives.items():
            value = loss(x, key=key.fold_in(name))
            adams[name].update(grad(value, parameters))
            done.append(value)
        return tuple(done)

    return step


def feeds(model: models.Model, x: np.ndarray) -> list[peers.Inputs]:
    """What a peer has to be fed for the noise that our first steps draw."""
    twin = Twin(model)
    return [
        {n: twin.inputs(x, key=KEY.fold_in(i).fold_in(n), objective=n) for n in model.objectives()}
        for i in range(PARITY_STEPS)
    ]


def make(case: Case, side: str, settings: Settings) -> Made:
    """One side of a training step: shows the losses (steps, objectives) over its first steps."""
    x, model = case.data(), case.build()
    if side == OURS:
        step, numbers = our_step(model, case.rate), map(KEY.fold_in, itertools.count())
        ours = lambda: step(x, key=next(numbers))
        return Made(
            lambda: _losses([[loss.item() for loss in ours()] for _ in range(PARITY_STEPS)]), {"step": ours},
            facts=lambda: {"launches": launches(step)},
        )  # fmt: skip
    fed = feeds(model, x)
    peer = peers.make(side, model, x, rate=case.rate, threads=settings.threads)
    return Made(lambda: _losses([peer.feed(inputs) for inputs in fed]), {"step": peer})


def _losses(of_steps: list[list[float]]) -> dict[str, np.ndarray]:
    return {"losses": np.array(of_steps)}


def comparison(name: str, case: Case, forms: tuple[str, ...]) -> Comparison:
    """The training step of a case, ours and in these forms."""
    compared = f"losses of {PARITY_STEPS} steps"
    return register(Comparison(name, forms, partial(make, case), parity.relative, case.tolerance, compared))


def measure(compared: Comparison, case: Case, settings: Settings) -> Row:
    """The row of one model."""
    row = compare(compared, settings).rows["step"]
    return row | {"work": work.training_step(case.build(), case.data())._asdict()}


for _name, _case in CASES.items():
    _step = comparison(f"{_name}_step", _case, _case.forms)
    benchmark(_step.name, group="step", what=f"training step: {_case.what}")(partial(measure, _step, _case))
