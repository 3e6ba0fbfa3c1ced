"""Our models as pure JAX functions of their weights, channels-last as ours: what XLA is given to compile.

Written for XLA's good: arrays are (N, H, W, C), a masked convolution keeps only the rows of its kernel that are live,
a 1x1 convolution is a product of matrices, losses are the stable closed forms.  Layers are read off our model; the
weights come by our names from a dictionary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tinygen import nn
from tinygen.models import GAN, VAE, Model, PixelCNN, RealNVP
from tinygen.models.realnvp import Residual
from tinygen.models.vae import MIN_LOG_VAR
from tinygen.testing.twins.layers import causal_mask

Weights = Mapping[str, Any]
Loss = Callable[..., tuple[Any, dict[str, Any]]]  # (weights, *inputs) -> (loss, new running statistics)


def losses(model: Model) -> dict[str, Loss]:
    """For each objective of the model a pure function of (weights, *inputs), the inputs as a `Twin` takes them."""
    return MODELS[type(model)](model)


# -- layers ------------------------------------------------------------------------------------------------------------


class Net:
    """The forward pass through our layers, with weights by name.

    In training batch normalisation uses the batch's statistics, and the new running ones are collected.
    """

    def __init__(self, weights: Weights, *, training: bool = True):
        self.weights, self.training = weights, training
        self.statistics: dict[str, Any] = {}

    def __call__(self, layer: nn.Module, name: str, x: Any) -> Any:
        """What `layer`, called `name` in its model, makes of x."""
        from jax import nn as jnn
        from jax import numpy as jnp

        match layer:
            case nn.Sequential():
                for i, inner in enumerate(layer.layers):
                    x = self(inner, f"{name}.{i}", x)
                return x
            case nn.Linear():
                return self._activated(layer, x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])
            case nn.Conv2d():
                return self._activated(layer, self._with_bias(layer, name, self._convolution(layer, name, x)))
            case nn.ConvTranspose2d():
                return self._with_bias(layer, name, self._transposed(layer, name, x))
            case nn.BatchNorm():
                return jnn.leaky_relu(self._batch_norm(layer, name, x), layer.slope)  # slope 1: none, 0: relu
            case nn.Flatten():
                return x.reshape(len(x), -1)
            case nn.Reshape():
                return x.reshape(len(x), *layer.shape)
            case nn.ReLU():
                return jnn.relu(x)
            case nn.LeakyReLU():
                return jnn.leaky_relu(x, layer.slope)
            case nn.Tanh():
                return jnp.tanh(x)
            case Residual():
                return x + self(layer.b, f"{name}.b", self(layer.a, f"{name}.a", jnn.relu(x)))
            case _:
                raise TypeError(f"jax_models: {type(layer).__name__} has no counterpart here.")

    def _activated(self, layer: Any, y: Any) -> Any:
        from jax import nn as jnn

        return getattr(jnn, layer.activation)(y) if layer.activation else y

    def _with_bias(self, layer: Any, name: str, y: Any) -> Any:
        return y if layer.bias is None else y + self.weights[f"{name}.bias"]

    def _convolution(self, layer: Any, name: str, x: Any) -> Any:
        from jax import lax

        weight, geometry = self.weights[f"{name}.weight"], layer.geometry
        padding = _sides(geometry["pad"])
        if isinstance(layer, nn.MaskedConv2d):
            height, width, c, o = weight.shape
            rows = height // 2 + 1
            live = causal_mask(geometry["mask"], height, width, c, o, geometry["colors"])[:rows]
            weight = weight[:rows] if live.all() else weight[:rows] * live
            padding = [(padding[0][0], 0), padding[1]]
        stride = _pair(geometry["stride"])
        if weight.shape[:2] == (1, 1) and stride == (1, 1):
            return x @ weight[0, 0]
        return lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=_pair(geometry["dilation"]),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    def _transposed(self, layer: Any, name: str, x: Any) -> Any:
        from jax import lax

        weight = self.weights[f"{name}.weight"]  # (K, K, out, in), of the convolution that this one transposes
        padding = [
            (k - 1 - pad, k - 1 - pad + extra)
            for k, pad, extra in zip(weight.shape[:2], layer.padding, layer.output_padding)
        ]
        return lax.conv_general_dilated(
            x, weight[::-1, ::-1], (1, 1), padding, lhs_dilation=layer.stride,
            dimension_numbers=("NHWC", "HWOI", "NHWC"),
        )  # fmt: skip

    def _batch_norm(self, layer: Any, name: str, x: Any) -> Any:
        from jax import lax

        if not self.training:
            scale = self.weights[f"{name}.weight"] * lax.rsqrt(self.weights[f"{name}.running_var"] + layer.eps)
            return x * scale + (self.weights[f"{name}.bias"] - self.weights[f"{name}.running_mean"] * scale)
        axes = tuple(range(x.ndim - 1))
        mean, square = x.mean(axes), (x * x).mean(axes)
        var = square - mean * mean
        rows = x.size // x.shape[-1]
        for key, new in (("running_mean", mean), ("running_var", var * rows / (rows - 1))):
            old = self.statistics.get(f"{name}.{key}", self.weights[f"{name}.{key}"])
            self.statistics[f"{name}.{key}"] = old + layer.momentum * (lax.stop_gradient(new) - old)
        scale = self.weights[f"{name}.weight"] * lax.rsqrt(var + layer.eps)
        return x * scale + (self.weights[f"{name}.bias"] - mean * scale)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _sides(pad: Any) -> list[tuple[int, int]]:
    return [(p, p) if isinstance(p, int) else tuple(p) for p in _pair(pad)]


def _bernoulli_nll(x: Any, logits: Any) -> Any:
    from jax import nn as jnn

    return (jnn.softplus(logits) - x * logits).sum()


def _normal_log_prob(x: Any) -> Any:
    return -0.5 * (x * x + math.log(2 * math.pi))


# -- models ------------------------------------------------------------------------------------------------------------


def vae(model: VAE) -> dict[str, Loss]:
    """Minus the ELBO of (x, eps)."""
    volume = math.log(model.levels) * math.prod(model.shape) if model.gaussian and model.levels else 0.0

    def loss(weights: Weights, x: Any, eps: Any) -> tuple[Any, dict[str, Any]]:
        from jax import nn as jnn
        from jax import numpy as jnp

        net = Net(weights)
        h = net(model.encoder, "encoder", x)
        mu, log_var = net(model.mu, "mu", h), net(model.log_var, "log_var", h)
        y = net(model.decoder, "decoder", mu + jnp.exp(0.5 * log_var) * eps)
        kl = -0.5 * (1 + log_var - mu * mu - jnp.exp(log_var)).sum()
        if not model.gaussian:
            return (_bernoulli_nll(x.reshape(y.shape), y) + model.beta * kl) / len(x), {}
        mean, raw = jnp.split(y.reshape(*x.shape[:-1], -1), 2, axis=-1)
        log_var_x = jnn.softplus(raw - MIN_LOG_VAR) + MIN_LOG_VAR
        log_p = _normal_log_prob((x - mean) * jnp.exp(-0.5 * log_var_x)) - 0.5 * log_var_x
        return (model.beta * kl - log_p.sum()) / len(x) + volume, {}

    return {"model": loss}


def pixelcnn(model: PixelCNN) -> dict[str, Loss]:
    """The negative log-likelihood of (x,)."""
    levels = 2 if model.binary else model.levels

    def loss(weights: Weights, x: Any) -> tuple[Any, dict[str, Any]]:
        from jax import nn as jnn
        from jax import numpy as jnp

        net = Net(weights)
        h = net(model.first, "first", x * (2 / (levels - 1)) - 1)
        for i, block in enumerate(model.blocks):
            down = net(block.down, f"blocks.{i}.down", jnn.relu(h))
            h = h + net(block.up, f"blocks.{i}.up", net(block.mix, f"blocks.{i}.mix", down))
        y = net(model.last, "last", net(model.head, "head", jnn.relu(h)))
        if model.binary:
            return _bernoulli_nll(x, y) / len(x), {}
        y = y.reshape(*x.shape, levels)
        chosen = jnp.take_along_axis(y, x.astype("int32")[..., None], axis=-1)[..., 0]
        return (jnn.logsumexp(y, axis=-1) - chosen).sum() / len(x), {}

    return {"model": loss}


def scale_and_shift(net: Net, layer: Any, name: str, x: Any) -> tuple[Any, Any]:
    """s and t of a coupling, zero where its mask keeps x."""
    from jax import numpy as jnp

    kept = layer.mask.data
    if kept.ndim == 1:
        return _live_scale_and_shift(net, layer, name, x)
    s, t = jnp.split(net(layer.network, f"{name}.network", x * kept), 2, axis=-1)
    return jnp.tanh(s) * (net.weights[f"{name}.scale"] * (1 - kept)), t * (1 - kept)


def _live_scale_and_shift(net: Net, layer: Any, name: str, x: Any) -> tuple[Any, Any]:
    """The same for rows, whose mask keeps every second entry: products of live columns only."""
    from jax import numpy as jnp

    side = int(layer.mask.data[0] == 0)  # of the first entry that is kept
    _, second, _ = layer.network.layers
    w, dims = net.weights, x.shape[1]
    first, last = f"{name}.network.0", f"{name}.network.2"
    live = slice(1 - side, None, 2)
    h = jnp.maximum(x[:, side::2] @ w[f"{first}.weight"][side::2] + w[f"{first}.bias"], 0)
    h = net(second, f"{name}.network.1", h)
    w_last = w[f"{last}.weight"].reshape(-1, 2, dims)[:, :, live].reshape(h.shape[1], -1)
    s, t = jnp.split(h @ w_last + w[f"{last}.bias"].reshape(2, dims)[:, live].ravel(), 2, axis=-1)
    s = jnp.tanh(s) * w[f"{name}.scale"][live]

    def spread(part: Any) -> Any:
        pair = [part, jnp.zeros_like(part)] if side else [jnp.zeros_like(part), part]
        return jnp.stack(pair, -1).reshape(x.shape)

    return spread(s), spread(t)


def realnvp(model: RealNVP) -> dict[str, Loss]:
    """The negative log-likelihood of (x,), or of (x, u) for integer data."""

    def squeeze(x: Any) -> Any:
        n, height, width, c = x.shape
        x = x.reshape(n, height // 2, 2, width // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, height // 2, width // 2, 4 * c)

    def to_continuous(x: Any, u: Any) -> tuple[Any, Any]:
        from jax import numpy as jnp

        if model.levels is None:
            return (x - model.mean.data) / model.std.data, -jnp.log(model.std.data).sum()
        inner = 1 - 2 * model.alpha
        p = model.alpha + inner * (x + u) / model.levels
        log_p, log_q = jnp.log(p), jnp.log1p(-p)
        log_det = math.prod(model.shape) * math.log(inner / model.levels) - (log_p + log_q).sum((1, 2, 3))
        return log_p - log_q, log_det

    def loss(weights: Weights, x: Any, u: Any = None) -> tuple[Any, dict[str, Any]]:
        from jax import numpy as jnp

        net = Net(weights)
        x, log_det = to_continuous(x, u)
        z = []
        for i, stage in enumerate(model.stages):
            if i % 2:
                x = squeeze(x)
            for j, layer in enumerate(stage.layers):
                log_scale, t = scale_and_shift(net, layer, f"stages.{i}.{j}", x)
                x, log_det = x * jnp.exp(log_scale) + t, log_det + log_scale.sum(tuple(range(1, x.ndim)))
            if i % 2:
                gone, x = jnp.split(x, 2, axis=-1)
                z.append(gone.reshape(len(x), -1))
        z = jnp.concatenate([*z, x.reshape(len(x), -1)], axis=1)
        return -(_normal_log_prob(z).sum(1) + log_det).mean(), {}

    return {"model": loss}


def gan(model: GAN) -> dict[str, Loss]:
    """The discriminator's loss of (x, z), the generator's of (z,)."""

    def discriminator(weights: Weights, x: Any, z: Any) -> tuple[Any, dict[str, Any]]:
        from jax import nn as jnn

        net = Net(weights)
        fake = net(model.generator, "generator", z)
        real_logit = net(model.discriminator, "discriminator", x)
        fake_logit = net(model.discriminator, "discriminator", fake)
        return jnn.softplus(-real_logit).mean() + jnn.softplus(fake_logit).mean(), net.statistics

    def generator(weights: Weights, z: Any) -> tuple[Any, dict[str, Any]]:
        from jax import nn as jnn

        net = Net(weights)
        logit = net(model.discriminator, "discriminator", net(model.generator, "generator", z))
        if model.objective == "minimax":
            return -jnn.softplus(logit).mean(), net.statistics
        return jnn.softplus(-logit).mean(), net.statistics

    return {"discriminator": discriminator, "generator": generator}


MODELS: dict[type[nn.Module], Callable[..., dict[str, Loss]]] = {
    VAE: vae, PixelCNN: pixelcnn, RealNVP: realnvp, GAN: gan,
}  # fmt: skip
