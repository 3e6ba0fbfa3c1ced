"""The four models as PyTorch users write them, and what each is fed.

Every function takes a model of ours and returns (net, losses): a torch.nn.Module whose parameters have our names, and
for each objective (loss, inputs): loss(*inputs(x, key)) is the torch scalar, and `inputs` makes of stored data and a
key what our model makes of them, the prepared data and the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ... import nn, ops
from ...errors import ArgumentError
from ...models import GAN, VAE, PixelCNN, RealNVP
from ...models.pixelcnn import Block
from ...models.realnvp import Coupling, Residual
from ...models.vae import MIN_LOG_VAR
from .layers import convert, data, to_torch

Losses = dict[str, tuple[Callable[..., Any], Callable[..., tuple[Any, ...]]]]


def vae(model: VAE) -> tuple[Any, Losses]:
    """Minus the ELBO; the decoder's distribution is PyTorch's."""
    import torch
    from torch.nn import functional as F

    volume = math.log(model.levels) * math.prod(model.shape) if model.gaussian and model.levels else 0.0

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = convert(model.encoder), convert(model.decoder)
            self.mu, self.log_var = convert(model.mu), convert(model.log_var)

        def nll(self, x: Any, z: Any) -> Any:
            y = self.decoder(z)
            if y.ndim < x.ndim:  # dense layers give the entries in our order
                height, width, _ = model.shape
                y = y.reshape(len(y), height, width, -1).permute(0, 3, 1, 2)
            if not model.gaussian:
                return F.binary_cross_entropy_with_logits(y, x, reduction="sum")
            mean, raw = y.chunk(2, dim=1)
            std = (F.softplus(raw - MIN_LOG_VAR) + MIN_LOG_VAR).mul(0.5).exp()
            return -torch.distributions.Normal(mean, std).log_prob(x).sum() + len(x) * volume

        def loss(self, x: Any, eps: Any = None) -> Any:
            h = self.encoder(x)
            mu, log_var = self.mu(h), self.log_var(h)
            eps = torch.randn_like(mu) if eps is None else eps
            z = mu + torch.exp(0.5 * log_var) * eps
            kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
            return (self.nll(x, z) + model.beta * kl) / len(x)

    def inputs(x: Any, key: Any) -> tuple[Any, ...]:
        eps = ops.normal((len(x), model.latent), key=key.fold_in("eps"), dtype=model.dtype)
        return data(model.prepare(x, key=key.fold_in("data"))), data(eps)

    net = Net()
    return net, {"model": (net.loss, inputs)}


def pixelcnn(model: PixelCNN) -> tuple[Any, Losses]:
    """The negative log-likelihood as a cross-entropy."""
    import torch
    from torch.nn import functional as F

    if model.dropout.rate:
        raise ArgumentError("twins: PixelCNN's dropout draws differently in PyTorch. Build the model with dropout=0.")
    levels = 2 if model.binary else model.levels

    class ResidualBlock(torch.nn.Module):
        def __init__(self, ours: Block):
            super().__init__()
            self.down, self.mix, self.up = convert(ours.down), convert(ours.mix), convert(ours.up)

        def forward(self, x: Any) -> Any:
            return x + self.up(self.mix(self.down(F.relu(x))))

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head, self.last = convert(model.first), convert(model.head), convert(model.last)
            self.blocks = torch.nn.ModuleList(ResidualBlock(block) for block in model.blocks)

        def loss(self, x: Any) -> Any:
            """x (N, C, H, W) grey levels as floats."""
            h = self.first(2 * x / (levels - 1) - 1)
            for block in self.blocks:
                h = block(h)
            y = self.last(self.head(F.relu(h)))
            if model.binary:
                return F.binary_cross_entropy_with_logits(y, x, reduction="sum") / len(x)
            n, c, height, width = x.shape
            y = y.reshape(n, c, levels, height, width).transpose(1, 2)
            return F.cross_entropy(y, x.long(), reduction="sum") / n

    net = Net()
    return net, {"model": (net.loss, lambda x, key: (data(model.prepare(x, key=key.fold_in("data"))),))}


def realnvp(model: RealNVP) -> tuple[Any, Losses]:
    """The negative log-likelihood, couplings as in equation 9 of Dinh et al. 2017."""
    import torch
    from torch.nn import functional as F

    class ResidualBlock(torch.nn.Module):
        def __init__(self, ours: Residual):
            super().__init__()
            self.a, self.b = convert(ours.a), convert(ours.b)

        def forward(self, x: Any) -> Any:
            return x + self.b(self.a(F.relu(x)))

    class AffineCoupling(torch.nn.Module):
        def __init__(self, ours: Coupling):
            super().__init__()
            self.register_buffer("mask", torch.from_numpy(to_torch(ours.mask.data)))
            self.scale = torch.nn.Parameter(torch.empty(len(ours.scale)))
            self.network = convert(ours.network, {Residual: ResidualBlock})

        def forward(self, x: Any) -> Any:
            b = self.mask
            s, t = self.network(b * x).chunk(2, dim=1)
            s = torch.tanh(s) * self.scale.view(-1, *(1,) * (x.ndim - 2))
            y = b * x + (1 - b) * (x * torch.exp(s) + t)
            return y, ((1 - b) * s).flatten(1).sum(1)

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.from_numpy(to_torch(model.mean.data)))
            self.register_buffer("std", torch.from_numpy(to_torch(model.std.data)))
            self.stages = torch.nn.ModuleList(convert(s, {Coupling: AffineCoupling}) for s in model.stages)

        def to_continuous(self, x: Any, u: Any) -> Any:
            """The data on the real line, and log|det| of going there per example."""
            if model.levels is None:
                return (x - self.mean) / self.std, -self.std.log().sum()
            p = model.alpha + (1 - 2 * model.alpha) * (x + u) / model.levels
            slope = (1 - 2 * model.alpha) / (p * (1 - p)) / model.levels
            return torch.logit(p), slope.log().flatten(1).sum(1)

        def loss(self, x: Any, u: Any = None) -> Any:
            u = torch.rand_like(x) if u is None and model.levels else u
            x, log_det = self.to_continuous(x, u)
            z = []
            for i, stage in enumerate(self.stages):
                if i % 2:
                    x = squeeze(x)
                for coupling in stage:
                    x, change = coupling(x)
                    log_det = log_det + change
                if i % 2:
                    gone, x = x.chunk(2, dim=1)
                    z.append(gone.flatten(1))
            z = torch.cat([*z, x.flatten(1)], dim=1)
            log_prior = torch.distributions.Normal(0, 1).log_prob(z).sum(1)
            return -(log_prior + log_det).mean()

    def squeeze(x: Any) -> Any:
        """(N, C, H, W) -> (N, 4C, H/2, W/2), the four pixels of a block one after the other, each with its channels."""
        n, c, height, width = x.shape
        x = x.reshape(n, c, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(n, 4 * c, height // 2, width // 2)

    def inputs(x: Any, key: Any) -> tuple[Any, ...]:
        x = model.float_batch(x, model.shape)
        if model.levels is None:
            return (data(x),)
        return data(x), data(ops.uniform(x.shape, key=key, dtype=model.dtype))

    net = Net()
    return net, {"model": (net.loss, inputs)}


def gan(model: GAN) -> tuple[Any, Losses]:
    """Both objectives as cross-entropies with the labels real and fake."""
    import torch
    from torch.nn import functional as F

    def against(logit: Any, real: bool) -> Any:
        return F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, float(real)))

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator, self.discriminator = convert(model.generator), convert(model.discriminator)

        def discriminator_loss(self, x: Any, z: Any) -> Any:
            with torch.no_grad():
                fake = self.generator(z)
            return against(self.discriminator(x), True) + against(self.discriminator(fake), False)

        def generator_loss(self, z: Any) -> Any:
            logit = self.discriminator(self.generator(z))
            return -against(logit, False) if model.objective == "minimax" else against(logit, True)

    def z(x: Any, key: Any) -> Any:
        return data(ops.normal((len(x), model.latent), key=key, dtype=model.dtype))

    net = Net()
    return net, {
        "discriminator": (net.discriminator_loss, lambda x, key: (data(model.prepare(x)), z(x, key))),
        "generator": (net.generator_loss, lambda x, key: (z(x, key),)),
    }


NETS: dict[type[nn.Module], Callable[..., tuple[Any, Losses]]] = {
    VAE: vae, PixelCNN: pixelcnn, RealNVP: realnvp, GAN: gan,
}  # fmt: skip
