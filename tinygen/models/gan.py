"""Generative adversarial network (Goodfellow et al. 2014); on images with DCGAN's layers (Radford et al. 2016).

    min_G max_D  E_x[log D(x)] + E_z[log(1 - D(G(z)))],   D = sigmoid of the discriminator's logit

The generator's loss is log(1 - D(G(z))) ("minimax") or -log D(G(z)) ("non-saturating": the same fixed point, but a
gradient that does not vanish while the discriminator is winning).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import nn, ops
from ..errors import ArgumentError
from ..modes import no_grad
from ..random import Key
from ..tensor import Array, Tensor
from .model import DataSpec, Model, Objective
from .preprocess import unit


class GAN(Model):
    """A GAN for rows (D,) or images (H, W, C) with `levels`.

    architecture  "mlp": three hidden layers of width `hidden`, relu in the generator, leaky relu in the discriminator.
                  "conv": DCGAN: 4x4 transposed convolutions of stride 2 with batch normalisation from a small image of
                  hidden * 2^k channels up; the discriminator mirrors them with leaky relu.
    objective     "non-saturating" or "minimax".
    pack          how many examples the discriminator judges together (PacGAN, Lin et al. 2018): from a pack it can tell
                  that modes are missing.  Dense layers only; batches are multiples of it.
    latent        the length of z ~ N(0, 1).
    """

    monitor: ClassVar[str | None] = None  # no likelihood, and the losses do not say how good the samples are

    def __init__(
        self,
        shape: Sequence[int],
        *,
        levels: int | None = None,
        architecture: str = "mlp",
        objective: str = "non-saturating",
        hidden: int = 128,
        latent: int = 16,
        pack: int = 1,
        key: Key,
    ):
        self.shape, self.levels, self.latent, self.pack = tuple(shape), levels, latent, pack
        if objective not in ("non-saturating", "minimax"):
            raise ArgumentError(f"GAN: objective must be 'non-saturating' or 'minimax', got {objective!r}.")
        self.objective = objective
        if architecture not in ("mlp", "conv"):
            raise ArgumentError(f"GAN: architecture must be 'mlp' or 'conv', got {architecture!r}.")
        bounded = levels is not None  # pictures live on [-1, 1], rows of real numbers anywhere
        if architecture == "mlp":
            self.generator, self.discriminator = _dense(self.shape, hidden, latent, pack, bounded, key)
        elif pack == 1:
            self.generator, self.discriminator = _convolutional(self.shape, hidden, latent, bounded, key)
        else:
            raise ArgumentError(f"GAN: pack {pack} needs architecture='mlp'.")

    @classmethod
    def settings_for(cls, data: DataSpec) -> dict[str, Any]:
        common = {"shape": list(data.shape), "levels": data.levels, "objective": "non-saturating"}
        if data.kind == "image":
            return {**common, "architecture": "conv", "hidden": 64, "latent": 64}
        return {**common, "architecture": "mlp", "hidden": 128, "latent": 16, "pack": 1}

    def objectives(self) -> dict[str, Objective]:
        return {
            "discriminator": Objective(self.discriminator.parameters(), self.discriminator_loss),
            "generator": Objective(self.generator.parameters(), self.generator_loss),
        }

    def generate(self, n: int, *, key: Key) -> Tensor:
        """G(z) for n draws of z: images on [-1, 1], or rows."""
        return self.generator(ops.normal((n, self.latent), key=key, dtype=self.dtype))

    def prepare(self, x: Array | Tensor) -> Tensor:
        """Stored data on the generator's scale."""
        x = self.float_batch(x, self.shape)
        return x if self.levels is None else unit(x, self.levels) * 2 - 1

    def judge(self, x: Tensor) -> Tensor:
        """The discriminator's logits (N / pack, 1) for x (N, *shape) on the generator's scale."""
        if len(x) % self.pack:
            raise ArgumentError(f"GAN: a batch of {len(x)} is no multiple of pack {self.pack}. Change the batch size.")
        packed = x if self.pack == 1 else ops.reshape(x, shape=(len(x) // self.pack, self.pack, *self.shape))
        return self.discriminator(packed)

    def discriminator_loss(self, x: Array | Tensor, *, key: Key) -> Tensor:
        """-E[log D(x)] - E[log(1 - D(G(z)))], nats; real and generated examples pass D as separate batches."""
        with no_grad():
            fake = self.generate(len(x), key=key)
        real = self.judge(self.prepare(x))
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(self.judge(fake)))

    def generator_loss(self, x: Array | Tensor, *, key: Key) -> Tensor:
        """-E[log D(G(z))], or E[log(1 - D(G(z)))] for minimax; x gives only the number of draws."""
        logit = self.judge(self.generate(len(x), key=key))
        if self.objective == "minimax":
            return -ops.mean(ops.softplus(logit))
        return ops.mean(ops.softplus(-logit))

    def loss(self, x: Array | Tensor, *, key: Key) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(discriminator's, generator's)."""
        return (
            self.discriminator_loss(x, key=key.fold_in("discriminator")),
            self.generator_loss(x, key=key.fold_in("generator")),
        )

    def sample(self, n: int, *, key: Key) -> Tensor:
        """n images (n, H, W, C) on [0, 1], or rows (n, D); batch normalisation by its running statistics."""
        training, _ = self.training, self.eval()
        try:
            with no_grad():
                x = self.generate(n, key=key)
        finally:
            self.train(training)
        return x if self.levels is None else (x + 1) * 0.5


def _dense(
    shape: tuple[int, ...], hidden: int, latent: int, pack: int, bounded: bool, key: Key
) -> tuple[nn.Sequential, nn.Sequential]:
    dims = math.prod(shape)
    key_g, key_d = key.fold_in("generator"), key.fold_in("discriminator")

    def layers(first: int, last: int, activation: str, key: Key) -> list[nn.Module]:
        sizes = [first, hidden, hidden, hidden]
        body = [
            nn.Linear(a, b, activation=activation, key=key.fold_in(i))
            for i, (a, b) in enumerate(itertools.pairwise(sizes))
        ]
        return [*body, nn.Linear(hidden, last, key=key.fold_in("last"))]

    generator = layers(latent, dims, "relu", key_g)
    if bounded:
        generator.append(nn.Tanh())
    if len(shape) > 1:
        generator.append(nn.Reshape(*shape))
    return nn.Sequential(*generator), nn.Sequential(nn.Flatten(), *layers(pack * dims, 1, "leaky_relu", key_d))


def _convolutional(
    shape: tuple[int, ...], hidden: int, latent: int, bounded: bool, key: Key
) -> tuple[nn.Sequential, nn.Sequential]:
    if len(shape) != 3:
        raise ArgumentError(f"GAN: architecture 'conv' needs images (H, W, C), got shape {shape}.")
    height, width, channels = shape
    halvings = 0
    floor = 2 if min(height, width) <= 8 else 4  # how small the innermost image may become
    while height % 2 == 0 and width % 2 == 0 and min(height, width) // 2 >= floor:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if not halvings:
        raise ArgumentError(f"GAN: images of {shape[0]}x{shape[1]} cannot be halved. Use architecture='mlp'.")
    widths = [hidden * 2**i for i in range(halvings)]  # from the image inwards
    key_g, key_d = key.fold_in("generator"), key.fold_in("discriminator")
    small = (height, width, widths[-1])
    generator: list[nn.Module] = [
        nn.Linear(latent, math.prod(small), key=key_g.fold_in("first")),
        nn.Reshape(*small),
        nn.BatchNorm(small[-1], activation="relu"),
    ]
    outward = [*reversed(widths[:-1]), channels]
    for i, (c, o) in enumerate(zip([widths[-1], *outward], outward)):
        last = i == halvings - 1
        generator.append(nn.ConvTranspose2d(c, o, 4, stride=2, padding=1, bias=last, key=key_g.fold_in(i)))
        generator += [nn.Tanh()] if last and bounded else [] if last else [nn.BatchNorm(o, activation="relu")]
    discriminator: list[nn.Module] = []
    for i, (c, o) in enumerate(zip([channels, *widths], widths)):
        first = i == 0  # DCGAN: no batch normalisation where the image comes in
        discriminator.append(nn.Conv2d(c, o, 4, stride=2, padding=1, bias=first, key=key_d.fold_in(i)))
        discriminator += [nn.LeakyReLU(0.2) if first else nn.BatchNorm(o, activation="leaky_relu", slope=0.2)]
    discriminator += [nn.Flatten(), nn.Linear(math.prod(small), 1, key=key_d.fold_in("last"))]
    made = nn.Sequential(*generator), nn.Sequential(*discriminator)
    for net, k in zip(made, (key_g, key_d)):
        _dcgan_weights(net, k.fold_in("weights"))
    return made


def _dcgan_weights(net: nn.Sequential, key: Key) -> None:
    """Weights normal with standard deviation 0.02, batch normalisation's around 1 (Radford et al. 2016); biases 0."""
    for i, layer in enumerate(net.layers):
        weight = getattr(layer, "weight", None)
        if isinstance(weight, nn.Parameter):
            mean = 1.0 if isinstance(layer, nn.BatchNorm) else 0.0
            weight.data[...] = nn.init.normal(weight.shape, mean=mean, std=0.02, key=key.fold_in(i))
        bias = getattr(layer, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.data[...] = np.zeros_like(bias.data)
