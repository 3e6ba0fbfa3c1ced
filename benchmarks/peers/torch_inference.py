"""Evaluation and sampling in PyTorch, on the twins' nets; as functions of data and noise, to be compiled or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygen.models import GAN, VAE, Model, PixelCNN, RealNVP
from tinygen.testing.twins import Twin

from .torch_forms import Form, network


def inference(form: Form, model: Model, make: Callable[[Any, Any], Callable[..., Any]]) -> Callable[..., Any]:
    """`make(model, net)`, a function of torch tensors (NCHW), run as the form wants it and without gradients."""
    import torch

    twin = Twin(model)
    twin.net.eval()
    function = make(model, network(twin, form))
    if form.compiled:
        function = torch.compile(function, dynamic=False)
    order = torch.channels_last if form.channels_last else torch.contiguous_format

    def run(*inputs: Any) -> Any:
        with torch.no_grad():
            return function(*(a.contiguous(memory_format=order) if a.ndim == 4 else a for a in inputs))

    return run


# -- evaluation --------------------------------------------------------------------------------------------------------


def likelihood(model: Model, net: Any) -> Callable[..., Any]:
    """The mean negative log-likelihood, in a tuple."""
    return lambda *inputs: (net.loss(*inputs),)


def bounds(model: VAE, net: Any) -> Callable[..., Any]:
    """Minus the ELBO and minus the bound of k weights: of x (N, C, H, W), eps (N, D) and eps_k (N, k, D)."""
    import torch
    from torch.nn import functional as F

    def log_likelihood(x: Any, z: Any) -> Any:
        """x (N, 1, dims), z (N, k, D) -> (N, k); a Bernoulli decoder."""
        y = net.decoder(z.flatten(0, 1)).reshape(*z.shape[:2], -1)
        return -F.binary_cross_entropy_with_logits(y, x.expand_as(y), reduction="none").sum(2)

    def both(x: Any, eps: Any, eps_k: Any) -> Any:
        h = net.encoder(x)
        mu, log_var = net.mu(h), net.log_var(h)
        std, flat = torch.exp(0.5 * log_var), x.permute(0, 2, 3, 1).flatten(1).unsqueeze(1)
        kl = -0.5 * (1 + log_var - mu.pow(2) - log_var.exp()).sum(1)
        elbo = log_likelihood(flat, (mu + std * eps).unsqueeze(1)).squeeze(1) - kl
        z = mu.unsqueeze(1) + std.unsqueeze(1) * eps_k
        # log p(z) - log q(z|x); the constants cancel
        change = 0.5 * (eps_k.pow(2) - z.pow(2)).sum(2) + 0.5 * log_var.sum(1, keepdim=True)
        weights = log_likelihood(flat, z) + change
        iwae = torch.logsumexp(weights, dim=1) - math.log(eps_k.shape[1])
        return -elbo.mean(), -iwae.mean()

    return both


# -- samples -----------------------------------------------------------------------------------------------------------


def decode(model: VAE, net: Any) -> Callable[..., Any]:
    """Means of p(x|z) for z (N, D), a Bernoulli decoder."""
    return lambda z: net.decoder(z).sigmoid()


def generate(model: GAN, net: Any) -> Callable[..., Any]:
    """Images on [0, 1] for z (N, D)."""
    return lambda z: (net.generator(z) + 1) * 0.5


def latent_shapes(model: RealNVP) -> list[tuple[int, ...]]:
    """The shapes of what z (N, dims) consists of, in PyTorch's order: what leaves at each scale, and what is left."""
    if len(model.shape) == 1:
        return [model.shape]
    height, width, c = model.shape
    shapes = []
    for _ in range(len(model.stages) // 2):
        height, width, c = height // 2, width // 2, 2 * c  # squeezed, and half of the channels gone
        shapes.append((c, height, width))
    return [*shapes, (c, height, width)]


def invert(model: RealNVP, net: Any) -> Callable[..., Any]:
    """The flow backwards: z (N, dims) -> rows, or images on the grid of levels scaled to [0, 1]."""
    import torch

    def uncouple(coupling: Any, y: Any) -> Any:
        if hasattr(coupling, "inverse"):  # cropped
            return coupling.inverse(y)
        b = coupling.mask
        s, t = coupling.network(b * y).chunk(2, dim=1)
        s = torch.tanh(s) * coupling.scale.view(-1, *(1,) * (y.ndim - 2))
        return b * y + (1 - b) * (y - t) * torch.exp(-s)

    def unsqueeze(x: Any) -> Any:
        n, c, height, width = x.shape
        x = x.reshape(n, 2, 2, c // 4, height, width).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, c // 4, 2 * height, 2 * width)

    def to_data(x: Any) -> Any:
        if model.levels is None:
            return x * net.std + net.mean
        p = (torch.sigmoid(x) - model.alpha) / (1 - 2 * model.alpha)
        return (p * model.levels).floor().clamp(0, model.levels - 1) / (model.levels - 1)

    def inverse(z: Any) -> Any:
        shapes = latent_shapes(model)
        parts = z.split([math.prod(shape) for shape in shapes], dim=1)
        *left, x = (part.reshape(len(z), *shape) for part, shape in zip(parts, shapes))
        for i in reversed(range(len(net.stages))):
            if i % 2:
                x = torch.cat([left.pop(), x], dim=1)
            for coupling in reversed(net.stages[i]):
                x = uncouple(coupling, x)
            if i % 2:
                x = unsqueeze(x)
        return to_data(x)

    return inverse


def logits(model: PixelCNN, net: Any) -> Callable[..., Any]:
    """The Bernoulli logits of every pixel of x (N, C, H, W), zeros and ones."""
    import torch

    def forward(x: Any) -> Any:
        h = net.first(2 * x - 1)
        for block in net.blocks:
            h = block(h)
        return net.last(net.head(torch.relu(h)))

    return forward
