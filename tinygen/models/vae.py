"""Variational autoencoder (Kingma & Welling 2014).

    log p(x) >= E_{z ~ q(z|x)}[log p(x|z)] - beta KL(q(z|x) || p(z))
    q(z|x) = N(mu, diag(exp(log_var))),   p(z) = N(0, 1)

beta = 1 is the evidence lower bound (ELBO); other values give the beta-VAE (Higgins et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from .. import nn, ops
from ..convert import zeros
from ..errors import ArgumentError
from ..modes import no_grad
from ..random import Key
from ..step import static
from ..tensor import Array, Tensor
from .model import DataSpec, Model
from .preprocess import binarize, dequantize, log_volume

MIN_LOG_VAR = -7.0  # of the Gaussian decoder: else one pixel that never varies takes the density to infinity


class VAE(Model):
    """A VAE for images (H, W, C) or rows (D,).

    levels        grey levels of integer data; None for real numbers (which need the Gaussian decoder).
    decoder       "bernoulli": pixels are binary; grey ones are binarised anew at every look (levels > 2).
                  "gaussian": p(x|z) has a learned mean and a learned variance for every entry; integers are
                  dequantised, and log-likelihoods are those of the integers.
    architecture  "mlp": dense layers of width `hidden` (a number, or one per layer).
                  "conv": convolutions of stride 2 with `hidden` channels (one per layer), mirrored in the decoder.
    latent        D, the length of z.
    """

    monitor: ClassVar[str | None] = "elbo_nats"
    iwae_samples: int = 100  # k of the importance-weighted bound in `evaluate`

    def __init__(
        self,
        shape: Sequence[int],
        *,
        levels: int | None = 2,
        decoder: str = "bernoulli",
        architecture: str = "mlp",
        hidden: int | Sequence[int] = 500,
        latent: int = 20,
        beta: float = 1.0,
        key: Key,
    ):
        self.shape = tuple(shape)
        self.levels, self.latent, self.beta = levels, latent, beta
        if decoder not in ("bernoulli", "gaussian"):
            raise ArgumentError(f"VAE: decoder must be 'bernoulli' or 'gaussian', got {decoder!r}.")
        if decoder == "bernoulli" and levels is None:
            raise ArgumentError("VAE: a Bernoulli decoder needs integer data with levels. Use decoder='gaussian'.")
        self.gaussian = decoder == "gaussian"
        widths = [hidden] if isinstance(hidden, int) else list(hidden)
        outputs = 2 if self.gaussian else 1  # per entry: mean and log-variance, or one logit
        build = {"mlp": _dense, "conv": _convolutional}.get(architecture)
        if build is None:
            raise ArgumentError(f"VAE: architecture must be 'mlp' or 'conv', got {architecture!r}.")
        self.encoder, features, self.decoder = build(self.shape, widths, latent, outputs, key)
        self.mu = nn.Linear(features, latent, key=key.fold_in("mu"))
        self.log_var = nn.Linear(features, latent, key=key.fold_in("log_var"))

    @classmethod
    def settings_for(cls, data: DataSpec) -> dict[str, Any]:
        common: dict[str, Any] = {"shape": list(data.shape), "levels": data.levels, "beta": 1.0}
        if data.kind == "image":
            return {**common, "decoder": "bernoulli", "architecture": "mlp", "hidden": 500, "latent": 20}
        decoder = "bernoulli" if data.levels == 2 else "gaussian"
        return {**common, "decoder": decoder, "architecture": "mlp", "hidden": [128, 128], "latent": 2}

    # -- the two networks ---------------------------------------------------------------------------------------------

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, *shape), as from `prepare` -> mu, log_var (N, D) of q(z|x)."""
        h = self.encoder(x)
        return self.mu(h), self.log_var(h)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """z (N, D) -> logits and None (Bernoulli), or mean and log-variance (Gaussian), each (N, *shape)."""
        y = self.decoder(z)
        if not self.gaussian:
            return ops.reshape(y, shape=(len(z), *self.shape)), None
        y = ops.reshape(y, shape=(len(z), *self.shape[:-1], 2 * self.shape[-1]))
        mean, raw = ops.split(y, sections=2, axis=-1)
        return mean, ops.softplus(raw - MIN_LOG_VAR) + MIN_LOG_VAR

    def prepare(self, x: Array | Tensor, *, key: Key) -> Tensor:
        """Stored data -> what the networks see: zeros and ones, dequantised greys on [0, 1), or rows as given."""
        g = self.float_batch(x, self.shape)
        if self.levels is None:
            return g
        return (dequantize if self.gaussian else binarize)(g, self.levels, key=key)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), nats, (N,); of the integers where data have levels."""
        first, log_var = self.decode(z)
        axes = len(self.shape)
        if log_var is None:
            return ops.bernoulli_log_prob(x, first, event_ndim=axes)
        density = ops.gaussian_log_prob(x, first, log_var, event_ndim=axes)
        return density if self.levels is None else density - log_volume(self.levels, math.prod(self.shape))

    # -- bounds -------------------------------------------------------------------------------------------------------

    def elbo(self, x: Array | Tensor, *, key: Key, beta: float = 1.0) -> Tensor:
        """The evidence lower bound, nats, (N,), with one draw of z."""
        x = self.prepare(x, key=key.fold_in("data"))
        mu, log_var = self.encode(x)
        z = ops.reparameterize(mu, log_var, key=key.fold_in("eps"))
        kl = ops.gaussian_kl(mu, log_var, event_ndim=1)
        return self.log_likelihood(x, z) - (kl if beta == 1 else kl * beta)

    def loss(self, x: Array | Tensor, *, key: Key) -> Tensor:
        """Minus the mean ELBO (with this model's beta), nats per example."""
        return -ops.mean(self.elbo(x, key=key, beta=self.beta))

    def iwae(self, x: Array | Tensor, k: int, *, key: Key) -> Tensor:
        """log mean_k p(x, z_k) / q(z_k|x), nats, (N,): a lower bound on log p(x) that rises with k
        (Burda et al. 2016, eq. 8); k = 1 is the ELBO, estimated without the closed form of the KL."""
        if k < 1:
            raise ArgumentError(f"iwae: k must be at least 1, got {k}.")
        x = self.prepare(x, key=key.fold_in("data"))
        mu, log_var = (_repeated(a, k) for a in self.encode(x))
        z = ops.reparameterize(mu, log_var, key=key.fold_in("eps"))
        zero = zeros(z.shape, z.dtype, [z])
        log_weight = (
            self.log_likelihood(_repeated(x, k), z)
            + ops.gaussian_log_prob(z, zero, zero, event_ndim=1)
            - ops.gaussian_log_prob(z, mu, log_var, event_ndim=1)
        )
        return ops.logsumexp(ops.reshape(log_weight, shape=(len(x), k)), axis=1) - math.log(k)

    def evaluate(self, x: Array, *, key: Key) -> dict[str, Tensor]:
        """elbo_nats and iwae_nats: minus the bounds, so upper bounds on the negative log-likelihood.

        Both look at the same binarisation (or dequantisation) of x."""
        figures = {}
        with no_grad():
            figures["elbo_nats"] = -self.elbo(x, key=key)
            if samples := static("VAE.iwae_samples", lambda: self.iwae_samples):
                figures["iwae_nats"] = -self.iwae(x, samples, key=key)
        return figures

    # -- pictures -----------------------------------------------------------------------------------------------------

    def _mean(self, z: Tensor) -> Tensor:
        first, log_var = self.decode(z)
        if log_var is None:
            return ops.sigmoid(first)
        return first if self.levels is None else ops.clip(first, low=0.0, high=1.0)

    def sample(self, n: int, *, key: Key, noise: bool | None = None) -> Tensor:
        """z from the prior, then the mean of p(x|z); with `noise` a draw from p(x|z).

        Pictures show the mean unless asked; rows of real numbers are drawn, for their mean is not a sample.
        """
        with no_grad():
            z = ops.normal((n, self.latent), key=key.fold_in("z"), dtype=self.dtype)
            if not (self.levels is None if noise is None else noise):
                return self._mean(z)
            first, log_var = self.decode(z)
            if log_var is None:
                return ops.bernoulli(ops.sigmoid(first), key=key.fold_in("x"))
            return ops.reparameterize(first, log_var, key=key.fold_in("x"))

    def reconstruct(self, x: Array | Tensor, *, key: Key) -> tuple[Tensor, Tensor]:
        """(x as the encoder saw it, the mean of p(x|z) at z = mu(x)), both (N, *shape)."""
        with no_grad():
            seen = self.prepare(x, key=key.fold_in("data"))
            return seen, self._mean(self.encode(seen)[0])


def _repeated(x: Tensor, k: int) -> Tensor:
    """Every row k times in succession: (N, ...) -> (N k, ...)."""
    rows = ops.broadcast_to(ops.expand_dims(x, axis=1), shape=(len(x), k, *x.shape[1:]))
    return ops.reshape(rows, shape=(len(x) * k, *x.shape[1:]))


def _dense(
    shape: tuple[int, ...], widths: list[int], latent: int, outputs: int, key: Key
) -> tuple[nn.Module, int, nn.Module]:
    """Encoder, its number of features, decoder: dense layers with relu."""
    dims = math.prod(shape)
    down = [dims, *widths]
    up = [latent, *reversed(widths)]
    key_in, key_out = key.fold_in("encoder"), key.fold_in("decoder")
    encoder = nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(a, b, activation="relu", key=key_in.fold_in(i)) for i, (a, b) in enumerate(zip(down, widths))),
    )
    decoder = nn.Sequential(
        *(nn.Linear(a, b, activation="relu", key=key_out.fold_in(i)) for i, (a, b) in enumerate(pairwise(up))),
        nn.Linear(up[-1], outputs * dims, key=key_out.fold_in("last")),
    )
    return encoder, down[-1], decoder


def _convolutional(
    shape: tuple[int, ...], widths: list[int], latent: int, outputs: int, key: Key
) -> tuple[nn.Module, int, nn.Module]:
    """Encoder, its number of features, decoder: 3x3 convolutions of stride 2 with relu, and their transposes."""
    if len(shape) != 3:
        raise ArgumentError(f"VAE: architecture 'conv' needs images (H, W, C), got shape {shape}.")
    key_in, key_out = key.fold_in("encoder"), key.fold_in("decoder")
    encoder: list[nn.Module] = []
    sizes: list[tuple[int, ...]] = [shape[:2]]
    channels = [shape[2], *widths]
    for i, (c, o) in enumerate(zip(channels, widths)):
        encoder.append(nn.Conv2d(c, o, 3, stride=2, padding=1, activation="relu", key=key_in.fold_in(i)))
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    small = (*sizes[-1], widths[-1])
    features = math.prod(small)
    decoder: list[nn.Module] = [
        nn.Linear(latent, features, activation="relu", key=key_out.fold_in("first")),
        nn.Reshape(*small),
    ]
    targets = list(reversed(channels))[1:]
    for i, (o, size) in enumerate(zip(targets, reversed(sizes[:-1]))):
        last = i == len(targets) - 1
        extra = (1 - size[0] % 2, 1 - size[1] % 2)  # of the two sizes that stride 2 maps to one, the right one
        width = outputs * o if last else o
        c = widths[-1 - i]
        decoder.append(
            nn.ConvTranspose2d(c, width, 3, stride=2, padding=1, output_padding=extra, key=key_out.fold_in(i))
        )
        if not last:
            decoder.append(nn.ReLU())
    return nn.Sequential(*encoder, nn.Flatten()), features, nn.Sequential(*decoder)
