"""Evaluation and sampling in JAX: pure functions of weights, data and noise, for jax.jit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygen.models import GAN, VAE, Model, RealNVP

from . import Side
from .jax_form import channels_last
from .jax_models import Net, Weights, losses, scale_and_shift


def inference(model: Model, function: Callable[..., Any], given: tuple[Any, ...], *, fixed: int, draw: str) -> Side:
    """`function(weights, *given)`, jitted; the first `fixed` of the inputs are data, the rest noise to draw anew.

    given: torch tensors, images (N, C, H, W).  draw: "normal" or "uniform".
    """
    import jax
    from jax import numpy as jnp

    weights = {name: jnp.array(value) for name, value in model.state_dict().items()}
    arrays = channels_last(given)
    data, noise = arrays[:fixed], arrays[fixed:]

    @jax.jit
    def fresh(weights: Any, key: Any, data: Any) -> Any:
        key, *keys = jax.random.split(key, 1 + len(noise))
        drawn = (getattr(jax.random, draw)(k, a.shape) for k, a in zip(keys, noise))
        return function(weights, *data, *drawn), key

    key = jax.random.key(0)

    def again() -> Any:
        nonlocal key
        made, key = jax.block_until_ready(fresh(weights, key, data))
        return made

    return Side(lambda: jax.jit(function)(weights, *arrays), again)


def figures(model: Model) -> Callable[..., Any]:
    """What an evaluation gives, means in a tuple: minus the two bounds of a VAE, else the negative log-likelihood."""
    if isinstance(model, VAE):
        return bounds(model)
    loss = losses(model)["model"]
    return lambda weights, *inputs: (loss(weights, *inputs)[0],)


def bounds(model: VAE) -> Callable[..., Any]:
    """Minus the ELBO and minus the bound of k weights, of (x, eps (N, D), eps_k (N, k, D)); a Bernoulli decoder."""

    def both(weights: Weights, x: Any, eps: Any, eps_k: Any) -> Any:
        from jax import nn as jnn
        from jax import numpy as jnp

        net = Net(weights)
        h = net(model.encoder, "encoder", x)
        mu, log_var = net(model.mu, "mu", h), net(model.log_var, "log_var", h)
        std, flat = jnp.exp(0.5 * log_var), x.reshape(len(x), 1, -1)

        def log_likelihood(z: Any) -> Any:
            y = net(model.decoder, "decoder", z.reshape(-1, z.shape[-1])).reshape(*z.shape[:2], -1)
            return (flat * y - jnn.softplus(y)).sum(2)

        kl = -0.5 * (1 + log_var - mu * mu - jnp.exp(log_var)).sum(1)
        elbo = log_likelihood((mu + std * eps)[:, None])[:, 0] - kl
        z = mu[:, None] + std[:, None] * eps_k
        change = 0.5 * (eps_k**2 - z**2).sum(2) + 0.5 * log_var.sum(1, keepdims=True)
        iwae = jnn.logsumexp(log_likelihood(z) + change, axis=1) - math.log(eps_k.shape[1])
        return -elbo.mean(), -iwae.mean()

    return both


def samples(model: Model) -> Callable[..., Any]:
    """What `model.sample` makes of the noise z (N, D), of (weights, z)."""
    return SAMPLES[type(model)](model)


def decode(model: VAE) -> Callable[..., Any]:
    """Means of p(x|z), a Bernoulli decoder."""

    def sample(weights: Weights, z: Any) -> Any:
        from jax import nn as jnn

        return jnn.sigmoid(Net(weights)(model.decoder, "decoder", z))

    return sample


def generate(model: GAN) -> Callable[..., Any]:
    """Images on [0, 1]."""
    return lambda weights, z: (Net(weights, training=False)(model.generator, "generator", z) + 1) * 0.5


def invert(model: RealNVP) -> Callable[..., Any]:
    """The flow backwards: rows, or images on the grid of levels scaled to [0, 1]."""

    def unsqueeze(x: Any) -> Any:
        n, height, width, c = x.shape
        x = x.reshape(n, height, width, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, 2 * height, 2 * width, c // 4)

    def to_data(x: Any) -> Any:
        from jax import nn as jnn
        from jax import numpy as jnp

        if model.levels is None:
            return x * model.std.data + model.mean.data
        p = (jnn.sigmoid(x) - model.alpha) / (1 - 2 * model.alpha)
        return jnp.clip(jnp.floor(p * model.levels), 0, model.levels - 1) / (model.levels - 1)

    def sample(weights: Weights, z: Any) -> Any:
        from jax import numpy as jnp

        net, size, left = Net(weights), model.shape, []
        for _ in model.stages[1::2]:
            size = (size[0] // 2, size[1] // 2, 2 * size[2])  # squeezed, and half of the channels gone
            gone, z = z[:, : math.prod(size)], z[:, math.prod(size) :]
            left.append(gone.reshape(-1, *size))
        x = z.reshape(-1, *size)
        for i in reversed(range(len(model.stages))):
            if i % 2:
                x = jnp.concatenate([left.pop(), x], axis=-1)
            for j in reversed(range(len(model.stages[i].layers))):
                s, t = scale_and_shift(net, model.stages[i].layers[j], f"stages.{i}.{j}", x)
                x = (x - t) * jnp.exp(-s)
            if i % 2:
                x = unsqueeze(x)
        return to_data(x)

    return sample


SAMPLES: dict[type, Callable[..., Callable[..., Any]]] = {VAE: decode, GAN: generate, RealNVP: invert}
